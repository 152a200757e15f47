-- printed(f, …): what f(…) writes to io.output(), as into a file, and what it returns.

return function(f, ...)
  local path, before = os.tmpname(), io.output()
  io.output(path)
  local results = table.pack(pcall(f, ...))
  io.output():close()
  io.output(before)
  local file <close> = assert(io.open(path, "rb"))
  os.remove(path)
  if not results[1] then error(results[2], 0) end
  return file:read "a", table.unpack(results, 2, results.n)
end
