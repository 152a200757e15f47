-- help(): the documentation at the prompt. What is done and all that is said is compiled in as two more chunks, which
-- the first call loads.

local cnn = ...

local system, screen = cnn.help, cnn.image.system.screen
local help = {}
cnn.help = help

local loaded

local function inside()
  loaded = loaded or system.chunk "help"(cnn, system, screen)
  return loaded
end

--- Shows the documentation of a name or a value.
-- Without an argument, shows what there is. A name is a topic ("layers"), a full name ("cnn.random.normal") or the end
-- of one ("normal", "model:fit", "Conv2D"); where several end so, they are listed, and a word that is no name is looked
-- for in all texts. A value is a function, a part of the module, or an object, whose class is told of.
-- The page goes to the standard output, as wide as the terminal, or COLUMNS.
--
-- In the program it is also the global `help`.
-- @function cnn.help
-- @tparam[opt] any what a name or a value
-- @usage
-- cnn.help "cnn.version"
-- --> cnn.version
-- --> ...
setmetatable(help, {__call = function(_, ...) io.write(inside().page(...)) end})

--- The entry of a name or a value: what help shows, as a table.
-- Its fields are name, kind ("function", "method", "class", "field" or "object"), signature, summary, text, usage,
-- source, and the lists params (of tables with name, type, text, default, optional, low, high), returns (of tables with
-- type and text) and raises.
-- @function cnn.help.find
-- @tparam any what as help takes it; of several entries with this name it is the first
-- @treturn table|nil
-- @usage
-- cnn.help.find("Dense").name                --> cnn.layers.Dense
-- cnn.help.find(layers.Dense).params[1].name --> units
-- cnn.help.find "Danse"                      --> nil
function help.find(what)
  return inside().find(what)
end

--- The names of a function's arguments, in the order of their positions.
-- @function cnn.help.arguments
-- @tparam any what as help takes it
-- @treturn table|nil
-- @usage
-- cnn.help.arguments(layers.Dropout)[1]      --> rate
-- cnn.help.arguments "nothing"               --> nil
function help.arguments(what)
  local entry = help.find(what)
  if not entry or entry.kind == "field" or entry.kind == "object" then return nil end
  local names = {}
  for _, param in ipairs(entry.params) do
    if not param.idle then names[#names + 1] = param.name end
  end
  return names
end

--- All entries, sorted by name.
-- @function cnn.help.entries
-- @treturn {table,...} as `cnn.help.find` gives them
-- @usage
-- #cnn.help.entries() > 100                  --> true
function help.entries()
  return inside().entries()
end
