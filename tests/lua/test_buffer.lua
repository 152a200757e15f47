-- Tensors from bytes and back: every dtype goes round, parts of a string, errors that name what is wrong.
-- luacheck: globals TestBuffer

local cnn = require "cnn"
local raises = require "raises"
local lu = require "luaunit"

TestBuffer = {}

function TestBuffer:test_bytes_are_the_elements_as_they_lie_in_memory() -- luacheck: no self
  lu.assertEquals(cnn.tensor({{1, 2}, {3, 255}}, "uint8"):tobytes(), "\1\2\3\255")
  lu.assertEquals(cnn.tensor({1, -2}, "int32"):tobytes(), string.pack("=i4i4", 1, -2))
  lu.assertEquals(cnn.tensor {0.5, -3}:tobytes(), string.pack("=ff", 0.5, -3))
  lu.assertEquals(cnn.zeros {0, 4}:tobytes(), "")
  lu.assertEquals(cnn.arange(6):reshape {3, 2}:slice(2, 3):tobytes(), string.pack("=i4i4i4i4", 2, 3, 4, 5))
end

function TestBuffer:test_what_tobytes_gives_frombuffer_takes() -- luacheck: no self
  for _, dtype in ipairs {"float32", "uint8", "int32", "bfloat16"} do
    local x = cnn.tensor({3, 0, 7, 100}, dtype)
    local again = cnn.frombuffer(x:tobytes(), dtype)
    lu.assertEquals(again:dtype(), dtype)
    lu.assertEquals(again:tolist(), x:tolist())
  end
  lu.assertEquals(cnn.frombuffer "":shape(), {0})
  lu.assertEquals(cnn.frombuffer(string.pack("=f", 1.5)):tolist(), {1.5}) -- float32 unless told otherwise
end

function TestBuffer:test_count_and_offset_choose_a_part() -- luacheck: no self
  lu.assertEquals(cnn.frombuffer("abcdef", "uint8", 2, 3):tolist(), {100, 101})
  lu.assertEquals(cnn.frombuffer {"abcdef", "uint8", offset = 4}:tolist(), {101, 102})
  lu.assertEquals(cnn.frombuffer {"abcdef", "uint8", offset = 6}:shape(), {0})
  lu.assertEquals(cnn.frombuffer("abcdef", "uint8", 0):shape(), {0})
  lu.assertEquals(cnn.frombuffer {"x" .. string.pack("=i4", 9) .. "yz", "int32", 1, 1}:tolist(), {9})
end

function TestBuffer:test_errors_name_what_is_wrong() -- luacheck: no self
  raises("frombuffer: 'buffer' must be a string of bytes, got 12", cnn.frombuffer, 12)
  raises("frombuffer: 5 bytes are no whole number of float32 (4 bytes each)", cnn.frombuffer, "abcde")
  raises("frombuffer: 'count' must be at most the 1 int32 in 5 bytes, got 2", cnn.frombuffer, "abcde", "int32", 2)
  raises("frombuffer: 'count' must be at most the 3 uint8", cnn.frombuffer, "abc", "uint8", math.maxinteger)
  raises("frombuffer: 'offset' must be at most the string's length, 3, got 4", cnn.frombuffer, "abc", "uint8", 1, 4)
  raises("frombuffer: 'offset' must be a whole number from 0 on, got -1", cnn.frombuffer, "abc", "uint8", 1, -1)
  raises("frombuffer: 'count' must be a whole number from -1 on, got 1.5", cnn.frombuffer, "abc", "uint8", 1.5)
  raises("frombuffer: unknown argument 'ofset' (did you mean 'offset'?)", cnn.frombuffer, {"abc", ofset = 1})
  raises("tobytes: a symbolic tensor has no elements yet", function() cnn.Input {2}:tobytes() end)
end
