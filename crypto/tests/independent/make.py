#!/usr/bin/env python3
"""Makes vectors with fresh secrets for the first implementation to read, in the committed files' format.

    make.py FOLDER [SEED]

Among what must be refused is much that the first implementation can't make: signed, sealed and committed to properly by
somebody who holds the keys, and wrong inside.
"""

import json
import random
import secrets
import sys
from pathlib import Path

import building as b
import keeping
import rest
import snug1 as s
from snug1 import B, lp, lst, u16, u32, u64

CRITICAL = lst([u16(0x8000) + lp(b"")])
NONE = b.NONE
UNSORTED = lst([u16(2) + lp(b""), u16(1) + lp(b"")])
POLICY = {"max_participants": 7, "listed": True, "retention_s": 3600, "history": False, "approval": True, "grace_s": 9}


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        raw = self.raw
        self.admin, self.strangers_seed = raw(), raw()
        self.genesis, self.room = b.genesis(self.admin, "den", "a loud place", self.number(48), POLICY)
        self.room_key, self.r = "-".join(self.random.choices("amber otter lamp quay fjord mosaic".split(), k=10)), raw()
        self.handle = s.H("handle", b"den")
        self.psk, self.keys = s.generation_keys(self.room_key, self.r, self.handle, 0)
        self.gen = b.generation(0, self.room)
        names = ("identity", "transport", "leaf", "kem")
        self.members = [{name: raw() for name in names} for _ in range(self.random.randint(2, 9))]
        for number, seeds in enumerate(self.members):
            seeds["bytes"] = self.leaf(seeds, f"member {number}")
            seeds["leaf_id"] = s.record(seeds["bytes"], self.room, self.keys["join"])["leaf_id"]
        self.issue()

    def raw(self, size=32):
        return self.random.randbytes(size)

    def number(self, bits):
        return self.random.getrandbits(bits)

    def leaf(self, seeds, name, **changes):
        values = {"seq": 5, "incarnation": 0, "expires_at": 2**41, "gen": self.gen, "join": self.keys["join"]} | changes
        return b.leaf(self.room, values.pop("join"), seeds, name, **values)

    # Files

    def names(self):
        pool = ["den", "Café", "Cafe\u0301", "ＤＥＮ", "ﬁre", "Å", "\u212b", "가", "\u1100\u1161", "x", "Ⅳ", " ", "日本", "é\u0323"]
        typed = ["".join(self.random.choices(pool, k=self.random.randint(1, 6))) + "q" for _ in range(40)]
        ids = [{"typed": t, "room_id": s.room_id(t), "handle": s.H("handle", s.room_id(t).encode()).hex()} for t in typed]
        keys = [{"typed": f"{t}1234", "room_key": s.room_key(f"{t}1234").encode().hex()} for t in typed]
        return {
            "room_ids": ids, "room_keys": keys, "names": typed,
            "reject_room_ids": [{"typed": t} for t in ("", "\x00", "a\x9fb", "x" * 65, "ﬁ" * 33, "\u2003")],
            "reject_room_keys": [{"typed": t} for t in ("1234", "e\u0301234", "\t12345", "é" * 513)],
            "reject_names": [{"typed": t} for t in ("", " ", "x" * 65, "\u2003", "a\x7f")],
        }

    def generation(self):
        def keys(count):
            psk, derived = s.generation_keys(self.room_key, self.r, self.handle, count)
            return {"psk": psk.hex()} | {name: key.hex() for name, key in derived.items()}

        day, later = self.number(32), [self.number(64), self.number(20)]
        return keys(0) | {
            "room_key": self.room_key, "r": self.r.hex(), "handle": self.handle.hex(), "count": 0,
            "extracted": s.extract(self.r, self.room_key.encode()).hex(),
            "mdns": {"day": day, "name": s.X(self.keys["mesh"], "mdns", u32(day)).hex()},
            "later": [{"count": count, "psk": keys(count)["psk"], "topic": keys(count)["topic"]} for count in later],
        }

    def genesis_(self):
        seed, when = self.raw(), self.number(48)
        made, digest = b.genesis(seed, "räume", "description", when, POLICY)

        def bad(what, room_id="den", description="", policy=None, **rest):
            return case(what, b.genesis(seed, room_id, description, when, POLICY | (policy or {}), **rest)[0])

        return {
            "admin_seed": seed.hex(), "admin_vk": s.public(seed).hex(), "room_id": "räume", "description": "description",
            "created_at_ms": when, "policy": POLICY, "bytes": made.hex(), "hash": digest.hex(),
            "reject": [
                bad("nobody may enter", policy={"max_participants": 0}),
                bad("too many may enter", policy={"max_participants": B["MAX_MEMBERS"] + 1}),
                bad("a boolean that is neither", policy={"listed": 2}),
                bad("a room id that isn't in normal form", room_id="ＤＥＮ"), bad("an empty room id", room_id=""),
                bad("a room id that is too long", room_id="x" * 65),
                bad("a description with a line end", description="a\nb"),
                bad("a description that is too long", description="x" * (B["MAX_DESCRIPTION_BYTES"] + 1)),
                bad("a critical extension", extensions=CRITICAL), bad("extensions in another order", extensions=UNSORTED),
                bad("too many extensions", extensions=lst([u16(kind) + lp(b"") for kind in range(B["MAX_EXTENSIONS"] + 1)])),
                bad("an extension that is too long", extensions=lst([u16(1) + lp(bytes(B["MAX_EXTENSION_BYTES"] + 1))])),
            ],
        }

    def capsule(self):
        room_key, admin_key = self.raw(64), self.raw(64)
        keys = s.X(room_key, "capsule"), s.X(admin_key, "admin")
        role = b.operation(self.room, self.admin, [], 1, self.raw() + b"\2")[0]
        elsewhere = b.operation(self.raw(), self.admin, [], 1, self.raw() + b"\2")[0]
        gen = {"count": self.number(64), "hash": self.raw().hex()}
        wire = b.generation(gen["count"], bytes.fromhex(gen["hash"]))
        long = [b.operation(self.room, self.admin, [], 900, bytes(B["MAX_OPERATION_BODY"] - number))[0] for number in range(4)]

        def sealed(plain):
            return s.seal_object(keys[0], 4, self.raw(24), plain)

        def admin(plain):
            return s.seal_object(keys[1], 5, self.raw(24), plain)

        good = b.capsule(self.genesis, wire, self.r, [role])
        admin_good = b.admin_capsule(self.admin, self.genesis)
        return {
            "export_key_room": room_key.hex(), "export_key_admin": admin_key.hex(), "key": keys[0].hex(),
            "admin_key": keys[1].hex(), "genesis": self.genesis.hex(), "generation": gen, "r": self.r.hex(),
            "log": [role.hex()], "admin_seed": self.admin.hex(), "capsule": sealed(good).hex(),
            "admin_capsule": admin(admin_good).hex(),
            "reject": [
                case("an operation of another room", sealed(b.capsule(self.genesis, wire, self.r, [role, elsewhere]))),
                case("a byte too many within", sealed(good + b"\0")), case("a byte too few within", sealed(good[:-1])),
                case("a critical extension", sealed(b.capsule(self.genesis, wire, self.r, [role], CRITICAL))),
                case("a damaged genesis", sealed(b.capsule(self.genesis[:-1] + bytes([self.genesis[-1] ^ 1]), wire, self.r, []))),
                case("a log that is too long", sealed(b.capsule(self.genesis, wire, self.r, long))),
                case("under another kind", b"\3" + sealed(good)[1:]),
            ],
            "reject_admin": [
                case("another admin key", admin(b.admin_capsule(self.raw(), self.genesis))),
                case("a byte too many within", admin(admin_good + b"\0")),
                case("a critical extension", admin(b.admin_capsule(self.admin, self.genesis, CRITICAL))),
            ],
        }

    def invite(self):
        values = ("https://pub.example", "den", self.room_key, self.room, None, ["/ip4/192.0.2.7/tcp/9", "/dns/x/udp/1"])
        made = b.invite(*values)
        gen = {"count": self.number(64), "hash": self.raw().hex()}
        serverless = b.generation(gen["count"], bytes.fromhex(gen["hash"])) + self.r

        def bad(what, text):
            return {"what": what, "text": text}

        def with_(**changes):
            names = ("server", "room_id", "room_key", "genesis_hash", "serverless", "addresses")
            return b.invite(**(dict(zip(names, values)) | changes))

        trailing = s.invite_text(s.invite_bytes(made) + b"\0")
        alone = {"server": None, "serverless": serverless, "addresses": []}
        attic, attic_hash = b.genesis(self.admin, "attic", "", self.number(48), POLICY)
        damaged = self.genesis[:-1] + bytes([self.genesis[-1] ^ 1])
        return {
            "server": values[0], "room_id": "den", "room_key": self.room_key, "genesis_hash": self.room.hex(),
            "addresses": values[5], "text": made, "upper_case": made.upper(),
            "without_server": gen | {
                "r": self.r.hex(), "text": with_(**alone), "genesis": self.genesis.hex(),
                "with_genesis": with_(**alone, extensions=b.founding(self.genesis)),
            },
            "reject": [
                bad("a genesis that it does not name", with_(**alone, extensions=b.founding(attic))),
                bad("a genesis of another room id", with_(**alone, genesis_hash=attic_hash, extensions=b.founding(attic))),
                bad("a damaged genesis", with_(**alone, extensions=b.founding(damaged))),
                bad("a later version", with_(version=2)), bad("a byte too many", trailing),
                bad("a critical extension", with_(extensions=CRITICAL)),
                bad("a room id that isn't in normal form", with_(room_id="ＤＥＮ")),
                bad("a room key that is too short", with_(room_key="1234")),
                bad("a room key that isn't in normal form", with_(room_key="cafe\u0301")),
                bad("too many addresses", with_(addresses=["/"] * (B["MAX_ADDRESSES"] + 1))),
                bad("an address that is too long", with_(addresses=["/" * (B["MAX_ADDRESS_BYTES"] + 1)])),
                bad("a server that is too long", with_(server="x" * (B["MAX_URL_BYTES"] + 1))),
                bad("longer than an invite", made + " " * B["MAX_INVITE_CHARS"]),
                bad("without its last character", made[:-1]), bad("mixed case", made[:9] + made[9:].upper()),
            ],
        }

    def leaf_(self):
        def fields(seeds, number):
            identity, key, peer = (s.public(seeds[name]) for name in ("identity", "leaf", "transport"))
            name, incarnation = f"{number} 日本 é", self.number(32)
            values = {"seq": self.number(64), "incarnation": incarnation, "expires_at": self.number(64)}
            made = self.leaf(seeds, name, **values)
            return {f"{each}_seed": seeds[each].hex() for each in ("identity", "transport", "leaf", "kem")} | {
                "identity_vk": identity.hex(), "fingerprint": s.H("fingerprint", identity)[:16].hex(), "peer": peer.hex(),
                "leaf_vk": key.hex(), "kem_hash": s.H("kem", s.xwing_expand(seeds["kem"])[2]).hex(), "name": name,
                "seq": values["seq"], "incarnation": incarnation, "expires_at_ms": values["expires_at"],
                "generation": {"count": 0, "hash": self.room.hex()},
                "leaf_id": b.leaf_id(self.room, identity, key, incarnation).hex(), "bytes": made.hex(),
            }

        seeds, join = self.members[0], self.keys["join"]

        def bad(what, name="alice", **changes):
            return case(what, self.leaf(seeds, name, **changes))

        def resigned(at, new):
            data = seeds["bytes"]
            data = data[:at] + new + data[at + len(new) :]
            data = data[:-96] + s.MAC(join, "admission", self.room, data[:-96])
            return data + s.sign(seeds["identity"], "sign record", self.room, s.H("record", self.room, data))

        order_2 = (s.P - 1).to_bytes(32, "little")
        return {
            "genesis_hash": self.room.hex(), "join": join.hex(),
            "leaves": [fields(each, number) for number, each in enumerate(self.members)],
            "leave": {"identity_seed": seeds["identity"].hex(), "seq": 7, "incarnation": 8,
                      "bytes": b.leave(self.room, seeds["identity"], 7, 8).hex()},
            "reject": [
                bad("an empty name", ""), bad("white space as a name", "  "), bad("a long name", "x" * 65),
                bad("a name with a control character", "a\x1bb"), bad("not admitted", join=self.raw()),
                bad("a critical extension", extensions=CRITICAL),
                case("a leaf key of order two", resigned(33, order_2)),
                case("a leaf key that isn't canonical", resigned(33, (s.P + 1).to_bytes(32, "little"))),
                case("a leaf key that is no point", resigned(33, bytes([2]) + bytes(31))),
                case("a KEM key that isn't canonical", resigned(65, b"\xff\xff\xff")),
                case("another's peer", resigned(1281, s.public(self.raw()))),
                case("a name that isn't UTF-8", resigned(1381, b"\xff")),
                case("a leave of another", b.leave(self.room, seeds["identity"], 7, 8)[:33] + b.leave(self.room, self.raw(), 7, 8)[33:]),
                case("a leave of another room", b.leave(self.raw(), seeds["identity"], 7, 8)),
            ],
        }

    def safety(self):
        def one():
            pair = self.raw(), self.raw()
            number = s.safety_number(*pair)
            digits = number.replace(" ", "")
            wrong = [s.safety_number(pair[0], self.raw()), digits[:-1], digits + "0", "SNUG-SAFETY " + digits, "safety:" + digits, digits.replace(digits[0], "x")]
            return {
                "one": pair[0].hex(), "other": pair[1].hex(), "number": number, "scanned": "SNUG-SAFETY:" + digits,
                "typed": ["\t" + number, "Snug-Safety: " + number, "-".join(digits)], "reject": [{"what": each, "typed": each} for each in wrong],
            }

        return {"cases": [one() for _ in range(20)]}

    def operation(self):
        author, room = self.members[0]["identity"], self.room
        seeds = {"admin": self.admin, "member": author}
        stone = b.tombstone(self.admin, room, self.handle)
        parents = sorted(self.raw() for _ in range(B["MAX_OPERATION_PARENTS"]))

        def good(by, kind, what, over=()):
            made, digest = b.operation(room, seeds[by], list(over), kind, what)
            return {"what": f"{kind}", "by": by, "parents": [each.hex() for each in over], "kind": kind, "body": what.hex(),
                    "bytes": made.hex(), "hash": digest.hex()}

        def bad(what, body, kind=1, over=(), **rest):
            return case(what, b.operation(room, author, list(over), kind, body, **rest)[0])

        role = self.raw() + b"\1"
        return {
            "genesis": self.genesis.hex(), "admin_seed": self.admin.hex(), "author_seed": author.hex(),
            "operations": [good("admin", 1, role), good("member", 1, role, parents), good("member", 7, stone, parents[:2]),
                           good("admin", 4_711, self.raw(100)), good("member", 900, bytes(B["MAX_OPERATION_BODY"]))],
            "reject": [
                bad("no such role", role[:32] + b"\3"), bad("a byte too many within", role + b"\0"), bad("a short role", role[:32]),
                bad("parents in another order", role, over=parents[:2][::-1]), bad("a parent twice", role, over=parents[:1] * 2),
                bad("too many parents", role, over=[*parents, b"\xff" * 32]), bad("a later version", role, version=2),
                bad("too long", bytes(B["MAX_OPERATION_BODY"] + 1), kind=900),
                bad("another room's tombstone", b.tombstone(self.admin, self.raw(), self.handle), kind=7),
                bad("another handle's tombstone", b.tombstone(self.admin, room, self.raw()), kind=7),
                bad("not the admin's tombstone", b.tombstone(author, room, self.handle), kind=7),
                bad("half a tombstone", stone[:64], kind=7),
                case("signed for another room", b.operation(self.raw(), author, [], 1, role)[0]),
                case("signed as another object", b.operation(room, author, [], 1, role)[0][:-64]
                     + s.sign(author, "sign record", room, b.operation(room, author, [], 1, role)[1])),
            ],
        }

    def control(self):
        key, leaf = self.keys["control"], self.members[1]["bytes"]
        role = b.operation(self.room, self.admin, [], 1, self.raw() + b"\0")[0]
        bodies = [(1, leaf), (1, b.leave(self.room, self.raw(), 1, 2)), (2, role), (3, self.announcement)]
        return {
            "control": key.hex(),
            "messages": [{"type": kind, "body": body.hex(), "bytes": b.control(key, kind, body).hex()} for kind, body in bodies],
            "reject": [
                case("a random nonce", s.seal_object(key, 2, self.raw(24), b"\1" + leaf)),
                case("under another key", b.control(self.raw(), 1, leaf)),
                case("a presence record", s.seal_object(key, 3, self.raw(24), b"\1" + leaf)),
                case("too long", b.control(key, 9, bytes(B["MAX_GOSSIP_BYTES"]))), case("nothing within", b.control(key, 1, b"")[:41]),
                case("empty", b""),
            ],
        }

    def issue(self):
        order = sorted(self.members, key=lambda seeds: seeds["leaf_id"])
        self.entries = [b.entry(seeds["leaf_id"], 0, s.xwing_expand(seeds["kem"])[2]) for seeds in order]
        self.order, self.es = order, self.raw()
        self.issuer = order[self.random.randrange(len(order))]
        self.kems = [(s.xwing_expand(seeds["kem"])[2], self.raw(64)) for seeds in order]
        custodians = [seeds["leaf_id"] for seeds in order if self.random.random() < 0.5][: B["MAX_CUSTODIANS"]]
        self.day, self.counter = self.number(32), self.number(32)
        self.header = b.head(self.gen, self.day, self.counter, self.issuer["leaf_id"], custodians, self.entries)
        parts = b.epoch(self.room, self.psk, self.es, self.header, self.entries, self.kems, self.issuer["leaf"])
        self.announcement, self.boxes, self.ctx, self.epoch_id = parts
        self.epoch_keys = s.epoch_keys(self.psk, self.es, self.ctx)

    def epoch(self):
        keys, order, entries = self.epoch_keys, self.order, self.entries
        leaves, found = [seeds["leaf_id"] for seeds in order], s.announcement(self.announcement, self.room, s.public(self.issuer["leaf"]))
        me, others = self.issuer["leaf_id"], sorted(self.raw(16) for _ in range(B["MAX_CUSTODIANS"]))

        def bad(what, header, members=None, signer=None):
            members = entries if members is None else members
            sealed = [bytes(1120 + 16)] * len(members)
            ids = [each[:16] for each in members]
            return case(what, b.signed_epoch(self.room, header, members, self.raw(), ids, sealed, signer or self.issuer["leaf"])[0])

        def head(members=entries, custodians=(), issuer=me, **rest):
            return b.head(self.gen, 1, 1, issuer, custodians, members, **rest)

        def void(what, boxes_of):
            """An epoch whose issuer made this member's box badly, and signed it."""
            ctx, at = s.H("context", self.room, self.header), 0
            sealed = [s.seal_box(self.psk, ctx, leaf, ek, self.es, drawn) for leaf, (ek, drawn) in zip(leaves, self.kems)]
            sealed[at] = boxes_of(ctx, leaves[at], *self.kems[at])
            parts = b.signed_epoch(self.room, self.header, entries, keys["commit"], leaves, sealed, self.issuer["leaf"])
            return {"what": what, "announcement": parts[0].hex(), "bytes": parts[1][at].hex(), "kem_seed": order[at]["kem"].hex()}

        def inside(plain):
            def seal(ctx, leaf, ek, randomness):
                ct, ss = s.xwing_encapsulate(ek, randomness)
                return ct + s.cseal(s.X(s.extract(self.psk, ss), "box", ctx, leaf), bytes(12), b"", plain)
            return seal

        more = lst([u16(7) + lp(b"later")])
        assert s.open_box(self.boxes[0], found, order[0]["kem"], self.psk) == self.es
        victim = order[-1]
        swapped = [*entries[:-2], entries[-1], entries[-2]]
        nine = head(custodians=[]).replace(me + u32(0), me + lst([*others, b"\xff" * 16]), 1)
        return {
            "genesis_hash": self.room.hex(), "psk": self.psk.hex(), "es": self.es.hex(),
            "issuer_leaf_seed": self.issuer["leaf"].hex(), "round": {"day": self.day, "counter": self.counter},
            "members_hash": found["members_hash"].hex(), "commit": keys["commit"].hex(), "box_root": found["box_root"].hex(),
            "tag": keys["tag"][:8].hex(), "export": keys["export"].hex(), "epoch_id": self.epoch_id.hex(),
            "announcement": self.announcement.hex(), "ctx": self.ctx.hex(), "extracted": s.extract(self.psk, self.es).hex(),
            "env": keys["env"].hex(), "snd": keys["snd"].hex(), "chains": s.chains(keys["snd"], entries),
            "boxes": [
                {"leaf_id": seeds["leaf_id"].hex(), "kem_seed": seeds["kem"].hex(), "encapsulation_randomness": kem[1].hex(),
                 "bytes": box.hex(), "tree_leaf": s.H("box leaf", *s.box(s.Reader(box))[:2]).hex()}
                for seeds, kem, box in zip(order, self.kems, self.boxes)
            ],
            "reject": [
                bad("an issuer that is no member", head(issuer=self.raw(16))), bad("a custodian that is none", head(custodians=others[:1])),
                bad("too many custodians", nine), bad("members in another order", head(swapped), swapped),
                bad("a member twice", head(entries + entries[-1:]), entries + entries[-1:]), bad("another member", head(entries[:-1]), entries),
                bad("a member less", head(), entries[:-1]), bad("a later kind", b"\3" + head()[1:]),
                bad("signed by another", head(), signer=self.raw()), bad("a critical extension", head(extensions=CRITICAL)),
                case("no members", b.signed_epoch(self.room, head(), entries, self.raw(), leaves, [b""] * len(leaves), self.issuer["leaf"])[0]
                     [: -4 - 52 * len(entries) - 1] + b"\0"),
            ],
            "reject_boxes": {"kem_seed": victim["kem"].hex(), "cases": [
                case("another's", self.boxes[0]), case("a path too long", self.boxes[-1][:-4 - 32 * self.path_len()] + lst([bytes(32)] * 13)),
                case("no path", self.boxes[-1][: -4 - 32 * self.path_len()] + lst([])), case("a byte too many", self.boxes[-1] + b"\0"),
                case("a root as a box", victim["leaf_id"] + lp(found["box_root"] * 2) + lst([])),
            ]},
            "reject_epochs": [
                void("another secret", inside(b"\1" + self.raw() + u32(0))), void("a later version", inside(b"\2" + self.es + u32(0))),
                void("a byte too many", inside(b"\1" + self.es + u32(0) + b"\0")), void("a critical extension", inside(b"\1" + self.es + CRITICAL)),
                void("sealed for another leaf", lambda ctx, _, ek, randomness: s.seal_box(self.psk, ctx, bytes(16), ek, self.es, randomness)),
                void("sealed without the psk", lambda ctx, leaf, ek, randomness: s.seal_box(bytes(32), ctx, leaf, ek, self.es, randomness)),
                void("sealed in another context", lambda ctx, leaf, ek, randomness: s.seal_box(self.psk, bytes(32), leaf, ek, self.es, randomness)),
                void("no ciphertext", lambda *_: b""), void("a ciphertext without a body", lambda *_: bytes(1120)),
            ],
            "accept_epochs": [void("an extension of a later version", inside(b"\1" + self.es + more))],
        }

    def path_len(self):
        return len(s.box(s.Reader(self.boxes[-1]))[2])

    def frame(self):
        seeds, other = self.issuer, next(seeds for seeds in self.order if seeds is not self.issuer)
        keys, me = self.epoch_keys, seeds["leaf_id"]
        parent = {"tag": self.raw(8).hex(), "hash": self.raw().hex()}

        def good(counter, contents, parents=()):
            wire = [(1, b.text(each["text"], None, each["sent_at_ms"])) if each["kind"] == 1 else (each["kind"], bytes.fromhex(each["body"]))
                    for each in contents]
            over = [(bytes.fromhex(each["tag"]), bytes.fromhex(each["hash"])) for each in parents]
            made, digest, statement = s.seal_frame(keys, self.epoch_id, self.room, me, seeds["leaf"], counter, over, wire, self.raw(24))
            return {"counter": counter, "contents": contents, "parents": list(parents), "hash": digest.hex(),
                    "first_message_id": s.H("message", digest, u32(0)).hex(), "bytes": made.hex(), "statement": statement.hex()}

        def stated(what, parents=(), signer=seeds["leaf"], room=self.room, label="sign frame", hashed="contents", more=b""):
            hdr, digest = me + u64(0) + lst(list(parents)), s.H(hashed, self.raw(256))
            signature = s.sign(signer, label, room, s.H("frame", self.epoch_id, hdr, digest))
            return case(what, self.epoch_id + hdr + digest + signature + more)

        def said(text):
            return {"kind": 1, "text": text, "reply_to": None, "sent_at_ms": self.number(63)}

        def bad(what, padded=None, contents=None, **changes):
            """A frame that is sealed with the right keys, but for the changes."""
            v = {"leaf": me, "chain": me, "counter": 0, "at": 0, "parents": [], "signer": seeds["leaf"], "room": self.room,
                 "epoch": self.epoch_id, "label": "sign frame", "nonce": None} | changes
            if padded is None:
                padded = s.pad(lst(contents or [u16(1) + lp(b.text("hello", None, 1))]))
            nonce = self.raw(24)
            hdr = v["leaf"] + u64(v["counter"]) + lst(v["parents"])
            signature = s.sign(v["signer"], v["label"], v["room"], s.H("frame", v["epoch"], hdr, s.H("contents", padded)))
            mk = s.chain_key(keys["snd"], v["chain"], v["at"])
            inner = s.cseal(mk, v["nonce"] or nonce[:12], hdr, padded + signature)
            ad = b"\1" + keys["tag"][:8]
            return case(what, ad + nonce + s.xseal(keys["env"], nonce, ad, hdr + inner))

        one = lst([u16(1) + lp(b.text("hello", None, 1))])
        long = lst([u16(9) + lp(bytes(B["MAX_PADDED_BYTES"] - 9))])
        files = [good(0, [said("hello")]), good(1, [said("日本"), {"kind": 77, "body": "00"}], [parent] * B["MAX_PARENTS"]),
                 good(2, [said("x" * B["MAX_TEXT_BYTES"])]), good(3, [{"kind": 900 + each, "body": ""} for each in range(B["MAX_CONTENTS"])])]
        assert s.open_frame(bytes.fromhex(bad("nothing")["bytes"]), keys, self.epoch_id, self.room, {me: s.public(seeds["leaf"])}, set())
        return {
            "genesis_hash": self.room.hex(), "psk": self.psk.hex(), "epoch_id": self.epoch_id.hex(), "sender": me.hex(),
            "sender_leaf_seed": seeds["leaf"].hex(), "frames": files,
            "reject_statements": [
                stated("by another", signer=other["leaf"]), stated("of another room", room=self.raw()), stated("signed as a record", label="sign record"),
                stated("too many parents", [self.raw(40)] * (B["MAX_PARENTS"] + 1)), stated("a byte too many", more=b"\0"),
            ],
            "reject": [
                bad("signed by another member", signer=other["leaf"]), bad("signed for another room", room=self.raw()),
                bad("signed for another epoch", epoch=self.raw()), bad("signed as a record", label="sign record"),
                bad("sealed with another's chain", chain=other["leaf_id"]), bad("sealed with another counter's key", counter=3),
                bad("from nobody", leaf=self.raw(16)), bad("too far ahead", counter=B["MAX_SKIP"] + 1, at=B["MAX_SKIP"] + 1),
                bad("at the end of all counters", counter=2**64 - 1), bad("another nonce within", nonce=bytes(12)),
                bad("too many parents", parents=[self.raw(40) for _ in range(B["MAX_PARENTS"] + 1)]),
                bad("padding that isn't zero", one + bytes(255 - len(one)) + b"\1"), bad("too much padding", one + bytes(512 - len(one))),
                bad("no padding", one), bad("no contents", bytes(256)), bad("too little padding for Padmé", long[:-200] + bytes(7)),
                bad("too many contents", contents=[u16(900) + lp(b"")] * (B["MAX_CONTENTS"] + 1)),
                bad("a text that is too long", contents=[u16(1) + lp(b.text("x" * (B["MAX_TEXT_BYTES"] + 1), None, 1))]),
                bad("a text that isn't UTF-8", contents=[u16(1) + lp(lp(b"\xff") + b"\0" + u64(1))]),
                bad("a byte too many after a text", contents=[u16(1) + lp(b.text("hello", None, 1) + b"\0")]),
                bad("an option that is neither", contents=[u16(1) + lp(lp(b"x") + b"\2" + u64(1))]),
                bad("a count that can't be true", b"\xff" * 256),
            ],
        }

    def padding(self):
        lens = [self.random.randint(0, B["MAX_PADDED_BYTES"]) for _ in range(100)]
        cases = [{"len": each, "padded": s.padded_len(each)} for each in lens if s.padded_len(each) <= B["MAX_PADDED_BYTES"]]
        return {"cases": cases, "reject": [B["MAX_PADDED_BYTES"] + self.random.randint(1, 2**16) for _ in range(20)]}

    def presence(self):
        key, peer, at, addresses = self.keys["intro"], self.raw(), self.number(64), ["/ip6/::1/tcp/1"] * 3

        def sealed(plain, kind=3):
            return s.seal_object(key, kind, self.raw(24), plain)

        good = b.presence(peer, at, addresses)
        return {
            "intro": key.hex(), "peer": peer.hex(), "at_ms": at, "addresses": addresses, "bytes": sealed(good).hex(),
            "reject": [
                case("a byte too many within", sealed(good + b"\0")), case("a byte too few within", sealed(good[:-1])),
                case("too many addresses", sealed(b.presence(peer, at, ["/"] * (B["MAX_ADDRESSES"] + 1)))),
                case("an address that is too long", sealed(b.presence(peer, at, ["/" * (B["MAX_ADDRESS_BYTES"] + 1)]))),
                case("an address that isn't UTF-8", sealed(peer + u64(at) + lst([lp(b"\xff")]))),
                case("above the bound", sealed(b.presence(peer, at, ["/" * 250] * 4))), case("as a control message", sealed(good, 2)),
            ],
        }

    def link(self):
        mesh, dialer, listener, one, two = (self.raw() for _ in range(5))
        fields = (dialer, listener, one, two)
        proofs = [s.MAC(mesh, "link", role, *fields) for role in (b"\1", b"\2")]
        wrong = [(f"role {role}", s.MAC(mesh, "link", bytes([role]), *fields)) for role in (0, 2, 3)]
        wrong += [("another label", s.MAC(mesh, "admission", b"\1", *fields)), ("no role", s.MAC(mesh, "link", *fields)),
                  ("another order", s.MAC(mesh, "link", b"\1", listener, dialer, one, two)),
                  ("nonces in another order", s.MAC(mesh, "link", b"\1", dialer, listener, two, one)),
                  ("another room", s.MAC(self.raw(), "link", b"\1", *fields))]
        return {
            "mesh": mesh.hex(), "dialer": dialer.hex(), "listener": listener.hex(), "dialer_nonce": one.hex(),
            "listener_nonce": two.hex(), "dialer_proof": proofs[0].hex(), "listener_proof": proofs[1].hex(),
            "reject": [{"what": what, "role": "dialer", "proof": proof.hex()} for what, proof in wrong],
        }

    def direct(self):
        import reading

        epoch, leaf, ids = self.raw().hex(), self.raw(16).hex(), [self.raw().hex() for _ in range(5)]
        some = {"records": [self.members[0]["bytes"].hex()], "operations": [], "announcements": [self.announcement.hex()]}
        senders = [{"leaf": leaf, "next": 5, "extra": [7, 2**64 - 1]}, {"leaf": leaf, "next": 0, "extra": []}]

        def marks(*numbers):
            return {"epoch": epoch, **dict(zip(b.MARKS, numbers))}

        requests = [
            ("sync", {"records": [{"identity": ids[0], "seq": self.number(64)}], "operations": ids, "epochs": []}),
            ("compare", {"digest": ids[1]}), ("push", some), ("box", {"epoch": epoch, "leaf": leaf}),
            ("boxes", {"epoch": epoch, "skip": self.number(32)}), ("members", {"epoch": epoch}),
            ("frames", {"have": [{"epoch": epoch, "senders": senders}, {"epoch": ids[2], "senders": []}]}),
            ("receipt", {"marks": [marks(0, 0, 0, 0), marks(2**64 - 1, 8, 8, 8), marks(9, 8, 0, 7)]}), ("receipt", {"marks": []}),
            ("statements", {"frames": ids}), ("approval", {"identity": ids[0], "count": self.number(64), "hash": ids[1]}),
        ]
        member = {"leaf": leaf, "incarnation": self.number(32), "kem_hash": ids[3]}
        replies = [
            ("sync", {"bundle": some, "wants": {"records": ids, "operations": [], "epochs": ids[:1]}, "more": False}),
            ("compare", {"same": False}), ("done", {}), ("box", {"box": None}), ("box", {"box": self.boxes[0].hex()}),
            ("boxes", {"boxes": [each.hex() for each in self.boxes]}), ("members", {"members": [member]}), ("frames", {"frames": ["", "00"]}), ("noted", {}),
            ("statements", {"statements": [(self.raw(56) + lst([self.raw(40)] * parents) + self.raw(96)).hex() for parents in (0, 8)]}),
            ("approval", {"approval": None}), ("approval", {"approval": self.raw(96).hex()}),
        ]

        def vector(after, extra):
            return b"\7" + lst([b.vector(bytes(32), [(bytes(16), after, extra)])])

        def receipt(*numbers, times=1):
            return b"\x0b" + lst([b.mark(bytes(32), *numbers)] * times)

        def built(make, what, fields):
            return {"what": what, "fields": fields, "bytes": make(what, fields).hex()}

        return {
            "requests": [built(reading.make_request, *each) for each in requests],
            "replies": [built(reading.make_reply, *each) for each in replies],
            "reject_requests": [
                case("counters in another order", vector(1, [5, 4])), case("a counter twice", vector(1, [5, 5])),
                case("a counter that isn't extra", vector(5, [5])), case("too many counters", vector(0, list(range(1, B["MAX_EXTRA_COUNTERS"] + 2)))),
                case("too many epochs", b"\7" + lst([b.vector(bytes(32), [])] * (B["MAX_SYNC_EPOCHS"] + 1))),
                case("too many records", b"\1" + lst([bytes(40)] * (B["MAX_SYNC_ENTRIES"] + 1)) + lst([]) + lst([])),
                case("cut short", b"\4" + bytes(47)), case("a byte too many", b"\6" + bytes(33)), case("no such kind", b"\0"), case("no such kind", b"\x0d"), case("cut short", b"\x0c" + bytes(71)),
                case("more delivered than held", receipt(4, 5, 0, 0)), case("more read than delivered", receipt(9, 5, 0, 6)),
                case("read before it begins", receipt(9, 9, 7, 6)), case("too many marks", receipt(0, 0, 0, 0, times=B["MAX_SYNC_EPOCHS"] + 1)),
                case("too many statements", b"\x0a" + lst([bytes(32)] * (B["MAX_STATEMENTS"] + 1))),
            ],
            "reject_replies": [
                case("neither yes nor no", b"\2\2"), case("an option that is neither", b"\4\2"), case("a byte too many", b"\3\0"),
                case("a path that is too long", b"\4\1" + bytes(16) + lp(b"") + lst([bytes(32)] * (B["MAX_PATH"] + 1))),
                case("a box that is too long", b"\4\1" + bytes(16) + lp(bytes(1120 + B["MAX_BOX_PLAINTEXT"] + 17)) + lst([])),
                case("too many members", b"\6" + u32(B["MAX_MEMBERS"] + 1) + bytes(52 * (B["MAX_MEMBERS"] + 1))),
                case("an approval cut short", b"\x0c\1" + bytes(95)), case("a statement that is too long", b"\x0a" + lst([lp(bytes(56) + lst([bytes(40)] * (B["MAX_PARENTS"] + 1)) + bytes(96))])),
                case("a frame that is too long", b"\7" + lst([lp(bytes(B["MAX_GOSSIP_BYTES"] + 1))])),
            ],
        }

    def certificate(self):
        key, stranger, far = self.raw(), self.raw(), self.number(63)

        def made(rank, serial, seed=self.admin, room=self.room, **rest):
            return b.certificate(seed, room, s.public(key), rank, serial, far, **rest)

        def good(rank, serial):
            return {"rank": rank, "serial": serial, "expires_at_ms": far, "bytes": made(rank, serial).hex()}

        def request(what, **fields):
            token, plain = self.raw(), {name: value for name, value in fields.items() if name not in ("overrides", "least_serial")}
            wire = [*plain.values()] + ([bytes([fields["overrides"]])] if "overrides" in fields else [])
            wire += [fields["least_serial"].to_bytes(4, "big")]
            shown = {name: value.hex() for name, value in plain.items()} | {name: fields[name] for name in fields if name not in plain}
            return shown | {"what_kind": what, "token": token.hex(), "signature": b.certified(key, self.room, token, what, wire).hex()}

        def change(overrides, key_gen, least_serial):
            return request(1, registration=self.raw(16), upload=self.raw(192), generation=self.raw(40), capsule=self.raw(99),
                           key_gen=key_gen, overrides=overrides, least_serial=least_serial)

        def bad(what, *names, **rest):
            return case(what, b.listing(self.admin, self.room, *names, **rest))

        genuine, shown = made(1, 7), b.listing(self.admin, self.room, "räume", "open to all")
        other = s.sign(self.admin, "sign record", self.room, s.H("certificate", genuine[:-64]))
        return {
            "genesis_hash": self.room.hex(), "admin_seed": self.admin.hex(), "key_seed": key.hex(),
            "cases": [good(2, self.number(32)), good(1, 0)],
            "reject": [
                case("no such rank", made(0, 1)), case("no such rank", made(3, 1)), case("a later version", made(1, 1, version=2)),
                case("a stranger's", made(1, 1, seed=stranger)), case("another room's", genuine[:1] + self.raw() + genuine[33:]),
                case("signed as another object", genuine[:-64] + other), case("a byte too many", genuine + b"\0"),
            ],
            "requests": [
                change(False, self.raw(9), 0), change(True, b"", self.number(32)), request(2, generation=self.raw(40), capsule=b"", least_serial=0),
                request(2, generation=self.raw(40), capsule=self.raw(9), least_serial=self.number(32)),
            ],
            "listing": {
                "room_id": "räume", "description": "open to all", "bytes": shown.hex(),
                "reject": [
                    bad("a later version", "den", "", version=2), bad("no name", "", ""),
                    bad("a long name", "x" * 65, ""), bad("a control character", "den", "a\x9b"), bad("a long description", "den", "x" * 513),
                    case("a byte too many", shown + b"\0"), case("a stranger's", shown[:33] + s.public(stranger) + shown[65:]),
                ],
            },
        }

    def authority(self):
        """A kick by whoever the admin made one, of everybody but the issuer and a few."""
        author, removed, room_key, r = self.raw(), s.public(self.raw()), "another-" + self.raw(6).hex(), self.raw()
        role, role_hash = b.operation(self.room, self.admin, [], 1, s.public(author) + b"\2")
        psk, keys = s.generation_keys(room_key, r, self.handle, 1)
        commit = s.X(psk, "key commit")
        rekey = b.rekey(1, commit, self.entries)
        kick, digest = b.operation(self.room, author, [role_hash], 2, removed + rekey)
        gen, issuer, es = b.generation(1, digest), self.issuer, self.raw()
        leaves = [seeds["leaf_id"] for seeds in self.order]
        header = b"\2" + b.head(gen, self.day, 0, issuer["leaf_id"], [], self.entries)[1:]
        ctx, drawn = s.H("context", self.room, header), [self.raw(64) for _ in leaves]
        eks = [ek for ek, _ in self.kems]
        carry = b.new_key(room_key, r)

        def sealed(es=es, carry=carry, salt=bytes(32)):
            return [s.seal_box(salt, ctx, leaf, ek, es, each, carry) for leaf, ek, each in zip(leaves, eks, drawn)]

        def epoch(boxes, header=header, signer=issuer["leaf"]):
            commits = s.epoch_keys(psk, es, ctx)["commit"]
            return b.signed_epoch(self.room, header, self.entries, commits, leaves, boxes, signer)

        announced, boxes, _, epoch_id = epoch(sealed())
        whole = b.object_([role, kick], issuer["bytes"], announced, boxes)
        bob = self.order[-1]
        handed = [bob["leaf_id"], room_key, r]

        def hand(leaf, key, random, randomness, gen=gen):
            return b.handed(eks[-1], randomness, self.room, gen, leaf, key, random)

        randomness, approver, identity = self.raw(64), self.raw(), self.raw()
        good, nonce = hand(*handed, randomness), self.raw()
        approval = b.approval(approver, self.room, identity, gen)

        def unopened(what, data, commit=commit):
            return case(what, data) | {"key_commit": commit.hex()}

        return {
            "genesis": self.genesis.hex(), "room_key": room_key, "r": r.hex(), "psk": psk.hex(), "key_commit": commit.hex(),
            "topic": keys["topic"].hex(), "author_seed": author.hex(), "parents": [role_hash.hex()], "removed": removed.hex(),
            "count": 1, "operation": kick.hex(), "operation_hash": digest.hex(),
            "first_epoch": {
                "es": es.hex(), "issuer_leaf_seed": issuer["leaf"].hex(), "commit": s.epoch_keys(psk, es, ctx)["commit"].hex(),
                "epoch_id": epoch_id.hex(), "announcement": announced.hex(),
                "boxes": [
                    {"leaf_id": seeds["leaf_id"].hex(), "kem_seed": seeds["kem"].hex(), "encapsulation_randomness": each.hex(), "bytes": box.hex()}
                    for seeds, each, box in zip(self.order, drawn, boxes)
                ],
                "reject": [
                    case("of another operation", epoch(boxes, b"\2" + b.generation(1, self.raw()) + header[41:])[0]),
                    case("of another count", epoch(boxes, b"\2" + b.generation(2, digest) + header[41:])[0]),
                    case("signed by another", epoch(boxes, signer=self.raw())[0]), case("a later kind", epoch(boxes, b"\3" + header[1:])[0]),
                ],
                "reject_boxes": {"kem_seed": bob["kem"].hex(), "cases": [
                    unopened("another's", boxes[0]), unopened("not what the operation commits to", boxes[-1], self.raw()),
                    unopened("of another epoch", epoch(sealed(carry=NONE))[1][-1]), unopened("a byte too many", boxes[-1] + b"\0"),
                ]},
            },
            "object": {
                "before": [role.hex()], "issuer": issuer["bytes"].hex(), "bytes": whole.hex(),
                "reject": [
                    case("a later version", b.object_([role, kick], issuer["bytes"], announced, boxes, version=2)), case("a byte too many", whole + b"\0"),
                    case("entries that stand in the announcement", whole.replace(lp(announced) + b"\0", lp(announced) + b"\1" + lst(self.entries))),
                    case("too many operations", b.object_([role] * (B["MAX_LOG_OPERATIONS"] + 1), issuer["bytes"], announced, boxes)),
                ],
            },
            "hand_over": {
                "leaf": bob["bytes"].hex(), "leaf_id": bob["leaf_id"].hex(), "kem_seed": bob["kem"].hex(), "encapsulation_randomness": randomness.hex(),
                "bytes": good.hex(), "reject": [
                    unopened("for another leaf", hand(self.raw(16), room_key, r, self.raw(64))), unopened("another Room Key", hand(handed[0], "not this one", r, self.raw(64))),
                    unopened("another r", hand(handed[0], room_key, self.raw(), self.raw(64))), unopened("a Room Key that is too short", hand(handed[0], "1234", r, self.raw(64))),
                    unopened("of another generation", hand(*handed, self.raw(64), gen=self.gen)), unopened("not what the operation commits to", good, self.raw()),
                    unopened("cut short", good[:-1]),
                ],
            },
            "approval": {
                "approver_seed": approver.hex(), "identity": identity.hex(), "bytes": approval.hex(), "control": keys["control"].hex(),
                "message": b.control(keys["control"], 4, identity + gen + approval).hex(),
                "reject": [
                    case("for another", b.approval(approver, self.room, self.raw(), gen)), case("for another generation", b.approval(approver, self.room, identity, self.gen)),
                    case("of another room", b.approval(approver, self.raw(), identity, gen)), case("by another", s.public(self.raw()) + approval[32:]),
                    case("a byte too many", approval + b"\0"), case("cut short", approval[:-1]),
                ],
            },
            "link_hint": {"mesh": keys["mesh"].hex(), "dialer_nonce": nonce.hex(), "hint": s.MAC(keys["mesh"], "link hint", nonce)[:8].hex()},
        }

    def keeper(self):
        return keeping.make(self, case)

    def pair(self):
        """A first word and some turns, and bodies sealed with the right keys that are wrong all the same."""
        one, other = self.order[0], self.order[-1]
        identities = [s.public(seeds["identity"]) for seeds in (other, one)]
        name, psk, epochs, key = s.H("pair", self.room, *sorted(identities)), self.raw(), [], other["kem"]
        speaker, reader = one["leaf_id"], other["leaf_id"]
        for number in range(self.random.randint(2, 4)):
            epochs.append(self.pair_epoch(name, 1 if number == 0 else 2, speaker, reader, key, psk))
            key, speaker, reader = bytes.fromhex(epochs[-1]["answer_seed"]), reader, speaker
        return {"genesis_hash": self.room.hex(), "identities": [each.hex() for each in identities], "pair_hash": name.hex(), "epochs": epochs}

    def pair_epoch(self, name, form, speaker, reader, kem_seed, psk):
        es, answer, drawn, seq, parent = self.raw(), self.raw(), self.raw(64), self.number(63), self.raw()
        ek, answer_ek = s.xwing_expand(kem_seed)[2], s.xwing_expand(answer)[2]
        ctx, plain = s.pair_context(name, form, speaker, reader, ek), s.pair_inside(form, seq, es, psk, answer_ek)
        good = s.pair_box(ctx, form, reader, ek, drawn, psk, plain)
        snd = s.pair_snd(psk, es, ctx)
        one = u16(1) + lp(b.text("psst", None, 1))

        def body(padded, counter=0, at=None, box=good, tag=None, over=parent, snd=snd, leaf=speaker, kind=form):
            mk = s.chain_key(snd, leaf, counter if at is None else at)
            return s.seal_direct(kind, tag or s.pair_tag(psk, box), box, counter, self.raw(12), over, mk, padded)

        def bad(what, contents=(one,), padded=None, **changes):
            padded = s.pad(lst(list(contents))) if padded is None else padded
            return case(what, body(padded, **changes)) | {"speaker": speaker.hex(), "parent": parent.hex()}

        def boxed(inside, ctx=ctx, salt=psk, to=reader, form=form):
            return s.pair_box(ctx, form, to, ek, self.raw(64), salt, inside)

        def says(text, reply_to=None):
            return {"kind": 1, "text": text, "reply_to": reply_to, "sent_at_ms": self.number(63)}

        def message(number, said):
            reply = said["reply_to"] and bytes.fromhex(said["reply_to"])
            padded = s.pad(lst([u16(1) + lp(b.text(said["text"], reply, said["sent_at_ms"]))]))
            made = body(padded, number)
            return {"parent": parent.hex(), "counter": number, "nonce": made[len(good) + 11 : len(good) + 23].hex(), "says": said, "body": made.hex()}

        ones = (says("h\u00e9"), says("x" * B["MAX_TEXT_BYTES"], self.raw().hex()), says(""))
        messages = [message(number, said) for number, said in enumerate(ones[: self.random.randint(1, 3)])]
        assert s.open_direct(bytes.fromhex(bad("nothing")["bytes"]), name, form, speaker, reader, kem_seed, psk, parent, set())
        last = B["MAX_PAIR_MESSAGES"]
        worse = s.pair_inside(form, seq, es, psk, b"\xff" * 1216)
        again = bytes.fromhex(messages[0]["body"])
        return {
            "form": form, "speaker": speaker.hex(), "reader": reader.hex(), "kem_seed": kem_seed.hex(), "kem_hash": s.H("kem", ek).hex(),
            "psk": psk.hex(), "seq": seq, "es": es.hex(), "answer_seed": answer.hex(), "encapsulation_randomness": drawn.hex(),
            "ctx": ctx.hex(), "extracted": s.extract(psk, es).hex(), "snd": snd.hex(), "ck_0": s.X(snd, "sender", speaker).hex(),
            "box": good.hex(), "tag": s.pair_tag(psk, good).hex(), "messages": messages,
            "reject": [
                bad("two contents", [one, one]), bad("no contents", []), bad("a direct message within", [u16(5) + lp(again)]),
                bad("a text above its bound", [u16(1) + lp(b.text("x" * (B["MAX_TEXT_BYTES"] + 1), None, 1))]),
                bad("more padding than due", padded=s.pad(lst([one])) + bytes(256)), bad("bytes in the padding", padded=s.pad(lst([one]))[:-1] + b"\1"),
                bad("no padding", padded=lst([one])), bad("nothing at all", padded=b""),
                bad("a counter above what an epoch has", counter=last), bad("sealed with another counter's key", counter=3, at=4),
                bad("in another chain", leaf=reader), bad("of another secret", snd=s.pair_snd(psk, self.raw(), ctx)), bad("in another context", snd=s.pair_snd(psk, es, self.raw())),
                bad("for another epoch of the room", over=self.raw()), bad("a tag of another psk", tag=s.pair_tag(self.raw(), good)), bad("no tag", tag=bytes(8)),
                bad("a form that the box isn't of", kind=3 - form), bad("a later form", kind=3),
                bad("a box of a later version", box=boxed(b"\2" + plain[1:])), bad("a key in the box that is none", box=boxed(worse)),
                bad("a box for another leaf", box=boxed(plain, to=self.raw(16))), bad("a box of another context", box=boxed(plain, ctx=self.raw())),
                bad("a box with another salt", box=boxed(plain, salt=self.raw(), form=2)),
                case("read before", again) | {"speaker": speaker.hex(), "parent": parent.hex()},
                case("by another member", again) | {"speaker": self.raw(16).hex(), "parent": parent.hex()},
            ],
        }

    def vault(self):
        words, key, logs = "caf\u0301e " + self.raw(4).hex(), self.raw(), []
        for purpose, number in ((1, self.number(40)), (2, self.number(63))):
            logs.append({"purpose": purpose, "number": number, "key": self.raw().hex()})
        how = rest.stretching(self.random.choice((64, 128)), self.random.choice((1, 3)), self.random.choice((1, 2)), self.raw(16))
        slot = rest.make_slot(key, words, how, self.raw(24))
        open_slot = rest.make_slot(key, "", b"\0" + self.raw(16), self.raw(24))
        head, log = rest.make_head(slot, key, logs, self.raw(24)), bytes.fromhex(logs[-1]["key"])
        where, at, kept = (2, logs[-1]["number"], self.number(20)), self.number(48), self.raw(33)
        entries = [(b"kept", kept), (b"gone", None)]

        def chunk(last=1, key=log, where=where, **more):
            return rest.make_chunk(key, self.raw(24), last, at, entries, *where, **more)

        def bad_chunk(what, data, place=where[2]):
            return case(what, data) | {"place": place}

        def bad_slot(what, how):
            return case(what, rest.make_head(b"\1" + how + slot[30:], key, logs, self.raw(24)))

        seeds, room_key, server = self.members[0], "correct horse", "http://pub.example"
        generation = {"count": self.number(63), "hash": self.raw().hex()}
        wire = b.generation(generation["count"], bytes.fromhex(generation["hash"]))

        def membership(server=server, room_id="den", genesis=self.genesis, name="älice", key=room_key, **more):
            return rest.make_membership(server, room_id, genesis, name, [(wire, self.r, key)], **more)

        own = rest.make_own(9, seeds["leaf"], seeds["kem"], [self.members[1]["kem"]])
        export = rest.make_export(slot, key, seeds["identity"], self.raw(24))
        return {
            "passphrase": words,
            "head": {
                "vault_key": key.hex(), "logs": logs, "bytes": head.hex(),
                "without_passphrase": rest.make_head(open_slot, key, logs[:1], self.raw(24)).hex(),
                "reject": [
                    case("a later version within", rest.make_head(slot, key, logs, self.raw(24), version=2)),
                    case("a byte too many within", rest.make_head(slot, key, logs, self.raw(24), more=b"\0")),
                    case("a log less than there are", rest.make_head(slot, key, [], self.raw(24), more=b"\0")),
                    case("another passphrase", rest.make_head(rest.make_slot(key, "other", how, self.raw(24)), key, logs, self.raw(24))),
                    case("another vault key", rest.make_head(slot, self.raw(), logs, self.raw(24))),
                    bad_slot("more than a GiB", rest.stretching((1 << 20) + 1, 1, 1, self.raw(16))),
                    bad_slot("33 passes", rest.stretching(64, 33, 1, self.raw(16))), bad_slot("17 lanes", rest.stretching(1024, 1, 17, self.raw(16))),
                    bad_slot("no pass", rest.stretching(64, 0, 1, self.raw(16))), case("an identity", export),
                ],
            },
            "chunk": {
                "purpose": where[0], "number": where[1], "place": where[2], "at": at, "last": True, "kept": kept.hex(), "bytes": chunk().hex(),
                "reject": [
                    bad_chunk("neither the last nor not", chunk(last=2)), bad_chunk("a later version", chunk(version=2)),
                    bad_chunk("of another log", chunk(where=(2, where[1] + 1, where[2]))), bad_chunk("of another purpose", chunk(where=(1, *where[1:]))),
                    bad_chunk("of another place", chunk(), where[2] + 1), bad_chunk("under another key", chunk(key=self.raw())),
                ],
            },
            "export": {"seed": seeds["identity"].hex(), "bytes": export.hex(), "reject": [
                case("a later version within", rest.make_export(slot, key, seeds["identity"], self.raw(24), version=2)),
                case("a vault", head), case("another key", rest.make_export(slot, self.raw(), seeds["identity"], self.raw(24))),
            ]},
            "own": {
                "incarnation": 9, "leaf_seed": seeds["leaf"].hex(), "kem_seed": seeds["kem"].hex(), "old_kem_seed": self.members[1]["kem"].hex(),
                "bytes": own.hex(), "reject": [case("a later version", b"\2" + own[1:]), case("a byte too many", own + b"\0")],
            },
            "membership": {
                "server": server, "room_id": "den", "genesis": self.genesis.hex(), "name": "älice", "generation": generation,
                "random": self.r.hex(), "room_key": room_key, "bytes": membership().hex(),
                "reject": [
                    case("a later version", membership(version=2)), case("a damaged genesis", membership(genesis=self.genesis[:-1])),
                    case("a short room key", membership(key="1234")), case("a byte too many", membership() + b"\0"),
                ],
            },
        }

    def labels(self):
        key, one, two = self.raw(), self.raw(5), self.raw(0)
        how = {"Hash": lambda label: s.H(label, one, two).hex(), "Key": lambda label: s.X(key, label, one, two).hex(),
               "Mac": lambda label: s.MAC(key, label, one, two).hex(), "Signature": lambda _: None}
        rows = [{"label": label, "use": use, "fields": fields, "output": how[use](label)} for label, (use, fields) in s.LABELS.items()]
        return {"key": key.hex(), "one": one.hex(), "two": two.hex(), "labels": rows}

    def bounds(self):
        rows = [(name.strip("`"), int(value), unit) for name, value, unit, *_ in s.table("bounds")]
        return {"bounds": [{"name": name, "value": value, "unit": unit} for name, value, unit in rows]}

    def files(self):
        made = {name: getattr(self, name)() for name in ("names", "generation", "capsule", "invite", "safety", "operation", "control", "epoch", "frame", "pair")}
        made |= {name: getattr(self, name)() for name in ("padding", "presence", "link", "direct", "certificate", "authority", "keeper", "vault", "labels", "bounds")}
        return made | {"genesis": self.genesis_(), "leaf": self.leaf_()}


def case(what, data):
    return {"what": what, "bytes": data.hex()}


def main():
    folder, seed = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbits(32)
    folder.mkdir(parents=True, exist_ok=True)
    for name, vectors in Maker(seed).files().items():
        (folder / f"{name}.json").write_text(json.dumps(vectors, indent=1, ensure_ascii=False))
    print(f"seed {seed}")


if __name__ == "__main__":
    main()
