-- Cats against dogs with what a network has learned elsewhere. SqueezeNet knows a thousand kinds of things from a
-- million photographs; its convolutions see fur, ears and snouts already, and two thousand pictures are enough for the
-- rest.
--
-- First the base is frozen and only looked through: what it makes of each picture, 512 numbers, is computed once and
-- kept, and a small classifier learns from these. That takes seconds. Then the classifier is put on the base, and with
-- it the upper layers of the base go on learning, from the pictures themselves and in small steps, so that what is
-- there is refined and not destroyed. Half of the pictures are mirrored by chance meanwhile.
--
--   cnnlua scripts/cats_dogs_transfer.lua     0.957 on the validation pictures by features, 0.965 fine-tuned

local cnn = require "cnn"
local layers, callbacks = cnn.layers, cnn.callbacks

local options = cnn.utils.script_options({...}, {
  epochs = 8,
  help = "cats_dogs_transfer.lua: a pretrained network, its features and its fine-tuning; epochs are of the latter.",
})

-- 1. The data, in the size that the network was trained with.
local train, validation, test = cnn.datasets.cats_and_dogs.load_data{
  image_size = {227, 227}, batch_size = 32, label_mode = "binary",
}
if options.limit then
  local batches = math.ceil(options.limit / 32)
  train, validation, test = train:take(batches), validation:take(batches), test:take(batches)
end

-- 2. The base, from the picture to the average of each of its 512 maps.
local base = cnn.applications.SqueezeNet{weights = "imagenet", include_top = false}
base.trainable = false
local inputs = cnn.Input{227, 227, 3}
local x = base(cnn.applications.squeezenet.preprocess_input(inputs), {training = false}) -- without its Dropout
local extractor = cnn.Model{inputs = inputs, outputs = layers.GlobalAveragePooling2D()(x), name = "extractor"}
extractor:summary()

-- 3. Features. The classifier brings each of them to mean 0 and deviation 1 before it weighs them.
local function features_of(dataset)
  local features, labels = {}, {}
  for images, answers in dataset:iter() do
    features[#features + 1] = extractor:predict{images, verbose = 0}
    labels[#labels + 1] = answers
  end
  return cnn.concat(features, 1), cnn.concat(labels, 1)
end
local x_train, y_train = features_of(train)
local x_validation, y_validation = features_of(validation)
local x_test, y_test = features_of(test)

local classifier = cnn.Sequential{
  cnn.Input{512},
  layers.BatchNormalization(),
  layers.Dropout{0.5},
  layers.Dense{1, activation = "sigmoid", kernel_regularizer = cnn.regularizers.L2{1e-3}},
}
classifier:compile{loss = "binary_crossentropy", optimizer = "adam", metrics = {"accuracy"}}
classifier:fit{x_train, y_train, epochs = 30, verbose = 0}
local _, features_validation = classifier:evaluate{x_validation, y_validation, verbose = 0}
local _, features_test = classifier:evaluate{x_test, y_test, verbose = 0}
print(("features: validation accuracy %.4f, test accuracy %.4f"):format(features_validation, features_test))

-- 4. Fine-tuning: the layers from fire6 up learn, with a rate that falls from epoch to epoch.
base.trainable = true
for _, layer in ipairs(base.layers) do
  if layer.name == "fire6/squeeze1x1" then break end
  layer.trainable = false
end
x = layers.RandomFlip{"horizontal"}(inputs)
local model = cnn.Model{inputs = inputs, outputs = classifier(extractor(x))}
model:summary()
model:compile{
  loss = "binary_crossentropy", optimizer = cnn.optimizers.Adam{learning_rate = 1e-4}, metrics = {"accuracy"},
}
local path = cnn.utils.output_path(options, "squeezenet_cats_dogs.keras")
local history = model:fit{
  train, epochs = options.epochs, validation_data = validation,
  callbacks = {
    callbacks.LearningRateScheduler{function(epoch) return 1e-4 * 0.75 ^ (epoch - 1) end},
    callbacks.ModelCheckpoint{path, save_best_only = true, monitor = "val_accuracy"},
  },
}
print(("training took %.0f s, of which it waited %.1f s for pictures"):format(history.seconds, history.waited))
local curves = history.history
cnn.plot{curves.accuracy, curves.val_accuracy, legend = {"training", "validation"}, xlabel = "epoch",
         ylabel = "accuracy", file = cnn.utils.output_path(options, "cats_dogs_transfer.png")}

-- 5. The test, of the epoch that was best for the validation pictures.
local best = cnn.load_model(path)
local _, validation_accuracy = best:evaluate{validation, verbose = 0}
local loss, accuracy = best:evaluate{test, verbose = 0}
print(("features: validation accuracy %.4f, test accuracy %.4f"):format(features_validation, features_test))
print(("fine-tuned: validation accuracy %.4f, test loss %.4f"):format(validation_accuracy, loss))
print(("test accuracy: %.4f"):format(accuracy))

return {
  base = base, extractor = extractor, classifier = classifier, model = model, best = best, path = path,
  history = history, loss = loss, accuracy = accuracy, validation_accuracy = validation_accuracy,
  features_validation = features_validation, features_test = features_test,
  train = train, validation = validation, test = test,
}
