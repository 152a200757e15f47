-- The module for LuaRocks, built from this tree: luarocks make bindings/cnn-scm-1.rockspec
-- The compiler and its flags are the Makefile's own: the kernels are written for them.
rockspec_format = "3.0"
package = "cnn"
version = "scm-1"
source = {url = "."} -- luarocks make takes the tree that it is run in
description = {
  summary = "Convolutional neural networks on CPUs",
  detailed = [[
Tensors, layers, training, augmentation and files of convolutional neural networks, under Keras's names, computed
by a C library with kernels for AVX-512, AVX2 and SSE2. The Makefile's `make setup` installs the libraries it needs
on Debian: OpenBLAS, HDF5, libzip, cJSON, libjpeg, zlib, stb, Chafa.]],
  labels = {"neural-network", "machine-learning", "image"},
  license = "MIT",
}
dependencies = {"lua ~> 5.4"}
build = {
  type = "make",
  build_target = "module",
  install_target = "install-module",
  variables = {CC = "cc", LUA = "$(LUA)", LUA_INCDIR = "$(LUA_INCDIR)"},
  install_variables = {LUA_CDIR = "$(LIBDIR)"},
}
