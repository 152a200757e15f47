-- cnn.nn: values against their definitions, derivatives against differences, TensorFlow's ways to give
-- arguments; the same functions on symbolic tensors; arithmetic in functional models.
-- luacheck: globals TestNn TestNnGradients TestSymbolic

local lu = require "luaunit"
local cnn = require "cnn"
local raises = require "raises"

local eq, nn, layers = lu.assertEquals, cnn.nn, cnn.layers

local function numbers(shape, seed, low, high)
  return cnn.random.uniform{shape = shape, minval = low or -2, maxval = high or 2, seed = seed or 1}
end

local function close(a, b, tolerance)
  lu.assertTrue(cnn.allclose(a, b, tolerance or 1e-5, 1e-6), tostring(a) .. "\n" .. tostring(b))
end

TestNn = {}

function TestNn.test_conv2d_takes_arguments_in_every_way()
  local x, w = numbers{2, 5, 5, 2}, numbers({3, 3, 2, 4}, 2)
  local expected = nn.conv2d(x, w, 2, "SAME")
  eq(expected:shape(), {2, 3, 3, 4})
  close(nn.conv2d(x, w, {strides = 2, padding = "same"}), expected)
  close(nn.conv2d{x, w, strides = {2, 2}, padding = "SAME"}, expected)
  close(nn.conv2d{input = x, filters = w, strides = {1, 2, 2, 1}, padding = "same"}, expected)
  eq(nn.conv2d(x, w):shape(), {2, 3, 3, 4})
  eq(nn.conv2d(x, w, {dilations = 2}):shape(), {2, 1, 1, 4})
  eq(nn.conv2d(x, numbers{3, 3, 1, 4}, {groups = 2}):shape(), {2, 3, 3, 4})
end

function TestNn.test_conv2d_errors()
  local x, w = numbers{2, 5, 5, 2}, numbers({3, 3, 2, 4}, 2)
  raises("did you mean 'padding'", nn.conv2d, x, w, {pading = "same"})
  raises("'filters' is missing", nn.conv2d, x)
  raises("'padding' must be one of", nn.conv2d, x, w, 1, "full")
  raises("must be 1 for samples and channels", nn.conv2d, x, w, {2, 1, 1, 1})
  raises("do not fit an input", nn.conv2d, x, numbers{3, 3, 3, 4})
end

function TestNn.test_depthwise_conv2d_is_a_convolution_a_channel()
  local x, w = numbers{1, 4, 4, 2}, numbers({3, 3, 2, 1}, 2)
  local out = nn.depthwise_conv2d(x, w, 1, "valid")
  for c = 1, 2 do
    local own = nn.conv2d(x[{nil, nil, nil, {c, c}}], w[{nil, nil, {c, c}}], 1, "valid")
    close(out[{nil, nil, nil, {c, c}}], own)
  end
end

function TestNn.test_pooling()
  local x = cnn.arange(1, 17):astype "float32":reshape{1, 4, 4, 1}
  eq(nn.max_pool2d(x, 2, 2, "VALID"):flatten():tolist(), {6, 8, 14, 16})
  eq(nn.avg_pool2d(x, {ksize = {2, 2}, strides = 2}):flatten():tolist(), {3.5, 5.5, 11.5, 13.5})
  eq(nn.max_pool2d(x, {ksize = 3, strides = 2, padding = "same"}):flatten():tolist(), {11, 12, 15, 16})
end

function TestNn.test_activations()
  local x = cnn.tensor{-1, 0, 2}
  eq(nn.relu(x):tolist(), {0, 0, 2})
  eq(nn.relu{-1, 2}:tolist(), {0, 2})
  close(nn.leaky_relu(x), {-0.2, 0, 2})
  close(nn.leaky_relu(x, 0.1), {-0.1, 0, 2})
  close(nn.leaky_relu(x, {alpha = 0.1}), {-0.1, 0, 2})
  close(nn.elu(x), {math.exp(-1) - 1, 0, 2})
  close(nn.sigmoid(x), 1 / (1 + cnn.exp(-x)))
  close(nn.softplus(x), cnn.log(1 + cnn.exp(x)))
  close(nn.silu(x), x / (1 + cnn.exp(-x)))
  close(nn.tanh(x), cnn.tanh(x))
  close(nn.softmax(cnn.tensor{{1, 1}, {0, math.log(3)}}), {{0.5, 0.5}, {0.25, 0.75}})
  close(nn.softmax(cnn.tensor{{1, 0}, {1, math.log(3)}}, 1), {{0.5, 0.25}, {0.5, 0.75}})
  close(nn.log_softmax(cnn.tensor{{0, math.log(3)}}), {{math.log(0.25), math.log(0.75)}})
  raises("axis 3 is not there", nn.softmax, cnn.ones{2, 2}, 3)
end

function TestNn.test_crossentropies_of_logits()
  local z = cnn.tensor{{0, math.log(3)}, {0, 0}}
  local labels, expected = {{0, 1}, {1, 0}}, {-math.log(0.75), math.log(2)}
  close(nn.softmax_cross_entropy_with_logits(labels, z), expected)
  close(nn.softmax_cross_entropy_with_logits{labels = labels, logits = z}, expected)
  close(nn.sparse_softmax_cross_entropy_with_logits(cnn.tensor({1, 0}, "int32"), z), expected)
  eq(nn.softmax_cross_entropy_with_logits(cnn.ones{2, 3, 4}, cnn.ones{2, 3, 4}):shape(), {2, 3})
  eq(nn.sparse_softmax_cross_entropy_with_logits(cnn.zeros{2, 3}, cnn.ones{2, 3, 4}):shape(), {2, 3})
  local s = nn.sigmoid_cross_entropy_with_logits(cnn.tensor{{1, 0}}, cnn.tensor{{0, math.log(3)}})
  close(s, {{math.log(2), -math.log(0.25)}})
  raises("do not fit", nn.softmax_cross_entropy_with_logits, cnn.ones{2}, z)
  raises("must be given", nn.softmax_cross_entropy_with_logits, {labels = z})
end

function TestNn.test_compositions()
  local x = numbers{3, 4}
  close(nn.l2_loss(x), x:square():sum() / 2)
  local mean, variance = nn.moments(x, 1)
  close(mean, x:mean(1))
  close(variance, x:var(1))
  close(nn.batch_normalization(x, mean, variance, 1, 2, 1e-3),
    (x - mean) / cnn.sqrt(variance + 1e-3) * 2 + 1, 1e-4)
  close(nn.matmul(x, x, {transpose_b = true}), x:matmul(x:transpose()))
  close(nn.matmul{x, x, transpose_a = true}, x:transpose():matmul(x))
  local batch = cnn.random.normal{2, 3, 4, seed = 1}
  close(nn.matmul(batch, batch, {transpose_b = true}), batch:matmul(batch:transpose{1, 3, 2}))
  close(nn.matmul({{1, 2}}, {{3, 4}}, false, true), {{11}})
  raises("matmul: 'b' is missing", nn.matmul, x)
  eq(nn.one_hot({0, 2}, {depth = 3}):tolist(), {{1, 0, 0}, {0, 0, 1}})
end

function TestNn.test_dropout()
  cnn.utils.set_random_seed(5)
  local x = cnn.ones{100, 100}
  local y = nn.dropout(x, 0.5)
  lu.assertAlmostEquals(y:mean():item(), 1, 0.1)
  eq(y:max():item(), 2)
  eq(nn.dropout(x, {rate = 0}):min():item(), 1)
  lu.assertFalse(cnn.allclose(nn.dropout(x, 0.5), y))
end

-- ---- derivatives --------------------------------------------------------------------------------------------

TestNnGradients = {}

local function check(f, ...)
  local inputs = {...}
  local out, weights, grads
  do
    local tape <close> = cnn.GradientTape()
    tape:watch(inputs)
    out = f(table.unpack(inputs))
    weights = numbers(out:shape(), 77, 0.5, 1.5)
    grads = tape:gradient(out, inputs, weights)
  end
  local h = 1 / 64
  for i, x in ipairs(inputs) do
    local flat, grad = x:flatten(), grads[i]:flatten()
    for k = 1, #flat do
      local function at(delta)
        local list, moved = table.pack(table.unpack(inputs)), flat:copy()
        moved[k] = flat[k] + delta
        list[i] = moved:reshape(x:shape())
        return (f(table.unpack(list)) * weights):sum():item()
      end
      local numeric = (at(h) - at(-h)) / (2 * h)
      lu.assertAlmostEquals(grad[k], numeric, 2e-2 * math.max(1, math.abs(numeric)),
        ("input %d, element %d"):format(i, k))
    end
  end
end

for _, name in ipairs{"relu", "leaky_relu", "elu", "selu", "sigmoid", "tanh", "softplus", "silu", "gelu", "softmax",
                      "log_softmax", "l2_loss"} do
  TestNnGradients["test_" .. name] = function() check(nn[name], numbers{2, 4}) end
end

function TestNnGradients.test_convolutions_and_pooling()
  local x = numbers{2, 4, 4, 2}
  check(function(a, w) return nn.conv2d(a, w, {strides = 1, padding = "same"}) end, x, numbers({3, 3, 2, 2}, 2))
  check(function(a, w) return nn.conv2d(a, w, {strides = 2}) end, x, numbers({2, 2, 2, 2}, 2))
  check(function(a, w) return nn.depthwise_conv2d(a, w, 1, "same") end, x, numbers({3, 3, 2, 2}, 2))
  check(function(a) return nn.max_pool2d(a, 2, 2) end, cnn.arange(0, 32):astype "float32":reshape{1, 4, 4, 2} / 3)
  check(function(a) return nn.avg_pool2d(a, 2, 2) end, x)
  check(function(a, b) return nn.bias_add(a, b) end, x, numbers({2}, 3))
end

function TestNnGradients.test_crossentropies()
  check(function(z) return nn.softmax_cross_entropy_with_logits({{0, 1, 0}, {0.5, 0, 0.5}}, z) end, numbers{2, 3})
  check(function(z) return nn.sparse_softmax_cross_entropy_with_logits({2, 0}, z) end, numbers{2, 3})
  check(function(z) return nn.sigmoid_cross_entropy_with_logits({{0, 1, 0.5}}, z) end, numbers{1, 3})
end

function TestNnGradients.test_compositions()
  check(function(x, m, v, o, s) return nn.batch_normalization(x, m, v, o, s, 0.1) end, numbers{3, 2},
    numbers({2}, 2), numbers({2}, 3, 0.5, 1.5), numbers({2}, 4), numbers({2}, 5))
  check(function(x) local mean, variance = nn.moments(x, 1) return mean * variance end, numbers{3, 2})
end

-- ---- symbolic tensors ---------------------------------------------------------------------------------------

TestSymbolic = {}

-- The model from an input to f of it gives what f gives directly.
local function same(f, shape, x)
  local input = cnn.Input{shape = shape}
  local model = cnn.Model{inputs = input, outputs = f(input)}
  close(model(x), f(x))
  close(model:predict{x, verbose = 0}, f(x))
  return model
end

function TestSymbolic.test_arithmetic_between_layers()
  local dense, other = layers.Dense{3}, layers.Dense{3}
  local model = same(function(x)
    local y = (dense(x) * 2 + 1) / 4 - other(x)
    return nn.relu(y) + y ^ 2
  end, {4}, numbers{5, 4})
  eq(#model.layers, 3)
  eq(model:count_params(), 30)
end

function TestSymbolic.test_every_kind_of_function()
  local x = numbers({5, 4, 6}, 1, 0.5, 2)
  same(function(t) return t:reshape{-1, 24} end, {4, 6}, x)
  same(function(t) return t:transpose{1, 3, 2} end, {4, 6}, x)
  same(function(t) return t:expand_dims(3):squeeze(3) end, {4, 6}, x)
  same(function(t) return t:mean{2, 3} end, {4, 6}, x)
  same(function(t) return t:max(2) - t:min(2) + t:std(2) end, {4, 6}, x)
  same(function(t) return t[{nil, {1, 3}, 2}] end, {4, 6}, x)
  same(function(t) return t:flip(2) end, {4, 6}, x)
  same(function(t) return t:pad{{0, 0}, {1, 0}, {0, 2}} end, {4, 6}, x)
  same(function(t) return cnn.concat{t, t * 2, axis = 3} end, {4, 6}, x)
  same(function(t) return cnn.stack{t, t, axis = 2} end, {4, 6}, x)
  same(function(t) return t:clip(0.75, 1.5):log() end, {4, 6}, x)
  same(function(t) return 1 / t - 2 * t end, {4, 6}, x)
  same(function(t) return nn.softmax(t, 2) end, {4, 6}, x)
  same(function(t) return cnn.maximum(t, 1) end, {4, 6}, x)
end

function TestSymbolic.test_it_trains()
  cnn.utils.set_random_seed(1)
  local input = cnn.Input{4}
  local w = cnn.Variable{cnn.ones{4}}
  local model = cnn.Model{inputs = input, outputs = layers.Dense{1}(input * w) * 0.5}
  model:compile{optimizer = cnn.optimizers.Adam{0.1}, loss = "mse"}
  local x = numbers{64, 4}
  local losses = model:fit{x, x:sum{2, keepdims = true}, epochs = 20, verbose = 0}.history.loss
  lu.assertTrue(losses[20] < losses[1] / 10)
end

function TestSymbolic.test_errors()
  local t = cnn.Input{4}
  raises("symbolic", function() return t:item() end)
  raises("symbolic", function() return t:argmax(2) end)
  raises("samples of a symbolic tensor", function() return t[1] end)
  raises("samples of a symbolic tensor", function() return t[{1, 2}] end)
  raises("out of range", function() return t[{nil, 5}] end)
end
