-- Cats against dogs with ImageDataGenerator: photographs come from their folders by way of a generator that turns,
-- moves, slants, zooms and mirrors each at random before the network sees it. So two thousand pictures are never the
-- same two thousand; only those for validation and the test stay what they are.
--
--   cnnlua scripts/cats_dogs_generator.lua    thirty epochs; curves in out/

local cnn = require "cnn"
local layers = cnn.layers

local options = cnn.utils.script_options({...}, {
  epochs = 30,
  help = "cats_dogs_generator.lua: cats against dogs, trained on pictures that ImageDataGenerator changes at random.",
})
local batch_size <const> = 32

-- 1. Two generators: one that changes the pictures, and one that only brings their values to 0 … 1.
local changing = cnn.ImageDataGenerator{
  rescale = 1 / 255,
  rotation_range = 360,      -- turned by any angle
  width_shift_range = 0.1,   -- moved sideways by up to a tenth of the width,
  height_shift_range = 0.1,  -- and up or down
  shear_range = 0.5,         -- slanted, by half a degree at most
  zoom_range = 0.3,          -- from 0.7 to 1.3
  horizontal_flip = true,
  vertical_flip = true,
}
local plain = cnn.ImageDataGenerator{rescale = 1 / 255}

-- 2. The folders: a folder a class, train/cats and train/dogs, the same for validation and test.
local folder = cnn.datasets.cats_and_dogs.path()
local function flow(generator, part)
  local batches = generator:flow_from_directory{
    folder .. "/" .. part, target_size = {180, 180}, class_mode = "binary", batch_size = batch_size,
  }
  return options.limit and batches:take((options.limit + batch_size - 1) // batch_size) or batches
end
local train, validation = flow(changing, "train"), flow(plain, "validation")
local has_test <close> = io.open(folder .. "/test/cats")
local test = has_test and flow(plain, "test") or validation

-- 3. The network: five convolutions, each seeing twice as far as the last; one number at the end: how much of a dog.
local model = cnn.Sequential{
  layers.Conv2D{32, 3, activation = "relu", input_shape = {180, 180, 3}},
  layers.MaxPooling2D{2},
  layers.Conv2D{64, 3, activation = "relu"},
  layers.MaxPooling2D{2},
  layers.Conv2D{128, 3, activation = "relu"},
  layers.MaxPooling2D{2},
  layers.Conv2D{256, 3, activation = "relu"},
  layers.MaxPooling2D{2},
  layers.Conv2D{256, 3, activation = "relu"},
  layers.Flatten(),
  layers.Dropout{0.5},
  layers.Dense{1, activation = "sigmoid"},
}
model:summary()
model:compile{optimizer = "rmsprop", loss = "binary_crossentropy", metrics = {"accuracy"}}

-- 4. Training: the generators' work is done in threads of their own, ahead of it.
local history = model:fit{train, epochs = options.epochs, validation_data = validation}
local curves = history.history
for _, name in ipairs{"loss", "accuracy"} do
  cnn.plot{curves[name], curves["val_" .. name], legend = {name, "val_" .. name}, xlabel = "epoch", ylabel = name,
           file = cnn.utils.output_path(options, "cats_dogs_generator_" .. name .. ".png")}
end

-- 5. The test, on pictures that took no part in this.
if not has_test then print "there is no folder test: the test is on the pictures for validation" end
local loss, accuracy = model:evaluate{test, verbose = 0}
print(("test accuracy: %.4f"):format(accuracy))

return {
  model = model, history = history, loss = loss, accuracy = accuracy, generator = changing, train = train,
  validation = validation, test = test,
}
