-- The prompt: what Tab offers, what values look like, and both and the rest in a real terminal.
-- luacheck: globals TestComplete TestSuggest TestFormats TestPromptScreen TestPromptHistory TestPromptPlain
-- luacheck: ignore 111 112 113

local lu = require "luaunit"
local terminal = require "terminal"
local cnn = require "cnn"

local eq = lu.assertEquals
local program = os.getenv "CNNLUA_PROGRAM" or "./cnnlua"
local layers = cnn.layers

-- What may stand at the end of text, and what is replaced by it.
local function complete(text, before)
  local start, list = cnn.repl.complete(text, #text, before)
  return list, text:sub(start)
end

-- The line that text becomes when there is one candidate.
local function completed(text, before)
  local list, word = complete(text, before)
  eq(#list, 1, "candidates for " .. text .. ": " .. table.concat(list, " "))
  return text:sub(1, #text - #word) .. list[1]
end

local function assert_has(list, ...)
  for _, name in ipairs{...} do lu.assertTableContains(list, name) end
end

-- ---- completion ---------------------------------------------------------------------------------------------------

TestComplete = {}

function TestComplete.setUp()
  _G.sample = {fields = {first = 1, second = {3, name = 4}}, sum_of = print, ["no name"] = 5, ["end"] = 6}
  _G.sample_model = cnn.Sequential{layers.Dense{3, input_shape = {2}}}
  _G.sample_tensor = cnn.zeros{2}
end

function TestComplete.tearDown()
  _G.sample, _G.sample_model, _G.sample_tensor = nil, nil, nil
end

function TestComplete.test_globals_and_keywords()
  eq(completed "x = sample_m", "x = sample_model")
  eq(completed "tostr", "tostring(")
  eq(completed "whi", "while")
  assert_has(complete "x = ", "print", "cnn", "sample")
  eq(complete "x = sample_zzz", {})
  eq(#complete "_PROM", 0)
end

function TestComplete.test_names_of_the_lines_before()
  eq(completed("  pri_co", "for pri_counter = 1, 3 do"), "  pri_counter")
end

function TestComplete.test_fields()
  eq(completed "sample.fi", "sample.fields")
  eq(complete "sample.fields.", {".first", ".second"})
  eq(completed "x + sample.fields.second.n", "x + sample.fields.second.name")
  eq(completed "sample . fields . f", "sample . fields .first")
  eq(completed "sample['fields'].f", "sample['fields'].first")
  eq(complete "sample.nothing.", {})
  eq(complete "sample.fields.first.", {})
  eq(completed "string.gma", "string.gmatch(")
  eq(completed "cnn.optimizers.schedules.Cos", "cnn.optimizers.schedules.CosineDecay{")
end

function TestComplete.test_a_colon_offers_functions()
  eq(complete "sample:", {":sum_of("})
  eq(completed "('x'):gma", "('x'):gmatch(")
end

function TestComplete.test_index_tables_and_objects()
  local Base = {greet = print}
  Base.__index = Base
  local Derived = setmetatable({dance = print}, Base)
  Derived.__index = Derived
  _G.sample.object = setmetatable({own = 1}, Derived)
  eq(complete "sample.object:", {":dance", ":greet"})
  eq(completed "sample.object.o", "sample.object.own")
end

function TestComplete.test_methods_of_the_modules_objects()
  eq(completed "sample_model:summ", "sample_model:summary(")
  eq(completed "sample_tensor:tolis", "sample_tensor:tolist(")
  eq(completed "sample_model.layers[1]:get_w", "sample_model.layers[1]:get_weights(")
  eq(completed "sample_model.opti", "sample_model.optimizer")
  eq(completed "sample_model.layers[1].unit", "sample_model.layers[1].units")
  eq(completed "sample_model.eva", "sample_model:evaluate{")
end

function TestComplete.test_nothing_of_the_users_is_called()
  local function trap() error "called" end
  local traps = {__index = trap, __call = trap, __pairs = trap, __len = trap, __tostring = trap, __eq = trap,
                 __name = "layer"}
  _G.sample.trap = setmetatable({fine = 1}, traps)
  eq(completed "sample.trap.f", "sample.trap.fine")
  eq(complete "sample.trap.deeper.", {})
  eq(complete "sample.trap{x", {"xpcall("})
  eq(complete "cnn.nothing.", {})
  lu.assertNil(rawget(cnn, "nothing"))
  setmetatable(_G, {__index = trap})
  local list = complete "sample_mod"
  setmetatable(_G, nil)
  eq(list, {"sample_model"})
end

function TestComplete.test_names_of_arguments()
  assert_has(complete "cnn.layers.Conv2D{32, ker", "kernel_size = ", "kernel_initializer = ")
  eq(completed "sample_model:fit{x, y, epo", "sample_model:fit{x, y, epochs = ")
  eq(completed "sample_model:fit({x, y, epo", "sample_model:fit({x, y, epochs = ")
  eq(completed("  epo", "sample_model:fit{x, f(1, {2}),"), "  epochs = ")
  eq(completed "unknown:fit{x, y, validation_sp", "unknown:fit{x, y, validation_split = ")
  lu.assertNotTableContains(complete "cnn.layers.Conv2D{kernel_size = 3, ker", "kernel_size = ")
  lu.assertNotTableContains(complete "cnn.layers.Conv2D{32, activation = ker", "kernel_size = ")
  lu.assertTableContains(complete "cnn.layers.Conv2D{", "filters = ")
end

function TestComplete.test_strings_that_are_choices()
  eq(completed "cnn.layers.Conv2D{32, 3, padding = 's", "cnn.layers.Conv2D{32, 3, padding = 'same'")
  eq(completed 'cnn.layers.Conv2D{32, 3, 1, "s', 'cnn.layers.Conv2D{32, 3, 1, "same"')
  assert_has(complete 'cnn.layers.Dense{1, activation = "re', "relu", "relu6")
  eq(completed 'sample_model:compile{optimizer = "rm', 'sample_model:compile{optimizer = "rmsprop"')
  assert_has(complete 'sample_model:compile{loss = "', "mean_squared_error", "huber")
  eq(completed 'sample_model:compile{metrics = {"mse", "rec', 'sample_model:compile{metrics = {"mse", "recall"')
  assert_has(complete 'cnn.layers.Dense{1, kernel_initializer = "he_', "he_normal", "he_uniform")
end

-- What is taken for a choice has to be one.
function TestComplete.test_choices_are_accepted()
  for _, name in ipairs(complete 'cnn.layers.Dense{1, activation = "') do layers.Dense{1, activation = name} end
  for _, name in ipairs(complete 'cnn.layers.Dense{1, kernel_initializer = "') do
    if name ~= "constant" then layers.Dense{1, kernel_initializer = name} end
  end
  for _, argument in ipairs{"optimizer", "loss"} do
    for _, name in ipairs(complete('sample_model:compile{' .. argument .. ' = "')) do
      _G.sample_model:compile{optimizer = "sgd", loss = "mse", [argument] = name}
    end
  end
  for _, name in ipairs(complete 'sample_model:compile{metrics = {"') do
    _G.sample_model:compile{optimizer = "sgd", loss = "mse", metrics = {name}}
  end
end

function TestComplete.test_files()
  local asked
  local before = rawget(cnn.repl, "list_folder")
  cnn.repl.list_folder = function(path)
    asked = path
    return {"a b.png", "a\"b.png", "data/", ".hidden", "한글.png"}
  end
  eq(completed "f = 'da", "f = 'data/")
  eq(asked, ".")
  eq(completed "f = 'deep/er/한", "f = 'deep/er/한글.png'")
  eq(asked, "deep/er/")
  eq(complete 'open "a', {"a b.png", 'a\\"b.png'})
  eq(completed "f = '.", "f = '.hidden'")
  local home = os.getenv "HOME"
  if home then eq(completed "f = '~/da", "f = '" .. home .. "/data/") end
  local start, list = cnn.repl.complete("f = '한'", #"f = '한")
  eq({start, list}, {6, {"한글.png"}}) -- the quote is there
  cnn.repl.list_folder = before
end

function TestComplete.test_not_in_comments_numbers_and_long_strings()
  for _, text in ipairs{"-- pri", "x = 1 --[[ pri", "12", "0x1", "x = [[pri", "x = [==[ ]] pri"} do
    eq(complete(text), {}, text)
  end
  eq(completed "--[[ x ]] sample_m", "--[[ x ]] sample_model")
  eq(completed "x = 'it\\'s' .. sample_m", "x = 'it\\'s' .. sample_model")
end

function TestComplete.test_a_bracket_that_is_there_is_not_added()
  local start, list = cnn.repl.complete("tostr(x)", 5)
  eq({start, list}, {1, {"tostring"}})
end

function TestComplete.test_odd_text_is_harmless()
  local pieces = {"cnn", ".", ":", "{", "}", "(", ")", "[", "]", "=", ",", "'", '"', "--", "[[", "]]", "1", "\\", " ",
                  "\n", "fit", "한", "\255", "[1]", "::", "...", "end"}
  math.randomseed(7)
  for _ = 1, 2000 do
    local text = {}
    for i = 1, math.random(12) do text[i] = pieces[math.random(#pieces)] end
    cnn.repl.suggest(nil, table.concat(text), #table.concat(text), 80, 24)
  end
end

function TestComplete.test_is_quick()
  local function seconds(text)
    local least = math.huge
    for _ = 1, 5 do
      local from = os.clock()
      cnn.repl.suggest(nil, text, #text, 100, 40)
      least = math.min(least, os.clock() - from)
    end
    return least
  end
  complete "sample_model:fi" -- reads the texts of help
  lu.assertTrue(seconds "cnn." < 0.02)
  local names = {}
  for i = 1, 100000 do names["name" .. i] = i end
  _G.sample = names
  lu.assertTrue(seconds "sample.name9999" < 0.2)
  lu.assertTrue(seconds "sample." < 0.02)
end

-- ---- what Tab does with them --------------------------------------------------------------------------------------

TestSuggest = {}

local function suggest(text, columns, rows)
  return cnn.repl.suggest(nil, text, #text, columns or 80, rows or 24)
end

function TestSuggest.setUp()
  _G.sample = {alpha_one = 1, alpha_two = 2, beta = 3}
end

TestSuggest.tearDown = TestComplete.tearDown

function TestSuggest.test_the_common_start_comes_first()
  eq({suggest "sample.al"}, {0, "pha_"})
  eq({suggest "sample.b"}, {0, "eta"})
  lu.assertNil((suggest "sample.beta"))
  lu.assertNil((suggest "sample.gamma"))
end

function TestSuggest.test_then_a_list_in_columns()
  eq({suggest "sample."}, {0, nil, "alpha_one  alpha_two  beta"})
  eq(select(3, suggest("sample.", 23)), "alpha_one  beta\nalpha_two")
  for i = 1, 100 do _G.sample["gamma" .. i] = i end
  local list = select(3, suggest("sample.g", 10, 10))
  lu.assertNil(list)
  list = select(3, suggest("sample.gamma", 10, 10))
  eq(select(2, list:gsub("\n", "\n")), 6)
  lu.assertStrContains(list, "… 100 in all")
  list = select(3, suggest("sample.gamma", 10, 10)) -- asked for again
  eq(select(2, list:gsub("\n", "\n")), 99)
end

function TestSuggest.test_a_method_takes_a_colon()
  _G.sample_tensor = cnn.zeros{2}
  eq({suggest "sample_tensor.tolis"}, {6, ":tolist("})
end

-- ---- what values look like ----------------------------------------------------------------------------------------

TestFormats = {}

local format = cnn.repl.format

function TestFormats.test_tensors()
  eq(format(cnn.tensor{1, 2}), "float32 (2,)\n[1. 2.]")
  eq(format(cnn.tensor(3)), "float32 ()\n3.0")
  eq(format(cnn.zeros{0, 3}), "float32 (0, 3)\n[]")
  eq(format(cnn.tensor({{7}}, "uint8")), "uint8 (1, 1)\n[[7]]")
  lu.assertStrContains(format(cnn.zeros{1000, 1000}), "...")
  eq(format(cnn.Input{3}), "symbolic tensor float32 (None, 3)")
  eq(format{cnn.zeros{2, 3}}, "{tensor float32 (2, 3)}")
  local closed = cnn.zeros{2}
  closed:close()
  lu.assertStrContains(format(closed), "closed")
end

function TestFormats.test_tables()
  eq(format{}, "{}")
  eq(format{1, x = {y = {z = {{1}}}}}, "{1, x = {y = {z = {{…}}}}}")
  local shared = {1}
  eq(format{shared, shared}, "{{1}, {1}}")
  local circle = {name = "c"}
  circle.self = circle
  eq(format(circle), '{name = "c", self = {…}}')
  local numbers = {}
  for i = 1, 30 do numbers[i] = i * 1000 end
  lu.assertStrContains(format(numbers), "{\n  1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10000, 11000,")
  lu.assertStrContains(format{("x"):rep(1000)}, ("x"):rep(200) .. '"… (1000 bytes)')
  lu.assertStrContains(format{("한"):rep(1000)}, '한"… (3000 bytes)')
end

function TestFormats.test_models_and_layers()
  local model = cnn.Sequential{layers.Conv2D{8, 3, activation = "relu", input_shape = {9, 9, 1}, name = "c"}}
  lu.assertStrContains(format(model), "Total params: 80")
  eq(format(model.layers[1]), "<Conv2D 'c': filters = 8, kernel_size = {3, 3}, activation = \"relu\">")
  eq(format(layers.Dense{3, name = "d"}), "<Dense 'd', not built: units = 3>")
  eq(format(layers.Flatten{name = "f"}), "<Flatten 'f', not built>")
  eq(format{model}, "{" .. tostring(model) .. "}")
  model:compile{optimizer = "sgd", loss = "mse"}
  eq(format(model.optimizer), "<SGD: learning_rate = 0.01, iterations = 0>")
  lu.assertStrContains(format(cnn.optimizers.SGD{0.5}), "SGD{")
end

function TestFormats.test_histories()
  local model = cnn.Sequential{layers.Dense{1, input_shape = {1}, kernel_initializer = "zeros"}}
  model:compile{optimizer = cnn.optimizers.SGD{0}, loss = "mse"}
  local x = cnn.ones{4, 1}
  local text = format(model:fit{x, x, epochs = 2, validation_data = {x, x * 2}, verbose = 0})
  eq(text, "epoch    loss  val_loss\n    1  1.0000    4.0000\n    2  1.0000    4.0000")
  local rows = select(2, format(model:fit{x, x, epochs = 50, verbose = 0}):gsub("\n", "\n"))
  eq(rows, 21) -- of the head, 20 epochs and one …
end

function TestFormats.test_the_rest()
  eq(format(cnn.sum), "function cnn.sum: " .. cnn.help.find(cnn.sum).summary)
  lu.assertStrContains(format(function() end), "function: ")
  lu.assertStrContains(format(cnn.layers), "Conv1D, Conv2D,")
  eq(format "as it is\n", "as it is\n")
  eq(format(nil), "nil")
  eq(format(setmetatable({}, {__tostring = function() return "told" end})), "told")
end

function TestFormats.test_values_out_of_order_are_shown_all_the_same()
  local history = debug.getregistry().history
  lu.assertStrContains(format(setmetatable({history = 3}, history)), "history")
  lu.assertStrContains(format(setmetatable({}, {__name = "layer"})), "layer: ")
  lu.assertStrContains(format(setmetatable({}, {__name = 5})), "table: ")
end

-- ---- in a terminal --------------------------------------------------------------------------------------------------

TestPromptScreen = {}

local scratch

local function new_folder()
  local folder = os.tmpname()
  os.remove(folder)
  os.execute("mkdir " .. folder)
  return folder
end

-- A prompt in a terminal, in an empty folder that is also home.
local function open(options)
  if not terminal.here then lu.skip "needs tmux" end
  options = options or {}
  scratch = scratch or new_folder()
  local environment = {HOME = scratch, TERM = "xterm-256color", LC_ALL = "C.UTF-8", EDITRC = "/dev/null"}
  for name, value in pairs(options.environment or {}) do environment[name] = value end
  local folder = io.popen "pwd":read "l"
  local path = program:find "^/" and program or folder .. "/" .. program
  local t = terminal.open(("sh -c 'cd %s && exec %s'"):format(scratch, options.command or path),
                          {columns = options.columns or 80, rows = options.rows or 40, environment = environment})
  t.program = path
  if not options.command then t:wait "leave.\n>" end
  return t
end

-- Types lines; what the last should end in is waited for.
local function enter(t, lines, shown)
  for _, line in ipairs(type(lines) == "table" and lines or {lines}) do
    t:type(line)
    t:keys "Enter"
  end
  if shown then t:wait(shown) end
end

local function close()
  if scratch then os.execute("rm -r " .. scratch) end
  scratch = nil
end

TestPromptScreen.tearDown = close

function TestPromptScreen.test_values_statements_and_the_last_result()
  local t <close> = open()
  enter(t, {"6 * 7", "_ + 1"}, "\n43\n>")
  enter(t, {"x = 5", "", "nil", "_"}, "nil\n> _\n43\n>")
  enter(t, {"{1,", "2}, 'text'"}, "{1, 2}\ntext\n>")
  enter(t, {"for i = 1, 2 do", "print(i)", "end"}, ">> end\n1\n2\n>")
  enter(t, {"local kept, other = 8, 9", "kept + other"}, "\n17\n>")
  enter(t, {"local function double(n) return 2 * n end", "double(21)"}, "\n42\n>")
  enter(t, "error 'boo'", "stdin:1: boo\n>")
  enter(t, "error{}", "(error object is a table value)\n>")
  enter(t, "x = )", "unexpected symbol near ')'\n>")
end

function TestPromptScreen.test_colors()
  local t <close> = open()
  enter(t, {"cnn.ones{2}", "error 'boo'"}, "boo\n>")
  local screen = t:screen(true)
  lu.assertStrMatches(screen, ".*\27%[[%d;]*32m>\27.*")
  lu.assertStrMatches(screen, ".*\27%[2mfloat32.*")
  lu.assertStrMatches(screen, ".*\27%[31mstdin:1: boo.*")
end

function TestPromptScreen.test_colors_are_refused()
  local t <close> = open{environment = {NO_COLOR = "1"}}
  enter(t, {"cnn.ones{2}", "error 'boo'"}, "boo\n>")
  lu.assertNotStrContains(t:screen(true), "\27")
end

function TestPromptScreen.test_completion()
  local t <close> = open()
  os.execute(("mkdir '%s/my data'; touch '%s/my data/한글.png'"):format(scratch, scratch))
  enter(t, {"answer = {first = 42, second = 43}"})
  t:type "ans"
  t:keys "Tab"
  t:wait "> answer"
  t:type ".s"
  t:keys("Tab", "Enter")
  t:wait "\n43\n>"
  t:type "answer."
  t:keys "Tab"
  t:wait "first   second\n> answer."
  t:keys "C-c"
  t:type "#'my"
  t:keys "Tab"
  t:wait "> #'my data/"
  t:keys("Tab", "Enter")
  t:wait "> #'my data/한글.png'\n18\n>"
  enter(t, {"model = cnn.Sequential()"})
  t:type "model.ad"
  t:keys "Tab"
  t:wait "> model:add("
  enter(t, "", ">>")
  t:type "cnn.layers.Dense{un"
  t:keys "Tab"
  t:wait ">> cnn.layers.Dense{units ="
  enter(t, {"3})", "#model.layers"}, "\n1\n>")
end

function TestPromptScreen.test_completion_within_an_open_call()
  local t <close> = open()
  enter(t, "cnn.layers.Dense{3,", ">>")
  t:keys "Tab" -- indents
  t:type "use_b"
  t:keys "Tab"
  t:wait ">>   use_bias ="
  enter(t, {"false, name = 'd'}"}, "<Dense 'd', not built: units = 3, use_bias = false>\n>")
end

function TestPromptScreen.test_pasted_lines_run_one_by_one()
  local t <close> = open()
  t:paste "local a = 1\nlocal b = {\n\ttext = 'x',\n}\na + 1\nb\n"
  t:wait "a + 1\nb"
  t:keys "Enter"
  t:wait "a + 1\nb\n2\n{text = \"x\"}\n>"
  t:paste "s = ('x')\n  :rep(3)\n  -- the end\ns"
  t:keys "Enter"
  t:wait "\nxxx\n>"
  t:paste "> c = 5 -- copied\n> c\n5\n> for i = 1, 2 do\n>>   c = c + i\n>> end\n> c"
  t:keys "Enter"
  t:wait "\n5\n8\n>"
  t:paste "no = 1\nno.field.field\nno = 2"
  t:keys "Enter"
  t:wait "attempt to index a number value (global 'no')\n>"
  enter(t, "no", "\n1\n>")
end

function TestPromptScreen.test_up_and_down_move_within_a_recalled_entry()
  local t <close> = open()
  enter(t, {"'before'", "for i = 1, 2 do", "  io.write(i, ' ')", "end io.write '.\\n'"}, "1 2 .\n>")
  t:keys "Up"
  t:wait "1 2 .\n> for i = 1, 2 do\n  io.write(i, ' ')\nend"
  t:keys("Up", "Up", "End", "Home")
  for _ = 1, 11 do t:keys "Right" end
  t:keys "Delete"
  t:type "4"
  t:keys("Down", "Down", "Enter")
  t:wait "1 2 3 4 .\n>"
  for _ = 1, 7 do t:keys "Up" end -- out of the entries of three lines at their first
  t:wait "\n1 2 3 4 .\n> 'before'"
end

function TestPromptScreen.test_a_line_comes_back_from_the_history()
  local t <close> = open()
  enter(t, "'before'", "\nbefore\n>")
  t:type "'begun"
  t:keys("Down", "Up", "Up")
  t:wait "\nbefore\n> 'before'"
  t:keys("Down", "Down")
  t:wait "\nbefore\n> 'begun"
  t:keys "C-u"
  t:type("#'" .. ("x"):rep(2000))
  t:keys("Up", "Down") -- too long for it
  t:type "'"
  t:keys "Enter"
  t:wait "\n2000\n>"
end

function TestPromptScreen.test_wide_characters()
  local t <close> = open{columns = 40}
  t:type "'가나다 마바사"
  t:wait "> '가나다 마바사"
  eq((t:cursor()), 16)
  for _ = 1, 3 do t:keys "Left" end
  t:keys("BSpace", "BSpace")
  t:wait "> '가나마바사"
  eq((t:cursor()), 7)
end

function TestPromptScreen.test_wide_characters_that_wrap()
  local t <close> = open{columns = 40}
  local function has(line)
    t:wait_until(function(screen) return screen:gsub("\n", ""):find("> " .. line, 1, true) end, line)
  end
  t:type("#'" .. ("한글"):rep(20))
  has("#'" .. ("한글"):rep(20))
  for _ = 1, 10 do t:keys "Left" end
  t:type "새 "
  has("#'" .. ("한글"):rep(15) .. "새 " .. ("한글"):rep(5))
  t:keys("C-e")
  t:type "'"
  t:keys "Enter"
  t:wait "'\n124\n>"
end

function TestPromptScreen.test_resizing()
  local t <close> = open{columns = 60}
  t:type("#'" .. ("0123456789"):rep(9))
  t:resize(40, 40)
  t:wait("> #'" .. ("0123456789"):rep(9):sub(1, 36) .. "\n")
  t:resize(70, 40)
  t:wait("> #'" .. ("0123456789"):rep(9):sub(1, 66) .. "\n")
  t:type "'"
  t:keys "Enter"
  t:wait "'\n90\n>"
  eq(select(2, t:screen():gsub("> #'", "")), 1)
end

function TestPromptScreen.test_interruptions()
  local t <close> = open()
  t:type "half a line"
  t:keys "C-c"
  t:wait "half a line\n>"
  enter(t, {"for i = 1, 2 do"}, ">>")
  t:type "half"
  t:keys "C-c"
  t:wait "half\n>"
  enter(t, {"n = 0", "while true do n = n + 1 end"})
  os.execute "sleep 0.2"
  t:keys "C-c"
  t:wait "interrupted!\n>"
  enter(t, "n > 1000", "\ntrue\n>")
end

function TestPromptScreen.test_interrupted_training_leaves_the_model()
  local t <close> = open()
  enter(t, {"m = cnn.Sequential{cnn.layers.Dense{200, input_shape = {200}}}", "x = cnn.zeros{10000, 200}",
            "m:compile{optimizer = 'sgd', loss = 'mse'}", "m:fit{x, x, epochs = 10000}"}, "Epoch 2")
  t:keys "C-c"
  t:wait "interrupted!\n>"
  enter(t, "m:predict{x:slice(1, 1), verbose = 0}:shape()", "{1, 200}")
end

function TestPromptScreen.test_questions()
  local t <close> = open()
  enter(t, "?cnn.threads", cnn.help.find "cnn.threads".summary:sub(1, 30))
  enter(t, {"thing = cnn.threads", "print '====' ? thing"}, "near '?'")
  enter(t, {"print '===='", "?thing"}, "====\n> ?thing\n")
  t:wait_until(function(screen)
    return screen:match "====.*":find(cnn.help.find "cnn.threads".summary:sub(1, 30), 1, true)
  end, "help about a variable's value")
end

function TestPromptScreen.test_the_terminal_is_left_in_order()
  local t <close> = open{command = "sh -i"}
  local function stty() enter(t, "echo; stty -a | grep -o '[-]*icanon\\|[-]*echo '", "\nicanon\necho\n") end
  for _, leave in ipairs{"os.exit()", "os.exit(true, true)", "kill"} do
    enter(t, {"clear", t.program}, "leave.\n>")
    if leave == "kill" then
      t:type "half"
      t:wait "> half"
      os.execute(("kill $(ps -o pid= --ppid %d)"):format(t:pid()))
      t:wait "Terminated"
    else
      enter(t, leave)
    end
    stty()
  end
  enter(t, {"clear", t.program}, "leave.\n>")
  t:keys "C-d"
  stty()
end

function TestPromptScreen.test_farewells()
  local t <close> = open{command = "sh -i"}
  for _, word in ipairs{"exit", "quit()"} do
    enter(t, {"clear", t.program}, "leave.\n>")
    enter(t, {word, "echo; echo left"}, "\nleft\n")
  end
  enter(t, {"clear", t.program}, "leave.\n>")
  enter(t, {"exit = 5", "exit"}, "\n5\n>")
end

function TestPromptScreen.test_it_can_be_stopped()
  local t <close> = open{command = "bash --norc -i"}
  enter(t, {"PS1='$ '", t.program}, "leave.\n>")
  t:type "1 + "
  t:wait "> 1 +"
  t:keys "C-z"
  t:wait "Stopped"
  enter(t, "fg", "\n> 1 +")
  enter(t, "41", "41\n42\n>")
end

-- ---- history --------------------------------------------------------------------------------------------------------

TestPromptHistory = {tearDown = close}

local function read_history()
  local file <close> = assert(io.open(scratch .. "/.cnnlua_history"))
  return file:read "a"
end

function TestPromptHistory.test_entries_are_kept_at_once_and_come_back()
  do
    local t <close> = open()
    enter(t, {"6 * 7", "6 * 7", "for i = 1, 2 do", "  -- nothing", "end", "'kept'"}, "\nkept\n>")
    eq(read_history(), "6 * 7\nfor i = 1, 2 do\n\t  -- nothing\n\tend\n'kept'\n")
  end
  local t <close> = open()
  t:keys("Up", "Up")
  t:wait "> for i = 1, 2 do\n  -- nothing\nend"
  t:keys "C-c"
  t:keys "C-r"
  t:type "6 *"
  t:wait "6 * 7\n"
  t:keys("Enter")
  t:wait "\n42\n>"
end

function TestPromptHistory.test_two_at_once_lose_nothing()
  local first <close> = open()
  local second <close> = open()
  enter(first, "'of the first'", "\nof the first\n>")
  enter(second, "'of the second'", "\nof the second\n>")
  eq(read_history(), "'of the first'\n'of the second'\n")
end

function TestPromptHistory.test_a_long_file_is_shortened()
  scratch = new_folder()
  local file = assert(io.open(scratch .. "/.cnnlua_history", "w"))
  for i = 1, 2500 do file:write("line ", i, "\n\tand more\n") end
  file:close()
  local t <close> = open()
  t:keys "Up"
  t:wait "> line 2500\nand more"
  local text = read_history()
  eq(select(2, text:gsub("line", "")), 1000)
  lu.assertStrMatches(text, "line 1501\n\tand more\n.*line 2500\n\tand more\n")
end

-- ---- where lines are not edited -------------------------------------------------------------------------------------

TestPromptPlain = {tearDown = close}

function TestPromptPlain.test_a_terminal_without_a_cursor()
  local t <close> = open{environment = {TERM = "dumb", INSIDE_EMACS = "29.1,comint"}}
  enter(t, "6 * 7", "> 6 * 7\n42\n>")
  enter(t, "error 'boo'", "> error 'boo'\nstdin:1: boo\n>")
  enter(t, "for i = 1, 2 do", ">>")
  enter(t, "print(i) end", ">> print(i) end\n1\n2\n>")
  t:type "half"
  t:keys "C-c"
  t:wait "half^C\n>"
  enter(t, "1 + 1", "\n2\n>")
end

function TestPromptPlain.test_no_escape_sequences_in_a_pipe()
  local lines = "'cnn.ones{2}\\nerror(1)\\n{1,\\n2}\\n'"
  local pipe <close> = io.popen(("printf %s | TERM=xterm HOME=/nowhere %s -i 2>&1"):format(lines, program))
  local text = pipe:read "a"
  lu.assertNotStrContains(text, "\27")
  lu.assertStrContains(text, "> float32 (2,)\n[1. 1.]\n> 1\n> >> {1, 2}\n> ")
end
