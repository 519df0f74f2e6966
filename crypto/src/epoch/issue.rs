//! Making an epoch: a new random secret, boxed to every member, committed to and signed.

use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{
    Announcement, EpochHeader, EpochKind, EpochSecrets, MemberEntry, Round, SealedBox, announcement, members_hash,
    sealed_box::{self, Sealing},
};
use crate::{
    EpochId, Generation, GenesisHash, LeafId, Psk, RoomKey, RoomRandom, bounds, extensions::Extensions, kem::KemKey,
    label, leaf::LeafSigningKey, merkle,
};

/// What the issuer decides.
#[derive(Clone, Debug)]
pub struct IssueParams<'a> {
    /// The current generation.
    pub generation: Generation,
    /// The epoch's round.
    pub round: Round,
    /// The issuer's own leaf, which must be a member.
    pub issuer: LeafId,
    /// Up to 8 members who will keep announcement and boxes.
    pub custodians: Vec<LeafId>,
    /// The members, in any order, and the keys to box to.
    pub members: &'a [(MemberEntry, &'a KemKey)],
}

/// A new epoch.
#[derive(Debug)]
pub struct Issued {
    /// To be published.
    pub announcement: Announcement,
    /// To be kept and served, in the members' order.
    pub boxes: Vec<SealedBox>,
    /// To begin with at once.
    pub secrets: EpochSecrets,
}

/// Why an epoch can't be made of this: the caller's mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IssueError {
    /// No members, or more than [`bounds::MAX_MEMBERS`].
    #[error("an epoch has 1 to {} members", bounds::MAX_MEMBERS)]
    MemberCount,
    /// One leaf stands there twice.
    #[error("a member stands there twice")]
    Duplicate,
    /// The issuer, or a custodian, is no member, or there are more than [`bounds::MAX_CUSTODIANS`].
    #[error("issuer and custodians must be members")]
    NotAMember,
    /// An entry's hash is not that of the key beside it.
    #[error("a member's key is not the one in its entry")]
    WrongKey,
}

/// What the boxes of a generation's first epoch hand out.
#[derive(Clone, Copy, Debug)]
pub struct NewKey<'a> {
    /// The new Room Key.
    pub room_key: &'a RoomKey,
    /// The generation's random half.
    pub random: &'a RoomRandom,
}

/// Makes an epoch. Costs an X-Wing encapsulation for each member.
///
/// # Errors
/// [`IssueError`].
pub fn issue(
    rng: &mut impl CryptoRng,
    psk: &Psk,
    genesis: &GenesisHash,
    params: IssueParams<'_>,
    signer: &LeafSigningKey,
) -> Result<Issued, IssueError> {
    make(rng, psk, None, genesis, params, signer)
}

/// Makes a generation's first epoch, whose boxes carry the new Room Key. `psk` is the new generation's.
///
/// # Errors
/// [`IssueError`].
pub fn issue_generation(
    rng: &mut impl CryptoRng,
    psk: &Psk,
    new: NewKey<'_>,
    genesis: &GenesisHash,
    params: IssueParams<'_>,
    signer: &LeafSigningKey,
) -> Result<Issued, IssueError> {
    make(rng, psk, Some(new), genesis, params, signer)
}

fn make(
    rng: &mut impl CryptoRng,
    psk: &Psk,
    new: Option<NewKey<'_>>,
    genesis: &GenesisHash,
    params: IssueParams<'_>,
    signer: &LeafSigningKey,
) -> Result<Issued, IssueError> {
    let IssueParams {
        generation,
        round,
        issuer,
        mut custodians,
        members,
    } = params;
    let mut members = members.to_vec();
    members.sort_unstable_by_key(|(entry, _)| entry.leaf);
    custodians.sort_unstable();
    custodians.dedup();
    check(&members, &issuer, &custodians)?;
    let entries: Vec<MemberEntry> = members.iter().map(|(entry, _)| *entry).collect();
    let (kind, extensions) = match new {
        None => (EpochKind::Full, Extensions::none()),
        Some(NewKey { room_key, random }) => (EpochKind::KeyGen, sealed_box::new_key(room_key, random)),
    };
    let mut header = EpochHeader {
        kind,
        generation,
        round,
        issuer,
        custodians,
        members_hash: members_hash(&entries),
        member_count: u32::try_from(entries.len()).map_err(|_| IssueError::MemberCount)?,
        extensions: Extensions::none(),
        commit: [0; 32],
        box_root: [0; 32],
    };
    let context = header.context(genesis);
    let mut secret = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *secret);
    let (secrets, commit) = EpochSecrets::derive(psk, &secret, &context);
    let sealing = Sealing {
        context: &context,
        psk: (kind == EpochKind::Full).then_some(psk),
        secret: &secret,
        extensions: &extensions,
    };
    let mut boxes = Vec::with_capacity(members.len());
    for (entry, kem) in &members {
        let ciphertext = sealing.seal(rng, &entry.leaf, kem).ok_or(IssueError::WrongKey)?;
        boxes.push(SealedBox {
            leaf: entry.leaf,
            ciphertext,
            path: Vec::new(),
        });
    }
    let leaves: Vec<_> = boxes
        .iter()
        .map(|sealed| merkle::leaf(&sealed.leaf, &sealed.ciphertext))
        .collect();
    let (box_root, paths) = merkle::build(&leaves).ok_or(IssueError::MemberCount)?;
    boxes.iter_mut().zip(paths).for_each(|(sealed, mut path)| {
        // Kept for as long as the epoch is.
        path.shrink_to_fit();
        sealed.path = path;
    });
    header.commit = commit;
    header.box_root = box_root;
    let epoch_id: EpochId = secrets.epoch_id();
    let signature = signer.sign(
        label::SIGN_ANNOUNCEMENT,
        genesis,
        &announcement::digest(&epoch_id, &box_root),
    );
    let announcement = Announcement {
        header,
        signature,
        members: entries,
        genesis: *genesis,
        context,
        epoch_id,
    };
    Ok(Issued {
        announcement,
        boxes,
        secrets,
    })
}

fn check(members: &[(MemberEntry, &KemKey)], issuer: &LeafId, custodians: &[LeafId]) -> Result<(), IssueError> {
    let holds = |leaf: &LeafId| members.binary_search_by(|(entry, _)| entry.leaf.cmp(leaf)).is_ok();
    if members.is_empty() || members.len() > bounds::MAX_MEMBERS {
        Err(IssueError::MemberCount)
    } else if !members.is_sorted_by(|(a, _), (b, _)| a.leaf < b.leaf) {
        Err(IssueError::Duplicate)
    } else if !holds(issuer) || custodians.len() > bounds::MAX_CUSTODIANS || !custodians.iter().all(holds) {
        Err(IssueError::NotAMember)
    } else if members.iter().any(|(entry, kem)| entry.kem_hash != kem.hash()) {
        Err(IssueError::WrongKey)
    } else {
        Ok(())
    }
}
