#!/usr/bin/env python3
"""Writes the committed test vectors as the fuzz targets' first inputs: seeds.py FOLDER. Only Python's own library."""

import json
import sys
from pathlib import Path

VECTORS = Path(__file__).resolve().parent.parent / "tests" / "vectors"


TEXTS = {"text", "upper_case", "with_genesis"}


def strings(value, names, read=bytes.fromhex):
    """Every hex string under one of these names, in what must open and in what must not."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name in names and isinstance(item, str):
                yield read(item)
            else:
                yield from strings(item, names, read)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item, names, read)


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
    # Of each form: the bodies as they are, no change, an honest inside, and one text that says "hi".
    text = b"\0\0\0\1\0\1\0\0\0\x0f\0\0\0\2hi" + bytes(9)
    pair = [b"\0" + body for body in strings(v["pair"], {"body", "bytes"})]
    for form in (0, 4):
        pair += [bytes([form | 1]) + b"\0\5\2\1", bytes([form | 2]) + b"\0\0\0\1", bytes([form | 3]) + b"\0\0\7" + text]
    listing = v["certificate"]["listing"]
    seeds = {
        "genesis": strings(v["genesis"], {"bytes"}), "record": strings(v["leaf"], {"bytes"}),
        "operation": strings(v["operation"], {"bytes"}), "announcement": strings(v["epoch"]["reject"], {"bytes"}),
        "sealed_box": strings([v["epoch"]["boxes"], v["epoch"]["reject_boxes"]], {"bytes"}),
        "request": strings([v["direct"]["requests"], v["direct"]["reject_requests"]], {"bytes"}),
        "reply": strings([v["direct"]["replies"], v["direct"]["reject_replies"]], {"bytes"}),
        "frame": strings(v["frame"], {"bytes"}), "sealed": sealed,
        "invite": [b"\0" + each.encode() for each in strings([v["invite"], v["keeper"]["offer"], v["keeper"]["invite"]], TEXTS, str)],
        "keeper": strings(v["keeper"], {"bytes"}), "pair": pair, "rest": strings(v["vault"], {"bytes"}),
        "object": [hexed(v["authority"]["object"]["bytes"]), *strings([v["authority"]["approval"], v["frame"], listing], {"bytes", "statement"})],
        "group": [bytes([5]) + bytes(range(256)) * 3, bytes([2]) + b"\x09\0\0\0\x0a\0\0\0\x0a\0\1\1\0\0\1\0\4\0\1\0" * 9],
    }
    seeds["announcement"] = [*seeds["announcement"], hexed(v["epoch"]["announcement"])]
    for target, inputs in seeds.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(inputs):
            (folder / target / f"vector-{number}").write_bytes(data)


if __name__ == "__main__":
    main()
