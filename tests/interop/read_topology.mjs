// TensorFlow.js builds the models from the files' model_config, takes their weights, and computes what cnnlua computes.

import * as tf from "@tensorflow/tfjs";
import { each, names, read } from "./models.mjs";

const TOLERANCE = 1e-4;

await tf.setBackend("cpu");
await tf.ready();

const built = {};
for (const name of names) built[name] = await tf.models.modelFromJSON(read(name).config).catch(error => error);

let next = 0;
each("tfjs computes the same", model => {
  const network = built[names[next++]];
  if (network instanceof Error) throw network;
  for (const { name, weights } of model.layers)
    if (weights.length > 0)
      network.getLayer(name).setWeights(weights.map(w => tf.tensor(w.values, w.shape, "float32")));
  const output = network.predict(tf.tensor(model.expected.input, [1, 28, 28, 1])).dataSync();
  const expected = model.expected.output;
  if (output.length !== expected.length) throw new Error(`${output.length} outputs, not ${expected.length}`);
  const error = Math.max(...expected.map((value, i) => Math.abs(value - output[i])));
  if (!(error <= TOLERANCE)) throw new Error(`outputs differ by ${error}`);
  return `${network.layers.length} layers, outputs differ by ${error.toExponential(1)}`;
});
