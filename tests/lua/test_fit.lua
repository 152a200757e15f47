-- fit, evaluate, predict and train_on_batch: batches, epochs, validation, weights of samples and classes,
-- what does not fit, what is printed, determinism, interruption, and that small problems are learnt.
-- luacheck: globals TestFitBatches TestFitValidation TestFitWeights TestFitData TestFitPrinting
-- luacheck: globals TestFitLearning
-- luacheck: globals TestDeterminism TestInterruption TestPredict

local lu = require "luaunit"
local cnn = require "cnn"
local raises = require "raises"

local eq = lu.assertEquals
local layers = cnn.layers
local program = os.getenv "CNNLUA_PROGRAM" or "./cnnlua"

local function near(a, b, tolerance)
  lu.assertAlmostEquals(a, b, tolerance or 1e-5)
end

local function int32(list)
  return cnn.tensor(list, "int32")
end

-- y = w·x without a bias, from w = 0.
local function line(optimizer, loss, metrics)
  local model = cnn.Sequential{layers.Dense{1, use_bias = false, kernel_initializer = "zeros",
    input_shape = {1}}}
  model:compile{optimizer = optimizer or cnn.optimizers.SGD{0.1}, loss = loss or "mse", metrics = metrics}
  return model
end

local function classifier(loss, metrics)
  local model = cnn.Sequential{layers.Dense{3, activation = "softmax", input_shape = {2}}}
  model:compile{optimizer = "sgd", loss = loss or "sparse_categorical_crossentropy", metrics = metrics}
  return model
end

local function column(...)
  return cnn.tensor{...}:reshape{-1, 1}
end

-- Collects the sizes of what a run gives each batch.
local function count_batches(model, arguments)
  local batches = 0
  arguments.callbacks = {{on_train_batch_end = function() batches = batches + 1 end}}
  arguments.verbose = 0
  model:fit(arguments)
  return batches
end

-- ---- batches ----------------------------------------------------------------------------------------------

TestFitBatches = {}

function TestFitBatches.test_their_number()
  local x, y = cnn.ones{10, 1}, cnn.ones{10, 1}
  eq(count_batches(line(), {x, y}), 1)
  eq(count_batches(line(), {x, y, batch_size = 3}), 4)
  eq(count_batches(line(), {x, y, batch_size = 3, epochs = 2}), 8)
  eq(count_batches(line(), {x, y, batch_size = 1000}), 1)
  eq(count_batches(line(), {x, y, batch_size = 2, steps_per_epoch = 3}), 3)
  eq(count_batches(line(), {x, y, batch_size = 2, epochs = 5, initial_epoch = 3}), 10)
  eq(count_batches(line(), {x, y, batch_size = 2, epochs = 2, initial_epoch = 5}), 0)
end

function TestFitBatches.test_a_step_is_the_mean_gradient_of_its_batch()
  local model = line()
  model:fit{column(1, 2, 3), column(2, 2, 2), batch_size = 2, shuffle = false, verbose = 0}
  local w = 0
  w = w - 0.1 * ((2 * (w * 1 - 2) * 1) + (2 * (w * 2 - 2) * 2)) / 2
  w = w - 0.1 * (2 * (w * 3 - 2) * 3)
  near(model:get_weights()[1]:item(), w)
end

function TestFitBatches.test_the_loss_is_the_mean_over_samples_as_training_goes()
  local model = line()
  local history = model:fit{column(1, 2, 3), column(2, 2, 2), batch_size = 2, shuffle = false, verbose = 0}
  local w = 0.1 * (4 + 8) / 2
  near(history.history.loss[1], (4 + 4 + (3 * w - 2) ^ 2) / 3)
end

function TestFitBatches.test_shuffling_goes_by_the_seed_and_can_be_off()
  local function weights(seed, shuffle)
    cnn.utils.set_random_seed(seed)
    local model = line()
    model:fit{cnn.arange{1, 20, dtype = "float32"}:reshape{-1, 1} / 20, cnn.ones{19, 1}, batch_size = 2,
      shuffle = shuffle, verbose = 0}
    return model:get_weights()[1]:item()
  end
  eq(weights(1), weights(1))
  lu.assertNotEquals(weights(1), weights(2))
  eq(weights(1, false), weights(2, false))
end

-- Weights made ready for the kernels are kept between calls of predict; a change of any of them is seen all the same.
function TestFitBatches.test_predict_sees_every_change_of_the_weights()
  local model = cnn.Sequential{
    cnn.layers.Conv2D{16, 3, input_shape = {6, 6, 16}}, cnn.layers.Flatten(), cnn.layers.Dense{3},
  }
  local x = cnn.random.normal{{2, 6, 6, 16}}
  local function predict() return model:predict{x, verbose = 0}:tolist() end
  local first = predict()
  lu.assertEquals(predict(), first)
  for _, layer in ipairs{model.layers[1], model.layers[3]} do
    local before = layer:get_weights()
    local changed = layer:get_weights()
    local flat = changed[1]:reshape{-1}
    flat[2], flat[10] = -flat[2], -flat[10] -- two signs
    layer:set_weights(changed)
    lu.assertNotEquals(predict(), first)
    changed[1] = before[1]:flip(1) -- another order
    layer:set_weights(changed)
    lu.assertNotEquals(predict(), first)
    layer:set_weights(before)
    lu.assertEquals(predict(), first)
  end
end

function TestFitBatches.test_history()
  local model = line(nil, nil, {"mae"})
  local run = model:fit{cnn.ones{4, 1}, cnn.ones{4, 1}, epochs = 3, initial_epoch = 1, verbose = 0}
  eq(run.epoch, {2, 3})
  eq({#run.history.loss, #run.history.mae}, {2, 2})
  eq(model.history, run)
  pcall(model.fit, model, {cnn.ones{4, 1}, cnn.ones{3, 1}})
  eq(model.history, run)
end

function TestFitBatches.test_train_on_batch_is_one_step()
  local a, b = line(nil, nil, {"mae"}), line()
  local loss, mae = a:train_on_batch(column(1, 2), column(2, 2))
  b:fit{column(1, 2), column(2, 2), verbose = 0}
  eq({loss, mae}, {4, 2})
  eq(a:get_weights()[1]:item(), b:get_weights()[1]:item())
  eq(a.optimizer.iterations, 1)
end

-- ---- validation -------------------------------------------------------------------------------------------

TestFitValidation = {}

function TestFitValidation.test_the_split_is_the_end_before_shuffling()
  local model = line(cnn.optimizers.SGD{0})
  model:set_weights{cnn.ones{1, 1}}
  local x, y = column(1, 1, 1, 1, 1, 1, 5, 5), cnn.zeros{8, 1}
  local history = model:fit{x, y, validation_split = 0.25, epochs = 2, verbose = 0}.history
  eq(history, {loss = {1, 1}, val_loss = {25, 25}})
  raises("leaves a part empty", model.fit, model, {x, y, validation_split = 0.99})
  raises("validation_split must be at least 0 and below 1, got 1", model.fit, model, {x, y,
    validation_split = 1})
  raises("fit: 'shuffle' must be true or false, got no", model.fit, model, {x, y, shuffle = "no"})
  raises("'validation_split' must be a number, got x", model.fit, model, {x, y, validation_split = "x"})
end

function TestFitValidation.test_data_with_weights()
  local model = line(cnn.optimizers.SGD{0}, nil, {"mae"})
  local x, y = cnn.ones{4, 1}, cnn.zeros{4, 1}
  model:set_weights{cnn.ones{1, 1}}
  local history = model:fit{x, y, validation_data = {column(1, 2), column(0, 0)}, verbose = 0}.history
  eq({history.val_loss, history.val_mae}, {{2.5}, {1.5}})
  history = model:fit{x, y, validation_data = {column(1, 2), column(0, 0), {1, 0.5}}, verbose = 0}.history
  eq({history.val_loss, history.val_mae}, {{1.5}, {1.5}})
  raises("must be {x, y}, {x, y, sample_weight} or a dataset", model.fit, model, {x, y, validation_data = {x}})
  raises("must be {x, y}, {x, y, sample_weight} or a dataset", model.fit, model, {x, y, validation_data = x})
  raises("fit: validation_data: x has 4 samples, y has 3", model.fit, model,
         {x, y, validation_data = {x, cnn.ones{3, 1}}})
  raises("fit: validation_data: model", model.fit, model, {x, y, validation_data = {cnn.ones{4, 2}, y}})
  raises("validation_data: 'x' must be a tensor", model.fit, model, {x, y, validation_data = {"a", y}})
end

function TestFitValidation.test_freq_and_steps()
  local x, y = cnn.ones{6, 1}, cnn.ones{6, 1}
  local history = line():fit{x, y, validation_data = {x, y}, validation_freq = 2, epochs = 5,
    verbose = 0}.history
  eq({#history.loss, #history.val_loss}, {5, 2})
  local seen = 0
  line():fit{x, y, batch_size = 1, validation_data = {x, y}, validation_steps = 2, verbose = 0,
    callbacks = {{on_test_batch_end = function() seen = seen + 1 end}}}
  eq(seen, 2)
end

-- ---- weights ----------------------------------------------------------------------------------------------

TestFitWeights = {}

function TestFitWeights.test_class_and_sample_weights_are_in_the_loss()
  local x, y = cnn.tensor{{1, 2}, {3, 4}, {-1, 1}, {0, 1}}, int32{0, 1, 2, 1}
  local model = classifier()
  model:compile{optimizer = cnn.optimizers.SGD{0}, loss = "sparse_categorical_crossentropy"}
  local p, labels, losses = model:predict{x, verbose = 0}, y:tolist(), {}
  for i = 1, 4 do losses[i] = -math.log(p[{i, labels[i] + 1}]) end
  local function loss(arguments)
    arguments[1], arguments[2], arguments.verbose = x, y, 0
    return model:fit(arguments).history.loss[1]
  end
  near(loss{}, (losses[1] + losses[2] + losses[3] + losses[4]) / 4)
  near(loss{batch_size = 3}, (losses[1] + losses[2] + losses[3] + losses[4]) / 4)
  near(loss{class_weight = {[0] = 2, [1] = 0.5}},
    (2 * losses[1] + 0.5 * (losses[2] + losses[4]) + losses[3]) / 4)
  near(loss{sample_weight = {1, 0, 0, 3}}, (losses[1] + 3 * losses[4]) / 4)
  near(loss{sample_weight = int32{1, 0, 0, 3}}, (losses[1] + 3 * losses[4]) / 4)
  near(loss{sample_weight = {1, 1, 1, 3}, class_weight = {[1] = 2}},
       (losses[1] + 2 * losses[2] + losses[3] + 6 * losses[4]) / 4)
  near((model:evaluate{x, y, sample_weight = {0, 1, 0, 0}, verbose = 0}), losses[2] / 4)
  near((model:train_on_batch{x, y, {0, 1, 0, 0}}), losses[2] / 4)
  model:compile{optimizer = cnn.optimizers.SGD{0}, loss = "categorical_crossentropy"}
  near(model:fit{x, cnn.utils.to_categorical(y, 3), class_weight = {[1] = 3}, verbose = 0}.history.loss[1],
       (losses[1] + 3 * losses[2] + losses[3] + 3 * losses[4]) / 4)
end

function TestFitWeights.test_class_weights_do_not_count_in_validation()
  local model = classifier()
  model:compile{optimizer = cnn.optimizers.SGD{0}, loss = "sparse_categorical_crossentropy"}
  local x, y = cnn.ones{4, 2}, int32{1, 1, 1, 1}
  local history = model:fit{x, y, class_weight = {[1] = 10}, validation_split = 0.5, verbose = 0}.history
  near(history.loss[1], 10 * history.val_loss[1], 1e-4)
end

function TestFitWeights.test_errors()
  local model, x, y = classifier(), cnn.ones{4, 2}, int32{0, 1, 2, 0}
  raises("'class_weight' must give numbers by label", model.fit, model, {x, y, class_weight = 5})
  raises("'class_weight' must give numbers by label", model.fit, model, {x, y, class_weight = {a = 1}})
  raises("'class_weight' must give numbers by label", model.fit, model, {x, y, class_weight = {[-1] = 1}})
  raises("x has 4 samples, sample_weight has 2", model.fit, model, {x, y, sample_weight = {1, 2}})
  raises("sample_weight must have one axis", model.fit, model, {x, y, sample_weight = cnn.ones{4, 1}})
  raises("'sample_weight' must be a tensor", model.fit, model, {x, y, sample_weight = "x"})
end

-- ---- data -------------------------------------------------------------------------------------------------

TestFitData = {}

function TestFitData.test_integers_and_tables_are_taken()
  local function weights(x, y)
    local model = line()
    model:fit{x, y, verbose = 0, shuffle = false}
    return model:get_weights()[1]:item()
  end
  local expected = weights(column(1, 2), column(2, 1))
  eq(weights(cnn.tensor({{1}, {2}}, "uint8"), int32{{2}, {1}}), expected)
  eq(weights(int32{{1}, {2}}, cnn.tensor({{2}, {1}}, "uint8")), expected)
  eq(weights({{1}, {2}}, {{2}, {1}}), expected)
end

function TestFitData.test_one_hot_and_sparse_labels_give_the_same()
  local x, labels = cnn.random.normal{9, 2}, {0, 1, 2, 2, 1, 0, 0, 1, 2}
  local function losses(loss, y)
    cnn.utils.set_random_seed(4)
    return classifier(loss, {"accuracy"}):fit{x, y, epochs = 3, batch_size = 4, verbose = 0}.history
  end
  local expected = losses("categorical_crossentropy", cnn.utils.to_categorical(labels, 3))
  for _, y in ipairs{int32(labels), cnn.tensor(labels, "uint8"), cnn.tensor(labels),
    int32(labels):reshape{9, 1}} do
    eq(losses("sparse_categorical_crossentropy", y), expected)
  end
end

function TestFitData.test_what_does_not_fit_is_told_with_both_sides()
  local model, x, y = classifier(), cnn.ones{4, 2}, int32{0, 1, 2, 0}
  local function fails(text, arguments)
    arguments.verbose = 0
    raises(text, model.fit, model, arguments)
  end
  fails("fit: missing argument 'x'", {})
  fails("fit: missing argument 'y'", {x})
  fails("fit: x has 4 samples, y has 5", {x, cnn.ones{5}})
  fails("expects x of shape (None, 2), got (4, 3)", {cnn.ones{4, 3}, y})
  fails("expects x of shape (None, 2), got (4,)", {cnn.ones{4}, y})
  fails("labels of shape (4, 5) do not fit predictions of shape (None, 3)", {x, cnn.ones{4, 5}})
  fails("fit: y: label 3 of sample 3 of 4 is not a whole number in [0, 3)", {x, int32{0, 1, 3, 0}})
  fails("label -1 of sample 2 of 4", {x, int32{0, -1, 2, 0}})
  fails("label 1.5 of sample 4 of 4", {x, cnn.tensor{0, 1, 2, 1.5}})
  fails("nan of sample 1 of 4", {x, cnn.tensor{0 / 0, 1, 2, 1}})
  fails("fit: validation_data: y: label 9 of sample 1 of 1", {x, y, validation_data = {{{1, 2}}, {9}}})
  fails("x has no samples", {cnn.zeros{0, 2}, cnn.zeros{0}})
  fails("symbolic", {cnn.Input{2}, y})
  fails("'x' must be a tensor or a table of numbers, got a", {"a", y})
  fails("'y' must be a tensor or a table of numbers, got b", {x, "b"})
  raises("evaluate: y: label 3 of sample 3", model.evaluate, model, {x, int32{0, 1, 3, 0}})
  raises("train_on_batch: y: label 3 of sample 3", model.train_on_batch, model, {x, int32{0, 1, 3, 0}})
  local closed = cnn.ones{4, 2}
  closed:close()
  fails("'x' is a closed tensor", {closed, y})
  local dense = classifier("mse")
  raises("labels of shape (4,) do not fit predictions of shape (None, 3)", dense.fit, dense, {x, y})
  lu.assertIsNumber(model:train_on_batch(x, y))
end

function TestFitData.test_wrong_options()
  local model, x, y = classifier(), cnn.ones{4, 2}, int32{0, 1, 2, 0}
  local function fails(text, arguments)
    arguments[1], arguments[2] = x, y
    raises(text, model.fit, model, arguments)
  end
  fails("fit: unknown argument 'epoch' (did you mean 'epochs'?)", {epoch = 3})
  for _, wrong in ipairs{0, -1, 1.5, "a", 2 ^ 40} do
    fails("'batch_size' must be an integer of at least 1, got", {batch_size = wrong})
    fails("'epochs' must be an integer of at least 1, got", {epochs = wrong})
    fails("'steps_per_epoch' must be an integer of at least 1, got", {steps_per_epoch = wrong})
  end
  fails("'initial_epoch' must be an integer of at least 0, got -1", {initial_epoch = -1})
  fails("'verbose' must be 0, 1, 2, 3 or \"auto\", got 4", {verbose = 4})
  raises("predict: unknown argument 'batchsize' (did you mean 'batch_size'?)", model.predict, model, {x,
    batchsize = 1})
  raises("evaluate: missing argument 'y'", model.evaluate, model, {x})
end

function TestFitData.test_nan_gives_a_nan_loss()
  local model = line()
  local history = model:fit{column(1, 0 / 0), column(1, 1), epochs = 2, verbose = 0}.history
  eq(#history.loss, 2)
  lu.assertNaN(history.loss[2])
  lu.assertNaN(model:predict{column(1), verbose = 0}:item())
end

function TestFitData.test_frozen_layers_stay_as_they_are()
  local frozen = layers.Dense{2, trainable = false, input_shape = {2}}
  local model = cnn.Sequential{frozen, layers.Dense{1}}
  model:compile{optimizer = "adam", loss = "mse"}
  local before, head = frozen:get_weights(), model.layers[2]:get_weights()
  model:fit{cnn.ones{4, 2}, cnn.ones{4, 1}, epochs = 2, verbose = 0}
  eq(frozen.kernel:tolist(), before[1]:tolist())
  eq(frozen.bias:tolist(), before[2]:tolist())
  lu.assertNotEquals(model.layers[2].kernel:tolist(), head[1]:tolist())
  frozen.trainable = true
  raises("compile the model anew", model.fit, model, {cnn.ones{4, 2}, cnn.ones{4, 1}, verbose = 0})
  model:compile{optimizer = "adam", loss = "mse"}
  model:fit{cnn.ones{4, 2}, cnn.ones{4, 1}, epochs = 2, verbose = 0}
  lu.assertNotEquals(frozen.kernel:tolist(), before[1]:tolist())
end

-- ---- predict and evaluate ---------------------------------------------------------------------------------

TestPredict = {}

function TestPredict.test_batches_make_no_difference()
  local model = cnn.Sequential{
    layers.Conv2D{3, 3, activation = "relu", input_shape = {7, 6, 2}},
    layers.MaxPooling2D{}, layers.Flatten{}, layers.Dropout{0.5}, layers.Dense{4, activation = "softmax"},
  }
  local x = cnn.random.normal{11, 7, 6, 2}
  local all = model:predict{x, verbose = 0}
  for _, batch_size in ipairs{1, 4, 11, 100} do
    lu.assertTrue(cnn.allclose(model:predict{x, batch_size = batch_size, verbose = 0}, all, 1e-5, 1e-6))
  end
  for i = 1, 11 do
    lu.assertTrue(cnn.allclose(model:predict{x[{{i, i}}], verbose = 0}, all[{{i, i}}], 1e-5, 1e-6))
  end
end

function TestPredict.test_evaluate_gives_values_or_a_table()
  local model = line(nil, nil, {"mae"})
  local x, y = column(1, 2, 3), column(1, 2, 2)
  eq({model:evaluate{x, y, verbose = 0}}, {3, 5 / 3})
  eq(model:evaluate{x, y, verbose = 0, batch_size = 2, return_dict = true}, {loss = 3, mae = 5 / 3})
  eq({model:evaluate{x, y, verbose = 0, batch_size = 1, steps = 1}}, {1, 1})
  eq(model:get_weights()[1]:item(), 0)
end

function TestPredict.test_a_model_not_compiled_predicts()
  local model = cnn.Sequential{layers.Dense{2, kernel_initializer = "ones"}}
  eq(model:predict{{{1, 2}}, verbose = 0}:tolist(), {{3, 3}})
  raises("predict: missing argument 'x'", model.predict, model)
  raises("must be compiled first", model.evaluate, model, {{{1, 2}}, {{1, 2}}})
end

-- ---- printing ---------------------------------------------------------------------------------------------

TestFitPrinting = {}

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- What the program prints (both streams) on these statements, times replaced by T, and its status.
local function printed(code, options)
  local command = quoted(program) .. " " .. (options or "") .. " -e " .. quoted(code) .. " 2>&1; echo \" $?\""
  local pipe = assert(io.popen(command))
  local text, status = pipe:read "a":match "^(.*) (%d+)\n$"
  pipe:close()
  return (text:gsub("%- %d+s %d+.s/step", "- T")), tonumber(status)
end

local setting = [[
  local layers = cnn.layers
  local model = cnn.Sequential{layers.Dense{1, use_bias = false, kernel_initializer = "zeros",
    input_shape = {1}}}
  model:compile{optimizer = cnn.optimizers.SGD{0}, loss = "mse", metrics = {"mae"}}
  local x, y = cnn.ones{10, 1}, cnn.ones{10, 1}
]]

function TestFitPrinting.test_plain_lines_in_a_pipe()
  local bar = "[==============================]"
  eq(printed(setting .. "model:fit{x, y, batch_size = 4, epochs = 2, validation_split = 0.2}"),
     "Epoch 1/2\n2/2 " .. bar .. " - T - loss: 1.0000 - mae: 1.0000 - val_loss: 1.0000 - val_mae: 1.0000\n" ..
     "Epoch 2/2\n2/2 " .. bar .. " - T - loss: 1.0000 - mae: 1.0000 - val_loss: 1.0000 - val_mae: 1.0000\n")
  eq(printed(setting .. "model:fit{x, y, batch_size = 4, verbose = 2}"),
     "Epoch 1/1\n3/3 - T - loss: 1.0000 - mae: 1.0000\n")
  eq(printed(setting .. "model:fit{x, y, verbose = 0}"), "")
  eq(printed(setting .. "model:evaluate{x, y}"), "1/1 " .. bar .. " - T - loss: 1.0000 - mae: 1.0000\n")
  eq(printed(setting .. "model:evaluate{x, y, verbose = 2}"), "1/1 - T - loss: 1.0000 - mae: 1.0000\n")
  eq(printed(setting .. "model:predict{x, batch_size = 5}"), "2/2 " .. bar .. " - T\n")
  eq(printed(setting .. "model:predict{x, verbose = false}"), "")
end

function TestFitPrinting.test_a_run_that_stops_early_tells_how_far_it_came()
  local text = printed(setting .. [[
    model:fit{x, y, batch_size = 1, verbose = 2,
      callbacks = {{on_train_batch_end = function(self, batch) self.model.stop_training = batch == 3 end}}}]])
  eq(text, "Epoch 1/1\n3/10 - T - loss: 1.0000 - mae: 1.0000\n")
end

-- ---- learning ---------------------------------------------------------------------------------------------

TestFitLearning = {}

function TestFitLearning.test_every_loss_with_every_optimizer()
  cnn.utils.set_random_seed(2)
  local x = cnn.random.normal{60, 2}
  local first, second = x[{{1, 60}, 1}], x[{{1, 60}, 2}]
  local positive = first:greater(second):astype "float32":reshape{60, 1}
  local one_hot = cnn.concatenate({positive, 1 - positive}, 2)
  local problems = {
    {"mse", first:reshape{60, 1}, "linear", 1},
    {"mae", first:reshape{60, 1}, "linear", 1},
    {"huber", first:reshape{60, 1}, "linear", 1},
    {"binary_crossentropy", positive, "sigmoid", 1},
    {cnn.losses.BinaryCrossentropy{from_logits = true}, positive, "linear", 1},
    {"categorical_crossentropy", one_hot, "softmax", 2},
    {cnn.losses.CategoricalCrossentropy{from_logits = true}, one_hot, "linear", 2},
    {"sparse_categorical_crossentropy", positive, "softmax", 2},
    {cnn.losses.SparseCategoricalCrossentropy{from_logits = true}, positive, "linear", 2},
  }
  for _, name in ipairs{"SGD", "RMSprop", "Adam", "AdamW", "Adagrad"} do
    for i, problem in ipairs(problems) do
      local model = cnn.Sequential{layers.Dense{problem[4], activation = problem[3], input_shape = {2}}}
      local rate = (name == "SGD" or name == "Adagrad") and 0.3 or 0.05
      model:compile{optimizer = cnn.optimizers[name]{rate}, loss = problem[1]}
      local losses = model:fit{x, problem[2], epochs = 40, batch_size = 20, verbose = 0}.history.loss
      lu.assertTrue(losses[40] < losses[1] / 1.8,
        name .. ", problem " .. i .. ": " .. losses[1] .. " to " .. losses[40])
    end
  end
end

function TestFitLearning.test_real_digits()
  if not os.getenv "CNNLUA_DATA" then lu.skip "needs MNIST in $CNNLUA_DATA" end
  local good, x, y = pcall(cnn.datasets.mnist.load_data)
  if not good then lu.skip "needs MNIST in $CNNLUA_DATA" end
  cnn.utils.set_random_seed(1)
  x, y = x[{{1, 1200}}]:reshape{1200, 28, 28, 1}:astype "float32" / 255, y[{{1, 1200}}]
  local model = cnn.Sequential{
    layers.Conv2D{8, 3, activation = "relu", input_shape = {28, 28, 1}}, layers.MaxPooling2D{3},
    layers.Flatten{}, layers.Dense{10, activation = "softmax"},
  }
  model:compile{optimizer = "adam", loss = "sparse_categorical_crossentropy", metrics = {"accuracy"}}
  local history = model:fit{x, y, epochs = 6, batch_size = 16, validation_split = 0.2, verbose = 0}.history
  lu.assertTrue(history.val_accuracy[6] > 0.8)
end

-- ---- determinism ------------------------------------------------------------------------------------------

TestDeterminism = {}

local conv_net = [[
  cnn.utils.set_random_seed(7)
  local layers = cnn.layers
  local model = cnn.Sequential{
    layers.Conv2D{8, 3, activation = "relu", input_shape = {14, 14, 2}}, layers.MaxPooling2D{2},
    layers.Dropout{0.25}, layers.Conv2D{16, 3, padding = "same", activation = "relu"},
    layers.Flatten{}, layers.Dense{300, activation = "relu"}, layers.Dropout{0.5}, layers.Dense{10,
      activation = "softmax"},
  }
  model:compile{optimizer = "adam", loss = "sparse_categorical_crossentropy"}
  local x, y = cnn.random.normal{150, 14, 14, 2}, cnn.random.integers({150}, 0, 10)
  model:fit{x, y, batch_size = 64, epochs = 2, verbose = 0}
  for _, w in ipairs(model:get_weights()) do print(("%a %a"):format(w:sum():item(), (w * w):sum():item())) end
]]

function TestDeterminism.test_the_same_with_any_number_of_threads()
  local once = printed(conv_net, "--threads 1")
  lu.assertStrContains(once, "0x")
  eq(printed(conv_net, "--threads 1"), once)
  eq(printed(conv_net, "--threads 2"), once)
  eq(printed(conv_net, "--threads 5"), once)
end

-- ---- interruption -----------------------------------------------------------------------------------------

TestInterruption = {}

-- Runs the statements and sends SIGINT once they have written a line to the file they get as READY.
local function interrupted(code)
  local ready = os.tmpname()
  code = ("local READY = %q\n"):format(ready) .. code
  local command = ("%s -e %s & pid=$!; " ..
                   "i=0; while [ ! -s %s ] && [ $i -lt 200 ]; do sleep 0.05; i=$((i + 1)); " ..
                   "done; " ..
                   "kill -INT $pid; wait $pid; echo \" $?\""):format(quoted(program), quoted(code), ready)
  local pipe = assert(io.popen("{ " .. command .. "; } 2>&1"))
  local text, status = pipe:read "a":match "^(.*) (%d+)\n$"
  pipe:close()
  os.remove(ready)
  return text, tonumber(status)
end

local long_run = [[
  local layers = cnn.layers
  local model = cnn.Sequential{layers.Dense{64, input_shape = {64}}, layers.Dense{1}}
  model:compile{optimizer = "sgd", loss = "mse"}
  local x, y = cnn.ones{256, 64}, cnn.ones{256, 1}
  local sign = {on_train_batch_end = function(self, batch)
    if batch == 2 and not self.told then
      self.told = true
      local file = io.open(READY, "w")
      file:write "ready"
      file:close()
    end
  end}
  local function run(callbacks)
    model:fit{x, y, epochs = 10000000, verbose = 0, callbacks = callbacks}
  end
]]

function TestInterruption.test_it_can_be_caught_and_the_model_goes_on()
  local text, status = interrupted(long_run .. [[
    print(pcall(run, {sign}))
    print(#model.history.history.loss == #model.history.epoch)
    print(model:predict{x, verbose = 0}:shape(1), #model:fit{x, y, epochs = 2, verbose = 0}.history.loss)
  ]])
  lu.assertStrContains(text, "interrupted")
  lu.assertStrContains(text, "false\t")
  lu.assertStrContains(text, "true\n256\t2\n")
  eq(status, 0)
end

function TestInterruption.test_uncaught_it_ends_the_script()
  local text, status = interrupted(long_run .. "run{sign} print 'not reached'")
  lu.assertStrContains(text, "interrupted")
  lu.assertNotStrContains(text, "not reached")
  eq(status, 130)
end

function TestInterruption.test_in_evaluate_and_predict()
  for _, call in ipairs{"model:predict{cnn.ones{20000000, 64}, batch_size = 1, verbose = 0}",
                        "while true do model:evaluate{x, y, batch_size = 1, verbose = 0} end"} do
    local text, status = interrupted(long_run:gsub("20000000", "2000000") .. [[
      local file = io.open(READY, "w")
      file:write "ready"
      file:close()
      print(pcall(function() ]] .. call:gsub("20000000", "1000000") .. [[ end))
      print(model:predict{x, verbose = 0}:shape(1))
    ]])
    lu.assertStrContains(text, "interrupted")
    lu.assertStrContains(text, "\n256\n")
    eq(status, 0)
  end
end
