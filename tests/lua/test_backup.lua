-- BackupAndRestore from scripts: callbacks written in Lua keep their state, and a process that is killed again and
-- again leaves at the end what one leaves that never was.
-- CNNLUA_KILLS=50 kills that often; the suite is content with a few.
-- luacheck: globals TestBackup TestKilled

local lu = require "luaunit"
local cnn = require "cnn"
local raises = require "raises"

local eq = lu.assertEquals
local layers, callbacks = cnn.layers, cnn.callbacks
local program = os.getenv "CNNLUA_PROGRAM" or "./cnnlua"

local folder

local function contents(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text
end

-- In memory where there is such a place: a disk takes its time for each of many backups.
local function set_up()
  folder = os.tmpname()
  os.remove(folder)
  if os.execute "test -w /dev/shm" then folder = folder:gsub("^.*/", "/dev/shm/") end
  assert(os.execute("mkdir " .. folder))
end

local function tear_down()
  assert(os.execute("rm -r " .. folder))
end

-- ---- within a process -------------------------------------------------------------------------------------

TestBackup = {setUp = set_up, tearDown = tear_down}

local x, y
do
  local random = cnn.random.normal{{48, 5, 5, 1}}
  x, y = random, random:mean{axis = {2, 3, 4}} -- something to learn, the same for all runs
end

local function new_model(seed)
  cnn.set_seed(seed)
  local model = cnn.Sequential{
    layers.Conv2D{3, 3, activation = "relu", input_shape = {5, 5, 1}},
    layers.Dropout{0.3},
    layers.Flatten{},
    layers.Dense{1},
  }
  model:compile{optimizer = "adam", loss = "mse", metrics = {"mae"}}
  return model
end

-- A callback whose state is of all kinds, and which depends on what came before.
local function new_counter()
  return {
    best = math.huge, losses = {}, seen = {batches = 0, odd = false, name = "é\n\""}, nothing = 0 / 0,
    on_train_batch_end = function(self, _, logs)
      self.seen.batches = self.seen.batches + 1
      self.seen.odd = not self.seen.odd
      self.losses[#self.losses + 1] = logs.loss
    end,
    on_epoch_end = function(self, _, logs)
      self.best = math.min(self.best, logs.loss)
      logs.best, logs.batches = self.best, self.seen.batches
    end,
    get_state = function(self)
      return {best = self.best, losses = self.losses, seen = self.seen, nothing = self.nothing}
    end,
    set_state = function(self, state)
      for name, value in pairs(state) do self[name] = value end
    end,
  }
end

-- The model, what fit returned or its error, and the counter. interrupt: {event, how many to let pass}.
local function train(seed, options, interrupt)
  local model, counter = new_model(seed), new_counter()
  local list = {counter, callbacks.History(),
    callbacks.LearningRateScheduler(function(_, rate) return rate * 0.9 end),
    callbacks.EarlyStopping{"val_loss", patience = 3, restore_best_weights = true}}
  if options then
    options[1] = folder .. "/backup"
    list[#list + 1] = callbacks.BackupAndRestore(options)
  end
  if interrupt then
    local left = interrupt[2]
    list[#list + 1] = {[interrupt[1]] = function()
      left = left - 1
      if left < 0 then error "interrupted" end
    end}
  end
  local good, result = pcall(model.fit, model, {x, y, batch_size = 8, epochs = 6, validation_split = 0.25, verbose = 0,
    callbacks = list})
  return {model = model, good = good, result = result, counter = counter, history = list[2]}
end

local function figures(history)
  local names, lines = {}, {}
  for name in pairs(history.history) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    for i, value in ipairs(history.history[name]) do lines[#lines + 1] = ("%s %d %a"):format(name, i, value) end
  end
  return table.concat(lines, "\n") .. table.concat(history.epoch, " ")
end

local function weights(model)
  local lines = {}
  for _, tensor in ipairs(model:get_weights()) do
    local flat = tensor:reshape{-1}
    for i = 1, #flat do lines[#lines + 1] = ("%a"):format(flat[i]) end
  end
  return table.concat(lines, "\n")
end

local function assert_same(got, whole)
  lu.assertTrue(got.good, tostring(got.result))
  eq(weights(got.model), weights(whole.model))
  eq(figures(got.result), figures(whole.result))
  eq(figures(got.history), figures(whole.history))
  eq(got.counter.losses, whole.counter.losses)
  eq(got.counter.seen, whole.counter.seen)
  eq(got.counter.best, whole.counter.best)
  lu.assertNotEquals(got.counter.nothing, got.counter.nothing)
end

function TestBackup.test_goes_on_with_callbacks_of_lua()
  local whole = train(7)
  lu.assertTrue(whole.good, tostring(whole.result))
  for _, freq in ipairs{"epoch", 3} do
    for _, interrupt in ipairs{{"on_epoch_begin", 2}, {"on_epoch_end", 3}, {"on_train_batch_end", 9},
                               {"on_test_end", 1}, {"on_train_end", 0}, {"on_train_batch_begin", 0}} do
      local part = train(7, {save_freq = freq}, interrupt)
      lu.assertFalse(part.good)
      lu.assertStrContains(part.result, "interrupted")
      assert_same(train(12345, {save_freq = freq}), whole)
      lu.assertNil(contents(folder .. "/backup/latest.h5"))
    end
  end
end

-- Two outputs, a model within, a shared layer, noise, metrics with states of their own; frozen layers.
local function new_graph(seed)
  cnn.set_seed(seed)
  local inner = cnn.Sequential{layers.Conv2D{2, 3, input_shape = {5, 5, 1}}, layers.BatchNormalization{},
    layers.GaussianNoise{0.1}, layers.Flatten{}}
  local inputs = cnn.Input{5, 5, 1}
  local features = inner(inputs)
  local shared = layers.Dense{18, activation = "tanh"}
  local left = shared(shared(features))
  left = layers.SpatialDropout2D{0.5}(layers.Reshape{{3, 3, 2}}(left))
  local frozen = layers.Dense{4}
  local right = layers.Dropout{0.5}(frozen(features))
  frozen.trainable = false
  local model = cnn.Model{inputs = inputs, outputs = {
    layers.Dense{1, activation = "sigmoid", name = "sign"}(layers.Flatten{}(left)),
    layers.Dense{1, name = "mean"}(right),
  }}
  model:compile{optimizer = cnn.optimizers.RMSprop{0.01, momentum = 0.5}, loss = {"binary_crossentropy", "mse"},
    loss_weights = {1, 0.5}, metrics = {{"accuracy", "AUC", "Precision"}, {"mae"}}}
  return model
end

function TestBackup.test_models_of_all_kinds()
  local sign, weight = y:greater(0):astype "float32", cnn.random.uniform{{48}}
  local function fit(seed, options, passes)
    local model, left = new_graph(seed), passes
    local list = {
      callbacks.BackupAndRestore(options),
      {on_train_batch_end = function(_, _, logs)
        logs.more = (logs.loss or 0) * 2
        if left == 0 then error "interrupted" end
        left = left and left - 1
      end},
    }
    local good, result = pcall(model.fit, model, {x, {sign, y}, batch_size = 7, epochs = 4, verbose = 0,
      sample_weight = weight, validation_data = {x, {sign, y}}, validation_freq = 2, steps_per_epoch = 5,
      callbacks = list})
    return {model = model, good = good, result = result}
  end
  local options = {folder .. "/backup", save_freq = 2}
  local whole = fit(7, options)
  lu.assertTrue(whole.good, tostring(whole.result))
  lu.assertNotNil(whole.result.history.more)
  for _, passes in ipairs{1, 4, 8, 14, 19} do
    lu.assertFalse(fit(7, options, passes).good)
    local last = fit(8, options)
    lu.assertTrue(last.good, tostring(last.result))
    eq(weights(last.model), weights(whole.model))
    eq(figures(last.result), figures(whole.result))
  end
end

function TestBackup.test_weights_of_a_backup_can_be_loaded()
  local part = train(7, {}, {"on_epoch_begin", 2})
  local model = new_model(8)
  model:load_weights(folder .. "/backup/latest.h5")
  eq(weights(model), weights(part.model))
end

-- The second restores once more what the first has; so does the same one again.
function TestBackup.test_two_backups_in_one_list()
  local function fit(list, stop)
    local model, left = new_model(7), stop
    list[#list + 1] = {on_test_begin = function()
      left = left - 1
      if left < 0 then error "interrupted" end
    end}
    local _, history = pcall(model.fit, model, {x, y, batch_size = 8, epochs = 4, validation_split = 0.25, verbose = 0,
      callbacks = list})
    return history, weights(model)
  end
  local function backup(name)
    return callbacks.BackupAndRestore{folder .. name, save_freq = 1, delete_checkpoint = false}
  end
  local history, final = fit({}, math.huge)
  for _, second in ipairs{"/one", "/two"} do
    os.execute(("rm -rf %s/one %s/two"):format(folder, folder))
    fit({backup "/one", backup(second)}, 2)
    local resumed, same = fit({backup "/one", backup(second)}, math.huge)
    eq({figures(resumed), same}, {figures(history), final})
  end
  os.execute(("rm -rf %s/one"):format(folder))
  local own = backup "/one"
  fit({own, own}, 2)
  local resumed, same = fit({own, own}, math.huge)
  eq({figures(resumed), same}, {figures(history), final})
end

function TestBackup.test_errors_of_states_are_those_of_the_script()
  local model = new_model(1)
  local function fit(callback)
    model:fit{x, y, verbose = 0, callbacks = {callback, callbacks.BackupAndRestore(folder .. "/backup")}}
  end
  local problem = {}
  local good, message = pcall(fit, {get_state = function() error(problem) end, set_state = print})
  eq({good, message == problem}, {false, true})
  raises("get_state: ", fit, {get_state = function() return {print = print} end, set_state = print})
  raises("a table with get_state needs set_state too", fit, {get_state = print})
  raises("a table with set_state needs get_state too", fit, {set_state = print})
  good = pcall(fit, {get_state = function() return 1 end, set_state = print, on_epoch_end = function() error() end})
  eq(good, false)
  good, message = pcall(fit, {get_state = print, set_state = function(_, state) error("state " .. state, 0) end})
  eq({good, message}, {false, "state 1"})
end

function TestBackup.test_says_that_it_resumes()
  local script = folder .. "/script.lua"
  local file <close> = assert(io.open(script, "w"))
  file:write([[
    local model = cnn.Sequential{cnn.layers.Dense{1, input_shape = {1}}}
    model:compile{optimizer = "sgd", loss = "mse"}
    for _, verbose in ipairs{2, 2, 0} do
      pcall(model.fit, model, {cnn.ones{2, 1}, cnn.ones{2, 1}, epochs = 4, verbose = verbose, callbacks = {
        cnn.callbacks.BackupAndRestore(arg[1]),
        {on_epoch_begin = function(_, epoch) if epoch == 3 then error() end end}}})
    end
  ]])
  file:close()
  local pipe <close> = assert(io.popen(("%s %s %s/backup"):format(program, script, folder)))
  local said = pipe:read("a"):gsub("1/1[^\n]*\n", "")
  eq(said, ("Epoch 1/4\nEpoch 2/4\nEpoch 3/4\nResuming training from epoch 3 (%s/backup/latest.h5)\nEpoch 3/4\n")
    :format(folder))
end

-- ---- processes that are killed ----------------------------------------------------------------------------

TestKilled = {setUp = set_up, tearDown = tear_down}

-- arg: a folder, a seed. Leaves the weights, the history and what the callbacks wrote in the folder.
local script = [[
  local out, layers, callbacks = arg[1], cnn.layers, cnn.callbacks
  cnn.set_seed(1)
  local x = cnn.random.normal{{240, 10, 10, 1}}
  local y = x:mean{axis = {2, 3, 4}}:greater(0):astype "int32"
  cnn.set_seed(tonumber(arg[2]))
  local model = cnn.Sequential{
    layers.Conv2D{8, 3, activation = "relu", input_shape = {10, 10, 1}},
    layers.BatchNormalization{},
    layers.MaxPooling2D{2},
    layers.Dropout{0.25},
    layers.Flatten{},
    layers.Dense{2, activation = "softmax"},
  }
  model:compile{optimizer = cnn.optimizers.Adam{0.002}, loss = "sparse_categorical_crossentropy",
    metrics = {"accuracy"}}
  local history = model:fit{x, y, batch_size = 6, epochs = 25, validation_split = 0.25, verbose = 0, callbacks = {
    callbacks.ModelCheckpoint{out .. "/best.keras", save_best_only = true},
    callbacks.ModelCheckpoint{out .. "/best.weights.h5", save_best_only = true, save_weights_only = true},
    callbacks.CSVLogger(out .. "/log.csv"),
    callbacks.ReduceLROnPlateau{patience = 2, factor = 0.5},
    callbacks.EarlyStopping{patience = 12, restore_best_weights = true},
    callbacks.BackupAndRestore{out .. "/backup", save_freq = tonumber(arg[3]) or arg[3]},
  }}
  model:save_weights(out .. "/final.h5")
  history:save(out .. "/history.csv")
]]

local function life(out, seed, save_freq, seconds)
  local killer = seconds and ("timeout -s KILL %.3f "):format(seconds) or ""
  local good, _, code = os.execute(("%s%s %s/train.lua %s %d %s 2>>%s/errors"):format(killer, program, folder, out,
    seed, save_freq, folder))
  return good, code
end

-- A process killed may have left nothing yet, but never half a file.
local function check_files(out)
  local checked = 0
  for _, name in ipairs{"best.keras", "best.weights.h5", "backup/latest.h5"} do
    local path = out .. "/" .. name
    if contents(path) then
      checked = checked + 1
      local good, message
      if name == "best.keras" then
        good, message = pcall(cnn.load_model, path)
      else
        local model = cnn.Sequential{
          layers.Conv2D{8, 3, input_shape = {10, 10, 1}},
          layers.BatchNormalization{},
          layers.MaxPooling2D{2},
          layers.Flatten{},
          layers.Dense{2},
        }
        good, message = pcall(model.load_weights, model, path)
      end
      lu.assertTrue(good, tostring(message))
    end
  end
  return checked
end

function TestKilled.test_ends_as_if_it_never_had_been()
  local kills = tonumber(os.getenv "CNNLUA_KILLS") or 8
  local file <close> = assert(io.open(folder .. "/train.lua", "w"))
  file:write(script)
  file:close()
  assert(os.execute(("mkdir %s/whole"):format(folder)))
  lu.assertTrue(life(folder .. "/whole", 7, "epoch"))
  local done, lives, checked = 0, 0, 0
  for part, save_freq in ipairs{"epoch", 7} do
    local out = ("%s/%d"):format(folder, part)
    assert(os.execute("mkdir " .. out))
    local finished = false
    while not finished do
      local seed = contents(out .. "/backup/latest.h5") and 1000 + lives or 7
      lives = lives + 1
      if done < kills * part / 2 then
        local good, code = life(out, seed, save_freq, 0.02 + 0.15 * math.random())
        if good then -- too quick; once more from the start
          assert(os.execute(("rm -r %s && mkdir %s"):format(out, out)))
        else
          lu.assertTrue(code == 137 or code == 9, contents(folder .. "/errors"))
          done = done + 1
          checked = checked + check_files(out)
        end
      else
        finished = life(out, seed, save_freq)
        lu.assertTrue(finished, contents(folder .. "/errors"))
      end
    end
    for _, name in ipairs{"final.h5", "log.csv", "history.csv", "best.weights.h5"} do
      lu.assertNotNil(contents(folder .. "/whole/" .. name), name)
      lu.assertTrue(contents(out .. "/" .. name) == contents(folder .. "/whole/" .. name), name .. " differs")
    end
    lu.assertNil(contents(out .. "/backup/latest.h5"))
  end
  if os.getenv "CNNLUA_KILLS" then
    print(("killed %d times, %d processes, %d files checked"):format(done, lives, checked))
  end
end
