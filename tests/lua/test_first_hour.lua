-- The first hour of somebody new, at the prompt in a real terminal, in an empty folder that is also home: MNIST loaded
-- and looked at, models built, trained, interrupted and explained, saved, and taken up again in a second session.
-- luacheck: globals TestFirstHour
-- luacheck: ignore 111 112 113

local lu = require "luaunit"
local scratch = require "scratch"
local terminal = require "terminal"
local cnn = require "cnn"

local program, data = os.getenv "CNNLUA_PROGRAM" or "./cnnlua", os.getenv "CNNLUA_DATA"
local limit = terminal.limit
local folder, home

local function absolute(path)
  return path:find "^/" and path or folder .. "/" .. path
end

local function is_there(path)
  return os.rename(path, path) ~= nil
end

TestFirstHour = {}

function TestFirstHour.setUp()
  if not terminal.here then lu.skip "needs tmux" end
  if not data then lu.skip "needs MNIST in $CNNLUA_DATA" end
  local pipe <close> = io.popen "pwd"
  folder = pipe:read "l"
  if not is_there(absolute(data) .. "/mnist") then lu.skip "needs MNIST in $CNNLUA_DATA" end
  home, terminal.limit = scratch.make(), 120
end

function TestFirstHour.tearDown()
  if home then scratch.remove(home) end
  home, terminal.limit = nil, limit
end

-- ---- at the prompt ------------------------------------------------------------------------------------------------

local function open(arguments, environment)
  environment = environment or {}
  environment.HOME, environment.TERM, environment.LC_ALL = home, "xterm-256color", "C.UTF-8"
  environment.EDITRC, environment.CNNLUA_DATA = "/dev/null", absolute(data)
  local command = ("sh -c 'cd %s && exec %s %s'"):format(home, absolute(program), arguments or "")
  local t = terminal.open(command, {columns = 100, rows = 45, environment = environment})
  t:wait_until(function(screen) return screen:find "\n>$" end, "the prompt")
  return t
end

local function clear(t)
  t:keys "C-l"
  t:wait_until(function(screen) return screen == ">" end, "an empty screen")
end

-- Types lines, of which the last completes the others; gives what is on the screen when the prompt has come back.
local function enter(t, lines)
  clear(t)
  for line in (lines .. "\n"):gmatch "(.-)\n" do
    t:type(line)
    t:keys "Enter"
  end
  return t:wait_until(function(screen) return screen:find "\n>$" end, "the prompt after " .. lines)
end

-- What is shown below the line that was typed.
local function answer(t, line)
  local screen = enter(t, line)
  lu.assertEquals(screen:sub(1, #line + 3), "> " .. line .. "\n")
  return screen:sub(#line + 4):match "^(.-)\n?>$"
end

local function has(screen, ...)
  for _, text in ipairs{...} do lu.assertStrContains(screen, text) end
end

-- The last figure of this name on the screen.
local function figure(screen, name)
  return tonumber(screen:match(".*%f[%w_]" .. name .. ": ([%d.]+)"))
end

local function quit(t)
  t:keys "C-d"
  t:wait_until(function(screen) return screen == "" end, "the end")
end

-- A picture [28,28] of bytes stands in the lines of the screen, two rows of pixels in each: where they are bright there
-- is something, and where they are black nothing.
local function assert_drawn(screen, picture)
  local lines, checked = {}, 0
  for line in screen:gmatch "[^\n]*" do lines[#lines + 1] = line end
  for row = 1, 14 do
    local letters = {}
    for _, code in utf8.codes(lines[row]) do letters[#letters + 1] = utf8.char(code) end
    for column = 1, 28 do
      local upper, lower = picture[{2 * row - 1, column}], picture[{2 * row, column}]
      local lit = (letters[column] or " ") ~= " "
      local what = ("row %d, column %d of\n%s"):format(row, column, screen)
      if math.max(upper, lower) > 160 then lu.assertTrue(lit, what) end
      if math.max(upper, lower) == 0 then lu.assertFalse(lit, what) end
      checked = checked + (lit and 1 or 0)
    end
  end
  lu.assertTrue(checked > 20)
end

-- ---- the steps ------------------------------------------------------------------------------------------------------

local function find_the_way(t)
  has(enter(t, "help()"), "datasets", "layers", 'help "start"')
  has(enter(t, "?Conv2D"), "  use_bias  ", "\nExample\n  layers = cnn.layers\n")
  has(enter(t, "?Conv2d"), "cnn.layers.Conv2D  ", "cnn.nn.conv2d  ")
  has(enter(t, "?Callback"), "on_epoch_end")
  has(enter(t, "?mnist"), "cnn.datasets.mnist.load_data([path])")
  clear(t)
  t:type "cnn.datas"
  t:keys "Tab"
  t:wait "> cnn.datasets"
  t:type "."
  t:keys "Tab"
  has(t:wait "mnist  ", "cats_and_dogs", "fashion_mnist")
  t:keys "C-c"
  t:wait_until(function(screen) return screen:find "\n>$" end, "the prompt after a line given up")
end

-- The lines of help "start" are those that are typed; only fewer digits are trained on.
local function first_session(t)
  local lines = {}
  for line in (enter(t, '?start') .. "\n"):gmatch "\n  ([^\n]*)" do lines[#lines + 1] = line end
  local page, shown = table.concat(lines, "\n"), {}
  local function step(chunk)
    local start, stop = page:find(chunk, 1, true)
    lu.assertEquals(start, 1, ("%s\nis not what comes next in\n%s"):format(chunk, page))
    page = page:sub(stop + 2)
    shown[chunk] = enter(t, chunk)
    return shown[chunk]
  end
  lu.assertEquals(step "x_train, y_train, x_test, y_test = cnn.datasets.mnist.load_data()":match "\n.*", "\n>")
  local digits = step "cnn.show(x_train:slice(1, 10), {labels = y_train:slice(1, 10), columns = 5})"
  lu.assertStrMatches(digits, ".*\n +5 +0 +4 +1 +9\n.*\n +2 +1 +3 +1 +4\n>")
  enter(t, "x_train, y_train = x_train:slice(1, 3000), y_train:slice(1, 3000) cnn.set_seed(3)")
  enter(t, "x_test, y_test = x_test:slice(1, 1000), y_test:slice(1, 1000)")
  lu.assertEquals(answer(t, "y_train"), "uint8 (3000,)\n[5 0 4 ... 9 1 5]")
  step "layers = cnn.layers"
  step(page:match "^model = cnn.Sequential.-\n}")
  step(page:match "^model:compile[^\n]*")
  local fitted = step "history = model:fit{x_train, y_train, epochs = 5, validation_split = 0.1}"
  has(fitted, "Epoch 5/5", "85/85 [==============================]")
  lu.assertTrue(figure(fitted, "val_accuracy") > 0.85)
  lu.assertStrMatches(answer(t, "history"), "epoch +loss +accuracy +val_loss +val_accuracy\n +1 .*\n +5 +0%.[^\n]*")
  local plot = step "cnn.plot(history)"
  lu.assertStrMatches(plot, ".*⠒⠒ loss   ⠒⠒ val_loss\n.*0%.%d+┤.*└┬─.*\n +1 +2 +3 +4 +5\n +epoch\n>")
  local accuracy = step "model:evaluate{x_test, y_test}":match ".*\n(0%.%d+)\n>"
  lu.assertTrue(tonumber(accuracy) > 0.85)
  local matrix = step "cnn.explain.confusion_matrix{model, x_test, y_test}"
  lu.assertStrMatches(matrix, ".*\n +predicted\ntrue +0 +1 +2.*\n +9 .*")
  has(matrix, ("%.0f of 1000 right"):format(accuracy * 1000), "\ntensor int32 (10, 10)\n>")
  local confused = step "cnn.explain.most_confused{model, x_test, y_test}"
  lu.assertStrMatches(confused, ".*\n +%d → %d +%d+%% +%d → %d +%d+%%.*")
  has(step "cnn.explain.grad_cam{model, x_test[1]}", "overlay", "\ntensor uint8 (28, 28, 3)\n")
  lu.assertEquals(step 'model:save "digits.keras"':match "\n.*", "\n>")
  lu.assertEquals(page, "")
  return accuracy
end

local function mistype(t)
  local function says(line, message)
    lu.assertEquals(answer(t, line), message)
  end
  says('layers.Conv2D{32, 3, activaton = "relu"}',
       "stdin:1: Conv2D: unknown argument 'activaton' (did you mean 'activation'?)")
  says("layers.Conv2d{32, 3}", "stdin:1: cnn.layers: there is no 'Conv2d' (did you mean 'Conv2D'?)")
  says("cnn.datasets.minst", "stdin:1: cnn.datasets: there is no 'minst' (did you mean 'mnist'?)")
  says("x_train + y_train", "stdin:1: add: the shapes (3000, 28, 28) and (3000,) do not broadcast together")
  says("x_train[0]",
       "stdin:1: index: position 0 is out of range for axis 1 of size 3000 (positions count from 1)")
  says("x = 1 +* 2", "stdin:1: unexpected symbol near '*'")
  lu.assertStrMatches(answer(t, "model:fit{x_train, y_test}"), "[^\n]*fit: [^\n]*3000[^\n]*1000[^\n]*")
end

local function build_another(t)
  enter(t, "inputs = cnn.Input{28, 28, 1}")
  clear(t)
  t:type "h = layers.Conv"
  t:keys("Tab", "Tab")
  t:wait "Conv1D           Conv2D           Conv2DTranspose"
  t:type '2D{8, 3, strides = 2, act'
  t:keys "Tab"
  t:wait "activation ="
  t:type '"relu"}(inputs)'
  t:keys "Enter"
  t:wait_until(function(screen) return screen:find "inputs%)\n>$" end, "the prompt")
  enter(t, 'outputs = layers.Dense{10, activation = "softmax"}(layers.Flatten()(h))')
  enter(t, "small = cnn.Model{inputs = inputs, outputs = outputs}")
  has(enter(t, "small"), "Layer (type)", "(None, 13, 13, 8)", "Total params: 13,610")
  enter(t, 'small:compile{"adam", "sparse_categorical_crossentropy", metrics = {"accuracy"}}')
end

local function interrupt_and_go_on(t)
  clear(t)
  t:type "model:fit{x_train, y_train, epochs = 100000, verbose = 3}"
  t:keys "Enter"
  t:wait "Epoch 3/"
  t:wait "└"
  t:keys "C-c"
  local screen = t:wait_until(function(screen) return screen:find "interrupted!\n>$" end, "the prompt after Ctrl-C")
  has(screen, "⠒⠒ loss", "⠒⠒ accuracy", "epoch")
  lu.assertNotStrContains(screen, "^C")
  local before = tonumber(answer(t, "#model.history.history.loss"))
  lu.assertTrue(before >= 2)
  has(enter(t, "model:fit{x_train, y_train, verbose = 2}"), "Epoch 1/1\n94/94 - ")
  lu.assertTrue(tonumber(answer(t, "({model:evaluate{x_test, y_test, verbose = 0}})[2]")) > 0.85)
  lu.assertEquals(answer(t, "model:predict{x_test:slice(1, 3), verbose = 0}:argmax(2) - 1"), "int32 (3,)\n[7 2 1]")
end

local function write_lua(t)
  enter(t, "function dim(image, rng)\nreturn image * rng:uniform(0.5, 1)\nend")
  enter(t, "augment = cnn.augment.pipeline{cnn.augment.rotate{10}, dim}")
  lu.assertEquals(answer(t, "augment"), "<augmentation: rotate, function>")
  enter(t, "digits = x_train:reshape{-1, 28, 28, 1} / 255")
  lu.assertStrMatches(answer(t, "cnn.show{augment(digits:slice(1, 3), 7), labels = {'a', 'b', 'c'}}"),
                      ".*▀.*\n +a +b +c")
  enter(t, "spoken = {on_epoch_end = function(self, epoch, logs) print('after', epoch) end}")
  enter(t, "options = {digits, y_train, epochs = 2, verbose = 2, augment = augment, callbacks = {spoken}}")
  local fitted = enter(t, "small:fit(options)")
  lu.assertStrMatches(fitted, ".*Epoch 1/2\n94/94 [^\n]*\nafter +1\nEpoch 2/2\n94/94 [^\n]*\nafter +2\n.*")
  lu.assertTrue(figure(fitted, "accuracy") > 0.5)
  enter(t, "Twice = layers.custom('Twice', {call = function(self, x) return x * 2 end})")
  lu.assertEquals(answer(t, "Twice{}{{1, 4}}"), "float32 (1, 2)\n[[2. 8.]]")
end

local function look_at_photographs(t)
  if not is_there(absolute(data) .. "/cats_and_dogs/train") then return end
  enter(t, "folder = os.getenv 'CNNLUA_DATA' .. '/cats_and_dogs/train'")
  lu.assertEquals(answer(t, "photos = cnn.utils.image_dataset_from_directory{folder, image_size = {64, 64}}"),
                  "Found 2000 files belonging to 2 classes.")
  enter(t, "for images, labels in photos:take(1):iter() do some, what = images, labels end")
  lu.assertStrMatches(answer(t, "cnn.show{some:slice(1, 4), labels = what:slice(1, 4), columns = 4}"),
                      ".*\n +[01] +[01] +[01] +[01]")
end

-- ---- the hour -------------------------------------------------------------------------------------------------------

function TestFirstHour.test_two_sessions()
  local accuracy
  do
    local t <close> = open()
    find_the_way(t)
    accuracy = first_session(t)
    mistype(t)
    build_another(t)
    interrupt_and_go_on(t)
    write_lua(t)
    look_at_photographs(t)
    quit(t)
  end
  local t <close> = open(nil, {NO_COLOR = "1"})
  t:keys "C-r"
  t:type "load_data"
  t:wait "bck:load_data"
  t:keys "Enter"
  t:wait_until(function(screen) return screen:find "load_data%(%)\n>$" end, "the line of the first session")
  enter(t, "x_test, y_test = x_test:slice(1, 1000), y_test:slice(1, 1000)")
  t:keys("Up", "Up", "C-u")
  t:type "model = cnn.load_model 'di"
  t:keys("Tab", "Enter")
  t:wait "'digits.keras'\n>"
  lu.assertEquals(answer(t, "({model:evaluate{x_test, y_test, verbose = 0}})[2]"), accuracy)
  local _, _, pictures = cnn.datasets.mnist.load_data()
  assert_drawn(answer(t, "cnn.show(x_test[1])"), pictures[1])
  lu.assertNotStrContains(t:screen(true), "\27")
  quit(t)
end

function TestFirstHour.test_on_from_an_experiment()
  local script = folder .. "/scripts/mnist.lua --limit 300 --epochs 1 --out out"
  local t <close> = open("-i " .. script)
  has(t:screen(), "test accuracy: 0.")
  lu.assertStrMatches(answer(t, "history"), "epoch +loss +accuracy\n +1 +%d%.%d+ +0%.%d+")
  lu.assertEquals(answer(t, "x_test:shape()"), "{300, 28, 28, 1}")
  lu.assertEquals(answer(t, "({model:evaluate{x_test, y_test, verbose = 0}})[2] == accuracy"), "true")
  quit(t)
end
