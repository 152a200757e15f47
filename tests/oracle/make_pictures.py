#!/usr/bin/python3
"""Makes tests/oracle/pictures/, small picture files of many kinds, and pictures.lua, what Pillow sees in them.

    python3 tests/oracle/make_pictures.py

The kinds of PNG that Pillow cannot write (16 bits in colour, interlaced) are written here, from zlib's stream up.
"""

import os
import struct
import zlib

import numpy as np
from PIL import Image

from make_oracle import wrapped

HERE = os.path.dirname(os.path.abspath(__file__))
WIDTH, HEIGHT = 13, 11


def picture(channels):
    """Smooth, so that what JPEG loses stays little."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = [40 + 12 * x + 3 * y, 220 - 9 * x - 5 * y, 60 + 2 * x + 11 * y, 250 - 3 * x - 13 * y]
    return np.stack(planes[:channels], axis=2).astype(np.uint8)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(samples, color, interlaced=False):
    """samples: uint8 or uint16 [height, width, channels]; color: PNG's colour type."""
    whole = [(0, 0, 1, 1)]
    adam7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    lines = b""
    for y, x, step_y, step_x in adam7 if interlaced else whole:
        part = samples[y::step_y, x::step_x]
        if part.size:
            big_endian = part.astype(part.dtype.newbyteorder(">"))
            lines += b"".join(b"\0" + big_endian[i].tobytes() for i in range(len(part)))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8 * samples.dtype.itemsize, color, 0, 0, interlaced)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) +
            chunk(b"IEND", b""))


def make(folder):
    def path(name):
        return os.path.join(folder, name)

    def write(name, content):
        with open(path(name), "wb") as file:
            file.write(content)

    grey, rgb = Image.fromarray(picture(1)[:, :, 0]), Image.fromarray(picture(3))
    cmyk, rgba = Image.fromarray(picture(4) // 2, "CMYK"), Image.fromarray(picture(4), "RGBA")
    rgb.save(path("baseline.jpg"), quality=90)
    rgb.save(path("full_color.jpg"), quality=95, subsampling=0, optimize=True)
    rgb.save(path("progressive.jpg"), quality=90, progressive=True)
    grey.save(path("grey.jpg"), quality=90)
    cmyk.save(path("cmyk.jpg"), quality=95)
    grey.save(path("grey.png"))
    grey.convert("1").save(path("one_bit.png"))
    rgb.save(path("rgb.png"))
    rgba.save(path("rgba.png"))
    rgba.convert("LA").save(path("grey_alpha.png"))
    rgb.quantize(16).save(path("palette.png"))
    rgb.quantize(16).save(path("palette_transparent.png"), transparency=3)
    write("grey16.png", png(picture(1).astype(np.uint16) * 257, 0))
    write("rgb16.png", png(picture(3).astype(np.uint16) * 257, 2))
    write("interlaced.png", png(picture(3), 2, True))
    rgb.save(path("rgb.bmp"))
    rgb.quantize(16).save(path("palette.bmp"))
    rgb.quantize(16).save(path("still.gif"))
    rgb.quantize(16).save(path("moving.gif"), save_all=True, append_images=[grey, grey.rotate(180)])
    rgb.save(path("rgb.ppm"))
    grey.save(path("grey.pgm"))


def seen(path):
    """RGB as Pillow gives it; 16 bits are cut to 8 here, for Pillow saturates them."""
    with Image.open(path) as image:
        if image.mode.startswith("I"):
            values = np.asarray(image).astype(np.int64) // 257
            return np.repeat(values[:, :, None], 3, axis=2)
        return np.asarray(image.convert("RGBA").convert("RGB") if "transparency" in image.info else
                          image.convert("RGB"))


def main():
    folder = os.path.join(HERE, "pictures")
    os.makedirs(folder, exist_ok=True)
    make(folder)
    with open(os.path.join(HERE, "pictures.lua"), "w") as out:
        out.write("-- Made by tests/oracle/make_pictures.py with Pillow: the pixels of each file as RGB.\nreturn {\n")
        for name in sorted(os.listdir(folder)):
            values = seen(os.path.join(folder, name))
            tokens = [str(v) for v in values.ravel()]
            out.write("{name = \"%s\", rgb = {shape = {%d,%d,3}, data = %s}},\n" %
                      (name, HEIGHT, WIDTH, wrapped(tokens, 6)))
        out.write("}\n")


main()
