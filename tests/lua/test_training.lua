-- Training follows other frameworks' numbers step by step.

local lu = require "luaunit"
local cnn = require "cnn"

local layers = cnn.layers

-- The numbers of an oracle's generator: see tests/oracle/train_mnist_dropout.lua.
local function generate(count, seed, value)
  local x, list = seed, {}
  for i = 1, count do
    x = (x * 1664525 + 1013904223) & 0xffffffff
    list[i] = value(x)
  end
  return list
end

local function product(shape)
  local size = 1
  for _, n in ipairs(shape) do size = size * n end
  return size
end

local function array(spec)
  if spec.a == 0 then return cnn.zeros(spec.shape) end
  local list = generate(product(spec.shape), spec.seed, function(x)
    return ((x >> 8) - 8388608) * (spec.a / 8388608)
  end)
  return cnn.tensor(list):reshape(spec.shape)
end

local oracle = dofile "tests/oracle/train_mnist_dropout.lua"
local images = array(oracle.images)
local labels = cnn.tensor(generate(oracle.labels.shape[1], oracle.labels.seed, function(x)
  return (x >> 8) % oracle.labels.classes
end), "int32")

local function fresh_model()
  local model = cnn.Sequential{
    layers.Conv2D{32, 3, activation = "relu", input_shape = {28, 28, 1}},
    layers.Conv2D{64, 3, activation = "relu"},
    layers.MaxPooling2D{2},
    layers.Flatten{},
    layers.Dense{128, activation = "relu"},
    layers.Dense{10, activation = "softmax"},
  }
  local weights = {}
  for i, spec in ipairs(oracle.weights) do weights[i] = array(spec) end
  model:set_weights(weights)
  return model
end

TestTraining = {}

for _, optimizer in ipairs(oracle.optimizers) do
  TestTraining["test_" .. optimizer.class_name .. "_follows_the_losses_of_pytorch"] = function()
    local model = fresh_model()
    model:compile{
      optimizer = cnn.optimizers[optimizer.class_name](optimizer.config),
      loss = "categorical_crossentropy",
    }
    local y = cnn.utils.to_categorical(labels, oracle.labels.classes)
    for step, expected in ipairs(optimizer.losses.float64) do
      local loss = model:train_on_batch(images, y)
      lu.assertAlmostEquals(loss / expected, 1, 1e-4, "step " .. step)
    end
  end
end

