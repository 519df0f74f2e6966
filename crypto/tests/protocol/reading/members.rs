//! What members sign.

use std::sync::Arc;

use snug_crypto::{
    AdminKey, ControlKey, Generation, Genesis, GenesisHash, Identity, IdentityKey, JoinKey, OperationHash,
    TransportKey,
    control::{self, ControlMessage},
    kem::KemSecret,
    leaf::{Leaf, LeafParams, LeafSecrets, LeafSigningKey, Leave, Record, UnverifiedRecord},
    operation::UnverifiedOperation,
    safety::SafetyNumber,
    wire::Writer,
};

use super::{At, Failure, Held, failed};

pub(super) fn leaf(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let (room, join) = (
        GenesisHash::from_bytes(v.array("genesis_hash")?),
        JoinKey::from_bytes(v.array("join")?),
    );
    let take = |case: At<'_>| {
        let record = UnverifiedRecord::decode(&case.bytes("bytes")?).map_err(failed)?;
        record.verify(&room, |_| Some(&join)).map_err(failed)
    };
    for case in v.list("leaves")? {
        let identity = Identity::from_seed(&case.array("identity_seed")?);
        let transport = TransportKey::from_seed(&case.array("transport_seed")?);
        let secrets = LeafSecrets {
            signing: LeafSigningKey::from_seed(&case.array("leaf_seed")?),
            kem: KemSecret::from_seed(&case.array("kem_seed")?),
        };
        let generation = case.at("generation")?;
        let params = LeafParams {
            name: case.text("name")?.to_owned(),
            seq: case.number("seq")?,
            incarnation: case.small("incarnation")?,
            expires_at_ms: case.number("expires_at_ms")?,
            generation: Generation {
                count: generation.number("count")?,
                hash: OperationHash::from_bytes(generation.array("hash")?),
            },
            approval: None,
        };
        let made = Leaf::create(params, &identity, &transport, &secrets, &join, &room).map_err(failed)?;
        h.is(case, "identity_vk", made.identity())?;
        h.same(
            "fingerprint",
            made.identity().fingerprint().to_string().as_str(),
            case.text("fingerprint")?,
        )?;
        h.is(case, "peer", made.peer())?;
        h.is(case, "leaf_vk", made.key().as_bytes())?;
        h.is(case, "kem_hash", made.kem().hash())?;
        h.is(case, "leaf_id", made.id())?;
        h.is(case, "bytes", made.encode())?;
        h.same("what was decoded", take(case)?, Record::Leaf(Arc::new(made)))?;
    }
    let leave = v.at("leave")?;
    let identity = Identity::from_seed(&leave.array("identity_seed")?);
    let made = Leave::create(&identity, leave.number("seq")?, leave.small("incarnation")?, &room);
    h.is(leave, "bytes", made.encode())?;
    h.same("what was decoded", take(leave)?, Record::Leave(made))?;
    h.refuse(v, "reject", take)
}

pub(super) fn safety(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    for case in v.list("cases")? {
        let (one, other) = (case.array("one")?, case.array("other")?);
        let (one, other) = (IdentityKey::from_bytes(one), IdentityKey::from_bytes(other));
        let number = SafetyNumber::of(&one, &other);
        h.same("order", number, SafetyNumber::of(&other, &one))?;
        h.same("number", number.to_string().as_str(), case.text("number")?)?;
        h.same("scanned", number.scanned().as_str(), case.text("scanned")?)?;
        for typed in case.list("typed")? {
            h.same("typed", number.matches(typed.whole()?), true)?;
        }
        h.refuse(case, "reject", |wrong| {
            number
                .matches(wrong.text("typed")?)
                .then_some(())
                .ok_or_else(Failure::new)
        })?;
    }
    Ok(())
}

pub(super) fn operation(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let genesis = Genesis::decode(&v.bytes("genesis")?).map_err(failed)?;
    let admin = AdminKey::from_seed(&v.array("admin_seed")?).public();
    let author = Identity::from_seed(&v.array("author_seed")?).key();
    h.same("admin", &admin, genesis.admin())?;
    let take = |case: At<'_>| {
        let operation = UnverifiedOperation::decode(&case.bytes("bytes")?).map_err(failed)?;
        operation.verify(&genesis).map_err(failed)
    };
    for case in v.list("operations")? {
        let parents: Vec<[u8; 32]> = case.arrays("parents", |parent| parent)?;
        let mut body = Writer::new();
        body.u8(1).raw(match case.text("by")? {
            "admin" => admin.as_bytes(),
            "member" => author.as_bytes(),
            other => return Err(format!("by {other}")),
        });
        body.list(&parents, |w, parent| {
            w.raw(parent);
        });
        body.u16(case.small("kind")?).lp(&case.bytes("body")?);
        let (bytes, opened) = (case.bytes("bytes")?, take(case)?);
        h.same("body", body.as_slice(), &bytes[..bytes.len().saturating_sub(64)])?;
        h.same("kind", u64::from(opened.operation().kind().0), case.number("kind")?)?;
        h.is(case, "bytes", opened.encode())?;
        h.is(case, "hash", opened.hash())?;
    }
    h.refuse(v, "reject", take)
}

pub(super) fn control(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let key = ControlKey::from_bytes(v.array("control")?);
    let take = |case: At<'_>| control::open(&key, &case.bytes("bytes")?).map_err(failed);
    for case in v.list("messages")? {
        let message = take(case)?;
        let (kind, body) = match &message {
            ControlMessage::Record(record) => (1, record.encode().to_vec()),
            ControlMessage::Operation(operation) => (2, operation.encode()),
            ControlMessage::Announcement(announcement) => (3, announcement.encode()),
            ControlMessage::Approval {
                identity,
                generation,
                approval,
            } => {
                let mut body = identity.as_bytes().to_vec();
                body.extend(generation.count.to_be_bytes());
                body.extend(generation.hash.as_bytes());
                body.extend(approval.encode());
                (4, body)
            }
            ControlMessage::Certificate(certificate) => (5, certificate.to_bytes().to_vec()),
            ControlMessage::Box { epoch, sealed } => (6, [&epoch.as_bytes()[..], &sealed.encode()].concat()),
        };
        h.same("type", kind, case.number("type")?)?;
        h.is(case, "body", body)?;
        h.is(case, "bytes", control::seal(&key, &message).map_err(failed)?)?;
    }
    h.refuse(v, "reject", take)
}
