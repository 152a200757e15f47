-- Makes a picture of a real session at the prompt: lua5.4 bindings/reference/screenshot.lua PROGRAM SESSION OUT.svg
-- SESSION is a Lua file that returns {columns =, rows =, title =, line, …}: each line is typed, and the next prompt
-- waited for. What the terminal then shows becomes an SVG, cell by cell.

package.path = "tests/lua/?.lua;" .. package.path
local terminal = require "terminal"

local WIDTH, HEIGHT, SIZE, MARGIN, BAR = 8.4, 18, 14, 12, 30 -- of a cell, of letters, around, and of the title
local INK, PAPER = "#d8dee9", "#1e222a"
local palette = { -- the sixteen colours by name, as a dark terminal has them
  [0] = "#3b4252", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d8dee9",
  "#5c6370", "#ff7a85", "#b5e090", "#ffd68a", "#7cc4ff", "#dd92f3", "#6fd0dc", "#ffffff",
}

-- ---- the session ------------------------------------------------------------------------------------------

local function run(program, session)
  local t <close> = terminal.open(program, {
    columns = session.columns, rows = session.rows,
    environment = {TERM = "xterm-256color", COLORTERM = "truecolor", XDG_STATE_HOME = "/nonexistent"},
  })
  t:wait_until(function(screen) return screen:match "[^\n]*$" == ">" end, "the prompt")
  for _, line in ipairs(session) do
    t:type(line)
    t:wait(line)
    t:keys "Enter"
    t:wait_until(function(screen) return screen:match "[^\n]*$":find "^>+$" end, "the prompt after " .. line)
  end
  return t:screen(true)
end

-- ---- colours ----------------------------------------------------------------------------------------------

local function of_256(n)
  if n < 16 then return palette[n] end
  if n >= 232 then return ("#%02x%02x%02x"):format(8 + 10 * (n - 232), 8 + 10 * (n - 232), 8 + 10 * (n - 232)) end
  local function level(i) return i == 0 and 0 or 55 + 40 * i end
  n = n - 16
  return ("#%02x%02x%02x"):format(level(n // 36), level(n // 6 % 6), level(n % 6))
end

-- The style after an SGR sequence, "1;38;2;10;20;30".
local function styled(style, codes)
  local list, i = {}, 1
  for code in (codes == "" and "0" or codes):gmatch "%d+" do list[#list + 1] = tonumber(code) end
  style = {ink = style.ink, paper = style.paper, bold = style.bold, dim = style.dim, reverse = style.reverse}
  local function extended()
    if list[i + 1] == 5 then
      i = i + 2
      return of_256(list[i])
    end
    i = i + 4
    return ("#%02x%02x%02x"):format(list[i - 2], list[i - 1], list[i])
  end
  while i <= #list do
    local code = list[i]
    if code == 0 then style = {}
    elseif code == 1 then style.bold = true
    elseif code == 2 then style.dim = true
    elseif code == 7 then style.reverse = true
    elseif code == 22 then style.bold, style.dim = nil, nil
    elseif code == 27 then style.reverse = nil
    elseif code >= 30 and code <= 37 then style.ink = palette[code - 30]
    elseif code == 38 then style.ink = extended()
    elseif code == 39 then style.ink = nil
    elseif code >= 40 and code <= 47 then style.paper = palette[code - 40]
    elseif code == 48 then style.paper = extended()
    elseif code == 49 then style.paper = nil
    elseif code >= 90 and code <= 97 then style.ink = palette[code - 82]
    elseif code >= 100 and code <= 107 then style.paper = palette[code - 92]
    end
    i = i + 1
  end
  return style
end

-- ---- drawing ----------------------------------------------------------------------------------------------

-- Blocks are drawn, for fonts leave gaps between them: the inked parts of a cell, {x, y, width, height} in eighths.
-- Quadrants are sums of 1 upper left, 2 upper right, 4 lower left, 8 lower right.
local quadrants = {4, 8, 1, 13, 9, 7, 11, 2, 6, 14}
local function block_of(code)
  if code == 0x2580 then return {{0, 0, 8, 4}} end
  if code >= 0x2581 and code <= 0x2588 then return {{0, 8 - (code - 0x2580), 8, code - 0x2580}} end
  if code >= 0x2589 and code <= 0x258f then return {{0, 0, 0x2590 - code, 8}} end
  if code == 0x2590 then return {{4, 0, 4, 8}} end
  if code == 0x2594 then return {{0, 0, 8, 1}} end
  if code == 0x2595 then return {{7, 0, 1, 8}} end
  local bits = quadrants[code - 0x2595]
  if not bits then return end
  local parts = {}
  for i = 0, 3 do
    if bits >> i & 1 == 1 then parts[#parts + 1] = {4 * (i % 2), 4 * (i // 2), 4, 4} end
  end
  return parts
end

local escapes = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;"}

-- The cells of a line: each its character and style, which goes on from line to line.
local function cells_of(line, style)
  local cells, at = {}, 1
  while at <= #line do
    local codes, after = line:match("^\27%[([%d;]*)m()", at)
    if codes then
      style, at = styled(style, codes), after
    else
      local character = line:match("^" .. utf8.charpattern, at)
      local shown = style
      if style.reverse then shown = {ink = style.paper or PAPER, paper = style.ink or INK, bold = style.bold} end
      cells[#cells + 1] = {character = character, style = shown, parts = block_of(utf8.codepoint(character))}
      at = at + #character
    end
  end
  return cells, style
end

-- What stands at a row: papers, blocks, and letters in runs of one style.
local function draw_row(add, cells, y)
  local function rectangle(x, top, width, height, color)
    add('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>', x, top, width + 0.2, height + 0.2, color)
  end
  local from = 1
  for i, cell in ipairs(cells) do
    local x, style, following = MARGIN + (i - 1) * WIDTH, cell.style, cells[i + 1]
    if style.paper then rectangle(x, y, WIDTH, HEIGHT, style.paper) end
    for _, p in ipairs(cell.parts or {}) do
      rectangle(x + p[1] / 8 * WIDTH, y + p[2] / 8 * HEIGHT, p[3] / 8 * WIDTH, p[4] / 8 * HEIGHT, style.ink or INK)
    end
    if cell.parts then
      from = i + 1
    elseif not following or following.parts or following.style ~= style then
      local letters = {}
      for k = from, i do letters[#letters + 1] = cells[k].character end
      local text = table.concat(letters)
      if text:find "%S" then
        add('<text x="%.1f" y="%.1f" textLength="%.1f" fill="%s"%s%s>%s</text>', MARGIN + (from - 1) * WIDTH,
          y + 0.76 * HEIGHT, #letters * WIDTH, style.ink or INK, style.bold and ' font-weight="bold"' or "",
          style.dim and ' opacity="0.6"' or "", (text:gsub("[&<>]", escapes)))
      end
      from = i + 1
    end
  end
end

local function svg_of(screen, session)
  local out, rows = {}, select(2, screen:gsub("\n", "")) + 1
  local function add(...) out[#out + 1] = string.format(...) end
  local width, height = session.columns * WIDTH + 2 * MARGIN, rows * HEIGHT + 2 * MARGIN + BAR
  add('<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f">',
    width, height, width, height)
  add('<rect width="100%%" height="100%%" rx="8" fill="%s"/>', PAPER)
  for i, color in ipairs {"#ff5f56", "#ffbd2e", "#27c93f"} do
    add('<circle cx="%d" cy="16" r="6" fill="%s"/>', i * 20, color)
  end
  add('<text x="50%%" y="20" fill="%s" text-anchor="middle" font-family="sans-serif" font-size="12">%s</text>',
    INK, session.title)
  add('<g shape-rendering="crispEdges" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="%d" ' ..
    'xml:space="preserve">', SIZE)
  local style, y = {}, MARGIN + BAR
  for line in (screen .. "\n"):gmatch "([^\n]*)\n" do
    local cells
    cells, style = cells_of(line, style)
    draw_row(add, cells, y)
    y = y + HEIGHT
  end
  add "</g></svg>"
  return table.concat(out, "\n") .. "\n"
end

local session = dofile(arg[2])
local file <close> = assert(io.open(arg[3], "w"))
file:write(svg_of(run(arg[1], session), session))
