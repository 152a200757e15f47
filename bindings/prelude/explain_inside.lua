-- cnn.explain, the part that looks into a network: where in the picture the answer comes from, and what layers see.
--
-- The score of a class is what its softmax or sigmoid is made of, not the probability: that falls when other classes
-- rise, and where the network is sure its gradient is next to nothing.

local cnn = ...

local explain = cnn.explain
local graph, shared = explain.system, explain.shared
explain.system, explain.shared = nil, nil
local arguments, study, show = shared.arguments, shared.study, shared.show
local fail, unknown = cnn.image.system.fail, cnn.image.system.unknown

-- ---- layers ------------------------------------------------------------------------------------------------

-- The last call for which the test holds.
local function last_call(calls, test)
  for i = #calls, 1, -1 do
    if test(calls[i]) then return calls[i], i end
  end
end

local function is_map(call)
  return #call.output:shape() == 4
end

local function is_convolution(call)
  return is_map(call) and call.layer.class_name:find "Conv" ~= nil
end

-- The call of a layer given as itself, by its position in the model or by its name, there or in a model inside of it.
local function call_of(who, model, calls, layer)
  if type(layer) == "number" then
    local layers = model.layers
    if not layers[layer] then
      fail(("%s: there is no layer %d; the model has %d"):format(who, layer, #layers))
    end
    layer = layers[layer]
  end
  local by_name = type(layer) == "string"
  local found = last_call(calls, function(call)
    if by_name then return call.layer.name == layer end
    return call.layer == layer
  end)
  if found then return found end
  local names = {}
  for _, call in ipairs(calls) do names[call.layer.name] = true end
  unknown(who, "there is no layer", by_name and layer or layer.name, names)
end

local function shape_text(tensor)
  local sizes = tensor:shape()
  return "{" .. table.concat(sizes, ", ", 2, #sizes) .. "}"
end

-- A layer that makes maps: the one asked for, or else what find finds.
local function map_call(a, find)
  local calls = graph.calls(a.model, a.who)
  if a.layer == nil then
    return find(calls) or fail(("%s: '%s' has no convolution; tell a 'layer' that makes maps"):format(
      a.who, a.model.name))
  end
  local call = call_of(a.who, a.model, calls, a.layer)
  if not is_map(call) then
    fail(("%s: layer '%s' makes no maps [H,W,channels] but results of shape %s"):format(
      a.who, call.layer.name, shape_text(call.output)))
  end
  return call
end

-- The first convolution that looks at more than one pixel at a time; if there is none, the first.
local function first_convolution(calls)
  local first
  for _, call in ipairs(calls) do
    if is_convolution(call) then
      first = first or call
      local kernel = call.layer.weights[1]
      if not kernel or #kernel:shape() ~= 4 or kernel:shape(1) * kernel:shape(2) > 1 then return call end
    end
  end
  return first
end

-- The last convolution's maps when all is done with them that leaves their size alone: normalized, activated, joined
-- with those of convolutions beside it. What Dropout hands on, or a model inside, is still the work of another layer.
local function last_maps(calls)
  local convolution, position = last_call(calls, is_convolution)
  if not convolution then return nil end
  local height, width = table.unpack(convolution.output:shape(), 2, 3)
  local maps = convolution
  for i = position + 1, #calls do
    local shape = calls[i].output:shape()
    if #shape ~= 4 or shape[2] ~= height or shape[3] ~= width then break end
    local class = calls[i].layer.class_name
    if not class:find "Dropout" and class ~= "Functional" and class ~= "Sequential" then maps = calls[i] end
  end
  return maps
end

-- ---- gradients ---------------------------------------------------------------------------------------------

-- How the score of a class changes with the images, or, if it is told, with an activation inside: the gradient, and the
-- values of the activation, of the scores and the outputs. Without a label, that of the first image's class.
local function differentiate(network, images, label, inside)
  local tape <close> = cnn.GradientTape{watch_accessed_variables = false}
  tape:watch(images)
  local values = graph.run(network.model, images, {network.score, network.output, inside})
  local scores, outputs, activation = values[1], values[2], values[3]
  local shape = scores:shape()
  if #shape ~= 2 then
    fail(("%s: expected class scores {samples, classes} from the model, got samples of shape %s"):format(
      network.who, shape_text(scores)))
  end
  local sum = scores:sum():item()
  if sum - sum ~= 0 then fail(network.who .. ": the class scores are not finite; look at weights and picture") end
  local classes = math.max(shape[2], 2)
  shared.check_names(network.who, network.names, classes)
  if label and label >= classes then
    fail(("%s: 'class_index' must be from 0 to %d, got %d"):format(network.who, classes - 1, label))
  end
  local weights
  if shape[2] == 1 then -- a score above 0 speaks for the second of two classes, one below for the first
    label = label or (scores[1]:item() > 0 and 1 or 0)
    weights = cnn.full({shape[1], 1}, label == 1 and 1 or -1)
  else
    label = label or scores[1]:argmax():item() - 1
    weights = cnn.one_hot(cnn.full({shape[1]}, label, "int32"), classes)
  end
  local gradient = tape:gradient(scores, activation or images, weights)
  return {label = label, gradient = gradient, activation = activation, outputs = outputs}
end

-- "cat  98%": the class that is explained.
local function title(network, found)
  local probabilities = shared.as_probabilities(network.who, found.outputs:slice(1, 1), network.probable)
  return shared.name_of(network.names, found.label) .. "  " ..
    shared.percent(probabilities[1]:tolist()[found.label + 1])
end

-- From 0 to 1 by its largest value, of which none is below 0.
local function to_one(map)
  local high = map:max():item()
  return high > 0 and map / high or map
end

local gradient_arguments = {
  {"model", "model!"}, {"image", "tensor!"}, {"class_index", "label"}, {"smooth", "count"},
  {"noise", "fraction", 0.15}, {"seed", "whole", 0}, {"class_names", "names"}, {"output", "count", 1},
  {"file", "path"}, {"show", "boolean", true},
}

-- The mean gradient at pictures with different noise, a few of them at a time.
local function smooth_gradient(network, a, label)
  local at_once = 8
  local image, sum = network.image, nil
  local deviation = a.noise * (image:max():item() - image:min():item())
  for first = 1, a.smooth, at_once do
    local shape = image:shape()
    shape[1] = math.min(at_once, a.smooth - first + 1)
    local noise = cnn.random.normal{shape = shape, stddev = deviation, seed = a.seed + first}
    local part = differentiate(network, image + noise, label).gradient:sum{1, keepdims = true}
    sum = sum and sum + part or part
  end
  return sum / a.smooth
end

-- For the eye: a few pixels far above the rest would leave that dark, so from the 99th of a hundred on all are white.
local function brighter(map)
  local values = map:reshape{-1}:tolist()
  table.sort(values)
  local high = values[math.ceil(0.99 * #values)]
  return high > 0 and (map / high):minimum(1) or map
end

--- Where the picture would have to change to change a class's score most.
-- The gradient of the score with respect to the picture: of each pixel the largest absolute value over the channels
-- (Simonyan and others, Deep Inside Convolutional Networks, 2013). The score is what the last softmax or sigmoid is
-- made of: the probability itself falls when other classes rise, and hardly changes where the model is sure.
--
-- With `smooth`, the mean gradient over so many pictures with noise (Smilkov and others, SmoothGrad, 2017), which is
-- clearer. What is shown is brighter than what is returned: the lightest hundredth of the pixels is white.
-- @function cnn.explain.saliency
-- @tparam model model of one input and class scores; as in inference, and left as it is
-- @tparam tensor image one picture, with or without an axis of size 1 before or behind
-- @tparam[opt] int class_index the label; default: what the model says
-- @tparam[opt] int smooth so many noisy pictures
-- @tparam[opt=0.15] number noise deviation of the noise, as a part of the range of the picture's values
-- @tparam[opt=0] int seed of the noise
-- @tparam[opt] {string,...} class_names of the labels 0, 1, …
-- @tparam[opt=1] int output of a model with several: its position
-- @tparam[opt] string file a picture .png, .svg or .pdf; without, it is drawn in the terminal
-- @tparam[opt=true] bool show false: nothing is drawn
-- @treturn tensor float32 {height, width} from 0 to 1
-- @treturn int the label
-- @raise a picture of another size than the model's, a label that is not there
-- @usage
-- model = cnn.Sequential{layers.Flatten{input_shape = {2, 2, 1}}, layers.Dense{1, activation = "sigmoid"}}
-- model:set_weights{{{1}, {-2}, {0}, {4}}, {0}} -- of a linear model, it is |w|
-- map, label = cnn.explain.saliency{model, cnn.ones{2, 2, 1}, show = false}
-- map
-- --> float32 (2, 2)
-- --> [[0.25 0.5 ]
-- -->  [0.   1.  ]]
-- label   --> 1
function explain.saliency(...)
  local a = arguments("explain.saliency", gradient_arguments, ...)
  local network = study(a)
  local found = differentiate(network, network.image, a.class_index)
  if not found.gradient then fail "explain.saliency: the class score does not depend on the picture" end
  local gradient = a.smooth and smooth_gradient(network, a, found.label) or found.gradient
  local map = gradient:abs():squeeze(1)
  if #map:shape() == 3 then map = map:max(3) end
  map = to_one(map)
  if a.file or a.show then show(a, {network.picture, brighter(map)}, {title(network, found), "saliency"}, 224) end
  return map, found.label
end

-- ---- colours -----------------------------------------------------------------------------------------------

-- Nine colours of viridis (S. van der Walt and N. Smith, 2015; in the public domain): to the eye, equal steps of the
-- value are equal steps of lightness, also without red or green, and on grey paper.
local anchors = {
  {68, 1, 84}, {71, 45, 123}, {59, 82, 139}, {44, 114, 142}, {33, 145, 140}, {40, 174, 128}, {94, 201, 98},
  {173, 220, 48}, {253, 231, 37},
}

-- Colours, float32 [H,W,3] from 0 to 255, of values from 0 to 1; in between the nine, they are mixed.
local function colorize(map)
  local shape = map:shape()
  local place = map:reshape{-1, 1} * (#anchors - 1)
  local below = place:floor():minimum(#anchors - 2)
  local share = place - below
  local colors, position = cnn.tensor(anchors), below:reshape{-1}:astype "int32" + 1
  local low, high = colors:gather(position, 1), colors:gather(position + 1, 1)
  return (low + (high - low) * share):reshape{shape[1], shape[2], 3}
end

-- ---- Grad-CAM ----------------------------------------------------------------------------------------------

local cam_arguments = {
  {"model", "model!"}, {"image", "tensor!"}, {"layer", "layer"}, {"class_index", "label"}, {"alpha", "fraction", 0.4},
  {"class_names", "names"}, {"output", "count", 1}, {"file", "path"}, {"show", "boolean", true},
}

--- Which part of the picture speaks for a class (Grad-CAM: Selvaraju and others, 2017).
-- The maps of a layer are added up, each times the mean over its places of the gradient of the class's score; what is
-- below 0, and so speaks against the class, becomes 0. The sum is enlarged to the picture and laid over it in colours
-- from dark blue (0) over green to yellow (1). It is all 0 where no place speaks for the class.
--
-- By default the layer is the last convolution, or what comes after it without changing the maps' size: normalization,
-- activation, the maps of several branches joined. Of a class's score, see cnn.explain.saliency.
-- @function cnn.explain.grad_cam
-- @tparam model model of one input and class scores; as in inference, and left as it is
-- @tparam tensor image one picture, with or without an axis of size 1 before or behind
-- @tparam[opt] layer|string|int layer one that makes maps: itself, its name (also in a model inside) or its position
-- @tparam[opt] int class_index the label; default: what the model says
-- @tparam[opt=0.4] number alpha how much of the colours there is in the overlay
-- @tparam[opt] {string,...} class_names of the labels 0, 1, …
-- @tparam[opt=1] int output of a model with several: its position
-- @tparam[opt] string file a picture .png, .svg or .pdf; without, it is drawn in the terminal
-- @tparam[opt=true] bool show false: nothing is drawn
-- @treturn tensor heat map, float32 {height, width} from 0 to 1
-- @treturn tensor overlay, uint8 {height, width, 3}
-- @treturn int the label
-- @raise a model without convolution, a layer without maps or of which the score does not depend
-- @usage
-- model = cnn.Sequential{
--   layers.Conv2D{1, 3, padding = "same", activation = "relu", kernel_initializer = "ones", input_shape = {6, 6, 1}},
--   layers.GlobalAveragePooling2D{}, layers.Dense{1, kernel_initializer = "ones", activation = "sigmoid"},
-- }
-- x = cnn.zeros{6, 6, 1}
-- x[{{1, 2}, {5, 6}}] = 1 -- something in the upper right corner
-- heat, overlay, label = cnn.explain.grad_cam{model, x, show = false}
-- heat[{{1, 3}, {4, 6}}]:mean():item() > heat[{{4, 6}, {1, 3}}]:mean():item()   --> true
function explain.grad_cam(...)
  local a = arguments("explain.grad_cam", cam_arguments, ...)
  local network, call = study(a), map_call(a, last_maps)
  local found = differentiate(network, network.image, a.class_index, call.output)
  if not found.gradient then
    fail(("explain.grad_cam: the class score does not depend on layer '%s'"):format(call.layer.name))
  end
  local weights = found.gradient:mean{2, 3, keepdims = true}
  local map = (found.activation * weights):sum(4):squeeze(1):maximum(0)
  local shape = network.picture:shape()
  map = cnn.image.resize(to_one(map), {shape[1], shape[2]})
  local picture = shared.drawable(network.picture)
  local colors = colorize(map)
  local overlay = (picture:astype "float32" * (1 - a.alpha) + colors * a.alpha + 0.5):astype "uint8"
  show(a, {picture, colors, overlay}, {title(network, found), call.layer.name, "overlay"}, 224)
  return map, overlay, found.label
end

-- ---- layers as pictures ------------------------------------------------------------------------------------

local map_arguments = {
  {"model", "model!"}, {"image", "tensor!"}, {"layer", "layer"}, {"count", "count", 64}, {"file", "path"},
  {"show", "boolean", true},
}

-- Pictures [n,h,w,c], the first `count` of them.
local function show_tiles(a, tiles, size)
  local list = {}
  for i = 1, math.min(#tiles, a.count) do list[i] = tiles[i] end
  show(a, list, nil, size)
end

--- What a layer makes of a picture: each of its maps as a grey picture, from its smallest value to its largest.
-- @function cnn.explain.feature_maps
-- @tparam model model of one input
-- @tparam tensor image one picture, with or without an axis of size 1 before or behind
-- @tparam[opt] layer|string|int layer one that makes maps: itself, its name (also in a model inside) or its position;
-- default: the first convolution that looks at more than single pixels
-- @tparam[opt=64] int count how many maps are shown at most
-- @tparam[opt] string file a picture .png, .jpg or .bmp; without, they are drawn in the terminal
-- @tparam[opt=true] bool show false: nothing is drawn
-- @treturn tensor float32 {height, width, channels}, all maps as they are
-- @raise a layer that makes no maps, a picture of another size than the model's
-- @usage
-- model = cnn.Sequential{layers.Conv2D{8, 3, input_shape = {8, 8, 3}}, layers.Flatten{}, layers.Dense{2}}
-- maps = cnn.explain.feature_maps{model, cnn.random.uniform{8, 8, 3}, file = "maps.png"}
-- maps:shape()   --> {6, 6, 8}
-- cnn.explain.feature_maps{model, cnn.ones{8, 8, 3}, layer = "flaten"}
-- --> error: explain.feature_maps: there is no layer 'flaten' ...
function explain.feature_maps(...)
  local a = arguments("explain.feature_maps", map_arguments, ...)
  a.output = 1
  local network, call = study(a), map_call(a, first_convolution)
  local maps = graph.run(a.model, network.image, {call.output})[1]:squeeze(1)
  if a.file or a.show then
    show_tiles(a, cnn.image.normalize(cnn.expand_dims(maps:transpose{3, 1, 2}, 4)), 64)
  end
  return maps
end

local kernel_arguments = {
  {"model", "model!"}, {"layer", "layer"}, {"count", "count", 64}, {"file", "path"}, {"show", "boolean", true},
}

--- What a convolution looks for: its kernels as pictures, of each filter one.
-- Kernels for 3 channels are in colours; of other numbers of channels the mean is seen; of depthwise and separable
-- convolutions each kernel, for it looks at one channel. Middle grey is 0, and the largest absolute value of each
-- kernel is white or black.
-- @function cnn.explain.kernels
-- @tparam model model
-- @tparam[opt] layer|string|int layer a convolution: itself, its name (also in a model inside) or its position;
-- default: the first that looks at more than single pixels
-- @tparam[opt=64] int count how many kernels are shown at most
-- @tparam[opt] string file a picture .png, .jpg or .bmp; without, they are drawn in the terminal
-- @tparam[opt=true] bool show false: nothing is drawn
-- @treturn tensor float32 {filters, height, width, 3 or 1} from 0 to 1
-- @raise a layer without kernels {height, width, channels, filters}
-- @usage
-- model = cnn.Sequential{layers.Conv2D{1, 2, input_shape = {4, 4, 1}}}
-- model:set_weights{cnn.tensor{1, 0, -2, 2}:reshape{2, 2, 1, 1}, {0}}
-- cnn.explain.kernels{model, show = false}:reshape{2, 2}
-- --> float32 (2, 2)
-- --> [[0.75 0.5 ]
-- -->  [0.   1.  ]]
function explain.kernels(...)
  local a = arguments("explain.kernels", kernel_arguments, ...)
  local call = map_call(a, first_convolution)
  local kernel = call.layer:get_weights()[1]
  local shape = kernel and kernel:shape() or {}
  if #shape ~= 4 then
    fail(("explain.kernels: layer '%s' has no kernels [height, width, channels, filters]"):format(call.layer.name))
  end
  if call.layer.class_name:find "Transpose" then kernel = kernel:transpose{1, 2, 4, 3} end
  if call.layer.class_name:find "Depthwise" or call.layer.class_name:find "Separable" then
    kernel = kernel:reshape{shape[1], shape[2], 1, -1} -- each of them looks at one channel
  end
  local pictures = kernel:transpose{4, 1, 2, 3} -- [filters, height, width, channels]
  local channels = pictures:shape(4)
  if channels ~= 3 then pictures = pictures:mean{4, keepdims = true} end
  local largest = pictures:abs():max{2, 3, 4, keepdims = true}
  pictures = pictures / largest:maximum(1e-30) * 0.5 + 0.5
  if a.file or a.show then show_tiles(a, pictures, 32) end
  return pictures
end
