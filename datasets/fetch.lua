-- Downloads a data set with the program curl, checks it with gzip and sha256sum, and puts it into a cache.
-- Everything goes to a folder of its own beside the place it is meant for, which is renamed when all is there
-- and right, so that the cache never holds a part of a data set; it is removed if anything goes wrong.
-- `$CNNLUA_MIRROR/NAME/` takes the place of the addresses a data set comes with.

local cnn = ...

local system = cnn.datasets.system -- which files.lua, that comes later, takes away

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- Runs a shell command whose arguments $1, $2, … are the further parameters. Returns what it printed and its exit
-- status.
local function run(command, ...)
  local words = {"exec sh -c", quote(command), "sh"}
  for _, argument in ipairs {...} do words[#words + 1] = quote(argument) end
  local pipe <close> = assert(io.popen(table.concat(words, " "), "r"))
  local text = pipe:read "a"
  local _, _, status = pipe:close()
  return text, status
end

local MAKE_FOLDER = [[exec 2>/dev/null; mkdir -p "$1" && d="$1/.$2.$$" && mkdir "$d" && printf %s "$d"]]

-- The bar goes to a terminal only; the reason of a failure comes back in any case.
local DOWNLOAD = [[
  if [ -t 2 ]; then how=--progress-bar; else how=--silent; fi
  curl $how --fail --location --connect-timeout 10 --speed-limit 1000 --speed-time 30 \
    --max-filesize 100000000 --output "$2" --write-out '%{errormsg}' -- "$1"]]

-- Of what is in a gzip file, or of another file as it is.
local CHECKSUM = [[gzip -dcf < "$1" 2>/dev/null | sha256sum]]

-- A folder of its own in the first of the caches that can be written, removed at the end of its scope: a table with
-- `cache` and `path`, or nil.
local function scratch_folder(description, caches)
  for _, cache in ipairs(caches) do
    local path, status = run(MAKE_FOLDER, cache, description.name)
    if status == 0 then
      return setmetatable({cache = cache, path = path}, {
        __close = function() run('rm -rf "$1"', path) end,
      })
    end
  end
end

-- Returns what went wrong, if anything. Without a checksum any content will do.
local function download(address, path, sha256)
  local text, status = run(DOWNLOAD, address, path)
  if status == 127 then return "the program curl is not installed" end
  if status ~= 0 then
    return ("%s: %s"):format(address, text ~= "" and text or "curl ended with status " .. status)
  end
  local sum = sha256 and run(CHECKSUM, path):match "^%x+"
  if sum ~= sha256 then
    return ("%s: wrong content (SHA-256 expected %s, got %s)"):format(address, sha256, sum or "nothing")
  end
end

-- Tries each mirror in turn; the one that works stays the first.
local function download_file(mirrors, file, folder)
  local name, failures = cnn.datasets.files.names(file)[1], {}
  for i, mirror in ipairs(mirrors) do
    local failure = download(mirror .. name, folder .. "/" .. name, file.sha256)
    if not failure then
      table.insert(mirrors, 1, table.remove(mirrors, i))
      return true
    end
    failures[i] = failure
  end
  return nil, table.concat(failures, "; ")
end

-- Downloads the files, or the archive that has them. Returns the folder they are in, or nil and what went wrong.
local function download_all(mirrors, description, folder)
  local archive = description.archive
  for _, file in ipairs(archive and {archive} or description) do
    local done, why = download_file(mirrors, file, folder)
    if not done then return nil, why end
  end
  if not archive then return folder end
  local done, why = system.unzip(folder .. "/" .. archive.name, folder)
  if not done then return nil, why end
  return folder .. "/" .. archive.folder
end

-- One rename puts all in place. Where a folder of that name is there already, with some of the parts or
-- made by another process at the same time, the parts are moved one by one, each whole.
local function put_in_place(description, from, to)
  if os.rename(from, to) then return true end
  for _, part in ipairs(description) do
    local name = "/" .. cnn.datasets.files.names(part)[1]
    local done, why = os.rename(from .. name, to .. name)
    if not done then return nil, why end
  end
  return true
end

--- Downloads a data set by the programs curl, gzip and sha256sum, and puts it into a cache.
-- Everything goes into a folder of its own beside its place, which is renamed when all is there and checked, so
-- that a cache never holds a part of a data set. `$CNNLUA_MIRROR/NAME/` takes the place of the addresses in the
-- description.
-- @function cnn.datasets.fetch
-- @tparam table description as cnn.datasets.files.obtain tells
-- @tparam {string,...} caches folders; the first that can be written gets the data set, in a folder of its name
-- @treturn string|nil the folder with the files
-- @treturn string|nil without a folder: what went wrong
-- @usage norun
-- folder, problem = cnn.datasets.fetch({
--   name = "mine", title = "My pictures", folders = {"mine"}, system = {},
--   mirrors = {"https://example.org/"}, {name = "pictures.npy"},
-- }, cnn.datasets.files.cache_folders())
function cnn.datasets.fetch(description, caches)
  local mirror = os.getenv "CNNLUA_MIRROR"
  local mirrors = table.move(description.mirrors, 1, #description.mirrors, 1, {})
  if mirror and mirror ~= "" then mirrors = {mirror:gsub("/*$", "") .. "/" .. description.name .. "/"} end
  local scratch <close> = scratch_folder(description, caches)
  if not scratch then return nil, "no folder to keep it in can be written: " .. table.concat(caches, ", ") end
  io.stderr:write(("Downloading %s to %s\n"):format(description.title, scratch.cache))
  local done, why = download_all(mirrors, description, scratch.path)
  local folder = scratch.cache .. "/" .. description.folders[1]
  if done then done, why = put_in_place(description, done, folder) end
  if not done then return nil, why end
  return folder
end
