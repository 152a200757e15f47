-- raises(text, f, …): f(…) raises a string with this text in it.

local lu = require "luaunit"

return function(text, f, ...)
  local good, message = pcall(f, ...)
  lu.assertFalse(good, "no error; expected: " .. text)
  lu.assertIsString(message)
  lu.assertStrContains(message, text)
end
