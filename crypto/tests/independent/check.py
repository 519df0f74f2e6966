#!/usr/bin/env python3
"""Holds the committed test vectors against the second implementation in snug1.py.

    pip install -r requirements.txt && python3 check.py

Exits with 1 if anything that must open or be made doesn't, or anything that must be refused isn't. It doesn't cover OPAQUE,
strict Ed25519 (the library's own verification is used), zxcvbn, and anything about time or state beyond one chain.
"""

import json
import sys
from pathlib import Path

import snug1 as s

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
count = 0


def load(name):
    return json.loads((VECTORS / f"{name}.json").read_text())


def un(text):
    return bytes.fromhex(text)


def same(what, ours, theirs):
    global count
    count += 1
    if isinstance(ours, bytes) and isinstance(theirs, str):
        theirs = un(theirs)
    if ours != theirs:
        sys.exit(f"{what}: differs")


def refused(what, cases, attempt):
    global count
    for case in cases:
        count += 1
        try:
            attempt(case)
        except s.Refused:
            continue
        sys.exit(f"{what}: accepted {case['what'] if isinstance(case, dict) and 'what' in case else case}")


def names():
    v = load("names")
    for case in v["room_ids"]:
        same("room id", s.room_id(case["typed"]), case["room_id"])
        same("handle", s.H("handle", case["room_id"].encode()), case["handle"])
    for case in v["room_keys"]:
        same("room key", s.room_key(case["typed"]).encode(), case["room_key"])
    refused("room id", v["reject_room_ids"], lambda case: s.room_id(case["typed"]))
    refused("room key", v["reject_room_keys"], lambda case: s.room_key(case["typed"]))


def generation():
    v = load("generation")
    psk, keys = s.generation_keys(v["room_key"], un(v["r"]), un(v["handle"]), v["count"])
    same("extracted", s.extract(un(v["r"]), v["room_key"].encode()), v["extracted"])
    same("psk", psk, v["psk"])
    for name, key in keys.items():
        same(name, key, v[name])
    same("mdns", s.X(keys["mesh"], "mdns", s.u32(v["mdns"]["day"])), v["mdns"]["name"])
    for case in v["later"]:
        psk, keys = s.generation_keys(v["room_key"], un(v["r"]), un(v["handle"]), case["count"])
        same("later", (psk, keys["topic"]), (un(case["psk"]), un(case["topic"])))


def genesis():
    v = load("genesis")
    p = v["policy"]
    policy = s.u16(p["max_participants"]) + bytes([p["listed"]]) + s.u32(p["retention_s"])
    policy += bytes([p["history"], p["approval"]]) + s.u32(p["grace_s"])
    seed = un(v["admin_seed"])
    body = b"\1" + s.lp(v["room_id"].encode(), v["description"].encode()) + s.u64(v["created_at_ms"]) + policy
    body += s.public(seed) + s.u32(0)
    digest = s.H("genesis", body)
    same("hash", digest, v["hash"])
    same("bytes", body + s.sign(seed, "sign genesis", digest, digest), v["bytes"])
    same("policy", s.genesis(un(v["bytes"]))["policy"], p)
    refused("genesis", v["reject"], lambda case: s.genesis(un(case["bytes"])))


def capsule():
    v = load("capsule")
    key = s.X(un(v["export_key_room"]), "capsule")
    same("key", key, v["key"])
    plain = s.lp(un(v["genesis"])) + s.u64(v["generation"]["count"]) + un(v["generation"]["hash"]) + un(v["r"])
    plain += s.lst([s.lp(un(operation)) for operation in v["log"]]) + s.u32(0)
    sealed = un(v["capsule"])
    same("capsule", s.seal_object(key, 4, sealed[1:25], plain), sealed)
    admin_key = s.X(un(v["export_key_admin"]), "admin")
    same("admin key", admin_key, v["admin_key"])
    sealed = un(v["admin_capsule"])
    plain = un(v["admin_seed"]) + s.lp(un(v["genesis"])) + s.u32(0)
    same("admin capsule", s.seal_object(admin_key, 5, sealed[1:25], plain), sealed)

    def open_admin(case):
        r = s.Reader(s.open_object(admin_key, 5, un(case["bytes"]), 4096))
        seed, found = r.raw(32), s.genesis(r.lp(4096))
        s.check(s.public(seed) == found["admin_vk"], "another admin key")

    open_admin({"bytes": v["admin_capsule"]})
    refused("capsule", v["reject"], lambda case: s.open_object(key, 4, un(case["bytes"]), 81920))
    refused("admin capsule", v["reject_admin"], open_admin)


def invite():
    v = load("invite")
    for text in (v["text"], v["upper_case"]):
        found = s.invite(text)
        for name in ("server", "room_id", "room_key", "addresses"):
            same(name, found[name], v[name])
        same("genesis hash", found["genesis_hash"], v["genesis_hash"])
    alone = v["without_server"]
    expected = (alone["count"], un(alone["hash"]), un(alone["r"]))
    same("without server", s.invite(alone["text"])["serverless"], expected)
    refused("invite", v["reject"], lambda case: s.invite(case["text"]))


def leaf():
    v = load("leaf")
    room, join = un(v["genesis_hash"]), un(v["join"])
    for case in v["leaves"]:
        seeds = {name: un(case[f"{name}_seed"]) for name in ("identity", "transport", "leaf", "kem")}
        identity, peer, key = (s.public(seeds[name]) for name in ("identity", "transport", "leaf"))
        ek = s.xwing_expand(seeds["kem"])[2]
        same("kem", s.H("kem", ek), case["kem_hash"])
        same("fingerprint", s.H("fingerprint", identity)[:16], case["fingerprint"])
        data = b"\1" + identity + key + ek + peer
        data += s.sign(seeds["transport"], "sign peer", room, s.H("peer", room, identity, peer))
        data += s.lp(case["name"].encode()) + s.u64(case["seq"]) + s.u32(case["incarnation"])
        data += s.u64(case["expires_at_ms"]) + s.u64(case["generation"]["count"]) + un(case["generation"]["hash"])
        data += s.u32(0)
        data += s.MAC(join, "admission", room, data)
        data += s.sign(seeds["identity"], "sign record", room, s.H("record", room, data))
        same("leaf", data, case["bytes"])
        same("leaf id", s.record(data, room, join)["leaf_id"], case["leaf_id"])
    leave = v["leave"]
    seed = un(leave["identity_seed"])
    data = b"\2" + s.public(seed) + s.u64(leave["seq"]) + s.u32(leave["incarnation"])
    same("leave", data + s.sign(seed, "sign record", room, s.H("record", room, data)), leave["bytes"])
    s.record(un(leave["bytes"]), room, join)
    refused("record", v["reject"], lambda case: s.record(un(case["bytes"]), room, join))


def operation():
    v = load("operation")
    room = s.genesis(un(v["genesis"]))
    for case in v["operations"]:
        found = s.operation(un(case["bytes"]), room)
        same(case["what"], (found["kind"], found["hash"]), (case["kind"], un(case["hash"])))
    refused("operation", v["reject"], lambda case: s.operation(un(case["bytes"]), room))


def control():
    v = load("control")
    key = un(v["control"])

    def nonce(plain):
        return s.MAC(key, "control nonce", plain)[:24]

    def opened(case):
        data = un(case["bytes"])
        plain = s.open_object(key, 2, data, 32768)
        s.check(data[1:25] == nonce(plain), "nonce")

    for case in v["messages"]:
        plain = bytes([case["type"]]) + un(case["body"])
        same("control", s.seal_object(key, 2, nonce(plain), plain), case["bytes"])
    refused("control", v["reject"], opened)


def epoch():
    v = load("epoch")
    room, psk, es = un(v["genesis_hash"]), un(v["psk"]), un(v["es"])
    issuer = s.public(un(v["issuer_leaf_seed"]))
    found = s.announcement(un(v["announcement"]), room, issuer)
    same("round", {"day": found["day"], "counter": found["counter"]}, v["round"])
    keys = s.epoch_keys(psk, es, found["ctx"])
    for name, ours in (("commit", keys["commit"]), ("export", keys["export"]), ("tag", keys["tag"][:8])):
        same(name, ours, v[name])
    for name in ("epoch_id", "members_hash", "box_root"):
        same(name, found[name], v[name])
    ciphertexts = []
    for case in v["boxes"]:
        ek = s.xwing_expand(un(case["kem_seed"]))[2]
        made = s.seal_box(psk, found["ctx"], un(case["leaf_id"]), ek, es, un(case["encapsulation_randomness"]))
        ciphertexts.append((un(case["leaf_id"]), made))
    root, paths = s.tree([s.H("box leaf", *box) for box in ciphertexts])
    same("root", root, v["box_root"])
    for case, (leaf_id, ciphertext), path in zip(v["boxes"], ciphertexts, paths):
        same("tree leaf", s.H("box leaf", leaf_id, ciphertext), case["tree_leaf"])
        same("box", leaf_id + s.lp(ciphertext) + s.lst(path), case["bytes"])
        same("es", s.open_box(un(case["bytes"]), found, un(case["kem_seed"]), psk), es)
    refused("announcement", v["reject"], lambda case: s.announcement(un(case["bytes"]), room, issuer))
    seed = un(v["reject_boxes"]["kem_seed"])
    refused("box", v["reject_boxes"]["cases"], lambda case: s.open_box(un(case["bytes"]), found, seed, psk))


def frame():
    v, e = load("frame"), load("epoch")
    room = un(v["genesis_hash"])
    found = s.announcement(un(e["announcement"]), room, s.public(un(e["issuer_leaf_seed"])))
    keys = s.epoch_keys(un(v["psk"]), un(e["es"]), found["ctx"])
    sender, seed = un(v["sender"]), un(v["sender_leaf_seed"])
    leaf_keys, used = {sender: s.public(seed)}, set()
    for case in v["frames"]:
        contents = []
        for content in case["contents"]:
            if content["kind"] == 1:
                reply = content["reply_to"] and un(content["reply_to"])
                body = s.lp(content["text"].encode()) + s.option(reply) + s.u64(content["sent_at_ms"])
            else:
                body = un(content["body"])
            contents.append((content["kind"], body))
        parents = [(un(parent["tag"]), un(parent["hash"])) for parent in case["parents"]]
        data = un(case["bytes"])
        arguments = (keys, found["epoch_id"], room, sender, seed, case["counter"], parents, contents)
        made, frame_hash = s.seal_frame(*arguments, data[9:33])
        same("frame", made, data)
        same("frame hash", frame_hash, case["hash"])
        same("message id", s.H("message", frame_hash, s.u32(0)), case["first_message_id"])
        same("contents", s.open_frame(data, keys, found["epoch_id"], room, leaf_keys, used)[1], contents)
    refused("frame", v["reject"], lambda case: s.open_frame(
        un(case["bytes"]), keys, found["epoch_id"], room, leaf_keys, used if case["what"] == "opened before" else set()))


def padding():
    v = load("padding")
    for case in v["cases"]:
        same("padding", s.padded_len(case["len"]), case["padded"])
    refused("padding", v["reject"], lambda size: s.pad(bytes(size)))


def presence():
    v = load("presence")
    key, data = un(v["intro"]), un(v["bytes"])
    plain = un(v["peer"]) + s.u64(v["at_ms"]) + s.lst([s.lp(address.encode()) for address in v["addresses"]])
    same("presence", s.seal_object(key, 3, data[1:25], plain), data)
    refused("presence", v["reject"], lambda case: s.open_object(key, 3, un(case["bytes"]), 1024))


def link():
    v = load("link")
    names = ("dialer", "listener", "dialer_nonce", "listener_nonce")
    fields = [un(v[name]) for name in names]
    for role, name in ((b"\1", "dialer_proof"), (b"\2", "listener_proof")):
        same(name, s.MAC(un(v["mesh"]), "link", role, *fields), v[name])
    for case in v["reject"]:
        same("reflected", s.MAC(un(v["mesh"]), "link", b"\2", *fields) == un(case["proof"]), False)


def direct():
    v = load("direct")

    def ids(r, size=32):
        return lambda: r.list(8192, lambda: r.raw(size))

    def bundle(r):
        return [r.list(8192, lambda: r.lp(32768)) for _ in range(3)]

    def box(r):
        return r.raw(16), r.lp(1120 + 2048 + 16), r.list(12, lambda: r.raw(32))

    def vector(r):
        return r.raw(32), r.list(4096, lambda: (r.raw(16), r.raw(8), r.list(64, lambda: r.raw(8))))

    def request(data):
        r = s.Reader(data)
        kind = r.number(1)
        {
            1: lambda: (ids(r, 40)(), ids(r)(), ids(r)()), 2: lambda: r.raw(32), 3: lambda: bundle(r),
            4: lambda: r.raw(48), 5: lambda: r.raw(36), 6: lambda: r.raw(32), 7: lambda: r.list(64, lambda: vector(r)),
        }.get(kind, lambda: s.check(False, "kind"))()
        r.end()

    def reply(data):
        r = s.Reader(data)
        kind = r.number(1)
        {
            1: lambda: (bundle(r), ids(r)(), ids(r)(), ids(r)(), r.flag()), 2: r.flag, 3: lambda: None,
            4: lambda: r.option(lambda: box(r)), 5: lambda: r.list(4096, lambda: box(r)),
            6: lambda: r.list(4096, lambda: r.raw(52)), 7: lambda: r.list(8192, lambda: r.lp(32768)),
        }.get(kind, lambda: s.check(False, "kind"))()
        r.end()

    for case in v["requests"]:
        request(un(case["bytes"]))
    for case in v["replies"]:
        reply(un(case["bytes"]))
    refused("request", v["reject_requests"], lambda case: request(un(case["bytes"])))


for file in sorted(VECTORS.glob("*.json")):
    globals()[file.stem]()
    print(f"{file.stem}: ok")
print(f"{count} values agree")
