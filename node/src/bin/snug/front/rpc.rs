//! JSON-RPC 2.0 (<https://www.jsonrpc.org/specification>) without the I/O: one line in, a call or an error out.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use snug::room::Trust;
use snug::text::{Untrusted, json as text_json};
use snug_crypto::ids::MessageId;
use snug_crypto::names::RoomKey;
use zeroize::Zeroizing;

use super::acts::{self, Act};
use super::verify::Verify;
use crate::chosen;
use crate::rules::Change;

/// Longest line taken from a program, in bytes: a message of the largest size with every character escaped fits.
pub const MAX_LINE: usize = 256 * 1024;
/// Longest `id` that is given back, in bytes; ids are usually numbers.
const MAX_ID: usize = 256;

/// What went wrong with a call, with its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Not JSON.
    Parse = -32700,
    /// JSON, but not a request.
    InvalidRequest = -32600,
    /// No such method.
    MethodNotFound = -32601,
    /// The method's parameters are wrong.
    InvalidParams = -32602,
    /// The call was understood, and failed.
    Failed = -32000,
}

/// A failed call. The message is ours, or cleaned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: Code,
    pub message: String,
}

impl Fault {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// A request's id; `None` is a notification, which is never answered.
pub type Id = Option<Value>;

/// What a program asks for.
#[derive(Debug, PartialEq)]
pub enum Call {
    Send {
        text: String,
        reply_to: Option<MessageId>,
    },
    Direct {
        to: String,
        text: String,
        reply_to: Option<MessageId>,
    },
    Members,
    /// Who waits to be let in.
    Applicants,
    /// The room's rules, and what shall be different about them.
    Policy(Change),
    RoomInfo,
    Status,
    /// The user has read everything so far.
    Read,
    Act(Act),
    Audit,
    Verify(Verify),
    Trust(Verify, Trust),
    Leave,
}

/// The methods, for the error that names them.
const METHODS: &str = "send, dm, read, members, verify, audit, kick, ban, role, rekey, keeper, policy, applicants, approve, room.info, room.delete, status, leave";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeeperParams {
    offer: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhoParams {
    who: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyParams {
    who: String,
    #[serde(default)]
    number: Option<String>,
    #[serde(default)]
    verified: Option<bool>,
    #[serde(default)]
    accept: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleParams {
    who: String,
    role: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RekeyParams {
    #[serde(default)]
    room_key: Option<String>,
    #[serde(default)]
    allow_weak_key: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendParams {
    text: String,
    #[serde(default)]
    reply_to: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DirectParams {
    to: String,
    text: String,
    #[serde(default)]
    reply_to: Option<String>,
}

/// Understands one line. The id comes back beside the outcome, so that errors can be answered too.
pub fn parse(line: &[u8]) -> (Id, Result<Call, Fault>) {
    // An error in the request itself is answered with the id if it is readable, else with null.
    let broken =
        |id: Option<Value>, code, message: &str| (Some(id.unwrap_or_default()), Err(Fault::new(code, message)));
    let Ok(value) = serde_json::from_slice::<Value>(line) else {
        return broken(None, Code::Parse, "the line is not JSON");
    };
    let mut request = match value {
        Value::Object(request) => request,
        Value::Array(_) => {
            return broken(
                None,
                Code::InvalidRequest,
                "batches are not supported: send one request a line",
            );
        }
        _ => return broken(None, Code::InvalidRequest, "a request is a JSON object"),
    };
    let id = request.remove("id");
    let readable = match &id {
        None | Some(Value::Null | Value::Number(_)) => true,
        Some(Value::String(id)) => id.len() <= MAX_ID,
        Some(_) => false,
    };
    if !readable {
        return broken(
            None,
            Code::InvalidRequest,
            "id is a number or a string of at most 256 bytes",
        );
    }
    if request.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return broken(id, Code::InvalidRequest, "\"jsonrpc\" must be \"2.0\"");
    }
    let Some(Value::String(method)) = request.remove("method") else {
        return broken(id, Code::InvalidRequest, "\"method\" is missing, or not a string");
    };
    let params = match request.remove("params") {
        None => Value::Object(Map::new()),
        Some(params @ Value::Object(_)) => params,
        Some(Value::Array(_)) => {
            return (
                id,
                Err(Fault::new(
                    Code::InvalidParams,
                    "parameters are given by name, in an object",
                )),
            );
        }
        Some(_) => return broken(id, Code::InvalidRequest, "\"params\" is an object"),
    };
    (id, call(&method, params))
}

fn call(method: &str, params: Value) -> Result<Call, Fault> {
    let bare = |call| match params.as_object() {
        Some(params) if params.is_empty() => Ok(call),
        _ => Err(Fault::new(Code::InvalidParams, format!("{method} takes no parameters"))),
    };
    match method {
        "send" => send(params),
        "dm" => direct(params),
        "members" => bare(Call::Members),
        "applicants" => bare(Call::Applicants),
        "policy" => policy(params),
        "room.info" => bare(Call::RoomInfo),
        "status" => bare(Call::Status),
        "read" => bare(Call::Read),
        "leave" => bare(Call::Leave),
        "room.delete" => bare(Call::Act(Act::DeleteRoom)),
        "kick" => who(params).map(|who| Call::Act(Act::Kick(who))),
        "ban" => who(params).map(|who| Call::Act(Act::Ban(who))),
        "approve" => who(params).map(|who| Call::Act(Act::Approve(who))),
        "verify" => verify(params),
        "audit" => bare(Call::Audit),
        "role" => role(params),
        "rekey" => rekey(params),
        "keeper" => read(params).and_then(|KeeperParams { offer }| acts::keeper(&offer).map(Call::Act).map_err(wrong)),
        _ => {
            let shown = Untrusted::new(method).log();
            Err(Fault::new(
                Code::MethodNotFound,
                format!("there is no method {shown}; there are {METHODS}"),
            ))
        }
    }
}

fn wrong(message: impl Into<String>) -> Fault {
    Fault::new(Code::InvalidParams, message)
}

fn read<T: serde::de::DeserializeOwned>(params: Value) -> Result<T, Fault> {
    serde_json::from_value(params).map_err(|error| wrong(Untrusted::new(error.to_string()).line_within(200)))
}

fn who(params: Value) -> Result<String, Fault> {
    read(params).map(|WhoParams { who }| who)
}

fn verify(params: Value) -> Result<Call, Fault> {
    let VerifyParams {
        who,
        number,
        verified,
        accept,
    } = read(params)?;
    match (&number, verified, accept) {
        (_, None, false) => Ok(Call::Verify(Verify { who, number })),
        (None, Some(verified), false) => {
            let trust = if verified { Trust::Verified } else { Trust::Unverified };
            Ok(Call::Trust(Verify { who, number }, trust))
        }
        (None, None, true) => Ok(Call::Trust(Verify { who, number }, Trust::Accepted)),
        _ => Err(wrong("number, verified and accept exclude each other")),
    }
}

fn role(params: Value) -> Result<Call, Fault> {
    let RoleParams { who, role } = read(params)?;
    let role = acts::role(&role).ok_or_else(|| wrong("role is admin, moderator or member"))?;
    Ok(Call::Act(Act::Role(who, role)))
}

fn policy(params: Value) -> Result<Call, Fault> {
    let change: Change = read(params)?;
    change.check().map_err(wrong)?;
    Ok(Call::Policy(change))
}

fn rekey(params: Value) -> Result<Call, Fault> {
    let RekeyParams {
        room_key,
        allow_weak_key,
    } = read(params)?;
    let Some(room_key) = room_key.map(Zeroizing::new) else {
        return Ok(Call::Act(Act::Rekey(None)));
    };
    let room_key = RoomKey::parse(&room_key).map_err(|error| wrong(error.to_string()))?;
    chosen::check_strength(&room_key, allow_weak_key).map_err(|weak| {
        wrong(format!(
            "{weak}; leave room_key out to have one generated, choose a longer one, or insist with allow_weak_key"
        ))
    })?;
    Ok(Call::Act(Act::Rekey(Some(room_key))))
}

fn send(params: Value) -> Result<Call, Fault> {
    let SendParams { text, reply_to } = read(params)?;
    if text.is_empty() {
        return Err(wrong("text is empty"));
    }
    let reply_to = answered(reply_to)?;
    Ok(Call::Send { text, reply_to })
}

fn direct(params: Value) -> Result<Call, Fault> {
    let DirectParams { to, text, reply_to } = read(params)?;
    if text.is_empty() {
        return Err(wrong("text is empty"));
    }
    let reply_to = answered(reply_to)?;
    Ok(Call::Direct { to, text, reply_to })
}

fn answered(reply_to: Option<String>) -> Result<Option<MessageId>, Fault> {
    let id = reply_to.map(|id| message_id(&id).ok_or_else(|| wrong("reply_to is not a message id")));
    id.transpose()
}

fn message_id(hex: &str) -> Option<MessageId> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?;
    Some(MessageId::from_bytes(bytes.try_into().ok()?))
}

/// The reply to a call that succeeded, as a line without its end.
pub fn reply(id: &Value, result: &impl Serialize) -> Result<String, serde_json::Error> {
    text_json::line(&json!({"jsonrpc": "2.0", "id": id, "result": serde_json::to_value(result)?}))
}

/// The reply to a call that failed.
pub fn fault(id: &Value, fault: &Fault) -> Result<String, serde_json::Error> {
    let error = json!({"code": fault.code as i32, "message": fault.message});
    text_json::line(&json!({"jsonrpc": "2.0", "id": id, "error": error}))
}

/// The notification of an event.
pub fn event(params: &impl Serialize) -> Result<String, serde_json::Error> {
    text_json::line(&Notification {
        jsonrpc: "2.0",
        method: "event",
        params,
    })
}

#[derive(Serialize)]
struct Notification<'a, P> {
    jsonrpc: &'static str,
    method: &'static str,
    params: &'a P,
}

#[cfg(test)]
mod tests;
