-- What values look like at the prompt.
--
-- cnn.repl.print(...) shows values, each on lines of its own; cnn.repl.format(value) is that text. What is within a
-- table takes one line where it can: only the value itself is shown at length.

local cnn = ...

local repl = cnn.repl or {}
cnn.repl = repl

local MAX_DEPTH, MAX_ITEMS, MAX_STRING, MAX_EPOCHS, WIDTH = 4, 40, 200, 20, 80
local dim, plain = "", ""

-- Turns the colours of a terminal on or off.
function repl.set_color(on)
  dim, plain = on and "\27[2m" or "", on and "\27[0m" or ""
end

local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return
    then true until while]]):gmatch "%a+" do
  keywords[word] = true
end

local format_value

-- What help has about a value or name, or nil.
local function find_help(what)
  local help = rawget(cnn, "help")
  local find = type(help) == "table" and rawget(help, "find")
  local good, entry = pcall(find or type, what)
  return find and good and entry or nil
end

-- ---- tables -------------------------------------------------------------------------------------------------------

local function format_string(text)
  local cut = #text > MAX_STRING and text:sub(1, (utf8.offset(text, 0, MAX_STRING + 1) or MAX_STRING + 1) - 1) or text
  local quoted = ("%q"):format(cut):gsub("\\\n", "\\n")
  return cut == text and quoted or ("%s… (%d bytes)"):format(quoted, #text)
end

local function format_key(key)
  if type(key) == "string" and key:find "^[%a_][%w_]*$" and not keywords[key] then return key end
  return "[" .. format_value(key, MAX_DEPTH, {}) .. "]"
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

local function width_of(text)
  return utf8.len(text, 1, -1, true) or #text
end

-- The first `listed` parts have no names: as many of them go on a line as fit if all are short. Each other has its own.
local function in_lines(parts, listed, indent)
  local lines, short = {}, listed > 1
  for i = 1, listed do short = short and width_of(parts[i]) <= 16 end
  for i, part in ipairs(parts) do
    local text = i < #parts and part .. "," or part
    local last = lines[#lines]
    if short and i > 1 and i <= listed and width_of(last) + 1 + width_of(text) + #indent <= WIDTH then
      lines[#lines] = last .. " " .. text
    else
      lines[#lines + 1] = text
    end
  end
  return lines
end

-- `around` are the tables that this one is within.
local function format_table(t, depth, around)
  if next(t) == nil then return "{}" end
  if depth >= MAX_DEPTH or around[t] then return "{…}" end
  around[t] = true
  local parts, length = {}, rawlen(t)
  local keys = sorted_keys(t, length)
  for i = 1, math.min(length, MAX_ITEMS) do
    parts[#parts + 1] = format_value(rawget(t, i), depth + 1, around)
  end
  local listed = #parts
  for i = 1, math.min(#keys, MAX_ITEMS - #parts) do
    parts[#parts + 1] = format_key(keys[i]) .. " = " .. format_value(rawget(t, keys[i]), depth + 1, around)
  end
  around[t] = nil
  local left = length + #keys - #parts
  if left > 0 then parts[#parts + 1] = ("… %d more"):format(left) end
  local line = "{" .. table.concat(parts, ", ") .. "}"
  if width_of(line) + 2 * depth <= WIDTH and not line:find "\n" then return line end
  local indent = ("  "):rep(depth)
  local lines = in_lines(parts, listed, indent .. "  ")
  return "{\n  " .. indent .. table.concat(lines, "\n  " .. indent) .. "\n" .. indent .. "}"
end

-- "cnn.layers: 52 names", and the names: a part of the module.
local function format_part(t, name, depth)
  local names = {}
  for key in next, t do names[#names + 1] = tostring(key) end
  table.sort(names)
  if depth > 0 then return ("%s {%d names}"):format(name, #names) end
  for i = 1, #names - 1 do names[i] = names[i] .. "," end
  local lines = {}
  for _, word in ipairs(names) do
    local last = lines[#lines]
    if last and #last + 1 + #word <= WIDTH then lines[#lines] = last .. " " .. word else lines[#lines + 1] = word end
  end
  return dim .. name .. plain .. "\n" .. table.concat(lines, "\n")
end

-- ---- tensors ------------------------------------------------------------------------------------------------------

-- "float32 (2, 3)"
local function tensor_kind(t)
  local shape = t:shape()
  for i, size in ipairs(shape) do
    if size < 0 then shape[i] = "None" end
  end
  return t:dtype() .. " (" .. table.concat(shape, ", ") .. (#shape == 1 and ",)" or ")")
end

local function format_tensor(t, depth)
  local text = tostring(t)
  if text:find "closed" then return text end
  if depth > 0 then return "tensor " .. tensor_kind(t) end
  if text:find "^symbolic" then return text end
  return dim .. tensor_kind(t) .. plain .. "\n" .. text
end

-- ---- models and what belongs to them ------------------------------------------------------------------------------

local function format_model(model, depth)
  if depth > 0 then return tostring(model) end
  local lines = {}
  model:summary{print_fn = function(line) lines[#lines + 1] = line end}
  return table.concat(lines, "\n")
end

-- Whether a value of a config is a default, as help writes that: {1, 1} is 1.
local function is_default(value, default)
  if type(value) == "table" and value[1] ~= nil then
    for _, part in ipairs(value) do
      if not is_default(part, default) then return false end
    end
    return true
  end
  return format_value(value, 1, {}) == default
end

local told_elsewhere = {name = true, trainable = true, dtype = true, batch_input_shape = true}

-- Its arguments in order, those at their defaults left out: <Dense 'dense': units = 10, activation = "softmax">
local function format_layer(layer)
  local text, entry = tostring(layer), find_help("cnn.layers." .. layer.class_name)
  local good, config = pcall(layer.get_config, layer)
  if not entry or not good then return text end
  local parts = {}
  for _, param in ipairs(entry.params) do
    local value = config[param.name]
    if value ~= nil and not told_elsewhere[param.name] and not is_default(value, param.default) then
      parts[#parts + 1] = param.name .. " = " .. format_value(value, 2, {})
    end
  end
  return #parts > 0 and text:gsub(">$", ": " .. table.concat(parts, ", "):gsub("%%", "%%%%") .. ">") or text
end

local function format_optimizer(optimizer)
  return ("<%s: learning_rate = %s, iterations = %d>"):format(optimizer.class_name, optimizer.learning_rate,
                                                             optimizer.iterations)
end

-- Adam{learning_rate = 0.001, …}
local function format_spec(spec, depth)
  local json = debug.getmetatable(spec).__json(spec)
  json.config.name = nil
  return json.class_name .. format_table(json.config, depth, {})
end

-- ---- histories ----------------------------------------------------------------------------------------------------

-- loss, other figures of training, those of validation in the same order, and what comes once an epoch.
local function figure_names(history)
  local names = {}
  for name in next, history do names[#names + 1] = name end
  local function place(name)
    local validation = name:match "^val_(.*)$"
    local base = validation or name
    local once = not validation and history["val_" .. name] == nil and name:find "learning_rate"
    return (once and "3" or validation and "2" or "1") .. (base == "loss" and "" or base)
  end
  table.sort(names, function(a, b) return place(a) < place(b) end)
  return names
end

local function format_figure(value)
  if math.type(value) ~= "float" then return tostring(value) end
  local small = value ~= 0 and math.abs(value) < 1e-3
  return ((small or math.abs(value) >= 1e6) and "%.2e" or "%.4f"):format(value)
end

-- A table with a row for each epoch; of long ones the first and last.
local function format_history(object)
  local history, epochs = object.history, object.epoch
  local names = figure_names(history)
  local rows = {{"epoch", table.unpack(names)}}
  for i, epoch in ipairs(epochs) do
    if #epochs <= MAX_EPOCHS or i <= MAX_EPOCHS // 2 or i > #epochs - MAX_EPOCHS // 2 then
      local row = {tostring(epoch)}
      for j, name in ipairs(names) do row[j + 1] = format_figure(history[name][i]) end
      rows[#rows + 1] = row
    elseif i == MAX_EPOCHS // 2 + 1 then
      rows[#rows + 1] = {"…"}
    end
  end
  local widths = {}
  for _, row in ipairs(rows) do
    for j, cell in ipairs(row) do widths[j] = math.max(widths[j] or 0, width_of(cell)) end
  end
  for i, row in ipairs(rows) do
    for j, cell in ipairs(row) do row[j] = (" "):rep(widths[j] - width_of(cell)) .. cell end
    rows[i] = table.concat(row, "  ")
  end
  rows[1] = dim .. rows[1] .. plain
  return table.concat(rows, "\n")
end

-- ---- values -------------------------------------------------------------------------------------------------------

-- "function cnn.sum: Sums over all axes, one, or several."
local function format_function(f, depth)
  local entry = depth == 0 and find_help(f)
  if type(entry) == "table" and entry.name then return ("function %s: %s"):format(entry.name, entry.summary) end
  return tostring(f)
end

-- By the names of their metatables in the registry.
local formats = {tensor = format_tensor, model = format_model, layer = format_layer, history = format_history,
                 ["cnn.optimizer"] = format_optimizer}

-- The format of a value of the module's own, which may raise on values that are out of order.
local function own_format(value)
  local meta = debug.getmetatable(value)
  local name = type(meta) == "table" and rawget(meta, "__name")
  if type(name) ~= "string" then return nil end
  if debug.getregistry()[name] == meta then
    return formats[name] or (name:find "^cnn%.spec" and format_spec)
  elseif type(value) == "table" and (name == "cnn" or name:find "^cnn%.[%w_]+$") and not rawget(meta, "__tostring") then
    return function(t, depth) return format_part(t, name, depth) end
  end
end

function format_value(value, depth, around)
  if type(value) == "string" then return depth > 0 and format_string(value) or value end
  if type(value) == "function" then return format_function(value, depth) end
  if value == cnn.null then return "null" end
  if value == rawget(cnn, "help") then return 'help() lists what there is; help "sum" or ?sum tells about one thing' end
  local own = own_format(value)
  if own then
    local good, text = pcall(own, value, depth)
    if good then return text end
  end
  local meta = type(value) == "table" and debug.getmetatable(value)
  if type(value) ~= "table" or meta and (meta.__tostring or meta.__name) then return tostring(value) end
  return format_table(value, depth, around)
end

-- The text that the prompt shows for a value.
function repl.format(value)
  return format_value(value, 0, {})
end

-- Shows values, each on lines of its own; in short after repl.told, when what there is to see has just been shown.
function repl.print(...)
  for i = 1, select("#", ...) do
    io.write(format_value((select(i, ...)), rawget(repl, "told") and MAX_DEPTH or 0, {}), "\n")
  end
end

-- ---- questions ----------------------------------------------------------------------------------------------------

-- What `?text` does: help about what is called so, or about the value that a variable of this name holds.
function repl.help(text)
  text = text:match "^%s*(.-)%s*$"
  if text == "" then return cnn.help() end
  local value = find_help(text) == nil and repl.value(text)
  if value then cnn.help(value) else cnn.help(text) end
end
