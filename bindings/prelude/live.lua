-- What fit draws at verbose = 3: curves of loss and a metric below the progress bar, drawn anew as the run goes on.
--
-- The cursor stays in the bar's line, where anything may be printed. What is drawn lies below it, and is wiped away
-- when an epoch ends, before other callbacks speak; so it is the first of them. It has no state that a backup holds.

local cnn = ...

local system = cnn.image.system

local redraw_seconds = 0.5
local most_share = 0.02 -- of the time may go into drawing
local most_points = 400
local lines, least_lines = 14, 7
local most_columns, panel_columns = 100, 36

local Live = {}
Live.__index = Live

local function write(text)
  io.stdout:write(text)
  io.stdout:flush()
end

-- ---- what is drawn ----------------------------------------------------------------------------------------

-- Adds a point to the curve of each name.
local function record(curves, x, logs)
  for name, value in pairs(logs) do
    local curve = curves[name] or {x = {}, y = {}, label = name}
    curve.x[#curve.x + 1], curve.y[#curve.y + 1] = x, value
    curves[name] = curve
  end
end

-- Leaves every second point out.
local function thin(curves)
  for _, curve in pairs(curves) do
    for i = 1, #curve.x do curve.x[i], curve.y[i] = curve.x[2 * i], curve.y[2 * i] end
  end
end

-- The curves of a metric by batch, as long as there is but one epoch; then by epoch, up to where this one has come.
function Live:panel(metric)
  local panel, validation = {}, self.epochs["val_" .. metric]
  if self.finished < (self.over and 2 or 1) then
    panel.xlabel = "batch"
    panel[1] = self.batches[metric]
    if validation then panel[2] = {x = {self.steps}, y = validation.y, label = validation.label} end
  else
    panel.xlabel = "epoch"
    local curve = self.epochs[metric]
    local x, y = table.move(curve.x, 1, #curve.x, 1, {}), table.move(curve.y, 1, #curve.y, 1, {})
    if self.step > 0 then x[#x + 1], y[#y + 1] = self.epoch - 1 + self.step / self.steps, self.logs[metric] end
    panel[1], panel[2] = {x = x, y = y, label = metric}, validation
  end
  return panel[1] and system.panel(panel)
end

-- Draws the lines anew, as many as the terminal has room for.
function Live:compose()
  local start, output = system.seconds(), system.output(nil, io.stdout)
  local columns, rows = math.min(output.columns - 1, most_columns), math.min(lines, output.rows - 4)
  local panels = {self:panel "loss"}
  if self.metric and columns >= 2 * panel_columns then panels[#panels + 1] = self:panel(self.metric) end
  local fits = rows >= least_lines and columns >= panel_columns
  self.drawing = fits and #panels > 0 and system.chart(panels, columns, rows, output.colors) or {}
  self.drawn = system.seconds()
  self.wait = math.max(redraw_seconds, (self.drawn - start) / most_share)
end

-- ---- where it is drawn ------------------------------------------------------------------------------------

-- Makes room below the cursor's line, fills it, and comes back to the line.
function Live:show()
  local rows = #self.drawing
  self.shown = true
  if rows == 0 then return end
  local back = ("\27[%dA\r"):format(rows)
  local text = {("\n"):rep(rows), back}
  for _, line in ipairs(self.drawing) do text[#text + 1] = "\27[B\r" .. line .. "\27[K" end
  write(table.concat(text) .. "\27[J" .. back)
end

-- Clears all below the cursor, which has gone on by a line.
function Live:wipe()
  if self.shown then write "\r\27[J" end
  self.shown = false
end

-- ---- the run ----------------------------------------------------------------------------------------------

function Live:on_train_begin()
  for _, name in ipairs(self.model.metrics_names) do
    if not name:find "loss$" then self.metric = self.metric or name end
  end
end

function Live:on_epoch_begin(epoch)
  self.epoch, self.step = epoch, 0
end

function Live:on_train_batch_begin()
  if self.shown then return end
  if system.seconds() - self.drawn >= self.wait then self:compose() end
  self:show()
end

function Live:on_train_batch_end(step, logs)
  self.step, self.logs = step, logs
  if self.finished == 0 and step % self.every == 0 then
    record(self.batches, step, logs)
    if step // self.every >= most_points then
      thin(self.batches)
      self.every = 2 * self.every
    end
  end
  if system.seconds() - self.drawn >= self.wait then
    self:compose()
    self:show()
  end
end

function Live:on_epoch_end(epoch, logs)
  self:wipe()
  record(self.epochs, epoch, logs)
  self.steps, self.step, self.finished = self.step, 0, self.finished + 1
end

-- Leaves the last state in order, whatever has ended the run.
function Live:finish()
  self:wipe()
  self.over = true
  if self.step == 0 and self.finished == 0 then return end
  self:compose()
  if #self.drawing > 0 then write(table.concat(self.drawing, "\n") .. "\n") end
end

-- Gives fit its callbacks with this one before them, and this one; nothing where the cursor cannot be moved.
system.set_live(function(callbacks)
  local output = system.output(nil, io.stdout)
  if not output.movable or output.format == "none" then return end
  local live = setmetatable({epochs = {}, batches = {}, every = 1, finished = 0, step = 0, drawn = -math.huge,
                             wait = redraw_seconds, drawing = {}, shown = false}, Live)
  local list = {live}
  if type(callbacks) == "table" and (#callbacks > 0 or next(callbacks) == nil) then
    table.move(callbacks, 1, #callbacks, 2, list)
  else
    list[2] = callbacks
  end
  return list, live
end)
