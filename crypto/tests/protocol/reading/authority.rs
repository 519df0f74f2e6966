//! A new generation: its operation, its first epoch, its object; what is handed over, approvals, and a link's hint.

use std::sync::Arc;

use snug_crypto::{
    ControlKey, GenerationKeys, Genesis, Identity, IdentityKey, LeafId, MeshKey, OperationHash, RoomKey, RoomRandom,
    approval::Approval,
    control::{self, ControlMessage},
    epoch::{self, Announcement, IssueParams, MemberEntry, NewKey, SealedBox, UnverifiedAnnouncement},
    hand_over,
    kem::{KemKey, KemSecret},
    leaf::{Admit, Leaf, LeafSigningKey, Record, UnverifiedRecord},
    link,
    object::UnverifiedObject,
    operation::{Author, Operation, Rekey, SignedOperation, UnverifiedOperation},
};

use super::{At, Failure, Held, epochs::Replayed, failed};

/// The generation that a file is about.
struct Made {
    genesis: Genesis,
    room_key: RoomKey,
    random: RoomRandom,
    keys: GenerationKeys,
    operation: SignedOperation,
}

pub(super) fn authority(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let made = operation(v, h)?;
    let announcement = first_epoch(v.at("first_epoch")?, &made, h)?;
    object(v.at("object")?, &made, &announcement, v.at("first_epoch")?, h)?;
    handed(v.at("hand_over")?, &made, h)?;
    approval(v.at("approval")?, &made, h)?;
    let hint = v.at("link_hint")?;
    h.is(hint, "mesh", made.keys.mesh().expose())?;
    let mesh = MeshKey::from_bytes(hint.array("mesh")?);
    h.is(hint, "hint", link::hint(&mesh, &hint.array("dialer_nonce")?))
}

/// The kick that makes the generation, and the generation's keys.
fn operation(v: At<'_>, h: &mut Held) -> Result<Made, Failure> {
    let genesis = Genesis::decode(&v.bytes("genesis")?).map_err(failed)?;
    let opened = UnverifiedOperation::decode(&v.bytes("operation")?).map_err(failed)?;
    let opened = opened.verify(&genesis).map_err(failed)?;
    let &Operation::Kick { identity, rekey } = opened.operation() else {
        return Err("not a kick".to_owned());
    };
    h.is(v, "removed", identity)?;
    h.same("count", rekey.count, v.number("count")?)?;
    let generation = opened.generation().ok_or("it makes no generation")?;
    let room_key = RoomKey::parse(v.text("room_key")?).map_err(failed)?;
    let random = RoomRandom::from_bytes(v.array("r")?);
    let keys = GenerationKeys::derive(&room_key, &random, &genesis.handle(), generation);
    h.is(v, "psk", keys.psk().expose())?;
    h.is(v, "topic", keys.topic().0)?;
    h.is(v, "key_commit", keys.commit())?;
    let announced = UnverifiedAnnouncement::decode(&v.at("first_epoch")?.bytes("announcement")?).map_err(failed)?;
    let members = announced.unverified_members().ok_or("no members")?;
    let kick = Operation::Kick {
        identity: IdentityKey::from_bytes(v.array("removed")?),
        rekey: Rekey {
            count: v.number("count")?,
            key_commit: v.array("key_commit")?,
            members_hash: epoch::roster_hash(members),
            member_count: u32::try_from(members.len()).map_err(failed)?,
        },
    };
    let author = Identity::from_seed(&v.array("author_seed")?);
    let parents = v.arrays("parents", OperationHash::from_bytes)?;
    let operation = SignedOperation::create(Author::Member(&author), parents, kick, &genesis.hash()).map_err(failed)?;
    h.is(v, "operation", operation.encode())?;
    h.is(v, "operation_hash", operation.hash())?;
    Ok(Made {
        genesis,
        room_key,
        random,
        keys,
        operation,
    })
}

impl Made {
    fn new_key(&self) -> NewKey<'_> {
        NewKey {
            room_key: &self.room_key,
            random: &self.random,
        }
    }
}

/// Its epoch of kind 02, whose boxes carry the new Room Key.
fn first_epoch(v: At<'_>, made: &Made, h: &mut Held) -> Result<Announcement, Failure> {
    let genesis = made.genesis.hash();
    let signer = LeafSigningKey::from_seed(&v.array("issuer_leaf_seed")?);
    let take = |case: At<'_>, name: &str| -> Result<Announcement, Failure> {
        let announcement = UnverifiedAnnouncement::decode(&case.bytes(name)?).map_err(failed)?;
        let announcement = announcement
            .verify(&genesis, |_| Some(signer.public()))
            .map_err(failed)?;
        let ours = announcement.header().generation == made.keys.generation();
        ours.then_some(announcement)
            .ok_or_else(|| "another generation's".to_owned())
    };
    let announcement = take(v, "announcement")?;
    let header = announcement.header();
    let boxes: Vec<At<'_>> = v.list("boxes")?.collect();
    let kems = boxes
        .iter()
        .map(|case| Ok(KemSecret::from_seed(&case.array("kem_seed")?)));
    let kems: Vec<KemSecret> = kems.collect::<Result<_, Failure>>()?;
    let publics: Vec<KemKey> = kems.iter().map(KemSecret::public).collect();
    h.same("number of boxes", boxes.len(), announcement.members().len())?;
    let members: Vec<(MemberEntry, &KemKey)> = announcement.members().iter().copied().zip(&publics).collect();
    let params = IssueParams {
        generation: header.generation,
        round: header.round,
        issuer: header.issuer,
        custodians: header.custodians.clone(),
        members: &members,
    };
    let mut drawn = v.array::<32>("es")?.to_vec();
    for case in &boxes {
        drawn.extend(case.array::<64>("encapsulation_randomness")?);
    }
    let mut rng = Replayed(drawn.into_iter());
    let psk = made.keys.psk();
    let issued = epoch::issue_generation(&mut rng, psk, made.new_key(), &genesis, params, &signer).map_err(failed)?;
    h.is(v, "announcement", issued.announcement.encode())?;
    h.is(v, "commit", issued.announcement.header().commit)?;
    h.is(v, "epoch_id", announcement.epoch_id())?;
    let (handle, commit) = (made.genesis.handle(), made.keys.commit());
    for ((case, ours), kem) in boxes.iter().zip(&issued.boxes).zip(&kems) {
        h.is(*case, "leaf_id", ours.leaf)?;
        h.is(*case, "bytes", ours.encode())?;
        let sealed = SealedBox::decode(&case.bytes("bytes")?).map_err(failed)?;
        let opened = epoch::open_key_box(&announcement, &sealed, kem, &handle, &commit).map_err(failed)?;
        h.same("room key in the box", opened.room_key.reveal(), made.room_key.reveal())?;
        h.same("r in the box", opened.random.expose(), made.random.expose())?;
    }
    h.refuse(v, "reject", |case| take(case, "bytes"))?;
    let rejects = v.at("reject_boxes")?;
    let kem = KemSecret::from_seed(&rejects.array("kem_seed")?);
    h.refuse(rejects, "cases", |case| {
        let sealed = SealedBox::decode(&case.bytes("bytes")?).map_err(failed)?;
        epoch::open_key_box(&announcement, &sealed, &kem, &handle, &case.array("key_commit")?).map_err(failed)
    })?;
    Ok(announcement)
}

/// All of it together, put together again from its parts.
fn object(v: At<'_>, made: &Made, announcement: &Announcement, e: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let before = v.list("before")?.map(|operation| {
        let operation = UnverifiedOperation::decode(&operation.unhex()?).map_err(failed)?;
        operation.verify(&made.genesis).map_err(failed)
    });
    let mut log = before.collect::<Result<Vec<_>, Failure>>()?;
    let parents: Vec<OperationHash> = log.iter().map(SignedOperation::hash).collect();
    h.same("parents", &parents[..], made.operation.parents())?;
    log.push(made.operation.clone());
    let issuer = UnverifiedRecord::decode(&v.bytes("issuer")?).map_err(failed)?;
    let genesis = made.genesis.hash();
    match issuer
        .clone()
        .verify_with(&genesis, |_, _| Admit::Carried)
        .map_err(failed)?
    {
        Record::Leaf(leaf) => h.same("issuer", leaf.id(), announcement.header().issuer)?,
        Record::Leave(_) => return Err("the issuer left".to_owned()),
    }
    let boxes = e
        .list("boxes")?
        .map(|case| SealedBox::decode(&case.bytes("bytes")?).map_err(failed));
    let object = UnverifiedObject {
        log: log.iter().map(SignedOperation::to_unverified).collect(),
        issuer,
        announcement: announcement.to_unverified_with_members(),
        boxes: boxes.collect::<Result<_, Failure>>()?,
    };
    h.is(v, "bytes", object.encode().map_err(failed)?)?;
    let decode = |case: At<'_>| UnverifiedObject::decode(&case.bytes("bytes")?).map_err(failed);
    h.same("what was decoded", decode(v)?, object)?;
    h.refuse(v, "reject", decode)
}

fn handed(v: At<'_>, made: &Made, h: &mut Held) -> Result<(), Failure> {
    let genesis = made.genesis.hash();
    let leaf = leaf(v, made)?;
    h.is(v, "leaf_id", leaf.id())?;
    let drawn = v.array::<64>("encapsulation_randomness")?.to_vec();
    let (mut rng, generation) = (Replayed(drawn.into_iter()), made.keys.generation());
    let sealed = hand_over::seal(&mut rng, made.new_key(), generation, &genesis, &leaf).ok_or("no KEM key")?;
    h.is(v, "bytes", sealed)?;
    let kem = KemSecret::from_seed(&v.array("kem_seed")?);
    let (id, handle) = (LeafId::from_bytes(v.array("leaf_id")?), made.genesis.handle());
    let open = |bytes: &[u8], commit: &[u8; 32]| {
        let handed = hand_over::open(bytes, &kem, generation, &genesis, &id, &handle, commit);
        handed.ok_or_else(|| "it doesn't open".to_owned())
    };
    let handed = open(&v.bytes("bytes")?, &made.keys.commit())?;
    h.same("room key handed over", handed.room_key.reveal(), made.room_key.reveal())?;
    h.same("r handed over", handed.random.expose(), made.random.expose())?;
    h.refuse(v, "reject", |case| {
        open(&case.bytes("bytes")?, &case.array("key_commit")?)
    })
}

fn leaf(v: At<'_>, made: &Made) -> Result<Leaf, Failure> {
    let record = UnverifiedRecord::decode(&v.bytes("leaf")?).map_err(failed)?;
    match record
        .verify_with(&made.genesis.hash(), |_, _| Admit::Carried)
        .map_err(failed)?
    {
        Record::Leaf(leaf) => Ok(Arc::unwrap_or_clone(leaf)),
        Record::Leave(_) => Err("it left".to_owned()),
    }
}

fn approval(v: At<'_>, made: &Made, h: &mut Held) -> Result<(), Failure> {
    let (genesis, generation) = (made.genesis.hash(), made.keys.generation());
    let approver = Identity::from_seed(&v.array("approver_seed")?);
    let identity = IdentityKey::from_bytes(v.array("identity")?);
    let approval = Approval::sign(Author::Member(&approver), &identity, generation, &genesis);
    h.is(v, "bytes", approval.encode())?;
    let take = |case: At<'_>| {
        let approval = Approval::decode(&case.bytes("bytes")?).map_err(failed)?;
        approval.verify(&identity, generation, &genesis).map_err(failed)?;
        Ok(approval)
    };
    h.same("approval", take(v)?, approval.clone())?;
    h.is(v, "control", made.keys.control().expose())?;
    let key = ControlKey::from_bytes(v.array("control")?);
    let message = ControlMessage::Approval {
        identity,
        generation,
        approval,
    };
    h.is(v, "message", control::seal(&key, &message).map_err(failed)?)?;
    h.same(
        "message",
        control::open(&key, &v.bytes("message")?).map_err(failed)?,
        message,
    )?;
    h.refuse(v, "reject", take)
}
