#!/usr/bin/python3
"""The speed of PyTorch on the networks of scripts/, for the race in `make bench`.

    python3 tests/bench/torch_peer.py --net mnist [--seconds 3] [--threads 2]
        [--layout contiguous|channels_last|best] [--malloc kept|plain] [--json]

prints one line (with --json one JSON object):
    net, batch_size, threads, torch
    train_images_per_second       forward, loss, backward and optimizer step on batches held in memory
    inference_images_per_second   the forward pass alone, in eval mode, with the training batch size
    peak_memory_mb                ru_maxrss of a process that only trains, in `layout`
    layout, inference_layout      the memory layouts these belong to: "best" takes the faster of the two for each

What is done for PyTorch's sake: each measurement has a process of its own, warmed up before the clock starts; images
lie in memory in the layout of the network; ReLU works in place; losses take logits, fused with the softmax; the
optimizers are the multi-tensor ones; gradients are freed rather than zeroed; nothing reads a result back (no .item())
inside the loop; denormal numbers are flushed; and glibc's malloc is told to keep freed memory ("kept"), as PyTorch's
tuning guide advises by way of jemalloc: with glibc's defaults ("plain") each step gives its activations back to the
system and page-faults them in again, which can halve the speed.
Every layer does what the Keras layer of its name does, in the same order. --pool-first swaps ReLU and max pooling,
which changes no result and lets ReLU see a quarter of the cells: a rewrite by hand that the networks do not have, kept
here to know what it would bring. --jit also tries inference with the graph frozen and fused by
torch.jit.optimize_for_inference ("+jit" in inference_layout).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

# name: (input shape C,H,W, classes, optimizer, batch size)
NETS = {
    "mnist": ((1, 28, 28), 10, "adam", 32),
    "mnist_dropout": ((1, 28, 28), 10, "adam", 200),
    "mnist_functional": ((1, 28, 28), 10, "rmsprop", 64),
    "fashion_sequential": ((1, 28, 28), 10, "adam", 32),
    "cats_dogs_augmented": ((3, 180, 180), 1, "rmsprop", 32),
}
LAYOUTS = ("contiguous", "channels_last")
# No block is mapped on its own and the heap's top is never given back.
MALLOC_KEPT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
               "MALLOC_TOP_PAD_": str(1 << 26)}
WINDOWS = 5  # a measurement is split into these, and the fastest counts: other programs only ever slow one down
BATCHES = 4  # different batches that the loops go round


def build(net, pool_first):
    """The network up to its logits; conv() may be followed by pooling, as the Keras layers are."""
    from torch import nn

    class Scale(nn.Module):
        def forward(self, x):
            return x * (1 / 255)

    def conv(fan_in, filters, pool, padding=0):
        layers = [nn.Conv2d(fan_in, filters, 3, padding=padding), nn.ReLU(inplace=True)]
        if pool:
            layers.append(nn.MaxPool2d(2))
            if pool_first:
                layers[1:] = layers[:0:-1]
        return layers

    def dense(fan_in, units, relu=True):
        return [nn.Linear(fan_in, units)] + ([nn.ReLU(inplace=True)] if relu else [])

    if net == "mnist":
        layers = [*conv(1, 32, True), *conv(32, 64, True), *conv(64, 64, True), nn.Flatten(),
                  *dense(64, 64), *dense(64, 10, relu=False)]
    elif net == "mnist_dropout":
        layers = [*conv(1, 32, False), *conv(32, 64, True), nn.Dropout(0.25), nn.Flatten(),
                  *dense(9216, 128), nn.Dropout(0.5), *dense(128, 10, relu=False)]
    elif net == "mnist_functional":
        layers = [*conv(1, 32, True), *conv(32, 64, True), *conv(64, 128, False), nn.Flatten(),
                  *dense(1152, 10, relu=False)]
    elif net == "fashion_sequential":
        layers = [*conv(1, 10, True, padding=1), nn.Flatten(), nn.Dropout(0.5),
                  *dense(1960, 100), *dense(100, 10, relu=False)]
    else:
        layers = [Scale(), *conv(3, 32, True), *conv(32, 64, True), *conv(64, 128, True), *conv(128, 256, True),
                  *conv(256, 256, False), nn.Flatten(), nn.Dropout(0.5), *dense(12544, 1, relu=False)]
    return nn.Sequential(*layers)


def random_batches(net, layout):
    """Images in [0, 1) ([0, 256) for colour) and labels as the script's loss takes them."""
    import torch
    from torch.nn import functional

    shape, classes, _, batch_size = NETS[net]
    memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    batches = []
    for _ in range(BATCHES):
        x = torch.rand(batch_size, *shape)
        if shape[0] == 3:
            x *= 256
        if classes == 1:
            y = torch.randint(0, 2, (batch_size, 1)).float()
        else:
            y = torch.randint(0, classes, (batch_size,))
            if net in ("mnist_dropout", "fashion_sequential"):
                y = functional.one_hot(y, classes).float()
        batches.append((x.contiguous(memory_format=memory_format), y))
    return batches


def rate(step, batches, batch_size, seconds):
    """Images per second of step(x, y), after a warm-up of at least three steps and half a second."""
    start, steps = time.perf_counter(), 0
    while steps < 3 or time.perf_counter() - start < 0.5:
        step(*batches[steps % len(batches)])
        steps += 1
    best = 0
    for _ in range(WINDOWS):
        start, steps, elapsed = time.perf_counter(), 0, 0
        while elapsed < seconds / WINDOWS:
            step(*batches[steps % len(batches)])
            steps += 1
            elapsed = time.perf_counter() - start
        best = max(best, steps * batch_size / elapsed)
    return best


def measure(net, task, layout, seconds, threads, pool_first):
    """Runs in the child: the rate of one task ("train", "inference" or "inference+jit") in one layout."""
    import torch
    from torch.nn import functional

    torch.manual_seed(1)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    _, classes, optimizer_name, batch_size = NETS[net]
    model = build(net, pool_first)
    if layout == "channels_last":
        model = model.to(memory_format=torch.channels_last)
    batches = random_batches(net, layout)
    if task == "train":
        if optimizer_name == "adam":
            optimizer = torch.optim.Adam(model.parameters(), lr=0.001, eps=1e-7, foreach=True)
        else:
            optimizer = torch.optim.RMSprop(model.parameters(), lr=0.001, alpha=0.9, eps=1e-7, foreach=True)
        loss_of = functional.binary_cross_entropy_with_logits if classes == 1 else functional.cross_entropy
        model.train()

        def step(x, y):
            optimizer.zero_grad(set_to_none=True)
            loss_of(model(x), y).backward()
            optimizer.step()

        images_per_second = rate(step, batches, batch_size, seconds)
    else:
        model = torch.nn.Sequential(*model, torch.nn.Sigmoid() if classes == 1 else torch.nn.Softmax(1)).eval()
        if task == "inference+jit":
            model = torch.jit.optimize_for_inference(torch.jit.trace(model, batches[0][0]))
        with torch.inference_mode():
            images_per_second = rate(lambda x, _: model(x), batches, batch_size, seconds)
    return {
        "images_per_second": images_per_second,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "torch": torch.__version__,
    }


def in_child(arguments, task, layout):
    """measure() in a process of its own. This one never imports torch: a child inherits its parent's ru_maxrss."""
    command = [sys.executable, os.path.abspath(__file__), "--net", arguments.net, "--threads", str(arguments.threads),
               "--seconds", str(arguments.seconds), "--layout", layout, "--task", task]
    if arguments.pool_first:
        command.append("--pool-first")
    threads = str(arguments.threads)
    environment = dict(os.environ, OMP_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads)
    if arguments.malloc == "kept":
        environment.update(MALLOC_KEPT)
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", choices=NETS, required=True)
    parser.add_argument("--seconds", type=float, default=3, help="length of each measurement (default 3)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--layout", choices=(*LAYOUTS, "best"), default="best")
    parser.add_argument("--malloc", choices=("kept", "plain"), default="kept")
    parser.add_argument("--pool-first", action="store_true", help="pool before ReLU")
    parser.add_argument("--jit", action="store_true", help="try a frozen, fused graph for inference too")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    arguments = parser.parse_args()

    if arguments.task:
        print(json.dumps(measure(arguments.net, arguments.task, arguments.layout, arguments.seconds,
                                 arguments.threads, arguments.pool_first)))
        return

    layouts = LAYOUTS if arguments.layout == "best" else (arguments.layout,)
    inference_tasks = ("inference", "inference+jit") if arguments.jit else ("inference",)
    train, layout = max(((in_child(arguments, "train", layout), layout) for layout in layouts),
                        key=lambda pair: pair[0]["images_per_second"])
    inference, inference_layout = max(
        ((in_child(arguments, task, layout), layout + task[len("inference"):])
         for task in inference_tasks for layout in layouts),
        key=lambda pair: pair[0]["images_per_second"])
    result = {
        "net": arguments.net,
        "train_images_per_second": round(train["images_per_second"], 1),
        "inference_images_per_second": round(inference["images_per_second"], 1),
        "peak_memory_mb": round(train["peak_memory_mb"], 1),
        "layout": layout,
        "inference_layout": inference_layout,
        "malloc": arguments.malloc,
        "batch_size": NETS[arguments.net][3],
        "threads": arguments.threads,
        "torch": train["torch"],
    }
    if arguments.json:
        print(json.dumps(result))
    else:
        print("{net}: training {train_images_per_second} images/s ({layout}), inference "
              "{inference_images_per_second} images/s ({inference_layout}), peak {peak_memory_mb} MB, "
              "batch {batch_size}, {threads} threads, malloc {malloc}, torch {torch}".format(**result))


if __name__ == "__main__":
    main()
