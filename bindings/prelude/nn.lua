-- What cnn.nn has beside single ops: compositions of them, which tapes and graphs follow as any others.

local cnn = ...
local nn = cnn.nn
local args = nn.args
nn.args = nil

--- The product of matrices, either transposed first.
function nn.matmul(...)
  local a, b, transpose_a, transpose_b = args("matmul", {"a", "b", "transpose_a", "transpose_b"}, ...)
  if transpose_a then a = cnn.transpose(a) end
  if transpose_b then b = cnn.transpose(b) end
  return cnn.matmul(a, b)
end

--- Half the sum of squares.
function nn.l2_loss(t)
  return cnn.square(t):sum() / 2
end

--- Mean and variance over axes.
-- @treturn tensor mean
-- @treturn tensor variance
function nn.moments(...)
  local x, axes, keepdims = args("moments", {"x", "axes", "keepdims"}, ...)
  return cnn.mean(x, axes, keepdims or false), cnn.var(x, axes, keepdims or false)
end

--- (x - mean) / sqrt(variance + epsilon) · scale + offset; offset and scale may be nil.
function nn.batch_normalization(...)
  local x, mean, variance, offset, scale, epsilon = args("batch_normalization",
    {"x", "mean", "variance", "offset", "scale", "variance_epsilon"}, ...)
  local inverse = 1 / cnn.sqrt(variance + (epsilon or 1e-3))
  if scale then inverse = inverse * scale end
  local shift = -mean * inverse
  if offset then shift = shift + offset end
  return x * inverse + shift
end

--- Labels, counted from 0, as rows with a 1 each.
function nn.one_hot(...)
  local indices, depth = args("one_hot", {"indices", "depth"}, ...)
  return cnn.one_hot(indices, depth)
end
