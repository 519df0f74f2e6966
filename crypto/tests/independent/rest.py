"""What rests on a member's disk (docs/PROTOCOL.md, "At rest"): read, and made."""

import functools
import unicodedata

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

import snug1 as s
from snug1 import check, lp, lst, u32, u64

VAULT, IDENTITY = b"snug vault", b"snug identity"


@functools.lru_cache(maxsize=64)
def argon2id(passphrase, salt, kib, passes, lanes):
    secret = unicodedata.normalize("NFC", passphrase).encode()
    return Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=kib).derive(secret)


def stretching(kib, passes, lanes, salt):
    return b"\1" + u32(kib) + u32(passes) + u32(lanes) + salt


def read_slot(r, passphrase):
    """The key in it."""
    check(r.number(1) == 1, "version")
    start = r.at
    if r.flag():
        kib, passes, lanes, salt = r.number(4), r.number(4), r.number(4), r.raw(16)
        check(kib <= 1 << 20 and 1 <= passes <= 32 and 1 <= lanes <= 16 and kib >= 8 * lanes, "stretching")
        check(passphrase, "a passphrase is needed")
        stretched = argon2id(passphrase, salt, kib, passes, lanes)
    else:
        r.raw(16)
        stretched = bytes(32)
    key = s.X(stretched, "vault wrap", r.data[start : r.at])
    opened = s.open_object(key, 6, r.raw(41 + 32), 41 + 32)
    check(len(opened) == 32, "vault key")
    return opened


def make_slot(key, passphrase, how, nonce):
    stretched = argon2id(passphrase, how[-16:], *(int.from_bytes(how[at : at + 4], "big") for at in (1, 5, 9))) if how[0] else bytes(32)
    return b"\1" + how + s.seal_object(s.X(stretched, "vault wrap", how), 6, nonce, key)


def head(data, passphrase):
    check(data.startswith(VAULT), "mark")
    r = s.Reader(data[len(VAULT) :])
    key = read_slot(r, passphrase)
    r = s.Reader(s.open_object(s.X(key, "vault head"), 7, r.rest(), 1 << 20))
    check(r.number(1) == 1, "version")
    logs = r.list(1 << 16, lambda: {"purpose": r.number(1), "number": r.number(8), "key": r.raw(32).hex()})
    r.end()
    return key, logs


def make_head(slot, key, logs, nonce, version=1, more=b""):
    rows = [bytes([log["purpose"]]) + u64(log["number"]) + bytes.fromhex(log["key"]) for log in logs]
    return VAULT + slot + s.seal_object(s.X(key, "vault head"), 7, nonce, bytes([version]) + lst(rows) + more)


def associated(purpose, number, place):
    return b"\x08" + bytes([purpose]) + u64(number) + u64(place)


def chunk(key, data, *where):
    check(len(data) >= 41 and data[0] == 8, "chunk")
    r = s.Reader(s.xopen(key, data[1:25], associated(*where), data[25:]))
    check(r.number(1) == 1, "version")
    found = {"last": r.flag(), "at": r.number(8)}
    found["entries"] = r.list(1 << 20, lambda: (r.lp(1 << 24), r.option(lambda: r.lp(1 << 24))))
    r.end()
    return found


def make_chunk(key, nonce, last, at, entries, *where, version=1):
    text = bytes([version, last]) + u64(at) + lst([lp(name) + s.option(value if value is None else lp(value)) for name, value in entries])
    return b"\x08" + nonce + s.xseal(key, nonce, associated(*where), text)


def export(data, passphrase):
    check(data.startswith(IDENTITY), "mark")
    r = s.Reader(data[len(IDENTITY) :])
    key = s.X(read_slot(r, passphrase), "identity export")
    r = s.Reader(s.open_object(key, 9, r.rest(), 41 + 33))
    check(r.number(1) == 1, "version")
    seed = r.raw(32)
    r.end()
    return seed


def make_export(slot, key, seed, nonce, version=1):
    return IDENTITY + slot + s.seal_object(s.X(key, "identity export"), 9, nonce, bytes([version]) + seed)


def make_own(incarnation, leaf, kem, older, version=1):
    return bytes([version]) + u32(incarnation) + leaf + kem + lst(older)


def own(data):
    r = s.Reader(data)
    check(r.number(1) == 1, "version")
    r.raw(4 + 64)
    r.list(1 << 16, lambda: r.raw(32))
    r.end()


def make_membership(server, room_id, genesis, name, generations, version=1):
    rows = [gen + random + lp(key.encode()) for gen, random, key in generations]
    return bytes([version]) + s.option(server and lp(server.encode())) + lp(room_id.encode(), genesis, name.encode()) + lst(rows)


def membership(data):
    r = s.Reader(data)
    check(r.number(1) == 1, "version")
    r.option(lambda: r.text(512))
    name, room = r.text(256), s.genesis(r.lp(4096))
    check(room["room_id"] == name, "room id")
    check(s.is_name(r.text(256)), "name")
    r.list(1 << 16, lambda: (r.raw(40 + 32), check(s.room_key_holds(r.text(1024)), "room key")))
    r.end()
