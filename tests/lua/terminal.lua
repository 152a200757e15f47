-- A program in a real terminal, which tmux is. terminal.open(command, {columns =, rows =, environment =}) gives an
-- object with
--   t:type(text)          types it as it is
--   t:keys("C-c", "Tab")  presses keys by tmux's names for them
--   t:paste(text)         pastes it, in brackets if the program asked for those
--   t:screen([colors])    what is to be seen, without empty lines at the end; with escape sequences of colours
--   t:wait(text)          waits until that is to be seen; gives the screen, or raises with it after `terminal.limit` s
--   t:wait_until(f, what) the same until f(screen) is true
--   t:cursor()            column and row of the cursor, from 0
--   t:resize(columns, rows)
--   t:pid()               of the program
--   t:close()             ends it, whatever it does; also when a variable <close> ends
-- terminal.here tells whether there is a tmux.

local terminal = {limit = 20, here = os.execute "command -v tmux >/dev/null 2>&1" ~= nil}

local methods = {}

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function read(command)
  local pipe <close> = assert(io.popen(command .. " 2>/dev/null"))
  return pipe:read "a"
end

function methods:tmux(...)
  return read(("tmux -u -S %s %s"):format(self.socket, table.concat({...}, " ")))
end

function methods:type(text)
  self:tmux("send-keys -t 0 -l --", quoted(text))
end

function methods:keys(...)
  self:tmux("send-keys -t 0", ...)
end

function methods:paste(text)
  self:tmux("set-buffer --", quoted(text))
  self:tmux "paste-buffer -p -t 0"
end

function methods:screen(colors)
  return (self:tmux("capture-pane -p -t 0", colors and "-e -N" or ""):gsub("%s*$", ""))
end

function methods:wait_until(good, what)
  local from = os.time()
  while true do
    local screen = self:screen()
    if good(screen) then return screen end
    if os.time() - from > terminal.limit then error(("%s did not come; the screen is\n%s"):format(what, screen), 2) end
    os.execute "sleep 0.02"
  end
end

function methods:wait(text)
  return self:wait_until(function(screen) return screen:find(text, 1, true) end, "'" .. text .. "'")
end

function methods:cursor()
  local x, y = self:tmux("display-message -p -t 0", quoted "#{cursor_x} #{cursor_y}"):match "(%d+) (%d+)"
  return tonumber(x), tonumber(y)
end

function methods:resize(columns, rows)
  self:tmux("resize-window -t 0 -x", columns, "-y", rows)
end

function methods:pid()
  return tonumber(self:tmux("display-message -p -t 0", quoted "#{pane_pid}"))
end

function methods:close()
  self:tmux "kill-server"
  os.remove(self.socket)
end

--- The command is run by a shell that it replaces, in the environment of the test and of options.environment.
function terminal.open(command, options)
  options = options or {}
  local t = setmetatable({socket = os.tmpname()}, {__index = methods, __close = methods.close})
  os.remove(t.socket)
  local settings = {}
  for name, value in pairs(options.environment or {}) do settings[#settings + 1] = name .. "=" .. quoted(value) end
  t:tmux("-f /dev/null new-session -d", ("-x %d -y %d"):format(options.columns or 80, options.rows or 24),
         quoted(("exec env %s %s"):format(table.concat(settings, " "), command)))
  return t
end

return terminal
