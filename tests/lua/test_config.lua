-- Models as tables: what get_config tells of models, of layers written in Lua, and of calls that stay as in
-- inference.

local lu = require "luaunit"
local cnn = require "cnn"

local layers = cnn.layers
local eq = lu.assertEquals

TestConfig = {}

local function entry(model, name)
  for _, e in ipairs(model:get_config().layers) do
    if e.name == name or e.config.name == name then return e end
  end
end

function TestConfig.test_layers_keep_what_they_were_given_and_models_have_the_words_of_keras()
  local conv = layers.Conv2D{4, 3, kernel_initializer = "he_normal", input_shape = {8, 8, 1}, name = "conv"}
  local model = cnn.Sequential{conv, layers.LeakyReLU{0.1, name = "leaky"}}
  eq(conv:get_config().kernel_initializer, "he_normal")
  eq(conv.kernel_initializer, "he_normal")
  local written = entry(model, "conv").config
  eq(written.kernel_initializer, {class_name = "HeNormal", config = {}})
  eq(written.activation, "linear")
  eq(written.kernel_size, {3, 3})
  eq(entry(model, "leaky").config.alpha, 0.1)
  eq(model:get_config().layers[1].class_name, "InputLayer")
end

function TestConfig.test_a_layer_written_in_lua_tells_its_arguments()
  local Scale = layers.custom("Scale", {call = function(self, x) return x * self.factor end})
  local Own = layers.custom("Own", {
    call = function(_, x) return x end,
    get_config = function() return {answer = 42} end,
  })
  local Bad = layers.custom("Bad", {
    call = function(_, x) return x end,
    get_config = function() error "no config today" end,
  })
  local model = cnn.Sequential{Scale{factor = 3, input_shape = {2}, name = "scale"}, Own{name = "own"}}
  local written = entry(model, "scale")
  eq(written.class_name, "Scale")
  eq({written.config.factor, written.config.config, written.config.dtype}, {3, nil, "float32"})
  eq(entry(model, "own").config.answer, 42)
  local bad = cnn.Sequential{Bad{input_shape = {2}}}
  lu.assertErrorMsgContains("no config today", bad.get_config, bad)
end

function TestConfig.test_training_false_holds_in_training_too()
  for _, training in ipairs{"said", "not said"} do
    cnn.set_seed(1)
    local base = cnn.Sequential{layers.BatchNormalization{input_shape = {3}}, layers.Dropout{0.9}}
    local x = cnn.Input{3, name = "x"}
    local options = training == "said" and {training = false} or nil
    local model = cnn.Model{inputs = x, outputs = layers.Dense{1}(base(x, options))}
    model:compile{optimizer = cnn.optimizers.SGD{0}, loss = "mse"}
    local data, target = cnn.random.normal{64, 3} + 2, cnn.zeros{64, 1}
    local before = model:evaluate{data, target, verbose = 0}
    local loss = model:fit{data, target, epochs = 1, batch_size = 64, verbose = 0}.history.loss[1]
    local mean = base:get_weights()[3]:abs():max():item()
    if training == "said" then
      lu.assertAlmostEquals(loss, before, 1e-6)
      eq(mean, 0)
      eq(entry(model, base.name).inbound_nodes, {{{"x", 0, 0, {training = false}}}})
    else
      lu.assertTrue(math.abs(loss - before) > 1e-3)
      lu.assertTrue(mean > 0)
    end
  end
end

function TestConfig.test_a_models_input_within_another_cannot_be_told()
  local x = cnn.Input{3}
  local y = layers.Dense{2, name = "before"}(x)
  local model = cnn.Model{inputs = y, outputs = layers.Dense{1}(y)}
  lu.assertErrorMsgContains("is the result of layer 'before'", model.get_config, model)
end
