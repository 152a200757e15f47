#!/usr/bin/python3
"""Makes tests/oracle/resize.lua: resized pictures, from PyTorch where it computes what tf.image.resize defines.

    python3 tests/oracle/make_images.py

PyTorch's bilinear without align_corners and its "nearest-exact" have half-pixel centres. Its bicubic with
antialias is Keys's with a = -1/2 and leaves weights beyond the border out, as TensorFlow does, so it serves for
enlarging and for shrinking with antialias; shrinking without is written out here as a matrix product, and so is
area, for which PyTorch rounds the areas to whole pixels.
"""

import os

import numpy as np
import torch
import torch.nn.functional as F

from make_oracle import number, wrapped

HERE = os.path.dirname(os.path.abspath(__file__))


def keys(x):
    x = np.abs(x)
    return np.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0))


def matrix(method, n, m):
    """[m, n]: what each of m outputs takes of each of n inputs."""
    i, o, scale = np.arange(n)[None, :], np.arange(m)[:, None], n / m
    if method == "area":
        w = np.clip(np.minimum((o + 1) * scale, i + 1) - np.maximum(o * scale, i), 0, None)
    else:
        w = keys(i - ((o + 0.5) * scale - 0.5))
    return w / w.sum(axis=1, keepdims=True)


def by_matrix(method, x, h, w):
    return np.einsum("oh,nhwc,pw->nopc", matrix(method, x.shape[1], h), x, matrix(method, x.shape[2], w))


def by_torch(method, x, h, w, antialias):
    names = {"nearest": "nearest-exact", "bilinear": "bilinear", "bicubic": "bicubic"}
    t = torch.from_numpy(x).permute(0, 3, 1, 2)
    options = {} if method == "nearest" else {"align_corners": False, "antialias": antialias}
    y = F.interpolate(t, size=(h, w), mode=names[method], **options)
    return y.permute(0, 2, 3, 1).numpy()


def resize(method, x, h, w, antialias):
    enlarging = h >= x.shape[1] and w >= x.shape[2]
    if method == "area" or method == "bicubic" and not enlarging and not antialias:
        return by_matrix(method, x, h, w)
    return by_torch(method, x, h, w, antialias or method == "bicubic")


def tensor(x):
    tokens = [number(v) for v in x.ravel()]
    return "{shape = {%s}, data = %s}" % (",".join(map(str, x.shape)), wrapped(tokens, 6))


CASES = [
    # method, input, output, antialias
    ("nearest", (1, 4, 5, 3), (7, 3), False),
    ("nearest", (2, 3, 3, 1), (6, 9), False),
    ("bilinear", (2, 4, 5, 3), (7, 9), False),
    ("bilinear", (1, 9, 7, 1), (4, 3), False),
    ("bilinear", (1, 9, 7, 4), (4, 3), True),
    ("bilinear", (1, 5, 4, 2), (2, 8), True),
    ("bicubic", (1, 4, 5, 3), (7, 9), False),
    ("bicubic", (1, 9, 8, 1), (4, 3), False),
    ("bicubic", (1, 9, 8, 3), (4, 3), True),
    ("area", (1, 6, 8, 3), (3, 2), False),
    ("area", (1, 7, 5, 1), (3, 2), False),
    ("area", (1, 3, 4, 1), (5, 4), False),
    ("bilinear", (1, 1, 1, 3), (2, 3), False),
]


def main():
    rng = np.random.default_rng(7)
    with open(os.path.join(HERE, "resize.lua"), "w") as out:
        out.write("-- Made by tests/oracle/make_images.py; not to be edited.\n--\n"
                  "-- Pictures and what resizing makes of them.\nreturn {\n")
        for method, shape, (h, w), antialias in CASES:
            x = np.round(rng.random(shape), 2).astype(np.float32).astype(np.float64)
            y = resize(method, x, h, w, antialias)
            out.write('  {\n    method = "%s", antialias = %s,\n    input = %s,\n    output = %s,\n  },\n'
                      % (method, "true" if antialias else "false", tensor(x), tensor(y)))
        out.write("}\n")


main()
