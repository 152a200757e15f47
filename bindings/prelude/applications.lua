-- Networks that come trained: their architecture is built here, with the functional API, and their weights come from
-- files that others have published.

local cnn = ...
local layers = cnn.layers
local args = cnn.nn.args -- which prelude/nn.lua takes away, as datasets/files.lua does with the next
local fail = cnn.datasets.system.fail

local applications = {squeezenet = {}}
cnn.applications = applications

-- ---- SqueezeNet -----------------------------------------------------------------------------------------------

local release = "https://github.com/rcmalli/keras-squeezenet/releases/"

-- A published file, described as data sets are.
local function published(title, what, mirrors, file)
  return {
    name = "squeezenet", title = title, what = what, folders = {"models"}, data_folders = {"", "../keras_models"},
    system = {}, mirrors = mirrors, file,
  }
end

-- With the layers that tell the 1000 classes of ImageNet apart; it is not downloaded, for its checksum is not known.
local with_top = published("SqueezeNet with its top, trained on ImageNet",
  "this file, from " .. release .. "tag/v1.0", nil, {name = "squeezenet_weights_tf_dim_ordering_tf_kernels.h5"})

local without_top = published("SqueezeNet trained on ImageNet", "this file", {release .. "download/v1.0/"}, {
  name = "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5", also = {"squeezenet_imagenet_notop.h5"},
  sha256 = "17154246284f555591549ac2c83e127abfbf4307dc4b0060fdaa2931d0fa38da",
})

local function relu(x, name)
  return layers.Activation{"relu", name = name}(x)
end

-- A few 1×1 kernels squeeze the channels; 1×1 and 3×3 kernels side by side make many of them again.
local function fire(x, name, squeeze, expand)
  local function convolution(input, part, filters, size, padding)
    return layers.Conv2D{filters, size, padding = padding, name = ("%s/%s"):format(name, part)}(input)
  end
  x = relu(convolution(x, "squeeze1x1", squeeze, 1, "valid"), name .. "/relu_squeeze1x1")
  local left = convolution(x, "expand1x1", expand, 1, "valid")
  local right = convolution(x, "expand3x3", expand, 3, "same")
  return layers.Concatenate{name = name .. "/concat"} {
    relu(left, name .. "/relu_expand1x1"), relu(right, name .. "/relu_expand3x3"),
  }
end

local function features(x)
  local function pool(input, name)
    return layers.MaxPooling2D{3, strides = 2, name = name}(input)
  end
  x = relu(layers.Conv2D{64, 3, strides = 2, name = "conv1"}(x), "relu_conv1")
  x = pool(x, "pool1")
  x = fire(fire(x, "fire2", 16, 64), "fire3", 16, 64)
  x = pool(x, "pool3")
  x = fire(fire(x, "fire4", 32, 128), "fire5", 32, 128)
  x = pool(x, "pool5")
  x = fire(fire(x, "fire6", 48, 192), "fire7", 48, 192)
  x = fire(fire(x, "fire8", 64, 256), "fire9", 64, 256)
  return layers.Dropout{0.5, name = "drop9"}(x)
end

local function classifier(x, classes)
  x = relu(layers.Conv2D{classes, 1, name = "conv10"}(x), "relu_conv10")
  return layers.Activation{"softmax", name = "loss"}(layers.GlobalAveragePooling2D{name = "pool10"}(x))
end

local poolings = {avg = layers.GlobalAveragePooling2D, max = layers.GlobalMaxPooling2D}

--- Makes SqueezeNet 1.1, a small network for pictures, with weights learned from ImageNet.
-- It is small because its convolutions squeeze their channels first (Iandola and others, 2016). Pictures must go
-- through cnn.applications.squeezenet.preprocess_input. The weights without top are looked for in
-- `$CNNLUA_DATA/models`, `$CNNLUA_DATA`, `$CNNLUA_DATA/../keras_models` and the caches
-- (cnn.datasets.files.cache_folders); else they are downloaded. Those with top are never downloaded.
-- @function cnn.applications.SqueezeNet
-- @tparam[opt="imagenet"] string|bool weights "imagenet"; false: initial ones; or the path of a file
-- @tparam[opt=true] bool include_top with the layers that give the probabilities of the classes
-- @tparam[opt={227,227,3}] {int,...} input_shape {height, width, 3}
-- @tparam[opt] string pooling of a network without top: "avg" or "max" of each channel; default: none, so that the
-- result is {n, height, width, 512}
-- @tparam[opt=1000] int classes of the top; "imagenet" has 1000
-- @tparam[opt="squeezenet"] string name of the model
-- @treturn model
-- @raise another pooling; weights that are not there and cannot be downloaded, with where to put them
-- @usage
-- base = cnn.applications.SqueezeNet{weights = false, include_top = false, input_shape = {64, 64, 3}}
-- base.output_shape                    --> {-1, 3, 3, 512}
-- base:count_params()                  --> 722496
-- base.trainable = false
function applications.SqueezeNet(...)
  local weights, include_top, input_shape, pooling, classes, name = args("SqueezeNet",
    {"weights", "include_top", "input_shape", "pooling", "classes", "name"}, ...)
  if weights == nil then weights = "imagenet" end
  if weights and type(weights) ~= "string" then
    fail(('SqueezeNet: \'weights\' must be "imagenet", a path or false, got %s'):format(tostring(weights)))
  end
  include_top = include_top ~= false
  if pooling and not poolings[pooling] then
    fail(('SqueezeNet: \'pooling\' must be "avg" or "max", got %s'):format(tostring(pooling)))
  end
  classes = classes or 1000
  if include_top and weights == "imagenet" and classes ~= 1000 then
    fail(('SqueezeNet: "imagenet" has weights for 1000 classes, got \'classes\' = %s'):format(tostring(classes)))
  end
  local inputs = cnn.Input{shape = input_shape or {227, 227, 3}, name = "input_1"}
  local x = features(inputs)
  if include_top then
    x = classifier(x, classes)
  elseif pooling then
    x = poolings[pooling]()(x)
  end
  local model = cnn.Model{inputs = inputs, outputs = x, name = name or "squeezenet"}
  if weights == "imagenet" then
    weights = cnn.datasets.files.obtain(include_top and with_top or without_top)[1]
  end
  if weights then model:load_weights(weights) end
  return model
end

local mean = cnn.tensor{103.939, 116.779, 123.68}

--- Makes of pictures what SqueezeNet is to be given: channels in the order blue, green, red, each less its mean in
-- ImageNet.
-- @function cnn.applications.squeezenet.preprocess_input
-- @tparam tensor x pictures {…, 3} in red, green, blue, from 0 to 255. Of a symbolic tensor a layer does it, a 1×1
-- convolution that does not learn and goes into files with its model
-- @treturn tensor float32
-- @raise another number of channels
-- @usage
-- x = cnn.tensor{{{255, 0, 0}}}
-- blue, green, red = table.unpack(cnn.applications.squeezenet.preprocess_input(x):flatten():tolist())
-- red > 131 and green < -116 and blue < -103  --> true
function applications.squeezenet.preprocess_input(x)
  local shape = cnn.is_tensor(x) and x:shape() or {}
  if shape[#shape] ~= 3 then
    fail(("preprocess_input: expected pictures of 3 channels, got %s"):format(
      #shape > 0 and "{" .. table.concat(shape, ", ") .. "}" or type(x)))
  end
  if shape[1] >= 0 then return cnn.flip(x, -1) - mean end
  local layer = layers.Conv2D{3, 1, trainable = false}
  local result = layer(x)
  layer:set_weights{cnn.flip(cnn.eye(3), 2):reshape{1, 1, 3, 3}, -mean}
  return result
end
