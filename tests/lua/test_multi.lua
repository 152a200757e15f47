-- Models with several inputs and outputs: arrays by position and by name, losses and their weights, names of
-- figures, validation, weights of samples, what does not fit, and models within models.
-- luacheck: globals TestMultiArrays TestMultiLosses TestMultiMetrics TestMultiWeights TestMultiErrors
-- luacheck: globals TestMultiRuns TestMultiNested

local lu = require "luaunit"
local cnn = require "cnn"
local raises = require "raises"

local eq = lu.assertEquals
local layers = cnn.layers

local function near(a, b, tolerance)
  lu.assertAlmostEquals(a, b, tolerance or 1e-5)
end

local function close(a, b, tolerance)
  lu.assertTrue(cnn.allclose(a, b, 1e-5, tolerance or 1e-6), tostring(a) .. "\n" .. tostring(b))
end

-- Two inputs, a shared layer, two outputs: a class of three and a number.
local function two_branches(name)
  local left, right = cnn.Input{4, name = "left"}, cnn.Input{2, name = "right"}
  local joined = layers.Concatenate{}{left, right}
  local hidden = layers.Dense{5, activation = "tanh", name = "hidden"}(joined)
  local digit = layers.Dense{3, activation = "softmax", name = "digit"}(hidden)
  local odd = layers.Dense{1, name = "odd"}(hidden)
  return cnn.Model{inputs = {left, right}, outputs = {digit, odd}, name = name}
end

local function data(n)
  n = n or 10
  local classes, numbers = {}, {}
  for i = 1, n do classes[i], numbers[i] = i % 3, {i % 2} end
  return cnn.random.normal{n, 4}, cnn.random.normal{n, 2}, cnn.tensor(classes, "int32"), cnn.tensor(numbers)
end

local losses = {"sparse_categorical_crossentropy", "mse"}

local function compiled(arguments)
  local model = two_branches()
  arguments = arguments or {}
  arguments.optimizer = arguments.optimizer or cnn.optimizers.SGD{0.1}
  arguments.loss = arguments.loss or losses
  model:compile(arguments)
  return model
end

-- The same model with the weights of another.
local function twin(model, arguments)
  local other = compiled(arguments)
  other:set_weights(model:get_weights())
  return other
end

local function same_weights(a, b, tolerance)
  local left, right = a:get_weights(), b:get_weights()
  for i = 1, #left do close(left[i], right[i], tolerance) end
end

-- ---- arrays -----------------------------------------------------------------------------------------------

TestMultiArrays = {}

function TestMultiArrays.test_lists_and_names_train_alike()
  local x1, x2, y1, y2 = data()
  local a = compiled()
  local b, c = twin(a), twin(a)
  local arguments = {epochs = 2, batch_size = 4, shuffle = false, verbose = 0}
  local function fit(model, x, y)
    local copy = {x, y}
    for name, value in pairs(arguments) do copy[name] = value end
    return model:fit(copy).history
  end
  local listed = fit(a, {x1, x2}, {y1, y2})
  eq(fit(b, {left = x1, right = x2}, {odd = y2, digit = y1}), listed)
  eq(fit(c, {right = x2, left = x1}, {y1, y2}), listed)
  same_weights(a, b)
  same_weights(a, c)
end

function TestMultiArrays.test_predict_gives_each_output()
  local x1, x2 = data(7)
  local model = two_branches()
  local outputs = model:predict{{x1, x2}, batch_size = 3, verbose = 0}
  eq({#outputs, outputs[1]:shape(), outputs[2]:shape()}, {2, {7, 3}, {7, 1}})
  local called = model{x1, x2}
  for i = 1, 2 do close(outputs[i], called[i]) end
  local named = model:predict{x = {left = x1, right = x2}, verbose = 0}
  for i = 1, 2 do close(outputs[i], named[i]) end
end

function TestMultiArrays.test_tables_of_numbers_are_arrays()
  local model = compiled()
  local loss, digit, odd = model:evaluate{{{{1, 2, 3, 4}}, {{5, 6}}}, {{2}, {{1}}}, verbose = 0}
  near(loss, digit + odd)
end

function TestMultiArrays.test_inputs_are_cast_to_their_dtypes()
  local x1, x2, y1, y2 = data(9)
  x1, x2 = (x1 * 10):astype "uint8", (x2 * 10):astype "int32"
  local a = compiled()
  local b = twin(a)
  cnn.set_seed(3)
  a:fit{{x1, x2}, {y1, y2}, batch_size = 4, verbose = 0}
  cnn.set_seed(3)
  b:fit{{x1:astype "float32", x2:astype "float32"}, {y1, y2:astype "uint8"}, batch_size = 4, verbose = 0}
  same_weights(a, b)
end

function TestMultiArrays.test_one_input_and_output_may_be_listed_and_named()
  local input = cnn.Input{2, name = "in"}
  local model = cnn.Model{input, layers.Dense{1, name = "out"}(input)}
  model:compile{loss = {out = "mse"}, metrics = {out = {"mae"}}, loss_weights = {2}}
  eq(model.metrics_names, {"loss", "mae"})
  local x, y = cnn.random.normal{4, 2}, cnn.random.normal{4, 1}
  local loss, mae = model:evaluate{x, y, verbose = 0}
  eq({model:evaluate{{x}, {y}, verbose = 0}}, {loss, mae})
  eq({model:evaluate{x = {["in"] = x}, y = {out = y}, verbose = 0}}, {loss, mae})
  near(loss, 2 * ((model(x) - y) ^ 2):mean():item())
  eq(model:predict{{x}, verbose = 0}:shape(), {4, 1})
  local line = cnn.Sequential{layers.Dense{1, name = "only"}}
  line:compile{loss = "mse"}
  eq(#line:fit{x = {only_input = x}, y = {only = y}, verbose = 0}.history.loss, 1)
end

-- ---- losses -----------------------------------------------------------------------------------------------

TestMultiLosses = {}

function TestMultiLosses.test_the_total_is_the_weighted_sum()
  local x1, x2, y1, y2 = data()
  local plain = compiled()
  local weighted = twin(plain, {loss_weights = {1, 0.25}})
  local named = twin(plain, {loss = {odd = "mse", digit = losses[1]}, loss_weights = {odd = 0.25}})
  local total, digit, odd = plain:evaluate{{x1, x2}, {y1, y2}, batch_size = 3, verbose = 0}
  near(total, digit + odd)
  for _, model in ipairs{weighted, named} do
    local t, d, o = model:evaluate{{x1, x2}, {y1, y2}, batch_size = 3, verbose = 0}
    near(t, digit + 0.25 * odd)
    eq({d, o}, {digit, odd})
  end
  local probabilities, numbers = table.unpack(plain{x1, x2})
  near(odd, ((numbers - y2) ^ 2):mean():item())
  near(digit, -(cnn.log(probabilities) * cnn.one_hot(y1, 3)):sum():item() / 10)
end

function TestMultiLosses.test_a_step_is_the_sum_of_the_outputs_gradients()
  local x1, x2, y1, y2 = data()
  local model = compiled{loss_weights = {0.5, 2}}
  local before, expected = model:get_weights(), model:get_weights()
  for i, y in ipairs{y1, y2} do
    local single = cnn.Model{model.inputs, model.outputs[i]}
    single:compile{optimizer = cnn.optimizers.SGD{0.1 * ({0.5, 2})[i]}, loss = losses[i]}
    single:train_on_batch{{x1, x2}, y}
    for k, now in ipairs(model:get_weights()) do expected[k] = expected[k] + (now - before[k]) end
    model:set_weights(before)
  end
  local values = {model:train_on_batch{{x1, x2}, {y1, y2}}}
  near(values[1], 0.5 * values[2] + 2 * values[3])
  for k, now in ipairs(model:get_weights()) do close(now, expected[k]) end
end

function TestMultiLosses.test_a_weight_of_zero_trains_nothing()
  local x1, x2, y1, y2 = data()
  local model = compiled{loss_weights = {1, 0}}
  local odd = model:get_layer "odd"
  local kernel = odd:get_weights()[1]
  model:fit{{x1, x2}, {y1, y2}, epochs = 2, verbose = 0}
  eq(odd:get_weights()[1]:tolist(), kernel:tolist())
end

function TestMultiLosses.test_one_loss_is_for_all_and_regularization_is_added_once()
  local input = cnn.Input{2}
  local hidden = layers.Dense{2, kernel_initializer = "ones", kernel_regularizer = cnn.regularizers.L2{0.5}}(
    input)
  local model = cnn.Model{input, {hidden, layers.Dense{1, name = "b"}(hidden)}}
  model:compile{loss = "mae"}
  local loss, first, second = model:evaluate{cnn.ones{3, 2}, {cnn.zeros{3, 2}, cnn.zeros{3, 1}}, verbose = 0}
  near(first, 2)
  near(loss, first + second + 0.5 * 4)
end

function TestMultiLosses.test_a_tensor_twice_among_the_outputs()
  local input = cnn.Input{2}
  local out = layers.Dense{1, name = "out", kernel_initializer = "zeros"}(input)
  local model = cnn.Model{input, {out, out}}
  model:compile{optimizer = cnn.optimizers.SGD{0.5}, loss = "mse"}
  eq(model.metrics_names, {"loss", "out_loss", "out_1_loss"})
  eq({model:evaluate{cnn.ones{2, 2}, {cnn.ones{2, 1}, cnn.full({2, 1}, 2)}, verbose = 0}}, {5, 1, 4})
  model:train_on_batch{cnn.ones{2, 2}, {cnn.ones{2, 1}, cnn.full({2, 1}, 2)}}
  eq(model:get_weights()[2]:item(), 3)
end

-- ---- metrics ----------------------------------------------------------------------------------------------

TestMultiMetrics = {}

local all_names = {"loss", "digit_loss", "odd_loss", "digit_accuracy", "odd_mae"}

function TestMultiMetrics.test_names_are_keras_s()
  eq(compiled().metrics_names, {"loss", "digit_loss", "odd_loss"})
  eq(compiled{metrics = {{"accuracy"}, {"mae"}}}.metrics_names, all_names)
  eq(compiled{metrics = {{"accuracy"}, "mae"}}.metrics_names, all_names)
  eq(compiled{metrics = {odd = "mae", digit = {"accuracy"}}}.metrics_names, all_names)
  eq(compiled{metrics = {odd = {"mae"}}}.metrics_names, {"loss", "digit_loss", "odd_loss", "odd_mae"})
  eq(compiled{metrics = {{}, {"mae", cnn.metrics.MeanSquaredError{name = "sq"}}}}.metrics_names,
     {"loss", "digit_loss", "odd_loss", "odd_mae", "odd_sq"})
  eq(compiled{loss = "mse", metrics = {"mae"}}.metrics_names,
     {"loss", "digit_loss", "odd_loss", "digit_mae", "odd_mae"})
  eq(compiled{loss = "mse", metrics = "mae"}.metrics_names,
     {"loss", "digit_loss", "odd_loss", "digit_mae", "odd_mae"})
end

function TestMultiMetrics.test_each_measures_its_output()
  local x1, x2, y1, y2 = data()
  local model = compiled{metrics = {{"accuracy"}, {"mae"}}}
  local probabilities, numbers = table.unpack(model{x1, x2})
  local hits = probabilities:argmax(2):tolist()
  local right = 0
  for i, label in ipairs(y1:tolist()) do right = right + (hits[i] - 1 == label and 1 or 0) end
  local figures = model:evaluate{{x1, x2}, {y1, y2}, batch_size = 4, verbose = 0, return_dict = true}
  near(figures.digit_accuracy, right / 10)
  near(figures.odd_mae, cnn.abs(numbers - y2):mean():item())
  near(figures.loss, figures.digit_loss + figures.odd_loss)
  eq(select("#", model:evaluate{{x1, x2}, {y1, y2}, verbose = 0}), 5)
  local step = model:train_on_batch{{x1, x2}, {y1, y2}, return_dict = true}
  near(step.digit_accuracy, figures.digit_accuracy)
  near(step.loss, figures.loss)
end

-- ---- weights of samples -----------------------------------------------------------------------------------

TestMultiWeights = {}

function TestMultiWeights.test_one_for_all_or_one_each()
  local x1, x2, y1, y2 = data(4)
  local model = compiled()
  local function evaluate(weight)
    return {model:evaluate{{x1, x2}, {y1, y2}, sample_weight = weight, batch_size = 3, verbose = 0}}
  end
  local plain, w, v = evaluate(nil), cnn.full({4}, 2), cnn.full({4}, 3)
  local function expect(weight, first, second)
    local got = evaluate(weight)
    near(got[2], first * plain[2])
    near(got[3], second * plain[3])
    near(got[1], got[2] + got[3])
  end
  expect(w, 2, 2)
  expect({2, 2, 2, 2}, 2, 2)
  expect({w, v}, 2, 3)
  expect({w, {3, 3, 3, 3}}, 2, 3)
  expect({odd = v}, 1, 3)
  expect({digit = w, odd = v:astype "int32"}, 2, 3)
  expect({cnn.null, v}, 1, 3)
end

function TestMultiWeights.test_they_follow_shuffling_and_validation()
  local x1, x2, y1, y2 = data(12)
  local keep = {}
  for i = 1, 12 do keep[i] = i <= 6 and 1 or 0 end
  y1[{{7, 12}}] = 0
  local a = compiled{optimizer = cnn.optimizers.SGD{0.1}}
  local b = twin(a)
  cnn.set_seed(5)
  local ha = a:fit{{x1, x2}, {y1, y2}, sample_weight = {odd = keep, digit = keep}, batch_size = 12,
    epochs = 3, verbose = 0, validation_data = {{x1, x2}, {y1, y2}, {keep, keep}}}.history
  y1[{{7, 12}}] = 2
  local hb = b:fit{{x1, x2}, {y1, y2}, sample_weight = keep, batch_size = 12, epochs = 3, verbose = 0,
    validation_data = {{x1, x2}, {y1, y2}, keep}}.history
  same_weights(a, b)
  for e = 1, 3 do near(ha.val_loss[e], hb.val_loss[e]) end
end

-- ---- runs -------------------------------------------------------------------------------------------------

TestMultiRuns = {}

function TestMultiRuns.test_history_and_callbacks_know_the_names()
  local x1, x2, y1, y2 = data(20)
  local model = compiled{metrics = {{"accuracy"}, {"mae"}}}
  local logged
  local history = model:fit{{x1, x2}, {y1, y2}, epochs = 8, batch_size = 6, validation_split = 0.25,
    verbose = 0, callbacks = {
      {on_epoch_end = function(_, _, logs) logged = logs end},
      cnn.callbacks.EarlyStopping{monitor = "val_digit_accuracy", patience = 1, min_delta = 1}}}
  eq(#history.history.loss, 2)
  for _, name in ipairs(all_names) do
    eq(#history.history[name], 2)
    eq(#history.history["val_" .. name], 2)
  end
  eq(logged.val_odd_mae, history.history.val_odd_mae[2])
  near(history.history.val_loss[1], history.history.val_digit_loss[1] + history.history.val_odd_loss[1])
end

function TestMultiRuns.test_a_split_is_the_end_as_validation_data()
  local x1, x2, y1, y2 = data(12)
  local a = compiled()
  local b = twin(a)
  local function part(t, from, to) return t[{{from, to}}] end
  cnn.set_seed(1)
  local ha = a:fit{{x1, x2}, {y1, y2}, batch_size = 4, epochs = 2, validation_split = 0.25, verbose = 0}
  cnn.set_seed(1)
  local hb = b:fit{{part(x1, 1, 9), part(x2, 1, 9)}, {part(y1, 1, 9), part(y2, 1, 9)}, batch_size = 4,
    epochs = 2, verbose = 0, validation_data = {
      {right = part(x2, 10, 12), left = part(x1, 10, 12)},
      {digit = part(y1, 10, 12), odd = part(y2, 10, 12)}}}
  eq(ha.history, hb.history)
  same_weights(a, b)
end

function TestMultiRuns.test_threads_do_not_matter()
  local x1, x2, y1, y2 = data(50)
  local a = compiled{optimizer = "adam"}
  local before = cnn.threads()
  local results = {}
  for i, threads in ipairs{1, 2, 3} do
    cnn.set_threads(threads)
    cnn.set_seed(9)
    local model = twin(a, {optimizer = "adam"})
    model:fit{{x1, x2}, {y1, y2}, epochs = 3, batch_size = 16, verbose = 0}
    results[i] = {}
    for k, w in ipairs(model:get_weights()) do results[i][k] = w:tolist() end
  end
  cnn.set_threads(before)
  eq(results[2], results[1])
  eq(results[3], results[1])
end

function TestMultiRuns.test_it_learns_both()
  cnn.set_seed(4)
  local x1, x2 = cnn.random.normal{200, 4}, cnn.random.normal{200, 2}
  local y1 = cnn.greater(x1:sum(2), 0):astype "int32"
  local y2 = x2:sum(2):reshape{-1, 1} * 0.3
  local model = compiled{optimizer = cnn.optimizers.Adam{0.02}, metrics = {digit = {"accuracy"}}}
  local h = model:fit{{x1, x2}, {y1, y2}, epochs = 30, verbose = 0}.history
  lu.assertTrue(h.digit_accuracy[30] > 0.95)
  lu.assertTrue(h.odd_loss[30] < 0.02)
end

function TestMultiRuns.test_nan_is_told_of_the_output_that_has_it()
  local x1, x2, y1, y2 = data(4)
  y2[2] = 0 / 0
  local model = compiled()
  local loss, digit, odd = model:evaluate{{x1, x2}, {y1, y2}, verbose = 0}
  eq({loss ~= loss, digit == digit, odd ~= odd}, {true, true, true})
  local h = model:fit{{x1, x2}, {y1, y2}, epochs = 5, verbose = 0,
    callbacks = {cnn.callbacks.TerminateOnNaN{}}}
  eq(#h.history.loss, 1)
end

function TestMultiRuns.test_callbacks_may_close_the_arrays()
  local x1, x2, y1, y2 = data(8)
  local arrays = {x1, x2, y1, y2}
  local model = compiled()
  model:fit{{x1, x2}, {y1, y2}, batch_size = 2, epochs = 2, verbose = 0, validation_data = {{x1, x2}, {y1, y2}},
    callbacks = {{on_train_begin = function()
      for _, t in ipairs(arrays) do debug.getmetatable(t).__gc(t) end
      collectgarbage()
    end}}}
  eq(#model.history.history.val_loss, 2)
end

-- ---- errors -----------------------------------------------------------------------------------------------

TestMultiErrors = {}

function TestMultiErrors.test_of_fit()
  local x1, x2, y1, y2 = data()
  local model = compiled()
  local function fails(text, arguments)
    arguments.verbose = 0
    raises(text, model.fit, model, arguments)
  end
  fails("has 2 inputs, got one; expected 'left', 'right'", {x1, {y1, y2}})
  fails("has 2 inputs, got 3; expected 'left', 'right'", {{x1, x2, x1}, {y1, y2}})
  fails("has 2 outputs, got one; expected 'digit', 'odd'", {{x1, x2}, y1})
  fails("has 2 outputs, got one", {{x1, x2}, {1, 2, 3}})
  fails("missing argument 'x'", {y = {y1, y2}})
  fails("missing argument 'y'", {{x1, x2}})
  fails("fit: 'x': the model has no 'lefft' (did you mean 'left'?)", {{left = x1, right = x2, lefft = x1},
    {y1, y2}})
  fails("fit: 'x' has none for 'right'", {{left = x1}, {y1, y2}})
  fails("fit: 'y' has none for 'digit'", {{x1, x2}, {odd = y2}})
  fails("fit: y 'digit' is missing", {{x1, x2}, {nil, y2}})
  fails("expects x 'left' of shape (None, 4), got (10, 2)", {{x2, x1}, {y1, y2}})
  fails("x 'left' has 10 samples, x 'right' has 9", {{x1, x2[{{1, 9}}]}, {y1, y2}})
  fails("x 'left' has 10 samples, y 'odd' has 9", {{x1, x2}, {y1, y2[{{1, 9}}]}})
  fails("x 'left' has 10 samples, sample_weight 'odd' has 9", {{x1, x2}, {y1, y2},
    sample_weight = {odd = cnn.ones{9}}})
  fails("3 sample_weights for 2 outputs", {{x1, x2}, {y1, y2},
    sample_weight = {cnn.ones{10}, cnn.ones{10}, cnn.ones{10}}})
  fails("y 'digit': label 7 of sample 1 of 10", {{x1, x2}, {y1 + 6, y2}})
  fails("class_weight is for models with one output", {{x1, x2}, {y1, y2}, class_weight = {[0] = 1}})
  fails("fit: validation_data: model", {{x1, x2}, {y1, y2}, validation_data = {x1, {y1, y2}}})
  fails("fit: validation_data: 'y' has none for 'odd'", {{x1, x2}, {y1, y2},
    validation_data = {{x1, x2}, {digit = y1}}})
  fails("symbolic", {{x1, cnn.Input{2}}, {y1, y2}})
  fails("'x 'left'' must be a tensor", {{"x", x2}, {y1, y2}})
  raises("has 2 inputs, got one", model.predict, model, {x1, verbose = 0})
  raises("has 2 outputs, got one", model.train_on_batch, model, {{x1, x2}, y1})
  raises("has 2 inputs", model.evaluate, model, {x1, {y1, y2}, verbose = 0})
  local single = cnn.Sequential{layers.Dense{1, input_shape = {4}}}
  single:compile{loss = "mse"}
  raises("has 1 input, got 2", single.fit, single, {{x1, x1}, y2, verbose = 0})
  raises("has 1 output, got 2", single.fit, single, {x1, {y2, y2}, verbose = 0})
  raises("the model has no 'dens_input'", single.fit, single, {{dens_input = x1}, y2, verbose = 0})
end

function TestMultiErrors.test_of_compile()
  local model = two_branches()
  local function fails(text, arguments) raises(text, model.compile, model, arguments) end
  fails("compile: 'loss' has 3 items for 2 outputs", {loss = {"mse", "mse", "mse"}})
  fails("compile: 'loss': there is no output 'digt' (did you mean 'digit'?)", {loss = {digt = "mse"}})
  fails("compile: 'loss': there is none for output 'odd'", {loss = {digit = "mse"}})
  fails("compile: unknown loss 'msee'", {loss = {"mse", "msee"}})
  fails("compile: 'loss_weights' has 1 item for 2 outputs", {loss = "mse", loss_weights = {1}})
  fails("'loss_weights' must be a list", {loss = "mse", loss_weights = 2})
  fails("'loss_weights': that of output 'odd' is no number", {loss = "mse", loss_weights = {1, "x"}})
  fails("'loss_weights': there is no output 'od' (did you mean 'odd'?)", {loss = "mse", loss_weights = {od = 1}})
  fails("'metrics' has 1 item for 2 outputs", {loss = "mse", metrics = {{"mae"}}})
  fails("'metrics': there is no output 'x'", {loss = "mse", metrics = {x = "mae"}})
  fails("unknown metric 'maee'", {loss = "mse", metrics = {odd = {"maee"}}})
  fails("unknown argument 'loss_weight' (did you mean 'loss_weights'?)", {loss = "mse", loss_weight = {1, 2}})
  local many = {}
  for i = 1, 32 do many[i] = "mae" end
  fails("at most 32 losses and metrics", {loss = "mse", metrics = many})
  local one = cnn.Sequential{layers.Dense{1, input_shape = {1}}}
  raises("'loss' has 2 items for 1 output", one.compile, one, {loss = {"mse", "mae"}})
end

-- ---- models within models ---------------------------------------------------------------------------------

TestMultiNested = {setUp = cnn.backend.clear_session}

local function pair()
  local input = cnn.Input{3}
  return cnn.Model{input, {layers.Dense{2, name = "a"}(input), layers.Dense{1, name = "b"}(input)},
    name = "pair"}
end

function TestMultiNested.test_a_call_gives_all_outputs()
  local inner = pair()
  local x = cnn.random.normal{4, 3}
  local expected = inner:predict{x, verbose = 0}
  local results = inner(x)
  eq(#results, 2)
  for i = 1, 2 do close(results[i], expected[i]) end
  local input = cnn.Input{3}
  local outer = cnn.Model{input, layers.Concatenate{}(inner(input))}
  close(outer:predict{x, verbose = 0}, cnn.concatenate({expected[1], expected[2]}, 2))
  close(outer(x), cnn.concatenate({expected[1], expected[2]}, 2))
end

function TestMultiNested.test_the_second_output_alone_and_models_twice_within()
  local inner = pair()
  local input = cnn.Input{3}
  local second = cnn.Model{input, inner(input)[2]}
  local x = cnn.random.normal{4, 3}
  close(second(x), inner(x)[2])
  local other = cnn.Input{3}
  local outermost = cnn.Model{other, second(other)}
  close(outermost(x), inner(x)[2])
  close(outermost:predict{x, verbose = 0}, inner(x)[2])
end

function TestMultiNested.test_shared_and_trained()
  local inner = pair()
  local left, right = cnn.Input{3, name = "left"}, cnn.Input{3, name = "right"}
  local l, r = inner(left), inner(right)
  local model = cnn.Model{{left, right}, {layers.Add{name = "sum"}{l[1], r[1]}, l[2], r[2]}}
  model:compile{optimizer = cnn.optimizers.SGD{0.1}, loss = "mse", metrics = {sum = {"mae"}}}
  eq(model.metrics_names, {"loss", "sum_loss", "pair_loss", "pair_1_loss", "sum_mae"})
  local x = {left = cnn.random.normal{8, 3}, right = cnn.random.normal{8, 3}}
  local y = {cnn.zeros{8, 2}, cnn.ones{8, 1}, cnn.ones{8, 1}}
  local h = model:fit{x, y, epochs = 40, verbose = 0}.history
  lu.assertTrue(h.loss[40] < h.loss[1] / 2)
  eq(#model:predict{x, verbose = 0}, 3)
  eq(model:count_params(), 12)
end

function TestMultiNested.test_config_and_summary_tell_which_output()
  local inner = pair()
  local one, two = cnn.Input{3, name = "one"}, cnn.Input{3, name = "two"}
  local first, second = inner(one), inner(two)
  local model = cnn.Model{{one, two}, {layers.Add{name = "add"}{first[2], second[2]}, first[1]}}
  local config = model:get_config()
  local entries = {}
  for _, entry in ipairs(config.layers) do entries[entry.name] = entry end
  eq(#entries.pair.inbound_nodes, 2)
  local nodes = entries.add.inbound_nodes[1] -- a model's call 0 is the one that made it
  eq({nodes[1][1], nodes[1][2], nodes[1][3]}, {"pair", 1, 1})
  eq({nodes[2][1], nodes[2][2], nodes[2][3]}, {"pair", 2, 1})
  eq(config.output_layers, {{"add", 0, 0}, {"pair", 1, 0}})
  local lines = {}
  model:summary{print_fn = function(line) lines[#lines + 1] = line end, line_length = 120}
  local text = table.concat(lines, "\n")
  lu.assertStrContains(text, "[(None, 2), (None, 1)]")
  lu.assertStrContains(text, "pair[0][1]")
  lu.assertStrContains(text, "pair[1][1]")
end

function TestMultiNested.test_tapes_see_all_outputs()
  local inner = pair()
  local x = cnn.random.normal{4, 3}
  local grads
  do
    local tape <close> = cnn.GradientTape()
    local out = inner(x)
    grads = tape:gradient(out[1]:sum() + out[2]:sum() * 2, inner.trainable_weights)
  end
  eq(grads[2]:tolist(), {4, 4})
  eq(grads[4]:tolist(), {8})
end

function TestMultiNested.test_a_sequential_has_one_output_throughout()
  raises("layer 'pair' has 2 outputs", cnn.Sequential, {layers.Dense{3, input_shape = {3}}, pair()})
  raises("layer 'pair' has 2 outputs", cnn.Sequential, {pair()})
end
