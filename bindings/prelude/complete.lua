-- What Tab offers at the prompt: cnn.repl.complete(line, cursor, before).
--
-- Completion only looks: it calls no function of the user's, sets nothing and raises no errors. Fields are found by
-- rawget and tables __index, and where the module's own objects keep their methods; values of such objects' fields are
-- asked of the objects themselves, which make nothing by that but what they return.

local cnn = ...

local repl = cnn.repl or {}
cnn.repl = repl

local MOST = 1000 -- candidates: of more, these are enough to see that they are many

local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return
    then true until while]]):gmatch "%a+" do
  keywords[word] = true
end

-- ---- reading the line -------------------------------------------------------------------------------------------

-- The end of the string at i, or nil if it is open.
local function string_end(text, i)
  local quote = text:sub(i, i)
  repeat
    i = text:find("[\\\n" .. quote .. "]", i + 1)
    local c = i and text:sub(i, i)
    if c == "\\" then i = i + 1 end
  until c ~= "\\"
  return i
end

-- The last position of what stands at i, nil if it is open at the end of the text, and its kind: "name", "number",
-- "string", "comment" or "sign".
local function token_at(text, i)
  local from, to = text:find("^[%a_][%w_]*", i)
  if from then return to, "name" end
  local comment, equals = text:match("^(%-?%-?)%[(=*)%[", i)
  if comment == "" or comment == "--" then
    return select(2, text:find("]" .. equals .. "]", i, true)), comment == "" and "string" or "comment"
  end
  if text:find("^%-%-", i) then return text:find("\n", i, true), "comment" end
  if text:find("^[\"']", i) then return string_end(text, i), "string" end
  from, to = text:find("^%.?%d[%w_.]*", i)
  if from then return to, "number" end
  local sign = text:match("^%.+", i) or text:match("^::", i) or text:match("^[=~<>/]=", i) or " "
  return i + #sign - 1, "sign"
end

-- The tokens of the text without comments, and the one that it ends within: an open string or comment, if any.
local function scan(text)
  local tokens, i = {}, text:find "%S"
  while i do
    local to, kind = token_at(text, i)
    local token = {kind = kind, text = text:sub(i, to), first = i}
    if not to then return tokens, token end
    if kind ~= "comment" then tokens[#tokens + 1] = token end
    i = text:find("%S", to + 1)
  end
  return tokens
end

local closes = {[")"] = true, ["]"] = true, ["}"] = true}
local opens = {["("] = true, ["["] = true, ["{"] = true}

-- The innermost bracket that is open behind the tokens up to `last`: its position, how many fields are complete in it
-- and the names among them. nil if there is none.
local function open_bracket(tokens, last)
  local depth, fields, names = 0, 0, {}
  for i = last, 1, -1 do
    local t = tokens[i].kind == "sign" and tokens[i].text
    if closes[t] then
      depth = depth + 1
    elseif opens[t] then
      if depth == 0 then return i, fields, names end
      depth = depth - 1
    elseif depth == 0 and (t == "," or t == ";") then
      fields = fields + 1
    elseif depth == 0 and t == "=" and tokens[i - 1] then
      names[tokens[i - 1].text] = true
    end
  end
end

-- The names that lead to the value whose expression ends with tokens[last], as in a.b[1]:c, as a list, and whether the
-- last is a method; nil if it is no such expression.
local function path_to(tokens, last)
  local path, i = {}, last
  local method = tokens[last - 1] and tokens[last - 1].text == ":"
  while tokens[i] do
    local token = tokens[i]
    if token.kind == "name" and not keywords[token.text] then
      table.insert(path, 1, token.text)
      local sign = tokens[i - 1] and tokens[i - 1].text
      if sign ~= "." and sign ~= ":" then return path, method end
      i = i - 2
    elseif token.text == "]" and tokens[i - 2] and tokens[i - 2].text == "[" then
      local key = tokens[i - 1]
      local value = key.kind == "number" and tonumber(key.text) or key.kind == "string" and key.text:sub(2, -2)
      if not value then return nil end
      table.insert(path, 1, value)
      i = i - 3
    else
      return nil
    end
  end
end

-- ---- looking into values ------------------------------------------------------------------------------------------

-- The fields of the module's own objects that are no methods.
local fields = {
  tensor = {"name", "trainable"},
  layer = {"name", "class_name", "trainable", "built", "weights", "trainable_weights", "non_trainable_weights",
           "kernel", "bias"},
  model = {"name", "layers", "optimizer", "metrics_names", "inputs", "outputs", "input_shape", "output_shape",
           "stop_training", "history", "trainable", "weights", "trainable_weights", "non_trainable_weights"},
  dataset = {"class_names", "file_paths"},
  ["cnn.optimizer"] = {"learning_rate", "iterations", "class_name"},
}

-- The name of the kind of an object of the module, or nil.
local function kind_of(value)
  local meta = type(value) == "userdata" and debug.getmetatable(value)
  local name = meta and rawget(meta, "__name")
  return name and fields[name] and debug.getregistry()[name] == meta and name or nil
end

-- Functions of C and of the module's own Lua may hold the tables they look into as upvalues.
local function is_trusted(f)
  local about = debug.getinfo(f, "S")
  return about.what == "C" or about.source:find "^=prelude/" or about.source:find "^=datasets/"
end

-- Calls visit(t) with each table in which fields of value are found, until that returns something.
local function visit_tables(value, visit, depth)
  if type(value) == "table" then
    local found = visit(value)
    if found ~= nil then return found end
  end
  local meta = debug.getmetatable(value)
  local index = type(meta) == "table" and rawget(meta, "__index")
  if type(index) == "table" and depth < 10 then return visit_tables(index, visit, depth + 1) end
  if type(index) ~= "function" or not is_trusted(index) then return nil end
  for i = 1, 20 do
    local name, upvalue = debug.getupvalue(index, i)
    if not name then return nil end
    if type(upvalue) == "table" and name ~= "_ENV" and name ~= "cnn" then
      local found = visit(upvalue)
      if found ~= nil then return found end
    end
  end
end

local function field(value, key)
  local found = visit_tables(value, function(t) return rawget(t, key) end, 1)
  if found ~= nil or type(key) ~= "string" or not kind_of(value) then return found end
  local good, own = pcall(function() return value[key] end)
  return good and own or nil
end

local function value_at(path)
  local value = _G
  for _, key in ipairs(path) do
    value = field(value, key)
    if value == nil then return nil end
  end
  return value
end

-- The value of a variable or field by its name, as in "model.layers[1]"; nil where there is none.
function repl.value(name)
  local tokens, open = scan(name)
  local path = not open and #tokens > 0 and path_to(tokens, #tokens)
  return path and value_at(path) or nil
end

local function is_callable(value)
  local meta = type(value) ~= "function" and debug.getmetatable(value)
  return type(value) == "function" or type(meta) == "table" and rawget(meta, "__call") ~= nil
end

-- ---- help ---------------------------------------------------------------------------------------------------------

-- What cnn.help tells in one of its functions, or nil.
local function ask_help(name, what)
  local help = rawget(cnn, "help")
  local ask = type(help) == "table" and rawget(help, name)
  if not ask or what == nil then return nil end
  local good, answer = pcall(ask, what)
  return good and answer or nil
end

-- The same about what a path leads to. A method of something unknown is likely to be a model's.
local function ask_path(name, path, method)
  if not path then return nil end
  local value = value_at(path)
  local last = path[#path]
  return ask_help(name, value) or ask_help(name, table.concat(path, "."))
         or method and ask_help(name, "model:" .. last) or nil
end

-- MeanSquaredError is mean_squared_error.
local function snake_case(name)
  return (name:gsub("(%l)(%u)", "%1_%2"):gsub("(%w)(%u%l)", "%1_%2"):lower())
end

-- Names by which the classes in a part of the module are known.
local function class_names(part, spelling)
  local names = {}
  for name in next, rawget(cnn, part) or {} do
    if type(name) == "string" and name:find "^%u" then names[#names + 1] = spelling(name) end
  end
  return names
end

local monitored = {"accuracy", "loss", "val_accuracy", "val_loss"}

-- What strings an argument takes that are known by a name elsewhere.
local function known_names(argument)
  if argument == "optimizer" then return class_names("optimizers", string.lower) end
  if argument == "loss" then return class_names("losses", snake_case) end
  if argument == "metrics" then
    local names = class_names("metrics", snake_case)
    names[#names + 1] = "accuracy"
    return names
  end
  if argument == "monitor" then return monitored end
  if argument == "dtype" then return {"bfloat16", "float32", "int32", "uint8"} end
  if argument == "activation" then
    return {"elu", "gelu", "leaky_relu", "linear", "log_softmax", "relu", "relu6", "selu", "sigmoid", "silu", "softmax",
            "softplus", "softsign", "swish", "tanh"}
  end
  local part = argument:match "_(%a+)$"
  if part == "initializer" or part == "regularizer" then return class_names(part .. "s", snake_case) end
end

-- The strings that an argument of a function may be, or nil.
local function choices_of(entry, key)
  local params = type(entry) == "table" and entry.params or {}
  for position, param in ipairs(params) do
    if param.name == key or position == key then
      local choices = {}
      for choice in (param.type or ""):gmatch '"([^"]*)"' do choices[#choices + 1] = choice end
      return choices[1] and choices or known_names(param.name)
    end
  end
  return type(key) == "string" and known_names(key) or nil
end

-- ---- candidates ---------------------------------------------------------------------------------------------------

-- What is written behind a function's name: the bracket it has in its example. Constructors take tables.
local function call_bracket(value, name)
  local entry = ask_help("find", value)
  local usage = type(entry) == "table" and type(entry.usage) == "string" and entry.usage or ""
  local bracket = usage:match("%f[%w_]" .. name .. "%s*([({])")
  return bracket or (name:find "^%u" and "{" or "(")
end

local function is_name(key)
  return type(key) == "string" and key:find "^[%a_][%w_]*$" and not keywords[key]
end

-- A list of candidates without doubles; add(text, value).
local function new_list()
  local list, seen, values = {}, {}, {}
  local function add(text, value)
    if seen[text] then return end
    seen[text] = true
    list[#list + 1] = text
    values[text] = value
  end
  return list, add, values
end

-- Adds the keys of t that are names and begin with the word, not more than MOST + 1; those that begin with _ only
-- where the word does. There may be very many keys.
local function add_keys(t, word, add)
  local find, left = string.find, MOST + 1
  local pattern = "^" .. (word == "" and "%a" or word)
  for key, value in next, t do
    if type(key) == "string" and find(key, pattern) and is_name(key) then
      add(key, value)
      left = left - 1
      if left == 0 then return end
    end
  end
end

-- Candidates for the end of `before.word` or `before:word`; the separator is part of them, as in ":fit(".
local function members(value, separator, word)
  local list, add, values = new_list()
  local kind = kind_of(value)
  local methods = kind and ":" or separator -- model.fit is a slip
  visit_tables(value, function(t)
    add_keys(t, word, function(key, found)
      if methods == "." or is_callable(found) then add(methods .. key, found) end
    end)
  end, 1)
  if separator == "." and kind then
    local own = {table.unpack(fields[kind])}
    local class = kind == "layer" and field(value, "class_name")
    for _, name in ipairs(class and ask_help("arguments", "cnn.layers." .. class) or {}) do own[#own + 1] = name end
    for _, name in ipairs(own) do
      if name:sub(1, #word) == word then add("." .. name) end
    end
  end
  return list, values
end

-- The names a table of arguments may still have.
local function add_arguments(tokens, last, word, add)
  local bracket, _, used = open_bracket(tokens, last)
  local sign = tokens[last] and tokens[last].text
  if not bracket or tokens[bracket].text ~= "{" or sign ~= "{" and sign ~= "," and sign ~= ";" then return end
  local callee = bracket - 1
  if tokens[callee] and tokens[callee].text == "(" then callee = callee - 1 end
  if callee < 1 then return end
  for _, name in ipairs(ask_path("arguments", path_to(tokens, callee)) or {}) do
    if name:sub(1, #word) == word and not used[name] then add(name .. " = ") end
  end
end

-- Candidates for a name that stands alone behind tokens[last].
local function names(tokens, last, word)
  local list, add, values = new_list()
  add_arguments(tokens, last, word, add)
  local arguments = #list > 0
  if word == "" and arguments then return list, values end
  visit_tables(_G, function(t) add_keys(t, word, add) end, 1)
  if word == "" then return list, values end
  for i = 1, last do
    local sign = tokens[i - 1] and tokens[i - 1].text
    local name = tokens[i].kind == "name" and sign ~= "." and sign ~= ":" and tokens[i].text
    if name and name ~= word and name:sub(1, #word) == word and not keywords[name] then add(name) end
  end
  for keyword in next, arguments and {} or keywords do
    if keyword:sub(1, #word) == word then add(keyword) end
  end
  return list, values
end

-- Values for the string behind tokens[last], or nil.
local function choices(tokens, last)
  local bracket, position = open_bracket(tokens, last)
  local sign = tokens[last] and tokens[last].text
  if not bracket then return nil end
  local key = sign == "=" and tokens[last - 1].text or position + 1
  if bracket >= 3 and tokens[bracket - 1].text == "=" and sign ~= "=" then -- metrics = {"…
    key = tokens[bracket - 2].text
    bracket = open_bracket(tokens, bracket - 3)
    if not bracket then return nil end
  end
  local callee = bracket - 1
  if tokens[callee] and tokens[callee].text == "(" then callee = callee - 1 end
  if callee < 1 then return nil end
  return choices_of(ask_path("find", path_to(tokens, callee)), key)
end

-- Files whose names begin as `typed` does: the part of it that is to be replaced begins at the position returned.
local function files(typed)
  local list = {}
  local folder, base = typed:match "^(.*/)([^/]*)$"
  if not folder then folder, base = "", typed end
  local home = typed:find "^~/" and os.getenv "HOME"
  local place = home and home .. folder:sub(2) or folder
  local list_folder = rawget(repl, "list_folder") -- the program's
  for _, name in ipairs(list_folder and list_folder(place == "" and "." or place) or {}) do
    if name:sub(1, #base) == base and (base ~= "" or name:byte() ~= 46) then
      list[#list + 1] = (home and place or "") .. name
    end
  end
  return home and 1 or #folder + 1, list
end

-- Candidates within an open string.
local function in_string(tokens, open, rest)
  local quote, typed = open.text:sub(1, 1), open.text:sub(2)
  local list, from = {}, 1
  local known = quote ~= "[" and choices(tokens, #tokens)
  for _, choice in ipairs(known or {}) do
    if choice:sub(1, #typed) == typed then list[#list + 1] = choice end
  end
  if not known and quote ~= "[" and not typed:find "\\" then from, list = files(typed) end
  for i, name in ipairs(list) do list[i] = name:gsub("[\\" .. quote .. "]", "\\%0") end
  if #list == 1 and not list[1]:find "/$" and rest:sub(1, 1) ~= quote then list[1] = list[1] .. quote end
  return open.first + from, list
end

local function in_code(tokens, text, rest)
  local last, word = #tokens, ""
  local token = tokens[last]
  if token and token.first + #token.text > #text then
    if token.kind == "number" then return #text + 1, {} end
    if token.kind == "name" then last, word = last - 1, token.text end
  end
  local separator = tokens[last] and tokens[last].text
  local from, list, values = #text - #word + 1
  if separator == "." or separator == ":" then
    local path = path_to(tokens, last - 1)
    local value = path and value_at(path)
    if text:find "[\"']%)%s*[.:]%s*[%w_]*$" then value = "" end -- ("text"):…
    if value == nil then return from, {} end
    from, list, values = tokens[last].first, members(value, separator, word)
  else
    list, values = names(tokens, last, word)
  end
  local name = list[1] and list[1]:match "[%w_]+$"
  if #list == 1 and name and type(values[list[1]]) == "function" and not rest:find "^[({]" then
    list[1] = list[1] .. call_bracket(values[list[1]], name)
  end
  return from, list
end

-- What the word before the cursor can become: where it begins in the line, and what can stand there in place of it;
-- a single one ends as a call or string does. `cursor` is how many bytes are before it, `before` the lines that belong
-- to the same chunk, if any.
function repl.complete(line, cursor, before)
  local ahead = before and #before + 1 or 0
  local text, rest = (before and before .. "\n" or "") .. line:sub(1, cursor), line:sub(cursor + 1)
  local tokens, open = scan(text)
  if open and open.kind == "comment" then return cursor + 1, {} end
  local from, list
  if open then
    from, list = in_string(tokens, open, rest)
  else
    from, list = in_code(tokens, text, rest)
  end
  table.sort(list)
  return from - ahead, list
end

-- ---- showing them -------------------------------------------------------------------------------------------------

local function common_start(list)
  local first = list[1]
  local length = #first
  for i = 2, #list do
    local other = list[i]
    while first:sub(1, length) ~= other:sub(1, length) do length = length - 1 end
  end
  while length > 0 and (first:byte(length + 1) or 0) & 0xC0 == 0x80 do length = length - 1 end
  return first:sub(1, length)
end

-- Columns that a text takes on the screen.
local function width_of(text)
  local width = 0
  for _, code in utf8.codes(utf8.len(text) and text or ("?"):rep(#text)) do
    width = width + (code >= 0x1100 and code < 0xFFE0 and not (code > 0x11FF and code < 0x2E80) and 2 or 1)
  end
  return width
end

-- The texts in columns, one below the other first, in not more than so many rows. Where those are not all: how many
-- there are.
local function in_columns(list, columns, rows)
  local widest, widths = 0, {}
  for i, text in ipairs(list) do
    widths[i] = width_of(text)
    widest = math.max(widest, widths[i])
  end
  local across = math.max(1, (columns + 1) // (widest + 2))
  local down = (#list + across - 1) // across
  local lines, shown = {}, math.min(down, rows)
  for row = 1, shown do
    local line = {}
    for i = row, #list, down do line[#line + 1] = list[i] .. (" "):rep(widest + 2 - widths[i]) end
    lines[row] = table.concat(line):gsub("%s+$", "")
  end
  if shown < down then
    lines[#lines + 1] = #list > MOST and "… and many more" or ("… %d in all: Tab shows them"):format(#list)
  end
  return table.concat(lines, "\n")
end

local asked -- the text before the cursor when the last list was shown

-- What Tab does: how many bytes before the cursor go, what comes in their place, and what is shown below the line;
-- nil where there is nothing. A list that the screen has no room for is cut, unless it is asked for twice.
function repl.suggest(before, line, cursor, columns, rows)
  local from, list = repl.complete(line, cursor, before)
  if #list == 0 then return nil end
  local typed = line:sub(from, cursor)
  local start = #list > MOST and typed or common_start(list)
  if start ~= typed and #start >= #typed then
    if start:sub(1, #typed) == typed then return 0, start:sub(#typed + 1) end
    return #typed, start
  end
  if #list == 1 then return nil end
  local shown = {}
  for i, text in ipairs(list) do shown[i] = text:gsub(" = $", ""):gsub("^%.", "") end
  local again = asked == line:sub(1, cursor) and #list <= MOST
  asked = line:sub(1, cursor)
  return 0, nil, in_columns(shown, columns, again and #list or math.max(3, rows - 4))
end
