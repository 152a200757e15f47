-- What a convolution does, number by number: first on rows of numbers, then on small pictures. Every array
-- on the way is printed, to be checked with pencil and paper.
--
-- Convolution slides one array, flipped, over another, and at each place adds up the products of what lies
-- one above the other. Networks that are called convolutional do not flip: what they compute is
-- cross-correlation. Their weights start as random numbers and are learned, so it makes no difference which
-- way round they lie.
--
--   cnnlua scripts/convolution.lua

local cnn = require "cnn"
local signal, nn = cnn.signal, cnn.nn

cnn.utils.script_options({...}, {
  help = "convolution.lua: convolution, cross-correlation, padding, stride and pooling, with every array printed.",
})

local shown = {}

-- Prints an array under a title, keeps it for whoever runs this file, and hands it on.
local function show(name, title, array)
  print(title)
  print("  " .. tostring(array):gsub("\n", "\n  "))
  shown[name] = array
  return array
end

local function section(title) print(("\n%s\n%s"):format(title, ("-"):rep(#title))) end

-- ---- rows of numbers ----------------------------------------------------------------------------------------

section "1. Convolution in one dimension"

local x = show("x", "x, what is looked at:", cnn.tensor({2, 8, 3, 7, 1, 2, 0, 4, 5}, "int32"))
local w = show("w", "w, the weights:", cnn.tensor({2, 1, 5, 3}, "int32"))
local w_flipped = show("w_flipped", "w flipped, as convolution slides it:", w:flip())

print "\nAt each place, x under the flipped w, and the sum of products:"
local by_hand = {}
for i = 1, #x - #w + 1 do
  local window = x[{{i, i + #w - 1}}]
  local products = window * w_flipped
  by_hand[i] = products:sum():item()
  print(("  %s * %s = %s, in all %d"):format(window, w_flipped, products, by_hand[i]))
end
shown.by_hand = cnn.tensor(by_hand, "int32")
local convolved = show("convolve_valid", "\ncnn.signal.convolve(x, w, \"valid\") does the same:",
  signal.convolve(x, w, "valid"))
assert(convolved:equal(shown.by_hand):all())

section "2. Cross-correlation: the same without flipping"

local correlated = show("correlate_valid", "cnn.signal.correlate(x, w, \"valid\"):", signal.correlate(x, w, "valid"))
show("correlate_flipped", "and with the flipped w it is the convolution:", signal.correlate(x, w_flipped, "valid"))
print(("So the first number is %d·2 + %d·1 + %d·5 + %d·3 = %d."):format(x[1], x[2], x[3], x[4], correlated[1]))

section "3. Padding: how far w may reach beyond the ends of x"

print "valid: not at all. The numbers at the ends take part in fewer sums than those in the middle."
show("valid", ("%d numbers and %d weights give %d:"):format(#x, #w, #x - #w + 1), correlated)
print "full: as long as anything overlaps, over zeros. Every number takes part equally often."
show("padded_full", "x with 3 zeros at both ends:", x:pad(#w - 1))
show("full", ("%d numbers:"):format(#x + #w - 1), signal.correlate(x, w, "full"))
print "same: with as many zeros as make the result as long as x."
show("same", ("%d numbers:"):format(#x), signal.correlate(x, w, "same"))

section "4. Stride: how far w moves from one place to the next"

show("stride_1", "by 1:", correlated)
show("stride_2", "by 2, every other one of them:", correlated[{{1, -1, 2}}])
show("stride_3", "by 3:", correlated[{{1, -1, 3}}])

-- ---- pictures -----------------------------------------------------------------------------------------------

section "5. In two dimensions"

local picture = show("picture", "a picture of 3×3 cells:", cnn.tensor({{1, 2, 3}, {4, 5, 6}, {7, 8, 9}}, "int32"))
local kernel = show("kernel", "a kernel of 2×2 weights:", cnn.tensor({{2, 0}, {1, 0}}, "int32"))
print "It goes from left to right, then down, cell by cell."
show("correlate2d_valid", "valid, 2×2:", signal.correlate2d(picture, kernel, "valid"))
show("correlate2d_full", "full, 4×4:", signal.correlate2d(picture, kernel, "full"))
show("correlate2d_same", "same, 3×3:", signal.correlate2d(picture, kernel, "same"))
show("convolve2d_same", "and convolved, that is flipped both ways:", signal.convolve2d(picture, kernel, "same"))

section "6. The same with nn.conv2d, as networks do it"

print [[
Networks look at many pictures at once, and at several channels: what goes in has four axes, samples, rows,
columns and channels; the kernels have rows, columns, channels, and how many kernels there are.]]
local x_4d = picture:astype "float32":reshape{1, 3, 3, 1}
local w_4d = kernel:astype "float32":reshape{2, 2, 1, 1}
print(("x: {%s}, w: {%s}"):format(table.concat(x_4d:shape(), ", "), table.concat(w_4d:shape(), ", ")))
local c_out = nn.conv2d(x_4d, w_4d, {strides = 1, padding = "same"})
print(("nn.conv2d(x, w, {strides = 1, padding = \"same\"}): {%s}"):format(table.concat(c_out:shape(), ", ")))
print "With an even kernel the one row and column of zeros that \"same\" needs come at the end:"
show("conv2d_same", "as rows and columns again:", c_out:reshape{3, 3})
show("conv2d_valid", "valid:", nn.conv2d(x_4d, w_4d, {padding = "valid"}):reshape{2, 2})
show("conv2d_stride_2", "same, with stride 2:", nn.conv2d(x_4d, w_4d, {strides = 2, padding = "same"}):reshape{2, 2})

section "7. Pooling: fewer cells, the most telling ones"

local feature_map = show("feature_map", "a feature map of 4×4 cells:",
  cnn.arange(1, 17):astype "float32":reshape{4, 4})
local map_4d = feature_map:reshape{1, 4, 4, 1}
show("max_pool", "the largest of each 2×2 cells:",
  nn.max_pool2d(map_4d, {ksize = 2, strides = 2, padding = "valid"}):reshape{2, 2})
show("avg_pool", "their mean:",
  nn.avg_pool2d(map_4d, {ksize = 2, strides = 2, padding = "valid"}):reshape{2, 2})
print "Pooling has no weights: it only chooses or averages. Each channel is pooled by itself."

section "8. ReLU: what is below 0 becomes 0"

local sums = show("sums", "sums of a convolution:", cnn.tensor{-2, -0.5, 0, 0.5, 2})
show("relu", "nn.relu of them:", nn.relu(sums))

return shown
