-- ImageDataGenerator: the geometry of Keras's, its other changes and normalizations, its batches; and the two scripts
-- that use it.
-- luacheck: globals TestImageDataGenerator TestFlow TestGeneratorScripts

local lu = require "luaunit"
local cnn = require "cnn"
local raises = require "raises"
local scratch = require "scratch"
local with = require "with"

local eq, Generator = lu.assertEquals, cnn.ImageDataGenerator

local function picture(height, width, channels)
  return cnn.arange(0, height * width * (channels or 1)):astype("float32"):reshape{height, width, channels or 1}
end

local function rows(image)
  return image:squeeze(-1):tolist()
end

local function close(a, b, within)
  lu.assertTrue(cnn.abs(a - b):max():item() <= (within or 1e-4), "largest difference " .. cnn.abs(a - b):max():item())
end

TestImageDataGenerator = {}

-- x is the columns 0 1 2 3 of rows 0 1 2, value 4·row + column.
function TestImageDataGenerator.test_one_transform_turns_moves_slants_and_zooms_as_keras_does()
  local g, x = Generator(), picture(3, 4)
  local function changed(parameters) return rows(g:apply_transform(x, parameters)) end
  eq(changed{}, rows(x))
  -- what is seen at a column is what was tx further right, at a row what was ty further down; the border goes on
  eq(changed{tx = 1}, {{1, 2, 3, 3}, {5, 6, 7, 7}, {9, 10, 11, 11}})
  eq(changed{ty = -1}, {{0, 1, 2, 3}, {0, 1, 2, 3}, {4, 5, 6, 7}})
  eq(changed{flip_horizontal = true}, {{3, 2, 1, 0}, {7, 6, 5, 4}, {11, 10, 9, 8}})
  eq(changed{flip_vertical = true}, {{8, 9, 10, 11}, {4, 5, 6, 7}, {0, 1, 2, 3}})
  -- half the columns, from the middle: 1.5 + 0.5·(column - 1.5)
  eq(changed{zx = 0.5}, {{0.75, 1.25, 1.75, 2.25}, {4.75, 5.25, 5.75, 6.25}, {8.75, 9.25, 9.75, 10.25}})
  -- theta = 90: input (x, y) = (-y, x) from the middle, with the border beyond rows 0 and 2
  close(g:apply_transform(x, {theta = 90}):squeeze(-1), cnn.tensor{
    {2.5, 4.5, 8.5, 10.5}, {1.5, 3.5, 7.5, 9.5}, {0.5, 2.5, 6.5, 8.5}})
  -- first turned, then moved, then zoomed: input y = x/2 + 1 at theta = 90, tx = 1; mirrored: y = -x/2 + 1
  close(g:apply_transform(x, {theta = 90, tx = 1, zx = 0.5, flip_horizontal = true}):squeeze(-1), cnn.tensor{
    {10.5, 10.5, 9.5, 7.5}, {9.5, 9.5, 8.5, 6.5}, {8.5, 8.5, 7.5, 5.5}})
  -- shear = 90: input (x, y) = (x - y, 0) from the middle: the middle row, further left from row to row
  close(g:apply_transform(x, {shear = 90}):squeeze(-1), cnn.tensor{{5, 6, 7, 7}, {4, 5, 6, 7}, {4, 4, 5, 6}})
  -- computed by the formulas of Keras 2.12
  local all = {theta = 33, tx = 1.25, ty = -0.5, shear = 12, zx = 0.8, zy = 1.3}
  local y = g:apply_transform((picture(6, 6) ^ 1.5):reshape{6, 6, 1}, all)
  close(y[1]:squeeze(), cnn.tensor{9.4038, 11.1803, 17.3924, 28.4170, 40.4130, 55.0572}, 1e-3)
  close(y[4]:squeeze(), cnn.tensor{55.4783, 75.6579, 96.5542, 120.6973, 145.4260, 171.9650}, 1e-3)
end

function TestImageDataGenerator.test_what_is_seen_beyond_the_border()
  local x = picture(1, 4)
  local function shifted(mode)
    return rows(Generator{fill_mode = mode, cval = 9}:apply_transform(x, {tx = 2}))[1]
  end
  eq(shifted "nearest", {2, 3, 3, 3})
  eq(shifted "constant", {2, 3, 9, 9})
  eq(shifted "reflect", {2, 3, 3, 2})
  eq(shifted "wrap", {2, 3, 0, 1})
  eq(rows(Generator{interpolation_order = 0}:apply_transform(x, {tx = 0.4})), {{0, 1, 2, 3}})
  close(Generator():apply_transform(x, {tx = 0.25}), cnn.tensor{0.25, 1.25, 2.25, 3}:reshape{1, 4, 1})
end

function TestImageDataGenerator.test_channel_shift_and_brightness_stay_within_the_values_there_are()
  local g = Generator()
  eq(rows(g:apply_transform(picture(1, 4), {channel_shift_intensity = 1.5})), {{1.5, 2.5, 3, 3}})
  eq(rows(g:apply_transform(picture(1, 4) * 80, {brightness = 2})), {{0, 160, 255, 255}})
  eq(rows(g:apply_transform(picture(1, 3) - 1, {brightness = 0.5})), {{-1, -0.5, 0}})
  eq(rows(g:apply_transform(cnn.full({1, 2, 1}, -1), {brightness = 0.5})), {{-1, -1}})
end

function TestImageDataGenerator.test_random_parameters_lie_in_their_ranges()
  local g = Generator{rotation_range = 30, width_shift_range = 0.25, height_shift_range = 3, shear_range = 5,
                      zoom_range = 0.3, channel_shift_range = 7, brightness_range = {0.5, 2}, horizontal_flip = true}
  local flips = 0
  local function within(value, low, high) lu.assertTrue(value >= low and value <= high, value) end
  for seed = 1, 200 do
    local p = g:get_random_transform({10, 40, 3}, seed)
    within(p.theta, -30, 30)
    within(p.tx, -10, 10)
    within(p.ty, -2, 2)
    eq(p.ty, math.floor(p.ty))
    within(p.shear, -5, 5)
    within(p.zx, 0.7, 1.3)
    within(p.zy, 0.7, 1.3)
    within(p.channel_shift_intensity, -7, 7)
    within(p.brightness, 0.5, 2)
    eq(p.flip_vertical, false)
    flips = flips + (p.flip_horizontal and 1 or 0)
  end
  within(flips, 60, 140)
  local listed = Generator{width_shift_range = {-4, 4}, zoom_range = {0.5, 0.5}}:get_random_transform({10, 10, 1})
  eq(math.abs(listed.tx), 4)
  eq({listed.zx, listed.zy, listed.theta, listed.ty}, {0.5, 0.5, 0, 0})
  local x = picture(10, 10, 3)
  eq(g:random_transform(x, 5):tolist(), g:random_transform(x, 5):tolist())
  lu.assertNotEquals(g:random_transform(x, 5):tolist(), g:random_transform(x, 6):tolist())
end

function TestImageDataGenerator.test_standardize_follows_keras_in_what_it_does_and_when()
  local x = picture(2, 2)
  eq(rows(Generator{rescale = 0.5}:standardize(x)), {{0, 0.5}, {1, 1.5}})
  eq(rows(Generator{samplewise_center = true}:standardize(x)), {{-1.5, -0.5}, {0.5, 1.5}})
  close(Generator{samplewise_std_normalization = true}:standardize(x), (x - 1.5) / math.sqrt(1.25), 1e-5)
  local first = Generator{rescale = 10, preprocessing_function = function(image) return image + 1 end}
  eq(rows(first:standardize(x)), {{10, 20}, {30, 40}})
end

function TestImageDataGenerator.test_fit_finds_mean_and_deviation_of_each_channel()
  local g = Generator{featurewise_std_normalization = true, rescale = 2}
  raises("call generator:fit(x) first", g.standardize, g, picture(2, 2))
  local x = cnn.random.uniform({6, 4, 5, 3}, 0, 255)
  g:fit(x)
  eq(#g.mean, 3)
  local y = g:standardize(x)
  close(y:mean{1, 2, 3}, cnn.zeros{3})
  close(y:std{1, 2, 3}, cnn.ones{3})
  g:fit{x, augment = true, rounds = 2, seed = 1}
  close(g.mean, x:mean{1, 2, 3} * 2, 1e-2)
end

function TestImageDataGenerator.test_wrong_arguments_are_told()
  eq(cnn.preprocessing.image.ImageDataGenerator, Generator)
  raises("unknown argument 'rotation_rang' (did you mean 'rotation_range'?)", Generator, {rotation_rang = 1})
  raises("'rotation_range' must be a number, got x", Generator, {rotation_range = "x"})
  raises("'fill_mode' must be one of constant, nearest, reflect, wrap, got mirror", Generator, {fill_mode = "mirror"})
  raises("'brightness_range' must be a list of two numbers", Generator, {brightness_range = 2})
  raises("'zoom_range' must be a number or a list of two", Generator, {zoom_range = {1, 2, 3}})
  raises("'zca_whitening' is not supported", Generator, {zca_whitening = true})
  raises("'data_format' must be channels_last, got channels_first", Generator, {data_format = "channels_first"})
  raises("'interpolation_order' must be 0 or 1, got 3", Generator, {interpolation_order = 3})
  raises("'validation_split' must be a number from 0 to below 1", Generator, {validation_split = 1})
  raises("'preprocessing_function' must be a function", Generator, {preprocessing_function = "x"})
  local g = Generator()
  raises("apply_transform: expected a picture [H,W,C]", g.apply_transform, g, cnn.zeros{2, 2}, {})
  raises("apply_transform: expected a table of parameters", g.apply_transform, g, cnn.zeros{2, 2, 1})
  raises("apply_transform: unknown parameter 'thet' (did you mean 'theta'?)", g.apply_transform, g, cnn.zeros{2, 2, 1},
    {thet = 90})
  raises("get_random_transform: expected {height, width, channels}, got 3", g.get_random_transform, g, 3)
  raises("random_transform: expected a picture [H,W,C]", g.random_transform, g, 7)
  raises("fit: expected pictures [N,H,W,C], got a tensor float32 (2, 2, 1)", g.fit, g, cnn.zeros{2, 2, 1})
end

-- Lays down four dark cats and four bright dogs, of the greys 10 … 40 and 110 … 140.
local function lay_down(folder)
  for label, class in ipairs{"cats", "dogs"} do
    os.execute(("mkdir -p '%s/%s'"):format(folder, class))
    for i = 1, 4 do
      local grey = cnn.full({3, 4, 3}, 100 * (label - 1) + 10 * i):astype "uint8"
      cnn.image.save(("%s/%s/%d.png"):format(folder, class, i), grey)
    end
  end
end

-- luacheck: globals print
TestFlow = {}

function TestFlow:setUp()
  self.folder = scratch.make()
  lay_down(self.folder)
  self.print, print = print, function() end
end

function TestFlow:tearDown()
  print = self.print
  scratch.remove(self.folder)
end

-- The first value of each picture and its label, from all batches.
local function list(dataset, workers)
  local values, labels, sizes = {}, {}, {}
  for pictures, y in dataset:iter{workers = workers} do
    sizes[#sizes + 1] = #pictures
    for i = 1, #pictures do
      values[#values + 1] = pictures[{i, 1, 1, 1}]
      labels[#labels + 1] = y and (cnn.is_tensor(y[i]) and y[i]:tolist() or y[i])
    end
  end
  return values, labels, sizes
end

function TestFlow.test_flow_gives_changed_pictures_with_their_labels_and_weights()
  local x, y = cnn.arange(0, 10):reshape{10, 1, 1, 1}, cnn.arange(0, 10)
  local g = Generator{rescale = 10}
  local dataset = g:flow{x, y, batch_size = 4, shuffle = false}
  eq({#dataset, dataset.n, dataset.batch_size}, {3, 10, 4})
  local values, labels, sizes = list(dataset)
  eq(values, {0, 10, 20, 30, 40, 50, 60, 70, 80, 90})
  eq(labels, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
  eq(sizes, {4, 4, 2})
  local shuffled = g:flow(x, y)
  values, labels = list(shuffled)
  for i, value in ipairs(values) do eq(value, 10 * labels[i]) end
  lu.assertNotEquals(values, (list(shuffled)))
  for pictures, classes, weights in g:flow{x, y, sample_weight = y * 2}:iter() do
    eq((pictures:flatten() / 10):tolist(), classes:tolist())
    eq((classes * 2):tolist(), weights:tolist())
  end
  eq(select("#", g:flow(x):iter()()), 1)
  local _, nested = g:flow{cnn.ones{2, 4, 4, 1}, {3, 5}, shuffle = false}:iter()()
  eq(nested:tolist(), {3, 5})
end

function TestFlow.test_a_seed_fixes_order_and_changes_for_any_number_of_workers()
  local x = cnn.random.uniform{12, 5, 5, 1}
  local offset = 3
  local g = Generator{rotation_range = 90, horizontal_flip = true, preprocessing_function = function(image, rng)
    return image + rng:uniform(0, offset)
  end}
  local function run(seed, workers) return (list(g:flow{x, seed = seed, batch_size = 5}, workers)) end
  eq(run(3, 1), run(3, 3))
  lu.assertNotEquals(run(3), run(4))
  local piped = Generator{preprocessing_function = cnn.augment.pipeline{cnn.augment.rescale{2}, function(image)
    return image + offset
  end}}
  eq((list(piped:flow{x, shuffle = false})), (list(Generator():flow{x * 2 + 3, shuffle = false})))
end

function TestFlow.test_datasets_map_a_generator_itself()
  local x, y = cnn.arange(0, 4):reshape{4, 1, 1, 1}, cnn.arange(0, 4)
  local dataset = cnn.data.Dataset.from_tensor_slices{x, y}:map(Generator{rescale = 10})
  local values = {}
  for image, label in dataset:iter() do values[#values + 1] = {image:item(), label:item()} end
  eq(values, {{0, 0}, {10, 1}, {20, 2}, {30, 3}})
end

function TestFlow.test_subsets_split_from_the_front()
  local x, y = cnn.arange(0, 10):reshape{10, 1, 1, 1}, cnn.tensor({0, 1, 0, 1, 0, 1, 0, 1, 0, 1}, "int32")
  local g = Generator{validation_split = 0.2}
  eq((list(g:flow{x, y, subset = "validation", shuffle = false})), {0, 1})
  eq((list(g:flow{x, y, subset = "training", shuffle = false})), {2, 3, 4, 5, 6, 7, 8, 9})
  raises("different classes after the split", g.flow, g, {x, cnn.arange(0, 10), subset = "training"})
  eq(g:flow{x, cnn.arange(0, 10), subset = "training", ignore_class_split = true}.n, 8)
  raises("there is nothing in subset 'validation' of 10 samples", Generator().flow, Generator(),
    {x, subset = "validation"})
end

function TestFlow:test_flow_from_directory_finds_classes_and_labels()
  local g = Generator()
  local dataset = g:flow_from_directory{self.folder, target_size = {2, 5}, class_mode = "binary", shuffle = false,
                                        batch_size = 3}
  eq({#dataset, dataset.samples, dataset.n, dataset.batch_size}, {3, 8, 8, 3})
  eq(dataset.class_indices, {cats = 0, dogs = 1})
  eq(dataset.classes, {0, 0, 0, 0, 1, 1, 1, 1})
  eq({dataset.filenames[1], dataset.filenames[8]}, {"cats/1.png", "dogs/4.png"})
  local values, labels = list(dataset)
  eq(values, {10, 20, 30, 40, 110, 120, 130, 140})
  eq(labels, {0, 0, 0, 0, 1, 1, 1, 1})
  eq((dataset:iter()()):shape(), {3, 2, 5, 3})
  local function labels_of(mode)
    local _, found = list(g:flow_from_directory{self.folder, class_mode = mode, shuffle = false})
    return found
  end
  eq(labels_of "sparse", {0, 0, 0, 0, 1, 1, 1, 1})
  eq(labels_of()[5], {0, 1})
  eq(labels_of(cnn.null), {})
  eq(labels_of(false), {})
  local pictures, same = g:flow_from_directory{self.folder, class_mode = "input", color_mode = "grayscale"}:iter()()
  eq(pictures:shape(), {8, 256, 256, 1})
  eq(same:shape(), {8, 256, 256, 1})
  local dogs = g:flow_from_directory{self.folder, classes = {"dogs"}, shuffle = false}
  eq({dogs.samples, dogs.class_indices}, {4, {dogs = 0}})
end

function TestFlow:test_subsets_of_a_folder_take_the_same_part_of_each_class()
  local g = Generator{validation_split = 0.25}
  local function names(subset)
    return g:flow_from_directory{self.folder .. "/", subset = subset}.filenames
  end
  eq(names "validation", {"cats/1.png", "dogs/1.png"})
  eq(names "training", {"cats/2.png", "cats/3.png", "cats/4.png", "dogs/2.png", "dogs/3.png", "dogs/4.png"})
end

function TestFlow:test_changed_pictures_are_kept_as_files()
  local out = self.folder .. "/out"
  os.execute(("mkdir '%s'"):format(out))
  list(Generator():flow{cnn.random.uniform{3, 4, 4, 1}, save_to_dir = out, save_prefix = "new", shuffle = false})
  local found = {}
  local command <close> = io.popen(("ls '%s'"):format(out))
  for name in command:lines() do
    found[#found + 1] = name:match "^new_(%d)_%d+%.png$"
    eq(cnn.image.load(out .. "/" .. name):shape(), {4, 4, 1})
  end
  eq(found, {"0", "1", "2"})
end

function TestFlow:test_errors_name_the_picture()
  local line = debug.getinfo(1, "l").currentline + 2
  local g = Generator{preprocessing_function = function(image)
    if image:max():item() == 120 then error "no such dog" end
    return image
  end}
  raises(("%s/dogs/2.png: tests/lua/test_image_data_generator.lua:%d: no such dog"):format(self.folder, line),
    list, g:flow_from_directory{self.folder})
  local file = io.open(self.folder .. "/cats/9.png", "w")
  file:write "no picture"
  file:close()
  raises("cats/9.png", list, Generator():flow_from_directory{self.folder})
end

function TestFlow:test_wrong_arguments_are_told()
  local g = Generator()
  raises("flow: expected pictures [N,H,W,C]", g.flow, g, cnn.zeros{2, 2})
  raises("flow: x has 2 samples, but 'y' has 3", g.flow, g, cnn.zeros{2, 2, 2, 1}, cnn.zeros{3})
  raises("'sample_weight' needs 'y'", g.flow, g, {cnn.zeros{2, 2, 2, 1}, sample_weight = cnn.zeros{2}})
  raises("flow: 'batch_size' must be a whole number of at least 1, got 0", g.flow, g,
    {cnn.zeros{2, 2, 2, 1}, batch_size = 0})
  raises("flow: unknown argument 'batchsize' (did you mean 'batch_size'?)", g.flow, g, {batchsize = 1})
  raises("flow_from_directory: 'directory' is missing", g.flow_from_directory, g)
  raises("nowhere", g.flow_from_directory, g, {self.folder .. "/nowhere"})
  raises("'target_size' must be {height, width}", g.flow_from_directory, g, {self.folder, target_size = {3, 0.5}})
  raises("there are no pictures in " .. self.folder .. " for subset 'validation'", g.flow_from_directory, g,
    {self.folder, subset = "validation"})
  raises("'class_mode' must be one of", g.flow_from_directory, g, {self.folder, class_mode = "many"})
  raises("'subset' must be one of training, validation", g.flow_from_directory, g, {self.folder, subset = "test"})
  raises("class_mode 'binary' needs 2 classes, got 1", g.flow_from_directory, g,
    {self.folder, classes = {"cats"}, class_mode = "binary"})
end

TestGeneratorScripts = {setUp = TestFlow.setUp, tearDown = TestFlow.tearDown}

local function assert_pictures(folder, ...)
  for _, name in ipairs{...} do
    local shape = cnn.image.load(folder .. "/" .. name .. ".png"):shape()
    lu.assertTrue(shape[1] > 300 and shape[2] > 300, name)
  end
end

function TestGeneratorScripts:test_augmentation_gallery()
  local script = assert(loadfile "scripts/augmentation_gallery.lua")
  local e = script(self.folder .. "/cats/1.png", "--out", self.folder)
  eq(e.picture:shape(), {180, 180, 3})
  assert_pictures(self.folder, "augmentation_layers", "augmentation_generator", "augmentation_pipeline")
end

function TestGeneratorScripts:test_cats_dogs_generator()
  local data = self.folder .. "/cats_and_dogs"
  for _, part in ipairs{"train", "validation", "test"} do lay_down(data .. "/" .. part) end
  cnn.backend.clear_session()
  local script = assert(loadfile "scripts/cats_dogs_generator.lua")
  local e = with({CNNLUA_DATA = self.folder}, script, "--epochs", "1", "--limit", "8", "--out", self.folder)
  eq(e.model:count_params(), 991041)
  eq(#e.history.history.val_accuracy, 1)
  lu.assertTrue(e.accuracy >= 0 and e.accuracy <= 1)
  assert_pictures(self.folder, "cats_dogs_generator_loss", "cats_dogs_generator_accuracy")
end
