-- Runs the Lua tests: cnnlua tests/lua/run.lua [FILE…] [luaunit's options, such as -v or -p PATTERN]
-- Without files, every test_*.lua beside this one. A test file defines global tables Test… whose functions
-- test… are the tests.
-- The program that test_program.lua drives is $CNNLUA_PROGRAM, or ./cnnlua.

local lu = require "luaunit"

local here = arg[0]:match "^(.*)/[^/]*$" or "."
package.path = here .. "/?.lua;" .. package.path

local files, options = {}, {"--output", "text"}
for _, a in ipairs(arg) do
  local list = a:find "%.lua$" and files or options
  list[#list + 1] = a
end
if #files == 0 then
  local list <close> = assert(io.popen("ls '" .. here .. "'/test_*.lua"))
  for file in list:lines() do files[#files + 1] = file end
end

for _, file in ipairs(files) do dofile(file) end
os.exit(lu.LuaUnit.run(table.unpack(options)) == 0, true)
