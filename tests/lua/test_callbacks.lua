-- Callbacks: tables of functions, errors and misuse within them, runs within runs, and the ready-made ones.
-- luacheck: globals TestLuaCallbacks TestCallbackErrors TestRunsWithin TestReadyMade

local lu = require "luaunit"
local cnn = require "cnn"
local raises = require "raises"

local eq = lu.assertEquals
local layers, callbacks = cnn.layers, cnn.callbacks
local program = os.getenv "CNNLUA_PROGRAM" or "./cnnlua"

-- y = w·x from w = 0, and a run of it.
local function line(rate)
  local model = cnn.Sequential{layers.Dense{1, use_bias = false, kernel_initializer = "zeros",
    input_shape = {1}}}
  model:compile{optimizer = cnn.optimizers.SGD{rate or 0.1}, loss = "mse"}
  return model
end

local function weight(model)
  return model:get_weights()[1]:item()
end

local function run(model, list, arguments)
  arguments = arguments or {}
  arguments[1], arguments[2] = arguments[1] or cnn.ones{4, 1}, arguments[2] or cnn.ones{4, 1}
  arguments.verbose, arguments.callbacks = arguments.verbose or 0, list
  return model:fit(arguments)
end

-- A callback that makes the figures of a list the losses of the epochs.
local function pretend(figures, name)
  return {on_epoch_end = function(_, epoch, logs) logs[name or "loss"] = figures[epoch] end}
end

-- ---- tables of functions ----------------------------------------------------------------------------------

TestLuaCallbacks = {}

function TestLuaCallbacks.test_all_events_in_order()
  local events = {}
  local recorder = setmetatable({}, {__index = function(_, name)
    if name:find "^on_" and not name:find "^on_batch" then
      return function(_, index, logs)
        events[#events + 1] = name .. (math.type(index) and " " .. index or "") ..
                              (logs and logs.loss and " loss" or "")
      end
    end
  end})
  local model = line()
  run(model, {recorder}, {batch_size = 2, validation_data = {cnn.ones{1, 1}, cnn.ones{1, 1}}})
  eq(events, {"on_train_begin", "on_epoch_begin 1", "on_train_batch_begin 1", "on_train_batch_end 1 loss",
              "on_train_batch_begin 2", "on_train_batch_end 2 loss", "on_test_begin", "on_test_batch_begin 1",
              "on_test_batch_end 1 loss", "on_test_end", "on_epoch_end 1 loss", "on_train_end"})
  events = {}
  model:predict{cnn.ones{3, 1}, batch_size = 2, verbose = 0, callbacks = recorder}
  eq(events, {"on_predict_begin", "on_predict_batch_begin 1", "on_predict_batch_end 1",
    "on_predict_batch_begin 2",
              "on_predict_batch_end 2", "on_predict_end"})
end

function TestLuaCallbacks.test_self_model_and_logs()
  local model, seen = line(), nil
  local callback = {on_epoch_end = function(self, epoch, logs) seen = {self, self.model, epoch,
    logs.loss} end}
  run(model, {callback})
  eq({seen[1] == callback, seen[2] == model, seen[3], seen[4]}, {true, true, 1, 1})
end

function TestLuaCallbacks.test_one_alone_and_older_names()
  local count = 0
  local function add() count = count + 1 end
  run(line(), {on_epoch_end = add})
  run(line(), {{on_batch_end = add, on_batch_begin = add}})
  run(line(), callbacks.TerminateOnNaN{})
  eq(count, 3)
end

function TestLuaCallbacks.test_changed_and_added_logs_go_on()
  local seen
  local history = run(line(), {
    {on_epoch_end = function(_, epoch, logs) logs.loss, logs.second, logs.first = 7, epoch * 10, 0.5 end},
    {on_epoch_end = function(_, _, logs) seen = logs end},
  }, {epochs = 2}).history
  eq(history, {loss = {7, 7}, first = {0.5, 0.5}, second = {10, 20}})
  eq(seen, {loss = 7, first = 0.5, second = 20})
end

function TestLuaCallbacks.test_many_and_long_names_in_logs()
  local history = run(line(), {{on_epoch_end = function(_, _, logs)
    for i = 1, 200 do logs[("name%03d"):format(i) .. ("x"):rep(60)] = i end
    collectgarbage()
  end}, {on_epoch_end = function() collectgarbage() end}}, {epochs = 3}).history
  local count = 0
  for name, values in pairs(history) do
    count = count + 1
    if name ~= "loss" then eq(values[1], tonumber(name:match "^name(%d+)")) end
  end
  eq(count, 64)
end

function TestLuaCallbacks.test_the_end_of_training_has_the_last_epochs_logs()
  local last, at_end
  run(line(), {{
    on_epoch_end = function(_, epoch, logs) last = logs; logs.epoch = epoch end,
    on_train_end = function(_, logs) at_end = logs end,
  }}, {epochs = 3, validation_data = {cnn.ones{2, 1}, cnn.zeros{2, 1}}})
  eq(at_end, last)
  eq(at_end.epoch, 3)
  lu.assertNumber(at_end.val_loss)
end

function TestLuaCallbacks.test_stop_training()
  local batches, epochs = 0, 0
  local history = run(line(), {{
    on_train_batch_end = function(self, batch)
      batches = batches + 1
      if batch == 2 then self.model.stop_training = true end
      eq(self.model.stop_training, batch == 2)
    end,
    on_epoch_end = function() epochs = epochs + 1 end,
  }}, {batch_size = 1, epochs = 5})
  eq({batches, epochs, #history.epoch}, {2, 1, 1})
  local model = line()
  run(model, {{on_epoch_end = function(self, epoch) self.model.stop_training = epoch == 3 end}}, {epochs = 9})
  eq(#model.history.epoch, 3)
end

function TestLuaCallbacks.test_wrong_lists()
  local model = line()
  raises("callbacks: expected a list, got 5", run, model, 5)
  raises("callbacks: expected callbacks or tables with functions like on_epoch_end, got 5", run, model, {5})
  raises("there is no event 'on_epoch_ends' (did you mean 'on_epoch_end'?)", run, model,
    {{on_epoch_ends = print}})
  raises("callbacks: 'on_epoch_end' must be a function, got a boolean", run, model, {{on_epoch_end = false}})
end

function TestLuaCallbacks.test_weights_changed_in_a_callback_count_at_once()
  local model, losses = line(0), {}
  run(model, {{
    on_test_batch_end = function(self, batch, logs)
      losses[batch] = logs.loss
      self.model:set_weights{cnn.ones{1, 1}}
    end,
  }}, {validation_data = {cnn.ones{2, 1}, cnn.ones{2, 1}}, batch_size = 1})
  eq(losses, {1, 0.5})
end

-- ---- errors -----------------------------------------------------------------------------------------------

TestCallbackErrors = {}

function TestCallbackErrors.test_they_stop_training_and_the_model_goes_on()
  local model = line()
  raises("test_callbacks.lua:", run, model, {{on_epoch_end = function() error "boo" end}})
  raises("boo", run, model, {{on_train_batch_end = function() error "boo" end}})
  lu.assertAlmostEquals(weight(model), 0.36, 1e-6)
  eq(#run(model, nil, {epochs = 2}).epoch, 2)
  raises("boo", run, model, {{on_epoch_end = function(_, epoch) if epoch == 3 then error "boo" end end}},
    {epochs = 9})
  eq(#model.history.epoch, 2)
  for _, event in ipairs{"on_train_begin", "on_train_end", "on_epoch_begin", "on_train_batch_begin"} do
    raises("boo", run, model, {{[event] = function() error "boo" end}})
  end
  raises("boo", model.predict, model, {{{1}}, verbose = 0,
    callbacks = {{on_predict_end = function() error "boo" end}}})
  eq(model:predict{{{1}}, verbose = 0}:shape(), {1, 1})
end

function TestCallbackErrors.test_an_error_of_any_type_arrives_as_it_was()
  local object = setmetatable({code = 7}, {__tostring = function() return "object" end})
  local _, got = pcall(run, line(), {{on_epoch_end = function() error(object) end}})
  lu.assertIs(got, object)
  _, got = pcall(run, line(), {{on_epoch_end = function() error() end}})
  lu.assertNil(got)
  _, got = pcall(run, line(), {{on_epoch_end = function() error(("x"):rep(5000), 0) end}})
  eq(#got, 5000)
end

function TestCallbackErrors.test_errors_of_metamethods()
  local hostile = setmetatable({}, {__index = function() error "index" end})
  raises("index", run, line(), {hostile})
  raises("newindex", run, line(), {setmetatable({}, {__newindex = function() error "newindex" end})})
  raises("attempt to call", run, line(), {setmetatable({}, {__index = {on_epoch_end = 5}})})
  local model = line()
  pcall(run, model, {hostile})
  eq(#run(model).epoch, 1)
end

function TestCallbackErrors.test_in_a_coroutine()
  local model = line()
  local thread = coroutine.wrap(function() return run(model, {{on_epoch_end = function() end}}).epoch[1] end)
  eq(thread(), 1)
  local good, message = coroutine.resume(coroutine.create(function()
    run(model, {{on_epoch_end = function() coroutine.yield() end}})
  end))
  eq(good, false)
  lu.assertStrContains(message, "yield")
  eq(#run(model).epoch, 1)
end

-- ---- runs within runs -------------------------------------------------------------------------------------

TestRunsWithin = {}

function TestRunsWithin.test_the_model_cannot_be_changed_while_it_runs()
  local model = line()
  local extra = layers.Dense{1}
  for name, call in pairs{
    fit = function() run(model) end,
    train_on_batch = function() model:train_on_batch({{1}}, {{1}}) end,
    compile = function() model:compile{optimizer = "sgd", loss = "mse"} end,
    add = function() model:add(extra) end,
    pop = function() model:pop() end,
  } do
    raises(name .. ": model", run, model, {{on_epoch_end = call}})
    raises("is running", run, model, {{on_train_batch_end = call}})
  end
  eq(#model.layers, 1)
end

function TestRunsWithin.test_evaluate_and_predict_may_run()
  local model, inner = line(), {}
  local history = run(model, {{on_epoch_end = function(self, epoch)
    inner[epoch] = {(self.model:evaluate{{{1}}, {{1}}, verbose = 0}), self.model:predict{{{2}},
      verbose = 0}:item()}
  end}}, {epochs = 2}).history
  lu.assertAlmostEquals(inner[1][1], 0.64, 1e-6)
  lu.assertAlmostEquals(inner[2][2], 0.72, 1e-6)
  lu.assertAlmostEquals(history.loss[2], 0.64, 1e-6)
end

function TestRunsWithin.test_metrics_of_the_outer_run_stay_its_own()
  local model = cnn.Sequential{layers.Dense{2, kernel_initializer = "zeros", activation = "softmax",
    input_shape = {1}}}
  model:compile{optimizer = cnn.optimizers.SGD{0}, loss = "sparse_categorical_crossentropy",
    metrics = {"accuracy"}}
  local history = run(model, {{on_train_batch_end = function()
    model:evaluate{{{1}}, {{1}}, verbose = 0}
  end}}, {cnn.ones{4, 1}, cnn.tensor({0, 0, 0, 1}, "int32"), batch_size = 1}).history
  eq(history.accuracy, {0.75})
end

function TestRunsWithin.test_a_callback_may_be_shared_with_an_inner_run()
  local stopping = callbacks.EarlyStopping{monitor = "loss", patience = 3, restore_best_weights = true}
  local model, other = line(), line()
  run(model, {{on_epoch_end = function()
    run(other, {stopping})
    model:evaluate{{{1}}, {{1}}, verbose = 0, callbacks = {stopping}}
  end}, stopping}, {epochs = 3})
  eq(#model.history.epoch, 3)
end

function TestRunsWithin.test_what_a_run_uses_may_be_dropped_meanwhile()
  local x, y, w = cnn.ones{64, 1}, cnn.ones{64, 1}, cnn.ones{64}
  local vx, vy = cnn.ones{64, 1}, cnn.ones{64, 1}
  local list
  list = {{on_train_batch_end = function()
    for _, t in ipairs{x, y, w, vx, vy} do t:close() end
    list[2] = nil
    collectgarbage()
    cnn.zeros{64, 1}:close()
  end}, callbacks.EarlyStopping{monitor = "loss", patience = 5}}
  local history = run(line(), list, {x, y, sample_weight = w, validation_data = {vx, vy}, batch_size = 8,
    epochs = 2})
  eq(#history.history.val_loss, 2)
  local data = cnn.ones{8, 1}
  line():predict{data, batch_size = 2, verbose = 0, callbacks = {on_predict_batch_end = function()
    data:close()
    collectgarbage()
  end}}
end

-- ---- ready-made -------------------------------------------------------------------------------------------

TestReadyMade = {}

local function temporary()
  local name = os.tmpname()
  return name, setmetatable({}, {__close = function() os.remove(name) end})
end

local function contents(name)
  local file <close> = assert(io.open(name))
  return file:read "a"
end

function TestReadyMade.test_early_stopping_by_patience_delta_and_mode()
  local function epochs(figures, arguments)
    arguments.monitor = arguments.monitor or "loss"
    return #run(line(), {pretend(figures, arguments.monitor), callbacks.EarlyStopping(arguments)},
                {epochs = #figures}).epoch
  end
  eq(epochs({3, 2, 1, 1, 1, 1}, {patience = 2}), 5)
  eq(epochs({3, 2, 1, 1, 1, 1}, {}), 4)
  eq(epochs({3, 2.5, 2.4, 2.3}, {min_delta = 0.3, patience = 1}), 3)
  eq(epochs({1, 2, 3, 3, 3}, {mode = "max"}), 4)
  eq(epochs({1, 2, 3, 3, 3}, {monitor = "my_accuracy"}), 4)
  eq(epochs({1, 2, 3, 4}, {mode = "min", patience = 1}), 2)
  eq(epochs({5, 5, 5, 5, 5}, {start_from_epoch = 2, patience = 1}), 4)
end

function TestReadyMade.test_early_stopping_brings_the_best_weights_back()
  local best
  local model = line()
  run(model, {pretend{3, 1, 2, 2, 2}, {on_epoch_end = function(_, epoch)
    if epoch == 2 then best = weight(model) end
  end}, callbacks.EarlyStopping{monitor = "loss", patience = 2, restore_best_weights = true}}, {epochs = 5})
  eq(#model.history.epoch, 4)
  eq(weight(model), best)
  raises("EarlyStopping: unknown argument 'patiense' (did you mean 'patience'?)", callbacks.EarlyStopping,
         {patiense = 3})
  raises("'mode' must be one of", callbacks.EarlyStopping, {mode = "up"})
end

function TestReadyMade.test_reduce_lr_on_plateau()
  local model = line(1)
  local history = run(model, {pretend{3, 3, 3, 3, 3},
                              callbacks.ReduceLROnPlateau{monitor = "loss", factor = 0.5, patience = 2,
                                min_lr = 0.3}},
                      {epochs = 5}).history
  eq(history.learning_rate, {1, 1, 1, 0.5, 0.5})
  eq(model.optimizer.learning_rate, 0.3)
  raises("'factor' must be at least 0 and below 1", callbacks.ReduceLROnPlateau, {factor = 1})
end

function TestReadyMade.test_learning_rate_scheduler()
  local model, seen = line(), {}
  local history = run(model, {callbacks.LearningRateScheduler(function(epoch, rate)
    seen[epoch] = rate
    return rate / 2
  end)}, {epochs = 3}).history
  eq(seen, {0.1, 0.05, 0.025})
  eq(history.learning_rate, {0.05, 0.025, 0.0125})
  raises("the schedule must return a number, got nil", run, model,
    {callbacks.LearningRateScheduler(function() end)})
  raises("'schedule' must be a function", callbacks.LearningRateScheduler, {5})
  raises("'schedule' must be a function", callbacks.LearningRateScheduler)
  raises("unknown argument 'verbos'", callbacks.LearningRateScheduler, {print, verbos = 1})
  raises("'verbose' must be 0 or 1, got x", callbacks.LearningRateScheduler, {print, verbose = "x"})
  raises("must be a number, at least 0", run, model,
    {callbacks.LearningRateScheduler(function() return -1 end)})
end

function TestReadyMade.test_what_they_say()
  local code = [[
    local layers, callbacks = cnn.layers, cnn.callbacks
    local model = cnn.Sequential{layers.Dense{1, kernel_initializer = "zeros", input_shape = {1}}}
    model:compile{optimizer = cnn.optimizers.SGD{0}, loss = "mse"}
    model:fit{cnn.ones{4, 1}, cnn.ones{4, 1}, epochs = 5, verbose = 0, callbacks = {
      callbacks.LearningRateScheduler{function(epoch) return 0.5 end, verbose = 1},
      callbacks.ReduceLROnPlateau{monitor = "loss", patience = 1, verbose = 1},
      callbacks.EarlyStopping{monitor = "loss", patience = 2, verbose = 1, restore_best_weights = true}}}
    model:fit{cnn.full({4, 1}, 0/0), cnn.ones{4, 1}, epochs = 5, verbose = 0,
      callbacks = {callbacks.TerminateOnNaN{}}}]]
  local pipe = assert(io.popen(program .. " -e '" .. code .. "' 2>&1"))
  local text = pipe:read "a"
  pipe:close()
  local lines = {}
  for text_line in text:gmatch "[^\n]+" do lines[#lines + 1] = text_line end
  eq(lines, {
    "Epoch 1: LearningRateScheduler setting learning rate to 0.5.",
    "Epoch 2: LearningRateScheduler setting learning rate to 0.5.",
    "Epoch 2: ReduceLROnPlateau reducing learning rate to 0.05.",
    "Epoch 3: LearningRateScheduler setting learning rate to 0.5.",
    "Epoch 3: ReduceLROnPlateau reducing learning rate to 0.05.",
    "Epoch 3: early stopping",
    "Restoring model weights from the end of the best epoch: 1.",
    "Batch 0: Invalid loss, terminating training",
  })
end

function TestReadyMade.test_csv_logger()
  local name, guard <close> = temporary()
  local model = line(0)
  run(model, {callbacks.CSVLogger(name)}, {epochs = 2})
  eq(contents(name), "epoch,loss\n0,1\n1,1\n")
  run(model, {callbacks.CSVLogger{name, append = true}}, {epochs = 1})
  eq(contents(name), "epoch,loss\n0,1\n1,1\n0,1\n")
  run(model, {callbacks.CSVLogger{filename = name, separator = ";"}}, {validation_split = 0.5})
  eq(contents(name), "epoch;loss;val_loss\n0;1;1\n")
  raises("CSVLogger: cannot write /nowhere/log.csv: No such file", run, model,
    {callbacks.CSVLogger "/nowhere/log.csv"})
  raises("CSVLogger: missing argument 'filename'", callbacks.CSVLogger)
  if io.open "/dev/full" then
    raises("CSVLogger: cannot write /dev/full: No space left", run, model, {callbacks.CSVLogger "/dev/full"})
  end
  eq(#run(model).epoch, 1)
  lu.assertNotNil(guard)
end

function TestReadyMade.test_terminate_on_nan()
  local batches = 0
  local history = run(line(), {callbacks.TerminateOnNaN{},
    {on_train_batch_end = function() batches = batches + 1 end}},
                      {cnn.full({8, 1}, 0 / 0), cnn.ones{8, 1}, batch_size = 2, epochs = 3})
  eq({batches, #history.epoch}, {1, 1})
end

function TestReadyMade.test_lambda_callback()
  local seen
  run(line(), {callbacks.LambdaCallback{on_epoch_end = function(epoch, logs) seen = {epoch, logs.loss} end}})
  eq(seen, {1, 1})
  raises("LambdaCallback: expected a table", callbacks.LambdaCallback, 5)
  raises("LambdaCallback: 'on_epoch_end' must be a function, got number", callbacks.LambdaCallback,
    {on_epoch_end = 5})
  raises("LambdaCallback: unknown argument '1'", callbacks.LambdaCallback, {print})
end

function TestReadyMade.test_history()
  local history = callbacks.History{}
  run(line(0), {history}, {epochs = 2})
  eq({history.epoch, history.history}, {{1, 2}, {loss = {1, 1}}})
end

function TestReadyMade.test_fields()
  local stopping = callbacks.EarlyStopping{patience = 3}
  eq({stopping.patience, stopping.monitor}, {3, "val_loss"})
  raises("EarlyStopping: there is no field 'foo'", function() return stopping.foo end)
  eq(tostring(stopping), "<EarlyStopping>")
end
