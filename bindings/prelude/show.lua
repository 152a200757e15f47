-- cnn.show: pictures in the terminal, by whatever it can draw with; in a pipe as characters without escape codes.
--
-- All sizes are in cells, the places of characters, until a line of pictures is painted: onto one canvas of pixels,
-- which the core turns into text.

local cnn = ...

local system = cnn.image.system

local most_pictures = 25
local gap = 2              -- columns between pictures
local least = 14           -- columns in which a digit can be recognised
local most_cells = 1000    -- columns or rows
local most_pixels = 1 << 24

local function fail(format, ...)
  return system.fail(("show: " .. format):format(...))
end

-- ---- where output goes ------------------------------------------------------------------------------------

local formats = {symbols = true, sixel = true, kitty = true, iterm = true, none = true}

local function environment(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

local function chosen_format(format)
  local where = "'format'"
  if format == nil then format, where = environment "CNNLUA_GRAPHICS", "CNNLUA_GRAPHICS" end
  if format == nil or formats[format] then return format end
  return fail('%s must be "symbols", "sixel", "kitty", "iterm" or "none", got %s', where, tostring(format))
end

-- What a file, or else io.output(), is: its columns and rows, a cell's width and height in pixels, the format to draw
-- pictures in, colours ("direct", "256", "16" or "none"), and whether the cursor can be moved. Multiplexers know
-- characters only, and tmux any colour.
function system.output(format, file)
  local columns, rows, width, height = system.screen(file or io.output())
  local kind = environment "TERM" or "dumb"
  local output = {
    columns = columns or 80, rows = rows or 40, format = "symbols", colors = "none",
    cell_width = width and width > 0 and width or 8, cell_height = height and height > 0 and height or 16,
    movable = columns and kind ~= "dumb",
  }
  if output.movable and not environment "NO_COLOR" then output.format, output.colors = system.abilities() end
  if environment "TMUX" and output.colors ~= "none" then output.colors = "direct" end
  if environment "TMUX" or environment "STY" or kind:find "^screen" or kind:find "^tmux" then
    output.format = "symbols"
  end
  output.format = chosen_format(format) or output.format
  if output.format == "symbols" then
    output.cell_width, output.cell_height = 8, 16
  else
    output.colors = "direct"
  end
  return output
end

-- ---- the pictures -----------------------------------------------------------------------------------------

-- The values that are black and white.
local function limits(tensor)
  if tensor:dtype() == "uint8" or tensor:dtype() == "int32" then return 0, 255 end
  local _, high = system.range(tensor)
  return 0, high and high > 2 and 255 or 1
end

local function add_tensor(pictures, tensor, where)
  local shape = tensor:shape()
  local rank, channels = #shape, shape[#shape]
  local colored = channels == 1 or channels == 3 or channels == 4
  if rank == 4 and not colored then
    fail("%s: a picture has 1, 3 or 4 channels, got %d; cnn.image.grid makes a picture of feature maps", where,
         channels)
  elseif rank < 2 or rank > 4 then
    fail("%s must have the shape {height, width}, {height, width, channels} or {count, height, width, channels}, "
         .. "got {%s}", where, table.concat(shape, ", "))
  end
  if rank == 2 then
    tensor = tensor:reshape{1, shape[1], shape[2], 1}
  elseif rank == 3 and colored then
    tensor = tensor:reshape{1, shape[1], shape[2], shape[3]}
  elseif rank == 3 then
    tensor = tensor:reshape{shape[1], shape[2], shape[3], 1}
  end
  if tensor:size() == 0 then fail("%s is empty", where) end
  local kept = math.min(#tensor, most_pictures - #pictures)
  local low, high = limits(tensor:slice(1, kept))
  for i = 1, kept do pictures[#pictures + 1] = {pixels = tensor[i], low = low, high = high} end
  pictures.count = pictures.count + #tensor
end

local function add_pictures(pictures, value, where)
  if cnn.is_tensor(value) then
    add_tensor(pictures, value, where)
  elseif type(value) == "string" and #pictures < most_pictures then
    add_tensor(pictures, cnn.image.load(value), where)
  elseif type(value) == "string" then
    pictures.count = pictures.count + 1
  else
    fail("%s must be a tensor or the name of a file, got %s", where, type(value))
  end
end

-- Pictures {pixels = [H,W,C], low =, high =}, at most as many as are shown; count is how many there are.
local function collect(images, normalize)
  local pictures = {count = 0}
  if type(images) == "table" then
    for i, item in ipairs(images) do add_pictures(pictures, item, "picture " .. i) end
    if pictures.count == 0 then fail "the list of pictures is empty" end
  else
    add_pictures(pictures, images, "'images'")
  end
  for _, picture in ipairs(normalize and pictures or {}) do
    if picture.pixels:shape()[3] == 4 then picture.pixels = cnn.image.to_rgb(picture.pixels) end
    local low, high = system.range(picture.pixels)
    picture.low, picture.high = low or 0, high and high > low and high or (low or 0) + 1
  end
  return pictures
end

-- ---- labels -----------------------------------------------------------------------------------------------

local function centred(text, columns)
  local fitted, used = system.fit_text(text, columns)
  local left = (columns - used) // 2
  return (" "):rep(left) .. fitted .. (" "):rep(columns - used - left)
end

local function label_text(value)
  if math.type(value) == "float" then return ("%.4g"):format(value) end
  return tostring(value)
end

-- Labels as texts by position; nil if there are none.
local function read_labels(labels)
  if labels == nil then return nil end
  if cnn.is_tensor(labels) then
    local shape = labels:shape()
    if #shape == 2 and shape[2] == 1 then labels = labels:reshape{shape[1]} end
    if #labels:shape() ~= 1 then fail("'labels' must have one axis, got %d", #shape) end
    labels = labels:slice(1, math.min(shape[1], most_pictures)):tolist()
  end
  if type(labels) ~= "table" then labels = {labels} end
  local texts = {}
  for i = 1, math.min(#labels, most_pictures) do
    local kind = type(labels[i])
    if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
      fail("label %d must be a string or a number, got %s", i, kind)
    end
    texts[i] = label_text(labels[i])
  end
  return texts
end

-- ---- the grid ---------------------------------------------------------------------------------------------

-- The columns that a picture takes by itself: a pixel of it is one of the screen, or half a character; small ones
-- are enlarged by a whole number.
local function natural_width(pictures, output)
  local widest = 1
  for _, picture in ipairs(pictures) do widest = math.max(widest, picture.pixels:shape()[2]) end
  local pixels = output.format == "symbols" and 1 or output.cell_width -- of a column
  local zoom = math.max(1, math.ceil(least * pixels / widest))
  return math.max(1, widest * zoom // pixels)
end

-- Rows to a column.
local function aspect_of(pictures, output)
  local aspect = 0
  for _, picture in ipairs(pictures) do
    local shape = picture.pixels:shape()
    aspect = math.max(aspect, shape[1] / shape[2])
  end
  return math.min(aspect, 2) * output.cell_width / output.cell_height
end

local function rows_of(width, aspect)
  return math.min(math.max(math.ceil(width * aspect - 1e-6), 1), most_cells)
end

-- The grid in which pictures are largest and fit the height; where none fits, the lowest in which they can still be
-- recognised. Of equal ones that with the fewest places left over, then with the fewest columns.
local function arrange(pictures, output, o)
  local wanted = (o.width or o.height) and most_cells or natural_width(pictures, output)
  local aspect = aspect_of(pictures, output)
  local width = math.min(o.width or output.columns, most_cells)
  local free = o.width and (o.columns or #pictures == 1)
  local height = o.height or free and math.huge or output.rows - 2
  if o.title then height = height - 1 end
  local best
  for columns = math.min(o.columns or 1, #pictures), math.min(o.columns or #pictures, #pictures) do
    local each = math.min(wanted, (width - gap * (columns - 1)) // columns)
    local lines = math.ceil(#pictures / columns)
    local function fits() return lines * (rows_of(each, aspect) + 1) - (o.labels and 0 or 1) <= height end
    while each > (o.height and 1 or math.min(wanted, least)) and not fits() do each = each - 1 end
    if best and each < math.min(wanted, least) then break end
    local grid = {columns = columns, width = math.max(each, 1), fits = fits(), left = lines * columns - #pictures}
    if not best or (grid.fits or not best.fits) and
       (grid.fits ~= best.fits or not grid.fits or grid.width > best.width or
        grid.width == best.width and grid.left < best.left) then
      best = grid
    end
  end
  best.rows = rows_of(best.width, aspect)
  return best
end

-- ---- painting ---------------------------------------------------------------------------------------------

-- The picture in a size that fits into the box, as it is pasted.
local function resized(picture, width, height)
  local shape = picture.pixels:shape()
  local scale = math.min(width / shape[2], height / shape[1])
  local size = {math.max(1, math.min(height, math.floor(shape[1] * scale + 0.5))),
                math.max(1, math.min(width, math.floor(shape[2] * scale + 0.5)))}
  local pixels = picture.pixels
  if pixels:dtype() ~= "uint8" and pixels:dtype() ~= "float32" then pixels = pixels:astype "float32" end
  local smooth = scale > 1 and shape[2] > 64
  return cnn.image.resize{pixels, size, interpolation = smooth and "bilinear" or "area"}, size
end

-- Pictures side by side, each at the bottom of its place, as text of whole lines.
local function paint(pictures, first, last, grid, output)
  local columns = grid.columns * (grid.width + gap) - gap
  local cell_width, cell_height = output.cell_width, output.cell_height
  while columns * cell_width * grid.rows * cell_height > most_pixels do
    cell_width, cell_height = cell_width // 2, cell_height // 2
  end
  local width, height = grid.width * cell_width, grid.rows * cell_height
  local canvas = cnn.zeros({height, columns * cell_width, 4}, "uint8")
  for i = first, last do
    local picture = pictures[i]
    local pixels, size = resized(picture, width, height)
    local left = (i - first) * (grid.width + gap) * cell_width + (width - size[2]) // 2
    system.paste(canvas, pixels, height - size[1], left, picture.low, picture.high)
  end
  local text = system.draw(canvas, columns, grid.rows, output.format, output.colors, cell_width, cell_height)
  if output.colors == "none" and output.format == "symbols" then text = text:gsub(" +%f[\n\0]", "") end
  return text .. "\n"
end

local function draw(pictures, output, o)
  local grid = arrange(pictures, output, o)
  local total = grid.columns * (grid.width + gap) - gap
  if o.title then io.write((centred(o.title, total):gsub(" +$", "")), "\n") end
  for first = 1, #pictures, grid.columns do
    local last = math.min(first + grid.columns - 1, #pictures)
    io.write(paint(pictures, first, last, grid, output))
    if o.labels then
      local line = {}
      for i = first, last do line[#line + 1] = centred(o.labels[i] or "", grid.width) end
      io.write((table.concat(line, (" "):rep(gap)):gsub(" +$", "")), "\n")
    elseif last < #pictures then
      io.write "\n"
    end
  end
  if pictures.count > #pictures then
    io.write(("(the first %d of %d)\n"):format(#pictures, pictures.count))
  end
end

-- ---- the function -----------------------------------------------------------------------------------------

local checked, count_in = system.checks.checked, system.checks.count_in

local function anything(value) return value end

local checks = {
  images = anything, labels = anything, format = anything, -- looked at where they are used
  columns = count_in(1, most_pictures), width = count_in(1, most_cells), height = count_in(1, most_cells),
  normalize = system.checks.boolean,
  title = function(value) return type(value) == "string" and value or nil, "a string" end,
}

local function read_options(given)
  local o = {}
  for name, value in pairs(given) do
    if type(name) == "string" then o[name] = checked("show", checks, name, value) end
  end
  o.labels = read_labels(o.labels)
  return o
end

--- Draws pictures in the terminal.
-- As sixels, by the protocols of kitty and iTerm, or as coloured characters: whichever the terminal is known for by its
-- environment; in tmux and screen as characters, in a pipe or a file as characters without colours. The variable
-- CNNLUA_GRAPHICS or `format` say otherwise, NO_COLOR takes colours away. Several pictures make a grid that fits the
-- terminal; of many the first 25 are shown.
--
-- A tensor of 2 axes is a grey picture {height, width}; one of 3 is a picture {height, width, channels} if the last has
-- 1, 3 or 4 places, and else grey pictures {count, height, width}; one of 4 is {count, height, width, channels}. (So
-- grey pictures only 1, 3 or 4 wide need the axis of channels: `x:expand_dims(-1)`.) Of uint8 and int32, 255 is white;
-- of float32 it is 1, or 255 where a value is above 2. What is darker than black is black.
-- @function cnn.show
-- @tparam tensor|string|{tensor|string,...} images pictures or names of files
-- @tparam[opt] {string|number,...}|tensor labels stand under the pictures
-- @tparam[opt] int columns of the grid
-- @tparam[opt] int width of all, in characters; default: as large as the pictures are, and at most the terminal
-- @tparam[opt] int height of all, in lines
-- @tparam[opt=false] bool normalize each picture's smallest value becomes black and its largest white
-- @tparam[opt] string title above
-- @tparam[opt] string format "symbols", "sixel", "kitty", "iterm", or "none" to draw nothing
-- @raise what is no picture, a file that cannot be read, libchafa missing
-- @usage
-- cnn.show(cnn.eye(4), {width = 4})
-- --> ▀▄
-- -->   ▀▄
-- x = cnn.random.uniform{9, 28, 28}
-- cnn.show{x, labels = cnn.arange(9), title = "noise"}
-- cnn.show(x[1], {normalise = true})
-- --> error: show: unknown argument 'normalise' (did you mean 'normalize'?)
function cnn.show(images, given, ...)
  if type(images) == "table" and given == nil then images, given = images.images or images, images end
  if given ~= nil and type(given) ~= "table" or select("#", ...) > 0 then
    fail 'expected pictures and a table of options, as in show(x, {labels = y})'
  end
  local o = read_options(given or {})
  local output = system.output(o.format)
  local pictures = collect(images, o.normalize)
  if output.format ~= "none" then draw(pictures, output, o) end
end

cnn.image.system = nil
