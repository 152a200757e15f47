-- Random wrong arguments, from a seed, for everything that cnn offers: nothing crashes, and each error is
-- a text that
-- says where or who.
-- luacheck: globals TestMisuse

local lu = require "luaunit"
local cnn = require "cnn"

local layers = cnn.layers
local ROUNDS = tonumber(os.getenv "CNNLUA_FUZZ_ROUNDS") or 60

-- What reads files or other sources, ends things or would take long on purpose.
local spared = {
  ["cnn.set_threads"] = true, ["cnn.plot"] = true, ["cnn.show"] = true, ["cnn.sleep"] = true,
}
local spared_parts = {datasets = true, repl = true, image = true, preprocessing = true, plot = true}
local spared_names = {save = true, load = true, fetch = true, download = true, script_options = true,
                      output_path = true, save_weights = true, load_weights = true, get_file = true,
                      savez = true, savez_compressed = true, save_safetensors = true, save_img = true}

local function model()
  local made = cnn.Sequential{layers.Dense{3, activation = "softmax", input_shape = {2}}}
  made:compile{optimizer = "sgd", loss = "sparse_categorical_crossentropy", metrics = {"accuracy"}}
  return made
end

local words = {"x", "relu", "same", "valid", "adam", "mse", "float32", "int32", "uint8", "l2", "zeros",
  "accuracy", "",
               "\0", "name", ("long"):rep(100), "\255\254", "%s%d%n"}
local keys = {"filters", "kernel_size", "units", "name", "x", "y", "epochs", "batch_size", "callbacks",
  "loss", "metrics",
              "optimizer", "verbose", "activation", "shape", "axis", "dtype", "inputs", "outputs",
                "input_shape",
              "class_name", "config", "validation_data", "sample_weight", "class_weight", "monitor",
                "print_fn"}

local value

local function closed()
  local t = cnn.ones{2, 2}
  t:close()
  return t
end

local function table_of_some(depth)
  local t = {}
  for _ = 1, math.random(0, 3) do t[#t + 1] = value(depth + 1) end
  for _ = 1, math.random(0, 3) do
    local v = value(depth + 1)
    if v ~= nil then t[keys[math.random(#keys)]] = v end
  end
  if math.random(20) == 1 then t[0] = 1 end
  if math.random(20) == 1 then t[1.5] = 1 end
  if math.random(20) == 1 then t[t] = t end
  if math.random(20) == 1 then t.self = t end
  if math.random(20) == 1 then setmetatable(t, {__index = function() error("within", 0) end}) end
  return t
end

local makers = {
  function() return nil end,
  function() return math.random(2) == 1 end,
  function() return math.random(-3, 9) end,
  function() return math.random() * 4 - 2 end,
  function() return ({0 / 0, math.huge, -math.huge, -0.0, 1e300, 2 ^ 53})[math.random(6)] end,
  function() return words[math.random(#words)] end,
  function() return function() end end,
  function() return function() error("within", 0) end end,
  function() return io.stdout end,
  function() return coroutine.create(print) end,
  function() return cnn.ones{math.random(0, 3), math.random(0, 3)} end,
  function() return cnn.ones({math.random(1, 4)}, ({"float32", "int32", "uint8"})[math.random(3)]) end,
  function() return cnn.zeros{1, 5, 5, math.random(1, 3)} end,
  function() return cnn.full({2, 2}, 0 / 0) end,
  closed,
  function() return cnn.Input{math.random(1, 3)} end,
  function() return layers.Dense{2} end,
  model,
  function() return cnn.optimizers.SGD{} end,
  function() return cnn.callbacks.EarlyStopping{} end,
}

function value(depth)
  if depth < 3 and math.random(4) == 1 then return table_of_some(depth) end
  return makers[math.random(#makers)]()
end

-- Calls f with what wrong values there are; an error must be a string with a place or a name in it.
local function attempt(who, f, ...)
  local count = math.random(0, 4)
  local arguments = table.pack(...)
  for i = 1, count do arguments[arguments.n + i] = value(0) end
  local good, message = pcall(f, table.unpack(arguments, 1, arguments.n + count))
  if good or message == "within" then return end
  lu.assertIsString(message, who)
  lu.assertTrue(message:find ":%d+: " ~= nil or message:find "'" ~= nil or message:find ": " ~= nil,
                who .. ": " .. message)
end

local function is_callable(v)
  return type(v) == "function"
end

-- Everything callable in a table, by name, so that runs repeat.
local function functions_of(t, prefix, list)
  local names = {}
  for name in next, t do
    if type(name) == "string" then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local v, full = rawget(t, name), prefix .. "." .. name
    if is_callable(v) and not spared[full] and not spared_names[name] then
      list[#list + 1] = {full, v}
    elseif type(v) == "table" and not spared_parts[name] and v ~= cnn then
      functions_of(v, full, list)
    end
  end
  return list
end

TestMisuse = {}

local output = io.output
local outside = {{os, "execute"}, {os, "remove"}, {os, "rename"}, {io, "popen"}}

function TestMisuse:setUp()
  math.randomseed(20)
  cnn.utils.set_random_seed(20)
  for _, entry in ipairs(outside) do
    entry.real = entry[1][entry[2]]
    entry[1][entry[2]] = function() error("within", 0) end
  end
  self.output = output()
  output(assert(io.open("/dev/null", "w")))
end

function TestMisuse:tearDown()
  output():close()
  output(self.output)
  for _, entry in ipairs(outside) do entry[1][entry[2]] = entry.real end
  cnn.set_threads(cnn.threads())
end

function TestMisuse.test_functions_and_constructors()
  for _, entry in ipairs(functions_of(cnn, "cnn", {})) do
    for _ = 1, ROUNDS do attempt(entry[1], entry[2]) end
  end
end

function TestMisuse.test_what_constructors_make_can_be_called()
  local list = functions_of(cnn.layers, "cnn.layers", {})
  for _ = 1, ROUNDS * 10 do
    local entry = list[math.random(#list)]
    local good, layer = pcall(entry[2], math.random(1, 3), math.random(1, 3), value(1))
    if good and not cnn.is_tensor(layer) then attempt(entry[1], layer) end
  end
end

-- Methods of an object, found by their names.
local methods = {
  "get_config", "get_weights", "set_weights", "count_params", "build", "add", "pop", "summary",
    "get_layer", "compile",
  "fit", "evaluate", "predict", "train_on_batch",
}

local function silent(f)
  return function(...)
    local arguments = table.pack(...)
    for i = 1, arguments.n do
      if type(arguments[i]) == "table" and not getmetatable(arguments[i]) then
        local verbose = rawget(arguments[i], "verbose")
        if verbose == nil or tonumber(verbose) or verbose == true then arguments[i].verbose = 0 end
      end
    end
    return f(table.unpack(arguments, 1, arguments.n))
  end
end

function TestMisuse.test_methods_of_layers_and_models()
  for _ = 1, ROUNDS do
    for _, object in ipairs{layers.Dense{2}, layers.Conv2D{2, 2}, model(), cnn.Sequential{}} do
      for _, name in ipairs(methods) do
        local good, method = pcall(function() return object[name] end)
        if good and method then
          if name == "fit" or name == "evaluate" or name == "predict" then method = silent(method) end
          if name == "fit" or name == "evaluate" or name == "predict" then
            attempt(name, method, object, setmetatable({}, nil))
          end
          if name ~= "fit" and name ~= "evaluate" and name ~= "predict" then attempt(name, method, object) end
          attempt(name, method)
        end
      end
      attempt("__index", function(o, k) return o[k] end, object)
      attempt("__newindex", function(o, k, v) o[k] = v end, object)
      attempt("__call", object)
      attempt("__eq", function(a, b) return a == b end, object)
    end
  end
end

function TestMisuse.test_fit_with_wrong_arguments_among_right_ones()
  local names = {"x", "y", "batch_size", "epochs", "callbacks", "validation_split", "validation_data",
    "shuffle",
                 "class_weight", "sample_weight", "initial_epoch", "steps_per_epoch", "validation_steps",
                 "validation_freq"}
  for _ = 1, ROUNDS * 5 do
    local arguments = {x = cnn.ones{4, 2}, y = cnn.tensor({0, 1, 2, 0}, "int32"), verbose = 0}
    for _ = 1, math.random(1, 2) do arguments[names[math.random(#names)]] = value(1) end
    local subject = model()
    local good, message = pcall(subject.fit, subject, arguments)
    if not good and message ~= "within" then
      lu.assertIsString(message)
      lu.assertStrContains(message, ": ")
    end
    lu.assertIsNumber((subject:evaluate{cnn.ones{4, 2}, {0, 1, 2, 0}, verbose = 0}))
  end
end

function TestMisuse.test_metamethods_called_by_hand()
  for _, object in ipairs{cnn.ones{2}, layers.Dense{2}, model(), cnn.callbacks.EarlyStopping{},
    cnn.optimizers.SGD{},
                          model().optimizer} do
    for _, entry in ipairs(functions_of(debug.getmetatable(object), "metatable", {})) do
      for _ = 1, ROUNDS do pcall(entry[2], value(0), value(0), value(0)) end
    end
  end
  local subject = layers.Dense{2}
  debug.getmetatable(subject).__gc(subject)
  attempt("collected", subject)
  attempt("collected", function() return subject.name end)
  local stopping = cnn.callbacks.EarlyStopping{}
  debug.getmetatable(stopping).__gc(stopping)
  attempt("collected", function() return stopping.patience end)
  local run = model()
  attempt("collected", function() run:fit{cnn.ones{1, 2}, {0}, verbose = 0, callbacks = {stopping}} end)
end

-- Shapes whose products, windows or steps leave the range of an int are refused, never computed with.
function TestMisuse.test_sizes_beyond_all_bounds()
  local huge = 2000000000
  local wide = cnn.Input{4, 4, 1}
  local cases = {
    {layers.UpSampling2D{{60000, 60000}}, cnn.Input{60000, 60000, 3}},
    {layers.Add(), {cnn.Input{huge, 1, 1, 1}, cnn.Input{1, huge, 1, 1}}},
    {layers.ZeroPadding2D{{{huge, huge}, {huge, huge}}}, wide},
    {layers.Cropping2D{{{huge, huge}, {huge, huge}}}, wide},
    {layers.Conv2DTranspose{2, 3, strides = huge}, wide},
    {layers.Conv2DTranspose{2, 3, dilation_rate = huge}, wide},
    {layers.Conv2D{2, 3, dilation_rate = huge}, wide},
    {layers.DepthwiseConv2D{3, dilation_rate = huge}, wide},
    {layers.Conv1D{2, 3, dilation_rate = huge}, cnn.Input{4, 1}},
  }
  for i, case in ipairs(cases) do
    local fine, message = pcall(case[1], case[2])
    lu.assertFalse(fine, "case " .. i)
    lu.assertEquals(type(message), "string")
  end
end
