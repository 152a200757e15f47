-- Handwritten digits with a small convolutional network, built in two halves: first the part that finds features,
-- whose shapes and parameters summary() shows, then the dense layers that tell the ten digits apart.
--
--   cnnlua scripts/mnist.lua                  five epochs, about 0.98 to 0.99 on the test pictures
--   cnnlua -i scripts/mnist.lua --epochs 1    and goes on at the prompt, with `model`, `x_test` and the rest

local cnn = require "cnn"
local layers = cnn.layers

local options = cnn.utils.script_options({...}, {
  epochs = 5,
  help = "mnist.lua: classifies MNIST's handwritten digits with three convolutions and two dense layers.",
})

-- 1. The data: 60,000 pictures of 28×28 bytes to learn from, 10,000 to be tested on.
local found, x_train, y_train, x_test, y_test = pcall(cnn.datasets.mnist.load_data)
if not found then
  print("MNIST is not here and cannot be fetched; going on with Fashion-MNIST, which has the same shapes.")
  x_train, y_train, x_test, y_test = cnn.datasets.fashion_mnist.load_data()
end

-- 2. One channel of brightness between 0 and 1.
local function prepare(images, labels)
  local count = math.min(options.limit or #images, #images)
  images, labels = images:slice(1, count), labels:slice(1, count)
  return images:reshape{count, 28, 28, 1}:astype "float32" / 255, labels
end
x_train, y_train = prepare(x_train, y_train)
x_test, y_test = prepare(x_test, y_test)

-- 3. Features: 3×3 windows look for patterns, pooling keeps the strongest answer of each 2×2 cells.
local model = cnn.Sequential()
model:add(layers.Conv2D{32, {3, 3}, activation = "relu", input_shape = {28, 28, 1}})
model:add(layers.MaxPooling2D{{2, 2}})
model:add(layers.Conv2D{64, {3, 3}, activation = "relu"})
model:add(layers.MaxPooling2D{{2, 2}})
model:add(layers.Conv2D{64, {3, 3}, activation = "relu"})
model:add(layers.MaxPooling2D{{2, 2}})
model:summary()

-- 4. Classes: one probability a digit.
model:add(layers.Flatten())
model:add(layers.Dense{64, activation = "relu"})
model:add(layers.Dense{10, activation = "softmax"})
model:summary()

-- 5. Training. The labels are the digits themselves, hence "sparse".
model:compile{optimizer = "adam", loss = "sparse_categorical_crossentropy", metrics = {"accuracy"}}
local history = model:fit{x_train, y_train, epochs = options.epochs}

-- 6. How good it is on pictures it has never seen.
local loss, accuracy = model:evaluate{x_test, y_test, verbose = 2}
print(("test accuracy: %.4f"):format(accuracy))

return {
  model = model, history = history, loss = loss, accuracy = accuracy,
  x_train = x_train, y_train = y_train, x_test = x_test, y_test = y_test,
}
