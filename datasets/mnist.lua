-- MNIST: 70,000 handwritten digits, 28 by 28 pixels, in 10 classes (LeCun, Cortes, Burges).
-- Checksums are those of the files' uncompressed content (SHA-256) and of their elements (CRC-32).

local cnn = ...

local mnist = {}
cnn.datasets.mnist = mnist

local description = {
  name = "mnist",
  title = "MNIST",
  folders = {"mnist"},
  system = {},
  mirrors = {
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
  },
  {
    name = "train-images-idx3-ubyte", shape = {60000, 28, 28}, crc32 = 0xf3639b56,
    sha256 = "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
  },
  {
    name = "train-labels-idx1-ubyte", shape = {60000}, crc32 = 0xba07e8ef,
    sha256 = "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
  },
  {
    name = "t10k-images-idx3-ubyte", shape = {10000, 28, 28}, crc32 = 0xe4ca5f57,
    sha256 = "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
  },
  {
    name = "t10k-labels-idx1-ubyte", shape = {10000}, crc32 = 0xee8604d9,
    sha256 = "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
  },
}

--- Loads MNIST: 70,000 handwritten digits, grey, 28 by 28 pixels (LeCun, Cortes, Burges).
-- It is downloaded the first time, checked, if it is nowhere on this machine; where it is looked for,
-- cnn.datasets.files.folders tells.
-- @function cnn.datasets.mnist.load_data
-- @tparam[opt] string path the folder of the four files, instead of looking for them
-- @treturn tensor x_train, uint8 {60000, 28, 28}, 0 (background) to 255
-- @treturn tensor y_train, uint8 {60000}, the digits 0 to 9
-- @treturn tensor x_test, uint8 {10000, 28, 28}
-- @treturn tensor y_test, uint8 {10000}
-- @raise no files and no way to download them: with where to put them; files of other content
-- @usage norun
-- x_train, y_train, x_test, y_test = cnn.datasets.mnist.load_data()
-- x_train:shape()                      --> {60000, 28, 28}
-- x_train = x_train:reshape{60000, 28, 28, 1}:astype "float32" / 255
-- y_train[1]                           --> 5
function mnist.load_data(...)
  return cnn.datasets.files.load_data(description, ...)
end
