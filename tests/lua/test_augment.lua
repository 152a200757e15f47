-- cnn.augment: steps and pipelines, by hand and in datasets; and the functions of cnn.image that change pictures by
-- given amounts.
-- luacheck: globals TestAugment TestAugmentDataset TestAdjust

local lu = require "luaunit"
local cnn = require "cnn"
local raises = require "raises"

local augment, image, eq = cnn.augment, cnn.image, lu.assertEquals
local Dataset = cnn.data.Dataset

local function ramp(...)
  local size = 1
  for _, n in ipairs{...} do size = size * n end
  return cnn.arange(0, size):astype("float32"):reshape{...}
end

local function same(a, b)
  eq(a:dtype(), b:dtype())
  eq(a:tolist(), b:tolist())
end

local function differ(a, b)
  lu.assertNotEquals(a:tolist(), b:tolist())
end

local function close(a, b, within)
  lu.assertTrue(cnn.abs(a - b):max():item() <= (within or 1e-4), "largest difference " .. cnn.abs(a - b):max():item())
end

local function plus_one(picture)
  return picture + 1
end

-- What each step that has no defaults for all its arguments is given.
local needed = {
  rotate = {15}, shear = {10}, zoom = {0.2}, brightness = {0.2}, brightness_delta = {0.2}, contrast = {0.2},
  saturation = {0.5}, hue = {0.1}, channel_shift = {20}, noise = {5}, rescale = {1 / 255}, crop = {4, 4},
  elastic = {3, 2},
}
local mixing = {mixup = true, cutmix = true}

TestAugment = {}

function TestAugment.test_every_step_takes_bytes_and_floats_alone_and_in_batches()
  local labels = cnn.utils.to_categorical({0, 1, 1, 0}, 2)
  local count = 0
  for name, make in pairs(augment) do
    if name ~= "pipeline" then
      local step = make(needed[name] or {})
      for _, dtype in ipairs{"uint8", "float32"} do
        local pictures = cnn.random.uniform({4, 8, 9, 3}, 0, 255, 1):astype(dtype)
        local changed = mixing[name] and step{pictures, labels, seed = 3} or step(pictures, 3)
        eq({changed:shape(1), changed:shape(4)}, {4, 3}, name)
        if not mixing[name] then eq(#step(pictures[1], 3):shape(), 3, name) end
      end
      eq(tostring(step), "<augmentation: " .. name .. ">")
      count = count + 1
    end
  end
  lu.assertTrue(count >= 16, count)
end

function TestAugment.test_arguments_go_by_position_and_by_name()
  local x = ramp(1, 4, 1)
  local function mirrored(step) return step(x):squeeze():tolist() end
  eq(mirrored(augment.flip{"horizontal", 1}), {3, 2, 1, 0})
  eq(mirrored(augment.flip{"horizontal", probability = 1}), {3, 2, 1, 0})
  eq(mirrored(augment.flip{probability = 0}), {0, 1, 2, 3})
  eq(mirrored(augment.flip("vertical", 1)), {0, 1, 2, 3})
end

function TestAugment.test_a_seed_makes_the_same_and_each_picture_is_changed_by_itself()
  local x = cnn.concat({ramp(1, 6, 6, 1), ramp(1, 6, 6, 1)}, 1)
  for _, p in ipairs{augment.rotate{90}, augment.pipeline{function(picture, rng) return picture + rng:uniform() end}} do
    same(p{x, seed = 7}, p(x, 7))
    same(p(x, 7), p(x, cnn.random.generator(7)))
    differ(p(x, 7), p(x, 8))
    local two = p(x, 7)
    differ(two[1], two[2])
    cnn.set_seed(3)
    local first, second = p(x), p(x)
    differ(first, second)
    cnn.set_seed(3)
    same(p(x), first)
  end
end

function TestAugment.test_random_tensors_in_functions_are_the_seed_s_too()
  local p = augment.pipeline{function(picture) return picture + cnn.random.uniform(picture:shape()) end}
  local x = cnn.zeros{3, 2, 2, 1}
  same(p(x, 7), p(x, 7))
  cnn.set_seed(1)
  local expected = cnn.random.uniform{2}
  cnn.set_seed(1)
  p(x, 7)
  same(cnn.random.uniform{2}, expected) -- the default generator was left alone
end

function TestAugment.test_pipelines_nest_and_functions_run_in_their_place()
  local flip = augment.flip{"horizontal", 1}
  local scale = augment.rescale{2}
  local thrice = {class_name = "rescale", config = {scale = 3}}
  local p = augment.pipeline{flip, plus_one, augment.pipeline{scale, flip}, thrice}
  eq(p(ramp(1, 3, 1)):squeeze():tolist(), {6, 12, 18})
  eq(tostring(p), "<augmentation: flip, function, rescale, flip, rescale>")
  eq(p:get_config()[3], {class_name = "rescale", config = {scale = 2}})
  same(augment.pipeline(p:get_config())(ramp(2, 3, 1)), p(ramp(2, 3, 1)))
  same(augment.pipeline{}(ramp(2, 3, 1)), ramp(2, 3, 1))
  local bytes = ramp(2, 3, 1):astype "uint8"
  eq(augment.pipeline{plus_one}(bytes):dtype(), "uint8")
end

function TestAugment.test_neighbouring_steps_are_one_warp()
  local x = cnn.random.uniform({9, 9, 1}, 0, 255, 1)
  local back_and_forth = augment.pipeline{augment.rotate{{30, 30}}, augment.rotate{{-30, -30}}}
  close(back_and_forth(x), x)
  local twice = augment.pipeline{augment.rotate{{30, 30}}, function(y) return y end, augment.rotate{{-30, -30}}}
  lu.assertTrue(cnn.abs(twice(x) - x):max():item() > 1)
end

function TestAugment.test_labels_pass_or_are_mixed_like_the_pictures()
  local x = cnn.concat({cnn.zeros{2, 4, 4, 1}, cnn.full({2, 4, 4, 1}, 100)}, 1)
  local labels = cnn.utils.to_categorical({0, 0, 1, 1}, 2)
  local images, mixed, weights = augment.mixup{1}(x, labels, cnn.ones{4}, 5)
  close(mixed:sum(2), cnn.ones{4}, 1e-6)
  close(images:mean{2, 3, 4}, mixed[{{}, 2}] * 100, 1e-3)
  eq(weights:tolist(), {1, 1, 1, 1})
  differ(mixed, labels)
  local _, cut = augment.pipeline{plus_one, augment.cutmix{}}{x, labels, seed = 5}
  close(cut:sum(2), cnn.ones{4}, 1e-6)
  local classes = cnn.tensor({3, 1, 2, 0}, "int32")
  local _, passed = augment.flip{}(x, classes)
  same(passed, classes)
  raises("got pictures of shape (4, 4, 4, 1) without such labels", augment.mixup{}, x)
  raises("without such labels (labels: a tensor int32 (4,))", augment.mixup{}, x, classes)
  raises("got pictures of shape (4, 4, 1) without such labels", augment.mixup{}, x[1], labels)
end

function TestAugment.test_misuse_is_told()
  local p, x = augment.pipeline{plus_one}, ramp(2, 2, 1)
  raises("there is no 'rotat' (did you mean 'rotate'?)", function() return augment.rotat end)
  raises("rotate: missing argument 'degrees'", augment.rotate, {})
  raises("flip: unknown argument 'mod' (did you mean 'mode'?)", augment.flip, {mod = "vertical"})
  raises("flip: 'mode' must be one of", augment.flip, {"diagonal"})
  raises("pipeline: expected a list of steps, got 3", augment.pipeline, 3)
  raises("pipeline: expected a list of steps, but it has something called flip", augment.pipeline, {flip = 1})
  raises("pipeline: step 2 must be one of cnn.augment, a pipeline or a function, got 7", augment.pipeline,
    {plus_one, 7})
  raises("unknown augmentation 'flop' (did you mean 'flip'?)", augment.pipeline, {{class_name = "flop"}})
  raises("augment: expected pictures, a tensor, got nothing", p)
  raises("augment: expected pictures, a tensor, got nothing", p, {})
  raises("augment: expected pictures, a tensor, got x", p, "x")
  raises("a seed must be an integer, got 1.5", p, x, 1.5)
  raises("unknown argument 'sed' (did you mean 'seed'?)", p, {x, sed = 1})
  raises("expected pictures [H,W,C] or [N,H,W,C], got a tensor of rank 1", p, cnn.zeros{2})
  raises("symbolic", p, cnn.Input{2, 2, 1})
  raises("test_augment.lua", augment.pipeline{function() return 3 end}, x)
  raises("must return a picture [H,W,C], got 3", augment.pipeline{function() return 3 end}, x)
  raises("equal shapes", augment.pipeline{function(_, rng) return cnn.zeros{rng:integer(1, 9), 1, 1} end},
    ramp(9, 2, 2, 1))
  local line = debug.getinfo(1, "l").currentline + 1
  raises(("test_augment.lua:%d: no"):format(line), augment.pipeline{function() error "no" end}, x)
  same(p(cnn.zeros{0, 2, 2, 1}), cnn.zeros{0, 2, 2, 1})
  local freed = augment.flip{}
  getmetatable(freed).__gc(freed)
  same(freed(x), x)
end

TestAugmentDataset = {}

-- Everything a dataset gives, as one list.
local function collect(dataset, workers)
  local list = {}
  for pictures, labels in dataset:iter{workers = workers} do
    list[#list + 1] = pictures:flatten():tolist()
    list[#list + 1] = labels and labels:flatten():tolist()
  end
  return list
end

function TestAugmentDataset.test_results_do_not_depend_on_the_number_of_workers()
  local x, y = ramp(20, 3, 4, 1), cnn.arange(0, 20)
  local amount = {5}
  local function brighten(picture, rng) return picture + rng:uniform(0, amount[1]) + cnn.random.uniform{1} end
  for _, p in ipairs{augment.pipeline{augment.flip{}, augment.noise{2}},
                     augment.pipeline{augment.flip{}, brighten, augment.noise{2}}} do
    local function run(workers)
      cnn.set_seed(5)
      return collect(Dataset.from_tensor_slices{x, y}:map(p):batch(3), workers)
    end
    local alone = run(1)
    eq(run(3), alone)
    eq(#alone, 14)
    eq(alone[2], {0, 1, 2})
    lu.assertNotEquals(alone[1], x:slice(1, 3):flatten():tolist())
  end
end

function TestAugmentDataset.test_batches_are_mixed_with_their_labels()
  local x, y = ramp(8, 2, 2, 1), cnn.utils.to_categorical({0, 1, 0, 1, 0, 1, 0, 1}, 2)
  for _, p in ipairs{augment.mixup{1}, augment.pipeline{plus_one, augment.mixup{1}}} do
    for pictures, labels in Dataset.from_tensor_slices{x, y}:batch(4):map(p):iter() do
      eq(pictures:shape(), {4, 2, 2, 1})
      close(labels:sum(2), cnn.ones{4}, 1e-6)
    end
  end
end

function TestAugmentDataset.test_errors_name_the_sample_file_and_line()
  local line = debug.getinfo(1, "l").currentline + 2
  local dataset = Dataset.from_tensor_slices(ramp(5, 2, 2, 1)):map(augment.pipeline{function(picture)
    if picture:sum():item() > 10 then error "too bright" end
    return picture
  end})
  raises(("sample 2: "), collect, dataset)
  raises(("test_augment.lua:%d: too bright"):format(line), collect, dataset)
end

TestAdjust = {}

local function rows(picture)
  return picture:squeeze(-1):tolist()
end

function TestAdjust.test_pictures_are_turned_moved_zoomed_and_mirrored()
  local x = ramp(3, 3, 1)
  eq(rows(image.rotate(x, 90)), {{2, 5, 8}, {1, 4, 7}, {0, 3, 6}})
  same(image.rotate{x, degrees = -90}, image.rotate(x, 270))
  eq(rows(image.shift{x, 1, -1}), {{1, 2, 2}, {1, 2, 2}, {4, 5, 5}})
  eq(rows(image.shift{x, 1, fill_mode = "constant", fill_value = 9}), {{9, 9, 9}, {0, 1, 2}, {3, 4, 5}})
  eq(rows(image.shift{x, width = 1, height = 0, fill_mode = "wrap"}), {{2, 0, 1}, {5, 3, 4}, {8, 6, 7}})
  eq(rows(image.zoom(x, 2)), {{2, 2.5, 3}, {3.5, 4, 4.5}, {5, 5.5, 6}})
  eq(rows(image.zoom{x, 1, 2}), {{0.5, 1, 1.5}, {3.5, 4, 4.5}, {6.5, 7, 7.5}})
  close(image.shear(x, 45):squeeze(-1), cnn.tensor{{0, 0, 1}, {3, 4, 5}, {7, 8, 8}})
  eq(rows(image.flip(x)), {{2, 1, 0}, {5, 4, 3}, {8, 7, 6}})
  same(image.flip{x, "vertical"}, image.flip_up_down(x))
  same(image.flip{x, mode = "horizontal_and_vertical"}, image.flip_left_right(image.flip_up_down(x)))
  local bytes = cnn.random.randint({2, 5, 6, 3}, 0, 256):astype "uint8"
  same(image.flip(bytes), bytes:flip(3))
  same(image.flip(bytes, "vertical"), bytes:flip(2))
end

function TestAdjust.test_affine_samples_where_its_matrix_leads()
  local x = ramp(2, 3, 1)
  eq(rows(image.affine{x, {{1, 0, 0.5}, {0, 1, 0}}}), {{0.5, 1.5, 2}, {3.5, 4.5, 5}})
  eq(rows(image.affine{x, {{0, 1, 0}, {1, 0, 0}}, height = 3, width = 2}), {{0, 3}, {1, 4}, {2, 5}})
  eq(rows(image.affine{x, {{1, 0, 0.4}, {0, 1, 0}}, interpolation = "nearest"}), rows(x))
end

function TestAdjust.test_crop_counts_from_one()
  local x = ramp(3, 4, 1)
  eq(rows(image.crop{x, 2, 3, 2, 2}), {{6, 7}, {10, 11}})
  eq(image.crop{ramp(2, 3, 4, 1), top = 1, left = 1, height = 1, width = 2}:shape(), {2, 1, 2, 1})
  raises("2×2 pixels from row 3 and column 1 do not lie in a picture of 3×4", image.crop, x, 3, 1, 2, 2)
  raises("'top' must be an integer of at least 1, got 0", image.crop, x, 0, 1, 2, 2)
  raises("'width' must be an integer of at least 1, got nil", image.crop, x, 1, 1, 2)
end

function TestAdjust.test_brightness_and_colour()
  local x = cnn.tensor{{{100, 200, 0}}}
  close(image.adjust_brightness(x, 0.2), cnn.tensor{{{151, 251, 51}}})
  close(image.adjust_brightness{x / 255, 0.2, value_range = {0, 1}}, cnn.tensor{{{151, 251, 51}}} / 255)
  close(image.adjust_contrast(cnn.tensor{{{100}, {50}}}, 2), cnn.tensor{{{125}, {25}}})
  local grey = 0.2989 * 100 + 0.587 * 200
  close(image.adjust_saturation(x, 0), cnn.full({1, 1, 3}, grey), 1e-2)
  close(image.adjust_hue(cnn.tensor{{{255, 0, 0}}}, 1 / 3), cnn.tensor{{{0, 255, 0}}})
  cnn.set_seed(1)
  local expected = cnn.random.uniform{2}
  cnn.set_seed(1)
  image.adjust_contrast(x, 2)
  same(cnn.random.uniform{2}, expected)
end

function TestAdjust.test_wrong_arguments_are_told()
  local x = ramp(3, 3, 1)
  raises("image.rotate: 'images' is missing", image.rotate, {degrees = 1})
  raises("image.rotate: 'degrees' must be a finite number, got nil", image.rotate, x)
  raises("image.rotate: 'degrees' must be a finite number, got inf", image.rotate, x, math.huge)
  raises("image.rotate: unknown argument 'degres' (did you mean 'degrees'?)", image.rotate, {x, degres = 1})
  raises("'fill_mode' must be one of constant nearest reflect wrap, got mirror", image.rotate, x, 1, "mirror")
  raises("must be [H,W], [H,W,C] or [N,H,W,C], got a tensor of rank 1", image.rotate, cnn.zeros{3}, 1)
  raises("image.flip: 'images' must be uint8 or float32, got int32", image.flip, cnn.zeros({2, 2}, "int32"))
  raises("symbolic", image.rotate, cnn.Input{3, 3, 1}, 1)
  raises("image.zoom: factors must be above 0", image.zoom, x, 0)
  raises("image.shear: 'degrees' must be between -90 and 90", image.shear, x, 90)
  raises("two tables of three finite numbers", image.affine, x, {{1, 2}, {3, 4}})
  raises("two tables of three finite numbers", image.affine, x)
  raises("image.flip: 'mode' must be one of", image.flip, x, "diagonal")
  raises("'value_range' must be {black, white}", image.adjust_contrast, x, 2, 3)
  raises("image.adjust_hue", image.adjust_hue, x, 0.5) -- one channel has no hue
  raises("int32", image.rotate, cnn.arange(0, 9):reshape{3, 3, 1}, 1)
end
