-- Every experiment runs from start to end on a few samples, and returns what it says it returns.

local lu = require "luaunit"
local cnn = require "cnn"

TestScripts = {}

local has_mnist = os.getenv "CNNLUA_DATA" and pcall(cnn.datasets.mnist.load_data)

-- What a script returns when run with few samples; its pictures go to a folder that is removed.
local function run(name, epochs, check)
  local out = os.tmpname()
  os.remove(out)
  cnn.backend.clear_session()
  local chunk = assert(loadfile("scripts/" .. name .. ".lua"))
  local fine, result = pcall(chunk, "--epochs", tostring(epochs), "--limit", "300", "--out", out)
  if not fine then error(result, 0) end
  if check then check(result, out) end
  os.execute("rm -rf '" .. out .. "'")
  return result
end

local function assert_picture(path)
  local picture = cnn.image.load(path)
  lu.assertTrue(picture:shape(1) > 100 and picture:shape(2) > 100, path)
end

local function assert_learnt(result, epochs)
  lu.assertEquals(#result.history.history.loss, epochs)
  lu.assertTrue(result.history.history.loss[epochs] < result.history.history.loss[1])
  lu.assertTrue(result.accuracy > 0.2 and result.accuracy <= 1)
end

local function summary_of(model)
  local lines = {}
  model:summary{print_fn = function(line) lines[#lines + 1] = line:gsub("%s+$", "") end}
  return table.concat(lines, "\n")
end

function TestScripts.test_mnist()
  lu.skipIf(not has_mnist, "MNIST is not in CNNLUA_DATA")
  local e = run("mnist", 2)
  assert_learnt(e, 2)
  lu.assertEquals(e.model:count_params(), 93322)
  lu.assertEquals(summary_of(e.pooled), [[
Model: "sequential"
_________________________________________________________________
Layer (type)                 Output Shape              Param #
=================================================================
conv2d (Conv2D)              (None, 26, 26, 32)        320
_________________________________________________________________
max_pooling2d (MaxPooling2D) (None, 13, 13, 32)        0
_________________________________________________________________
conv2d_1 (Conv2D)            (None, 11, 11, 64)        18496
_________________________________________________________________
max_pooling2d_1 (MaxPooling2 (None, 5, 5, 64)          0
_________________________________________________________________
conv2d_2 (Conv2D)            (None, 3, 3, 64)          36928
_________________________________________________________________
max_pooling2d_2 (MaxPooling2 (None, 1, 1, 64)          0
_________________________________________________________________
flatten (Flatten)            (None, 64)                0
_________________________________________________________________
dense (Dense)                (None, 64)                4160
_________________________________________________________________
dense_1 (Dense)              (None, 10)                650
=================================================================
Total params: 60,554
Trainable params: 60,554
Non-trainable params: 0
_________________________________________________________________]])
end

function TestScripts.test_mnist_dropout()
  lu.skipIf(not has_mnist, "MNIST is not in CNNLUA_DATA")
  local e = run("mnist_dropout", 2, function(e, out)
    assert_picture(out .. "/mnist_dropout_loss.png")
    local saved = cnn.load_model(out .. "/MNIST_CNN.hdf5")
    local losses = e.history.history.val_loss
    local loss = saved:evaluate{e.x_train:slice(226, 300), e.y_train:slice(226, 300), batch_size = 200, verbose = 0}
    lu.assertAlmostEquals(loss, math.min(table.unpack(losses)), 1e-6)
  end)
  assert_learnt(e, 2)
  lu.assertEquals(e.model:count_params(), 1199882)
end

function TestScripts.test_mnist_functional()
  lu.skipIf(not has_mnist, "MNIST is not in CNNLUA_DATA")
  local e = run("mnist_functional", 2)
  assert_learnt(e, 2)
  lu.assertEquals(e.model:count_params(), 104202)
end

function TestScripts.test_fashion_sequential()
  local e = run("fashion_sequential", 2, function(_, out)
    for _, name in ipairs{"fashion_sequential_loss", "fashion_sequential_accuracy", "fashion_dropout_loss",
                          "fashion_dropout_accuracy"} do
      assert_picture(out .. "/" .. name .. ".png")
    end
  end)
  assert_learnt(e, 2)
  lu.assertEquals(#e.x_train, 240)
  lu.assertEquals(summary_of(e.model), [[
Model: "sequential_1"
_________________________________________________________________
Layer (type)                 Output Shape              Param #
=================================================================
conv2d_1 (Conv2D)            (None, 28, 28, 10)        100
_________________________________________________________________
max_pooling2d_1 (MaxPooling2 (None, 14, 14, 10)        0
_________________________________________________________________
flatten_1 (Flatten)          (None, 1960)              0
_________________________________________________________________
dropout (Dropout)            (None, 1960)              0
_________________________________________________________________
dense_2 (Dense)              (None, 100)               196100
_________________________________________________________________
dense_3 (Dense)              (None, 10)                1010
=================================================================
Total params: 197,210
Trainable params: 197,210
Non-trainable params: 0
_________________________________________________________________]])
end

function TestScripts.test_fashion_tape()
  local e = run("fashion_tape", 2)
  lu.assertTrue(e.accuracy >= 0 and e.accuracy <= 1)
end

function TestScripts.test_convolution()
  lu.assertEquals(type(run("convolution", 1)), "table")
end

function TestScripts.test_conv2d_shapes()
  local e = run("conv2d_shapes", 1)
  local by_text = {}
  for _, line in ipairs(e.results) do by_text[line.text .. line.input[3]] = line end
  lu.assertEquals(by_text["Conv2D{32, {5, 5}}1"].output, {24, 24, 32})
  lu.assertEquals(by_text["Conv2D{32, {5, 5}}1"].params, 832)
  lu.assertEquals(by_text["Conv2D{32, {5, 5}, strides = {2, 2}}1"].output, {12, 12, 32})
  lu.assertEquals(by_text["Conv2D{2, {2, 2}, padding = 'same'}3"].params, 26)
  lu.assertEquals(e.activated.relu:totable(), {{0, 1}, {0, 1}})
end

function TestScripts.test_init_batchnorm()
  local e = run("init_batchnorm", 1, function(_, out)
    assert_picture(out .. "/init_batchnorm_loss.png")
    assert_picture(out .. "/spread_Xavier_5.png")
  end)
  lu.assertTrue(e.spreads["naive 0.01"][5] < 1e-3)
  lu.assertTrue(e.spreads["Xavier"][5] > 0.2)
  lu.assertTrue(e.spreads["naive 1"][5] > 0.9)
end

function TestScripts.test_color()
  lu.assertEquals(type(run("color", 1)), "table")
end

function TestScripts.test_unknown_options_are_refused()
  local chunk = assert(loadfile "scripts/conv2d_shapes.lua")
  lu.assertErrorMsgContains("unknown option '--epoch'", chunk, "--epoch", "1")
  lu.assertErrorMsgContains("--epochs: expected a whole number, got many", chunk, "--epochs", "many")
end
