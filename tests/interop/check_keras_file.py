#!/usr/bin/python3
"""Reads a saved model independently of cnnlua, with h5py and zipfile alone, and says what is wrong with it.

    check_keras_file.py FILE              whether FILE (.h5 or .keras) is what Keras's loaders expect
    check_keras_file.py FILE REFERENCE    also how it differs from REFERENCE, the same model as Keras wrote it

Prints a line for each fault or difference and ends with status 1 if there is any. Two files of the same generation of
Keras (2 or 3, and .h5 or .keras) are compared field by field: every group, attribute, dataset, type, shape and bit, and
every key of the JSON texts, but for what EXCUSED lists. Of files of different generations (Keras 2.3 and before, to
2.15, 3) the layers, what both configs say of them, and the weights are compared.
"""

import io
import json
import re
import sys
import zipfile

import h5py
import numpy as np

# Differences that are as they should be: the line that tells of one, and why.
EXCUSED = [
    (r"keras_version: ", "versions differ"),
    (r"^metadata\.json: date_saved: ", "another day"),
    (r"/backend: ", "the framework below Keras"),
    (r"^/@cnnlua_state: Keras wrote none", "seeds, so that training goes on; Keras looks at no other attributes"),
    (r"shared_object_id: missing", "the address that an object had in Keras's process"),
    (r"(run_eagerly|jit_compile|steps_per_execution): ", "how TensorFlow is to run the model"),
    (r"/InputLayer: (ragged|sparse|optional): ", "kinds of inputs that came and went with versions"),
    (r"/InputLayer: name: ", "a Sequential's input goes by the model, not by a name"),
    (r"/(Conv2D|Dense): batch_input_shape: missing", "said by the InputLayer already"),
    (r": decay: missing; Keras wrote 0\.0", "the schedule from before schedules, off; an argument with this default"),
    (r"/(Flatten|MaxPooling2D): build_config: missing", "nothing to build; Keras writes it in some versions"),
    (r"/Dense: quantization_config: missing; Keras wrote null", "came after the version that is written here"),
    (r"vars/@name: Keras wrote none", "came with Keras 3.8"),
]

faults = []


def fault(where, what):
    line = "%s: %s" % (where, what)
    if not any(re.search(pattern, line) for pattern, _ in EXCUSED):
        faults.append(line)


def expect(good, where, what):
    if not good:
        faults.append("%s: %s" % (where, what))
    return good


# ---- what layers are -------------------------------------------------------------------------------------------

COMMON = "name trainable dtype batch_input_shape".split()
KERNEL = """activation use_bias kernel_initializer bias_initializer kernel_regularizer bias_regularizer
    activity_regularizer kernel_constraint bias_constraint""".split()
POOL = "pool_size padding strides data_format".split()
# The arguments that the constructors of both Keras 2 and Keras 3 take: another one is an error to them.
ARGUMENTS = {
    "InputLayer": "batch_input_shape batch_shape dtype sparse ragged name optional".split(),
    "Conv2D": KERNEL + "filters kernel_size strides padding data_format dilation_rate groups".split(),
    "Dense": KERNEL + ["units", "quantization_config", "lora_rank"],
    "MaxPooling2D": POOL, "AveragePooling2D": POOL,
    "GlobalAveragePooling2D": ["data_format", "keepdims"], "GlobalMaxPooling2D": ["data_format", "keepdims"],
    "Flatten": ["data_format"],
    "Dropout": "rate noise_shape seed".split(),
    "Activation": ["activation"],
    "ReLU": "max_value negative_slope threshold".split(),
    "Reshape": ["target_shape"],
    "Rescaling": ["scale", "offset"],
    "ZeroPadding2D": ["padding", "data_format"],
    "UpSampling2D": "size data_format interpolation".split(),
    "Add": [], "Multiply": [], "Concatenate": ["axis"],
    "BatchNormalization": """axis momentum epsilon center scale beta_initializer gamma_initializer
        moving_mean_initializer moving_variance_initializer beta_regularizer gamma_regularizer beta_constraint
        gamma_constraint synchronized renorm virtual_batch_size fused adjustment""".split(),
}
MODELS = ("Sequential", "Functional", "Model")


def check_arguments(layer, where):
    name, config = layer["class_name"], layer["config"]
    for key in config if name in ARGUMENTS else ():
        if name != "InputLayer" or key not in ("trainable",):
            expect(key in ARGUMENTS[name] or key in COMMON, where, "%s takes no '%s'" % (name, key))
    expect("name" in config, where, "no name")


def variables(layer):
    """The names and shapes of a layer's variables, None for a size that its config does not tell."""
    name, c = layer["class_name"], layer["config"]
    if name == "Conv2D":
        shapes = [("kernel", list(c["kernel_size"]) + [None, c["filters"]])]
        return shapes + ([("bias", [c["filters"]])] if c["use_bias"] else [])
    if name == "Dense":
        return [("kernel", [None, c["units"]])] + ([("bias", [c["units"]])] if c["use_bias"] else [])
    if name == "BatchNormalization":
        return ([("gamma", [None])] if c["scale"] else []) + ([("beta", [None])] if c["center"] else []) + \
            [("moving_mean", [None]), ("moving_variance", [None])]
    if name in MODELS:
        return None  # those of its layers
    return [] if name in ARGUMENTS else None


def nested_count(layer):
    """How many variables a model has that is a layer, or None."""
    total = 0
    for inner in layers_of(layer):
        count = nested_count(inner) if inner["class_name"] in MODELS else len(variables(inner) or [])
        total += count
    return total


def layers_of(model):
    config = model["config"]
    return config["layers"] if isinstance(config, dict) else config


def fits(shape, expected):
    return len(shape) == len(expected) and all(e is None or e == s for s, e in zip(shape, expected))


# ---- reading ---------------------------------------------------------------------------------------------------


def text(value):
    return value.decode("utf-8") if isinstance(value, bytes) else value


def attribute_list(group, name):
    """A list of strings, which Keras splits over name0, name1, … where it is too long for one attribute."""
    if name in group.attrs:
        return [text(item) for item in group.attrs[name]]
    items, part = [], 0
    while "%s%d" % (name, part) in group.attrs:
        items += [text(item) for item in group.attrs["%s%d" % (name, part)]]
        part += 1
    return items if part else None


def kind(attribute):
    """Of an attribute: what type it has and of what shape."""
    if attribute.get_type().get_class() == h5py.h5t.STRING:
        what = "string"
    else:
        what = str(attribute.dtype)
    return what, attribute.shape


class Model:
    """What a file holds: generation, h5 (its weights), json by name of the text, layers."""

    def __init__(self, path):
        self.json = {}
        if zipfile.is_zipfile(path):
            self.archive = zipfile.ZipFile(path)
            expect(self.archive.testzip() is None, path, "a member is damaged")
            self.h5 = h5py.File(io.BytesIO(self.archive.read("model.weights.h5")), "r")
            for name in ("config.json", "metadata.json"):
                self.json[name] = json.loads(self.archive.read(name))
            self.spec = self.json["config.json"]
            self.version = self.json["metadata.json"]["keras_version"]
        else:
            self.archive = None
            self.h5 = h5py.File(path, "r")
            for name in ("model_config", "training_config"):
                if name in self.h5.attrs:
                    self.json[name] = json.loads(text(self.h5.attrs[name]))
            self.spec = self.json["model_config"]
            self.version = text(self.h5.attrs["keras_version"])
        numbers = [int(number) for number in re.findall(r"\d+", self.version)[:2]]
        self.generation = (self.archive is not None, "3" if numbers[0] == 3 else "2.4" if numbers >= [2, 4] else "old")

    def close(self):
        self.h5.close()


# ---- .h5: what the loaders of Keras 2, and of Keras 3 for such files, read --------------------------------------


def check_scalar_text(group, name, where):
    if not expect(name in group.attrs, where, "no attribute %s" % name):
        return None
    expect(kind(group.attrs.get_id(name)) == ("string", ()), where, "%s is no string" % name)
    return text(group.attrs[name])


def check_group_of_weights(group, where):
    """A group whose weight_names names its datasets, all of them, in their order. Returns the datasets."""
    names = attribute_list(group, "weight_names")
    if not expect(names is not None, where, "no weight_names"):
        return []
    found = []
    group.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    expect(len(set(names)) == len(names), where, "a name twice in weight_names")
    for name in names:
        expect(name in found, where, "weight_names tells of %s, which is not there" % name)
    for name in found:
        expect(name in names, where, "weight_names does not tell of %s" % name)
    return [(name, group[name]) for name in names if name in group]


def check_layer_weights(layer, weights, where):
    expected = variables(layer)
    if layer["class_name"] in MODELS:
        expect(len(weights) == nested_count(layer), where, "%d weights, not %d" % (len(weights), nested_count(layer)))
    if expected is None:
        return
    if not expect(len(weights) == len(expected), where, "%d weights, not %d" % (len(weights), len(expected))):
        return
    for (path, dataset), (name, shape) in zip(weights, expected):
        last = path.split("/")[-1].split(":")[0]
        expect(last == name, where, "%s where %s should be" % (path, name))
        expect(fits(dataset.shape, shape), where, "%s has shape %s, not %s" % (path, dataset.shape, shape))
        expect(dataset.dtype == np.float32, where, "%s is %s" % (path, dataset.dtype))


SLOTS = {"Adam": 2, "Adamax": 2, "Nadam": 2, "Adagrad": 1, "Adadelta": 2}


def slots_of(optimizer):
    name, c = optimizer["class_name"].split(">")[-1], optimizer["config"]
    if name == "SGD":
        return 1 if c.get("momentum") else 0
    if name == "RMSprop":
        return 1 + (1 if c.get("momentum") else 0) + (1 if c.get("centered") else 0)
    return SLOTS.get(name, 2) + (1 if c.get("amsgrad") else 0)


def check_h5_optimizer(model, trainable, where="optimizer_weights"):
    config = model.json["training_config"]
    for key in ("loss", "metrics", "weighted_metrics", "loss_weights", "optimizer_config"):
        expect(key in config, "training_config", "no '%s'" % key)
    optimizer = config["optimizer_config"]
    expect({"class_name", "config"} <= set(optimizer), "training_config", "optimizer_config lacks class_name, config")
    if where not in model.h5:
        return
    weights = check_group_of_weights(model.h5[where], where)
    expect(weights and weights[0][1].shape == () and weights[0][1].dtype == np.int64, where,
           "the first is no int64 scalar, the count of steps")
    state = [dataset.shape for _, dataset in weights if dataset.shape != () and dataset.shape != (1,)]
    slots = slots_of(optimizer)
    shapes = [shape for shape in trainable if shape != (1,)]
    both = (shapes * slots, [shape for shape in shapes for _ in range(slots)])
    expect(state in both, where, "shapes %s do not go with the variables'" % state)


def check_h5(model):
    root = model.h5
    for name in ("model_config", "keras_version", "backend"):
        check_scalar_text(root, name, "/")
    if not expect("model_weights" in root, "/", "no group model_weights"):
        return
    weights, layers = root["model_weights"], [layer for layer in layers_of(model.spec)]
    for name in ("keras_version", "backend"):
        check_scalar_text(weights, name, "model_weights")
    expect(model.spec["class_name"] in MODELS, "model_config", "class_name is %s" % model.spec["class_name"])
    if model.spec["class_name"] == "Sequential":  # there an InputLayer does not count
        layers = [layer for layer in layers if layer["class_name"] != "InputLayer"]
    names = attribute_list(weights, "layer_names")
    expect(names == [layer["config"]["name"] for layer in layers], "model_weights", "layer_names %s" % names)
    trainable = []
    for layer in layers:
        name = layer["config"]["name"]
        where = "model_weights/" + name
        if expect(name in weights, "model_weights", "no group %s" % name):
            found = check_group_of_weights(weights[name], where)
            check_layer_weights(layer, found, where)
            if layer["config"].get("trainable", True):
                trainable += [d.shape for path, d in found if not re.search("moving_(mean|variance)", path)]
    if "top_level_model_weights" in weights:
        check_group_of_weights(weights["top_level_model_weights"], "model_weights/top_level_model_weights")
    if "training_config" in model.json:
        check_scalar_text(root, "training_config", "/")
        check_h5_optimizer(model, trainable)


# ---- .keras: what the loader of Keras 3 reads -------------------------------------------------------------------


def snake_case(name):
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def check_object(spec, where):
    for key in ("module", "class_name", "config", "registered_name"):
        expect(key in spec, where, "no '%s'" % key)


def check_vars(h5, path, where, expected):
    """The group vars at path has datasets 0, 1, …; expected: (name, shape), or None if any will do."""
    path += "/vars" if path else "vars"
    if not expect(path in h5, where, "no group %s" % path):
        return []
    group = h5[path]
    expect(sorted(group) == sorted(str(i) for i in range(len(group))), where, "%s has %s" % (path, list(group)))
    found = [group[str(i)] for i in range(len(group)) if str(i) in group]
    if expected is not None and expect(len(found) == len(expected), where,
                                       "%d variables, not %d" % (len(found), len(expected))):
        for dataset, (name, shape) in zip(found, expected):
            expect(fits(dataset.shape, shape), where, "%s has shape %s, not %s" % (name, dataset.shape, shape))
    return found


def check_keras_layers(model, spec, path, where, trainable):
    """The layers of a model and their weights, numbered by class in their order."""
    used, names = {}, set()
    for layer in layers_of(spec):
        name = layer["config"]["name"]
        here = where + "/" + name
        check_object(layer, here)
        names.add(name)
        if layer["class_name"] == "InputLayer" and spec["class_name"] == "Sequential":
            continue
        base = snake_case(layer["class_name"])
        number = used.get(base, 0)
        used[base] = number + 1
        group = "%slayers/%s" % (path, base + ("_%d" % number if number else ""))
        if layer["class_name"] in MODELS:
            check_vars(model.h5, group, here, [])
            check_keras_layers(model, layer, group + "/", here, trainable)
            continue
        found = check_vars(model.h5, group, here, variables(layer))
        if layer["config"].get("trainable", True):
            trainable += [d.shape for d, (v, _) in zip(found, variables(layer) or []) if not v.startswith("moving_")]
    if spec["class_name"] == "Functional":
        check_wiring(spec, names, where)
    return trainable


def tensors_in(value):
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        return [value["config"]]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [tensor for item in items for tensor in tensors_in(item)]


def check_wiring(spec, names, where):
    config = spec["config"]
    for layer in config["layers"]:
        here = "%s/%s" % (where, layer["config"]["name"])
        expect(layer.get("name") == layer["config"]["name"], here, "its name beside the config is another")
        if not expect(isinstance(layer.get("inbound_nodes"), list), here, "no inbound_nodes"):
            continue
        for node in layer["inbound_nodes"]:
            expect(set(node) == {"args", "kwargs"}, here, "a node is not {args, kwargs}")
            tensors = tensors_in(node["args"]) + tensors_in(node["kwargs"])
            expect(tensors, here, "a node without tensors")
            for tensor in tensors:
                expect({"shape", "dtype", "keras_history"} <= set(tensor), here, "a tensor is %s" % tensor)
                expect(tensor["keras_history"][0] in names, here, "from %s" % tensor["keras_history"])
    for key in ("input_layers", "output_layers"):
        ends = config.get(key)
        if expect(isinstance(ends, list) and ends, where, "no %s" % key):
            for end in [ends] if isinstance(ends[0], str) else ends:
                expect(len(end) == 3 and end[0] in names, where, "%s has %s" % (key, end))


def check_keras(model):
    members = set(model.archive.namelist())
    expect(members == {"metadata.json", "config.json", "model.weights.h5"}, "archive", "has %s" % sorted(members))
    date = model.json["metadata.json"].get("date_saved", "")
    expect(re.fullmatch(r"\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d", date), "metadata.json", "date_saved is '%s'" % date)
    check_object(model.spec, "config.json")
    expect("build_config" in model.spec, "config.json", "no build_config")
    check_vars(model.h5, "", "model.weights.h5", [])
    trainable = check_keras_layers(model, model.spec, "", "config.json", [])
    compiled = model.spec.get("compile_config")
    if not compiled:
        return
    for key in ("optimizer", "loss", "metrics", "weighted_metrics", "loss_weights"):
        expect(key in compiled, "config.json: compile_config", "no '%s'" % key)
    state = check_vars(model.h5, "optimizer", "optimizer", None)
    expect(len(state) >= 2 and state[0].shape == () and state[0].dtype.kind in "iu" and state[1].shape == (),
           "optimizer/vars", "does not begin with the count of steps and the learning rate")
    optimizer = compiled["optimizer"]
    if isinstance(optimizer, dict):
        check_object(optimizer, "config.json: optimizer")
        slots = slots_of(optimizer)
        shapes = [dataset.shape for dataset in state[2:]]
        both = (trainable * slots, [shape for shape in trainable for _ in range(slots)])
        expect(shapes in both or len(shapes) == 0, "optimizer/vars", "%s do not go with the variables'" % shapes)


# ---- comparing -------------------------------------------------------------------------------------------------


def plain(value):
    """What can be said in two ways, in the shorter one: dtypes, optimizers and metrics by name."""
    if isinstance(value, dict) and value.get("class_name") == "DTypePolicy":
        return value["config"]["name"]
    if isinstance(value, dict) and value.get("class_name") == "MeanMetricWrapper":
        return value["config"]["name"]
    return value


def metric_names(value):
    if isinstance(value, list):
        return [name for item in value for name in metric_names(item)]
    return [plain(value)]


def same_number(a, b):
    """Floating-point numbers come from, and go to, float32."""
    return isinstance(a, float) and isinstance(b, float) and np.float32(a) == np.float32(b)


def compare_json(ours, theirs, where):
    ours, theirs = plain(ours), plain(theirs)
    if where.endswith(": metrics"):
        ours, theirs = metric_names(ours), metric_names(theirs)
    if where.endswith("compile_config: optimizer") and isinstance(theirs, str) and isinstance(ours, dict):
        ours = ours["class_name"].lower()
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if "class_name" in theirs and isinstance(theirs.get("config"), dict):
            where = "%s/%s" % (where, theirs["class_name"])
        for key in list(theirs) + [key for key in ours if key not in theirs]:
            here = "%s: %s" % (where, key)
            if key not in ours:
                fault(here, "missing; Keras wrote %s" % json.dumps(theirs[key]))
            elif key not in theirs:
                fault(here, "Keras wrote none; here %s" % json.dumps(ours[key]))
            else:
                compare_json(ours[key], theirs[key], here if key != "config" else where)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for i, (a, b) in enumerate(zip(ours, theirs)):
            compare_json(a, b, "%s[%d]" % (where, i))
    elif not same_number(ours, theirs) and (ours != theirs or isinstance(ours, bool) != isinstance(theirs, bool)):
        fault(where, "%s; Keras wrote %s" % (json.dumps(ours), json.dumps(theirs)))


def compare_attributes(ours, theirs, where):
    for name in sorted(set(ours.attrs) | set(theirs.attrs)):
        here = "%s/@%s" % (where, name)
        if name not in ours.attrs:
            fault(here, "missing; Keras wrote %s" % (theirs.attrs[name],))
        elif name not in theirs.attrs:
            fault(here, "Keras wrote none; here %s" % (ours.attrs[name],))
        else:
            a, b = kind(ours.attrs.get_id(name)), kind(theirs.attrs.get_id(name))
            if a != b:
                fault(here, "%s; Keras wrote %s" % (a, b))
            elif not name.endswith("_config"):  # those are compared as JSON
                a, b = np.ravel(ours.attrs[name]).tolist(), np.ravel(theirs.attrs[name]).tolist()
                if list(map(text, a)) != list(map(text, b)):
                    fault(here.replace("/@", "/"), "%s; Keras wrote %s" % (a, b))


def same_bits(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a[()].tobytes() == b[()].tobytes()


def compare_groups(ours, theirs, where=""):
    compare_attributes(ours, theirs, where)
    for name in sorted(set(ours) | set(theirs)):
        here = "%s/%s" % (where, name)
        if name not in ours or name not in theirs:
            fault(here, "missing" if name not in ours else "Keras wrote none")
            continue
        a, b = ours[name], theirs[name]
        if isinstance(a, h5py.Group) != isinstance(b, h5py.Group):
            fault(here, "a group is a dataset")
        elif isinstance(a, h5py.Group):
            compare_groups(a, b, here)
        elif (a.shape, a.dtype) != (b.shape, b.dtype):
            fault(here, "%s %s; Keras wrote %s %s" % (a.dtype, a.shape, b.dtype, b.shape))
        elif not same_bits(a, b):
            fault(here, "other values")


def weights_in_order(model):
    """All the layers' weights of a file of Keras's .h5 form."""
    group = model.h5["model_weights"]
    return [group[name][weight] for name in attribute_list(group, "layer_names")
            for weight in attribute_list(group[name], "weight_names")]


def compare_across(ours, theirs):
    """Files of different generations: layers, the arguments that both tell, and the weights."""
    a, b = ([layer for layer in layers_of(model.spec) if layer["class_name"] != "InputLayer"]
            for model in (ours, theirs))
    names = [[(layer["class_name"], layer["config"]["name"]) for layer in layers] for layers in (a, b)]
    if names[0] != names[1]:
        fault("layers", "%s; Keras wrote %s" % tuple(names))
        return
    for x, y in zip(a, b):
        for key in set(x["config"]) & set(y["config"]):
            if not key.endswith("_initializer"):  # which have had several names
                compare_json(x["config"][key], y["config"][key], "%s: %s" % (x["config"]["name"], key))
    a, b = weights_in_order(ours), weights_in_order(theirs)
    if len(a) != len(b) or not all(map(same_bits, a, b)):
        fault("weights", "differ")


def main(path, reference=None):
    ours = Model(path)
    for layer in layers_of(ours.spec):
        check_arguments(layer, layer["config"].get("name", "?"))
    (check_keras if ours.archive else check_h5)(ours)
    if reference:
        theirs = Model(reference)
        if ours.generation == theirs.generation:
            for name in theirs.json:
                compare_json(ours.json.get(name), theirs.json[name], name)
            compare_groups(ours.h5, theirs.h5)
        else:
            compare_across(ours, theirs)
        theirs.close()
    ours.close()
    for line in faults:
        print(line)
    return 1 if faults else 0


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        sys.exit(main(*sys.argv[1:]))
    except (KeyError, ValueError, OSError) as error:
        print("%s\ncannot be read: %r" % ("\n".join(faults), error))
        sys.exit(1)
