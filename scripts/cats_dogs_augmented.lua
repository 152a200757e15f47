-- Cats against dogs without learning the pictures by heart: before the network sees a picture it is mirrored, turned
-- and zoomed by chance, so that it never sees the same one twice, and Dropout stands before the last layer. The
-- layers that do so are a part of the model and rest outside of training. Compared with cats_dogs.lua the curves stay
-- together for much longer, and the network, otherwise the same, gets further. The best epoch by validation loss goes
-- to a file, which is loaded again for the test.
--
--   cnnlua scripts/cats_dogs_augmented.lua    a hundred epochs, 0.83 on the test pictures; model and curves in out/

local cnn = require "cnn"
local layers, callbacks = cnn.layers, cnn.callbacks

local options = cnn.utils.script_options({...}, {
  epochs = 100,
  help = "cats_dogs_augmented.lua: augmentation and dropout against overfitting on few photographs.",
})

-- 1. The data, as in cats_dogs.lua.
local train, validation, test = cnn.datasets.cats_and_dogs.load_data{
  image_size = {180, 180}, batch_size = 32, label_mode = "binary",
}
if options.limit then
  local batches = math.ceil(options.limit / 32)
  train, validation, test = train:take(batches), validation:take(batches), test:take(batches)
end

-- 2. What is done to a picture: half of them are mirrored, each is turned by up to a tenth of a full turn and zoomed
-- by up to a fifth.
local data_augmentation = cnn.Sequential{
  layers.RandomFlip{"horizontal"},
  layers.RandomRotation{0.1},
  layers.RandomZoom{0.2},
}

-- 3. The network.
local inputs = cnn.Input{180, 180, 3}
local x = data_augmentation(inputs)
x = layers.Rescaling{1 / 255}(x)
for _, filters in ipairs{32, 64, 128, 256} do
  x = layers.Conv2D{filters = filters, kernel_size = 3, activation = "relu"}(x)
  x = layers.MaxPooling2D{pool_size = 2}(x)
end
x = layers.Conv2D{filters = 256, kernel_size = 3, activation = "relu"}(x)
x = layers.Flatten()(x)
x = layers.Dropout{0.5}(x)
local outputs = layers.Dense{1, activation = "sigmoid"}(x)
local model = cnn.Model{inputs = inputs, outputs = outputs}
model:summary()
model:compile{loss = "binary_crossentropy", optimizer = "rmsprop", metrics = {"accuracy"}}

-- 4. Training.
local path = cnn.utils.output_path(options, "convnet_from_scratch_with_augmentation.keras")
local checkpoint = callbacks.ModelCheckpoint{path, save_best_only = true, monitor = "val_loss"}
local history = model:fit{train, epochs = options.epochs, validation_data = validation, callbacks = {checkpoint}}
print(("training took %.0f s, of which it waited %.1f s for pictures"):format(history.seconds, history.waited))
local curves = history.history
for _, name in ipairs{"accuracy", "loss"} do
  cnn.plot{curves[name], curves["val_" .. name], legend = {"training", "validation"}, xlabel = "epoch", ylabel = name,
           file = cnn.utils.output_path(options, ("cats_dogs_augmented_%s.png"):format(name))}
end

-- 5. The test.
local best = cnn.load_model(path)
local loss, accuracy = best:evaluate{test, verbose = 0}
print(("lowest validation loss, from %s: test loss %.4f"):format(path, loss))
print(("test accuracy: %.4f"):format(accuracy))

return {
  model = model, best = best, path = path, history = history, loss = loss, accuracy = accuracy,
  data_augmentation = data_augmentation, train = train, validation = validation, test = test,
}
