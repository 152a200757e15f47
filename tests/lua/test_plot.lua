-- cnn.plot: every kind of plot becomes a picture of the size asked for with ink of the right colours on it;
-- texts arrive as they are; failures leave nothing; wrong arguments are told.
-- luacheck: globals TestPlot

local lu = require "luaunit"
local cnn = require "cnn"
local raises = require "raises"
local scratch = require "scratch"

local eq = lu.assertEquals
local nan = 0 / 0

local function quiet(command)
  return os.execute("{ " .. command .. "; } >/dev/null 2>&1")
end

local has_gnuplot = quiet "gnuplot --version"

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

local function listing(folder)
  local list <close> = assert(io.popen("ls -A '" .. folder .. "'"))
  return list:read "a"
end

-- How many points of a picture have nearly this colour.
local function count_color(picture, red, green, blue)
  local wanted = cnn.tensor{red, green, blue}:reshape{1, 1, 3}
  local distance = (picture:astype "float32" - wanted):abs():max(3)
  return distance:less_equal(24):astype("float32"):sum():item()
end

local blue, orange = {0, 114, 178}, {213, 94, 0}

TestPlot = {}

function TestPlot:setUp()
  self.folder = scratch.make()
end

function TestPlot:tearDown()
  scratch.remove(self.folder)
end

-- Draws to a PNG and gives the picture; skips the test without gnuplot.
function TestPlot:draw(arguments)
  lu.skipIf(not has_gnuplot, "gnuplot is not installed (Debian's package gnuplot-nox)")
  arguments.file = self.folder .. "/plot.png"
  eq(cnn.plot(arguments), arguments.file)
  eq(listing(self.folder), "plot.png\n")
  eq(read(arguments.file):sub(1, 8), "\137PNG\r\n\26\n")
  return cnn.image.load(arguments.file, 3)
end

function TestPlot:test_lines_of_different_length()
  local picture = self:draw{{3, 2, 1, 0.5}, cnn.tensor{3, 2.5}, legend = {"loss", "val_loss"}, title = "t",
                            xlabel = "epoch", ylabel = "loss"}
  eq(picture:shape(), {500, 800, 3})
  lu.assertTrue(count_color(picture, table.unpack(blue)) > 300)
  lu.assertTrue(count_color(picture, table.unpack(orange)) > 100)
end

function TestPlot:test_every_style_and_color()
  for _, style in ipairs {"lines", "points", "linespoints", "bars"} do
    local picture = self:draw{{1, 4, 2}, {2, 3, 5}, style = style, colors = {"#ff0000", "#00ff00"},
                              width = 300, height = 200}
    eq(picture:shape(), {200, 300, 3})
    lu.assertTrue(count_color(picture, 255, 0, 0) > 20, style)
    lu.assertTrue(count_color(picture, 0, 255, 0) > 20, style)
  end
  local picture = self:draw{{1, 2}, {2, 1}, style = {"lines", "points"}, colors = "red"}
  lu.assertTrue(count_color(picture, 255, 0, 0) > 100)
end

function TestPlot:test_histogram()
  local picture = self:draw{cnn.random.normal{20, 10, 5}, cnn.random.normal({1000}, 2), kind = "hist",
                            bins = 20, legend = {"a", "b"}}
  lu.assertTrue(count_color(picture, table.unpack(blue)) > 300)
  lu.assertTrue(count_color(picture, table.unpack(orange)) > 300)
end

function TestPlot:test_x_values_names_and_logarithms()
  self:draw{{x = {1, 10, 100}, y = {1e-3, 1, 1e3}, label = "l"}, logx = true, logy = true, grid = false}
  self:draw{{x = cnn.tensor{1, 5, 9}, y = cnn.tensor{1, 2, 3}}, xlim = {0, 10}, ylim = {-1, 4}}
  local picture = self:draw{{x = {"cat", "dog's"}, y = {3, -2}}, style = "bars"}
  lu.assertTrue(count_color(picture, table.unpack(blue)) > 10000)
end

function TestPlot:test_odd_data_is_drawn_too()
  for _, series in ipairs {{5}, {nan, nan}, {1, nan, 2}, {7, 7, 7}, {0, 0}, {math.huge, 1, 2},
                           {1, cnn.null, 3}, cnn.zeros{0}, {-1e30, 1e30}} do
    self:draw{series, legend = {"x"}}
    self:draw{series, logy = true, style = "bars"}
  end
  self:draw{cnn.zeros{10}, kind = "hist"}
  self:draw{cnn.full({3}, nan), kind = "hist"}
  self:draw{3, 2, 1, title = "a list by itself"}
end

function TestPlot:test_a_gap_is_a_gap()
  local whole = self:draw{{1, 1, 1, 1, 1}, grid = false}
  local gap = self:draw{{1, 1, nan, 1, 1}, grid = false}
  lu.assertTrue(count_color(gap, table.unpack(blue)) < 0.6 * count_color(whole, table.unpack(blue)))
end

function TestPlot:test_texts_and_names_are_taken_literally()
  lu.skipIf(not has_gnuplot, "gnuplot is not installed (Debian's package gnuplot-nox)")
  local path = self.folder .. "/a 'b' \"c\" $(touch x) `touch x` |%s 그림\n.svg"
  cnn.plot{{1, 2}, {2, 1}, file = path, title = "it's `touch x` $HOME %d \\n @x_1^2 {/Bold b}", xlabel = "손실",
           ylabel = "a\nb", legend = {"val_loss <&> \"q\"", "bad \255 byte\0"}}
  local svg = read(path)
  lu.assertStrContains(svg, "<svg")
  lu.assertStrContains(svg, "손실")
  lu.assertStrContains(svg, "`touch x` $HOME %d \\n @x_1^2 {/Bold b}")
  lu.assertStrContains(svg, "val_loss &lt;&amp;")
  lu.assertStrContains(svg, "bad ? byte")
  os.remove(path)
  eq(listing(self.folder), "")
end

function TestPlot:test_svg_and_pdf_by_ending()
  lu.skipIf(not has_gnuplot, "gnuplot is not installed (Debian's package gnuplot-nox)")
  cnn.plot{{1, 2}, file = self.folder .. "/a.PDF", width = 480}
  eq(read(self.folder .. "/a.PDF"):sub(1, 5), "%PDF-")
  cnn.plot{{1, 2}, file = self.folder .. "/a.svg", width = 640, height = 333}
  lu.assertStrContains(read(self.folder .. "/a.svg"), 'width="640" height="333"')
end

-- What is plotted without a file, into a file that output goes to.
function TestPlot:text(f, ...)
  local path = self.folder .. "/out"
  local before = io.output()
  io.output(path)
  local good, result = pcall(f, ...)
  io.output():close()
  io.output(before)
  lu.assertTrue(good, result)
  eq(result, nil)
  return read(path)
end

function TestPlot:test_without_a_file_it_is_text()
  local text = self:text(cnn.plot, {{3, 2, 1}, title = "Loss", legend = {"train"}, xlabel = "epoch", ylabel = "loss"})
  for _, part in ipairs {"   Loss\n", "⠒⠒ train\n", "\nloss\n", "3.0┤⠈⠑⠢⢄⡀\n", "┬\n", " epoch\n"} do
    lu.assertStrContains(text, part)
  end
  eq(text:find "\27", nil)
  for line in text:gmatch "[^\n]*" do lu.assertTrue(utf8.len(line) <= 80) end
end

function TestPlot:test_a_small_text_to_the_character()
  eq(self:text(cnn.plot, {{0, 1}, width = 200, height = 160, ylim = {0, 1}}), [[
1.0┤             ⢀⠔⠊
   │          ⢀⡠⠊⠁
   │        ⡠⠔⠁
0.5┤     ⢀⠔⠊
   │  ⢀⡠⠊⠁
0.0┤⡠⠔⠁
   └┬──────────────┬
    1              2
]])
end

function TestPlot:test_marks_tell_series_apart_where_colours_are_missing()
  local text = self:text(cnn.plot, {{1, 1}, {2, 2}, legend = {"a", "b"}})
  lu.assertStrContains(text, "o a   x b")
  lu.assertStrMatches(text, ".*2.0┤[^\n]+x\n.*1.0┤o[^\n]+o\n.*")
  text = self:text(cnn.plot, {{1, 2}, {2, 1}, style = "bars", legend = {"a", "b"}})
  lu.assertStrContains(text, "█ a   ░ b")
  lu.assertStrContains(text, "██░░")
end

function TestPlot:test_bars_and_histograms_are_blocks()
  local text = self:text(cnn.plot, {{x = {"cat", "개"}, y = {1, -1}}, style = "bars", height = 200})
  lu.assertStrContains(text, "cat")
  lu.assertStrContains(text, "개")
  lu.assertStrContains(text, " 1┤       ▆▆▆▆")
  lu.assertStrContains(text, " 0┤                                         ████")
  text = self:text(cnn.plot, {cnn.tensor{1, 2, 2, 3}, kind = "hist", bins = 3, width = 200, height = 200})
  lu.assertStrContains(text, "count\n")
  lu.assertStrContains(text, "0┤██████████████████\n")
end

function TestPlot:test_points_are_all_there()
  local text = self:text(cnn.plot, {{x = {3, 1, 2}, y = {1, 2, 3}}, style = "points"})
  eq(select(2, text:gsub("•", "")), 3)
  text = self:text(cnn.plot, {{1, nan, 2, nan, nan, 3, 3}}) -- two by themselves, and a line
  eq(select(2, text:gsub("•", "")), 2)
end

function TestPlot:test_odd_data_is_text_too()
  for _, series in ipairs {{5}, {nan, nan}, {7, 7, 7}, {0, 0}, {math.huge, 1, 2}, {1, cnn.null, 3}, cnn.zeros{0},
                           {-1e30, 1e30}, {1e-30, 2e-30}, {1, 1e300}, {-1.7e308, 1.7e308}} do
    for _, style in ipairs {"lines", "points", "linespoints", "bars"} do
      self:text(cnn.plot, {series, series, style = style, legend = {"x", ("long "):rep(40)}})
      self:text(cnn.plot, {series, style = style, logy = true, ylim = {1, 2}})
      self:text(cnn.plot, {series, style = style, logx = true, xlim = {1, 1e9}, width = 100, height = 100})
    end
  end
  self:text(cnn.plot, {cnn.full({3}, nan), kind = "hist"})
  self:text(cnn.plot, {{x = {"a", "b", "c"}, y = {1, 2, 3}}, xlim = {1.9, 2.1}})
end

function TestPlot.test_a_terminal_with_pixels_gets_a_picture()
  lu.skipIf(not has_gnuplot, "gnuplot is not installed (Debian's package gnuplot-nox)")
  local program = os.getenv "CNNLUA_PROGRAM" or "./cnnlua"
  local command = "CNNLUA_GRAPHICS=%s '%s' -e 'cnn.plot{{1, 2}, width = 400, height = 200}'"
  local pipe <close> = assert(io.popen(command:format("sixel", program)))
  lu.assertStrMatches(pipe:read "a", '\27P[%d;]*q"1;1;320;156.*\27\\\n') -- 40 by 10 cells of 8 by 16, in sixels of 6
  local nothing <close> = assert(io.popen(command:format("none", program)))
  eq(nothing:read "a", "")
end

function TestPlot:test_learning_curves()
  lu.skipIf(not has_gnuplot, "gnuplot is not installed (Debian's package gnuplot-nox)")
  local history = {history = {loss = {2, 1}, val_loss = {2.5, 1.5}, accuracy = {0.5, 0.9}}, epoch = {1, 2}}
  local path = self.folder .. "/h.png"
  eq(cnn.plot.history(history, {file = path}), path)
  eq(cnn.image.load(path):shape()[2], 800)
  cnn.plot.history(history, {"loss", "accuracy", file = path})
  eq(cnn.image.load(path):shape()[2], 1120)
  raises("there is no curve 'acuracy' (did you mean 'accuracy'?)", cnn.plot.history, history, "acuracy")
  raises("what fit returned, got nil", cnn.plot.history)
end

function TestPlot:test_failures_leave_nothing()
  lu.skipIf(not has_gnuplot, "gnuplot is not installed (Debian's package gnuplot-nox)")
  raises("plot: cannot write " .. self.folder .. "/none/a.png: No such file", cnn.plot,
    {{1, 2}, file = self.folder .. "/none/a.png"})
  raises("gnuplot failed", cnn.plot, {{1, 2}, colors = "nosuchcolor", file = self.folder .. "/a.png"})
  eq(listing(self.folder), "")
end

function TestPlot.test_wrong_arguments()
  local file = "/nowhere/a.png"
  raises("expected one table", cnn.plot, 5)
  raises("expected one table", cnn.plot, {1}, {2})
  raises("expected at least one series", cnn.plot, {})
  raises("unknown argument 'titel' (did you mean 'title'?)", cnn.plot, {{1}, titel = "x", file = file})
  raises("'style' must be \"lines\", \"points\"", cnn.plot, {{1}, style = "dots", file = file})
  raises("'kind' must be one of \"lines\", \"hist\", got pie", cnn.plot, {{1}, kind = "pie", file = file})
  raises("'xlim' must be {from, to}", cnn.plot, {{1}, xlim = {2, 1}, file = file})
  raises("'xlim' must be above 0 on a logarithmic axis", cnn.plot,
    {{1, 2}, xlim = {-1, 1}, logx = true, file = file})
  raises("'logy' must be true or false, got 1", cnn.plot, {{1}, logy = 1, file = file})
  raises("'bins' must be an integer from 1 to 10000, got 0", cnn.plot, {{1}, bins = 0, file = file})
  raises("'width' must be an integer from 100", cnn.plot, {{1}, width = 1, file = file})
  raises("'colors' must be", cnn.plot, {{1}, colors = "#12", file = file})
  raises("'legend' has 2 names for 1 series", cnn.plot, {{1}, legend = {"a", "b"}, file = file})
  raises("must end in .png, .svg or .pdf", cnn.plot, {{1}, file = "a.gif"})
  raises("series 1: value 2 must be a number, got x", cnn.plot, {{1, "x"}, file = file})
  raises("series 2: x has 1 values, but y has 2", cnn.plot, {{1}, {x = {1}, y = {1, 2}}, file = file})
  raises("series 1 must have one axis, got 2", cnn.plot, {cnn.zeros{2, 2}, file = file})
  raises("series 1: unknown field 'z'", cnn.plot, {{y = {1}, z = 1}, file = file})
  raises("series 1: y is missing", cnn.plot, {{x = {1}}, file = file})
  raises("there is no 'histry' (did you mean 'history'?)", function() return cnn.plot.histry end)
end

function TestPlot.test_a_missing_gnuplot_names_its_package()
  local program = os.getenv "CNNLUA_PROGRAM" or "./cnnlua"
  local script = "print(select(2, pcall(cnn.plot, {{1, 2}, file = '/tmp/never.png'})))"
  local pipe <close> = assert(io.popen(("PATH=/nowhere '%s' -e \"%s\" 2>&1"):format(program, script)))
  lu.assertStrContains(pipe:read "a", "package gnuplot-nox")
end
