#!/usr/bin/env python3
"""Writes the committed test vectors as the fuzz targets' first inputs: seeds.py FOLDER. Only Python's own library."""

import json
import sys
from pathlib import Path

VECTORS = Path(__file__).resolve().parent.parent / "tests" / "vectors"


def strings(value, names):
    """Every hex string under one of these names, in what must open and in what must not."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name in names and isinstance(item, str):
                yield bytes.fromhex(item)
            else:
                yield from strings(item, names)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item, names)


def lp(data):
    return len(data).to_bytes(4, "big") + data


def main():
    folder, v = Path(sys.argv[1]), {path.stem: json.loads(path.read_text()) for path in VECTORS.glob("*.json")}
    hexed, capsule, presence = bytes.fromhex, v["capsule"], v["presence"]
    room = lp(hexed(capsule["genesis"]))
    log = b"".join(lp(hexed(each)) for each in capsule["log"])
    plain = room + capsule["generation"]["count"].to_bytes(8, "big") + hexed(capsule["generation"]["hash"])
    plain += hexed(capsule["r"]) + len(capsule["log"]).to_bytes(4, "big") + log + bytes(4)
    addresses = b"".join(lp(each.encode()) for each in presence["addresses"])
    record = hexed(presence["peer"]) + presence["at_ms"].to_bytes(8, "big") + len(presence["addresses"]).to_bytes(4, "big") + addresses
    sealed = [b"\0" + bytes([each["type"]]) + hexed(each["body"]) for each in v["control"]["messages"]]
    sealed += [b"\1" + record, b"\2" + plain, b"\3" + hexed(capsule["admin_seed"]) + room + bytes(4)]
    sealed += [b"\4" + each for name in ("control", "presence", "capsule") for each in strings(v[name], {"bytes", "capsule"})]
    seeds = {
        "genesis": strings(v["genesis"], {"bytes"}), "record": strings(v["leaf"], {"bytes"}),
        "operation": strings(v["operation"], {"bytes"}), "announcement": strings(v["epoch"]["reject"], {"bytes"}),
        "sealed_box": strings([v["epoch"]["boxes"], v["epoch"]["reject_boxes"]], {"bytes"}),
        "request": strings([v["direct"]["requests"], v["direct"]["reject_requests"]], {"bytes"}),
        "reply": strings([v["direct"]["replies"], v["direct"]["reject_replies"]], {"bytes"}),
        "frame": strings(v["frame"], {"bytes"}), "sealed": sealed,
        "invite": [v["invite"][name].encode() for name in ("text", "upper_case")] + [v["invite"]["without_server"]["text"].encode()],
        "group": [bytes([5]) + bytes(range(256)) * 3, bytes([2]) + b"\x09\0\0\0\x0a\0\0\0\x0a\0\1\1\0\0\1\0\4\0\1\0" * 9],
    }
    seeds["announcement"] = [*seeds["announcement"], hexed(v["epoch"]["announcement"])]
    for target, inputs in seeds.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(inputs):
            (folder / target / f"vector-{number}").write_bytes(data)


if __name__ == "__main__":
    main()
