-- model:profile: a table of what the plan consists of, and a model that is afterwards as before.

local lu = require "luaunit"
local cnn = require "cnn"
local layers = cnn.layers

TestProfile = {}

local function network()
  cnn.set_seed(4)
  return cnn.Sequential{
    layers.Conv2D{8, 3, activation = "relu", name = "first", input_shape = {10, 10, 1}},
    layers.MaxPooling2D{2},
    layers.BatchNormalization{name = "norm"},
    layers.Flatten(),
    layers.Dropout{0.5, name = "drop"},
    layers.Dense{3, activation = "softmax", name = "last"},
  }
end

local function samples() return cnn.random.uniform{{40, 10, 10, 1}}, cnn.random.randint{{40}, 0, 3} end

local function profile(model, arguments)
  local text
  arguments.print_fn = function(given) text = given end
  model:profile(arguments)
  return text
end

local function weights(model)
  local values = {}
  for i, weight in ipairs(model:get_weights()) do values[i] = weight:tolist() end
  return values
end

function TestProfile.test_training_tells_passes_steps_and_layers()
  local model, x, y = network(), samples()
  model:compile{optimizer = "adam", loss = "sparse_categorical_crossentropy"}
  local text = profile(model, {x, y, batch_size = 16})
  lu.assertStrContains(text, model.name .. ": training, batch 16, ")
  lu.assertStrContains(text, "depth first: ")
  lu.assertStrContains(text, "the whole batch at once")
  lu.assertStrMatches(text, ".*\n  conv2d %+ relu %+ max_pool2d +first +[%d.]+ +[%d.]+ %% +%d+ +%d+ %%\n.*")
  lu.assertStrMatches(text, ".*\n  batch_normalization +norm .*")
  lu.assertStrMatches(text, ".*\n  dense +last .*")
  lu.assertStrContains(text, "memory: ")
  local share = 0
  for part in text:gmatch "([%d.]+) %%" do share = share + tonumber(part) end
  lu.assertTrue(share > 50)
end

function TestProfile.test_prediction_needs_no_compile_and_folds_batch_normalization()
  local model, x = network(), samples()
  local text = profile(model, {x})
  lu.assertStrContains(text, ": prediction, batch 32, ")
  lu.assertNotStrContains(text, "max_pool2d + batch")
  lu.assertStrContains(profile(model, {x, batch_size = 1000}), ": prediction, batch 40, ")
end

-- What comes after is what would have come without.
function TestProfile.test_the_model_is_as_before()
  local x, y = samples()
  local results = {}
  for i, profiled in ipairs{true, false} do
    local model = network()
    model:compile{optimizer = cnn.optimizers.SGD{0.1, momentum = 0.9}, loss = "sparse_categorical_crossentropy"}
    if profiled then profile(model, {x, y}) end
    cnn.set_seed(6)
    model:fit{x, y, epochs = 1, verbose = 0}
    local before, iterations = weights(model), model.optimizer.iterations
    if profiled then profile(model, {x, y}) end
    lu.assertEquals(weights(model), before)
    lu.assertEquals(model.optimizer.iterations, iterations)
    cnn.set_seed(7)
    model.layers[5].trainable = true
    model:fit{x, y, epochs = 1, shuffle = false, verbose = 0}
    results[i] = model.optimizer.iterations
  end
  lu.assertEquals(results[1], results[2])
end

function TestProfile.test_misuse()
  local model, x, y = network(), samples()
  lu.assertErrorMsgContains("missing argument 'x'", model.profile, model)
  lu.assertErrorMsgContains("must be compiled first", model.profile, model, x, y)
  lu.assertErrorMsgContains("'print_fn' must be a function", model.profile, model, {x, print_fn = 3})
  lu.assertErrorMsgContains("'batch_size'", model.profile, model, {x, batch_size = 0})
  lu.assertErrorMsgContains("expects x of shape", model.profile, model, cnn.zeros{4, 3})
  lu.assertErrorMsgContains("does not know its input's shape", function()
    cnn.Sequential{layers.Dense{2}}:profile{x}
  end)
end
