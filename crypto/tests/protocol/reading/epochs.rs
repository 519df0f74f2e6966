//! Epochs and frames, made again from the randomness that stands beside them.

use core::convert::Infallible;

use rand_chacha::rand_core::{TryCryptoRng, TryRng};
use snug_crypto::{
    FrameHash, FrameTag, GenesisHash, LeafId, MessageId, Psk,
    content::{Content, ContentKind},
    epoch::{self, Announcement, IssueParams, Issued, MemberEntry, Round, SealedBox, UnverifiedAnnouncement},
    frame::{Epoch, OpenedFrame, ParentRef, UnverifiedStatement},
    kdf,
    kem::{KemKey, KemSecret},
    label,
    leaf::{LeafPublicKey, LeafSigningKey},
    merkle,
};

use super::{At, Failure, Held, failed};

/// Gives out what somebody else drew.
pub(super) struct Replayed(pub(super) std::vec::IntoIter<u8>);

impl TryRng for Replayed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill_with(|| self.0.next().unwrap_or_default());
        Ok(())
    }
}

impl TryCryptoRng for Replayed {}

/// An epoch that was read: what its frames need.
pub(super) struct Read {
    genesis: GenesisHash,
    psk: Psk,
    issued: Issued,
    kem: KemSecret,
}

impl Read {
    /// The epoch once more, with this key for every member whose key isn't known here.
    fn live(&self, keys: &[(LeafId, LeafPublicKey)], other: LeafPublicKey) -> Result<Epoch, Failure> {
        let announcement = &self.issued.announcement;
        let secrets = epoch::open_box(announcement, &self.issued.boxes[0], &self.kem, &self.psk).map_err(failed)?;
        let all = announcement.members().iter().map(|entry| (entry.leaf, other));
        let all: Vec<_> = all.chain(keys.iter().copied()).collect();
        Epoch::new(secrets, announcement, &all).map_err(failed)
    }
}

pub(super) fn epoch(v: At<'_>, h: &mut Held) -> Result<Read, Failure> {
    let (genesis, psk) = (
        GenesisHash::from_bytes(v.array("genesis_hash")?),
        Psk::from_bytes(v.array("psk")?),
    );
    let signer = LeafSigningKey::from_seed(&v.array("issuer_leaf_seed")?);
    let take = |bytes: &[u8]| -> Result<Announcement, Failure> {
        let announcement = UnverifiedAnnouncement::decode(bytes).map_err(failed)?;
        announcement.verify(&genesis, |_| Some(signer.public())).map_err(failed)
    };
    let announcement = take(&v.bytes("announcement")?)?;
    let header = announcement.header();
    let round = v.at("round")?;
    h.same(
        "round",
        header.round,
        Round {
            day: round.small("day")?,
            counter: round.small("counter")?,
        },
    )?;

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
    let issued = epoch::issue(&mut Replayed(drawn.into_iter()), &psk, &genesis, params, &signer).map_err(failed)?;
    h.is(v, "announcement", issued.announcement.encode())?;
    h.is(v, "members_hash", header.members_hash)?;
    h.is(v, "commit", issued.announcement.header().commit)?;
    h.is(v, "box_root", header.box_root)?;
    h.is(v, "epoch_id", announcement.epoch_id())?;
    h.is(v, "export", issued.secrets.export().expose())?;
    chains(v, h, &psk, &announcement)?;
    for ((case, ours), kem) in boxes.iter().zip(&issued.boxes).zip(&kems) {
        h.is(*case, "leaf_id", ours.leaf)?;
        h.is(*case, "bytes", ours.encode())?;
        h.is(*case, "tree_leaf", merkle::leaf(&ours.leaf, &ours.ciphertext))?;
        let sealed = SealedBox::decode(&case.bytes("bytes")?).map_err(failed)?;
        let opened = epoch::open_box(&announcement, &sealed, kem, &psk).map_err(failed)?;
        h.is(v, "export", opened.export().expose())?;
    }
    h.refuse(v, "reject", |case| take(&case.bytes("bytes")?))?;
    let rejects = v.at("reject_boxes")?;
    let kem = KemSecret::from_seed(&rejects.array("kem_seed")?);
    let good = issued
        .boxes
        .iter()
        .find(|sealed| epoch::open_box(&announcement, sealed, &kem, &psk).is_ok());
    h.same("a box for the key of the refused ones", good.is_some(), true)?;
    h.refuse(rejects, "cases", |case| {
        let sealed = SealedBox::decode(&case.bytes("bytes")?).map_err(failed)?;
        epoch::open_box(&announcement, &sealed, &kem, &psk).map_err(failed)
    })?;
    // Somebody's own box of another epoch of this room: what that one's issuer made of it. Only the second implementation
    // writes these, because ours makes no bad box.
    let whole = |case: At<'_>| {
        let (announcement, kem) = (
            take(&case.bytes("announcement")?)?,
            KemSecret::from_seed(&case.array("kem_seed")?),
        );
        let sealed = SealedBox::decode(&case.bytes("bytes")?).map_err(failed)?;
        epoch::open_box(&announcement, &sealed, &kem, &psk).map_err(failed)
    };
    if v.at("accept_epochs").is_ok() {
        for case in v.list("accept_epochs")? {
            h.is(v, "export", whole(case)?.export().expose())?;
        }
        h.refuse(v, "reject_epochs", whole)?;
    }
    let read = Read {
        genesis,
        psk,
        issued,
        kem: kems.into_iter().next().ok_or("no boxes")?,
    };
    h.is(v, "tag", read.live(&[], signer.public())?.tag())?;
    Ok(read)
}

/// What every key of the epoch and of its chains is derived from, one by one.
fn chains(v: At<'_>, h: &mut Held, psk: &Psk, announcement: &Announcement) -> Result<(), Failure> {
    let encoded = announcement.encode();
    // Behind the head: commitment, root, signature, and the entries with their option and count.
    let head = encoded.len() - 32 - 32 - 64 - 5 - announcement.members().len() * 52;
    let ctx = kdf::hash(label::CONTEXT, &[announcement.genesis().as_bytes(), &encoded[..head]]);
    let root = kdf::extract(psk.expose(), &v.bytes("es")?);
    let snd = kdf::expand(&*root, label::SENDERS, &[&ctx]);
    h.is(v, "ctx", ctx)?;
    h.is(v, "extracted", *root)?;
    h.is(v, "env", *kdf::expand(&*root, label::ENVELOPE, &[&ctx]))?;
    h.is(v, "snd", *snd)?;
    for (case, entry) in v.list("chains")?.zip(announcement.members()) {
        h.is(case, "leaf_id", entry.leaf)?;
        let first = kdf::expand(&*snd, label::SENDER, &[entry.leaf.as_bytes()]);
        h.is(case, "ck_0", *first)?;
        h.is(case, "mk_0", *kdf::extract(&*first, &[1]))?;
        h.is(case, "ck_1", *kdf::extract(&*first, &[2]))?;
    }
    Ok(())
}

pub(super) fn frame(v: At<'_>, e: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let read = epoch(e, &mut Held::default())?;
    h.is(v, "genesis_hash", read.genesis)?;
    h.is(v, "psk", read.psk.expose())?;
    h.is(v, "epoch_id", read.issued.announcement.epoch_id())?;
    let (me, key) = (
        LeafId::from_bytes(v.array("sender")?),
        LeafSigningKey::from_seed(&v.array("sender_leaf_seed")?),
    );
    let issuer = LeafSigningKey::from_seed(&e.array("issuer_leaf_seed")?).public();
    let live = || read.live(&[(me, key.public())], issuer);
    let (mut sender, mut receiver) = (live()?, live()?);
    let state = |bytes: Vec<u8>| {
        let statement = UnverifiedStatement::decode(&bytes).map_err(failed)?;
        statement.verify(&read.genesis, &key.public()).map_err(failed)
    };
    for case in v.list("frames")? {
        let bytes = case.bytes("bytes")?;
        let contents = case.list("contents")?.map(content).collect::<Result<Vec<_>, _>>()?;
        let parents = case.list("parents")?.map(parent).collect::<Result<Vec<_>, _>>()?;
        let mut nonce = Replayed(bytes.get(9..33).ok_or("too short")?.to_vec().into_iter());
        let made = sender.seal(&mut nonce, me, &key, &parents, &contents).map_err(failed)?;
        h.is(case, "bytes", &made.bytes)?;
        h.is(case, "hash", made.hash)?;
        h.is(case, "statement", made.statement.to_unverified().encode())?;
        h.same("statement", state(case.bytes("statement")?)?, made.statement.clone())?;
        h.same("hash of the statement", made.statement.hash(), made.hash)?;
        h.is(case, "first_message_id", MessageId::of(&made.hash, 0))?;
        h.same("counter", made.counter, case.number("counter")?)?;
        let opened = receiver.open(&bytes).map_err(failed)?;
        let (counter, hash) = (made.counter, made.hash);
        h.same(
            "what was opened",
            opened,
            OpenedFrame {
                sender: me,
                counter,
                parents,
                hash,
                contents,
            },
        )?;
    }
    h.refuse(v, "reject_statements", |case| state(case.bytes("bytes")?))?;
    let first = v.list("frames")?.next().ok_or("no frames")?.bytes("bytes")?;
    h.refuse(v, "reject", |case| {
        let mut receiver = live()?;
        if case.text("what")? == "opened before" {
            receiver.open(&first).map_err(failed)?;
        }
        receiver.open(&case.bytes("bytes")?).map_err(failed)
    })
}

pub(super) fn content(v: At<'_>) -> Result<Content, Failure> {
    if v.number("kind")? != 1 {
        let (kind, bytes) = (ContentKind(v.small("kind")?), v.bytes("body")?);
        return Ok(Content::Unknown { kind, bytes });
    }
    let reply_to = match v.at("reply_to")?.0.is_null() {
        true => None,
        false => Some(MessageId::from_bytes(v.array("reply_to")?)),
    };
    let (text, sent_at_ms) = (v.text("text")?.to_owned(), v.number("sent_at_ms")?);
    Ok(Content::Text {
        text,
        reply_to,
        sent_at_ms,
    })
}

fn parent(v: At<'_>) -> Result<ParentRef, Failure> {
    let (tag, hash) = (
        FrameTag::from_bytes(v.array("tag")?),
        FrameHash::from_bytes(v.array("hash")?),
    );
    Ok(ParentRef { tag, hash })
}
