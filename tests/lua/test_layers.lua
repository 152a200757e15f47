-- Layers: arguments and their errors, configs, shapes and parameter counts, names, initializers,
-- regularizers, and that
-- a layer computes the same when called on a tensor as in a model.
-- luacheck: globals TestLayerArguments TestLayerShapes TestLayerCalls TestLayerNames TestInitializers
-- luacheck: globals TestRegularizers TestLayerWeights TestSpecs

local lu = require "luaunit"
local cnn = require "cnn"
local raises = require "raises"

local eq = lu.assertEquals
local layers = cnn.layers

local function close(a, b, tolerance)
  lu.assertTrue(cnn.allclose(a, b, tolerance or 1e-5, tolerance or 1e-6))
end

-- Shape of a layer's result for one sample of this shape, eagerly and symbolically, and its parameter count.
local function shape_of(layer, shape)
  local symbolic = layer(cnn.Input(shape)):shape()
  local eager = layer(cnn.zeros{1, table.unpack(shape)}):shape()
  eq({table.unpack(eager, 2)}, {table.unpack(symbolic, 2)})
  eq(symbolic[1], -1)
  return {table.unpack(symbolic, 2)}, layer:count_params()
end

-- Every class with arguments it can be made from and a sample it can be called on.
local classes = {
  Conv2D = {{3, 2}, {5, 6, 2}},
  MaxPooling2D = {{2}, {5, 6, 2}},
  AveragePooling2D = {{2}, {5, 6, 2}},
  GlobalMaxPooling2D = {{}, {5, 6, 2}},
  GlobalAveragePooling2D = {{}, {5, 6, 2}},
  Flatten = {{}, {5, 6, 2}},
  Dense = {{4}, {7}},
  Dropout = {{0.5}, {7}},
  Activation = {{"relu"}, {7}},
  Reshape = {{{2, 3}}, {6}},
  ZeroPadding2D = {{1}, {5, 6, 2}},
  Rescaling = {{0.5}, {7}},
}

-- ---- arguments --------------------------------------------------------------------------------------------

TestLayerArguments = {}

function TestLayerArguments.test_position_and_name_are_the_same()
  local by_position = layers.Conv2D{8, {3, 5}, {2, 1}, "same", name = "c"}
  local by_name = layers.Conv2D{strides = {2, 1}, kernel_size = {3, 5}, padding = "same", filters = 8,
    name = "c"}
  eq(by_position:get_config(), by_name:get_config())
  eq(layers.Dropout(0.5):get_config().rate, layers.Dropout{rate = 0.5}:get_config().rate)
  eq(layers.Dense(3, "relu").activation, "relu")
end

function TestLayerArguments.test_defaults_are_keras_s()
  local conv = layers.Conv2D{8, 3}:get_config()
  eq({conv.kernel_size, conv.strides, conv.dilation_rate}, {{3, 3}, {1, 1}, {1, 1}})
  eq({conv.padding, conv.groups, conv.use_bias, conv.data_format}, {"valid", 1, true, "channels_last"})
  eq({conv.kernel_initializer, conv.bias_initializer}, {"glorot_uniform", "zeros"})
  eq({conv.activation, conv.kernel_regularizer, conv.bias_regularizer}, {})
  eq({conv.trainable, conv.dtype}, {true, "float32"})
  local pool = layers.MaxPooling2D{}
  eq(pool(cnn.zeros{1, 6, 6, 1}):shape(), {1, 3, 3, 1})
  eq({pool.pool_size, pool.strides, pool.padding}, {{2, 2}, {2, 2}, "valid"})
  eq(layers.ZeroPadding2D{}.padding, 1)
  eq(layers.Rescaling{2}.offset, 0)
  eq(layers.GlobalMaxPooling2D{}.keepdims, false)
end

function TestLayerArguments.test_a_config_makes_the_same_layer_again()
  for name, case in pairs(classes) do
    local layer = layers[name](case[1])
    layer(cnn.Input(case[2]))
    local config = layer:get_config()
    eq(layers[name](config):get_config(), config)
    eq(config.name, layer.name)
  end
  local full = layers.Conv2D{4, {2, 3}, strides = 2, padding = "same", groups = 2, activation = "tanh",
    use_bias = false, kernel_initializer = cnn.initializers.HeNormal{seed = 3}, trainable = false,
    kernel_regularizer = cnn.regularizers.L1L2{l1 = 0.5, l2 = 0.25}, name = "full"}
  local config = full:get_config()
  eq(config.kernel_regularizer, {class_name = "L1L2", config = {l1 = 0.5, l2 = 0.25}})
  eq(config.kernel_initializer, {class_name = "HeNormal", config = {seed = 3}})
  eq(layers.Conv2D(config):get_config(), config)
  eq(layers.Conv2D(config).trainable, false)
end

function TestLayerArguments.test_unknown_ones_are_told_with_the_nearest()
  raises("Conv2D: unknown argument 'kernal_size' (did you mean 'kernel_size'?)", layers.Conv2D,
         {32, kernal_size = 3})
  raises("test_layers.lua:", function() layers.Conv2D{32, kernal_size = 3} end)
  raises("Dense: unknown argument 'unit' (did you mean 'units'?)", layers.Dense, {unit = 3})
  raises("MaxPooling2D: unknown argument 'stride' (did you mean 'strides'?)", layers.MaxPooling2D, {2,
    stride = 1})
  raises("cnn.layers: there is no 'Flaten' (did you mean 'Flatten'?)", function() return layers.Flaten end)
  raises("did you mean 'relu'", layers.Conv2D, {32, 3, activation = "rleu"})
  raises("Conv2D: 'activation': ", layers.Conv2D, {32, 3, activation = "rleu"})
  raises("did you mean 'softmax'", layers.Activation, {"sofmax"})
  raises("Dense: 'kernel_initializer': unknown initializer 'glorot_unifrom' (did you mean 'glorot_uniform'?)",
         layers.Dense, {3, kernel_initializer = "glorot_unifrom"})
  raises("Dense: 'bias_initializer': unknown initializer 'nought'", layers.Dense, {3,
    bias_initializer = "nought"})
  raises("Conv2D: 'kernel_regularizer': unknown regularizer 'l3'", layers.Conv2D, {3, 3,
    kernel_regularizer = "l3"})
  raises("Dense: 'bias_regularizer': regularizer: expected a name", layers.Dense, {3, bias_regularizer = 0.1})
end

function TestLayerArguments.test_wrong_values_are_told()
  raises("Conv2D: missing argument 'filters'", layers.Conv2D)
  raises("Conv2D: missing argument 'kernel_size'", layers.Conv2D, {3})
  raises("Conv2D: 'filters' must be at least 1, got 0", layers.Conv2D, {0, 3})
  raises("Conv2D: 'filters' must be an integer, got 2.5", layers.Conv2D, {2.5, 3})
  raises("Conv2D: 'filters' must be an integer, got \"3\"", layers.Conv2D, {"3", 3})
  raises("Conv2D: 'kernel_size' must be an integer or a pair of integers, got [3,3,3]", layers.Conv2D, {3,
    {3, 3, 3}})
  raises("Conv2D: 'strides' must be at least 1, got -1", layers.Conv2D, {3, 3, -1})
  raises("Conv2D: 'padding' must be one of 'valid', 'same', got \"full\"", layers.Conv2D, {3, 3,
    padding = "full"})
  raises("Conv2D: 'padding'", layers.Conv2D, {3, 3, padding = 5})
  raises("Conv2D: 'data_format' must be one of 'channels_last'", layers.Conv2D, {3, 3,
    data_format = "channels_first"})
  raises("Conv2D: 'use_bias' must be true or false, got 0", layers.Conv2D, {3, 3, use_bias = 0})
  raises("Conv2D: 'activity_regularizer' is not supported", layers.Conv2D, {3, 3,
    activity_regularizer = "l2"})
  raises("Conv2D: 'name' must be a string, got 5", layers.Conv2D, {3, 3, name = 5})
  raises("Conv2D: groups = 2 must divide filters = 3", layers.Conv2D, {3, 3, groups = 2})
  raises("Conv2D: strides > 1 cannot go with dilation_rate > 1", layers.Conv2D, {3, 3, 2, dilation_rate = 2})
  raises("Dropout: 'rate' must be below 1, got 1", layers.Dropout, {1})
  raises("Dropout: 'rate' must be between 0 and 1, got -0.5", layers.Dropout, {-0.5})
  raises("Dropout: 'noise_shape' is not supported", layers.Dropout, {0.5, {1, 2}})
  raises("Rescaling: 'scale' cannot be infinite or NaN", layers.Rescaling, {0 / 0})
  raises("ZeroPadding2D: 'padding': expected a count", layers.ZeroPadding2D, {-1})
  raises("ZeroPadding2D: 'padding': expected a count", layers.ZeroPadding2D, {{1, 2, 3}})
  raises("Reshape: 'target_shape' must be a list of sizes", layers.Reshape, {"4"})
  raises("at most", layers.Dropout, 0.5, 1, 1, 1, 1, 1, 1, 1, 1)
end

function TestLayerArguments.test_words_may_be_in_capitals()
  eq(layers.Conv2D{3, 3, padding = "SAME"}.padding, "same")
  eq(layers.Dense{3, activation = "ReLU"}(cnn.full({1, 2}, -1)):min():item() >= 0, true)
end

-- ---- shapes -----------------------------------------------------------------------------------------------

TestLayerShapes = {}

function TestLayerShapes.test_conv2d_by_all_its_arguments()
  local function span(size, kernel, stride, dilation, padding)
    if padding == "same" then return (size + stride - 1) // stride end
    return (size - ((kernel - 1) * dilation + 1)) // stride + 1
  end
  for _, padding in ipairs{"valid", "same"} do
    for _, kernel in ipairs{{1, 1}, {3, 2}} do
      for _, step in ipairs{{1, 1, 1}, {2, 3, 1}, {1, 1, 2}} do
        for _, groups in ipairs{1, 2} do
          for _, use_bias in ipairs{true, false} do
            local layer = layers.Conv2D{6, kernel, strides = {step[1], step[2]}, padding = padding,
              dilation_rate = step[3], groups = groups, use_bias = use_bias}
            local shape, count = shape_of(layer, {9, 8, 4})
            eq(shape, {span(9, kernel[1], step[1], step[3], padding), span(8, kernel[2], step[2], step[3],
              padding), 6})
            eq(count, kernel[1] * kernel[2] * 4 // groups * 6 + (use_bias and 6 or 0))
            eq(layer.bias ~= nil, use_bias)
          end
        end
      end
    end
  end
end

function TestLayerShapes.test_pooling()
  for _, name in ipairs{"MaxPooling2D", "AveragePooling2D"} do
    eq(shape_of(layers[name]{}, {5, 7, 3}), {2, 3, 3})
    eq(shape_of(layers[name]{padding = "same"}, {5, 7, 3}), {3, 4, 3})
    eq(shape_of(layers[name]{{3, 2}, 1}, {5, 7, 3}), {3, 6, 3})
    eq(shape_of(layers[name]{2, {3, 1}, "same"}, {5, 7, 3}), {2, 7, 3})
  end
  for _, name in ipairs{"GlobalMaxPooling2D", "GlobalAveragePooling2D"} do
    eq(shape_of(layers[name]{}, {5, 7, 3}), {3})
    eq(shape_of(layers[name]{keepdims = true}, {5, 7, 3}), {1, 1, 3})
  end
end

function TestLayerShapes.test_the_others()
  eq(shape_of(layers.Flatten{}, {5, 7, 3}), {105})
  eq(shape_of(layers.Flatten{}, {5}), {5})
  eq({shape_of(layers.Dense{4}, {7})}, {{4}, 32})
  eq({shape_of(layers.Dense{4, use_bias = false}, {2, 7})}, {{2, 4}, 28})
  eq(shape_of(layers.Reshape{{3, -1}}, {4, 6}), {3, 8})
  eq(shape_of(layers.ZeroPadding2D{{1, 2}}, {4, 6, 1}), {6, 10, 1})
  eq(shape_of(layers.ZeroPadding2D{{{1, 0}, {0, 3}}}, {4, 6, 1}), {5, 9, 1})
  eq(shape_of(layers.Dropout{0.5}, {4, 6}), {4, 6})
  eq(shape_of(layers.Rescaling{0.5}, {4, 6}), {4, 6})
end

function TestLayerShapes.test_what_does_not_fit()
  raises("a 3×3 window does not fit an input of shape (1, 2, 2, 1)", layers.Conv2D{4, 3}, cnn.zeros{1, 2,
    2, 1})
  raises("a 3×3 window does not fit", layers.MaxPooling2D{3}, cnn.zeros{1, 2, 2, 1})
  raises(": expected 4 axes [N,H,W,C], got an input of shape (1, 2, 2)", layers.Conv2D{4, 3},
    cnn.zeros{1, 2, 2})
  raises("expected 4 axes", layers.MaxPooling2D{}, cnn.zeros{2, 2})
  raises("expected 4 axes", layers.GlobalMaxPooling2D{}, cnn.zeros{2, 2})
  raises("expected 4 axes", layers.ZeroPadding2D{}, cnn.zeros{2, 2})
  raises(": expected 2 axes", layers.Dense{3}, cnn.zeros{2})
  raises("groups = 2 must divide the 3 input channels", layers.Conv2D{4, 3, groups = 2}, cnn.zeros{1, 4, 4,
    3})
  raises("a sample of shape (4,) does not fit into (3,)", layers.Reshape{{3}}, cnn.zeros{2, 4})
  raises("one may be -1", layers.Reshape{{-1, -1}}, cnn.zeros{2, 4})
  raises("Conv2D 'c': ", layers.Conv2D{4, 3, name = "c"}, cnn.zeros{1, 2, 2, 1})
  local dense = layers.Dense{3}
  dense(cnn.zeros{1, 4})
  raises("weights of shape (4, 3) do not fit an input of shape (1, 5)", dense, cnn.zeros{1, 5})
  raises("too big", layers.ZeroPadding2D{1000000000}, cnn.zeros{1, 2, 2, 1})
  eq(layers.Conv2D{4, 3, padding = "same"}(cnn.zeros{1, 2, 2, 1}):shape(), {1, 2, 2, 4})
end

function TestLayerShapes.test_empty_batches_pass()
  eq(layers.Dense{3}(cnn.zeros{0, 2}):shape(), {0, 3})
  eq(layers.Conv2D{4, 3}(cnn.zeros{0, 5, 5, 1}):shape(), {0, 3, 3, 4})
end

-- ---- calls ------------------------------------------------------------------------------------------------

TestLayerCalls = {}

function TestLayerCalls.test_a_tensor_gives_what_predict_gives()
  cnn.utils.set_random_seed(5)
  for name, case in pairs(classes) do
    local layer = layers[name](case[1])
    local x = cnn.random.normal{3, table.unpack(case[2])}
    local model = cnn.Sequential{cnn.Input(case[2]), layer}
    close(layer(x), model:predict{x, verbose = 0})
    close(model(x), layer(x))
  end
end

function TestLayerCalls.test_values()
  local picture = cnn.tensor{{{{0}, {1}}, {{2}, {3}}}}
  eq(layers.Rescaling{2, 1}(cnn.tensor{{1, 2}}):tolist(), {{3, 5}})
  eq(layers.Rescaling{1 / 255}(cnn.full({1, 1}, 255, "uint8")):tolist(), {{1}})
  eq(layers.MaxPooling2D{}(picture):item(), 3)
  eq(layers.AveragePooling2D{}(picture):item(), 1.5)
  eq(layers.ZeroPadding2D{{{1, 0}, {0, 1}}}(cnn.ones{1, 1, 1, 1}):reshape{2, 2}:tolist(), {{0, 0}, {1, 0}})
  local conv = layers.Conv2D{1, 2, kernel_initializer = "ones",
    bias_initializer = cnn.initializers.Constant{5}}
  eq(conv(picture):item(), 11)
end

function TestLayerCalls.test_dropout_drops_in_training_only()
  local x = cnn.ones{100, 100}
  local dropout = layers.Dropout{0.25, seed = 3}
  eq(dropout(x):tolist(), x:tolist())
  local dropped = dropout(x, {training = true})
  lu.assertAlmostEquals(dropped:mean():item(), 1, 0.05)
  lu.assertAlmostEquals(dropped:equal(0):mean():item(), 0.25, 0.03)
  lu.assertAlmostEquals(dropped:max():item(), 1 / 0.75, 1e-6)
end

function TestLayerCalls.test_options_come_in_a_table_after_the_tensor()
  local x, dropout = cnn.ones{1, 4}, layers.Dropout{0.5, name = "dropout"}
  local text = "dropout: options come in a table after the tensor"
  raises(text, dropout, x, true)
  raises(text, dropout, {x, training = true})
  raises("dropout: unknown option 'trainig' (there is 'training')", dropout, x, {trainig = true})
end

function TestLayerCalls.test_the_nth_call_of_a_layer_with_a_seed_is_the_same_in_every_run()
  local x, pictures = cnn.ones{1, 64}, cnn.random.uniform{2, 6, 6, 3}
  local makers = {
    function() return layers.Dropout{0.5, seed = 3}, x end,
    function() return layers.GaussianNoise{1, seed = 3}, x end,
    function() return layers.GaussianDropout{0.5, seed = 3}, x end,
    function() return layers.RandomFlip{seed = 3}, pictures end,
    function() return layers.RandomRotation{0.3, seed = 3}, pictures end,
    function() return layers.RandomCrop{4, 4, seed = 3}, pictures end,
    function()
      return cnn.Sequential{layers.Dropout{0.5, seed = 3}, layers.GaussianNoise{1, seed = 4}}, x
    end,
  }
  for i, make in ipairs(makers) do
    cnn.set_seed(i)
    local first, input = make()
    local one, two = first(input, {training = true}), first(input, {training = true})
    cnn.set_seed(100 + i)
    local second = make()
    second(input, {training = false}) -- nothing is drawn
    close(second(input, {training = true}), one)
    close(second(input, {training = true}), two)
    lu.assertFalse(cnn.allclose(one, two), "maker " .. i)
  end
end

function TestLayerCalls.test_inference_draws_no_random_numbers()
  cnn.set_seed(1)
  local _, rest = layers.Dropout{0.5}, cnn.random.uniform{3}
  cnn.set_seed(1)
  layers.Dropout{0.5}(cnn.ones{4})
  close(cnn.random.uniform{3}, rest)
end

function TestLayerCalls.test_whole_numbers_are_computed_with_as_floats()
  local x = cnn.arange(16):reshape{1, 4, 4, 1}
  eq(x:dtype(), "int32")
  local pooled = layers.MaxPooling2D{2}(x)
  eq(pooled:dtype(), "float32")
  eq(pooled:flatten():tolist(), {5, 7, 13, 15})
  local conv = layers.Conv2D{1, 2, kernel_initializer = "ones"}
  close(conv(x:astype "uint8"), conv(x:astype "float32"))
  close(layers.BatchNormalization{}(x, {training = true}),
    layers.BatchNormalization{}(x:astype "float32", {training = true}))
  eq(layers.Concatenate{}{cnn.ones({1, 2}, "int32"), cnn.zeros{1, 1}}:tolist(), {{1, 1, 0}})
  eq(layers.Flatten{}(x):dtype(), "int32")
  raises("expected float32 as input 1, got uint8", layers.Dense{1}, cnn.Input{3, dtype = "uint8"})
end

function TestLayerCalls.test_errors_say_a_name_once_and_how_many_inputs_there_must_be()
  raises(": conv2d: a 5×5 window", layers.Conv2D{1, 5, name = "conv2d"}, cnn.ones{1, 3, 3, 1})
  raises(": Conv2D 'wide': a 5×5 window", layers.Conv2D{1, 5, name = "wide"}, cnn.ones{1, 3, 3, 1})
  raises(": max_pooling2d: a 5×5 window", layers.MaxPooling2D{5, name = "max_pooling2d"}, cnn.ones{1, 3, 3, 1})
  raises("subtract: expected 2 inputs, got 1", layers.Subtract{name = "subtract"}, cnn.ones{2})
  raises("subtract: expected 2 inputs, got 3", layers.Subtract{name = "subtract"},
    {cnn.ones{2}, cnn.ones{2}, cnn.ones{2}})
  raises("dense: expected one input, got 2", layers.Dense{1, name = "dense"}, {cnn.ones{2}, cnn.ones{2}})
end

function TestLayerCalls.test_build_again_tells_of_weights_that_do_not_fit()
  local dense, conv, add = layers.Dense{2, name = "dense"}, layers.Conv2D{2, 3}, layers.Add{}
  dense:build{1, 3}
  local kernel = dense.kernel
  dense:build{cnn.null, 3}
  dense:build{4, 5, 3}
  eq(rawequal(kernel, dense.kernel) or kernel:tolist(), kernel:tolist())
  raises("dense: weights of shape (3, 2) do not fit an input of shape (None, 4)", dense.build, dense, {1, 4})
  conv:build{1, 8, 8, 3}
  conv:build{1, 9, 9, 3}
  raises("do not fit an input of shape (None, 8, 8, 4)", conv.build, conv, {1, 8, 8, 4})
  add:build{1, 3}
  add:build{1, 4}
end

function TestLayerCalls.test_activations_as_layers_and_functions()
  local x = cnn.tensor{{-8, -0.5, 0, 0.5, 2}}
  for _, activation in ipairs{
    layers.ReLU{max_value = 6}, layers.LeakyReLU{0.1}, layers.ELU{0.5}, layers.Softmax{}, layers.Activation{"tanh"},
    layers.Activation{layers.Activation{"sigmoid"}}, cnn.nn.relu, cnn.nn.softmax, cnn.nn.swish,
  } do
    local layer = layers.Dense{5, activation = activation, kernel_initializer = "ones", name = "dense"}
    close(layer(x), activation(cnn.full({1, 5}, x:sum():item())))
    close(layers.Activation{activation}(x), activation(x))
    close(layers.Dense(layer:get_config())(x), layer(x))
  end
end

function TestLayerCalls.test_what_is_no_activation_is_told()
  local function dense(activation) return function() layers.Dense{1, activation = activation} end end
  raises("Dense: 'activation': unknown activation 'rellu' (did you mean 'relu'?)", dense "rellu")
  raises("Dense: 'activation': unknown activation 'PReLU'", dense(layers.PReLU{}))
  raises("Dense: 'activation': unknown activation 'Dense'", dense(layers.Dense{1}))
  raises("Dense: 'activation': unknown activation 'conv2d'", dense(cnn.nn.conv2d))
  raises("Dense: 'activation' cannot be a function that is none of cnn.nn", dense(print))
  raises("cannot be a layer", function() layers.Dense{1, kernel_initializer = layers.ReLU{}} end)
end

function TestLayerCalls.test_activations_by_name()
  local x = cnn.tensor{{-2, -0.5, 0, 0.5, 2}}
  local e = math.exp
  local expected = {
    relu = function(v) return v > 0 and v or 0 end,
    linear = function(v) return v end,
    sigmoid = function(v) return 1 / (1 + e(-v)) end,
    tanh = function(v) return (e(v) - e(-v)) / (e(v) + e(-v)) end,
    elu = function(v) return v > 0 and v or e(v) - 1 end,
    selu = function(v) return 1.05070098735548 * (v > 0 and v or 1.67326324235438 * (e(v) - 1)) end,
    softplus = function(v) return math.log(1 + e(v)) end,
    silu = function(v) return v / (1 + e(-v)) end,
    leaky_relu = function(v) return v > 0 and v or 0.2 * v end,
    exponential = e,
  }
  for name, f in pairs(expected) do
    local values = {}
    for i, v in ipairs(x:tolist()[1]) do values[i] = f(v) end
    close(layers.Activation{name}(x), cnn.tensor{values}, 1e-5)
    close(layers.Dense{5, activation = name, kernel_initializer = "ones"}(cnn.full({1, 1}, 0.5)),
          cnn.full({1, 5}, f(0.5)), 1e-5)
  end
  lu.assertAlmostEquals(layers.Activation{"softmax"}(x):sum():item(), 1, 1e-6)
end

function TestLayerCalls.test_wrong_inputs()
  local dense = layers.Dense{3}
  raises("expected a tensor, got nil", function() dense() end)
  raises("expected a tensor, got string", dense, "x")
  raises("expected one input, got 2", dense, {cnn.ones{1, 2}, cnn.ones{1, 2}})
  local closed = cnn.ones{1, 2}
  closed:close()
  raises("closed", dense, closed)
  dense = layers.Dense{3}
  eq(dense{{1, 2}}:shape(), {1, 3})
end

-- ---- names ------------------------------------------------------------------------------------------------

TestLayerNames = {}

function TestLayerNames.test_they_are_numbered_by_class()
  cnn.backend.clear_session()
  eq(layers.Conv2D{1, 1}.name, "conv2d")
  eq(layers.Conv2D{1, 1}.name, "conv2d_1")
  eq(layers.Conv2D{1, 1, name = "mine"}.name, "mine")
  eq(layers.Conv2D{1, 1}.name, "conv2d_2")
  eq(layers.MaxPooling2D{}.name, "max_pooling2d")
  eq(layers.GlobalAveragePooling2D{}.name, "global_average_pooling2d")
  eq(layers.ZeroPadding2D{}.name, "zero_padding2d")
  eq(cnn.Sequential{}.name, "sequential")
  eq(cnn.Sequential{}.name, "sequential_1")
  cnn.backend.clear_session()
  eq(layers.Conv2D{1, 1}.name, "conv2d")
end

function TestLayerNames.test_a_failed_constructor_takes_no_name()
  cnn.backend.clear_session()
  pcall(layers.Dense, {0})
  pcall(layers.Dense, {3, activation = "nonsense"})
  eq(layers.Dense{1}.name, "dense")
end

function TestLayerNames.test_text_and_fields()
  local layer = layers.Dense{2, name = "out"}
  eq(tostring(layer), "<Dense 'out', not built>")
  eq({layer.built, layer.trainable, layer.class_name, layer.kernel}, {false, true, "Dense", nil})
  layer:build{cnn.null, 3}
  eq(tostring(layer), "<Dense 'out'>")
  eq(layer.kernel:shape(), {3, 2})
  eq(layer.units, 2)
  raises("out: there is no field 'kernl' (did you mean 'kernel'?)", function() return layer.kernl end)
  raises("out: there is no field 'get_weight' (did you mean 'get_weights'?)",
    function() return layer.get_weight end)
  raises("out: 'units' cannot be set", function() layer.units = 3 end)
  raises("out: 'trainable' must be true or false", function() layer.trainable = 1 end)
end

-- ---- initializers -----------------------------------------------------------------------------------------

TestInitializers = {}

-- The kernel of a Dense layer of 200 × 300 weights.
local function kernel(initializer)
  local dense = layers.Dense{300, kernel_initializer = initializer}
  dense:build{1, 200}
  return dense.kernel
end

function TestInitializers.test_variances_are_keras_s()
  cnn.utils.set_random_seed(1)
  local variances = {
    glorot_uniform = 2 / 500, glorot_normal = 2 / 500, he_uniform = 2 / 200, he_normal = 2 / 200,
    lecun_uniform = 1 / 200, lecun_normal = 1 / 200, random_normal = 0.05 ^ 2, random_uniform = 0.1 ^ 2 / 12,
    truncated_normal = (0.05 * 0.87962566) ^ 2, variance_scaling = 1 / 200,
  }
  for name, variance in pairs(variances) do
    local w = kernel(name)
    lu.assertAlmostEquals(w:var():item() / variance, 1, 0.03, name)
    lu.assertAlmostEquals(w:mean():item(), 0, 4 * math.sqrt(variance / 60000), name)
  end
  lu.assertTrue(kernel "glorot_uniform":abs():max():item() <= math.sqrt(6 / 500))
  lu.assertTrue(kernel "truncated_normal":abs():max():item() <= 0.1)
  local conv = layers.Conv2D{64, 3, kernel_initializer = "he_normal"}
  conv:build{1, 9, 9, 32}
  lu.assertAlmostEquals(conv.kernel:var():item() * 3 * 3 * 32 / 2, 1, 0.05)
end

function TestInitializers.test_constants()
  eq(kernel "zeros":abs():max():item(), 0)
  eq({kernel "ones":min():item(), kernel "ones":max():item()}, {1, 1})
  eq(kernel(cnn.initializers.Constant{value = 2.5}):min():item(), 2.5)
  eq(kernel{class_name = "Constant", config = {value = -1}}:max():item(), -1)
  eq(kernel(cnn.initializers.RandomUniform{minval = 2, maxval = 3}):min():item() >= 2, true)
end

function TestInitializers.test_a_seed_of_its_own_and_the_general_one()
  local seeded = cnn.initializers.HeNormal{seed = 7}
  eq(kernel(seeded):tolist(), kernel(seeded):tolist())
  eq(kernel(seeded):tolist(), kernel{class_name = "he_normal", config = {seed = 7}}:tolist())
  lu.assertNotEquals(kernel(seeded):tolist(), kernel(cnn.initializers.HeNormal{seed = 8}):tolist())
  cnn.utils.set_random_seed(3)
  local first, second = kernel "glorot_uniform", kernel "glorot_uniform"
  cnn.utils.set_random_seed(3)
  eq(kernel "glorot_uniform":tolist(), first:tolist())
  lu.assertNotEquals(first:tolist(), second:tolist())
end

function TestInitializers.test_errors()
  raises("HeNormal: unknown argument 'sed' (did you mean 'seed'?)", cnn.initializers.HeNormal, {sed = 3})
  raises("'mode' must be one of", cnn.initializers.VarianceScaling, {mode = "fan"})
  raises("Constant: 'value' must be a number", cnn.initializers.Constant, {"x"})
  raises("did you mean 'HeNormal'", function() return cnn.initializers.HeNorml end)
end

-- ---- regularizers -----------------------------------------------------------------------------------------

TestRegularizers = {}

-- One SGD step of a Dense layer from these weights on input 0: only the regularizer moves the kernel.
local function step(regularizer, weights)
  local model = cnn.Sequential{layers.Dense{1, use_bias = false, kernel_regularizer = regularizer,
    input_shape = {2}}}
  model:compile{optimizer = cnn.optimizers.SGD{0.5}, loss = "mse"}
  model:set_weights{weights}
  local loss = model:train_on_batch{cnn.zeros{3, 2}, cnn.zeros{3, 1}}
  return loss, model:get_weights()[1]
end

function TestRegularizers.test_loss_and_update()
  local w = cnn.tensor{{2}, {-3}}
  local cases = {
    {"l1", 0.05, {{1.995}, {-2.995}}},
    {"l2", 0.13, {{1.98}, {-2.97}}},
    {cnn.regularizers.L1{0.1}, 0.5, {{1.95}, {-2.95}}},
    {cnn.regularizers.L2{l2 = 0.1}, 1.3, {{1.8}, {-2.7}}},
    {cnn.regularizers.L1L2{l1 = 0.1, l2 = 0.1}, 1.8, {{1.75}, {-2.65}}},
    {"l1_l2", 0, {{2}, {-3}}},
    {{class_name = "L2", config = {l2 = 0.01}}, 0.13, {{1.98}, {-2.97}}},
  }
  for i, case in ipairs(cases) do
    local loss, after = step(case[1], w)
    lu.assertAlmostEquals(loss, case[2], 1e-6, "case " .. i)
    close(after, cnn.tensor(case[3]), 1e-6)
  end
end

function TestRegularizers.test_frozen_weights_count_for_nothing()
  local dense = layers.Dense{1, kernel_regularizer = "l2", bias_regularizer = "l1", trainable = false}
  local model = cnn.Sequential{cnn.Input{2}, dense, layers.Dense{1, kernel_initializer = "zeros"}}
  model:compile{optimizer = "sgd", loss = "mse"}
  dense:set_weights{cnn.ones{2, 1}, cnn.ones{1}}
  eq(model:evaluate{cnn.ones{2, 2}, cnn.zeros{2, 1}, verbose = 0}, 0)
end

-- ---- weights ----------------------------------------------------------------------------------------------

TestLayerWeights = {}

function TestLayerWeights.test_get_gives_copies_and_set_takes_tables()
  local dense = layers.Dense{2}
  dense:build{1, 3}
  local copies = dense:get_weights()
  copies[1][{1, 1}] = 100
  lu.assertNotEquals(dense.kernel[{1, 1}], 100)
  dense:set_weights{{{1, 2}, {3, 4}, {5, 6}}, {7, 8}}
  eq(dense{{1, 1, 1}}:tolist(), {{16, 20}})
  eq({#dense.weights, #dense.trainable_weights, #dense.non_trainable_weights}, {2, 2, 0})
  dense.trainable = false
  eq({#dense.weights, #dense.trainable_weights, #dense.non_trainable_weights}, {2, 0, 2})
end

function TestLayerWeights.test_wrong_ones_change_nothing()
  local dense = layers.Dense{2, kernel_initializer = "ones"}
  dense:build{1, 3}
  raises("set_weights: '" .. dense.name .. "' has 2 weights, got 1", dense.set_weights, dense,
    {cnn.zeros{3, 2}})
  raises("weight 2 ('bias' of '" .. dense.name .. "') has shape (2,), got (3,)", dense.set_weights, dense,
         {cnn.zeros{3, 2}, cnn.zeros{3}})
  raises("set_weights", dense.set_weights, dense, 5)
  raises("set_weights", dense.set_weights, dense, {"a", "b"})
  eq(dense.kernel:min():item(), 1)
  raises("build: expected a shape", dense.build, dense, {})
  raises("build: size 2 of the shape must be an integer of at least 1, got -3", layers.Dense{2}.build,
    layers.Dense{2},
         {1, -3})
end

-- ---- specs ------------------------------------------------------------------------------------------------

TestSpecs = {}

function TestSpecs.test_fields_read_and_set_the_config()
  local adam = cnn.optimizers.Adam{}
  eq({adam.learning_rate, adam.beta_1, adam.beta_2, adam.epsilon}, {0.001, 0.9, 0.999, 1e-7})
  adam.learning_rate = 0.25
  local model = cnn.Sequential{layers.Dense{1, input_shape = {1}}}
  model:compile{optimizer = adam, loss = "mse"}
  eq(model.optimizer.learning_rate, 0.25)
  eq(model.optimizer.class_name, "Adam")
end

function TestSpecs.test_a_broken_one_is_told()
  local adam = cnn.optimizers.Adam{}
  adam.config.beta_one = 1
  local model = cnn.Sequential{layers.Dense{1, input_shape = {1}}}
  raises("Adam: unknown argument 'beta_one' (did you mean 'beta_1'?)", model.compile, model, {adam, "mse"})
  rawset(adam, "config", nil)
  pcall(function() return adam.learning_rate end)
  pcall(function() adam.learning_rate = 1 end)
end

function TestSpecs.test_absent_fields_are_errors()
  for spec, text in pairs{
    [cnn.optimizers.SGD{}] = "SGD: there is no field 'learning_rat' (did you mean 'learning_rate'?)",
    [cnn.losses.MeanSquaredError{}] = "MeanSquaredError: there is no field 'learning_rat'",
    [cnn.metrics.Mean{}] = "Mean: there is no field 'learning_rat'",
    [cnn.initializers.HeNormal{}] = "HeNormal: there is no field 'learning_rat'",
    [cnn.regularizers.L2{}] = "L2: there is no field 'learning_rat'",
  } do
    raises(text, function() return spec.learning_rat end)
    raises(text, function() spec.learning_rat = 0.1 end)
  end
  local adam = cnn.optimizers.Adam{}
  eq({adam.clipnorm, adam.weight_decay, adam[1]}, {}) -- none, but there
  adam.clipnorm = 1
  eq(adam.clipnorm, 1)
end

function TestSpecs.test_metrics_have_names()
  eq(cnn.metrics.SparseCategoricalAccuracy{}.name, "sparse_categorical_accuracy")
  eq(cnn.metrics.Mean{name = "average"}.name, "average")
end

function TestSpecs.test_what_arguments_make_together_is_checked_at_once()
  local o, schedules = cnn.optimizers, cnn.optimizers.schedules
  raises("SGD: 'learning_rate' must be a number, at least 0", o.SGD, -1)
  raises("only one of 'clipnorm', 'clipvalue' and 'global_clipnorm'", o.Adam, {clipnorm = 1, clipvalue = 1})
  raises("SGD: 'clipnorm' must be greater than 0", o.SGD, {clipnorm = -1})
  raises("ExponentialDecay: 'decay_steps' must be greater than 0", schedules.ExponentialDecay, {0.1, 0, 0.5})
  raises("'values' must be one longer", schedules.PiecewiseConstantDecay, {{1}, {1}})
  raises("BinaryAccuracy: 'threshold' must lie between 0 and 1, got 2", cnn.metrics.BinaryAccuracy,
    {threshold = 2})
end

function TestSpecs.test_schedules_are_functions_of_the_step()
  local schedules = cnn.optimizers.schedules
  local decay = schedules.ExponentialDecay{0.1, 100, 0.9}
  lu.assertAlmostEquals(decay(0), 0.1, 1e-12)
  lu.assertAlmostEquals(decay(10), 0.1 * 0.9 ^ 0.1, 1e-12)
  decay.staircase = true
  lu.assertAlmostEquals(decay(99), 0.1, 1e-12)
  lu.assertAlmostEquals(decay(100), 0.09, 1e-12)
  local steps = schedules.PiecewiseConstantDecay{{1, 3}, {0.1, 0.01, 0.001}}
  eq({steps(0), steps(1), steps(2), steps(3), steps(4)}, {0.1, 0.1, 0.01, 0.01, 0.001})
  raises("ExponentialDecay: 'step' must be a whole number of at least 0, got -1", decay, -1)
  raises("'step' must be a whole number of at least 0, got 0.5", decay, 0.5)
  raises("'step' must be a whole number", decay)
end

function TestSpecs.test_optimizers_defaults()
  local o = cnn.optimizers
  eq({o.SGD{}.learning_rate, o.SGD{}.momentum, o.SGD{}.nesterov}, {0.01, 0, false})
  eq({o.RMSprop{}.learning_rate, o.RMSprop{}.rho}, {0.001, 0.9})
  eq({o.AdamW{}.weight_decay}, {0.004})
  eq({o.Adagrad{}.initial_accumulator_value}, {0.1})
end
