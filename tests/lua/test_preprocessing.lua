-- Layers that change pictures: RandomFlip … RandomBrightness, RandomCrop, Resizing, CenterCrop.

local lu = require "luaunit"
local cnn = require "cnn"
local raises = require "raises"
local layers = cnn.layers

TestPreprocessing = {}

local made = {}

local function path(ending)
  local name = os.tmpname()
  os.remove(name)
  made[#made + 1] = name .. ending
  return made[#made]
end

function TestPreprocessing:setUp()
  self.threads = cnn.threads()
  cnn.set_seed(3)
end

function TestPreprocessing:tearDown()
  cnn.set_threads(self.threads)
  for _, name in ipairs(made) do os.remove(name) end
  made = {}
end

local function trained(layer, x) return layer(x, {training = true}) end

local function same(a, b) return cnn.allclose(a, b, 0, 0) end

-- Rows of numbers as one picture of one channel.
local function picture(rows) return cnn.tensor(rows):reshape{#rows, #rows[1], 1} end

local nine = picture{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}}
local sixteen = picture{{1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10, 11, 12}, {13, 14, 15, 16}}

-- What the layer makes of a picture in training, to within the rounding of float32.
local function check(layer, x, rows)
  local y = trained(layer, x)
  lu.assertTrue(cnn.allclose(y, picture(rows), 1e-6, 1e-5), layer.name .. "\n" .. tostring(y))
end

-- ---- values ------------------------------------------------------------------------------------------------

-- Keras's matrix takes (x, y) of the output to (cos·x - sin·y + …, sin·x + cos·y + …) of the input about the
-- middle ((w - 1)/2, (h - 1)/2). A quarter turn: (x, y) → (2 - y, x), so that the first row of the output is the
-- last column of the input: counter-clockwise. Of 2×3 pixels (x, y) → (1.5 - y, x - 0.5) lies between four,
-- or beyond the border.
function TestPreprocessing.test_rotation_is_counter_clockwise_in_whole_turns()
  check(layers.RandomRotation{{0.25, 0.25}}, nine, {{3, 6, 9}, {2, 5, 8}, {1, 4, 7}})
  check(layers.RandomRotation{{-0.25, -0.25}}, nine, {{7, 4, 1}, {8, 5, 2}, {9, 6, 3}})
  check(layers.RandomRotation{{0.5, 0.5}}, sixteen,
    {{16, 15, 14, 13}, {12, 11, 10, 9}, {8, 7, 6, 5}, {4, 3, 2, 1}})
  check(layers.RandomRotation{{0.25, 0.25}, fill_mode = "constant"}, picture{{1, 2, 3}, {4, 5, 6}},
    {{(2 + 3) / 4, (2 + 3 + 5 + 6) / 4, (5 + 6) / 4}, {(1 + 2) / 4, (1 + 2 + 4 + 5) / 4, (4 + 5) / 4}})
end

function TestPreprocessing.test_flips_mirror_the_picture_or_leave_it()
  local flipped = {
    horizontal = {{3, 2, 1}, {6, 5, 4}, {9, 8, 7}},
    vertical = {{7, 8, 9}, {4, 5, 6}, {1, 2, 3}},
  }
  for mode, rows in pairs(flipped) do
    local layer, times = layers.RandomFlip{mode, seed = 1}, 0
    for _ = 1, 20 do
      local y = trained(layer, nine)
      if same(y, picture(rows)) then times = times + 1 else lu.assertTrue(same(y, nine)) end
    end
    lu.assertTrue(times > 2 and times < 18, mode .. " " .. times)
  end
end

-- The output at (x, y) is the input at (x - 2, y - 2), half of 4 to the right and down; -1 and -2 lie beyond.
function TestPreprocessing.test_translation_fills_as_it_is_told()
  local function moved(mode) return layers.RandomTranslation{{0.5, 0.5}, {0.5, 0.5}, fill_mode = mode} end
  check(moved "constant", sixteen, {{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 1, 2}, {0, 0, 5, 6}})
  check(moved "nearest", sixteen, {{1, 1, 1, 2}, {1, 1, 1, 2}, {1, 1, 1, 2}, {5, 5, 5, 6}})
  check(moved "reflect", sixteen, {{6, 5, 5, 6}, {2, 1, 1, 2}, {2, 1, 1, 2}, {6, 5, 5, 6}})
  check(moved "wrap", sixteen, {{11, 12, 9, 10}, {15, 16, 13, 14}, {3, 4, 1, 2}, {7, 8, 5, 6}})
  check(layers.RandomTranslation{{-0.25, -0.25}, {0, 0}, fill_mode = "constant", fill_value = 7}, sixteen,
    {{5, 6, 7, 8}, {9, 10, 11, 12}, {13, 14, 15, 16}, {7, 7, 7, 7}})
end

-- Keras's offset is (size - 1)/2·(1 - zoom), zoom being 1 and the factor. Of 3 pixels, factor 0.5: x → 1.5x - 0.5,
-- that is -0.5, 1 and 2.5; halves of the outer pixels, and of the fill beyond. Factor -0.5: x → 0.5x + 0.5.
function TestPreprocessing.test_zoom_is_out_above_0_and_in_below()
  check(layers.RandomZoom{{0.5, 0.5}, fill_mode = "constant"}, nine,
    {{1 / 4, 2 / 2, 3 / 4}, {4 / 2, 5, 6 / 2}, {7 / 4, 8 / 2, 9 / 4}})
  check(layers.RandomZoom{{-0.5, -0.5}}, nine, {{3, 3.5, 4}, {4.5, 5, 5.5}, {6, 6.5, 7}})
  check(layers.RandomZoom{{0, 0}, {0.5, 0.5}, fill_mode = "constant"}, nine,
    {{1 / 2, 2, 3 / 2}, {4 / 2, 5, 6 / 2}, {7 / 2, 8, 9 / 2}})
end

-- The same numbers for both directions: what was a square stays one.
function TestPreprocessing.test_zoom_without_width_factor_keeps_the_proportion()
  local ramp = cnn.arange(0, 16):astype "float32"
  local x = cnn.stack({ramp:reshape{16, 1} + cnn.zeros{1, 16}, ramp:reshape{1, 16} + cnn.zeros{16, 1}}, 3)
  local y = trained(layers.RandomZoom{{-0.6, -0.1}}, x)
  lu.assertFalse(cnn.allclose(y, x, 0, 0.1))
  lu.assertTrue(cnn.allclose(y[{{}, {}, 1}], y[{{}, {}, 2}]:transpose(), 0, 1e-4))
  y = trained(layers.RandomZoom{{-0.6, -0.1}, {-0.6, -0.1}}, x)
  lu.assertFalse(cnn.allclose(y[{{}, {}, 1}], y[{{}, {}, 2}]:transpose(), 0, 1e-4))
end

-- Keras shears about the first pixel, one way or the other: x → x ± y.
function TestPreprocessing.test_shear_goes_either_way()
  local layer = layers.RandomShear{{1, 1}, fill_mode = "constant"}
  local ways = {picture{{1, 2, 3}, {5, 6, 0}, {9, 0, 0}}, picture{{1, 2, 3}, {0, 4, 5}, {0, 0, 7}}}
  local seen = {}
  for _ = 1, 20 do
    local y = trained(layer, nine)
    seen[same(y, ways[1]) and 1 or same(y, ways[2]) and 2 or 3] = true
  end
  lu.assertEquals(seen, {true, true})
end

function TestPreprocessing.test_brightness_adds_a_part_of_the_range()
  check(layers.RandomBrightness{{0.1, 0.1}}, picture{{1, 2}, {250, -40}}, {{26.5, 27.5}, {255, 0}})
  check(layers.RandomBrightness{{-0.5, -0.5}, value_range = {1, -1}}, picture{{0.5, 1}, {0, -0.5}},
    {{-0.5, 0}, {-1, -1}})
end

-- Away from the mean, 5, or towards it by the factor that 3 and 7 tell; each channel has a mean of its own.
function TestPreprocessing.test_contrast_keeps_means()
  local x = cnn.tensor{3, 30, 5, 50, 7, 70}:reshape{1, 3, 2}
  local y = trained(layers.RandomContrast{0.9, seed = 2}, x)
  local factor = (7 - y[{1, 1, 1}] - 2) / 2
  lu.assertTrue(factor > 0.1 and factor < 1.9 and math.abs(factor - 1) > 0.01, factor)
  lu.assertTrue(cnn.allclose(y, (x - cnn.tensor{5, 50}) * factor + cnn.tensor{5, 50}, 1e-5, 1e-5))
  check(layers.RandomContrast{{0, 1}, value_range = {4, 6}, seed = 1}, picture{{0, 10}}, {{4, 6}})
end

function TestPreprocessing.test_sizes_are_changed_in_training_or_not()
  local half = picture{{3.5, 5.5}, {11.5, 13.5}}
  lu.assertTrue(same(layers.Resizing{2, 2}(sixteen), half))
  lu.assertTrue(same(trained(layers.Resizing{2, 2, interpolation = "area"}, sixteen), half))
  lu.assertTrue(same(layers.Resizing{2, 2, interpolation = "nearest"}(sixteen), picture{{6, 8}, {14, 16}}))
  lu.assertTrue(same(layers.Resizing{1, 2, crop_to_aspect_ratio = true}(sixteen), picture{{8 - 0.5, 10 - 0.5}}))
  lu.assertTrue(same(layers.CenterCrop{2, 3}(sixteen), picture{{5, 6, 7}, {9, 10, 11}}))
  local wide = cnn.arange(0, 24):astype "float32":reshape{2, 12, 1}
  lu.assertTrue(same(layers.CenterCrop{4, 6}(wide), cnn.image.resize(wide[{{}, {5, 7}}], {4, 6})))
end

-- In training a place for the whole batch; otherwise the longest part of that proportion, resized.
function TestPreprocessing.test_random_crop_is_one_part_of_all_pictures()
  local x = cnn.stack{sixteen, sixteen + 100}
  local layer, places = layers.RandomCrop{2, 3}, {}
  for _ = 1, 60 do
    local y = trained(layer, x)
    local first = math.tointeger(y[{1, 1, 1, 1}])
    local row, column = (first - 1) // 4 + 1, (first - 1) % 4 + 1
    lu.assertTrue(same(y, x[{{}, {row, row + 1}, {column, column + 2}}]))
    places[first] = true
  end
  lu.assertEquals(places, {true, true, nil, nil, true, true, nil, nil, true, true})
  lu.assertTrue(same(layer(x, {training = false}), layers.Resizing{2, 3, crop_to_aspect_ratio = true}(x)))
  lu.assertTrue(same(trained(layers.RandomCrop{8, 8}, x), layers.Resizing{8, 8}(x)))
end

-- ---- training and inference --------------------------------------------------------------------------------

local random = {
  {"RandomFlip", {}}, {"RandomRotation", {0.1}}, {"RandomZoom", {0.2}}, {"RandomZoom", {0.2, 0.3}},
  {"RandomTranslation", {0.2, 0.1}}, {"RandomShear", {0.2, 0.1}}, {"RandomContrast", {0.5}},
  {"RandomBrightness", {0.2}},
}

local function pixels(shape) return cnn.random.uniform{shape, 0, 255} end

function TestPreprocessing.test_in_inference_pictures_stay_as_they_are()
  local x = pixels{5, 6, 7, 3}
  local bytes = x:astype "uint8"
  for _, case in ipairs(random) do
    local layer = layers[case[1]](case[2])
    lu.assertTrue(same(layer(x, {training = false}), x), case[1])
    local y = layer(bytes, {training = false})
    lu.assertEquals(y:dtype(), "float32", case[1])
    lu.assertTrue(same(y, bytes:astype "float32"), case[1])
    local one = cnn.Sequential{cnn.Input{6, 7, 3}, layer}
    lu.assertTrue(same(one:predict{x, verbose = 0}, x), case[1])
    lu.assertFalse(cnn.allclose(trained(one, x), x, 0, 1), case[1])
  end
end

function TestPreprocessing.test_one_picture_is_taken_as_a_batch_of_one()
  for _, case in ipairs(random) do
    local x = pixels{6, 5, 3}
    case[2].seed = 4
    local make = layers[case[1]]
    local y = trained(make(case[2]), x)
    lu.assertTrue(same(y, trained(make(case[2]), x:reshape{1, 6, 5, 3}):reshape{6, 5, 3}), case[1])
  end
end

local function augmented_network(dtype)
  local augmentation = cnn.Sequential{
    layers.RandomFlip{"horizontal", seed = 1}, layers.RandomRotation{0.1, seed = 1}, layers.RandomZoom{0.2, seed = 1},
    layers.RandomContrast{0.1, seed = 1},
  }
  local inputs = cnn.Input{shape = {12, 10, 3}, dtype = dtype}
  local x = layers.Rescaling{1 / 255}(augmentation(inputs))
  x = layers.Conv2D{4, 3, activation = "relu"}(layers.RandomCrop{9, 9, seed = 2}(x))
  local model = cnn.Model{inputs = inputs, outputs = layers.Dense{2}(layers.Flatten{}(x))}
  model:compile{optimizer = "adam", loss = "mse"}
  return model
end

function TestPreprocessing.test_training_is_the_same_for_any_number_of_threads()
  local x, y = pixels{23, 12, 10, 3}, cnn.random.uniform{23, 2}
  for _, dtype in ipairs{"float32", "uint8"} do
    local function weights(threads)
      cnn.set_threads(threads)
      cnn.set_seed(5)
      local model = augmented_network(dtype)
      model:fit{x:astype(dtype), y, epochs = 2, batch_size = 9, verbose = 0}
      return model:get_weights()
    end
    local one, five = weights(1), weights(5)
    for k, w in ipairs(one) do lu.assertTrue(same(w, five[k]), dtype .. ", weights " .. k) end
  end
end

-- Pictures of 0 become ones of a quarter of 100; the network's output is their mean.
function TestPreprocessing.test_layers_are_active_in_fit_alone()
  local model = cnn.Sequential{
    cnn.Input{4, 4, 1}, layers.RandomBrightness{{0.25, 0.25}, value_range = {0, 100}},
    layers.GlobalAveragePooling2D{}, layers.Dense{1, kernel_initializer = "ones"},
  }
  model:compile{optimizer = cnn.optimizers.SGD{0}, loss = "mse"}
  local x, y = cnn.zeros{8, 4, 4, 1}, cnn.zeros{8, 1}
  lu.assertAlmostEquals(model:fit{x, y, verbose = 0}.history.loss[1], 25 ^ 2, 1e-3)
  lu.assertEquals(model:evaluate{x, y, verbose = 0}, 0)
  lu.assertTrue(same(model:predict{x, verbose = 0}, y))
end

-- ---- randomness --------------------------------------------------------------------------------------------

-- Of each picture, whether left and right, and top and bottom, were exchanged.
local function flips(layer, count)
  local x = cnn.tensor{0, 1, 2, 3}:reshape{1, 2, 2, 1} + cnn.zeros{count, 1, 1, 1}
  local first = trained(layer, x)[{{}, 1, 1, 1}]
  return first % 2, cnn.floor(first / 2)
end

function TestPreprocessing.test_half_of_the_pictures_are_flipped_each_way_by_itself()
  local across, down = flips(layers.RandomFlip{seed = 1}, 4000)
  local function share(t) return t:mean():item() end
  lu.assertAlmostEquals(share(across), 0.5, 0.04) -- 5 standard deviations
  lu.assertAlmostEquals(share(down), 0.5, 0.04)
  lu.assertAlmostEquals(share(across * down), 0.25, 0.035)
  across, down = flips(layers.RandomFlip{"vertical"}, 100)
  lu.assertEquals(share(across), 0)
  lu.assertTrue(share(down) > 0.2)
end

local function brightness_of(layer, count)
  return trained(layer, cnn.ones{count, 1, 1, 1} * 100)[{{}, 1, 1, 1}] - 100
end

function TestPreprocessing.test_amounts_fill_their_range_evenly()
  local added = brightness_of(layers.RandomBrightness{{-0.1, 0.3}, value_range = {0, 1000}, seed = 1}, 4000)
  lu.assertTrue(added:min():item() >= -100 and added:min():item() < -98)
  lu.assertTrue(added:max():item() <= 300 and added:max():item() > 298)
  lu.assertAlmostEquals(added:mean():item(), 100, 10)
  lu.assertAlmostEquals(added:std():item(), 400 / math.sqrt(12), 5)
end

-- Tutorials give all layers one seed; what they do must not go together.
function TestPreprocessing.test_layers_of_one_seed_draw_apart()
  cnn.set_seed(1)
  local across = flips(layers.RandomFlip{seed = 7}, 4000)
  cnn.set_seed(1)
  local added = brightness_of(layers.RandomBrightness{0.1, seed = 7}, 4000)
  local both = ((across - 0.5) * added):mean():item()
  lu.assertAlmostEquals(both / (0.5 * added:std():item()), 0, 0.08)
end

function TestPreprocessing.test_seeds_decide()
  local x = pixels{8, 5, 5, 1}
  local function made_of(seed, layer_seed)
    cnn.set_seed(seed)
    return trained(layers.RandomRotation{0.4, seed = layer_seed}, x)
  end
  lu.assertTrue(same(made_of(1, 2), made_of(1, 2)))
  lu.assertFalse(same(made_of(1, 2), made_of(1, 3)))
  lu.assertTrue(same(made_of(1, 2), made_of(2, 2))) -- the layer's own alone
  lu.assertTrue(same(made_of(1), made_of(1)))
  lu.assertFalse(same(made_of(1), made_of(2)))
  local layer = layers.RandomRotation{0.4, seed = 2}
  lu.assertFalse(same(trained(layer, x), trained(layer, x)))
end

-- ---- gradients ---------------------------------------------------------------------------------------------

-- Between layers that learn they pass gradients on: the kernel before them is trained.
function TestPreprocessing.test_gradients_go_through()
  local model = cnn.Sequential{
    layers.Conv2D{2, 1, use_bias = false, input_shape = {6, 6, 1}}, layers.RandomRotation{0.3}, layers.RandomFlip{},
    layers.Resizing{4, 5}, layers.RandomCrop{3, 4}, layers.CenterCrop{2, 2}, layers.GlobalAveragePooling2D{},
  }
  model:compile{optimizer = "sgd", loss = "mse"}
  local before = model:get_weights()[1]
  model:fit{cnn.random.uniform{8, 6, 6, 1}, cnn.ones{8, 2}, epochs = 2, verbose = 0}
  lu.assertFalse(cnn.allclose(before, model:get_weights()[1], 0, 1e-3))
end

-- ---- files, errors, summary --------------------------------------------------------------------------------

function TestPreprocessing.test_models_come_back_from_files()
  local all = {layers.Resizing{12, 14, interpolation = "bicubic"}, layers.CenterCrop{11, 12}, layers.RandomCrop{9, 10}}
  for _, case in ipairs(random) do all[#all + 1] = layers[case[1]](case[2]) end
  all[#all + 1] = layers.RandomFlip{"vertical", seed = 11}
  all[#all + 1] = layers.RandomContrast{{0.3, 0.2}, value_range = {0, 1}}
  all[#all + 1] = layers.RandomRotation{{-0.1, 0.3}, fill_mode = "constant", fill_value = 3, interpolation = "nearest"}
  local inputs = cnn.Input{13, 11, 3}
  local x = cnn.Sequential(all)(inputs)
  local model = cnn.Model{inputs = inputs, outputs = layers.Dense{2}(layers.Flatten{}(x))}
  local data = pixels{3, 13, 11, 3}
  for _, ending in ipairs{".keras", ".h5"} do
    local file = path(ending)
    model:save(file)
    local loaded = cnn.load_model(file)
    lu.assertTrue(same(loaded:predict{data, verbose = 0}, model:predict{data, verbose = 0}), ending)
    for k, layer in ipairs(all) do
      local back = loaded.layers[2].layers[k]
      lu.assertEquals(back.class_name, layer.class_name)
      local config, given = back:get_config(), layer:get_config()
      config.dtype, given.dtype = nil, nil -- a policy in .keras
      if layer.class_name == "RandomContrast" and type(given.factor) == "number" then
        given.factor = {given.factor, given.factor}
      end
      lu.assertEquals(config, given, ending)
    end
  end
end

function TestPreprocessing.test_wrong_arguments_are_named()
  raises("RandomRotation: missing argument 'factor'", layers.RandomRotation, {})
  raises("RandomRotation: 'factor': expected a number from -1 to 1, or two: {low, high}, got 20",
    layers.RandomRotation, {20})
  raises("RandomRotation: 'factor': expected a number from -1 to 1, or two: {low, high}, got [0.1,0.2,0.3]",
    layers.RandomRotation, {{0.1, 0.2, 0.3}})
  raises("RandomZoom: 'width_factor': expected a number", layers.RandomZoom, {0.1, "wide"})
  raises("RandomZoom: 'fill_mode' must be one of 'constant', 'nearest', 'reflect', 'wrap', got \"mirror\"",
    layers.RandomZoom, {0.1, fill_mode = "mirror"})
  raises("RandomZoom: 'interpolation' must be one of 'nearest', 'bilinear'", layers.RandomZoom,
    {0.1, interpolation = "bicubic"})
  raises("RandomTranslation: missing argument 'width_factor'", layers.RandomTranslation, {0.1})
  raises("RandomShear: 'y_factor': expected", layers.RandomShear, {0.1, 2})
  raises("RandomFlip: 'mode' must be one of 'horizontal', 'vertical', 'horizontal_and_vertical', got \"sideways\"",
    layers.RandomFlip, {"sideways"})
  raises("RandomFlip: 'data_format' must be one of 'channels_last'", layers.RandomFlip,
    {data_format = "channels_first"})
  raises("RandomFlip: unknown argument 'sed' (did you mean 'seed'?)", layers.RandomFlip, {sed = 1})
  raises("RandomContrast: 'factor': expected a number from 0 to 1, or two: {down, up}, got -0.1",
    layers.RandomContrast, {-0.1})
  raises("RandomBrightness: 'value_range': expected two different numbers: {darkest, brightest}, got [1]",
    layers.RandomBrightness, {0.1, value_range = {1}})
  raises("RandomCrop: 'height' must be between 1", layers.RandomCrop, {0, 3})
  raises("Resizing: 'pad_to_aspect_ratio' is not supported", layers.Resizing, {3, 3, pad_to_aspect_ratio = true})
  for _, x in ipairs{cnn.zeros{5, 5}, cnn.Input{5, 5}} do
    raises(": expected 4 axes [N,H,W,C], got an input of shape", layers.RandomFlip{}, x)
  end
  raises(": expected pictures [N,H,W,C], got shape (1, 0, 2, 1)", layers.RandomFlip{}, cnn.zeros{1, 0, 2, 1})
end

function TestPreprocessing.test_summary_shows_shapes()
  cnn.backend.clear_session()
  local model, lines = cnn.Sequential{
    cnn.Input{20, 20, 3}, layers.RandomFlip{}, layers.RandomRotation{0.1}, layers.RandomCrop{16, 18},
    layers.Resizing{8, 9},
  }, {}
  model:summary{print_fn = function(line) if line:find "%(None" then lines[#lines + 1] = line end end}
  lu.assertEquals(lines, {
    "random_flip (RandomFlip)     (None, 20, 20, 3)         0         ",
    "random_rotation (RandomRotat (None, 20, 20, 3)         0         ",
    "random_crop (RandomCrop)     (None, 16, 18, 3)         0         ",
    "resizing (Resizing)          (None, 8, 9, 3)           0         ",
  })
end
