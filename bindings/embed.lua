-- Turns Lua files into one C file: lua5.4 embed.lua ARRAY FILE… > prelude.c
-- The C file defines an array of lcnn_source, as in lua_cnn.h: name and code of each file in the order given. The code
-- is what Lua makes of the text, as that takes a fraction of the time to load; a syntax error stops the build and not
-- the program. It keeps line numbers and names, for tracebacks.

local array = table.remove(arg, 1)

local function quote(bytes)
  return '"' .. bytes:gsub(".", function(c) return ("\\%03o"):format(c:byte()) end) .. '"'
end

local out = {
  "/* Made by bindings/embed.lua; do not edit. */",
  "#include <stddef.h>",
  "typedef struct lcnn_source {",
  "    const char *name, *code;",
  "    size_t size;",
  "} lcnn_source;",
  ("extern const lcnn_source %s[];"):format(array),
  ("const lcnn_source %s[] = {"):format(array),
}

for _, path in ipairs(arg) do
  local file <close> = assert(io.open(path, "rb"))
  local name = path:match "^datasets/.*" or "prelude/" .. path:match "[^/]*$"
  local code = string.dump(assert(load(file:read "a", "=" .. name, "t")))
  out[#out + 1] = ('    {"%s",'):format(name)
  for i = 1, #code, 32 do out[#out + 1] = "     " .. quote(code:sub(i, i + 31)) end
  out[#out + 1] = ("     , %d},"):format(#code)
end
out[#out + 1] = "    {NULL, NULL, 0},"
out[#out + 1] = "};"
io.write(table.concat(out, "\n"), "\n")
