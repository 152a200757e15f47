#!/usr/bin/python3
"""Makes tests/oracle/*.lua: numbers that cnnlua is checked against, from PyTorch, NumPy and SciPy.

    python3 tests/oracle/make_oracle.py [FAMILY ...]      (all families by default)

needs Debian's python3-torch, python3-numpy and python3-scipy; the files are the same at every run.

Each file returns a list of cases. A tensor is {shape = {...}, data = {...}}, row major; inputs are short decimals
that the reader rounds to float32, and everything derived from the float32 values is computed in float64 and
printed with 9 significant digits. An op is named after the Keras layer, function or class it stands for, in snake
case where that is a layer; attributes carry Keras's argument names. A case of an op reads

    {name =, op =, attributes = {...}, inputs = {t, ...}, output = t, grad_output = t, grad_inputs = {t, ...}}

where grad_inputs[i] is the gradient of sum(output * grad_output) with respect to inputs[i], or false where there is
none. Activations are NHWC, convolution kernels HWIO (depthwise: H, W, C, multiplier), dense kernels IO.
The header of each file says what its family has beyond or instead of this.

PyTorch differentiates; where Keras defines things otherwise than PyTorch does, Keras's definition is written out here.
"""

import os
import sys
import textwrap

import numpy as np
import scipy.signal
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
EPSILON = 1e-7  # keras.config.epsilon()
WIDTH = 108


# ---- writing Lua ------------------------------------------------------------------------------------------

def number(x):
    if isinstance(x, (bool, np.bool_)):
        return "true" if x else "false"
    if isinstance(x, (int, np.integer)):
        return str(int(x))
    x = float(x)
    assert np.isfinite(x), x
    text = "%.9g" % x
    return "0" if text == "-0" else text


def wrapped(tokens, indent):
    """Comma-separated tokens on one line, or on lines of their own when that is too long."""
    line = ",".join(tokens)
    if len(line) < 60:
        return "{" + line + "}"
    lines, current = [], " " * indent
    for token in tokens:
        if len(current) + len(token) + 1 > WIDTH:
            lines.append(current)
            current = " " * indent
        current += token + ","
    lines.append(current)
    return "{\n" + "\n".join(lines) + "\n" + " " * (indent - 2) + "}"


def lua(value, indent=0):
    """A Lua constructor of numbers, strings, lists, dicts and arrays (as {shape =, data =}); None is false."""
    if value is None:
        return "false"
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray):
        shape = ",".join(str(n) for n in value.shape)
        return "{shape = {%s}, data = %s}" % (shape, wrapped([number(x) for x in value.ravel()], indent + 2))
    if isinstance(value, str):
        return '"%s"' % value
    if isinstance(value, dict):
        items = ["%s = %s" % (key, lua(item, indent + 2)) for key, item in value.items()]
    elif isinstance(value, (list, tuple)):
        items = [lua(item, indent + 2) for item in value]
        if items and all(isinstance(x, (int, float, np.number)) for x in value):
            return wrapped(items, indent + 2)
    else:
        return number(value)
    line = ", ".join(items)
    if "\n" not in line and len(line) + indent < 70:
        return "{" + line + "}"
    pad = " " * (indent + 2)
    return "{\n" + "".join(pad + item + ",\n" for item in items) + " " * indent + "}"


def write(name, header, value):
    path = os.path.join(HERE, name + ".lua")
    lines = ["Made by tests/oracle/make_oracle.py; not to be edited.", ""]
    for paragraph in header.strip("\n").split("\n\n"):
        code = paragraph.startswith("  ")
        lines += paragraph.splitlines() if code else textwrap.wrap(paragraph, WIDTH - 3)
        lines.append("")
    with open(path, "w") as file:
        file.write("".join(("-- " + line).rstrip() + "\n" for line in lines[:-1]))
        file.write("return " + lua(value) + "\n")
    print("%-28s %7d bytes" % (os.path.basename(path), os.path.getsize(path)))


# ---- inputs -----------------------------------------------------------------------------------------------

class Inputs:
    """Random values with three decimals, as the float32 numbers that a reader makes of them."""

    def __init__(self, seed):
        self.random = np.random.RandomState(seed)

    def uniform(self, *shape, low=-2.0, high=2.0):
        return np.round(self.random.uniform(low, high, shape), 3)

    def distinct(self, *shape):
        """No two values equal, so that a maximum is never tied."""
        count = int(np.prod(shape))
        return ((self.random.permutation(count) - count // 2) / 100.0).reshape(shape)

    def probabilities(self, *shape):
        """Rows that sum to 1 only roughly, as three decimals allow."""
        x = np.exp(self.random.normal(size=shape))
        return np.maximum(np.round(x / x.sum(-1, keepdims=True), 3), 0.001)

    def labels(self, classes, *shape):
        return self.random.randint(0, classes, shape)

    def one_hot(self, classes, *shape):
        return np.eye(classes)[self.labels(classes, *shape)]

    def choice(self, probability, *shape):
        return (self.random.uniform(size=shape) < probability).astype(int)


def rounded(x):
    """float32's value of x, in float64."""
    return np.asarray(x, dtype=np.float32).astype(np.float64)


def leaf(x):
    return torch.tensor(rounded(x), requires_grad=True)


def op_case(name, op, attributes, inputs, function, random):
    """A case of an op whose every input is differentiable."""
    leaves = [leaf(x) for x in inputs]
    output = function(*leaves)
    grad_output = random.uniform(*output.shape, low=-1, high=1)
    gradients = torch.autograd.grad(output, leaves, torch.tensor(rounded(grad_output)), allow_unused=True)
    return {"name": name, "op": op, "attributes": attributes, "inputs": list(inputs), "output": output,
            "grad_output": grad_output, "grad_inputs": list(gradients)}


# ---- convolution and pooling layers -----------------------------------------------------------------------

def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def same_padding(sizes, kernel, strides, dilation=(1, 1)):
    """TensorFlow's "same": ceil(size / stride) outputs, the odd pixel at the bottom and the right.

    In F.pad's order: left, right, top, bottom.
    """
    pads = []
    for size, k, stride, rate in zip(sizes, kernel, strides, dilation):
        outputs = -(-size // stride)
        total = max((outputs - 1) * stride + (k - 1) * rate + 1 - size, 0)
        pads.append((total // 2, total - total // 2))
    return [*pads[1], *pads[0]]


def convolve(x, kernel, bias, strides, padding, dilation, groups):
    x = nchw(x)
    if padding == "same":
        x = F.pad(x, same_padding(x.shape[2:], kernel.shape[:2], strides, dilation))
    y = F.conv2d(x, kernel.permute(3, 2, 0, 1), bias, strides, 0, dilation, groups)
    return nhwc(y)


def conv2d():
    random = Inputs(101)
    cases = []

    def case(name, x, filters, kernel, strides=(1, 1), padding="valid", dilation=(1, 1), groups=1, bias=True):
        inputs = [random.uniform(*x), random.uniform(*kernel, x[3] // groups, filters, low=-1, high=1)]
        if bias:
            inputs.append(random.uniform(filters))
        attributes = {"strides": list(strides), "padding": padding, "dilation_rate": list(dilation), "groups": groups}
        cases.append(op_case(
            name, "conv2d", attributes, inputs,
            lambda x, k, b=None: convolve(x, k, b, strides, padding, dilation, groups), random))

    case("valid 3x3, 1 to 3 channels, batch 3", (3, 7, 7, 1), 3, (3, 3))
    case("same 3x3", (1, 5, 5, 3), 10, (3, 3), padding="same")
    case("same 2x2 pads bottom and right only", (1, 5, 5, 3), 3, (2, 2), padding="same")
    case("valid 3x3 stride 2", (1, 7, 7, 3), 10, (3, 3), (2, 2))
    case("same 3x3 stride 2, odd size", (1, 7, 5, 10), 3, (3, 3), (2, 2), "same")
    case("same 3x3 stride 2, even size pads bottom and right only", (1, 6, 6, 3), 3, (3, 3), (2, 2), "same")
    case("same 5x5 stride 3", (1, 7, 7, 1), 3, (5, 5), (3, 3), "same")
    case("same 2x2 stride 3, above the kernel", (1, 7, 7, 3), 3, (2, 2), (3, 3), "same")
    case("valid 2x2 stride 3, above the kernel, batch 3", (3, 7, 7, 3), 3, (2, 2), (3, 3))
    case("valid 1x1 stride 2, above the kernel", (1, 5, 5, 3), 17, (1, 1), (2, 2))
    case("valid 1x1, batch 3", (3, 3, 2, 17), 10, (1, 1))
    case("same 3x3 dilation 2", (1, 7, 5, 3), 3, (3, 3), padding="same", dilation=(2, 2))
    case("valid 3x3 dilation 2", (1, 7, 5, 10), 3, (3, 3), dilation=(2, 2))
    case("same 2x3 dilation 1 by 2", (1, 5, 7, 3), 1, (2, 3), padding="same", dilation=(1, 2))
    case("same 3x3, 2 groups", (1, 5, 5, 10), 4, (3, 3), padding="same", groups=2)
    case("valid 3x3 stride 2, 2 groups, batch 3", (3, 5, 7, 2), 6, (3, 3), (2, 2), groups=2)
    case("same 3x3, as many groups as channels", (1, 5, 5, 3), 6, (3, 3), padding="same", groups=3)
    case("same 5x5 on one pixel, batch 3", (3, 1, 1, 3), 10, (5, 5), padding="same")
    case("valid 5x5 on 5x5", (1, 5, 5, 3), 17, (5, 5))
    case("same 1x5 stride 1 by 2", (1, 5, 7, 3), 3, (1, 5), (1, 2), "same")
    case("valid 3x2 stride 2 by 1", (1, 7, 5, 3), 3, (3, 2), (2, 1))
    case("same 3x3 on a column", (1, 7, 1, 1), 10, (3, 3), padding="same")
    case("valid 3x3 without bias", (1, 5, 5, 1), 17, (3, 3), bias=False)
    case("valid 3x3, 10 to 17 channels", (1, 5, 5, 10), 17, (3, 3))
    write("conv2d", "Two-dimensional convolution (cross-correlation): inputs are x, kernel and, mostly, bias.", cases)


def depthwise_conv2d():
    random = Inputs(102)
    cases = []

    def case(name, x, multiplier, kernel, strides=(1, 1), padding="valid", dilation=(1, 1)):
        channels = x[3]
        inputs = [random.uniform(*x), random.uniform(*kernel, channels, multiplier, low=-1, high=1),
                  random.uniform(channels * multiplier)]
        attributes = {"strides": list(strides), "padding": padding, "dilation_rate": list(dilation)}
        cases.append(op_case(
            name, "depthwise_conv2d", attributes, inputs,
            lambda x, k, b: convolve(x, k.reshape(*kernel, 1, channels * multiplier), b, strides, padding, dilation,
                                     channels), random))

    case("same 3x3", (1, 5, 5, 3), 1, (3, 3), padding="same")
    case("valid 3x3 multiplier 2, batch 3", (3, 5, 5, 3), 2, (3, 3))
    case("same 3x3 stride 2", (1, 7, 7, 10), 1, (3, 3), (2, 2), "same")
    case("valid 2x2 stride 3, above the kernel", (1, 7, 7, 3), 1, (2, 2), (3, 3))
    case("same 3x3 dilation 2, 17 channels", (1, 5, 5, 17), 1, (3, 3), padding="same", dilation=(2, 2))
    case("valid 5x5 multiplier 3, 1 channel", (3, 7, 5, 1), 3, (5, 5))
    write("depthwise_conv2d",
          "Depthwise convolution: inputs are x, kernel [kh,kw,C,multiplier] and bias [C*multiplier].", cases)


def transposed(x, kernel, bias, strides, padding, dilation):
    """Keras's Conv2DTranspose: all that the windows reach, cut or filled up to the size that `padding` asks for, with
    TensorFlow's smaller half of what is cut before."""
    y = F.conv_transpose2d(nchw(x), kernel.permute(3, 2, 0, 1), stride=strides, dilation=dilation)
    for axis in (2, 3):
        size, stride = x.shape[axis - 1], strides[axis - 2]
        window = (kernel.shape[axis - 2] - 1) * dilation[axis - 2] + 1
        out = size * stride if padding == "same" else size * stride + max(window - stride, 0)
        before = max(y.shape[axis] - out, 0) // 2 if padding == "same" else 0
        missing = max(out - y.shape[axis], 0)
        y = F.pad(y, (0, 0, 0, missing) if axis == 2 else (0, missing)).narrow(axis, before, out)
    return nhwc(y) + bias


def more_ops():
    random = Inputs(112)
    cases = []

    def case(name, op, attributes, inputs, function):
        cases.append(op_case(name, op, attributes, inputs, function, random))

    for x, k, strides, padding, dilation in (
            ((1, 3, 4, 3), (3, 3), (1, 1), "valid", (1, 1)), ((3, 3, 4, 2), (3, 3), (2, 2), "same", (1, 1)),
            ((1, 4, 3, 10), (4, 3), (2, 3), "same", (1, 1)), ((1, 3, 3, 2), (2, 2), (3, 3), "valid", (1, 1)),
            ((1, 4, 4, 1), (3, 2), (2, 1), "valid", (1, 1)), ((1, 5, 4, 3), (3, 3), (1, 1), "same", (2, 2))):
        filters = 5
        case("%s kernel %dx%d strides %d,%d dilation %d" % (padding, *k, *strides, dilation[0]), "conv2d_transpose",
             {"strides": list(strides), "padding": padding, "dilation_rate": list(dilation)},
             [random.uniform(*x), random.uniform(*k, filters, x[3], low=-1, high=1), random.uniform(filters)],
             lambda x, k, b: transposed(x, k, b, strides, padding, dilation))
    for padding, pads in (("valid", (0, 0)), ("same", (1, 1)), ("causal", (4, 0))):
        dilation = 2 if padding == "causal" else 1
        case("%s dilation %d" % (padding, dilation), "conv1d", {"padding": padding, "dilation_rate": dilation},
             [random.uniform(3, 7, 3), random.uniform(3, 3, 10, low=-1, high=1), random.uniform(10)],
             lambda x, k, b: F.conv1d(F.pad(x.transpose(1, 2), pads), k.permute(2, 1, 0), b,
                                      dilation=dilation).transpose(1, 2))
    for shape, axes in (((3, 5, 17), 1), ((3, 4, 5), 2), ((2, 3, 3, 10), 1)):
        case("last %d of %dd" % (axes, len(shape)), "layer_normalization", {"axes": axes, "epsilon": 0.001},
             [random.uniform(*shape), random.uniform(*shape[-axes:], low=0.5, high=1.5),
              random.uniform(*shape[-axes:])],
             lambda x, g, b: F.layer_norm(x, shape[-axes:], g, b, 0.001))
    case("shared by channel", "prelu", {}, [random.uniform(3, 3, 2, 5), random.uniform(1, 1, 5)],
         lambda x, a: torch.where(x > 0, x, a * x))
    for size in ((2, 2), (3, 2), (1, 4)):
        case("bilinear %d by %d" % size, "upsample2d", {"size": list(size), "interpolation": "bilinear"},
             [random.uniform(2, 3, 4, 3)],
             lambda x: nhwc(F.interpolate(nchw(x), scale_factor=size, mode="bilinear", align_corners=False)))
    write("more_ops", """
Transposed and one-dimensional convolution, layer normalization, PReLU, bilinear upsampling. Kernels are Keras's:
[kh,kw,filters,C] where transposed, [size,C,filters] in one dimension.""", cases)


def max_pool(x, size, strides, padding):
    """Padding never wins; the first of equal values, in row-major order, takes the gradient."""
    x = nchw(x)
    if padding == "same":
        x = F.pad(x, same_padding(x.shape[2:], size, strides), value=-np.inf)
    return nhwc(F.max_pool2d(x, size, strides))


def average_pool(x, size, strides, padding):
    """With "same", the average is over the cells inside the image: padding does not count."""
    x = nchw(x)
    if padding != "same":
        return nhwc(F.avg_pool2d(x, size, strides))
    pads = same_padding(x.shape[2:], size, strides)
    total = F.avg_pool2d(F.pad(x, pads), size, strides, divisor_override=1)
    count = F.avg_pool2d(F.pad(torch.ones_like(x), pads), size, strides, divisor_override=1)
    return nhwc(total / count)


def pooling():
    random = Inputs(103)
    cases = []
    functions = {"max_pooling2d": max_pool, "average_pooling2d": average_pool}

    def case(name, op, x, size, strides, padding):
        attributes = {"pool_size": list(size), "strides": list(strides), "padding": padding}
        cases.append(op_case("%s %s" % (op, name), op, attributes, [x],
                             lambda x: functions[op](x, size, strides, padding), random))

    for op in functions:
        for size in (2, 3):
            for stride in (1, 2, 3):
                for padding in ("valid", "same"):
                    case("%s %dx%d stride %d" % (padding, size, size, stride), op, random.distinct(1, 7, 5, 3),
                         (size, size), (stride, stride), padding)
        case("same 3x3 stride 2, even size", op, random.distinct(1, 6, 6, 1), (3, 3), (2, 2), "same")
        case("valid 2x2 stride 2, 17 channels, batch 3", op, random.distinct(3, 5, 5, 17), (2, 2), (2, 2), "valid")
        case("same 2x3 stride 2 by 1, batch 3", op, random.distinct(3, 5, 7, 3), (2, 3), (2, 1), "same")
        case("same 3x3 on one pixel", op, random.distinct(3, 1, 1, 10), (3, 3), (2, 2), "same")
        case("same 2x2 stride 2, all below zero", op, random.distinct(1, 5, 5, 1) - 1, (2, 2), (2, 2), "same")
    tied = random.labels(2, 1, 5, 5, 3).astype(float)
    case("2x2 stride 1, tied: the first takes the gradient", "max_pooling2d", tied, (2, 2), (1, 1), "valid")
    case("3x3 stride 2, tied: the first takes the gradient", "max_pooling2d", tied, (3, 3), (2, 2), "same")
    for keepdims in (False, True):
        for shape in ((3, 5, 7, 3), (1, 1, 1, 10), (1, 7, 5, 17)):
            for op, function in (("global_max_pooling2d", torch.amax), ("global_average_pooling2d", torch.mean)):
                cases.append(op_case(
                    "%s %s%s" % (op, "x".join(map(str, shape)), " keepdims" * keepdims), op, {"keepdims": keepdims},
                    [random.distinct(*shape)], lambda x: function(x, dim=(1, 2), keepdim=keepdims), random))
    write("pooling", "Max, average and global pooling.\n"
          'Average pooling with "same" padding divides by the number of cells inside the image.', cases)


# ---- elementwise and dense --------------------------------------------------------------------------------

def activations():
    random = Inputs(104)
    cases = []
    # No zero here: at zero only ReLU and its leaky kin have a gradient that everyone agrees on, and they get one below.
    large = np.array([-1000, -80, -20, -5, -1, -1e-3, 1e-3, 1, 5, 20, 80, 1000.0])

    def case(name, op, attributes, x, function):
        cases.append(op_case("%s %s" % (op, name), op, attributes, [x], function, random))

    functions = [
        ("relu", {}, torch.relu),
        ("leaky_relu", {"negative_slope": 0.3}, lambda x: F.leaky_relu(x, 0.3)),  # Keras 3's default slope
        ("leaky_relu", {"negative_slope": 0.01}, lambda x: F.leaky_relu(x, 0.01)),
        ("elu", {"alpha": 1.0}, F.elu),
        ("elu", {"alpha": 0.5}, lambda x: F.elu(x, 0.5)),
        ("selu", {}, F.selu),
        ("sigmoid", {}, torch.sigmoid),
        ("hard_sigmoid", {}, F.hardsigmoid),  # Keras 3: relu6(x + 3) / 6
        ("tanh", {}, torch.tanh),
        ("softplus", {}, F.softplus),
        ("softsign", {}, F.softsign),
        ("silu", {}, F.silu),
        ("gelu", {"approximate": False}, F.gelu),
        ("relu6", {}, F.relu6),
    ]
    for op, attributes, function in functions:
        suffix = "".join(" %s %g" % item for item in attributes.items())
        case("3x7" + suffix, op, attributes, random.uniform(3, 7, low=-4, high=4), function)
        case("large values" + suffix, op, attributes, large, function)
    for op, attributes, function in functions[:2]:
        case("at zero", op, attributes, np.array([-1.0, 0, 1.0]), function)
    case("3x5x7x3", "relu", {}, random.uniform(3, 5, 7, 3), torch.relu)
    case("5x3", "exponential", {}, random.uniform(5, 3), torch.exp)

    for shape in ((3, 10), (1, 1), (5, 17), (2, 3, 5), (1, 2, 2, 3)):
        case("x".join(map(str, shape)), "softmax", {"axis": -1}, random.uniform(*shape, low=-5, high=5),
             lambda x: F.softmax(x, -1))
    rows = np.array([[-80, 80, 0, 1], [1000, -1000, 999, 998], [1000, 1000, 1000, 1000], [-1000, -1000, -999, -80.0]])
    case("large values", "softmax", {"axis": -1}, rows, lambda x: F.softmax(x, -1))
    case("large values", "log_softmax", {"axis": -1}, rows, lambda x: F.log_softmax(x, -1))
    write("activations", "Activations, with large values that must neither overflow nor give NaN.", cases)


def dense():
    random = Inputs(105)
    cases = []
    for batch, fan_in, units, bias in (((1,), 1, 1, True), ((1,), 17, 10, True), ((3,), 5, 17, True),
                                       ((3,), 33, 3, True), ((7,), 10, 1, True), ((3,), 17, 10, False),
                                       ((3, 5), 7, 3, True), ((1, 2, 2), 3, 5, True)):
        inputs = [random.uniform(*batch, fan_in), random.uniform(fan_in, units, low=-1, high=1)]
        if bias:
            inputs.append(random.uniform(units))
        name = "%s, %d to %d%s" % ("x".join(map(str, batch)), fan_in, units, "" if bias else " without bias")
        cases.append(op_case(name, "dense", {"units": units, "use_bias": bias}, inputs,
                             lambda x, k, b=0: x @ k + b, random))
    write("dense", "Dense over the last axis: inputs are x, kernel [in,units] and, mostly, bias.", cases)


def shapes():
    random = Inputs(106)
    cases = []

    def case(name, op, attributes, inputs, function):
        cases.append(op_case(name, op, attributes, inputs, function, random))

    for pads in (((1, 1), (1, 1)), ((0, 1), (2, 0)), ((3, 0), (0, 0))):
        (top, bottom), (left, right) = pads
        case("pad %d %d %d %d" % (top, bottom, left, right), "zero_padding2d", {"padding": [list(p) for p in pads]},
             [random.uniform(3, 2, 3, 2)], lambda x: F.pad(x, (0, 0, left, right, top, bottom)))
    case("crop 1 0 1 2", "cropping2d", {"cropping": [[1, 0], [1, 2]]}, [random.uniform(1, 4, 5, 3)],
         lambda x: x[:, 1:, 1:-2])
    case("nearest 2 by 3", "up_sampling2d", {"size": [2, 3], "interpolation": "nearest"}, [random.uniform(1, 2, 3, 3)],
         lambda x: x.repeat_interleave(2, 1).repeat_interleave(3, 2))
    for axis, parts in ((-1, ((3, 2, 2, 1), (3, 2, 2, 3), (3, 2, 2, 10))), (1, ((1, 2, 3, 3), (1, 1, 3, 3))),
                        (2, ((3, 1, 5, 1), (3, 1, 1, 1))), (-1, ((3, 5), (3, 1))), (0, ((2, 5), (1, 5)))):
        case("axis %d of %d" % (axis, len(parts[0])), "concatenate", {"axis": axis},
             [random.uniform(*shape) for shape in parts], lambda *xs: torch.cat(xs, axis))
    for op, function in (("add", lambda a, b, c: a + b + c), ("multiply", lambda a, b, c: a * b * c),
                         ("average", lambda a, b, c: (a + b + c) / 3)):
        case("three", op, {}, [random.uniform(3, 2, 2, 3) for _ in range(3)], function)
    case("flatten", "flatten", {}, [random.uniform(3, 2, 2, 3)], lambda x: x.reshape(3, 12))
    case("reshape", "reshape", {"target_shape": [3, -1]}, [random.uniform(2, 2, 3, 2)], lambda x: x.reshape(2, 3, 4))
    case("permute", "permute", {"dims": [3, 1, 2]}, [random.uniform(2, 2, 3, 5)], lambda x: x.permute(0, 3, 1, 2))
    case("rescaling", "rescaling", {"scale": 1 / 255, "offset": -0.5}, [random.uniform(1, 3, 3, 3, low=0, high=255)],
         lambda x: x * (1 / 255) - 0.5)
    write("shapes", """
Padding, cropping, upsampling, joining and reshaping. Axes and dims are Keras's: counted from 0 with the batch as
axis 0 (permute's dims from 1, without the batch).""", cases)


def batchnorm():
    random = Inputs(107)
    cases = []

    def case(name, shape, momentum=0.99, epsilon=1e-3, affine=True):
        channels = shape[-1]
        axes = tuple(range(len(shape) - 1))
        gamma = random.uniform(channels, low=0.5, high=1.5) if affine else None
        beta = random.uniform(channels) if affine else None
        start_mean = random.uniform(channels, low=-0.5, high=0.5)
        start_variance = random.uniform(channels, low=0.5, high=2)
        mean, variance = rounded(start_mean), rounded(start_variance)

        def run(training):
            nonlocal mean, variance
            x = random.uniform(*shape, low=-3, high=5)
            leaves = [leaf(x)] + ([leaf(gamma), leaf(beta)] if affine else [])
            if training:
                # Keras 3 (keras/src/layers/normalization/batch_normalization.py): the biased variance normalizes
                # and goes into the moving one, moving = moving * momentum + batch * (1 - momentum).
                batch_mean = leaves[0].mean(axes)
                batch_variance = leaves[0].var(axes, unbiased=False)
                mean = mean * momentum + batch_mean.detach().numpy() * (1 - momentum)
                variance = variance * momentum + batch_variance.detach().numpy() * (1 - momentum)
            else:
                batch_mean, batch_variance = torch.tensor(mean), torch.tensor(variance)
            y = (leaves[0] - batch_mean) / torch.sqrt(batch_variance + epsilon)
            if affine:
                y = y * leaves[1] + leaves[2]
            grad_output = random.uniform(*shape, low=-1, high=1)
            gradients = torch.autograd.grad(y, leaves, torch.tensor(rounded(grad_output)))
            step = {"x": x, "output": y, "grad_output": grad_output, "grad_inputs": list(gradients)}
            if training:
                step.update(moving_mean=mean, moving_variance=variance)
            return step

        cases.append({
            "name": name, "op": "batch_normalization",
            "attributes": {"momentum": momentum, "epsilon": epsilon, "center": affine, "scale": affine},
            "gamma": gamma, "beta": beta, "moving_mean": start_mean, "moving_variance": start_variance,
            "steps": [run(True) for _ in range(3)], "inference": run(False),
        })

    case("3x5x5x3", (3, 5, 5, 3))
    case("1x3x3x17", (1, 3, 3, 17))
    case("7x10 momentum 0.9 epsilon 1e-5", (7, 10), 0.9, 1e-5)
    case("3x2x2x3 neither center nor scale", (3, 2, 2, 3), affine=False)
    write("batchnorm", """
BatchNormalization over the last axis: three training steps, then one inference call with the statistics reached.

A case: {name, op, attributes, gamma, beta, moving_mean, moving_variance (before the first step; gamma and beta are
false with neither center nor scale), steps = {{x, output, grad_output, grad_inputs = {x, gamma, beta}, moving_mean,
moving_variance (after the step)} x 3}, inference = {x, output, grad_output, grad_inputs}}.
The biased variance serves for both the output and the moving variance. Weights are not updated between
steps.""", cases)


# ---- losses and metrics -----------------------------------------------------------------------------------

def categorical(y, p, from_logits=False, label_smoothing=0.0):
    # keras/src/backend/{jax,torch,numpy}/nn.py: without logits, rows are divided by their sum, then clipped.
    if label_smoothing:
        y = y * (1 - label_smoothing) + label_smoothing / y.shape[-1]
    if from_logits:
        logarithms = F.log_softmax(p, -1)
    else:
        logarithms = torch.log(torch.clamp(p / p.sum(-1, keepdim=True), EPSILON, 1 - EPSILON))
    return -(y * logarithms).sum(-1)


def sparse_categorical(y, p, from_logits=False):
    return categorical(F.one_hot(y.long(), p.shape[-1]).double(), p, from_logits)


def binary(y, p, from_logits=False, label_smoothing=0.0):
    if label_smoothing:
        y = y * (1 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        values = F.binary_cross_entropy_with_logits(p, y, reduction="none")
    else:
        p = torch.clamp(p, EPSILON, 1 - EPSILON)
        values = -(y * torch.log(p) + (1 - y) * torch.log(1 - p))
    return values.mean(-1)


def squared(y, p):
    return ((y - p) ** 2).mean(-1)


def absolute(y, p):
    return (y - p).abs().mean(-1)


def huber(y, p, delta=1.0):
    error = (y - p).abs()
    return torch.where(error <= delta, 0.5 * error ** 2, delta * error - 0.5 * delta ** 2).mean(-1)


def losses():
    random = Inputs(108)
    cases = []

    def case(name, op, attributes, y, p, function, weights=None):
        prediction = leaf(p)
        values = function(torch.tensor(rounded(y)), prediction, **attributes)
        weighted = values if weights is None else values * torch.tensor(rounded(weights))
        # "sum_over_batch_size", the default reduction: weights scale the values, the divisor stays their number.
        loss = weighted.mean()
        gradient, = torch.autograd.grad(loss, [prediction])
        result = {"name": "%s %s" % (op, name), "op": op, "attributes": attributes, "inputs": [y, p]}
        if weights is not None:
            result["sample_weight"] = weights
        result.update(output=values, loss=loss.item(), grad_inputs=[None, gradient])
        cases.append(result)

    def weights(*shape):
        return random.uniform(*shape, low=0, high=3)

    def logits(*shape):
        return random.uniform(*shape, low=-6, high=6)

    huge = np.array([[1000, -1000, 0], [-80, 80, 0], [5, 5, 5], [-1000, 0, 1000.0]])
    saturated = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0], [0, 0.25, 0.75]])
    op = "categorical_crossentropy"
    case("3x10", op, {"from_logits": False}, random.one_hot(10, 3), random.probabilities(3, 10), categorical)
    case("logits 3x10", op, {"from_logits": True}, random.one_hot(10, 3), logits(3, 10), categorical)
    case("large logits", op, {"from_logits": True}, np.eye(3)[[0, 2, 1, 0]], huge, categorical)
    case("probabilities 0 and 1 are clipped", op, {"from_logits": False}, np.eye(3)[[0, 2, 1, 0]], saturated,
         categorical)
    case("weighted 5x3", op, {"from_logits": False}, random.one_hot(3, 5), random.probabilities(5, 3), categorical,
         weights(5))
    case("soft labels, logits", op, {"from_logits": True}, random.probabilities(3, 7), logits(3, 7), categorical)
    case("label smoothing", op, {"from_logits": False, "label_smoothing": 0.1}, random.one_hot(3, 5),
         random.probabilities(5, 3), categorical)
    case("label smoothing, logits", op, {"from_logits": True, "label_smoothing": 0.2}, random.one_hot(3, 5),
         logits(5, 3), categorical)
    case("2x3x5", op, {"from_logits": False}, random.one_hot(5, 2, 3), random.probabilities(2, 3, 5), categorical)

    op = "sparse_categorical_crossentropy"
    case("3x10", op, {"from_logits": False}, random.labels(10, 3), random.probabilities(3, 10), sparse_categorical)
    case("logits 3x10", op, {"from_logits": True}, random.labels(10, 3), logits(3, 10), sparse_categorical)
    case("large logits", op, {"from_logits": True}, np.array([0, 2, 1, 0]), huge, sparse_categorical)
    case("probabilities 0 and 1 are clipped", op, {"from_logits": False}, np.array([0, 2, 1, 0]), saturated,
         sparse_categorical)
    case("weighted logits 5x17", op, {"from_logits": True}, random.labels(17, 5), logits(5, 17), sparse_categorical,
         weights(5))

    op = "binary_crossentropy"
    case("7x1", op, {"from_logits": False}, random.choice(0.5, 7, 1), random.uniform(7, 1, low=0, high=1), binary)
    case("logits 7x1", op, {"from_logits": True}, random.choice(0.5, 7, 1), logits(7, 1), binary)
    case("5x3", op, {"from_logits": False}, random.choice(0.5, 5, 3), random.uniform(5, 3, low=0, high=1), binary)
    case("large logits", op, {"from_logits": True}, np.array([[0], [1], [0], [1], [1]]),
         np.array([[1000], [1000], [-80], [-80], [0.0]]), binary)
    case("probabilities 0 and 1 are clipped", op, {"from_logits": False}, np.array([[0], [0], [1], [1]]),
         np.array([[0], [1], [0], [1.0]]), binary)
    case("weighted 7x1", op, {"from_logits": False}, random.choice(0.5, 7, 1), random.uniform(7, 1, low=0, high=1),
         binary, weights(7))
    case("label smoothing", op, {"from_logits": False, "label_smoothing": 0.1}, random.choice(0.5, 5, 1),
         random.uniform(5, 1, low=0, high=1), binary)

    for op, function in (("mean_squared_error", squared), ("mean_absolute_error", absolute), ("huber", huber)):
        case("3x5", op, {}, random.uniform(3, 5), random.uniform(3, 5), function)
        case("7x1", op, {}, random.uniform(7, 1), random.uniform(7, 1), function)
        case("weighted 3x2x2", op, {}, random.uniform(3, 2, 2), random.uniform(3, 2, 2), function, weights(3, 2))
    case("delta 0.5", "huber", {"delta": 0.5}, random.uniform(3, 5), random.uniform(3, 5), huber)
    write("losses", """
Losses.

A case: {name, op, attributes, inputs = {y_true, y_pred}, sample_weight (only in weighted cases), output = the
values per sample (the mean over the last axis, or the cross-entropy over it), unweighted; loss = mean(output * weight),
dividing by the number of values as Keras's "sum_over_batch_size" does; grad_inputs = {false, d loss / d y_pred}}.

Without from_logits a categorical cross-entropy divides each row by its sum, then clips to [1e-7, 1 - 1e-7]; both take
part in the gradient, which is zero where the value was clipped.""", cases)


def divide(a, b):
    """a / b, 0 where b is 0."""
    a, b = np.broadcast_arrays(np.asarray(a, float), np.asarray(b, float))
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


def weighted_mean(values, weights):
    values = np.asarray(values, float)
    if weights is None:
        return values.mean()
    return (values * weights).sum() / (np.sum(weights) * values.size / np.size(weights))


def in_top_k(y, p, k):
    return [(row > row[int(label)]).sum() < k for label, row in zip(y, p)]


def confusion(y, p, thresholds, weights):
    """True and false positives and negatives at each threshold; positive is strictly above."""
    y, p = np.ravel(y) > 0.5, np.ravel(p)
    w = np.ones(y.shape) if weights is None else np.broadcast_to(np.ravel(weights), y.shape)
    positive = p[None, :] > np.reshape(thresholds, (-1, 1))
    return [(w * (positive == predicted) * (y == actual)).sum(1)
            for predicted, actual in ((True, True), (True, False), (False, False), (False, True))]  # tp fp tn fn


def area_under_curve(y, p, weights=None, num_thresholds=200, curve="ROC"):
    # keras/src/metrics/confusion_metrics.py, AUC: thresholds evenly spread, the outer two just outside [0, 1].
    inner = [(i + 1) / (num_thresholds - 1) for i in range(num_thresholds - 2)]
    tp, fp, tn, fn = confusion(y, p, [-EPSILON] + inner + [1 + EPSILON], weights)
    if curve == "ROC":
        recall, fall_out = divide(tp, tp + fn), divide(fp, fp + tn)
        return ((fall_out[:-1] - fall_out[1:]) * (recall[:-1] + recall[1:]) / 2).sum()
    # Davis & Goadrich 2006, as AUC.interpolate_pr_auc: true positives vary linearly with positives.
    positives = tp + fp
    slope = divide(tp[:-1] - tp[1:], positives[:-1] - positives[1:])
    intercept = tp[1:] - slope * positives[1:]
    ratio = np.where((positives[:-1] > 0) & (positives[1:] > 0), divide(positives[:-1], positives[1:]), 1)
    return divide(slope * (tp[:-1] - tp[1:] + intercept * np.log(ratio)), tp[1:] + fn[1:]).sum()


def metrics():
    random = Inputs(109)
    cases = []

    def case(name, op, attributes, y, p, value, weights=None):
        result = {"name": "%s %s" % (op, name), "op": op, "attributes": attributes, "inputs": [y, p]}
        if weights is not None:
            result["sample_weight"] = weights
        result["output"] = float(value)
        cases.append(result)

    def scores(y, classes):
        """Predictions that are right more often than not, with no ties within a row."""
        p = np.array([random.distinct(classes) for _ in range(len(y))])
        for label, row in zip(y, p):
            if random.choice(0.6)[()]:
                best = row.argmax()
                row[[int(label), best]] = row[[best, int(label)]]
        return np.round(p + 0.5, 3)

    n = 23
    weights = random.uniform(n, low=0, high=2)
    for w in (None, rounded(weights)):
        suffix = "" if w is None else " weighted"
        given = None if w is None else weights
        y, classes = random.labels(10, n), 10
        p = scores(y, classes)
        hits = p.argmax(1) == y
        case("sparse" + suffix, "accuracy", {}, y, p, weighted_mean(hits, w), given)
        case("one-hot" + suffix, "accuracy", {}, np.eye(10)[y], p, weighted_mean(hits, w), given)
        case("10 classes" + suffix, "sparse_categorical_accuracy", {}, y, p, weighted_mean(hits, w), given)
        case("10 classes" + suffix, "categorical_accuracy", {}, np.eye(10)[y], p, weighted_mean(hits, w), given)
        for k in (1, 3, 5):
            value = weighted_mean(in_top_k(y, p, k), w)
            case("k %d%s" % (k, suffix), "top_k_categorical_accuracy", {"k": k}, np.eye(10)[y], p, value, given)
            case("k %d%s" % (k, suffix), "sparse_top_k_categorical_accuracy", {"k": k}, y, p, value, given)

        y = random.choice(0.4, n, 1)
        p = np.round(np.clip(0.35 * y + random.uniform(n, 1, low=0, high=0.7), 0, 1), 3)
        p[:3, 0] = 0.5, 0, 1  # 0.5 is not above the threshold
        p64 = rounded(p)
        wide = None if w is None else w[:, None]
        case("binary" + suffix, "accuracy", {}, y, p, weighted_mean((p64 > 0.5) == y, wide), given)
        for threshold in (0.5, 0.3):
            text = "threshold %g%s" % (threshold, suffix)
            case(text, "binary_accuracy", {"threshold": threshold}, y, p,
                 weighted_mean((p64 > threshold) == y, wide), given)
            tp, fp, _, fn = (x[0] for x in confusion(y, p64, [threshold], w))
            case(text, "precision", {"thresholds": threshold}, y, p, divide(tp, tp + fp), given)
            case(text, "recall", {"thresholds": threshold}, y, p, divide(tp, tp + fn), given)
        for attributes in ({}, {"num_thresholds": 5}, {"curve": "PR"}):
            text = " ".join("%s %s" % item for item in attributes.items()) or "default"
            case(text + suffix, "auc", attributes, y, p, area_under_curve(y, p64, w, **attributes), given)
        y, p = random.uniform(n, 3), random.uniform(n, 3)
        error = rounded(p) - rounded(y)
        case("3 wide" + suffix, "mean_squared_error", {}, y, p, weighted_mean((error ** 2).mean(1), w), given)
        case("3 wide" + suffix, "mean_absolute_error", {}, y, p, weighted_mean(abs(error).mean(1), w), given)
    case("3 wide", "root_mean_squared_error", {}, y, p, np.sqrt((error ** 2).mean()))

    zeros, ones = np.zeros((5, 1), int), np.ones((5, 1), int)
    low, high = np.full((5, 1), 0.125), np.full((5, 1), 0.875)
    case("nothing predicted", "precision", {}, ones, low, 0)
    case("nothing to find", "recall", {}, zeros, high, 0)
    case("all right", "auc", {}, np.vstack([zeros, ones]), np.vstack([low, high]), 1)
    case("all wrong", "auc", {}, np.vstack([zeros, ones]), np.vstack([high, low]), 0)
    case("one class only", "auc", {}, ones, high, 0)
    write("metrics", """
Metrics.

A case: {name, op, attributes, inputs = {y_true, y_pred}, sample_weight (only in weighted cases), output = the
result, a number}. Fed in batches of any sizes, a metric must give the same. "accuracy" stands for the one that Keras
picks from the shapes: binary, categorical or sparse. A prediction is positive when strictly above the threshold;
0/0 is 0. Weighted means divide by the sum of the weights. Labels are integers, or one-hot.""", cases)


# ---- optimizers and schedules -----------------------------------------------------------------------------

class Optimizer:
    """Keras 3's update rules (keras/src/optimizers), on a list of NumPy arrays, in their dtype.

    Each step: gradients are clipped, then weight decay shrinks the variables, then the rule is applied.
    """

    defaults = {
        "SGD": {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False},
        "RMSprop": {"learning_rate": 0.001, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": False},
        "Adam": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": False},
        "AdamW": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": False,
                  "weight_decay": 0.004},
        "Adagrad": {"learning_rate": 0.001, "initial_accumulator_value": 0.1, "epsilon": 1e-7},
        "Adadelta": {"learning_rate": 0.001, "rho": 0.95, "epsilon": 1e-7},
        "Adamax": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
        "Nadam": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
    }

    def __init__(self, class_name, attributes):
        self.class_name = class_name
        self.config = {**self.defaults[class_name], "weight_decay": None, "clipnorm": None, "clipvalue": None,
                       "global_clipnorm": None}
        self.config.update(self.defaults[class_name], **attributes)
        self.iterations = 0
        self.states = None

    def learning_rate(self):
        rate = self.config["learning_rate"]
        return schedule(rate["class_name"], self.iterations, **rate["config"]) if isinstance(rate, dict) else rate

    def clipped(self, gradients):
        config = self.config
        if config["clipnorm"]:
            return [g * config["clipnorm"] / max(np.sqrt((g ** 2).sum()), config["clipnorm"]) for g in gradients]
        if config["global_clipnorm"]:
            norm = np.sqrt(sum((g ** 2).sum() for g in gradients))
            return [g * config["global_clipnorm"] / max(norm, config["global_clipnorm"]) for g in gradients]
        if config["clipvalue"]:
            return [np.clip(g, -config["clipvalue"], config["clipvalue"]) for g in gradients]
        return gradients

    def apply(self, gradients, variables):
        """One step; changes the variables in place."""
        if self.states is None:
            self.states = [{} for _ in variables]
        rate, rule = self.learning_rate(), getattr(self, "step_" + self.class_name.lower().replace("adamw", "adam"))
        for w, g, state in zip(variables, self.clipped(gradients), self.states):
            if self.config["weight_decay"]:
                w -= w * self.config["weight_decay"] * rate
            w -= rule(g, state, rate, self.iterations + 1).astype(w.dtype)
        self.iterations += 1

    def step_sgd(self, g, state, rate, _):
        momentum = self.config["momentum"]
        if not momentum:
            return rate * g
        m = state["m"] = momentum * state.get("m", 0) - rate * g
        return rate * g - momentum * m if self.config["nesterov"] else -m

    def step_rmsprop(self, g, state, rate, _):
        rho = self.config["rho"]
        v = state["v"] = rho * state.get("v", 0) + (1 - rho) * g ** 2
        if self.config["centered"]:
            state["average"] = rho * state.get("average", 0) + (1 - rho) * g
            v = v - state["average"] ** 2
        increment = rate * g / np.sqrt(v + self.config["epsilon"])  # epsilon inside the root
        if not self.config["momentum"]:
            return increment
        state["m"] = self.config["momentum"] * state.get("m", 0) + increment
        return state["m"]

    def moments(self, g, state):
        beta_1, beta_2 = self.config["beta_1"], self.config["beta_2"]
        state["m"] = state.get("m", 0) + (g - state.get("m", 0)) * (1 - beta_1)
        state["v"] = state.get("v", 0) + (g ** 2 - state.get("v", 0)) * (1 - beta_2)
        return state["m"], state["v"]

    def step_adam(self, g, state, rate, t):
        # "Epsilon hat" of Kingma & Ba: added to the root of v before the bias correction, which alpha carries.
        alpha = rate * np.sqrt(1 - self.config["beta_2"] ** t) / (1 - self.config["beta_1"] ** t)
        m, v = self.moments(g, state)
        if self.config["amsgrad"]:
            v = state["v_hat"] = np.maximum(state.get("v_hat", 0), v)
        return alpha * m / (np.sqrt(v) + self.config["epsilon"])

    def step_adagrad(self, g, state, rate, _):
        state["sum"] = state.get("sum", self.config["initial_accumulator_value"]) + g ** 2
        return rate * g / np.sqrt(state["sum"] + self.config["epsilon"])

    def step_adadelta(self, g, state, rate, _):
        rho, epsilon = self.config["rho"], self.config["epsilon"]
        state["g"] = rho * state.get("g", 0) + (1 - rho) * g ** 2
        delta = np.sqrt(state.get("delta", 0) + epsilon) * g / np.sqrt(state["g"] + epsilon)
        state["delta"] = rho * state.get("delta", 0) + (1 - rho) * delta ** 2
        return rate * delta

    def step_adamax(self, g, state, rate, t):
        beta_1 = self.config["beta_1"]
        m = state["m"] = state.get("m", 0) + (g - state.get("m", 0)) * (1 - beta_1)
        u = state["u"] = np.maximum(self.config["beta_2"] * state.get("u", 0), abs(g))
        return rate * m / ((1 - beta_1 ** t) * (u + self.config["epsilon"]))

    def step_nadam(self, g, state, rate, t):
        def u(step):
            return self.config["beta_1"] * (1 - 0.5 * 0.96 ** step)

        product = np.prod([u(step) for step in range(1, t + 1)])
        m, v = self.moments(g, state)
        m_hat = u(t + 1) * m / (1 - product * u(t + 1)) + (1 - u(t)) * g / (1 - product)
        return rate * m_hat / (np.sqrt(v / (1 - self.config["beta_2"] ** t)) + self.config["epsilon"])


def schedule(class_name, step, **config):
    """keras/src/optimizers/schedules/learning_rate_schedule.py."""
    if class_name == "PiecewiseConstantDecay":
        # values[i] up to and including boundaries[i]
        return config["values"][sum(step > boundary for boundary in config["boundaries"])]
    initial, steps = config["initial_learning_rate"], config["decay_steps"]
    if class_name in ("ExponentialDecay", "InverseTimeDecay"):
        p = np.floor(step / steps) if config.get("staircase") else step / steps
        if class_name == "ExponentialDecay":
            return initial * config["decay_rate"] ** p
        return initial / (1 + config["decay_rate"] * p)
    if class_name == "PolynomialDecay":
        end, power = config.get("end_learning_rate", 0.0001), config.get("power", 1.0)
        if config.get("cycle"):
            steps *= max(1, np.ceil(step / steps))
        return (initial - end) * (1 - min(step, steps) / steps) ** power + end
    assert class_name == "CosineDecay"
    alpha, warmup, target = config.get("alpha", 0.0), config.get("warmup_steps", 0), config.get("warmup_target")
    if target is None:
        peak = initial
    elif step < warmup:
        return initial + (target - initial) * step / warmup
    else:
        peak, step = target, step - warmup
    cosine = 0.5 * (1 + np.cos(np.pi * min(step, steps) / steps))
    return peak * ((1 - alpha) * cosine + alpha)


def optimizers():
    random = Inputs(110)
    cases = []

    def case(name, op, attributes):
        variables = [random.uniform(2, 3), random.uniform(4)]
        gradients = [[random.uniform(2, 3), random.uniform(4, low=-0.05, high=0.05)] for _ in range(10)]
        gradients[4][1][:] = 0  # a step without a gradient: moments alone move the second variable
        optimizer = Optimizer(op, attributes)
        current = [rounded(v) for v in variables]
        outputs = []
        for step in gradients:
            optimizer.apply([rounded(g) for g in step], current)
            outputs.append([v.copy() for v in current])
        cases.append({"name": "%s %s" % (op, name), "op": op, "attributes": attributes, "inputs": variables,
                      "gradients": gradients, "output": outputs})

    case("default", "SGD", {})
    case("momentum", "SGD", {"learning_rate": 0.1, "momentum": 0.9})
    case("nesterov", "SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True})
    case("weight decay", "SGD", {"learning_rate": 0.1, "weight_decay": 0.01})
    case("clipnorm", "SGD", {"learning_rate": 0.1, "clipnorm": 0.5})
    case("clipnorm that never bites on the second", "SGD", {"learning_rate": 0.1, "clipnorm": 2.0})
    case("clipvalue", "SGD", {"learning_rate": 0.1, "clipvalue": 0.25})
    case("global clipnorm", "SGD", {"learning_rate": 0.1, "global_clipnorm": 1.0})
    case("schedule", "SGD", {"learning_rate": {"class_name": "ExponentialDecay", "config": {
        "initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.5, "staircase": False}}})
    case("default", "RMSprop", {})
    case("momentum", "RMSprop", {"learning_rate": 0.01, "rho": 0.8, "momentum": 0.9})
    case("centered", "RMSprop", {"learning_rate": 0.01, "centered": True})
    case("centered, momentum", "RMSprop", {"learning_rate": 0.01, "centered": True, "momentum": 0.5})
    case("default", "Adam", {})
    case("betas, epsilon", "Adam", {"learning_rate": 0.1, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 0.01})
    case("amsgrad", "Adam", {"learning_rate": 0.01, "beta_2": 0.5, "amsgrad": True})
    case("clipnorm", "Adam", {"learning_rate": 0.01, "clipnorm": 0.5})
    case("clipvalue", "Adam", {"learning_rate": 0.01, "clipvalue": 0.25})
    case("default", "AdamW", {})
    case("weight decay", "AdamW", {"learning_rate": 0.01, "weight_decay": 0.1})
    case("default", "Adagrad", {})
    case("learning rate", "Adagrad", {"learning_rate": 0.1, "initial_accumulator_value": 0.5})
    case("default", "Adadelta", {})
    case("learning rate 1", "Adadelta", {"learning_rate": 1.0})
    case("default", "Adamax", {})
    case("default", "Nadam", {})

    steps = [0, 1, 2, 5, 9, 10, 11, 25, 99, 100, 101, 1000]
    for op, attributes in (
            ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.9}),
            ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.9,
                                  "staircase": True}),
            ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 100}),
            ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 100, "alpha": 0.1}),
            ("CosineDecay", {"initial_learning_rate": 0.01, "decay_steps": 90, "warmup_target": 0.1,
                             "warmup_steps": 10}),
            ("PiecewiseConstantDecay", {"boundaries": [10, 100], "values": [1.0, 0.5, 0.1]}),
            ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}),
            ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5,
                                  "staircase": True}),
            ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 100, "end_learning_rate": 0.01,
                                 "power": 2.0}),
            ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "cycle": True})):
        name = " ".join([op] + [key for key in attributes if key in ("staircase", "alpha", "warmup_target", "cycle")])
        cases.append({"name": name, "op": op, "attributes": attributes, "steps": steps,
                      "output": [float(schedule(op, step, **attributes)) for step in steps]})
    write("optimizers", """
Optimizers and learning rate schedules, by class name, with Keras 3's definitions and defaults.

A case of an optimizer: {name, op, attributes, inputs = {the variables}, gradients = {{one per variable} x 10},
output = {{the variables after the step} x 10}}; both variables are updated by one optimizer, so that clipnorm (by
variable) and global_clipnorm (over all) differ. In the fifth step the second variable's gradient is zero.

A case of a schedule: {name, op, attributes, steps = {iterations, from 0}, output = {learning rates}}.""", cases)


# ---- convolution of arrays --------------------------------------------------------------------------------

def convolution():
    random = Inputs(111)
    cases = []
    modes = ("full", "same", "valid")

    def integers(*shape):
        return random.random.randint(-9, 10, shape)

    def case(op, mode, a, b, output):
        name = "%s %s %s by %s" % (op, mode, "x".join(map(str, a.shape)), "x".join(map(str, b.shape)))
        cases.append({"name": name, "op": op, "attributes": {"mode": mode}, "inputs": [a, b], "output": output})

    pairs = [(np.array([2, 8, 3, 7, 1, 2, 0, 4, 5]), np.array([2, 1, 5, 3])), (np.arange(1, 6), np.array([1, 0, -1])),
             (integers(7), integers(2)), (integers(5), integers(1)), (integers(4), integers(4)),
             (integers(3), integers(5))]
    for a, b in pairs:
        for mode in modes:
            case("convolve", mode, a, b, np.convolve(a, b, mode))
            case("correlate", mode, a, b, np.correlate(a, b, mode))
    pairs = [(np.arange(1, 10).reshape(3, 3), np.array([[2, 0], [0, 0]])), (integers(5, 5), integers(3, 3)),
             (integers(4, 6), integers(2, 3)), (integers(5, 3), integers(1, 3)), (integers(4, 4), integers(4, 4)),
             (integers(3, 3), integers(1, 1)), (integers(5, 4), integers(2, 2))]
    for a, b in pairs:
        for mode in modes:
            case("convolve2d", mode, a, b, scipy.signal.convolve2d(a, b, mode))
            case("correlate2d", mode, a, b, scipy.signal.correlate2d(a, b, mode))
    write("convolution", """
numpy.convolve and correlate, scipy.signal.convolve2d and correlate2d, of integers: results are exact. In one
dimension "same" is as long as the longer array (NumPy), in two it has the shape of the first (SciPy).""", cases)


FAMILIES = {f.__name__: f for f in (conv2d, depthwise_conv2d, more_ops, pooling, activations, dense, shapes, batchnorm,
                                    losses, metrics, optimizers, convolution)}


def main():
    import make_training  # it imports this module in turn

    families = {**FAMILIES, "train_mnist_dropout": make_training.train_mnist_dropout}
    for name in sys.argv[1:] or families:
        if name not in families:
            sys.exit("unknown family '%s'; there are: %s" % (name, " ".join(families)))
        families[name]()


if __name__ == "__main__":
    main()
