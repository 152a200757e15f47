-- Tensors in Lua: making, indexing, computing, and every misuse: the message, and that nothing crashes.
-- luacheck: globals TestMaking TestLooking TestIndexing TestAssigning TestArithmetic TestReducing TestShaping
-- luacheck: globals TestJoining TestClosing TestCollector TestRandom TestJson TestModule

local lu = require "luaunit"
local cnn = require "cnn"
local raises = require "raises"

local eq = lu.assertEquals

-- t holds these values, in this dtype.
local function holds(t, values, dtype)
  eq(t:tolist(), values)
  if dtype then eq(t:dtype(), dtype) end
end

-- The same for an expression: "t[5]" with t, u, v around.
local function fails(text, chunk, t, u)
  local f = assert(load("local cnn, t, u = ...; local _ = " .. chunk, "=chunk"))
  raises(text, f, cnn, t, u)
end

local function m23() -- {{1, 2, 3}, {4, 5, 6}}
  return cnn.tensor{{1, 2, 3}, {4, 5, 6}}
end

-- ---- making -----------------------------------------------------------------------------------------------

TestMaking = {}

function TestMaking.test_nested_tables_become_float32()
  holds(m23(), {{1, 2, 3}, {4, 5, 6}}, "float32")
  holds(cnn.tensor(2.5), 2.5, "float32")
  holds(cnn.tensor{}, {}, "float32")
  eq(cnn.tensor{{}, {}}:shape(), {2, 0})
  holds(cnn.tensor{{{{{{{{1}}}}}}}}, {{{{{{{{1}}}}}}}})
end

function TestMaking.test_dtype_by_position_or_name()
  holds(cnn.tensor({1, 2}, "int32"), {1, 2}, "int32")
  holds(cnn.tensor{1, 2, dtype = "uint8"}, {1, 2}, "uint8")
  holds(cnn.tensor({1.75, -1.75}, cnn.int32), {1, -1}, "int32")
  holds(cnn.tensor({300, -1}, "uint8"), {255, 0}, "uint8")
  eq(cnn.tensor({1}, "bfloat16"):dtype(), "bfloat16")
  eq(cnn.float32, "float32")
end

function TestMaking.test_booleans_become_uint8()
  holds(cnn.tensor{true, false}, {1, 0}, "uint8")
  holds(cnn.tensor(true), 1, "uint8")
end

function TestMaking.test_tensor_of_a_tensor_is_a_copy()
  local t = m23()
  local u = cnn.tensor(t, "int32")
  u[{1, 1}] = 9
  eq(t[{1, 1}], 1)
  eq(u:dtype(), "int32")
end

function TestMaking.test_tensor_errors()
  raises("ragged: [2] must hold 2 elements", cnn.tensor, {{1, 2}, {3}})
  raises("ragged: [2] must hold 2 elements", cnn.tensor, {{1, 2}, 3})
  raises("element [1][2] must be a number, got a table", cnn.tensor, {{1, {2}}})
  raises("element [2] must be a number, got a string", cnn.tensor, {1, "x"})
  raises("element [2] must be a number, got a nil", cnn.tensor, {1, nil, 3})
  raises("cnn.stack", cnn.tensor, {m23(), m23()})
  local circle = {}
  circle[1] = circle
  raises("nested more than 8 deep", cnn.tensor, circle)
  for _, wrong in ipairs{"1", print, io.stdout} do raises("tensor, number or table expected", cnn.tensor, wrong) end
  raises("tensor, number or table expected", cnn.tensor)
  raises("did you mean 'int32'", cnn.tensor, {1}, "int3")
  raises("'dtype' must be a name", cnn.tensor, {1}, 5)
end

function TestMaking.test_constants_by_both_manners_of_calling()
  holds(cnn.zeros{2, 3}, {{0, 0, 0}, {0, 0, 0}}, "float32")
  holds(cnn.zeros({2}, "int32"), {0, 0}, "int32")
  holds(cnn.zeros{2, dtype = "int32"}, {0, 0}, "int32")
  holds(cnn.zeros{{2}, "int32"}, {0, 0}, "int32")
  holds(cnn.zeros{shape = {2}, dtype = "uint8"}, {0, 0}, "uint8")
  holds(cnn.zeros(2), {0, 0})
  holds(cnn.zeros{}, 0)
  holds(cnn.zeros{0}, {})
  holds(cnn.ones{2, 1}, {{1}, {1}})
  holds(cnn.full({2}, 7), {7, 7}, "float32")
  holds(cnn.full{2, fill_value = 7, dtype = "int32"}, {7, 7}, "int32")
  holds(cnn.full{{2}, 7}, {7, 7})
  holds(cnn.zeros_like(m23()), {{0, 0, 0}, {0, 0, 0}}, "float32")
  holds(cnn.ones_like(m23(), "uint8"), {{1, 1, 1}, {1, 1, 1}}, "uint8")
end

function TestMaking.test_numbers_are_cut_to_whole_ones_for_integers()
  holds(cnn.full({2}, 2.7, "int32"), {2, 2}, "int32")
  holds(cnn.tensor{2.7, -2.7, dtype = "int32"}, {2, -2}, "int32")
  holds(cnn.tensor({1}, "uint8"):pad(1, 2.7), {2, 1, 2}, "uint8")
end

function TestMaking.test_tables_with_names_are_no_arrays()
  raises("unknown argument 'dtyp' (did you mean 'dtype'?)", cnn.tensor, {1, 2, dtyp = "int32"})
  raises("unknown argument 'dtype'", cnn.tensor, {1, 2, dtype = "int32"}, "uint8")
  raises("unknown argument 'axis'", cnn.sum, {axis = 1})
  raises("unknown argument 'size'", cnn.reshape, {1, 2}, {2, size = 2})
  raises("unknown argument 'valeu' (did you mean 'value'?)", cnn.pad, {1, 2}, {1, valeu = 3})
end

function TestMaking.test_like_another()
  holds(cnn.zeros_like{1, 2}, {0, 0}, "float32")
  holds(cnn.ones_like{m23(), dtype = "int32"}, {{1, 1, 1}, {1, 1, 1}}, "int32")
end

function TestMaking.test_shape_errors()
  raises("size 1 of 'shape' must not be negative, got -1", cnn.zeros, {-1})
  raises("number 1 of 'shape' must be an integer", cnn.zeros, {0 / 0})
  raises("number 2 of 'shape' must be an integer, got 1.5", cnn.zeros, {1, 1.5})
  raises("number 1 of 'shape' must be an integer, got x", cnn.zeros, {"x"})
  raises("at most 8 numbers, got 9", cnn.zeros, {1, 1, 1, 1, 1, 1, 1, 1, 1})
  raises("too big", cnn.zeros, {1e9, 1e9, 1e9})
  raises("too big", cnn.zeros, {math.maxinteger, math.maxinteger})
  raises("too big", cnn.ones, {2 ^ 40})
  raises("'shape' must be a list of integers, got nil", cnn.zeros)
  raises("'dtype' must be a name like \"float32\", got 3", cnn.zeros, 2, 3)
  raises("unknown argument 'dtpye' (did you mean 'dtype'?)", cnn.zeros, {2, dtpye = "int32"})
  raises("an argument has the name", cnn.zeros, {[1.5] = 2})
  raises("an argument has the name", cnn.zeros, {[true] = 2})
  raises("got 'shape' twice", cnn.zeros, {2, shape = {3}})
  raises("at most 2 arguments by position, got 3", cnn.zeros, {2}, "int32", 1)
  raises("'fill_value' must be a number, got nil", cnn.full, {2})
  raises("tensor, number or table expected, got string", cnn.zeros_like, "x")
end

function TestMaking.test_arange_excludes_the_stop()
  holds(cnn.arange(4), {0, 1, 2, 3}, "int32")
  holds(cnn.arange(1, 4), {1, 2, 3}, "int32")
  holds(cnn.arange(4, 0, -2), {4, 2}, "int32")
  holds(cnn.arange(0, 1, 0.25), {0, 0.25, 0.5, 0.75}, "float32")
  holds(cnn.arange(3.0), {0, 1, 2}, "float32")
  holds(cnn.arange(3, "float32"), {0, 1, 2}, "float32")
  holds(cnn.arange{stop = 3}, {0, 1, 2}, "int32")
  holds(cnn.arange(1, 3, "uint8"), {1, 2}, "uint8")
  holds(cnn.arange{0, 6, step = 3}, {0, 3}, "int32")
  holds(cnn.arange(3, 1), {})
  raises("step other than 0", cnn.arange, 1, 2, 0)
  raises("finite", cnn.arange, 0 / 0)
  raises("finite", cnn.arange, math.huge)
  raises("too big", cnn.arange, 1e300)
  raises("'stop' must be a number, got nil", cnn.arange)
  raises("'start' must be a number, got x", cnn.arange, "x", 2)
end

function TestMaking.test_linspace_and_eye()
  holds(cnn.linspace(0, 1, 5), {0, 0.25, 0.5, 0.75, 1})
  holds(cnn.linspace(2, 3, 1), {2})
  holds(cnn.linspace(2, 3, 0), {})
  eq(#cnn.linspace(0, 1), 50)
  raises("'num' must be a whole number, got -1", cnn.linspace, 0, 1, -1)
  raises("'stop' must be a number", cnn.linspace, 0)
  holds(cnn.eye(2), {{1, 0}, {0, 1}})
  holds(cnn.eye(1, 2, "int32"), {{1, 0}}, "int32")
  raises("'rows' must be a whole number, got -2", cnn.eye, -2)
end

function TestMaking.test_one_hot()
  holds(cnn.one_hot({0, 2}, 3), {{1, 0, 0}, {0, 0, 1}})
  holds(cnn.one_hot{{0, 2}, depth = 3}, {{1, 0, 0}, {0, 0, 1}})
  raises("got 5", cnn.one_hot, {0, 5}, 3)
  raises("'depth' must be a whole number", cnn.one_hot, {{0, 5}})
end

-- ---- looking ----------------------------------------------------------------------------------------------

TestLooking = {}

function TestLooking.test_shape_size_dtype()
  local t = m23()
  eq(t:shape(), {2, 3})
  eq({t:shape(1), t:shape(-1)}, {2, 3})
  eq({t:rank(), t:ndim(), t:numel(), t:size(), #t}, {2, 2, 6, 6, 2})
  eq(t:dtype(), "float32")
  eq(cnn.tensor(1):shape(), {})
  raises("axis 3 is not there", t.shape, t, 3)
  fails("rank 0 has no axis", "#cnn.tensor(1)")
end

function TestLooking.test_values_are_integers_or_floats_as_the_dtype_is()
  eq(math.type(cnn.tensor(1, "int32"):item()), "integer")
  eq(math.type(cnn.tensor(1):item()), "float")
  eq(math.type(cnn.tensor({7}, "uint8")[1]), "integer")
  raises("must have 1 element, has 6", function() m23():item() end)
end

function TestLooking.test_tostring_is_numpys()
  eq(tostring(m23()), "[[1. 2. 3.]\n [4. 5. 6.]]")
  eq(tostring(cnn.arange(3)), "[0 1 2]")
end

function TestLooking.test_equality_is_identity()
  local t = m23()
  lu.assertTrue(t == t) -- luacheck: ignore
  lu.assertFalse(t == m23())
  lu.assertFalse(t == 1)
  lu.assertTrue(cnn.allclose(t, m23()))
end

function TestLooking.test_order_takes_single_elements()
  lu.assertTrue(cnn.tensor(1) < 2)
  lu.assertTrue(1 <= cnn.tensor{1})
  lu.assertFalse(cnn.tensor(1) > cnn.tensor(2))
  fails("tensors of 1 element, not 6", "t < 2", m23())
  fails("tensor expected", "t < 'x'", cnn.tensor(1))
end

function TestLooking.test_unknown_fields_name_the_nearest()
  fails("tensor: there is no 'shpe' (did you mean 'shape'?)", "t.shpe", m23())
  fails("tensor: there is no 'zzzzzzzz'", "t.zzzzzzzz", m23())
  raises("no fields to set", function() m23().x = 1 end)
end

function TestLooking.test_wrong_self()
  local t = m23()
  raises("table expected, got nil", t.sum, nil)
  raises("table expected, got no value", t.sum)
  raises("tensor expected", t.shape, 3)
  raises("tensor expected", t.close, io.stdout)
  raises("tensor expected", t.item, {})
  raises("table expected", t.exp, "1")
  for name, method in pairs(debug.getregistry()["cnn.methods"]) do
    for _, wrong in ipairs{print, io.stdout, "x", coroutine.create(print)} do
      lu.assertFalse(pcall(method, wrong), name)
      lu.assertFalse(pcall(method, wrong, wrong, wrong), name)
    end
    pcall(method)
    pcall(method, t, print)
    pcall(method, t, {})
    pcall(method, t, -1, 0 / 0)
    pcall(method, t, {{}}, {{}})
    pcall(method, t, math.mininteger, math.maxinteger)
    if name == "close" then t = m23() end
  end
end

function TestLooking.test_pairs_gives_rows()
  local seen = {}
  for i, row in pairs(m23()) do seen[i] = row:tolist() end
  eq(seen, {{1, 2, 3}, {4, 5, 6}})
  for _, x in pairs(cnn.tensor{5}) do eq(x, 5) end
end

-- ---- indexing ---------------------------------------------------------------------------------------------

TestIndexing = {}

local function m234()
  return cnn.arange(24):reshape{2, 3, 4}
end

function TestIndexing.test_rows_count_from_one_and_from_the_end()
  local t = m23()
  holds(t[1], {1, 2, 3})
  holds(t[-1], {4, 5, 6})
  eq(t[2][3], 6)
  eq(t[2][-3], 4)
  eq(t[2.0][1], 4)
end

function TestIndexing.test_rows_are_views()
  local t = m23()
  local row = t[1]
  row[2] = 9
  holds(t, {{1, 9, 3}, {4, 5, 6}})
end

function TestIndexing.test_a_view_outlives_its_tensor()
  local row
  do
    local t <close> = m23()
    row = t[2]
  end
  collectgarbage()
  holds(row, {4, 5, 6})
end

function TestIndexing.test_blocks()
  local t = m234()
  eq(t[{1, 2, 3}], 6)
  eq(t[{-1, -1, -1}], 23)
  holds(t[{1}], t[1]:tolist())
  holds(t[{{}, 2}], {{4, 5, 6, 7}, {16, 17, 18, 19}})
  holds(t[{nil, 2}], {{4, 5, 6, 7}, {16, 17, 18, 19}})
  holds(t[{2, {1, 3, 2}, {-2, -1}}], {{14, 15}, {22, 23}})
  holds(t[{2, {2}, 1}], {16, 20})
  holds(t[{{1, 1}, {1, 1}, {1, 1}}], {{{0}}})
  holds(t[{1, 1, {3, 2}}], {})
  holds(t[{1, 1, {0, 100}}], {0, 1, 2, 3})
  holds(t[{1, 1, {-100, -4}}], {0})
  holds(t[{1, 1, {1, -1, math.maxinteger}}], {0})
  holds(t[{1, 1, {math.mininteger, math.maxinteger}}], {0, 1, 2, 3})
  local copy = t[{{}, 2}]
  copy[{1, 1}] = -1
  eq(t[{1, 2, 1}], 4)
end

function TestIndexing.test_slice_is_a_view_of_rows()
  local t = m23()
  local rows = t:slice(2)
  rows[{1, 1}] = 0
  holds(t, {{1, 2, 3}, {0, 5, 6}})
  holds(t:slice(1, 1), {{1, 2, 3}})
  holds(t:slice(2, 1), {})
  raises("rank 0 has no axis", function() cnn.tensor(1):slice(1) end)
end

function TestIndexing.test_errors_name_position_and_size()
  local t = m23()
  fails("chunk:1: index: position 3 is out of range for axis 1 of size 2", "t[3]", t)
  fails("position 0 is out of range", "t[0]", t)
  fails("position -3 is out of range", "t[-3]", t)
  fails("position 4 is out of range for axis 2 of size 3", "t[{1, 4}]", t)
  fails("must be an integer, got 1.5", "t[1.5]", t)
  fails("must be an integer, got", "t[{0/0}]", t)
  fails("must be an integer, got x", "t[{'x'}]", t)
  fails("3 positions for a tensor of rank 2", "t[{1, 1, 1}]", t)
  fails("got 4 numbers", "t[{1, {1, 2, 3, 4}}]", t)
  fails("step of a range must be at least 1, got 0", "t[{1, {1, 2, 0}}]", t)
  fails("{from, to, step} in integers, got x", "t[{1, {'x'}}]", t)
  fails("got a boolean", "t[true]", t)
  fails("got a function", "t[print]", t)
  fails("rank 0 has no axis", "cnn.tensor(1)[1]")
  fails("1 position for a tensor of rank 0", "cnn.tensor(1)[{1}]")
end

function TestIndexing.test_tensors_pick_rows()
  local t = m23()
  holds(t[cnn.tensor({2, 1, -1}, "int32")], {{4, 5, 6}, {1, 2, 3}, {4, 5, 6}})
  holds(t[cnn.tensor{2}], {{4, 5, 6}})
  local labels = cnn.tensor({3, 1, 3}, "uint8")
  holds(cnn.arange(3)[labels:equal(3)], {0, 2})
  holds(cnn.arange(3)[labels:equal(9)], {})
  fails("position 3 is out of range for an axis of size 2", "t[cnn.tensor{3}]", t)
  fails("position 0 is out of range", "t[cnn.tensor{0}]", t)
  fails("position 1.5 is out of range", "t[cnn.tensor{1.5}]", t)
  fails("mask must have one axis of size 2", "t[t:greater(0)]", t)
end

function TestIndexing.test_gather_along_an_axis()
  local t = m23()
  holds(t:gather{2}, {{4, 5, 6}})
  holds(t:gather({3, 1}, 2), {{3, 1}, {6, 4}})
  holds(t:take({{1}, {3}}, -1), {{{1}, {3}}, {{4}, {6}}})
  raises("axis 3 is not there", t.gather, t, {1}, 3)
  raises("out of range", t.gather, t, {0 / 0})
  raises("table expected", t.gather, t)
end

function TestIndexing.test_nonzero()
  holds(cnn.tensor{{0, 3}, {5, 0}}:nonzero(), {2, 3}, "int32")
end

TestAssigning = {}

function TestAssigning.test_elements_rows_and_blocks()
  local t = cnn.zeros{2, 3}
  t[1] = 1
  t[{2, 2}] = 5
  t[{2, {3, 3}}] = {7}
  holds(t, {{1, 1, 1}, {0, 5, 7}})
  t[{{}, 1}] = {8, 9}
  holds(t, {{8, 1, 1}, {9, 5, 7}})
  t[-1] = cnn.tensor({1, 2, 3}, "int32")
  holds(t, {{8, 1, 1}, {1, 2, 3}})
  t[{{}, {1, 3, 2}}] = cnn.tensor{{0, 0}}
  holds(t, {{0, 1, 0}, {0, 2, 0}})
  t[{{}, {}}] = true
  holds(t, {{1, 1, 1}, {1, 1, 1}})
end

function TestAssigning.test_the_middle_axis_dropped()
  local t = cnn.zeros{2, 2, 2}
  t[{{}, 1}] = {{1, 2}, {3, 4}}
  holds(t, {{{1, 2}, {0, 0}}, {{3, 4}, {0, 0}}})
end

function TestAssigning.test_values_are_cut_to_the_dtype()
  local t = cnn.zeros{4, dtype = "uint8"}
  t[1], t[2], t[3], t[4] = 2.7, -5, 1000, 0 / 0
  holds(t, {2, 0, 255, 0})
  t[{{1, 2}}] = {2.7, 300}
  holds(t, {2, 255, 255, 0})
end

function TestAssigning.test_overlapping_source()
  local t = cnn.arange(5)
  t[{{2, 5}}] = t:slice(1, 4)
  holds(t, {0, 0, 1, 2, 3})
end

function TestAssigning.test_errors()
  local t = m23()
  raises("does not broadcast", function() t[1] = {1, 2} end)
  raises("broadcast", function() t[1] = cnn.zeros{2, 2, 3} end)
  raises("out of range", function() t[3] = 1 end)
  raises("table expected, got string", function() t[1] = "x" end)
  raises("table expected, got nil", function() t[1] = nil end)
  raises("no fields to set", function() t[true] = 1 end)
  raises("cnn.where(mask, a, b)", function() t[t:greater(1)] = 0 end)
  raises("out of range", function() t[1][4] = 1 end)
  holds(t, {{1, 2, 3}, {4, 5, 6}})
end

-- ---- arithmetic -------------------------------------------------------------------------------------------

TestArithmetic = {}

function TestArithmetic.test_operators()
  local t = cnn.tensor{1, 2, -3}
  holds(t + t, {2, 4, -6})
  holds(t - 1, {0, 1, -4})
  holds(1 - t, {0, -1, 4})
  holds(t * {2, 2, 2}, {2, 4, -6})
  holds(t / 2, {0.5, 1, -1.5})
  holds(6 / t, {6, 3, -2})
  holds(t // 2, {0, 1, -2})
  holds(t % 2, {1, 0, 1})
  holds(t ^ 2, {1, 4, 9})
  holds(-t, {-1, -2, 3})
end

function TestArithmetic.test_broadcasting_and_dtypes()
  holds(m23() + cnn.tensor{{10}, {20}}, {{11, 12, 13}, {24, 25, 26}})
  local i, u = cnn.arange(2), cnn.ones{2, dtype = "uint8"}
  eq((i + u):dtype(), "int32")
  eq((i + 1):dtype(), "int32")
  eq((i + 0.5):dtype(), "float32")
  eq((i / 2):dtype(), "float32")
  holds(u * 200 + u * 100, {44, 44}, "uint8")
end

function TestArithmetic.test_comparisons_give_uint8()
  local t = cnn.tensor{1, 2, 3}
  holds(t:equal(2), {0, 1, 0}, "uint8")
  holds(t:not_equal(2), {1, 0, 1})
  holds(t:less(2), {1, 0, 0})
  holds(t:less_equal(2), {1, 1, 0})
  holds(t:greater{3, 1, 1}, {0, 1, 1})
  holds(cnn.greater_equal(2, t), {1, 1, 0})
end

function TestArithmetic.test_named_functions()
  holds(cnn.maximum({1, 5}, {3, 2}), {3, 5})
  holds(cnn.minimum(2, cnn.tensor{1, 5}), {1, 2})
  holds(cnn.add(1, 2), 3)
  holds(cnn.pow({2, 3}, 2), {4, 9})
  holds(cnn.subtract({5}, 1), {4})
  holds(cnn.multiply({5}, 2), {10})
  holds(cnn.divide({5}, 2), {2.5})
  holds(cnn.floor_divide({5}, 2), {2})
  holds(cnn.mod({5}, 2), {1})
end

function TestArithmetic.test_functions_of_elements()
  local t = cnn.tensor{0.5, 1, 2}
  for name, f in pairs{exp = math.exp, log = math.log, sqrt = math.sqrt, sin = math.sin, cos = math.cos,
                       floor = math.floor, ceil = math.ceil, abs = math.abs,
                       square = function(x) return x * x end,
                       reciprocal = function(x) return 1 / x end,
                       log1p = function(x) return math.log(1 + x) end,
                       tanh = function(x) return 1 - 2 / (math.exp(2 * x) + 1) end,
                       sigmoid = function(x) return 1 / (1 + math.exp(-x)) end} do
    lu.assertTrue(cnn.allclose(t[name](t), {f(0.5), f(1), f(2)}), name)
    lu.assertTrue(cnn.allclose(cnn[name]{0.5}, {f(0.5)}), name)
  end
  holds(cnn.tensor{-2, 3}:relu(), {0, 3})
  holds(cnn.sign{-2, 0, 3}, {-1, 0, 1})
  holds(cnn.round{0.4, 0.6, -1.2}, {0, 1, -1})
  holds(cnn.tensor{1.25, 0.126, -3}:round(2) * 100, {125, 13, -300})
  holds(cnn.round({15, 26, -149}, -1), {20, 30, -150})
  holds(cnn.tensor{4.26}:round{decimals = 1} * 10, {43})
  raises("round: 'decimals' must be an integer between -38 and 38, got 0.5", cnn.round, {1}, 0.5)
  holds(cnn.isnan{1, 0 / 0}, {0, 1}, "uint8")
end

function TestArithmetic.test_clip()
  local t = cnn.tensor{-2, 0.5, 3}
  holds(t:clip(0, 1), {0, 0.5, 1})
  holds(t:clip(0), {0, 0.5, 3})
  holds(t:clip{max = 1}, {-2, 0.5, 1})
  raises("'min' must be a number, got x", t.clip, t, "x")
  raises("did you mean 'max'", t.clip, t, {maxx = 1})
end

function TestArithmetic.test_where_and_matmul()
  holds(cnn.where({1, 0}, {1, 2}, {3, 4}), {1, 4})
  holds(cnn.where(cnn.arange(3):greater(1), cnn.arange(3), 0), {0, 0, 2}, "int32")
  holds(m23():matmul(m23():T()), {{14, 32}, {32, 77}})
  holds(cnn.dot({1, 2}, {3, 4}), 11)
  raises("matmul", cnn.matmul, m23(), m23())
  raises("table expected", cnn.matmul, m23())
  raises("where: 'a' is missing", cnn.where, {1})
  raises("broadcast", cnn.where, {1, 0}, {1, 2, 3}, 0)
end

function TestArithmetic.test_allclose()
  lu.assertTrue(cnn.allclose({1, 2}, {1, 2.000001}))
  lu.assertFalse(cnn.allclose({1, 2}, {1, 2.1}))
  lu.assertTrue(cnn.allclose{{1, 2}, {1, 2.1}, atol = 0.2})
  lu.assertFalse(cnn.allclose({1, 2}, {1, 2, 3}))
end

function TestArithmetic.test_errors()
  local t = m23()
  fails("add: the shapes (2, 3) and (4,) do not broadcast", "t + cnn.zeros{4}", t)
  fails("table expected, got string", "t + 'x'", t)
  fails("table expected, got nil", "t * nil", t)
  fails("table expected, got nil", "nil * t", t)
  fails("attempt to concatenate", "t .. 'x'", t)
  raises("table expected", cnn.maximum, t)
end

TestReducing = {}

function TestReducing.test_all_one_or_several_axes()
  local t = m23()
  holds(t:sum(), 21)
  holds(t:sum(1), {5, 7, 9})
  holds(t:sum(-1), {6, 15})
  holds(t:sum{1, 2}, 21)
  holds(t:sum(2, true), {{6}, {15}})
  holds(t:sum{2, keepdims = true}, {{6}, {15}})
  holds(t:sum{axis = {1, 2}, keepdims = true}, {{21}})
  holds(t:sum({1, 2}, true), {{21}})
  holds(cnn.sum{1, 2, 3}, 6)
end

function TestReducing.test_every_reduction()
  local t = cnn.tensor{{1, 4}, {3, 2}}
  holds(t:mean(1), {2, 3})
  holds(t:max(1), {3, 4})
  holds(t:min(2), {1, 2})
  holds(t:prod(), 24)
  holds(t:var(1), {1, 1})
  lu.assertAlmostEquals(t:std():item(), math.sqrt(1.25), 1e-6)
end

function TestReducing.test_argmax_gives_positions_from_one()
  local t = cnn.tensor{{1, 4}, {3, 2}}
  holds(t:argmax(2), {2, 1}, "int32")
  holds(t:argmin(), 1)
  holds(t:argmax(2) - 1, {1, 0}, "int32")
end

function TestReducing.test_any_and_all_are_booleans_without_an_axis()
  local t = cnn.tensor{{0, 1}, {1, 1}}
  eq({t:any(), t:all()}, {true, false})
  holds(t:all(2), {0, 1}, "uint8")
  holds(t:any{1, keepdims = true}, {{1, 1}})
  eq({cnn.tensor{}:any(), cnn.tensor{}:all()}, {false, true})
  holds(cnn.zeros{2, 0}:any(2), {0, 0}, "uint8")
  holds(cnn.zeros{2, 0}:all(2), {1, 1}, "uint8")
end

function TestReducing.test_errors()
  local t = m23()
  raises("axis 3 is not there in a tensor of rank 2", t.sum, t, 3)
  raises("axis 0 is not there", t.sum, t, 0)
  raises("axis -2 is given twice", t.sum, t, {1, -2})
  raises("'axis' must be a list of integers, got x", t.sum, t, "x")
  raises("'keepdims' must be true or false, got 2", t.sum, t, 1, 2)
  raises("did you mean 'keepdims'", t.sum, t, {1, keepdim = true})
  raises("max", cnn.max, {})
end

-- ---- shapes -----------------------------------------------------------------------------------------------

TestShaping = {}

function TestShaping.test_reshape_shares_memory()
  local t = m23()
  holds(t:reshape{3, 2}, {{1, 2}, {3, 4}, {5, 6}})
  eq(t:reshape(-1, 2):shape(), {3, 2})
  eq(t:reshape(6):shape(), {6})
  eq(t:flatten():shape(), {6})
  local flat = t:reshape{-1}
  flat[1] = 0
  eq(t[{1, 1}], 0)
  raises("cannot give 6 elements the shape (4,)", t.reshape, t, {4})
  raises("reshape", t.reshape, t, {-1, -1})
  raises("'shape' must be a list of integers, got nil", t.reshape, t)
end

function TestShaping.test_transpose()
  holds(m23():T(), {{1, 4}, {2, 5}, {3, 6}})
  eq(m234():transpose{3, 1, 2}:shape(), {4, 2, 3})
  eq(m234():transpose(1, -1, 2):shape(), {2, 4, 3})
  raises("axis 1 is given twice", function() m23():transpose{1, 1} end)
  raises("takes as many axes, got 1", function() m23():transpose{1} end)
end

function TestShaping.test_squeeze_and_expand()
  local t = cnn.zeros{1, 2, 1}
  eq(t:squeeze():shape(), {2})
  eq(t:squeeze(1):shape(), {2, 1})
  eq(t:expand_dims(1):shape(), {1, 1, 2, 1})
  eq(t:expand_dims(-1):shape(), {1, 2, 1, 1})
  raises("axis 2 must have size 1, has 2", t.squeeze, t, 2)
  raises("axis 6 is not there", t.expand_dims, t, 6)
end

function TestShaping.test_flip_pad_tile_broadcast()
  local t = cnn.tensor{{1, 2}, {3, 4}}
  holds(t:flip(1), {{3, 4}, {1, 2}})
  holds(t:flip(), {{4, 3}, {2, 1}})
  holds(t:flip{}, {{1, 2}, {3, 4}})
  holds(t:pad(1):sum(), 10)
  holds(t:pad{{1, 0}, 0}, {{0, 0}, {1, 2}, {3, 4}})
  holds(t:pad({0, {0, 1}}, 9), {{1, 2, 9}, {3, 4, 9}})
  holds(t:pad{0, {0, 1}, value = 9}, {{1, 2, 9}, {3, 4, 9}})
  holds(t:tile{1, 2}, {{1, 2, 1, 2}, {3, 4, 3, 4}})
  holds(cnn.tensor{1, 2}:broadcast_to{2, 2}, {{1, 2}, {1, 2}})
  raises("must not be negative", t.pad, t, -1)
  raises("takes as many pairs, got 1", t.pad, t, {1})
  raises("takes as many numbers, got 1", t.tile, t, {1})
  raises("axis 1 cannot be repeated -1 times", t.tile, t, {-1, 1})
  raises("broadcast", t.broadcast_to, t, {3})
  raises("size 1 of 'shape' must not be negative", t.broadcast_to, t, {-1, 2})
end

function TestShaping.test_axes_by_name()
  local t = cnn.tensor{{{1, 2}}}
  eq(t:flip{axis = 3}:tolist(), {{{2, 1}}})
  eq(t:squeeze{1, 2}:shape(), {2})
  eq(t:squeeze{axis = 1}:shape(), {1, 2})
  eq(t:expand_dims{axis = -1}:shape(), {1, 1, 2, 1})
  raises("axis 3 must have size 1, has 2", t.squeeze, t, {1, 3})
  raises("'axis' must be an integer, got nil", t.expand_dims, t)
end

function TestShaping.test_astype_and_copy()
  local t = cnn.tensor{1.5, -1.5}
  holds(t:astype "int32", {1, -1}, "int32")
  local copy = t:copy()
  copy[1] = 0
  eq(t[1], 1.5)
  raises("did you mean 'float32'", t.astype, t, "float23")
  raises("astype: dtype: expected", t.astype, t, "double")
  raises("'dtype' is missing", t.astype, t)
  holds(cnn.astype({1.5, 2}, "int32"), {1, 2}, "int32")
  holds(cnn.copy{1, 2}, {1, 2})
end

TestJoining = {}

function TestJoining.test_concat_and_stack()
  local a, b = cnn.tensor{{1, 2}}, cnn.tensor{{3, 4}}
  holds(cnn.concat{a, b}, {{1, 2}, {3, 4}})
  holds(cnn.concat{a, b, axis = 2}, {{1, 2, 3, 4}})
  holds(cnn.concatenate({a, b}, -1), {{1, 2, 3, 4}})
  holds(cnn.concatenate{{a, b}, axis = 1}, {{1, 2}, {3, 4}})
  eq(cnn.stack{a, b}:shape(), {2, 1, 2})
  eq(cnn.stack{a, b, axis = 3}:shape(), {1, 2, 2})
end

function TestJoining.test_errors()
  local a = cnn.tensor{{1, 2}}
  raises("must hold at least one", cnn.concat, {})
  raises("element 2 of 'tensors' must be a tensor, got a string", cnn.concat, {a, "x"})
  raises("'tensors' must be a list of tensors, got nil", cnn.concat)
  raises("axis 3 is not there", cnn.concat, {a, a, axis = 3})
  raises("'axis' must be an integer, got x", cnn.stack, {a, a, axis = "x"})
  raises("concat", cnn.concat, {a, cnn.zeros{1, 3}})
end

-- ---- life -------------------------------------------------------------------------------------------------

TestClosing = {}

function TestClosing.test_memory_goes_at_once()
  local before = cnn.memory()
  do
    local t <close> = cnn.ones{1000, 1000}
    lu.assertTrue(cnn.memory() - before >= 4000000)
    eq(t[{1, 1}], 1)
  end
  lu.assertTrue(cnn.memory() - before < 1000000)
end

function TestClosing.test_use_after_close_is_an_error()
  local t = m23()
  t:close()
  t:close()
  eq(tostring(t), "tensor (closed)")
  fails("the tensor is closed", "t + 1", t)
  fails("the tensor is closed", "t[1]", t)
  fails("the tensor is closed", "t[{1, 1}]", t)
  fails("the tensor is closed", "t:sum()", t)
  fails("the tensor is closed", "#t", t)
  fails("the tensor is closed", "cnn.concat{t, t}", t)
  fails("the tensor is closed", "cnn.tensor{t}", t)
  fails("the tensor is closed", "u[t]", t, m23())
  raises("the tensor is closed", function() t[1] = 1 end)
  raises("the tensor is closed", function() m23()[1] = t end)
  raises("the tensor is closed", function() for _ in pairs(t) do end end)
  local names = {}
  for name in pairs(debug.getregistry()["cnn.methods"]) do names[#names + 1] = name end
  for _, name in ipairs(names) do pcall(t[name], t, 1) end
end

function TestClosing.test_a_finalizer_may_close_what_is_in_use()
  local t = m23()
  for _ = 1, 200 do
    setmetatable({}, {__gc = function() t:close() end})
    pcall(function() return (t + {{1}, {2}}):reshape{3, 2}:gather({1, 2}):sum{1, keepdims = true} end)
    pcall(function() t[{{}, 1}] = {1, 2} end)
    pcall(function() return cnn.concat{t, {{1, 2, 3}}, t} end)
    collectgarbage "step"
    if tostring(t):find "closed" then t = m23() end
  end
end

function TestClosing.test_the_metatable_is_hidden()
  eq(getmetatable(m23()), false)
end

TestCollector = {}

-- The most memory this process ever had, in MB.
local function peak()
  for line in io.lines "/proc/self/status" do
    local kb = line:match "^VmHWM:%s*(%d+)"
    if kb then return kb // 1024 end
  end
end

function TestCollector.test_dropped_tensors_do_not_pile_up()
  local before = cnn.memory()
  local most = 0
  for _ = 1, 1000 do
    local t = cnn.zeros{25, 1000, 1000}
    t[{1, 1, 1}] = 1
    most = math.max(most, cnn.memory() - before)
  end
  lu.assertTrue(most < 400e6, most)
  for _ = 1, 30 do cnn.ones{25, 1000, 1000}:sum() end
  lu.assertTrue(peak() < 500, peak())
end

function TestCollector.test_small_ones_neither()
  local before = cnn.memory()
  for _ = 1, 20000 do local _ = cnn.zeros{1000} + 1 end
  lu.assertTrue(cnn.memory() - before < 150e6)
end

function TestCollector.test_a_stopped_collector_stays_stopped()
  collectgarbage()
  collectgarbage "stop"
  local before = cnn.memory()
  for _ = 1, 3 do cnn.zeros{25, 1000, 1000} end
  lu.assertTrue(cnn.memory() - before >= 300e6)
  collectgarbage "restart"
  collectgarbage()
  lu.assertTrue(cnn.memory() - before < 1e6)
end

-- ---- the rest ---------------------------------------------------------------------------------------------

TestRandom = {}

function TestRandom.test_ranges_and_dtypes()
  local u = cnn.random.uniform({1000}, 2, 3)
  lu.assertTrue(u:greater_equal(2):all() and u:less(3):all())
  lu.assertAlmostEquals(cnn.random.normal({10000}, 5, 2):mean():item(), 5, 0.2)
  lu.assertTrue(cnn.random.truncated_normal({1000}):abs():less_equal(2):all())
  local i = cnn.random.randint({1000}, -3, 3)
  eq({i:dtype(), i:min():item(), i:max():item()}, {"int32", -3, 2})
  local b = cnn.random.bernoulli{1000, p = 0.5}
  eq(b:dtype(), "uint8")
  lu.assertTrue(b:any() and not b:all())
  eq(cnn.random.uniform{2, 3}:shape(), {2, 3})
end

function TestRandom.test_one_seed_gives_the_same_numbers()
  cnn.set_seed(7)
  local a = cnn.random.normal{10}
  cnn.utils.set_random_seed(7)
  local b = cnn.random.normal{10}
  eq(a:tolist(), b:tolist())
  lu.assertFalse(cnn.allclose(b, cnn.random.normal{10}))
  eq(cnn.random.uniform{4, seed = 1}:tolist(), cnn.random.uniform{4, seed = 1}:tolist())
end

function TestRandom.test_permutation()
  local p = cnn.random.permutation(100)
  eq({p:min():item(), p:max():item(), p:sum():item()}, {1, 100, 5050})
  local t = cnn.random.shuffle(m23())
  eq(t:shape(), {2, 3})
  eq(t:sum():item(), 21)
  holds(cnn.random.permutation(0), {})
end

function TestRandom.test_errors()
  raises("'minval' must not be above 'maxval'", cnn.random.uniform, {2}, 1, 0)
  raises("'minval' must be a finite number", cnn.random.uniform, {2}, 0 / 0)
  raises("'stddev' must not be negative", cnn.random.normal, {2}, 0, -1)
  raises("are required", cnn.random.randint, {2}, 1)
  raises("the first below the second", cnn.random.randint, {2}, 1, 1)
  raises("the first below the second", cnn.random.randint, {2}, 0, 2 ^ 40)
  raises("'p' must be between 0 and 1", cnn.random.bernoulli, {2}, 1.5)
  raises("'seed' must be an integer, got x", cnn.random.uniform, {2, seed = "x"})
  raises("expected a whole number or a tensor", cnn.random.permutation, -1)
  raises("expected a whole number or a tensor", cnn.random.permutation, cnn.tensor(1))
  raises("number expected", cnn.set_seed, "x")
end

TestJson = {}

function TestJson.test_round_trip()
  local value = {a = {1, 2.5, "x", true, {}}, b = {c = -1}, d = "é\"\n"}
  eq(cnn.from_json(cnn.to_json(value)), value)
  eq(cnn.to_json{}, "[]")
  eq(cnn.to_json{1, cnn.null}, "[1,null]")
  eq(cnn.from_json '{"a": null, "b": [null]}', {b = {cnn.null}})
  eq(math.type(cnn.from_json "[1]"[1]), "integer")
  eq(cnn.to_json(setmetatable({}, {__json = function() return {class_name = "Adam"} end})),
     '{"class_name":"Adam"}')
end

function TestJson.test_errors()
  local circle = {}
  circle[1] = circle
  raises("nested more than 64 deep", cnn.to_json, circle)
  raises("'a' cannot be a function", cnn.to_json, {a = print})
  raises("'a' cannot be a tensor", cnn.to_json, {a = {m23()}})
  raises("without a gap", cnn.to_json, {1, nil, 3})
  raises("without a gap", cnn.to_json, {1, a = 2})
  raises("without a gap", cnn.to_json, {[1.5] = 1})
  raises("infinite or NaN", cnn.to_json, 0 / 0)
  raises("'x' cannot be infinite or NaN", cnn.to_json, {x = math.huge})
  raises("zero byte", cnn.to_json, "a\0b")
  raises("value expected", cnn.to_json)
  raises("from_json", cnn.from_json, "{x")
  raises("not JSON from position 1 on, where the text ends", cnn.from_json, "")
  raises("not JSON from position 5 on", cnn.from_json, "[1] x")
  raises("oops", cnn.to_json, setmetatable({}, {__json = function() error "oops" end}))
end

TestModule = {}

function TestModule.test_absent_names_are_errors()
  raises("cnn: there is no 'zeroes' (did you mean 'zeros'?)", function() return cnn.zeroes end)
  raises("cnn.random: there is no 'unifrom' (did you mean 'uniform'?)",
         function() return cnn.random.unifrom end)
  eq(rawget(cnn, "zeroes"), nil)
end

function TestModule.test_threads()
  local threads = cnn.threads()
  cnn.set_threads(1)
  eq(cnn.threads(), 1)
  cnn.set_threads(threads)
  raises("got 0", cnn.set_threads, 0)
  raises("number expected", cnn.set_threads, "x")
  lu.assertIsString(cnn.cpu())
  lu.assertIsString(cnn.version)
end

function TestModule.test_errors_point_at_the_callers_line()
  local f = load("local cnn = ...\n\nreturn cnn.zeros{-1}", "=script")
  local _, message = pcall(f, cnn)
  lu.assertStrContains(message, "script:3: zeros:")
end

function TestModule.test_formats_of_the_prompt()
  local format = cnn.repl.format
  eq(format(cnn.eye(1)), "float32 (1, 1)\n[[1.]]")
  eq(format{cnn.arange(2), "a", x = {y = {}}}, '{tensor int32 (2,), "a", x = {y = {}}}')
  eq(format "a\nb", "a\nb")
  eq(format{"a\nb", ["end"] = 1, [1.5] = 2, [true] = 3}, '{"a\\nb", [1.5] = 2, ["end"] = 1, [true] = 3}')
  eq(format{cnn.null}, "{null}")
  local circle = {}
  circle[1] = circle
  lu.assertStrContains(format(circle), "{…}")
  local long = {}
  for i = 1, 1000 do long[i] = i end
  lu.assertStrContains(format(long), "… 960 more")
end
