-- ImageDataGenerator, as Keras 2 had it: pictures turned, moved, slanted, zoomed, mirrored and normalized at random.
--
-- A generator is a function of a picture that datasets map: the work is done in their worker threads, where the
-- generator is built again from its arguments. Each picture is sampled once, through one affine transform.
--
-- Keras 2.12 mixes up height and width where it draws shifts and where it turns pictures that are not square. Here
-- width_shift_range moves sideways, as its documentation says, and every picture turns about its middle.

local cnn = ...

local system = cnn.image.system
local fail, describe, args = system.fail, system.describe, cnn.nn.args

local generator = {__name = "ImageDataGenerator"}
generator.__index = generator

-- ---- arguments ---------------------------------------------------------------------------------------------

local function is_number(value)
  return type(value) == "number" and value == value
end

local function is_list(value, count)
  if type(value) ~= "table" or getmetatable(value) or #value == 0 or (count and #value ~= count) then return false end
  for _, item in ipairs(value) do
    if not is_number(item) then return false end
  end
  return true
end

-- What an argument may be, and how that is said.
local kinds = {
  boolean = {"true or false", function(v) return type(v) == "boolean" end},
  number = {"a number", is_number},
  whole = {"a whole number", math.tointeger},
  order = {"0 or 1", function(v) return v == 0 or v == 1 end},
  format = {"channels_last", function(v) return v == "channels_last" end},
  size = {"{height, width}", function(v)
    return is_list(v, 2) and (math.tointeger(v[1]) or 0) >= 1 and (math.tointeger(v[2]) or 0) >= 1
  end},
  count = {"a whole number of at least 1", function(v) return (math.tointeger(v) or 0) >= 1 end},
  fraction = {"a number from 0 to below 1", function(v) return is_number(v) and v >= 0 and v < 1 end},
  string = {"a string", function(v) return type(v) == "string" end},
  pair = {"a list of two numbers", function(v) return is_list(v, 2) end},
  range = {"a number or a list of two", function(v) return is_number(v) or is_list(v, 2) end},
  shift = {"a number or a list of numbers", function(v) return is_number(v) or is_list(v) end},
  callable = {"a function", function(v)
    return type(v) == "function" or (getmetatable(v) or {}).__call ~= nil
  end},
  names = {"a list of names", function(v) return type(v) == "table" and type(v[1]) == "string" end},
  tensor = {"a tensor", function(v) return cnn.is_tensor(v) end},
  numbers = {"a tensor or nested tables of numbers", function(v)
    return cnn.is_tensor(v) or type(v) == "table" and getmetatable(v) == nil
  end},
}

local function check(who, name, kind, value)
  local words = {}
  for word in kind:gmatch "[^|]+" do words[#words + 1] = word end
  if #words == 1 then
    if kinds[kind][2](value) then return end
    fail(("%s: '%s' must be %s, got %s"):format(who, name, kinds[kind][1], describe(value)))
  end
  for _, word in ipairs(words) do
    if value == word then return end
  end
  fail(("%s: '%s' must be one of %s, got %s"):format(who, name, table.concat(words, ", "), describe(value)))
end

-- The values of arguments by name. Each of names is a name, a kind or words to choose from, and the default; with
-- `optional`, false and cnn.null mean none, where elsewhere cnn.null is the default.
local function arguments(who, names, ...)
  local list, values = {}, {}
  for i, entry in ipairs(names) do list[i] = entry[1] end
  local given = {args(who, list, ...)}
  for i, entry in ipairs(names) do
    local name, kind, value = entry[1], entry[2], given[i]
    if value == nil or (value == cnn.null and not entry.optional) then
      value = entry[3]
    elseif entry.optional and (value == cnn.null or value == false) then
      value = nil
    else
      check(who, name, kind, value)
    end
    values[name] = value
  end
  return values
end

-- In Keras's order. The last two are what fit finds out.
local constructor = {
  {"featurewise_center", "boolean", false}, {"samplewise_center", "boolean", false},
  {"featurewise_std_normalization", "boolean", false}, {"samplewise_std_normalization", "boolean", false},
  {"zca_whitening", "boolean", false}, {"zca_epsilon", "number", 1e-6}, {"rotation_range", "number", 0},
  {"width_shift_range", "shift", 0}, {"height_shift_range", "shift", 0}, {"brightness_range", "pair"},
  {"shear_range", "number", 0}, {"zoom_range", "range", 0}, {"channel_shift_range", "number", 0},
  {"fill_mode", "constant|nearest|reflect|wrap", "nearest"}, {"cval", "number", 0},
  {"horizontal_flip", "boolean", false}, {"vertical_flip", "boolean", false}, {"rescale", "number"},
  {"preprocessing_function", "callable"}, {"data_format", "format", "channels_last"},
  {"validation_split", "fraction", 0}, {"interpolation_order", "order", 1},
  {"dtype", "float32|uint8|int32", "float32"}, {"mean", "tensor"}, {"std", "tensor"},
}

--- Makes a generator of randomly changed pictures, as Keras 2 had it; cnn.augment and layers such as RandomFlip are
-- newer ways.
-- Each picture is sampled once, through one affine transform: mirrored, zoomed, slanted, moved and turned about
-- its middle; then brightness and channels change, then preprocessing_function, rescale and normalization follow.
-- The generator is a function of a picture, `generator(image)`; its methods flow and flow_from_directory make
-- datasets, and dataset:map takes it too.
-- @function cnn.ImageDataGenerator
-- @tparam[opt=false] bool featurewise_center subtracts each channel's mean that generator:fit found
-- @tparam[opt=false] bool samplewise_center subtracts each picture's own mean
-- @tparam[opt=false] bool featurewise_std_normalization divides by the standard deviation that generator:fit found
-- @tparam[opt=false] bool samplewise_std_normalization divides by each picture's own
-- @tparam[opt=false] bool zca_whitening not supported: must be false
-- @tparam[opt=1e-6] number zca_epsilon ignored
-- @tparam[opt=0] number rotation_range degrees, to either side
-- @tparam[opt=0] number|{number,...} width_shift_range a part of the width if below 1, else pixels; of an integer
-- n whole pixels, less than n; of a list one of its numbers; to either side
-- @tparam[opt=0] number|{number,...} height_shift_range likewise
-- @tparam[opt] {number,...} brightness_range {low, high}: factors
-- @tparam[opt=0] number shear_range degrees, to either side
-- @tparam[opt=0] number|{number,...} zoom_range {low, high}, or z for {1 - z, 1 + z}: how much is seen, so that
-- below 1 things get larger
-- @tparam[opt=0] number channel_shift_range at most so much is added to all values, which stay within those there
-- are
-- @tparam[opt="nearest"] string fill_mode what is seen beyond the border: "nearest", "reflect", "wrap" or
-- "constant"
-- @tparam[opt=0] number cval of "constant"
-- @tparam[opt=false] bool horizontal_flip mirrors each picture with probability 1/2
-- @tparam[opt=false] bool vertical_flip likewise
-- @tparam[opt] number rescale a factor, such as 1 / 255
-- @tparam[opt] function|pipeline preprocessing_function of the changed picture [H,W,C] and, in datasets, a
-- generator of random numbers; returns a picture
-- @tparam[opt="channels_last"] string data_format no other is possible
-- @tparam[opt=0] number validation_split the part, from the front of each class, that the subset "validation" has
-- @tparam[opt=1] int interpolation_order 0: the nearest pixel; 1: bilinear
-- @tparam[opt="float32"] string dtype of the result: "float32", "uint8" or "int32"
-- @tparam[opt] tensor mean what generator:fit finds
-- @tparam[opt] tensor std what generator:fit finds
-- @treturn generator
-- @raise unknown names; values of the wrong kind
-- @usage
-- generator = cnn.ImageDataGenerator{rescale = 1 / 255, rotation_range = 20, horizontal_flip = true}
-- x, y = cnn.random.uniform{6, 8, 8, 3} * 255, cnn.tensor({0, 1, 0, 1, 0, 1}, "int32")
-- train = generator:flow{x, y, batch_size = 4}
-- for images, labels in train:iter() do print(images:shape()[1], images:max():item() <= 1) end
-- --> 4	true
-- --> 2	true

--- The same function as cnn.ImageDataGenerator, by Keras's full name.
-- @function cnn.preprocessing.image.ImageDataGenerator
-- @usage
-- cnn.preprocessing.image.ImageDataGenerator == cnn.ImageDataGenerator  --> true
function cnn.ImageDataGenerator(...)
  local self = arguments("ImageDataGenerator", constructor, ...)
  if self.zca_whitening then fail "ImageDataGenerator: 'zca_whitening' is not supported" end
  if is_number(self.zoom_range) then self.zoom_range = {1 - self.zoom_range, 1 + self.zoom_range} end
  self.featurewise_center = self.featurewise_center or self.featurewise_std_normalization
  self.samplewise_center = self.samplewise_center or self.samplewise_std_normalization
  return setmetatable(self, generator)
end

-- What an equal generator is made of; so workers of datasets make theirs.
function generator.__carry(self)
  local settings = {}
  for _, entry in ipairs(constructor) do settings[entry[1]] = self[entry[1]] end
  return "ImageDataGenerator", settings
end

-- ---- one picture -------------------------------------------------------------------------------------------

-- The last value, then those before it: of what a mapped function is given, rng comes last.
local function last_first(...)
  local list = table.pack(...)
  return list[list.n], table.unpack(list, 1, list.n - 1)
end

-- A shift of pixels out of a range, from two random numbers between 0 and 1.
local function shift(range, size, pick, side)
  local most = range
  local amount
  if type(range) == "table" then
    most = math.max(table.unpack(range))
    amount = range[1 + math.floor(pick * #range)]
  elseif math.type(range) == "integer" then
    amount = math.floor(pick * range)
  else
    amount = pick * range
  end
  if side < 0.5 then amount = -amount end
  return most < 1 and amount * size or amount
end

--- Draws random parameters of a change, as apply_transform takes them.
-- @function generator:get_random_transform
-- @tparam {int,...} shape {height, width, channels}
-- @tparam[opt] int seed
-- @treturn table theta, tx, ty, shear, zx, zy, flip_horizontal, flip_vertical, channel_shift_intensity and
-- brightness
-- @usage
-- generator = cnn.ImageDataGenerator{rotation_range = 20, zoom_range = {0.8, 0.8}}
-- parameters = generator:get_random_transform({28, 28, 1}, 1)
-- math.abs(parameters.theta) <= 20, parameters.zx, parameters.flip_horizontal
-- --> true
-- --> 0.8
-- --> false
function generator:get_random_transform(shape, seed)
  if not is_list(shape) or #shape < 2 then
    fail("get_random_transform: expected {height, width, channels}, got " .. describe(shape))
  end
  local u = cnn.random.uniform{12, seed = seed}:tolist()
  local function between(i, low, high) return low + (high - low) * u[i] end
  local zoom, bright, channel = self.zoom_range, self.brightness_range, self.channel_shift_range
  return {
    theta = between(1, -self.rotation_range, self.rotation_range),
    tx = shift(self.width_shift_range, shape[2], u[2], u[3]),
    ty = shift(self.height_shift_range, shape[1], u[4], u[5]),
    shear = between(6, -self.shear_range, self.shear_range),
    zx = between(7, zoom[1], zoom[2]), zy = between(8, zoom[1], zoom[2]),
    flip_horizontal = self.horizontal_flip and u[9] < 0.5, flip_vertical = self.vertical_flip and u[10] < 0.5,
    channel_shift_intensity = channel ~= 0 and between(11, -channel, channel) or nil,
    brightness = bright and between(12, bright[1], bright[2]) or nil,
  }
end

-- What is seen at a place of the result, counted from the middle: zoomed, then slanted, moved and turned; and mirrored.
-- Returns the matrix of cnn.image.affine, nil if nothing changes.
local function matrix_of(p, height, width)
  local theta, slant = math.rad(p.theta or 0), math.rad(p.shear or 0)
  local tx, ty, zx, zy = p.tx or 0, p.ty or 0, p.zx or 1, p.zy or 1
  local c, s, c2, s2 = math.cos(theta), math.sin(theta), math.cos(slant), math.sin(slant)
  local xx, xy, x0 = c * zx, (-c * s2 - s * c2) * zy, c * tx - s * ty
  local yx, yy, y0 = s * zx, (-s * s2 + c * c2) * zy, s * tx + c * ty
  if p.flip_horizontal then xx, yx = -xx, -yx end
  if p.flip_vertical then xy, yy = -xy, -yy end
  if xx == 1 and xy == 0 and x0 == 0 and yx == 0 and yy == 1 and y0 == 0 then return nil end
  local x, y = (width - 1) / 2, (height - 1) / 2
  return {{xx, xy, x0 + x - xx * x - xy * y}, {yx, yy, y0 + y - yx * x - yy * y}}
end

-- Brighter by a factor, in the range of bytes; values beyond that range keep their own.
local function brighten(x, factor)
  local low, high = x:min():item(), x:max():item()
  if low >= 0 and high <= 255 then return (x * factor):clip(0, 255) end
  local range = high - low
  if range == 0 then return x end
  return ((x - low) * (factor * 255 / range)):clip(0, 255) * (range / 255) + low
end

local transforms = {
  theta = true, tx = true, ty = true, shear = true, zx = true, zy = true, flip_horizontal = true, flip_vertical = true,
  channel_shift_intensity = true, brightness = true,
}

--- Changes a picture by parameters that are given, none of which is needed.
-- @function generator:apply_transform
-- @tparam tensor x [H,W,C]
-- @tparam table parameters theta (degrees, counter-clockwise), tx and ty (pixels to the left and up), shear
-- (degrees), zx and zy (below 1: larger), flip_horizontal, flip_vertical, channel_shift_intensity (added),
-- brightness (a factor)
-- @treturn tensor float32 [H,W,C]
-- @raise a parameter of another name
-- @usage
-- x = cnn.tensor{{1, 2}, {3, 4}}:reshape{2, 2, 1}
-- generator = cnn.ImageDataGenerator()
-- generator:apply_transform(x, {theta = 90}):squeeze()
-- --> float32 (2, 2)
-- --> [[2. 4.]
-- -->  [1. 3.]]
-- generator:apply_transform(x, {flip_horizontal = true}):flatten():tolist()  --> {2.0, 1.0, 4.0, 3.0}
function generator:apply_transform(x, parameters)
  if not cnn.is_tensor(x) or #x:shape() ~= 3 then
    fail("apply_transform: expected a picture [H,W,C], got " .. describe(x))
  end
  if type(parameters) ~= "table" then
    fail("apply_transform: expected a table of parameters, got " .. describe(parameters))
  end
  for name in pairs(parameters) do
    if not transforms[name] then
      system.unknown("apply_transform", "unknown parameter", tostring(name), transforms)
    end
  end
  local shape = x:shape()
  local matrix = matrix_of(parameters, shape[1], shape[2])
  x = x:astype "float32"
  if matrix then
    x = cnn.image.affine{x, matrix, fill_mode = self.fill_mode, fill_value = self.cval,
                         interpolation = self.interpolation_order == 0 and "nearest" or "bilinear"}
  end
  local intensity, brightness = parameters.channel_shift_intensity, parameters.brightness
  if intensity then x = (x + intensity):clip(x:min():item(), x:max():item()) end
  if brightness then x = brighten(x, brightness) end
  return x
end

--- Changes a picture at random; it is not rescaled or normalized, which standardize does.
-- @function generator:random_transform
-- @tparam tensor x [H,W,C]
-- @tparam[opt] int seed
-- @treturn tensor float32 [H,W,C]
-- @usage
-- generator = cnn.ImageDataGenerator{rotation_range = 90, fill_mode = "reflect"}
-- x = cnn.random.uniform{8, 8, 1}
-- cnn.allclose(generator:random_transform(x, 3), generator:random_transform(x, 3))  --> true
function generator:random_transform(x, seed)
  if not cnn.is_tensor(x) or #x:shape() ~= 3 then
    fail("random_transform: expected a picture [H,W,C], got " .. describe(x))
  end
  return self:apply_transform(x, self:get_random_transform(x:shape(), seed))
end

local function not_fitted(name)
  fail(("standardize: '%s' needs what fit finds out: call generator:fit(x) first"):format(name))
end

--- Applies preprocessing_function, rescale and normalization, without random changes.
-- Of several pictures at once, samplewise mean and deviation are those of all together, as in Keras.
-- @function generator:standardize
-- @tparam tensor x [H,W,C] or [N,H,W,C]
-- @tparam[opt] rng rng for the preprocessing function
-- @treturn tensor
-- @raise featurewise normalization before generator:fit
-- @usage
-- generator = cnn.ImageDataGenerator{rescale = 0.5, samplewise_center = true}
-- generator:standardize(cnn.tensor{{{2}, {4}}}):flatten():tolist()  --> {-0.5, 0.5}
function generator:standardize(x, rng)
  if self.preprocessing_function then x = self.preprocessing_function(x, rng) end
  if self.rescale and self.rescale ~= 0 then x = x * self.rescale end
  if self.samplewise_center then x = x - x:mean() end
  if self.samplewise_std_normalization then x = x / (x:std() + 1e-6) end
  if self.featurewise_center then x = x - (self.mean or not_fitted "featurewise_center") end
  if self.featurewise_std_normalization then
    x = x / ((self.std or not_fitted "featurewise_std_normalization") + 1e-6)
  end
  return x
end

local function call(self, x, rng, ...)
  x = self:standardize(self:random_transform(x), rng)
  if self.dtype ~= "float32" then x = x:astype(self.dtype) end
  return x, ...
end

-- What a dataset that maps a generator does with the first tensor of each element: a random change, then standardize.
function generator.__call(self, x, ...)
  return call(self, x, last_first(...))
end

--- Finds mean and standard deviation of each channel, for featurewise normalization.
-- They become the fields mean and std. Arguments may come by position or by name.
-- @function generator:fit
-- @tparam tensor x [N,H,W,C]
-- @tparam[opt=false] bool augment of randomly changed pictures
-- @tparam[opt=1] int rounds how often each is changed then
-- @tparam[opt] int seed of the changes
-- @raise something that is no batch of pictures
-- @usage
-- generator = cnn.ImageDataGenerator{featurewise_center = true}
-- generator:fit(cnn.tensor{1, 3}:reshape{2, 1, 1, 1})
-- generator.mean:tolist()              --> {2.0}
-- generator:standardize(cnn.tensor{{{5}}}):item()  --> 3.0
function generator:fit(...)
  local a = arguments("fit", {{"x", "tensor"}, {"augment", "boolean", false}, {"rounds", "count", 1},
                              {"seed", "whole"}}, ...)
  local x = a.x
  if not x or #x:shape() ~= 4 then fail("fit: expected pictures [N,H,W,C], got " .. describe(x)) end
  x = x:astype "float32"
  if self.rescale and self.rescale ~= 0 then x = x * self.rescale end
  if a.augment then
    local changed = {}
    for i = 0, a.rounds * #x - 1 do
      changed[i + 1] = self:random_transform(x[i % #x + 1], a.seed and a.seed + i)
    end
    x = cnn.stack(changed, 1)
  end
  if self.featurewise_center then self.mean = x:mean{1, 2, 3} end
  if self.featurewise_std_normalization then self.std = x:std{1, 2, 3} end
end

-- ---- batches -----------------------------------------------------------------------------------------------

-- Keeps a picture as a file, its values from black to white.
local function save(a, image, index, rng)
  local name = ("%s_%d_%07d.%s"):format(a.save_prefix, index, rng:integer(0, 9999999), a.save_format)
  cnn.image.save{a.save_to_dir .. "/" .. name, image, scale = true}
end

-- What becomes of a sample, once its picture is there.
local function change(self, a, index, image, rng, ...)
  image = self(image, rng)
  if a.save_to_dir then save(a, image, index:item(), rng) end
  if a.class_mode == "input" then return image, image end
  return image, ...
end

-- The dataset of batches: what sample makes of the tensors' rows.
local function batches(a, tensors, sample)
  return system.with_seed(a.seed, function()
    local dataset = cnn.data.Dataset.from_tensor_slices(tensors)
    if a.shuffle then dataset = dataset:shuffle(#tensors[1]) end
    return dataset:map(sample):batch(a.batch_size)
  end)
end

-- The first and last of count samples that are of the subset.
local function bounds(self, subset, count)
  local split = math.floor(self.validation_split * count)
  if subset == "validation" then return 1, split end
  return subset == "training" and split + 1 or 1, count
end

local function distinct(labels)
  local found = {}
  for _, label in ipairs(labels:flatten():tolist()) do found[label] = true end
  return found
end

local function same_keys(a, b)
  for key in pairs(a) do
    if b[key] == nil then return false end
  end
  return true
end

-- Both parts of the labels are to have the same classes.
local function check_split(y, first)
  if first < 1 or first >= #y then return end
  local validation, training = distinct(y:slice(1, first)), distinct(y:slice(first + 1, #y))
  if not same_keys(validation, training) or not same_keys(training, validation) then
    fail "flow: training and validation have different classes after the split: shuffle the samples first"
  end
end

local flow_arguments = {
  {"x", "numbers"}, {"y", "numbers"}, {"batch_size", "count", 32}, {"shuffle", "boolean", true},
  {"sample_weight", "numbers"}, {"seed", "whole"}, {"save_to_dir", "string"}, {"save_prefix", "string", ""},
  {"save_format", "png|jpg|jpeg|bmp", "png"}, {"ignore_class_split", "boolean", false},
  {"subset", "training|validation"},
}

--- Makes a dataset of batches of changed pictures.
-- Each loop over it has another order and other changes.
-- @function generator:flow
-- @tparam tensor|table x [N,H,W,C]
-- @tparam[opt] tensor|table y labels, which nested tables make float32
-- @tparam[opt=32] int batch_size
-- @tparam[opt=true] bool shuffle
-- @tparam[opt] tensor|table sample_weight factors of the samples' losses; needs y
-- @tparam[opt] int seed of order and changes
-- @tparam[opt] string save_to_dir a folder where the pictures are kept as files
-- @tparam[opt=""] string save_prefix how their names begin
-- @tparam[opt="png"] string save_format "png", "jpg" or "bmp"
-- @tparam[opt=false] bool ignore_class_split allows that one part has classes that the other has not
-- @tparam[opt] string subset "training" or "validation", by the generator's validation_split
-- @treturn dataset of batches x, x and y, or x, y and sample_weight; with the fields n (samples) and batch_size
-- @raise numbers of samples that differ; a subset without samples
-- @usage
-- generator = cnn.ImageDataGenerator{horizontal_flip = true, validation_split = 0.25}
-- x = cnn.random.uniform{8, 4, 4, 1}
-- train = generator:flow{x, batch_size = 4, subset = "training"}
-- train.n, #train
-- --> 6
-- --> 2
function generator:flow(...)
  local a = arguments("flow", flow_arguments, ...)
  for _, name in ipairs{"x", "y", "sample_weight"} do
    if type(a[name]) == "table" then a[name] = cnn.tensor(a[name]) end
  end
  if not a.x or #a.x:shape() ~= 4 then fail("flow: expected pictures [N,H,W,C], got " .. describe(a.x)) end
  if a.sample_weight and not a.y then fail "flow: 'sample_weight' needs 'y'" end
  local count = #a.x
  local first, last = bounds(self, a.subset, count)
  if first > last then fail(("flow: there is nothing in subset '%s' of %d samples"):format(a.subset, count)) end
  local tensors = {cnn.arange(0, last - first + 1)}
  for i, name in ipairs{"x", "y", "sample_weight"} do
    local tensor = a[name]
    if not tensor then break end
    if #tensor ~= count then
      fail(("flow: x has %d samples, but '%s' has %d"):format(count, name, #tensor))
    end
    tensors[i + 1] = tensor:slice(first, last)
  end
  if a.y and a.subset and not a.ignore_class_split then check_split(a.y, math.floor(self.validation_split * count)) end
  local dataset = batches(a, tensors, function(index, image, ...)
    return change(self, a, index, image, last_first(...))
  end)
  dataset.n, dataset.batch_size = last - first + 1, a.batch_size
  return dataset
end

local directory_arguments = {
  {"directory", "string"}, {"target_size", "size", {256, 256}}, {"color_mode", "grayscale|rgb|rgba", "rgb"},
  {"classes", "names"}, {"class_mode", "categorical|binary|sparse|input", "categorical", optional = true},
  {"batch_size", "count", 32}, {"shuffle", "boolean", true}, {"seed", "whole"}, {"save_to_dir", "string"},
  {"save_prefix", "string", ""}, {"save_format", "png|jpg|jpeg|bmp", "png"}, {"follow_links", "boolean", false},
  {"subset", "training|validation"}, {"interpolation", "nearest|bilinear|bicubic|area", "nearest"},
  {"keep_aspect_ratio", "boolean", false},
}

-- Of pictures sorted by class, those of the subset, the same part of each class.
local function part_of(self, subset, paths, labels)
  local chosen_paths, chosen_labels, first = {}, {}, 1
  while first <= #paths do
    local last = first
    while labels[last + 1] == labels[first] do last = last + 1 end
    local from, to = bounds(self, subset, last - first + 1)
    table.move(paths, first + from - 1, first + to - 1, #chosen_paths + 1, chosen_paths)
    table.move(labels, first + from - 1, first + to - 1, #chosen_labels + 1, chosen_labels)
    first = last + 1
  end
  return chosen_paths, chosen_labels
end

--- Makes a dataset of batches of changed pictures from a folder that has a folder for each class.
-- How many pictures were found is printed.
-- @function generator:flow_from_directory
-- @tparam string directory
-- @tparam[opt={256,256}] {int,...} target_size {height, width}
-- @tparam[opt="rgb"] string color_mode "rgb", "rgba" or "grayscale"
-- @tparam[opt] {string,...} classes names of folders, in the order of their labels; default: all, sorted
-- @tparam[opt="categorical"] string|bool class_mode "categorical": labels as rows with a one; "binary": float32, 0
-- or 1; "sparse": int32, from 0; "input": the picture itself; false: none
-- @tparam[opt=32] int batch_size
-- @tparam[opt=true] bool shuffle
-- @tparam[opt] int seed of order and changes
-- @tparam[opt] string save_to_dir a folder where the pictures are kept as files
-- @tparam[opt=""] string save_prefix how their names begin
-- @tparam[opt="png"] string save_format "png", "jpg" or "bmp"
-- @tparam[opt=false] bool follow_links into folders
-- @tparam[opt] string subset "training" or "validation", by the generator's validation_split
-- @tparam[opt="nearest"] string interpolation "nearest", "bilinear", "bicubic" or "area"
-- @tparam[opt=false] bool keep_aspect_ratio cuts off what is too wide or too high
-- @treturn dataset with the fields samples and n (both the number of pictures), batch_size, classes (the labels),
-- class_indices (labels by name) and filenames
-- @raise a folder without pictures; class_mode "binary" of another number of classes than two
-- @usage
-- os.execute "mkdir -p photos/cats photos/dogs"
-- cnn.image.save("photos/cats/1.png", cnn.zeros{8, 8, 3})
-- cnn.image.save("photos/dogs/1.png", cnn.ones{8, 8, 3})
-- generator = cnn.ImageDataGenerator{rescale = 1 / 255}
-- train = generator:flow_from_directory{"photos", target_size = {4, 4}, class_mode = "sparse", shuffle = false}
-- --> Found 2 images belonging to 2 classes.
-- train.class_indices                  --> {cats = 0, dogs = 1}
-- images, labels = train:iter()()
-- images:shape(), labels:tolist()
-- --> {2, 4, 4, 3}
-- --> {0, 1}
function generator:flow_from_directory(...)
  local who = "flow_from_directory"
  local a = arguments(who, directory_arguments, ...)
  if not a.directory then fail(who .. ": 'directory' is missing") end
  local names, paths, labels = system.list_pictures(a.directory, {
    class_names = a.classes, follow_links = a.follow_links, shuffle = false,
  })
  paths, labels = part_of(self, a.subset, paths, labels)
  if #paths == 0 then
    local subset = a.subset and (" for subset '%s'"):format(a.subset) or ""
    fail(("%s: there are no pictures in %s%s"):format(who, a.directory, subset))
  end
  if a.class_mode == "binary" and #names ~= 2 then
    fail(("%s: class_mode 'binary' needs 2 classes, got %d"):format(who, #names))
  end
  print(("Found %d images belonging to %d classes."):format(#paths, #names))
  local tensors, y = {cnn.arange(0, #paths)}, cnn.tensor(labels, "int32")
  if a.class_mode == "categorical" then y = cnn.utils.to_categorical(y, #names) end
  if a.class_mode == "binary" then y = y:astype "float32" end
  if a.class_mode and a.class_mode ~= "input" then tensors[2] = y end
  local dataset = batches(a, tensors, function(index, ...)
    local path = paths[index:item() + 1]
    local image = cnn.utils.load_img{
      path, color_mode = a.color_mode, target_size = a.target_size, interpolation = a.interpolation,
      keep_aspect_ratio = a.keep_aspect_ratio,
    }
    local result = table.pack(pcall(change, self, a, index, image, last_first(...)))
    if not result[1] then error(("%s: %s"):format(path, result[2]), 0) end
    return table.unpack(result, 2, result.n)
  end)
  dataset.samples, dataset.n, dataset.batch_size, dataset.classes = #paths, #paths, a.batch_size, labels
  dataset.class_indices, dataset.filenames = {}, {}
  for i, name in ipairs(names) do dataset.class_indices[name] = i - 1 end
  for i, path in ipairs(paths) do dataset.filenames[i] = path:sub(#a.directory + 1):gsub("^/+", "") end
  return dataset
end

cnn.preprocessing = rawget(cnn, "preprocessing") or {}
cnn.preprocessing.image = rawget(cnn.preprocessing, "image") or {}
cnn.preprocessing.image.ImageDataGenerator = cnn.ImageDataGenerator
