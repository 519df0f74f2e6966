"""snug/1 once more, written from docs/PROTOCOL.md alone: slow, without secrets' care, for checking test vectors only."""

import functools
import hashlib
import hmac
import struct
import unicodedata
from pathlib import Path

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from kyber_py.ml_kem import ML_KEM_768


class Refused(Exception):
    """The bytes are not what they claim to be."""


def check(condition, what):
    if not condition:
        raise Refused(what)


# The document's tables

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "PROTOCOL.md").read_text()


def table(name):
    """The rows of one of the document's marked tables, as lists of cells."""
    text = DOCUMENT.split(f"<!-- {name} begin -->")[1].split(f"<!-- {name} end -->")[0]
    rows = [row for row in text.splitlines() if row.startswith("|")][2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


B = {name.strip("`"): int(value) for name, value, *_ in table("bounds")}
LABELS = {name.strip("`"): (use, fields) for name, use, fields in table("labels")}

# Notation

PREFIX = b"snug/1 "


def label_bytes(label):
    check(label in LABELS, f"a label that the document doesn't know: {label}")
    return label.encode()


def lp(*fields):
    return b"".join(struct.pack(">I", len(field)) + field for field in fields)


def H(label, *fields):
    return hashlib.sha256(PREFIX + label_bytes(label) + lp(*fields)).digest()


def mac_raw(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def extract(salt, ikm):
    return mac_raw(salt, ikm)


def X(key, label, *fields):
    return mac_raw(key, PREFIX + label_bytes(label) + b"\0" + lp(*fields) + b"\1")


def MAC(key, label, *fields):
    return mac_raw(key, PREFIX + label_bytes(label) + b"\0" + lp(*fields))


def signed(label, genesis_hash, digest):
    return PREFIX + label_bytes(label) + b"\0" + genesis_hash + digest


def sign(seed, label, genesis_hash, digest):
    return Ed25519PrivateKey.from_private_bytes(seed).sign(signed(label, genesis_hash, digest))


def public(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


# Ed25519's field and curve, for what a library's own verification lets pass

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


@functools.lru_cache(maxsize=4096)
def point(encoded):
    """The affine point of an encoding that is canonical, else None (RFC 8032, 5.1.3)."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == -u % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if v * x * x % P != u or (x == 0 and sign):
        return None
    return (P - x if x % 2 != sign else x), y


@functools.lru_cache(maxsize=4096)
def is_key(encoded):
    """Whether this is the canonical encoding of a point that eight doublings' order doesn't kill."""
    at = point(encoded)
    if at is None:
        return False
    x, y = at
    for _ in range(3):
        k = D * x * x * y * y % P
        x, y = 2 * x * y * pow(1 + k, -1, P) % P, (y * y + x * x) * pow(1 - k, -1, P) % P
    return (x, y) != (0, 1)


def verify(key, label, genesis_hash, digest, signature):
    check(is_key(key) and is_key(signature[:32]), "a point that strict verification refuses")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed(label, genesis_hash, digest))
    except (InvalidSignature, ValueError) as error:
        raise Refused("signature") from error


u16 = struct.Struct(">H").pack
u32 = struct.Struct(">I").pack
u64 = struct.Struct(">Q").pack


def lst(items):
    return u32(len(items)) + b"".join(items)


def option(item):
    return b"\0" if item is None else b"\1" + item


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def raw(self, size):
        check(self.at + size <= len(self.data), "truncated")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size):
        return int.from_bytes(self.raw(size), "big")

    def lp(self, most):
        size = self.number(4)
        check(size <= most, "too long")
        return self.raw(size)

    def text(self, most):
        try:
            return self.lp(most).decode()
        except UnicodeDecodeError as error:
            raise Refused("not UTF-8") from error

    def flag(self):
        value = self.number(1)
        check(value <= 1, "not a boolean")
        return value == 1

    def list(self, most, read):
        count = self.number(4)
        check(count <= most, "too many")
        return [read() for _ in range(count)]

    def option(self, read):
        return read() if self.flag() else None

    def extensions(self):
        last, count, found = -1, self.number(4), {}
        check(count <= B["MAX_EXTENSIONS"], "too many")
        for _ in range(count):
            kind = self.number(2)
            check(kind > last and kind < 0x8000, "extension")
            last = kind
            found[kind] = self.lp(B["MAX_EXTENSION_BYTES"])
        return found

    def rest(self):
        return self.data[self.at :]

    def end(self):
        check(self.at == len(self.data), "trailing bytes")


# XChaCha20-Poly1305, over the library's ChaCha20-Poly1305

def hchacha20(key, nonce):
    words = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))

    def quarter(a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            words[x] = (words[x] + words[y]) & 0xFFFFFFFF
            mixed = words[z] ^ words[x]
            words[z] = ((mixed << turn) | (mixed >> (32 - turn))) & 0xFFFFFFFF

    for _ in range(10):
        for column in range(4):
            quarter(column, column + 4, column + 8, column + 12)
        quarter(0, 5, 10, 15)
        quarter(1, 6, 11, 12)
        quarter(2, 7, 8, 13)
        quarter(3, 4, 9, 14)
    return struct.pack("<8I", *words[:4], *words[12:])


def xseal(key, nonce, ad, text):
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], text, ad)


def xopen(key, nonce, ad, text):
    return copen(hchacha20(key, nonce[:16]), bytes(4) + nonce[16:], ad, text)


def cseal(key, nonce, ad, text):
    return ChaCha20Poly1305(key).encrypt(nonce, text, ad)


def copen(key, nonce, ad, text):
    check(len(text) >= 16, "truncated")
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, text, ad)
    except InvalidTag as error:
        raise Refused("seal") from error


def seal_object(key, kind, nonce, text):
    return bytes([kind]) + nonce + xseal(key, nonce, bytes([kind]), text)


def open_object(key, kind, data, most):
    check(41 <= len(data) <= most and data[0] == kind, "sealed object")
    return xopen(key, data[1:25], data[:1], data[25:])


# X-Wing

@functools.lru_cache(maxsize=256)
def xwing_expand(seed):
    expanded = hashlib.shake_256(seed).digest(96)
    ek, dk = ML_KEM_768._keygen_internal(expanded[:32], expanded[32:64])
    x = X25519PrivateKey.from_private_bytes(expanded[64:])
    return dk, x, ek + x.public_key().public_bytes_raw()


def xwing_combine(ss_m, ss_x, ct_x, pk_x):
    return hashlib.sha3_256(ss_m + ss_x + ct_x + pk_x + rb"\.//^" + b"\\").digest()


def xwing_encapsulate(ek, randomness):
    ss_m, ct_m = ML_KEM_768._encaps_internal(ek[:1184], randomness[:32])
    x = X25519PrivateKey.from_private_bytes(randomness[32:])
    ct_x = x.public_key().public_bytes_raw()
    ss_x = x.exchange(X25519PublicKey.from_public_bytes(ek[1184:]))
    return ct_m + ct_x, xwing_combine(ss_m, ss_x, ct_x, ek[1184:])


def xwing_decapsulate(seed, ct):
    dk, x, ek = xwing_expand(seed)
    ss_m = ML_KEM_768.decaps(dk, ct[:1088])
    ss_x = x.exchange(X25519PublicKey.from_public_bytes(ct[1088:]))
    return xwing_combine(ss_m, ss_x, ct[1088:], ek[1184:])


def kem_is_canonical(ek):
    for at in range(0, 1152, 3):
        a, b, c = ek[at : at + 3]
        if (a | (b & 15) << 8) >= 3329 or (b >> 4 | c << 4) >= 3329:
            return False
    return True


# Names

def has_control(text):
    return any(unicodedata.category(character) == "Cc" for character in text)


def room_id(typed):
    normal = unicodedata.normalize("NFKC", typed.strip()).strip()
    check(1 <= len(normal) <= B["MAX_ROOM_ID_CHARS"] and not has_control(normal), "room id")
    return normal


def room_key(typed):
    normal = unicodedata.normalize("NFC", typed)
    check(len(normal) >= B["MIN_ROOM_KEY_CHARS"] and len(normal.encode()) <= B["MAX_SECRET_BYTES"] and not has_control(normal), "room key")
    return normal


def room_key_holds(key):
    return room_key(key) == key


def display_name(name):
    check(is_name(name), "name")


def is_name(name):
    return len(name) <= B["MAX_NAME_CHARS"] and len(name.encode()) <= B["MAX_NAME_BYTES"] and name.strip() and not has_control(name)


# Safety numbers

def safety_number(one, other):
    digits = f"{int.from_bytes(H('safety number', *sorted((one, other)))) % 10**60:060}"
    return " ".join(digits[at : at + 5] for at in range(0, 60, 5))


def safety_matches(number, typed):
    typed = typed.strip(" \t\n\r\f")
    if typed[:12].upper() == "SNUG-SAFETY:":
        typed = typed[12:]
    return typed.translate(dict.fromkeys(map(ord, " -\t\n\r"))) == number.replace(" ", "")


# Generations

def generation_keys(key, r, handle, count):
    psk = X(extract(r, key.encode()), "psk", handle, u64(count))
    return psk, {name: X(psk, name) for name in ("topic", "mesh", "keep", "join", "intro", "control")}


# Genesis

def genesis(data):
    r = Reader(data)
    check(r.number(1) == 1, "version")
    name, description = r.text(B["MAX_ROOM_ID_CHARS"] * 4), r.text(B["MAX_DESCRIPTION_BYTES"])
    check(room_id(name) == name and not has_control(description), "text")
    result = {"room_id": name, "description": description, "created_at_ms": r.number(8)}
    result["policy"] = policy(r)
    result["admin_vk"] = r.raw(32)
    r.extensions()
    body, signature = data[: r.at], r.raw(64)
    r.end()
    result["hash"] = H("genesis", body)
    verify(result["admin_vk"], "sign genesis", result["hash"], result["hash"], signature)
    return result


# Capsules

def capsule(key, data):
    r = Reader(open_object(key, 4, data, B["MAX_CAPSULE_BYTES"]))
    room = genesis(r.lp(B["MAX_ADMIN_CAPSULE_BYTES"]))
    r.raw(40 + 32)
    log = r.list(B["MAX_LOG_OPERATIONS"], lambda: r.lp(B["MAX_LOG_BYTES"]))
    check(sum(len(each) + 4 for each in log) <= B["MAX_LOG_BYTES"], "log")
    r.extensions()
    r.end()
    for each in log:
        operation(each, room)
    return room


def admin_capsule(key, data):
    r = Reader(open_object(key, 5, data, B["MAX_ADMIN_CAPSULE_BYTES"]))
    seed, room = r.raw(32), genesis(r.lp(B["MAX_ADMIN_CAPSULE_BYTES"]))
    r.extensions()
    r.end()
    check(public(seed) == room["admin_vk"], "another admin key")


# Certificates and listings

def certificate(data, admin_vk):
    check(len(data) == 142 and data[0] == 1 and data[65] in (1, 2), "certificate")
    body = data[:-64]
    verify(admin_vk, "sign certificate", body[1:33], H("certificate", body), data[-64:])


def listing(data):
    r = Reader(data)
    check(r.number(1) == 1, "version")
    room, admin_vk = r.raw(32), r.raw(32)
    name, description = r.text(B["MAX_ROOM_ID_CHARS"] * 4), r.text(B["MAX_DESCRIPTION_BYTES"])
    check(1 <= len(name) <= B["MAX_ROOM_ID_CHARS"] and not has_control(name + description), "text")
    body, signature = data[: r.at], r.raw(64)
    r.end()
    verify(admin_vk, "sign listing", room, H("listing", body), signature)


# Records

def record(data, room, join):
    """`join` is None for a leaf that was carried over: its admission isn't checked."""
    r = Reader(data)
    kind = r.number(1)
    check(kind in (1, 2), "kind")
    result = {"identity_vk": r.raw(32)}
    if kind == 1:
        result["leaf_vk"], result["ek"], result["peer"], peer_signature = r.raw(32), r.raw(1216), r.raw(32), r.raw(64)
        check(kem_is_canonical(result["ek"]) and is_key(result["leaf_vk"]), "keys")
        result["name"] = r.text(B["MAX_NAME_BYTES"])
        check(is_name(result["name"]), "name")
    result["seq"], result["incarnation"] = r.number(8), r.number(4)
    if kind == 1:
        result["expires_at_ms"] = r.number(8)
        result["generation"] = {"count": r.number(8), "hash": r.raw(32)}
        r.extensions()
        admitted = join and MAC(join, "admission", room, data[: r.at])
        check(r.raw(32) == admitted or join is None, "admission")
        digest = H("peer", room, result["identity_vk"], result["peer"])
        verify(result["peer"], "sign peer", room, digest, peer_signature)
        fields = (room, result["identity_vk"], result["leaf_vk"], u32(result["incarnation"]))
        result["leaf_id"] = H("leaf", *fields)[:16]
    body, signature = data[: r.at], r.raw(64)
    r.end()
    verify(result["identity_vk"], "sign record", room, H("record", room, body), signature)
    return result


# Operations

def policy(r):
    result = {
        "max_participants": r.number(2), "listed": r.flag(), "retention_s": r.number(4),
        "history": r.flag(), "approval": r.flag(), "grace_s": r.number(4),
    }
    check(1 <= result["max_participants"] <= B["MAX_MEMBERS"], "participants")
    return result


def rekey(r):
    count, commit, members_hash, members = r.number(8), r.raw(32), r.raw(32), r.number(4)
    check(count > 0 and 0 < members <= B["MAX_MEMBERS"], "a generation above the first, with members")
    return {"count": count, "key_commit": commit, "members_hash": members_hash, "member_count": members}


def keeper(r):
    r.raw(32)
    check(kem_is_canonical(r.raw(1216)), "key")
    r.list(B["MAX_ADDRESSES"], lambda: r.text(B["MAX_ADDRESS_BYTES"]))


def operation_body(kind, what):
    """What kinds that are known say; others stay unread."""
    r = Reader(what)
    kinds = {
        1: lambda: (r.raw(32), check(r.number(1) <= 2, "role")), 2: lambda: (r.raw(32), rekey(r)), 3: lambda: (r.raw(32), rekey(r)),
        4: lambda: policy(r), 5: lambda: rekey(r), 6: lambda: keeper(r), 7: lambda: r.raw(128),
    }
    if kind in kinds:
        found = kinds[kind]()
        r.end()
        return found
    return None


def operation(data, room_genesis):
    r, room = Reader(data), room_genesis["hash"]
    check(r.number(1) == 1, "version")
    author = r.raw(32)
    parents = r.list(B["MAX_OPERATION_PARENTS"], lambda: r.raw(32))
    check(all(a < b for a, b in zip(parents, parents[1:])), "order")
    kind, what = r.number(2), r.lp(B["MAX_OPERATION_BODY"])
    body, signature = data[: r.at], r.raw(64)
    r.end()
    operation_body(kind, what)
    digest = H("operation", room, body)
    verify(author, "sign operation", room, digest, signature)
    if kind == 7:
        check(len(what) == 128 and what[32:64] == room, "tombstone")
        check(what[:32] == H("handle", room_genesis["room_id"].encode()), "tombstone")
        tombstone = H("tombstone", what[:32], what[32:64])
        verify(room_genesis["admin_vk"], "sign tombstone", room, tombstone, what[64:])
    return {"kind": kind, "hash": digest}


# Control messages and presence

def control(key, data):
    plain = open_object(key, 2, data, B["MAX_GOSSIP_BYTES"])
    check(data[1:25] == MAC(key, "control nonce", plain)[:24], "nonce")
    check(plain, "empty")
    return plain[0], plain[1:]


def presence(key, data):
    r = Reader(open_object(key, 3, data, B["MAX_PRESENCE_BYTES"]))
    r.raw(32 + 8)
    r.list(B["MAX_ADDRESSES"], lambda: r.text(B["MAX_ADDRESS_BYTES"]))
    r.end()


# Epochs

def announcement_form(data):
    """An announcement as it came, nothing of it verified: its entries are `None` where they travel apart, as above 256 they must."""
    r = Reader(data)
    result = {"kind": r.number(1), "generation": r.raw(40), "day": r.number(4), "counter": r.number(4), "issuer": r.raw(16)}
    result["custodians"] = r.list(B["MAX_CUSTODIANS"], lambda: r.raw(16))
    result["members_hash"], count = r.raw(32), r.number(4)
    r.extensions()
    result["head_len"], result["count"] = r.at, count
    result["commit"], result["box_root"], result["signature"] = r.raw(32), r.raw(32), r.raw(64)
    check(1 <= count <= B["MAX_MEMBERS"], "number of members")
    result["entries"] = r.option(lambda: r.list(B["MAX_INLINE_MEMBERS"], lambda: r.raw(52)))
    r.end()
    check((result["entries"] is None) == (count > B["MAX_INLINE_MEMBERS"]), "members")
    return result


def members_hold(found):
    """The entries, which may have travelled apart, are those that the head names."""
    entries, leaves = found["entries"], [entry[:16] for entry in found["entries"]]
    check(len(entries) == found["count"], "members")
    for sorted_list in (found["custodians"], leaves):
        check(all(a < b for a, b in zip(sorted_list, sorted_list[1:])), "order")
    check(found["issuer"] in leaves and set(found["custodians"]) <= set(leaves), "members")
    check(H("members", b"".join(entries)) == found["members_hash"], "members")


def announcement(data, room, issuer_key, kind=1):
    result = announcement_form(data)
    check(result["kind"] == kind, "kind")
    check(result["entries"] is not None, "members that travel apart are not read here")
    members_hold(result)
    result["ctx"] = H("context", room, data[: result["head_len"]])
    result["epoch_id"] = H("epoch", result["ctx"], result["commit"])
    digest = H("announcement", result["epoch_id"], result["box_root"])
    verify(issuer_key, "sign announcement", room, digest, result["signature"])
    return result


def tree(leaves):
    if len(leaves) == 1:
        return leaves[0], [[]]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, left_paths = tree(leaves[:split])
    right, right_paths = tree(leaves[split:])
    paths = [path + [right] for path in left_paths] + [path + [left] for path in right_paths]
    return H("box node", left, right), paths


def climb(leaf, index, count, path):
    if count == 1:
        check(not path, "path")
        return leaf
    check(path, "path")
    split = 1
    while split * 2 < count:
        split *= 2
    if index < split:
        return H("box node", climb(leaf, index, split, path[:-1]), path[-1])
    return H("box node", path[-1], climb(leaf, index - split, count - split, path[:-1]))


def seal_box(psk, ctx, leaf_id, ek, es, randomness, extensions=u32(0)):
    ct, ss = xwing_encapsulate(ek, randomness)
    key = X(extract(psk, ss), "box", ctx, leaf_id)
    return ct + cseal(key, bytes(12), b"", b"\1" + es + extensions)


def new_key(data):
    r = Reader(data)
    key, r_new = r.text(B["MAX_SECRET_BYTES"]), r.raw(32)
    r.end()
    check(room_key_holds(key), "room key")
    return key, r_new


def open_key_box(data, epoch, kem_seed, handle, key_commit):
    """A box of a new generation: its psk and es."""
    leaf_id, ciphertext = box_of(data, epoch, kem_seed)
    ss = xwing_decapsulate(kem_seed, ciphertext[:1120])
    text = Reader(copen(X(extract(bytes(32), ss), "box", epoch["ctx"], leaf_id), bytes(12), b"", ciphertext[1120:]))
    check(text.number(1) == 1, "version")
    es = text.raw(32)
    extensions = text.extensions()
    text.end()
    check(1 in extensions, "no key")
    key, r_new = new_key(extensions[1])
    psk, _ = generation_keys(key, r_new, handle, int.from_bytes(epoch["generation"][:8], "big"))
    check(X(psk, "key commit") == key_commit, "other keys than the operation commits to")
    check(epoch_keys(psk, es, epoch["ctx"])["commit"] == epoch["commit"], "the issuer is to blame")
    return psk, es


def hand_over(data, kem_seed, room, generation, leaf_id, handle, key_commit):
    check(len(data) > 1120 + 16, "too short")
    key = X(extract(bytes(32), xwing_decapsulate(kem_seed, data[:1120])), "hand over", room, generation, leaf_id)
    found = new_key(copen(key, bytes(12), b"", data[1120:]))
    psk, _ = generation_keys(*found, handle, int.from_bytes(generation[:8], "big"))
    check(X(psk, "key commit") == key_commit, "other keys")
    return found


def approval(data, room, identity, generation):
    check(len(data) == 96, "size")
    verify(data[:32], "sign approval", room, H("approval", identity, generation), data[32:])


def whole_object(data):
    """Its parts, decoded only; what they say is verified apart."""
    check(len(data) <= B["MAX_OBJECT_BYTES"], "size")
    r = Reader(data)
    check(r.number(1) == 1, "version")
    log = r.list(B["MAX_LOG_OPERATIONS"], lambda: r.lp(B["MAX_LOG_BYTES"]))
    issuer, announced = r.lp(B["MAX_GOSSIP_BYTES"]), r.lp(B["MAX_GOSSIP_BYTES"])
    entries = r.option(lambda: r.list(B["MAX_MEMBERS"], lambda: r.raw(52)))
    boxes = []
    for _ in range(r.number(4)):
        start = r.at
        box(r)
        boxes.append(data[start : r.at])
    r.end()
    check(log, "no operation")
    found = announcement_form(announced)
    check((found["entries"] is None) == (entries is not None), "entries stand in the announcement or beside it")
    found["entries"] = found["entries"] or entries
    members_hold(found)
    return log, issuer, announced, entries, boxes


def epoch_keys(psk, es, ctx):
    root = extract(psk, es)
    return {name: X(root, name, ctx) for name in ("env", "tag", "commit", "export", "snd")}


def box(r):
    return r.raw(16), r.lp(1120 + B["MAX_BOX_PLAINTEXT"] + 16), r.list(B["MAX_PATH"], lambda: r.raw(32))


def box_of(data, epoch, kem_seed):
    """Leaf and ciphertext of a box that is for this key and was made by the epoch's issuer."""
    r = Reader(data)
    leaf_id, ciphertext, path = box(r)
    r.end()
    leaves = [entry[:16] for entry in epoch["entries"]]
    check(leaf_id in leaves, "not for us")
    index = leaves.index(leaf_id)
    ek = xwing_expand(kem_seed)[2]
    check(epoch["entries"][index][20:] == H("kem", ek), "not for us")
    root = climb(H("box leaf", leaf_id, ciphertext), index, len(leaves), path)
    check(root == epoch["box_root"], "who served it is to blame")
    check(len(ciphertext) >= 1120 + 16, "the issuer is to blame")
    return leaf_id, ciphertext


def open_box(data, epoch, kem_seed, psk):
    leaf_id, ciphertext = box_of(data, epoch, kem_seed)
    ss = xwing_decapsulate(kem_seed, ciphertext[:1120])
    text = Reader(copen(X(extract(psk, ss), "box", epoch["ctx"], leaf_id), bytes(12), b"", ciphertext[1120:]))
    check(text.number(1) == 1, "version")
    es = text.raw(32)
    text.extensions()
    text.end()
    check(epoch_keys(psk, es, epoch["ctx"])["commit"] == epoch["commit"], "the issuer is to blame")
    return es


# Frames

def padded_len(size):
    if size <= 256:
        return 256
    if size <= 4096:
        return 1 << (size - 1).bit_length()
    e = size.bit_length() - 1
    s = e.bit_length()
    step = 1 << (e - s)
    return (size + step - 1) // step * step


def pad(contents):
    size = padded_len(len(contents))
    check(size <= B["MAX_PADDED_BYTES"], "too large")
    return contents + bytes(size - len(contents))


def chain_key(snd, leaf_id, counter):
    ck = X(snd, "sender", leaf_id)
    for _ in range(counter):
        ck = mac_raw(ck, b"\2")
    return mac_raw(ck, b"\1")


def chains(snd, entries):
    """The beginning of every member's chain, in hex."""
    rows = [(entry[:16], X(snd, "sender", entry[:16])) for entry in entries]
    return [
        {"leaf_id": leaf.hex(), "ck_0": ck.hex(), "mk_0": mac_raw(ck, b"\1").hex(), "ck_1": mac_raw(ck, b"\2").hex()} for leaf, ck in rows
    ]


def seal_frame(keys, epoch_id, room, leaf_id, leaf_seed, counter, parents, contents, nonce):
    hdr = leaf_id + u64(counter) + lst([tag + frame for tag, frame in parents])
    padded = pad(lst([u16(kind) + lp(body) for kind, body in contents]))
    frame_hash = H("frame", epoch_id, hdr, H("contents", padded))
    signature = sign(leaf_seed, "sign frame", room, frame_hash)
    inner = cseal(chain_key(keys["snd"], leaf_id, counter), nonce[:12], hdr, padded + signature)
    head = b"\1" + keys["tag"][:8]
    return head + nonce + xseal(keys["env"], nonce, head, hdr + inner), frame_hash, epoch_id + hdr + H("contents", padded) + signature


def statement_fields(r):
    start, epoch_id = r.at, r.raw(32)
    r.raw(16 + 8)
    r.list(B["MAX_PARENTS"], lambda: r.raw(40))
    hdr = r.data[start + 32 : r.at]
    return epoch_id, hdr, r.raw(32), r.raw(64)


def statement(data, room, key):
    """The frame's hash, of a statement by the owner of this key."""
    r = Reader(data)
    epoch_id, hdr, digest, signature = statement_fields(r)
    r.end()
    frame_hash = H("frame", epoch_id, hdr, digest)
    verify(key, "sign frame", room, frame_hash, signature)
    return frame_hash


def content(c):
    kind, body = c.number(2), c.lp(B["MAX_PADDED_BYTES"])
    if kind == 1:
        r = Reader(body)
        r.text(B["MAX_TEXT_BYTES"])
        r.option(lambda: r.raw(32))
        r.number(8)
        r.end()
    return kind, body


def open_frame(data, keys, epoch_id, room, leaf_keys, used):
    check(len(data) <= B["MAX_GOSSIP_BYTES"] and data[:9] == b"\1" + keys["tag"][:8], "not of this epoch")
    nonce = data[9:33]
    r = Reader(xopen(keys["env"], nonce, data[:9], data[33:]))
    leaf_id, counter = r.raw(16), r.number(8)
    r.list(B["MAX_PARENTS"], lambda: r.raw(40))
    hdr = r.data[: r.at]
    check(leaf_id in leaf_keys, "not a member")
    check((leaf_id, counter) not in used and counter <= B["MAX_SKIP"], "duplicate, or too far")
    inner = copen(chain_key(keys["snd"], leaf_id, counter), nonce[:12], hdr, r.rest())
    padded, signature = inner[:-64], inner[-64:]
    frame_hash = H("frame", epoch_id, hdr, H("contents", padded))
    verify(leaf_keys[leaf_id], "sign frame", room, frame_hash, signature)
    c = Reader(padded)
    contents = c.list(B["MAX_CONTENTS"], lambda: content(c))
    check(contents and len(padded) == padded_len(c.at) and not any(c.rest()), "padding")
    used.add((leaf_id, counter))
    return frame_hash, contents


# Direct messages

def pair_box_len(form):
    check(form in (1, 2), "a later form")
    return 1120 + 1 + 8 + 32 + (32 if form == 1 else 0) + 1216 + 16


def pair_context(pair, form, speaker, reader, ek):
    return H("pair context", pair, bytes([form]) + speaker + reader + H("kem", ek))


def pair_salt(form, psk):
    return psk if form == 2 else bytes(32)


def pair_inside(form, seq, es, psk, answer_ek):
    return b"\1" + u64(seq) + es + (psk if form == 1 else b"") + answer_ek


def pair_box(ctx, form, reader, ek, randomness, psk, inside):
    ct, ss = xwing_encapsulate(ek, randomness)
    return ct + cseal(X(extract(pair_salt(form, psk), ss), "box", ctx, reader), bytes(12), b"", inside)


def pair_tag(psk, sealed_box):
    return MAC(psk, "pair tag", sealed_box)[:8]


def pair_snd(psk, es, ctx):
    return X(extract(psk, es), "snd", ctx)


def seal_direct(form, tag, sealed_box, counter, nonce, parent, mk, padded):
    head = bytes([form]) + tag + sealed_box + u16(counter)
    return head + nonce + cseal(mk, nonce, parent + head, padded)


def open_direct(data, pair, form, speaker, reader, kem_seed, psk, parent, used):
    """What a body says that came in a frame of `parent` by `speaker`, and the epoch's number and answer_ek. `psk` is known for form 02."""
    r = Reader(data)
    check(r.number(1) == form, "form")
    tag, sealed_box, counter = r.raw(8), r.raw(pair_box_len(form)), r.number(2)
    head, nonce = data[: r.at], r.raw(12)
    if form == 2:
        check(tag == pair_tag(psk, sealed_box), "not under this psk")
    ctx = pair_context(pair, form, speaker, reader, xwing_expand(kem_seed)[2])
    key = X(extract(pair_salt(form, psk), xwing_decapsulate(kem_seed, sealed_box[:1120])), "box", ctx, reader)
    inside = Reader(copen(key, bytes(12), b"", sealed_box[1120:]))
    check(inside.number(1) == 1, "version")
    seq, es = inside.number(8), inside.raw(32)
    if form == 1:
        psk = inside.raw(32)
    answer_ek = inside.raw(1216)
    inside.end()
    check(kem_is_canonical(answer_ek), "key")
    check(tag == pair_tag(psk, sealed_box), "tag")
    check(counter < B["MAX_PAIR_MESSAGES"] and (tag, counter) not in used, "used")
    padded = copen(chain_key(pair_snd(psk, es, ctx), speaker, counter), nonce, parent + head, r.rest())
    c = Reader(padded)
    contents = c.list(B["MAX_CONTENTS"], lambda: content(c))
    check(len(padded) == padded_len(c.at) and not any(c.rest()), "padding")
    check(len(contents) == 1 and contents[0][0] != 5, "not one content")
    used.add((tag, counter))
    return contents[0], seq, answer_ek


# Direct requests: only that they decode; what they carry is verified on its own

def ids(r):
    return r.list(B["MAX_SYNC_ENTRIES"], lambda: r.raw(32))


def bundle(r):
    return [r.list(B["MAX_SYNC_ENTRIES"], lambda: r.lp(B["MAX_GOSSIP_BYTES"])) for _ in range(3)]


def counters(r):
    leaf, after, extra = r.raw(16), r.number(8), r.list(B["MAX_EXTRA_COUNTERS"], lambda: r.number(8))
    check(all(a < b for a, b in zip([after] + extra, extra)), "counters")
    return leaf, after, extra


def mark(r):
    r.raw(32)
    held, delivered, read_from, read = (r.number(8) for _ in range(4))
    check(read_from <= read <= delivered <= held, "marks")


def request(data):
    check(len(data) <= B["MAX_DIRECT_BYTES"], "too long")
    r = Reader(data)
    kind = r.number(1)
    {
        1: lambda: (r.list(B["MAX_SYNC_ENTRIES"], lambda: r.raw(40)), ids(r), ids(r)), 2: lambda: r.raw(32),
        3: lambda: bundle(r), 4: lambda: r.raw(48), 5: lambda: r.raw(36), 6: lambda: r.raw(32),
        7: lambda: r.list(B["MAX_SYNC_EPOCHS"], lambda: (r.raw(32), r.list(B["MAX_MEMBERS"], lambda: counters(r)))),
        11: lambda: r.list(B["MAX_SYNC_EPOCHS"], lambda: mark(r)),
        10: lambda: r.list(B["MAX_STATEMENTS"], lambda: r.raw(32)), 12: lambda: r.raw(72),
    }.get(kind, lambda: check(False, "kind"))()
    r.end()


def one_statement(data):
    r = Reader(data)
    statement_fields(r)
    r.end()


def reply(data):
    check(len(data) <= B["MAX_DIRECT_BYTES"], "too long")
    r = Reader(data)
    kind = r.number(1)
    {
        1: lambda: (bundle(r), ids(r), ids(r), ids(r), r.flag()), 2: r.flag, 3: lambda: None,
        4: lambda: r.option(lambda: box(r)), 5: lambda: r.list(B["MAX_MEMBERS"], lambda: box(r)),
        6: lambda: r.list(B["MAX_MEMBERS"], lambda: r.raw(52)),
        7: lambda: r.list(B["MAX_SYNC_ENTRIES"], lambda: r.lp(B["MAX_GOSSIP_BYTES"])), 11: lambda: None,
        10: lambda: r.list(B["MAX_STATEMENTS"], lambda: one_statement(r.lp(32 + 28 + 40 * B["MAX_PARENTS"] + 96))),
        12: lambda: r.option(lambda: r.raw(96)),
    }.get(kind, lambda: check(False, "kind"))()
    r.end()


# Invites

ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def bech32m_checksum(prefix, values):
    chk = 1
    for value in [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + values:
        top = chk >> 25
        chk = (chk & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            chk ^= generator if top >> i & 1 else 0
    return chk


def bech32m_bytes(prefix, text):
    check(len(text) <= B["MAX_INVITE_CHARS"], "too long")
    text = "".join(text.split())
    check(text in (text.lower(), text.upper()), "mixed case")
    text = text.lower()
    head, data = text[: len(prefix) + 1], text[len(prefix) + 1 :]
    check(head == prefix + "1" and all(c in ALPHABET for c in data), f"it does not begin with {prefix}1")
    values = [ALPHABET.index(c) for c in data]
    check(len(values) >= 6 and bech32m_checksum(prefix, values) == 0x2BC830A3, "checksum")
    bits = "".join(f"{value:05b}" for value in values[:-6])
    whole = len(bits) // 8 * 8
    check(len(bits) - whole < 5 and "1" not in bits[whole:], "padding")
    return bytes(int(bits[i : i + 8], 2) for i in range(0, whole, 8))


def bech32m_text(prefix, data):
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    values = [int(bits[at : at + 5], 2) for at in range(0, len(bits), 5)]
    end = bech32m_checksum(prefix, values + [0] * 6) ^ 0x2BC830A3
    values += [end >> shift & 31 for shift in range(25, -1, -5)]
    return prefix + "1" + "".join(ALPHABET[value] for value in values)


def invite_text(data):
    return bech32m_text("snug", data)


def invite_bytes(text):
    return bech32m_bytes("snug", text)


def invite(text):
    r = Reader(invite_bytes(text))
    check(r.number(1) == 1, "version")
    result = {"server": r.option(lambda: r.text(B["MAX_URL_BYTES"])), "room_id": r.text(B["MAX_ROOM_ID_CHARS"] * 4)}
    result["room_key"] = r.text(B["MAX_SECRET_BYTES"])
    result["genesis_hash"] = r.raw(32)
    result["serverless"] = r.option(lambda: (r.number(8), r.raw(32), r.raw(32)))
    result["addresses"] = r.list(B["MAX_ADDRESSES"], lambda: r.text(B["MAX_ADDRESS_BYTES"]))
    extensions = r.extensions()
    r.end()
    check(room_id(result["room_id"]) == result["room_id"], "room id")
    check(room_key(result["room_key"]) == result["room_key"], "room key")
    if 1 in extensions:
        result["genesis"] = genesis(extensions[1])
        check(result["genesis"]["hash"] == result["genesis_hash"], "genesis")
        check(result["genesis"]["room_id"] == result["room_id"], "genesis")
    return result
