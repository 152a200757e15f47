-- Functions of Lua in worker threads: what goes there with them, what does not, and what they find there.
-- luacheck: globals TestCarried TestRefused TestWorker TestGenerator

local lu = require "luaunit"
local cnn = require "cnn"
local raises = require "raises"

local eq = lu.assertEquals
local one = cnn.data.Dataset.from_tensor_slices(cnn.zeros{1, 1})

-- What f gives in a worker: a number, or true as 1.
local function there(f)
  local x = one:map(f):iter{workers = 1}()
  return x:item()
end

local function line() return debug.getinfo(2, "l").currentline end
local here = debug.getinfo(1, "S").short_src

-- ---- what is carried ---------------------------------------------------------------------------------------

TestCarried = {}

function TestCarried.test_plain_values()
  local none, yes, no, low, high = nil, true, false, math.mininteger, math.maxinteger
  local huge, tiny, nan, minus, whole = math.huge, 5e-324, 0 / 0, -0.0, 3.0
  local text, bytes, empty = "text", "a\0b\255", ""
  eq(there(function()
    return none == nil and yes == true and no == false and low == math.mininteger and high == math.maxinteger and
      huge == math.huge and tiny == 5e-324 and nan ~= nan and 1 / minus == -math.huge and
      math.type(whole) == "float" and math.type(low) == "integer" and text == "text" and bytes == "a\0b\255" and
      empty == ""
  end), 1)
end

function TestCarried.test_tables_keep_identity()
  local inner = {1, 2, 3, name = "inner"}
  local key = {}
  local t = {inner, inner, [key] = "by table", [1.5] = "by float", [false] = "by boolean", key = key}
  t.self = t
  inner.outer = t
  eq(there(function()
    return #t == 2 and t[1] == inner and t[2] == inner and inner[3] == 3 and inner.name == "inner" and
      inner.outer == t and t.self == t and t[key] == "by table" and t.key == key and t[1.5] == "by float" and
      t[false] == "by boolean"
  end), 1)
end

function TestCarried.test_classes_written_in_lua()
  local Point = {__name = "Point"}
  Point.__index = Point
  Point.__add = function(a, b) return setmetatable({x = a.x + b.x}, Point) end
  Point.__call = function(self, n) return self.x * n end
  function Point:double() return 2 * self.x end
  local p, q = setmetatable({x = 3}, Point), setmetatable({x = 4}, Point)
  eq(there(function()
    return getmetatable(p) == Point and p:double() == 6 and (p + q):double() == 14 and q(5) == 20
  end), 1)
end

function TestCarried.test_functions()
  local function factorial(n) return n < 2 and 1 or n * factorial(n - 1) end
  local odd
  local function even(n) return n == 0 or odd(n - 1) end
  function odd(n) return n ~= 0 and even(n - 1) end
  local function sum(...)
    local s = 0
    for _, v in ipairs{...} do s = s + v end
    return s
  end
  local functions = {twice = function(f, x) return f(f(x)) end}
  eq(there(function()
    return factorial(5) == 120 and even(10) and odd(7) and sum(1, 2, 3) == 6 and
      functions.twice(function(x) return x * 3 end, 2) == 18
  end), 1)
end

function TestCarried.test_closures_go_on_sharing_variables()
  local function counter()
    local n = 10
    local function more() n = n + 1 end
    return more, function() return n end
  end
  local more, get = counter()
  local _, other = counter()
  eq(there(function()
    more()
    more()
    return get() * 100 + other()
  end), 1210)
  eq(get(), 10)
end

function TestCarried.test_a_function_in_a_table_in_its_own_variable()
  local object
  object = {value = 7, get = function() return object.value end}
  eq(there(function()
    object.value = 8
    return object.get()
  end), 8)
end

function TestCarried.test_tensors()
  local t, list = cnn.arange(6):reshape{2, 3}, {}
  list.t = t
  list.half = cnn.tensor({1.5, 2.5}, "bfloat16")
  list.bytes = cnn.tensor({1, 2}, "uint8")
  eq(there(function()
    return rawequal(list.t, t) and t:sum():item() == 15 and t:dtype() == "int32" and t:shape(2) == 3 and
      list.half:dtype() == "bfloat16" and list.half:sum():item() == 4 and list.bytes:dtype() == "uint8"
  end), 1)
  local before = cnn.memory()
  local big = cnn.ones{1000, 1000}
  local mapped = one:map(function() return big:sum() end)
  for x in mapped:iter{workers = 2} do eq(x:item(), 1e6) end
  lu.assertTrue(select(1, cnn.memory()) - before < 6e6)
end

function TestCarried.test_a_tensor_lives_as_long_as_the_dataset()
  local t = cnn.full({4}, 2)
  local mapped = one:map(function() return t:sum() end)
  t:close()
  for x in mapped:iter() do eq(x:item(), 8) end
end

function TestCarried.test_what_belongs_to_the_module_and_to_lua()
  local module, image, resize, sin, format, out, globals = cnn, cnn.image, cnn.image.resize, math.sin, string.format,
                                                           io.stdout, _G
  local null, unpack, each, to_categorical = cnn.null, table.unpack, ipairs, cnn.utils.to_categorical
  eq(there(function()
    return module == cnn and image == cnn.image and resize == cnn.image.resize and sin == math.sin and
      format == string.format and out == io.stdout and globals == _G and null == cnn.null and
      unpack == table.unpack and each == ipairs and to_categorical == cnn.utils.to_categorical and
      require "cnn" == cnn and cnn.version == module.version
  end), 1)
end

function TestCarried.test_functions_with_an_environment_of_their_own()
  local f = load("return value * 2", "chunk", "t", {value = 21})
  eq(there(function() return f() end), 42)
end

function TestCarried.test_as_it_was_when_map_was_called()
  local n, t = 1, {1}
  local mapped = one:map(function() return n * 10 + t[1] end)
  n, t[1] = 2, 2
  for x in mapped:iter() do eq(x:item(), 11) end
  n = n + t[1]
end

function TestCarried.test_a_worker_changes_its_own_copy()
  local t = {0}
  local mapped = one:map(function()
    t[1] = t[1] + 1
    return t[1]
  end)
  for x in mapped:iter() do eq(x:item(), 1) end
  eq(t[1], 0)
end

function TestCarried.test_objects_that_say_how()
  local object = setmetatable({seed = 5}, {__carry = function(self) return "random.generator", self.seed end})
  local list = {object, object}
  local drawn = there(function() return rawequal(list[1], list[2]) and list[1]:uniform() or -1 end)
  eq(drawn, cnn.tensor(cnn.random.generator(5):uniform()):item())
end

function TestCarried.test_a_long_chain()
  local first = {}
  local last = first
  for _ = 1, 60 do
    last.next = {}
    last = last.next
  end
  last.value = 9
  eq(there(function()
    local t = first
    while t.next do t = t.next end
    return t.value
  end), 9)
end

-- ---- what is not -------------------------------------------------------------------------------------------

TestRefused = {}

local can = ", which cannot go to worker threads; numbers, strings, tables, tensors and Lua functions can"

local function refused(text, f)
  local good, message = pcall(one.map, one, f)
  lu.assertFalse(good)
  lu.assertStrContains(message, text .. can)
end

function TestRefused.test_the_text()
  local model = cnn.Sequential{cnn.layers.Dense{1, input_shape = {2}}}
  local defined = line() + 1
  local function f(x) return model(x) end
  local good, message = pcall(function() one:map(f) end)
  lu.assertFalse(good)
  eq(message, ("%s:%d: map: upvalue 'model' (%s:%d) is a model with weights%s")
     :format(here, defined + 1, here, defined, can))
end

function TestRefused.test_the_way_there_is_told()
  local settings = {net = {1, {layer = cnn.layers.Dense{1}}}}
  local way = "field 'net', field [2], field 'layer' is a layer with weights"
  refused(("upvalue 'settings' (%s:%d), %s"):format(here, line(), way), function() return settings end)
  local function helper() return settings.net end
  local defined = line() - 1
  refused(("upvalue 'helper' (%s:%d), upvalue 'settings' (%s:%d), %s")
          :format(here, line(), here, defined, way), function() return helper() end)
  local keys = {[cnn.layers.Dense{1}] = true}
  refused("upvalue 'keys' (" .. here .. ":" .. line() .. "), a key is a layer with weights", function() return keys end)
  local object = setmetatable({}, {__index = coroutine.create(print)})
  refused("the metatable, field '__index' is a coroutine", function() return object end)
end

function TestRefused.test_other_kinds()
  local file = assert(io.open(arg[0]))
  refused("upvalue 'file' (" .. here .. ":" .. line() .. ") is a file", function() return file end)
  file:close()
  local coroutine_of_mine = coroutine.create(print)
  refused("is a coroutine", function() return coroutine_of_mine end)
  local matches = ("a b"):gmatch "%a"
  refused("is a C function", function() return matches() end)
  local closed = cnn.ones{1}
  closed:close()
  refused("is a closed tensor", function() return closed end)
  local symbolic = cnn.Input{3}
  refused("is a symbolic tensor", function() return symbolic end)
  local dataset = one
  refused("is a dataset", function() return dataset end)
  local iterator = one:iter()
  refused("is a C function", function() return iterator() end)
end

function TestRefused.test_too_deep()
  local t = {}
  for _ = 1, 10000 do t = {t} end
  raises("map: what is to go to worker threads is nested more than 200 deep", one.map, one, function() return t end)
end

function TestRefused.test_wrong_words_of_carry()
  local function with_carry(f) return setmetatable({}, {__carry = f}) end
  local nothing = with_carry(function() end)
  raises("the __carry of a table must return a name and an argument", one.map, one, function() return nothing end)
  local absent = with_carry(function() return "nonsense" end)
  raises("cnn: there is no 'nonsense'", there, function() return absent end)
  local itself
  itself = with_carry(function(self) return "random.generator", {self} end)
  raises("argument of its own making", there, function() return itself end)
  local failing = with_carry(function() error("no", 0) end)
  raises("no", one.map, one, function() return failing end)
end

function TestRefused.test_no_function()
  raises("map: 'map_func' must be a function, got nil", one.map, one)
  raises("map: 'map_func' must be a function, got 3", one.map, one, 3)
  raises("map: unknown argument 'num_paralel_calls' (did you mean 'num_parallel_calls'?)", one.map, one,
         {function() end, num_paralel_calls = 2})
end

-- ---- what a function finds in a worker ---------------------------------------------------------------------

TestWorker = {}

-- luacheck: globals test_global test_helper test_file

function TestWorker.test_globals_that_a_function_names_come_along()
  test_global = {scale = 3}
  test_helper = function() return test_global.scale + (test_helper and 1 or 0) end
  eq(there(function() return test_helper() end), 4)
  test_global = nil
  raises("global 'test_global' is not there in worker threads", there, function() return test_helper() end)
  test_helper = nil
  eq(there(function() -- names of other Luas may be asked for, and globals of its own made
    test_global = (unpack or table.unpack){5} -- luacheck: ignore
    return jit == nil and test_global == 5 -- luacheck: ignore
  end), 1)
  lu.assertNil(test_global)
end

function TestWorker.test_a_global_that_cannot_come_along_is_an_error_only_where_it_is_asked_for()
  test_file = assert(io.open(arg[0]))
  raises("global 'test_file' is a file, which cannot go to worker threads", there, function() return test_file end)
  eq(there(function() local t = {test_file = 2} return t.test_file end), 2)
  test_file:close()
  test_file = nil
end

function TestWorker.test_what_would_change_the_program()
  for _, name in ipairs{"cnn.set_seed", "cnn.random.set_seed", "cnn.utils.set_random_seed", "cnn.set_threads",
                        "os.exit"} do
    local f = load("return " .. name .. "(1)")
    raises(name .. ": not in worker threads", there, function() return f() end)
  end
end

function TestWorker.test_errors_tell_where()
  local lines = {}
  lines.index = line() + 1
  local good, message = pcall(there, function(x) return x.a.b end)
  lu.assertFalse(good)
  lu.assertStrContains(message, ("sample 1: %s:%d: tensor: there is no 'a'"):format(here, lines.index))
  raises("(error object is a table value)", there, function() error{} end)
  raises("as text", there, function() error(setmetatable({}, {__tostring = function() return "as text" end})) end)
  raises("(error object is a table value)", there, function()
    error(setmetatable({}, {__tostring = function() return 3 end}))
  end)
  raises("sample 1: ", there, function() error(setmetatable({}, {__tostring = function() error{} end})) end)
  raises(here .. ":" .. line() .. ": out of it", there, function() error "out of it" end)
  local deep = load("local function f() error 'in a chunk' end return f", "@some/file.lua")()
  raises("some/file.lua:1: in a chunk", there, function() deep() end)
  raises("stack overflow", there, function()
    local function f() return 1 + f() end
    return f()
  end)
end

function TestWorker.test_results()
  local where = here .. ":" .. line() + 1 .. ": map: "
  raises(where .. "the function must return the element's tensors, but returned nothing", there, function() end)
  raises("returned nothing", there, function(x) return nil, x end)
  raises("map: result 2 of the function must be a tensor or a number, got nil", there, function(x) return x, nil end)
  raises("map: result 1 of the function must be a tensor or a number, got table", there, function() return {} end)
  raises("result 1 of the function must be a tensor or a number, got a closed tensor", there, function(x)
    x:close()
    return x
  end)
  raises("map: the function returned 17 values; an element has at most 16 tensors", there, function()
    return 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17
  end)
  for a, b, c, d, e in one:map(function(x) return x, 2, 2.5, true, x end):iter() do
    eq({a:dtype(), b:dtype(), b:rank(), c:item(), d:dtype(), e:item()}, {"float32", "float32", 0, 2.5, "uint8", 0})
  end
end

local program = os.getenv "CNNLUA_PROGRAM" or "./cnnlua"

local function output_of(command)
  local pipe <close> = assert(io.popen(command .. " 2>&1"))
  return pipe:read "a"
end

function TestWorker.test_no_memory()
  local limited = "ulimit -v 2000000; OPENBLAS_NUM_THREADS=1 " .. program .. " --threads 1 -e '%s'"
  lu.skipIf(output_of(limited:format "print(1)") ~= "1\n", "the program needs more memory than it is let")
  local printed = output_of(limited:format [[
    local ds = cnn.data.Dataset.from_tensor_slices(cnn.zeros{1, 1})
    local function grow()
      local s = "x"
      while true do s = s .. s end
    end
    for _ in ds:map(grow):iter() do end]])
  lu.assertStrContains(printed, "map: out of memory in the Lua state of a worker thread")
end

function TestWorker.test_print_writes_whole_lines()
  local code = [[
    local ds = cnn.data.Dataset.from_tensor_slices(cnn.zeros{200, 1})
    for _ in ds:map(function(x) print("a line", "of two", nil) return x end):iter{workers = 4} do end]]
  eq(output_of(program .. " -e '" .. code .. "'"), ("a line\tof two\tnil\n"):rep(200))
end

function TestWorker.test_gradients_stay_in_their_thread()
  eq(there(function()
    local x = cnn.tensor{3}
    local tape <close> = cnn.GradientTape()
    tape:watch(x)
    return tape:gradient((x * x):sum(), {x})[1]:item()
  end), 6)
end

-- ---- random numbers ----------------------------------------------------------------------------------------

local many = cnn.data.Dataset.from_tensor_slices(cnn.zeros{50, 1})

local function all(dataset, workers)
  local list = {}
  for a, b, c, d in dataset:iter{workers = workers} do list[#list + 1] = {a:item(), b:item(), c:item(), d:item()} end
  return list
end

local function random_map()
  return many:map(function(_, rng)
    return rng:uniform(-1, 1), rng:normal(), cnn.random.uniform({1}):item(), math.random(1000)
  end)
end

function TestWorker.test_random_numbers_are_the_same_for_any_number_of_workers()
  cnn.set_seed(3)
  local a = all(random_map(), 1)
  cnn.set_seed(3)
  local b = all(random_map(), 3)
  eq(a, b)
  local dataset = random_map()
  lu.assertNotEquals(all(dataset), a) -- another seed
  lu.assertNotEquals(all(dataset), all(dataset)) -- another iteration
  local seen = {}
  for column = 1, 4 do
    for _, row in ipairs(a) do seen[column .. ":" .. row[column]] = true end
  end
  local different = 0
  for _ in pairs(seen) do different = different + 1 end
  lu.assertTrue(different > 190) -- elements have numbers of their own
end

function TestWorker.test_what_is_left_for_the_end_does_no_harm()
  -- luacheck: globals late
  local mapped = one:map(function(x, rng)
    late = setmetatable({}, {__gc = function()
      local sum = x:item()
      return rng:uniform() + sum
    end})
    return x
  end)
  for x in mapped:iter() do eq(x:item(), 0) end
end

TestGenerator = {}

function TestGenerator.test_ranges()
  local rng = cnn.random.generator(1)
  local low, high, sum, ones, faces = 1, 0, 0, 0, {}
  for _ = 1, 2000 do
    local u = rng:uniform()
    low, high, sum = math.min(low, u), math.max(high, u), sum + rng:normal(5, 2)
    faces[rng:integer(1, 6)] = true
    if rng:bernoulli(0.25) then ones = ones + 1 end
  end
  lu.assertTrue(low >= 0 and low < 0.01 and high < 1 and high > 0.99)
  lu.assertAlmostEquals(sum / 2000, 5, 0.2)
  eq(#faces, 6)
  lu.assertAlmostEquals(ones / 2000, 0.25, 0.05)
  for _ = 1, 100 do
    local v = rng:uniform(-3, -2)
    lu.assertTrue(v >= -3 and v < -2)
    eq(rng:integer(7, 7), 7)
    eq(math.type(rng:integer(math.mininteger, math.maxinteger)), "integer")
  end
  eq(rng:bernoulli(0), false)
  eq(rng:bernoulli(1), true)
  eq(rng:uniform(2, 2), 2)
end

function TestGenerator.test_seeds()
  eq(cnn.random.generator(7):uniform(), cnn.random.generator{seed = 7}:uniform())
  lu.assertNotEquals(cnn.random.generator(7):uniform(), cnn.random.generator(8):uniform())
  lu.assertNotEquals(cnn.random.generator():uniform(), cnn.random.generator():uniform())
end

function TestGenerator.test_misuse()
  local rng = cnn.random.generator(1)
  raises("rng:uniform: 'low' must be a number, got x", rng.uniform, rng, "x")
  raises("rng:uniform: 'low' must not be above 'high'", rng.uniform, rng, 2, 1)
  raises("rng:normal: 'stddev' must not be negative", rng.normal, rng, 0, -1)
  raises("rng:integer: 'low' must be an integer, got nil", rng.integer, rng)
  raises("rng:integer: 'high' must be an integer, got 1.5", rng.integer, rng, 1, 1.5)
  raises("rng:integer: 'low' must not be above 'high', got 3 and 2", rng.integer, rng, 3, 2)
  raises("rng:bernoulli: 'p' must be between 0 and 1, got 2", rng.bernoulli, rng, 2)
  raises("generator expected", rng.uniform, {})
  raises("generator: 'seed' must be an integer, got x", cnn.random.generator, "x")
end

-- ---- layers ----------------------------------------------------------------------------------------------------

function TestCarried.test_layers_and_models_without_weights_draw_the_same_for_any_number_of_workers()
  local layers = cnn.layers
  local flip = layers.RandomFlip{"vertical"}
  local turn = cnn.Sequential{layers.RandomFlip{"horizontal"}, layers.RandomRotation{0.2}}
  local x = cnn.random.uniform({12, 6, 6, 3}, 0, 255, 5)
  local function pictures(workers)
    cnn.set_seed(4)
    local parts = {}
    local ds = cnn.data.Dataset.from_tensor_slices(x):batch(2):map(function(images) return flip(turn(images)) end)
    for images in ds:iter{workers = workers} do parts[#parts + 1] = images end
    return cnn.concatenate(parts, 1)
  end
  local alone = pictures(1)
  lu.assertFalse(cnn.all(cnn.equal(alone, x)))
  lu.assertTrue(cnn.all(cnn.equal(alone, pictures(3))))
end

function TestRefused.test_layers_with_weights_or_written_in_lua()
  local dense = cnn.Sequential{cnn.layers.Dense{1, input_shape = {1}}}
  raises("upvalue 'dense'", one.map, one, function(x) return dense(x) end)
  raises("is a model with weights, which cannot go to worker threads", one.map, one, function(x) return dense(x) end)
  local bias = dense.layers[1]
  raises("is a layer with weights", one.map, one, function(x) return bias(x) end)
end
