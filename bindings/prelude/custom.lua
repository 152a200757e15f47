-- Models written in Lua: classes whose call wires their layers on the first data they see.

local cnn = ...

cnn.models = rawget(cnn, "models") or {}

-- The symbolic inputs for data: of one tensor, or of each of a list.
local function inputs_for(x)
  if not cnn.is_tensor(x) then
    local inputs = {}
    for i, part in ipairs(x) do inputs[i] = inputs_for(part) end
    return inputs
  end
  local shape = x:shape()
  table.remove(shape, 1)
  return cnn.Input{shape = shape}
end

local function wire(object, class, inputs)
  local model = cnn.Model{inputs = inputs, outputs = class.call(object, inputs, false), name = object.name}
  if object.compiled then model:compile(object.compiled) end
  object.model = model
  return model
end

local methods = {}

--- As a model's; may come before the model is wired.
function methods.compile(object, arguments)
  object.compiled = arguments
  local model = rawget(object, "model")
  if model then model:compile(arguments) end
end

for _, loop in ipairs{"fit", "evaluate", "predict", "train_on_batch"} do
  methods[loop] = function(object, first, ...)
    local x = first
    if type(first) == "table" then x = first.x or first[1] end
    if type(x) ~= "table" and not cnn.is_tensor(x) then
      error(("%s: expected samples, got %s"):format(loop, type(x)), 2)
    end
    local model = object:wired(x)
    return model[loop](model, first, ...)
  end
end

-- Of the wired model, for what the class and its objects do not have themselves.
local function model_field(object, key)
  local model = rawget(object, "model")
  if not model or key == "model" or key == "compiled" or key == "name" then return nil end
  local value = model[key]
  if type(value) ~= "function" then return value end
  return function(self, ...) return value(rawequal(self, object) and model or self, ...) end
end

--- A class of models written in Lua.
-- @string name
-- @tparam table class `init(self, arguments)` makes layers as fields of self; `call(self, x, training)` sends x
-- through them and returns the result, and is run on symbolic x (training is false: layers within know themselves).
-- Further functions become methods.
-- @treturn function the constructor. What it makes is called, compiled, fitted and so on as any model, which is wired
-- for the shape of the first data it sees or by build{any batch, sizes of a sample…}, and is then its field `model`.
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
  local own = {}

  function own.wired(object, x)
    return rawget(object, "model") or wire(object, class, inputs_for(x))
  end

  function own.build(object, shape)
    local sizes = table.move(shape, 2, #shape, 1, {})
    if not rawget(object, "model") then wire(object, class, cnn.Input{shape = sizes}) end
  end

  local meta = {
    __name = name,
    __index = function(object, key)
      return own[key] or methods[key] or class[key] or model_field(object, key)
    end,
    __call = function(object, x, options) return object:wired(x)(x, options) end,
    __tostring = function(object)
      local model = rawget(object, "model")
      return model and tostring(model) or ("<%s, not wired>"):format(name)
    end,
  }

  return function(arguments)
    local object = setmetatable({name = arguments and arguments.name}, meta)
    if class.init then class.init(object, arguments or {}) end
    return object
  end
end
