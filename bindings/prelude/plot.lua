-- Plots. Pictures of them are drawn by gnuplot: a script of commands and data goes to it through a temporary file, and
-- what it drew comes back through another and is then put in place whole, or into the terminal. Nothing of the caller's
-- reaches a shell, and texts reach gnuplot only as quoted strings that it takes literally. Where a terminal has no
-- pixels, chart.lua draws.

local cnn = ...

local system = cnn.image.system

-- Distinguishable also for the colour-blind: M. Okabe and K. Ito, Color Universal Design, 2008.
local palette = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"}

local function fail(format, ...)
  return system.fail(("plot: " .. format):format(...))
end

-- ---- checking arguments -----------------------------------------------------------------------------------

-- Each takes a value and gives it back, or nil and what was expected.
local function text(value)
  if type(value) == "number" then value = tostring(value) end
  return type(value) == "string" and value or nil, "a string"
end

local function boolean(value)
  if type(value) ~= "boolean" then return nil, "true or false" end
  return value
end

local function count_in(low, high)
  return function(value)
    local n = math.type(value) and math.tointeger(value)
    return n and n >= low and n <= high and n or nil, ("an integer from %d to %d"):format(low, high)
  end
end

local function limits(value)
  local good = type(value) == "table" and #value == 2
  for i = 1, good and 2 or 0 do
    good = good and math.type(value[i]) and value[i] - value[i] == 0
  end
  return good and value[1] < value[2] and value or nil, "{from, to}, two numbers in ascending order"
end

local function list_of(what, check)
  return function(value)
    if type(value) ~= "table" then value = {value} end
    local list = {}
    for i, item in ipairs(value) do
      list[i] = check(item)
      if not list[i] then return nil, what end
    end
    return (#list > 0 or what == "names") and list or nil, what
  end
end

local function one_of(...)
  local words = {...}
  local list = '"' .. table.concat(words, '", "') .. '"'
  for _, word in ipairs(words) do words[word] = word end
  return function(value) return words[value], "one of " .. list end
end

local function color(value)
  return type(value) == "string" and (value:find "^#%x%x%x%x%x%x$" or value:find "^%a[%w%-]*$") and value or nil
end

local styles = {"lines", "points", "linespoints", "bars"}
local checks = {
  title = text, xlabel = text, ylabel = text, file = text,
  legend = list_of("names", text), colors = list_of('names or "#RRGGBB"', color),
  style = list_of('"' .. table.concat(styles, '", "') .. '" or a list of them',
                  one_of(table.unpack(styles))),
  logx = boolean, logy = boolean, grid = boolean, xlim = limits, ylim = limits,
  kind = one_of("lines", "hist"), bins = count_in(1, 10000),
  width = count_in(100, 10000), height = count_in(100, 10000),
}

-- What a table of checks makes of an argument.
local function checked(who, all, name, value)
  if not all[name] then system.unknown(who, "unknown argument", name, all) end
  local result, expected = all[name](value)
  if result == nil then
    system.fail(("%s: '%s' must be %s, got %s"):format(who, name, expected, system.describe(value)))
  end
  return result
end

system.checks = {checked = checked, boolean = boolean, count_in = count_in} -- for show.lua

-- ---- series -----------------------------------------------------------------------------------------------

-- A series has y and x, lists of numbers where NaN is a gap; in a histogram `values`, a tensor.

local nan = 0 / 0

local function number_of(value, where, i)
  if type(value) == "number" then return value - value == 0 and value or nan end
  if value == cnn.null then return nan end
  return fail("%s: value %d must be a number, got %s", where, i, system.describe(value))
end

local function numbers(values, where)
  if cnn.is_tensor(values) then values = values:reshape{-1}:tolist() end
  if type(values) ~= "table" then
    fail("%s must be a list of numbers or a tensor, got %s", where, system.describe(values))
  end
  local list = {}
  for i = 1, #values do list[i] = number_of(values[i], where, i) end
  return list
end

local function check_rank(values, where)
  if cnn.is_tensor(values) and #values:shape() > 1 then
    fail("%s must have one axis, got %d", where, #values:shape())
  end
end

-- Positions 1, 2, … and their names where x is a list of strings.
local function positions(x, count, where)
  local list, names = {}, nil
  if x == nil or type(x) == "table" and type(x[1]) == "string" then
    for i = 1, count do list[i] = i end
    names = x
  else
    list = numbers(x, where .. ": x")
  end
  if x and #x ~= count then fail("%s: x has %d values, but y has %d", where, #x, count) end
  return list, names
end

local function is_series_table(value)
  return type(value) == "table" and (value.y ~= nil or value.x ~= nil)
end

local function line_series(given, where)
  local x, y, label = nil, given, nil
  if is_series_table(given) then
    for key in pairs(given) do
      if key ~= "x" and key ~= "y" and key ~= "label" then
        fail("%s: unknown field '%s'; a series has x, y and label", where, system.describe(key))
      end
    end
    x, y, label = given.x, given.y, given.label
    if y == nil then fail("%s: y is missing", where) end
  end
  check_rank(y, where)
  check_rank(x, where .. ": x")
  local list = numbers(y, where)
  local at, names = positions(x, #list, where)
  return {x = at, y = list, names = names, label = label and text(label)}
end

local function hist_series(given, where)
  local label
  if is_series_table(given) then given, label = given.y, given.label end
  if not cnn.is_tensor(given) then given = cnn.tensor(numbers(given, where)) end
  return {values = given, label = label and text(label)}
end

-- The smallest and largest finite value of lists, or nothing.
local function extent(lists)
  local low, high
  for _, list in ipairs(lists) do
    for _, value in ipairs(list) do
      if value == value then
        low, high = math.min(low or value, value), math.max(high or value, value)
      end
    end
  end
  return low, high
end

local function field(series, name)
  local lists = {}
  for i, s in ipairs(series) do lists[i] = s[name] end
  return lists
end

-- Counts in common bins take the place of the values.
local function count_bins(series, bins, limit)
  local low, high = math.huge, -math.huge
  for _, s in ipairs(series) do
    local from, to = system.range(s.values)
    if from then low, high = math.min(low, from), math.max(high, to) end
  end
  if limit then low, high = limit[1], limit[2] end
  if low > high then low, high = 0, 1 end
  if low == high then low, high = low - 0.5, high + 0.5 end
  local width = (high - low) / bins
  for _, s in ipairs(series) do
    s.y, s.x = system.histogram(s.values, low, high, bins), {}
    for i = 1, bins do s.x[i] = low + (i - 0.5) * width end
  end
  return low, high
end

-- Arguments, checked, as one panel of a picture.
local function read_panel(arguments)
  local panel = {series = {}}
  for key, value in pairs(arguments) do
    if type(key) == "string" then
      panel[key] = checked("plot", checks, key, value)
    elseif math.type(key) ~= "integer" or key < 1 or key > #arguments then
      fail("an argument has the name %s", system.describe(key))
    end
  end
  if panel.grid == nil then panel.grid = true end
  panel.kind = panel.kind or "lines"
  local given = type(arguments[1]) == "number" and {arguments} or arguments
  if #given == 0 then fail "expected at least one series, as in plot{{3, 2, 1}, title = \"loss\"}" end
  for i = 1, #given do
    local read = panel.kind == "hist" and hist_series or line_series
    panel.series[i] = read(given[i], "series " .. i)
  end
  for i, s in ipairs(panel.series) do
    s.label = s.label or panel.legend and panel.legend[i]
    local colors, style = panel.colors or palette, panel.style or {"lines"}
    s.color = colors[(i - 1) % #colors + 1]
    s.style = panel.kind == "hist" and "hist" or style[(i - 1) % #style + 1]
    panel.names = panel.names or s.names
    panel.has_bars = panel.has_bars or s.style == "bars"
    panel.has_points = panel.has_points or s.style == "points"
  end
  if panel.legend and #panel.legend > #panel.series then
    fail("'legend' has %d names for %d series", #panel.legend, #panel.series)
  end
  return panel
end

-- ---- gnuplot's language -----------------------------------------------------------------------------------

-- Text as an expression of single-quoted strings, in which gnuplot interprets nothing. Control characters
-- other than newlines become spaces, bytes that are not UTF-8 question marks.
local function quote(s)
  local at = 1
  while true do
    local good, bad = utf8.len(s, at)
    if good then break end
    s, at = s:sub(1, bad - 1) .. "?" .. s:sub(bad + 1), bad + 1
  end
  s = s:gsub("[%z\1-\9\11-\31\127]", " "):gsub("'", "''"):gsub("\n", "'.\"\\n\".'")
  return "('" .. s .. "')"
end

local function plain_number(x)
  return x ~= x and "NaN" or ("%.12g"):format(x)
end

local function all_whole(lists)
  for _, list in ipairs(lists) do
    for _, value in ipairs(list) do
      if value ~= math.floor(value) then return false end
    end
  end
  return true
end

-- The smallest distance of neighbouring bars.
local function spacing(series)
  local least
  for _, s in ipairs(series) do
    local x = table.move(s.x, 1, #s.x, 1, {})
    for i = #x, 1, -1 do
      if x[i] ~= x[i] then table.remove(x, i) end
    end
    table.sort(x)
    for i = 2, #x do
      local distance = x[i] - x[i - 1]
      if distance > 0 then least = math.min(least or distance, distance) end
    end
  end
  return least or 1
end

-- The range of an axis that shows all values, with room where the drawing needs it.
local function axis_range(lists, given, log, room)
  if given then return given[1], given[2] end
  if log then
    for i, list in ipairs(lists) do
      local positive = {}
      for _, value in ipairs(list) do positive[#positive + 1] = value > 0 and value or nil end
      lists[i] = positive
    end
  end
  local low, high = extent(lists)
  if not low then return log and 0.1 or 0, 1 end
  if log then
    local factor = low == high and 2 or (high / low) ^ room
    return low / factor, high * factor
  end
  local margin = low == high and (low == 0 and 0.5 or math.abs(low) * 0.1) or (high - low) * room
  return low - margin, high + margin
end

-- ---- where the legend goes --------------------------------------------------------------------------------

-- Calls f with points along the lines, both coordinates from 0 to 1 across the picture.
local function trace(panel, f)
  for _, s in ipairs(panel.series) do
    local px, py
    local every = math.max(1, #s.y // 2000)
    for i = 1, #s.y, every do
      local x, y = system.share(s.x[i], panel.x_range, panel.logx), system.share(s.y[i], panel.y_range, panel.logy)
      local steps = px == px and py == py and px and s.style ~= "points" and 8 or 1
      for k = 1, steps do
        f(px and x - (x - px) * (steps - k) / steps or x, py and y - (y - py) * (steps - k) / steps or y)
      end
      if s.style == "bars" or s.style == "hist" then
        for k = 1, 4 do f(x, y * k / 4) end
      end
      px, py = x, y
    end
  end
end

-- The corner with the fewest of them.
local function legend_corner(panel, entries)
  local tall, wide = math.min(0.5, 0.08 + 0.07 * entries), 0.4
  local crowd = {["top right"] = 0, ["bottom right"] = 0, ["top left"] = 0, ["bottom left"] = 0}
  trace(panel, function(x, y)
    for corner in pairs(crowd) do
      local inside_x = corner:find "right" and x > 1 - wide or corner:find "left" and x < wide
      local inside_y = corner:find "top" and y > 1 - tall or corner:find "bottom" and y < tall
      if inside_x and inside_y then crowd[corner] = crowd[corner] + 1 end
    end
  end)
  local best = "top right"
  for _, corner in ipairs {"bottom right", "top left", "bottom left"} do
    if crowd[corner] < crowd[best] then best = corner end
  end
  return best, crowd[best] > 0
end

local key_box = "samplen 2 opaque fillcolor rgb '#ffffff' box lc rgb '#cccccc' lw 1 height 0.4 width 0.5"

local function legend_command(panel)
  local entries = 0
  for _, s in ipairs(panel.series) do
    if s.label and s.label ~= "" then entries = entries + 1 end
  end
  if entries == 0 then return "unset key" end
  local corner, crowded = legend_corner(panel, entries)
  if crowded then return "set rmargin -1; set key outside right top vertical Left reverse " .. key_box end
  return ("set key %s vertical Left reverse %s"):format(corner, key_box)
end

-- ---- one panel --------------------------------------------------------------------------------------------

local function write_data(out, name, s)
  out(name .. " << EOD")
  for i = 1, #s.y do out(plain_number(s.x[i]) .. " " .. plain_number(s.y[i])) end
  if #s.y == 0 then out "NaN NaN" end
  out "EOD"
end

local function series_command(s, i, name, bars)
  local look
  if s.style == "hist" then
    look = ("using 1:2 with boxes fs transparent solid 0.45 border lc rgb '%s' lc rgb '%s'"):format(
      s.color, s.color)
  elseif s.style == "bars" then
    local offset = (bars.index[i] - (bars.count + 1) / 2) * bars.width
    look = ("using ($1+%.12g):2:(%.12g) with boxes fs solid 1 noborder lc rgb '%s'"):format(
      offset, bars.width * 0.94, s.color)
  elseif s.style == "points" or #s.y == 1 then
    look = ("using 1:2 with points pt 7 ps 0.7 lc rgb '%s'"):format(s.color)
  elseif s.style == "linespoints" then
    look = ("using 1:2 with linespoints lw 2 pt 7 ps 0.6 lc rgb '%s'"):format(s.color)
  else
    look = ("using 1:2 with lines lw 2 lc rgb '%s'"):format(s.color)
  end
  local label = s.label and s.label ~= "" and "title " .. quote(s.label) or "notitle"
  return name .. " " .. look .. " " .. label
end

-- How wide bars are that stand side by side, and which of them a series is.
local function arrange_bars(panel)
  local bars = {count = 0, index = {}}
  local with_bars = {}
  for i, s in ipairs(panel.series) do
    if s.style == "bars" then
      bars.count = bars.count + 1
      bars.index[i] = bars.count
      with_bars[bars.count] = s
    end
  end
  bars.group = spacing(with_bars)
  bars.width = bars.group * 0.8 / math.max(bars.count, 1)
  return bars
end

-- Works out what is drawn from what was given: the panel's x_range and y_range, whether x has whole numbers only, and
-- its bars.
local function arrange(panel)
  local bars = arrange_bars(panel)
  panel.bars = bars
  if panel.kind == "hist" then
    local low, high = count_bins(panel.series, panel.bins or 30, panel.xlim)
    panel.x_range = {low, high}
    bars.width = (high - low) / #panel.series[1].x
  else
    panel.x_whole = not panel.logx and all_whole(field(panel.series, "x"))
    local low, high = extent(field(panel.series, "x"))
    local room = panel.has_points and 0.03 or 0
    panel.x_range = {axis_range(field(panel.series, "x"), panel.xlim, panel.logx, room)}
    if panel.has_bars and not panel.xlim and not panel.logx and low then
      panel.x_range = {low - bars.group * 0.6, high + bars.group * 0.6}
    end
  end
  panel.y_range = {axis_range(field(panel.series, "y"), panel.ylim, panel.logy, 0.05)}
  if not panel.ylim and not panel.logy and (panel.has_bars or panel.kind == "hist") then
    local low, high = extent(field(panel.series, "y"))
    low, high = math.min(low or 0, 0), math.max(high or 0, 0)
    if low == high then high = 1 end
    panel.y_range = {low < 0 and low * 1.05 or 0, high > 0 and high * 1.05 or 0}
  end
  for _, name in ipairs {"x", "y"} do
    if panel["log" .. name] and panel[name .. "_range"][1] <= 0 then
      fail("'%slim' must be above 0 on a logarithmic axis, got %g", name, panel[name .. "_range"][1])
    end
  end
end

-- A panel as chart.lua draws it.
function system.panel(arguments)
  local panel = read_panel(arguments)
  arrange(panel)
  return panel
end

local function axis_commands(out, panel, columns)
  for _, axis in ipairs {"x", "y"} do
    local range, label = panel[axis .. "_range"], panel[axis .. "label"]
    out(("set %srange [%.12g:%.12g]"):format(axis, range[1], range[2]))
    if panel["log" .. axis] then
      out(("set logscale %s"):format(axis))
      out(("set format %s '%%.6g'"):format(axis))
    end
    if label then out(("set %slabel %s"):format(axis, quote(label))) end
  end
  if panel.names then
    local ticks = {}
    for i, name in ipairs(panel.names) do ticks[i] = quote(tostring(name)) .. " " .. i end
    out("set xtics scale 0 (" .. table.concat(ticks, ", ") .. ")")
  elseif panel.x_whole then
    out(("set xtics %d"):format(math.max(1, system.round_step(panel.x_range[2] - panel.x_range[1], columns))))
  end
  if not panel.logy and (panel.kind == "hist" or panel.has_bars) and all_whole(field(panel.series, "y")) then
    local span = panel.y_range[2] - panel.y_range[1]
    if span < 6 then out "set ytics 1" end
  end
end

local function panel_commands(out, panel, number, device)
  out "reset"
  out "set border 3 lw 1 lc rgb '#444444'"
  out "set rmargin 3"
  out "set tics nomirror textcolor rgb '#222222'"
  if panel.grid then
    local ticks = (panel.has_bars or panel.kind == "hist") and "ytics" or "xtics ytics"
    out(("set grid %s back lt 1 lc rgb '#dddddd' lw 1"):format(ticks))
  end
  if panel.title then out("set title " .. quote(panel.title) .. " textcolor rgb '#000000'") end
  axis_commands(out, panel, device.ticks)
  out(legend_command(panel))
  if panel.kind == "hist" then out(("set boxwidth %.12g"):format(panel.bars.width)) end
  local commands = {}
  for i, s in ipairs(panel.series) do
    local name = ("$series_%d_%d"):format(number, i)
    write_data(out, name, s)
    commands[i] = series_command(s, i, name, panel.bars)
  end
  if (panel.has_bars or panel.kind == "hist") and panel.y_range[1] < 0 then
    out "set xzeroaxis lt 1 lc rgb '#444444'"
  end
  out("plot " .. table.concat(commands, ", \\\n     "))
end

-- ---- drawing ----------------------------------------------------------------------------------------------

local devices = {
  png = "pngcairo noenhanced color background rgb 'white' font 'sans,11' fontscale %.3g size %d,%d",
  svg = "svg noenhanced background rgb 'white' font 'sans,14' fontscale %.3g size %d,%d",
  pdf = "pdfcairo noenhanced color background rgb 'white' font 'sans,11' fontscale %.3g size %.4gin,%.4gin",
}

-- What gnuplot is to draw on, by the ending of a file's name.
local function choose_device(ending, width, height, scale)
  local inch = ending == "pdf" and 96 or 1
  if ending == "pdf" then scale = scale * 0.75 end
  return {terminal = devices[ending]:format(scale, width / inch, height / inch), ticks = math.max(width // 70, 2)}
end

-- Runs gnuplot's commands; returns what `take` makes of the file that it drew.
local function run_gnuplot(who, device, commands, take)
  local script_name, drawn_name = os.tmpname(), os.tmpname()
  local function attempt()
    local file = assert(io.open(script_name, "wb"))
    assert(file:write("set encoding utf8\nset terminal ", device.terminal, "\nset output '", drawn_name, "'\n",
                      table.concat(commands, "\n"), "\nunset output\n"))
    assert(file:close())
    local pipe = assert(io.popen(("LC_ALL=C.UTF-8 gnuplot -d %s 2>&1 </dev/null"):format(script_name)))
    local messages = pipe:read "a"
    local good, _, code = pipe:close()
    if code == 127 then
      return nil, "the program gnuplot is not installed; on Debian it is in the package gnuplot-nox"
    end
    local drawn <close> = assert(io.open(drawn_name, "rb"))
    if not good or drawn:seek "end" == 0 then return nil, "gnuplot failed: " .. messages:gsub("%s+$", "") end
    return take(drawn_name)
  end
  local done, result, message = pcall(attempt)
  os.remove(script_name)
  os.remove(drawn_name)
  if done and result then return result end
  system.fail(who .. ": " .. (done and message or result))
end

-- Panels side by side, drawn by gnuplot.
local function draw_picture(panels, device, take)
  local lines = {}
  local function out(line) lines[#lines + 1] = line end
  device.ticks = math.max(device.ticks // #panels, 2)
  if #panels > 1 then out(("set multiplot layout 1,%d"):format(#panels)) end
  for i, panel in ipairs(panels) do panel_commands(out, panel, i, device) end
  if #panels > 1 then out "unset multiplot" end
  return run_gnuplot("plot", device, lines, take)
end

local function read_file(name)
  local file <close> = assert(io.open(name, "rb"))
  return file:read "a"
end

local function ending_of(who, file)
  local ending = (file:match "%.(%a+)$" or ""):lower()
  if not devices[ending] then system.fail(("%s: %s: the name must end in .png, .svg or .pdf"):format(who, file)) end
  return ending
end

-- For explain.lua: draws what gnuplot's commands say, in so many pixels, to a file; texts in them went through quote.
system.quote = quote
function system.gnuplot(who, file, width, height, commands)
  local device = choose_device(ending_of(who, file), width, height, 1)
  system.write_file(who, file, run_gnuplot(who, device, commands, read_file))
end

local narrowest = 36 -- columns of a panel of text

-- A character stands for 10 by 20 pixels.
local function draw_in_terminal(panels, width, height)
  local output = system.output()
  local columns = math.max(math.min(width // 10, output.columns - 1), 20)
  local rows = math.max(math.min(height // 20, output.rows - 2), 8)
  if output.format == "none" then return end
  if output.format ~= "symbols" then
    local device = choose_device("png", columns * output.cell_width, rows * output.cell_height,
                                 output.cell_height / 20)
    return cnn.show(draw_picture(panels, device, cnn.image.load), {width = columns, height = rows})
  end
  local beside = math.max(1, math.min(#panels, columns // narrowest))
  for first = 1, #panels, beside do
    local some = table.move(panels, first, math.min(first + beside - 1, #panels), 1, {})
    io.write(table.concat(system.chart(some, columns, rows, output.colors), "\n"), "\n")
  end
end

-- Draws panels side by side, to a file or the terminal.
local function draw(panels, file, width, height)
  local ending = file and ending_of("plot", file)
  for _, panel in ipairs(panels) do arrange(panel) end
  if not file then return draw_in_terminal(panels, width, height) end
  system.write_file("plot", file, draw_picture(panels, choose_device(ending, width, height, 1), read_file))
  return file
end

-- ---- the functions ----------------------------------------------------------------------------------------

local plotting = {}

--- Plots lines, points, bars or histograms, in the terminal or to a file.
-- Each positional argument is a series: a list of numbers, a tensor of one axis, or {x = …, y = …, label = …}. Without
-- x the values stand at 1, 2, …; strings as x name the places. What is not a finite number leaves a gap. A history,
-- as fit returns it, is drawn by cnn.plot.history.
--
-- In a terminal that shows pictures (see cnn.show) the plot is one; in others, and in a pipe, it is drawn of
-- characters, one for every 10 by 20 pixels, and no larger than the terminal.
-- @function cnn.plot
-- @tparam {number,...}|tensor|table series one or several
-- @tparam[opt] {string,...} legend names of the series
-- @tparam[opt] string title
-- @tparam[opt] string xlabel
-- @tparam[opt] string ylabel
-- @tparam[opt="lines"] string|{string,...} style "lines", "points", "linespoints" or "bars"; a list of them, by series
-- @tparam[opt] {string,...} colors "#RRGGBB" or names, by series
-- @tparam[opt=false] bool logx a logarithmic axis
-- @tparam[opt=false] bool logy
-- @tparam[opt] {number,number} xlim from and to
-- @tparam[opt] {number,number} ylim
-- @tparam[opt=true] bool grid lines across the picture
-- @tparam[opt="lines"] string kind "hist" counts how often values, of tensors of any shape, fall into equal bins
-- @tparam[opt=30] int bins
-- @tparam[opt] string file ends in .png, .svg or .pdf, and appears whole or not at all
-- @tparam[opt=800] int width in pixels
-- @tparam[opt=500] int height
-- @treturn string the file's name; nothing without one
-- @raise a file is to be drawn and gnuplot is not installed, or the file cannot be written
-- @usage
-- cnn.plot{{0, 1}, width = 200, height = 160}
-- --> 1┤               ⢀⡠⠔
-- --> ...
-- --> 0┤⠔⠊⠁
-- -->  └┬────────────────┬
-- -->   1                2
-- cnn.plot{{3, 2, 1.5}, {3.2, 2.4, 2.2}, legend = {"loss", "val_loss"}, xlabel = "epoch"}
-- cnn.plot{{x = {"cat", "dog"}, y = {3, 5}}, style = "bars", ylim = {0, 6}}
-- cnn.plot{cnn.random.normal{1000}, kind = "hist", bins = 20, title = "normal"}
-- cnn.plot{{1, 2}, titel = "t"}
-- --> error: plot: unknown argument 'titel' (did you mean 'title'?)
local function plot(_, arguments, ...)
  if cnn.is_tensor(arguments) then arguments = {arguments} end
  if type(arguments) ~= "table" or select("#", ...) > 0 then
    fail "expected one table of series and options, as in plot{loss, val_loss, file = \"loss.png\"}"
  end
  if type(rawget(arguments, "history")) == "table" then return plotting.history(arguments) end
  if is_series_table(arguments) then
    fail "expected a list of series, as in plot{{x = {1, 2}, y = {3, 4}}}"
  end
  local panel = read_panel(arguments)
  if panel.kind == "hist" then panel.ylabel = panel.ylabel or "count" end
  return draw({panel}, panel.file, panel.width or 800, panel.height or 500)
end

-- The name under which curves stand in one panel: val_loss beside loss.
local function curves_of(history, metric)
  local series, legend = {}, {}
  for _, name in ipairs {metric, "val_" .. metric} do
    if history[name] then
      series[#series + 1] = history[name]
      legend[#legend + 1] = name
    end
  end
  if #series == 0 then system.unknown("plot.history", "there is no curve", metric, history) end
  return series, legend
end

--- Plots learning curves: a panel for each metric, with its val_ companion.
-- @function cnn.plot.history
-- @tparam table history what fit returned, or its field `history`
-- @tparam[opt] table options names of metrics in a list, by default {"loss"}; and title, xlabel, logy, grid, file,
-- width and height as of cnn.plot
-- @treturn string the file's name; nothing without one
-- @raise a metric that is not there
-- @usage
-- history = {history = {loss = {1, 0.5}, val_loss = {1.1, 0.8}, accuracy = {0.5, 0.9}}, epoch = {1, 2}}
-- cnn.plot.history(history)
-- cnn.plot.history(history, {"loss", "accuracy", logy = true})
-- cnn.plot.history(history, {"acuracy"})
-- --> error: plot.history: there is no curve 'acuracy' (did you mean 'accuracy'?)
function plotting.history(history, options)
  options = options or {}
  if type(options) ~= "table" then options = {options} end
  local values = type(history) == "table" and (rawget(history, "history") or history)
  if type(values) ~= "table" then fail("history: expected what fit returned, got %s", system.describe(history)) end
  local panels = {}
  local metrics = #options > 0 and options or {"loss"}
  for i, metric in ipairs(metrics) do
    local arguments = {}
    for key, value in pairs(options) do
      if type(key) == "string" then arguments[key] = value end
    end
    if not text(metric) then fail("history: a metric's name must be a string, got %s", system.describe(metric)) end
    local series, legend = curves_of(values, metric)
    for k, curve in ipairs(series) do
      local epochs = rawget(history, "epoch")
      arguments[k] = {y = curve, x = type(epochs) == "table" and #epochs == #curve and epochs or nil}
    end
    arguments.legend, arguments.xlabel, arguments.ylabel = legend, arguments.xlabel or "epoch", metric
    panels[i] = read_panel(arguments)
  end
  local first = panels[1]
  return draw(panels, first.file, first.width or (#panels > 1 and 560 * #panels or 800), first.height or 500)
end

cnn.plot = setmetatable(plotting, {
  __name = "cnn.plot",
  __call = plot,
  __index = function(t, name) system.unknown("cnn.plot", "there is no", tostring(name), t) end,
})
