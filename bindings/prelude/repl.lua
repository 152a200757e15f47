-- What values look like at the prompt.
--
-- cnn.repl.print(...) shows values, each on lines of its own; cnn.repl.format(value) is that text.

local cnn = ...

local repl = {}
cnn.repl = repl

local MAX_DEPTH, MAX_ITEMS, WIDTH = 4, 40, 80
local dim, plain = "", ""

--- Turns the colours of a terminal on or off.
function repl.set_color(on)
  dim, plain = on and "\27[2m" or "", on and "\27[0m" or ""
end

-- "float32 (2, 3)"
local function tensor_kind(t)
  local shape = t:shape()
  for i, size in ipairs(shape) do
    if size < 0 then shape[i] = "None" end
  end
  return t:dtype() .. " (" .. table.concat(shape, ", ") .. (#shape == 1 and ",)" or ")")
end

local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return
    then true until while]]):gmatch "%a+" do
  keywords[word] = true
end

local format_value

local function format_key(key)
  if type(key) == "string" and key:find "^[%a_][%w_]*$" and not keywords[key] then return key end
  return "[" .. format_value(key, MAX_DEPTH) .. "]"
end

-- Numbers first, then names, then the rest.
local function before(a, b)
  local kind_a, kind_b = math.type(a) and "a" or type(a) == "string" and "b" or "c",
                         math.type(b) and "a" or type(b) == "string" and "b" or "c"
  if kind_a ~= kind_b then return kind_a < kind_b end
  if kind_a == "c" then return tostring(a) < tostring(b) end
  return a < b
end

local function sorted_keys(t, length)
  local keys = {}
  for key in next, t do
    if not (math.type(key) == "integer" and key >= 1 and key <= length) then keys[#keys + 1] = key end
  end
  table.sort(keys, before)
  return keys
end

local function format_table(t, depth)
  if next(t) == nil then return "{}" end
  if depth >= MAX_DEPTH then return "{…}" end
  local parts, length = {}, rawlen(t)
  local keys = sorted_keys(t, length)
  for i = 1, math.min(length, MAX_ITEMS) do
    parts[#parts + 1] = format_value(rawget(t, i), depth + 1)
  end
  for i = 1, math.min(#keys, MAX_ITEMS - #parts) do
    parts[#parts + 1] = format_key(keys[i]) .. " = " .. format_value(rawget(t, keys[i]), depth + 1)
  end
  local left = length + #keys - #parts
  if left > 0 then parts[#parts + 1] = ("… %d more"):format(left) end
  local line = "{" .. table.concat(parts, ", ") .. "}"
  if utf8.len(line, 1, -1, true) and #line + 2 * depth <= WIDTH and not line:find "\n" then return line end
  local indent = ("  "):rep(depth)
  return "{\n  " .. indent .. table.concat(parts, ",\n  " .. indent) .. "\n" .. indent .. "}"
end

function format_value(value, depth)
  if type(value) == "string" and depth > 0 then
    return (("%q"):format(value):gsub("\\\n", "\\n"))
  end
  if value == cnn.null then return "null" end
  if cnn.is_tensor(value) then
    local text = tostring(value)
    if text:find "closed" then return text end
    if depth > 0 then return "tensor " .. tensor_kind(value) end
    if text:find "^symbolic" then return text end
    return dim .. tensor_kind(value) .. plain .. "\n" .. text
  end
  local meta = type(value) == "table" and debug.getmetatable(value)
  if type(value) ~= "table" or meta and (meta.__tostring or meta.__name) then return tostring(value) end
  return format_table(value, depth)
end

--- The text that the prompt shows for a value.
function repl.format(value)
  return format_value(value, 0)
end

--- Shows values, each on lines of its own.
function repl.print(...)
  for i = 1, select("#", ...) do
    io.write(repl.format((select(i, ...))), "\n")
  end
end
