//! The room itself.

use snug_crypto::{
    AdminKey, ExportKey, Generation, GenerationKeys, Genesis, MeshKey, OperationHash, Policy, RoomHandle, RoomId,
    RoomKey, RoomRandom,
    capsule::{AdminCapsule, Capsule},
    invite::Invite,
    kdf, label,
    operation::SignedOperation,
};

use super::{At, Failure, Held, failed};

pub(super) fn generation(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let key = RoomKey::parse(v.text("room_key")?).map_err(failed)?;
    let random = RoomRandom::from_bytes(v.array("r")?);
    let handle = RoomHandle::from_bytes(v.array("handle")?);
    let hash = OperationHash::from_bytes([7; 32]);
    let derive = |count| GenerationKeys::derive(&key, &random, &handle, Generation { count, hash });
    let keys = derive(v.number("count")?);
    h.is(v, "extracted", *kdf::extract(random.expose(), key.reveal().as_bytes()))?;
    h.is(v, "psk", keys.psk().expose())?;
    h.is(v, "topic", keys.topic().0)?;
    h.is(v, "mesh", keys.mesh().expose())?;
    h.is(v, "keep", keys.keep().expose())?;
    h.is(v, "join", keys.join().expose())?;
    h.is(v, "intro", keys.intro().expose())?;
    h.is(v, "control", keys.control().expose())?;
    let (mdns, mesh) = (v.at("mdns")?, MeshKey::from_bytes(v.array("mesh")?));
    h.is(mdns, "name", mesh.mdns_name(mdns.small("day")?))?;
    for case in v.list("later")? {
        let keys = derive(case.number("count")?);
        h.is(case, "psk", keys.psk().expose())?;
        h.is(case, "topic", keys.topic().0)?;
    }
    Ok(())
}

pub(super) fn genesis(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let admin = AdminKey::from_seed(&v.array("admin_seed")?);
    let id = RoomId::parse(v.text("room_id")?).map_err(failed)?;
    let p = v.at("policy")?;
    let policy = Policy {
        max_participants: p.small("max_participants")?,
        listed: p.flag("listed")?,
        retention_s: p.small("retention_s")?,
        history: p.flag("history")?,
        approval: p.flag("approval")?,
        grace_s: p.small("grace_s")?,
    };
    let made =
        Genesis::create(&admin, &id, v.text("description")?, v.number("created_at_ms")?, policy).map_err(failed)?;
    h.is(v, "admin_vk", admin.public().as_bytes())?;
    h.is(v, "bytes", made.encode())?;
    h.is(v, "hash", made.hash())?;
    let take = |case: At<'_>| Genesis::decode(&case.bytes("bytes")?).map_err(failed);
    h.same("what was decoded", take(v)?, made)?;
    h.refuse(v, "reject", take)
}

pub(super) fn capsule(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let (room, admin) = (v.array("export_key_room")?, v.array("export_key_admin")?);
    h.is(v, "key", *kdf::expand(&room, label::CAPSULE, &[]))?;
    h.is(v, "admin_key", *kdf::expand(&admin, label::ADMIN_CAPSULE, &[]))?;
    let (room, admin) = (ExportKey::from_bytes(room), ExportKey::from_bytes(admin));
    let opened = Capsule::open(&room, &v.bytes("capsule")?).map_err(failed)?;
    h.is(v, "genesis", opened.genesis.encode())?;
    h.is(v, "r", opened.random.expose())?;
    let generation = v.at("generation")?;
    h.same("count", opened.generation.count, generation.number("count")?)?;
    h.is(generation, "hash", opened.generation.hash)?;
    let log: Vec<Vec<u8>> = opened.log.iter().map(SignedOperation::encode).collect();
    h.same("log", log, v.list("log")?.map(At::unhex).collect::<Result<_, _>>()?)?;
    let opened = AdminCapsule::open(&admin, &v.bytes("admin_capsule")?).map_err(failed)?;
    h.is(v, "admin_seed", *opened.admin_key.to_seed())?;
    h.is(v, "genesis", opened.genesis.encode())?;
    h.refuse(v, "reject", |case| {
        Capsule::open(&room, &case.bytes("bytes")?).map_err(failed)
    })?;
    h.refuse(v, "reject_admin", |case| {
        AdminCapsule::open(&admin, &case.bytes("bytes")?).map_err(failed)
    })
}

pub(super) fn invite(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    for name in ["text", "upper_case"] {
        let text = v.text(name)?;
        let invite = Invite::parse(text).map_err(failed)?;
        h.same("server", invite.server.as_deref(), Some(v.text("server")?))?;
        h.same("room id", invite.room_id.as_str(), v.text("room_id")?)?;
        h.same("room key", invite.room_key.reveal(), v.text("room_key")?)?;
        h.is(v, "genesis_hash", invite.genesis_hash)?;
        let addresses = v.list("addresses")?.map(|address| address.whole().map(str::to_owned));
        h.same(
            "addresses",
            invite.addresses.clone(),
            addresses.collect::<Result<_, _>>()?,
        )?;
        let again = invite.to_text().map_err(failed)?;
        let upper = again.to_uppercase();
        h.same(name, if name == "text" { again.as_str() } else { upper.as_str() }, text)?;
    }
    let alone = v.at("without_server")?;
    let invite = Invite::parse(alone.text("text")?).map_err(failed)?;
    let serverless = invite.serverless.as_ref().ok_or("no r in it")?;
    h.same("server", invite.server.as_deref(), None)?;
    h.same("count", serverless.generation.count, alone.number("count")?)?;
    h.is(alone, "hash", serverless.generation.hash)?;
    h.is(alone, "r", serverless.random.expose())?;
    h.same("text", invite.to_text().map_err(failed)?.as_str(), alone.text("text")?)?;
    let invite = Invite::parse(alone.text("with_genesis")?).map_err(failed)?;
    let genesis = invite.genesis.as_ref().ok_or("no genesis in it")?;
    h.is(alone, "genesis", genesis.encode())?;
    let text = invite.to_text().map_err(failed)?;
    h.same("with genesis", text.as_str(), alone.text("with_genesis")?)?;
    h.refuse(v, "reject", |case| Invite::parse(case.text("text")?).map_err(failed))
}
