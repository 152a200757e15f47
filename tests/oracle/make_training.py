"""Makes tests/oracle/train_mnist_dropout.lua: the losses of the first steps of training a real network.

Run by make_oracle.py. Images, labels and initial weights come from a generator that any language reproduces exactly,
so that the file holds seeds and losses only. PyTorch runs the network forward and backward; the updates are Keras's.
"""

import numpy as np
import torch
import torch.nn.functional as F

from make_oracle import Optimizer, write

MULTIPLIER, INCREMENT = 1664525, 1013904223  # Numerical Recipes' generator, modulo 2^32
BATCH_SIZE, STEPS, CLASSES = 16, 20, 10
# Which seeds is no matter of taste: with others, rounding can flip a ReLU whose gradient RMSprop then blows up, and
# float32 leaves float64 by 1e-3. With these, noise of 3e-7 added to every gradient moves no loss by more than 2e-6.
IMAGE_SEED, IMAGE_LIMIT, LABEL_SEED, WEIGHT_SEED = 3, 0.25, 2, 1000

# name, shape, half-width of the distribution (Glorot's limit, rounded to a multiple of 1/1024); biases are zero
WEIGHTS = [
    ("conv2d/kernel", (3, 3, 1, 32), 146 / 1024), ("conv2d/bias", (32,), 0),
    ("conv2d_1/kernel", (3, 3, 32, 64), 85 / 1024), ("conv2d_1/bias", (64,), 0),
    ("dense/kernel", (9216, 128), 26 / 1024), ("dense/bias", (128,), 0),
    ("dense_1/kernel", (128, 10), 214 / 1024), ("dense_1/bias", (10,), 0),
]
OPTIMIZERS = [("SGD", {"learning_rate": 0.01}), ("RMSprop", {"learning_rate": 0.001}),
              ("Adam", {"learning_rate": 0.001})]

HEADER = """
Training mnist_dropout's network with dropout off: Conv2D 32 3x3 relu, Conv2D 64 3x3 relu, MaxPooling2D 2x2, Flatten,
Dense 128 relu, Dense 10 softmax; categorical cross-entropy, mean over the batch.

Inputs and initial weights are generated. From a 32-bit seed x, each element in row-major order (images NHWC, kernels
HWIO and IO) is made by

  C:    x = x * 1664525u + 1013904223u;                        // uint32_t, wraps around
        value = (float)((int)(x >> 8) - 8388608) * (a / 8388608);
  Lua:  x = (x * 1664525 + 1013904223) & 0xffffffff
        value = ((x >> 8) - 8388608) * (a / 8388608)           -- then rounded to float32

which lies in [-a, a). With the a of this file the product is exact in double and a single rounding away in float, so
that both give the same float32. A label is (x >> 8) % 10 after the same update of x. Biases (a = 0) start at zero.
`first` and `last` hold the first three values and the last one, to check a reader's generator.

Every step trains on the same batch, in order. Each optimizer starts afresh from the same weights, with Keras's
definitions and defaults but for its config.
losses.float64 and losses.float32 list the loss of each step's batch before its update, computed in that precision from
the same float32 start. The difference between the two says how far rounding alone may move a loss.
"""


def integers(seed, count):
    """The top 24 bits of the generator's first `count` states after `seed`: x_n = m^n x_0 + c (m^(n-1) + ... + 1)."""
    powers = np.cumprod(np.full(count, MULTIPLIER, np.uint32), dtype=np.uint32)
    sums = np.cumsum(np.concatenate([[1], powers[:-1]]).astype(np.uint32), dtype=np.uint32)
    return (powers * np.uint32(seed) + sums * np.uint32(INCREMENT)) >> np.uint32(8)


def values(seed, shape, a):
    x = integers(seed, int(np.prod(shape))).astype(np.float64)
    return ((x - 2 ** 23) * (a / 2 ** 23)).astype(np.float32).reshape(shape)


def described(name, seed, shape, a):
    flat = values(seed, shape, a).ravel()
    result = {"name": name, "shape": list(shape), "a": a}
    if a:
        result.update(seed=seed, first=[float(x) for x in flat[:3]], last=float(flat[-1]))
    return result


def forward(x, weights):
    """Logits of NHWC images; weights in Keras's layouts."""
    kernel_1, bias_1, kernel_2, bias_2, kernel_3, bias_3, kernel_4, bias_4 = weights
    x = x.permute(0, 3, 1, 2)
    x = torch.relu(F.conv2d(x, kernel_1.permute(3, 2, 0, 1), bias_1))
    x = torch.relu(F.conv2d(x, kernel_2.permute(3, 2, 0, 1), bias_2))
    x = F.max_pool2d(x, 2)
    x = x.permute(0, 2, 3, 1).flatten(1)
    x = torch.relu(x @ kernel_3 + bias_3)
    return x @ kernel_4 + bias_4


def train(images, labels, weights, optimizer, dtype):
    weights = [w.astype(dtype) for w in weights]  # copies; the tensors below share their memory
    leaves = [torch.from_numpy(w).requires_grad_() for w in weights]
    images, labels = torch.from_numpy(images.astype(dtype)), torch.from_numpy(labels)
    losses = []
    for _ in range(STEPS):
        loss = F.cross_entropy(forward(images, leaves), labels)
        optimizer.apply([g.numpy() for g in torch.autograd.grad(loss, leaves)], weights)
        losses.append(loss.item())
    return losses


def train_mnist_dropout():
    seeds = {name: WEIGHT_SEED + i for i, (name, _, _) in enumerate(WEIGHTS)}
    images = values(IMAGE_SEED, (BATCH_SIZE, 28, 28, 1), IMAGE_LIMIT)
    labels = (integers(LABEL_SEED, BATCH_SIZE) % CLASSES).astype(np.int64)
    weights = [values(seeds[name], shape, a) for name, shape, a in WEIGHTS]
    results = []
    for class_name, config in OPTIMIZERS:
        losses = {dtype: train(images, labels, weights, Optimizer(class_name, config), dtype)
                  for dtype in ("float64", "float32")}
        results.append({"class_name": class_name, "config": config, "losses": losses})
    write("train_mnist_dropout", HEADER, {
        "batch_size": BATCH_SIZE, "steps": STEPS,
        "images": described("images", IMAGE_SEED, images.shape, IMAGE_LIMIT),
        "labels": {"shape": [BATCH_SIZE], "classes": CLASSES, "seed": LABEL_SEED, "first": labels[:3].tolist(),
                   "last": int(labels[-1])},
        "weights": [described(name, seeds[name], shape, a) for name, shape, a in WEIGHTS],
        "optimizers": results,
    })
