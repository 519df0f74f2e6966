"""Holds a folder of vectors against the second implementation: makes or opens every value again, refuses what must be refused.

Each field that says what something is takes part, so that none of them can change unnoticed (check.py --mutate tries it).
"""

import struct

import building as b
import keeping
import rest
import snug1 as s
from snug1 import B, u32, u64


class Wrong(Exception):
    """A vector isn't what this implementation makes of it."""


class Count:
    agree = refused = 0


def un(text):
    try:
        data = bytes.fromhex(text)
    except (ValueError, TypeError) as error:
        raise Wrong("not hex") from error
    if data.hex() != text:
        raise Wrong("not lower-case hex")
    return data


def uns(texts):
    return [un(text) for text in texts]


def same(what, ours, theirs):
    Count.agree += 1
    if isinstance(ours, bytes):
        theirs = un(theirs)
    if ours != theirs or type(ours) is not type(theirs):
        raise Wrong(f"{what} differs")


def refused(what, cases, attempt):
    for case in cases:
        Count.refused += 1
        try:
            attempt(case)
        except s.Refused:
            continue
        raise Wrong(f"{what}: accepted {case['what'] if isinstance(case, dict) and 'what' in case else case}")


def gen(v):
    return b.generation(v["count"], un(v["hash"]))


def names(v, _):
    for case in v["room_ids"]:
        same("room id", s.room_id(case["typed"]), case["room_id"])
        same("handle", s.H("handle", case["room_id"].encode()), case["handle"])
    for case in v["room_keys"]:
        same("room key", s.room_key(case["typed"]).encode(), case["room_key"])
    for name in v["names"]:
        s.display_name(name)
    refused("room id", v["reject_room_ids"], lambda case: s.room_id(case["typed"]))
    refused("room key", v["reject_room_keys"], lambda case: s.room_key(case["typed"]))
    refused("name", v["reject_names"], lambda case: s.display_name(case["typed"]))


def generation(v, _):
    psk, keys = s.generation_keys(v["room_key"], un(v["r"]), un(v["handle"]), v["count"])
    same("extracted", s.extract(un(v["r"]), v["room_key"].encode()), v["extracted"])
    same("psk", psk, v["psk"])
    for name, key in keys.items():
        same(name, key, v[name])
    same("mdns", s.X(keys["mesh"], "mdns", u32(v["mdns"]["day"])), v["mdns"]["name"])
    for case in v["later"]:
        psk, keys = s.generation_keys(v["room_key"], un(v["r"]), un(v["handle"]), case["count"])
        same("psk", psk, case["psk"])
        same("topic", keys["topic"], case["topic"])


def genesis(v, _):
    seed = un(v["admin_seed"])
    made, digest = b.genesis(seed, v["room_id"], v["description"], v["created_at_ms"], v["policy"])
    same("admin", s.public(seed), v["admin_vk"])
    same("hash", digest, v["hash"])
    same("bytes", made, v["bytes"])
    found = s.genesis(made)
    for name in ("room_id", "description", "created_at_ms", "policy"):
        same(name, found[name], v[name])
    refused("genesis", v["reject"], lambda case: s.genesis(un(case["bytes"])))


def capsule(v, _):
    key, admin_key = s.X(un(v["export_key_room"]), "capsule"), s.X(un(v["export_key_admin"]), "admin")
    same("key", key, v["key"])
    same("admin key", admin_key, v["admin_key"])
    sealed, admin_sealed = un(v["capsule"]), un(v["admin_capsule"])
    plain = b.capsule(un(v["genesis"]), gen(v["generation"]), un(v["r"]), uns(v["log"]))
    same("capsule", s.seal_object(key, 4, sealed[1:25], plain), v["capsule"])
    plain = b.admin_capsule(un(v["admin_seed"]), un(v["genesis"]))
    same("admin capsule", s.seal_object(admin_key, 5, admin_sealed[1:25], plain), v["admin_capsule"])
    s.capsule(key, sealed)
    s.admin_capsule(admin_key, admin_sealed)
    refused("capsule", v["reject"], lambda case: s.capsule(key, un(case["bytes"])))
    refused("admin capsule", v["reject_admin"], lambda case: s.admin_capsule(admin_key, un(case["bytes"])))


def invite(v, _):
    made = b.invite(v["server"], v["room_id"], v["room_key"], un(v["genesis_hash"]), None, v["addresses"])
    same("text", made, v["text"])
    same("upper case", made.upper(), v["upper_case"])
    same("upper case", s.invite(v["upper_case"]), s.invite(made))
    alone = v["without_server"]
    serverless = gen(alone) + un(alone["r"])
    made = b.invite(None, v["room_id"], v["room_key"], un(v["genesis_hash"]), serverless, [])
    same("without server", made, alone["text"])
    same("r", s.invite(made)["serverless"][2], alone["r"])
    founding = b.founding(un(alone["genesis"]))
    made = b.invite(None, v["room_id"], v["room_key"], un(v["genesis_hash"]), serverless, [], founding)
    same("with genesis", made, alone["with_genesis"])
    same("genesis", s.invite(made)["genesis"]["hash"], v["genesis_hash"])
    refused("invite", v["reject"], lambda case: s.invite(case["text"]))


def leaf(v, _):
    room, join = un(v["genesis_hash"]), un(v["join"])
    for case in v["leaves"]:
        seeds = {name: un(case[f"{name}_seed"]) for name in ("identity", "transport", "leaf", "kem")}
        made = b.leaf(
            room, join, seeds, case["name"], case["seq"], case["incarnation"], case["expires_at_ms"], gen(case["generation"])
        )
        same("leaf", made, case["bytes"])
        found = s.record(made, room, join)
        same("kem", s.H("kem", found["ek"]), case["kem_hash"])
        same("fingerprint", s.H("fingerprint", found["identity_vk"])[:16], case["fingerprint"])
        for name in ("identity_vk", "leaf_vk", "peer", "leaf_id"):
            same(name, found[name], case[name])
    end = v["leave"]
    made = b.leave(room, un(end["identity_seed"]), end["seq"], end["incarnation"])
    same("leave", made, end["bytes"])
    s.record(made, room, join)
    refused("record", v["reject"], lambda case: s.record(un(case["bytes"]), room, join))


def safety(v, _):
    for case in v["cases"]:
        number = s.safety_number(un(case["one"]), un(case["other"]))
        same("order", number, s.safety_number(un(case["other"]), un(case["one"])))
        same("number", number, case["number"])
        same("scanned", "SNUG-SAFETY:" + number.replace(" ", ""), case["scanned"])
        for typed in case["typed"]:
            same("typed", s.safety_matches(number, typed), True)
        refused("number", case["reject"], lambda wrong: s.check(s.safety_matches(number, wrong["typed"]), "another"))


def operation(v, _):
    room = s.genesis(un(v["genesis"]))
    seeds = {"admin": un(v["admin_seed"]), "member": un(v["author_seed"])}
    same("admin", s.public(seeds["admin"]), room["admin_vk"].hex())
    for case in v["operations"]:
        made, digest = b.operation(room["hash"], seeds[case["by"]], uns(case["parents"]), case["kind"], un(case["body"]))
        same(case["what"], made, case["bytes"])
        same(case["what"], digest, case["hash"])
        found = s.operation(made, room)
        same("hash", found["hash"], case["hash"])
        same("kind", found["kind"], case["kind"])
    refused("operation", v["reject"], lambda case: s.operation(un(case["bytes"]), room))


def control(v, _):
    key = un(v["control"])
    for case in v["messages"]:
        same("control", b.control(key, case["type"], un(case["body"])), case["bytes"])
        s.control(key, un(case["bytes"]))
    refused("control", v["reject"], lambda case: s.control(key, un(case["bytes"])))


def epoch(v, _):
    room, psk, es, seed = un(v["genesis_hash"]), un(v["psk"]), un(v["es"]), un(v["issuer_leaf_seed"])
    issuer, announced = s.public(seed), un(v["announcement"])
    found = s.announcement(announced, room, issuer)
    same("round", {"day": found["day"], "counter": found["counter"]}, v["round"])
    keys = s.epoch_keys(psk, es, found["ctx"])
    for name, ours in (("commit", keys["commit"]), ("export", keys["export"]), ("tag", keys["tag"][:8])):
        same(name, ours, v[name])
    for name in ("ctx", "epoch_id", "members_hash", "box_root"):
        same(name, found[name], v[name])
    same("E", s.extract(psk, es), v["extracted"])
    same("env", keys["env"], v["env"])
    same("snd", keys["snd"], v["snd"])
    same("chains", s.chains(keys["snd"], found["entries"]), v["chains"])
    kems = [(s.xwing_expand(un(case["kem_seed"]))[2], un(case["encapsulation_randomness"])) for case in v["boxes"]]
    header = announced[: found["head_len"]]
    made, boxes, _, epoch_id = b.epoch(room, psk, es, header, found["entries"], kems, seed)
    same("announcement", made, v["announcement"])
    same("epoch id", epoch_id, v["epoch_id"])
    same("number of boxes", len(boxes), len(v["boxes"]))
    for ours, case in zip(boxes, v["boxes"]):
        same("box", ours, case["bytes"])
        leaf_id, ciphertext, _ = s.box(s.Reader(ours))
        same("leaf id", leaf_id, case["leaf_id"])
        same("tree leaf", s.H("box leaf", leaf_id, ciphertext), case["tree_leaf"])
        same("es", s.open_box(ours, found, un(case["kem_seed"]), psk), v["es"])
    refused("announcement", v["reject"], lambda case: s.announcement(un(case["bytes"]), room, issuer))
    seed = un(v["reject_boxes"]["kem_seed"])
    refused("box", v["reject_boxes"]["cases"], lambda case: s.open_box(un(case["bytes"]), found, seed, psk))

    def whole(case):
        """Somebody's own box of another epoch: what that one's issuer made of it."""
        return s.open_box(un(case["bytes"]), s.announcement(un(case["announcement"]), room, issuer), un(case["kem_seed"]), psk)

    refused("epoch", v.get("reject_epochs", []), whole)
    for case in v.get("accept_epochs", []):
        same(case["what"], whole(case), v["es"])


def frame(v, files):
    e = files["epoch"]
    room, psk, seed = un(v["genesis_hash"]), un(v["psk"]), un(v["sender_leaf_seed"])
    found = s.announcement(un(e["announcement"]), room, s.public(un(e["issuer_leaf_seed"])))
    same("epoch id", found["epoch_id"], v["epoch_id"])
    keys = s.epoch_keys(psk, un(e["es"]), found["ctx"])
    sender = un(v["sender"])
    leaf_keys, used = {sender: s.public(seed)}, set()
    for case in v["frames"]:
        contents = []
        for content in case["contents"]:
            if content["kind"] == 1:
                reply = content["reply_to"] and un(content["reply_to"])
                contents.append((1, b.text(content["text"], reply, content["sent_at_ms"])))
            else:
                contents.append((content["kind"], un(content["body"])))
        parents = [(un(parent["tag"]), un(parent["hash"])) for parent in case["parents"]]
        arguments = (keys, found["epoch_id"], room, sender, seed, case["counter"], parents, contents)
        made, frame_hash, statement = s.seal_frame(*arguments, un(case["bytes"])[9:33])
        same("statement", statement, case["statement"])
        same("frame of the statement", s.statement(statement, room, s.public(seed)), case["hash"])
        same("frame", made, case["bytes"])
        same("frame hash", frame_hash, case["hash"])
        same("message id", s.H("message", frame_hash, u32(0)), case["first_message_id"])
        same("contents", s.open_frame(made, keys, found["epoch_id"], room, leaf_keys, used)[1], contents)

    def attempt(case):
        seen = used if case["what"] == "opened before" else set()
        s.open_frame(un(case["bytes"]), keys, found["epoch_id"], room, leaf_keys, seen)

    refused("frame", v["reject"], attempt)
    refused("statement", v["reject_statements"], lambda case: s.statement(un(case["bytes"]), room, s.public(seed)))


def pair(v, _):
    identities = uns(v["identities"])
    name = s.H("pair", un(v["genesis_hash"]), *sorted(identities))
    same("pair", name, v["pair_hash"])
    s.check(len(identities) == 2, "two")
    for e in v["epochs"]:
        form, speaker, reader, seed, psk, es = e["form"], un(e["speaker"]), un(e["reader"]), un(e["kem_seed"]), un(e["psk"]), un(e["es"])
        ek, answer_ek = s.xwing_expand(seed)[2], s.xwing_expand(un(e["answer_seed"]))[2]
        same("kem hash", s.H("kem", ek), e["kem_hash"])
        ctx = s.pair_context(name, form, speaker, reader, ek)
        same("ctx", ctx, e["ctx"])
        same("extracted", s.extract(psk, es), e["extracted"])
        snd = s.pair_snd(psk, es, ctx)
        same("snd", snd, e["snd"])
        same("chain", s.X(snd, "sender", speaker), e["ck_0"])
        sealed = s.pair_box(ctx, form, reader, ek, un(e["encapsulation_randomness"]), psk, s.pair_inside(form, e["seq"], es, psk, answer_ek))
        same("box", sealed, e["box"])
        tag, used = s.pair_tag(psk, sealed), set()
        same("tag", tag, e["tag"])
        for number, case in enumerate(e["messages"]):
            says, parent, nonce = case["says"], un(case["parent"]), un(case["nonce"])
            same("counter", number, case["counter"])
            said = (1, b.text(says["text"], says["reply_to"] and un(says["reply_to"]), says["sent_at_ms"]))
            same("kind", 1, says["kind"])
            padded = s.pad(s.lst([s.u16(1) + s.lp(said[1])]))
            body = s.seal_direct(form, tag, sealed, number, nonce, parent, s.chain_key(snd, speaker, number), padded)
            same("body", body, case["body"])
            found = s.open_direct(body, name, form, speaker, reader, seed, psk, parent, used)
            same("what it says", found, (said, e["seq"], answer_ek))

        def attempt(case):
            seen = used if case["what"] == "read before" else set()
            s.open_direct(un(case["bytes"]), name, form, un(case["speaker"]), reader, seed, psk, un(case["parent"]), seen)

        refused("direct message", e["reject"], attempt)


def padding(v, _):
    for case in v["cases"]:
        same("padding", s.padded_len(case["len"]), case["padded"])
    refused("padding", v["reject"], lambda size: s.pad(bytes(size)))


def presence(v, _):
    key, data = un(v["intro"]), un(v["bytes"])
    plain = b.presence(un(v["peer"]), v["at_ms"], v["addresses"])
    same("presence", s.seal_object(key, 3, data[1:25], plain), v["bytes"])
    s.presence(key, data)
    refused("presence", v["reject"], lambda case: s.presence(key, un(case["bytes"])))


def link(v, _):
    fields = [un(v[name]) for name in ("dialer", "listener", "dialer_nonce", "listener_nonce")]
    proofs = {role: s.MAC(un(v["mesh"]), "link", number, *fields) for role, number in (("dialer", b"\1"), ("listener", b"\2"))}
    for role, proof in proofs.items():
        same(role, proof, v[f"{role}_proof"])
    refused("proof", v["reject"], lambda case: s.check(un(case["proof"]) == proofs[case["role"]], "proof"))


def direct(v, _):
    for case in v["requests"]:
        same(case["what"], make_request(case["what"], case["fields"]), case["bytes"])
        s.request(un(case["bytes"]))
    for case in v["replies"]:
        same(case["what"], make_reply(case["what"], case["fields"]), case["bytes"])
        s.reply(un(case["bytes"]))
    refused("request", v["reject_requests"], lambda case: s.request(un(case["bytes"])))
    refused("reply", v["reject_replies"], lambda case: s.reply(un(case["bytes"])))


def make_request(what, f):
    if what == "sync":
        records = s.lst([un(record["identity"]) + u64(record["seq"]) for record in f["records"]])
        return b"\1" + records + s.lst(uns(f["operations"])) + s.lst(uns(f["epochs"]))
    if what == "frames":
        def vector(have):
            senders = [(un(sender["leaf"]), sender["next"], sender["extra"]) for sender in have["senders"]]
            return b.vector(un(have["epoch"]), senders)

        return b"\7" + s.lst([vector(have) for have in f["have"]])
    if what == "receipt":
        return b"\x0b" + s.lst([b.mark(un(each["epoch"]), *(each[name] for name in b.MARKS)) for each in f["marks"]])
    if what == "push":
        return b"\3" + make_bundle(f)
    number, fields = {
        "compare": (2, lambda: un(f["digest"])), "box": (4, lambda: un(f["epoch"]) + un(f["leaf"])),
        "boxes": (5, lambda: un(f["epoch"]) + u32(f["skip"])), "members": (6, lambda: un(f["epoch"])),
        "statements": (10, lambda: s.lst(uns(f["frames"]))),
        "approval": (12, lambda: un(f["identity"]) + b.generation(f["count"], un(f["hash"]))),
    }[what]
    return bytes([number]) + fields()


def make_reply(what, f):
    if what == "sync":
        wants = b"".join(s.lst(uns(f["wants"][name])) for name in ("records", "operations", "epochs"))
        return b"\1" + make_bundle(f["bundle"]) + wants + bytes([f["more"]])
    if what == "members":
        entries = [un(each["leaf"]) + u32(each["incarnation"]) + un(each["kem_hash"]) for each in f["members"]]
        return b"\6" + s.lst(entries)
    number, fields = {
        "compare": (2, lambda: bytes([f["same"]])), "done": (3, lambda: b""), "noted": (11, lambda: b""),
        "box": (4, lambda: s.option(f["box"] and un(f["box"]))), "boxes": (5, lambda: s.lst(uns(f["boxes"]))),
        "frames": (7, lambda: s.lst([s.lp(each) for each in uns(f["frames"])])),
        "statements": (10, lambda: s.lst([s.lp(each) for each in uns(f["statements"])])),
        "approval": (12, lambda: s.option(f["approval"] and un(f["approval"]))),
    }[what]
    return bytes([number]) + fields()


def make_bundle(f):
    return b.bundle(*(uns(f[name]) for name in ("records", "operations", "announcements")))


def certificate(v, _):
    room, seed, key = un(v["genesis_hash"]), un(v["admin_seed"]), un(v["key_seed"])
    for case in v["cases"]:
        made = b.certificate(seed, room, s.public(key), case["rank"], case["serial"], case["expires_at_ms"])
        same("certificate", made, case["bytes"])
        s.certificate(made, s.public(seed))
    refused("certificate", v["reject"], lambda case: s.certificate(un(case["bytes"]), s.public(seed)))
    for case in v["requests"]:
        names = ["generation", "capsule"] if case["what_kind"] == 2 else ["registration", "upload", "generation", "capsule", "key_gen"]
        fields = uns(case[name] for name in names) + ([bytes([case["overrides"]])] if case["what_kind"] == 1 else [])
        fields += [case["least_serial"].to_bytes(4, "big")]
        same("request", b.certified(key, room, un(case["token"]), case["what_kind"], fields), case["signature"])
    one = v["listing"]
    made = b.listing(seed, room, one["room_id"], one["description"])
    same("listing", made, one["bytes"])
    s.listing(made)
    refused("listing", one["reject"], lambda case: s.listing(un(case["bytes"])))


def authority(v, _):
    room = s.genesis(un(v["genesis"]))
    handle, room = s.H("handle", room["room_id"].encode()), room["hash"]
    one = v["first_epoch"]
    es, seed, announced = un(one["es"]), un(one["issuer_leaf_seed"]), un(one["announcement"])
    found = s.announcement(announced, room, s.public(seed), kind=2)
    psk, keys = s.generation_keys(v["room_key"], un(v["r"]), handle, v["count"])
    same("psk", psk, v["psk"])
    same("topic", keys["topic"], v["topic"])
    same("key commit", s.X(psk, "key commit"), v["key_commit"])
    rekey = b.rekey(v["count"], un(v["key_commit"]), found["entries"])
    signed, digest = b.operation(room, un(v["author_seed"]), uns(v["parents"]), 2, un(v["removed"]) + rekey)
    same("operation", signed, v["operation"])
    same("operation hash", digest, v["operation_hash"])
    same("operation", s.operation(signed, s.genesis(un(v["genesis"])))["kind"], 2)
    generation = b.generation(v["count"], digest)

    same("generation", found["generation"], generation.hex())
    same("epoch id", found["epoch_id"], one["epoch_id"])
    same("commit", s.epoch_keys(psk, es, found["ctx"])["commit"], one["commit"])
    leaves, carry = [entry[:16] for entry in found["entries"]], b.new_key(v["room_key"], un(v["r"]))
    same("leaves", [leaf.hex() for leaf in leaves], [case["leaf_id"] for case in one["boxes"]])
    sealed = []
    for leaf_id, case in zip(leaves, one["boxes"]):
        ek = s.xwing_expand(un(case["kem_seed"]))[2]
        sealed.append(s.seal_box(bytes(32), found["ctx"], leaf_id, ek, es, un(case["encapsulation_randomness"]), carry))
    header = announced[: found["head_len"]]
    made, boxes, _, _ = b.signed_epoch(room, header, found["entries"], un(one["commit"]), leaves, sealed, seed)
    same("announcement", made, one["announcement"])
    same("boxes", [box.hex() for box in boxes], [case["bytes"] for case in one["boxes"]])
    for case in one["boxes"]:
        opened = s.open_key_box(un(case["bytes"]), found, un(case["kem_seed"]), handle, un(v["key_commit"]))
        same("what the box gives", opened, (psk, es))

    def announce(case):
        other = s.announcement(un(case["bytes"]), room, s.public(seed), kind=2)
        s.check(other["generation"] == generation, "another generation's")

    def open_box(case):
        s.open_key_box(un(case["bytes"]), found, un(one["reject_boxes"]["kem_seed"]), handle, un(case["key_commit"]))

    refused("announcement", one["reject"], announce)
    refused("box", one["reject_boxes"]["cases"], open_box)

    whole = v["object"]
    before, issuer = uns(whole["before"]), s.record(un(whole["issuer"]), room, None)
    same("parents", [s.operation(each, s.genesis(un(v["genesis"])))["hash"].hex() for each in before], v["parents"])
    same("issuer", issuer["leaf_id"], found["issuer"].hex())
    same("object", b.object_(before + [signed], un(whole["issuer"]), made, boxes), whole["bytes"])
    log, _, inside, entries, parts = s.whole_object(un(whole["bytes"]))
    same("operation in the object", log[-1], v["operation"])
    same("announcement in the object", inside, one["announcement"])
    same("boxes in the object", [part.hex() for part in parts], [case["bytes"] for case in one["boxes"]])
    same("entries in the object", entries, None)
    refused("object", whole["reject"], lambda case: s.whole_object(un(case["bytes"])))

    one = v["hand_over"]
    leaf, seed = s.record(un(one["leaf"]), room, None), un(one["kem_seed"])
    leaf_id = leaf["leaf_id"]
    same("leaf id", leaf_id, one["leaf_id"])
    made = b.handed(leaf["ek"], un(one["encapsulation_randomness"]), room, generation, leaf_id, v["room_key"], un(v["r"]))
    same("handed", made, one["bytes"])

    def handed(case, commit):
        return s.hand_over(un(case["bytes"]), seed, room, generation, leaf_id, handle, un(commit))

    same("handed", handed(one, v["key_commit"]), (v["room_key"], un(v["r"])))
    refused("handed", one["reject"], lambda case: handed(case, case["key_commit"]))

    one = v["approval"]
    seed, identity = un(one["approver_seed"]), un(one["identity"])
    same("approval", b.approval(seed, room, identity, generation), one["bytes"])
    same("control", keys["control"], one["control"])
    same("message", b.control(un(one["control"]), 4, identity + generation + un(one["bytes"])), one["message"])
    refused("approval", one["reject"], lambda case: s.approval(un(case["bytes"]), room, identity, generation))
    one = v["link_hint"]
    same("mesh", keys["mesh"], one["mesh"])
    same("hint", s.MAC(un(one["mesh"]), "link hint", un(one["dialer_nonce"]))[:8], one["hint"])


def keeper(v, files):
    keeping.hold(v, files, same, refused, un, uns)


def vault(v, _):
    passphrase, one = v["passphrase"], v["head"]
    key, logs = rest.head(un(one["bytes"]), passphrase)
    same("vault key", key, one["vault_key"])
    same("logs", logs, one["logs"])
    data = un(one["bytes"])
    slot, nonces = data[10 : 10 + 2 + 28 + 73], (data[41:65], data[114:138])
    same("slot", rest.make_slot(key, passphrase, slot[1:30], nonces[0]), slot.hex())
    same("head", rest.make_head(slot, key, logs, nonces[1]), one["bytes"])
    key, logs = rest.head(un(one["without_passphrase"]), "")
    same("vault key", key, one["vault_key"])
    same("logs", logs, one["logs"][:1])
    refused("head", one["reject"], lambda case: rest.head(un(case["bytes"]), passphrase))

    one, key = v["chunk"], un(one["logs"][-1]["key"])
    where = one["purpose"], one["number"], one["place"]
    entries = [(b"kept", un(one["kept"])), (b"gone", None)]
    same("chunk", rest.make_chunk(key, un(one["bytes"])[1:25], one["last"], one["at"], entries, *where), one["bytes"])
    same("chunk", rest.chunk(key, un(one["bytes"]), *where), {"last": one["last"], "at": one["at"], "entries": entries})
    refused("chunk", one["reject"], lambda case: rest.chunk(key, un(case["bytes"]), *where[:2], case["place"]))

    one = v["export"]
    same("identity", rest.export(un(one["bytes"]), passphrase), one["seed"])
    refused("export", one["reject"], lambda case: rest.export(un(case["bytes"]), passphrase))
    one = v["own"]
    same("own", rest.make_own(one["incarnation"], un(one["leaf_seed"]), un(one["kem_seed"]), [un(one["old_kem_seed"])]), one["bytes"])
    refused("own", one["reject"], lambda case: rest.own(un(case["bytes"])))
    one = v["membership"]
    generations = [(gen(one["generation"]), un(one["random"]), one["room_key"])]
    made = rest.make_membership(one["server"], one["room_id"], un(one["genesis"]), one["name"], generations)
    same("membership", made, one["bytes"])
    rest.membership(made)
    refused("membership", one["reject"], lambda case: rest.membership(un(case["bytes"])))


def labels(v, _):
    key, fields = un(v["key"]), (un(v["one"]), un(v["two"]))
    rows = [(row["label"], row["use"], row["fields"]) for row in v["labels"]]
    same("labels of the document", [(label, *rest) for label, rest in s.LABELS.items()], rows)
    for row in v["labels"]:
        label, use = row["label"], row["use"]
        if use != "Signature":
            made = {"Hash": lambda: s.H(label, *fields), "Key": lambda: s.X(key, label, *fields)}
            same(label, made.get(use, lambda: s.MAC(key, label, *fields))(), row["output"])


def bounds(v, _):
    same("bounds of the document", {f"`{name}`": str(value) for name, value in B.items()},
         {f"`{row['name']}`": str(row["value"]) for row in v["bounds"]})
    same("units", [row[2] for row in s.table("bounds")], [row["unit"] for row in v["bounds"]])


HOLDERS = [
    names, generation, genesis, capsule, invite, leaf, safety, operation, control, epoch, frame, pair, padding, presence, link, direct,
    certificate, authority, keeper, vault, labels, bounds,
]


def hold(name, files):
    """Raises Wrong unless everything in the file called `name` is as it must be."""
    holder = next((holder for holder in HOLDERS if holder.__name__ == name), None)
    if holder is None:
        raise Wrong(f"{name}: nothing here reads it")
    try:
        holder(files[name], files)
    except (s.Refused, KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError, struct.error) as error:
        raise Wrong(f"{name}: {error!r}") from error
    except Wrong as wrong:
        raise Wrong(f"{name}: {wrong}") from wrong
