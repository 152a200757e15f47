-- Cats and dogs: photographs of either, in folders.
-- The folder has train/ and validation/, maybe test/, and each of them cats/ and dogs/. What can be downloaded is the
-- small part of Kaggle's Dogs vs. Cats that Google's course on machine learning uses: 2,000 pictures to train with and
-- 1,000 to validate, none to test. Its publisher tells no checksum; the archive's own, one a picture, are what is
-- checked.

local cnn = ...

local system = cnn.datasets.system -- which files.lua, that comes later, takes away

local cats_and_dogs = {}
cnn.datasets.cats_and_dogs = cats_and_dogs

local description = {
  name = "cats_and_dogs",
  title = "Cats and dogs",
  what = "these folders of pictures (and test/cats and test/dogs, if you have them)",
  folders = {"cats_and_dogs", "cats_and_dogs_filtered"},
  system = {},
  mirrors = {"https://storage.googleapis.com/mledu-datasets/"},
  archive = {name = "cats_and_dogs_filtered.zip", folder = "cats_and_dogs_filtered"},
  {name = "train/cats"}, {name = "train/dogs"}, {name = "validation/cats"}, {name = "validation/dogs"},
}

--- The folder of the cats and dogs, with train/ and validation/, perhaps test/, and in each cats/ and dogs/.
-- Photographs from Kaggle's Dogs vs. Cats. They are downloaded the first time if they are nowhere on this machine:
-- 2,000 to train with and 1,000 for validation, none for the test.
-- @function cnn.datasets.cats_and_dogs.path
-- @tparam[opt] string path this folder, which is checked, instead of looking for one
-- @treturn string
-- @raise folders that are missing and cannot be downloaded
-- @usage norun
-- folder = cnn.datasets.cats_and_dogs.path()
-- train = cnn.utils.image_dataset_from_directory{folder .. "/train", image_size = {180, 180}}
function cats_and_dogs.path(...)
  local who = "cats_and_dogs.path"
  local path = system.path(who, ...)
  local parts = path and cnn.datasets.files.within(description, path, who) or cnn.datasets.files.obtain(description)
  return parts.folder
end

--- The cats and dogs as three datasets, made by cnn.utils.image_dataset_from_directory.
-- Cats have the label 0, dogs 1. Where there is no folder test, half of the pictures for validation are for the
-- test, as stderr is told.
-- @function cnn.datasets.cats_and_dogs.load_data
-- @tparam[opt] table|string arguments those of image_dataset_from_directory by name, but for the directory, and
-- `path`, as of cats_and_dogs.path; or this path alone
-- @treturn dataset to train with
-- @treturn dataset for validation
-- @treturn dataset for the test
-- @raise folders that are missing and cannot be downloaded
-- @usage norun
-- train, validation, test = cnn.datasets.cats_and_dogs.load_data{image_size = {180, 180}, batch_size = 32}
-- for images, labels in train:take(1):iter() do print(images:shape()[1]) end
-- --> 32
function cats_and_dogs.load_data(arguments)
  local given = {}
  if type(arguments) ~= "table" then arguments = {path = arguments} end
  for name, value in pairs(arguments) do given[name] = value end
  local path = cats_and_dogs.path{path = given.path}
  given.path = nil
  local function dataset(folder)
    given[1] = path .. "/" .. folder
    return cnn.utils.image_dataset_from_directory(given)
  end
  local train = dataset "train"
  local tests = io.open(path .. "/test/cats")
  if tests then
    tests:close()
    return train, dataset "validation", dataset "test"
  end
  io.stderr:write(path, " has no folder test: the test is on half of the pictures for validation\n")
  given.validation_split, given.seed = 0.5, given.seed or 1
  local function half(which)
    given.subset = which
    return dataset "validation"
  end
  return train, half "training", half "validation"
end
