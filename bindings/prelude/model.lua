-- What models can do beyond training, written in Lua.

local cnn = ...

local methods = cnn.model_methods
cnn.model_methods = nil

--- What layers inside a model make of samples, for looking at.
-- @function model:activations
-- @tparam tensor x samples {n, …}; of several inputs a list of tensors
-- @tparam[opt] string|int|{string,...} names a layer's name or position, or a list of them; default: all layers
-- @treturn tensor the layer's result {n, …}; for a list, or all, a list of tensors
-- @raise a layer that is not there
-- @usage
-- model = cnn.Sequential{
--   layers.Conv2D{4, 3, activation = "relu", name = "conv", input_shape = {8, 8, 1}},
--   layers.Flatten{},
-- }
-- x = cnn.random.uniform{2, 8, 8, 1}
-- maps = model:activations(x, "conv")
-- maps:shape()                         --> {2, 6, 6, 4}
-- #model:activations(x)                --> 2
-- cnn.image.grid{maps, kind = "maps"}:shape()  --> {18, 34, 1}
function methods:activations(x, names)
  local list = type(names) == "table" and names or {names}
  if names == nil then
    for i, layer in ipairs(self.layers) do list[i] = layer.name end
  end
  local results = {}
  for i, name in ipairs(list) do
    if type(name) == "number" then name = self:get_layer(name).name end
    local part = cnn.Model{inputs = self.inputs, outputs = self:layer_output(name)}
    results[i] = part:predict{x, verbose = 0}
  end
  return (names == nil or type(names) == "table") and results or results[1]
end

-- The samples {x, y, sample_weight} without their last part, and that part.
local function split(samples, share)
  local whole = #samples[1]
  local count = math.floor(whole * (1 - share))
  local first, last = {}, {}
  for i, tensor in ipairs(samples) do
    first[i], last[i] = tensor:slice(1, count), tensor:slice(count + 1, whole)
  end
  return first, last
end

-- fit's arguments with a dataset in which x is augmented, in place of arrays.
local function augmented(given)
  local arguments = {}
  for name, value in pairs(given) do arguments[name] = value end
  for i, name in ipairs {"x", "y", "batch_size", "epochs", "verbose"} do
    arguments[name], arguments[i] = arguments[name] or arguments[i], nil
  end
  local x, augment = arguments.x, arguments.augment
  arguments.augment = nil
  if cnn.is_tensor(x) then
    local samples = {x, arguments.y, arguments.sample_weight}
    if arguments.validation_split and not arguments.validation_data then
      samples, arguments.validation_data = split(samples, arguments.validation_split)
    end
    x = cnn.data.Dataset.from_tensor_slices(samples)
    if arguments.shuffle ~= false then x = x:shuffle() end
    arguments.x = x:map(augment):batch(arguments.batch_size or 32)
    arguments.y, arguments.sample_weight, arguments.validation_split, arguments.batch_size = nil, nil, nil, nil
  else
    arguments.x = x:map(augment)
  end
  return arguments
end

local fit = methods.fit

-- model:fit{…, augment = …}; without augment, fit as it is.
function methods:fit(first, ...)
  local plain = type(first) == "table" and getmetatable(first) == nil
  if plain and first.augment ~= nil then first = augmented(first) end
  return fit(self, first, ...)
end
