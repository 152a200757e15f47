-- The photographs of cats and dogs: the folder that is looked for, its datasets, and the scripts that learn from them.
-- luacheck: globals TestCatsAndDogs TestCatsDogsScripts

local cnn = require "cnn"
local lu = require "luaunit"
local raises = require "raises"
local with = require "with"

local eq = lu.assertEquals
local cats_and_dogs = cnn.datasets.cats_and_dogs

local scratch -- a folder of the test that runs

local function make_scratch()
  scratch = os.tmpname()
  os.remove(scratch)
  os.execute(("mkdir '%s'"):format(scratch))
end

local function remove_scratch()
  os.execute(("rm -rf '%s'"):format(scratch))
end

-- Lays down folders with a few small pictures each: cats are dark, dogs are bright.
local function lay_down(path, count, ...)
  for _, part in ipairs{...} do
    for class, brightness in pairs{cats = 0.2, dogs = 0.8} do
      local folder = ("%s/%s/%s"):format(path, part, class)
      os.execute(("mkdir -p '%s'"):format(folder))
      for i = 1, count do
        cnn.image.save(("%s/%d.png"):format(folder, i), cnn.random.uniform({12, 10, 3}, -0.1, 0.1) + brightness)
      end
    end
  end
  return path
end

-- ---- the folder -------------------------------------------------------------------------------------------

TestCatsAndDogs = {setUp = make_scratch, tearDown = remove_scratch}

-- Where nothing can be downloaded, and nothing lies but what the test has laid down.
local function here()
  return {CNNLUA_DATA = scratch .. "/data", CNNLUA_MIRROR = "http://127.0.0.1:9", caches = {scratch .. "/cache"}}
end

function TestCatsAndDogs.test_where_the_folder_is_looked_for()
  for _, path in ipairs{"cache/cats_and_dogs_filtered", "cache/cats_and_dogs", "data/cats_and_dogs"} do
    lay_down(scratch .. "/" .. path, 0, "train", "validation")
    eq(with(here(), cats_and_dogs.path), scratch .. "/" .. path)
  end
end

function TestCatsAndDogs.test_a_folder_with_a_part_is_passed_over()
  lay_down(scratch .. "/data/cats_and_dogs", 0, "train")
  lay_down(scratch .. "/cache/cats_and_dogs", 0, "train", "validation")
  eq(with(here(), cats_and_dogs.path), scratch .. "/cache/cats_and_dogs")
end

function TestCatsAndDogs.test_with_nothing_the_message_tells_what_to_put_where()
  lay_down(scratch .. "/data/cats_and_dogs", 0, "train")
  local done, message = pcall(with, here(), cats_and_dogs.path)
  lu.assertFalse(done)
  for _, part in ipairs{
    "Cats and dogs is not on this machine and could not be downloaded: http://127.0.0.1:9/cats_and_dogs/",
    "/data/cats_and_dogs lacks validation/cats, validation/dogs\n", "Put these folders of pictures",
    "\n  train/cats\n  train/dogs\n  validation/cats\n  validation/dogs\ninto one of these folders:\n  " .. scratch
    .. "/data/cats_and_dogs\n", scratch .. "/cache/cats_and_dogs",
  } do
    lu.assertStrContains(message, part)
  end
end

function TestCatsAndDogs.test_a_folder_by_name()
  local folder = lay_down(scratch .. "/mine", 0, "train", "validation")
  eq(cats_and_dogs.path(folder), folder)
  eq(cats_and_dogs.path{path = folder}, folder)
  raises("cats_and_dogs.path: /nowhere lacks train/cats, train/dogs, validation", cats_and_dogs.path, "/nowhere")
  raises("did you mean 'path'", cats_and_dogs.path, {pth = folder})
  raises("'path' must be the name of a folder", cats_and_dogs.path, {path = 3})
end

-- ---- datasets ---------------------------------------------------------------------------------------------

-- How many pictures a dataset has, in which shape, and the sum of their labels.
local function look_at(dataset)
  local count, labelled, shape = 0, 0, nil
  for images, labels in dataset:iter() do
    count, labelled, shape = count + #images, labelled + labels:sum():item(), images:shape()
    for i = 1, #images do eq(images[i]:mean():item() > 128, labels:reshape{#images}[i] == 1) end
  end
  return {count, labelled, shape[2], shape[3], shape[4]}
end

function TestCatsAndDogs.test_datasets()
  local folder = lay_down(scratch .. "/mine", 3, "train", "validation", "test")
  local options = {path = folder, image_size = {8, 9}, batch_size = 4, label_mode = "binary"}
  local settings = here()
  local train, validation, test = with(settings, cats_and_dogs.load_data, options)
  eq(settings.told, "")
  eq(options, {path = folder, image_size = {8, 9}, batch_size = 4, label_mode = "binary"})
  for _, dataset in ipairs{train, validation, test} do eq(look_at(dataset), {6, 3, 8, 9, 3}) end
end

function TestCatsAndDogs.test_without_a_folder_test_half_of_validation_is_for_it()
  local folder = lay_down(scratch .. "/mine", 4, "train", "validation")
  local settings = here()
  local train, validation, test = with(settings, cats_and_dogs.load_data, {path = folder, image_size = {8, 8}})
  lu.assertStrContains(settings.told, "mine has no folder test: the test is on half of the pictures for validation")
  eq(look_at(train), {8, 4, 8, 8, 3})
  local first, second = look_at(validation), look_at(test)
  eq({first[1], second[1], first[2] + second[2]}, {4, 4, 4})
end

-- ---- scripts ----------------------------------------------------------------------------------------------

TestCatsDogsScripts = {setUp = make_scratch, tearDown = remove_scratch}

local function run(name)
  if not pcall(with, {CNNLUA_MIRROR = "http://127.0.0.1:9"}, cats_and_dogs.path) then
    lu.skip "the pictures of cats and dogs are not in CNNLUA_DATA"
  end
  cnn.backend.clear_session()
  local script = assert(loadfile("scripts/" .. name .. ".lua"))
  return script("--epochs", "1", "--limit", "32", "--out", scratch)
end

local function assert_picture(name)
  local shape = cnn.image.load(scratch .. "/" .. name):shape()
  lu.assertTrue(shape[1] > 100 and shape[2] > 100, name)
end

function TestCatsDogsScripts.test_cats_dogs()
  local e = run "cats_dogs"
  eq(e.model:count_params(), 991041)
  eq(#e.history.history.val_loss, 1)
  eq(e.best:count_params(), 991041)
  assert_picture "cats_dogs_loss.png"
  assert_picture "cats_dogs_accuracy.png"
end

function TestCatsDogsScripts.test_cats_dogs_augmented()
  local e = run "cats_dogs_augmented"
  eq(e.model:count_params(), 991041)
  eq(#e.best.layers, #e.model.layers)
  assert_picture "cats_dogs_augmented_loss.png"
  assert_picture "cats_dogs_augmented_accuracy.png"
end

function TestCatsDogsScripts.test_cats_dogs_transfer()
  if not pcall(with, {CNNLUA_MIRROR = "http://127.0.0.1:9"}, cnn.applications.SqueezeNet, {include_top = false}) then
    lu.skip "the weights of SqueezeNet are not in CNNLUA_DATA"
  end
  local e = run "cats_dogs_transfer"
  eq(e.base:get_layer "conv1".trainable, false)
  lu.assertTrue(e.accuracy > 0.5)
  assert_picture "cats_dogs_transfer.png"
end
