-- An include never goes up: base, kernels, tensor, ops and image, layers and data, model, train, io, bindings.
-- Prints each include that does and fails.

local floors = {base = 1, kernels = 2, tensor = 3, ops = 4, image = 4, layers = 5, data = 5, model = 6, train = 7,
                io = 8, bindings = 9}
local bad = 0

-- Headers of the bindings are included by their bare names; cnn.h, and what the system has, stand below all.
local function floor_of(path)
  return floors[path:match "^core/(%w+)/"] or path:match "^bindings/" and floors.bindings or 0
end

local list <close> = assert(io.popen "ls core/*/*.[ch] bindings/*.[ch]")
for file in list:lines() do
  local number = 0
  for line in io.lines(file) do
    number = number + 1
    local included = line:match '^#include "(%w+)/'
    if included and floor_of(file) < (floors[included] or 0) then
      io.stderr:write(("%s:%d: includes a floor above: %s\n"):format(file, number, line))
      bad = bad + 1
    end
  end
end
os.exit(bad == 0)
