-- Makes the reference of what help() knows: cnnlua make.lua ldoc FOLDER, or cnnlua make.lua man > cnn.3
--   ldoc   a Lua file a topic, whose comments LDoc turns into HTML with the template beside this file
--   man    the page cnn(3), in mdoc

local cnn = require "cnn"

-- The topics in their order, each with its entries.
local chapters = {}
do
  local of = {}
  for _, entry in ipairs(cnn.help.entries()) do
    local topic = entry.topic
    if not of[topic] then
      of[topic] = {topic = topic}
      chapters[#chapters + 1] = of[topic]
    end
    table.insert(of[topic], entry)
  end
  table.sort(chapters, function(a, b) return a.topic.position < b.topic.position end)
end

-- Paragraphs of a text, without line breaks; lines that begin with "- " or blanks are paragraphs of their own.
local function paragraphs(text)
  local list, open = {}, false
  for line in (text .. "\n"):gmatch "(.-)\n" do
    local item = line:find "^  " or line:find "^%- "
    if not line:find "%S" then
      open = false
    elseif open and not item then
      list[#list] = list[#list] .. " " .. line:match "^%s*(.-)%s*$"
    else
      list[#list + 1] = line:match "^%s*(.-)%s*$"
      open = true
    end
  end
  return list
end

-- ---- HTML -------------------------------------------------------------------------------------------------------

local entities = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ["@"] = "&#64;"}

-- `code` becomes code, and a name that has an entry a link to it.
local function html(text)
  local function link(name)
    local plain = name:gsub("%.$", "")
    local entry = plain:find "[.:]" and cnn.help.find(plain)
    if not entry or entry.name ~= plain then return end
    return ('<a href="%s.html#%s">%s</a>%s'):format(entry.topic.name, plain, plain, name:sub(#plain + 1))
  end
  return (text:gsub("[&<>@]", entities):gsub("`([^`]*)`", "<code>%1</code>"):gsub("%f[%w_][%w_]+[.:][%w_.:]+", link))
end

local function html_text(text)
  local parts = {}
  for _, paragraph in ipairs(paragraphs(text)) do parts[#parts + 1] = "<p>" .. html(paragraph) .. "</p>" end
  return table.concat(parts, "\n-- ")
end

local function ldoc_block(add, entry)
  add("--- " .. html(entry.summary))
  add("-- @function " .. entry.name)
  add("-- @brief " .. html(entry.summary))
  add("-- @signature " .. html(entry.signature):gsub(" = ", "&nbsp;=&nbsp;"))
  add("-- @text " .. html_text(entry.text))
  for _, param in ipairs(entry.params) do
    if not param.idle then
      local cells = table.concat({html(param.name), html(param.about), html(param.text)}, "</td><td>")
      add("-- @argument <td>" .. cells .. "</td>")
    end
  end
  for _, item in ipairs(entry.returns) do
    add(("-- @result <em>%s</em> %s"):format(html(item.type), html(item.text)))
  end
  for _, text in ipairs(entry.raises) do add("-- @fault " .. html(text)) end
  if entry.usage then add("-- @usage\n-- " .. entry.usage:gsub("\n", "\n-- ")) end
  add ""
end

local function ldoc_file(chapter)
  local lines = {}
  local function add(line) lines[#lines + 1] = line end
  add(("--- %s.\n-- %s"):format(html(chapter.topic.title), html(chapter.topic.about)))
  add("-- @module " .. chapter.topic.name)
  add ""
  for _, entry in ipairs(chapter) do ldoc_block(add, entry) end
  return table.concat(lines, "\n")
end

local function make_ldoc(folder)
  for place, chapter in ipairs(chapters) do
    local file <close> = assert(io.open(("%s/%02d-%s.lua"):format(folder, place, chapter.topic.name), "w"))
    file:write(ldoc_file(chapter))
  end
end

-- ---- mdoc -------------------------------------------------------------------------------------------------------

local here = arg[0]:match "^(.*)/" or "."

-- Text of which no line is taken for a request.
local function roff(text)
  return (text:gsub("\\", "\\e"):gsub("`([^`]*)`", "%1"):gsub("^[.']", "\\&%0"):gsub("\n([.'])", "\n\\&%1"))
end

-- As one argument of a macro.
local function quoted(text)
  return '"' .. roff(text):gsub('"', '""') .. '"'
end

-- Sentences begin on new lines.
local function sentences(text)
  return roff((text:gsub("([.?!]%)?) +", "%1\n")))
end

-- The date of the other manual.
local function date()
  for line in io.lines(here .. "/../cnnlua.1") do
    if line:find "^%.Dd" then return line end
  end
end

local function add_man_entry(add, entry)
  add(".Ss " .. quoted(entry.name))
  if entry.kind ~= "field" then add(".D1 Li " .. quoted(entry.signature)) end
  for i, paragraph in ipairs(paragraphs(entry.text)) do
    if i > 1 or entry.kind ~= "field" then add ".Pp" end
    add(sentences(paragraph))
  end
  local items = {}
  local function item(name, text) items[#items + 1] = ".It " .. quoted(name) .. "\n" .. sentences(text) end
  for _, param in ipairs(entry.params) do
    local parts = param.about ~= "" and param.text ~= "" and ": " or ""
    if not param.idle then item(param.name, param.about .. parts .. param.text) end
  end
  for _, result in ipairs(entry.returns) do
    item("returns", result.type .. (result.text ~= "" and ": " or "") .. result.text)
  end
  for _, text in ipairs(entry.raises) do item("error", text) end
  if #items > 0 then add(".Pp\n.Bl -tag -width Ds -compact\n" .. table.concat(items, "\n") .. "\n.El") end
  if entry.usage then add(".Bd -literal -offset indent\n" .. roff(entry.usage) .. "\n.Ed") end
end

local function make_man()
  local lines = {}
  local function add(line) lines[#lines + 1] = line end
  add(date())
  add ".Dt CNN 3\n.Os\n.Sh NAME\n.Nm cnn\n.Nd convolutional neural networks in Lua"
  add ".Sh DESCRIPTION\nThe module of\n.Xr cnnlua 1 ,\nname by name.\nThe function\n.Li help\nshows the same."
  for _, chapter in ipairs(chapters) do
    add(".Sh " .. quoted(chapter.topic.title:upper()))
    for _, entry in ipairs(chapter) do add_man_entry(add, entry) end
  end
  add ".Sh SEE ALSO\n.Xr cnnlua 1"
  io.write(table.concat(lines, "\n"), "\n")
end

-- ---- the program ------------------------------------------------------------------------------------------------

if arg[1] == "ldoc" then make_ldoc(arg[2]) else make_man() end
