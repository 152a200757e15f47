// h5wasm finds in the files the weights that the models had, to the bit.

import { each } from "./models.mjs";

// Trainable weights first, in each layer and model within.
function sorted(lists) {
  return lists.map(list => Array.from(list, Math.fround).join(" ")).sort();
}

each("h5wasm reads the weights", model => {
  const found = model.layers.flatMap(layer => layer.weights);
  for (const weight of found) {
    const size = weight.shape.reduce((a, b) => a * b, 1);
    if (size !== weight.values.length) throw new Error(`${weight.name} has ${weight.values.length} values, not ${size}`);
  }
  const values = sorted(found.map(weight => weight.values));
  const expected = sorted(model.expected.weights);
  if (values.length !== expected.length) throw new Error(`${values.length} weights, not ${expected.length}`);
  values.forEach((list, i) => {
    if (list !== expected[i]) throw new Error("other values");
  });
  return `${values.length} tensors`;
});
