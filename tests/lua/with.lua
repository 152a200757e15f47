-- with(settings, f, …): what f(…) returns, called with other environment variables (false: none), with the folders in
-- settings.caches for caches, and with what goes to stderr in settings.told instead.

local cnn = require "cnn"

return function(settings, f, ...)
  local files = cnn.datasets.files
  local getenv, stderr, cache_folders = os.getenv, io.stderr, files.cache_folders
  -- luacheck: push ignore 122
  os.getenv = function(name)
    if settings[name] ~= nil then return settings[name] or nil end
    return getenv(name)
  end
  settings.told = ""
  io.stderr = {write = function(_, ...) settings.told = settings.told .. table.concat{...} end}
  if settings.caches then files.cache_folders = function() return settings.caches end end
  local results = table.pack(pcall(f, ...))
  os.getenv, io.stderr, files.cache_folders = getenv, stderr, cache_folders
  -- luacheck: pop
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end
