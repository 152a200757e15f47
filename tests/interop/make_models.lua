-- Models of every kind as .h5 files, and beside each what an independent reader is to find: NAME.json with the weights
-- in their order, an input like a picture of MNIST, and the model's output for it.
--
--   cnnlua tests/interop/make_models.lua DIR

local cnn = require "cnn"
local layers = cnn.layers
local dir = assert(..., "usage: make_models.lua DIR")

local function picture()
  local values = {}
  for i = 1, 784 do values[i] = i * 37 % 101 / 101 end
  return cnn.tensor(values):reshape{1, 28, 28, 1}
end

-- Conv2D, BatchNormalization and pooling called in turn on x, or a list of them.
local function features()
  return {layers.Conv2D{4, 3, strides = 2, use_bias = false}, layers.BatchNormalization(), layers.Activation{"relu"},
          layers.MaxPooling2D{2}}
end

local function through(list, x)
  for _, layer in ipairs(list) do x = layer(x) end
  return x
end

local models = {}

function models.sequential()
  return cnn.Sequential{
    layers.Conv2D{4, 5, activation = "relu", padding = "same", input_shape = {28, 28, 1}}, layers.MaxPooling2D{4},
    layers.Dropout{0.25}, layers.Flatten(), layers.Dense{8, activation = "tanh"},
    layers.Dense{10, activation = "softmax"},
  }
end

function models.batch_normalization()
  local model = cnn.Sequential{cnn.Input{28, 28, 1}}
  for _, layer in ipairs(features()) do model:add(layer) end
  model:add(layers.Flatten())
  model:add(layers.Dense{10, activation = "softmax"})
  return model
end

function models.functional()
  local inputs = cnn.Input{28, 28, 1}
  local x = through(features(), inputs)
  local y = layers.Conv2D{4, 3, padding = "same", activation = "sigmoid"}(x)
  local joined = layers.Concatenate(){layers.Flatten()(layers.Add(){x, y}), layers.GlobalAveragePooling2D()(y)}
  return cnn.Model{inputs = inputs, outputs = layers.Dense{10, activation = "softmax"}(joined)}
end

function models.nested()
  local base = cnn.Sequential{cnn.Input{28, 28, 1}, name = "base"}
  for _, layer in ipairs(features()) do base:add(layer) end
  base:add(layers.GlobalMaxPooling2D())
  local found = cnn.Input{4}
  local head = cnn.Model{inputs = found, outputs = layers.Dense{6, activation = "relu"}(found), name = "head"}
  local inputs = cnn.Input{28, 28, 1}
  return cnn.Model{inputs = inputs, outputs = layers.Dense{10, activation = "softmax"}(head(base(inputs)))}
end

local function numbers(tensor)
  local list = {}
  for i, value in ipairs(tensor:reshape{-1}:tolist()) do list[i] = ("%.9g"):format(value) end
  return "[" .. table.concat(list, ",") .. "]"
end

local function weights(model)
  local list = {}
  for i, tensor in ipairs(model:get_weights()) do list[i] = numbers(tensor) end
  return "[" .. table.concat(list, ",") .. "]"
end

cnn.utils.set_random_seed(1)
for name, make in pairs(models) do
  cnn.backend.clear_session()
  local model, x = make(), picture()
  model:compile{optimizer = "adam", loss = "sparse_categorical_crossentropy"}
  local y = cnn.random.randint{{64}, 0, 10}
  model:fit{cnn.random.normal{64, 28, 28, 1}, y, epochs = 3, verbose = 0}
  model:save(dir .. "/" .. name .. ".h5")
  local file <close> = assert(io.open(dir .. "/" .. name .. ".json", "w"))
  file:write(('{"input":%s,"output":%s,"weights":%s}\n'):format(numbers(x), numbers(model:predict{x, verbose = 0}),
                                                                  weights(model)))
end
