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

--- Loads a picture.
-- @string path
-- @string[opt="rgb"] color_mode "rgb", "rgba" or "grayscale"
-- @param[opt] target_size {height, width}, or one number for both; default: as it is
-- @string[opt="nearest"] interpolation "nearest", "bilinear", "bicubic" or "area"; a picture that shrinks is smoothed
-- @bool[opt=false] keep_aspect_ratio crops it in the middle to the target's ratio first
-- @treturn tensor uint8 [height, width, channels]
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

--- An image as an array, with an axis of channels.
-- @tparam tensor img [H,W,C] or [H,W]
-- @string[opt="float32"] dtype
-- @treturn tensor [H,W,C]
function utils.img_to_array(...)
  local img, dtype = args("img_to_array", {"img", "dtype"}, ...)
  local array = cnn.tensor(img, dtype or "float32")
  if array:rank() == 2 then array = array:expand_dims(-1) end
  if array:rank() ~= 3 then fail(("img_to_array: expected a picture, got a tensor of rank %d"):format(array:rank())) end
  return array
end

--- An array as an image.
-- @tparam tensor x [H,W,C]
-- @bool[opt=true] scale the smallest value becomes 0 and the largest 255; else values must be from 0 to 255
-- @treturn tensor uint8 [H,W,C]
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

--- Saves an array as a picture file.
-- @string path ends in .png, .jpg or .bmp
-- @tparam tensor x [H,W,C]
-- @bool[opt=true] scale as of array_to_img
function utils.save_img(...)
  local path, x, scale = args("save_img", {"path", "x", "scale"}, ...)
  cnn.image.save(path, utils.array_to_img(x, scale))
end
