#!/usr/bin/python3
"""The race of `make bench`: train.lua against torch_peer.py, taking turns.

    python3 tests/bench/race.py [--seconds 1] [--nets mnist,mnist_dropout] [--rounds 3] [--threads 2]

prints, for each network, images a second in training and inference and the peak memory of training: the medians of
all rounds, the median of the rounds' ratios with their range, and the ratio of either side's best round, which is
the one to trust where other programs disturb. The last column is our median as a share of what the threads'
multiply-adds could do: the most of the peaks taken before each round by the conv program, where that is built.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CONV = os.path.join(ROOT, "build", "release", "tests", "bench", "conv")
NETS = ("mnist", "mnist_dropout", "mnist_functional", "fashion_sequential", "cats_dogs_augmented")
TASKS = ("train", "inference")


def output(command):
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout


def measure(program, net, options):
    return json.loads(output([*program, "--net", net, "--seconds", str(options.seconds), "--threads",
                              str(options.threads), "--json"]))


def peak_gflops():
    """What multiply-adds in the registers of one core reach now, or None: the conv program's opening line."""
    if not os.path.exists(CONV):
        return None
    return float(re.search(r"([0-9.]+) GFLOP/s at most", output([CONV, "no such layer"])).group(1))


def race(net, options, peaks):
    """The rounds' pairs of (ours, theirs)."""
    ours = [os.path.join(ROOT, "cnnlua"), os.path.join(HERE, "train.lua")]
    theirs = ["/usr/bin/python3", os.path.join(HERE, "torch_peer.py")]
    pairs = []
    for _ in range(options.rounds):
        peaks.append(peak_gflops())
        pairs.append((measure(ours, net, options), measure(theirs, net, options)))
    return pairs


def row(label, pairs, key, number="{:,.0f}", higher_is_better=True, share=""):
    """One line of the table; a ratio is above 1 where we are the better."""
    ours, theirs = ([pair[side][key] for pair in pairs] for side in (0, 1))
    if higher_is_better:
        ratios, of_best = [a / b for a, b in zip(ours, theirs)], max(ours) / max(theirs)
    else:
        ratios, of_best = [b / a for a, b in zip(ours, theirs)], min(theirs) / min(ours)
    print("  {:<20}{:>10}{:>10}{:>8.2f}×  {:>14}{:>8.2f}×{:>8}".format(
        label, number.format(statistics.median(ours)), number.format(statistics.median(theirs)),
        statistics.median(ratios), "{:.1f} to {:.1f}".format(min(ratios), max(ratios)), of_best, share).rstrip(),
        flush=True)


def table(net, pairs, options, peaks):
    first, peer = pairs[0]
    if first["batch_size"] != peer["batch_size"]:
        sys.exit("{}: batches of {} and {}".format(net, first["batch_size"], peer["batch_size"]))
    print("\n{} (batch {}, {:,} parameters, {:.1f} and {:.1f} MFLOP an image)".format(
        net, first["batch_size"], first["parameters"], first["train_mflop_per_image"],
        first["inference_mflop_per_image"]))
    print("  {:<20}{:>10}{:>10}{:>9}  {:>14}{:>9}{:>8}".format(
        "", "cnnlua", "PyTorch", "ratio", "of rounds", "of best", "of peak"))
    for task, label in zip(TASKS, ("training, images/s", "inference, images/s")):
        share = ""
        if None not in peaks:
            gflops = statistics.median(pair[0][task + "_images_per_second"] for pair in pairs) \
                * first[task + "_mflop_per_image"] / 1000
            share = "{:.0f}%".format(100 * gflops / (max(peaks) * options.threads))
        row(label, pairs, task + "_images_per_second", share=share)
    row("peak memory, MB", pairs, "peak_memory_mb", "{:,.1f}", higher_is_better=False)


def nets(text):
    names = text.split(",")
    for name in names:
        if name not in NETS:
            raise argparse.ArgumentTypeError("there is no network '{}'; there are {}".format(name, ", ".join(NETS)))
    return names


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1, help="length of each measurement (default 1)")
    parser.add_argument("--nets", type=nets, default=NETS, help="some of them, with commas between (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side (default 3)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds wants 1 or more")

    peaks = []
    print("{} rounds on {} threads, {:g} seconds a measurement".format(
        options.rounds, options.threads, options.seconds), flush=True)
    for net in options.nets:
        pairs = race(net, options, peaks)
        table(net, pairs, options, peaks)
    print()
    if None in peaks:
        print("multiply-add peak: not measured; `make build/release/tests/bench/conv` makes the program for it")
    else:
        print("multiply-add peak of one core: {:.1f} GFLOP/s ({:.1f} to {:.1f} before the rounds)".format(
            max(peaks), min(peaks), max(peaks)))
    print("PyTorch {}, the faster of its two layouts each time".format(pairs[0][1]["torch"]))


if __name__ == "__main__":
    main()
