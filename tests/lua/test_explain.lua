-- cnn.explain: figures against those found by hand; gradients against finite differences and known cases; heat maps
-- where the reason is known; every kind of model; that nothing is changed; pictures, text and wrong arguments.
-- luacheck: globals TestExplainAnswers TestExplainGradients TestExplainLayers TestExplainShows

local lu = require "luaunit"
local cnn = require "cnn"
local printed = require "printed"
local raises = require "raises"
local scratch = require "scratch"

local eq, explain, layers = lu.assertEquals, cnn.explain, cnn.layers

local function close(a, b, tolerance)
  lu.assertTrue(cnn.allclose(a, b, tolerance or 1e-4, tolerance or 1e-5), tostring(a) .. "\nagainst\n" .. tostring(b))
end

-- ---- answers ------------------------------------------------------------------------------------------------

TestExplainAnswers = {}
local A = TestExplainAnswers

-- Says for one number, its sample, that the class is 1 above 0: p = sigmoid(x).
local function sign_model(activation)
  local model = cnn.Sequential{layers.Flatten{input_shape = {1, 1}}, layers.Dense{1, activation = activation}}
  model:set_weights{{{1}}, {0}}
  return model
end

-- A net whose scores are its three pixels.
local function pixel_model(activation)
  local model = cnn.Sequential{layers.Flatten{input_shape = {1, 3}}, layers.Dense{3, activation = activation}}
  model:set_weights{cnn.eye(3), {0, 0, 0}}
  return model
end

local truth, said = {0, 0, 0, 1, 1, 2, 2, 2, 2}, {0, 1, 0, 1, 1, 0, 2, 2, 1}
local counts = {{2, 1, 0}, {0, 2, 0}, {1, 1, 2}}

local function matrix(arguments)
  arguments.show = false
  return explain.confusion_matrix(arguments)
end

function A.test_rows_are_true_and_columns_predicted()
  local m = matrix{y_true = truth, y_pred = said}
  eq(m:dtype(), "int32")
  eq(m:tolist(), counts)
end

function A.test_labels_of_every_form()
  local one_hot = cnn.one_hot(cnn.tensor(truth, "int32"), 3)
  for _, y_true in ipairs {cnn.tensor(truth), cnn.tensor(truth, "uint8"), cnn.tensor(truth):reshape{9, 1}, one_hot} do
    eq(matrix{y_true = y_true, y_pred = cnn.tensor(said, "int32")}:tolist(), counts)
  end
  local scores = cnn.one_hot(cnn.tensor(said, "int32"), 3) * 0.4 + 0.2
  eq(matrix{y_true = truth, y_pred = scores}:tolist(), counts)
  -- Probabilities of the second of two classes.
  eq(matrix{y_true = {0, 0, 1}, y_pred = {0.5, 0.6, 0.9}}:tolist(), {{1, 1}, {0, 1}})
  eq(matrix{y_true = {{0}, {0}, {1}}, y_pred = {{0.5}, {0.6}, {0.9}}}:tolist(), {{1, 1}, {0, 1}})
end

function A.test_class_names_tell_of_classes_not_seen()
  eq(matrix{y_true = {0, 1}, y_pred = {0, 0}, class_names = {"a", "b", "c"}}:tolist(),
    {{1, 0, 0}, {1, 0, 0}, {0, 0, 0}})
end

function A.test_shares_of_rows_columns_and_all()
  local by_row = cnn.tensor{{2 / 3, 1 / 3, 0}, {0, 1, 0}, {1 / 4, 1 / 4, 1 / 2}}
  close(matrix{y_true = truth, y_pred = said, normalize = true}, by_row)
  close(matrix{y_true = truth, y_pred = said, normalize = "true"}, by_row)
  close(matrix{y_true = truth, y_pred = said, normalize = "pred"},
    cnn.tensor{{2 / 3, 1 / 4, 0}, {0, 1 / 2, 0}, {1 / 3, 1 / 4, 1}})
  close(matrix{y_true = truth, y_pred = said, normalize = "all"}, cnn.tensor(counts) / 9)
  -- A class without samples has shares of 0.
  close(matrix{y_true = {1}, y_pred = {1}, normalize = true}, cnn.tensor{{0, 0}, {0, 1}})
end

function A.test_of_a_model()
  local x = cnn.one_hot(cnn.tensor(said, "int32"), 3):reshape{9, 1, 3}
  eq(matrix{pixel_model "softmax", x, truth}:tolist(), counts)
  eq(matrix{pixel_model(), x, cnn.tensor(truth, "uint8")}:tolist(), counts)
  local dataset = cnn.data.Dataset.from_tensor_slices{x, cnn.tensor(truth, "int32")}:batch(4)
  eq(matrix{pixel_model "softmax", dataset}:tolist(), counts)
end

function A.test_of_a_model_with_one_output()
  local x = cnn.tensor{-1, 2, -3, 4}:reshape{4, 1, 1}
  eq(matrix{sign_model "sigmoid", x, {0, 0, 1, 1}}:tolist(), {{1, 1}, {1, 1}})
  -- Without a sigmoid it is a score: 0.3 speaks for class 1, though it is below 0.5.
  eq(matrix{sign_model(), cnn.tensor{0.3, -0.3}:reshape{2, 1, 1}, {1, 0}}:tolist(), {{1, 0}, {0, 1}})
end

function A.test_of_one_of_several_outputs()
  local input = cnn.Input{1, 3}
  local flat = layers.Flatten()(input)
  local model = cnn.Model{inputs = input, outputs = {
    layers.Dense{2, activation = "softmax"}(flat), layers.Dense{3, activation = "softmax", name = "kind"}(flat),
  }}
  model:get_layer "kind":set_weights{cnn.eye(3), {0, 0, 0}}
  local x = cnn.one_hot(cnn.tensor(said, "int32"), 3):reshape{9, 1, 3}
  eq(matrix{model, x, truth, output = 2}:tolist(), counts)
  raises("'output' must be from 1 to 2, got 3", matrix, {model, x, truth, output = 3})
end

function A.test_report_by_hand()
  local r = explain.report{y_true = truth, y_pred = said, class_names = {"a", "b", "c"}, show = false}
  local function check(class, precision, recall)
    lu.assertAlmostEquals(class.precision, precision, 1e-12)
    lu.assertAlmostEquals(class.recall, recall, 1e-12)
  end
  check(r.classes[1], 2 / 3, 2 / 3)
  check(r.classes[2], 2 / 4, 1)
  check(r.classes[3], 1, 2 / 4)
  lu.assertAlmostEquals(r.classes[1].f1, 2 / 3, 1e-12)
  lu.assertAlmostEquals(r.classes[2].f1, 2 / 3, 1e-12)
  lu.assertAlmostEquals(r.classes[3].f1, 2 / 3, 1e-12)
  eq({r.classes[1].support, r.classes[2].support, r.classes[3].support, r.support}, {3, 2, 4, 9})
  eq(r.classes[3].name, "c")
  lu.assertAlmostEquals(r.accuracy, 6 / 9, 1e-12)
  check(r.macro, (2 / 3 + 1 / 2 + 1) / 3, (2 / 3 + 1 + 1 / 2) / 3)
  check(r.weighted, (3 * 2 / 3 + 2 * 1 / 2 + 4) / 9, 6 / 9)
end

function A.test_report_of_a_class_never_seen_or_said_is_zero()
  local r = explain.report{y_true = {0, 0}, y_pred = {0, 0}, class_names = {"a", "b"}, show = false}
  eq({r.classes[2].precision, r.classes[2].recall, r.classes[2].f1, r.classes[2].support}, {0.0, 0.0, 0.0, 0})
end

function A.test_surest_mistakes_come_first()
  local x = cnn.tensor{{5, 0, 0}, {0, 1, 0}, {0, 0, 9}, {3, 0, 0}, {0, 2, 0}}:reshape{5, 1, 3}
  local list, pictures = explain.most_confused{pixel_model "softmax", x, {0, 2, 1, 1, 0}, count = 3, show = false}
  eq(#list, 3)
  eq({list[1].index, list[2].index, list[3].index}, {3, 4, 5})
  eq({list[1].label, list[1].predicted}, {1, 2})
  eq({list[2].label, list[2].predicted}, {1, 0})
  lu.assertAlmostEquals(list[2].probability, math.exp(3) / (math.exp(3) + 2), 1e-5)
  close(pictures, x:gather({3, 4, 5}, 1))
  local dataset = cnn.data.Dataset.from_tensor_slices{x, cnn.tensor({0, 2, 1, 1, 0}, "int32")}:batch(2)
  local again, same = explain.most_confused{pixel_model "softmax", dataset, count = 3, show = false}
  eq({again[1].index, again[2].index, again[3].index}, {3, 4, 5})
  close(same, pictures)
end

function A.test_no_mistake()
  local text, list = printed(explain.most_confused, {sign_model "sigmoid", cnn.ones{2, 1, 1}, {1, 1}})
  eq(list, {})
  eq(text, "no mistake among 2 samples\n")
end

function A.test_predict_lists_the_most_probable_first()
  local x = cnn.tensor{1, 3, 2}:reshape{1, 3}
  for _, image in ipairs {x, x:reshape{1, 1, 3}, x:reshape{1, 3, 1}} do
    local list = explain.predict{pixel_model "softmax", image, class_names = {"a", "b", "c"}, top = 2, show = false}
    eq(#list, 2)
    eq({list[1].label, list[1].name, list[2].label}, {1, "b", 2})
    lu.assertAlmostEquals(list[1].probability, 1 / (1 + math.exp(-1) + math.exp(-2)), 1e-5)
  end
  local list = explain.predict{sign_model "sigmoid", cnn.full({1, 1}, -2), show = false}
  eq(list[1].label, 0)
  lu.assertAlmostEquals(list[1].probability, 1 / (1 + math.exp(-2)), 1e-5)
  -- Scores become probabilities, and logarithms of probabilities too.
  lu.assertAlmostEquals(explain.predict{pixel_model "log_softmax", x, show = false}[1].probability,
    1 / (1 + math.exp(-1) + math.exp(-2)), 1e-5)
  lu.assertAlmostEquals(explain.predict{pixel_model(), x, show = false}[1].probability,
    1 / (1 + math.exp(-1) + math.exp(-2)), 1e-5)
end

-- ---- gradients ----------------------------------------------------------------------------------------------

TestExplainGradients = {}
local G = TestExplainGradients

local function saliency(arguments)
  arguments.show = false
  return explain.saliency(arguments)
end

local function grad_cam(arguments)
  arguments.show = false
  return explain.grad_cam(arguments)
end

-- Differences of f's value, a number, at each element of x.
local function differences(f, x)
  local h = 1 / 64
  local flat = x:copy():flatten()
  local gradient = cnn.zeros{#flat}
  for i = 1, #flat do
    local value = flat[i]
    flat[i] = value + h
    local above = f(flat:reshape(x:shape()))
    flat[i] = value - h
    gradient[i] = (above - f(flat:reshape(x:shape()))) / (2 * h)
    flat[i] = value
  end
  return gradient:reshape(x:shape())
end

-- Layers without kinks, so that differences are near to derivatives; the same for equal seeds.
local function smooth_layers(input_shape, last)
  return {
    layers.Conv2D{3, 3, activation = "tanh", input_shape = input_shape,
                  kernel_initializer = cnn.initializers.GlorotUniform{seed = 1}},
    layers.AveragePooling2D{2},
    layers.Conv2D{2, 2, activation = "tanh", kernel_initializer = cnn.initializers.GlorotUniform{seed = 2}},
    layers.Flatten{},
    layers.Dense{3, activation = last, kernel_initializer = cnn.initializers.GlorotUniform{seed = 3}},
  }
end

function G.test_saliency_is_the_gradient_of_the_score_before_softmax()
  local model, scores = cnn.Sequential(smooth_layers({8, 8, 2}, "softmax")), cnn.Sequential(smooth_layers({8, 8, 2}))
  local x = cnn.random.uniform{1, 8, 8, 2, seed = 4}
  for label = 0, 2 do
    local gradient = differences(function(at) return scores:predict{at, verbose = 0}[{1, label + 1}] end, x)
    local expected = gradient:abs():max(4):squeeze(1)
    local map, of = saliency{model, x, class_index = label}
    eq(of, label)
    eq(map:shape(), {8, 8})
    close(map, expected / expected:max(), 5e-3)
  end
  -- Of no label in particular, that of the most probable class.
  local map, label = saliency{model, x}
  eq(label, model:predict{x, verbose = 0}:argmax():item() - 1)
  close(map, (saliency{model, x, class_index = label}))
end

function G.test_saliency_of_a_linear_model_is_its_weights()
  local w = cnn.random.normal{12, 2, seed = 5}
  local model = cnn.Sequential{layers.Flatten{input_shape = {2, 2, 3}}, layers.Dense{2, activation = "softmax"}}
  model:set_weights{w, {0, 0}}
  local expected = w:abs()[{{1, 12}, 2}]:reshape{2, 2, 3}:max(3)
  close(saliency{model, cnn.ones{2, 2, 3}, class_index = 1}, expected / expected:max())
  -- Noise does not change a constant gradient.
  close(saliency{model, cnn.ones{2, 2, 3}, class_index = 1, smooth = 11}, expected / expected:max())
end

function G.test_smooth_saliency_is_the_mean_of_gradients_with_noise()
  local model = cnn.Sequential(smooth_layers({8, 8, 1}, "softmax"))
  local x = cnn.random.uniform{8, 8, 1, seed = 4}
  local smooth = saliency{model, x, smooth = 20, class_index = 0}
  close(smooth, (saliency{model, x, smooth = 20, class_index = 0, seed = 0}))
  lu.assertFalse(cnn.allclose(smooth, (saliency{model, x, smooth = 20, class_index = 0, seed = 1000})))
  close((saliency{model, x, smooth = 20, class_index = 0, noise = 0}), (saliency{model, x, class_index = 0}))
end

function G.test_saliency_of_a_sure_sigmoid_is_not_nothing()
  local model = cnn.Sequential{layers.Flatten{input_shape = {2, 2}}, layers.Dense{1, activation = "sigmoid"}}
  model:set_weights{{{100}, {-200}, {0}, {400}}, {0}}
  local expected = cnn.tensor{{0.25, 0.5}, {0, 1}}
  local map, label = saliency{model, cnn.ones{2, 2}} -- p = 1 in float32: its own gradient would be 0
  eq(label, 1)
  close(map, expected)
  map, label = saliency{model, -cnn.ones{2, 2}}
  eq(label, 0)
  close(map, expected)
end

function G.test_grad_cam_weighs_maps_by_the_mean_gradient()
  local model = cnn.Sequential(smooth_layers({8, 8, 2}, "softmax"))
  local x = cnn.random.uniform{1, 8, 8, 2, seed = 4}
  -- The layers behind the first, on its maps.
  local rest = smooth_layers({8, 8, 2})
  table.remove(rest, 1)
  local tail = cnn.Sequential{cnn.Input{6, 6, 3}, table.unpack(rest)}
  local maps = explain.feature_maps{model, x, layer = 1, show = false}:reshape{1, 6, 6, 3}
  local gradient = differences(function(at) return tail:predict{at, verbose = 0}[{1, 3}] end, maps)
  local heat = (maps * gradient:mean({2, 3}, true)):sum(4):maximum(0):squeeze(1)
  lu.assertTrue(heat:max():item() > 0)
  heat = cnn.image.resize(heat / heat:max(), {8, 8})
  local found, overlay, label = grad_cam{model, x, layer = 1, class_index = 2}
  close(found, heat, 5e-3)
  eq({overlay:shape(), overlay:dtype(), label}, {{8, 8, 3}, "uint8", 2})
end

-- A net that looks for a bright blob, and a dark one: each class the mean of one map.
local function blob_layers(shape)
  return {
    layers.Conv2D{2, 3, padding = "same", activation = "relu", input_shape = shape, name = "look"},
    layers.GlobalAveragePooling2D{}, layers.Dense{2, activation = "softmax", name = "class"},
  }
end

local function set_blob_weights(look, class)
  local kernel = cnn.ones{3, 3, 1, 2}
  kernel[{{}, {}, {}, 2}] = -1
  look:set_weights{kernel, {-4, 4}}
  class:set_weights{{{3, 0}, {0, 1}}, {0, 0}}
end

local function blob_model()
  local model = cnn.Sequential(blob_layers{12, 12, 1})
  set_blob_weights(model:get_layer "look", model:get_layer "class")
  return model
end

local function with_blob(row, column)
  local x = cnn.zeros{12, 12, 1}
  x[{{row, row + 2}, {column, column + 2}}] = 1
  return x
end

function G.test_grad_cam_is_hottest_where_the_reason_is()
  local model = blob_model()
  for _, place in ipairs {{2, 2}, {2, 9}, {9, 2}, {9, 9}} do
    local heat, overlay, label = grad_cam{model, with_blob(place[1], place[2]), class_index = 0}
    local hottest = heat:argmax():item() - 1
    eq({hottest // 12 + 1, hottest % 12 + 1}, {place[1] + 1, place[2] + 1})
    lu.assertAlmostEquals(heat:max():item(), 1, 1e-6)
    eq(label, 0)
    -- Yellow there, and dark violet far from it.
    local red, green = overlay[{place[1] + 1, place[2] + 1, 1}], overlay[{place[1] + 1, place[2] + 1, 2}]
    eq({red, green}, {math.floor(0.6 * 255 + 0.4 * 253 + 0.5), math.floor(0.6 * 255 + 0.4 * 231 + 0.5)})
    local far = overlay[{13 - place[1], 13 - place[2]}]:tolist()
    eq(far, {math.floor(0.4 * 68 + 0.5), math.floor(0.4 * 1 + 0.5), math.floor(0.4 * 84 + 0.5)})
  end
end

function G.test_grad_cam_is_zero_where_nothing_speaks_for_the_class()
  local model = cnn.Sequential{
    layers.Conv2D{1, 3, activation = "relu", kernel_initializer = "ones", input_shape = {6, 6, 1}},
    layers.GlobalAveragePooling2D{}, layers.Dense{1, activation = "sigmoid", kernel_initializer = "ones"},
  }
  local x = cnn.random.uniform{6, 6, 1, seed = 1}
  lu.assertAlmostEquals(grad_cam{model, x, class_index = 1}:max():item(), 1, 1e-6)
  eq(grad_cam{model, x, class_index = 0}:max():item(), 0.0)
end

function G.test_a_model_inside_a_model_is_looked_into()
  local flat = blob_model()
  local input = cnn.Input{12, 12, 1}
  local base = cnn.Model{inputs = input, outputs = layers.Conv2D{2, 3, padding = "same", activation = "relu",
                                                                name = "look"}(input), name = "base"}
  local nested = cnn.Sequential{
    layers.Rescaling{1 / 255, input_shape = {12, 12, 1}}, layers.RandomFlip{"horizontal"},
    layers.RandomRotation{0.5}, layers.GaussianNoise{1}, base, layers.Dropout{0.9},
    layers.GlobalAveragePooling2D{}, layers.Dense{2, activation = "softmax", name = "class"},
  }
  set_blob_weights(base:get_layer "look", nested:get_layer "class")
  local x = with_blob(3, 8)
  local heat = grad_cam{flat, x, class_index = 0}
  local bytes = (x * 255):astype "uint8"
  close(grad_cam{nested, bytes, class_index = 0}, heat)
  close(grad_cam{nested, bytes, class_index = 0, layer = "look"}, heat)
  close(grad_cam{nested, bytes, class_index = 0, layer = base:get_layer "look"}, heat)
  close(grad_cam{nested, bytes, class_index = 0, layer = base}, heat)
  close(grad_cam{nested, bytes, class_index = 0, layer = 5}, heat)
  close(saliency{nested, bytes, class_index = 0}, (saliency{flat, x, class_index = 0}))
  close(explain.feature_maps{nested, bytes, show = false}, explain.feature_maps{flat, x, show = false})
  -- And a model inside of that, alone with its input.
  local outer = cnn.Sequential{nested}
  close(grad_cam{outer, bytes, class_index = 0}, heat)
end

function G.test_the_last_maps_are_those_after_normalization_and_branches()
  local input = cnn.Input{8, 8, 3}
  local x = layers.MaxPooling2D{2}(layers.Conv2D{4, 3, padding = "same", name = "early"}(input))
  local left = layers.Conv2D{4, 1, name = "left"}(x)
  local right = layers.BatchNormalization{name = "right_norm"}(layers.Conv2D{4, 3, padding = "same"}(x))
  local both = layers.Activation{"relu", name = "end"}(layers.Concatenate{name = "both"}{left, right})
  local pooled = layers.MaxPooling2D{2}(layers.Dropout{0.5}(both))
  local model = cnn.Model{inputs = input, outputs = layers.Dense{3}(layers.Flatten()(pooled))}
  local image = cnn.random.uniform{8, 8, 3, seed = 2}
  close(grad_cam{model, image}, (grad_cam{model, image, layer = "end"}))
  eq(explain.feature_maps{model, image, layer = "both", show = false}:shape(), {4, 4, 8})
end

function G.test_one_of_several_outputs()
  local input = cnn.Input{6, 6, 1}
  local x = layers.Conv2D{2, 3, activation = "relu"}(input)
  local flat = layers.Flatten()(x)
  local model = cnn.Model{inputs = input, outputs = {
    layers.Dense{2, activation = "softmax"}(flat), layers.Dense{5, activation = "softmax"}(flat),
  }}
  local alone = cnn.Model{inputs = input, outputs = model.outputs[2]}
  local image = cnn.random.uniform{6, 6, 1, seed = 2}
  close(saliency{model, image, output = 2, class_index = 4}, (saliency{alone, image, class_index = 4}))
  close(grad_cam{model, image, output = 2, class_index = 4}, (grad_cam{alone, image, class_index = 4}))
  raises("'class_index' must be from 0 to 1, got 4", saliency, {model, image, class_index = 4})
end

function G.test_a_layer_written_in_lua_and_a_shared_one()
  local shared = layers.Conv2D{1, 3, padding = "same", activation = "tanh", name = "shared"}
  local input = cnn.Input{6, 6, 1}
  local Double = layers.custom("Double", {call = function(_, x) return x * 2 end})
  local maps = shared(Double{name = "double"}(shared(input)))
  local model = cnn.Model{inputs = input, outputs = layers.Dense{2}(layers.Flatten()(maps))}
  local image = cnn.random.uniform{6, 6, 1, seed = 2}
  local twice = explain.feature_maps{model, image, layer = "shared", show = false}
  close(twice:reshape{1, 6, 6, 1}, shared(2 * shared(image:reshape{1, 6, 6, 1})))
  close(explain.feature_maps{model, image, layer = "double", show = false}:reshape{1, 6, 6, 1},
    2 * shared(image:reshape{1, 6, 6, 1}))
  eq(grad_cam{model, image}:shape(), {6, 6})
end

-- ---- layers -------------------------------------------------------------------------------------------------

TestExplainLayers = {}
local L = TestExplainLayers

function L.test_feature_maps_are_the_layers_results()
  local model = cnn.Sequential(smooth_layers({8, 8, 2}, "softmax"))
  local x = cnn.random.uniform{8, 8, 2, seed = 4}
  for _, layer in ipairs {1, 2, 3} do
    close(explain.feature_maps{model, x, layer = layer, show = false}:expand_dims(1),
      model:activations(x:expand_dims(1), layer))
  end
  close(explain.feature_maps{model, x, show = false}, explain.feature_maps{model, x, layer = 1, show = false})
end

function L.test_kernels_are_in_colours_or_their_mean()
  local function kernels(layer, shape)
    local model = cnn.Sequential{cnn.Input(shape), layer}
    return explain.kernels{model, show = false}, layer:get_weights()[1]
  end
  local pictures, weights = kernels(layers.Conv2D{5, 2}, {4, 4, 3})
  eq(pictures:shape(), {5, 2, 2, 3})
  local one = weights[{{}, {}, {}, 4}]
  close(pictures[4], one / one:abs():max() / 2 + 0.5)
  pictures, weights = kernels(layers.Conv2D{5, 2}, {4, 4, 2})
  eq(pictures:shape(), {5, 2, 2, 1})
  one = weights[{{}, {}, {}, 4}]:mean(3)
  close(pictures[4]:squeeze(3), one / one:abs():max() / 2 + 0.5)
  eq(kernels(layers.DepthwiseConv2D{2, depth_multiplier = 2}, {4, 4, 3}):shape(), {6, 2, 2, 1})
  eq(kernels(layers.SeparableConv2D{5, 2}, {4, 4, 3}):shape(), {3, 2, 2, 1})
  eq(kernels(layers.Conv2DTranspose{5, 2}, {4, 4, 3}):shape(), {5, 2, 2, 3})
  local same = kernels(layers.Conv2D{1, 2, kernel_initializer = "zeros"}, {4, 4, 1})
  close(same, cnn.full({1, 2, 2, 1}, 0.5))
end

function L.test_by_default_a_convolution_that_sees_more_than_a_pixel()
  local model = cnn.Sequential{layers.Conv2D{3, 1, input_shape = {5, 5, 3}}, layers.Conv2D{7, 3}}
  eq(explain.kernels{model, show = false}:shape(), {7, 3, 3, 3})
end

function L.test_nothing_is_changed()
  local model = cnn.Sequential{
    layers.RandomFlip{"horizontal", input_shape = {6, 6, 1}}, layers.Conv2D{2, 3, activation = "relu"},
    layers.BatchNormalization(), layers.Dropout{0.5}, layers.Flatten{}, layers.Dense{2, activation = "softmax"},
  }
  model:compile{optimizer = "adam", loss = "sparse_categorical_crossentropy"}
  local x, y = cnn.random.uniform{8, 6, 6, 1, seed = 1}, cnn.tensor({0, 1, 0, 1, 0, 1, 0, 1}, "int32")
  model:fit{x, y, epochs = 2, verbose = 0}
  local before = model:get_weights()
  cnn.set_seed(7)
  local expected = cnn.random.uniform{3}
  local _, next_name = layers.Conv2D{1, 1}.name:match "^(.-)(%d*)$"
  cnn.set_seed(7)
  for _, name in ipairs {"predict", "saliency", "grad_cam", "feature_maps"} do
    explain[name]{model, x[1], show = false}
  end
  saliency{model, x[1], smooth = 3}
  explain.kernels{model, show = false}
  explain.most_confused{model, x, y, show = false}
  explain.report{model, x, y, show = false}
  matrix{model, x, y}
  close(cnn.random.uniform{3}, expected)
  eq(layers.Conv2D{1, 1}.name:match "(%d*)$", ("%d"):format((tonumber(next_name) or 0) + 1))
  eq(model.optimizer.iterations, 2)
  for i, weight in ipairs(model:get_weights()) do close(weight, before[i], 0) end
  for _, layer in ipairs(model.layers) do eq(layer.trainable, true) end
end

-- ---- showing ------------------------------------------------------------------------------------------------

TestExplainShows = {}
local S = TestExplainShows

local has_gnuplot = os.execute "{ gnuplot --version; } >/dev/null 2>&1"

function S:setUp()
  self.folder = scratch.make()
end

function S:tearDown()
  scratch.remove(self.folder)
end

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

function S.test_the_matrix_as_text()
  local text = printed(explain.confusion_matrix, {y_true = truth, y_pred = said, class_names = {"고양이", "dog", "x"}})
  eq(text, [[
        predicted
  true  고양이     dog       x
고양이       2       1       0
   dog       0       2       0
     x       1       1       2
6 of 9 right: 66.67%
]])
  text = printed(explain.confusion_matrix, {y_true = {0, 1}, y_pred = {0, 0}, normalize = true})
  eq(text, [[
      predicted
true     0     1
   0  1.00  0.00
   1  1.00  0.00
1 of 2 right: 50.00%
]])
  text = printed(explain.confusion_matrix, {y_true = {0, 99}, y_pred = {0, 0}})
  lu.assertStrContains(text, "100 classes are too many to print")
end

function S.test_the_report_as_text()
  local text = printed(explain.report, {y_true = truth, y_pred = said})
  eq(text, [[
               precision  recall      f1  support
            0     0.6667  0.6667  0.6667        3
            1     0.5000  1.0000  0.6667        2
            2     1.0000  0.5000  0.6667        4

         mean     0.7222  0.7222  0.6667        9
weighted mean     0.7778  0.6667  0.6667        9
     accuracy                     0.6667        9
]])
end

local function small_model()
  return cnn.Sequential{
    layers.Conv2D{5, 3, activation = "relu", input_shape = {12, 12, 3}},
    layers.GlobalAveragePooling2D{}, layers.Dense{3, activation = "softmax"},
  }
end

function S.test_everything_in_the_terminal()
  local model, x = small_model(), cnn.random.uniform{12, 12, 3, seed = 1}
  local names = {"cat", "dog", "a very long name"}
  local text = printed(explain.predict, {model, x, class_names = names})
  for _, part in ipairs {"cat", "dog", "a very long name", "%", "█"} do lu.assertStrContains(text, part) end
  text = printed(explain.saliency, {model, x, class_index = 1, class_names = names})
  lu.assertStrContains(text, "dog  ")
  lu.assertStrContains(text, "saliency")
  lu.assertStrContains(printed(explain.grad_cam, {model, x}), model.layers[1].name)
  lu.assertTrue(#printed(explain.feature_maps, {model, x}) > 100)
  lu.assertTrue(#printed(explain.kernels, {model}) > 100)
  local said_label = model:predict{x:expand_dims(1), verbose = 0}:argmax():item() - 1
  text = printed(explain.most_confused, {model, x:expand_dims(1), {(said_label + 1) % 3}})
  lu.assertStrContains(text, ("%d → %d  "):format((said_label + 1) % 3, said_label))
  eq(printed(explain.saliency, {model, x, show = false}), "")
end

function S:test_everything_as_files()
  lu.skipIf(not has_gnuplot, "gnuplot is not installed (Debian's package gnuplot-nox)")
  local model, x = small_model(), cnn.random.uniform{12, 12, 3, seed = 1}
  local names = {"cat", "it's <a> dog", "곰"}
  local file = self.folder .. "/a.png"
  local function size_of(name, arguments)
    arguments.file = file
    eq(printed(explain[name], arguments), "")
    local size = cnn.image.load(file, 3):shape()
    os.remove(file)
    return size
  end
  eq(size_of("feature_maps", {model, x}), {4 + 64, 4 + 5 * 64, 3}) -- 10×10, six times as large
  eq(size_of("kernels", {model})[1], 4 + 37)
  eq(size_of("saliency", {model, x, class_names = names})[1], 8 + 228 + 26 + 8)
  eq(size_of("grad_cam", {model, x})[2], 8 + 3 * (228 + 8))
  lu.assertTrue(size_of("predict", {model, x, class_names = names})[2] > 300)
  lu.assertTrue(size_of("confusion_matrix", {y_true = truth, y_pred = said})[1] >= 3 * 44)
  lu.assertTrue(size_of("confusion_matrix", {y_true = {99}, y_pred = {0}})[1] > 1000)
  local other = model:predict{x:expand_dims(1), verbose = 0}:argmin():item() - 1
  eq(size_of("most_confused", {model, x:expand_dims(1), {other}})[1], 8 + 108 + 26 + 8)
  local list <close> = assert(io.popen("ls -A '" .. self.folder .. "'"))
  eq(list:read "a", "")
end

function S:test_texts_arrive_in_pictures_as_they_are()
  lu.skipIf(not has_gnuplot, "gnuplot is not installed (Debian's package gnuplot-nox)")
  local file = self.folder .. "/a.svg"
  explain.predict{sign_model "sigmoid", cnn.ones{1, 1}, class_names = {"it's <a> $HOME", "곰"}, file = file}
  for _, part in ipairs {"it's &lt;a> $HOME", "곰", "73.1%", "26.9%"} do
    lu.assertStrContains(read(file), part)
  end
  explain.most_confused{sign_model "sigmoid", cnn.ones{1, 1, 1}, {0}, file = file}
  lu.assertStrContains(read(file), "0 → 1  73%")
  explain.confusion_matrix{y_true = truth, y_pred = said, class_names = {"a", "b", "곰"}, file = file}
  for _, part in ipairs {"곰", "predicted", "6 of 9 right: 66.67%"} do lu.assertStrContains(read(file), part) end
end

function S.test_wrong_arguments()
  local model, x = small_model(), cnn.ones{12, 12, 3}
  raises("explain.saliency: unknown argument 'clas_index' (did you mean 'class_index'?)", explain.saliency,
    {model, x, clas_index = 1})
  raises("explain.saliency: 'model' is missing", explain.saliency, {})
  raises("explain.saliency: 'image' is missing", explain.saliency, {model})
  raises("explain.saliency: 'model' must be a model, got 3", explain.saliency, {3, x})
  raises("'image' must be one picture of shape {12, 12, 3}, got {2, 12, 12, 3}", explain.saliency,
    {model, cnn.ones{2, 12, 12, 3}})
  raises("'class_index' must be a label, a whole number from 0, got -1", explain.saliency, {model, x, class_index = -1})
  raises("'class_index' must be from 0 to 2, got 3", explain.saliency, {model, x, class_index = 3})
  raises("'smooth' must be a whole number of at least 1, got 0", explain.saliency, {model, x, smooth = 0})
  raises("'alpha' must be a number from 0 to 1, got 2", explain.grad_cam, {model, x, alpha = 2})
  raises("'output' must be from 1 to 1, got 2", explain.predict, {model, x, output = 2})
  raises("'class_names' has 2 names for 3 classes", explain.predict, {model, x, class_names = {"a", "b"}})
  raises("'class_names' must be a list of names, got a", explain.predict, {model, x, class_names = "a"})
  raises("there is no layer 9; the model has 3", explain.feature_maps, {model, x, layer = 9})
  raises("there is no layer 'look' (did you mean 'loko'?)", explain.kernels,
    {cnn.Sequential{layers.Conv2D{1, 1, name = "loko", input_shape = {2, 2, 1}}}, layer = "look"})
  raises("makes no maps [H,W,channels] but results of shape {3}", explain.grad_cam, {model, x, layer = 3})
  raises("explain.confusion_matrix: 'model' is missing", explain.confusion_matrix, {})
  raises("expected either 'model', 'x' and 'y', or 'y_true' and 'y_pred'", explain.confusion_matrix, {y_true = {1}})
  raises("'y_true' has 1 labels, and 'y_pred' 2", explain.confusion_matrix, {y_true = {1}, y_pred = {1, 0}})
  raises("'y_true' must hold labels, whole numbers from 0, or a row for each sample; got -1", explain.confusion_matrix,
    {y_true = {-1}, y_pred = {1}})
  raises("expected at most 4000 classes, got 1000001", explain.report, {y_true = {1000000}, y_pred = {1}})
  raises("'normalize' must be \"true\", \"pred\", \"all\" or a boolean", explain.confusion_matrix,
    {y_true = {1}, y_pred = {1}, normalize = "rows"})
  raises("'y' is missing", explain.report, {model, x:expand_dims(1)})
  local dataset = cnn.data.Dataset.from_tensor_slices{x:expand_dims(1), cnn.zeros{1}}:batch(1)
  raises("'y' must not be given: labels come with the dataset", explain.report, {model, dataset, {0}})
  raises("'x' has 1 samples, and 'y' 2 labels", explain.report, {model, x:expand_dims(1), {0, 1}})
  raises("the name must end in .png, .svg or .pdf", explain.saliency, {model, x, file = "/nowhere/a.gif"})
end

function S.test_models_that_cannot_be_explained()
  local x = cnn.ones{4, 4, 1}
  local dense = cnn.Sequential{layers.Dense{2, input_shape = {16}}}
  raises("expected a model of pictures [H,W,C] or [H,W], not of samples of shape {16}", explain.saliency, {dense, x})
  local flat = cnn.Sequential{layers.Flatten{input_shape = {4, 4, 1}}, layers.Dense{2}}
  raises("has no convolution; tell a 'layer' that makes maps", explain.grad_cam, {flat, x})
  raises("has no convolution", explain.kernels, {flat})
  local maps = cnn.Sequential{layers.Conv2D{2, 3, input_shape = {4, 4, 1}}}
  raises("expected class scores {samples, classes} from the model", explain.saliency, {maps, x})
  raises("expected class scores {samples, classes} from the model", explain.predict, {maps, x})
  local a, b = cnn.Input{4, 4, 1}, cnn.Input{4, 4, 1}
  local two = cnn.Model{inputs = {a, b}, outputs = layers.Dense{2}(layers.Flatten()(layers.Add(){a, b}))}
  raises("expected a model of one input, a picture; '" .. two.name .. "' has 2", explain.grad_cam, {two, x})
  raises("does not know its input's shape yet", explain.saliency, {cnn.Sequential{layers.Conv2D{1, 1}}, x})
  raises("the class scores are not finite", explain.saliency, {flat, cnn.full({4, 4, 1}, 0 / 0)})
  local deaf = cnn.Sequential{layers.Conv2D{1, 1, input_shape = {4, 4, 1}}, layers.Flatten(), layers.Dense{2}}
  deaf:get_layer(3):set_weights{cnn.zeros{16, 2}, {0, 0}}
  eq(explain.saliency{deaf, x, show = false}:max():item(), 0.0)
  eq(explain.grad_cam{deaf, x, show = false}:max():item(), 0.0)
end
