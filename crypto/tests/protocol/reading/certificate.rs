//! What a rendezvous checks: certificates, requests signed with them, listings.

use snug_crypto::{
    AdminKey, GenesisHash,
    credential::{Certificate, Listing, Rank, Request, SignedCertificate},
    leaf::LeafSigningKey,
};

use super::{At, Failure, Held, failed};

pub(super) fn certificate(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let admin = AdminKey::from_seed(&v.array("admin_seed")?);
    let key = LeafSigningKey::from_seed(&v.array("key_seed")?);
    let genesis_hash = GenesisHash::from_bytes(v.array("genesis_hash")?);
    let open = |case: At<'_>| {
        let signed = SignedCertificate::from_bytes(case.array("bytes")?);
        signed.verify(&admin.public()).map_err(failed)
    };
    let mut last = None;
    for case in v.list("cases")? {
        let certificate = Certificate {
            genesis_hash,
            key: *key.public().as_bytes(),
            rank: match case.number("rank")? {
                1 => Rank::Moderator,
                2 => Rank::Admin,
                _ => return Err("rank".to_owned()),
            },
            serial: case.small("serial")?,
            expires_at_ms: case.number("expires_at_ms")?,
        };
        h.is(case, "bytes", certificate.sign(&admin).to_bytes())?;
        h.same("certificate", open(case)?, certificate)?;
        last = Some(certificate);
    }
    h.refuse(v, "reject", open)?;
    let holder = last.ok_or("no certificate")?;
    for case in v.list("requests")? {
        request(case, &holder, &key, h)?;
    }
    listing(v.at("listing")?, genesis_hash, &admin, h)
}

fn request(v: At<'_>, holder: &Certificate, key: &LeafSigningKey, h: &mut Held) -> Result<(), Failure> {
    let (token, generation, capsule) = (v.array("token")?, v.array("generation")?, v.bytes("capsule")?);
    let least_serial = v.small("least_serial")?;
    let (registration, upload, key_gen);
    let request = match v.number("what_kind")? {
        1 => {
            (registration, upload, key_gen) = (v.array("registration")?, v.array("upload")?, v.bytes("key_gen")?);
            Request::RoomKey {
                registration: &registration,
                upload: &upload,
                generation: &generation,
                capsule: &capsule,
                key_gen: &key_gen,
                overrides: v.flag("overrides")?,
                least_serial,
            }
        }
        2 => Request::Capsule {
            generation: &generation,
            capsule: &capsule,
            least_serial,
        },
        _ => return Err("what_kind".to_owned()),
    };
    h.is(v, "signature", request.sign(key, &holder.genesis_hash, &token))?;
    let verified = request.verify(holder, &token, &v.array("signature")?);
    h.same("signature", verified.is_ok(), true)
}

fn listing(v: At<'_>, genesis_hash: GenesisHash, admin: &AdminKey, h: &mut Held) -> Result<(), Failure> {
    let open = |case: At<'_>| Listing::open(&case.bytes("bytes")?).map_err(failed);
    let listing = Listing {
        genesis_hash,
        admin: admin.public(),
        room_id: v.text("room_id")?.to_owned(),
        description: v.text("description")?.to_owned(),
    };
    h.is(v, "bytes", listing.sign(admin))?;
    h.same("listing", open(v)?, listing)?;
    h.refuse(v, "reject", open)
}
