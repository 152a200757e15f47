-- What models can do beyond training, written in Lua.

local cnn = ...

local methods = cnn.model_methods
cnn.model_methods = nil

--- The results of layers inside a model, for looking at: model:activations(x, "conv2d").
-- @param x samples: a tensor {n, …}
-- @param names a layer's name or position, or a list of them; by default all layers
-- @treturn tensor the layer's results {n, …}; for a list, a list of them
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
