-- The gradient tape: derivatives of everything tensors can do against finite differences; what is recorded,
-- and for how long; every misuse; variables; optimizers, losses and metrics by hand; signal functions; the
-- scripts that use these.
-- luacheck: globals TestTapeGradients TestTapeLife TestVariables TestByHand TestSignal TestTapeScripts

local lu = require "luaunit"
local cnn = require "cnn"
local raises = require "raises"

local eq = lu.assertEquals

-- ---- derivatives --------------------------------------------------------------------------------------------

-- Numbers without equals or zeros among them, so that kinks are far away.
local function numbers(shape, seed, low, high)
  return cnn.random.uniform{shape = shape, minval = low or -2, maxval = high or 2, seed = seed or 1}
end

-- The gradient of Σ weights·f(x) that the tape gives equals differences of values.
local function check(f, ...)
  local inputs = {...}
  local grads, weights, out
  do
    local tape <close> = cnn.GradientTape()
    tape:watch(inputs)
    out = f(table.unpack(inputs))
    weights = cnn.random.uniform{shape = out:shape(), minval = 0.5, maxval = 1.5, seed = 99}
    grads = tape:gradient(out, inputs, weights)
  end
  local function value(list)
    local y = f(table.unpack(list))
    if type(y) == "number" then y = cnn.tensor(y) end
    return (y * weights):sum():item()
  end
  -- Without a tape the direct way must give the same values.
  local direct = f(table.unpack(inputs))
  if type(direct) == "number" then direct = cnn.tensor(direct) end
  lu.assertTrue(cnn.allclose(direct:reshape(out:shape()), out, 1e-5, 1e-6), "values differ with a tape")
  for i, x in ipairs(inputs) do
    lu.assertNotNil(grads[i], "input " .. i .. " has no gradient")
    local flat, grad = x:copy():flatten(), grads[i]:flatten()
    eq(grads[i]:shape(), x:shape())
    for k = 1, #flat do
      local function at(delta)
        local moved = flat:copy()
        moved[k] = flat[k] + delta
        local list = table.pack(table.unpack(inputs))
        list[i] = moved:reshape(x:shape())
        return value(list)
      end
      local h = 1 / 128
      local numeric = (at(h) - at(-h)) / (2 * h)
      local bound = 2e-2 * math.max(1, math.abs(numeric))
      lu.assertAlmostEquals(grad[k], numeric, bound, ("input %d, element %d"):format(i, k))
    end
  end
end

TestTapeGradients = {}
local T = TestTapeGradients

local operators = {
  add = function(a, b) return a + b end, subtract = function(a, b) return a - b end,
  multiply = function(a, b) return a * b end, divide = function(a, b) return a / b end,
  maximum = cnn.maximum, minimum = cnn.minimum,
}
for name, f in pairs(operators) do
  T["test_" .. name .. "_with_broadcasting"] = function()
    local positive = numbers({3}, 13, 0.5, 2)
    check(f, numbers{2, 3}, positive)
    check(f, positive, numbers({2, 3}, 14, 0.6, 2.1))
    check(f, numbers{2, 1, 3}, numbers({4, 1}, 5, 0.5, 2))
    check(f, numbers{2, 3}, numbers({2, 3}, 6, 0.5, 2))
    check(f, numbers{2, 3}, cnn.tensor(0.43))
    check(function(x) return f(x, 1.31) end, numbers{2, 3})
    check(function(x) return f(1.31, x) end, numbers({2, 3}, 8, 0.5, 2))
    check(function(x) return f(x, cnn.tensor({3, 1, 2}, "int32")) end, numbers({2, 3}, 9, 0.1, 0.9))
  end
end

function T.test_pow()
  check(function(a, b) return a ^ b end, numbers({2, 3}, 1, 0.5, 2), numbers{3})
  check(function(a) return a ^ 2 end, numbers{4})
  check(function(a) return a ^ 3 end, numbers{4})
  check(function(a) return 2 ^ a end, numbers{4})
end

function T.test_an_input_used_twice_gets_the_sum()
  check(function(x) return x * x + x end, numbers{3})
  check(function(x) return x + x end, numbers{3})
  check(function(x) return x:reshape{3, 1} + x:reshape{1, 3} + x:reshape{3, 1} end, numbers{3})
end

for _, name in ipairs{"exp", "sin", "cos", "tanh", "sigmoid", "square", "abs", "relu"} do
  T["test_" .. name] = function() check(cnn[name], numbers{2, 4}) end
end
for _, name in ipairs{"log", "log1p", "sqrt", "reciprocal"} do
  T["test_" .. name] = function() check(cnn[name], numbers({2, 4}, 1, 0.5, 3)) end
end
function T.test_minus() check(function(x) return -x end, numbers{3}) end

for _, name in ipairs{"sum", "mean", "max", "min", "std", "var"} do
  T["test_" .. name .. "_over_all_or_some_axes"] = function()
    local f = cnn[name]
    check(f, numbers{2, 3, 2})
    check(function(x) return f(x, 2) end, numbers{2, 3, 2})
    check(function(x) return f(x, -1) end, numbers{2, 3})
    check(function(x) return f(x, {1, 3}) end, numbers{2, 3, 2})
    check(function(x) return f(x, {2, keepdims = true}) end, numbers{2, 3})
  end
end

function T.test_shapes()
  check(function(x) return x:reshape{3, -1} * 2 end, numbers{2, 3})
  check(function(x) return x:flatten() end, numbers{2, 3})
  check(function(x) return x:transpose() end, numbers{2, 3})
  check(function(x) return x:transpose{2, 3, 1} end, numbers{2, 3, 2})
  check(function(x) return x:squeeze() end, numbers{2, 1, 3})
  check(function(x) return x:squeeze(2) end, numbers{2, 1, 3})
  check(function(x) return x:expand_dims(2) end, numbers{2, 3})
  check(function(x) return x:flip() end, numbers{2, 3})
  check(function(x) return x:flip(2) end, numbers{2, 3})
  check(function(x) return x:pad{{1, 2}, {0, 1}} end, numbers{2, 3})
  check(function(x) return x:tile{2, 3} end, numbers{2, 3})
  check(function(x) return x:broadcast_to{4, 2, 3} end, numbers{2, 3})
  check(function(x) return x:copy() end, numbers{2, 3})
  check(function(x) return x:astype "float32" end, numbers{2, 3})
end

function T.test_indexing()
  check(function(x) return x[2] end, numbers{3, 2})
  check(function(x) return x[-1] end, numbers{3})
  check(function(x) return x[{1, 2}] end, numbers{3, 2})
  check(function(x) return x[{{2, 3}}] end, numbers{3, 2})
  check(function(x) return x[{{1, -1, 2}, 2}] end, numbers{3, 2})
  check(function(x) return x[{nil, {1, 2}}] end, numbers{3, 3})
  check(function(x) return x:slice(2, 3) end, numbers{4, 2})
  check(function(x) return x[cnn.tensor({3, 1, 3}, "int32")] end, numbers{3, 2})
  check(function(x) return x[cnn.tensor({1, 0, 1}, "uint8")] end, numbers{3, 2})
  check(function(x) return x:gather({2, 1, 2}, 2) end, numbers{2, 3})
end

function T.test_joining_and_choosing()
  check(function(a, b) return cnn.concat{a, b, axis = 2} end, numbers{2, 3}, numbers({2, 1}, 2))
  check(function(a, b) return cnn.stack{a, b, a, axis = 2} end, numbers{2, 3}, numbers({2, 3}, 2))
  check(function(a, b) return cnn.where(cnn.tensor{1, 0, 1}, a, b) end, numbers{2, 3}, numbers({3}, 2))
  check(function(x) return x:clip(-1, 1) end, numbers{8})
  check(function(x) return x:clip{min = 0.1} end, numbers{8})
  check(function(x) return x * x:greater(0) end, numbers{8})
end

function T.test_matmul()
  check(cnn.matmul, numbers{2, 3}, numbers({3, 4}, 2))
  check(cnn.matmul, numbers{3}, numbers({3, 4}, 2))
  check(cnn.matmul, numbers{2, 3}, numbers({3}, 2))
  check(cnn.matmul, numbers{3}, numbers({3}, 2))
  check(cnn.matmul, numbers{2, 2, 3}, numbers({3, 4}, 2))
end

-- ---- what is recorded, and for how long ---------------------------------------------------------------------

TestTapeLife = {setUp = function() collectgarbage() end} -- tapes that a test left open record until they are collected

-- A tape, and w with its square's sum under it.
local function recorded(options)
  local w = cnn.Variable{1, 2, 3}
  local tape = cnn.GradientTape(options or {})
  return tape, w, (w * w):sum()
end

function TestTapeLife.test_gradient_inside_and_after_the_block()
  local w = cnn.Variable{1, 2}
  local inside, loss, tape
  do
    local t <close> = cnn.GradientTape{persistent = true}
    tape, loss = t, w:square():sum()
    inside = t:gradient(loss, w)
  end
  eq(inside:tolist(), {2, 4})
  eq(tape:gradient(loss, w):tolist(), {2, 4})
end

function TestTapeLife.test_sources_in_tables_give_the_same_structure()
  local tape, w, loss = recorded()
  local other = cnn.Variable{5}
  local g = tape:gradient(loss, {w, other, named = {w, deep = {x = other, y = w}}})
  eq(g[1]:tolist(), {2, 4, 6})
  eq(g[2], nil)
  eq(g.named[1]:tolist(), {2, 4, 6})
  eq(g.named.deep.x, nil)
  eq(g.named.deep.y:tolist(), {2, 4, 6})
end

function TestTapeLife.test_unconnected_gradients_may_be_zeros()
  local tape, _, loss = recorded()
  local g = tape:gradient(loss, {cnn.Variable{5, 6}}, {unconnected_gradients = "zero"})
  eq(g[1]:tolist(), {0, 0})
  tape, _, loss = recorded()
  raises("must be \"none\" or \"zero\"", tape.gradient, tape, loss, {}, {unconnected_gradients = "one"})
end

function TestTapeLife.test_a_spent_tape_is_an_error()
  local tape, w, loss = recorded()
  tape:gradient(loss, w)
  raises("already taken; for more than once make it persistent", tape.gradient, tape, loss, w)
  tape:reset()
  eq(tape:gradient(w:sum(), w):tolist(), {1, 1, 1})
end

function TestTapeLife.test_a_target_that_was_not_recorded_is_an_error()
  local tape, w = recorded()
  raises("was not recorded", tape.gradient, tape, cnn.ones{2}:sum(), w)
  tape = recorded()
  raises("must be float32, got int32", tape.gradient, tape, cnn.tensor({1}, "int32"), w)
  tape = recorded()
  raises("target must be a tensor", tape.gradient, tape, 5, w)
  tape = recorded()
  raises("symbolic", tape.gradient, tape, cnn.Input{3}, w)
end

function TestTapeLife.test_no_way_through_what_has_no_derivative()
  for _, case in ipairs{
    {"argmax", function(w) return (w:argmax() - 1):astype "float32":sum() end},
    {"argmax", function(w) return w:argmax() end},
    {"floor", function(w) return w:floor():sum() end},
    {"round", function(w) return w:round():sum() end},
    {"sign", function(w) return w:sign() * 2 end},
    {"mod", function(w) return w % 2 end},
    {"floor_divide", function(w) return w // 2 end},
    {"prod", function(w) return w:prod() end},
    {"astype", function(w) return w:astype "int32" * 0.5 end},
    {"convolve", function(w) return cnn.signal.convolve(w, {1, 2}) end},
  } do
    local w = cnn.Variable{1.5, 2.5}
    local tape = cnn.GradientTape()
    local y = case[2](w)
    raises(("'%s' has no gradient"):format(case[1]), tape.gradient, tape, y, w)
  end
end

function TestTapeLife.test_comparisons_are_constants()
  local w = cnn.Variable{1, -2}
  local tape = cnn.GradientTape()
  local y = (w * w:greater(0)):sum() + w:equal(1):sum()
  eq(tape:gradient(y, w):tolist(), {1, 0})
end

function TestTapeLife.test_stop_gradient()
  local w = cnn.Variable{3}
  local tape = cnn.GradientTape()
  local y = w * cnn.stop_gradient(w)
  eq(tape:gradient(y, w):tolist(), 3)
end

function TestTapeLife.test_watching()
  local x, w = cnn.tensor{2}, cnn.Variable{3}
  local tape = cnn.GradientTape{watch_accessed_variables = false}
  tape:watch{x}
  local g = tape:gradient(x * w, {x, w})
  eq(g[1]:tolist(), {3})
  eq(g[2], nil)
  tape = cnn.GradientTape()
  raises("expects a float32 tensor", tape.watch, tape, cnn.tensor({1}, "int32"))
  raises("expects a float32 tensor", tape.watch, tape, cnn.Input{3})
  raises("expected tensors", tape.watch, tape, {1})
end

function TestTapeLife.test_variables_that_are_not_trainable_are_not_followed()
  local w = cnn.Variable{{1, 2}, trainable = false}
  local tape = cnn.GradientTape()
  raises("was not recorded", tape.gradient, tape, w:sum(), w)
end

function TestTapeLife.test_nested_tapes_see_the_same()
  local w = cnn.Variable{2}
  local outer <close> = cnn.GradientTape()
  local y, inner_gradient
  do
    local inner <close> = cnn.GradientTape()
    y = w * w * w
    inner_gradient = inner:gradient(y, w)
  end
  eq(inner_gradient:tolist(), 12)
  local z = y * 2
  eq(outer:gradient(z, w):tolist(), 24)
end

function TestTapeLife.test_gradients_of_gradients_are_refused()
  local w = cnn.Variable{2}
  local outer <close> = cnn.GradientTape()
  local inner <close> = cnn.GradientTape()
  local g = inner:gradient(w * w * w, w)
  raises("'GradientTape:gradient' has no gradient", outer.gradient, outer, g * 2, w)
end

function TestTapeLife.test_stop_recording()
  local w = cnn.Variable{2}
  local tape = cnn.GradientTape{persistent = true}
  local inside
  do
    local _ <close> = tape:stop_recording()
    inside = w * 2
  end
  raises("was not recorded", tape.gradient, tape, inside, w)
  eq(tape:gradient(w * 3, w):tolist(), 3)
end

function TestTapeLife.test_writing_to_what_was_used_is_refused()
  local w = cnn.Variable{1, 2}
  local tape = cnn.GradientTape()
  local y = (w * w):sum()
  w:assign{5, 6}
  raises("was changed in place", tape.gradient, tape, y, w)
  tape = cnn.GradientTape()
  y = (w * w):sum()
  w[1] = 7
  raises("was changed in place", tape.gradient, tape, y, w)
  tape = cnn.GradientTape()
  y = w:reshape{2, 1}:square():sum()
  w[1] = 8
  raises("was changed in place", tape.gradient, tape, y, w)
end

function TestTapeLife.test_writing_where_the_tape_would_not_see_it_is_refused()
  local w, t = cnn.Variable{1, 2}, cnn.zeros{2}
  local _ <close> = cnn.GradientTape()
  local y = w * 2
  raises("a gradient tape follows this tensor", function() y[1] = 3 end)
  raises("a gradient tape follows the value", function() t[{{1, 2}}] = y end)
  raises("a gradient tape follows the value", t.assign, t, y)
  t[1] = 5
  eq(t:tolist(), {5, 0})
end

function TestTapeLife.test_output_gradients()
  local tape, w = recorded()
  local y = w * 2
  eq(tape:gradient(y, w, cnn.tensor{1, 10, 100}):tolist(), {2, 20, 200})
  tape, w = recorded()
  raises("shaped as the target", tape.gradient, tape, w * 2, w, cnn.tensor{1})
end

function TestTapeLife.test_gradients_do_not_share_memory()
  local a, b = cnn.Variable{1, 2}, cnn.Variable{3, 4}
  local tape = cnn.GradientTape()
  local g = tape:gradient((a + b) * 2, {a, b, a})
  g[1][1] = 100
  eq(g[2]:tolist(), {2, 2})
  eq(g[3]:tolist(), {2, 2})
end

function TestTapeLife.test_arguments_are_checked()
  raises("did you mean 'persistent'", cnn.GradientTape, {persistant = true})
  raises("must be true or false", cnn.GradientTape, "yes")
  local tape, w, loss = recorded()
  raises("sources must be tensors", tape.gradient, tape, loss, {w, 1})
end

function TestTapeLife.test_thousands_of_steps_do_not_grow()
  local w = cnn.Variable(cnn.zeros{100, 1000})
  local function step()
    local tape <close> = cnn.GradientTape()
    local loss = ((w + 1):square() * 0.5):mean()
    return tape:gradient(loss, w)
  end
  for _ = 1, 50 do step() end
  collectgarbage()
  local before = cnn.memory()
  local most = 0
  for _ = 1, 2000 do
    step()
    most = math.max(most, (cnn.memory()))
  end
  lu.assertTrue(most - before < 300e6, ("grew by %d bytes"):format(most - before))
  collectgarbage()
  collectgarbage()
  lu.assertTrue((cnn.memory()) - before < 2e6)
end

-- ---- variables ----------------------------------------------------------------------------------------------

TestVariables = {}

function TestVariables.test_values()
  eq(cnn.Variable(5):tolist(), 5)
  eq(cnn.Variable{1, 2}:tolist(), {1, 2})
  eq(cnn.Variable{{1, 2}, {3, 4}}:tolist(), {{1, 2}, {3, 4}})
  eq(cnn.Variable{cnn.ones{2}}:tolist(), {1, 1})
  eq(cnn.Variable(cnn.ones{2}, {name = "b"}).name, "b")
  eq(cnn.Variable{1, 2, 3, name = "c"}.name, "c")
  eq(cnn.Variable{1, 2, dtype = "int32"}:dtype(), "int32")
  eq(cnn.Variable{1, 2, dtype = "int32"}.trainable, false)
  eq(cnn.Variable{cnn.ones{2}}.trainable, true)
  eq(cnn.Variable{cnn.ones{2}, trainable = false}.trainable, false)
  raises("'value' is missing", cnn.Variable, {name = "x"})
  raises("did you mean 'trainable'", cnn.Variable, {1, trainible = true})
end

function TestVariables.test_a_variable_has_memory_of_its_own()
  local t = cnn.ones{2}
  local v = cnn.Variable(t)
  v:assign_add{1, 2}
  eq(t:tolist(), {1, 1})
  eq(v:assign_sub{1, 1}:tolist(), {1, 2})
  eq(v:assign(cnn.tensor({7, 8}, "int32")):tolist(), {7, 8})
  local copy = v:read()
  v:assign{0, 0}
  eq(copy:tolist(), {7, 8})
  raises("must have the tensor's shape (2,), got (3,)", v.assign, v, {1, 2, 3})
end

function TestVariables.test_weights_of_layers_are_variables()
  local dense = cnn.layers.Dense{2}
  dense:build{1, 3}
  local tape = cnn.GradientTape()
  local y = dense(cnn.ones{1, 3}):sum()
  local g = tape:gradient(y, {kernel = dense.kernel, bias = dense.bias})
  eq(g.kernel:shape(), {3, 2})
  eq(g.bias:tolist(), {1, 1})
  dense.kernel:assign(cnn.zeros{3, 2})
  eq(dense(cnn.ones{1, 3}):tolist(), {{0, 0}})
end

-- ---- optimizers, losses, metrics ----------------------------------------------------------------------------

TestByHand = {}

function TestByHand.test_apply_gradients()
  local sgd, v = cnn.optimizers.SGD{0.5}, cnn.Variable{1, 2}
  eq(sgd.iterations, 0)
  sgd:apply_gradients({cnn.tensor{1, 1}}, {v})
  eq(v:tolist(), {0.5, 1.5})
  sgd:apply_gradients{{cnn.tensor{1, 1}, v}}
  eq(v:tolist(), {0, 1})
  eq(sgd.iterations, 2)
  sgd.learning_rate = 0.25
  eq(sgd.learning_rate, 0.25)
  sgd:apply_gradients({cnn.tensor{4, 4}}, {v})
  eq(v:tolist(), {-1, 0})
end

function TestByHand.test_apply_gradients_errors()
  local sgd, v = cnn.optimizers.SGD{0.5}, cnn.Variable{1, 2}
  sgd:apply_gradients({cnn.ones{2}}, {v})
  raises("is none of the 1 of the first step", sgd.apply_gradients, sgd, {cnn.ones{2}},
    {cnn.Variable{1, 2}})
  raises("shaped as its variable", sgd.apply_gradients, sgd, {cnn.ones{3}}, {v})
  raises("given twice", sgd.apply_gradients, sgd, {cnn.ones{2}, cnn.ones{2}}, {v, v})
  raises("must be a float32 tensor", sgd.apply_gradients, sgd, {cnn.ones{2}}, {5})
  raises("pairs {gradient, variable}", sgd.apply_gradients, sgd, {cnn.ones{2}})
  raises("there are no variables", function() cnn.optimizers.Adam():apply_gradients({}, {}) end)
  raises("only 'learning_rate'", function() sgd.momentum = 1 end)
end

function TestByHand.test_an_optimizer_with_clipping_leaves_gradients_alone()
  local adam, v, g = cnn.optimizers.Adam{clipnorm = 0.1}, cnn.Variable{1, 2}, cnn.tensor{30, 40}
  adam:apply_gradients({g}, {v})
  eq(g:tolist(), {30, 40})
end

function TestByHand.test_the_same_optimizer_compiles_models()
  local sgd = cnn.optimizers.SGD{0.5}
  sgd:apply_gradients({cnn.ones{1}}, {cnn.Variable{1, dtype = "float32"}:reshape{1}})
  local model = cnn.Sequential{cnn.layers.Dense{1, input_shape = {2}}}
  model:compile{optimizer = sgd, loss = cnn.losses.MeanSquaredError()}
  eq(model.optimizer.learning_rate, 0.5)
end

function TestByHand.test_losses_are_functions_with_gradients()
  local loss = cnn.losses.MeanSquaredError()
  eq(loss({{1}, {2}}, cnn.tensor{{2}, {4}}):item(), 2.5)
  eq(loss({{1}, {2}}, cnn.tensor{{2}, {4}}, {1, 0}):item(), 0.5)
  local crossentropy = cnn.losses.CategoricalCrossentropy{from_logits = true}
  check(function(p) return crossentropy({{0, 1, 0}, {1, 0, 0}}, p) end, numbers{2, 3})
  check(function(p) return cnn.losses.BinaryCrossentropy()({{0, 1}}, p) end, numbers({1, 2}, 1, 0.2, 0.8))
  raises("expected y_true and y_pred", loss, cnn.ones{2})
end

function TestByHand.test_metrics()
  local accuracy = cnn.metrics.SparseCategoricalAccuracy()
  accuracy:update_state({0, 1}, cnn.tensor{{0.9, 0.1}, {0.8, 0.2}})
  eq(accuracy:result(), 0.5)
  accuracy:update_state({0, 0}, cnn.tensor{{0.9, 0.1}, {0.8, 0.2}})
  eq(accuracy:result(), 0.75)
  accuracy:reset_state()
  eq(accuracy:result(), 0)
  local mean = cnn.metrics.Mean()
  mean:update_state{1, 2, 6}
  eq(mean:result(), 3)
end

function TestByHand.test_initializers_are_functions()
  local t = cnn.initializers.GlorotUniform{seed = 1}{3, 4}
  eq(t:shape(), {3, 4})
  lu.assertTrue(t:abs():max():item() <= math.sqrt(6 / 7))
end

-- ---- signal -------------------------------------------------------------------------------------------------

TestSignal = {}

function TestSignal.test_equals_numpy_and_scipy()
  for _, case in ipairs(dofile "tests/oracle/convolution.lua") do
    local arrays = {}
    for i, input in ipairs(case.inputs) do
      arrays[i] = cnn.tensor(input.data, "int32"):reshape(input.shape)
    end
    local expected = cnn.tensor(case.output.data, "int32"):reshape(case.output.shape):tolist()
    local f, mode = cnn.signal[case.op], case.attributes.mode
    local got = f(arrays[1], arrays[2], mode)
    eq(got:tolist(), expected, case.name)
    eq(got:dtype(), "int32")
    eq(f(arrays[1]:tolist(), arrays[2]:astype "float32", {mode = mode}):tolist(), expected, case.name)
  end
end

function TestSignal.test_tables_of_integers_stay_integers()
  eq(cnn.signal.convolve({1, 2}, {3, 4}):dtype(), "int32")
  eq(cnn.signal.convolve({1, 2.5}, {3, 4}):dtype(), "float32")
end

function TestSignal.test_errors()
  raises("'mode' must be one of", cnn.signal.convolve, {1}, {1}, "half")
  raises("'a' must have 1 axis", cnn.signal.convolve, {{1}}, {1})
  raises("'b' must have 2 axes", cnn.signal.convolve2d, {{1}}, {1})
  raises("must not be empty", cnn.signal.convolve, {}, {1})
  raises("at least as large", cnn.signal.correlate2d, cnn.ones{2, 3}, cnn.ones{3, 2}, "valid")
  raises("is missing", cnn.signal.convolve, cnn.ones{2})
end

-- ---- scripts ------------------------------------------------------------------------------------------------

TestTapeScripts = {}

-- What a script returns; what it prints is dropped.
local function run(file, ...)
  local real = print
  print = function() end -- luacheck: ignore
  local results = table.pack(pcall(assert(loadfile(file)), ...))
  print = real -- luacheck: ignore
  assert(results[1], results[2])
  return results[2]
end

function TestTapeScripts.test_convolution()
  local shown = run "scripts/convolution.lua"
  eq(shown.convolve_valid:tolist(), {63, 48, 49, 28, 21, 20})
  eq(shown.correlate_valid:tolist(), {48, 57, 24, 25, 16, 39})
  eq(shown.same:tolist(), {34, 51, 48, 57, 24, 25, 16, 39, 29})
  eq(shown.conv2d_valid:tolist(), shown.correlate2d_valid:tolist())
  eq(shown.max_pool:tolist(), {{6, 8}, {14, 16}})
  eq(shown.avg_pool:tolist(), {{3.5, 5.5}, {11.5, 13.5}})
end

-- The class of the script and Sequential, from the same weights, over the same batches.
function TestTapeScripts.test_fashion_tape_equals_sequential()
  local e = run("scripts/fashion_tape.lua", "--epochs", "1", "--limit", "1000", "--out", os.tmpname() .. ".d")
  eq(#e.losses, 1)
  eq(#e.val_losses, 1)
  local layers = cnn.layers
  local model = cnn.Sequential{
    layers.Conv2D{10, 3, activation = "relu", padding = "same", input_shape = {28, 28, 1}},
    layers.MaxPooling2D{2}, layers.Flatten{}, layers.Dense{100, activation = "relu"},
    layers.Dense{10, activation = "softmax"},
  }
  local network = e.ConvolutionNetwork.new{batch_size = 128, learning_rate = 0.01}
  network:init_weights(e.x_train:shape(), 10)
  model:set_weights(network:weights())
  model:compile{optimizer = cnn.optimizers.SGD{0.01}, loss = "categorical_crossentropy"}
  local history = model:fit{e.x_train, e.y_train, batch_size = 128, epochs = 3, shuffle = false, verbose = 0}
  network:fit{e.x_train, e.y_train, epochs = 3, shuffle = false, verbose = 0}
  for epoch = 1, 3 do
    lu.assertAlmostEquals(network.losses[epoch] / history.history.loss[epoch], 1, 1e-4)
  end
end
