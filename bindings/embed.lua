-- Turns Lua files into one C file: lua5.4 embed.lua FILE… > prelude.c
-- The C file defines lcnn_sources[] of lua_cnn.h: name and text of each file in the order given.
-- The files are compiled here once, so that a syntax error stops the build and not the program.

local escapes = {['\\'] = '\\\\', ['"'] = '\\"', ['\n'] = '\\n', ['\t'] = '\\t', ['?'] = '\\?'}

local function quote(text)
  return '"' .. text:gsub('[%c\\"?\127-\255]', function(c)
    return escapes[c] or ("\\%03o"):format(c:byte())
  end) .. '"'
end

local out = {
  "/* Made by bindings/embed.lua; do not edit. */",
  "#include <stddef.h>",
  "typedef struct lcnn_source {",
  "    const char *name, *text;",
  "    size_t size;",
  "} lcnn_source;",
  "extern const lcnn_source lcnn_sources[];",
  "const lcnn_source lcnn_sources[] = {",
}

for _, path in ipairs(arg) do
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  assert(load(text, "@" .. path, "t"))
  out[#out + 1] = ("    {%s,"):format(quote((path:gsub("^bindings/", ""))))
  for line in text:gmatch "[^\n]*\n?" do
    if line ~= "" then out[#out + 1] = "     " .. quote(line) end
  end
  out[#out + 1] = ('     "", %d},'):format(#text)
end
out[#out + 1] = "    {NULL, NULL, 0},"
out[#out + 1] = "};"
io.write(table.concat(out, "\n"), "\n")
