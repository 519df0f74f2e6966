"""Keepers, from docs/PROTOCOL.md, "Keepers": made, opened, and held against vectors."""

import building as b
import snug1 as s
from snug1 import B, lp, lst, u64

SEALED = 1120 + 64 + 16
MOST_OF_GRANT = 185 + SEALED + 1 + 142 + 64
MOST_OF_OBJECT = B["MAX_OBJECT_BYTES"] + 41


def offer_text(vk, ek, addresses, version=1):
    return s.bech32m_text("snugoffer", bytes([version]) + vk + ek + lst([lp(address.encode()) for address in addresses]))


def offer(text):
    r = s.Reader(s.bech32m_bytes("snugoffer", text))
    s.check(r.number(1) == 1, "version")
    vk, ek = r.raw(32), r.raw(1216)
    s.check(s.kem_is_canonical(ek), "key")
    addresses = r.list(B["MAX_ADDRESSES"], lambda: r.text(B["MAX_ADDRESS_BYTES"]))
    r.end()
    return vk, ek, addresses


def invite_text(admin_vk, granted, version=1):
    return s.bech32m_text("snugkeep", bytes([version]) + admin_vk + lp(granted))


def invite(text):
    r = s.Reader(s.bech32m_bytes("snugkeep", text))
    s.check(r.number(1) == 1, "version")
    admin_vk, granted = r.raw(32), r.lp(MOST_OF_GRANT)
    r.end()
    fields(granted)
    return admin_vk, granted


def make_grant(room, vk, ek, randomness, gen, before, at, topic, keep, signer, certificate=None, sealed_object=b"", version=1):
    ct, ss = s.xwing_encapsulate(ek, randomness)
    key = s.X(s.extract(bytes(32), ss), "keeper", room, gen, vk)
    digest = s.H("kept object", sealed_object) if sealed_object else bytes(32)
    body = bytes([version]) + room + vk + gen + before + u64(at) + digest
    body += ct + s.cseal(key, bytes(12), b"", topic + keep) + s.option(certificate)
    return body + s.sign(signer, "sign grant", room, s.H("grant", body))


def fields(data):
    r = s.Reader(data)
    s.check(r.number(1) == 1, "version")
    names = (("room", 32), ("vk", 32), ("gen", 40), ("before", 40), ("at", 8), ("object", 32), ("sealed", SEALED))
    found = {name: r.raw(size) for name, size in names}
    found["certificate"] = r.option(lambda: r.raw(142))
    found["body"] = data[: r.at]
    found["signature"] = r.raw(64)
    r.end()
    return found


def grant(data, vk, kem_seed, admin_vk, room, now):
    f = fields(data)
    s.check(f["room"] == room and f["vk"] == vk, "for another keeper")
    signer = admin_vk
    if f["certificate"] is not None:
        s.certificate(f["certificate"], admin_vk)
        s.check(f["certificate"][1:33] == room, "another room's certificate")
        s.check(int.from_bytes(f["certificate"][70:78], "big") > now, "expired")
        signer = f["certificate"][33:65]
    s.verify(signer, "sign grant", room, s.H("grant", f["body"]), f["signature"])
    key = s.X(s.extract(bytes(32), s.xwing_decapsulate(kem_seed, f["sealed"][:1120])), "keeper", room, f["gen"], vk)
    plain = s.copen(key, bytes(12), b"", f["sealed"][1120:])
    return f, plain[:32], plain[32:]


def sealed_object(key, data):
    return s.open_object(key, 10, data, MOST_OF_OBJECT)


def items(r, most):
    return r.list(most, lambda: r.lp(B["MAX_GOSSIP_BYTES"]))


def request(data):
    s.check(len(data) <= B["MAX_DIRECT_BYTES"], "too long")
    r = s.Reader(data)
    kind = r.number(1)
    if kind == 16:
        items(r, B["MAX_DEPOSIT"])
    elif kind == 17:
        r.raw(16)
    elif kind == 18:
        r.list(B["MAX_FETCH"], lambda: r.raw(16))
    elif kind == 19:
        r.raw(40)
        r.option(lambda: (r.lp(MOST_OF_GRANT), r.option(lambda: r.lp(MOST_OF_OBJECT))))
    else:
        raise s.Refused("kind")
    r.end()


def reply(data):
    s.check(len(data) <= B["MAX_DIRECT_BYTES"], "too long")
    r = s.Reader(data)
    kind = r.number(1)
    if kind == 17:
        r.raw(8)
        r.list(B["MAX_HOLDINGS"], lambda: r.raw(24))
        r.raw(8)
        r.flag()
    elif kind == 18:
        items(r, B["MAX_FETCH"])
    elif kind == 19:
        r.option(lambda: r.lp(MOST_OF_OBJECT))
    else:
        s.check(kind == 16, "kind")
    r.end()


def make_request(what, f, un, uns):
    if what == "generation":
        handed = None
        if f["grant"] is not None:
            handed = lp(un(f["grant"])) + s.option(None if f["object"] is None else lp(un(f["object"])))
        return b"\x13" + b.generation(f["count"], un(f["hash"])) + s.option(handed)
    made = {
        "deposit": lambda: b"\x10" + lst([lp(each) for each in uns(f["items"])]),
        "holdings": lambda: b"\x11" + un(f["store"]) + u64(f["after"]),
        "fetch": lambda: b"\x12" + lst(uns(f["names"])),
    }
    return made[what]()


def make_reply(what, f, un, uns):
    def holdings():
        kept = lst([un(each["tag"]) + un(each["name"]) for each in f["items"]])
        return b"\x11" + un(f["store"]) + kept + u64(f["next"]) + bytes([f["more"]])

    made = {
        "kept": lambda: b"\x10",
        "holdings": holdings,
        "items": lambda: b"\x12" + lst([lp(each) for each in uns(f["items"])]),
        "generation": lambda: b"\x13" + s.option(None if f["object"] is None else lp(un(f["object"]))),
    }
    return made[what]()


def hold(v, _, same, refused, un, uns):
    room, admin, leaf, kem = (un(v[name]) for name in ("genesis_hash", "admin_seed", "leaf_seed", "kem_seed"))
    vk, ek = s.public(un(v["transport_seed"])), s.xwing_expand(kem)[2]
    gen, before = (b.generation(v[name]["count"], un(v[name]["hash"])) for name in ("generation", "before"))
    topic, keep, one = un(v["topic"]), un(v["keep"]), v["offer"]
    same("offer", offer_text(vk, ek, one["addresses"]), one["text"])
    same("offer", offer(one["text"]), (vk, ek, one["addresses"]))
    refused("offer", one["reject"], lambda case: offer(case["text"]))
    for case in v["grants"]:
        certificate, held = case["certificate"] and un(case["certificate"]), un(case["object"])
        signer = {"admin": admin, "moderator": leaf}[case["by"]]
        drawn = un(case["encapsulation_randomness"])
        made = make_grant(room, vk, ek, drawn, gen, before, case["at"], topic, keep, signer, certificate, held)
        same("grant", made, case["bytes"])
        _, *keys = grant(made, vk, kem, s.public(admin), room, case["at"])
        same("what it grants", keys, [topic, keep])
    refused("grant", v["reject_grants"], lambda case: grant(un(case["bytes"]), vk, kem, s.public(admin), room, case["now"]))
    one = v["invite"]
    same("invite", invite_text(s.public(admin), un(v["grants"][0]["bytes"])), one["text"])
    same("invite", invite(one["text"]), (s.public(admin), un(v["grants"][0]["bytes"])))
    refused("invite", one["reject"], lambda case: invite(case["text"]))
    one, control = v["object"], un(v["control"])
    same("object", sealed_object(control, un(one["bytes"])), one["plain"])
    refused("object", one["reject"], lambda case: sealed_object(control, un(case["bytes"])))
    same("name", s.H("kept item", un(v["item"]["bytes"]))[:16], v["item"]["name"])
    for case in v["requests"]:
        same(case["what"], make_request(case["what"], case["fields"], un, uns), case["bytes"])
        request(un(case["bytes"]))
    for case in v["replies"]:
        same(case["what"], make_reply(case["what"], case["fields"], un, uns), case["bytes"])
        reply(un(case["bytes"]))
    refused("request", v["reject_requests"], lambda case: request(un(case["bytes"])))
    refused("reply", v["reject_replies"], lambda case: reply(un(case["bytes"])))


def make(m, case):
    """The file of a Maker's room."""
    names = ("transport", "kem", "leaf")
    seeds = {name: m.raw() for name in names}
    vk, ek = s.public(seeds["transport"]), s.xwing_expand(seeds["kem"])[2]
    before, addresses, held = b.generation(m.number(40), m.raw()), ["/ip4/192.0.2.9/tcp/7"], m.raw(99)
    sealed = s.seal_object(m.keys["control"], 10, m.raw(24), held)
    certificate = b.certificate(m.admin, m.room, s.public(seeds["leaf"]), 1, 0, 2**41)

    def granted(by="admin", **changes):
        values = {"room": m.room, "vk": vk, "ek": ek, "randomness": m.raw(64), "gen": m.gen, "before": before, "at": m.number(40)}
        values |= {"topic": m.keys["topic"], "keep": m.keys["keep"], "signer": m.admin, "certificate": None, "sealed_object": b""}
        if by == "moderator":
            values |= {"signer": seeds["leaf"], "certificate": certificate, "sealed_object": sealed}
        return values | changes

    def good(by):
        f = granted(by)
        return {"by": by, "at": f["at"], "object": f["sealed_object"].hex(), "certificate": f["certificate"] and f["certificate"].hex(),
                "encapsulation_randomness": f["randomness"].hex(), "bytes": make_grant(**f).hex()}

    def bad(what, by="admin", more=b"", now=5, **changes):
        return case(what, make_grant(**granted(by, **changes)) + more) | {"now": now}

    def of(what, make_it, fields, un=bytes.fromhex):
        return {"what": what, "fields": fields, "bytes": make_it(what, fields, un, lambda texts: [un(text) for text in texts]).hex()}

    grants = [good("admin"), good("moderator")]
    stranger = b.certificate(m.raw(), m.room, s.public(seeds["leaf"]), 1, 0, 2**41)
    elsewhere = b.certificate(m.admin, m.raw(), s.public(seeds["leaf"]), 1, 0, 2**41)
    text, grant_bytes = offer_text(vk, ek, addresses), bytes.fromhex(grants[0]["bytes"])
    item, nothing = m.raw(70), {"count": 3, "hash": m.raw().hex(), "grant": None, "object": None}
    return {
        "genesis_hash": m.room.hex(), "admin_seed": m.admin.hex(), "leaf_seed": seeds["leaf"].hex(), "transport_seed": seeds["transport"].hex(),
        "kem_seed": seeds["kem"].hex(), "generation": {"count": 0, "hash": m.room.hex()},
        "before": {"count": int.from_bytes(before[:8], "big"), "hash": before[8:].hex()},
        "topic": m.keys["topic"].hex(), "keep": m.keys["keep"].hex(), "control": m.keys["control"].hex(),
        "offer": {"addresses": addresses, "text": text, "reject": [
            {"what": "a later version", "text": offer_text(vk, ek, addresses, version=2)},
            {"what": "too many addresses", "text": offer_text(vk, ek, addresses * 17)},
            {"what": "an address that is too long", "text": offer_text(vk, ek, ["x" * 257])},
            {"what": "a KEM key that is none", "text": offer_text(vk, b"\xff" * 1216, addresses)},
            {"what": "an invite", "text": s.invite_text(b"\1")},
        ]},
        "grants": grants,
        "reject_grants": [
            bad("signed by another", signer=m.raw()), bad("for another keeper", vk=m.raw()), bad("of another room", room=m.raw()),
            bad("sealed to another key", ek=s.xwing_expand(m.raw())[2]), bad("a later version", version=2), bad("a byte too many", more=b"\0"),
            bad("with another's word", "moderator", certificate=stranger), bad("with another room's word", "moderator", certificate=elsewhere),
            bad("not the holder's", "moderator", signer=m.raw()), bad("the admin's in a moderator's name", "moderator", signer=m.admin),
            bad("with a word that has expired", "moderator", now=2**41), bad("an unknown rank", "moderator", certificate=certificate[:65] + b"\3" + certificate[66:]),
        ],
        "invite": {"text": invite_text(s.public(m.admin), grant_bytes), "reject": [
            {"what": "a later version", "text": invite_text(s.public(m.admin), grant_bytes, version=2)},
            {"what": "a grant cut short", "text": invite_text(s.public(m.admin), grant_bytes[:-1])}, {"what": "an offer", "text": text},
        ]},
        "object": {"plain": held.hex(), "bytes": sealed.hex(), "reject": [
            case("under another key", s.seal_object(m.raw(), 10, m.raw(24), held)), case("another kind", s.seal_object(m.keys["control"], 2, m.raw(24), held)),
        ]},
        "item": {"bytes": item.hex(), "name": s.H("kept item", item)[:16].hex()},
        "requests": [
            of("deposit", make_request, {"items": [item.hex()] * 3}), of("fetch", make_request, {"names": [m.raw(16).hex()]}),
            of("holdings", make_request, {"store": m.raw(8).hex(), "after": m.number(60)}), of("generation", make_request, nothing),
            of("generation", make_request, nothing | {"grant": grants[1]["bytes"], "object": sealed.hex()}),
        ],
        "replies": [
            of("kept", make_reply, {}), of("items", make_reply, {"items": []}), of("generation", make_reply, {"object": sealed.hex()}),
            of("holdings", make_reply, {"store": m.raw(8).hex(), "next": m.number(60), "more": False, "items": [
                {"tag": m.raw(8).hex(), "name": m.raw(16).hex()} for _ in range(5)]}),
        ],
        "reject_requests": [
            case("too many items", b"\x10" + lst([lp(b"")] * (B["MAX_DEPOSIT"] + 1))), case("too many names", b"\x12" + lst([bytes(16)] * (B["MAX_FETCH"] + 1))),
            case("an unknown kind", b"\x14"), case("an object that is too large", b"\x13" + bytes(40) + b"\1" + lp(b"") + b"\1" + lp(bytes(MOST_OF_OBJECT + 1))),
        ],
        "reject_replies": [
            case("too many items", b"\x11" + bytes(8) + lst([bytes(24)] * (B["MAX_HOLDINGS"] + 1)) + bytes(9)),
            case("an object that is too large", b"\x13\1" + lp(bytes(MOST_OF_OBJECT + 1))), case("an item that is too large", b"\x12" + lst([lp(bytes(32769))])),
        ],
    }
