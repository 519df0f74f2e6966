//! Keepers: offer, invite, grants, what is asked of one, and a generation's object at rest there.

use snug_crypto::{
    AdminKey, ControlKey, Generation, GenesisHash, OperationHash, TransportKey,
    credential::SignedCertificate,
    keeper::{
        self, Grant, Granter, KeeperInvite, KeeperReply, KeeperRequest, KeeperSecrets, KeptItem, UnverifiedGrant,
    },
    kem::KemSecret,
    leaf::LeafSigningKey,
    operation::Keeper,
};

use super::{At, Failure, Held, epochs::Replayed, failed};

pub(super) fn keeper(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let admin_key = AdminKey::from_seed(&v.array("admin_seed")?);
    let admin = admin_key.public();
    let genesis = GenesisHash::from_bytes(v.array("genesis_hash")?);
    let secrets = KeeperSecrets {
        transport: TransportKey::from_seed(&v.array("transport_seed")?),
        kem: KemSecret::from_seed(&v.array("kem_seed")?),
    };
    let leaf = LeafSigningKey::from_seed(&v.array("leaf_seed")?);
    let (now, before) = (generation(v.at("generation")?)?, generation(v.at("before")?)?);

    let one = v.at("offer")?;
    let addresses: Result<Vec<String>, Failure> = one
        .list("addresses")?
        .map(|text| Ok(text.whole()?.to_owned()))
        .collect();
    let offer = secrets.offer(addresses?);
    h.same("offer", offer.to_text().as_deref(), Some(one.text("text")?))?;
    h.same("offer", &Keeper::parse(one.text("text")?).map_err(failed)?, &offer)?;
    h.refuse(one, "reject", |case| Keeper::parse(case.text("text")?).map_err(failed))?;

    let open = |case: At<'_>, at: &str| {
        let grant = UnverifiedGrant::decode(&case.bytes("bytes")?).map_err(failed)?;
        grant
            .open(&secrets, &admin, &genesis, case.number(at)?)
            .map(|granted| (grant, granted))
            .map_err(failed)
    };
    for case in v.list("grants")? {
        let (grant, granted) = open(case, "at")?;
        h.is(case, "bytes", grant.encode())?;
        h.same("generation", granted.generation, now)?;
        h.same("before", granted.before, before)?;
        h.same("at", granted.at_ms, case.number("at")?)?;
        h.is(v, "topic", granted.topic.0)?;
        h.is(v, "keep", granted.keep.expose())?;
        let object = case.bytes("object")?;
        h.same("object", object.is_empty() || grant.is_with(&object), true)?;
        let certificate = case.at("certificate")?;
        let granter = match case.text("by")? {
            "admin" => Granter::Admin(&admin_key),
            "moderator" => Granter::Certified(&leaf, certified(certificate)?),
            _ => return Err("by".to_owned()),
        };
        h.same("certificate", granted.by_admin, certificate.0.is_null())?;
        let grant = Grant {
            generation: now,
            topic: granted.topic,
            keep: &granted.keep,
            before,
            at_ms: granted.at_ms,
            object: Some(&object[..]).filter(|object| !object.is_empty()),
        };
        let mut rng = Replayed(case.array::<64>("encapsulation_randomness")?.to_vec().into_iter());
        let made = grant.create(granter, &offer, &genesis, &mut rng).ok_or("no grant")?;
        h.is(case, "bytes", made.encode())?;
    }
    h.refuse(v, "reject_grants", |case| open(case, "now"))?;

    let one = v.at("invite")?;
    let invite = KeeperInvite::parse(one.text("text")?).map_err(failed)?;
    h.same("invite", invite.to_text().as_str(), one.text("text")?)?;
    h.same("admin", invite.admin, admin)?;
    h.refuse(one, "reject", |case| {
        KeeperInvite::parse(case.text("text")?).map_err(failed)
    })?;

    let (one, control) = (v.at("object")?, ControlKey::from_bytes(v.array("control")?));
    let unseal =
        |case: At<'_>| keeper::open_object(&control, &case.bytes("bytes")?).ok_or("it doesn't open".to_owned());
    h.is(one, "plain", unseal(one)?)?;
    h.refuse(one, "reject", unseal)?;

    let one = v.at("item")?;
    h.is(one, "name", keeper::item_name(&one.bytes("bytes")?))?;

    for case in v.list("requests")? {
        let request = request(case.text("what")?, case.at("fields")?)?;
        h.is(case, "bytes", request.encode().map_err(failed)?)?;
        h.same(
            "request",
            KeeperRequest::decode(&case.bytes("bytes")?).map_err(failed)?,
            request,
        )?;
    }
    for case in v.list("replies")? {
        let reply = reply(case.text("what")?, case.at("fields")?)?;
        h.is(case, "bytes", reply.encode().map_err(failed)?)?;
        h.same(
            "reply",
            KeeperReply::decode(&case.bytes("bytes")?).map_err(failed)?,
            reply,
        )?;
    }
    h.refuse(v, "reject_requests", |case| {
        KeeperRequest::decode(&case.bytes("bytes")?).map_err(failed)
    })?;
    h.refuse(v, "reject_replies", |case| {
        KeeperReply::decode(&case.bytes("bytes")?).map_err(failed)
    })
}

fn certified(v: At<'_>) -> Result<SignedCertificate, Failure> {
    let bytes = v.unhex()?.try_into().map_err(|_| "certificate")?;
    Ok(SignedCertificate::from_bytes(bytes))
}

fn generation(v: At<'_>) -> Result<Generation, Failure> {
    Ok(Generation {
        count: v.number("count")?,
        hash: OperationHash::from_bytes(v.array("hash")?),
    })
}

fn request(what: &str, f: At<'_>) -> Result<KeeperRequest, Failure> {
    Ok(match what {
        "deposit" => KeeperRequest::Deposit(items(f)?),
        "holdings" => KeeperRequest::Holdings {
            store: f.array("store")?,
            after: f.number("after")?,
        },
        "fetch" => KeeperRequest::Fetch(f.arrays("names", |name| name)?),
        "generation" => KeeperRequest::Generation {
            generation: generation(f)?,
            grant: optional(f, "grant")?
                .map(|grant| Ok::<_, Failure>((grant, optional(f, "object")?)))
                .transpose()?,
        },
        _ => return Err("what".to_owned()),
    })
}

fn reply(what: &str, f: At<'_>) -> Result<KeeperReply, Failure> {
    Ok(match what {
        "kept" => KeeperReply::Kept,
        "holdings" => KeeperReply::Holdings {
            store: f.array("store")?,
            items: f
                .list("items")?
                .map(|item| {
                    Ok(KeptItem {
                        tag: item.array("tag")?,
                        name: item.array("name")?,
                    })
                })
                .collect::<Result<_, Failure>>()?,
            next: f.number("next")?,
            more: f.flag("more")?,
        },
        "items" => KeeperReply::Items(items(f)?),
        "generation" => KeeperReply::Generation(optional(f, "object")?),
        _ => return Err("what".to_owned()),
    })
}

fn items(f: At<'_>) -> Result<Vec<Vec<u8>>, Failure> {
    f.list("items")?.map(At::unhex).collect()
}

fn optional(f: At<'_>, name: &str) -> Result<Option<Vec<u8>>, Failure> {
    let value = f.at(name)?;
    if value.0.is_null() {
        Ok(None)
    } else {
        value.unhex().map(Some)
    }
}
