#!/usr/bin/python3
"""Makes tests/oracle/warp.lua: pictures seen through affine maps, from scipy.ndimage.

    python3 tests/oracle/make_warp.py

SciPy's modes grid-constant and grid-wrap are what is called constant and wrap here; its order 0 takes the nearest
pixel. Maps are of (x, y), SciPy's of (row, column).
"""

import os

import numpy as np
from scipy import ndimage

from make_oracle import number, wrapped

HERE = os.path.dirname(os.path.abspath(__file__))
MODES = {"constant": "grid-constant", "nearest": "nearest", "reflect": "reflect", "wrap": "grid-wrap"}


def warp(x, at, size, order, fill, value):
    xx, xy, x0, yx, yy, y0 = at
    layers = [ndimage.affine_transform(x[:, :, c], [[yy, yx], [xy, xx]], [y0, x0], output_shape=size, order=order,
                                       mode=MODES[fill], cval=value, prefilter=False) for c in range(x.shape[2])]
    return np.stack(layers, axis=-1)


def tensor(x):
    return "{shape = {%s}, data = %s}" % (",".join(map(str, x.shape)), wrapped([number(v) for v in x.ravel()], 6))


def main():
    rng = np.random.default_rng(11)
    maps = [
        # turned, larger and moved; sheared and smaller; far away; a size of its own
        ((5, 6, 3), (0.83, -0.41, 1.2, 0.37, 0.77, -0.9), (5, 6)),
        ((6, 4, 1), (1.31, 0.52, -2.327, -0.21, 1.7, -1.613), (7, 5)),
        ((4, 5, 4), (1.0, 0.25, -13.37, 0.0, -1.0, 17.81), (4, 6)),
        ((3, 7, 2), (0.61, 0.0, -0.25, 0.0, 0.43, 0.125), (6, 9)),
    ]
    with open(os.path.join(HERE, "warp.lua"), "w") as out:
        out.write("-- Made by tests/oracle/make_warp.py; not to be edited.\n--\n"
                  "-- Pictures and how they are seen through affine maps: at = {xx, xy, x0, yx, yy, y0}.\nreturn {\n")
        for shape, at, size in maps:
            x = np.round(rng.random(shape), 2).astype(np.float32).astype(np.float64)
            for fill in MODES:
                for method, order in (("nearest", 0), ("bilinear", 1)):
                    y = warp(x, at, size, order, fill, 0.625)
                    out.write('  {\n    method = "%s", fill = "%s", value = 0.625, at = {%s},\n'
                              "    input = %s,\n    output = %s,\n  },\n"
                              % (method, fill, ", ".join("%r" % v for v in at), tensor(x), tensor(y)))
        out.write("}\n")


main()
