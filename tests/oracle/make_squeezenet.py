#!/usr/bin/python3
"""Makes tests/oracle/squeezenet.lua: what the published SqueezeNet makes of a synthetic picture, by PyTorch.

    python3 tests/oracle/make_squeezenet.py squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5

The picture is a formula of whole numbers, which the test computes too. Of the 13·13·512 features the file keeps the mean
of each channel, and all of two places.
"""

import os
import sys

import h5py
import numpy as np
import torch
import torch.nn.functional as F

from make_oracle import number, wrapped

HERE = os.path.dirname(os.path.abspath(__file__))


def picture():
    h, w, c = np.ogrid[:227, :227, :3]
    return (h * 7 + w * 13 + c * 101 + h * w % 97) % 256


def features(x, weights):
    """[H,W,3], red, green, blue from 0 to 255 → [13,13,512]."""

    def convolution(x, name, **options):
        kernel, bias = (torch.from_numpy(weights[name][v][()]) for v in weights[name].attrs["weight_names"])
        return F.relu(F.conv2d(x, kernel.permute(3, 2, 0, 1), bias, **options))

    def fire(x, name):
        x = convolution(x, name + "/squeeze1x1")
        return torch.cat([convolution(x, name + "/expand1x1"), convolution(x, name + "/expand3x3", padding=1)], 1)

    x = x[:, :, ::-1] - np.array([103.939, 116.779, 123.68])
    x = torch.from_numpy(x.astype(np.float32)).permute(2, 0, 1)[None]
    x = F.max_pool2d(convolution(x, "conv1", stride=2), 3, 2)
    x = F.max_pool2d(fire(fire(x, "fire2"), "fire3"), 3, 2)
    x = F.max_pool2d(fire(fire(x, "fire4"), "fire5"), 3, 2)
    for name in "fire6", "fire7", "fire8", "fire9":
        x = fire(x, name)
    return x[0].permute(1, 2, 0).numpy()


def main():
    with h5py.File(sys.argv[1]) as weights:
        y = features(picture(), weights)
    with open(os.path.join(HERE, "squeezenet.lua"), "w") as out:
        out.write("-- Made by tests/oracle/make_squeezenet.py; not to be edited.\n--\n"
                  "-- Features that SqueezeNet makes of a synthetic picture, at two of 13×13 places, and the mean of each.\n"
                  "return {\n")
        for name, values in ("first", y[0, 0]), ("middle", y[6, 6]), ("mean", y.mean((0, 1))):
            out.write("  %s = %s,\n" % (name, wrapped([number(round(float(v), 4)) for v in values], 4)))
        out.write("}\n")


main()
