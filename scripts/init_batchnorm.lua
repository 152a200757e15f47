-- How a network starts decides whether it learns. Weights that are too large drive every activation to its limits,
-- weights that are too small let the signal die out from layer to layer; Xavier's and He's rules choose their spread
-- by the number of inputs, so that it stays the same. Batch normalization brings each layer's sums back to mean 0 and
-- deviation 1, whatever the weights.
--
--   cnnlua scripts/init_batchnorm.lua     prints spreads, trains eight networks; pictures in out/

local cnn = require "cnn"
local layers, initializers = cnn.layers, cnn.initializers

local options = cnn.utils.script_options({...}, {
  epochs = 5,
  help = "init_batchnorm.lua: initial weights and batch normalization.",
})

local rules = {
  {name = "naive 1", tanh = initializers.RandomNormal{stddev = 1}},
  {name = "naive 0.01", tanh = initializers.RandomNormal{stddev = 0.01}},
  {name = "Xavier", tanh = "glorot_normal"},
  {name = "He", relu = "he_normal"},
}

-- The activation a rule is made for, and its initializer.
local function of_rule(rule)
  return rule.tanh and "tanh" or "relu", rule.tanh or rule.relu
end

-- 1. A thousand random samples through five layers of 100 units: the spread of what comes out of each.
print "Standard deviation of the activations, layer by layer:"
local samples = cnn.random.normal{1000, 100}
local spreads = {}
for _, rule in ipairs(rules) do
  local activation, initializer = of_rule(rule)
  local x, line = samples, {}
  spreads[rule.name] = {}
  for depth = 1, 5 do
    x = layers.Dense{100, activation = activation, kernel_initializer = initializer}(x)
    spreads[rule.name][depth] = x:std():item()
    line[depth] = ("%7.4f"):format(spreads[rule.name][depth])
    cnn.plot{x:flatten(), kind = "hist", bins = 50, xlabel = "activation", ylabel = "count",
             title = ("%s, layer %d (%s)"):format(rule.name, depth, activation),
             file = cnn.utils.output_path(options, ("spread_%s_%d.png"):format(rule.name:gsub(" ", "_"), depth))}
  end
  print(("  %-10s %-4s %s"):format(rule.name, activation, table.concat(line, " ")))
end

-- 2. The same rules in a network that has to learn Fashion-MNIST, without and with batch normalization between each
-- layer's sums and its activation.
local x_train, y_train, x_test, y_test = cnn.datasets.fashion_mnist.load_data()
local function prepare(images, labels, most)
  local count = math.min(options.limit or most, most)
  return images:slice(1, count):reshape{count, 784} / 255, labels:slice(1, count)
end
x_train, y_train = prepare(x_train, y_train, 10000)
x_test, y_test = prepare(x_test, y_test, 10000)

local function network(rule, normalized)
  local activation, initializer = of_rule(rule)
  local model = cnn.Sequential()
  for depth = 1, 5 do
    model:add(layers.Dense{100, kernel_initializer = initializer, use_bias = not normalized,
                           input_shape = depth == 1 and {784} or nil})
    if normalized then model:add(layers.BatchNormalization()) end
    model:add(layers.Activation{activation})
  end
  model:add(layers.Dense{10, activation = "softmax"})
  model:compile{optimizer = cnn.optimizers.SGD{0.05}, loss = "sparse_categorical_crossentropy", metrics = {"accuracy"}}
  return model
end

local histories, legend, curves = {}, {}, {}
local accuracy
print(("\nLoss after each of %d epochs, and accuracy on the test pictures:"):format(options.epochs))
for _, normalized in ipairs{false, true} do
  for _, rule in ipairs(rules) do
    local name = rule.name .. (normalized and " + BN" or "")
    local model = network(rule, normalized)
    local history = model:fit{x_train, y_train, epochs = options.epochs, batch_size = 100, verbose = 0}
    local _, test_accuracy = model:evaluate{x_test, y_test, verbose = 0}
    local line = {}
    for epoch, loss in ipairs(history.history.loss) do line[epoch] = ("%6.3f"):format(loss) end
    print(("  %-15s %s   %.4f"):format(name, table.concat(line, " "), test_accuracy))
    histories[name], accuracy = history, test_accuracy
    legend[#legend + 1], curves[#curves + 1] = name, history.history.loss
  end
end

curves.legend, curves.title = legend, "Initial weights"
curves.xlabel, curves.ylabel = "epoch", "training loss"
curves.file = cnn.utils.output_path(options, "init_batchnorm_loss.png")
cnn.plot(curves)
print(("test accuracy: %.4f"):format(accuracy))

return {spreads = spreads, histories = histories, accuracy = accuracy}
