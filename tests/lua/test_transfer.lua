-- Layers that are not to learn: freezing, a new head on a frozen base, thawing from a named layer up.
-- luacheck: globals TestFreezing TestFineTuning

local cnn = require "cnn"
local lu = require "luaunit"
local raises = require "raises"

local layers = cnn.layers
local eq = lu.assertEquals

local function random(shape, seed)
  cnn.set_seed(seed or 7)
  return cnn.random.normal(shape)
end

-- Two convolutions with batch normalization behind each: a base to build on.
local function make_base()
  local inputs = cnn.Input{8, 8, 2}
  local x = layers.Conv2D{4, 3, name = "conv1"}(inputs)
  x = layers.Activation{"relu"}(layers.BatchNormalization{name = "norm1"}(x))
  x = layers.Conv2D{6, 3, name = "conv2"}(x)
  x = layers.Activation{"relu"}(layers.BatchNormalization{name = "norm2"}(x))
  return cnn.Model{inputs = inputs, outputs = x, name = "base"}
end

local function on_top_of(base)
  local inputs = cnn.Input{8, 8, 2}
  local x = layers.GlobalAveragePooling2D()(base(inputs * 2 - 1))
  return cnn.Model{inputs = inputs, outputs = layers.Dense{1, activation = "sigmoid", name = "head"}(x)}
end

local function compile(model)
  model:compile{optimizer = cnn.optimizers.Adam{0.01}, loss = "binary_crossentropy", metrics = {"accuracy"}}
end

local x, y = random{20, 8, 8, 2}, cnn.random.bernoulli({20, 1}, 0.5)

local function train(model)
  model:fit{x, y, epochs = 2, batch_size = 5, verbose = 0}
end

-- The names of the layers whose weights are not bit for bit what they were.
local function changed_by(model, f)
  local before = {}
  for _, layer in ipairs(model.layers) do before[layer.name] = layer:get_weights() end
  f()
  local changed = {}
  for _, layer in ipairs(model.layers) do
    local same = true
    for i, w in ipairs(layer:get_weights()) do same = same and cnn.equal(w, before[layer.name][i]):all() end
    if not same then changed[#changed + 1] = layer.name end
  end
  return changed
end

local function counts(model)
  local found = {}
  model:summary{print_fn = function(line)
    local what, count = line:match "^(%a[%a-]*) params: ([%d,]+)"
    if what then found[what] = tonumber((count:gsub(",", ""))) end
  end}
  return found
end

-- ---- freezing ---------------------------------------------------------------------------------------------

TestFreezing = {setUp = cnn.backend.clear_session}

function TestFreezing.test_a_frozen_base_keeps_every_bit()
  local base = make_base()
  local model = on_top_of(base)
  base.trainable = false
  compile(model)
  eq(changed_by(base, function() train(model) end), {})
  eq(changed_by(model, function() train(model) end), {"head"})
end

function TestFreezing.test_batch_normalization_in_a_frozen_base_runs_as_in_inference()
  local base = make_base()
  local model = on_top_of(base)
  compile(model)
  train(model) -- so that the moving statistics say something
  base.trainable = false
  compile(model)
  local expected = model:evaluate{x, y, batch_size = 20, verbose = 0}
  lu.assertAlmostEquals(model:train_on_batch(x, y), expected, 1e-6)
  base.trainable = true
  compile(model)
  expected = model:evaluate{x, y, batch_size = 20, verbose = 0}
  lu.assertTrue(math.abs(model:train_on_batch(x, y) - expected) > 1e-3)
end

function TestFreezing.test_a_base_called_with_training_false_rests_also_in_models_within_models()
  local inputs = cnn.Input{8, 8, 2}
  local base = cnn.Model{inputs = inputs, outputs = layers.Dropout{0.5}(make_base()(inputs))}
  local function loss_in_training(options)
    local features = cnn.Model{inputs = inputs, outputs = layers.Flatten()(base(inputs, options))}
    cnn.set_seed(4)
    local model = cnn.Model{inputs = inputs, outputs = layers.Dense{1, activation = "sigmoid"}(features(inputs))}
    compile(model)
    return model:evaluate{x, y, batch_size = 20, verbose = 0}, model:train_on_batch(x, y)
  end
  local expected, loss = loss_in_training{training = false}
  lu.assertAlmostEquals(loss, expected, 1e-6)
  expected, loss = loss_in_training{}
  lu.assertTrue(math.abs(loss - expected) > 1e-3)
end

function TestFreezing.test_the_flag_reaches_the_layers_of_models_within_models()
  local base = make_base()
  local model = cnn.Sequential{cnn.Input{8, 8, 2}, base, layers.Flatten(), layers.Dense{1}}
  eq({#model.trainable_weights, #model.non_trainable_weights}, {10, 4})
  model.trainable = false
  eq({model.trainable, base.trainable, base:get_layer "conv2".trainable}, {false, false, false})
  eq({#model.trainable_weights, #model.non_trainable_weights}, {0, 14})
  model.trainable = true
  eq({base:get_layer "norm1".trainable, #model.trainable_weights}, {true, 10})
end

function TestFreezing.test_summary_counts_what_does_not_learn()
  local base = make_base()
  local model = on_top_of(base)
  local all, statistics, head = model:count_params(), 2 * (4 + 6), 7
  eq(counts(model), {Total = all, Trainable = all - statistics, ["Non-trainable"] = statistics})
  base.trainable = false
  eq(counts(model), {Total = all, Trainable = head, ["Non-trainable"] = all - head})
end

function TestFreezing.test_a_compiled_model_is_to_be_compiled_anew()
  local base = make_base()
  local model = on_top_of(base)
  compile(model)
  train(model)
  base.trainable = false
  raises("compile the model anew", train, model)
  compile(model)
  eq(changed_by(base, function() train(model) end), {})
end

function TestFreezing.test_what_is_frozen_stays_so_in_a_file()
  local base = make_base()
  base:get_layer "conv1".trainable = false
  local name = os.tmpname()
  local path = name .. ".keras"
  base:save(path)
  local loaded = cnn.load_model(path)
  eq({loaded:get_layer "conv1".trainable, loaded:get_layer "conv2".trainable}, {false, true})
  os.remove(path)
  os.remove(name)
end

-- ---- fine-tuning ------------------------------------------------------------------------------------------

TestFineTuning = {setUp = cnn.backend.clear_session}

-- The layers of the base from the named one up learn, and no others.
local function thaw(base, name)
  base.trainable = true
  for _, layer in ipairs(base.layers) do
    if layer.name == name then break end
    layer.trainable = false
  end
end

function TestFineTuning.test_from_a_named_layer_up()
  local base = make_base()
  local model = on_top_of(base)
  base.trainable = false
  compile(model)
  train(model)
  thaw(base, "conv2")
  raises("compile the model anew", train, model)
  compile(model)
  eq(#model.trainable_weights, 2 + 2 + 2)
  eq(changed_by(base, function() train(model) end), {"conv2", "norm2"})
end

function TestFineTuning.test_a_head_trained_on_cached_features_fits_on_the_base()
  local base = make_base()
  local inputs = cnn.Input{8, 8, 2}
  local features = cnn.Model{inputs = inputs, outputs = layers.GlobalAveragePooling2D()(base(inputs))}
  local cached = features:predict{x, verbose = 0}
  local head = cnn.Sequential{cnn.Input{6}, layers.BatchNormalization(), layers.Dense{1, activation = "sigmoid"}}
  compile(head)
  head:fit{cached, y, epochs = 5, verbose = 0}
  local model = cnn.Model{inputs = inputs, outputs = head(features(inputs))}
  compile(model)
  local loss = model:evaluate{x, y, verbose = 0}
  lu.assertAlmostEquals(loss, head:evaluate{cached, y, verbose = 0}, 1e-5)
  base.trainable = false
  compile(model)
  train(model)
  lu.assertTrue(cnn.allclose(features:predict{x, verbose = 0}, cached, 0, 0))
end

function TestFineTuning.test_a_frozen_layer_below_a_learning_one_passes_no_gradient_wrongly()
  local function weights(frozen)
    cnn.set_seed(3)
    local base = make_base()
    base:get_layer "norm1".trainable = false
    base:get_layer "norm2".trainable = false
    base:get_layer "conv1".trainable = not frozen
    local model = on_top_of(base)
    model:compile{optimizer = cnn.optimizers.SGD{0.1}, loss = "binary_crossentropy"}
    model:train_on_batch(x, y)
    return base:get_layer "conv2":get_weights()[1]
  end
  lu.assertTrue(cnn.allclose(weights(true), weights(false), 1e-6, 1e-7))
end
