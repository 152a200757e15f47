-- An include never goes up: base, kernels, tensor, ops and image, layers and data, model, train, io,
-- bindings. Nor does core know Lua, or anyone write a path with "..". Prints each include that breaks this.

local floors = {
  base = 1, kernels = 2, tensor = 3, ops = 4, image = 4, layers = 5, data = 5, model = 6, train = 7, io = 8,
  bindings = 9,
}
local bad = 0

local function complain(file, number, what)
  io.stderr:write(("%s:%d: %s\n"):format(file, number, what))
  bad = bad + 1
end

-- Headers of the bindings are included by their bare names; cnn.h and the system's stand below all.
local function check(file, floor, number, included)
  local folder = included:match "^(%w+)/"
  if included:find("..", 1, true) then
    complain(file, number, "path with '..': " .. included)
  elseif folder and (floors[folder] or 0) > floor then
    complain(file, number, "includes a floor above: " .. included)
  elseif floor < floors.bindings and (included:find "^lua" or included == "lauxlib.h") then
    complain(file, number, "core knows nothing of Lua: " .. included)
  end
end

local list = assert(io.popen "find core bindings -name '*.[ch]'")
local count = 0
for file in list:lines() do
  count = count + 1
  local folder = file:match "^core/(.-)/[^/]*$" or file:match "^(bindings)/"
  local floor = floors[file == "core/cnn.h" and "base" or folder]
  if not floor then complain(file, 1, "stands on no floor; this check must know its folder") end
  local number = 0
  for line in io.lines(file) do
    number = number + 1
    local included = line:match '^%s*#%s*include%s*["<](.-)[">]'
    if included then check(file, floor or 0, number, included) end
  end
end
if not list:close() or count == 0 then complain("core", 1, "found no source") end
os.exit(bad == 0)
