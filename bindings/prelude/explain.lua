-- cnn.explain: why a network says what it says. Here is what looks at its answers: which classes it confuses, its
-- surest mistakes, its opinion of one picture. explain_inside.lua looks into the network. No function changes the
-- model, or the default generator of random numbers.
--
-- Whatever can be seen goes, with `file`, into a picture, and else to the terminal, unless `show = false`; what is
-- returned is there to be worked on, in every case.

local cnn = ...

local explain = cnn.explain
local graph = explain.system -- lua_explain.c; explain_inside.lua takes it away
local system = cnn.image.system -- to which plot.lua and show.lua, that come later, add what is used of them
local args, fail = cnn.nn.args, system.fail

-- ---- arguments ---------------------------------------------------------------------------------------------

local function kind_of(value)
  local metatable = type(value) == "userdata" and getmetatable(value)
  return metatable and metatable.__name
end

local function whole_from(low)
  return function(v) return math.type(v) and math.tointeger(v) and v >= low end
end

local function is_names(value)
  if type(value) ~= "table" or getmetatable(value) or #value == 0 then return false end
  for _, name in ipairs(value) do
    if type(name) ~= "string" and type(name) ~= "number" then return false end
  end
  return true
end

-- What an argument may be, and how that is said.
local kinds = {
  model = {"a model", function(v) return kind_of(v) == "model" end},
  layer = {"a layer, its name or its position", function(v)
    return type(v) == "string" or math.type(v) == "integer" or kind_of(v) == "layer" or kind_of(v) == "model"
  end},
  tensor = {"a tensor", cnn.is_tensor},
  samples = {"a tensor or a dataset", function(v) return cnn.is_tensor(v) or kind_of(v) == "dataset" end},
  labels = {"a tensor or a list of numbers", function(v)
    return cnn.is_tensor(v) or (type(v) == "table" and #v > 0)
  end},
  names = {"a list of names", is_names},
  label = {"a label, a whole number from 0", whole_from(0)},
  count = {"a whole number of at least 1", whole_from(1)},
  whole = {"a whole number", function(v) return math.type(v) and math.tointeger(v) end},
  fraction = {"a number from 0 to 1", function(v) return type(v) == "number" and v >= 0 and v <= 1 end},
  share = {'"true", "pred", "all" or a boolean', function(v)
    return type(v) == "boolean" or v == "true" or v == "pred" or v == "all"
  end},
  boolean = {"true or false", function(v) return type(v) == "boolean" end},
  path = {"the name of a file", function(v) return type(v) == "string" end},
}

-- The values of arguments by name. Each of names is a name, a kind and the default; with "!" it must be given.
local function arguments(who, names, ...)
  local list, values = {}, {who = who}
  for i, entry in ipairs(names) do list[i] = entry[1] end
  local given = table.pack(args(who, list, ...))
  for i, entry in ipairs(names) do
    local name, kind, value = entry[1], kinds[entry[2]:gsub("!", "")], given[i]
    if value == nil or value == cnn.null then
      if entry[2]:find "!" then fail(("%s: '%s' is missing"):format(who, name)) end
      value = entry[3]
    elseif not kind[2](value) then
      fail(("%s: '%s' must be %s, got %s"):format(who, name, kind[1], system.describe(value)))
    end
    values[name] = value
  end
  cnn.repl.told = values.show and not values.file or nil
  return values
end

-- ---- pictures ----------------------------------------------------------------------------------------------

-- A picture [H,W] or [H,W,C] as bytes [H,W,3]: from 0 to 1, or else to 255, if that holds its values; else from its
-- smallest to its largest. Of other than 1, 3 or 4 channels the mean is seen.
local function drawable(picture)
  local shape = picture:shape()
  if #shape == 3 and shape[3] ~= 1 and shape[3] ~= 3 and shape[3] ~= 4 then
    picture = picture:astype "float32":mean(3)
  end
  if picture:dtype() ~= "uint8" then
    picture = picture:astype "float32"
    local low, high = picture:min():item(), picture:max():item()
    if low >= 0 and high <= 1 then
      picture = picture * 255
    elseif not (low >= 0 and high <= 255) then
      picture = cnn.image.normalize(picture) * 255
    end
    picture = (picture + 0.5):clip(0, 255):astype "uint8"
  end
  return cnn.image.to_rgb(picture)
end

-- Whole pixels become squares of pixels, until the longer side comes near so many.
local function enlarge(picture, size)
  local shape = picture:shape()
  local zoom = math.max(1, math.floor(size / math.max(shape[1], shape[2]) + 0.5))
  return zoom == 1 and picture or cnn.image.resize(picture, {shape[1] * zoom, shape[2] * zoom}, "nearest")
end

-- Columns that a text takes in the terminal.
local function width_of(text)
  return (select(2, system.fit_text(text, math.maxinteger)))
end

-- Draws to the file, on paper of so many pixels, measured from its upper left corner: the picture (bytes [H,W,3])
-- there, then bars {x, y, width, height} and texts {x, y, text, align}.
local function draw(a, width, height, picture, texts, bars)
  local name = os.tmpname()
  local picture_name = name .. ".png"
  cnn.image.save(picture_name, picture)
  local lines = {
    "unset border; unset tics; unset key",
    "set lmargin at screen 0; set rmargin at screen 1; set bmargin at screen 0; set tmargin at screen 1",
    ("set xrange [0:%d]; set yrange [0:%d]"):format(width, height),
  }
  for _, bar in ipairs(bars or {}) do
    lines[#lines + 1] = ("set object rectangle from %g,%g to %g,%g fs solid noborder fc rgb '%s'"):format(
      bar[1], height - bar[2], bar[1] + bar[3], height - bar[2] - bar[4], bar.color)
  end
  for _, text in ipairs(texts) do
    lines[#lines + 1] = ("set label %s at %g,%g %s front"):format(
      system.quote(text[3]), text[1], height - text[2], text[4])
  end
  lines[#lines + 1] = ("plot '%s' binary filetype=png origin=(0.5,%g) with rgbimage notitle"):format(
    picture_name, height - #picture + 0.5)
  local done, message = pcall(system.gnuplot, a.who, a.file, width, height, lines)
  os.remove(name)
  os.remove(picture_name)
  if not done then error(message, 0) end
end

-- Pictures [H,W,3] in rows and columns, with a line of text below each.
local function draw_labelled(a, pictures, labels, columns)
  local letter, line, gap = 8, 26, 8 -- pixels: a letter's width, a line's height
  local height, width = table.unpack(pictures[1]:shape())
  local cell = width
  for _, label in ipairs(labels) do cell = math.max(cell, width_of(label) * letter) end
  local left = (cell - width) // 2
  local tiles = {}
  for i, picture in ipairs(pictures) do
    tiles[i] = cnn.pad(picture, {{0, line}, {left, cell - width - left}, {0, 0}}, 255)
  end
  local sheet = cnn.image.grid{tiles, columns = columns, padding = gap}
  local texts = {}
  for i, label in ipairs(labels) do
    local row, column = (i - 1) // columns, (i - 1) % columns
    texts[i] = {gap + column * (cell + gap) + cell / 2, gap + row * (height + line + gap) + height + line / 2, label,
                "center"}
  end
  local size = sheet:shape()
  draw(a, size[2], size[1], sheet, texts)
end

-- The columns of a grid that is nearly square and, if it can be, full.
local function columns_of(count)
  local root = math.ceil(math.sqrt(count))
  for columns = root, 2 * root - 1 do
    if count % columns == 0 then return columns end
  end
  return root
end

-- Shows pictures as the arguments file and show tell: each with its label, or without labels as tiles.
local function show(a, pictures, labels, size)
  if not a.file and not a.show then return end
  local columns, list = columns_of(#pictures), {}
  for i, picture in ipairs(pictures) do list[i] = drawable(picture) end
  if labels and not a.file then return cnn.show(list, {labels = labels, columns = columns}) end
  for i, picture in ipairs(list) do list[i] = enlarge(picture, size) end
  if labels then return draw_labelled(a, list, labels, columns) end
  local sheet = cnn.image.grid{list, columns = columns, padding = 4}
  if a.file then cnn.image.save(a.file, sheet) else cnn.show(sheet) end
end

-- ---- classes -----------------------------------------------------------------------------------------------

local function check_names(who, names, classes)
  if names and #names < classes then
    fail(("%s: 'class_names' has %d names for %d classes"):format(who, #names, classes))
  end
end

local function name_of(names, label)
  return tostring(names and names[label + 1] or label)
end

local function percent(probability)
  return ("%.0f%%"):format(100 * probability)
end

-- What a model has put out [n,classes] as probabilities. Of one output that is the second class's, and the first class
-- gets what is left. Unless they are known to be probable, or add up to 1, the numbers are scores.
local function as_probabilities(who, values, probable)
  local shape = values:shape()
  if #shape ~= 2 then
    fail(("%s: expected class scores {samples, classes} from the model, got shape {%s}"):format(
      who, table.concat(shape, ", ")))
  end
  if shape[2] == 1 then
    if not probable then values = values:sigmoid() end
    return cnn.concat({1 - values, values}, 2)
  end
  if not probable and shape[1] > 0 then
    local far = (values:sum(2) - 1):abs():max():item()
    if values:min():item() < 0 or far > 1e-3 then values = cnn.nn.softmax(values) end
  end
  return values
end

-- The symbolic output that a call is about.
local function output_of(who, model, position)
  graph.calls(model, who) -- an error where it is not built
  local output = model.outputs[position]
  if not output then
    fail(("%s: 'output' must be from 1 to %d, got %d"):format(who, #model.outputs, position))
  end
  return output
end

-- Labels as a list of whole numbers from 0, and how many classes their form tells of.
local function as_labels(who, name, values)
  if not cnn.is_tensor(values) then values = cnn.tensor(values) end
  local shape = values:shape()
  if #shape == 2 and shape[2] > 1 then return (values:argmax(2) - 1):tolist(), shape[2] end
  local labels, classes = values:reshape{-1}:tolist(), 1
  for i, label in ipairs(labels) do
    local whole = math.tointeger(label)
    if not whole or whole < 0 then
      fail(("%s: '%s' must hold labels, whole numbers from 0, or a row for each sample; got %s"):format(
        who, name, tostring(label)))
    end
    labels[i], classes = whole, math.max(classes, whole + 1)
  end
  return labels, classes
end

-- The classes that predictions tell: labels, probabilities of the second of two classes, or rows of scores.
local function as_predicted(who, values)
  if not cnn.is_tensor(values) then values = cnn.tensor(values) end
  local shape = values:shape()
  local alone = #shape == 1 or (#shape == 2 and shape[2] == 1)
  if alone and values:dtype() == "float32" and values:not_equal(values:floor()):any() then
    return values:greater(0.5):reshape{-1}:tolist(), 2
  end
  return as_labels(who, "y_pred", values)
end

-- Calls f(x, labels, classes, probabilities) for each batch of the dataset x, or once for the tensors x and y.
local function each_batch(a, f)
  local who = a.who
  if not a.model then fail(who .. ": 'model' is missing") end
  if not a.x then fail(who .. ": 'x' is missing") end
  local _, probable = graph.score(output_of(who, a.model, a.output))
  local function batch(x, y)
    if type(y) == "table" and cnn.is_tensor(y[a.output]) then y = y[a.output] end
    if y == nil then fail(who .. ": 'y' is missing: the labels of 'x'") end
    local labels, classes = as_labels(who, "y", y)
    if #labels ~= #x then fail(("%s: 'x' has %d samples, and 'y' %d labels"):format(who, #x, #labels)) end
    local values = a.model:predict{x, verbose = 0}
    if type(values) == "table" then values = values[a.output] end
    local probabilities = as_probabilities(who, values, probable)
    f(x, labels, math.max(classes, probabilities:shape(2)), probabilities)
  end
  if cnn.is_tensor(a.x) then return batch(a.x, a.y) end
  if a.y then fail(who .. ": 'y' must not be given: labels come with the dataset") end
  for x, y in a.x:iter() do batch(x, y) end
end

-- True and predicted labels of all samples, and the number of classes.
local function answers(a)
  local truth, predicted, classes = {}, {}, 1
  if a.y_true or a.y_pred then
    if not (a.y_true and a.y_pred) or a.model or a.x or a.y then
      fail(a.who .. ": expected either 'model', 'x' and 'y', or 'y_true' and 'y_pred'")
    end
    local first, second
    truth, first = as_labels(a.who, "y_true", a.y_true)
    predicted, second = as_predicted(a.who, a.y_pred)
    classes = math.max(first, second)
  else
    each_batch(a, function(_, labels, count, probabilities)
      table.move(labels, 1, #labels, #truth + 1, truth)
      table.move((probabilities:argmax(2) - 1):tolist(), 1, #labels, #predicted + 1, predicted)
      classes = math.max(classes, count)
    end)
  end
  if #truth ~= #predicted then
    fail(("%s: 'y_true' has %d labels, and 'y_pred' %d"):format(a.who, #truth, #predicted))
  end
  check_names(a.who, a.class_names, classes)
  return truth, predicted, a.class_names and #a.class_names or classes
end

local most_classes = 4000

-- counts[i][j]: how often class i - 1 was taken for class j - 1; and the sums of rows, of columns, and on the diagonal.
local function count_answers(a)
  local truth, predicted, classes = answers(a)
  if classes > most_classes then
    fail(("%s: expected at most %d classes, got %d"):format(a.who, most_classes, classes))
  end
  local counts, rows, columns, right = {}, {}, {}, 0
  for i = 1, classes do
    counts[i], rows[i], columns[i] = {}, 0, 0
    for j = 1, classes do counts[i][j] = 0 end
  end
  for k, label in ipairs(truth) do
    local i, j = label + 1, predicted[k] + 1
    counts[i][j], rows[i], columns[j] = counts[i][j] + 1, rows[i] + 1, columns[j] + 1
    if i == j then right = right + 1 end
  end
  return {counts = counts, rows = rows, columns = columns, right = right, total = #truth, classes = classes}
end

local function ratio(part, whole)
  return whole > 0 and part / whole or 0
end

-- ---- the confusion matrix ----------------------------------------------------------------------------------

-- Text at the right end of so many columns.
local function padded(text, width)
  return (" "):rep(width - width_of(text)) .. text
end

local function accuracy_line(c)
  return ("%d of %d right: %.2f%%"):format(c.right, c.total, 100 * ratio(c.right, c.total))
end

local most_printed = 40

-- As a table: rows are what was there, columns what was said; the diagonal is what was right.
local function print_matrix(c, cells, names)
  if c.classes > most_printed then
    io.write(("%s\n%d classes are too many to print; with 'file' they are drawn\n"):format(accuracy_line(c), c.classes))
    return
  end
  local right, zero, off = "\27[1;32m", "\27[2m", "\27[0m"
  if system.output().colors == "none" then right, zero, off = "", "", "" end
  local first, width = width_of "true", 1
  for i = 1, c.classes do
    first = math.max(first, width_of(name_of(names, i - 1)))
    width = math.max(width, math.min(width_of(name_of(names, i - 1)), 10))
    for j = 1, c.classes do width = math.max(width, #cells[i][j]) end
  end
  local lines = {padded("", first) .. "  predicted", padded("true", first)}
  for j = 1, c.classes do
    local name = system.fit_text(name_of(names, j - 1), width)
    lines[2] = lines[2] .. "  " .. padded(name, width)
  end
  for i = 1, c.classes do
    local line = {padded(name_of(names, i - 1), first)}
    for j = 1, c.classes do
      local cell = padded(cells[i][j], width)
      local color = i == j and right or c.counts[i][j] == 0 and zero
      line[j + 1] = color and color .. cell .. off or cell
    end
    lines[#lines + 1] = table.concat(line, "  ")
  end
  lines[#lines + 1] = accuracy_line(c)
  io.write(table.concat(lines, "\n"), "\n")
end

-- As a picture: the darker, the larger the part of its row.
local function draw_matrix(a, c, cells)
  local ticks, longest = {}, 0
  for i = 1, c.classes do
    local name = name_of(a.class_names, i - 1)
    ticks[i] = system.quote(name) .. " " .. i - 1
    longest = math.max(longest, width_of(name))
  end
  local written = c.classes <= most_printed
  local cell = written and math.max(44, 9 * #cells[1][1] + 12) or math.max(2, 1200 // c.classes)
  local side = c.classes * cell
  local width, height = math.max(side + 8 * longest + 90, 360), side + 8 * math.max(longest, 2) + 100
  local lines = {
    "unset key; unset colorbox; set cbrange [0:1]",
    "set palette defined (0 '#ffffff', 0.3 '#9ecae1', 1 '#08306b')", "set border lc rgb '#444444'",
    ("set xrange [-0.5:%d.5]; set yrange [%d.5:-0.5]"):format(c.classes - 1, c.classes - 1),
    "set title " .. system.quote(accuracy_line(c)), "set xlabel 'predicted'", "set ylabel 'true'",
  }
  if written then
    local turned = longest * 8 > cell and " rotate by 45 right" or ""
    lines[#lines + 1] = ("set xtics scale 0%s (%s)"):format(turned, table.concat(ticks, ", "))
    lines[#lines + 1] = ("set ytics scale 0 (%s)"):format(table.concat(ticks, ", "))
  end
  lines[#lines + 1] = "$cells << EOD"
  for i, row in ipairs(c.counts) do
    for j, count in ipairs(row) do
      local share = ratio(count, c.rows[i])
      lines[#lines + 1] = ("%d %d %.6g %s %d"):format(j - 1, i - 1, share, count > 0 and cells[i][j] or '""',
        share > 0.45 and 0xffffff or 0x222222)
    end
  end
  lines[#lines + 1] = "EOD"
  lines[#lines + 1] = "plot $cells using 1:2:3 with image" ..
    (written and ", $cells using 1:2:(stringcolumn(4)):5 with labels textcolor rgb variable" or "")
  system.gnuplot(a.who, a.file, width, height, lines)
end

local answer_arguments = {
  {"model", "model"}, {"x", "samples"}, {"y", "labels"}, {"class_names", "names"}, {"output", "count", 1},
  {"y_true", "labels"}, {"y_pred", "labels"},
}

local function with(first, further)
  local list = table.move(first, 1, #first, 1, {})
  return table.move(further, 1, #further, #list + 1, list)
end

local matrix_arguments = with(answer_arguments, {
  {"normalize", "share", false}, {"file", "path"}, {"show", "boolean", true},
})

--- How often which class was taken for which: rows are true labels, columns predicted ones.
-- Without `file` it is printed, what was right in green; a picture is coloured by each row's shares.
--
-- Labels may be whole numbers from 0 or one-hot rows. Where a model gives one number, that is the probability of the
-- second of two classes. An output that is no softmax or sigmoid and does not add up to 1 is taken for scores.
-- @function cnn.explain.confusion_matrix
-- @tparam[opt] model model that predicts; or else `y_true` and `y_pred` are given
-- @tparam[opt] tensor|dataset x samples; or batches of samples and labels, gone through once
-- @tparam[opt] tensor|{number,...} y their labels
-- @tparam[opt] {string,...} class_names of the labels 0, 1, …; there may be more of them than were seen
-- @tparam[opt=1] int output of a model with several: its position
-- @tparam[opt] tensor|{number,...} y_true labels
-- @tparam[opt] tensor|{number,...} y_pred labels, probabilities of the second of two classes, or rows of scores
-- @tparam[opt=false] string|bool normalize "true" or true: shares of each row; "pred": of each column; "all": of all
-- @tparam[opt] string file a picture .png, .svg or .pdf, instead of text
-- @tparam[opt=true] bool show false: nothing is printed
-- @treturn tensor int32 {classes, classes}; normalized float32
-- @raise labels that are no whole numbers, x and y of different lengths, too few class_names
-- @usage
-- said = cnn.tensor{{0.9, 0.1}, {0.4, 0.6}, {0.2, 0.8}, {0.3, 0.7}, {0.6, 0.4}, {0, 1}}
-- cnn.explain.confusion_matrix{y_true = {0, 0, 1, 1, 1, 1}, y_pred = said, show = false}
-- --> int32 (2, 2)
-- --> [[1 1]
-- -->  [1 3]]
-- cnn.explain.confusion_matrix{y_true = {0, 0, 1, 1, 1, 1}, y_pred = said, normalize = true, show = false}
-- --> float32 (2, 2)
-- --> [[0.5  0.5 ]
-- -->  [0.25 0.75]]
-- model = cnn.Sequential{layers.Flatten{input_shape = {4, 4}}, layers.Dense{2, activation = "softmax"}}
-- x, y = cnn.random.uniform{20, 4, 4}, cnn.random.randint{20, minval = 0, maxval = 2}
-- cnn.explain.confusion_matrix{model, x, y, class_names = {"cat", "dog"}}
function explain.confusion_matrix(...)
  local a = arguments("explain.confusion_matrix", matrix_arguments, ...)
  local c = count_answers(a)
  local values, cells = c.counts, {}
  if a.normalize then
    values = {}
    for i, row in ipairs(c.counts) do
      values[i] = {}
      for j, count in ipairs(row) do
        local whole = a.normalize == "pred" and c.columns[j] or a.normalize == "all" and c.total or c.rows[i]
        values[i][j] = ratio(count, whole)
      end
    end
  end
  for i, row in ipairs(values) do
    cells[i] = {}
    for j, value in ipairs(row) do cells[i][j] = (a.normalize and "%.2f" or "%d"):format(value) end
  end
  if a.file then
    draw_matrix(a, c, cells)
  elseif a.show then
    print_matrix(c, cells, a.class_names)
  end
  return cnn.tensor(values, a.normalize and "float32" or "int32")
end

-- ---- figures by class --------------------------------------------------------------------------------------

-- Means over classes, each weighted as told.
local function average(classes, weight)
  local mean, whole = {precision = 0, recall = 0, f1 = 0}, 0
  for _, class in ipairs(classes) do whole = whole + weight(class) end
  for key in pairs(mean) do
    for _, class in ipairs(classes) do mean[key] = mean[key] + class[key] * ratio(weight(class), whole) end
  end
  return mean
end

local function print_report(report)
  local width = width_of "weighted mean"
  for _, class in ipairs(report.classes) do width = math.max(width, width_of(class.name)) end
  local function line(name, c, support)
    return ("%s  %9.4f  %6.4f  %6.4f  %7d\n"):format(padded(name, width), c.precision, c.recall, c.f1, support)
  end
  io.write(padded("", width), "  precision  recall      f1  support\n")
  for _, class in ipairs(report.classes) do io.write(line(class.name, class, class.support)) end
  io.write("\n", line("mean", report.macro, report.support), line("weighted mean", report.weighted, report.support))
  io.write(padded("accuracy", width), ("  %25.4f  %7d\n"):format(report.accuracy, report.support))
end

local report_arguments = with(answer_arguments, {{"show", "boolean", true}})

--- Precision, recall and F1 of each class, and their means.
-- Precision: the part of what was said to be the class that was. Recall: the part of the class that was said to be.
-- F1 = 2·precision·recall / (precision + recall). What would be 0 / 0 is 0.
-- @function cnn.explain.report
-- @tparam[opt] model model that predicts; or else `y_true` and `y_pred` are given
-- @tparam[opt] tensor|dataset x samples, as in cnn.explain.confusion_matrix
-- @tparam[opt] tensor|{number,...} y their labels
-- @tparam[opt] {string,...} class_names of the labels 0, 1, …
-- @tparam[opt=1] int output of a model with several: its position
-- @tparam[opt] tensor|{number,...} y_true labels
-- @tparam[opt] tensor|{number,...} y_pred labels, probabilities of the second of two classes, or rows of scores
-- @tparam[opt=true] bool show false: nothing is printed
-- @treturn table {classes = {{name =, precision =, recall =, f1 =, support =}, …}, macro = means over classes,
-- weighted = means by support, accuracy =, support = the number of samples}
-- @usage
-- r = cnn.explain.report{y_true = {0, 0, 1, 1, 1}, y_pred = {0, 1, 1, 1, 0}, show = false}
-- r.accuracy               --> 0.6
-- r.classes[1].precision   --> 0.5
-- r.weighted.recall        --> 0.6
function explain.report(...)
  local a = arguments("explain.report", report_arguments, ...)
  local c = count_answers(a)
  local report = {classes = {}, accuracy = ratio(c.right, c.total), support = c.total}
  for i = 1, c.classes do
    local right = c.counts[i][i]
    report.classes[i] = {
      name = name_of(a.class_names, i - 1), precision = ratio(right, c.columns[i]), recall = ratio(right, c.rows[i]),
      f1 = ratio(2 * right, c.columns[i] + c.rows[i]), support = c.rows[i],
    }
  end
  report.macro = average(report.classes, function() return 1 end)
  report.weighted = average(report.classes, function(class) return class.support end)
  if a.show then print_report(report) end
  return report
end

-- ---- mistakes ----------------------------------------------------------------------------------------------

local confused_arguments = {
  {"model", "model!"}, {"x", "samples!"}, {"y", "labels"}, {"count", "count", 9}, {"class_names", "names"},
  {"output", "count", 1}, {"file", "path"}, {"show", "boolean", true},
}

local function check_pictures(who, x)
  local rank = #x:shape()
  if rank ~= 3 and rank ~= 4 then
    fail(("%s: 'x' must be pictures [N,H,W] or [N,H,W,C], got shape {%s}"):format(
      who, table.concat(x:shape(), ", ")))
  end
end

--- The mistakes of which the model was surest.
-- They are shown with what they are, what they were taken for, and how probable that was said to be: `4 → 9  98%`.
-- Where many of the predictions look right, it is the labels of the data that are wrong.
-- @function cnn.explain.most_confused
-- @tparam model model
-- @tparam tensor|dataset x pictures {n, height, width(, channels)}; or batches of pictures and labels
-- @tparam[opt] tensor|{number,...} y their labels
-- @tparam[opt=9] int count at most so many
-- @tparam[opt] {string,...} class_names of the labels 0, 1, …
-- @tparam[opt=1] int output of a model with several: its position
-- @tparam[opt] string file a picture .png, .svg or .pdf; without, they are drawn in the terminal
-- @tparam[opt=true] bool show false: nothing is drawn
-- @treturn {table,...} {index = the sample's position, label = the true one, predicted =, probability =}, surest first
-- @treturn tensor the pictures; nil if there is no mistake
-- @usage
-- model = cnn.Sequential{layers.Flatten{input_shape = {2, 2}}, layers.Dense{1, activation = "sigmoid"}}
-- model:set_weights{{{1}, {1}, {1}, {1}}, {-2.5}} -- "more than two are white"
-- x = cnn.tensor{{{0, 0}, {0, 1}}, {{1, 1}, {1, 1}}, {{1, 0}, {1, 1}}}
-- list, pictures = cnn.explain.most_confused{model, x, {1, 1, 0}, show = false}
-- #list, list[1].index, list[1].label, list[1].predicted
-- --> 2
-- --> 1
-- --> 1
-- --> 0
function explain.most_confused(...)
  local a = arguments("explain.most_confused", confused_arguments, ...)
  local mistakes, seen = {}, 0
  each_batch(a, function(x, labels, classes, probabilities)
    check_pictures(a.who, x)
    check_names(a.who, a.class_names, classes)
    local predicted, sure = probabilities:argmax(2):tolist(), probabilities:max(2):tolist()
    for i, label in ipairs(labels) do
      if predicted[i] - 1 ~= label then
        mistakes[#mistakes + 1] = {index = seen + i, label = label, predicted = predicted[i] - 1, probability = sure[i],
                                   row = i}
      end
    end
    table.sort(mistakes, function(first, second)
      if first.probability ~= second.probability then return first.probability > second.probability end
      return first.index < second.index
    end)
    for i = #mistakes, a.count + 1, -1 do mistakes[i] = nil end
    for _, mistake in ipairs(mistakes) do
      mistake.picture = mistake.picture or x[mistake.row]:copy()
    end
    seen = seen + #labels
  end)
  local pictures, labels = {}, {}
  for i, mistake in ipairs(mistakes) do
    pictures[i], mistake.picture, mistake.row = mistake.picture, nil, nil
    labels[i] = ("%s → %s  %s"):format(name_of(a.class_names, mistake.label),
      name_of(a.class_names, mistake.predicted), percent(mistake.probability))
  end
  if #pictures > 0 then
    show(a, pictures, labels, 112)
  elseif a.show then
    io.write(("no mistake among %d samples\n"):format(seen))
  end
  return mistakes, #pictures > 0 and cnn.stack(pictures, 1) or nil
end

-- ---- one picture -------------------------------------------------------------------------------------------

-- The network that a call is about; image is the picture as a batch of one, picture as it came, [H,W] or [H,W,C].
local function study(a)
  local who, model = a.who, a.model
  local output = output_of(who, model, a.output)
  if #model.inputs ~= 1 then
    fail(("%s: expected a model of one input, a picture; '%s' has %d"):format(who, model.name, #model.inputs))
  end
  local sample = table.move(model.inputs[1]:shape(), 2, #model.inputs[1]:shape(), 1, {})
  if #sample < 2 or #sample > 3 then
    fail(("%s: expected a model of pictures [H,W,C] or [H,W], not of samples of shape {%s}"):format(
      who, table.concat(sample, ", ")))
  end
  local function longer(shape) -- without axes of size 1
    local text = {}
    for _, size in ipairs(shape) do text[#text + 1] = size ~= 1 and size or nil end
    return table.concat(text, ", ")
  end
  local shape = a.image:shape()
  if longer(shape) ~= longer(sample) then
    fail(("%s: 'image' must be one picture of shape {%s}, got {%s} (see cnn.image.resize)"):format(
      who, table.concat(sample, ", "), table.concat(shape, ", ")))
  end
  local score, probable = graph.score(output)
  local picture = a.image:reshape(sample)
  return {
    who = who, model = model, output = output, score = score, probable = probable, picture = picture,
    image = picture:astype "float32":reshape{1, table.unpack(sample)}, names = a.class_names,
  }
end

local predict_arguments = {
  {"model", "model!"}, {"image", "tensor!"}, {"class_names", "names"}, {"top", "count", 5}, {"output", "count", 1},
  {"file", "path"}, {"show", "boolean", true},
}

-- The picture with bars to its right.
local function draw_bars(a, picture, list)
  local line, letter, bar = 30, 8, 220
  local names = 0
  for _, entry in ipairs(list) do names = math.max(names, width_of(entry.name)) end
  picture = cnn.pad(picture, {{8, 8}, {8, 8}, {0, 0}}, 255)
  local left = picture:shape(2) + 16 + names * letter
  local width, height = left + 8 + bar + 70, math.max(#picture, #list * line + 16)
  local texts, bars = {}, {}
  for i, entry in ipairs(list) do
    local y = height / 2 + (i - (#list + 1) / 2) * line
    local length = math.max(entry.probability * bar, 1)
    bars[i] = {left + 8, y - 9, length, 18, color = i == 1 and "#0072B2" or "#999999"}
    texts[2 * i - 1] = {left, y, entry.name, "right"}
    texts[2 * i] = {left + 16 + length, y, ("%.1f%%"):format(100 * entry.probability), "left"}
  end
  draw(a, width, height, picture, texts, bars)
end

local function print_bars(list)
  local width = 0
  for _, entry in ipairs(list) do width = math.max(width, width_of(entry.name)) end
  for _, entry in ipairs(list) do
    io.write(("%s  %5.1f%%  %s\n"):format(padded(entry.name, width), 100 * entry.probability,
      ("█"):rep(math.floor(40 * entry.probability + 0.5))))
  end
end

--- What a model says of one picture: the most probable classes, as bars beside it.
-- @function cnn.explain.predict
-- @tparam model model of one input
-- @tparam tensor image one picture, with or without an axis of size 1 before or behind
-- @tparam[opt] {string,...} class_names of the labels 0, 1, …
-- @tparam[opt=5] int top so many classes at most
-- @tparam[opt=1] int output of a model with several: its position
-- @tparam[opt] string file a picture .png, .svg or .pdf; without, it is drawn in the terminal
-- @tparam[opt=true] bool show false: nothing is drawn
-- @treturn {table,...} {label =, name =, probability =}, the most probable first
-- @raise a picture of another size than the model's
-- @usage
-- model = cnn.Sequential{layers.Flatten{input_shape = {2, 2}}, layers.Dense{1, activation = "sigmoid"}}
-- model:set_weights{{{1}, {1}, {1}, {1}}, {-2}}
-- list = cnn.explain.predict{model, cnn.ones{2, 2}, class_names = {"dark", "light"}, show = false}
-- list[1].name .. (" %.3f"):format(list[1].probability)   --> light 0.881
-- cnn.explain.predict{model, cnn.ones{3, 2}}
-- --> error: explain.predict: 'image' must be one picture of shape {2, 2}, got {3, 2} (see cnn.image.resize)
function explain.predict(...)
  local a = arguments("explain.predict", predict_arguments, ...)
  local network = study(a)
  local values = graph.run(a.model, network.image, {network.output})[1]
  local probabilities = as_probabilities(a.who, values, network.probable)
  check_names(a.who, a.class_names, probabilities:shape(2))
  local list = {}
  for i, probability in ipairs(probabilities:reshape{-1}:tolist()) do
    list[i] = {label = i - 1, name = name_of(a.class_names, i - 1), probability = probability}
  end
  table.sort(list, function(first, second)
    if first.probability ~= second.probability then return first.probability > second.probability end
    return first.label < second.label
  end)
  for i = #list, a.top + 1, -1 do list[i] = nil end
  if a.file then
    draw_bars(a, enlarge(drawable(network.picture), 160), list)
  elseif a.show then
    local picture = drawable(network.picture)
    cnn.show(picture, {width = math.min(picture:shape(2), 40)})
    print_bars(list)
  end
  return list
end

-- For explain_inside.lua.
explain.shared = {
  arguments = arguments, study = study, show = show, drawable = drawable, as_probabilities = as_probabilities,
  check_names = check_names, name_of = name_of, percent = percent,
}
