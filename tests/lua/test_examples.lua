-- Every example of the documentation is run as the prompt would run it, and shows what it says it shows. The files are
-- those in $EXAMPLES, or all:
--   EXAMPLES="bindings/lua_arith.c core/layers/dense.c" cnnlua tests/lua/run.lua tests/lua/test_examples.lua
-- luacheck: globals TestExamples

local lu = require "luaunit"
local scratch = require "scratch"

local function output_of(command)
  local pipe <close> = assert(io.popen(command))
  return (pipe:read "a":gsub("\n$", ""))
end

local root = output_of "pwd"
local program = output_of("realpath '" .. (os.getenv "CNNLUA_PROGRAM" or "./cnnlua") .. "'")
local all = "bindings/*.c bindings/prelude/*.lua datasets/*.lua core/*/*.c"
local files = output_of("grep -l @usage " .. (os.getenv "EXAMPLES" or all))

-- The problems with a file's examples and how many it has.
local function run_examples(file, folder)
  local command = ([[
    export COLUMNS=80 NO_COLOR=1 TERM=dumb
    cd '%s/empty' && '%s' '%s/tests/lua/examples.lua' '%s' '%s' ../problems >../printed </dev/null
  ]]):format(folder, program, root, root, file)
  local good, _, status = os.execute(command)
  if not good then return ("%s: its examples ended with status %d"):format(file, status), 0 end
  local out <close> = assert(io.open(folder .. "/problems"))
  local count, bad = out:read("n", "n", "L")
  return bad > 0 and out:read "a" or nil, count
end

TestExamples = {}

function TestExamples:setUp()
  self.folder = scratch.make()
  os.execute(("mkdir '%s/empty'"):format(self.folder))
end

function TestExamples:tearDown()
  scratch.remove(self.folder)
end

for file in files:gmatch "[^\n]+" do
  TestExamples["test_" .. file] = function(self)
    local problems, count = run_examples(file, self.folder)
    if os.getenv "EXAMPLES" then io.stderr:write(("%s: %d examples\n"):format(file, count)) end
    if problems then lu.fail("\n" .. problems) end
  end
end
