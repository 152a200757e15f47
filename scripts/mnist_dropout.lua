-- Handwritten digits with two convolutions in a row before one pooling, and dropout against learning by heart. How long
-- to train is left to the training itself: after each epoch a quarter of the pictures, kept aside, tells how good the
-- network is on what it does not learn from. ModelCheckpoint writes the model to MNIST_CNN.hdf5 whenever that loss has
-- fallen, EarlyStopping ends the training when it has not fallen for ten epochs; the file then holds the epoch with the
-- lowest loss. The test is taken by both: that model, read back from the file, and the one that training ended with.
--
--   cnnlua scripts/mnist_dropout.lua          thirty epochs at most; curve in out/

local cnn = require "cnn"
local layers, callbacks = cnn.layers, cnn.callbacks

local options = cnn.utils.script_options({...}, {
  epochs = 30,
  help = "mnist_dropout.lua: MNIST with dropout; the best epoch is kept in a file, and training stops by itself.",
})

-- 1. The data: one channel of brightness between 0 and 1, and labels as rows with a 1 in the place of the digit.
local x_train, y_train, x_test, y_test = cnn.datasets.mnist.load_data()
local function prepare(images, labels)
  local count = math.min(options.limit or #images, #images)
  return images:slice(1, count):reshape{count, 28, 28, 1} / 255,
         cnn.utils.to_categorical(labels:slice(1, count), 10)
end
x_train, y_train = prepare(x_train, y_train)
x_test, y_test = prepare(x_test, y_test)

-- 2. The network. Dropout stands where a layer has many inputs to lean on: before the dense part and inside it.
local model = cnn.Sequential()
model:add(layers.Conv2D{32, kernel_size = {3, 3}, input_shape = {28, 28, 1}, activation = "relu"})
model:add(layers.Conv2D{64, {3, 3}, activation = "relu"})
model:add(layers.MaxPooling2D{pool_size = {2, 2}})
model:add(layers.Dropout{0.25})
model:add(layers.Flatten())
model:add(layers.Dense{128, activation = "relu"})
model:add(layers.Dropout{0.5})
model:add(layers.Dense{10, activation = "softmax"})
model:summary()
model:compile{loss = "categorical_crossentropy", optimizer = "adam", metrics = {"accuracy"}}

-- 3. Training; the checkpoint tells what it does after each epoch.
local path = cnn.utils.output_path(options, "MNIST_CNN.hdf5")
local checkpoint = callbacks.ModelCheckpoint{path, monitor = "val_loss", verbose = 1, save_best_only = true}
local early_stopping = callbacks.EarlyStopping{monitor = "val_loss", patience = 10}
local history = model:fit{
  x_train, y_train, validation_split = 0.25, epochs = options.epochs, batch_size = 200, verbose = 0,
  callbacks = {early_stopping, checkpoint},
}
local curves = history.history
cnn.plot{curves.loss, curves.val_loss, legend = {"loss", "val_loss"}, xlabel = "epoch", ylabel = "loss",
         file = cnn.utils.output_path(options, "mnist_dropout_loss.png")}

-- 4. The test.
local best = cnn.load_model(path)
local best_loss, best_accuracy = best:evaluate{x_test, y_test, verbose = 0}
local loss, accuracy = model:evaluate{x_test, y_test, verbose = 0}
print(("\nlowest validation loss, from %s: test loss %.4f, accuracy %.4f"):format(path, best_loss, best_accuracy))
print(("last epoch: test loss %.4f"):format(loss))
print(("test accuracy: %.4f"):format(accuracy))

return {
  model = model, best = best, path = path, history = history, loss = loss, accuracy = accuracy,
  x_train = x_train, y_train = y_train, x_test = x_test, y_test = y_test,
}
