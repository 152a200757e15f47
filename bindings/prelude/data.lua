-- Single pictures as Keras's utils load and convert them. An image is a uint8 tensor [height, width, channels]; an
-- array is the same in float32.

local cnn = ...

local utils = cnn.utils
local args, unknown, fail = cnn.nn.args, cnn.image.system.unknown, cnn.image.system.fail

local channels = {grayscale = 1, rgb = 3, rgba = 4}

local function sides(size)
  local height, width
  if type(size) == "table" then height, width = size[1], size[2] else height, width = size, size end
  height, width = math.tointeger(height), math.tointeger(width)
  if not height or not width or height < 1 or width < 1 then
    fail "load_img: 'target_size' must be {height, width}, positive integers"
  end
  return height, width
end

--- Loads a picture file, as Keras's load_img.
-- The result is an image: uint8 [height, width, channels]. img_to_array makes float32 of it, which models take.
-- @function cnn.utils.load_img
-- @tparam string path
-- @tparam[opt="rgb"] string color_mode "rgb", "rgba" or "grayscale": 3, 4 or 1 channels
-- @tparam[opt] {int,...}|int target_size {height, width}, or one number for both; default: as it is
-- @tparam[opt="nearest"] string interpolation "nearest", "bilinear", "bicubic" or "area"; with the middle two a
-- picture that shrinks is smoothed
-- @tparam[opt=false] bool keep_aspect_ratio crops it in the middle to the target's proportions first
-- @treturn tensor uint8 [height, width, channels]
-- @raise a file that is not there or no picture; a color_mode that is none of these
-- @usage
-- cnn.image.save("cat.png", cnn.zeros{40, 60, 3})
-- cnn.utils.load_img("cat.png"):shape()  --> {40, 60, 3}
-- cnn.utils.load_img{"cat.png", color_mode = "grayscale", target_size = {20, 20}}:shape()  --> {20, 20, 1}
function utils.load_img(...)
  local path, color_mode, target_size, interpolation, keep_aspect_ratio =
    args("load_img", {"path", "color_mode", "target_size", "interpolation", "keep_aspect_ratio"}, ...)
  local count = channels[color_mode or "rgb"]
  if not count then unknown("load_img", "unknown color_mode", tostring(color_mode), channels) end
  local image = cnn.image.load(path, count)
  if target_size == nil then return image end
  return cnn.image.resize{image, {sides(target_size)}, interpolation = interpolation or "nearest",
                          antialias = interpolation == "bilinear" or interpolation == "bicubic",
                          crop_to_aspect_ratio = keep_aspect_ratio}
end

--- Turns an image into an array with an axis of channels; values stay as they are.
-- @function cnn.utils.img_to_array
-- @tparam tensor img [H,W,C] or [H,W]
-- @tparam[opt="float32"] string dtype
-- @treturn tensor [H,W,C]
-- @raise a tensor of another rank
-- @usage
-- image = cnn.tensor({{0, 255}}, "uint8")
-- array = cnn.utils.img_to_array(image)
-- array:dtype() == "float32", array:shape(), array:max():item()
-- --> true
-- --> {1, 2, 1}
-- --> 255.0
function utils.img_to_array(...)
  local img, dtype = args("img_to_array", {"img", "dtype"}, ...)
  local array = cnn.tensor(img, dtype or "float32")
  if array:rank() == 2 then array = array:expand_dims(-1) end
  if array:rank() ~= 3 then fail(("img_to_array: expected a picture, got a tensor of rank %d"):format(array:rank())) end
  return array
end

--- Turns an array into an image.
-- @function cnn.utils.array_to_img
-- @tparam tensor x [H,W,C]
-- @tparam[opt=true] bool scale the smallest value becomes 0 and the largest 255; false: values must be from 0 to
-- 255
-- @treturn tensor uint8 [H,W,C]; fractions are cut off
-- @raise a tensor of another rank
-- @usage
-- cnn.utils.array_to_img(cnn.tensor{{{-1}, {0}, {1}}}):flatten():tolist()  --> {0, 127, 255}
-- cnn.utils.array_to_img(cnn.tensor{{{1}, {100}}}, false):flatten():tolist()  --> {1, 100}
function utils.array_to_img(...)
  local x, scale = args("array_to_img", {"x", "scale"}, ...)
  local array = cnn.tensor(x, "float32")
  if array:rank() ~= 3 then fail(("array_to_img: expected a picture, got a tensor of rank %d"):format(array:rank())) end
  if scale ~= false then
    array = array - array:min()
    local largest = array:max():item()
    if largest ~= 0 then array = array * (255 / largest) end
  end
  return array:astype "uint8"
end

--- Saves an array as a picture file; cnn.image.save does so without scaling.
-- @function cnn.utils.save_img
-- @tparam string path ends in .png, .jpg, .jpeg or .bmp
-- @tparam tensor x [H,W,C]
-- @tparam[opt=true] bool scale the smallest value becomes black and the largest white; false: values must be from
-- 0 to 255
-- @raise another ending; a tensor of another rank
-- @usage
-- cnn.utils.save_img("ramp.png", cnn.tensor{{{0}, {1}, {2}}})
-- cnn.image.load "ramp.png":flatten():tolist()  --> {0, 127, 255}
function utils.save_img(...)
  local path, x, scale = args("save_img", {"path", "x", "scale"}, ...)
  cnn.image.save(path, utils.array_to_img(x, scale))
end
