-- Files of models between cnnlua and Keras: what Keras's users have published loads and computes what it should, and
-- what cnnlua saves is what its loaders expect, as tests/interop/check_keras_file.py, an independent reader, sees it.
-- Each model sees all 10,000 test pictures, under the sanitizers, where that takes long, the first 1,000.

local lu = require "luaunit"
local cnn = require "cnn"
local scratch = require "scratch"
local layers = cnn.layers

TestKerasFiles = {}

local data = os.getenv "CNNLUA_DATA"
local folder = data and data .. "/../keras_models"

local function exists(path)
  local file = path and io.open(path)
  if file then file:close() end
  return file ~= nil
end

local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
local checker = here .. "/../interop/check_keras_file.py"

-- The rows of expected.tsv, by the names of its columns.
local function expected()
  if not exists(folder and folder .. "/expected.tsv") then
    lu.skip "no keras_models beside the data sets of CNNLUA_DATA"
  end
  local rows, names = {}, nil
  for line in io.lines(folder .. "/expected.tsv") do
    local fields = {}
    for field in line:gmatch "[^\t]+" do fields[#fields + 1] = field end
    if names then
      local row = {}
      for i, name in ipairs(names) do row[name] = fields[i] end
      rows[#rows + 1] = row
    end
    names = names or fields
  end
  lu.assertTrue(#rows >= 8)
  return rows
end

-- A folder that is gone after the test.
local function with_folder(f)
  local out = scratch.make()
  local fine, message = pcall(f, out)
  scratch.remove(out)
  if not fine then error(message, 0) end
end

-- ---- what Keras wrote -------------------------------------------------------------------------------------

local sets = {}

local function test_set(name)
  if not sets[name] then
    local found, _, _, x, y = pcall(cnn.datasets[name].load_data)
    if not found then lu.skip(name .. " is not there") end
    sets[name] = {x = x:reshape{10000, 28, 28, 1}:astype "float32", y = y}
  end
  return sets[name].x, sets[name].y
end

-- How many of the first 1,000 test pictures each model gets right, from an independent computation with the same
-- weights.
local correct_of_1000 = {
  ["mnist_batchnorm_keras3.13.keras"] = 988,
  ["mnist_conv2_keras3.1.h5"] = 994,
  ["mnist_conv2_keras3.1.keras"] = 993,
  ["mnist_sigmoid_keras2.10.h5"] = 975,
  ["mnist_functional_keras2.3.h5"] = 982,
  ["mnist_same_keras2.2.h5"] = 995,
  ["mnist_deep_keras3.13.keras"] = 997,
  ["fashion_dropout_keras3.10.h5"] = 923,
}

for name, correct_of_these in pairs(correct_of_1000) do
  TestKerasFiles["test_" .. name:gsub("%W", "_")] = function()
    local row
    for _, r in ipairs(expected()) do row = r.file == name and r or row end
    local x, y = test_set(row.dataset)
    local count = os.getenv "ASAN_OPTIONS" and 1000 or 10000
    x, y = x:slice(1, count), y:slice(1, count)
    if row.input == "0..1" then x = x / 255 end
    local p = cnn.load_model(folder .. "/" .. name):predict{x, batch_size = 500, verbose = 0}
    local i = 0
    for value in row.p_row1:gmatch "%S+" do
      i = i + 1
      lu.assertAlmostEquals(p[1][i], tonumber(value), 1e-4)
    end
    lu.assertEquals(i, 10)
    local correct = cnn.equal(p:argmax(2) - 1, y):sum():item()
    lu.assertAlmostEquals(correct, count == 10000 and tonumber(row.correct) or correct_of_these, 2)
  end
end

function TestKerasFiles.test_every_model_of_the_folder_is_tried()
  for _, row in ipairs(expected()) do
    lu.assertNotNil(TestKerasFiles["test_" .. row.file:gsub("%W", "_")], row.file)
  end
end

function TestKerasFiles.test_what_is_no_model_is_refused_by_name()
  expected()
  lu.assertErrorMsgContains("not_a_model.keras", cnn.load_model, folder .. "/not_a_model.keras")
end

-- ---- what an independent reader finds ------------------------------------------------------------------------

local python -- the interpreter that has h5py; false: none

local function need_python()
  for _, name in ipairs(python == nil and {"python3", "/usr/bin/python3"} or {}) do
    if not python and os.execute(name .. " -c 'import h5py' >/dev/null 2>&1") then python = name end
  end
  python = python or false
  if not python then lu.skip "no python3 with h5py" end
end

-- What the checker says of a file, compared with what Keras wrote if that is given; "" if nothing.
local function faults(path, reference)
  local command = ("%s '%s' '%s' %s 2>&1; echo $?"):format(python, checker, path,
                                                           reference and "'" .. reference .. "'" or "")
  local pipe <close> = assert(io.popen(command))
  local text, status = pipe:read "a":match "^(.*)(%d+)\n$"
  lu.assertTrue(status == "0" or status == "1" and text ~= "", text)
  return text
end

local function trained(model, x)
  model:compile{optimizer = "adam", loss = "sparse_categorical_crossentropy", metrics = {"accuracy"}}
  model:fit{x, cnn.zeros{#x, dtype = "int32"}, verbose = 0}
  return model
end

local function batch_norm()
  return layers.Conv2D{4, 3, use_bias = false}, layers.BatchNormalization()
end

local models = {}

function models.sequential()
  local conv, norm = batch_norm()
  return trained(cnn.Sequential{
    cnn.Input{8, 8, 1}, conv, norm, layers.Activation{"relu"}, layers.MaxPooling2D{2}, layers.Dropout{0.5},
    layers.Flatten(), layers.Dense{3, activation = "softmax"},
  }, cnn.random.normal{16, 8, 8, 1})
end

function models.functional()
  local inputs = cnn.Input{8, 8, 2}
  local x = layers.Conv2D{4, 3, padding = "same", activation = "relu"}(inputs)
  local y = layers.Conv2D{4, 3, padding = "same"}(x)
  local sum = layers.Add(){x, y}
  local joined = layers.Concatenate(){layers.GlobalAveragePooling2D()(sum), layers.Flatten()(x)}
  return trained(cnn.Model{inputs = inputs, outputs = layers.Dense{3, activation = "softmax"}(joined)},
                 cnn.random.normal{16, 8, 8, 2})
end

function models.nested()
  local conv, norm = batch_norm()
  local base = cnn.Sequential{cnn.Input{8, 8, 1}, conv, norm, layers.GlobalMaxPooling2D(), name = "base"}
  local inputs = cnn.Input{8, 8, 1}
  local outputs = layers.Dense{3, activation = "softmax"}(base(inputs))
  return trained(cnn.Model{inputs = inputs, outputs = outputs}, cnn.random.normal{16, 8, 8, 1})
end

function models.not_compiled()
  return cnn.Sequential{layers.Dense{3, input_shape = {4}}}
end

-- Names that are too long for one attribute of HDF5, which holds less than 64 KiB.
function models.many_names()
  local model = cnn.Sequential{layers.Dense{3, input_shape = {4}}}
  for i = 1, 300 do model:add(layers.Activation{"relu", name = ("x"):rep(250) .. i}) end
  return model
end

for name, make in pairs(models) do
  for _, ending in ipairs{".h5", ".keras"} do
    TestKerasFiles["test_saved_" .. name .. ending:gsub("%.", "_")] = function()
      need_python()
      with_folder(function(out)
        cnn.backend.clear_session()
        local path = out .. "/model" .. ending
        make():save(path)
        lu.assertEquals(faults(path), "")
      end)
    end
  end
end

function TestKerasFiles.test_the_reader_sees_differences()
  need_python()
  with_folder(function(out)
    for _, ending in ipairs{".h5", ".keras"} do
      cnn.backend.clear_session()
      models.sequential():save(out .. "/a" .. ending)
      cnn.backend.clear_session()
      models.sequential():save(out .. "/b" .. ending)
      lu.assertStrContains(faults(out .. "/a" .. ending, out .. "/b" .. ending), "other values")
    end
  end)
end

for name in pairs(correct_of_1000) do
  TestKerasFiles["test_saved_again_" .. name:gsub("%W", "_")] = function()
    expected()
    need_python()
    with_folder(function(out)
      local path = out .. "/model" .. name:match "%.%w+$"
      cnn.load_model(folder .. "/" .. name):save(path)
      lu.assertEquals(faults(path, folder .. "/" .. name), "")
    end)
  end
end
