std = "lua54"
max_line_length = 110
globals = {"cnn"}
exclude_files = {"build/*"}
