-- Callbacks written in Lua: tables with on_epoch_end and the like, called as methods, epochs counted from 1.
--
-- A table with get_state and set_state goes on where it was when BackupAndRestore resumes a training: get_state(self)
-- returns a number, string, boolean or table of them, and set_state(self, state) takes it back after on_train_begin.

local cnn = ...

-- Errors are those of the script that calls, two levels up from here.
local function fail(text, ...)
  error(text:format(...), 3)
end

-- Arguments by position or in a table of names, as other constructors take them.
local function arguments(who, names, given, ...)
  if type(given) ~= "table" or getmetatable(given) then given = {given, ...} end
  local values = {}
  for key, value in pairs(given) do
    local name = math.type(key) and names[key] or key
    for _, known in ipairs(names) do
      if name == known then values[name], name = value, nil end
    end
    if name ~= nil then error(("%s: unknown argument '%s'"):format(who, tostring(name)), 3) end
  end
  return values
end

-- ---- LearningRateScheduler --------------------------------------------------------------------------------

local LearningRateScheduler = {}
LearningRateScheduler.__index = LearningRateScheduler

function LearningRateScheduler:on_epoch_begin(epoch)
  local optimizer = self.model.optimizer
  local rate = self.schedule(epoch, optimizer.learning_rate)
  if type(rate) ~= "number" then
    error("LearningRateScheduler: the schedule must return a number, got " .. tostring(rate), 0)
  end
  optimizer.learning_rate = rate
  if self.verbose > 0 then
    print(("Epoch %d: LearningRateScheduler setting learning rate to %.14g."):format(epoch, rate))
  end
end

function LearningRateScheduler:on_epoch_end(_, logs)
  logs.learning_rate = self.model.optimizer.learning_rate
end

--- Sets the learning rate at the start of each epoch.
-- The history keeps it as `learning_rate`.
-- @function cnn.callbacks.LearningRateScheduler
-- @tparam function schedule is given the epoch, from 1, and the rate so far; returns the new rate
-- @tparam[opt=0] int verbose 1 prints the rate
-- @treturn callback
-- @raise a schedule that is no function or returns no number
-- @usage
-- model = cnn.Sequential{layers.Dense{1, input_shape = {1}}}
-- model:compile{optimizer = cnn.optimizers.SGD{0.1}, loss = "mse"}
-- halve = cnn.callbacks.LearningRateScheduler{function(epoch, rate) return epoch > 2 and rate / 2 or rate end}
-- history = model:fit{cnn.zeros{4, 1}, cnn.zeros{4, 1}, epochs = 4, verbose = 0, callbacks = {halve}}
-- history.history.learning_rate        --> {0.1, 0.1, 0.05, 0.025}
function cnn.callbacks.LearningRateScheduler(...)
  local given = arguments("LearningRateScheduler", {"schedule", "verbose"}, ...)
  local schedule, verbose = given.schedule, given.verbose or 0
  if type(schedule) ~= "function" then
    fail("LearningRateScheduler: 'schedule' must be a function of epoch and rate, got %s", type(schedule))
  end
  if type(verbose) ~= "number" then
    fail("LearningRateScheduler: 'verbose' must be 0 or 1, got %s", tostring(verbose))
  end
  return setmetatable({schedule = schedule, verbose = verbose}, LearningRateScheduler)
end

-- ---- LambdaCallback ---------------------------------------------------------------------------------------

--- Makes a callback of functions by name, without self.
-- @function cnn.callbacks.LambdaCallback
-- @tparam table functions named as in callback: on_epoch_end = function(epoch, logs) …, on_train_begin =
-- function(logs) …
-- @treturn callback
-- @raise names that are none of those; values that are no functions
-- @usage
-- model = cnn.Sequential{layers.Dense{1, kernel_initializer = "zeros", input_shape = {1}}}
-- model:compile{optimizer = "sgd", loss = "mse"}
-- tell = cnn.callbacks.LambdaCallback{on_epoch_end = function(epoch, logs) print(epoch, logs.loss) end}
-- history = model:fit{cnn.zeros{4, 1}, cnn.zeros{4, 1}, epochs = 2, verbose = 0, callbacks = {tell}}
-- --> 1	0.0
-- --> 2	0.0
function cnn.callbacks.LambdaCallback(functions)
  if type(functions) ~= "table" then
    fail("LambdaCallback: expected a table of functions like on_epoch_end, got %s", type(functions))
  end
  local callback = {}
  for name, f in pairs(functions) do
    if type(name) ~= "string" or not name:find "^on_" then
      fail("LambdaCallback: unknown argument '%s'", tostring(name))
    elseif type(f) ~= "function" then
      fail("LambdaCallback: '%s' must be a function, got %s", name, type(f))
    end
    callback[name] = function(_, ...) return f(...) end
  end
  return callback
end

-- ---- History ----------------------------------------------------------------------------------------------

local History = {}
History.__index = History

function History:on_train_begin()
  self.history, self.epoch = {}, {}
end

function History:on_epoch_end(epoch, logs)
  self.epoch[#self.epoch + 1] = epoch
  for name, value in pairs(logs) do
    local values = self.history[name] or {}
    values[#values + 1] = value
    self.history[name] = values
  end
end

function History:get_state()
  return {history = self.history, epoch = self.epoch}
end

function History:set_state(state)
  self.history, self.epoch = state.history, state.epoch
end

--- Collects the figures of each epoch in the fields history and epoch, as what fit returns does.
-- @function cnn.callbacks.History
-- @treturn callback
-- @usage
-- model = cnn.Sequential{layers.Dense{1, kernel_initializer = "zeros", input_shape = {1}}}
-- model:compile{optimizer = "sgd", loss = "mse"}
-- record = cnn.callbacks.History()
-- history = model:fit{cnn.zeros{4, 1}, cnn.zeros{4, 1}, epochs = 2, verbose = 0, callbacks = {record}}
-- record.history.loss, record.epoch
-- --> {0.0, 0.0}
-- --> {1, 2}
function cnn.callbacks.History()
  return setmetatable({history = {}, epoch = {}}, History)
end
