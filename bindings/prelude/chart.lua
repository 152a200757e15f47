-- Plots as text, for terminals and pipes: curves of braille dots, bars of blocks, and words around them. What is drawn
-- is a panel as plot.lua reads it. Where there are no colours, marks tell the curves apart.

local cnn = ...

local system = cnn.image.system

-- ---- letters ----------------------------------------------------------------------------------------------

-- Columns that a character takes: 2 of East Asian scripts and emoji (Unicode's East Asian Width), none of marks.
local wide = {{0x1100, 0x115f}, {0x2e80, 0x303e}, {0x3041, 0xa4cf}, {0xac00, 0xd7a3}, {0xf900, 0xfaff},
              {0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff},
              {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}}
local marks = {{0x300, 0x36f}, {0x200b, 0x200f}, {0xfe00, 0xfe0f}}

local function within(code, ranges)
  for _, range in ipairs(ranges) do
    if code >= range[1] and code <= range[2] then return true end
  end
end

local function width_of(code)
  return code < 0x300 and 1 or within(code, wide) and 2 or within(code, marks) and 0 or 1
end

-- The text's characters, and how many columns each takes. Control characters become spaces, bytes that are not UTF-8
-- question marks.
local function letters(text)
  local list, widths, at = {}, {}, 1
  while at <= #text do
    local good = utf8.len(text, at, at)
    local code = good and utf8.codepoint(text, at) or 63
    if code < 32 or code >= 127 and code < 160 then code = 32 end
    list[#list + 1], widths[#widths + 1] = utf8.char(code), width_of(code)
    at = good and utf8.offset(text, 2, at) or at + 1
  end
  return list, widths
end

-- The text as it can be printed, cut with … where it takes more columns than there are; and how many it takes.
function system.fit_text(text, columns)
  local list, widths = letters(text)
  local used, last = 0, 0
  for _, width in ipairs(widths) do used = used + width end
  if used <= columns then return table.concat(list), used end
  used = 1
  while used + widths[last + 1] <= columns do
    last = last + 1
    used = used + widths[last]
  end
  return table.concat(list, "", 1, last) .. "…", used
end

-- ---- a page of letters ------------------------------------------------------------------------------------

local function new_page(width, height)
  return {width = width, height = height, letters = {}, colors = {}}
end

-- Rows and columns count from 0. What lies outside is left out.
local function put(page, row, column, text, color)
  local list, widths = letters(text)
  for i, letter in ipairs(list) do
    if column >= 0 and column + widths[i] <= page.width and row >= 0 and row < page.height then
      local place = row * page.width + column
      page.letters[place], page.colors[place] = letter, color
      if widths[i] == 2 then page.letters[place + 1] = "" end
    end
    column = column + widths[i]
  end
end

local function put_centred(page, row, left, right, text)
  local fitted, used = system.fit_text(text, right - left + 1)
  put(page, row, left + (right - left + 1 - used) // 2, fitted)
end

local names = {
  red = "#cc0000", green = "#00aa00", blue = "#3465f4", yellow = "#c4a000", orange = "#e69f00", purple = "#9040a0",
  magenta = "#cc00cc", cyan = "#00aaaa", brown = "#8b5a2b", pink = "#ff80a0", gray = "#999999", grey = "#999999",
}

-- What switches a colour on, of as many as the terminal has; "" for the terminal's own, which black becomes.
local function escape(color, level)
  local rgb = (names[color] or color):match "^#(%x+)$"
  if level == "none" or not rgb or rgb == "000000" then return "" end
  local r, g, b = tonumber(rgb:sub(1, 2), 16), tonumber(rgb:sub(3, 4), 16), tonumber(rgb:sub(5, 6), 16)
  if level == "direct" then return ("\27[38;2;%d;%d;%dm"):format(r, g, b) end
  local function step(value) return value < 48 and 0 or value < 115 and 1 or (value - 35) // 40 end
  if level == "256" then return ("\27[38;5;%dm"):format(16 + 36 * step(r) + 6 * step(g) + step(b)) end
  return ("\27[%dm"):format(30 + (r > 127 and 1 or 0) + (g > 127 and 2 or 0) + (b > 127 and 4 or 0))
end

-- The page as lines without spaces at their ends.
local function print_page(page, level)
  local lines = {}
  for row = 0, page.height - 1 do
    local line, now, last = {}, "", page.width - 1
    while last >= 0 and not page.letters[row * page.width + last] do last = last - 1 end
    for column = 0, last do
      local place = row * page.width + column
      local color = page.colors[place] and escape(page.colors[place], level) or ""
      if color ~= now then
        line[#line + 1] = color == "" and "\27[0m" or color
        now = color
      end
      line[#line + 1] = page.letters[place] or " "
    end
    if now ~= "" then line[#line + 1] = "\27[0m" end
    lines[#lines + 1] = table.concat(line)
  end
  return lines
end

-- ---- scales -----------------------------------------------------------------------------------------------

-- Where a value is between the ends of a range: from 0 to 1 inside; NaN where it has no place.
local function share(value, range, log)
  if not log then return (value - range[1]) / (range[2] - range[1]) end
  return value > 0 and math.log(value / range[1]) / math.log(range[2] / range[1]) or 0 / 0
end

-- A round step that makes at most `most` ticks of a span: 1, 2 or 5 times a power of ten.
local function round_step(span, most)
  local step = 10 ^ math.floor(math.log(span / most, 10))
  for _, factor in ipairs {2, 2.5, 2} do
    if span / step <= most then break end
    step = step * factor
  end
  return step
end

system.share, system.round_step = share, round_step -- for plot.lua

local function decimals_of(step)
  local decimals = 0
  while decimals < 9 and math.abs(step * 10 ^ decimals - math.floor(step * 10 ^ decimals + 0.5)) > 1e-6 do
    decimals = decimals + 1
  end
  return decimals
end

-- Round values within a range, at most so many, and how they are written.
local function linear_ticks(range, most, whole)
  local span = range[2] - range[1]
  local step = round_step(span, most)
  if whole then step = math.max(1, math.floor(step + 0.5)) end
  local largest = math.max(math.abs(range[1]), math.abs(range[2]))
  local format = ("%%.%df"):format(decimals_of(step))
  if largest >= 1e6 or step < 1e-4 then format = "%.5g" end
  local ticks = {}
  for i = math.ceil(range[1] / step - 1e-9), math.floor(range[2] / step + 1e-9) do
    ticks[#ticks + 1] = {i * step, (format:format(i * step + 0.0))}
  end
  return ticks
end

local function log_ticks(range, most)
  local low, high = math.log(range[1], 10), math.log(range[2], 10)
  local every, ticks = math.max(1, math.ceil((high - low) / most)), {}
  local digits = high - low < 2 and {1, 2, 5} or {1}
  for power = math.floor(low), math.floor(high), every do
    for _, digit in ipairs(digits) do
      local value = digit * 10.0 ^ power
      if value >= range[1] * 0.999 and value <= range[2] * 1.001 then
        ticks[#ticks + 1] = {value, ("%.5g"):format(value)}
      end
    end
  end
  return ticks
end

-- More than so many where else there were but one.
local function ticks_of(panel, axis, most)
  local range, ticks = panel[axis .. "_range"], nil
  for some = most, 2 * most + 1 do
    if panel["log" .. axis] then
      ticks = log_ticks(range, some)
    else
      ticks = linear_ticks(range, some, panel[axis .. "_whole"])
    end
    if #ticks > 1 then break end
  end
  return ticks
end

-- ---- curves -----------------------------------------------------------------------------------------------

local dot_bits = {[0] = {[0] = 0x01, 0x02, 0x04, 0x40}, {[0] = 0x08, 0x10, 0x20, 0x80}}

-- The part of a line that lies within the unit square (Y.-D. Liang and B. A. Barsky, 1984); nothing if none does.
local function clip(x0, y0, x1, y1)
  local from, to, dx, dy = 0, 1, x1 - x0, y1 - y0
  for _, edge in ipairs {{-dx, x0}, {dx, 1 - x0}, {-dy, y0}, {dy, 1 - y0}} do
    local speed, distance = edge[1], edge[2]
    if speed == 0 and distance < 0 then return end
    if speed < 0 then from = math.max(from, distance / speed) end
    if speed > 0 then to = math.min(to, distance / speed) end
  end
  if from <= to then return x0 + from * dx, y0 + from * dy, x0 + to * dx, y0 + to * dy end
end

-- An area is a rectangle of the page: left, top, width and height in cells of 2 by 4 dots; dots has their bits.
local function add_dot(area, x, y, color)
  local column, row = x // 2, y // 4
  local place = (area.top + row) * area.page.width + area.left + column
  area.dots[place] = (area.dots[place] or 0) | dot_bits[x % 2][y % 4]
  area.page.letters[place], area.page.colors[place] = utf8.char(0x2800 | area.dots[place]), color
end

local function add_line(area, x0, y0, x1, y1, color)
  x0, y0, x1, y1 = clip(x0, y0, x1, y1)
  if not x0 then return end
  local width, height = 2 * area.width - 1, 4 * area.height - 1
  x0, x1, y0, y1 = x0 * width, x1 * width, (1 - y0) * height, (1 - y1) * height
  local steps = math.max(math.ceil(math.max(math.abs(x1 - x0), math.abs(y1 - y0))), 1)
  for i = 0, steps do
    local x, y = x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps
    add_dot(area, math.floor(x + 0.5), math.floor(y + 0.5), color)
  end
end

local function add_mark(area, x, y, mark, color)
  if not (x >= 0 and x <= 1 and y >= 0 and y <= 1) then return end
  local column, row = math.floor(x * (area.width - 1) + 0.5), math.floor((1 - y) * (area.height - 1) + 0.5)
  put(area.page, area.top + row, area.left + column, mark, color)
end

local function add_curve(area, xs, ys, color)
  for i = 1, #xs - 1 do
    local x0, y0, x1, y1 = xs[i], ys[i], xs[i + 1], ys[i + 1]
    if x0 == x0 and y0 == y0 and x1 == x1 and y1 == y1 then add_line(area, x0, y0, x1, y1, color) end
  end
end

-- Marks at points that are so many columns apart, and at those that no line leads to.
local function add_marks(area, xs, ys, mark, color, apart, first)
  local last = first - (apart or 0)
  for i = 1, #xs do
    local column = xs[i] * area.width
    local alone = not (ys[i - 1] == ys[i - 1] and ys[i - 1]) and not (ys[i + 1] == ys[i + 1] and ys[i + 1])
    if alone or apart and math.abs(column - last) >= apart then
      add_mark(area, xs[i], ys[i], mark, color)
      last = column
    end
  end
end

-- ---- bars -------------------------------------------------------------------------------------------------

local eighths = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}

-- A column of blocks, or of another letter, from the base to a height, both shares of the area.
local function add_column(area, column, base, height, color, block)
  local cells = math.floor(base * area.height + 0.5)
  local filled = math.floor(math.max(0, math.min(1, height)) * area.height * 8 + 0.5) - cells * 8
  local function cell(i, letter)
    put(area.page, area.top + area.height - 1 - i, area.left + column, letter, color)
  end
  if block ~= "█" then filled = (filled + 4) // 8 * 8 end
  for i = 0, filled // 8 - 1 do cell(cells + i, block) end
  if filled > 0 and filled % 8 > 0 then cell(cells + filled // 8, eighths[filled % 8]) end
  for i = 1, -filled // 8 do cell(cells - i, block) end
  if filled < 0 and -filled % 8 >= 3 then cell(cells + filled // 8, -filled % 8 > 5 and "█" or "▀") end
end

-- Bars {from, to, height}, shares of the area; where several stand in one column, the longest is seen.
local function add_bars(area, bars, base, color, block)
  local heights = {}
  for _, bar in ipairs(bars) do
    local from = math.floor(bar[1] * area.width + 0.5)
    local to = math.max(from, math.floor(bar[2] * area.width + 0.5) - 1)
    for column = math.max(from, 0), math.min(to, area.width - 1) do
      local height = heights[column] or base
      heights[column] = math.abs(bar[3] - base) >= math.abs(height - base) and bar[3] or height
    end
  end
  for column, height in pairs(heights) do add_column(area, column, base, height, color, block) end
end

-- The outline of a histogram's bars.
local function add_outline(area, bars, color)
  local height = 0
  for _, bar in ipairs(bars) do
    add_line(area, bar[1], height, bar[1], bar[3], color)
    add_line(area, bar[1], bar[3], bar[2], bar[3], color)
    height = bar[3]
  end
  if #bars > 0 then add_line(area, bars[#bars][2], height, bars[#bars][2], 0, color) end
end

-- ---- a panel ----------------------------------------------------------------------------------------------

local plain_marks = {"o", "x", "+", "*", "#", "@", "%", "&"}
local plain_blocks = {"█", "░", "▒", "▓"}

local function cycle(list, i)
  return list[(i - 1) % #list + 1]
end

-- What a series is drawn with: the mark of points and, where colours are missing, of curves; the block of bars; and
-- what stands for it in the legend.
local function look_of(panel, i, level)
  local s, several = panel.series[i], level == "none" and #panel.series > 1
  local look = {mark = several and cycle(plain_marks, i) or "•", block = several and cycle(plain_blocks, i) or "█"}
  look.filled = s.style == "bars" or s.style == "hist" and #panel.series == 1
  look.marked = several and not look.filled
  look.sign = look.filled and look.block or (several or s.style == "points") and look.mark or "⠒⠒"
  return look
end

local function legend_entries(panel, level)
  local entries = {}
  for i, s in ipairs(panel.series) do
    if s.label and s.label ~= "" then
      entries[#entries + 1] = {sign = look_of(panel, i, level).sign, text = s.label, color = s.color}
    end
  end
  return entries
end

-- Writes the legend, centred, over rows as it needs; returns how many.
local function put_legend(page, row, left, right, entries)
  local rows, at = {{width = 0}}, 1
  for _, entry in ipairs(entries) do
    local fitted, used = system.fit_text(entry.text, math.max(1, right - left - 3))
    local width = utf8.len(entry.sign) + 1 + used
    if rows[at].width > 0 and rows[at].width + 3 + width > right - left + 1 then
      at = at + 1
      rows[at] = {width = 0}
    end
    local line = rows[at]
    if line.width > 0 then line.width = line.width + 3 end
    line[#line + 1] = {column = line.width, sign = entry.sign, text = fitted, color = entry.color}
    line.width = line.width + width
  end
  for i, line in ipairs(rows) do
    local start = left + (right - left + 1 - line.width) // 2
    for _, entry in ipairs(line) do
      put(page, row + i - 1, start + entry.column, entry.sign, entry.color)
      put(page, row + i - 1, start + entry.column + utf8.len(entry.sign) + 1, entry.text)
    end
  end
  return #entries > 0 and #rows or 0
end

local function put_y_axis(area, panel, ticks)
  for row = 0, area.height - 1 do put(area.page, area.top + row, area.left - 1, "│") end
  for _, tick in ipairs(ticks) do
    local row = math.floor((1 - share(tick[1], panel.y_range, panel.logy)) * (area.height - 1) + 0.5)
    put(area.page, area.top + row, area.left - 1, "┤")
    put(area.page, area.top + row, area.left - 1 - #tick[2], tick[2])
  end
end

local function put_x_axis(area, panel, left, right)
  local row = area.top + area.height
  put(area.page, row, area.left - 1, "└" .. ("─"):rep(area.width))
  local function put_tick(value, text, room)
    local part = share(value, panel.x_range, panel.logx)
    if not (part >= 0 and part <= 1) then return end
    local column = area.left + math.floor(part * (area.width - 1) + 0.5)
    local fitted, used = system.fit_text(text, room)
    put(area.page, row, column, "┬")
    put(area.page, row + 1, math.max(left, math.min(column - used // 2, right - used + 1)), fitted)
  end
  if panel.names then
    local room = math.max(1, math.floor(area.width / (panel.x_range[2] - panel.x_range[1])) - 1)
    for i, name in ipairs(panel.names) do put_tick(i, tostring(name), room) end
  else
    for _, tick in ipairs(ticks_of(panel, "x", math.max(area.width // 9, 1))) do put_tick(tick[1], tick[2], 12) end
  end
end

local function shares(values, range, log)
  local list = {}
  for i, value in ipairs(values) do list[i] = share(value, range, log) end
  return list
end

-- {from, to, height}, shares of the area.
local function bars_of(s, i, panel)
  local half, offset = panel.bars.width / 2, 0
  if s.style == "bars" then offset = (panel.bars.index[i] - (panel.bars.count + 1) / 2) * panel.bars.width end
  local list = {}
  for k, height in ipairs(shares(s.y, panel.y_range, panel.logy)) do
    if height == height and s.x[k] == s.x[k] then
      local x = s.x[k] + offset
      list[#list + 1] = {share(x - half, panel.x_range, panel.logx), share(x + half, panel.x_range, panel.logx), height}
    end
  end
  return list
end

local function put_series(area, panel, s, i, level)
  local look = look_of(panel, i, level)
  if look.filled then
    local base = panel.logy and 0 or math.max(0, math.min(1, share(0, panel.y_range)))
    return add_bars(area, bars_of(s, i, panel), base, s.color, look.block)
  end
  local xs, ys = shares(s.x, panel.x_range, panel.logx), shares(s.y, panel.y_range, panel.logy)
  if s.style == "hist" then
    add_outline(area, bars_of(s, i, panel), s.color)
  elseif s.style ~= "points" then
    add_curve(area, xs, ys, s.color)
  end
  local apart = (s.style == "points" or s.style == "linespoints") and 0 or look.marked and 12
  add_marks(area, xs, ys, look.mark, s.color, apart, apart and apart * (i - 1) / #panel.series or 0)
end

-- Draws a panel into columns of the page.
local function put_panel(page, panel, left, right, level)
  local top, bottom = 0, page.height - 1
  if panel.title then
    put_centred(page, top, left, right, panel.title)
    top = top + 1
  end
  top = top + put_legend(page, top, left, right, legend_entries(panel, level))
  if panel.ylabel then
    put(page, top, left, (system.fit_text(panel.ylabel, right - left + 1)))
    top = top + 1
  end
  if panel.xlabel then
    put_centred(page, bottom, left, right, panel.xlabel)
    bottom = bottom - 1
  end
  local area = {page = page, top = top, height = bottom - 1 - top, dots = {}}
  if area.height < 1 then return end
  local ticks, margin = ticks_of(panel, "y", math.max(area.height // 3, 1)), 0
  for _, tick in ipairs(ticks) do margin = math.max(margin, #tick[2]) end
  area.left = left + margin + 1
  area.width = right - area.left + 1
  if area.width < 1 then return end
  put_y_axis(area, panel, ticks)
  put_x_axis(area, panel, left, right)
  for i, s in ipairs(panel.series) do put_series(area, panel, s, i, level) end
end

-- Panels side by side, as lines of text.
function system.chart(panels, columns, rows, level)
  local page = new_page(columns, rows)
  local each = (columns - 2 * (#panels - 1)) // #panels
  for i, panel in ipairs(panels) do
    local left = (i - 1) * (each + 2)
    put_panel(page, panel, left, left + each - 1, level)
  end
  return print_page(page, level)
end
