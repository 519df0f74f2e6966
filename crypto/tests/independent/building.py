"""Makes snug/1's objects from their values, as docs/PROTOCOL.md writes them down: the other direction of snug1.py."""

import snug1 as s
from snug1 import lp, lst, u16, u32, u64

NONE = u32(0)  # no extensions


def generation(count, digest):
    return u64(count) + digest


def genesis(seed, room_id, description, created_at, p, extensions=NONE):
    policy = u16(p["max_participants"]) + bytes([p["listed"]]) + u32(p["retention_s"])
    policy += bytes([p["history"], p["approval"]]) + u32(p["grace_s"])
    body = b"\1" + lp(room_id.encode(), description.encode()) + u64(created_at) + policy + s.public(seed) + extensions
    digest = s.H("genesis", body)
    return body + s.sign(seed, "sign genesis", digest, digest), digest


def capsule(genesis_bytes, gen, r, log, extensions=NONE):
    return lp(genesis_bytes) + gen + r + lst([lp(operation) for operation in log]) + extensions


def admin_capsule(seed, genesis_bytes, extensions=NONE):
    return seed + lp(genesis_bytes) + extensions


def founding(genesis_bytes):
    """The extension of an invite that holds the genesis."""
    return lst([u16(1) + lp(genesis_bytes)])


def invite(server, room_id, room_key, genesis_hash, serverless, addresses, extensions=NONE, version=1):
    data = bytes([version]) + s.option(server and lp(server.encode())) + lp(room_id.encode(), room_key.encode())
    data += genesis_hash + s.option(serverless) + lst([lp(address.encode()) for address in addresses]) + extensions
    return s.invite_text(data)


def leaf(room, join, seeds, name, seq, incarnation, expires_at, gen, extensions=NONE):
    """`seeds` has those of identity, transport, leaf and kem."""
    identity, peer, key = (s.public(seeds[each]) for each in ("identity", "transport", "leaf"))
    data = b"\1" + identity + key + s.xwing_expand(seeds["kem"])[2] + peer
    data += s.sign(seeds["transport"], "sign peer", room, s.H("peer", room, identity, peer))
    data += lp(name.encode()) + u64(seq) + u32(incarnation) + u64(expires_at) + gen + extensions
    data += s.MAC(join, "admission", room, data)
    return data + s.sign(seeds["identity"], "sign record", room, s.H("record", room, data))


def leave(room, seed, seq, incarnation):
    data = b"\2" + s.public(seed) + u64(seq) + u32(incarnation)
    return data + s.sign(seed, "sign record", room, s.H("record", room, data))


def leaf_id(room, identity, key, incarnation):
    return s.H("leaf", room, identity, key, u32(incarnation))[:16]


def operation(room, seed, parents, kind, what, version=1):
    body = bytes([version]) + s.public(seed) + lst(parents) + u16(kind) + lp(what)
    digest = s.H("operation", room, body)
    return body + s.sign(seed, "sign operation", room, digest), digest


def tombstone(seed, room, handle):
    return handle + room + s.sign(seed, "sign tombstone", room, s.H("tombstone", handle, room))


def certificate(seed, room, key, rank, serial, expires_at, version=1):
    body = bytes([version]) + room + key + bytes([rank]) + u32(serial) + u64(expires_at)
    return body + s.sign(seed, "sign certificate", room, s.H("certificate", body))


def certified(seed, room, token, what, fields):
    return s.sign(seed, "sign request", room, s.H("request", bytes([what]), token, *fields))


def listing(seed, room, room_id, description, version=1):
    body = bytes([version]) + room + s.public(seed) + lp(room_id.encode(), description.encode())
    return body + s.sign(seed, "sign listing", room, s.H("listing", body))


def control(key, kind, body):
    plain = bytes([kind]) + body
    return s.seal_object(key, 2, s.MAC(key, "control nonce", plain)[:24], plain)


def entry(leaf, incarnation, ek):
    return leaf + u32(incarnation) + s.H("kem", ek)


def head(gen, day, counter, issuer, custodians, entries, extensions=NONE):
    data = b"\1" + gen + u32(day) + u32(counter) + issuer + lst(sorted(custodians))
    return data + s.H("members", b"".join(entries)) + u32(len(entries)) + extensions


def epoch(room, psk, es, header, entries, kems, issuer_seed):
    """`kems`: for each member in order, its encapsulation key and 64 random bytes. Gives announcement, boxes, ctx, id."""
    ctx = s.H("context", room, header)
    keys = s.epoch_keys(psk, es, ctx)
    leaves = [each[:16] for each in entries]
    sealed = [s.seal_box(psk, ctx, leaf, ek, es, drawn) for leaf, (ek, drawn) in zip(leaves, kems)]
    return signed_epoch(room, header, entries, keys["commit"], leaves, sealed, issuer_seed)


def signed_epoch(room, header, entries, commit, leaves, sealed, issuer_seed):
    """The same with boxes that were sealed before, honestly or not."""
    ctx = s.H("context", room, header)
    root, paths = s.tree([s.H("box leaf", leaf, box) for leaf, box in zip(leaves, sealed)])
    boxes = [leaf + lp(box) + lst(path) for leaf, box, path in zip(leaves, sealed, paths)]
    epoch_id = s.H("epoch", ctx, commit)
    signature = s.sign(issuer_seed, "sign announcement", room, s.H("announcement", epoch_id, root))
    announcement = header + commit + root + signature + s.option(lst(entries))
    return announcement, boxes, ctx, epoch_id


def text(said, reply_to, sent_at):
    return lp(said.encode()) + s.option(reply_to) + u64(sent_at)


def rekey(count, commit, entries):
    return u64(count) + commit + s.H("members", b"".join(entries)) + u32(len(entries))


def new_key(room_key, r):
    """The extensions of a box of a new generation."""
    return lst([u16(1) + lp(lp(room_key.encode()) + r)])


def object_(log, issuer, announcement, boxes, version=1):
    """With at most 256 members: then the entries stand in the announcement."""
    return bytes([version]) + lst([lp(each) for each in log]) + lp(issuer, announcement) + s.option(None) + lst(boxes)


def handed(ek, randomness, room, gen, leaf, room_key, r):
    ct, ss = s.xwing_encapsulate(ek, randomness)
    key = s.X(s.extract(bytes(32), ss), "hand over", room, gen, leaf)
    return ct + s.cseal(key, bytes(12), b"", lp(room_key.encode()) + r)


def approval(seed, room, identity, gen):
    return s.public(seed) + s.sign(seed, "sign approval", room, s.H("approval", identity, gen))


def presence(peer, at, addresses):
    return peer + u64(at) + lst([lp(address.encode()) for address in addresses])


def bundle(records, operations, announcements):
    return b"".join(lst([lp(item) for item in items]) for items in (records, operations, announcements))


def vector(epoch_id, senders):
    return epoch_id + lst([leaf + u64(after) + lst([u64(each) for each in extra]) for leaf, after, extra in senders])


MARKS = ("held", "delivered", "read_from", "read")


def mark(epoch_id, *numbers):
    return epoch_id + b"".join(map(u64, numbers))
