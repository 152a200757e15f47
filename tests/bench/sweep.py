#!/usr/bin/python3
"""Convolutions of many shapes, ours against PyTorch's: nothing should be slower.

    python3 tests/bench/sweep.py [--only WORD] [--rounds 5] [--seconds 0.02] [--threads 2]

prints, for each shape, our GFLOP/s and how many times as fast as PyTorch's we are, in the forward pass, the gradient
to the input and the gradient to the weights: medians of rounds in which both take turns, shape by shape. PyTorch may
choose between its two memory layouts, each time anew. Both sides live in processes of their own (sweep.c is ours) and
do what one eager call does: allocate the result, put the weights in order, compute; PyTorch is called from Python,
which costs it some microseconds. With one thread, processor time is measured rather than the clock's,
so that other programs disturb less; --best takes each side's best round, for a machine that has others to serve.
"""

import argparse
import math
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
OURS = os.path.join(ROOT, "build", "release", "tests", "bench", "sweep")
PASSES = ("forward", "to input", "to weights")

# kind, batch, height, width, channels in and out, kernel, stride, dilation, same padding, groups
SHAPES = [
    # first layers: grey and colour pictures
    ("conv", 32, 28, 28, 1, 32, 3, 1, 1, 0, 1),
    ("conv", 32, 28, 28, 1, 10, 3, 1, 1, 1, 1),
    ("conv", 32, 28, 28, 1, 6, 5, 1, 1, 1, 1),
    ("conv", 1, 28, 28, 1, 32, 3, 1, 1, 0, 1),
    ("conv", 32, 32, 32, 3, 32, 3, 1, 1, 1, 1),
    ("conv", 8, 178, 178, 3, 32, 3, 1, 1, 0, 1),
    ("conv", 1, 178, 178, 3, 32, 3, 1, 1, 0, 1),
    ("conv", 8, 112, 112, 3, 64, 7, 2, 1, 1, 1),
    ("conv", 1, 224, 224, 3, 64, 7, 2, 1, 1, 1),
    ("conv", 8, 112, 112, 3, 32, 3, 2, 1, 1, 1),
    ("conv", 4, 64, 64, 3, 16, 5, 1, 1, 1, 1),
    # 3x3, the commonest
    ("conv", 32, 26, 26, 32, 64, 3, 1, 1, 0, 1),
    ("conv", 32, 13, 13, 32, 64, 3, 1, 1, 0, 1),
    ("conv", 32, 11, 11, 64, 64, 3, 1, 1, 0, 1),
    ("conv", 32, 5, 5, 64, 128, 3, 1, 1, 0, 1),
    ("conv", 8, 43, 43, 64, 128, 3, 1, 1, 0, 1),
    ("conv", 8, 20, 20, 128, 256, 3, 1, 1, 0, 1),
    ("conv", 32, 8, 8, 256, 256, 3, 1, 1, 0, 1),
    ("conv", 1, 56, 56, 64, 64, 3, 1, 1, 1, 1),
    ("conv", 1, 14, 14, 256, 256, 3, 1, 1, 1, 1),
    ("conv", 1, 7, 7, 512, 512, 3, 1, 1, 1, 1),
    ("conv", 4, 128, 128, 16, 16, 3, 1, 1, 1, 1),
    ("conv", 8, 64, 64, 24, 40, 3, 1, 1, 1, 1),
    ("conv", 32, 15, 17, 19, 37, 3, 1, 1, 1, 1),
    ("conv", 32, 28, 28, 8, 8, 3, 1, 1, 1, 1),
    # few channels out: the ends of autoencoders and of segmentation
    ("conv", 32, 28, 28, 32, 1, 3, 1, 1, 1, 1),
    ("conv", 8, 64, 64, 64, 3, 3, 1, 1, 1, 1),
    ("conv", 4, 64, 64, 32, 2, 1, 1, 1, 0, 1),
    # 1x1
    ("conv", 8, 56, 56, 64, 64, 1, 1, 1, 0, 1),
    ("conv", 8, 28, 28, 128, 32, 1, 1, 1, 0, 1),
    ("conv", 32, 7, 7, 160, 320, 1, 1, 1, 0, 1),
    ("conv", 1, 14, 14, 256, 512, 1, 1, 1, 0, 1),
    ("conv", 1, 1, 1, 512, 1000, 1, 1, 1, 0, 1),
    ("conv", 8, 56, 56, 64, 128, 1, 2, 1, 0, 1),
    # 5x5, 7x7 and windows of one row or column
    ("conv", 32, 14, 14, 32, 64, 5, 1, 1, 1, 1),
    ("conv", 32, 12, 12, 6, 16, 5, 1, 1, 0, 1),
    ("conv", 8, 28, 28, 16, 32, 5, 2, 1, 1, 1),
    ("conv", 8, 28, 28, 32, 32, 7, 1, 1, 1, 1),
    ("conv", 8, 17, 17, 64, 64, (1, 7), 1, 1, 1, 1),
    ("conv", 8, 17, 17, 64, 64, (7, 1), 1, 1, 1, 1),
    # strides and dilation
    ("conv", 8, 56, 56, 64, 128, 3, 2, 1, 1, 1),
    ("conv", 32, 13, 13, 32, 64, 3, 2, 1, 0, 1),
    ("conv", 8, 60, 60, 32, 48, 3, 3, 1, 0, 1),
    ("conv", 8, 40, 40, 32, 64, 5, 3, 1, 0, 1),
    ("conv", 8, 33, 33, 64, 64, 3, 1, 2, 1, 1),
    # groups
    ("conv", 8, 28, 28, 64, 64, 3, 1, 1, 1, 2),
    ("conv", 8, 28, 28, 64, 128, 3, 1, 1, 1, 4),
    ("conv", 8, 28, 28, 128, 128, 3, 1, 1, 1, 32),
    # depthwise
    ("depthwise", 8, 112, 112, 32, 32, 3, 1, 1, 1, 32),
    ("depthwise", 8, 28, 28, 128, 128, 3, 1, 1, 1, 128),
    ("depthwise", 1, 28, 28, 128, 128, 3, 1, 1, 1, 128),
    ("depthwise", 8, 112, 112, 32, 32, 3, 2, 1, 1, 32),
    ("depthwise", 8, 14, 14, 240, 240, 5, 1, 1, 1, 240),
    ("depthwise", 8, 28, 28, 72, 72, 5, 2, 1, 1, 72),
    ("depthwise", 32, 14, 14, 19, 19, 3, 1, 1, 1, 19),
    ("depthwise", 8, 28, 28, 32, 64, 3, 1, 1, 1, 32),
    # transposed
    ("transpose", 32, 7, 7, 64, 32, 3, 2, 1, 1, 1),
    ("transpose", 32, 14, 14, 32, 1, 3, 2, 1, 1, 1),
    ("transpose", 8, 16, 16, 64, 64, 4, 2, 1, 1, 1),
    ("transpose", 8, 32, 32, 32, 3, 3, 1, 1, 1, 1),
    # along one axis
    ("conv1d", 32, 1, 128, 16, 32, 3, 1, 1, 0, 1),
    ("conv1d", 32, 1, 400, 50, 250, 3, 1, 1, 0, 1),
    ("conv1d", 8, 1, 4000, 1, 16, 9, 1, 1, 1, 1),
    ("conv1d", 8, 1, 500, 32, 32, 5, 1, 4, 1, 1),
]


def windows(shape):
    """The kernel as (height, width), of one row for conv1d."""
    kernel = shape[6]
    if isinstance(kernel, tuple):
        return kernel
    return (1 if shape[0] == "conv1d" else kernel, kernel)


def name_of(shape):
    kind, n, h, w, fan_in, filters, _, stride, dilation, same, groups = shape
    words = ["{}x".format(n) + ("" if kind == "conv1d" else "{}x".format(h)) + "{}x{} to {},".format(w, fan_in, filters)]
    words.append(str(windows(shape)[1]) if kind == "conv1d" else "{}x{}".format(*windows(shape)))
    if kind != "conv":
        words.append(kind)
    elif groups > 1:
        words.append("{} groups".format(groups))
    if stride > 1:
        words.append("stride {}".format(stride))
    if dilation > 1:
        words.append("dilation {}".format(dilation))
    if same:
        words.append("same")
    return " ".join(words)


def gflop(shape):
    """Of one pass: two for each multiply-add of the windows, those over padding too."""
    kind, n, h, w, fan_in, filters, _, stride, dilation, same, groups = shape
    kernel = windows(shape)
    if kind == "transpose":
        outputs = h * w
    else:
        outputs = math.prod(-(-size // stride) if same else (size - (window - 1) * dilation - 1) // stride + 1
                            for size, window in zip((h, w), kernel))
    return 2e-9 * n * outputs * filters * kernel[0] * kernel[1] * fan_in / groups


def line_of(shape, seconds):
    kind, n, h, w, fan_in, filters, _, stride, dilation, same, groups = shape
    return " ".join(map(str, (kind, n, h, w, fan_in, filters, *windows(shape), stride, dilation, same, groups, seconds)))


# ---- PyTorch's side: the same lines, answered with three numbers for each layout -----------------------------------

def peer(threads):
    import time
    import torch

    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)

    def best(call, seconds):
        clock, fastest, calls = time.process_time if threads == 1 else time.perf_counter, math.inf, 1
        start = clock()
        call()
        call()
        while clock() - start < seconds or fastest == math.inf:
            began = clock()
            for _ in range(calls):
                call()
            took = clock() - began
            if took < 0.001 and took < seconds / 4:
                calls *= 2
            else:
                fastest = min(fastest, took / calls)
        return fastest

    def operands(kind, n, h, w, fan_in, filters, kernel_h, kernel_w, groups):
        x = torch.rand(n, fan_in, h, w) - 0.5
        sizes = (fan_in, filters // groups) if kind == "transpose" else (filters, fan_in // groups)
        weights = torch.rand(*sizes, kernel_h, kernel_w) - 0.5
        return (x[:, :, 0], weights[:, :, 0]) if kind == "conv1d" else (x, weights)

    for text in sys.stdin:
        kind, *numbers, seconds = text.split()
        n, h, w, fan_in, filters, kernel_h, kernel_w, stride, dilation, same, groups = map(int, numbers)
        axes = 1 if kind == "conv1d" else 2
        transposed = kind == "transpose"
        padding = [same * (size - 1) * dilation // 2 for size in (kernel_h, kernel_w)][-axes:]
        # in · stride outputs, as Keras has it
        extra = [same * (stride + 2 * p - kernel) if transposed else 0 for p, kernel in zip(padding, (kernel_h, kernel_w))]
        extra = extra if axes == 2 else [0]
        answers = []
        for layout in (torch.contiguous_format, torch.channels_last):
            x, weights = operands(kind, n, h, w, fan_in, filters, kernel_h, kernel_w, 1 if transposed else groups)
            if axes == 2:
                x, weights = x.contiguous(memory_format=layout), weights.contiguous(memory_format=layout)
            bias = torch.rand(filters)
            options = ([stride] * axes, padding, [dilation] * axes, transposed, extra, 1 if transposed else groups)
            with torch.inference_mode():
                dy = torch.rand_like(torch.convolution(x, weights, bias, *options))

                def gradient(*mask):
                    return torch.ops.aten.convolution_backward(dy, x, weights, [filters], *options, mask)

                answers += [best(lambda: torch.convolution(x, weights, bias, *options), float(seconds)),
                            best(lambda: gradient(True, False, False), float(seconds)),
                            best(lambda: gradient(False, True, False), float(seconds))]
        print(*answers, flush=True)


# ---- the race -------------------------------------------------------------------------------------------------------

def start(command, threads):
    from torch_peer import MALLOC_KEPT
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads), **MALLOC_KEPT)
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def ask(process, line):
    process.stdin.write(line + "\n")
    process.stdin.flush()
    answer = process.stdout.readline().split()
    if not answer:
        sys.exit("sweep: no answer to '{}'".format(line))
    return [float(number) for number in answer]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="shapes whose name holds this")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.02, help="length of each measurement (default 0.02)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--best", action="store_true", help="compare best rounds rather than medians")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        peer(options.threads)
        return

    ours = start([OURS, str(options.threads)], options.threads)
    theirs = start([sys.executable, os.path.abspath(__file__), "--peer", "--threads", str(options.threads)],
                   options.threads)
    shapes = [shape for shape in SHAPES if options.only in name_of(shape)]
    print("{} shapes, {} rounds on {} threads: our GFLOP/s, and times PyTorch's speed".format(
        len(shapes), options.rounds, options.threads))
    print("{:<46}".format("") + "".join("{:>18}".format(name) for name in PASSES), flush=True)
    ratios, slower = [], 0
    for shape in shapes:
        times = [[] for _ in PASSES]
        for _ in range(options.rounds):
            line = line_of(shape, options.seconds)
            mine, other = ask(ours, line), ask(theirs, line)
            for i in range(3):
                times[i].append((mine[i], min(other[i], other[i + 3])))
        cells = ""
        for pairs in times:
            mine, other = zip(*pairs)
            if options.best:
                ratio, speed = min(other) / min(mine), gflop(shape) / min(mine)
            else:
                ratio = statistics.median(b / a for a, b in pairs)
                speed = gflop(shape) / statistics.median(mine)
            ratios.append(ratio)
            slower += ratio < 1
            cells += "{:>10.1f}{:>6.2f}×{}".format(speed, ratio, "!" if ratio < 1 else " ")
        print("{:<46}".format(name_of(shape)) + cells, flush=True)
    print("{} of {} slower than PyTorch; {:.2f}× in the geometric mean, {:.2f}× at least".format(
        slower, len(ratios), statistics.geometric_mean(ratios), min(ratios)))


if __name__ == "__main__":
    main()
