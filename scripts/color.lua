-- True colour and grey scale: what a picture is to a program, and what is left of it without colour.
--
-- A true-colour picture is a tensor {height, width, 3}: how much red, green and blue each point gives off, a
-- byte each, 0 for none and 255 for all there is; 24 bits, over 16 million colours (32 with a fourth byte
-- that says how opaque the point is). In grey scale one number remains, a step between black and white.
-- To a convolution that is the last axis of its input: 3 channels, or 1.
--
--   cnnlua scripts/color.lua                 a picture made here: three lights that overlap, over a rainbow
--   cnnlua scripts/color.lua photo.jpg       one of yours

local cnn = require "cnn"

local arguments = {...}
local path
if arguments[1] and not arguments[1]:find "^%-" then path = table.remove(arguments, 1) end
local options = cnn.utils.script_options(arguments, {
  help = "color.lua [PICTURE]: takes a picture apart into its channels and turns it to grey scale.",
})

-- 1. A picture. Without one, three round lights on a dark wall; where they overlap, their colours add up.
local function light(size, row, column, radius)
  local y = cnn.arange(1, size + 1):reshape{size, 1}
  local x = cnn.arange(1, size + 1):reshape{1, size}
  local inside = ((y - row) ^ 2 + (x - column) ^ 2):less_equal(radius ^ 2)
  return inside:astype "float32" -- 1 in the disc, 0 outside
end

local function make_picture(size)
  local red = light(size, size * 0.32, size * 0.5, size * 0.26)
  local green = light(size, size * 0.56, size * 0.36, size * 0.26)
  local blue = light(size, size * 0.56, size * 0.64, size * 0.26)
  local lights = cnn.stack({red, green, blue}, -1)

  -- Below them, from left to right, a rainbow: each channel is brightest a third of the way after the last.
  local band = size // 6
  local hue = cnn.linspace(0, 2 * math.pi, size):reshape{1, size, 1}
  local shift = cnn.tensor{0, 2 * math.pi / 3, 4 * math.pi / 3}:reshape{1, 1, 3}
  local rainbow = (cnn.cos(hue - shift) + 1) / 2 * cnn.ones{band, size, 3}
  lights[{{size - band + 1, size}}] = rainbow
  return (lights * 255):astype "uint8"
end

local color = path and cnn.image.load(path, 3) or make_picture(240)

local function describe(name, image)
  print(("%-12s %-8s {%s}, values %g to %g"):format(name, image:dtype(), table.concat(image:shape(), ", "),
    image:min():item(), image:max():item()))
end
describe("color", color)

-- 2. The numbers of a few points: red, green and blue of each. (Here green light turns cyan, as blue joins.)
local height, width = table.unpack(color:shape())
local top, left = math.max(height * 56 // 100, 1), math.max(width * 38 // 100, 1)
local rows, columns = {top, math.min(top + 2, height)}, {left, math.min(left + 2, width)}
local patch = color[{rows, columns}]
print(("\npoints of rows %d to %d and columns %d to %d (red green blue):"):format(
  rows[1], rows[2], columns[1], columns[2]))
for i = 1, #patch do
  local line = {}
  for j = 1, #patch[i] do line[j] = ("(%3d %3d %3d)"):format(table.unpack(patch[{i, j}]:tolist())) end
  print("  " .. table.concat(line, "  "))
end

-- 3. The channels. Each by itself is a picture in grey; put back in its place, with the others dark, it has
-- its colour again. The three tinted pictures add up to the whole.
local red, green, blue = color[{{}, {}, {1, 1}}], color[{{}, {}, {2, 2}}], color[{{}, {}, {3, 3}}]
local dark = cnn.zeros_like(red)
local tinted = {
  red = cnn.concat({red, dark, dark}, -1),
  green = cnn.concat({dark, green, dark}, -1),
  blue = cnn.concat({dark, dark, blue}, -1),
}
print()
for _, name in ipairs {"red", "green", "blue"} do
  local share = tinted[name]:astype("float32"):sum():item() / color:astype("float32"):sum():item()
  print(("%-12s gives %4.1f %% of the light"):format(name, 100 * share))
end

-- 4. Grey scale. The plain mean of the channels takes all colours for equally bright. The eye does not: green
-- seems brightest, blue darkest, and the usual weights say by how much.
local by_mean = color:astype("float32"):mean(3, true)
local by_weights = cnn.image.to_grayscale(color)
print()
describe("by weights", by_weights)
describe("by mean", by_mean)

print("\nthe same points in grey, 0.2989 red + 0.587 green + 0.114 blue:")
print(by_weights[{rows, columns, 1}])

-- 5. Side by side: the picture and its two greys above, its channels below.
local function as_rgb(image)
  return cnn.image.to_rgb((image + 0.5):astype "uint8") -- + 0.5 rounds
end
local sheet = cnn.image.grid{
  {color, cnn.image.to_rgb(by_weights), as_rgb(by_mean), tinted.red, tinted.green, tinted.blue},
  columns = 3, padding = 4,
}
local file = cnn.utils.output_path(options, "color.png")
cnn.image.save(file, sheet)
print("\n" .. file .. ": in colour, grey by weights, grey by mean; red, green, blue")

return {color = color, red = red, green = green, blue = blue, tinted = tinted, by_weights = by_weights,
        by_mean = by_mean, sheet = sheet, file = file}
