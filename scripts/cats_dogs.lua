-- Cats against dogs, from photographs in folders. Two thousand pictures are few for a network of a million weights:
-- after some ten epochs it knows them by heart. The loss on the pictures it trains with goes on falling while that on
-- pictures kept aside rises, and the two plots show where the curves part. The file keeps the epoch with the lowest
-- validation loss, and the test is taken by that one; cats_dogs_augmented.lua shows what helps.
--
--   cnnlua scripts/cats_dogs.lua              thirty epochs, 0.71 on the test pictures; model and curves in out/

local cnn = require "cnn"
local layers, callbacks = cnn.layers, cnn.callbacks

local options = cnn.utils.script_options({...}, {
  epochs = 30,
  help = "cats_dogs.lua: a small network from scratch on few photographs; overfitting to be seen.",
})

-- 1. The data: each picture, of whatever size, becomes 180×180 pixels in three colours from 0 to 255, each label 0
-- (cat) or 1 (dog). Decoding and resizing go on beside training.
local train, validation, test = cnn.datasets.cats_and_dogs.load_data{
  image_size = {180, 180}, batch_size = 32, label_mode = "binary",
}
if options.limit then
  local batches = math.ceil(options.limit / 32)
  train, validation, test = train:take(batches), validation:take(batches), test:take(batches)
end
for images, labels in train:take(1):iter() do
  print("a batch of pictures: " .. table.concat(images:shape(), " × "))
  print("and of labels: " .. table.concat(labels:shape(), " × "))
end

-- 2. The network: maps grow deeper, 32 to 256, and smaller, 180 to 7.
local inputs = cnn.Input{180, 180, 3}
local x = layers.Rescaling{1 / 255}(inputs)
for _, filters in ipairs{32, 64, 128, 256} do
  x = layers.Conv2D{filters = filters, kernel_size = 3, activation = "relu"}(x)
  x = layers.MaxPooling2D{pool_size = 2}(x)
end
x = layers.Conv2D{filters = 256, kernel_size = 3, activation = "relu"}(x)
x = layers.Flatten()(x)
local outputs = layers.Dense{1, activation = "sigmoid"}(x)
local model = cnn.Model{inputs = inputs, outputs = outputs}
model:summary()
model:compile{loss = "binary_crossentropy", optimizer = "rmsprop", metrics = {"accuracy"}}

-- 3. Training.
local path = cnn.utils.output_path(options, "convnet_from_scratch.keras")
local checkpoint = callbacks.ModelCheckpoint{path, save_best_only = true, monitor = "val_loss"}
local history = model:fit{train, epochs = options.epochs, validation_data = validation, callbacks = {checkpoint}}
print(("training took %.0f s, of which it waited %.1f s for pictures"):format(history.seconds, history.waited))
local curves = history.history
for _, name in ipairs{"accuracy", "loss"} do
  cnn.plot{curves[name], curves["val_" .. name], legend = {"training", "validation"}, xlabel = "epoch", ylabel = name,
           file = cnn.utils.output_path(options, ("cats_dogs_%s.png"):format(name))}
end

-- 4. The test.
local best = cnn.load_model(path)
local _, last_accuracy = model:evaluate{test, verbose = 0}
local loss, accuracy = best:evaluate{test, verbose = 0}
print(("last epoch: test accuracy %.4f"):format(last_accuracy))
print(("lowest validation loss, from %s: test loss %.4f"):format(path, loss))
print(("test accuracy: %.4f"):format(accuracy))

return {
  model = model, best = best, path = path, history = history, loss = loss, accuracy = accuracy,
  last_accuracy = last_accuracy, train = train, validation = validation, test = test,
}
