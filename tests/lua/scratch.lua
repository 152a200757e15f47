-- scratch.make(): the name of a new folder, empty; scratch.remove(name): takes it away with all that is in it.

local scratch = {}

function scratch.make()
  local pipe <close> = assert(io.popen "mktemp -d")
  return pipe:read "l"
end

function scratch.remove(name)
  assert(os.execute("rm -rf '" .. name .. "'"))
end

return scratch
