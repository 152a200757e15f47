std = "lua54"
max_line_length = 120
globals = {"cnn"}
exclude_files = {"build/*"}
files["tests/lua"] = {allow_defined_top = true}
