-- What cnn.nn has beside single ops: compositions of them, which tapes and graphs follow as any others.

local cnn = ...
local nn = cnn.nn
local args, fail = nn.args, cnn.image.system.fail
nn.args = nil

local function to_tensor(who, name, value)
  if value == nil then fail(("%s: '%s' is missing"):format(who, name)) end
  return cnn.is_tensor(value) and value or cnn.tensor(value)
end

-- The matrices on the last two axes, transposed.
local function transposed(t)
  local rank, axes = t:rank(), {}
  if rank < 3 then return t:transpose() end
  for i = 1, rank do axes[i] = i end
  axes[rank - 1], axes[rank] = rank, rank - 1
  return t:transpose(axes)
end

--- The product of matrices, either of them transposed first.
-- Matrices are on the last two axes, as of cnn.matmul; the two last axes are those that are transposed.
-- @function cnn.nn.matmul
-- @tparam tensor a float32
-- @tparam tensor b float32
-- @tparam[opt=false] bool transpose_a
-- @tparam[opt=false] bool transpose_b
-- @treturn tensor float32
-- @raise inner sizes that differ
-- @usage
-- a, b = cnn.ones{2, 3}, cnn.ones{5, 3}
-- cnn.nn.matmul(a, b, {transpose_b = true}):shape()        --> {2, 5}
function nn.matmul(...)
  local a, b, transpose_a, transpose_b = args("matmul", {"a", "b", "transpose_a", "transpose_b"}, ...)
  a, b = to_tensor("matmul", "a", a), to_tensor("matmul", "b", b)
  return cnn.matmul(transpose_a and transposed(a) or a, transpose_b and transposed(b) or b)
end

--- Half the sum of the squares of all elements.
-- @function cnn.nn.l2_loss
-- @tparam tensor t
-- @treturn tensor float32, without axes
-- @usage
-- cnn.nn.l2_loss{3, 4}:item()        --> 12.5
function nn.l2_loss(t)
  return to_tensor("l2_loss", "t", t):square():sum() / 2
end

--- Mean and variance over axes.
-- The variance divides by the number of elements, as that of cnn.var.
-- @function cnn.nn.moments
-- @tparam tensor x
-- @tparam[opt] int|{int,...} axes counted from 1; default: all
-- @tparam[opt=false] bool keepdims whether the axes stay, with size 1
-- @treturn tensor the mean
-- @treturn tensor the variance
-- @usage
-- x = cnn.tensor{{1, 2}, {3, 6}}
-- cnn.nn.moments(x, 1)
-- --> float32 (2,)
-- --> [2. 4.]
-- --> float32 (2,)
-- --> [1. 4.]
function nn.moments(...)
  local x, axes, keepdims = args("moments", {"x", "axes", "keepdims"}, ...)
  return cnn.mean(x, axes, keepdims or false), cnn.var(x, axes, keepdims or false)
end

--- Normalizes: (x - mean) / sqrt(variance + variance_epsilon), then times scale, plus offset (Ioffe and Szegedy 2015).
-- All of them broadcast to x: of pictures [N, height, width, channels], vectors have a number for each channel.
-- @function cnn.nn.batch_normalization
-- @tparam tensor x
-- @tparam tensor|number mean
-- @tparam tensor|number variance
-- @tparam[opt] tensor|number offset default: 0
-- @tparam[opt] tensor|number scale default: 1
-- @tparam[opt=0.001] number variance_epsilon keeps the root from 0; the default is that of Keras's layer
-- @treturn tensor float32, in the shape of x
-- @usage
-- x = cnn.tensor{{1, 2}, {3, 6}}
-- mean, variance = cnn.nn.moments(x, 1)
-- cnn.nn.batch_normalization(x, mean, variance, 0, 1, 0)
-- --> float32 (2, 2)
-- --> [[-1. -1.]
-- -->  [ 1.  1.]]
function nn.batch_normalization(...)
  local x, mean, variance, offset, scale, epsilon = args("batch_normalization",
    {"x", "mean", "variance", "offset", "scale", "variance_epsilon"}, ...)
  x, mean = to_tensor("batch_normalization", "x", x), to_tensor("batch_normalization", "mean", mean)
  local inverse = 1 / cnn.sqrt(to_tensor("batch_normalization", "variance", variance) + (epsilon or 1e-3))
  if scale then inverse = inverse * scale end
  local shift = -mean * inverse
  if offset then shift = shift + offset end
  return x * inverse + shift
end

--- Labels as rows of zeros with a one at the label's place, by TensorFlow's names: cnn.one_hot.
-- @function cnn.nn.one_hot
-- @tparam tensor indices labels, counted from 0
-- @tparam int depth the number of classes
-- @treturn tensor float32, with an axis more
-- @usage
-- cnn.nn.one_hot({0, 2}, 3):tolist()                       --> {{1.0, 0.0, 0.0}, {0.0, 0.0, 1.0}}
function nn.one_hot(...)
  local indices, depth = args("one_hot", {"indices", "depth"}, ...)
  return cnn.one_hot(indices, depth)
end
