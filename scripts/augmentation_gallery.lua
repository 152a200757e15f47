-- Nine new pictures from one, in three ways. A network that sees every photograph slightly changed each time learns
-- what a cat is and not which cats it was shown; this is what it gets to see.
--
--   cnnlua scripts/augmentation_gallery.lua               a cat or dog of the data set; three sheets in out/
--   cnnlua scripts/augmentation_gallery.lua photo.jpg     a picture of yours

local cnn = require "cnn"
local layers, augment = cnn.layers, cnn.augment

local arguments = {...}
local path
if arguments[1] and not arguments[1]:find "^%-" then path = table.remove(arguments, 1) end
local options = cnn.utils.script_options(arguments, {
  help = "augmentation_gallery.lua [PICTURE]: what augmentation by layers, generator and pipeline makes of a picture.",
})
local size <const> = 180

-- 1. The picture, float32 {180, 180, 3} of values from 0 to 255. Without photographs, a shoe has to do.
local function load(file)
  return cnn.image.resize{cnn.image.load(file, 3):astype "float32", size, antialias = true}
end

local function default_picture()
  local found, folder = pcall(cnn.datasets.cats_and_dogs.path)
  if found then return load(folder .. "/train/cats/cat.1.jpg") end
  print(folder .. "\nso it is a picture of Fashion-MNIST, enlarged")
  local images = cnn.datasets.fashion_mnist.load_data()
  return cnn.image.resize{cnn.image.to_rgb(images[1]:reshape{28, 28, 1}):astype "float32", size}
end

local picture = path and load(path) or default_picture()

local function sheet(name, make)
  local pictures = {}
  for i = 1, 9 do pictures[i] = make(i):clip(0, 255):astype "uint8" end
  local file = cnn.utils.output_path(options, name .. ".png")
  cnn.image.save(file, cnn.image.grid{pictures, columns = 3, padding = 4})
  print(file)
  return file
end

-- 2. Layers, as they stand at the beginning of a model: mirrored, turned by up to a tenth of a full turn to either
-- side, zoomed by up to a fifth. They do so in training only.
local data_augmentation = cnn.Sequential{
  layers.RandomFlip{"horizontal"},
  layers.RandomRotation{0.1},
  layers.RandomZoom{0.2},
}
local by_layers = sheet("augmentation_layers", function()
  return data_augmentation(picture:expand_dims(1), {training = true})[1]
end)

-- 3. ImageDataGenerator: turned by any angle, moved by up to a tenth, slanted by half a degree at most (the range
-- counts degrees, not radians), zoomed from 0.7 to 1.3, mirrored both ways. Beyond the border the last pixel goes on.
local generator = cnn.ImageDataGenerator{
  rotation_range = 360, width_shift_range = 0.1, height_shift_range = 0.1, shear_range = 0.5, zoom_range = 0.3,
  horizontal_flip = true, vertical_flip = true,
}
local by_generator = sheet("augmentation_generator", function(i)
  return generator:random_transform(picture, options.seed + i)
end)

-- 4. A pipeline with a step of one's own. Evening falls, and somewhere a lamp lights up a round part of the picture. A
-- step is a function of the picture and a source of random numbers; what it uses from outside it, like the two axes
-- here, goes with it to the threads that run it.
local rows = cnn.arange(1, size + 1):astype("float32"):reshape{size, 1, 1}
local columns = rows:reshape{1, size, 1}

local function lamp(image, rng)
  local y, x, radius = rng:uniform(1, size), rng:uniform(1, size), rng:uniform(0.3, 0.6) * size
  local light = cnn.exp(((rows - y) ^ 2 + (columns - x) ^ 2) / (-2 * radius ^ 2))
  local tint = cnn.tensor{1, rng:uniform(0.7, 1), rng:uniform(0.4, 1)}
  return image * (0.2 + 1.4 * light * tint)
end

local evening = augment.pipeline{
  augment.flip{"horizontal"},
  augment.rotate{15},
  lamp,
  augment.noise{8},
}
local by_pipeline = sheet("augmentation_pipeline", function(i)
  return evening(picture, options.seed + i)
end)

return {
  picture = picture, data_augmentation = data_augmentation, generator = generator, evening = evening,
  files = {by_layers, by_generator, by_pipeline},
}
