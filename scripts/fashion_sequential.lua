-- Clothes instead of digits: Fashion-MNIST with one convolution and two dense layers, first without and then with
-- dropout. The curves of loss and accuracy show what dropout is for: without it the network learns its training
-- pictures by heart, and the loss on the others turns up again.
--
--   cnnlua scripts/fashion_sequential.lua     twenty epochs of each; curves in out/

local cnn = require "cnn"
local layers = cnn.layers

local options = cnn.utils.script_options({...}, {
  epochs = 20,
  help = "fashion_sequential.lua: Fashion-MNIST without and with dropout.",
})

-- 1. The data. A fifth of the training pictures, the same share of each class, is kept for validation.
local x_all, y_all, x_test, y_test = cnn.datasets.fashion_mnist.load_data()
if options.limit then
  x_all, y_all = x_all:slice(1, options.limit), y_all:slice(1, options.limit)
  x_test, y_test = x_test:slice(1, math.min(options.limit, #x_test)), y_test:slice(1, math.min(options.limit, #y_test))
end
local x_train, x_val, y_train, y_val = cnn.utils.train_test_split{
  x_all, y_all, stratify = y_all, test_size = 0.2, random_state = 777,
}

-- 2. Pictures as {n, 28, 28, 1} between 0 and 1, labels as rows with a 1 in the place of the class.
local function pictures(x)
  return x:reshape{#x, 28, 28, 1} / 255
end
x_train, x_val, x_test = pictures(x_train), pictures(x_val), pictures(x_test)
local y_train_encoded = cnn.utils.to_categorical(y_train, 10)
local y_val_encoded = cnn.utils.to_categorical(y_val, 10)
local y_test_encoded = cnn.utils.to_categorical(y_test, 10)

-- 3. The network; dropout stands between the convolutional part and the dense part.
local function network(dropout)
  local model = cnn.Sequential()
  model:add(layers.Conv2D{10, {3, 3}, activation = "relu", padding = "same", input_shape = {28, 28, 1}})
  model:add(layers.MaxPooling2D{{2, 2}})
  model:add(layers.Flatten())
  if dropout then model:add(layers.Dropout{dropout}) end
  model:add(layers.Dense{100, activation = "relu"})
  model:add(layers.Dense{10, activation = "softmax"})
  model:summary()
  return model
end

-- 4. Training, with the curves of loss and accuracy over the epochs.
local function train(model, name)
  model:compile{optimizer = "adam", loss = "categorical_crossentropy", metrics = {"accuracy"}}
  local history = model:fit{
    x_train, y_train_encoded, epochs = options.epochs, validation_data = {x_val, y_val_encoded},
  }
  local curves = history.history
  cnn.plot{curves.loss, curves.val_loss, legend = {"train_loss", "val_loss"}, xlabel = "epoch", ylabel = "loss",
           file = cnn.utils.output_path(options, name .. "_loss.png")}
  cnn.plot{curves.accuracy, curves.val_accuracy, legend = {"train_accuracy", "val_accuracy"}, xlabel = "epoch",
           ylabel = "accuracy", file = cnn.utils.output_path(options, name .. "_accuracy.png")}
  local _, accuracy = model:evaluate{x_val, y_val_encoded, verbose = 0}
  return history, accuracy
end

local conv1 = network()
local history1, accuracy1 = train(conv1, "fashion_sequential")
print(("validation accuracy without dropout: %.4f\n"):format(accuracy1))

local conv2 = network(0.5)
local history2, accuracy2 = train(conv2, "fashion_dropout")
print(("validation accuracy with dropout: %.4f"):format(accuracy2))

-- 5. The pictures that took no part in any of this.
local _, accuracy = conv2:evaluate{x_test, y_test_encoded, verbose = 0}
print(("test accuracy: %.4f"):format(accuracy))

return {
  model = conv2, history = history2, validation_accuracy = accuracy2, accuracy = accuracy,
  without_dropout = conv1, history_without_dropout = history1, validation_accuracy_without_dropout = accuracy1,
  x_train = x_train, y_train = y_train, x_val = x_val, y_val = y_val, x_test = x_test, y_test = y_test,
}
