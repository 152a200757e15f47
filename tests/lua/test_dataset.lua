-- Datasets in Lua: what they are made of, what is made of them, loops over them; pictures in folders.
-- luacheck: globals TestDataset TestLoop TestFolder TestPicture

local lu = require "luaunit"
local cnn = require "cnn"
local raises = require "raises"
local scratch = require "scratch"

local eq = lu.assertEquals
local from_tensor_slices = cnn.data.Dataset.from_tensor_slices
local here = debug.getinfo(1, "S").short_src
local program = os.getenv "CNNLUA_PROGRAM" or "./cnnlua"

local function line() return debug.getinfo(2, "l").currentline end

-- The dataset of the numbers 0 … n-1.
local function numbers(n) return from_tensor_slices(cnn.arange(n)) end

-- The elements of a dataset of one tensor each, as numbers or lists of them.
local function values(dataset, options)
  local list = {}
  for x in dataset:iter(options or {}) do
    if x:rank() == 0 then
      list[#list + 1] = x:item()
    else
      list[#list + 1] = {}
      for i = 1, #x do list[#list][i] = x[i] end
    end
  end
  return list
end

local function sorted(list)
  local copy = table.move(list, 1, #list, 1, {})
  table.sort(copy)
  return copy
end

local function range(from, to)
  local list = {}
  for i = from, to do list[#list + 1] = i end
  return list
end

-- ---- making them -------------------------------------------------------------------------------------------

TestDataset = {}

function TestDataset.test_batches_are_slices()
  local x, y = cnn.random.uniform{10, 3, 2}, cnn.arange(10)
  local from = 1
  for a, b in from_tensor_slices{x, y}:batch(4):iter() do
    local to = math.min(from + 3, 10)
    eq((a - x[{{from, to}}]):abs():max():item(), 0)
    eq(a:shape(), {to - from + 1, 3, 2})
    eq(b:dtype(), "int32")
    eq(b[1], from - 1)
    from = to + 1
  end
  eq(from, 11)
end

function TestDataset.test_nested_lists_are_flattened()
  local a, b, c = cnn.arange(2), cnn.arange(2) + 10, cnn.arange(2) + 20
  for x, y, z in from_tensor_slices{{a, b}, c}:iter() do
    eq({y:item() - x:item(), z:item() - x:item()}, {10, 20})
  end
  for x, y in from_tensor_slices{a, {5, 6}}:iter() do -- numbers beside tensors
    eq(y:item() - x:item(), 5)
  end
  eq(values(from_tensor_slices{{1, 2}, {3, 4}}), {{1, 2}, {3, 4}})
  eq(values(from_tensor_slices{7, 8}), {7, 8})
end

function TestDataset.test_wrong_tensors()
  raises("from_tensor_slices: expected one argument, as in from_tensor_slices{x, y}, got 2", from_tensor_slices,
         cnn.ones{2}, cnn.ones{2})
  raises("from_tensor_slices: expected tensors, as in from_tensor_slices{x, y}, got text", from_tensor_slices, "text")
  raises("got nil", from_tensor_slices, nil)
  raises("from_tensor_slices: unknown argument 'labels'", from_tensor_slices, {cnn.ones{2}, labels = cnn.ones{2}})
  raises("from_tensor_slices: unknown argument 'x'", from_tensor_slices, {x = cnn.ones{2}})
  raises("equally many rows", from_tensor_slices, {cnn.ones{2}, cnn.ones{3}})
  raises("symbolic", from_tensor_slices, {cnn.Input{2}})
  raises("closed", from_tensor_slices, (function()
    local t = cnn.ones{1}
    t:close()
    return t
  end)())
  local itself = {cnn.ones{2}}
  itself[2] = itself
  raises("from_tensor_slices: the tensors are nested more than 16 deep", from_tensor_slices, itself)
  raises("has no rows", from_tensor_slices, cnn.tensor(1))
end

function TestDataset.test_batch()
  eq(values(numbers(5):batch(2)), {{0, 1}, {2, 3}, {4}})
  eq(values(numbers(5):batch{2, drop_remainder = true}), {{0, 1}, {2, 3}})
  eq(values(numbers(5):batch(9)), {{0, 1, 2, 3, 4}})
  eq({#numbers(5):batch(2), #numbers(5):batch(2, true)}, {3, 2})
  raises("batch: 'batch_size' must be an integer, got nil", function() numbers(5):batch() end)
  raises("batch: 'drop_remainder' must be true or false, got 1", function() numbers(5):batch(2, 1) end)
  raises("batch: unknown argument 'batchsize' (did you mean 'batch_size'?)", function()
    numbers(5):batch{batchsize = 3}
  end)
  raises("0", function() numbers(5):batch(0) end)
end

function TestDataset.test_shuffle()
  cnn.set_seed(1)
  local dataset = numbers(20):shuffle()
  local first, second = values(dataset), values(dataset)
  eq(sorted(first), range(0, 19))
  eq(sorted(second), range(0, 19))
  lu.assertNotEquals(first, range(0, 19))
  lu.assertNotEquals(first, second)
  eq(values(numbers(20):shuffle{20, seed = 5}), values(numbers(20):shuffle{20, seed = 5}))
  lu.assertNotEquals(values(numbers(20):shuffle{20, seed = 5}), values(numbers(20):shuffle{20, seed = 6}))
  local fixed = numbers(20):shuffle{seed = 5, reshuffle_each_iteration = false}
  eq(values(fixed), values(fixed))
  local near = values(numbers(20):shuffle(3))
  for i, v in ipairs(near) do lu.assertTrue(v <= i - 1 + 2) end
  eq(values(numbers(20):shuffle(1)), range(0, 19))
  raises("shuffle: 'buffer_size' must be at least 1, got 0", function() numbers(5):shuffle(0) end)
  raises("shuffle: 'seed' must be an integer, got x", function() numbers(5):shuffle(2, "x") end)
end

function TestDataset.test_repeat_take_skip()
  eq(values(numbers(2):repeat_(3)), {0, 1, 0, 1, 0, 1})
  local dataset = numbers(2)
  eq(values(dataset["repeat"](dataset, 2)), {0, 1, 0, 1})
  eq(values(numbers(2):repeat_():take(5)), {0, 1, 0, 1, 0})
  eq(numbers(2):repeat_():cardinality(), math.huge)
  eq(#numbers(2):repeat_(-1), math.huge)
  eq(values(numbers(5):skip(3)), {3, 4})
  eq(values(numbers(5):skip(9)), {})
  eq(values(numbers(5):skip(-1)), {})
  eq(values(numbers(5):take(2)), {0, 1})
  eq(values(numbers(5):take(-1)), range(0, 4))
  eq(values(numbers(5):take(0)), {})
  eq(values(numbers(3):skip(1):repeat_(2):take(3)), {1, 2, 1})
  eq({numbers(5):skip(2):cardinality(), #numbers(5):take(2), #numbers(5):repeat_(3)}, {3, 2, 15})
  raises("take: 'count' is missing", function() numbers(2):take() end)
  raises("skip: 'count' must be an integer, got 1.5", function() numbers(2):skip(1.5) end)
  raises("repeat: 'count' must be an integer, got x", function() numbers(2):repeat_("x") end)
end

function TestDataset.test_cache_keeps_the_first_iteration()
  local mapped = numbers(5):map(function(_, rng) return rng:uniform() end)
  lu.assertNotEquals(values(mapped), values(mapped))
  local cached = mapped:cache()
  eq(values(cached), values(cached))
  raises("cache: takes no argument", function() mapped:cache("file") end)
end

function TestDataset.test_prefetch_changes_nothing()
  eq(values(numbers(9):prefetch()), range(0, 8))
  eq(values(numbers(9):prefetch(cnn.data.AUTOTUNE)), range(0, 8))
  eq(values(numbers(9):prefetch(3):batch(5)), {range(0, 4), range(5, 8)})
end

function TestDataset.test_functions_of_the_module_map()
  for a in from_tensor_slices{cnn.zeros{3, 2}}:map(cnn.exp):iter() do eq(a:tolist(), {1, 1}) end
end

function TestDataset.test_map()
  local scale = 10
  eq(values(numbers(4):map(function(x) return x * scale end)), {0, 10, 20, 30})
  eq(values(numbers(4):map{function(x) return x * scale end, num_parallel_calls = cnn.data.AUTOTUNE}), {0, 10, 20, 30})
  eq(values(numbers(3):map(function(x) return x + 1 end):map(function(x) return x * 2 end):batch(2)), {{2, 4}, {6}})
  eq(values(numbers(4):batch(2):map(function(x) return x:sum() end)), {1, 5})
  for a, b, c in from_tensor_slices{cnn.arange(3), cnn.arange(3)}:map(function(x, y) return x, y, x + y end):iter() do
    eq(c:item(), a:item() + b:item())
  end
  for a, b in from_tensor_slices{cnn.arange(3), cnn.arange(3)}:map(function(_, y) return y end):iter() do
    lu.assertNotNil(a)
    lu.assertNil(b)
  end
end

function TestDataset.test_results_do_not_depend_on_the_number_of_workers()
  local function pipeline()
    cnn.set_seed(4)
    return from_tensor_slices{cnn.random.uniform{30, 4}, cnn.arange(30)}:shuffle(10):map(function(x, y, rng)
      return x + rng:normal() + cnn.random.uniform{4}, y + math.random(9)
    end):batch(7):map(function(x, y) return (x:sum() + y:sum()) end):repeat_(2)
  end
  local expected = values(pipeline(), {workers = 1})
  eq(#expected, 10)
  eq(values(pipeline(), {workers = 2}), expected)
  eq(values(pipeline(), {workers = 5}), expected)
end

function TestDataset.test_text()
  local dataset = from_tensor_slices{cnn.zeros{5, 2}, cnn.arange(5)}:shuffle(3)
  local defined = line() + 1
  dataset = dataset:map(function(x, y) return x, y end):repeat_():batch(2)
  eq(tostring(dataset), ("dataset without end: from_tensor_slices{float32 (5, 2), int32 (5,)}:shuffle(3)" ..
                         ":map(%s:%d):repeat():batch(2)"):format(here, defined))
  eq(tostring(numbers(3)), "dataset of 3 elements: from_tensor_slices{int32 (3,)}")
end

function TestDataset.test_names()
  raises("dataset: there is no 'shufle' (did you mean 'shuffle'?)", function() return numbers(1).shufle end)
  lu.assertNil(numbers(1).class_names)
  lu.assertNil(numbers(1).file_paths)
  raises("dataset expected", numbers(1).map, 3, print)
  raises("iter: unknown argument 'worker' (did you mean 'workers'?)", function() numbers(1):iter{worker = 1} end)
  raises("iter: 'workers' must be at least 1, got 0", function() numbers(1):iter(0) end)
  raises("iter: 'workers' must be an integer, got x", function() numbers(1):iter("x") end)
end

-- ---- loops -------------------------------------------------------------------------------------------------

TestLoop = {}

local function threads()
  for text in io.lines "/proc/self/status" do
    local count = text:match "^Threads:%s*(%d+)"
    if count then return tonumber(count) end
  end
end

function TestLoop.setUp()
  collectgarbage()
  collectgarbage()
end

function TestLoop.test_by_hand()
  local next_one = numbers(2):iter()
  eq({next_one():item(), next_one():item(), next_one(), next_one()}, {0, 1})
end

function TestLoop.test_two_at_once()
  local dataset = numbers(3)
  local a, b = dataset:iter(), dataset:iter()
  eq({a():item(), b():item(), a():item(), b():item()}, {0, 0, 1, 1})
end

function TestLoop.test_threads_end_with_the_loop()
  local before = threads()
  local endless = numbers(10):repeat_():map(function(x) return x end)
  for x in endless:iter{workers = 4} do
    eq(threads(), before + 4)
    if x:item() == 1 then break end
  end
  eq(threads(), before)
  pcall(function()
    for _ in endless:iter{workers = 4} do error "left" end
  end)
  eq(threads(), before)
  for _ in numbers(10):iter{workers = 4} do end
  eq(threads(), before)
  local it = numbers(1):iter{workers = 4}
  it()
  eq(it(), nil) -- at the end, by hand
  eq(threads(), before)
end

function TestLoop.test_the_collector_ends_what_was_forgotten()
  local before = threads()
  for _ = 1, 5 do numbers(10):repeat_():iter{workers = 2}() end
  collectgarbage()
  collectgarbage()
  eq(threads(), before)
end

function TestLoop.test_an_error_tells_line_and_sample()
  local before = threads()
  local defined = line() + 2
  local dataset = numbers(100):map(function(x)
    if x:item() == 41 then error "found it" end
    return x
  end)
  local count = 0
  local good, message = pcall(function()
    for _ in dataset:iter{workers = 3} do count = count + 1 end
  end)
  eq({good, count, message}, {false, 41, ("sample 42: %s:%d: found it"):format(here, defined)})
  eq(threads(), before)
  good, message = pcall(values, dataset:batch(10))
  lu.assertFalse(good)
  lu.assertStrContains(message, ("sample 42: %s:%d: found it"):format(here, defined))
end

-- Runs code, sends it SIGINT after a while and gives what it printed.
local function interrupted(code)
  local name = os.tmpname()
  local file <close> = assert(io.open(name, "w"))
  file:write(code)
  file:flush()
  local pipe <close> = assert(io.popen(("%s %s 2>&1 & pid=$!; sleep 0.4; kill -INT $pid; wait $pid; echo status $?")
                                       :format(program, name)))
  local printed = pipe:read "a"
  os.remove(name)
  return printed
end

function TestLoop.test_an_endless_loop_in_a_worker_can_be_interrupted()
  local printed = interrupted [[
    local ds = cnn.data.Dataset.from_tensor_slices(cnn.zeros{4, 1})
    local stubborn = ds:map(function(x) while true do pcall(function() while true do end end) end return x end)
    for _ in stubborn:iter{workers = 2} do end]]
  lu.assertStrContains(printed, "interrupted!")
  lu.assertStrContains(printed, "status 130")
end

function TestLoop.test_a_loop_in_a_coroutine_in_a_worker_can_be_interrupted()
  local printed = interrupted [[
    local ds = cnn.data.Dataset.from_tensor_slices(cnn.zeros{4, 1})
    local ok, message = pcall(function()
      for _ in ds:map(function(x) coroutine.wrap(function() while true do end end)() return x end):iter() do end
    end)
    print("caught", message)
    for x in ds:map(function(x) return x + 1 end):iter() do print(x:item()) break end]]
  lu.assertStrContains(printed, "caught")
  lu.assertStrContains(printed, "interrupted!\n1.0\nstatus 0")
end

function TestLoop.test_leaving_a_loop_does_not_wait_for_endless_functions()
  local dataset = numbers(10):map(function(x)
    while x:item() > 0 do end
    return x
  end)
  for x in dataset:iter{workers = 3} do
    if x:item() == 0 then break end
  end
end

function TestLoop.test_memory_does_not_grow()
  local dataset = from_tensor_slices(cnn.ones{100, 64, 64, 3}):repeat_(100):map(function(x)
    local y = x * 2
    return y + 1
  end)
  local function run() -- 10,000 pictures of 48 KB; 100 of them are of the dataset itself
    local most, count = 0, 0
    for _ in dataset:iter() do
      count = count + 1
      if count % 100 == 0 then most = math.max(most, (cnn.memory())) end
    end
    eq(count, 10000)
    return most
  end
  collectgarbage()
  local before = cnn.memory()
  lu.assertTrue(run() - before < 150e6)
  collectgarbage()
  collectgarbage()
  lu.assertTrue(cnn.memory() - before < 1e6)
end

-- Wrong values of all kinds, from a seed: nothing crashes, and errors are texts.
function TestLoop.test_misuse()
  math.randomseed(6)
  local closed = cnn.ones{2}
  closed:close()
  local makers = {
    function() return nil end, function() return math.random(-3, 9) end, function() return math.huge end,
    function() return 0 / 0 end, function() return "x" end, function() return {} end, function() return {2, 3} end,
    function() return {seed = "x"} end, function() return cnn.ones{2} end, function() return closed end,
    function() return function(x) return x end end, function() return function() return {} end end,
    function() return numbers(3) end, function() return tostring end, function() return io.stdout end,
    function() return cnn.Input{2} end, function() return true end, function() return math.maxinteger end,
    function() return setmetatable({}, {__call = 3, __carry = tostring}) end,
  }
  local function value() return makers[math.random(#makers)]() end
  local names = {"map", "batch", "shuffle", "repeat_", "take", "skip", "cache", "prefetch", "iter", "cardinality"}
  for _ = 1, 2000 do
    local method = names[math.random(#names)]
    local good, result = pcall(function()
      local dataset = numbers(4)
      local made = dataset[method](math.random(9) == 1 and value() or dataset, value(), math.random(2) == 1 and value())
      if method == "iter" or type(made) ~= "userdata" then return end
      for _ in made:take(3):iter{workers = 1} do end
    end)
    if not good then lu.assertIsString(result, method) end
  end
  for _ = 1, 300 do
    local good, result = pcall(from_tensor_slices, {value(), {value(), value()}})
    if not good then lu.assertIsString(result) end
  end
end

-- ---- folders -----------------------------------------------------------------------------------------------

TestFolder = {}

local function with_quiet_print(f)
  local lines, real = {}, print
  _G.print = function(text) lines[#lines + 1] = text end -- luacheck: ignore
  local results = table.pack(pcall(f))
  _G.print = real -- luacheck: ignore
  if not results[1] then error(results[2], 0) end
  return lines, table.unpack(results, 2, results.n)
end

-- Two folders with pictures whose every value is their number.
function TestFolder:setUp()
  self.folder = scratch.make()
  os.execute(("mkdir -p %s/b_dogs %s/a_cats"):format(self.folder, self.folder))
  for i = 1, 10 do
    local class = i <= 6 and "a_cats" or "b_dogs"
    local picture = cnn.full({8, 8, 3}, i, "uint8")
    cnn.image.save(("%s/%s/%02d.png"):format(self.folder, class, i), picture)
  end
end

function TestFolder:tearDown()
  scratch.remove(self.folder)
end

local function folder(arguments)
  return with_quiet_print(function() return cnn.utils.image_dataset_from_directory(arguments) end)
end

function TestFolder:test_pictures_and_labels()
  local printed, dataset = folder{self.folder, image_size = {4, 6}, shuffle = false, batch_size = 4}
  eq(printed, {"Found 10 files belonging to 2 classes."})
  eq(dataset.class_names, {"a_cats", "b_dogs"})
  eq(#dataset.file_paths, 10)
  eq(dataset.file_paths[7], self.folder .. "/b_dogs/07.png")
  eq(#dataset, 3)
  local seen = 0
  for images, labels in dataset:iter() do
    eq({images:dtype(), labels:dtype(), images:shape(2), images:shape(3), images:shape(4)},
       {"float32", "int32", 4, 6, 3})
    for i = 1, #images do
      seen = seen + 1
      eq(images[i]:min():item(), seen)
      eq(labels[i], seen <= 6 and 0 or 1)
    end
  end
  eq(seen, 10)
  local mapped = dataset:map(function(x, y) return x, y end)
  eq(mapped.class_names, dataset.class_names)
  eq(tostring(mapped:take(2)), ("dataset of 2 elements: image_dataset_from_directory{%s}:batch(4):map(%s:%d):take(2)")
     :format(self.folder, here, line() - 3))
end

function TestFolder:test_single_pictures_without_labels()
  local printed, dataset = folder{self.folder, label_mode = false, batch_size = false, image_size = 5, shuffle = false}
  eq(printed, {"Found 10 files."})
  for image, label in dataset:iter() do
    eq(image:shape(), {5, 5, 3})
    lu.assertNil(label)
  end
  printed = folder{self.folder, verbose = false}
  eq(printed, {})
end

function TestFolder:test_subsets()
  local printed, training = folder{self.folder, validation_split = 0.2, subset = "training", seed = 3, image_size = 4}
  eq(printed, {"Found 10 files belonging to 2 classes.", "Using 8 files for training."})
  local more, validation = folder{self.folder, validation_split = 0.2, subset = "validation", seed = 3, image_size = 4}
  eq(more, {"Found 10 files belonging to 2 classes.", "Using 2 files for validation."})
  local all = table.move(validation.file_paths, 1, 2, 9, table.move(training.file_paths, 1, 8, 1, {}))
  for i, path in ipairs(sorted(all)) do lu.assertStrContains(path, ("%02d.png"):format(i)) end
  local third, a, b = folder{self.folder, validation_split = 0.2, subset = "both", image_size = 4}
  eq(third, {"Found 10 files belonging to 2 classes.", "Using 8 files for training.", "Using 2 files for validation."})
  all = table.move(b.file_paths, 1, 2, 9, table.move(a.file_paths, 1, 8, 1, {}))
  for i, path in ipairs(sorted(all)) do lu.assertStrContains(path, ("%02d.png"):format(i)) end
end

function TestFolder:test_a_subset_may_be_all_there_is()
  local printed, dataset = folder{self.folder, validation_split = 0.05, subset = "training", seed = 3}
  eq(printed, {"Found 10 files belonging to 2 classes.", "Using 10 files for training."})
  eq(#dataset.file_paths, 10)
end

function TestFolder:test_an_error_names_the_picture()
  local _, dataset = folder{self.folder, image_size = 4, shuffle = false, batch_size = false}
  local defined = line() + 2
  local good, message = pcall(values, dataset:map(function(image)
    if image:max():item() > 4 then error "too bright" end
    return image:max()
  end))
  lu.assertFalse(good)
  eq(message, ("%s/a_cats/05.png: %s:%d: too bright"):format(self.folder, here, defined))
end

function TestFolder:test_broken_pictures()
  local file = assert(io.open(self.folder .. "/a_cats/03.png", "w"))
  file:write "no picture"
  file:close()
  local _, dataset = folder{self.folder, image_size = 4, batch_size = false, strict = true}
  raises("03.png", values, dataset:map(function(image) return image:max() end))
end

function TestFolder:test_wrong_arguments()
  raises("image_dataset_from_directory: 'directory' must be the name of a folder", folder, {})
  raises("image_dataset_from_directory: unknown argument 'image_sizes' (did you mean 'image_size'?)", folder,
         {self.folder, image_sizes = 3})
  raises("'batch_size' must be a positive integer, or false for single pictures", folder, {self.folder, batch_size = 0})
  raises("'subset'", folder, {self.folder, validation_split = 0.2})
  raises("cannot read " .. self.folder .. "/nowhere", folder, {self.folder .. "/nowhere"})
  raises("got 'directory' twice", folder, {self.folder, directory = self.folder})
end

-- ---- single pictures ---------------------------------------------------------------------------------------

TestPicture = {}

function TestPicture:setUp()
  self.path = os.tmpname() .. ".png"
  cnn.image.save(self.path, cnn.arange(96):reshape{4, 8, 3}:astype "uint8")
end

function TestPicture:tearDown()
  os.remove(self.path)
  os.remove((self.path:gsub("%.png$", "")))
end

function TestPicture:test_load_img()
  local image = cnn.utils.load_img(self.path)
  eq({image:dtype(), image:shape(1), image:shape(2), image:shape(3)}, {"uint8", 4, 8, 3})
  eq(cnn.utils.load_img{self.path, color_mode = "grayscale"}:shape(), {4, 8, 1})
  eq(cnn.utils.load_img{self.path, target_size = {2, 3}}:shape(), {2, 3, 3})
  eq(cnn.utils.load_img{self.path, target_size = 2, interpolation = "bilinear"}:shape(), {2, 2, 3})
  local kept = cnn.utils.load_img{self.path, target_size = {2, 2}, keep_aspect_ratio = true}
  eq({kept[1][1][1], kept[2][2][1]}, {33, 87}) -- of columns 3 to 6
  raises("load_img: unknown color_mode 'gray_scale' (did you mean 'grayscale'?)", cnn.utils.load_img,
         {self.path, color_mode = "gray_scale"})
  raises("load_img: unknown argument 'size'", cnn.utils.load_img, {self.path, size = 3})
  raises("load_img: 'target_size' must be {height, width}", cnn.utils.load_img, {self.path, target_size = {2, "x"}})
end

function TestPicture:test_arrays()
  local image = cnn.utils.load_img(self.path)
  local array = cnn.utils.img_to_array(image)
  eq({array:dtype(), array[4][8][3]}, {"float32", 95})
  eq(cnn.utils.img_to_array(cnn.zeros{2, 3}):shape(), {2, 3, 1})
  raises("img_to_array: expected a picture, got a tensor of rank 1", cnn.utils.img_to_array, cnn.zeros{2})
  local scaled = cnn.utils.array_to_img(array - 50)
  eq({scaled:dtype(), scaled:min():item(), scaled:max():item()}, {"uint8", 0, 255})
  eq(cnn.utils.array_to_img{array, scale = false}:max():item(), 95)
  cnn.utils.save_img(self.path, array, false)
  eq((cnn.utils.load_img(self.path):astype "int32" - image:astype "int32"):abs():max():item(), 0)
end
