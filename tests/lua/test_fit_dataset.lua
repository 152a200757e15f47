-- fit, evaluate and predict on datasets: as on arrays, batch by batch.

local cnn = require "cnn"
local lu = require "luaunit"
local raises = require "raises"
local layers, Dataset = cnn.layers, cnn.data.Dataset

local function data(count)
  local x = cnn.random.uniform({count, 4}, -1, 1, 3)
  return x, (x:sum{axis = 2} * 2 + 1):reshape{count, 1}
end

local function small_model(optimizer)
  cnn.set_seed(11)
  local model = cnn.Sequential{layers.Dense{6, activation = "tanh", input_shape = {4}}, layers.Dense{1}}
  model:compile{optimizer = optimizer or "sgd", loss = "mse", metrics = {"mae"}}
  return model
end

local function weights_equal(a, b)
  local other = b:get_weights()
  for i, w in ipairs(a:get_weights()) do lu.assertTrue(cnn.all(cnn.equal(w, other[i])), "weight " .. i) end
end

TestFitDataset = {}

function TestFitDataset.test_batches_of_a_dataset_train_as_arrays_do()
  local x, y = data(50)
  local a, b = small_model(), small_model()
  local from_arrays = a:fit{x, y, batch_size = 8, epochs = 3, shuffle = false, verbose = 0}
  local from_dataset = b:fit{Dataset.from_tensor_slices{x, y}:batch(8), epochs = 3, verbose = 0}
  lu.assertEquals(from_dataset.history, from_arrays.history)
  weights_equal(a, b)
end

function TestFitDataset.test_validation_evaluation_and_prediction_agree_with_arrays()
  local x, y = data(50)
  local ds = Dataset.from_tensor_slices{x, y}:batch(16)
  local model = small_model()
  local history = model:fit{x, y, validation_data = ds, epochs = 2, verbose = 0}
  local loss, mae = model:evaluate{x, y, batch_size = 16, verbose = 0}
  lu.assertEquals({model:evaluate{ds, verbose = 0}}, {loss, mae})
  lu.assertEquals(history.history.val_loss[2], loss)
  local predicted = model:predict{x, batch_size = 16, verbose = 0}
  lu.assertEquals(model:predict{ds, verbose = 0}:shape(), {50, 1})
  lu.assertTrue(cnn.all(cnn.equal(model:predict{ds, verbose = 0}, predicted)))
  local bare = Dataset.from_tensor_slices(x):batch(16)
  lu.assertTrue(cnn.all(cnn.equal(model:predict{bare, verbose = 0}, predicted)))
  lu.assertEquals(#model:predict{ds, steps = 2, verbose = 0}, 32)
end

function TestFitDataset.test_weights_of_samples_and_classes_count_as_with_arrays()
  local x, y = data(32)
  local weight = cnn.random.uniform({32}, 0, 2, 5)
  local a, b = small_model(), small_model()
  a:fit{x, y, sample_weight = weight, shuffle = false, batch_size = 8, verbose = 0}
  b:fit{Dataset.from_tensor_slices{x, y, weight}:batch(8), verbose = 0}
  weights_equal(a, b)
  local labels = cnn.random.randint({32}, 0, 3, 5)
  local function classifier()
    cnn.set_seed(2)
    local model = cnn.Sequential{layers.Dense{3, activation = "softmax", input_shape = {4}}}
    model:compile{optimizer = "sgd", loss = "sparse_categorical_crossentropy"}
    return model
  end
  local class_weight = {[0] = 1, [1] = 5, [2] = 0.5}
  a, b = classifier(), classifier()
  a:fit{x, labels, class_weight = class_weight, shuffle = false, batch_size = 8, verbose = 0}
  b:fit{Dataset.from_tensor_slices{x, labels}:batch(8), class_weight = class_weight, verbose = 0}
  weights_equal(a, b)
end

--- The loss of each batch that a model with weights of 0 sees: its y squared, since nothing is learnt.
local function seen(ds, arguments)
  local model = cnn.Sequential{layers.Dense{1, use_bias = false, kernel_initializer = "zeros", input_shape = {1}}}
  model:compile{optimizer = cnn.optimizers.SGD{0}, loss = "mse"}
  local found, sums, count = {}, 0, 0
  local recorder = {
    on_epoch_begin = function() sums, count = 0, 0 end,
    on_train_batch_end = function(_, _, logs)
      count = count + 1
      found[#found + 1] = math.floor(math.sqrt(logs.loss * count - sums) + 0.5)
      sums = logs.loss * count
    end,
  }
  arguments[1], arguments.callbacks, arguments.verbose = ds, {recorder}, 0
  model:fit(arguments)
  return found
end

local function numbered(count)
  local x = cnn.arange(1, count + 1):reshape{count, 1}
  return Dataset.from_tensor_slices{x, x}:batch(1)
end

function TestFitDataset.test_with_steps_an_epoch_goes_on_where_the_last_one_ended()
  lu.assertEquals(seen(numbered(5), {epochs = 3, steps_per_epoch = 3}), {1, 2, 3, 4, 5, 1, 2, 3, 4})
  lu.assertEquals(seen(numbered(3), {epochs = 2}), {1, 2, 3, 1, 2, 3})
  lu.assertEquals(seen(numbered(3):repeat_(), {epochs = 2, steps_per_epoch = 4}), {1, 2, 3, 1, 2, 3, 1, 2})
end

function TestFitDataset.test_each_epoch_and_each_fit_is_in_another_order()
  cnn.set_seed(5)
  local ds = numbered(30):shuffle()
  local order = seen(ds, {epochs = 2})
  local first, second = {table.unpack(order, 1, 30)}, {table.unpack(order, 31, 60)}
  local third = seen(ds, {epochs = 1})
  lu.assertNotEquals(first, second)
  lu.assertNotEquals(second, third)
  lu.assertNotEquals(first, third)
  table.sort(first)
  lu.assertEquals(first, seen(numbered(30), {}))
end

function TestFitDataset.test_what_does_not_go_together_is_told()
  local x, y = data(20)
  local model = small_model()
  local ds = Dataset.from_tensor_slices{x, y}:batch(4)
  raises("fit: 'y' is for arrays", model.fit, model, {ds, y, verbose = 0})
  raises("fit: 'batch_size' is for arrays", model.fit, model, {ds, batch_size = 4, verbose = 0})
  raises("fit: 'validation_split' is for arrays", model.fit, model, {ds, validation_split = 0.5, verbose = 0})
  raises("is the dataset batched?", model.fit, model, {Dataset.from_tensor_slices{x, y}, verbose = 0})
  raises("no labels", model.fit, model, {Dataset.from_tensor_slices(x):batch(4), verbose = 0})
  raises("'steps_per_epoch' must tell", model.fit, model, {ds:repeat_(), verbose = 0})
  raises("the dataset has no elements", model.fit, model, {ds:take(0), verbose = 0})
  raises("the dataset's elements have 5 parts", model.fit, model,
    {Dataset.from_tensor_slices{x, y, y, y, y}:batch(4), verbose = 0})
end

function TestFitDataset.test_an_error_in_a_mapped_function_stops_training_and_leaves_the_model()
  local x, y = data(64)
  local model = small_model()
  local ds = Dataset.from_tensor_slices{x, y}:map(function(a, b)
    if b:item() > 2.5 then error("this one is too large") end
    return a, b
  end):batch(4)
  local good, message = pcall(model.fit, model, {ds, verbose = 0})
  lu.assertFalse(good)
  lu.assertStrMatches(message, ".*sample %d+.*test_fit_dataset.lua:%d+: this one is too large.*")
  lu.assertEquals(type(model:evaluate{x, y, verbose = 0}), "number")
  model:fit{x, y, verbose = 0}
end

function TestFitDataset.test_a_resumed_run_on_a_shuffled_dataset_ends_with_the_same_weights()
  local dir = os.tmpname()
  os.remove(dir)
  local x, y = data(40)
  local function dataset()
    cnn.set_seed(21)
    return Dataset.from_tensor_slices{x, y}:shuffle():batch(8)
  end
  local whole = small_model("adam")
  local ds = dataset()
  whole:fit{ds, epochs = 4, verbose = 0}
  local broken = small_model("adam")
  local stop = {on_epoch_begin = function(_, epoch) if epoch == 3 then error "stop" end end}
  ds = dataset()
  lu.assertFalse(pcall(broken.fit, broken,
    {ds, epochs = 4, verbose = 0, callbacks = {cnn.callbacks.BackupAndRestore{dir}, stop}}))
  local resumed = small_model("adam")
  ds = dataset()
  resumed:fit{ds, epochs = 4, verbose = 0, callbacks = {cnn.callbacks.BackupAndRestore{dir}}}
  os.execute("rm -rf '" .. dir .. "'")
  weights_equal(whole, resumed)
end

function TestFitDataset.test_augment_changes_what_is_trained_on_and_not_what_is_validated()
  local x, y = cnn.ones{20, 4, 4, 1}, cnn.ones{20, 1}
  local model = cnn.Sequential{layers.Flatten{input_shape = {4, 4, 1}},
                               layers.Dense{1, kernel_initializer = "zeros"}}
  model:compile{optimizer = cnn.optimizers.SGD{0}, loss = "mse"}
  local blank = cnn.augment.pipeline{function(image) return image * 0 end}
  local history = model:fit{x, y, augment = blank, validation_split = 0.25, batch_size = 5, verbose = 0}
  lu.assertEquals(history.history.loss[1], 1)
  lu.assertEquals(history.history.val_loss[1], 1)
  local layer = model.layers[2]
  layer:set_weights{cnn.ones{16, 1}, cnn.zeros{1}}
  history = model:fit{x, y, augment = blank, validation_split = 0.25, batch_size = 5, verbose = 0}
  lu.assertEquals(history.history.loss[1], 1)
  lu.assertEquals(history.history.val_loss[1], 225)
end

function TestFitDataset.test_the_history_tells_how_long_training_waited()
  local x, y = data(40)
  local history = small_model():fit{Dataset.from_tensor_slices{x, y}:batch(8), verbose = 0}
  lu.assertTrue(history.seconds > 0)
  lu.assertTrue(history.waited >= 0 and history.waited <= history.seconds)
end
