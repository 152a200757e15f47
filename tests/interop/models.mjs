// The models that make_models.lua left in this folder, as h5wasm reads them.

import fs from "node:fs";
import h5wasm from "h5wasm/node";

await h5wasm.ready;

export const names = fs.readdirSync(".").filter(name => name.endsWith(".h5")).map(name => name.slice(0, -3)).sort();

// An attribute that is a string, or a list of them.
function attribute(node, name) {
  if (!(name in node.attrs)) throw new Error(`no attribute ${name}`);
  return node.attrs[name].value;
}

// {config, training, layers: [{name, weights: [{name, shape, values}]}], expected}
export function read(name) {
  const file = new h5wasm.File(name + ".h5", "r");
  const group = file.get("model_weights");
  const layers = Array.from(attribute(group, "layer_names"), layer => {
    const inner = group.get(layer);
    const weights = Array.from(attribute(inner, "weight_names"), weight => {
      const dataset = inner.get(weight);
      if (dataset.dtype !== "<f") throw new Error(`${layer}/${weight} is ${dataset.dtype}`);
      return { name: weight, shape: dataset.shape, values: dataset.value };
    });
    return { name: layer, weights };
  });
  const model = {
    config: JSON.parse(attribute(file, "model_config")),
    training: JSON.parse(attribute(file, "training_config")),
    layers,
    expected: JSON.parse(fs.readFileSync(name + ".json")),
  };
  file.close();
  return model;
}

// Runs a check on every model; says what is wrong, and ends the program with 1 if anything is.
export function each(what, check) {
  if (names.length === 0) throw new Error("no models here: run make_models.lua first");
  for (const name of names) {
    try {
      console.log(`ok ${what}: ${name}: ${check(read(name))}`);
    } catch (error) {
      console.log(`not ok ${what}: ${name}: ${error.stack}`);
      process.exitCode = 1;
    }
  }
}
