-- Published networks: their layers, their weights looked for and loaded, what they make of a picture.
-- luacheck: globals TestSqueezeNet TestSqueezeNetWeights TestPreprocess

local cnn = require "cnn"
local lu = require "luaunit"
local raises = require "raises"
local with = require "with"

local eq = lu.assertEquals
local here = debug.getinfo(1, "S").source:match "^@(.*/)" or "./"
local SqueezeNet, preprocess_input = cnn.applications.SqueezeNet, cnn.applications.squeezenet.preprocess_input

local PUBLISHED = "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5"

-- ---- architecture -----------------------------------------------------------------------------------------

TestSqueezeNet = {setUp = cnn.backend.clear_session}

function TestSqueezeNet.test_layers_without_top()
  local model = SqueezeNet{weights = false, include_top = false}
  eq(model.name, "squeezenet")
  eq(model:count_params(), 722496)
  eq(#model.layers, 4 + 8 * 7 + 2 + 1)
  eq(model.output_shape, {-1, 13, 13, 512})
  for name, shape in pairs{
    conv1 = {113, 113, 64}, pool1 = {56, 56, 64}, ["fire3/concat"] = {56, 56, 128}, pool3 = {27, 27, 128},
    ["fire5/concat"] = {27, 27, 256}, pool5 = {13, 13, 256}, ["fire6/squeeze1x1"] = {13, 13, 48},
    ["fire7/relu_expand3x3"] = {13, 13, 192}, ["fire9/concat"] = {13, 13, 512}, drop9 = {13, 13, 512},
  } do
    local found = model:layer_output(name):shape()
    eq({found[2], found[3], found[4]}, shape, name)
  end
end

function TestSqueezeNet.test_layers_with_top()
  local model = SqueezeNet{weights = false, input_shape = {64, 48, 3}, classes = 7, name = "mine"}
  eq(model.name, "mine")
  eq(model:count_params(), 722496 + 513 * 7)
  local probabilities = model:predict{cnn.random.uniform{2, 64, 48, 3}, verbose = 0}
  eq(probabilities:shape(), {2, 7})
  lu.assertTrue(cnn.allclose(probabilities:sum(2), cnn.ones{2}, 1e-5, 1e-5))
  eq(SqueezeNet{weights = false}:count_params(), 1235496)
end

function TestSqueezeNet.test_pooling()
  local x = cnn.random.uniform{2, 50, 40, 3} * 255
  for pooling, reduce in pairs{avg = cnn.mean, max = cnn.max} do
    local model = SqueezeNet{weights = false, include_top = false, input_shape = {50, 40, 3}, pooling = pooling}
    local maps = cnn.Model{inputs = model.inputs, outputs = model:layer_output "drop9"}
    local expected = reduce(maps:predict{x, verbose = 0}, {2, 3})
    lu.assertTrue(cnn.allclose(model:predict{x, verbose = 0}, expected, 1e-4, 1e-5), pooling)
  end
end

function TestSqueezeNet.test_wrong_arguments()
  raises("SqueezeNet: unknown argument 'weigths' (did you mean 'weights'?)", SqueezeNet, {weigths = false})
  raises([['weights' must be "imagenet", a path or false, got 7]], SqueezeNet, {weights = 7})
  raises([['pooling' must be "avg" or "max", got mean]], SqueezeNet, {weights = false, pooling = "mean"})
  raises([["imagenet" has weights for 1000 classes, got 'classes' = 10]], SqueezeNet, {classes = 10})
  raises("conv1", SqueezeNet, {weights = false, input_shape = {2, 2, 3}})
end

-- ---- weights ----------------------------------------------------------------------------------------------

TestSqueezeNetWeights = {}

-- As tests/oracle/make_squeezenet.py makes it: red, green, blue, whole numbers from 0 to 255.
local function picture()
  local function column(size, last)
    return cnn.arange(size):reshape(last)
  end
  local h, w, c = column(227, {227, 1, 1}), column(227, {1, 227, 1}), column(3, {1, 1, 3})
  return ((h * 7 + w * 13 + c * 101 + (h * w) % 97) % 256):reshape{1, 227, 227, 3}
end

function TestSqueezeNetWeights.test_features_of_a_picture()
  local oracle = dofile(here .. "../oracle/squeezenet.lua")
  local found, model = pcall(with, {CNNLUA_MIRROR = "http://127.0.0.1:9"}, SqueezeNet, {include_top = false})
  lu.skipIf(not found, "the weights of SqueezeNet are not in CNNLUA_DATA")
  local features = model:predict{preprocess_input(picture()), verbose = 0}[1]
  for name, values in pairs{first = features[1][1], middle = features[7][7], mean = features:mean{1, 2}} do
    lu.assertTrue(cnn.allclose(values, cnn.tensor(oracle[name]), 1e-4, 2e-3), name)
  end
end

function TestSqueezeNetWeights.test_where_they_are_looked_for()
  local root = os.tmpname()
  os.remove(root)
  local data, cache = root .. "/data", root .. "/cache"
  os.execute(("mkdir -p '%s'"):format(data))
  local small = {weights = false, include_top = false, input_shape = {32, 32, 3}}
  local model = SqueezeNet(small)
  small.weights = nil
  for i, place in ipairs{ -- each goes before those above it
    cache .. "/models/" .. PUBLISHED, root .. "/keras_models/squeezenet_imagenet_notop.h5", data .. "/" .. PUBLISHED,
    data .. "/models/squeezenet_imagenet_notop.h5", data .. "/models/" .. PUBLISHED,
  } do
    os.execute(("mkdir -p '%s'"):format(place:match "(.*)/"))
    model:get_layer "conv1":set_weights{cnn.zeros{3, 3, 3, 64}, cnn.full({64}, i)}
    model:save_weights(place)
    local found = with({CNNLUA_DATA = data, caches = {cache}}, SqueezeNet, small)
    eq(found:get_layer "conv1".bias[1], i, place)
  end
  os.execute(("rm -rf '%s'"):format(root))
end

function TestSqueezeNetWeights.test_messages_tell_what_to_put_where()
  local settings = {CNNLUA_DATA = "/some/data", CNNLUA_MIRROR = "http://127.0.0.1:9", caches = {"/dev/null/cache"}}
  local done, message = pcall(with, settings, SqueezeNet, {include_top = false})
  lu.assertFalse(done)
  for _, part in ipairs{
    "SqueezeNet trained on ImageNet is not on this machine and could not be downloaded: ", "/dev/null/cache",
    "\nPut this file,\n  " .. PUBLISHED .. "\ninto one of these folders:\n  /some/data/models\n  /some/data\n"
    .. "  /some/data/../keras_models\n  /dev/null/cache/models",
  } do
    lu.assertStrContains(message, part)
  end
  done, message = pcall(with, settings, SqueezeNet, {})
  lu.assertFalse(done)
  lu.assertStrContains(message, "its top, trained on ImageNet is not on this machine\nPut this file, from https://")
  lu.assertStrContains(message, "\n  squeezenet_weights_tf_dim_ordering_tf_kernels.h5\n")
end

function TestSqueezeNetWeights.test_a_path()
  local path = os.tmpname()
  os.remove(path)
  raises("/no/such.h5", SqueezeNet, {weights = "/no/such.h5", include_top = false})
  path = path .. ".h5"
  local options = {weights = false, include_top = false, input_shape = {32, 32, 3}}
  local model = SqueezeNet(options)
  model:save_weights(path)
  options.weights = path
  local again = SqueezeNet(options)
  for i, w in ipairs(again:get_weights()) do lu.assertTrue(cnn.allclose(w, model:get_weights()[i], 0, 0)) end
  options.include_top = true
  raises("layers", SqueezeNet, options)
  os.remove(path)
end

-- ---- preprocess_input -------------------------------------------------------------------------------------

TestPreprocess = {}

function TestPreprocess.test_pictures_alone_and_in_batches()
  for _, dtype in ipairs{"uint8", "float32"} do
    local x = cnn.tensor({{{10, 20, 30}, {0, 100, 255}}}, dtype)
    local expected = cnn.tensor{{{30 - 103.939, 20 - 116.779, 10 - 123.68}, {255 - 103.939, 100 - 116.779, -123.68}}}
    lu.assertTrue(cnn.allclose(preprocess_input(x), expected, 0, 1e-4))
    eq(preprocess_input(x):dtype(), "float32")
    local batch = preprocess_input(cnn.stack({x, x}, 1))
    eq(batch:shape(), {2, 1, 2, 3})
    lu.assertTrue(cnn.allclose(batch[2], expected, 0, 1e-4))
  end
end

function TestPreprocess.test_wrong_arguments()
  raises("preprocess_input: expected pictures of 3 channels, got {2, 2, 1}", preprocess_input, cnn.ones{2, 2, 1})
  raises("preprocess_input: expected pictures of 3 channels, got nil", preprocess_input)
end

function TestPreprocess.test_as_a_part_of_a_model()
  local inputs = cnn.Input{4, 5, 3}
  local model = cnn.Model{inputs = inputs, outputs = cnn.layers.Flatten()(preprocess_input(inputs))}
  local x = cnn.random.uniform{2, 4, 5, 3} * 255
  local expected = preprocess_input(x):reshape{2, 60}
  eq(#model.trainable_weights, 0)
  lu.assertTrue(cnn.allclose(model:predict{x, verbose = 0}, expected, 0, 1e-4))
  local name = os.tmpname()
  local path = name .. ".keras"
  model:save(path)
  lu.assertTrue(cnn.allclose(cnn.load_model(path):predict{x, verbose = 0}, expected, 0, 1e-4))
  os.remove(path)
  os.remove(name)
end
