//! Acts of the room's admin and its moderators, as people and programs ask for them.

use snug::engine::Handle;
use snug::room::{Command, MemberView, Trust};
use snug_crypto::ids::Fingerprint;
use snug_crypto::names::RoomKey;
use snug_crypto::operation::{Keeper, Role};

use super::people::short;
use crate::rules::Change;

/// What is said where a name is several members'.
const AMBIGUOUS: &str = "several members go by that name; name one by its fingerprint, see /members";
/// Digits of a fingerprint that are enough to name somebody, if nobody else begins with them.
const MIN_PREFIX: usize = 8;

/// What is to be done; members are named as whoever asks knows them.
#[derive(Clone, Debug)]
pub enum Act {
    /// Remove somebody.
    Kick(String),
    /// Remove somebody for good.
    Ban(String),
    /// Give somebody a role.
    Role(String, Role),
    /// Give everybody a new Room Key: this one, or a generated one.
    Rekey(Option<RoomKey>),
    /// Name a keeper.
    Keeper(Box<Keeper>),
    /// Let somebody in who waits at the door.
    Approve(String),
    /// Change the rules.
    Policy(Change),
    /// Say what one knows of somebody.
    Trust(String, Trust),
    /// Delete the room for everybody.
    DeleteRoom,
}

impl PartialEq for Act {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Kick(a), Self::Kick(b)) | (Self::Ban(a), Self::Ban(b)) | (Self::Approve(a), Self::Approve(b)) => {
                a == b
            }
            (Self::Role(a, role), Self::Role(b, other)) => a == b && role == other,
            (Self::Trust(a, trust), Self::Trust(b, other)) => a == b && trust == other,
            (Self::Rekey(a), Self::Rekey(b)) => a.as_ref().map(RoomKey::reveal) == b.as_ref().map(RoomKey::reveal),
            (Self::Policy(a), Self::Policy(b)) => a == b,
            (Self::Keeper(a), Self::Keeper(b)) => a == b,
            (Self::DeleteRoom, Self::DeleteRoom) => true,
            _ => false,
        }
    }
}

impl Eq for Act {}

/// A role by its name.
pub fn role(word: &str) -> Option<Role> {
    match word.to_lowercase().as_str() {
        "admin" => Some(Role::Admin),
        "moderator" | "mod" => Some(Role::Moderator),
        "member" => Some(Role::Member),
        _ => None,
    }
}

/// A keeper by the line that `snug keep` prints.
pub fn keeper(offer: &str) -> Result<Act, String> {
    Keeper::parse(offer)
        .map(|keeper| Act::Keeper(Box::new(keeper)))
        .map_err(|error| format!("this is no keeper's offer: {error}"))
}

/// Does it; the error is a sentence for whoever asked.
pub async fn perform(handle: &Handle, act: Act) -> Result<(), String> {
    let command = match act {
        Act::Kick(who) => Command::Kick {
            who: anybody(handle, &who).await?,
        },
        Act::Ban(who) => Command::Ban {
            who: anybody(handle, &who).await?,
        },
        Act::Role(who, role) => Command::Role {
            who: member(handle, &who).await?,
            role,
        },
        Act::Rekey(room_key) => Command::Rekey { room_key },
        Act::Keeper(offer) => Command::Keeper(offer),
        Act::Approve(who) => {
            let applicants = handle.applicants().await.map_err(|error| error.to_string())?;
            Command::Approve {
                who: find(&applicants, &who)?,
            }
        }
        Act::Policy(change) => {
            change.check()?;
            let info = handle.info().await.map_err(|error| error.to_string())?;
            Command::Policy(change.applied_to(info.policy))
        }
        Act::Trust(who, trust) => Command::Trust {
            who: member(handle, &who).await?,
            trust,
        },
        Act::DeleteRoom => Command::Delete,
    };
    handle.act(command).await.map_err(|error| error.to_string())
}

pub async fn member(handle: &Handle, who: &str) -> Result<Fingerprint, String> {
    let members = handle.members().await.map_err(|error| error.to_string())?;
    let found = find(&members, who);
    // A keeper has no name; its fingerprint says which.
    let keepers = handle.keepers().await.map_err(|error| error.to_string())?;
    let prefix = who.trim().to_lowercase();
    let mut named = keepers.iter().map(|keeper| keeper.fingerprint);
    let keeper = named.find(|fingerprint| prefix.len() >= MIN_PREFIX && fingerprint.to_string().starts_with(&prefix));
    found.or_else(|error| keeper.ok_or(error))
}

/// A member, or somebody who waits to become one.
async fn anybody(handle: &Handle, who: &str) -> Result<Fingerprint, String> {
    let mut all = handle.members().await.map_err(|error| error.to_string())?;
    all.extend(handle.applicants().await.map_err(|error| error.to_string())?);
    find(&all, who)
}

/// Somebody by name, by name and the first digits of the fingerprint (`alice#0123abcd`), or by fingerprint. A whole fingerprint may also be that
/// of somebody who has left.
pub fn find(members: &[MemberView], who: &str) -> Result<Fingerprint, String> {
    let who = who.trim();
    if let Some(fingerprint) = Fingerprint::from_hex(who) {
        return Ok(fingerprint);
    }
    let prefix = who.to_lowercase();
    let is_prefix = prefix.len() >= MIN_PREFIX && prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
    let matches = |member: &&MemberView| {
        let (name, digits) = (member.name.name(), member.fingerprint.to_string());
        name == who
            || member.name.exact() == who
            || format!("{name}#{}", short(&member.fingerprint)) == who
            || (is_prefix && digits.starts_with(&prefix))
    };
    let mut found = members.iter().filter(matches);
    match (found.next(), found.next()) {
        (Some(member), None) => Ok(member.fingerprint),
        (None, _) => Err("there is nobody of that name or fingerprint; /members lists who is here".to_owned()),
        (Some(_), Some(_)) => Err(AMBIGUOUS.to_owned()),
    }
}

/// Whether this is what [`find`] says of a name that several go by.
pub fn is_ambiguous(error: &str) -> bool {
    error == AMBIGUOUS
}

#[cfg(test)]
mod tests {
    use super::super::people::tests::member;
    use super::*;

    #[test]
    fn members_are_named_by_name_or_fingerprint_and_never_guessed() {
        let members = [member("alice", 1), member("bob", 2), member("bob", 3)];
        let one = Fingerprint::from_bytes([1; 16]);
        assert_eq!(find(&members, "alice"), Ok(one));
        assert_eq!(find(&members, "01010101"), Ok(one));
        assert_eq!(find(&members, &one.to_string()), Ok(one));
        assert_eq!(find(&members, "bob#03030303"), Ok(Fingerprint::from_bytes([3; 16])));
        assert!(find(&members, "bob").unwrap_err().contains("several"));
        assert!(find(&members, "Alice").is_err());
        assert!(find(&members, "0101").is_err());
        assert!(find(&members, "").is_err());
        let gone = Fingerprint::from_bytes([9; 16]);
        assert_eq!(find(&members, &gone.to_string()), Ok(gone));
    }
}
