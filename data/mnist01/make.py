#!/usr/bin/env python3
"""Make the files of this folder from the four original files of MNIST.

    python3 data/mnist01/make.py FOLDER [OUT]

FOLDER holds the originals, each plain or with .gz. Their MD5 sums are checked.
The images of the digits 0 and 1 are kept, in their original order, and written
to OUT (this folder unless told) as gzip-compressed IDX files.

The same Python and zlib give the same bytes: no time and no name is stored.
Only the standard library is needed.
"""

import gzip
import hashlib
import struct
import sys
from pathlib import Path

KEEP = (0, 1)

# Name -> MD5 of the uncompressed original.
ORIGINALS = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def read(folder, name):
    """The uncompressed bytes of one original, with its MD5 checked."""
    plain, packed = folder / name, folder / (name + ".gz")
    if plain.is_file():
        content = plain.read_bytes()
    elif packed.is_file():
        content = gzip.decompress(packed.read_bytes())
    else:
        sys.exit(f"{plain}: not found, with or without .gz")
    found = hashlib.md5(content).hexdigest()
    if found != ORIGINALS[name]:
        sys.exit(f"{name}: MD5 is {found}, expected {ORIGINALS[name]}")
    return content


def write(folder, name, content):
    """Write one gzip file, the same bytes each time, and print its sums."""
    packed = gzip.compress(content, compresslevel=9, mtime=0)
    path = folder / (name + ".gz")
    path.write_bytes(packed)
    print(path.name, len(packed), "bytes")
    print("  md5   ", hashlib.md5(packed).hexdigest())
    print("  sha256", hashlib.sha256(packed).hexdigest())
    print("  md5    (uncompressed)", hashlib.md5(content).hexdigest())
    print("  sha256 (uncompressed)", hashlib.sha256(content).hexdigest())


def keep_two_digits(source, target, part):
    """Filter one part ("train" or "t10k")."""
    images = read(source, f"{part}-images-idx3-ubyte")
    labels = read(source, f"{part}-labels-idx1-ubyte")
    magic, count, height, width = struct.unpack(">4I", images[:16])
    assert magic == 0x0803 and len(images) == 16 + count * height * width
    assert labels[:8] == struct.pack(">2I", 0x0801, count) and len(labels) == 8 + count

    size = height * width
    kept = [i for i in range(count) if labels[8 + i] in KEEP]
    header = struct.pack(">4I", 0x0803, len(kept), height, width)
    pixels = b"".join(images[16 + i * size : 16 + (i + 1) * size] for i in kept)
    write(target, f"{part}-images-idx3-ubyte", header + pixels)
    header = struct.pack(">2I", 0x0801, len(kept))
    write(target, f"{part}-labels-idx1-ubyte", header + bytes(labels[8 + i] for i in kept))


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    source = Path(sys.argv[1])
    target = Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).resolve().parent
    for part in ("train", "t10k"):
        keep_two_digits(source, target, part)


if __name__ == "__main__":
    main()
