-- Files of tensors: .npy, .npz and safetensors, from Lua: what is saved is loaded, names and arguments in every form,
-- errors that name what is wrong; NumPy, where it is there, agrees.
-- luacheck: globals TestArrays

local cnn = require "cnn"
local raises = require "raises"
local lu = require "luaunit"

TestArrays = {}

local folder

local function path(name) return folder .. "/" .. name end

function TestArrays:setUp() -- luacheck: no self
  local pipe = assert(io.popen "mktemp -d")
  folder = pipe:read "l"
  pipe:close()
end

function TestArrays:tearDown() -- luacheck: no self
  os.execute("rm -rf '" .. folder .. "'")
end

local function bytes(name)
  local file <close> = assert(io.open(path(name), "rb"))
  return file:read "a"
end

local function assert_tensor(got, dtype, shape, values)
  lu.assertEquals(got:dtype(), dtype)
  lu.assertEquals(got:shape(), shape)
  lu.assertEquals(got:reshape {-1}:totable(), values)
end

local function names(tensors)
  local list = {}
  for name in pairs(tensors) do list[#list + 1] = name end
  table.sort(list)
  return table.concat(list, " ")
end

function TestArrays:test_save_and_load() -- luacheck: no self
  cnn.save(path "x.npy", cnn.tensor {{1.5, 2}, {3, 4}})
  assert_tensor(cnn.load(path "x.npy"), "float32", {2, 2}, {1.5, 2, 3, 4})
  cnn.save {path "x.npy", tensor = cnn.tensor({1, 2, 3}, "uint8")}
  assert_tensor(cnn.load {path "x.npy"}, "uint8", {3}, {1, 2, 3})
  cnn.save(path "x.npy", {7, 8}) -- what makes a tensor is one
  assert_tensor(cnn.load {path = path "x.npy"}, "float32", {2}, {7, 8})
  cnn.save(path "x.npy", cnn.tensor({0.5, -2}, "bfloat16"))
  assert_tensor(cnn.load(path "x.npy"), "float32", {2}, {0.5, -2})
end

function TestArrays:test_savez_takes_names_and_positions() -- luacheck: no self
  local x, y = cnn.tensor {1, 2}, cnn.tensor({3}, "int32")
  for _, savez in ipairs {cnn.savez, cnn.savez_compressed} do
    for form, call in ipairs {
      function(p) savez {p, x = x, y = y} end,
      function(p) savez(p, {x = x, y = y}) end,
      function(p) savez(p, {y = {3}, x = x}) end,
    } do
      call(path "a.npz")
      local z = cnn.load(path "a.npz")
      lu.assertEquals(names(z), "x y")
      assert_tensor(z.x, "float32", {2}, {1, 2})
      assert_tensor(z.y, form < 3 and "int32" or "float32", {1}, {3})
    end
    for _, call in ipairs {
      function(p) savez(p, x, y) end,
      function(p) savez {p, x, y} end,
      function(p) savez(p, {x, y}) end,
    } do
      call(path "a.npz")
      local z = cnn.load(path "a.npz")
      lu.assertEquals(names(z), "arr_0 arr_1")
      assert_tensor(z.arr_0, "float32", {2}, {1, 2})
      assert_tensor(z.arr_1, "int32", {1}, {3})
    end
    savez {path "a.npz", x, second = y, [2 + 5] = 4}
    lu.assertEquals(names(cnn.load(path "a.npz")), "arr_0 arr_5 second")
  end
end

function TestArrays:test_the_same_tensors_give_the_same_file() -- luacheck: no self
  local tensors, again = {}, {}
  for i = 1, 40 do tensors["t" .. i] = cnn.tensor {i} end
  for i = 40, 1, -1 do again["t" .. i] = cnn.tensor {i} end
  cnn.savez(path "a.npz", tensors)
  cnn.savez(path "b.npz", again)
  lu.assertTrue(bytes "a.npz" == bytes "b.npz")
  cnn.save_safetensors(path "a.safetensors", tensors)
  cnn.save_safetensors(path "b.safetensors", again)
  lu.assertTrue(bytes "a.safetensors" == bytes "b.safetensors")
end

function TestArrays:test_compressed_is_smaller() -- luacheck: no self
  local x = cnn.zeros {10000}
  cnn.savez {path "a.npz", x = x}
  cnn.savez_compressed {path "b.npz", x = x}
  lu.assertTrue(#bytes "a.npz" > 40000)
  lu.assertTrue(#bytes "b.npz" < 1000)
end

function TestArrays:test_safetensors() -- luacheck: no self
  cnn.save_safetensors(path "w", {
    ["conv.weight"] = cnn.tensor {{1, 2}}, b = cnn.tensor({1.5}, "bfloat16"), n = cnn.tensor({-1}, "int32"),
  })
  for _, load in ipairs {cnn.load, cnn.load_safetensors} do
    local w = load(path "w")
    lu.assertEquals(names(w), "b conv.weight n")
    assert_tensor(w["conv.weight"], "float32", {1, 2}, {1, 2})
    assert_tensor(w.b, "bfloat16", {1}, {1.5})
    assert_tensor(w.n, "int32", {1}, {-1})
  end
  cnn.save_safetensors {path "w", tensors = {}}
  lu.assertEquals(cnn.load(path "w"), {})
end

function TestArrays:test_many_tensors_with_a_busy_collector() -- luacheck: no self
  local tensors = {}
  for i = 1, 300 do tensors["t" .. i] = cnn.full({i % 7}, i) end
  local mode = collectgarbage("incremental", 100, 1000, 10)
  cnn.savez(path "a.npz", tensors)
  for _ = 1, 5 do
    for name, t in pairs(cnn.load(path "a.npz")) do lu.assertEquals(t:shape(), tensors[name]:shape()) end
  end
  collectgarbage(mode)
end

function TestArrays:test_wrong_arguments() -- luacheck: no self
  local x = cnn.tensor {1}
  raises("save: 'path' must be the name of a file, got nil", cnn.save)
  raises("save: 'path' must be the name of a file, got 5", cnn.save, 5, x)
  raises("save: 'path' must be the name of a file, got an empty one", cnn.save, "a\0b", x)
  raises("save: 'tensor' is missing", cnn.save, "x")
  raises("save: unknown argument 'tensr' (did you mean 'tensor'?)", cnn.save, {"x", tensr = x})
  raises("npy_save: a symbolic tensor has no values", cnn.save, path "x", cnn.Input {3})
  raises("savez: 'path' must be the name of a file", cnn.savez)
  raises("savez: 'path' must be the name of a file", cnn.savez, {x = x})
  raises("savez: 'y' must be a tensor, got abc", cnn.savez, {"p", y = "abc"})
  raises("savez_compressed: 'arr_1' must be a tensor, got abc", cnn.savez_compressed, "p", x, "abc")
  raises("savez: a tensor's name must be a string, got true", cnn.savez, "p", {[true] = x})
  raises("savez: a tensor's name must be a string, got 0", cnn.savez, "p", {[0] = x})
  raises("savez: the name of a tensor is empty or has a zero byte", cnn.savez, "p", {["a\0b"] = x})
  raises("one tensor at least", cnn.savez, "p")
  raises("two members are named 'arr_0.npy'", cnn.savez, {"p", x, arr_0 = x})
  raises("save_safetensors: a tensor's name must be a string, got 1", cnn.save_safetensors, "p", {x})
  raises("save_safetensors: 'tensors' must be a table of tensors by name, got nil", cnn.save_safetensors, "p")
  raises("no tensor can be named __metadata__", cnn.save_safetensors, "p", {__metadata__ = x})
  local closed = cnn.tensor {1}
  closed:close()
  raises("the tensor is closed", cnn.savez, path "x", {a = closed})
  raises("the tensor is closed", cnn.save, path "x", closed)
  lu.assertNil(io.open(path "x"))
end

function TestArrays:test_files_that_cannot_be_loaded() -- luacheck: no self
  raises("load: cannot open " .. path "none", cnn.load, path "none")
  raises("got a folder", cnn.load, folder)
  local function put(text)
    local file <close> = assert(io.open(path "x", "wb"))
    file:write(text)
  end
  for _, text in ipairs {"", "x", "just some text", "\x89HDF\r\n\x1a\n"} do
    put(text)
    raises("load: expected a .npy, .npz or safetensors file, got " .. path "x", cnn.load, path "x")
  end
  put "PK\3\4"
  raises("is not a zip archive", cnn.load, path "x")
  put "\x93NUMPY"
  raises("is not a .npy file", cnn.load, path "x")
  put "\2\0\0\0\0\0\0\0{]"
  raises("no JSON object", cnn.load, path "x")
  raises("is not a safetensors file", cnn.load_safetensors, path "x")
  lu.assertFalse(pcall(cnn.save, folder .. "/none/x.npy", cnn.tensor {1}))
end

function TestArrays:test_numpy() -- luacheck: no self
  if not os.execute "/usr/bin/python3 -c 'import numpy' 2>/dev/null" then lu.skip "no python3 with numpy here" end
  cnn.savez_compressed {path "a.npz", x = cnn.arange(6):reshape {2, 3}, y = cnn.tensor({1, 2}, "uint8")}
  local file <close> = assert(io.open(path "script.py", "w"))
  file:write [=[
import numpy as np
z = np.load("a.npz")
assert sorted(z.files) == ["x", "y"]
assert z["x"].dtype == np.int32 and (z["x"] == np.arange(6).reshape(2, 3)).all()
np.savez("b.npz", z["y"], labels=np.array([-3, 4]), flag=z["x"] > 2)
np.save("c.npy", np.asfortranarray([[1.0, 2.0], [3.0, 4.0]]))
]=]
  file:close()
  lu.assertTrue(os.execute("cd '" .. folder .. "' && /usr/bin/python3 script.py"))
  local z = cnn.load(path "b.npz")
  lu.assertEquals(names(z), "arr_0 flag labels")
  assert_tensor(z.arr_0, "uint8", {2}, {1, 2})
  assert_tensor(z.labels, "int32", {2}, {-3, 4})
  assert_tensor(z.flag, "uint8", {2, 3}, {0, 0, 0, 1, 1, 1})
  assert_tensor(cnn.load(path "c.npy"), "float32", {2, 2}, {1, 2, 3, 4})
end
