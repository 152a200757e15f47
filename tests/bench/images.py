#!/usr/bin/python3
"""Photographs made ready for training: our C against Pillow's and PyTorch's, the same work on as many threads.

    python3 tests/bench/images.py [--folder DIR] [--files 300] [--threads 1,2] [--seconds 1] [--rounds 3]

prints, for each stage, the processor's time for one picture in milliseconds, ours and theirs, and the ratio, above 1
where ours takes less; the medians of all rounds. The time of the system's kernel counts. Pillow's bilinear filter has
no aliases, as ours with antialias; PyTorch's is compared with ours without, which it is given a picture of floats for
and ours one of bytes.
"""

import argparse
import glob
import os
import statistics
import subprocess
import threading
import time

import torch
import torch.nn.functional as F
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
OURS = os.path.join(ROOT, "build", "release", "tests", "bench", "images")
SIZE = (180, 180)
TURNED = (0.9, 0.1, 3, -0.1, 0.9, 5)

# stage of ours → stage of theirs
PAIRS = (("decode", "decode"), ("antialias", "antialias"), ("warp_bytes", "warp"), ("all_bytes", "all"),
         ("resize", "torch resize"), ("warp_floats", "torch warp"), ("all_floats", "all"))


def decode(path):
    with Image.open(path) as image:
        image.load()
        return image if image.mode == "RGB" else image.convert("RGB")


def antialias(image):
    return image.resize(SIZE, Image.BILINEAR)


def warp(image):
    return image.transform(SIZE, Image.AFFINE, TURNED, Image.BILINEAR)


def to_tensor(image):
    """float32 [1, 3, height, width], channels last in memory."""
    flat = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return flat.reshape(1, image.height, image.width, 3).float().permute(0, 3, 1, 2)


def torch_resize(image):
    return F.interpolate(image, size=SIZE, mode="bilinear", align_corners=False)


def torch_warp(image):
    grid = F.affine_grid(torch.tensor([[[0.9, 0.1, 0.1], [-0.1, 0.9, 0.1]]]), image.shape, align_corners=False)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def measure(function, inputs, threads, seconds):
    """Milliseconds of the processor for one input."""
    done = [0] * threads

    def work(me):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for given in inputs[me::threads]:
                function(given)
                done[me] += 1

    start = time.process_time()
    workers = [threading.Thread(target=work, args=(me,)) for me in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return (time.process_time() - start) * 1e3 / sum(done)


def theirs(paths, threads, seconds):
    decoded = [decode(path) for path in paths]
    shrunk = [antialias(image) for image in decoded]
    # each in the layout that it is faster with
    tensors, small = [to_tensor(image).contiguous() for image in decoded], [to_tensor(image) for image in shrunk]
    stages = {"decode": (decode, paths), "antialias": (antialias, decoded), "warp": (warp, shrunk),
              "all": (lambda path: warp(antialias(decode(path))), paths),
              "torch resize": (torch_resize, tensors), "torch warp": (torch_warp, small)}
    return {name: measure(*stage, threads, seconds) for name, stage in stages.items()}


def ours(paths, threads, seconds):
    text = subprocess.run([OURS, str(threads), str(seconds), *paths], stdout=subprocess.PIPE, check=True, text=True)
    return {name: float(value) for name, value in (line.split() for line in text.stdout.splitlines())}


def default_folder():
    return os.path.join(os.environ.get("CNNLUA_DATA", ""), "cats_and_dogs", "train")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", default=default_folder())
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    paths = sorted(glob.glob(os.path.join(options.folder, "**", "*.jpg"), recursive=True))
    paths = paths[::max(1, len(paths) // options.files)][:options.files]
    if not paths:
        print("images.py: no pictures in '%s'; --folder names another" % options.folder)
        return
    torch.set_num_threads(1)
    for threads in map(int, options.threads.split(",")):
        rounds = [(ours(paths, threads, options.seconds), theirs(paths, threads, options.seconds))
                  for _ in range(options.rounds)]
        print("%d pictures to %d×%d, threads: %d (processor's milliseconds a picture)" %
              (len(paths), *SIZE, threads))
        for mine, other in PAIRS:
            pairs = [(a[mine], b[other]) for a, b in rounds]
            print("  %-12s %7.3f   %-20s %7.3f   ratio %5.2f (%.2f to %.2f)" %
                  (mine, statistics.median(a for a, _ in pairs),
                   other if other.startswith("torch") else "Pillow " + other,
                   statistics.median(b for _, b in pairs), statistics.median(b / a for a, b in pairs),
                   min(b / a for a, b in pairs), max(b / a for a, b in pairs)))


main()
