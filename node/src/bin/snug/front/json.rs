//! The front end for programs: JSON-RPC 2.0, one object a line each way.

use serde::Serialize;
use serde_json::{Value, json};
use snug::engine::{Event, EventKind, Handle, SendError};
use snug::room::{Acquaintance, KeeperView, MemberView, Message, Notice, SendRefused};
use snug::text::Untrusted;
use snug_crypto::genesis::Policy;
use snug_crypto::ids::MessageId;
use snug_crypto::operation::Role;

use super::acts::{self, Act};
use super::direct::{self, Unsaid, Wanted};
use super::input::Line;
use super::rpc::{self, Call, Code, Fault, Id};
use super::session::{self, Dialect, Reaction, Unheard};
use super::turns::{Turn, Turns};
use super::{End, Failure, Room, audit, verify};
use crate::chosen::KnownPassword;
use crate::handout::Handout;
use crate::rules::Change;

/// Runs until the room is left or closes.
pub async fn run(room: Room) -> Result<End, Failure> {
    let dialect = Rpc {
        handle: room.handle.clone(),
        room: room.handout.room.as_str().to_owned(),
        handout: room.handout,
        password: room.password,
        unheard: Unheard::default(),
        turns: Turns::default(),
    };
    session::run(dialect, room.handle, room.events, room.ephemeral).await
}

/// The notification of a room that was just made: what `snug create --json` prints, as an event.
pub fn created(room: &str, card: Value) -> Result<String, Failure> {
    let Value::Object(card) = card else {
        return Err(Failure::failed("the room can't be described"));
    };
    let at = rfc3339(unix_ms());
    let mut params = serde_json::Map::from_iter([
        ("type".to_owned(), json!("created")),
        ("at".to_owned(), json!(at)),
        ("room".to_owned(), json!(room)),
    ]);
    params.extend(card);
    rpc::event(&params).map_err(Failure::failed)
}

struct Rpc {
    handle: Handle,
    room: String,
    handout: Handout,
    password: Option<KnownPassword>,
    unheard: Unheard,
    turns: Turns,
}

impl Dialect for Rpc {
    const MAX_LINE: usize = rpc::MAX_LINE;
    /// A program says so.
    const TYPING_IS_READING: bool = false;
    const READS_ON: bool = true;

    fn event(&mut self, event: &Event) -> Reaction {
        let body = match &event.kind {
            // The program stands in for its user, who has to hand it on.
            EventKind::NewRoomKey { room_key, serverless } => {
                self.handout.rekey(room_key, serverless);
                let (room_key, invite) = (self.handout.room_key.reveal(), self.handout.invite.as_str());
                Some(json!({"type": "room_key", "room_key": room_key, "invite": invite}))
            }
            EventKind::Message(said) => {
                let params = Params {
                    room: &self.room,
                    at: rfc3339(event.at_unix_ms),
                    body: Said::of(said),
                };
                return Reaction::Show(written(rpc::event(&params)));
            }
            kind => body(kind),
        };
        let Some(body) = body else {
            return Reaction::Show(Vec::new());
        };
        let params = Params {
            room: &self.room,
            at: rfc3339(event.at_unix_ms),
            body,
        };
        Reaction::Show(written(rpc::event(&params)))
    }

    fn line(&mut self, line: Line) -> Reaction {
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::TooLong => {
                let fault = Fault::new(
                    Code::InvalidRequest,
                    format!("a line has at most {} bytes", rpc::MAX_LINE),
                );
                return Reaction::Show(written(rpc::fault(&Value::Null, &fault)));
            }
        };
        let (id, call) = rpc::parse(&bytes);
        match call {
            Err(fault) => Reaction::Show(id.map(|id| written(rpc::fault(&id, &fault))).unwrap_or_default()),
            Ok(Call::Leave) => Reaction::Leave(id.map(|id| written(rpc::reply(&id, &json!({})))).unwrap_or_default()),
            Ok(Call::Read) => Reaction::Read(id.map(|id| written(rpc::reply(&id, &json!({})))).unwrap_or_default()),
            Ok(Call::Send { text, reply_to }) => {
                let (handle, unheard) = (self.handle.clone(), self.unheard.clone());
                let sending = self.turns.say(&handle, text, reply_to);
                Reaction::Await(Box::pin(async move {
                    let outcome = sent(sending.await, &handle, &unheard);
                    answered(id, outcome)
                }))
            }
            Ok(call) => {
                let (handle, password, unheard) = (self.handle.clone(), self.password.clone(), self.unheard.clone());
                let is_seen = is_seen(&call);
                let turn = match is_seen {
                    true => self.turns.next(),
                    false => Turns::default().next(),
                };
                let reply = Box::pin(async move {
                    let outcome = match differs(&call, password).await {
                        Ok(()) => answer(&handle, call, &unheard, turn).await,
                        Err(fault) => Err(fault),
                    };
                    answered(id, outcome)
                });
                match is_seen {
                    true => Reaction::Await(reply),
                    false => Reaction::Ask(reply),
                }
            }
        }
    }

    fn keeps_order(&self, line: &Line) -> bool {
        matches!(line, Line::Whole(bytes) if matches!(rpc::parse(bytes), (_, Ok(call)) if is_seen(&call)))
    }

    fn refuse(&self, line: &Line) -> Vec<String> {
        let id = match line {
            Line::Whole(bytes) => rpc::parse(bytes).0,
            Line::TooLong => None,
        };
        answered(id, Err(Fault::new(Code::Failed, CROWDED)))
    }

    fn unheard(&self) -> &Unheard {
        &self.unheard
    }

    fn turns(&mut self) -> &mut Turns {
        &mut self.turns
    }

    /// What is kept is told when it is sent again.
    fn nobody_heard(&mut self, unheard: usize, lost: bool) -> Vec<String> {
        if !lost {
            return Vec::new();
        }
        let message = format!("nobody was there: {unheard} messages are lost, because --ephemeral keeps nothing");
        let params = Params {
            room: &self.room,
            at: rfc3339(unix_ms()),
            body: json!({"type": "error", "message": message}),
        };
        written(rpc::event(&params))
    }

    /// The replies are missing: that says it.
    fn gave_up(&mut self, _: usize) -> Vec<String> {
        Vec::new()
    }
}

/// What is said to a request that others would see, where too many of these wait to be answered.
const CROWDED: &str =
    "too many requests are unanswered, and this one was not obeyed: ask again when the others have been answered";

/// Whether the others in the room see what comes of it: then it keeps its order. Questions wait for nothing.
fn is_seen(call: &Call) -> bool {
    matches!(
        call,
        Call::Send { .. } | Call::Direct { .. } | Call::Act(_) | Call::Policy(_)
    )
}

/// Nothing of ours fails to become JSON (every map key is a string); if it did, silence would be wrong.
fn written(line: Result<String, serde_json::Error>) -> Vec<String> {
    match line {
        Ok(line) => vec![line],
        Err(error) => {
            tracing::error!(%error, "a line could not be written as JSON");
            Vec::new()
        }
    }
}

/// Refuses a Room Key that is, or may be, the room's Password: every member would be an admin.
async fn differs(call: &Call, password: Option<KnownPassword>) -> Result<(), Fault> {
    let Call::Act(Act::Rekey(Some(room_key))) = call else {
        return Ok(());
    };
    let Some(password) = password else {
        return Err(Fault::new(
            Code::Failed,
            "a Room Key that you choose is only taken where it can be compared with the Password, in a run that entered with it; \
             leave room_key out to have one generated",
        ));
    };
    let room_key = room_key.clone();
    let compared = tokio::task::spawn_blocking(move || password.check_distinct(&room_key)).await;
    match compared {
        Ok(Ok(())) => Ok(()),
        Ok(Err(same)) => Err(Fault::new(Code::InvalidParams, same.to_string())),
        Err(error) => Err(Fault::new(Code::Failed, error.to_string())),
    }
}

/// The reply to a request, if it wants one.
fn answered(id: Id, outcome: Result<Value, Fault>) -> Vec<String> {
    let Some(id) = id else { return Vec::new() };
    written(match outcome {
        Ok(result) => rpc::reply(&id, &result),
        Err(fault) => rpc::fault(&id, &fault),
    })
}

/// What came of a message to the room.
fn sent(result: Result<MessageId, SendError>, handle: &Handle, unheard: &Unheard) -> Result<Value, Fault> {
    match result {
        Ok(id) => {
            unheard.sent(handle, id);
            Ok(json!({"id": id.to_string()}))
        }
        Err(error @ SendError::Refused(SendRefused::TooLong { .. } | SendRefused::Empty)) => {
            Err(Fault::new(Code::InvalidParams, error.to_string()))
        }
        Err(error) => Err(Fault::new(Code::Failed, error.to_string())),
    }
}

async fn answer(handle: &Handle, call: Call, unheard: &Unheard, mut turn: Turn) -> Result<Value, Fault> {
    let failed = |error: String| Fault::new(Code::Failed, error);
    let closed = |error: snug::engine::Closed| Fault::new(Code::Failed, error.to_string());
    turn.comes().await;
    match call {
        // Handed over where the requests are.
        Call::Send { text, reply_to } => sent(handle.send(text, reply_to).await, handle, unheard),
        Call::Direct { to, text, reply_to } => {
            match direct::say(handle, &Wanted::Named { to, text }, reply_to, turn).await {
                Ok(said) => {
                    unheard.sent(handle, said.id);
                    Ok(json!({"id": said.id.to_string()}))
                }
                Err(Unsaid::Wrong(why)) => Err(Fault::new(Code::InvalidParams, why)),
                Err(Unsaid::Failed(why)) => Err(Fault::new(Code::Failed, why)),
            }
        }
        Call::Members => {
            let members = handle.members().await.map_err(closed)?;
            let keepers = handle.keepers().await.map_err(closed)?;
            let keeper =
                |keeper: &KeeperView| json!({"fingerprint": keeper.fingerprint.to_string(), "online": keeper.online});
            Ok(json!({
                "members": members.iter().map(member).collect::<Vec<_>>(),
                "keepers": keepers.iter().map(keeper).collect::<Vec<_>>(),
            }))
        }
        Call::Applicants => {
            let waiting = handle.applicants().await.map_err(closed)?;
            Ok(json!({"applicants": waiting.iter().map(member).collect::<Vec<_>>()}))
        }
        Call::Policy(change) => {
            if change != Change::default() {
                acts::perform(handle, Act::Policy(change)).await.map_err(failed)?;
            }
            let info = handle.info().await.map_err(closed)?;
            Ok(json!({"policy": policy_in_json(&info.policy)}))
        }
        Call::RoomInfo => {
            let info = handle.info().await.map_err(closed)?;
            let policy = &info.policy;
            Ok(json!({
                "room": info.room.as_str(),
                "description": info.description,
                "generation": info.generation,
                "genesis": info.genesis.to_string(),
                "members": info.members,
                "created_at": rfc3339(info.created_at_unix_ms),
                "server": info.server.as_ref().map(|server| server.as_str()),
                "policy": policy_in_json(policy),
            }))
        }
        Call::Status => {
            let status = handle.status().await.map_err(closed)?;
            Ok(json!({
                "room": status.room.as_str(),
                "member": status.member.to_string(),
                "ready": status.epoch.is_some(),
                "epoch": status.epoch.map(|epoch| epoch.to_string()),
                "links": status.links.len(),
                "relayed": status.net.relayed,
                "shed": status.shed,
                "relay": status.relay.as_str(),
                "relaying": status.net.serves.then_some(status.net.carried),
                "upnp": status.upnp.as_str(),
                "addresses": status.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "rendezvous": status.rendezvous.as_str(),
            }))
        }
        Call::Audit => Ok(audit::in_json(&handle.audit().await.map_err(closed)?)),
        Call::Verify(asked) => verify::perform(handle, &asked).await.map(acquaintance).map_err(failed),
        Call::Trust(asked, trust) => {
            let act = Act::Trust(asked.who.clone(), trust);
            acts::perform(handle, act).await.map_err(failed)?;
            verify::perform(handle, &asked).await.map(acquaintance).map_err(failed)
        }
        Call::Act(act) => match acts::perform(handle, act).await {
            Ok(()) => Ok(json!({})),
            Err(error) => Err(Fault::new(Code::Failed, error)),
        },
        // Answered where the events are.
        Call::Read => Ok(json!({})),
        Call::Leave => {
            handle.leave().await;
            Ok(json!({}))
        }
    }
}

#[derive(Serialize)]
struct Params<'a, B> {
    room: &'a str,
    at: String,
    #[serde(flatten)]
    body: B,
}

/// A message. Written without a detour: a busy room has thousands a second.
#[derive(Serialize)]
struct Said<'a> {
    r#type: &'static str,
    id: String,
    from: Sayer<'a>,
    text: &'a Untrusted,
    reply_to: Option<String>,
    parents: Vec<String>,
    direct: bool,
    /// Doesn't exist yet; bots can rely on the member being there.
    history: bool,
    again: bool,
}

#[derive(Serialize)]
struct Sayer<'a> {
    name: &'a Untrusted,
    fingerprint: String,
    verified: bool,
    key_changed: bool,
}

impl<'a> Said<'a> {
    fn of(said: &'a Message) -> Self {
        Self {
            r#type: "message",
            id: said.id.to_string(),
            from: Sayer {
                name: &said.from.name,
                fingerprint: said.from.fingerprint.to_string(),
                verified: said.from.verified,
                key_changed: said.from.key_changed,
            },
            text: &said.text,
            reply_to: said.reply_to.map(|id| id.to_string()),
            parents: (said.parents.iter().map(|parent| data_encoding::HEXLOWER.encode(parent))).collect(),
            direct: said.direct,
            history: false,
            again: said.again,
        }
    }
}

/// An event's own members; `None` for the end, which the end of the stream tells.
fn body(kind: &EventKind) -> Option<Value> {
    Some(match kind {
        EventKind::Ready {
            member: me,
            members,
            epoch,
        } => json!({
            "type": "ready",
            "member": me.to_string(),
            "members": members.iter().map(member).collect::<Vec<_>>(),
            "epoch": epoch.to_string(),
        }),
        EventKind::Gap { from, missing } => json!({
            "type": "gap",
            "from": {"name": from.name, "fingerprint": from.fingerprint.to_string()},
            "missing": missing,
        }),
        EventKind::Resent { was, id } => json!({"type": "resent", "was": was.to_string(), "id": id.to_string()}),
        EventKind::System {
            event,
            message,
            notice:
                Some(Notice::KeyChanged {
                    name,
                    fingerprint,
                    change,
                }),
        } => json!({
            "type": "system",
            "event": event,
            "message": message,
            "name": name,
            "fingerprint": fingerprint.to_string(),
            "was": {"fingerprint": change.was.to_string(), "verified": change.was_verified},
        }),
        EventKind::System {
            event,
            message,
            notice: Some(Notice::Knocks { name, fingerprint, .. }),
        } => json!({
            "type": "system",
            "event": event,
            "message": message,
            "name": name,
            "fingerprint": fingerprint.to_string(),
        }),
        EventKind::System {
            event,
            message,
            notice: Some(Notice::Policy { policy, .. }),
        } => json!({
            "type": "system",
            "event": event,
            "message": message,
            "policy": policy_in_json(policy),
        }),
        EventKind::Receipt(receipt) => json!({
            "type": "receipt",
            "id": receipt.id.to_string(),
            "held_by": receipt.held_by,
            "keepers": receipt.keepers,
            "delivered": receipt.delivered,
            "read": receipt.read,
            "of": receipt.of,
        }),
        EventKind::System { event, message, .. } => json!({"type": "system", "event": event, "message": message}),
        EventKind::Warning { message } => json!({"type": "warning", "message": message}),
        EventKind::Error { message } => json!({"type": "error", "message": message}),
        EventKind::Lagged { missed } => json!({"type": "lagged", "missed": missed}),
        _ => return None,
    })
}

fn member(member: &MemberView) -> Value {
    let role = match member.role {
        Role::Admin => "admin",
        Role::Moderator => "moderator",
        Role::Member => "member",
    };
    json!({
        "name": member.name,
        "fingerprint": member.fingerprint.to_string(),
        "role": role,
        "verified": member.verified,
        "key_changed": member.key_changed,
        "online": member.online,
    })
}

/// What to compare with somebody.
fn acquaintance(known: Acquaintance) -> Value {
    json!({
        "name": known.name,
        "fingerprint": known.fingerprint.to_string(),
        "number": known.number.to_string(),
        "qr": known.number.scanned(),
        "verified": known.verified,
        "key_changed": known.key_change.is_some(),
        "was": known.key_change.map(|change| change.was.to_string()),
    })
}

/// The rules of a room.
pub fn policy_in_json(policy: &Policy) -> Value {
    json!({
        "max_participants": policy.max_participants,
        "listed": policy.listed,
        "retention_s": policy.retention_s,
        "history": policy.history,
        "approval": policy.approval,
        "grace_s": policy.grace_s,
    })
}

/// A moment as RFC 3339 in UTC, to the millisecond; a moment that no calendar holds is 1970.
pub fn rfc3339(unix_ms: u64) -> String {
    let timestamp = i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", timestamp.unwrap_or_default())
}

fn unix_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
