//! What peers tell each other.

use snug_crypto::{
    EpochId, FrameHash, Generation, IdentityKey, IntroKey, LeafId, MeshKey, OperationHash, PeerKey,
    approval::Approval,
    direct::{Bundle, DirectReply, DirectRequest, EpochVector, ReceiptMark, SenderVector, Wants},
    epoch::{MemberEntry, SealedBox, UnverifiedAnnouncement},
    frame::UnverifiedStatement,
    leaf::UnverifiedRecord,
    link::{self, Link, LinkRole},
    operation::UnverifiedOperation,
    presence::PresenceRecord,
};

use super::{At, Failure, Held, failed};

pub(super) fn presence(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let key = IntroKey::from_bytes(v.array("intro")?);
    let take = |case: At<'_>| PresenceRecord::open(&key, &case.bytes("bytes")?).map_err(failed);
    let opened = take(v)?;
    h.is(v, "peer", opened.peer)?;
    h.same("time", opened.at_ms, v.number("at_ms")?)?;
    let addresses = v.list("addresses")?.map(|address| address.whole().map(str::to_owned));
    h.same("addresses", opened.addresses, addresses.collect::<Result<_, _>>()?)?;
    h.refuse(v, "reject", take)
}

pub(super) fn link(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let mesh = MeshKey::from_bytes(v.array("mesh")?);
    let (dialer, listener) = (
        PeerKey::from_bytes(v.array("dialer")?),
        PeerKey::from_bytes(v.array("listener")?),
    );
    let (ours, theirs) = (v.array("dialer_nonce")?, v.array("listener_nonce")?);
    let link = Link {
        dialer: &dialer,
        listener: &listener,
        dialer_nonce: &ours,
        listener_nonce: &theirs,
    };
    for (name, role) in [
        ("dialer_proof", LinkRole::Dialer),
        ("listener_proof", LinkRole::Listener),
    ] {
        h.is(v, name, link::prove(&mesh, role, &link))?;
        h.same(name, link::verify(&mesh, role, &link, &v.array(name)?), true)?;
    }
    h.refuse(v, "reject", |case| {
        let role = match case.text("role")? {
            "dialer" => LinkRole::Dialer,
            _ => LinkRole::Listener,
        };
        link::verify(&mesh, role, &link, &case.array("proof")?)
            .then_some(())
            .ok_or_else(Failure::new)
    })
}

pub(super) fn direct(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let request = |case: At<'_>| DirectRequest::decode(&case.bytes("bytes")?).map_err(failed);
    let reply = |case: At<'_>| DirectReply::decode(&case.bytes("bytes")?).map_err(failed);
    for case in v.list("requests")? {
        let made = make_request(case.text("what")?, case.at("fields")?)?;
        h.is(case, "bytes", made.encode().map_err(failed)?)?;
        h.same("request", request(case)?, made)?;
    }
    for case in v.list("replies")? {
        let made = make_reply(case.text("what")?, case.at("fields")?)?;
        h.is(case, "bytes", made.encode().map_err(failed)?)?;
        h.same("reply", reply(case)?, made)?;
    }
    h.refuse(v, "reject_requests", request)?;
    h.refuse(v, "reject_replies", reply)
}

fn make_request(what: &str, f: At<'_>) -> Result<DirectRequest, Failure> {
    let epoch = || f.array("epoch").map(EpochId::from_bytes);
    Ok(match what {
        "sync" => DirectRequest::Sync {
            records: f
                .list("records")?
                .map(|record| {
                    Ok((
                        IdentityKey::from_bytes(record.array("identity")?),
                        record.number("seq")?,
                    ))
                })
                .collect::<Result<_, Failure>>()?,
            operations: f.arrays("operations", OperationHash::from_bytes)?,
            epochs: f.arrays("epochs", EpochId::from_bytes)?,
        },
        "compare" => DirectRequest::Compare {
            digest: f.array("digest")?,
        },
        "push" => DirectRequest::Push(bundle(f)?),
        "box" => DirectRequest::Box {
            epoch: epoch()?,
            leaf: LeafId::from_bytes(f.array("leaf")?),
        },
        "boxes" => DirectRequest::Boxes {
            epoch: epoch()?,
            skip: f.small("skip")?,
        },
        "members" => DirectRequest::Members { epoch: epoch()? },
        "frames" => DirectRequest::Frames {
            have: f.list("have")?.map(vector).collect::<Result<_, _>>()?,
        },
        "receipt" => DirectRequest::Receipt {
            marks: f.list("marks")?.map(mark).collect::<Result<_, _>>()?,
        },
        "statements" => DirectRequest::Statements {
            frames: f.arrays("frames", FrameHash::from_bytes)?,
        },
        "approval" => DirectRequest::Approval {
            identity: IdentityKey::from_bytes(f.array("identity")?),
            generation: Generation {
                count: f.number("count")?,
                hash: OperationHash::from_bytes(f.array("hash")?),
            },
        },
        _ => return Err(format!("no request {what}")),
    })
}

fn make_reply(what: &str, f: At<'_>) -> Result<DirectReply, Failure> {
    let sealed = |case: At<'_>| SealedBox::decode(&case.unhex()?).map_err(failed);
    Ok(match what {
        "sync" => DirectReply::Sync {
            bundle: bundle(f.at("bundle")?)?,
            wants: wants(f.at("wants")?)?,
            more: f.flag("more")?,
        },
        "compare" => DirectReply::Compare { same: f.flag("same")? },
        "done" => DirectReply::Done,
        "box" => DirectReply::Box(match f.at("box")? {
            none if none.0.is_null() => None,
            some => Some(sealed(some)?),
        }),
        "boxes" => DirectReply::Boxes(f.list("boxes")?.map(sealed).collect::<Result<_, _>>()?),
        "members" => DirectReply::Members(f.list("members")?.map(entry).collect::<Result<_, _>>()?),
        "frames" => DirectReply::Frames(f.list("frames")?.map(At::unhex).collect::<Result<_, _>>()?),
        "noted" => DirectReply::Noted,
        "statements" => DirectReply::Statements(
            f.list("statements")?
                .map(|each| UnverifiedStatement::decode(&each.unhex()?).map_err(failed))
                .collect::<Result<_, _>>()?,
        ),
        "approval" => DirectReply::Approval(match f.at("approval")? {
            none if none.0.is_null() => None,
            some => Some(Approval::decode(&some.unhex()?).map_err(failed)?),
        }),
        _ => return Err(format!("no reply {what}")),
    })
}

fn bundle(f: At<'_>) -> Result<Bundle, Failure> {
    fn all<T>(f: At<'_>, name: &str, decode: impl Fn(&[u8]) -> Result<T, Failure>) -> Result<Vec<T>, Failure> {
        f.list(name)?.map(|item| decode(&item.unhex()?)).collect()
    }
    Ok(Bundle {
        records: all(f, "records", |bytes| UnverifiedRecord::decode(bytes).map_err(failed))?,
        operations: all(f, "operations", |bytes| {
            UnverifiedOperation::decode(bytes).map_err(failed)
        })?,
        announcements: all(f, "announcements", |bytes| {
            UnverifiedAnnouncement::decode(bytes).map_err(failed)
        })?,
    })
}

fn wants(f: At<'_>) -> Result<Wants, Failure> {
    Ok(Wants {
        records: f.arrays("records", IdentityKey::from_bytes)?,
        operations: f.arrays("operations", OperationHash::from_bytes)?,
        epochs: f.arrays("epochs", EpochId::from_bytes)?,
    })
}

fn vector(f: At<'_>) -> Result<EpochVector, Failure> {
    let sender = |f: At<'_>| {
        let extra = f
            .list("extra")?
            .map(|counter| counter.0.as_u64().ok_or("not a number".to_owned()));
        Ok(SenderVector {
            leaf: LeafId::from_bytes(f.array("leaf")?),
            next: f.number("next")?,
            extra: extra.collect::<Result<_, _>>()?,
        })
    };
    let senders = f.list("senders")?.map(sender).collect::<Result<_, Failure>>()?;
    Ok(EpochVector {
        epoch: EpochId::from_bytes(f.array("epoch")?),
        senders,
    })
}

fn mark(f: At<'_>) -> Result<ReceiptMark, Failure> {
    Ok(ReceiptMark {
        epoch: EpochId::from_bytes(f.array("epoch")?),
        held: f.number("held")?,
        delivered: f.number("delivered")?,
        read_from: f.number("read_from")?,
        read: f.number("read")?,
    })
}

fn entry(f: At<'_>) -> Result<MemberEntry, Failure> {
    Ok(MemberEntry {
        leaf: LeafId::from_bytes(f.array("leaf")?),
        incarnation: f.small("incarnation")?,
        kem_hash: f.array("kem_hash")?,
    })
}
