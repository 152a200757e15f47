-- Handwritten digits with a small convolutional network, built in two halves: first the part that finds features,
-- whose shapes and parameters summary() shows, then the dense layers that tell the ten digits apart.
--
-- It is trained in two forms. In the first every convolution is followed by pooling; the last pooling sees 3×3
-- cells and can use only four of them. The second leaves that one out, and gains about half a per cent.
--
--   cnnlua scripts/mnist.lua                  five epochs of each
--   cnnlua -i scripts/mnist.lua --epochs 1    and goes on at the prompt

local cnn = require "cnn"
local layers = cnn.layers

local options = cnn.utils.script_options({...}, {
  epochs = 5,
  help = "mnist.lua: classifies MNIST's handwritten digits with three convolutions and two dense layers.",
})

-- 1. The data: 60,000 pictures of 28×28 bytes to learn from, 10,000 to be tested on.
local found, x_train, y_train, x_test, y_test = pcall(cnn.datasets.mnist.load_data)
if not found then
  if not x_train:find "could not be downloaded" then error(x_train, 0) end -- a damaged file, say
  print("MNIST is not here and cannot be fetched; going on with Fashion-MNIST, which has the same shapes.")
  x_train, y_train, x_test, y_test = cnn.datasets.fashion_mnist.load_data()
end

-- 2. One channel of brightness, between 0 and 1.
local function prepare(images, labels)
  local count = math.min(options.limit or #images, #images)
  return images:slice(1, count):reshape{count, 28, 28, 1} / 255, labels:slice(1, count)
end
x_train, y_train = prepare(x_train, y_train)
x_test, y_test = prepare(x_test, y_test)

-- 3. Features: 3×3 windows look for patterns, pooling keeps the strongest answer of each 2×2 cells.
local function features(last_pooling)
  local model = cnn.Sequential()
  model:add(layers.Conv2D{32, {3, 3}, activation = "relu", input_shape = {28, 28, 1}})
  model:add(layers.MaxPooling2D{{2, 2}})
  model:add(layers.Conv2D{64, {3, 3}, activation = "relu"})
  model:add(layers.MaxPooling2D{{2, 2}})
  model:add(layers.Conv2D{64, {3, 3}, activation = "relu"})
  if last_pooling then model:add(layers.MaxPooling2D{{2, 2}}) end
  model:summary()
  return model
end

-- 4. Classes: one probability a digit.
local function add_classifier(model)
  model:add(layers.Flatten())
  model:add(layers.Dense{64, activation = "relu"})
  model:add(layers.Dense{10, activation = "softmax"})
  model:summary()
end

-- 5. Training, and how good the result is on pictures it has never seen. The labels are the digits themselves,
-- hence "sparse".
local function train(model)
  model:compile{optimizer = "adam", loss = "sparse_categorical_crossentropy", metrics = {"accuracy"}}
  local history = model:fit{x_train, y_train, epochs = options.epochs}
  local loss, accuracy = model:evaluate{x_test, y_test, verbose = 2}
  return history, loss, accuracy
end

local pooled = features(true)
add_classifier(pooled)
local pooled_history, _, pooled_accuracy = train(pooled)
print(("with the last pooling: %.4f\n"):format(pooled_accuracy))

local model = features(false)
add_classifier(model)
local history, loss, accuracy = train(model)
print(("test accuracy: %.4f"):format(accuracy))

return {
  model = model, history = history, loss = loss, accuracy = accuracy,
  pooled = pooled, pooled_history = pooled_history, pooled_accuracy = pooled_accuracy,
  x_train = x_train, y_train = y_train, x_test = x_test, y_test = y_test,
}
