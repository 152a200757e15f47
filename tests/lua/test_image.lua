-- cnn.image: pictures to files and back, size and colour, many in one; every wrong argument; and the
-- script about colour.
-- luacheck: globals TestImage TestColorScript

local lu = require "luaunit"
local cnn = require "cnn"
local raises = require "raises"

local image, eq = cnn.image, lu.assertEquals

local function temporary(extension)
  local stem = os.tmpname()
  os.remove(stem)
  return stem .. extension
end

local function bytes(values)
  return cnn.tensor(values, "uint8")
end

TestImage = {}

function TestImage:setUp()
  self.path = temporary ".png"
end

function TestImage:tearDown()
  os.remove(self.path)
end

function TestImage:test_saved_pictures_load_as_they_were()
  local picture = cnn.random.randint({5, 7, 3}, 0, 256):astype "uint8"
  image.save(self.path, picture)
  local back = image.load(self.path)
  eq(back:dtype(), "uint8")
  eq(back:tolist(), picture:tolist())
  eq(image.load{self.path, channels = 1}:shape(), {5, 7, 1})
  eq(image.load(self.path, 4):shape(), {5, 7, 4})
end

function TestImage:test_floats_go_from_0_to_1_unless_scaled()
  image.save(self.path, cnn.tensor{{0, 1, 0.5}})
  eq(image.load(self.path):tolist(), {{{0}, {255}, {128}}})
  image.save{self.path, cnn.tensor{{-3, 5, 1}}, scale = true}
  eq(image.load(self.path):tolist(), {{{0}, {255}, {128}}})
  raises("goes from 0 (black) to 1 (white), got values from -3 to 5", image.save, self.path,
    cnn.tensor{{-3, 5}})
end

function TestImage:test_file_errors_name_the_file()
  raises("image.load: cannot read /nowhere/a.png: No such file", image.load, "/nowhere/a.png")
  raises("image.save: cannot write /nowhere/a.png: No such file", image.save, "/nowhere/a.png", bytes{{1}})
  raises("'path' must be the name of a file, got nil", image.load)
  raises("zero byte", image.load, "a\0b")
  raises("'channels' must be", image.load, self.path, 2)
  raises("'channels' must be an integer, got x", image.load, self.path, "x")
  raises("unknown argument 'chanels' (did you mean 'channels'?)", image.load, {self.path, chanels = 1})
  raises("must end in .png", image.save, "picture.webp", bytes{{1}})
  raises("'image' is missing", image.save, self.path)
  raises("'quality' must be 1 to 100", image.save, {self.path, bytes{{1}}, quality = 0})
  raises("image.grid puts several in one", image.save, self.path, cnn.zeros{2, 3, 3, 1})
end

function TestImage.test_resize_takes_a_size_or_two()
  local picture = cnn.arange(16):astype("float32"):reshape{4, 4, 1}
  eq(image.resize(picture, 2):squeeze(-1):tolist(), {{2.5, 4.5}, {10.5, 12.5}})
  eq(image.resize{picture, {2, 1}, interpolation = "area"}:tolist(), {{{3.5}}, {{11.5}}})
  eq(image.resize{picture, {2, 2}, interpolation = "nearest"}:squeeze(-1):tolist(), {{5, 7}, {13, 15}})
  eq(image.resize{cnn.zeros({2, 4, 4, 3}, "uint8"), {8, 6}, "bicubic", true}:shape(), {2, 8, 6, 3})
  raises("'size' must be {height, width} or one number", image.resize, picture, {1, 2, 3})
  raises("'size' must be a height and a width of 1 to 2^24, got 0 and 0", image.resize, picture, 0)
  raises("unknown interpolation 'bilinaer' (did you mean 'bilinear'?)", image.resize,
    {picture, 2, interpolation = "bilinaer"})
  raises("'antialias' must be true or false, got 1", image.resize, {picture, 2, antialias = 1})
end

function TestImage.test_resize_keeps_proportions_by_cropping_or_padding()
  local picture = cnn.arange(8):astype("float32"):reshape{2, 4, 1} + 1
  local function resized(how)
    how[1], how[2], how.interpolation = picture, {2, 2}, "nearest"
    return image.resize(how):squeeze(-1):tolist()
  end
  eq(resized{}, {{2, 4}, {6, 8}})
  eq(resized{crop_to_aspect_ratio = true}, {{2, 3}, {6, 7}})
  eq(image.resize{picture, 4, interpolation = "nearest", pad_to_aspect_ratio = true}:squeeze(-1):tolist(),
    {{0, 0, 0, 0}, {1, 2, 3, 4}, {5, 6, 7, 8}, {0, 0, 0, 0}})
  raises("only one of 'crop_to_aspect_ratio' and 'pad_to_aspect_ratio' can be true", resized,
    {crop_to_aspect_ratio = true, pad_to_aspect_ratio = true})
  raises("'pad_to_aspect_ratio' must be true or false, got 1", resized, {pad_to_aspect_ratio = 1})
end

function TestImage.test_every_kind_of_file_loads()
  local files = dofile "tests/oracle/pictures.lua"
  for _, file in ipairs(files) do
    local picture = image.load("tests/oracle/pictures/" .. file.name, 3):astype "float32"
    local want = cnn.tensor(file.rgb.data):reshape(file.rgb.shape)
    lu.assertTrue((picture - want):abs():max():item() <= 1, file.name)
  end
end

function TestImage.test_colors()
  eq(image.to_grayscale(bytes{{{255, 255, 255}, {255, 0, 0}}}):tolist(), {{{255}, {76}}})
  eq(image.to_rgb(bytes{{5}}):tolist(), {{{5, 5, 5}}})
  eq(image.normalize(bytes{{10, 20, 30}}):tolist(), {{0, 0.5, 1}})
  lu.assertAlmostEquals(image.normalize{bytes{{10, 20}}, method = "standard"}:sum():item(), 0, 1e-6)
  raises("expected 3 channels (red, green, blue), got 1", image.to_grayscale, bytes{{{1}}})
  raises("unknown method 'minmaxx' (did you mean 'minmax'?)", image.normalize,
    {bytes{{1}}, method = "minmaxx"})
  raises("pictures are uint8 or float32, got int32", image.to_rgb, cnn.zeros({2, 2}, "int32"))
  raises("not a finite number", image.normalize, cnn.tensor{{0 / 0, 1}})
end

function TestImage.test_grid_of_pictures_maps_and_kernels()
  local pictures = cnn.zeros({5, 4, 6, 3}, "uint8")
  eq(image.grid(pictures):shape(), {2 * 6 + 2, 3 * 8 + 2, 3})
  eq(image.grid{pictures, columns = 5, padding = 0}:shape(), {4, 30, 3})
  raises("image.grid: 'columns' must be an integer, got a tensor uint8 (1, 1)", image.grid,
    {bytes{{1}}, bytes{{2}}})
  eq(image.grid{{bytes{{{1}}}, bytes{{{2}}}}, padding = 1, background = 0}:squeeze(-1):tolist(),
    {{0, 0, 0, 0, 0}, {0, 1, 0, 2, 0}, {0, 0, 0, 0, 0}})
  eq(image.grid(cnn.random.uniform{1, 7, 7, 32}):shape(), {6 * 9 + 2, 6 * 9 + 2, 1})
  eq(image.grid{cnn.random.uniform{3, 3, 1, 8}, kind = "kernels", zoom = 4, columns = 8}:shape(),
    {16, 8 * 14 + 2, 1})
  raises("picture 2 of the list must be a tensor, got a string", image.grid, {{bytes{{{1}}}, "x"}})
  raises("image.grid: stack", image.grid, {{bytes{{{1}}}, bytes{{{1}, {2}}}}})
  raises("unknown kind 'kernel' (did you mean 'kernels'?)", image.grid, {pictures, kind = "kernel"})
  raises("'columns' must be at least 1", image.grid, {pictures, columns = 0})
end

TestColorScript = {}

function TestColorScript.test_channels_add_up_and_grey_follows_the_weights()
  local folder = temporary ""
  local write = io.write
  local print_before = print
  print = function() end -- luacheck: ignore
  local good, made = pcall(loadfile "scripts/color.lua", "--out", folder)
  print, io.write = print_before, write -- luacheck: ignore
  lu.assertTrue(good, made)
  local sheet = image.load(made.file)
  os.remove(made.file)
  os.remove(folder)
  local tinted = made.tinted
  eq((tinted.red + tinted.green + tinted.blue):equal(made.color):min():item(), 1)
  local c = made.color:astype "float32"
  local grey = c[{{}, {}, {1, 1}}] * 0.2989 + c[{{}, {}, {2, 2}}] * 0.587 + c[{{}, {}, {3, 3}}] * 0.114
  lu.assertTrue(((grey - made.by_weights):abs():max():item()) <= 0.501)
  eq(sheet:shape(), made.sheet:shape())
  lu.assertTrue(sheet:astype("float32"):std():item() > 20)
end
