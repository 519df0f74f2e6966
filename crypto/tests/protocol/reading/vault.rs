//! What rests on a member's disk.

use snug_crypto::{
    Generation, Genesis, Identity, OperationHash, RoomId, RoomKey, RoomRandom,
    kem::KemSecret,
    leaf::{LeafSecrets, LeafSigningKey},
    rest::{
        GenerationAtRest, MembershipAtRest, OwnAtRest, import_identity,
        log::{Chunk, LogKey, Place},
        vault::{Head, Passphrase, VaultKey},
    },
};

use super::{At, Failure, Held, failed};

pub(super) fn vault(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let passphrase = Passphrase::parse(v.text("passphrase")?).map_err(failed)?;
    head(v.at("head")?, &passphrase, h)?;
    let logs: Vec<At<'_>> = v.at("head")?.list("logs")?.collect();
    let log = logs.last().ok_or("no log")?;
    chunk(v.at("chunk")?, &LogKey::from_bytes(log.array("key")?), h)?;

    let export = v.at("export")?;
    let import = |case: At<'_>| import_identity(&case.bytes("bytes")?, &passphrase).map_err(failed);
    let identity = Identity::from_seed(&export.array("seed")?);
    h.same("identity", import(export)?.key(), identity.key())?;
    h.refuse(export, "reject", import)?;

    let own = v.at("own")?;
    let secrets = LeafSecrets {
        signing: LeafSigningKey::from_seed(&own.array("leaf_seed")?),
        kem: KemSecret::from_seed(&own.array("kem_seed")?),
    };
    let old = KemSecret::from_seed(&own.array("old_kem_seed")?);
    let decode = |case: At<'_>| OwnAtRest::decode(&case.bytes("bytes")?).map_err(failed);
    h.is(
        own,
        "bytes",
        &*OwnAtRest::new(own.small("incarnation")?, &secrets, std::iter::once(&old)).encode(),
    )?;
    h.is(own, "bytes", &*decode(own)?.encode())?;
    h.refuse(own, "reject", decode)?;
    membership(v.at("membership")?, h)
}

fn head(v: At<'_>, passphrase: &Passphrase, h: &mut Held) -> Result<(), Failure> {
    let open = |bytes: &[u8], passphrase: &Passphrase| {
        let head = Head::decode(bytes).map_err(failed)?;
        let key: VaultKey = head.slot().unwrap(passphrase).map_err(failed)?;
        let logs = head.logs(&key).map_err(failed)?;
        Ok::<_, Failure>((key, logs))
    };
    let (key, logs) = open(&v.bytes("bytes")?, passphrase)?;
    h.is(v, "vault_key", key.expose())?;
    let listed: Vec<At<'_>> = v.list("logs")?.collect();
    h.same("logs", listed.len(), logs.len())?;
    for (case, log) in listed.into_iter().zip(&logs) {
        h.same("purpose", log.purpose, case.small("purpose")?)?;
        h.same("number", log.number, case.number("number")?)?;
        h.is(case, "key", log.key.expose())?;
    }
    let (key, logs) = open(&v.bytes("without_passphrase")?, &Passphrase::none())?;
    h.is(v, "vault_key", key.expose())?;
    h.same("logs", logs.len(), 1)?;
    h.refuse(v, "reject", |case| open(&case.bytes("bytes")?, passphrase).map(|_| ()))
}

fn chunk(v: At<'_>, key: &LogKey, h: &mut Held) -> Result<(), Failure> {
    let place = |index| {
        Ok::<_, Failure>(Place {
            purpose: v.small("purpose")?,
            number: v.number("number")?,
            index,
        })
    };
    let chunk = Chunk::open(key, place(v.number("place")?)?, &v.bytes("bytes")?).map_err(failed)?;
    h.same("end of a commit", chunk.last, v.flag("last")?)?;
    h.same("time", chunk.at_ms, v.number("at")?)?;
    h.same("entries", chunk.entries.len(), 2)?;
    h.same("key", &chunk.entries[0].key[..], b"kept")?;
    h.is(v, "kept", chunk.entries[0].value.as_ref().ok_or("no value")?.as_slice())?;
    h.same("key", &chunk.entries[1].key[..], b"gone")?;
    h.same("value", chunk.entries[1].value.is_none(), true)?;
    h.refuse(v, "reject", |case| {
        Chunk::open(key, place(case.number("place")?)?, &case.bytes("bytes")?).map_err(failed)
    })
}

fn membership(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let generation = v.at("generation")?;
    let room = MembershipAtRest {
        server: Some(v.text("server")?.to_owned()),
        room_id: RoomId::parse(v.text("room_id")?).map_err(failed)?,
        genesis: Genesis::decode(&v.bytes("genesis")?).map_err(failed)?,
        name: v.text("name")?.to_owned(),
        generations: vec![GenerationAtRest {
            generation: Generation {
                count: generation.number("count")?,
                hash: OperationHash::from_bytes(generation.array("hash")?),
            },
            random: RoomRandom::from_bytes(v.array("random")?),
            room_key: RoomKey::parse(v.text("room_key")?).map_err(failed)?,
        }],
    };
    let decode = |case: At<'_>| MembershipAtRest::decode(&case.bytes("bytes")?).map_err(failed);
    h.is(v, "bytes", &*room.encode())?;
    h.is(v, "bytes", &*decode(v)?.encode())?;
    h.refuse(v, "reject", decode)
}
