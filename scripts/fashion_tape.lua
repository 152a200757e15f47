-- A convolutional network without layers: a class that holds its own weights, computes its output with the
-- functions of cnn.nn, and learns by asking a gradient tape how the loss changes with each weight.
-- fashion_sequential.lua is the same network in seven lines.
--
-- Ten 3×3 windows look at the picture, pooling keeps the strongest answer of each 2×2 cells, and two
-- dense layers tell ten kinds of clothes apart. Plain gradient descent, 128 pictures at a time.
--
--   cnnlua scripts/fashion_tape.lua --epochs 20 --out out

local cnn = require "cnn"
local nn = cnn.nn

local options = cnn.utils.script_options({...}, {
  epochs = 20,
  seed = 777,
  help = "fashion_tape.lua: a convolutional network from scratch, trained with a gradient tape.",
})

local ConvolutionNetwork = {}
ConvolutionNetwork.__index = ConvolutionNetwork

function ConvolutionNetwork.new(settings)
  return setmetatable({
    n_kernels = settings.n_kernels or 10,   -- windows of the convolution
    units = settings.units or 100,          -- neurons of the hidden layer
    batch_size = settings.batch_size or 32,
    optimizer = cnn.optimizers.SGD{settings.learning_rate or 0.1},
    losses = {}, val_losses = {},           -- one of each an epoch
  }, ConvolutionNetwork)
end

-- The way forward, from pictures {n, 28, 28, 1} to ten numbers each; the largest names the class.
function ConvolutionNetwork:forpass(x)
  -- 3×3 windows, padded so that the picture keeps its size: {n, 28, 28, 10}. One intercept a window is broadcast.
  local c_out = nn.conv2d(x, self.conv_w, {strides = 1, padding = "same"}) + self.conv_b
  local r_out = nn.relu(c_out)
  -- Half as high and half as wide: {n, 14, 14, 10}.
  local p_out = nn.max_pool2d(r_out, {ksize = 2, strides = 2, padding = "valid"})
  -- A row of 1960 numbers a picture.
  local f_out = p_out:reshape{#x, -1}
  local z1 = f_out:matmul(self.w1) + self.b1
  local a1 = nn.relu(z1)
  return a1:matmul(self.w2) + self.b2
end

-- Where descent begins matters in a network of this size: weights are drawn uniformly within a bound that
-- keeps the spread of signals equal from layer to layer (Glorot & Bengio 2010).
function ConvolutionNetwork:init_weights(input_shape, n_classes)
  local draw = cnn.initializers.GlorotUniform()
  local rows, columns, channels = table.unpack(input_shape, 2)
  local pooled = (rows // 2) * (columns // 2) * self.n_kernels
  self.conv_w = cnn.Variable{draw{3, 3, channels, self.n_kernels}, name = "conv_w"}
  self.conv_b = cnn.Variable{cnn.zeros{self.n_kernels}, name = "conv_b"}
  self.w1 = cnn.Variable{draw{pooled, self.units}, name = "w1"}
  self.b1 = cnn.Variable{cnn.zeros{self.units}, name = "b1"}
  self.w2 = cnn.Variable{draw{self.units, n_classes}, name = "w2"}
  self.b2 = cnn.Variable{cnn.zeros{n_classes}, name = "b2"}
end

function ConvolutionNetwork:weights()
  return {self.conv_w, self.conv_b, self.w1, self.b1, self.w2, self.b2}
end

-- One step: the tape watches the way forward, tells the gradient of the loss, and the optimizer goes down it.
function ConvolutionNetwork:training(x, y)
  local loss
  local tape <close> = cnn.GradientTape()
  local z = self:forpass(x)
  loss = nn.softmax_cross_entropy_with_logits(y, z):mean()
  local weights = self:weights()
  self.optimizer:apply_gradients(tape:gradient(loss, weights), weights)
  return loss:item()
end

-- Calls f with each batch of x and y, in the order given or shuffled.
function ConvolutionNetwork:batches(x, y, shuffle, f)
  local order = shuffle and cnn.random.permutation(#x)
  for first = 1, #x, self.batch_size do
    local last = math.min(first + self.batch_size - 1, #x)
    if order then
      local chosen = order:slice(first, last)
      f(x[chosen], y[chosen])
    else
      f(x:slice(first, last), y:slice(first, last))
    end
  end
end

function ConvolutionNetwork:fit(arguments)
  local x, y = arguments[1], arguments[2]
  if not self.conv_w then self:init_weights(x:shape(), y:shape(2)) end
  for epoch = 1, arguments.epochs do
    local sum = 0
    self:batches(x, y, arguments.shuffle ~= false, function(x_batch, y_batch)
      sum = sum + self:training(x_batch, y_batch) * #x_batch
    end)
    self.losses[epoch] = sum / #x
    self:update_val_loss(arguments.x_val, arguments.y_val)
    if arguments.verbose ~= 0 then
      local val_loss = self.val_losses[epoch]
      print(("epoch %d: loss %.4f%s"):format(epoch, self.losses[epoch],
        val_loss and (", validation loss %.4f"):format(val_loss) or ""))
    end
  end
end

-- The outputs of many pictures, computed a batch at a time.
function ConvolutionNetwork:outputs(x)
  local parts = {}
  self:batches(x, x, false, function(batch) parts[#parts + 1] = self:forpass(batch) end)
  return cnn.concat(parts)
end

-- Classes, from 0.
function ConvolutionNetwork:predict(x)
  return self:outputs(x):argmax(2) - 1
end

-- The share of pictures whose class is predicted; y is one-hot.
function ConvolutionNetwork:score(x, y)
  return self:predict(x):equal(y:argmax(2) - 1):mean():item()
end

function ConvolutionNetwork:update_val_loss(x_val, y_val)
  if not x_val then return end
  local loss = nn.softmax_cross_entropy_with_logits(y_val, self:outputs(x_val)):mean()
  self.val_losses[#self.val_losses + 1] = loss:item()
end

-- 1. The data, a fifth of it set aside for validation with as much of each class in both parts.
local x_train_all, y_train_all, x_test, y_test = cnn.datasets.fashion_mnist.load_data()
if options.limit and options.limit < #x_train_all then
  x_train_all, y_train_all = x_train_all:slice(1, options.limit), y_train_all:slice(1, options.limit)
end
local x_train, x_val, y_train, y_val = cnn.utils.train_test_split{
  x_train_all, y_train_all, stratify = y_train_all, test_size = 0.2, random_state = 777,
}

-- 2. Targets as rows with a 1 at the class.
local y_train_encoded = cnn.utils.to_categorical(y_train, 10)
local y_val_encoded = cnn.utils.to_categorical(y_val, 10)

-- 3. One channel of brightness, between 0 and 1.
local function prepare(images) return images:reshape{-1, 28, 28, 1} / 255 end
x_train, x_val, x_test = prepare(x_train), prepare(x_val), prepare(x_test)
print(("x_train: {%s}"):format(table.concat(x_train:shape(), ", ")))

-- 4. Training.
local network = ConvolutionNetwork.new{n_kernels = 10, units = 100, batch_size = 128, learning_rate = 0.01}
network:fit{x_train, y_train_encoded, x_val = x_val, y_val = y_val_encoded, epochs = options.epochs}

-- 5. The losses as curves, and how many pictures it has right.
if rawget(cnn, "plot") then
  cnn.plot{
    network.losses, network.val_losses, legend = {"train_loss", "val_loss"},
    xlabel = "epoch", ylabel = "loss", file = cnn.utils.output_path(options, "fashion_tape_loss.png"),
  }
end
local val_accuracy = network:score(x_val, y_val_encoded)
print(("validation accuracy: %.4f"):format(val_accuracy))
local accuracy = network:score(x_test, cnn.utils.to_categorical(y_test, 10))
print(("test accuracy: %.4f"):format(accuracy))

return {
  ConvolutionNetwork = ConvolutionNetwork, network = network, losses = network.losses,
  val_losses = network.val_losses, val_accuracy = val_accuracy, accuracy = accuracy,
  x_train = x_train, y_train = y_train_encoded, x_val = x_val, y_val = y_val_encoded,
}
