-- What every argument of Conv2D and MaxPooling2D does to the shape of the result and to the number of weights.
-- Nothing is trained here: each line makes one layer, shows it an input, and prints what comes out.
--
--   cnnlua scripts/conv2d_shapes.lua

local cnn = require "cnn"
local layers = cnn.layers

cnn.utils.script_options({...}, {
  help = "conv2d_shapes.lua: shapes and parameter counts of convolution and pooling.",
})

local results = {}

-- Applies the layer to zeros of this shape, prints one line, and keeps it.
local function show(text, layer, input_shape)
  local y = layer(cnn.zeros{1, table.unpack(input_shape)})
  local shape = y:shape()
  local from, to = table.concat(input_shape, "×"), table.concat({shape[2], shape[3], shape[4]}, "×")
  print(("  %-56s %10s → %-10s %6d weights"):format(text, from, to, layer:count_params()))
  results[#results + 1] = {text = text, input = input_shape, output = {shape[2], shape[3], shape[4]},
                           params = layer:count_params()}
  return y
end

print "filters and kernel_size: one window of rows×columns×channels, and one bias, for each filter"
show("Conv2D{32, {5, 5}}", layers.Conv2D{32, {5, 5}}, {28, 28, 1})
show("Conv2D{32, {3, 3}}", layers.Conv2D{32, {3, 3}}, {28, 28, 1})
show("Conv2D{64, {3, 3}}", layers.Conv2D{64, {3, 3}}, {28, 28, 1})
show("Conv2D{32, {3, 3}, use_bias = false}", layers.Conv2D{32, {3, 3}, use_bias = false}, {28, 28, 1})

print "\npadding: 'valid' keeps to the picture, so the result is smaller; 'same' adds zeros around it"
show("Conv2D{32, {5, 5}, padding = 'valid'}", layers.Conv2D{32, {5, 5}, padding = "valid"}, {28, 28, 1})
show("Conv2D{32, {5, 5}, padding = 'same'}", layers.Conv2D{32, {5, 5}, padding = "same"}, {28, 28, 1})

print "\nstrides: how far the window moves; the result has one cell a step"
show("Conv2D{32, {5, 5}, strides = {2, 2}}", layers.Conv2D{32, {5, 5}, strides = {2, 2}}, {28, 28, 1})
show("Conv2D{32, {5, 5}, strides = {2, 2}, padding = 'same'}",
     layers.Conv2D{32, {5, 5}, strides = {2, 2}, padding = "same"}, {28, 28, 1})
show("Conv2D{32, {3, 3}, strides = {1, 2}}", layers.Conv2D{32, {3, 3}, strides = {1, 2}}, {28, 28, 1})

print "\ndilation_rate: the window's cells are spread out; it sees more with as many weights"
show("Conv2D{32, {3, 3}, dilation_rate = 2}", layers.Conv2D{32, {3, 3}, dilation_rate = 2}, {28, 28, 1})

print "\nchannels of the input: a window goes through all of them, so its weights multiply; its results do not"
show("Conv2D{1, {2, 2}, padding = 'same'}", layers.Conv2D{1, {2, 2}, padding = "same"}, {3, 3, 1})
show("Conv2D{3, {2, 2}, padding = 'same'}", layers.Conv2D{3, {2, 2}, padding = "same"}, {3, 3, 1})
show("Conv2D{1, {2, 2}, padding = 'same'}", layers.Conv2D{1, {2, 2}, padding = "same"}, {3, 3, 3})
show("Conv2D{2, {2, 2}, padding = 'same'}", layers.Conv2D{2, {2, 2}, padding = "same"}, {3, 3, 3})
show("Conv2D{6, {2, 2}, groups = 3, padding = 'same'}", layers.Conv2D{6, {2, 2}, groups = 3, padding = "same"},
     {3, 3, 3})

print "\nactivation: what is done to each sum; one 3×3 picture through four of them, with a window that sums 2×2 cells"
local picture = cnn.tensor{{1, -2, 0}, {-1, 1, 2}, {0, -3, 1}}:reshape{1, 3, 3, 1}
local activated = {}
for _, name in ipairs{"linear", "relu", "sigmoid", "softmax"} do
  local layer = layers.Conv2D{1, {2, 2}, activation = name, kernel_initializer = "ones"}
  activated[name] = layer(picture):reshape{2, 2}
  print(name)
  print(activated[name])
end
print "(softmax compares the channels of a cell; with one channel there is nothing to compare, and all are 1)"

print "\nMaxPooling2D: the largest of each window; it has no weights"
show("MaxPooling2D{{2, 2}}", layers.MaxPooling2D{{2, 2}}, {28, 28, 32})
show("MaxPooling2D{{2, 2}, strides = {1, 1}}", layers.MaxPooling2D{{2, 2}, strides = {1, 1}}, {28, 28, 32})
show("MaxPooling2D{{3, 3}}", layers.MaxPooling2D{{3, 3}}, {28, 28, 32})
show("MaxPooling2D{{3, 3}, padding = 'same'}", layers.MaxPooling2D{{3, 3}, padding = "same"}, {28, 28, 32})

print "\nFlatten: everything of a sample in one row, for the dense layers"
local flat = layers.Flatten()(cnn.zeros{1, 3, 3, 64})
print("  3×3×64 → " .. flat:shape(2))

return {results = results, activated = activated}
