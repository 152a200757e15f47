-- A model drawn as a graph, by Graphviz's program dot.

local cnn = ...

local formats = {svg = true, png = true, pdf = true}

-- A text within a record of dot's language.
local function escaped(text)
  return (tostring(text):gsub('[\\"{}<>|]', "\\%0"))
end

local function shape_text(shape)
  local sizes = {}
  for i, size in ipairs(shape) do sizes[i] = size < 0 and "None" or tostring(size) end
  return "(" .. table.concat(sizes, ", ") .. (#sizes == 1 and ",)" or ")")
end

-- A box with the layer's name and class, and below them, if asked for, the shape of what it makes.
local function node(model, layer, shapes)
  local title = escaped(layer.name) .. "\\n" .. escaped(layer.class_name)
  if not shapes then return ('  "%s" [label="%s"];'):format(escaped(layer.name), title) end
  return ('  "%s" [shape=record, label="{%s|{output|%s}}"];'):format(escaped(layer.name), title,
    escaped(shape_text(model:layer_output(layer.name):shape())))
end

-- The drawing in dot's language: the model's layers from top to bottom.
local function describe(model, options)
  local lines = {
    "digraph model {",
    ("  rankdir=%s;"):format(options.rankdir),
    '  node [shape=box, fontname="Helvetica", fontsize=11]; edge [arrowsize=0.7];',
  }
  for _, layer in ipairs(model.layers) do lines[#lines + 1] = node(model, layer, options.show_shapes) end
  for _, edge in ipairs(model:connections()) do
    lines[#lines + 1] = ('  "%s" -> "%s";'):format(escaped(edge[1]), escaped(edge[2]))
  end
  lines[#lines + 1] = "}\n"
  return table.concat(lines, "\n")
end

local function quoted(path)
  return "'" .. path:gsub("'", "'\\''") .. "'"
end

--- Draws a model as a graph of its layers, by the program dot of the package graphviz.
-- @function cnn.plot_model
-- @tparam model model one that is built
-- @tparam[opt="model.png"] string to_file ends in .svg, .png or .pdf, and appears whole or not at all
-- @tparam[opt=false] bool show_shapes write each layer's output shape
-- @tparam[opt="TB"] string rankdir "TB" from top to bottom, "LR" from left to right
-- @treturn string the file's name
-- @raise another ending, dot is missing, or the file cannot be written
-- @usage norun
-- model = cnn.Sequential{layers.Dense{2, input_shape = {3}}}
-- cnn.plot_model{model, to_file = "model.svg", show_shapes = true}  --> model.svg
function cnn.plot_model(model, to_file, arguments)
  if type(model) == "table" then
    arguments = model
    model, to_file = arguments[1] or arguments.model, arguments[2] or arguments.to_file
  end
  arguments = arguments or {}
  to_file = to_file or "model.png"
  local format = to_file:match "%.(%w+)$"
  if not formats[format] then
    error(("plot_model: '%s' must end in .svg, .png or .pdf"):format(to_file), 2)
  end
  if not os.execute "command -v dot >/dev/null" then
    error("plot_model: the program dot is missing; it is in the package graphviz", 2)
  end
  local text = describe(model, {show_shapes = arguments.show_shapes, rankdir = arguments.rankdir or "TB"})
  local beside = to_file .. ".part"
  local dot = assert(io.popen(("dot -T%s -o %s"):format(format, quoted(beside)), "w"))
  dot:write(text)
  if not dot:close() then
    os.remove(beside)
    error(("plot_model: dot could not write '%s'"):format(to_file), 2)
  end
  local renamed, why = os.rename(beside, to_file)
  if not renamed then
    os.remove(beside)
    error("plot_model: " .. why, 2)
  end
  return to_file
end
