-- Models and weights to files and back, as a user writes it.

local lu = require "luaunit"
local cnn = require "cnn"
local raises = require "raises"
local layers = cnn.layers

TestSaving = {}

local made = {}

-- The name of a file that is gone when the tests are over.
local function path(ending)
  local name = os.tmpname()
  os.remove(name)
  made[#made + 1] = name .. ending
  return made[#made]
end

function TestSaving.tearDown()
  for _, name in ipairs(made) do os.remove(name) end
  made = {}
end

local function samples()
  cnn.set_seed(5)
  return cnn.random.uniform{{48, 12, 12, 1}}, cnn.random.randint{{48}, 0, 10}
end

local function compiled(model, optimizer)
  model:compile{optimizer = optimizer or "adam", loss = "sparse_categorical_crossentropy", metrics = {"accuracy"}}
  return model
end

local function network()
  return cnn.Sequential{
    layers.Conv2D{6, 3, activation = "relu", input_shape = {12, 12, 1}},
    layers.BatchNormalization(),
    layers.Conv2D{6, 3, kernel_regularizer = "l2"},
    layers.MaxPooling2D{2},
    layers.Dropout{0.25},
    layers.Flatten(),
    layers.Dense{10, activation = "softmax"},
  }
end

local function assert_equal_weights(a, b)
  a, b = a:get_weights(), b:get_weights()
  lu.assertEquals(#a, #b)
  for i in ipairs(a) do lu.assertTrue(a[i]:equal(b[i]):min():item() == 1, "weight " .. i) end
end

-- Training with dropout, shuffling and a rate that has no short decimal goes on after loading as if never interrupted.
local function test_goes_on(ending, optimizer)
  local x, y = samples()
  local model = compiled(network(), optimizer)
  model:fit{x, y, batch_size = 16, epochs = 2, verbose = 0}
  local file = path(ending)
  model:save(file)
  local loaded = cnn.load_model(file)
  assert_equal_weights(model, loaded)
  lu.assertEquals(loaded.optimizer.learning_rate, model.optimizer.learning_rate)
  for _, each in ipairs{model, loaded} do
    cnn.set_seed(9)
    each:fit{x, y, batch_size = 16, epochs = 2, verbose = 0}
  end
  assert_equal_weights(model, loaded)
  lu.assertEquals({loaded:evaluate{x, y, verbose = 0}}, {model:evaluate{x, y, verbose = 0}})
end

for _, ending in ipairs{".keras", ".h5", ".hdf5"} do
  local name = "test_training_goes_on_after_" .. ending:sub(2)
  TestSaving[name .. "_adam"] = function() test_goes_on(ending, cnn.optimizers.Adam{0.1 / 3, amsgrad = true}) end
  TestSaving[name .. "_sgd"] = function() test_goes_on(ending, cnn.optimizers.SGD{0.1 / 7, momentum = 0.9}) end
  TestSaving[name .. "_schedule"] = function()
    local rate = cnn.optimizers.schedules.ExponentialDecay{0.01, 3, 0.9}
    test_goes_on(ending, cnn.optimizers.RMSprop{rate, centered = true})
  end
end

function TestSaving.test_losses_metrics_and_weights_of_several_outputs()
  local inputs = cnn.Input{8}
  local body = layers.Dense{6, activation = "relu"}(inputs)
  local digit = layers.Dense{3, activation = "softmax", name = "digit"}(body)
  local odd = layers.Dense{1, name = "odd"}(body)
  local model = cnn.Model{inputs = inputs, outputs = {digit, odd}}
  model:compile{
    optimizer = "sgd", loss_weights = {1, 0.5},
    loss = {"sparse_categorical_crossentropy", cnn.losses.BinaryCrossentropy{from_logits = true}},
    metrics = {{"accuracy"}, {cnn.metrics.BinaryAccuracy{name = "right", threshold = 0.25}, "mae"}},
  }
  local x = cnn.random.uniform{{9, 8}}
  local y = {cnn.random.randint{{9}, 0, 3}, cnn.random.randint{{9, 1}, 0, 2}}
  for _, ending in ipairs{".keras", ".h5"} do
    local file = path(ending)
    model:save(file)
    local loaded = cnn.load_model(file)
    lu.assertEquals(loaded:evaluate{x, y, verbose = 0, return_dict = true},
                    model:evaluate{x, y, verbose = 0, return_dict = true})
  end
end

function TestSaving.test_without_optimizer_or_compile()
  local model, bare, whole = compiled(network()), path ".keras", path ".h5"
  model:save{bare, include_optimizer = false}
  lu.assertNil(cnn.load_model(bare).optimizer)
  model:save(whole)
  lu.assertNotNil(cnn.load_model(whole).optimizer)
  lu.assertNil(cnn.load_model{whole, compile = false}.optimizer)
end

function TestSaving.test_json_keeps_the_architecture()
  local model = network()
  local again = cnn.model_from_json(model:to_json())
  lu.assertEquals(again:to_json(), model:to_json())
  lu.assertEquals(again:get_config(), model:get_config())
  lu.assertEquals(again:count_params(), model:count_params())
end

function TestSaving.test_weights_alone_fit_a_model_whose_layers_have_other_names()
  local model = network()
  for _, ending in ipairs{".weights.h5", ".h5", ".safetensors"} do
    local file, other = path(ending), network()
    model:save_weights(file)
    lu.assertNotEquals(other.layers[1].name, model.layers[1].name)
    other:load_weights(file)
    assert_equal_weights(model, other)
  end
  local file, other = path ".keras", network()
  model:save(file)
  other:load_weights(file)
  assert_equal_weights(model, other)
end

function TestSaving.test_by_name_and_skip_mismatch()
  local function net(units, name)
    return cnn.Sequential{
      layers.Dense{4, name = "body", input_shape = {3}}, layers.Dense{units, name = name or "head"},
    }
  end
  local model = net(2)
  for _, ending in ipairs{".h5", ".weights.h5", ".safetensors"} do
    local file = path(ending)
    model:save_weights(file)
    local other = net(2, "tail")
    other:load_weights{file, by_name = true}
    lu.assertEquals(other.layers[1]:get_weights()[1]:tolist(), model.layers[1]:get_weights()[1]:tolist())
    lu.assertNotEquals(other.layers[2]:get_weights()[1]:tolist(), model.layers[2]:get_weights()[1]:tolist())

    local wider = net(5)
    local before = wider:get_weights()[1]:tolist()
    raises("head", wider.load_weights, wider, file)
    lu.assertEquals(wider:get_weights()[1]:tolist(), before, "nothing changes where something does not fit")
    wider:load_weights{file, skip_mismatch = true}
    lu.assertEquals(wider:get_weights()[1]:tolist(), model:get_weights()[1]:tolist())
  end
end

function TestSaving.test_layers_written_in_lua_come_back_through_custom_objects()
  local Scale = layers.custom("Scale", {
    build = function(self, shape)
      self.gain = self:add_weight{name = "gain", shape = {shape[#shape]}, initializer = "ones"}
    end,
    call = function(self, x) return x * self.gain * self.factor end,
  })
  local model = cnn.Sequential{layers.Dense{4, input_shape = {3}}, Scale{factor = 2.5}, layers.Dense{1}}
  local x = cnn.random.uniform{{5, 3}}
  for _, ending in ipairs{".keras", ".h5"} do
    local file = path(ending)
    model:save(file)
    raises("custom_objects = {Scale = …}", cnn.load_model, file)
    raises("must make a layer", cnn.load_model, {file, custom_objects = {Scale = function() return 1 end}})
    raises("no such thing", cnn.load_model,
                 {file, custom_objects = {Scale = function() error "no such thing" end}})
    local loaded = cnn.load_model{file, custom_objects = {Scale = Scale}}
    lu.assertEquals(loaded:predict{x, verbose = 0}:tolist(), model:predict{x, verbose = 0}:tolist())
  end
end

function TestSaving.test_errors_name_the_file_and_what_is_wrong()
  local model = network()
  raises("save: the name must end in .keras, .h5 or .hdf5, got model.pt", model.save, model, "model.pt")
  raises("use save_weights", model.save, model, "model.weights.h5")
  raises("save: cannot write /nowhere/m.keras: No such file or directory", model.save, model, "/nowhere/m.keras")
  raises("save: 'filepath' must be the name of a file, got nil", model.save, model)
  raises("does not know its input's shape", function() cnn.Sequential{layers.Dense{2}}:save "m.keras" end)
  raises("load_model: cannot open /nowhere/m.h5: No such file", cnn.load_model, "/nowhere/m.h5")
  raises("is a folder", cnn.load_model, "/")
  raises("'custom_objects' must be a table", cnn.load_model, {"m.h5", custom_objects = 3})
  local weights, text = path ".h5", path ".keras"
  model:save_weights(weights)
  raises("holds weights alone", cnn.load_model, weights)
  io.open(text, "w"):write "hello":close()
  raises(text .. " is not a model", cnn.load_model, text)
  raises("is no file of weights", model.load_weights, model, text)
  raises("model_from_json: not JSON", cnn.model_from_json, "{")
  raises("model_from_json: a model must have a 'class_name'", cnn.model_from_json, "{}")
end

function TestSaving.test_a_closed_model_is_refused()
  for _, name in ipairs{"save", "save_weights", "load_weights", "to_json"} do
    local model = network()
    local method = model[name]
    getmetatable(model).__gc(model)
    raises("the model is closed", method, model, "m.h5")
  end
end

-- Opening a pipe that nobody writes to would wait for ever.
function TestSaving.test_pipes_are_refused()
  local pipe = path ".h5"
  if not os.execute("mkfifo " .. pipe) then lu.skip "no mkfifo here" end
  raises("expected a file, got a device or pipe", cnn.load_model, pipe)
  local model = network()
  raises("expected a file, got a device or pipe", model.load_weights, model, pipe)
end

-- The layers of kinds go together in the order of their numbers, not of their letters: dense_10 comes after dense_9.
function TestSaving.test_safetensors_of_many_layers_numbered_otherwise()
  local function deep(first)
    local list = {}
    for i = 1, 400 do
      list[i] = layers.Dense{1, name = "dense_" .. first + i, input_shape = i == 1 and {1} or nil,
                             bias_initializer = "uniform"}
    end
    return cnn.Sequential(list)
  end
  local model, other, file = deep(0), deep(7), path ".safetensors"
  model:save_weights(file)
  local start = os.clock()
  other:load_weights(file)
  lu.assertTrue(os.clock() - start < 1, "a time that grows with the cube of the layers")
  assert_equal_weights(model, other)
end

function TestSaving.test_safetensors_tell_which_variable_the_file_lacks()
  local function net(...)
    return cnn.Sequential{layers.Dense{2, name = (...), input_shape = {2}}, layers.Dense{2, name = select(2, ...)}}
  end
  local file, model = path ".safetensors", net("b", "c")
  net("a", "b"):save_weights(file)
  raises("the file has no 'c/", model.load_weights, model, file)
end

-- A loop of saving and loading holds neither memory nor descriptors.
function TestSaving.test_nothing_is_left_behind()
  local model, file = compiled(network()), path ".keras"
  -- The least of some counts: the parent may not have closed the far end of the pipe yet.
  local function descriptors()
    local least = math.huge
    for _ = 1, 8 do
      local pipe = io.popen "ls /proc/$PPID/fd | wc -l"
      least = math.min(least, pipe:read "n")
      pipe:close()
    end
    return least
  end
  local before
  for i = 1, 6 do
    model:save(file)
    cnn.load_model(file)
    pcall(cnn.load_model, "/nowhere")
    if i == 2 then before = descriptors() end
  end
  lu.assertEquals(descriptors(), before)
end
