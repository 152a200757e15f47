-- Fashion-MNIST: 70,000 pictures of clothes, in the shape of MNIST (Xiao, Rasul, Vollgraf 2017).
-- Checksums are those of the files' uncompressed content (SHA-256) and of their elements (CRC-32).

local cnn = ...

local fashion_mnist = {
  --- What Fashion-MNIST's labels 0 to 9 stand for; that of label k is class_names[k + 1].
  -- @field cnn.datasets.fashion_mnist.class_names
  -- @usage
  -- print(cnn.datasets.fashion_mnist.class_names[9 + 1])  --> Ankle boot
  class_names = {
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
  },
}
cnn.datasets.fashion_mnist = fashion_mnist

local description = {
  name = "fashion_mnist",
  title = "Fashion-MNIST",
  folders = {"fashion_mnist", "fashion-mnist"},
  system = {"/usr/share/datasets/fashion-mnist"},
  package = "dataset-fashion-mnist",
  mirrors = {
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
  },
  {
    name = "train-images-idx3-ubyte", shape = {60000, 28, 28}, crc32 = 0xae65dccd,
    sha256 = "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
  },
  {
    name = "train-labels-idx1-ubyte", shape = {60000}, crc32 = 0x2ed6e46a,
    sha256 = "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
  },
  {
    name = "t10k-images-idx3-ubyte", shape = {10000, 28, 28}, crc32 = 0x12728439,
    sha256 = "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
  },
  {
    name = "t10k-labels-idx1-ubyte", shape = {10000}, crc32 = 0x242bc73f,
    sha256 = "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
  },
}

--- Loads Fashion-MNIST: 70,000 pictures of clothes, in the shape of MNIST (Xiao, Rasul, Vollgraf 2017).
-- It is downloaded the first time, checked, if it is nowhere on this machine; where it is looked for,
-- cnn.datasets.files.folders tells. Debian's package dataset-fashion-mnist has it too.
-- @function cnn.datasets.fashion_mnist.load_data
-- @tparam[opt] string path the folder of the four files, instead of looking for them
-- @treturn tensor x_train, uint8 {60000, 28, 28}, 0 (background) to 255
-- @treturn tensor y_train, uint8 {60000}, classes 0 to 9, whose names are in class_names
-- @treturn tensor x_test, uint8 {10000, 28, 28}
-- @treturn tensor y_test, uint8 {10000}
-- @raise no files and no way to download them: with where to put them; files of other content
-- @usage norun
-- x_train, y_train, x_test, y_test = cnn.datasets.fashion_mnist.load_data()
-- x_test:shape()                       --> {10000, 28, 28}
-- print(cnn.datasets.fashion_mnist.class_names[y_test[1] + 1])  --> Ankle boot
function fashion_mnist.load_data(...)
  return cnn.datasets.files.load_data(description, ...)
end
