-- Callbacks written in Lua: tables with on_epoch_end and the like, called as methods, epochs counted from 1.

local cnn = ...

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
    print(("\nEpoch %d: LearningRateScheduler setting learning rate to %.14g."):format(epoch, rate))
  end
end

function LearningRateScheduler:on_epoch_end(_, logs)
  logs.learning_rate = self.model.optimizer.learning_rate
end

--- Sets the learning rate at the start of each epoch.
-- @tparam function schedule of the epoch, counted from 1, and the rate so far; returns the new rate
-- @int[opt=0] verbose 1 prints the rate
function cnn.callbacks.LearningRateScheduler(arguments, verbose)
  local plain = type(arguments) == "table"
  local schedule = plain and (arguments.schedule or arguments[1]) or arguments
  if type(schedule) ~= "function" then
    error("LearningRateScheduler: 'schedule' must be a function of epoch and rate, got " .. type(schedule), 2)
  end
  verbose = plain and (arguments.verbose or arguments[2]) or verbose or 0
  return setmetatable({schedule = schedule, verbose = verbose}, LearningRateScheduler)
end

--- A callback from functions by name, without self: LambdaCallback{on_epoch_end = function(epoch, logs) … end}.
function cnn.callbacks.LambdaCallback(functions)
  local callback = {}
  for name, f in pairs(functions) do
    callback[name] = function(_, ...) return f(...) end
  end
  return callback
end
