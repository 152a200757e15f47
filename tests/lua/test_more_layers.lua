-- Layers beside the first ones: shapes, parameters, config, summary and training of each; and what is
-- particular to merging and normalization.

local lu = require "luaunit"
local cnn = require "cnn"

local layers = cnn.layers

-- {class, config, shape of a sample, expected shape of a sample, parameters}
local cases = {
  {"Conv1D", {5, 3}, {9, 2}, {7, 5}, 35},
  {"Conv1D", {4, 3, padding = "causal", dilation_rate = 2, activation = "relu"}, {9, 2}, {9, 4}, 28},
  {"Conv1D", {4, 2, strides = 2, padding = "same", groups = 2, use_bias = false}, {9, 2}, {5, 4}, 8},
  {"DepthwiseConv2D", {3}, {6, 5, 4}, {4, 3, 4}, 40},
  {"DepthwiseConv2D", {{3, 2}, strides = 2, padding = "same", depth_multiplier = 3}, {6, 5, 2}, {3, 3, 6},
    42},
  {"SeparableConv2D", {8, 3}, {6, 5, 4}, {4, 3, 8}, 76},
  {"SeparableConv2D", {8, 3, depth_multiplier = 2, use_bias = false}, {6, 5, 4}, {4, 3, 8}, 136},
  {"Conv2DTranspose", {4, 3}, {4, 5, 2}, {6, 7, 4}, 76},
  {"Conv2DTranspose", {4, 3, strides = 2, padding = "same"}, {4, 5, 2}, {8, 10, 4}, 76},
  {"Conv2DTranspose", {4, 3, strides = 2}, {4, 5, 2}, {9, 11, 4}, 76},
  {"Conv2DTranspose", {4, 2, strides = 3}, {4, 5, 2}, {12, 15, 4}, 36},
  {"Conv2DTranspose", {4, 3, strides = 2, padding = "same", output_padding = 1}, {4, 5, 2}, {8, 10, 4}, 76},
  {"Conv2DTranspose", {4, 3, dilation_rate = 2, use_bias = false}, {4, 5, 2}, {8, 9, 4}, 72},
  {"MaxPooling1D", {}, {9, 2}, {4, 2}, 0},
  {"MaxPooling1D", {3, strides = 2, padding = "same"}, {9, 2}, {5, 2}, 0},
  {"AveragePooling1D", {3}, {9, 2}, {3, 2}, 0},
  {"GlobalMaxPooling1D", {}, {9, 2}, {2}, 0},
  {"GlobalAveragePooling1D", {keepdims = true}, {9, 2}, {1, 2}, 0},
  {"BatchNormalization", {}, {4, 3, 5}, {4, 3, 5}, 20},
  {"BatchNormalization", {momentum = 0.9, epsilon = 1e-5, center = false}, {7}, {7}, 21},
  {"BatchNormalization", {scale = false, center = false}, {4, 3, 5}, {4, 3, 5}, 10},
  {"BatchNormalization", {axis = 1}, {4, 3, 5}, {4, 3, 5}, 16},
  {"BatchNormalization", {axis = {3}}, {4, 3, 5}, {4, 3, 5}, 20},
  {"LayerNormalization", {}, {4, 3, 5}, {4, 3, 5}, 10},
  {"LayerNormalization", {axis = {2, 3}, scale = false}, {4, 3, 5}, {4, 3, 5}, 15},
  {"LayerNormalization", {axis = {1, 2}}, {4, 3, 5}, {4, 3, 5}, 24},
  {"SpatialDropout1D", {0.3}, {6, 3}, {6, 3}, 0},
  {"SpatialDropout2D", {0.3, seed = 4}, {4, 3, 5}, {4, 3, 5}, 0},
  {"GaussianNoise", {0.1}, {4, 3}, {4, 3}, 0},
  {"GaussianDropout", {0.2}, {4, 3}, {4, 3}, 0},
  {"ReLU", {}, {4, 3}, {4, 3}, 0},
  {"ReLU", {6, negative_slope = 0.1, threshold = 0.5}, {4, 3}, {4, 3}, 0},
  {"LeakyReLU", {}, {4, 3}, {4, 3}, 0},
  {"ELU", {0.5}, {4, 3}, {4, 3}, 0},
  {"PReLU", {}, {4, 3, 2}, {4, 3, 2}, 24},
  {"PReLU", {shared_axes = {1, 2}, alpha_initializer = "ones"}, {4, 3, 2}, {4, 3, 2}, 2},
  {"Softmax", {}, {4, 3}, {4, 3}, 0},
  {"Permute", {{2, 1}}, {4, 3}, {3, 4}, 0},
  {"Permute", {{3, 1, 2}}, {4, 3, 2}, {2, 4, 3}, 0},
  {"Cropping2D", {{{1, 0}, {1, 2}}}, {5, 6, 2}, {4, 3, 2}, 0},
  {"Cropping2D", {1}, {5, 6, 2}, {3, 4, 2}, 0},
  {"UpSampling2D", {}, {2, 3, 2}, {4, 6, 2}, 0},
  {"UpSampling2D", {{3, 2}, interpolation = "bilinear"}, {2, 3, 2}, {6, 6, 2}, 0},
}

local function batched(n, sample) return {n, table.unpack(sample)} end

local function random(shape, seed)
  cnn.set_seed(seed or 7)
  return cnn.random.normal(shape)
end

TestMoreLayers = {}

for i, case in ipairs(cases) do
  local class, config, sample, expected, params = table.unpack(case)
  local title = ("%s_%d"):format(class, i)

  TestMoreLayers["test_shape_and_parameters_of_" .. title] = function()
    local layer = layers[class](config)
    local y = layer(random(batched(3, sample)))
    lu.assertEquals(y:shape(), batched(3, expected))
    lu.assertEquals(layer:count_params(), params)
  end

  TestMoreLayers["test_config_makes_the_same_layer_as_" .. title] = function()
    local written = layers[class](config):get_config()
    lu.assertEquals(layers[class](written):get_config(), written)
  end

  TestMoreLayers["test_summary_and_training_of_" .. title] = function()
    cnn.set_seed(3)
    local inputs = cnn.Input(sample)
    local layer = layers[class](config)
    local outputs = layers.Dense{2}(layers.Flatten{}(layer(layers.Activation{"linear"}(inputs))))
    local model = cnn.Model{inputs = inputs, outputs = outputs}
    local lines = {}
    model:summary{print_fn = function(line) lines[#lines + 1] = line end}
    local title_there = ("%s (%s)"):format(layer.name, class):sub(1, 27) -- the column is no wider
    lu.assertStrContains(table.concat(lines, "\n"), title_there)
    model:compile{optimizer = "sgd", loss = "mse"}
    local x, y = random(batched(13, sample)), random({13, 2}, 8)
    local before = layer:get_weights()
    local history = model:fit{x, y, epochs = 8, batch_size = 5, verbose = 0}
    local losses = history.history.loss
    lu.assertTrue(losses[8] < losses[1])
    for k, w in ipairs(layer:get_weights()) do
      lu.assertTrue(cnn.abs(w - before[k]):max():item() > 0, ("weight %d did not change"):format(k))
    end
  end
end

-- ---- merging ---------------------------------------------------------------------------------------

local function tensors()
  return cnn.tensor{{1, 5}, {2, 4}}, cnn.tensor{{3, 1}, {2, 2}}, cnn.tensor{{2, 0}, {8, 9}}
end

function TestMoreLayers.test_merging_goes_element_by_element()
  local a, b, c = tensors()
  local function expect(layer, inputs, values)
    lu.assertEquals(layer(inputs):totable(), values)
  end
  expect(layers.Add{}, {a, b, c}, {{6, 6}, {12, 15}})
  expect(layers.Subtract{}, {a, b}, {{-2, 4}, {0, 2}})
  expect(layers.Multiply{}, {a, b, c}, {{6, 0}, {32, 72}})
  expect(layers.Average{}, {a, b, c}, {{2, 2}, {4, 5}})
  expect(layers.Maximum{}, {a, b, c}, {{3, 5}, {8, 9}})
  expect(layers.Minimum{}, {a, b, c}, {{1, 0}, {2, 2}})
  expect(layers.Concatenate{}, {a, b}, {{1, 5, 3, 1}, {2, 4, 2, 2}})
  expect(layers.Concatenate{axis = 0}, {a, b}, {{1, 5}, {2, 4}, {3, 1}, {2, 2}})
end

-- As in Keras, an input of fewer axes gets them after the batch's.
function TestMoreLayers.test_merging_broadcasts()
  local x, channels = random{2, 3, 4, 5}, random({2, 5}, 8)
  local want = x + channels:reshape{2, 1, 1, 5}
  lu.assertTrue(cnn.allclose(layers.Add{}{x, channels}, want))
  lu.assertTrue(cnn.allclose(layers.Average{}{x, channels}, want / 2, 1e-5, 1e-6))
  local a = cnn.Input{3, 4, 5}
  local b = cnn.Input{5}
  lu.assertEquals(layers.Multiply{}{a, b}:shape()[4], 5)
end

function TestMoreLayers.test_wrong_inputs_of_merging_are_named()
  local a, b = tensors()
  lu.assertErrorMsgContains("(2, 2)", function() layers.Add{}{a, random{2, 3}} end)
  lu.assertErrorMsgContains("subtract", function() layers.Subtract{}{a, b, a} end)
  lu.assertErrorMsgContains("differ beside axis", function() layers.Concatenate{}{a, random{3, 2}} end)
end

for _, class in ipairs{"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"} do
  TestMoreLayers["test_training_through_" .. class] = function()
    cnn.set_seed(3)
    local inputs = cnn.Input{6}
    local merge = layers[class]{}
    local x = layers.Dense{4, activation = "tanh"}(inputs)
    local y = layers.Dense{4}(inputs)
    local model = cnn.Model{inputs = inputs, outputs = layers.Dense{2}(merge{x, y})}
    model:compile{optimizer = "sgd", loss = "mse"}
    local x_train, y_train = random{13, 6}, random({13, 2}, 8)
    local history = model:fit{x_train, y_train, epochs = 8, batch_size = 5, verbose = 0}
    lu.assertTrue(history.history.loss[8] < history.history.loss[1])
    local written = merge:get_config()
    lu.assertEquals(layers[class](written):get_config(), written)
  end
end

-- ---- normalization ---------------------------------------------------------------------------------

local function normalized_model()
  cnn.set_seed(5)
  local norm = layers.BatchNormalization{name = "norm"}
  local model = cnn.Sequential{
    layers.Dense{4, input_shape = {3}},
    norm,
    layers.Dense{2},
  }
  model:compile{optimizer = "sgd", loss = "mse"}
  return model, norm
end

function TestMoreLayers.test_moving_statistics_follow_those_of_the_batch()
  local x = random{50, 3} * 2 + 5
  local norm = layers.BatchNormalization{momentum = 0.5, input_shape = {3}}
  local model = cnn.Sequential{norm, layers.Dense{1}}
  model:compile{optimizer = "sgd", loss = "mse"}
  model:train_on_batch(x, cnn.zeros{50, 1})
  local weights = norm:get_weights()
  lu.assertTrue(cnn.allclose(weights[3], x:mean{axis = 1} * 0.5, 1e-5, 1e-5))
  lu.assertTrue(cnn.allclose(weights[4], x:var{axis = 1} * 0.5 + 0.5, 1e-5, 1e-5))
end

function TestMoreLayers.test_a_layer_that_is_not_trainable_keeps_its_moving_statistics()
  local model, norm = normalized_model()
  local x, y = random{20, 3}, random({20, 2}, 8)
  model:train_on_batch(x, y)
  local trained = norm:get_weights()
  norm.trainable = false
  model:compile{optimizer = "sgd", loss = "mse"}
  local expected = model:evaluate{x, y, verbose = 0}
  local loss = model:train_on_batch(x, y)
  for k, w in ipairs(norm:get_weights()) do lu.assertTrue(cnn.allclose(w, trained[k], 0, 0)) end
  lu.assertAlmostEquals(loss, expected, 1e-5) -- in training too it goes by the moving statistics
  norm.trainable = true
  model:compile{optimizer = "sgd", loss = "mse"}
  model:train_on_batch(x, y)
  lu.assertFalse(cnn.allclose(norm:get_weights()[3], trained[3], 0, 0))
end

-- Without weights of its own to tell, the plan must notice the flag.
function TestMoreLayers.test_the_flag_counts_without_gamma_and_beta()
  local norm = layers.BatchNormalization{center = false, scale = false, input_shape = {3}}
  local model = cnn.Sequential{norm, layers.Dense{1}}
  model:compile{optimizer = "sgd", loss = "mse"}
  local x, y = random{20, 3} + 3, random({20, 1}, 8)
  model:train_on_batch(x, y)
  local mean = norm:get_weights()[1]
  norm.trainable = false
  model:train_on_batch(x, y)
  lu.assertTrue(cnn.allclose(norm:get_weights()[1], mean, 0, 0))
end

function TestMoreLayers.test_parameters_that_do_not_train_are_counted_apart()
  local model, norm = normalized_model()
  lu.assertEquals(norm:count_params(), 16)
  lu.assertEquals(model:count_params(), 16 + 16 + 10)
end

function TestMoreLayers.test_training_is_the_same_for_any_number_of_threads()
  local function weights(threads)
    cnn.set_threads(threads)
    cnn.set_seed(5)
    local model = cnn.Sequential{
      layers.Conv2D{8, 3, input_shape = {12, 12, 3}},
      layers.BatchNormalization{},
      layers.ReLU{},
      layers.DepthwiseConv2D{3},
      layers.BatchNormalization{},
      layers.SpatialDropout2D{0.2, seed = 1},
      layers.Conv2DTranspose{4, 2, strides = 2},
      layers.Flatten{},
      layers.Dense{2},
    }
    model:compile{optimizer = "adam", loss = "mse"}
    model:fit{random{50, 12, 12, 3}, random({50, 2}, 8), epochs = 2, batch_size = 20, verbose = 0}
    return model:get_weights()
  end
  local threads = cnn.threads()
  local one, three = weights(1), weights(3)
  cnn.set_threads(threads)
  for k, w in ipairs(one) do lu.assertTrue(cnn.allclose(w, three[k], 0, 0), "weights " .. k) end
end

function TestMoreLayers.test_layer_normalization_gives_each_sample_mean_0_and_variance_1()
  local y = layers.LayerNormalization{epsilon = 0}(random{5, 4, 30} * 3 + 7)
  lu.assertTrue(cnn.allclose(y:mean{axis = 3}, cnn.zeros{5, 4}, 0, 1e-5))
  lu.assertTrue(cnn.allclose(y:var{axis = 3}, cnn.ones{5, 4}, 1e-4, 0))
end

-- ---- values ----------------------------------------------------------------------------------------

function TestMoreLayers.test_activations_have_their_values()
  local x = cnn.tensor{-2, 0, 0.5, 8}
  local function expect(layer, values)
    lu.assertTrue(cnn.allclose(layer(x:reshape{1, 4}), cnn.tensor(values):reshape{1, 4}, 1e-5, 1e-6))
  end
  expect(layers.ReLU{}, {0, 0, 0.5, 8})
  expect(layers.ReLU{max_value = 6}, {0, 0, 0.5, 6})
  expect(layers.ReLU{negative_slope = 0.5}, {-1, 0, 0.5, 8})
  expect(layers.ReLU{6, 0.5, 1}, {-1.5, -0.5, -0.25, 6})
  expect(layers.LeakyReLU{}, {-0.6, 0, 0.5, 8})
  expect(layers.LeakyReLU{alpha = 0.1}, {-0.2, 0, 0.5, 8})
  expect(layers.ELU{}, {math.exp(-2) - 1, 0, 0.5, 8})
  expect(layers.PReLU{alpha_initializer = "ones"}, {-2, 0, 0.5, 8})
end

function TestMoreLayers.test_wrong_arguments_are_named()
  lu.assertErrorMsgContains("groups = 2 must divide filters = 3", function()
    layers.Conv1D{3, 2, groups = 2}
  end)
  lu.assertErrorMsgContains("strides > 1 cannot go with dilation_rate > 1", function()
    layers.DepthwiseConv2D{3, strides = 2, dilation_rate = 2}
  end)
  lu.assertErrorMsgContains("'negative_slope' must be at least 0, got -1", function() layers.LeakyReLU{-1} end)
  lu.assertErrorMsgContains("'stddev' must be at least 0, got -1", function() layers.GaussianNoise{-1} end)
  lu.assertErrorMsgContains("1 to 2 in some order", function() layers.Permute{{1, 3}} end)
  lu.assertErrorMsgContains("can't be the batch's", function()
    layers.BatchNormalization{axis = 0}(random{2, 3})
  end)
  lu.assertErrorMsgContains("nothing is left", function() layers.Cropping2D{3}(random{1, 5, 9, 1}) end)
  lu.assertErrorMsgContains("did you mean 'momentum'", function() layers.BatchNormalization{momentun = 1} end)
end
