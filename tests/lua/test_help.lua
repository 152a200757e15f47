-- The documentation: all that is public has its text with an example, all that is documented is there; what help()
-- shows, how names and values are found, and what the reader of comments says of bad ones.
-- luacheck: globals TestDocumented TestFinding TestPages TestReading

local lu = require "luaunit"
local cnn = require "cnn"

local eq = lu.assertEquals
local program = os.getenv "CNNLUA_PROGRAM" or "./cnnlua"
local document = dofile "bindings/document.lua"

-- What a command prints on both streams.
local function output_of(command)
  local pipe <close> = assert(io.popen(command .. " 2>&1"))
  return pipe:read "a"
end

-- ---- what there is ----------------------------------------------------------------------------------------------

-- A part of the module that is its own business.
local internal = {["cnn.repl"] = true}

local objects = {
  tensor = function() return cnn.zeros{2} end,
  model = function() return cnn.Sequential{cnn.layers.Dense{1, input_shape = {2}}} end,
  layer = function() return cnn.layers.Dense{1} end,
  dataset = function() return cnn.data.Dataset.from_tensor_slices(cnn.zeros{2}) end,
  tape = function() return cnn.GradientTape() end,
  history = function()
    local model = cnn.Sequential{cnn.layers.Dense{1, input_shape = {2}}}
    model:compile{optimizer = "sgd", loss = "mse"}
    return model:fit{cnn.zeros{1, 2}, cnn.zeros{1, 1}, verbose = 0}
  end,
  pipeline = function() return cnn.augment.flip{} end,
  rng = function() return cnn.random.generator(1) end,
  optimizer = function() return cnn.optimizers.SGD{} end,
  metric = function() return cnn.metrics.Mean{} end,
  generator = function() return cnn.ImageDataGenerator{} end,
}

-- The table in which an object looks its methods up, or nil.
local function methods_of(object)
  local index = debug.getmetatable(object).__index
  if type(index) == "function" then index = select(2, debug.getupvalue(index, 1)) end
  return type(index) == "table" and index or nil
end

-- Calls visit(name, function) for all that is public.
local function each_public(visit)
  local function walk(prefix, part)
    for name, value in next, part do
      local full = prefix .. "." .. tostring(name)
      if type(value) == "function" then
        visit(full, value)
      elseif type(value) == "table" and not internal[full] then
        walk(full, value)
      end
    end
  end
  walk("cnn", cnn)
  for kind, make in pairs(objects) do
    for name, value in next, methods_of(make()) or {} do
      if type(value) == "function" and not name:find "^_" then visit(kind .. ":" .. name, value) end
    end
  end
end

-- A layer written in Lua has methods besides.
local function custom_layer()
  return cnn.layers.custom("Own", {call = function(_, x) return x end}){}
end

local function field_of(object, name)
  return object[name]
end

-- What a documented name stands for, or nil.
local function value_of(name)
  local kind, method = name:match "^(%a+):(.+)$"
  for _, make in ipairs(kind and {objects[kind], kind == "layer" and custom_layer or nil} or {}) do
    local good, value = pcall(field_of, make(), method)
    if good and value then return value end
  end
  if kind then return nil end
  local value = {cnn = cnn}
  for part in name:gmatch "[^.]+" do value = type(value) == "table" and rawget(value, part) or nil end
  return value
end

local function assert_none(list, what)
  table.sort(list)
  eq(#list, 0, ("%d %s:\n%s\n"):format(#list, what, table.concat(list, "\n")))
end

TestDocumented = {}

function TestDocumented.test_every_function_and_class_is_documented()
  local missing = {}
  each_public(function(name, value)
    if not cnn.help.find(value) then missing[#missing + 1] = name end
  end)
  assert_none(missing, "public functions have no text")
end

function TestDocumented.test_every_function_and_class_has_an_example()
  local missing = {}
  for _, entry in ipairs(cnn.help.entries()) do
    local called = entry.kind ~= "field" and entry.kind ~= "object"
    if called and not entry.usage then missing[#missing + 1] = entry.source .. ": " .. entry.name end
  end
  assert_none(missing, "entries have no example")
end

function TestDocumented.test_what_is_documented_is_there()
  local missing = {}
  for _, entry in ipairs(cnn.help.entries()) do
    if entry.kind ~= "object" and value_of(entry.name) == nil then
      missing[#missing + 1] = entry.source .. ": " .. entry.name
    end
  end
  assert_none(missing, "documented names do not exist")
end

function TestDocumented.test_constructors_of_classes_tell_their_arguments()
  for _, entry in ipairs(cnn.help.entries()) do
    if entry.kind == "class" then
      lu.assertIsFunction(value_of(entry.name), entry.name)
      for _, param in ipairs(entry.params) do
        lu.assertTrue(param.type ~= nil or param.text ~= "", entry.name .. ": " .. param.name)
      end
    end
  end
  eq(cnn.help.find("cnn.layers.Dense").params[1].low, 1)
end

-- Which of these names the function says it does not know; the order in which it looks at them varies.
local function unknown_argument(name, f, object, names)
  local given = {}
  for _, argument in ipairs(names) do given[argument] = false end
  local good, message
  if object then good, message = pcall(f, object, given) else good, message = pcall(f, given) end
  if good then return nil end
  local who, argument = tostring(message):match "([%w_]+): unknown argument '([%w_]+)'"
  return who == name:match "[%w_]+$" and argument or nil
end

-- These would begin to work, or take any name.
local function is_risky(name)
  return name:find "^cnn%.datasets" or name:find "^cnn%.utils%.script_options" or name:find "^cnn%.help"
    or name:find "^cnn%.backend" or name:find "^cnn%.to_json" or name:find "^cnn%.set_seed"
end

function TestDocumented.test_documented_arguments_are_known()
  local wrong, methods = {}, methods_of(objects.tensor())
  for _, entry in ipairs(cnn.help.entries()) do
    local f, name = value_of(entry.name), entry.name
    local of_tensors = methods[name:match "[%w_]+$"] == f
    local kind = name:match "^(%a+):" or of_tensors and "tensor"
    local object, asked = kind and objects[kind](), entry.kind == "function" or entry.kind == "method"
    if asked and not is_risky(name) and unknown_argument(name, f, object, {"zzz"}) == "zzz" then
      local first = of_tensors and 2 or 1
      for place, param in ipairs(entry.params) do
        local is_the_table = place == first and (param.type:find "table" or param.type:find "{")
        for i = 1, (place < first or is_the_table) and 0 or 10 do
          if unknown_argument(name, f, object, {param.name, "zzz" .. i}) == param.name then
            wrong[#wrong + 1] = ("%s: %s has no argument '%s'"):format(entry.source, name, param.name)
            break
          end
        end
      end
    end
  end
  assert_none(wrong, "documented arguments are unknown to their functions")
end

-- ---- finding ----------------------------------------------------------------------------------------------------

local function found(what)
  local entry = cnn.help.find(what)
  return entry and entry.name
end

TestFinding = {}

function TestFinding.test_names_are_found_whole_or_by_their_ends()
  for _, name in ipairs{"cnn.random.normal", "random.normal"} do eq(found(name), "cnn.random.normal") end
  for _, name in ipairs{"cnn.layers.Conv2D", "layers.Conv2D", "Conv2D", "CONV2D"} do
    eq(found(name), "cnn.layers.Conv2D")
  end
  eq(found "model:fit", "model:fit")
  eq(found "fit", "model:fit")
  eq(found "sum", "cnn.sum")
  eq(found "dense", "cnn.layers.Dense")
end

function TestFinding.test_letters_decide_between_a_function_and_a_class()
  eq(found "conv2d", "cnn.nn.conv2d")
  eq(found "Conv2D", "cnn.layers.Conv2D")
end

function TestFinding.test_a_method_of_tensors_is_the_function_of_that_name()
  eq(found "tensor:sum", "cnn.sum")
  eq(found(cnn.zeros{1}.sum), "cnn.sum")
end

function TestFinding.test_values_are_found()
  eq(found(cnn.sum), "cnn.sum")
  eq(found(cnn.layers.Dense), "cnn.layers.Dense")
  eq(found(cnn.layers.Dense{1}), "cnn.layers.Dense")
  eq(found(cnn.Sequential{}), "cnn.Sequential")
  eq(found(cnn.optimizers.SGD{}), "cnn.optimizers.SGD")
  eq(found(cnn.losses.Huber{}), "cnn.losses.Huber")
  eq(found(cnn.metrics.BinaryCrossentropy{}), "cnn.metrics.BinaryCrossentropy")
  eq(found(cnn.optimizers.schedules.CosineDecay{0.1, 10}), "cnn.optimizers.schedules.CosineDecay")
  eq(found(cnn.Sequential{}.fit), "model:fit")
  eq(found(cnn.optimizers.SGD{}.apply_gradients), "optimizer:apply_gradients")
end

function TestFinding.test_what_is_not_documented_is_nil()
  for _, what in ipairs{"nothing at all", "", ":", ".", "cnn.", 3, 0 / 0, true, {}, print, io.stdout} do
    eq(found(what), nil)
  end
  eq(cnn.help.find(nil), nil)
end

function TestFinding.test_arguments_come_in_their_order_without_idle_ones()
  local names = cnn.help.arguments(cnn.layers.Dense)
  eq({table.unpack(names, 1, 3)}, {"units", "activation", "use_bias"})
  eq(cnn.help.arguments "Dense", names)
  lu.assertNotTableContains(names, "lora_rank")
  eq(cnn.help.arguments "model:fit"[1], "x")
  eq(cnn.help.arguments "cnn.version", nil)
  eq(cnn.help.arguments(print), nil)
end

function TestFinding.test_it_is_quick()
  cnn.help.find "sum"
  local begin = os.clock()
  for _ = 1, 100 do cnn.help.arguments(cnn.layers.Conv2D) cnn.help.arguments "model:fit" end
  lu.assertTrue(os.clock() - begin < 1, "more than 5 ms a call")
end

-- ---- pages ------------------------------------------------------------------------------------------------------

-- The page that Lua code prints, without colours, of this width.
local function page(code, columns)
  return output_of(("COLUMNS=%s '%s' -e '%s'"):format(columns or 80, program, code))
end

TestPages = {}

function TestPages.test_an_entry()
  eq(page 'cnn.help "cnn.help.arguments"', [[
cnn.help.arguments(what)

The names of a function's arguments, in the order of their positions.

Arguments
  what  any: as help takes it

Returns
  table|nil

Example
  layers = cnn.layers
  cnn.help.arguments(layers.Dropout)[1]      --> rate
  cnn.help.arguments "nothing"               --> nil
]])
end

function TestPages.test_a_class_shows_defaults_bounds_and_choices()
  local text = page "cnn.help(cnn.layers.Conv2D)"
  lu.assertStrContains(text, 'cnn.layers.Conv2D{filters, kernel_size, strides = 1, padding = "valid",\n')
  lu.assertStrContains(text, "  filters               int ≥ 1: channels of the output\n")
  lu.assertStrContains(text, '  padding               "valid"|"same", default "valid": ')
  lu.assertStrContains(text, "or change nothing:\n  activity_regularizer, kernel_constraint")
end

function TestPages.test_a_choice_where_a_name_has_several_meanings()
  local text = page 'cnn.help "normal"'
  lu.assertStrContains(text, "called normal:\n")
  lu.assertStrContains(text, "  cnn.random.normal  ")
  lu.assertStrContains(text, "  rng:normal         ")
end

function TestPages.test_the_overview_fits_a_screen_and_names_topics()
  local text = page "cnn.help()"
  local _, lines = text:gsub("\n", "\n")
  lu.assertTrue(lines <= 24, lines .. " lines")
  for name in text:gmatch "\n  (%a+) " do
    lu.assertNotStrContains(page(('cnn.help "%s"'):format(name)), "There is no", false, name)
  end
end

function TestPages.test_parts_of_the_module_list_what_is_in_them()
  for _, code in ipairs{"cnn.help(cnn.losses)", 'cnn.help "losses"', 'cnn.help "cnn.losses"'} do
    local text = page(code)
    lu.assertStrContains(text, "\ncnn.losses.\n", false, code)
    lu.assertStrContains(text, "\n  Huber  ", false, code)
  end
  lu.assertStrContains(page 'cnn.help "schedules"', "  CosineDecay  ")
  lu.assertStrContains(page "cnn.help(cnn)", "\n  layers  ")
end

function TestPages.test_objects_show_their_class_and_methods()
  local text = page "cnn.help(cnn.Sequential{})"
  lu.assertStrContains(text, "cnn.Sequential{")
  lu.assertStrContains(text, "\nmodel:\n")
  lu.assertStrContains(text, "\n  get_weights  ")
  lu.assertStrContains(page "cnn.help(cnn.zeros{2})", "\n  item  ")
  lu.assertStrContains(page "cnn.help(cnn.random.generator(1))", "\n  uniform  ")
end

function TestPages.test_unknown_names_lead_to_near_ones_and_to_texts()
  lu.assertStrContains(page 'cnn.help "Densse"', "There is no 'Densse'. Did you mean cnn.layers.Dense?\n")
  lu.assertStrContains(page 'cnn.help "stochastic"', "The word is in:\n")
  lu.assertStrContains(page 'cnn.help "stochastic"', "cnn.optimizers.SGD")
  eq(page 'cnn.help "qqqqqqqq"', "There is no 'qqqqqqqq'.\n")
  lu.assertStrContains(page "cnn.help(nil)", "This is nil.")
  lu.assertStrContains(page "cnn.help(io.stdout)", "Nothing is known about this userdata.")
  lu.assertStrContains(page 'cnn.help ""', "There is no ''.")
end

function TestPages.test_lines_fit_the_width()
  local all = 'for _, entry in ipairs(cnn.help.entries()) do cnn.help(entry.name) end cnn.help() cnn.help "layers"'
  for _, columns in ipairs{70, 100} do
    local example = false
    for line in page(all, columns):gmatch "[^\n]+" do
      example = line == "Example" or example and line:find "^  " ~= nil
      local fits = utf8.len(line) <= columns or line:find "^ *%S+$" ~= nil -- a word that is longer
      lu.assertTrue(example or fits, columns .. ": " .. line)
    end
  end
end

function TestPages.test_a_pipe_gets_no_escapes()
  lu.assertNotStrContains(page 'cnn.help "layers" cnn.help "Dense" cnn.help()', "\27")
end

function TestPages.test_a_manual_is_made_of_it()
  if not os.execute "command -v mandoc >/dev/null" then lu.skip "mandoc is not here" end
  local name = os.tmpname()
  eq(output_of(("'%s' bindings/reference/make.lua man >%s"):format(program, name)), "")
  eq(output_of("mandoc -T lint -W warning " .. name), "")
  lu.assertStrContains(output_of("mandoc -T ascii -O width=80 " .. name .. " | col -b"), "cnn.layers.Dense{units")
  os.remove(name)
end

-- ---- reading comments -------------------------------------------------------------------------------------------

local scratch = {}

-- The entries and problems of a source file with this text.
local function read(text, suffix)
  local name = os.tmpname()
  scratch = {name, name .. "." .. (suffix or "c")}
  local file <close> = assert(io.open(scratch[2], "w"))
  file:write(text)
  file:flush()
  return document.read{scratch[2]}
end

-- What is wrong with a block in C, without the file.
local function problem(text)
  local entries, problems = read("/*** " .. text .. " */\n")
  eq(#entries, 0)
  return problems[1] and problems[1]:match "^[^:]*(:.*)$"
end

TestReading = {}

function TestReading.tearDown()
  for _, name in ipairs(scratch) do os.remove(name) end
end

function TestReading.test_blocks_of_c()
  local entries, problems = read [[
int x;
/*** Adds, e.g. numbers (all of them). The rest
goes on.

Another paragraph.
@function cnn.add
@tparam tensor a
@tparam[opt={1, 2}] int|{int,...} b the second
one
@treturn tensor
@raise a bad thing
@usage
x = 1  --> 2
  --> 3
*/
/* not one */
/*** Short. @field x is no tag here.
@field cnn.version */]]
  eq(problems, {})
  eq(#entries, 2)
  local entry = entries[1]
  eq(entry.name, "cnn.add")
  eq(entry.kind, "function")
  eq(entry.summary, "Adds, e.g. numbers (all of them).")
  eq(entry.text, "Adds, e.g. numbers (all of them). The rest\ngoes on.\n\nAnother paragraph.")
  eq(entry.params, {{name = "a", type = "tensor", text = ""},
                    {name = "b", type = "int|{int,...}", text = "the second one", optional = true, default = "{1, 2}"}})
  eq(entry.returns, {{type = "tensor", text = ""}})
  eq(entry.raises, {"a bad thing"})
  eq(entry.usage, "x = 1  --> 2\n  --> 3")
  eq(entry.source, scratch[2] .. ":2")
  eq(entries[2].kind, "field")
end

function TestReading.test_blocks_of_lua()
  local entries, problems = read([[
-- not one
  --- Does it.
  -- @function layer:do_it
  -- @usage
  -- x = 1
  -- --> 2
  local x = 1
--- Last.
-- @class cnn.layers.Last]], "lua")
  eq(problems, {})
  eq(entries[2].name, "layer:do_it")
  eq(entries[2].kind, "method")
  eq(entries[2].usage, "x = 1\n--> 2")
  eq(entries[1].kind, "class")
end

function TestReading.test_bad_blocks_are_told_with_their_place()
  eq(problem "Text.", ":1: a block: neither @function nor @class nor @field names it")
  eq(problem "Text.\n@function sum", ":1: a block: 'sum' is no full name such as cnn.sum or tensor:item")
  eq(problem "@function cnn.f", ":1: cnn.f: there is no text before the tags")
  eq(problem "Text.\n@function cnn.f\n@param x", ":1: cnn.f: there is no tag @param")
  eq(problem "Text.\n@function cnn.f\n@tparam tensor", ":1: cnn.f: @tparam needs a type and a name: tensor")
  eq(problem "Text.\n@function cnn.f\n@tparam x the thing", ":1: cnn.f: 'x' is no type that is known here")
  eq(problem "Text.\n@function cnn.f\n@tparam[opt] int x\n@tparam int x", ":1: cnn.f: @tparam x is there twice")
  eq(problem "Text.\n@function cnn.f\n@tparam[optional] int x",
     ":1: cnn.f: @tparam[optional]: should be [opt] or [opt=DEFAULT]")
  eq(problem "Text.\n@class cnn.layers.F\n@tparam int x",
     ":1: cnn.layers.F: a class's arguments are told by its table, not here")
  eq(problem "Text.\n@function cnn.f\n@usage x = 1", ":1: cnn.f: the example begins on the line after @usage: x = 1")
  eq(problem "Text.\n@function cnn.f\n@usage\n", ":1: cnn.f: @usage shows nothing")
end

function TestReading.test_a_name_is_documented_once()
  local entries, problems = read "/*** A.\n@function cnn.f */\n/*** B.\n@function cnn.f */\n"
  eq(#entries, 1)
  eq(problems, {("%s:3: cnn.f: it is documented already at %s:1"):format(scratch[2], scratch[2])})
end
