-- Finds data sets and other published files, checks them and loads them.
--
-- If no folder has a data set, it is downloaded (datasets/fetch.lua) and checked against SHA-256 before it is put in
-- place. Loading IDX files checks shape, type and CRC-32, which costs next to nothing; a file that fails is an error
-- and not passed over. What a description holds, files.obtain tells.

local cnn = ...

local files = {}
cnn.datasets.files = files

local system = cnn.datasets.system
cnn.datasets.system = nil

local ENOENT, ENOTDIR = 2, 20

-- Whether there is something called path, be it readable or not.
local function exists(path)
  local file, _, code = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil or (code ~= ENOENT and code ~= ENOTDIR)
end

local function readable(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

--- The folders that downloads may go to, the preferred first.
-- datasets/cache in the source tree, for a program that runs from the tree it was built in; and
-- `$XDG_CACHE_HOME/cnnlua`, by default `~/.cache/cnnlua`.
-- @function cnn.datasets.files.cache_folders
-- @treturn {string,...}
-- @usage
-- folders = cnn.datasets.files.cache_folders()
function files.cache_folders()
  local found = {}
  local tree = system.source_tree()
  if tree then found[#found + 1] = tree .. "/datasets/cache" end
  local xdg, home = os.getenv "XDG_CACHE_HOME", os.getenv "HOME"
  if xdg and xdg:sub(1, 1) == "/" then -- relative ones are to be ignored, says the XDG specification
    found[#found + 1] = xdg .. "/cnnlua"
  elseif home and home ~= "" then
    found[#found + 1] = home .. "/.cache/cnnlua"
  end
  return found
end

--- The folders in which a data set is looked for, in this order; the first that has all its parts is taken.
-- They are `$CNNLUA_DATA/NAME`, NAME in each of the cache_folders, and where a package of the system puts it.
-- @function cnn.datasets.files.folders
-- @tparam table description as of obtain
-- @treturn {table,...} with `path` and, where the user named the folder by CNNLUA_DATA, `named = true`
-- @usage
-- description = {name = "mine", title = "My data", folders = {"mine"}, system = {"/usr/share/mine"}, {name = "a.npy"}}
-- folders = cnn.datasets.files.folders(description)
-- print(folders[#folders].path)        --> /usr/share/mine
function files.folders(description)
  local found = {}
  local function add(root, names, named)
    for _, name in ipairs(names) do
      found[#found + 1] = {path = name == "" and root or root .. "/" .. name, named = named}
    end
  end
  local data = os.getenv "CNNLUA_DATA"
  if data and data ~= "" then
    add(data, description.folders, true)
    add(data, description.data_folders or {}, true)
  end
  for _, root in ipairs(files.cache_folders()) do add(root, description.folders) end
  for _, path in ipairs(description.system) do found[#found + 1] = {path = path} end
  return found
end

--- The names that a part of a data set may have; it is downloaded under the first.
-- @function cnn.datasets.files.names
-- @tparam table part of a description
-- @treturn {string,...}
-- @usage
-- cnn.datasets.files.names{name = "a.npy", also = {"b.npy"}}  --> {"a.npy", "b.npy"}
function files.names(part)
  if not part.shape then return {part.name, table.unpack(part.also or {})} end
  local dotted = part.name:gsub("%-(idx%d)", ".%1")
  return {part.name .. ".gz", part.name, dotted .. ".gz", dotted}
end

-- The paths of the parts in a folder, and the names of those that are not there.
-- In a folder the user named, a file that cannot be read is found, to become an error; elsewhere it is not.
local function look_in(description, folder)
  local found, missing = {folder = folder.path}, {}
  local there = folder.named and exists or readable
  for i, part in ipairs(description) do
    for _, name in ipairs(files.names(part)) do
      local path = folder.path .. "/" .. name
      if not found[i] and there(path) then found[i] = path end
    end
    if not found[i] then missing[#missing + 1] = part.name end
  end
  return found, missing
end

--- Looks for a data set on this machine.
-- @function cnn.datasets.files.find
-- @tparam table description as of obtain
-- @treturn table|nil the paths of its parts, in their order, and in `folder` where they lie; nil if it is nowhere
-- @treturn {string,...} notes on folders that have a part of it
-- @usage
-- description = {name = "mine", title = "My data", folders = {"mine"}, system = {"."}, {name = "numbers-nowhere.npy"}}
-- cnn.datasets.files.find(description)
-- --> nil
-- --> {}
function files.find(description)
  local notes = {}
  for _, folder in ipairs(files.folders(description)) do
    local found, missing = look_in(description, folder)
    if #missing == 0 then return found, notes end
    if #missing < #description then
      notes[#notes + 1] = ("%s lacks %s"):format(folder.path, table.concat(missing, ", "))
    end
  end
  return nil, notes
end

local function same(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do
    if a[i] ~= b[i] then return false end
  end
  return true
end

local function load_file(description, file, path)
  local tensor = cnn.datasets.load_idx(path)
  local shape = tensor:shape()
  if tensor:dtype() ~= "uint8" or not same(shape, file.shape) then
    system.fail(("%s: %s: expected uint8 {%s}, got %s {%s}"):format(description.title, path,
      table.concat(file.shape, ", "), tensor:dtype(), table.concat(shape, ", ")))
  end
  local sum = system.crc32(tensor)
  if sum ~= file.crc32 then
    system.fail(("%s: %s has another content than the published file (CRC-32 of its elements: expected %08x, "
      .. "got %08x); it is damaged or of another data set"):format(description.title, path, file.crc32, sum))
  end
  return tensor
end

-- What an error says of where the parts could be put.
local function advice(description)
  local lines = {("Put %s,"):format(description.what or "these files, as they are or without .gz")}
  for _, part in ipairs(description) do lines[#lines + 1] = "  " .. files.names(part)[1] end
  lines[#lines + 1] = "into one of these folders:"
  local data = os.getenv "CNNLUA_DATA"
  if not data or data == "" then lines[#lines + 1] = "  $CNNLUA_DATA/" .. description.folders[1] end
  for _, folder in ipairs(files.folders(description)) do lines[#lines + 1] = "  " .. folder.path end
  if description.package then lines[#lines + 1] = "or install the package " .. description.package .. "." end
  return table.concat(lines, "\n")
end

-- Downloads what is described. Returns what files.find does, or nil and how it failed.
local function download(description)
  if not description.mirrors then return nil, "" end
  local folder, why = cnn.datasets.fetch(description, files.cache_folders())
  if folder then
    local paths, missing = look_in(description, {path = folder, named = true})
    if #missing == 0 then return paths end
    why = ("%s lacks %s"):format(folder, table.concat(missing, ", "))
  end
  return nil, " and could not be downloaded: " .. why
end

--- Looks for a data set and downloads it if it is nowhere.
-- It is described by a table: `name`; `title`; `folders`, what its folder may be called; `system`, folders of
-- packages; a list of parts, files or folders, each with `name`, `also` (a list of other names) and `sha256`; and
-- where there is need for it `data_folders` (further names in $CNNLUA_DATA), `package` (the system's), `mirrors`
-- (addresses that names are added to; without, nothing is downloaded), `archive` (of one zip file with all: its
-- `name`, its `folder` with the parts, `sha256`) and `what` (what messages call the parts). A part with `shape` is
-- an IDX file, plain or .gz, with `crc32` of its elements; its sha256 is that of the plain one.
-- @function cnn.datasets.files.obtain
-- @tparam table description
-- @treturn table as of find
-- @raise files that are nowhere and cannot be downloaded: with where to put them
-- @usage
-- cnn.save("numbers.npy", cnn.arange(0, 3))
-- description = {name = "mine", title = "My data", folders = {"mine"}, system = {"."}, {name = "numbers.npy"}}
-- print(cnn.datasets.files.obtain(description)[1])  --> ./numbers.npy
function files.obtain(description)
  local paths, notes = files.find(description)
  if paths then return paths end
  local why
  paths, why = download(description)
  if paths then return paths end
  local lines = {("%s is not on this machine%s"):format(description.title, why)}
  table.move(notes, 1, #notes, 2, lines)
  lines[#lines + 1] = advice(description)
  return system.fail(table.concat(lines, "\n"))
end

--- The parts of a data set in a folder that the caller named.
-- @function cnn.datasets.files.within
-- @tparam table description as of obtain
-- @tparam string path the folder
-- @tparam string who begins the error message
-- @treturn table as of find
-- @raise parts that are missing
-- @usage
-- description = {name = "mine", title = "My data", folders = {"mine"}, system = {}, {name = "a.npy"}}
-- cnn.datasets.files.within(description, ".", "mine")  --> error: mine: . lacks a.npy
function files.within(description, path, who)
  local found, missing = look_in(description, {path = path, named = true})
  if #missing == 0 then return found end
  return system.fail(("%s: %s lacks %s"):format(who, path, table.concat(missing, ", ")))
end

--- Loads a data set of IDX files: what load_data of MNIST does.
-- Shape, dtype and CRC-32 of each are checked.
-- @function cnn.datasets.files.load_data
-- @tparam table description as of obtain, its parts with `shape` and `crc32`
-- @tparam[opt] string path a folder, instead of looking for one; also as {path = folder}
-- @treturn tensor one for each part
-- @raise files that are missing or of other content
-- @usage norun
-- images, labels = cnn.datasets.files.load_data(description, "/data/mine")
function files.load_data(description, ...)
  local who = description.name .. ".load_data"
  local path = system.path(who, ...)
  local paths = path and files.within(description, path, who) or files.obtain(description)
  local tensors = {}
  for i, file in ipairs(description) do tensors[i] = load_file(description, file, paths[i]) end
  return table.unpack(tensors)
end
