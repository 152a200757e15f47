-- cnn.show: pictures as characters, exactly, and as sixels of the right size; grids with labels; what each kind of
-- tensor is taken for; wrong arguments; and what a real terminal shows of pictures and of a training that is watched.
-- luacheck: globals TestShow TestTerminal

local lu = require "luaunit"
local cnn = require "cnn"
local printed = require "printed"
local raises = require "raises"
local scratch = require "scratch"
local terminal = require "terminal"

local eq = lu.assertEquals
local program = os.getenv "CNNLUA_PROGRAM" or "./cnnlua"

local function shown(...)
  return printed(cnn.show, ...)
end

local function run(script, environment)
  local command = ("%s '%s' -e \"%s\" 2>&1"):format(environment or "", program, script)
  local pipe <close> = assert(io.popen(command))
  return pipe:read "a"
end

TestShow = {}

function TestShow.test_a_character_has_two_pixels()
  eq(shown(cnn.eye(4), {width = 4}), "▀▄\n  ▀▄\n")
  eq(shown(cnn.tensor{{1, 0, 1}, {0, 1, 0}}, {width = 3}), "▀▄▀\n")
  eq(shown(cnn.tensor{{0, 0.25, 0.5, 0.75, 1}, {0, 0.25, 0.5, 0.75, 1}}, {width = 5}), " ░▒▓█\n")
end

function TestShow.test_small_pictures_are_enlarged_by_a_whole_number()
  local line = ("█"):rep(5) .. (" "):rep(5) .. ("█"):rep(5) .. "\n"
  eq(shown(cnn.tensor{{1, 0, 1}, {1, 0, 1}}), line:rep(5))
end

function TestShow.test_values()
  local white = "██\n"
  for _, picture in ipairs {cnn.ones{2, 2}, cnn.ones{2, 2} * 255, cnn.ones{2, 2, 3}, cnn.ones{2, 2, 4},
                            cnn.full({2, 2}, 255):astype "uint8", cnn.full({2, 2}, 255):astype "int32",
                            cnn.full({2, 2}, 1e30)} do
    eq(shown(picture, {width = 2}), white)
  end
  eq(shown(cnn.full({2, 2}, 127):astype "uint8", {width = 2}), "▒▒\n")
  eq(shown(cnn.ones{2, 2}:astype "uint8", {width = 2}), "\n")
  eq(shown(cnn.full({2, 2}, -3), {width = 2}), "\n")
  eq(shown(cnn.full({2, 2}, 0 / 0), {width = 2}), "\n")
end

function TestShow.test_normalize_stretches_each_picture_by_itself()
  local maps = cnn.tensor{{{-3, -1}, {-3, -1}}, {{5, 5.5}, {5, 5.5}}}
  eq(shown(maps, {normalize = true, width = 6, columns = 2}), " █   █\n")
  eq(shown(cnn.full({2, 2}, 7), {normalize = true, width = 2}), "\n")
end

function TestShow.test_an_alpha_of_nothing_is_empty()
  local picture = cnn.ones{2, 4, 4}
  picture[{{}, {1, 2}, 4}] = 0
  eq(shown(picture, {width = 4}), "  ██\n")
end

function TestShow.test_the_rank_tells_pictures_from_batches()
  local one, two = "████\n████\n", "████  ████\n████  ████\n"
  eq(shown(cnn.ones{4, 4}, {width = 4}), one)
  eq(shown(cnn.ones{4, 4, 1}, {width = 4}), one)
  eq(shown(cnn.ones{4, 4, 3}, {width = 4}), one)
  eq(shown(cnn.ones{1, 4, 4, 1}, {width = 4}), one)
  eq(shown(cnn.ones{2, 4, 2}, {width = 6, columns = 2}), "██  ██\n██  ██\n")
  eq(shown(cnn.ones{2, 4, 4, 1}, {width = 10, columns = 2}), two)
  eq(shown(cnn.ones{2, 4, 4, 3}, {width = 10, columns = 2}), two)
  eq(shown({cnn.ones{4, 4}, cnn.ones{4, 4, 3}}, {width = 10, columns = 2}), two)
  eq(shown{cnn.ones{2, 4, 4, 3}, width = 10, columns = 2}, two)
end

function TestShow.test_pictures_of_a_list_stand_on_one_line()
  eq(shown({cnn.ones{4, 4}, cnn.ones{2, 4}}, {width = 10, columns = 2}), "████\n████  ████\n")
end

function TestShow.test_labels_stand_under_a_grid()
  local x = cnn.ones{3, 8, 8}
  eq(shown(x, {labels = {7, "고양이", "too long a name"}, columns = 3, width = 28, title = "three"}),
     "           three\n" .. ("████████  ████████  ████████\n"):rep(4) .. "   7       고양이   too lon…\n")
  eq(shown(x, {labels = cnn.tensor({3, 4, 5}, "int32"), columns = 2, width = 18}),
     ("████████  ████████\n"):rep(4) .. "   3         4\n" .. ("████████\n"):rep(4) .. "   5\n")
  eq(shown(x, {labels = {"\27[2J\n\255"}, columns = 3, width = 28}),
     ("████████  ████████  ████████\n"):rep(4) .. "  [2J ?\n")
  eq(shown(cnn.ones{8, 8}, {columns = 5, width = 8, title = "one"}), "  one\n" .. ("████████\n"):rep(4))
  eq(shown(cnn.ones{2, 8, 8}, {columns = 1, width = 8}), ("████████\n"):rep(4) .. "\n" .. ("████████\n"):rep(4))
end

function TestShow.test_of_many_the_first_are_shown()
  local text = shown(cnn.ones{60, 8, 8}, {labels = cnn.arange(60)})
  lu.assertStrContains(text, " 24")
  lu.assertNotStrContains(text, " 25\n")
  lu.assertStrContains(text, "(the first 25 of 60)\n")
  for line in text:gmatch "[^\n]+" do lu.assertTrue(utf8.len(line) <= 80) end
  local list = {cnn.ones{20, 8, 8}, cnn.ones{20, 8, 8}, cnn.ones{8, 8}, "not even there.png"}
  lu.assertStrContains(shown(list), "(the first 25 of 42)\n")
end

function TestShow.test_height_and_width_bound_the_whole()
  local _, lines = shown(cnn.ones{100, 100}, {height = 5}):gsub("\n", "")
  eq(lines, 5)
  eq(shown(cnn.ones{100, 100}, {width = 7, height = 2}), "████\n████\n")
  eq(shown(cnn.ones{1, 1000}, {width = 20}), "\n") -- a hundredth of a line
  lu.assertTrue(#shown(cnn.ones{1000, 1}) > 0)
end

function TestShow.test_files()
  local path = os.tmpname() .. ".png"
  cnn.image.save(path, cnn.eye(4))
  eq(shown(path, {width = 4}), "▀▄\n  ▀▄\n")
  eq(shown{path, width = 4}, "▀▄\n  ▀▄\n")
  eq(shown{images = path, width = 4}, "▀▄\n  ▀▄\n")
  os.remove(path)
  raises(path .. ": No such file", cnn.show, path)
end

-- Width and height of the pictures, after their introducers; all must end.
local function sixel_sizes(text)
  local sizes = {}
  for width, height, data in text:gmatch '\27P[%d;]*q"1;1;(%d+);(%d+)(.-)\27\\' do
    lu.assertTrue(#data > 0)
    sizes[#sizes + 1] = {tonumber(width), tonumber(height)}
  end
  return sizes
end

-- A cell that nothing is known of has 8 by 16 pixels; sixels are 6 high.
function TestShow.test_sixels_have_the_size_of_their_cells()
  local text = shown(cnn.ones{28, 28}, {format = "sixel"})
  eq(text:sub(1, 2), "\27P")
  eq(sixel_sizes(text), {{14 * 8, 7 * 16 // 6 * 6}})
  local grid = shown(cnn.ones{4, 28, 28}, {format = "sixel", columns = 2, labels = {1, 2, 3, 4}})
  eq(sixel_sizes(grid), {{30 * 8, 7 * 16 // 6 * 6}, {30 * 8, 7 * 16 // 6 * 6}})
  lu.assertStrContains(grid, "\27\\\n      1               2\n")
end

function TestShow.test_other_protocols()
  eq(shown(cnn.ones{28, 28}, {format = "kitty"}):sub(1, 3), "\27_G")
  eq(shown(cnn.ones{28, 28}, {format = "iterm"}):sub(1, 7), "\27]1337;")
  eq(shown(cnn.ones{28, 28}, {format = "none", title = "t", labels = {1}}), "")
end

function TestShow.test_the_environment_chooses()
  local script = "cnn.show(cnn.ones{4, 4}, {width = 4})"
  eq(run(script, "CNNLUA_GRAPHICS=symbols TERM=xterm-kitty"), "████\n████\n")
  eq(run(script, "CNNLUA_GRAPHICS="), "████\n████\n")
  eq(run(script, "CNNLUA_GRAPHICS=none"), "")
  eq(run(script, "CNNLUA_GRAPHICS=sixel"):sub(1, 2), "\27P")
  lu.assertStrContains(run(script, "CNNLUA_GRAPHICS=sixels"),
                       'CNNLUA_GRAPHICS must be "symbols", "sixel", "kitty", "iterm" or "none", got sixels')
end

function TestShow.test_wrong_arguments()
  local x = cnn.ones{4, 4}
  raises("show: unknown argument 'label' (did you mean 'labels'?)", cnn.show, x, {label = {1}})
  raises("show: unknown argument 'normalise' (did you mean 'normalize'?)", cnn.show, {x, normalise = true})
  raises("'columns' must be an integer from 1 to 25, got 0", cnn.show, x, {columns = 0})
  raises("'width' must be an integer from 1 to 1000, got 2.5", cnn.show, x, {width = 2.5})
  raises("'height' must be an integer from 1 to 1000, got many", cnn.show, x, {height = "many"})
  raises("'normalize' must be true or false, got 1", cnn.show, x, {normalize = 1})
  raises("'title' must be a string, got 5", cnn.show, x, {title = 5})
  raises("'format' must be \"symbols\"", cnn.show, x, {format = "png"})
  raises("label 1 must be a string or a number, got table", cnn.show, x, {labels = {{}}})
  raises("'labels' must have one axis, got 2", cnn.show, x, {labels = cnn.eye(3)})
  raises("expected pictures and a table of options", cnn.show, x, 5)
  raises("expected pictures and a table of options", cnn.show, x, {}, 5)
  raises("'images' must be a tensor or the name of a file, got nil", cnn.show)
  raises("'images' must be a tensor or the name of a file, got number", cnn.show, 5)
  raises("the list of pictures is empty", cnn.show, {})
  raises("picture 2 must be a tensor or the name of a file, got table", cnn.show, {x, {1}})
end

function TestShow.test_wrong_pictures()
  raises("'images' must have the shape {height, width}", cnn.show, cnn.ones{4})
  raises("got {1, 2, 3, 4, 1}", cnn.show, cnn.ones{1, 2, 3, 4, 1})
  raises("a picture has 1, 3 or 4 channels, got 7; cnn.image.grid", cnn.show, cnn.ones{1, 4, 4, 7})
  raises("picture 1 is empty", cnn.show, {cnn.zeros{0, 4}})
  raises("symbolic", cnn.show, cnn.Input{28, 28, 1})
  local closed = cnn.ones{4, 4}
  closed:close()
  raises("closed", cnn.show, closed)
end

-- ---- in a terminal ----------------------------------------------------------------------------------------

TestTerminal = {}

function TestTerminal:setUp()
  lu.skipIf(not terminal.here, "tmux is not installed")
  self.folder = scratch.make()
end

function TestTerminal:tearDown()
  if self.folder then scratch.remove(self.folder) end
end

-- Opens a terminal in which the script has run, and the prompt waits.
function TestTerminal:open(script, options)
  local path = self.folder .. "/script.lua"
  local file <close> = assert(io.open(path, "w"))
  file:write(script, "\nprint 'ready'\n")
  file:close()
  options = options or {}
  options.environment = options.environment or {}
  options.environment.HOME = self.folder
  return terminal.open(("'%s' -i %s"):format(program, path), options)
end

local colored = "local x = cnn.zeros{4, 4, 3}; x[{{}, {}, 1}] = 1; cnn.show(x, {width = 4})"

function TestTerminal:test_colours_where_there_are_some()
  do
    local t <close> = self:open(colored)
    t:wait "ready"
    lu.assertStrContains(t:screen(true), "8;2;255;0;0m")
  end
  for _, environment in ipairs {{NO_COLOR = "1"}, {TERM = "dumb"}} do
    local t <close> = self:open(colored, {environment = environment})
    local text = t:wait "ready"
    lu.assertNotStrContains(t:screen(true):match "^(.-)ready", "\27[")
    lu.assertStrContains(text, "░░░░")
  end
end

function TestTerminal:test_a_grid_fits()
  local t <close> = self:open("cnn.show(cnn.ones{9, 28, 28}, {labels = {1, 2, 3, 4, 5, 6, 7, 8, 9}})",
                              {columns = 100, rows = 40})
  local text = t:wait "ready"
  for i = 1, 9 do lu.assertStrContains(text, "   " .. i) end -- nothing has scrolled away
end

function TestTerminal:test_plots_are_text()
  local t <close> = self:open("cnn.plot{{3, 2, 1}, {1, 2, 3}, legend = {'loss', 'val_loss'}, xlabel = 'epoch'}")
  local text = t:wait "ready"
  for _, part in ipairs {"⠒⠒ loss   ⠒⠒ val_loss", "epoch", "┤", "└"} do lu.assertStrContains(text, part) end
  lu.assertStrContains(t:screen(true), "38;2;213;94;0m")
end

local training = [[
local layers = cnn.layers
local x, y = cnn.random.uniform{512, 8}, cnn.random.randint({512}, 0, 2)
local model = cnn.Sequential{layers.Dense{4, activation = "relu", input_shape = {8}}, layers.Dense{2}}
model:compile{optimizer = "adam", metrics = {"accuracy"},
              loss = cnn.losses.SparseCategoricalCrossentropy{from_logits = true}}
local function fit(arguments)
  arguments[1], arguments[2], arguments.verbose = x, y, 3
  return model:fit(arguments)
end
]]

function TestTerminal:test_a_training_is_watched()
  local t <close> = self:open(training .. [[
    local seen = {}
    local mine = {get_state = function() return #seen end, set_state = function() end,
                  on_epoch_end = function(_, epoch) seen[#seen + 1] = epoch; print("epoch " .. epoch .. " seen") end}
    local history = fit{epochs = 3, validation_split = 0.5, batch_size = 32, callbacks = {mine}}
    print(#history.history.loss, #seen)]], {columns = 100, rows = 40})
  local text = t:wait "ready"
  -- the lines of verbose = 1, in order, with nothing left of earlier drawings; then the last one
  lu.assertEquals(select(2, text:gsub("└", "")), 2)
  lu.assertStrMatches(text, ".*Epoch 1/3\n8/8 %[=+%][^\n]*\n?[^\n]*\nepoch 1 seen\nEpoch 2/3\n8/8 .*epoch 2 seen\n"
                      .. "Epoch 3/3\n8/8 .*epoch 3 seen\n +⠒⠒ loss   ⠒⠒ val_loss +⠒⠒ accuracy   ⠒⠒ val_accuracy\n"
                      .. ".*epoch +epoch\n3 +3\nready.*")
end

function TestTerminal:test_one_epoch_is_drawn_by_batch()
  local t <close> = self:open(training .. "fit{epochs = 1, batch_size = 8}", {columns = 60})
  local text = t:wait "ready"
  lu.assertStrContains(text, "⠒⠒ loss")
  lu.assertStrContains(text, "batch")
  lu.assertNotStrContains(text, "⠒⠒ accuracy") -- no room
end

function TestTerminal:test_an_interruption_leaves_the_terminal_in_order()
  local t <close> = self:open(training ..
                              "print(pcall(fit, {epochs = 1000000, batch_size = 8}))", {columns = 100, rows = 40})
  t:wait "┤"
  t:keys "C-c"
  local text = t:wait "ready"
  lu.assertStrMatches(text, ".*\n +└[^\n]*\n[^\n]*\n +epoch[^\n]*\nfalse +[^\n]*interrupted!\nready.*")
  t:type "1 + 1\n"
  t:wait "2\n"
end

function TestTerminal:test_an_error_leaves_the_terminal_in_order()
  local t <close> = self:open(training ..
    "print(pcall(fit, {epochs = 5, callbacks = {on_epoch_end = function(_, e) if e == 3 then error 'oh' end end}}))",
    {columns = 100, rows = 40})
  local text = t:wait "ready"
  lu.assertStrMatches(text, ".*Epoch 3/5\n.*└[^\n]*\n[^\n]*\n +epoch[^\n]*\nfalse +[^\n]*oh\nready.*")
end

-- A bar that the terminal wraps could not be redrawn in its place.
function TestTerminal:test_the_bar_stays_on_its_line()
  local t <close> = self:open(training .. [[
    model:fit{x, y, batch_size = 64, callbacks = {on_train_batch_end = function() os.execute "sleep 0.04" end}}]],
    {columns = 50})
  local text = t:wait "ready"
  lu.assertNotStrContains(text, "ETA")
  lu.assertStrContains(text, "Epoch 1/1\n8/8 [")
end

function TestTerminal:test_a_low_terminal_has_no_room_for_curves()
  local t <close> = self:open(training .. "fit{epochs = 2}", {rows = 9})
  local text = t:wait "ready"
  lu.assertStrContains(text, "Epoch 2/2")
  lu.assertNotStrContains(text, "└")
end

-- Without a terminal it is verbose = 2.
function TestShow.test_a_training_in_a_pipe_prints_lines()
  local script = (training .. "fit{epochs = 2, batch_size = 256}"):gsub('"', "'")
  local text = run(script)
  lu.assertStrMatches(text, "Epoch 1/2\n2/2 %- [^\n]+\nEpoch 2/2\n2/2 %- [^\n]+\n")
end
