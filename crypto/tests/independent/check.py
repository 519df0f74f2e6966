#!/usr/bin/env python3
"""Holds test vectors against the second implementation in snug1.py, which is written from docs/PROTOCOL.md.

    check.py [FOLDER]     the committed vectors, or a folder of them
    check.py --mutate     changes each value of the committed vectors, and each label and bound, and sees that something fails

Exits with 1 if anything that must open or be made doesn't, or anything that must be refused isn't. It doesn't cover OPAQUE
(RFC 9807's vectors do), zxcvbn, and anything about time or about state beyond one chain.
"""

import json
import random
import sys
from pathlib import Path

import reading
import snug1 as s

VECTORS = Path(__file__).resolve().parent.parent / "vectors"

# What says something to people; what is a good one among other good ones; what another value may share its result with.
PROSE = {"what", "error"}
FREE = {("names", "names"), ("frame", "epoch")}
SHARED = {"len"}


def load(folder):
    files = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    if not files:
        sys.exit(f"no vectors in {folder}")
    return files


def check(files):
    for name in files:
        try:
            reading.hold(name, files)
        except reading.Wrong as wrong:
            sys.exit(f"check.py: {wrong}")
    count = reading.Count
    print(f"{len(files)} files, {count.agree} values agree, {count.refused} refused")


def values(name, at, place=()):
    """Every value that a reader must hold: its container, its key, and where it stands."""
    items = at.items() if isinstance(at, dict) else enumerate(at)
    for key, value in items:
        if key in PROSE | SHARED or str(key).startswith("reject") or (name, key) in FREE:
            continue
        if isinstance(value, (dict, list)):
            yield from values(name, value, (*place, key))
        elif value is not None:
            yield at, key, (*place, key)


def changed(key, value, rng):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1 if value < 2**32 - 1 else value - 1
    if not value:
        return "00"
    # The lowest and highest bits of an X25519 scalar don't count.
    places = [at for at in range(len(value)) if key != "encapsulation_randomness" or at not in (65, 126)]
    at = rng.choice(places)
    return value[:at] + ("1" if value[at] == "0" else "0") + value[at + 1 :]


def noticed(name, files):
    try:
        reading.hold(name, files)
    except reading.Wrong:
        return True
    return False


def mutate(files):
    rng, counts = random.Random(1), {"values": 0, "labels": 0, "bounds": 0}
    for name in files:
        for container, key, place in list(values(name, files[name])):
            value = container[key]
            container[key] = changed(key, value, rng)
            if not noticed(name, files):
                sys.exit(f"check.py: {name} {place}: {value} became {container[key]} and nothing failed")
            container[key] = value
            counts["values"] += 1
    real = s.label_bytes
    for label in list(s.LABELS):
        s.label_bytes = lambda other, changed=label: real(other) + (b"x" if other == changed else b"")
        if not any(noticed(name, files) for name in files):
            sys.exit(f"check.py: the label {label!r} changed and nothing failed")
        counts["labels"] += 1
    s.label_bytes = real
    for bound, value in list(s.B.items()):
        s.B[bound] = value + 1
        if not any(noticed(name, files) for name in ("bounds", *files)):
            sys.exit(f"check.py: the bound {bound} changed and nothing failed")
        s.B[bound] = value
        counts["bounds"] += 1
    check(files)
    print("each change of {values} values, {labels} labels and {bounds} bounds was noticed".format(**counts))


if __name__ == "__main__":
    if sys.argv[1:] == ["--mutate"]:
        mutate(load(VECTORS))
    else:
        check(load(Path(sys.argv[1]) if len(sys.argv) > 1 else VECTORS))
