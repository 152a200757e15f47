-- The script of host.c: gets the name of a model's file, returns a function from the bytes of a picture to its class,
-- counted from 0, and how probable that is.

local cnn = require "cnn"
local model = cnn.load_model((...))

return function(bytes, height, width)
  local image = cnn.frombuffer(bytes, "uint8"):reshape {1, height, width}
  local scores = model:predict {image, verbose = 0}[1]
  local class = scores:argmax():item()
  return class - 1, scores[class]
end
