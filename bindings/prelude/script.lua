-- What the experiments of scripts/ have in common: their options, their folder for pictures and models.

local cnn = ...

cnn.utils = cnn.utils or {}

local options_help = [[
  --epochs N   train for N epochs (%s)
  --limit N    use the first N samples only
  --seed N     of all random numbers (%s)
  --out DIR    where pictures and models go (%s)
  --help       this text]]

local function usage(defaults)
  return (defaults.help and defaults.help .. "\n\n" or "") .. "Options:\n" ..
    options_help:format(defaults.epochs, defaults.seed, defaults.out)
end

local function number(name, text)
  local value = math.tointeger(tonumber(text))
  if not value or value < 0 or (name ~= "seed" and value < 1) then
    error(("--%s: expected a whole number, got %s"):format(name, text or "nothing"), 0)
  end
  return value
end

--- Reads the options of an experiment's command line, `--epochs N --limit N --seed N --out DIR --help`, and sets
-- its seed.
-- @function cnn.utils.script_options
-- @tparam {string,...} arguments what the script got: {...}
-- @tparam table defaults `epochs` (1), `seed` (1) and `out` ("out"), and `help`, a sentence on what the script
-- shows
-- @treturn table with epochs, limit (nil: all samples), seed and out
-- @raise options that are none of these; numbers that are none
-- @usage
-- options = cnn.utils.script_options({"--epochs", "3"}, {epochs = 10, help = "Learns digits."})
-- options.epochs, options.limit, options.seed
-- --> 3
-- --> nil
-- --> 1
function cnn.utils.script_options(arguments, defaults)
  local options = {epochs = defaults.epochs or 1, seed = defaults.seed or 1, out = defaults.out or "out"}
  local i = 1
  while i <= #arguments do
    local argument = tostring(arguments[i])
    local name, value = argument:match "^%-%-(%w+)=(.*)$"
    if not name then name, value, i = argument:match "^%-%-(%w+)$", arguments[i + 1], i + 1 end
    if name == "help" then
      print(usage(options.help and options or setmetatable({help = defaults.help}, {__index = options})))
      os.exit(true, true)
    elseif name == "epochs" or name == "limit" or name == "seed" then
      options[name] = number(name, value)
    elseif name == "out" and value then
      options.out = value
    else
      error(("unknown option '%s'\n%s"):format(argument, usage(options)), 0)
    end
    i = i + 1
  end
  cnn.utils.set_random_seed(options.seed)
  return options
end

--- The path of a file in the experiment's folder, which is made if it is not there.
-- @function cnn.utils.output_path
-- @tparam table options of script_options
-- @tparam string name of the file
-- @treturn string
-- @usage
-- options = cnn.utils.script_options({"--out", "results"}, {})
-- print(cnn.utils.output_path(options, "loss.png"))  --> results/loss.png
function cnn.utils.output_path(options, name)
  os.execute("mkdir -p '" .. options.out:gsub("'", "'\\''") .. "'")
  return options.out .. "/" .. name
end
