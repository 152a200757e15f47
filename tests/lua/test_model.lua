-- Models: making, wiring, looking at and compiling them.
-- luacheck: globals TestSequential TestFunctional TestSummary TestModelWeights TestCompile TestModelFields

local lu = require "luaunit"
local cnn = require "cnn"
local raises = require "raises"

local eq = lu.assertEquals
local layers = cnn.layers

local function close(a, b, tolerance)
  lu.assertTrue(cnn.allclose(a, b, tolerance or 1e-5, tolerance or 1e-6))
end

local function predict(model, x)
  return model:predict{x, verbose = 0}
end

-- ---- Sequential -------------------------------------------------------------------------------------------

TestSequential = {setUp = cnn.backend.clear_session}

function TestSequential.test_a_list_and_add_make_the_same()
  local listed = cnn.Sequential{layers.Dense{3, input_shape = {2}}, layers.Dense{1}}
  local added = cnn.Sequential{name = "added"}
  added:add(layers.Dense{3, input_shape = {2}})
  added:add(layers.Dense{1})
  added:set_weights(listed:get_weights())
  local x = cnn.random.normal{4, 2}
  eq(predict(added, x):tolist(), predict(listed, x):tolist())
  eq({#listed.layers, listed:count_params(), added.name}, {2, 13, "added"})
  eq(listed.input_shape, {-1, 2})
  eq(listed.output_shape, {-1, 1})
end

function TestSequential.test_an_input_may_come_first()
  for _, first in ipairs{cnn.Input{2}, layers.Input{shape = {2}}, layers.InputLayer{shape = {2}}} do
    local model = cnn.Sequential{first, layers.Dense{3}}
    eq({#model.layers, model.built, model:count_params()}, {1, true, 9})
  end
  local model = cnn.Sequential{layers.Dense{3, input_shape = {2}}}
  raises("an Input can only come first", model.add, model, cnn.Input{3})
  raises("add: expected a layer, got a symbolic tensor float32 (None, 3)", model.add, model,
    layers.Dense{3}(cnn.Input{2}))
end

function TestSequential.test_without_a_shape_the_first_data_or_build_gives_it()
  local model = cnn.Sequential{layers.Flatten{}, layers.Dense{3}}
  eq({model.built, #model.weights}, {false, 0})
  raises("does not know its input's shape", model.summary, model)
  eq(predict(model, cnn.ones{2, 2, 2}):shape(), {2, 3})
  eq({model.built, model:count_params()}, {true, 15})
  local built = cnn.Sequential{layers.Dense{3}}
  built:build{cnn.null, 5}
  eq(built:count_params(), 18)
  raises("expects x of shape (None, 5), got (1, 4)", predict, built, cnn.ones{1, 4})
  local empty = cnn.Sequential{}
  raises("the model has no layers", empty.build, empty, {1, 2})
  raises("the model has no layers", predict, empty, cnn.ones{1, 2})
end

function TestSequential.test_pop_and_add_again()
  local model = cnn.Sequential{layers.Dense{3, input_shape = {2}}, layers.Dense{1}}
  local first = model:get_weights()
  model:pop()
  eq({#model.layers, model:count_params(), model.output_shape[2]}, {1, 9, 3})
  eq(predict(model, cnn.ones{1, 2}):shape(), {1, 3})
  model:add(layers.Dense{4})
  eq({model:count_params(), model.output_shape[2]}, {25, 4})
  eq(model:get_weights()[1]:tolist(), first[1]:tolist())
  model:pop()
  model:pop()
  eq(#model.layers, 0)
  raises("pop: there is no layer to remove", model.pop, model)
end

function TestSequential.test_a_layer_that_does_not_fit_is_not_added()
  local model = cnn.Sequential{layers.Dense{3, input_shape = {2}}}
  raises("expected 4 axes", model.add, model, layers.Conv2D{3, 3})
  eq(#model.layers, 1)
  model:add(layers.Dense{1})
  eq(model:count_params(), 13)
  raises("already has a layer named 'a'", cnn.Sequential, {layers.Dense{1, name = "a"}, layers.Dense{1,
    name = "a"}})
end

function TestSequential.test_wrong_arguments()
  raises("Sequential: expected a layer, got 5", cnn.Sequential, {5})
  raises("Sequential: expected a layer, got 5", cnn.Sequential, 5)
  raises("Sequential: unknown argument 'nam' (did you mean 'name'?)", cnn.Sequential, {nam = "x"})
  local model = cnn.Sequential{}
  raises("add: expected a layer, got nil", model.add, model)
  raises("add: expected a layer, got x", model.add, model, "x")
  eq(#cnn.Sequential(layers.Dense{3}).layers, 1)
end


function TestSequential.test_a_cycle_is_refused()
  local model = cnn.Sequential{layers.Dense{2, input_shape = {2}}}
  raises("cannot be a layer of itself", model.add, model, model)
  local outer = cnn.Sequential{model}
  raises("cannot be a layer of itself", model.add, model, outer)
  eq(#model.layers, 1)
end

-- ---- functional -------------------------------------------------------------------------------------------

TestFunctional = {setUp = cnn.backend.clear_session}

function TestFunctional.test_it_computes_what_its_layers_do()
  local inputs = cnn.Input{6, 6, 1}
  local conv, dense = layers.Conv2D{2, 3, activation = "relu"}, layers.Dense{3}
  local model = cnn.Model{inputs = inputs, outputs = dense(layers.Flatten{}(conv(inputs)))}
  local x = cnn.random.normal{2, 6, 6, 1}
  close(predict(model, x), dense(conv(x):reshape{2, -1}))
  close(model(x), predict(model, x))
  eq({#model.layers, model.layers[1].class_name, model.name}, {4, "InputLayer", "functional"})
end

function TestFunctional.test_a_shared_layer_has_its_weights_once()
  local inputs = cnn.Input{2}
  local shared = layers.Dense{2}
  local model = cnn.Model{inputs, shared(shared(inputs))}
  eq({model:count_params(), #model.layers}, {6, 2})
  local w, b = table.unpack(shared:get_weights())
  local x = cnn.ones{1, 2}
  close(predict(model, x), cnn.matmul(cnn.matmul(x, w) + b, w) + b)
  model:compile{optimizer = cnn.optimizers.SGD{0.05}, loss = "mse"}
  local losses = model:fit{x, cnn.tensor{{1, 2}}, epochs = 50, verbose = 0}.history.loss
  lu.assertTrue(losses[50] < losses[1] / 10)
end

function TestFunctional.test_part_of_a_model_from_an_inner_tensor()
  local inputs = cnn.Input{3}
  local middle = layers.Dense{4, activation = "relu"}(inputs)
  local whole = cnn.Model{inputs, layers.Dense{2}(middle)}
  local features = cnn.Model{inputs, middle}
  local head = cnn.Model{middle, whole.outputs[1]}
  local x = cnn.random.normal{5, 3}
  close(predict(head, predict(features, x)), predict(whole, x))
end

function TestFunctional.test_wrong_wirings()
  raises("'inputs' and 'outputs' must be given", cnn.Model, {})
  raises("must be symbolic tensors", cnn.Model, {cnn.ones{2}, cnn.ones{2}})
  raises("not among its inputs", cnn.Model, {cnn.Input{2}, layers.Dense{2}(cnn.Input{2})})
  local a, b = cnn.Input{4}, cnn.Input{4}
  local two = cnn.Model{{a, b}, layers.Dense{2}(a)}
  raises("has 2 inputs, got one", predict, two, cnn.ones{2, 4})
  raises("expected 2 inputs, got 1", two, cnn.ones{2, 4})
  local out = layers.Dense{2}(a)
  local twins = cnn.Model{a, {out, layers.Dense{1}(out)}}
  lu.assertEquals(#predict(twins, cnn.ones{2, 4}), 2)
  raises("only a Sequential model can have layers added", twins.add, twins, layers.Dense{1})
  raises("pop: ", twins.pop, twins)
end

function TestFunctional.test_a_built_model_that_comes_first_tells_the_shape()
  local inner = cnn.Sequential{layers.Dense{3, input_shape = {4}}}
  local outer = cnn.Sequential{inner, layers.Dense{2}}
  lu.assertTrue(outer.built)
  lu.assertEquals(outer:count_params(), 15 + 8)
  lu.assertEquals(outer:predict{cnn.ones{5, 4}, verbose = 0}:shape(), {5, 2})
end

function TestFunctional.test_a_model_is_a_layer()
  local inner = cnn.Sequential{layers.Dense{3, activation = "tanh", input_shape = {2}}, layers.Dense{2},
    name = "inner"}
  local inputs = cnn.Input{2}
  local outer = cnn.Model{inputs, layers.Dense{1}(inner(inputs))}
  eq({outer:count_params(), #outer.layers, outer:get_layer "inner" == inner}, {20, 3, true})
  local nested = cnn.Sequential{cnn.Input{2}, inner, layers.Dense{1, name = "last"}}
  nested:get_layer "last":set_weights(outer.layers[3]:get_weights())
  local x = cnn.random.normal{4, 2}
  close(predict(nested, x), predict(outer, x))
  inner.trainable = false
  eq({#outer.trainable_weights, #inner.layers[1].trainable_weights}, {2, 0})
  outer:compile{optimizer = "sgd", loss = "mse"}
  local before = inner:get_weights()
  outer:fit{x, cnn.ones{4, 1}, epochs = 2, verbose = 0}
  for i, w in ipairs(inner:get_weights()) do eq(w:tolist(), before[i]:tolist()) end
end

-- ---- summary ----------------------------------------------------------------------------------------------

TestSummary = {setUp = cnn.backend.clear_session}

local function summary(model, options)
  local lines = {}
  options = options or {}
  options.print_fn = function(line) lines[#lines + 1] = line end
  model:summary(options)
  return lines
end

local function mnist_base()
  return cnn.Sequential{
    layers.Conv2D{32, {3, 3}, activation = "relu", input_shape = {28, 28, 1}},
    layers.MaxPooling2D{{2, 2}},
    layers.Conv2D{64, {3, 3}, activation = "relu"},
    layers.MaxPooling2D{{2, 2}},
    layers.Conv2D{64, {3, 3}, activation = "relu"},
  }
end

local convolutions = {
  'Model: "sequential"',
  "_________________________________________________________________",
  "Layer (type)                 Output Shape              Param #   ",
  "=================================================================",
  "conv2d (Conv2D)              (None, 26, 26, 32)        320       ",
  "_________________________________________________________________",
  "max_pooling2d (MaxPooling2D) (None, 13, 13, 32)        0         ",
  "_________________________________________________________________",
  "conv2d_1 (Conv2D)            (None, 11, 11, 64)        18496     ",
  "_________________________________________________________________",
  "max_pooling2d_1 (MaxPooling2 (None, 5, 5, 64)          0         ",
  "_________________________________________________________________",
  "conv2d_2 (Conv2D)            (None, 3, 3, 64)          36928     ",
}

function TestSummary.test_mnist_before_and_after_the_dense_part()
  local model = mnist_base()
  local expected = table.move(convolutions, 1, #convolutions, 1, {})
  for _, line in ipairs{
    "=================================================================",
    "Total params: 55,744",
    "Trainable params: 55,744",
    "Non-trainable params: 0",
    "_________________________________________________________________",
  } do expected[#expected + 1] = line end
  eq(summary(model), expected)

  model:add(layers.Flatten{})
  model:add(layers.Dense{64, activation = "relu"})
  model:add(layers.Dense{10, activation = "softmax"})
  expected = table.move(convolutions, 1, #convolutions, 1, {})
  for _, line in ipairs{
    "_________________________________________________________________",
    "flatten (Flatten)            (None, 576)               0         ",
    "_________________________________________________________________",
    "dense (Dense)                (None, 64)                36928     ",
    "_________________________________________________________________",
    "dense_1 (Dense)              (None, 10)                650       ",
    "=================================================================",
    "Total params: 93,322",
    "Trainable params: 93,322",
    "Non-trainable params: 0",
    "_________________________________________________________________",
  } do expected[#expected + 1] = line end
  eq(summary(model), expected)
end

function TestSummary.test_fashion()
  local model = cnn.Sequential{
    layers.Conv2D{10, 3, input_shape = {28, 28, 1}},
    layers.MaxPooling2D{},
    layers.Flatten{},
    layers.Dense{100},
    layers.Dense{10},
  }
  local counts = {}
  for i, layer in ipairs(model.layers) do counts[i] = layer:count_params() end
  eq(counts, {100, 0, 0, 169100, 1010})
end

function TestSummary.test_frozen_weights_line_length_and_print()
  local model = cnn.Sequential{layers.Dense{1000, input_shape = {1000}, trainable = false}, layers.Dense{1}}
  local lines = summary(model)
  eq({table.unpack(lines, #lines - 3, #lines - 1)},
     {"Total params: 1,002,001", "Trainable params: 1,001", "Non-trainable params: 1,001,000"})
  eq(#summary(model, {line_length = 100})[2], 100)
  raises("'line_length' must be an integer between 20 and 1000, got -1", model.summary, model,
    {line_length = -1})
  raises("'line_length'", model.summary, model, {"x"})
  raises("'print_fn' must be a function", model.summary, model, {print_fn = 5})
end

-- ---- weights ----------------------------------------------------------------------------------------------

TestModelWeights = {setUp = cnn.backend.clear_session}

function TestModelWeights.test_get_layer_and_layers()
  local model = cnn.Sequential{layers.Dense{3, input_shape = {2}, name = "first"}, layers.Dense{1,
    name = "last"}}
  eq(model:get_layer "last", model.layers[2])
  eq(model:get_layer(1).name, "first")
  raises("get_layer: no layer 'frist' (did you mean 'first'?)", model.get_layer, model, "frist")
  raises("get_layer: there is no layer 3; the model has 2", model.get_layer, model, 3)
  raises("get_layer", model.get_layer, model, 0)
  eq(model:get_layer{name = "last"}.name, "last")
  eq(model:get_layer{index = 2}.name, "last")
  raises("get_layer: expected either 'name' or 'index'", model.get_layer, model)
  raises("get_layer: expected a layer's name or position, got a function", model.get_layer, model, print)
end

function TestModelWeights.test_pop_is_for_sequential_models()
  local model = cnn.Sequential{layers.Dense{3, input_shape = {2}}}
  local functional = cnn.Model{model.inputs, model.outputs, name = "net"}
  raises("pop: only a Sequential model can have layers removed; 'net' is functional", functional.pop, functional)
  model:pop()
  raises("pop: there is no layer to remove", model.pop, model)
end

function TestModelWeights.test_set_weights_checks_all_first()
  local model = cnn.Sequential{layers.Dense{3, input_shape = {2}}, layers.Dense{1}}
  local before = model:get_weights()
  raises("has 4 weights, got 3", model.set_weights, model, {before[1], before[2], before[3]})
  raises("weight 3 ('kernel' of 'sequential') has shape (3, 1), got (1, 3)", model.set_weights, model,
         {cnn.zeros{2, 3}, cnn.zeros{3}, cnn.zeros{1, 3}, cnn.zeros{1}})
  eq(model:get_weights()[1]:tolist(), before[1]:tolist())
  eq(predict(model, cnn.ones{1, 2}):shape(), {1, 1})
  model:set_weights{cnn.zeros{2, 3}, cnn.zeros{3}, cnn.zeros{3, 1}, cnn.full({1}, 7, "int32")}
  eq(predict(model, cnn.ones{1, 2}):item(), 7)
end

function TestModelWeights.test_weights_are_live()
  local model = cnn.Sequential{layers.Dense{1, input_shape = {1}}}
  eq(predict(model, cnn.zeros{1, 1}):item(), 0)
  model.weights[2][1] = 5
  eq(predict(model, cnn.zeros{1, 1}):item(), 5)
end

-- ---- compile ----------------------------------------------------------------------------------------------

TestCompile = {}

local function small()
  return cnn.Sequential{layers.Dense{3, activation = "softmax", input_shape = {2}}}
end

function TestCompile.test_all_by_name_and_object()
  for _, name in ipairs{"sgd", "rmsprop", "adam", "adamw", "adagrad", "SGD", "RMSprop", "Adam", "AdamW"} do
    small():compile{optimizer = name, loss = "mse"}
  end
  for _, name in ipairs{"SGD", "RMSprop", "Adam", "AdamW", "Adagrad"} do
    local model = small()
    model:compile{optimizer = cnn.optimizers[name]{0.125}, loss = "mse"}
    eq({model.optimizer.class_name, model.optimizer.learning_rate, model.optimizer.iterations}, {name,
      0.125, 0})
  end
  for _, name in ipairs{"categorical_crossentropy", "sparse_categorical_crossentropy", "binary_crossentropy",
                        "mean_squared_error", "mse", "mean_absolute_error", "mae", "huber", "MSE"} do
    small():compile{optimizer = "sgd", loss = name}
  end
  for _, name in ipairs{"CategoricalCrossentropy", "SparseCategoricalCrossentropy", "BinaryCrossentropy",
                        "MeanSquaredError", "MeanAbsoluteError", "Huber"} do
    small():compile{optimizer = "sgd", loss = cnn.losses[name]{}}
  end
end

function TestCompile.test_metrics_have_keras_s_names()
  local model = small()
  model:compile{optimizer = "sgd", loss = "categorical_crossentropy",
    metrics = {"accuracy", "mae", cnn.metrics.Precision{}, cnn.metrics.Recall{name = "r"}, cnn.metrics.AUC{},
               cnn.metrics.TopKCategoricalAccuracy{k = 2}}}
  eq(model.metrics_names, {"loss", "accuracy", "mae", "precision", "r", "auc", "top_k_categorical_accuracy"})
  local x, y = cnn.ones{4, 2}, cnn.eye(3)[{{1, 3}}]
  local figures = model:evaluate{x[{{1, 3}}], y, verbose = 0, return_dict = true}
  for _, name in ipairs(model.metrics_names) do lu.assertIsNumber(figures[name]) end
  model:compile{optimizer = "sgd", loss = "mse", metrics = "acc"}
  eq(model.metrics_names, {"loss", "acc"})
end

function TestCompile.test_accuracy_is_of_the_kind_that_fits()
  local x = cnn.eye(3)
  local model = cnn.Sequential{cnn.Input{3}, layers.Dense{3, activation = "softmax",
    kernel_initializer = "zeros"}}
  model:set_weights{cnn.eye(3) * 9, cnn.zeros{3}}
  model:compile{optimizer = "sgd", loss = "categorical_crossentropy", metrics = {"accuracy"}}
  eq(select(2, model:evaluate{x, cnn.eye(3), verbose = 0}), 1)
  model:compile{optimizer = "sgd", loss = "sparse_categorical_crossentropy", metrics = {"accuracy"}}
  lu.assertAlmostEquals(select(2, model:evaluate{x, {0, 1, 1}, verbose = 0}), 2 / 3, 1e-9)
  local binary = cnn.Sequential{cnn.Input{1}, layers.Activation{"sigmoid"}}
  binary:compile{optimizer = "sgd", loss = "binary_crossentropy", metrics = {"accuracy"}}
  lu.assertAlmostEquals(select(2, binary:evaluate{{{-2}, {2}, {3}, {4}}, {0, 1, 0, 1}, verbose = 0}), 0.75,
    1e-9)
end

function TestCompile.test_wrong_names_are_told()
  local model = small()
  local function fails(text, arguments) raises(text, model.compile, model, arguments) end
  fails("compile: unknown optimizer 'adm' (did you mean 'adam'?)", {optimizer = "adm", loss = "mse"})
  fails("compile: unknown loss 'msee' (did you mean 'mse'?)", {loss = "msee"})
  fails("compile: unknown metric 'acuracy' (did you mean 'accuracy'?)", {loss = "mse", metrics = {"acuracy"}})
  fails("compile: unknown argument 'los' (did you mean 'loss'?)", {los = "mse"})
  fails("compile: missing argument 'loss'", {optimizer = "adam"})
  fails("compile: missing argument 'loss'", {})
  fails("SGD: 'learning_rate' must be a number, at least 0",
    {{class_name = "SGD", config = {learning_rate = -1}}, "mse"})
  fails("optimizer: expected a name or an object", {5, "mse"})
  fails("loss", {"sgd", print})
  raises("'momentum' must be between 0 and 1, got 2", cnn.optimizers.SGD, {momentum = 2})
  raises("only one of 'clipnorm', 'clipvalue'", model.compile, model,
         {{class_name = "SGD", config = {clipnorm = 1, clipvalue = 1}}, "mse"})
  raises("must be compiled first", model.fit, model, {cnn.ones{1, 2}, cnn.ones{1, 3}})
end

function TestCompile.test_a_failed_compile_leaves_the_old_one()
  local model = small()
  model:compile{optimizer = "sgd", loss = "mse"}
  pcall(model.compile, model, {optimizer = "adam", loss = "nonsense"})
  eq(model.optimizer.class_name, "SGD")
  model:compile{optimizer = "adam", loss = "mae"}
  eq(model.optimizer.class_name, "Adam")
  lu.assertIsNumber(model:train_on_batch{cnn.ones{1, 2}, cnn.ones{1, 3}})
end

function TestCompile.test_learning_rate_can_be_set()
  local model = small()
  model:compile{optimizer = "sgd", loss = "mse"}
  model.optimizer.learning_rate = 0.5
  eq(model.optimizer.learning_rate, 0.5)
  raises("must be a number, at least 0, got -1", function() model.optimizer.learning_rate = -1 end)
  raises("only 'learning_rate' can be set", function() model.optimizer.momentum = 1 end)
  raises("SGD: there is no field 'momntum'", function() return model.optimizer.momntum end)
  local schedules = cnn.optimizers.schedules
  model:compile{optimizer = cnn.optimizers.SGD{schedules.ExponentialDecay{0.1, 2, 0.5, true}}, loss = "mse"}
  local rates = {}
  for i = 1, 5 do
    rates[i] = model.optimizer.learning_rate
    model:train_on_batch{cnn.ones{1, 2}, cnn.ones{1, 3}}
  end
  eq(rates, {0.1, 0.1, 0.05, 0.05, 0.025})
  raises("schedule", function() model.optimizer.learning_rate = 1 end)
end

-- ---- fields -----------------------------------------------------------------------------------------------

TestModelFields = {}

function TestModelFields.test_input_output_and_loss()
  local model = cnn.Sequential{layers.Dense{1, kernel_initializer = "ones"}}
  eq({model.input, model.output, model.loss}, {})
  model:build{1, 2}
  eq({model.input:shape(), model.output:shape()}, {{-1, 2}, {-1, 1}})
  model:compile{optimizer = "sgd", loss = "mse"}
  eq(model.loss.class_name, "MeanSquaredError")
  eq(model.loss({1}, {3}):item(), 4)
  local a, b = cnn.Input{2}, cnn.Input{3}
  local two = cnn.Model{{a, b}, {layers.Dense{1}(a), layers.Dense{1}(b)}}
  eq({#two.input, #two.output}, {2, 2})
  two:compile{optimizer = "sgd", loss = {"mse", "mae"}}
  eq(two.loss[2].class_name, "MeanAbsoluteError")
end

function TestModelFields.test_one_batch_is_measured_and_predicted()
  local model = cnn.Sequential{layers.Dense{1, kernel_initializer = "ones", input_shape = {2}}}
  model:compile{optimizer = "sgd", loss = "mse", metrics = {"mae"}}
  local x, y = cnn.ones{50, 2}, cnn.zeros{50, 1}
  eq({model:test_on_batch(x, y)}, {model:evaluate{x, y, verbose = 0}})
  eq(model:test_on_batch{x, y, return_dict = true}, {loss = 4, mae = 2})
  eq(model:test_on_batch{{{1, 2}}, {{3}}}, 0)
  eq(model:predict_on_batch(x):tolist(), model:predict{x, verbose = 0}:tolist())
  eq(model:predict_on_batch{x}:shape(), {50, 1})
  eq(model:get_weights()[1]:tolist(), {{1}, {1}})
end

function TestModelFields.test_models_by_keras_s_names()
  eq({cnn.models.Sequential == cnn.Sequential, cnn.models.Model == cnn.Model,
      cnn.models.load_model == cnn.load_model}, {true, true, true})
end

function TestModelFields.test_they_tell()
  local model = small()
  eq({model.optimizer, model.history, model.stop_training}, {nil, nil, false})
  eq({#model.inputs, #model.outputs, model.class_name}, {1, 1, "Sequential"})
  lu.assertStrContains(tostring(model), "<Sequential 'sequential")
  raises("there is no field 'layes' (did you mean 'layers'?)", function() return model.layes end)
  raises("there is no field 'compil' (did you mean 'compile'?)", function() return model.compil end)
  raises("'name' cannot be set", function() model.name = "x" end)
  raises("model expected", model.fit)
  raises("model expected", model.fit, layers.Dense{1}, {})
end
