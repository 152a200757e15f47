-- What README.md's picture shows.
return {
  columns = 100, rows = 42, title = "cnnlua",
  "x, y, x_test, y_test = cnn.datasets.mnist.load_data()",
  "cnn.show{x:slice(1, 8), labels = y:slice(1, 8), columns = 8}",
  "x, x_test = x:reshape{-1, 28, 28, 1} / 255, x_test:reshape{-1, 28, 28, 1} / 255",
  "layers = cnn.layers",
  "model = cnn.Sequential{",
  '  layers.Conv2D{32, 3, activation = "relu", input_shape = {28, 28, 1}}, layers.MaxPooling2D{},',
  '  layers.Flatten{}, layers.Dense{10, activation = "softmax"},',
  "}",
  'model:compile{"adam", "sparse_categorical_crossentropy", metrics = {"accuracy"}}',
  "history = model:fit{x, y, epochs = 2}",
  "model:evaluate{x_test, y_test}",
  "mistakes = cnn.explain.most_confused{model, x_test, y_test, count = 3}",
}
