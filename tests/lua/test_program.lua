-- The program as a process: its options, errors and exit statuses, signals, pipes, and the prompt in a
-- pseudo-terminal (by util-linux's script, where there is one).
-- luacheck: globals TestOptions TestErrors TestStreams TestSignals TestPrompt TestStockLua

local lu = require "luaunit"

local eq = lu.assertEquals
local program = os.getenv "CNNLUA_PROGRAM" or "./cnnlua"

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- Runs a shell command in which $P is the program; gives what it printed (both streams) and its status.
local function shell(command)
  local pipe = assert(io.popen("P=" .. quoted(program) .. "; { " .. command .. "\n} 2>&1; echo \" $?\"", "r"))
  local text = pipe:read "a"
  pipe:close()
  local printed, status = text:match "^(.*) (%d+)\n$"
  return printed, tonumber(status)
end

local scratch = {}

local function temporary(text)
  local name = os.tmpname()
  scratch[#scratch + 1] = name
  local file <close> = assert(io.open(name, "w"))
  file:write(text)
  return name
end

local function clean()
  for i = #scratch, 1, -1 do
    os.remove(scratch[i])
    scratch[i] = nil
  end
end

-- The command prints exactly this and ends well.
local function prints(text, command)
  local printed, status = shell(command)
  eq(printed, text)
  eq(status, 0)
end

-- The command prints this somewhere and ends with the status.
local function ends(wanted, text, command)
  local printed, status = shell(command)
  lu.assertStrContains(printed, text)
  eq(status, wanted)
  return printed
end

-- ---- options ----------------------------------------------------------------------------------------------

TestOptions = {tearDown = clean}

function TestOptions.test_statements_run_in_order_with_cnn_at_hand()
  prints("1\n[1. 2.]\n", "$P -e 'x = 1' -e 'print(x)' -e'print(cnn.tensor{1, 2})'")
end

function TestOptions.test_script_gets_arg_and_varargs()
  local script = temporary "#!/usr/bin/env cnnlua\nprint(#arg, arg[0], arg[-1], ...)"
  prints("2\t" .. script .. "\tx = 1\ta\tb\n", "$P -e 'x = 1' " .. script .. " a b")
end

function TestOptions.test_dashes()
  prints("7\ta\n", "echo 'print(7, ...)' | $P - a")
  prints("7\n", "echo 'print(7)' | $P")
  local script = temporary "print(...)"
  prints("-v\n", "$P -- " .. script .. " -v")
end

function TestOptions.test_require()
  prints("7\n", "$P -l s=string -e 'print(s.format(\"%d\", 7))'")
  prints("table\n", "$P -lmath -e 'print(type(math))'")
  ends(1, "module 'nowhere' not found", "$P -l nowhere")
end

function TestOptions.test_version_help_threads()
  local printed = ends(0, "cnnlua ", "$P --version")
  lu.assertStrContains(printed, "Lua 5.4")
  ends(0, "cnnlua ", "$P -v")
  ends(0, "--threads N", "$P --help")
  ends(0, "usage:", "$P -h")
  prints("1\n", "$P --threads 1 -e 'print(cnn.threads())'")
  prints("2\n", "$P --threads=2 -e 'print(cnn.threads())'")
  for _, wrong in ipairs{"0", "x", "1.5", "99999999999999999999"} do
    ends(1, "'--threads' must be between 1 and 1024, got '" .. wrong, "$P --threads " .. wrong)
  end
end

function TestOptions.test_wrong_options()
  ends(1, "'--nonsense' is not an option", "$P --nonsense")
  ends(1, "'-q' is not an option", "$P -q")
  ends(1, "'-e' needs a statement", "$P -e")
  ends(1, "'-l' needs the name of a module", "$P -l")
  ends(1, "'--threads' needs a number", "$P --threads")
end

function TestOptions.test_init_and_environment()
  prints("init\n1\n", "LUA_INIT='print \"init\"' $P -e 'print(1)'")
  prints("1\n", "LUA_INIT='print \"init\"' $P -E -e 'print(1)'")
  local init = temporary "print 'from a file'"
  prints("from a file\n", "LUA_INIT=@" .. init .. " $P -e 'x = 1'")
  ends(1, "LUA_INIT:1:", "LUA_INIT='error \"bad\"' $P -e 'print(1)'")
end

function TestOptions.test_warnings()
  prints("Lua warning: hot\n", "$P -W -e 'warn \"hot\"'")
  prints("", "$P -e 'warn \"hot\"'")
end

function TestOptions.test_interactive_after_a_script()
  local script = temporary "answer = 42"
  local printed = ends(0, "42", "echo answer | $P -i " .. script)
  lu.assertStrContains(printed, "cnnlua")
end

-- ---- errors -----------------------------------------------------------------------------------------------

TestErrors = {tearDown = clean}

function TestErrors.test_one_line_and_status_1()
  local script = temporary "\nerror 'boo'"
  local printed, status = shell("$P " .. script)
  eq(printed, "cnnlua: " .. script .. ":2: boo\n")
  eq(status, 1)
  ends(1, "cnnlua: (command line):1: zeros: size 1", "$P -e 'cnn.zeros{-1}'")
end

function TestErrors.test_traceback_with_v()
  ends(1, "stack traceback", "$P -v -e 'error \"boo\"'")
end

function TestErrors.test_odd_error_values()
  ends(1, "cnnlua: (error object is a table value)", "$P -e 'error {}'")
  ends(1, "cnnlua: (error object is a nil value)", "$P -e 'error()'")
  ends(1, "cnnlua: told", "$P -e 'error(setmetatable({}, {__tostring = function() return \"told\" end}))'")
end

function TestErrors.test_missing_and_broken_scripts()
  ends(1, "cannot open", "$P nowhere.lua")
  ends(1, "near", "$P " .. temporary "x = = 1")
  ends(1, "cnnlua: ", "$P /")
end

function TestErrors.test_deep_recursion_is_an_error()
  ends(1, "stack overflow", "$P -e 'local function f() return 1 + f() end f()'")
  ends(1, "stack overflow", [[$P -e '
    local m = {} m.__json = function(x) return cnn.to_json(setmetatable({}, m)) end
    cnn.to_json(setmetatable({}, m))']])
end

function TestErrors.test_exit_status_of_os_exit()
  ends(3, "", "$P -e 'os.exit(3)'")
  ends(3, "", "$P -e 'local t = cnn.zeros{2}; os.exit(3, true)'")
end

-- ---- streams ----------------------------------------------------------------------------------------------

TestStreams = {}

function TestStreams.test_a_reader_that_leaves_ends_the_program_quietly()
  prints("1\n", "timeout 20 $P -e 'for i = 1, math.huge do print(i) end' | head -n 1")
end

function TestStreams.test_a_child_that_leaves_does_not()
  prints("alive\n", [[$P -e '
    local child = io.popen("exit 0", "w")
    for _ = 1, 100000 do child:write "xxxxxxxxxxxxxxxxxxxxxxxxxxx" end
    child:close()
    print "alive"']])
end

function TestStreams.test_a_full_disk_is_told()
  if not io.open "/dev/full" then lu.skip "no /dev/full" end
  ends(1, "cnnlua: cannot write to standard output", "$P -e 'print(1)' 2>&1 >/dev/full")
  ends(1, "No space left", "$P -e 'io.write(1)' 2>&1 >/dev/full")
  ends(1, "cannot write", "$P -e 'io.write(1) os.exit(0)' 2>&1 >/dev/full")
end

function TestStreams.test_closed_streams()
  eq(select(2, shell "$P -e 'x = 1' >&-"), 0)
  eq(select(2, shell "$P -e 'x = io.read()' <&-"), 0)
end

-- ---- signals ----------------------------------------------------------------------------------------------

TestSignals = {}

-- Starts the program, sends SIGINT after a while and gives what it printed and its status. (A shell starts
-- background jobs with SIGINT ignored; the program sets its own handler.)
local function interrupted(code)
  return shell("$P -e " .. quoted(code) .. " & pid=$!; sleep 0.5; kill -INT $pid; wait $pid")
end

function TestSignals.test_a_loop_in_lua()
  local printed, status = interrupted "while true do end"
  lu.assertStrContains(printed, "interrupted!")
  eq(status, 130)
end

function TestSignals.test_a_loop_of_tensors()
  local printed, status = interrupted "while true do cnn.ones{100, 100}:sum() end"
  lu.assertStrContains(printed, "interrupted!")
  eq(status, 130)
end

function TestSignals.test_it_can_be_caught()
  local printed, status = interrupted
    "local _, message = pcall(function() while true do end end) print('caught', message)"
  lu.assertStrContains(printed, "caught\t")
  eq(status, 0)
end

-- ---- the prompt -------------------------------------------------------------------------------------------

TestPrompt = {tearDown = clean}

function TestPrompt.test_in_a_pipe()
  local input = temporary [[
1 + 1
x = 5
for i = 1, 2 do
print(i)
end
_
= x
nil
"text", {1, a = "q"}
cnn.eye(1)
x = (
)
error "boo"
error {}
cnn.zeroes
_G.cnn = nil
3
]]
  local printed = ends(0, "> ", "HOME=/nowhere $P -i < " .. input)
  for _, part in ipairs{"> 2\n", "1\n2\n", "> 5\n", "> nil\n", "text\n{1, a = \"q\"}\n",
                        "float32 (1, 1)\n[[1.]]\n", "unexpected symbol near ')'", "stdin:1: boo\n",
                        "(error object is a table value)", "did you mean 'zeros'", "> 3\n"} do
    lu.assertStrContains(printed, part)
  end
end

-- Types the keys (printf's format) with pauses between them into a terminal of its own. That ends when the typing
-- does, so the last pause leaves time to finish. Ctrl-C also reaches the shell around the program,
-- which must outlive it. Escape sequences are left out.
local function typed(environment, keys)
  if not os.execute "command -v script >/dev/null" then lu.skip "needs util-linux's script" end
  local lines = {}
  for _, key in ipairs(keys) do lines[#lines + 1] = "printf " .. quoted(key) .. "; sleep 0.3" end
  local typing = "(sleep 0.5; " .. table.concat(lines, "; ") .. "; sleep 2)"
  local printed = shell(typing .. " | " .. environment ..
                        " TERM=xterm timeout 30 script -qec \"trap : INT; $P; echo status \\$?\" /dev/null")
  return (printed:gsub("\r", ""):gsub("\27%[[%d;?]*%a", ""))
end

function TestPrompt.test_in_a_terminal()
  local home = os.tmpname()
  os.remove(home)
  os.execute("mkdir " .. home)
  local printed = typed("HOME=" .. home, {
    "6 * 7\\n", "for i = 1, 2 do\\n", "print(\"line\" .. i)\\n", "end\\n", "cnn.eye(1)\\n",
    "half a line\\003",
    "_\\n", "while true do end\\n", "\\003", "100 + 1\\n", "\\004",
  })
  for _, part in ipairs{"cnnlua ", "\n42\n", "\nline1\nline2\n", "float32 (1, 1)", "[[1.]]", "interrupted!",
                        "\n101\n", "status 0"} do
    lu.assertStrContains(printed, part)
  end
  local history = io.open(home .. "/.cnnlua_history")
  lu.assertNotNil(history)
  lu.assertStrContains(history:read "a", "print(")
  history:close()
  os.execute("rm -r " .. home)
end

function TestPrompt.test_history_goes_where_xdg_says()
  local home = os.tmpname()
  os.remove(home)
  typed("HOME=/nowhere XDG_STATE_HOME=" .. home, {"1\\n", "\\004"})
  local file = io.open(home .. "/cnnlua/history")
  lu.assertNotNil(file)
  file:close()
  os.execute("rm -r " .. home)
end

-- ---- stock Lua --------------------------------------------------------------------------------------------

TestStockLua = {}

function TestStockLua.test_the_module_loads_there()
  local folder = program:match "^(.*)/[^/]*$" or "."
  local module = io.open(folder .. "/cnn.so") and folder or "build/release"
  if not io.open(module .. "/cnn.so") or not os.execute "command -v lua5.4 >/dev/null" then
    lu.skip "needs cnn.so and lua5.4"
  end
  local printed, status = shell("LUA_CPATH='" .. module ..
                                "/?.so' lua5.4 -e 'print(require \"cnn\".ones{2})'")
  if printed:find "ASan runtime" then lu.skip "a sanitized module needs a sanitized program" end
  eq(printed, "[1. 1.]\n")
  eq(status, 0)
end
