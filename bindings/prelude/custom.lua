-- Models written in Lua: classes whose call wires their layers on the first data they see.

local cnn = ...

cnn.models = rawget(cnn, "models") or {}
for _, name in ipairs{"Sequential", "Model", "load_model", "model_from_json"} do cnn.models[name] = cnn[name] end

-- The symbolic inputs for data: of one tensor, or of each of a list.
local function inputs_for(x)
  if not cnn.is_tensor(x) and not cnn.is_tensor(x[1]) then x = cnn.tensor(x) end
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

-- As a model's; may come before the model is wired.
function methods.compile(object, arguments)
  object.compiled = arguments
  local model = rawget(object, "model")
  if model then model:compile(arguments) end
end

-- The samples among a loop's arguments, of which the first is given; of a dataset, its first batch.
local function samples_of(loop, first)
  local x = first
  if type(first) == "table" then x = first.x or first[1] end
  local dataset = type(x) == "userdata" and (debug.getmetatable(x) or {}).__name == "dataset"
  if dataset then x = x:take(1):iter()() end
  if type(x) ~= "table" and not cnn.is_tensor(x) then
    error(("%s: expected samples, got %s"):format(loop, type(x)), 3)
  end
  return x
end

for _, loop in ipairs{"fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch"} do
  methods[loop] = function(object, first, ...)
    local model = rawget(object, "model") or object:wired(samples_of(loop, first))
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

--- Makes a class of models written in Lua, as a subclass of Keras's Model.
-- An object is compiled, fitted, called and so on as any model. Its layers are wired for the shape of the first
-- data it sees, or by build{any batch, sizes of a sample…}; that is its field `model`, which is an ordinary model.
-- Nothing of Lua runs in training. The class's functions:
-- - init(self, arguments) makes layers as fields of self
-- - call(self, x, training) sends x through them and returns the result
-- - any others become methods
--
-- call is run on symbolic tensors: once, with training false, for layers within know themselves what differs in
-- training. A dataset must give x as its first tensor.
-- @function cnn.models.custom
-- @tparam string name of the class
-- @tparam table class call, and perhaps init and others
-- @treturn function the constructor, which takes a table of arguments; `name` among them is the model's
-- @raise a class without call
-- @usage
-- Net = cnn.models.custom("Net", {
--   init = function(self, arguments)
--     self.hidden = layers.Dense{arguments.units, activation = "relu"}
--     self.out = layers.Dense{1}
--   end,
--   call = function(self, x) return self.out(self.hidden(x)) end,
-- })
-- net = Net{units = 16}
-- net:compile{optimizer = "adam", loss = "mse"}
-- history = net:fit{cnn.zeros{8, 4}, cnn.zeros{8, 1}, epochs = 2, verbose = 0}
-- net:count_params()                   --> 97
-- net(cnn.zeros{3, 4}):shape()         --> {3, 1}
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
    if type(arguments) ~= "table" and arguments ~= nil then
      error(("%s: expected a table of arguments, got %s"):format(name, type(arguments)), 2)
    end
    local object = setmetatable({name = arguments and arguments.name}, meta)
    if class.init then class.init(object, arguments or {}) end
    return object
  end
end
