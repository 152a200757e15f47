-- Reads the documentation out of the sources, as entries: what help(), the reference and the tests of examples work on.
--
--   lua5.4 bindings/document.lua FILE… > reference.lua    a Lua chunk that returns the list of entries, sorted by name
--
-- What is wrong with blocks goes to the standard error, and it ends without success.
--
-- A block is a comment /*** … */ in C, or in Lua one that begins with three dashes and goes on with two. It holds text,
-- whose first sentence is the summary, and then tags, each up to the next one or the end:
--   @function NAME, @class NAME, @field NAME   once: the full public name: cnn.sum, tensor:item, cnn.layers.Dense; a
--                                              field without dots is what methods' names begin with: tensor, model
--   @tparam TYPE name text                     an argument; after the tag [opt] or [opt=DEFAULT] if it may be left out
--   @treturn TYPE text
--   @raise text
--   @usage                                     lines as typed at the prompt, with what it shows after -->;
--                                              `@usage norun` for what a test cannot run
-- A class has no @tparam: its arguments are known from its table of them (core/base/config.h).
--
-- An entry is a table: name, kind ("function", "method", "class", "field", "object"), summary, text, params (each
-- {name, type, text, optional, default}), returns (each {type, text}), raises (texts), usage (text), norun, source
-- ("file:line").

local document = {}

-- ---- blocks -----------------------------------------------------------------------------------------------------

-- Each block as its list of lines, without comment signs, and the line number it begins at.
local readers = {}

function readers.c(lines)
  local blocks, block = {}, nil
  for number, line in ipairs(lines) do
    local opened = line:match "^%s*/%*%*%* ?(.*)$"
    if opened and not block then block, line = {line = number}, opened end
    if block then
      local closed = line:match "^(.-)%s*%*/"
      if not (closed == "" and #block > 0) then block[#block + 1] = closed or line end
      if closed then blocks[#blocks + 1], block = block, nil end
    end
  end
  return blocks
end

function readers.lua(lines)
  local blocks, block = {}, nil
  for number, line in ipairs(lines) do
    local opened = not block and (line:match "^%s*%-%-%- (.*)$")
    local continued = block and (line:match "^%s*%-%- ?(.*)$")
    if opened then block = {line = number} end
    if opened or continued then
      block[#block + 1] = opened or continued
    elseif block then
      blocks[#blocks + 1], block = block, nil
    end
  end
  blocks[#blocks + 1] = block
  return blocks
end

-- ---- tags -------------------------------------------------------------------------------------------------------

local known_types = {}
for word in ([[any array bool callback class dataset function generator history image initializer int layer loss metric
    model nil null number optimizer pipeline regularizer rng schedule step string symbolic table tape tensor text true
    false userdata variable]]):gmatch "%a+" do
  known_types[word] = true
end

-- int|{int,...}; words in quotes stand for themselves.
local function check_type(type, report)
  if not type then return report "a type is missing" end
  for word in type:gsub('"[^"]*"', ""):gmatch "%a+" do
    if not known_types[word] then return report(("'%s' is no type that is known here"):format(word)) end
  end
end

local function trim(text)
  return text:match "^%s*(.-)%s*$"
end

-- Lines as one: the text of a tag.
local function joined(lines)
  return trim(table.concat(lines, " "):gsub("%s+", " "))
end

local function named(kind)
  return function(entry, lines, report)
    local name = joined(lines)
    if entry.name then return report "it names itself twice" end
    local bare = kind == "field" and name:find "^%a+$"
    if not bare and not name:find "^cnn%.[%w_.]+$" and not name:find "^%a+:[%w_]+$" then
      return report(("'%s' is no full name such as cnn.sum or tensor:item"):format(name))
    end
    entry.name, entry.kind = name, bare and "object" or name:find ":" and "method" or kind
  end
end

local tags = {["function"] = named "function", class = named "class", field = named "field"}

function tags.tparam(entry, lines, report)
  local optional, rest = joined(lines):match "^(%b[])%s*(.*)$"
  if not optional then rest = joined(lines) end
  local default = optional and optional:match "^%[opt=(.+)%]$"
  if optional and not default and optional ~= "[opt]" then
    return report(("@tparam%s: should be [opt] or [opt=DEFAULT]"):format(optional))
  end
  local type, name, text = rest:match "^(%S+)%s+([%w_.]+)%s*(.*)$"
  if not type then return report("@tparam needs a type and a name: " .. rest) end
  check_type(type, report)
  for _, param in ipairs(entry.params) do
    if param.name == name then return report(("@tparam %s is there twice"):format(name)) end
  end
  entry.params[#entry.params + 1] =
    {name = name, type = type, text = text, optional = optional and true, default = default}
end

function tags.treturn(entry, lines, report)
  local type, text = joined(lines):match "^(%S+)%s*(.*)$"
  check_type(type, report)
  entry.returns[#entry.returns + 1] = {type = type, text = text}
end

function tags.raise(entry, lines, report)
  if joined(lines) == "" then return report "@raise says nothing" end
  entry.raises[#entry.raises + 1] = joined(lines)
end

function tags.usage(entry, lines, report)
  local first = trim(lines[1])
  if entry.usage then return report "there are two @usage" end
  if first ~= "" and first ~= "norun" then return report("the example begins on the line after @usage: " .. first) end
  entry.norun = first == "norun" or nil
  entry.usage = table.concat(lines, "\n", 2):gsub("%s+$", "")
  if entry.usage == "" then return report "@usage shows nothing" end
end

-- ---- entries ----------------------------------------------------------------------------------------------------

-- A sentence ends with a full stop before a capital letter, or with its paragraph.
local function first_sentence(text)
  local paragraph = (text .. "\n\n"):match "^(.-)\n%s*\n":gsub("%s*\n%s*", " ")
  return paragraph:match "^(.-[.])%s+[%u(`]" or paragraph
end

-- The block's parts in order: the text, whose tag is nil, and each tag with its lines, the first without the tag.
local function parts_of(block)
  local parts = {{}}
  for _, line in ipairs(block) do
    local tag, rest = line:match "^@(%a+)(.*)$"
    if tag then
      parts[#parts + 1] = {tag = tag, rest}
    else
      table.insert(parts[#parts], line)
    end
  end
  return parts
end

-- The entry of a block, and what is wrong with it.
local function read_block(block, source)
  local entry = {source = source, params = {}, returns = {}, raises = {}}
  local messages, parts = {}, parts_of(block)
  local function report(message) messages[#messages + 1] = message end
  entry.text = trim(table.concat(table.remove(parts, 1), "\n"))
  entry.summary = first_sentence(entry.text)
  for _, part in ipairs(parts) do
    local read = tags[part.tag]
    if read then read(entry, part, report) else report(("there is no tag @%s"):format(part.tag)) end
  end
  if entry.text == "" then report "there is no text before the tags" end
  if not entry.name then report "neither @function nor @class nor @field names it" end
  if entry.kind == "class" and #entry.params > 0 then report "a class's arguments are told by its table, not here" end
  return entry, messages
end

local function read_lines(path)
  local lines = {}
  for line in io.lines(path) do lines[#lines + 1] = line end
  return lines
end

-- The entries of files, sorted by name, and a list of what is wrong with them: "file:line: NAME: message".
function document.read(paths)
  local entries, problems, places = {}, {}, {}
  for _, path in ipairs(paths) do
    for _, block in ipairs(readers[path:match "%.(%a+)$"](read_lines(path))) do
      local source = ("%s:%d"):format(path, block.line)
      local entry, messages = read_block(block, source)
      local name = entry.name or "a block"
      if places[name] then messages[#messages + 1] = "it is documented already at " .. places[name] end
      for _, message in ipairs(messages) do problems[#problems + 1] = ("%s: %s: %s"):format(source, name, message) end
      if #messages == 0 then
        places[name] = source
        entries[#entries + 1] = entry
      end
    end
  end
  table.sort(entries, function(a, b) return a.name < b.name end)
  return entries, problems
end

-- ---- the program ------------------------------------------------------------------------------------------------

-- A value as Lua source; empty lists are left out.
local function write_value(value)
  if type(value) ~= "table" then return (("%q"):format(value):gsub("\\\n", "\\n")) end
  local parts = {}
  for _, item in ipairs(value) do parts[#parts + 1] = write_value(item) end
  local keys = {}
  for key in pairs(value) do
    if type(key) == "string" then keys[#keys + 1] = key end
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    local item = value[key]
    if type(item) ~= "table" or next(item) then parts[#parts + 1] = key .. "=" .. write_value(item) end
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function main(...)
  local entries, problems = document.read{...}
  for _, problem in ipairs(problems) do io.stderr:write(problem, "\n") end
  if #problems > 0 then os.exit(false) end
  io.write "return {\n"
  for _, entry in ipairs(entries) do io.write(write_value(entry), ",\n") end
  io.write "}\n"
end

if arg and arg[0] and arg[0]:find "document%.lua$" then main(...) end
return document
