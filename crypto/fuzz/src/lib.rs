//! A session of members in one epoch, the same for every input; and the hand of a member who seals what it likes.

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, XChaCha20Poly1305};
use hmac::{Hmac, Mac};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use sha2::Sha256;
use snug_crypto::{
    AdminKey, Generation, GenerationKeys, Genesis, Identity, Policy, RoomId, RoomKey, RoomRandom, TransportKey,
    content::Content,
    epoch::{self, IssueParams, MemberEntry, Round},
    frame::Epoch,
    kdf, label,
    leaf::{Leaf, LeafParams, LeafSecrets},
};

/// What a group does, and what must come of it: the same as in the property tests.
#[path = "../../tests/protocol/group.rs"]
pub mod group;
pub mod pair;

/// The code's own, which is no part of what it offers.
#[path = "../../src/invite/bech32m.rs"]
#[expect(dead_code, reason = "it decodes, too")]
mod checksummed;

/// A member with its view of the epoch.
pub struct Member {
    /// Its keys.
    pub secrets: LeafSecrets,
    /// Its record.
    pub leaf: Leaf,
    /// Its epoch.
    pub epoch: Epoch,
}

/// Members of one epoch.
pub struct Session {
    rng: ChaCha20Rng,
    /// The members.
    pub members: Vec<Member>,
    envelope: [u8; 32],
    senders: [u8; 32],
    epoch: [u8; 32],
    genesis: [u8; 32],
}

impl Session {
    /// A room with so many members, each with its box opened.
    pub fn new(members: usize) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let admin = AdminKey::generate(&mut rng);
        let id = RoomId::parse("den").unwrap();
        let genesis = Genesis::create(&admin, &id, "", 0, Policy::default()).unwrap();
        let (key, random) = (RoomKey::generate(&mut rng), RoomRandom::generate(&mut rng));
        let keys = GenerationKeys::derive(&key, &random, &id.handle(), Generation::first(&genesis.hash()));
        let mut made: Vec<(LeafSecrets, Leaf)> = Vec::new();
        for _ in 0..members {
            let (identity, transport) = (Identity::generate(&mut rng), TransportKey::generate(&mut rng));
            let secrets = LeafSecrets::generate(&mut rng);
            let generation = keys.generation();
            let params = LeafParams {
                name: "a".into(),
                seq: 1,
                incarnation: 0,
                expires_at_ms: 1,
                generation,
                approval: None,
            };
            let leaf = Leaf::create(params, &identity, &transport, &secrets, keys.join(), &genesis.hash()).unwrap();
            made.push((secrets, leaf));
        }
        let entries: Vec<_> = made
            .iter()
            .map(|(_, leaf)| (MemberEntry::of(leaf), leaf.kem()))
            .collect();
        let params = IssueParams {
            generation: keys.generation(),
            round: Round { day: 1, counter: 0 },
            issuer: made[0].1.id(),
            custodians: vec![],
            members: &entries,
        };
        // The secret is the first that an issuer draws.
        let mut secret = [0; 32];
        rng.clone().fill_bytes(&mut secret);
        let issued = epoch::issue(&mut rng, keys.psk(), &genesis.hash(), params, &made[0].0.signing).unwrap();
        let leaf_keys: Vec<_> = made.iter().map(|(_, leaf)| (leaf.id(), *leaf.key())).collect();
        let members = made
            .into_iter()
            .map(|(secrets, leaf)| {
                let sealed = issued.boxes.iter().find(|sealed| sealed.leaf == leaf.id()).unwrap();
                let opened = epoch::open_box(&issued.announcement, sealed, &secrets.kem, keys.psk()).unwrap();
                let epoch = Epoch::new(opened, &issued.announcement, &leaf_keys).unwrap();
                Member { secrets, leaf, epoch }
            })
            .collect();
        let announcement = &issued.announcement;
        let (encoded, genesis) = (announcement.encode(), *genesis.hash().as_bytes());
        // Behind the head: commitment, root, signature, and the entries with their option and count.
        let head = &encoded[..encoded.len() - 32 - 32 - 64 - 5 - announcement.members().len() * 52];
        let context = kdf::hash(label::CONTEXT, &[&genesis, head]);
        let root = kdf::extract(keys.psk().expose(), &secret);
        Self {
            rng,
            members,
            envelope: *kdf::expand(&*root, label::ENVELOPE, &[&context]),
            senders: *kdf::expand(&*root, label::SENDERS, &[&context]),
            epoch: *announcement.epoch_id().as_bytes(),
            genesis,
        }
    }

    /// A frame of one of them.
    pub fn send(&mut self, from: usize, contents: &[Content]) -> Vec<u8> {
        let Member { secrets, leaf, epoch } = &mut self.members[from];
        epoch
            .seal(&mut self.rng, leaf.id(), &secrets.signing, &[], contents)
            .unwrap()
            .bytes
    }
}

impl Session {
    /// A frame of one of them, rightly signed and sealed with all the right keys, with any parents and any contents in it.
    pub fn forge(&self, from: usize, counter: u64, parents: &[u8], padded: &[u8]) -> Vec<u8> {
        let member = &self.members[from];
        let leaf = member.leaf.id();
        let header = [leaf.as_bytes().as_slice(), &counter.to_be_bytes(), parents].concat();
        let hash = kdf::hash(label::FRAME, &[&self.epoch, &header, &kdf::hash(label::CONTENTS, &[padded])]);
        let signed = [kdf::PREFIX, label::SIGN_FRAME.as_bytes(), &[0], &self.genesis, &hash].concat();
        let key = ed25519_dalek::SigningKey::from_bytes(&member.secrets.signing.to_seed());
        let signature = ed25519_dalek::Signer::sign(&key, &signed).to_bytes();

        let mut chain = *kdf::expand(&self.senders, label::SENDER, &[leaf.as_bytes()]);
        for _ in 0..counter {
            chain = step(&chain, 2);
        }
        let (nonce, mut inner) = ([7; 24], [padded, &signature].concat());
        let cipher = ChaCha20Poly1305::new(&step(&chain, 1).into());
        let tag = cipher
            .encrypt_inout_detached((&[7; 12]).into(), &header, inner.as_mut_slice().into())
            .unwrap();
        let mut text = [&header, &inner, &tag[..]].concat();
        let head = [&[1], &member.epoch.tag().as_bytes()[..]].concat();
        let cipher = XChaCha20Poly1305::new(&self.envelope.into());
        let tag = cipher
            .encrypt_inout_detached((&nonce).into(), &head, text.as_mut_slice().into())
            .unwrap();
        [&head, &nonce[..], &text, &tag[..]].concat()
    }
}

fn step(key: &[u8; 32], number: u8) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
    mac.update(&[number]);
    mac.finalize().into_bytes().into()
}

/// A sealed object of any kind, under a key that is known.
pub fn seal(key: &[u8; 32], kind: u8, nonce: &[u8; 24], plaintext: &[u8]) -> Vec<u8> {
    let mut text = plaintext.to_vec();
    let cipher = XChaCha20Poly1305::new(key.into());
    let tag = cipher
        .encrypt_inout_detached(nonce.into(), &[kind], text.as_mut_slice().into())
        .unwrap();
    [&[kind], &nonce[..], &text, &tag[..]].concat()
}

/// Any bytes as text with a right checksum.
pub fn bech32m(prefix: &str, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(checksummed::encoded_len(prefix, bytes.len()));
    checksummed::encode_to(prefix, bytes, &mut text);
    text
}

/// A message.
pub fn text(text: &str) -> Content {
    Content::Text {
        text: text.to_owned(),
        reply_to: None,
        sent_at_ms: 0,
    }
}
