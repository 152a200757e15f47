-- What help() does (prelude/help.lua is its face): finds what a name or a value is about, and lays out its page for the
-- width of the terminal. The texts are entries, which document.lua describes.

local cnn, system, screen = ...

-- ---- topics -----------------------------------------------------------------------------------------------------

-- Every entry belongs to one: that which lists it, or the first with a pattern for its name, or the very first.
local topics = {
  {name = "tensors", title = "Tensors", about = "arrays of numbers: making, indexing and converting them"},
  {name = "arithmetic", title = "Arithmetic", about = "operators, functions of elements, sums, comparisons, products",
   list = [[abs add all allclose any argmax argmin ceil clip cos divide dot equal exp floor floor_divide greater
     greater_equal isnan less less_equal log log1p matmul max maximum mean min minimum mod multiply nonzero not_equal
     pow prod reciprocal relu round sigmoid sign sin sqrt square std subtract sum tanh var where]]},
  {name = "shapes", title = "Shapes", about = "reshaping, joining, cutting, padding, repeating",
   list = [[broadcast_to concat concatenate expand_dims flatten flip gather pad reshape slice squeeze stack take tile
     transpose]]},
  {name = "random", title = "Random numbers", about = "drawing numbers, shuffling, seeds",
   list = "set_seed utils.set_random_seed", patterns = {"^cnn%.random%.", "^rng:"}},
  {name = "nn", title = "Operations and gradients", about = "convolution and the like by hand, the gradient tape",
   list = "GradientTape Variable stop_gradient",
   patterns = {"^cnn%.nn%.", "^cnn%.signal%.", "^tape:", "^variable:"}},
  {name = "layers", title = "Layers", about = "what models are made of; layers of one's own",
   list = "Input", patterns = {"^cnn%.layers%.", "^layer:"}},
  {name = "models", title = "Models and training", about = "Sequential, Model; compile, fit, evaluate, predict, save",
   list = "Sequential Model load_model model_from_json plot_model",
   patterns = {"^cnn%.models%.", "^cnn%.applications%.", "^model:", "^history:"}},
  {name = "optimizers", title = "Optimizers", about = "how weights follow gradients; schedules of the learning rate",
   patterns = {"^cnn%.optimizers%.", "^optimizer:"}},
  {name = "losses", title = "Losses", about = "what training makes small", patterns = {"^cnn%.losses%.", "^loss:"}},
  {name = "metrics", title = "Metrics", about = "figures that tell how good a model is",
   patterns = {"^cnn%.metrics%.", "^metric:"}},
  {name = "callbacks", title = "Callbacks", about = "what happens at epochs: stopping, saving, logging",
   patterns = {"^cnn%.callbacks%.", "^callback:"}},
  {name = "initializers", title = "Initializers and regularizers", about = "first weights, and what keeps them small",
   patterns = {"^cnn%.initializers%.", "^cnn%.regularizers%.", "^initializer:"}},
  {name = "datasets", title = "Data", about = "MNIST and others, folders of pictures, pipelines of batches",
   list = "utils.to_categorical utils.train_test_split utils.image_dataset_from_directory",
   patterns = {"^cnn%.datasets%.", "^cnn%.data%.", "^dataset:", "^iterator:"}},
  {name = "images", title = "Pictures", about = "loading, saving, resizing, turning, colours",
   list = "utils.load_img utils.save_img utils.img_to_array utils.array_to_img", patterns = {"^cnn%.image%."}},
  {name = "augmentation", title = "Augmentation", about = "random changes to pictures, alone and in pipelines",
   list = "ImageDataGenerator",
   patterns = {"^cnn%.augment%.", "^pipeline:", "^cnn%.preprocessing%.", "^generator:"}},
  {name = "looking", title = "Pictures, plots and explanations", about = "show, plot; why a model says what it says",
   list = "show plot", patterns = {"^cnn%.plot%.", "^cnn%.show%.", "^cnn%.explain"}},
  {name = "files", title = "Files", about = "arrays and tables in .npy, .npz, .safetensors, JSON",
   list = "save load savez savez_compressed save_safetensors load_safetensors to_json from_json"},
  {name = "program", title = "The program", about = "help, the prompt, threads, memory, options of scripts",
   list = "help threads set_threads cpu memory version utils.script_options utils.output_path backend.clear_session",
   patterns = {"^cnn%.help%.", "^cnn%.repl%.", "^cnn%.backend%."}},
}

local first_session = [[
x_train, y_train, x_test, y_test = cnn.datasets.mnist.load_data()
cnn.show(x_train:slice(1, 10), {labels = y_train:slice(1, 10), columns = 5})
layers = cnn.layers
model = cnn.Sequential{
  layers.Rescaling{1 / 255, input_shape = {28, 28}},
  layers.Reshape{{28, 28, 1}},
  layers.Conv2D{32, 3, activation = "relu"},
  layers.MaxPooling2D{2},
  layers.Flatten{},
  layers.Dense{10, activation = "softmax"},
}
model:compile{"adam", "sparse_categorical_crossentropy", metrics = {"accuracy"}}
history = model:fit{x_train, y_train, epochs = 5, validation_split = 0.1}
cnn.plot(history)
model:evaluate{x_test, y_test}
cnn.explain.confusion_matrix{model, x_test, y_test}
cnn.explain.most_confused{model, x_test, y_test}
cnn.explain.grad_cam{model, x_test[1]}
model:save "digits.keras"]]

-- The topics by the names that they list, without "cnn."
local function listed_topics()
  local listed = {}
  for _, topic in ipairs(topics) do
    for name in (topic.list or ""):gmatch "%S+" do listed[name] = topic end
  end
  return listed
end

local function topic_of(name, listed)
  local topic = listed[name:match "^cnn%.(.*)$" or name:match "^tensor:(.*)$" or name]
  if topic then return topic end
  for _, candidate in ipairs(topics) do
    for _, pattern in ipairs(candidate.patterns or {}) do
      if name:find(pattern) then return candidate end
    end
  end
  return topics[1]
end

-- ---- what there is ----------------------------------------------------------------------------------------------

-- What the part of a method's name before the colon stands for: a type by its metatable, or an object to ask.
local types = {tensor = "tensor", model = "model", layer = "layer", dataset = "dataset", tape = "GradientTape",
               history = "history", pipeline = "augmentation", rng = "generator", callback = "callback",
               iterator = "dataset iterator"}
local samples = {optimizer = function() return cnn.optimizers.SGD{} end,
                 metric = function() return cnn.metrics.Mean{} end,
                 generator = function() return cnn.ImageDataGenerator{} end}

-- What a full name stands for, or nil.
local function value_of(name)
  local owner, method = name:match "^(%a+):(.+)$"
  if owner then
    local methods = types[owner] and system.methods(types[owner]) or samples[owner] and samples[owner]()
    return methods and methods[method]
  end
  local value = {cnn = cnn}
  for part in name:gmatch "[^.]+" do
    value = type(value) == "table" and rawget(value, part) or nil
  end
  return value
end

-- A default as Lua writes it.
local function lua_of(json)
  return (json:gsub('"([%a_][%w_]*)"%s*:%s*', "%1 = "):gsub("null", "nil"):gsub("[%[%]]", {["["] = "{", ["]"] = "}"}))
end

local function class_params(constructor)
  local params = {}
  for _, param in ipairs(system.params(constructor) or {}) do
    if param.json then param.default = lua_of(param.json) end
    param.json = nil
    params[#params + 1] = param
  end
  return params
end

local last_part = "([^.:]+)$"

-- Whether a call is shown with a table of arguments: those of classes are, and those whose example names one, or gives
-- a list.
local function takes_table(entry)
  if entry.kind == "class" then return true end
  local known = {}
  for _, param in ipairs(entry.params) do known[param.name] = true end
  local sign, name = entry.kind == "method" and ":" or "[^:%w_]", entry.name:match(last_part)
  for arguments in (" " .. (entry.usage or "")):gmatch(sign .. name .. "%s*(%b{})") do
    for argument in arguments:gmatch "([%w_]+) = " do
      if known[argument] then return true end
    end
    if entry.params[1] and entry.params[1].type:find "^{" then return true end
  end
end

-- The name with an opening bracket, and the arguments, the last with a closing one: required ones, those with a
-- default, and in brackets those that may be left out.
local function signature(entry)
  local open, close, parts = "(", ")", {}
  if takes_table(entry) then open, close = "{", "}" end
  for _, param in ipairs(entry.params) do
    local part = param.name
    if param.default and param.default ~= "nil" then
      part = part .. " = " .. param.default
    elseif param.optional then
      part = "[" .. part .. "]"
    end
    if not param.idle then parts[#parts + 1] = part end
  end
  if entry.kind == "field" or entry.kind == "object" then return entry.name, parts end
  for i, part in ipairs(parts) do parts[i] = part .. (i < #parts and "," or close) end
  return entry.name .. open .. (#parts == 0 and close or ""), parts
end

-- All in one line.
local function call(entry)
  local first, parts = signature(entry)
  return first .. table.concat(parts, " ")
end

local function bounds(param)
  local function text(number) return ("%g"):format(number) end
  if param.low and param.high then return (" from %s to %s"):format(text(param.low), text(param.high)) end
  if param.low then return " ≥ " .. text(param.low) end
  if param.high then return " ≤ " .. text(param.high) end
  return ""
end

-- "int ≥ 1, default 32"
local function describe(param)
  local kind = param.type and param.type .. bounds(param) or nil
  local fallback = param.optional and "optional" or nil
  if param.default and param.default ~= "nil" then fallback = "default " .. param.default end
  return table.concat({kind or fallback, kind and fallback or nil}, ", ")
end

-- What an entry has beyond its text, made when it is asked for.
local function complete(entry)
  if entry.signature then return entry end
  if entry.kind == "class" then entry.params = class_params(value_of(entry.name)) end
  for _, field in ipairs{"params", "returns", "raises"} do entry[field] = entry[field] or {} end
  for _, param in ipairs(entry.params) do param.about = describe(param) end
  entry.signature = call(entry)
  return entry
end

-- entries: sorted by name; names: entries by full name; parts: lists of entries by last part of their names in small
-- letters; values: entries by what they are about. Made by the first call.
local function make_index()
  for i, topic in ipairs(topics) do topic.position = i end
  local index, listed = {entries = system.chunk "reference"(), names = {}, parts = {}, values = {}}, listed_topics()
  for _, entry in ipairs(index.entries) do
    entry.topic = topic_of(entry.kind == "object" and entry.name .. ":" or entry.name, listed)
    local part, value = entry.name:match(last_part):lower(), value_of(entry.name)
    index.names[entry.name] = entry
    index.parts[part] = index.parts[part] or {}
    table.insert(index.parts[part], entry)
    if type(value) == "function" or type(value) == "table" then index.values[value] = index.values[value] or entry end
  end
  return index
end

local made
local function get_index()
  made = made or make_index()
  return made
end

-- ---- finding ----------------------------------------------------------------------------------------------------

-- The entries that a name may mean: by the full name, by its last parts as they are spelled, or in other letters.
local function candidates(name)
  local index = get_index()
  if index.names[name] then return {index.names[name]} end
  local entry = index.values[value_of(name) or false] or index.values[value_of("cnn." .. name) or false]
  local spelled, others = {}, {}
  for _, other in ipairs(index.parts[(name:match(last_part) or name):lower()] or {}) do
    local tail = other.name:sub(-#name - 1)
    if tail:find "^[.:]" and tail:sub(2) == name then
      spelled[#spelled + 1] = other
    elseif (tail:match "^[.:](.*)$" or other.name):lower() == name:lower() then
      others[#others + 1] = other
    end
  end
  table.sort(spelled, function(a, b) return a.topic.position < b.topic.position end)
  if name:find "^cnn%." and entry then return {entry} end
  if #spelled > 0 then return spelled end
  return entry and {entry} or others
end

-- What the methods of a value's kind begin with: "pipeline", "loss"; nil for what is no object of the module.
local function type_of(value)
  local name = (debug.getmetatable(value) or {}).__name
  for short, type_name in pairs(types) do
    if type_name == name then return short end
  end
  if name == "ImageDataGenerator" then return "generator" end
  return type(name) == "string" and name:match "^cnn%.spec .-(%a+)$" or nil
end

-- The entry of the class that an object was made by, or nil.
local function class_of(value)
  local kind = type_of(value)
  if not kind or kind == "tensor" then return end
  local good, class = pcall(function() return value.class_name end)
  if not good or type(class) ~= "string" then return end
  for _, entry in ipairs(get_index().parts[class:lower()] or {}) do
    local part = entry.name:match "(%a+)%.[^.]+$" or ""
    if entry.name == "cnn." .. class or part:sub(1, #kind) == kind then return entry end
  end
end

local inside = {}

function inside.find(what)
  local entry
  if type(what) == "string" then entry = candidates(what)[1] else entry = get_index().values[what] or class_of(what) end
  return entry and complete(entry)
end

function inside.entries()
  for _, entry in ipairs(get_index().entries) do complete(entry) end
  return get_index().entries
end

-- ---- layout -----------------------------------------------------------------------------------------------------

local function page_width()
  local columns = tonumber(os.getenv "COLUMNS") or screen(io.output()) or 80
  return math.max(40, math.min(math.tointeger(columns) or 80, 110))
end

-- As the prompt: on a terminal that can, unless the user wants none.
local function in_color()
  local kind, refused = os.getenv "TERM" or "dumb", os.getenv "NO_COLOR" or ""
  return screen(io.output()) and kind ~= "dumb" and refused == ""
end

local function bold(text)
  return in_color() and "\27[1m" .. text .. "\27[0m" or text
end

local function dim(text)
  return in_color() and "\27[2m" .. text .. "\27[0m" or text
end

local function length(text)
  local plain = text:gsub("\27%[[%d;]*m", "")
  return utf8.len(plain) or #plain
end

-- Adds words to the page, as many a line as it is wide; the first line begins with `first`, the others with `indent`
-- blanks.
local function fill(page, words, first, indent)
  local line, empty = first, true
  for _, word in ipairs(words) do
    if line:find "%S" and length(line) + (empty and 0 or 1) + length(word) > page.width then
      page[#page + 1] = line
      line, empty = (" "):rep(indent), true
    end
    line, empty = line .. (empty and "" or " ") .. word, false
  end
  page[#page + 1] = line
end

local function words_of(text)
  local words = {}
  for word in text:gmatch "%S+" do words[#words + 1] = word end
  return words
end

-- Paragraphs, filled; lines that begin with two blanks or a dash begin anew, and go on below their text.
local function add_text(page, text)
  local words, start, indent = {}, "", 0
  local function flush()
    if #words > 0 then fill(page, words, start, indent) end
    words, start, indent = {}, "", 0
  end
  for line in (text .. "\n"):gmatch "(.-)\n" do
    if line:find "^  " or line:find "^%- " then
      flush()
      start = line:match "^ *"
      indent = #line:match "^ *%-? *"
    elseif not line:find "%S" then
      flush()
      page[#page + 1] = ""
    end
    for _, word in ipairs(words_of(line)) do words[#words + 1] = word end
  end
  flush()
end

local function add_heading(page, title)
  page[#page + 1] = ""
  page[#page + 1] = bold(title)
end

local function add_line(page, start, text)
  local room = page.width - length(start)
  if length(text) > room then text = text:sub(1, utf8.offset(text, room) - 1):gsub("%s*$", "…") end
  page[#page + 1] = start .. dim(text)
end

-- A line each: the name and as much of the summary as fits.
local function add_lines(page, list)
  local widest = 0
  for _, item in ipairs(list) do widest = math.max(widest, length(item.name)) end
  for _, item in ipairs(list) do
    add_line(page, "  " .. item.name .. (" "):rep(math.min(widest, 36) - length(item.name)) .. "  ", item.summary)
  end
end

-- Entries in groups by the first part of their names, which is the group's title, with what an object is beside it.
local function add_list(page, list)
  local groups = {}
  local function group_of(prefix)
    if not groups[prefix] then
      groups[prefix] = {prefix = prefix, about = ""}
      groups[#groups + 1] = groups[prefix]
    end
    return groups[prefix]
  end
  for _, entry in ipairs(list) do
    local prefix, rest = entry.name:match "^(.*[.:])(.-)$"
    if prefix then
      table.insert(group_of(prefix), {name = rest, summary = entry.summary})
    else
      group_of(entry.name .. ":").about = " " .. entry.summary
    end
  end
  for i, group in ipairs(groups) do
    if i > 1 then page[#page + 1] = "" end
    add_line(page, bold(group.prefix), group.about)
    add_lines(page, group)
  end
end

-- ---- the page of an entry ---------------------------------------------------------------------------------------

local function add_signature(page, entry)
  local first, parts = signature(entry)
  local indent = length(first)
  for _, part in ipairs(parts) do
    if indent + length(part) > page.width then indent = 4 end
  end
  fill(page, parts, bold(first), indent)
end

-- The first column is as wide as the longest name that is not overlong.
local function add_arguments(page, entry)
  local idle, widest = {}, 0
  for _, param in ipairs(entry.params) do widest = math.max(widest, math.min(#param.name, 20)) end
  for _, param in ipairs(entry.params) do
    local words = words_of(param.about .. (param.about ~= "" and param.text ~= "" and ": " or "") .. param.text)
    local first = "  " .. param.name .. (" "):rep(widest - #param.name) .. "  "
    if param.idle then idle[#idle + 1] = param.name else fill(page, words, first, widest + 4) end
  end
  if #idle > 0 then
    local about = "Keras's, but here they may only be nil, or change nothing: "
    fill(page, words_of(about .. table.concat(idle, ", ") .. "."), "  ", 2)
  end
end

local function add_example(page, usage)
  for line in (usage .. "\n"):gmatch "(.-)\n" do
    local code, shown = line:match "^(.-)(%-%-> ?.*)$"
    page[#page + 1] = "  " .. (shown and code .. dim(shown) or line)
  end
end

-- Others of the same last name, whatever its letters.
local function add_namesakes(page, entry)
  local names = {}
  for _, other in ipairs(get_index().parts[entry.name:match(last_part):lower()]) do
    if other ~= entry then names[#names + 1] = other.name end
  end
  if #names == 0 then return end
  page[#page + 1] = ""
  fill(page, words_of("See also: " .. table.concat(names, ", ")), "", 2)
end

local function add_entry(page, entry)
  complete(entry)
  add_signature(page, entry)
  page[#page + 1] = ""
  add_text(page, entry.text)
  if #entry.params > 0 then
    add_heading(page, "Arguments")
    add_arguments(page, entry)
  end
  if #entry.returns > 0 then add_heading(page, "Returns") end
  for _, item in ipairs(entry.returns) do
    fill(page, words_of(item.type .. (item.text ~= "" and ": " or "") .. item.text), "  ", 4)
  end
  if #entry.raises > 0 then add_heading(page, "Errors") end
  for _, text in ipairs(entry.raises) do fill(page, words_of(text), "  ", 4) end
  if entry.usage then
    add_heading(page, "Example")
    if (" " .. entry.usage):find "[^%w_.]layers%." then page[#page + 1] = "  layers = cnn.layers" end
    add_example(page, entry.usage)
  end
  add_namesakes(page, entry)
end

-- ---- other pages ------------------------------------------------------------------------------------------------

local function entries_where(test)
  local list = {}
  for _, entry in ipairs(get_index().entries) do
    if test(entry) then list[#list + 1] = entry end
  end
  return list
end

local function starting(prefix)
  return entries_where(function(entry) return entry.name:sub(1, #prefix) == prefix end)
end

local function add_overview(page)
  page[#page + 1] = bold("cnnlua " .. cnn.version) .. ": convolutional neural networks"
  page[#page + 1] = ""
  local list = {}
  for i, topic in ipairs(topics) do list[i] = {name = topic.name, summary = topic.about} end
  add_lines(page, list)
  page[#page + 1] = ""
  add_text(page, [[help "start" shows a first session, help "layers" lists a topic, help "Conv2D" tells of a function
or class, help(model) of a value; a word that is none of these is looked for in all texts. ?Conv2D is the same at the
prompt.]])
end

local function add_first_session(page)
  page[#page + 1] = bold "A first session" .. ", line by line"
  page[#page + 1] = ""
  add_example(page, first_session)
  page[#page + 1] = ""
  add_text(page, [[Ctrl-C stops a training; the model keeps what it has learnt, and fit goes on from there. Tab
completes names and arguments. ?fit tells more of a line; Ctrl-D leaves.]])
end

local function add_topic(page, topic)
  page[#page + 1] = bold(topic.title) .. ": " .. topic.about
  page[#page + 1] = ""
  add_list(page, entries_where(function(entry) return entry.topic == topic end))
end

local function add_candidates(page, name, list)
  page[#page + 1] = ("There are %d called %s:"):format(#list, name)
  add_lines(page, list)
end

-- Of an object: its class, or else its kind, and the methods.
local function add_object(page, kind, class)
  local entry = class or get_index().names[kind]
  if entry then add_entry(page, entry) end
  local list = starting(kind .. ":")
  if kind == "model" then table.move(starting "layer:", 1, 100, #list + 1, list) end
  if #list > 0 and #page > 0 then page[#page + 1] = "" end
  add_list(page, list)
end

-- How well an entry answers to a word: 3 by its name, 2 by its summary, 1 by its text.
local function relevance(entry, word)
  for i, text in ipairs{entry.name, entry.summary, entry.text} do
    if text:lower():find(word, 1, true) then return 4 - i end
  end
  return 0
end

local function add_search(page, word)
  local index, names, list = get_index(), {}, {}
  for part in pairs(index.parts) do names[#names + 1] = part end
  table.sort(names)
  local near = index.parts[system.nearest(word:lower(), names) or 0]
  page[#page + 1] = ("There is no '%s'."):format(word) .. (near and (" Did you mean %s?"):format(near[1].name) or "")
  for rank = 3, word == "" and 4 or 1, -1 do
    local found = entries_where(function(entry) return relevance(entry, word:lower()) == rank end)
    table.move(found, 1, #found, #list + 1, list)
  end
  if #list == 0 then return end
  page[#page + 1] = "The word is in:"
  add_lines(page, table.move(list, 1, math.min(#list, 20), 1, {}))
end

-- The part of the module that is this table, or has this name, with its full name; or nil.
local function find_module(what)
  local function search(owner, prefix)
    for name, part in next, owner do
      if type(part) == "table" and (rawequal(part, what) or name == what or prefix .. name == what) then
        return part, prefix .. name
      end
    end
    for name, part in next, owner do
      if type(part) == "table" and prefix == "cnn." then
        local inner, full = search(part, prefix .. name .. ".")
        if inner then return inner, full end
      end
    end
  end
  return search(cnn, "cnn.")
end

local function add_module(page, name)
  for _, topic in ipairs(topics) do
    if "cnn." .. topic.name == name then return add_topic(page, topic) end
  end
  local list = starting(name .. ".")
  if #list == 1 then add_entry(page, list[1]) else add_list(page, list) end
end

local function add_name(page, name)
  if name == "start" then return add_first_session(page) end
  for _, topic in ipairs(topics) do
    if topic.name == name then return add_topic(page, topic) end
  end
  local list = candidates(name)
  local _, module = find_module(name)
  if #list == 1 and list[1].kind == "object" then
    add_object(page, list[1].name)
  elseif #list == 1 then
    add_entry(page, list[1])
  elseif #list > 1 then
    add_candidates(page, name, list)
  elseif module then
    add_module(page, module)
  else
    add_search(page, name)
  end
end

local function add_value(page, value)
  local entry = get_index().values[value]
  local kind, _, module = type_of(value), find_module(value)
  if entry then
    add_entry(page, entry)
  elseif rawequal(value, cnn) then
    add_overview(page)
  elseif module then
    add_module(page, module)
  elseif kind then
    add_object(page, kind, class_of(value))
  else
    page[#page + 1] = ("Nothing is known about this %s. help() tells what there is."):format(type(value))
  end
end

-- The page of a name or a value, or without either the first one, as text.
function inside.page(...)
  local page, what = {width = page_width()}, (...)
  if select("#", ...) == 0 then
    add_overview(page)
  elseif type(what) == "string" then
    add_name(page, what)
  elseif what == nil then
    page[1] = 'This is nil. Is the name right? help "NAME" looks for it.'
  else
    add_value(page, what)
  end
  return table.concat(page, "\n") .. "\n"
end

return inside
