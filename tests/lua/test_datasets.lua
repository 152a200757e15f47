-- Data sets: real ones have the right shapes and labels; search, download and every failure on the way;
-- IDX files, one-hot labels, splitting in two parts. Downloads come from mirror.py on this machine.
-- luacheck: globals TestIdx TestRealData TestFind TestFetch TestToCategorical TestTrainTestSplit

local cnn = require "cnn"
local lu = require "luaunit"
local with = require "with"

local here = debug.getinfo(1, "S").source:match "^@(.*/)" or "./"
local files = cnn.datasets.files

-- ---- helpers ----------------------------------------------------------------------------------------------

local function shell(command)
  local pipe = assert(io.popen(command, "r"))
  local text = pipe:read "a"
  pipe:close()
  return (text:gsub("\n$", ""))
end

local function has(program)
  return os.execute("command -v " .. program .. " >/dev/null 2>&1") == true
end

local scratch = {} -- folders to remove

local function folder()
  local path = shell "mktemp -d"
  scratch[#scratch + 1] = path
  return path
end

local function clean()
  for i, path in ipairs(scratch) do
    os.execute(("chmod -R u+rwX '%s'; rm -rf '%s'"):format(path, path))
    scratch[i] = nil
  end
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

local function crc32(text)
  local crc = 0xffffffff
  for i = 1, #text do
    crc = crc ~ text:byte(i)
    for _ = 1, 8 do crc = (crc >> 1) ~ (crc & 1 == 1 and 0xedb88320 or 0) end
  end
  return crc ~ 0xffffffff
end

-- A data set of two small files, laid down in a folder.
local function tiny(path)
  local description = {
    name = "tiny", title = "Tiny", folders = {"tiny", "very-tiny"}, system = {}, mirrors = {},
    {name = "train-images-idx3-ubyte", shape = {2, 2, 2}, bytes = "\0\1\2\3\4\5\6\7"},
    {name = "train-labels-idx1-ubyte", shape = {2}, bytes = "\1\0"},
  }
  for _, file in ipairs(description) do
    local name = path .. "/" .. file.name
    local header = ("\0\0\8%s"):format(string.char(#file.shape))
    for _, size in ipairs(file.shape) do header = header .. (">I4"):pack(size) end
    write(name, header .. file.bytes)
    file.crc32 = crc32(file.bytes)
    file.sha256 = shell("sha256sum < '" .. name .. "'"):match "%x+"
    os.execute("gzip '" .. name .. "'")
  end
  return description
end

local function list(path)
  return shell("ls -A '" .. path:gsub("'", "'\\''") .. "'")
end

local function fails(part, f, ...)
  local done, message = pcall(f, ...)
  lu.assertFalse(done)
  lu.assertStrContains(tostring(message), part)
end

-- How many labels there are of each class 0 … 9.
local function counts(labels)
  local found = {}
  for class = 0, 9 do found[class + 1] = labels:equal(class):astype("int32"):sum():item() end
  return found
end

-- ---- IDX --------------------------------------------------------------------------------------------------

TestIdx = {tearDown = clean}

function TestIdx.test_saves_and_loads()
  local path = folder()
  for _, dtype in ipairs {"uint8", "int32", "float32"} do
    for _, name in ipairs {"/a", "/a.gz"} do
      local t = cnn.tensor({{1, 2, 3}, {4, 5, 250}}, dtype)
      cnn.datasets.save_idx(path .. name, t)
      local loaded = cnn.datasets.load_idx(path .. name)
      lu.assertEquals(loaded:dtype(), dtype)
      lu.assertEquals(loaded:tolist(), {{1, 2, 3}, {4, 5, 250}})
    end
  end
  lu.assertEquals(list(path), "a\na.gz")
end

function TestIdx.test_errors_name_the_file()
  local path = folder()
  write(path .. "/wrong", "hello, world")
  write(path .. "/short", "\0\0\8\1\0\0\0\9abc")
  write(path .. "/long", "\0\0\8\1\0\0\0\2abc")
  write(path .. "/empty", "")
  fails(path .. "/wrong is not an IDX file", cnn.datasets.load_idx, path .. "/wrong")
  fails(path .. "/short is cut short: expected 17 bytes, got 11", cnn.datasets.load_idx, path .. "/short")
  fails(path .. "/long is too long: expected 10 bytes, got 11", cnn.datasets.load_idx, path .. "/long")
  fails(path .. "/empty is empty", cnn.datasets.load_idx, path .. "/empty")
  fails(path .. "/none", cnn.datasets.load_idx, path .. "/none")
  fails("folder", cnn.datasets.load_idx, path)
  fails(path .. "/no/folder", cnn.datasets.save_idx, path .. "/no/folder", cnn.zeros {2})
  fails("bfloat16", cnn.datasets.save_idx, path .. "/b", cnn.zeros({2}, "bfloat16"))
end

function TestIdx.test_wrong_arguments()
  lu.assertError(cnn.datasets.load_idx)
  lu.assertError(cnn.datasets.load_idx, {})
  lu.assertError(cnn.datasets.save_idx, "x")
  lu.assertError(cnn.datasets.save_idx, "x", 3)
end

-- ---- the real ones ----------------------------------------------------------------------------------------

TestRealData = {}

local function assert_shapes(x_train, y_train, x_test, y_test)
  lu.assertEquals(x_train:shape(), {60000, 28, 28})
  lu.assertEquals(y_train:shape(), {60000})
  lu.assertEquals(x_test:shape(), {10000, 28, 28})
  lu.assertEquals(y_test:shape(), {10000})
  for _, t in ipairs {x_train, y_train, x_test, y_test} do lu.assertEquals(t:dtype(), "uint8") end
end

local function real(name)
  local data = os.getenv "CNNLUA_DATA"
  local path = data and data .. "/" .. name
  if name == "fashion_mnist" then path = "/usr/share/datasets/fashion-mnist" end
  local file = path and io.open(path .. "/train-images-idx3-ubyte.gz")
  if not file then lu.skip(name .. " is not in CNNLUA_DATA or a package of the system") end
  file:close()
  return path
end

function TestRealData.test_mnist()
  real "mnist"
  local x_train, y_train, x_test, y_test = cnn.datasets.mnist.load_data()
  assert_shapes(x_train, y_train, x_test, y_test)
  lu.assertEquals(counts(y_train), {5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949})
  lu.assertEquals(counts(y_test), {980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009})
  lu.assertEquals(y_train[{{1, 5}}]:tolist(), {5, 0, 4, 1, 9})
end

function TestRealData.test_fashion_mnist()
  local path = real "fashion_mnist"
  local x_train, y_train, x_test, y_test = cnn.datasets.fashion_mnist.load_data {path = path}
  assert_shapes(x_train, y_train, x_test, y_test)
  local even = {}
  for i = 1, 10 do even[i] = 6000 end
  lu.assertEquals(counts(y_train), even)
  for i = 1, 10 do even[i] = 1000 end
  lu.assertEquals(counts(y_test), even)
  lu.assertEquals(cnn.datasets.fashion_mnist.class_names[y_train[1] + 1], "Ankle boot")
end

function TestRealData.test_one_data_set_in_the_place_of_another()
  local path = real "fashion_mnist"
  fails(path .. "/train-images-idx3-ubyte.gz has another content", cnn.datasets.mnist.load_data, path)
end

function TestRealData.test_wrong_arguments()
  fails("did you mean 'path'", cnn.datasets.mnist.load_data, {pth = "x"})
  fails("'path' must be the name of a folder", cnn.datasets.mnist.load_data, {path = 3})
  fails("/nowhere lacks train-images-idx3-ubyte, train-labels", cnn.datasets.mnist.load_data, "/nowhere")
end

-- ---- search -----------------------------------------------------------------------------------------------

TestFind = {tearDown = clean}

function TestFind.test_order()
  local data, first, second, package = folder(), folder(), folder(), folder()
  local description = tiny(package)
  description.system = {package}
  local function found()
    return with({CNNLUA_DATA = data, caches = {first, second}}, function()
      return files.find(description)[1]:match "(.*)/"
    end)
  end
  lu.assertEquals(found(), package)
  for _, path in ipairs {second .. "/tiny", first .. "/very-tiny", first .. "/tiny", data .. "/tiny"} do
    os.execute(("cp -r '%s' '%s'"):format(package, path))
    lu.assertEquals(found(), path)
  end
end

function TestFind.test_caches()
  local function last(settings)
    return with(settings, function()
      local caches = files.cache_folders()
      return caches[#caches]
    end)
  end
  lu.assertEquals(last {XDG_CACHE_HOME = "/xdg", HOME = "/home/me"}, "/xdg/cnnlua")
  lu.assertEquals(last {XDG_CACHE_HOME = "relative", HOME = "/home/me"}, "/home/me/.cache/cnnlua")
  lu.assertEquals(last {XDG_CACHE_HOME = false, HOME = "/home/me"}, "/home/me/.cache/cnnlua")
end

function TestFind.test_names_and_compression()
  local data = folder()
  os.execute("mkdir " .. data .. "/tiny")
  local description = tiny(data .. "/tiny")
  local function load()
    return with({CNNLUA_DATA = data, caches = {}}, function() return files.load_data(description) end)
  end
  for _, rename in ipairs {
    "gunzip *.gz", "mv train-images-idx3-ubyte train-images.idx3-ubyte", "gzip train-images.idx3-ubyte",
  } do
    os.execute(("cd '%s/tiny' && %s"):format(data, rename))
    local x, y = load()
    lu.assertEquals(x:tolist(), {{{0, 1}, {2, 3}}, {{4, 5}, {6, 7}}})
    lu.assertEquals(y:tolist(), {1, 0})
  end
end

function TestFind.test_found_but_bad()
  local path = folder()
  local description = tiny(path)
  local function assert_bad(part)
    fails(part, files.load_data, description, path)
  end
  local labels = path .. "/train-labels-idx1-ubyte"
  write(labels .. ".gz", "\0\0\8\1\0\0\0\2\0\1")
  assert_bad(labels .. ".gz has another content")
  write(labels .. ".gz", "\0\0\8\1\0\0\0\3\0\1\2")
  assert_bad(labels .. ".gz: expected uint8 {2}, got uint8 {3}")
  write(labels .. ".gz", "\0\0\9\1\0\0\0\2\0\1")
  assert_bad(labels .. ".gz: expected uint8 {2}, got int32 {2}")
  write(labels .. ".gz", "\31\139\8\0")
  assert_bad(labels .. ".gz is cut short")
  os.remove(labels .. ".gz")
  os.execute("mkdir " .. labels)
  assert_bad(labels .. ": expected a file, got a folder")
end

function TestFind.test_incomplete_folder_is_passed_over()
  local data, cache = folder(), folder()
  os.execute(("mkdir '%s/tiny' '%s/tiny'"):format(data, cache))
  local description = tiny(data .. "/tiny")
  tiny(cache .. "/tiny")
  os.remove(data .. "/tiny/train-labels-idx1-ubyte.gz")
  with({CNNLUA_DATA = data, caches = {cache}}, function()
    lu.assertStrContains(files.find(description)[1], cache)
  end)
end

-- Folders and plain files under several names are found as IDX files are.
function TestFind.test_other_parts()
  local data, cache = folder(), folder()
  local description = {
    title = "Mixed", folders = {"mixed"}, data_folders = {"", "../beside"}, system = {},
    {name = "pictures/cats"}, {name = "weights.h5", also = {"w.h5"}},
  }
  local function found()
    return with({CNNLUA_DATA = data .. "/data", caches = {cache}}, function() return (files.find(description)) end)
  end
  lu.assertNil(found())
  for _, path in ipairs{cache .. "/mixed", data .. "/data/../beside", data .. "/data", data .. "/data/mixed"} do
    os.execute(("mkdir -p '%s/data' '%s/pictures/cats'; touch '%s/w.h5'"):format(data, path, path))
    lu.assertEquals(found().folder, path)
    lu.assertEquals(found()[1], path .. "/pictures/cats")
  end
  lu.assertEquals(found()[2], data .. "/data/mixed/w.h5")
  write(data .. "/data/mixed/weights.h5", "")
  lu.assertEquals(found()[2], data .. "/data/mixed/weights.h5")
end

-- ---- download ---------------------------------------------------------------------------------------------

TestFetch = {tearDown = clean}

local server, address, served -- started once; the server ends when its input does

local function mirror(how)
  if not has "python3" then lu.skip "python3, which plays the web server, is not installed" end
  if not has "curl" then lu.skip "curl is not installed" end
  if not server then
    served = shell "mktemp -d"
    local port = served .. "/port"
    local command = ("python3 '%smirror.py' '%s' '%s'; rm -rf '%s'"):format(here, served, port, served)
    server = assert(io.popen(command, "w"))
    for _ = 1, 100 do
      local file = io.open(port)
      if file then
        address = "http://127.0.0.1:" .. file:read "a"
        file:close()
        break
      end
      os.execute "sleep 0.1"
    end
    assert(address, "the web server did not start")
  end
  return address .. "/" .. how
end

-- A description whose files the server has, with these mirrors.
local function described(...)
  local mirrors = {}
  for i, how in ipairs {...} do mirrors[i] = mirror(how) .. "/tiny/" end
  os.execute(("rm -rf '%s/tiny'; mkdir '%s/tiny'"):format(served, served))
  local description = tiny(served .. "/tiny")
  description.mirrors = mirrors
  return description
end

local function fetch(description, caches, settings)
  settings = settings or {}
  settings.CNNLUA_MIRROR = settings.CNNLUA_MIRROR or false
  return with(settings, function() return cnn.datasets.fetch(description, caches) end)
end

function TestFetch.test_download()
  local cache = folder() .. "/a new/cache's folder"
  local description = described "good"
  lu.assertEquals({fetch(description, {cache})}, {cache .. "/tiny"})
  lu.assertEquals(list(cache), "tiny")
  lu.assertEquals(files.load_data(description, cache .. "/tiny"):shape(), {2, 2, 2})
end

function TestFetch.test_load_data_downloads_once()
  local cache = folder()
  local settings = {CNNLUA_DATA = false, CNNLUA_MIRROR = mirror "good" .. "/", caches = {cache}}
  local description = described "none"
  local function load() return files.load_data(description) end
  lu.assertEquals(select(2, with(settings, load)):tolist(), {1, 0})
  settings.CNNLUA_MIRROR = "http://127.0.0.1:9"
  lu.assertEquals(select(2, with(settings, load)):tolist(), {1, 0})
end

function TestFetch.test_completes_what_is_there()
  local cache = folder()
  local description = described "good"
  os.execute(("mkdir '%s/tiny'; cp '%s'/tiny/train-images* '%s/tiny'"):format(cache, served, cache))
  lu.assertEquals(fetch(description, {cache}), cache .. "/tiny")
  lu.assertEquals(list(cache), "tiny")
  lu.assertEquals(list(cache .. "/tiny"), "train-images-idx3-ubyte.gz\ntrain-labels-idx1-ubyte.gz")
end

function TestFetch.test_second_mirror()
  local cache = folder()
  lu.assertEquals(fetch(described("none", "wrong", "good"), {cache}), cache .. "/tiny")
end

local function assert_no_download(how, part)
  local cache = folder()
  local path, why = fetch(described(how), {cache})
  lu.assertNil(path)
  lu.assertStrContains(why, part)
  lu.assertStrContains(why, "/tiny/train-images-idx3-ubyte.gz")
  lu.assertEquals(list(cache), "")
end

function TestFetch.test_not_there() assert_no_download("none", "404") end
function TestFetch.test_wrong_content() assert_no_download("wrong", "wrong content (SHA-256 expected ") end
function TestFetch.test_truncated() assert_no_download("short", "wrong content (SHA-256 expected ") end
function TestFetch.test_server_gone_half_way() assert_no_download("half", "transfer closed") end
function TestFetch.test_endless_redirection() assert_no_download("loop", "redirects") end

function TestFetch.test_one_file_missing_leaves_nothing()
  local cache, description = folder(), described "good"
  os.remove(served .. "/tiny/train-labels-idx1-ubyte.gz")
  local path, why = fetch(description, {cache})
  lu.assertNil(path)
  lu.assertStrContains(why, "train-labels-idx1-ubyte.gz")
  lu.assertEquals(list(cache), "")
end

function TestFetch.test_no_network()
  local cache, description = folder(), described "good"
  description.package = "dataset-tiny"
  local settings = {CNNLUA_DATA = "/some/data", CNNLUA_MIRROR = "http://127.0.0.1:9", caches = {cache}}
  local done, message = pcall(with, settings, function() return files.load_data(description) end)
  lu.assertFalse(done)
  for _, part in ipairs {
    "Tiny is not on this machine and could not be downloaded: ", "http://127.0.0.1:9/tiny/",
    "\n  train-images-idx3-ubyte.gz\n", "\n  train-labels-idx1-ubyte.gz\n", "\n  /some/data/tiny\n",
    "\n  " .. cache .. "/tiny\n", "package dataset-tiny",
  } do
    lu.assertStrContains(message, part)
  end
  lu.assertEquals(list(cache), "")
end

function TestFetch.test_caches_that_cannot_be_written()
  local cache, description = folder(), described "good"
  write(cache .. "/file", "")
  lu.assertEquals(fetch(description, {cache .. "/file/cache", cache}), cache .. "/tiny")
  local path, why = fetch(description, {cache .. "/file/cache"})
  lu.assertNil(path)
  lu.assertStrContains(why, "no folder to keep it in can be written: " .. cache .. "/file/cache")
end

-- A description of two folders that come in one archive with these further members.
local function archived(how, further)
  local description = {
    name = "zoo", title = "Zoo", folders = {"zoo"}, system = {}, mirrors = {mirror(how) .. "/zoo/"},
    archive = {name = "zoo.zip", folder = "the zoo"}, {name = "train/cats"}, {name = "train/dogs"},
  }
  local members = {["the zoo/"] = "", ["the zoo/train/cats/1.jpg"] = "miaow", ["the zoo/train/dogs/1.jpg"] = "wuff"}
  for name, text in pairs(further or {}) do members[name] = text end
  local program = {"import zipfile", "z = zipfile.ZipFile('zoo.zip', 'w', zipfile.ZIP_DEFLATED)"}
  for name, text in pairs(members) do program[#program + 1] = ("z.writestr('%s', '%s')"):format(name, text) end
  write(served .. "/zip.py", table.concat(program, "\n") .. "\nz.close()\n")
  os.execute(("mkdir -p '%s/zoo' && cd '%s/zoo' && python3 ../zip.py"):format(served, served))
  return description
end

function TestFetch.test_archive()
  local cache, description = folder(), archived "good"
  local path = fetch(description, {cache})
  lu.assertEquals(path, cache .. "/zoo")
  lu.assertEquals(list(cache), "zoo")
  lu.assertEquals(list(path .. "/train"), "cats\ndogs")
  lu.assertEquals(list(path .. "/train/cats"), "1.jpg")
  lu.assertEquals(shell("cat '" .. path .. "/train/dogs/1.jpg'"), "wuff")
end

function TestFetch.test_archive_with_members_outside_of_its_folder()
  for _, name in ipairs{"../evil", "the zoo/../../evil", "/tmp/evil", "the zoo/..", "the zoo\\\\evil"} do
    local outer = folder()
    local path, why = fetch(archived("good", {[name] = "!"}), {outer .. "/cache"})
    lu.assertNil(path)
    lu.assertStrContains(why, "a member outside of its folder: ")
    lu.assertEquals(shell(("find '%s'"):format(outer)), outer .. "\n" .. outer .. "/cache")
  end
end

function TestFetch.test_archive_that_is_damaged()
  for how, part in pairs{short = "is not a zip archive", half = "transfer closed", none = "404"} do
    local cache = folder()
    local path, why = fetch(archived(how), {cache})
    lu.assertNil(path)
    lu.assertStrContains(why, part)
    lu.assertEquals(list(cache), "")
  end
end

function TestFetch.test_archive_without_the_parts()
  local cache, description = folder(), archived "good"
  description[3] = {name = "train/birds"}
  local settings = {CNNLUA_DATA = false, CNNLUA_MIRROR = mirror "good", caches = {cache}}
  local done, message = pcall(with, settings, function() return files.obtain(description) end)
  lu.assertFalse(done)
  lu.assertStrContains(message, cache .. "/zoo lacks train/birds\n")
end

function TestFetch.test_real_mnist()
  local path, cache = real "mnist", folder()
  local settings = {CNNLUA_DATA = false, CNNLUA_MIRROR = mirror "good", caches = {cache}}
  os.execute(("ln -sfn '%s' '%s/mnist'"):format(path, served))
  assert_shapes(with(settings, cnn.datasets.mnist.load_data))
  lu.assertEquals(list(cache), "mnist")
end

-- ---- labels -----------------------------------------------------------------------------------------------

TestToCategorical = {}

local to_categorical = cnn.utils.to_categorical

function TestToCategorical.test_rows()
  local y = to_categorical(cnn.tensor({0, 2, 1}, "uint8"), 4)
  lu.assertEquals(y:dtype(), "float32")
  lu.assertEquals(y:tolist(), {{1, 0, 0, 0}, {0, 0, 1, 0}, {0, 1, 0, 0}})
end

function TestToCategorical.test_all_ways_to_call()
  local labels = cnn.tensor({0, 2}, "int32")
  for _, y in ipairs {
    to_categorical(labels), to_categorical(labels, 3), to_categorical {labels}, to_categorical {labels, 3},
    to_categorical {labels, num_classes = 3}, to_categorical {y = labels, num_classes = 3},
    to_categorical {0, 2}, to_categorical({0, 2}, 3), to_categorical {0, 2, num_classes = 3},
    to_categorical {y = {0, 2}},
  } do
    lu.assertEquals(y:tolist(), {{1, 0, 0}, {0, 0, 1}})
  end
end

function TestToCategorical.test_shapes()
  lu.assertEquals(to_categorical(cnn.zeros({5, 1}, "int32"), 2):shape(), {5, 2}) -- as Keras does
  lu.assertEquals(to_categorical(cnn.zeros({5, 3}, "int32"), 2):shape(), {5, 3, 2})
  lu.assertEquals(to_categorical(cnn.zeros({0}, "int32"), 2):shape(), {0, 2})
end

function TestToCategorical.test_errors()
  fails("got -1", to_categorical, {0, -1})
  fails("got 3", to_categorical, {0, 3}, 3)
  fails("0.5", to_categorical, {0.5})
  fails("nan", to_categorical, {0 / 0})
  fails("'num_classes' must be a positive integer, got 0", to_categorical, {0}, 0)
  fails("'num_classes' must be a positive integer, got 1.5", to_categorical, {0}, 1.5)
  fails("'num_classes' must be given", to_categorical, cnn.zeros({0}, "int32"))
  fails("missing", to_categorical)
  fails("did you mean 'num_classes'", to_categorical, {0, num_class = 3})
  fails("twice", to_categorical, {cnn.zeros({2}, "int32"), 3, num_classes = 3})
  lu.assertError(to_categorical, "abc")
  lu.assertError(to_categorical, {"a", "b"})
end

-- ---- two parts --------------------------------------------------------------------------------------------

TestTrainTestSplit = {}

local split = cnn.utils.train_test_split

function TestTrainTestSplit.test_sizes_as_in_scikit_learn()
  local x = cnn.arange(10)
  for _, case in ipairs {
    {{x}, 7, 3}, {{x, test_size = 0.2}, 8, 2}, {{x, test_size = 0.25}, 7, 3}, {{x, train_size = 0.25}, 2, 8},
    {{x, test_size = 3}, 7, 3}, {{x, train_size = 3, test_size = 2}, 3, 2},
  } do
    local train, test = split(case[1])
    lu.assertEquals({#train, #test}, {case[2], case[3]})
  end
  lu.assertEquals(#split({x}, 4), 6)
end

function TestTrainTestSplit.test_keeps_samples_together()
  local x = cnn.arange(300):reshape {100, 3}
  local y = cnn.arange(100):astype "int32"
  local x_train, x_test, y_train, y_test = split {x, y, test_size = 0.2, random_state = 777}
  lu.assertEquals(x_train:shape(), {80, 3})
  lu.assertEquals(y_test:dtype(), "int32")
  local seen = {}
  for _, part in ipairs {{x_train, y_train}, {x_test, y_test}} do
    local rows, labels = part[1]:tolist(), part[2]:tolist()
    for i, label in ipairs(labels) do
      lu.assertEquals(rows[i], {3 * label, 3 * label + 1, 3 * label + 2})
      lu.assertNil(seen[label])
      seen[label] = true
    end
  end
end

function TestTrainTestSplit.test_random_state()
  local x = cnn.arange(100)
  local function test_part(seed) return select(2, split {x, random_state = seed}):tolist() end
  lu.assertEquals(test_part(777), test_part(777))
  lu.assertNotEquals(test_part(777), test_part(778))
  lu.assertNotEquals(test_part(nil), test_part(nil))
end

function TestTrainTestSplit.test_without_shuffling()
  local train, test = split {cnn.arange(6), test_size = 2, shuffle = false}
  lu.assertEquals(train:tolist(), {0, 1, 2, 3})
  lu.assertEquals(test:tolist(), {4, 5})
end

function TestTrainTestSplit.test_stratified()
  local labels = {}
  for i = 1, 100 do labels[i] = i % 10 < 7 and 0 or 1 end
  for _, y in ipairs {cnn.tensor(labels, "int32"), to_categorical(labels)} do
    local z = cnn.tensor(labels, "uint8")
    local _, _, train, test = split {y, z, test_size = 0.2, stratify = y, random_state = 1}
    lu.assertEquals({train:astype("int32"):sum():item(), test:astype("int32"):sum():item()}, {24, 6})
  end
  local _, test = split {cnn.tensor(labels), stratify = labels, test_size = 10}
  lu.assertEquals(test:sum():item(), 3)
end

function TestTrainTestSplit.test_errors()
  local x, y = cnn.arange(10), cnn.arange(9)
  fails("argument 2 has 9 samples, but the first has 10", split, {x, y})
  fails("expected tensors", split, {})
  fails("expected tensors", split, x)
  fails("has no axis to split", split, {cnn.tensor(1)})
  fails("'test_size' must be", split, {x, test_size = 1.5})
  fails("'test_size' must be", split, {x, test_size = -1})
  fails("'train_size' must be", split, {x, train_size = 0})
  fails("'train_size' must be", split, {x, train_size = "0.5"})
  fails("two parts of at least one of 10 samples", split, {x, test_size = 10})
  fails("two parts", split, {x, test_size = 6, train_size = 6})
  fails("two parts", split, {cnn.arange(1)})
  fails("'random_state' must be an integer", split, {x, random_state = 1.5})
  fails("'random_state' must be an integer", split, {x, random_state = -1})
  fails("'shuffle' must be true or false", split, {x, shuffle = 0})
  fails("did you mean 'test_size'", split, {x, tset_size = 2})
  fails("only 1 member", split, {x, stratify = cnn.arange(10)})
  fails("one label for each of 10 samples", split, {x, stratify = y})
  fails("needs shuffle", split, {x, stratify = x, shuffle = false})
  fails("fewer than the 5 classes", split, {x, stratify = {0, 1, 2, 3, 4, 0, 1, 2, 3, 4}, test_size = 2})
end
