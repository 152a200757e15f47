-- Layers and models written in Lua.
-- luacheck: globals TestCustomLayers TestCustomModels

local lu = require "luaunit"
local cnn = require "cnn"
local raises = require "raises"

local eq, layers = lu.assertEquals, cnn.layers

local function scale_class()
  return layers.custom("Scale", {
    build = function(self, shape)
      self.gain = self:add_weight{name = "gain", shape = {shape[#shape]}, initializer = "ones"}
    end,
    call = function(self, x) return x * self.gain end,
  })
end

TestCustomLayers = {setUp = function() cnn.backend.clear_session() end}

function TestCustomLayers.test_called_on_values()
  local scale = scale_class(){}
  eq(scale(cnn.tensor{{1, 2}}):tolist(), {{1, 2}})
  scale.gain:assign{10, 100}
  eq(scale(cnn.tensor{{1, 2}}):tolist(), {{10, 200}})
  eq(scale.gain.trainable, true)
  eq(#scale.weights, 1)
  eq(scale:count_params(), 2)
end

function TestCustomLayers.test_trains_in_fit()
  cnn.utils.set_random_seed(3)
  local Scale = scale_class()
  local model = cnn.Sequential{Scale{input_shape = {3}}, layers.Dense{1}}
  model:compile{optimizer = cnn.optimizers.Adam{0.05}, loss = "mse"}
  local x = cnn.random.normal{128, 3}
  local losses = model:fit{x, x:sum{2, keepdims = true}, epochs = 30, verbose = 0}.history.loss
  lu.assertTrue(losses[30] < losses[1] / 10)
  lu.assertFalse(cnn.allclose(model.layers[1].gain, cnn.ones{3}))
  local lines = {}
  model:summary{print_fn = function(line) lines[#lines + 1] = line end}
  lu.assertStrMatches(table.concat(lines, "\n"), ".*scale %(Scale%)%s+%(None, 3%)%s+3.*")
end

function TestCustomLayers.test_gradients()
  local scale, x = scale_class(){}, cnn.tensor{{1, 2}, {3, 4}}
  scale:build{1, 2}
  local tape <close> = cnn.GradientTape()
  local g = tape:gradient(scale(x):sum(), scale.trainable_weights)
  eq(g[1]:tolist(), {4, 6})
end

function TestCustomLayers.test_config_makes_an_equal_layer()
  local Power = layers.custom("Power", {
    arguments = {"exponent", "scale"},
    init = function(self) self.scale = self.scale or 1 end,
    call = function(self, x) return x ^ self.exponent * self.scale end,
  })
  local first = Power{3, name = "cube"}
  local config = first:get_config()
  eq(config.exponent, 3)
  eq(config.name, "cube")
  local second = Power(config)
  eq(second.name, "cube")
  eq(second(cnn.tensor{{2}}):tolist(), {{8}})
  raises("unknown argument 'exponnt' (did you mean 'exponent'?)", Power, {exponnt = 3})
  raises("takes at most 2", Power, {1, 2, 3})
end

function TestCustomLayers.test_get_config_of_its_own()
  local Own = layers.custom("Own", {
    call = function(_, x) return x end,
    get_config = function(self) return {doubled = self.value * 2} end,
  })
  eq(Own{value = 4}:get_config().doubled, 8)
end

function TestCustomLayers.test_layers_within()
  local Block = layers.custom("Block", {
    init = function(self)
      self.first = layers.Dense{4, activation = "relu"}
      self.others = {layers.Dense{3}, layers.Dropout{0.5}}
    end,
    call = function(self, x, training)
      x = self.first(x)
      for _, layer in ipairs(self.others) do x = layer(x, {training = training}) end
      return x
    end,
  })
  local model = cnn.Sequential{Block{input_shape = {2}}, layers.Dense{1}}
  eq(model:count_params(), 12 + 15 + 4)
  eq(#model.layers[1].weights, 4)
  eq(model.layers[1].weights[1]:shape(), {2, 4})
  model.layers[1].trainable = false
  eq(#model.layers[1].trainable_weights, 0)
  eq(model.layers[1].first.trainable, false)
  model:compile{optimizer = "sgd", loss = "mse"}
  model:fit{cnn.ones{8, 2}, cnn.ones{8, 1}, verbose = 0}
end

function TestCustomLayers.test_several_inputs()
  local Mix = layers.custom("Mix", {
    build = function(self, shapes) self.count = #shapes end,
    call = function(self, inputs) return (inputs[1] + inputs[2]) / self.count end,
  })
  local a, b = cnn.Input{2}, cnn.Input{2}
  local model = cnn.Model{inputs = {a, b}, outputs = Mix{}({a, b})}
  eq(model({cnn.ones{1, 2}, cnn.ones{1, 2} * 3}):tolist(), {{2, 2}})
end

function TestCustomLayers.test_errors_say_where()
  local Bad = layers.custom("Bad", {call = function(_, x) return x + undefined_name.field end}) -- luacheck: ignore
  raises("test_custom.lua:", Bad{}, cnn.ones{1, 2})
  raises("undefined_name", function() cnn.Sequential{Bad{input_shape = {2}}} end)
  local Nothing = layers.custom("Nothing", {call = function() end})
  raises("call must return a tensor, got nil", Nothing{}, cnn.ones{1, 2})
  local Constant = layers.custom("Constant", {call = function() return cnn.ones{1} end})
  raises("does not depend on its input", Constant{}, cnn.Input{2})
  local Late = layers.custom("Late", {call = function(self, x) self:add_weight{name = "w"} return x end})
  raises("is built already", Late{}, cnn.ones{1, 2})
  local Broken = layers.custom("Broken", {init = function() error "no" end, call = function(_, x) return x end})
  raises("no", Broken, {})
  raises("'call' of X must be a function", layers.custom, "X", {})
  raises("'name' must be a string", layers.custom, 5, {call = print})
  raises("expected a layer written in Lua", scale_class(){}.add_weight, layers.Dense{1}, {name = "w"})
end

function TestCustomLayers.test_circles_and_many_of_them_do_no_harm()
  local Scale = scale_class()
  for _ = 1, 200 do
    local layer = Scale{}
    layer(cnn.ones{1, 2})
    layer.itself = layer
    local model = cnn.Sequential{Scale{input_shape = {2}}}
    model.layers[1].model = model
  end
  collectgarbage()
  collectgarbage()
end

TestCustomModels = {}

local function net_class()
  return cnn.models.custom("Net", {
    init = function(self, arguments)
      self.hidden = layers.Dense{arguments.units or 8, activation = "relu"}
      self.out = layers.Dense{1}
    end,
    call = function(self, x) return self.out(self.hidden(x)) end,
    twice = function(self, x) return self(x) * 2 end,
  })
end

function TestCustomModels.test_wired_by_the_first_data()
  cnn.utils.set_random_seed(1)
  local net = net_class(){units = 16}
  net:compile{optimizer = cnn.optimizers.Adam{0.05}, loss = "mse"}
  local x = cnn.random.normal{64, 3}
  local losses = net:fit{x, x:sum{2, keepdims = true}, epochs = 20, verbose = 0}.history.loss
  lu.assertTrue(losses[20] < losses[1] / 4)
  eq(net:count_params(), 3 * 16 + 16 + 17)
  eq(net:predict{x, verbose = 0}:shape(), {64, 1})
  lu.assertTrue(cnn.allclose(net:twice(x), net(x) * 2))
  eq(net.hidden.kernel:shape(), {3, 16})
end

function TestCustomModels.test_wired_by_a_dataset_or_numbers()
  local net = net_class()()
  net:compile{optimizer = "sgd", loss = "mse"}
  local dataset = cnn.data.Dataset.from_tensor_slices{cnn.ones{4, 3}, cnn.ones{4, 1}}:batch(2)
  eq(#net:fit{dataset, epochs = 2, verbose = 0}.history.loss, 2)
  eq(#net:fit{dataset, verbose = 0}.history.loss, 1)
  eq(net.hidden.kernel:shape(), {3, 8})
  eq(net_class()():predict{{{1, 2}, {3, 4}}, verbose = 0}:shape(), {2, 1})
  raises("fit: expected samples, got number", net_class()().fit, net_class()(), {3})
  raises("Net: expected a table of arguments, got number", net_class(), 3)
end

function TestCustomModels.test_build()
  local net = net_class()()
  net:build{false, 5}
  eq(net:count_params(), 5 * 8 + 8 + 9)
  raises("must have a function 'call'", cnn.models.custom, "X", {})
end
