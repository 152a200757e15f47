-- Handwritten digits once more, with the functional API: an input, layers called one on the other's result, and a
-- model from the first tensor to the last. Convolutions of 32, 64 and 128 windows, rmsprop, batches of 64.
--
--   cnnlua scripts/mnist_functional.lua       five epochs, about 0.992 on the test pictures

local cnn = require "cnn"
local layers = cnn.layers

local options = cnn.utils.script_options({...}, {
  epochs = 5,
  help = "mnist_functional.lua: MNIST with a model wired by calling layers.",
})

-- 1. The wiring. `inputs` stands for a batch of pictures of 28×28 cells and one channel; calling a layer on a
-- symbolic tensor computes nothing, but says what its result will be.
local inputs = cnn.Input{28, 28, 1}
local x = layers.Conv2D{filters = 32, kernel_size = 3, activation = "relu"}(inputs)
x = layers.MaxPooling2D{pool_size = 2}(x)
x = layers.Conv2D{filters = 64, kernel_size = 3, activation = "relu"}(x)
x = layers.MaxPooling2D{pool_size = 2}(x)
x = layers.Conv2D{filters = 128, kernel_size = 3, activation = "relu"}(x)
x = layers.Flatten()(x)
local outputs = layers.Dense{10, activation = "softmax"}(x)
local model = cnn.Model{inputs = inputs, outputs = outputs}
model:summary()

-- 2. The data, as one channel of brightness between 0 and 1.
local x_train, y_train, x_test, y_test = cnn.datasets.mnist.load_data()
local function prepare(images, labels)
  local count = math.min(options.limit or #images, #images)
  return images:slice(1, count):reshape{count, 28, 28, 1} / 255, labels:slice(1, count)
end
x_train, y_train = prepare(x_train, y_train)
x_test, y_test = prepare(x_test, y_test)

-- 3. Training.
model:compile{optimizer = "rmsprop", loss = "sparse_categorical_crossentropy", metrics = {"accuracy"}}
local history = model:fit{x_train, y_train, epochs = options.epochs, batch_size = 64}

-- 4. The test.
local loss, accuracy = model:evaluate{x_test, y_test}
print(("test accuracy: %.4f"):format(accuracy))

return {
  model = model, history = history, loss = loss, accuracy = accuracy,
  x_train = x_train, y_train = y_train, x_test = x_test, y_test = y_test,
}
