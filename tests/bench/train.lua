-- How fast the networks of scripts/ train and predict, on random pictures of the right shape.
--
--   cnnlua tests/bench/train.lua --net mnist [--seconds 3] [--threads 2] [--json]
--
-- prints one line (with --json one JSON object with the keys of torch_peer.py, which does the same work in
-- PyTorch):
--   train_images_per_second       train_on_batch: forward, loss, backward and optimizer step
--   inference_images_per_second   predict, with the training batch size
--   peak_memory_mb                VmHWM of a process that only trains
--   parameters, train_mflop_per_image, inference_mflop_per_image
--                                 what convolutions and dense layers must do: two for each multiply-add
--
-- Each measurement has a process of its own, warmed up before the clock starts. It is split into windows, and
-- the fastest counts: other programs only ever slow one down. --task train or --task inference measures in
-- this process and prints bare numbers; a profiler wants it so.

local cnn = require "cnn"
local layers = cnn.layers

local WINDOWS = 5
local BATCHES = 4 -- different batches that the loops go round

local function conv(filters, options)
  options = options or {}
  return layers.Conv2D{
    filters, 3, activation = "relu", padding = options.padding, input_shape = options.input_shape,
  }
end

local function pool() return layers.MaxPooling2D{2} end

local function dense(units, activation) return layers.Dense{units, activation = activation or "relu"} end

-- What each script trains: its network, optimizer, loss and batch size.
local nets = {
  mnist = {
    shape = {28, 28, 1}, classes = 10, batch_size = 32,
    optimizer = "adam", loss = "sparse_categorical_crossentropy",
    build = function(shape)
      return cnn.Sequential{
        conv(32, {input_shape = shape}), pool(), conv(64), pool(), conv(64), pool(),
        layers.Flatten(), dense(64), dense(10, "softmax"),
      }
    end,
  },
  mnist_dropout = {
    shape = {28, 28, 1}, classes = 10, batch_size = 200,
    optimizer = "adam", loss = "categorical_crossentropy",
    build = function(shape)
      return cnn.Sequential{
        conv(32, {input_shape = shape}), conv(64), pool(), layers.Dropout{0.25},
        layers.Flatten(), dense(128), layers.Dropout{0.5}, dense(10, "softmax"),
      }
    end,
  },
  mnist_functional = {
    shape = {28, 28, 1}, classes = 10, batch_size = 64,
    optimizer = "rmsprop", loss = "sparse_categorical_crossentropy",
    build = function(shape)
      local inputs = cnn.Input(shape)
      local x = pool()(conv(32)(inputs))
      x = pool()(conv(64)(x))
      x = layers.Flatten()(conv(128)(x))
      return cnn.Model{inputs = inputs, outputs = dense(10, "softmax")(x)}
    end,
  },
  fashion_sequential = {
    shape = {28, 28, 1}, classes = 10, batch_size = 32,
    optimizer = "adam", loss = "categorical_crossentropy",
    build = function(shape)
      return cnn.Sequential{
        conv(10, {padding = "same", input_shape = shape}), pool(), layers.Flatten(), layers.Dropout{0.5},
        dense(100), dense(10, "softmax"),
      }
    end,
  },
  cats_dogs_augmented = {
    shape = {180, 180, 3}, classes = 1, batch_size = 32,
    optimizer = "rmsprop", loss = "binary_crossentropy",
    build = function(shape)
      return cnn.Sequential{
        layers.Rescaling{1 / 255, input_shape = shape},
        conv(32), pool(), conv(64), pool(), conv(128), pool(), conv(256), pool(), conv(256),
        layers.Flatten(), layers.Dropout{0.5}, dense(1, "sigmoid"),
      }
    end,
  },
}

-- Pictures in [0, 1), colour in [0, 256), and labels as the loss takes them.
local function random_batches(net)
  local batches = {}
  for i = 1, BATCHES do
    local brightest = net.shape[3] == 3 and 256 or 1
    local x = cnn.random.uniform{{net.batch_size, table.unpack(net.shape)}, 0, brightest}
    local y = cnn.random.randint{{net.batch_size}, 0, math.max(net.classes, 2)}
    if net.classes == 1 then
      y = y:reshape{net.batch_size, 1}:astype "float32"
    elseif net.loss == "categorical_crossentropy" then
      y = cnn.utils.to_categorical{y, net.classes}
    end
    batches[i] = {x, y}
  end
  return batches
end

-- Pixels of a feature map, 1 of a vector.
local function positions(x)
  local shape = x:shape()
  return #shape == 4 and shape[2] * shape[3] or 1
end

-- Millions of operations an image: of training, and of the forward pass alone. Training does each layer's
-- work three times, but nothing wants the gradient of the picture. Pixels that no window of a following
-- pooling holds need not be computed.
local function mflop(model)
  local works, x = {}, model.inputs[1]
  for _, layer in ipairs(model.layers) do
    local before = x
    if layer.class_name ~= "InputLayer" then x = layer(x) end
    if layer.class_name == "MaxPooling2D" then
      works[#works] = works[#works] * 4 * positions(x) / positions(before)
    elseif layer.kernel then
      works[#works + 1] = 2e-6 * positions(x)
      for _, size in ipairs(layer.kernel:shape()) do works[#works] = works[#works] * size end
    end
  end
  local forward = 0
  for _, work in ipairs(works) do forward = forward + work end
  return 3 * forward - works[1], forward
end

-- Seconds since some moment. It takes a few milliseconds to tell, as it starts `date`.
local function now()
  local pipe <close> = assert(io.popen "date +%s.%N")
  return assert(pipe:read "n", "date +%s.%N did not give a number")
end

-- Images per second of step(x, y), after a warm-up of at least three steps and half a second.
local function rate(step, batches, batch_size, seconds)
  local function time(steps)
    local start = now()
    for i = 1, steps do step(table.unpack(batches[i % #batches + 1])) end
    return now() - start
  end
  time(3)
  local steps, took = 1, 0
  while took < 0.25 do
    steps = 2 * steps
    took = time(steps)
  end
  steps = math.max(1, math.ceil(steps / took * seconds / WINDOWS))
  local fastest, empty = math.huge, math.huge -- the time of no steps is that of now() itself
  for _ = 1, WINDOWS do
    fastest, empty = math.min(fastest, time(steps)), math.min(empty, time(0))
  end
  return steps * batch_size / (fastest - empty)
end

-- Megabytes that this process has held at most.
local function peak_memory()
  local file <close> = assert(io.open "/proc/self/status")
  return tonumber(file:read "a":match "VmHWM:%s*(%d+)") / 1024
end

-- One measurement in this process; prints what in_child reads.
local function measure(options, net)
  cnn.set_seed(1)
  local model, batches = net.build(net.shape), random_batches(net)
  local speed
  if options.task == "train" then
    model:compile{optimizer = net.optimizer, loss = net.loss}
    speed = rate(function(x, y) model:train_on_batch(x, y) end, batches, net.batch_size, options.seconds)
  else
    speed = rate(function(x) model:predict{x, batch_size = net.batch_size, verbose = 0} end, batches,
      net.batch_size, options.seconds)
  end
  print(speed, peak_memory(), model:count_params(), mflop(model))
end

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function in_child(options, task)
  local program = 0
  while arg[program - 1] do program = program - 1 end
  local command = "%s %s --net %s --seconds %s --threads %d --task %s"
  local pipe = assert(io.popen(command:format(
    quoted(arg[program]), quoted(arg[0]), options.net, options.seconds, options.threads, task)))
  local speed, memory, parameters, train_mflop, inference_mflop = pipe:read("n", "n", "n", "n", "n")
  assert(pipe:close() and inference_mflop, "the measurement failed")
  return {
    speed = speed, memory = memory, parameters = parameters,
    train_mflop = train_mflop, inference_mflop = inference_mflop,
  }
end

-- ---- the command line ------------------------------------------------------------------------------------

local usage = "usage: cnnlua tests/bench/train.lua --net NAME [--seconds S] [--threads N] [--json] " ..
  "[--task train|inference]\nNAME: "

local function fail(message)
  local names = {}
  for name in pairs(nets) do names[#names + 1] = name end
  table.sort(names)
  io.stderr:write("train.lua: ", message, "\n", usage, table.concat(names, ", "), "\n")
  os.exit(2)
end

local function parse(arguments)
  local options = {seconds = 3, threads = cnn.threads()}
  local numbers = {seconds = true, threads = true}
  local i = 1
  while i <= #arguments do
    local name = arguments[i]:match "^%-%-(%w+)$"
    if name == "json" then
      options.json = true
      i = i + 1
    elseif name == "net" or name == "task" or numbers[name] then
      local value = arguments[i + 1]
      if numbers[name] then value = tonumber(value) end
      if not value or numbers[name] and value <= 0 then fail("--" .. name .. " wants a value") end
      options[name] = value
      i = i + 2
    else
      fail("unknown option '" .. arguments[i] .. "'")
    end
  end
  if not options.net then fail "--net is missing" end
  if not nets[options.net] then fail("there is no network '" .. options.net .. "'") end
  if not math.tointeger(options.threads) then fail "--threads wants a whole number" end
  if options.task and options.task ~= "train" and options.task ~= "inference" then
    fail("there is no task '" .. options.task .. "'")
  end
  return options
end

local options = parse{...}
local net = nets[options.net]
cnn.set_threads(math.tointeger(options.threads))
if options.task then return measure(options, net) end

local train, inference = in_child(options, "train"), in_child(options, "inference")
local text = options.json and
  '{"net": "%s", "train_images_per_second": %.1f, "inference_images_per_second": %.1f, ' ..
  '"peak_memory_mb": %.1f, "layout": "channels_last", "inference_layout": "channels_last", ' ..
  '"malloc": "plain", "batch_size": %d, "threads": %d, "cnn": "%s", "cpu": "%s", "parameters": %d, ' ..
  '"train_mflop_per_image": %.3f, "inference_mflop_per_image": %.3f}' or
  "%s: training %.1f images/s, inference %.1f images/s, peak %.1f MB, batch %d, %d threads, cnn %s (%s), " ..
  "%d parameters, %.3f MFLOP an image in training, %.3f in inference"
print(text:format(
  options.net, train.speed, inference.speed, train.memory, net.batch_size, options.threads,
  cnn.version, cnn.cpu(), train.parameters, train.train_mflop, train.inference_mflop))
