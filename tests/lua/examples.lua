-- Runs the examples of one source file as the prompt would, and says which of them show something else than they say:
--   cnnlua examples.lua ROOT FILE PROBLEMS >PRINTED
-- Started in an empty folder, which each example finds empty; what is printed must go to a file. The problems are
-- written to the file PROBLEMS; the figures of its first line are the numbers of examples run and of problems.

local cnn = require "cnn"

local root, source, report = arg[1], arg[2], arg[3]
local document = dofile(root .. "/bindings/document.lua")

-- ---- an example's chunks ----------------------------------------------------------------------------------------

-- Code as the prompt takes it: an expression, whose values are shown, or statements.
local function load_chunk(code)
  local chunk = load("return " .. code, "=stdin", "t")
  if chunk then return chunk end
  return load(code, "=stdin", "t")
end

local function is_unfinished(code)
  local chunk, message = load_chunk(code)
  return not chunk and message:find "<eof>$"
end

-- A list of {code, line, expected = lines or nil}; line counts from 1 in the example.
local function chunks_of(usage)
  local chunks, code, chunk, number = {}, nil, nil, 0
  for line in (usage .. "\n"):gmatch "(.-)\n" do
    number = number + 1
    local expected = line:match "^%s*%-%-> ?(.*)$"
    if expected and chunk and not code then
      chunk.expected = chunk.expected or {}
      table.insert(chunk.expected, expected)
    elseif line:find "%S" then
      local shown = line:match "%s%-%-> ?(.*)$"
      code = (code and code .. "\n" or "") .. line
      chunk = {code = code, line = chunk and chunk.open or number, expected = shown and {shown}}
      chunk.open = is_unfinished(code) and chunk.line or nil
      if not chunk.open then chunks[#chunks + 1], code = chunk, nil end
    end
  end
  if code then chunks[#chunks + 1] = chunk end
  return chunks
end

-- ---- running ----------------------------------------------------------------------------------------------------

local printed = assert(io.open("/dev/fd/1", "r"))

-- What f prints, through Lua or C, besides what it returns.
local function captured(f, ...)
  io.stdout:flush()
  printed:seek("end")
  local results = table.pack(f(...))
  io.stdout:flush()
  return printed:read "a", table.unpack(results, 1, results.n)
end

local function show(...)
  if select("#", ...) == 0 then return end
  _ENV._ = ...
  cnn.repl.print(...)
end

-- The position may be another than the chunk's, which a tail call leaves behind.
local function without_position(message)
  return "error: " .. tostring(message):gsub("^[%w%p]+:%d+: ", "")
end

-- What the prompt would show for the code, and whether it ended well.
local function run(code)
  local chunk, message = load_chunk(code)
  if not chunk then return without_position(message), false end
  local text, good, problem = captured(pcall, function() show(chunk()) end)
  if not good then text = text .. without_position(problem) .. "\n" end
  return text, good
end

local function lines_of(text)
  local lines = {}
  for line in text:gmatch "[^\n]*" do lines[#lines + 1] = line:gsub("%s+$", "") end
  while lines[#lines] == "" do lines[#lines] = nil end
  return lines
end

local function matches_line(line, expected)
  expected = expected:gsub("%s+$", "")
  local start = expected:match "^(.*)%.%.%.$"
  return line == expected or (start and line:sub(1, #start) == start)
end

-- Whether lines from the i-th on are those expected from the j-th on; a line "..." stands for any number of them.
local function matches(lines, expected, i, j)
  if expected[j] == nil then return lines[i] == nil end
  if expected[j] == "..." then
    return matches(lines, expected, i, j + 1) or (lines[i] ~= nil and matches(lines, expected, i + 1, j))
  end
  return lines[i] ~= nil and matches_line(lines[i], expected[j]) and matches(lines, expected, i + 1, j + 1)
end

-- ---- an example -------------------------------------------------------------------------------------------------

local function indented(lines)
  return "    " .. table.concat(lines, "\n    ")
end

-- What is wrong with the chunk, or nil.
local function try(chunk)
  local text, good = run(chunk.code)
  if not chunk.expected then return not good and ("fails:\n" .. indented(lines_of(text))) or nil end
  local lines = lines_of(text)
  if matches(lines, chunk.expected, 1, 1) then return end
  return "expected:\n" .. indented(chunk.expected) .. "\n  got:\n" .. indented(lines)
end

local problems, count, globals = {}, 0, {}
for name, value in pairs(_G) do globals[name] = value end

-- As the program begins.
local function begin()
  for name in pairs(_G) do
    if globals[name] == nil then _G[name] = nil end
  end
  for name, value in pairs(globals) do _G[name] = value end
  _G.cnn, _G.layers = cnn, cnn.layers
  cnn.backend.clear_session()
  cnn.utils.set_random_seed(1)
  collectgarbage()
  os.execute "find . -mindepth 1 -delete"
end

local function try_example(entry)
  for _, chunk in ipairs(chunks_of(entry.usage)) do
    local problem
    if entry.norun then
      problem = select(2, load_chunk(chunk.code))
    else
      problem = try(chunk)
    end
    if problem then
      local place = ("%s: %s: line %d of its example"):format(entry.source, entry.name, chunk.line)
      return ("%s: %s\n  %s"):format(place, chunk.code, problem)
    end
  end
end

for _, entry in ipairs((document.read{root .. "/" .. source})) do
  if entry.usage then
    entry.source = entry.source:sub(#root + 2)
    count = count + 1
    begin()
    problems[#problems + 1] = try_example(entry)
  end
end

local out <close> = assert(io.open(report, "w"))
out:write(count, " ", #problems, "\n", table.concat(problems, "\n\n"), "\n")
