-- Models written in Lua: classes whose call wires their layers on the first data they see.

local cnn = ...

cnn.models = rawget(cnn, "models") or {}

local function shape_of(x)
  local shape = x:shape()
  table.remove(shape, 1)
  return shape
end

-- The symbolic inputs for data: of one tensor, or of each of a list.
local function inputs_for(x)
  if cnn.is_tensor(x) then return cnn.Input{shape = shape_of(x)} end
  local inputs = {}
  for i, part in ipairs(x) do inputs[i] = cnn.Input{shape = shape_of(part)} end
  return inputs
end

-- Keeps what __index of a model finds: the object's own fields, its class's, then those of the wired model.
local function find(object, class, key)
  local own = class[key]
  if own ~= nil then return own end
  local model = rawget(object, "model")
  if not model then return nil end
  local value = model[key]
  if type(value) ~= "function" then return value end
  return function(self, ...) return value(self == object and model or self, ...) end
end

--- A class of models written in Lua.
-- @string name
-- @tparam table class `init(self, arguments)` makes layers as fields of self; `call(self, x, training)` sends x through
-- them and returns the result. Further functions become methods.
-- @treturn function the constructor; what it makes is called, compiled, fitted and saved as any model. It is wired for
-- the shape of the first data it sees, or by model:build{nil or any number, sizes of a sample…}.
-- @usage
-- local Net = cnn.models.custom("Net", {
--   init = function(self) self.hidden, self.out = layers.Dense{16, activation = "relu"}, layers.Dense{1} end,
--   call = function(self, x) return self.out(self.hidden(x)) end,
-- })
-- local net = Net()
-- net:compile{optimizer = "adam", loss = "mse"}
-- net:fit{x, y, epochs = 5}
function cnn.models.custom(name, class)
  if type(name) ~= "string" then error("custom: 'name' must be a string, got " .. type(name), 2) end
  if type(class) ~= "table" or type(class.call) ~= "function" then
    error(("custom: %s must have a function 'call'"):format(name), 2)
  end
  local meta = {__name = name}

  local function wire(object, inputs)
    local model = cnn.Model{inputs = inputs, outputs = class.call(object, inputs, false), name = object.name}
    rawset(object, "model", model)
    if object.compiled then model:compile(object.compiled) end
    return model
  end

  local function wired(object, x)
    return rawget(object, "model") or wire(object, inputs_for(x))
  end

  local methods = {}

  function methods.compile(object, arguments)
    rawset(object, "compiled", arguments)
    if rawget(object, "model") then object.model:compile(arguments) end
  end

  function methods.build(object, shape)
    local sizes = {}
    for i = 2, #shape do sizes[i - 1] = shape[i] end
    if not rawget(object, "model") then wire(object, cnn.Input{shape = sizes}) end
  end

  for _, loop in ipairs{"fit", "evaluate", "predict", "train_on_batch"} do
    methods[loop] = function(object, first, ...)
      local x = first
      if not cnn.is_tensor(first) and type(first) == "table" then x = first.x or first[1] end
      local model = wired(object, x)
      return model[loop](model, first, ...)
    end
  end

  function meta.__index(object, key)
    local method = methods[key]
    if method then return method end
    return find(object, class, key)
  end

  function meta.__call(object, x, options)
    return wired(object, x)(x, options)
  end

  function meta.__tostring(object)
    local model = rawget(object, "model")
    return model and tostring(model) or ("<%s, not wired>"):format(name)
  end

  return function(arguments)
    local object = setmetatable({name = arguments and arguments.name}, meta)
    if class.init then class.init(object, arguments or {}) end
    return object
  end
end
