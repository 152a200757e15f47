-- ModelCheckpoint from scripts, and histories as files.
-- luacheck: globals TestCheckpoint TestHistory

local lu = require "luaunit"
local cnn = require "cnn"
local raises = require "raises"

local eq = lu.assertEquals
local layers, callbacks = cnn.layers, cnn.callbacks
local program = os.getenv "CNNLUA_PROGRAM" or "./cnnlua"

local folder

local function contents(name)
  local file = io.open(folder .. "/" .. name, "rb")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text
end

local function names()
  local list, found <close> = {}, assert(io.popen("ls -A " .. folder))
  for name in found:lines() do list[#list + 1] = name end
  return list
end

-- y = w·x, whose weight a callback sets to the epoch, so that a file tells which epoch it is of.
local function line()
  local model = cnn.Sequential{layers.Dense{1, use_bias = false, input_shape = {1}, name = "line"}}
  model:compile{optimizer = cnn.optimizers.SGD{0.0}, loss = "mse", metrics = {"mae"}}
  return model
end

-- The figures of a list as val_loss, and the epoch as weight.
local function pretend(figures)
  return {on_epoch_end = function(self, epoch, logs)
    logs.val_loss = figures[epoch]
    self.model:set_weights{cnn.full({1, 1}, epoch)}
  end}
end

local function run(model, list, epochs, more)
  local arguments = {cnn.ones{8, 1}, cnn.ones{8, 1}, epochs = epochs, verbose = 0, callbacks = list, batch_size = 2}
  for name, value in pairs(more or {}) do arguments[name] = value end
  return model:fit(arguments)
end

local function weight(model)
  return model:get_weights()[1]:item()
end

local function set_up()
  folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder))
end

local function tear_down()
  assert(os.execute("rm -r " .. folder))
end

-- ---- ModelCheckpoint --------------------------------------------------------------------------------------

TestCheckpoint = {setUp = set_up, tearDown = tear_down}

function TestCheckpoint.test_keeps_the_best_epoch()
  for _, ending in ipairs{"hdf5", "h5", "keras"} do
    local path = folder .. "/best." .. ending
    run(line(), {pretend{3, 2, 4, 1, 5}, callbacks.ModelCheckpoint{path, save_best_only = true}}, 5)
    local model = cnn.load_model(path)
    eq({weight(model), model.optimizer.iterations}, {4, 16})
  end
end

function TestCheckpoint.test_one_file_an_epoch()
  run(line(), {pretend{3, 2, 0.125}, callbacks.ModelCheckpoint(folder .. "/new/{epoch:02d}-{val_loss:.2f}.keras")}, 3)
  folder = folder .. "/new"
  eq(names(), {"01-3.00.keras", "02-2.00.keras", "03-0.12.keras"})
  eq(weight(cnn.load_model(folder .. "/02-2.00.keras")), 2)
  folder = folder:gsub("/new$", "")
end

function TestCheckpoint.test_weights_alone_and_the_highest()
  for _, name in ipairs{"w.h5", "w.weights.h5", "w.safetensors"} do
    local path = folder .. "/" .. name
    run(line(), {pretend{3, 2, 7, 1}, callbacks.ModelCheckpoint{path, save_best_only = true, mode = "max",
      save_weights_only = true}}, 4)
    local model = line()
    model:load_weights(path)
    eq(weight(model), 3)
  end
end

function TestCheckpoint.test_counts_batches_over_epochs()
  run(line(), {callbacks.ModelCheckpoint{folder .. "/{epoch}-{batch}.h5", save_freq = 3, save_weights_only = true}}, 2)
  eq(names(), {"1-3.h5", "2-2.h5"})
end

function TestCheckpoint.test_a_second_run_goes_on_with_the_best_of_the_first()
  local checkpoint = callbacks.ModelCheckpoint{folder .. "/best.h5", save_best_only = true, save_weights_only = true}
  local model = line()
  run(model, {pretend{3, 2}, checkpoint}, 2)
  run(model, {pretend{9, 9, 9}, checkpoint}, 3)
  model:load_weights(folder .. "/best.h5")
  eq(weight(model), 2)
end

function TestCheckpoint.test_messages()
  local script = folder .. "/script.lua"
  local file <close> = assert(io.open(script, "w"))
  file:write([[
    local layers, callbacks = cnn.layers, cnn.callbacks
    local model = cnn.Sequential{layers.Dense{1, input_shape = {1}}}
    model:compile{optimizer = "sgd", loss = "mse"}
    local figures = {0.5, 0.75, 0.25}
    local path = arg[1]
    model:fit{cnn.ones{2, 1}, cnn.ones{2, 1}, epochs = 3, verbose = 0, callbacks = {
      {on_epoch_end = function(_, epoch, logs) logs.val_loss = figures[epoch] end},
      callbacks.ModelCheckpoint{path, save_best_only = true, verbose = 1}}}
    model:fit{cnn.ones{2, 1}, cnn.ones{2, 1}, verbose = 0, callbacks = callbacks.ModelCheckpoint{path, verbose = 1}}
    model:fit{cnn.ones{2, 1}, cnn.ones{2, 1}, epochs = 2, verbose = 0,
      callbacks = callbacks.ModelCheckpoint{path, save_best_only = true}}
  ]])
  file:close()
  local path = folder .. "/best.keras"
  local pipe <close> = assert(io.popen(("%s %s %s"):format(program, script, path)))
  eq(pipe:read "a", ([[

Epoch 1: val_loss improved from inf to 0.50000, saving model to PATH

Epoch 2: val_loss did not improve from 0.50000

Epoch 3: val_loss improved from 0.50000 to 0.25000, saving model to PATH

Epoch 1: saving model to PATH
Can save best model only with val_loss available, skipping.
]]):gsub("PATH", path))
end

function TestCheckpoint.test_a_full_disk_ends_training_and_leaves_the_old_file()
  local path = folder .. "/best.h5"
  local model = line()
  run(model, {callbacks.ModelCheckpoint{path, save_weights_only = true}}, 1)
  local before = contents "best.h5"
  local script = folder .. "/script.lua"
  local file <close> = assert(io.open(script, "w"))
  file:write([[
    local layers, callbacks = cnn.layers, cnn.callbacks
    local model = cnn.Sequential{layers.Dense{1000, input_shape = {1000}}}
    model:compile{optimizer = "sgd", loss = "mse"}
    local good, message = pcall(model.fit, model, {cnn.ones{2, 1000}, cnn.ones{2, 1000}, verbose = 0,
      callbacks = callbacks.ModelCheckpoint{arg[1], save_weights_only = true}})
    print(good, message)
    print(#model:get_weights(), #model.history.epoch)
  ]])
  file:close()
  local command = ("sh -c 'ulimit -f 100; trap \"\" XFSZ; exec %s %s %s' 2>&1"):format(program, script, path)
  local pipe <close> = assert(io.popen(command))
  local said = pipe:read "a"
  lu.assertStrContains(said, "false")
  lu.assertStrContains(said, "ModelCheckpoint: save_weights: cannot write " .. path)
  lu.assertStrContains(said, "2\t0")
  eq(contents "best.h5", before)
  eq(names(), {"best.h5", "script.lua"})
end

function TestCheckpoint.test_misuse()
  raises("ModelCheckpoint: missing argument 'filepath'", callbacks.ModelCheckpoint)
  raises("'filepath' must end in .h5, .hdf5 or .keras", callbacks.ModelCheckpoint, "model")
  raises("'filepath' must end in .h5, .hdf5 or .safetensors", callbacks.ModelCheckpoint,
    {"model.keras", save_weights_only = true})
  raises("unknown argument 'save_bestonly' (did you mean 'save_best_only'?)", callbacks.ModelCheckpoint,
    {"model.h5", save_bestonly = true})
  raises("'save_freq' must be \"epoch\" or a whole number of batches", callbacks.ModelCheckpoint,
    {"model.h5", save_freq = 1.5})
  raises("there is no 'val_los' for the name", run, line(), {callbacks.ModelCheckpoint "{val_los:.2f}.h5"}, 1)
end

-- ---- histories --------------------------------------------------------------------------------------------

TestHistory = {setUp = set_up, tearDown = tear_down}

function TestHistory.test_saves_csv_and_json()
  local figures = {on_epoch_end = function(_, epoch, logs)
    logs.loss, logs.mae = epoch == 2 and 0 / 0 or epoch / 3, 100000
  end}
  local history = run(line(), {figures}, 4, {validation_data = {cnn.ones{1, 1}, cnn.zeros{1, 1}}, validation_freq = 2,
    initial_epoch = 1})
  eq({history.epoch, #history.history.loss, #history.history.val_loss}, {{2, 3, 4}, 3, 2})
  history:save(folder .. "/h.csv")
  history:save(folder .. "/h.json")
  local csv = contents "h.csv"
  lu.assertStrMatches(csv, "epoch,loss,mae,val_loss,val_mae\n2,nan,100000,[%d.e-]+,[%d.e-]+\n3,1,100000,,\n" ..
                           "4,1.3333333333333333,100000,[%d.e-]+,[%d.e-]+\n")
  local json = cnn.from_json(contents "h.json")
  eq(json.epoch, {2, 3, 4})
  eq(json.history.loss, {cnn.null, 1, 4 / 3})
  eq({json.history.val_mae[1], json.history.val_mae[2], json.history.val_mae[3]},
     {history.history.val_mae[1], cnn.null, history.history.val_mae[2]})
end

function TestHistory.test_misuse()
  local model = line()
  local history = run(model, nil, 1)
  eq(history, model.history)
  raises("the name must end in .csv or .json, got 'history'", history.save, history, "history")
  raises("cannot write /nowhere/h.csv", history.save, history, "/nowhere/h.csv")
  raises("expected what fit returned, got", history.save, {}, "h.csv")
  raises("history: cannot write /nowhere/h.json", history.save, history, "/nowhere/h.json")
  raises("history:save: 'path' must be the name of a file, got nil", history.save, history)
  raises("history:save: 'path' must be the name of a file, got", history.save, history, "a\0.csv")
end
