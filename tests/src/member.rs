//! A member driven over JSON-RPC: `snug join --json` (or `host`, or `create --join`) as a child process.
//!
//! Every line it prints must be a JSON-RPC 2.0 object; one that isn't fails the test that reads it.

use crate::home::Home;
use crate::process::{Line, Process};
use crate::{PATIENCE, plain};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

/// What a room's maker hands on to others.
#[derive(Debug, Clone)]
pub struct RoomCard {
    /// The server's URL.
    pub server: String,
    /// The Room ID.
    pub room: String,
    /// The Room Key.
    pub room_key: String,
    /// The Password of the room's admin.
    pub password: String,
    /// The invite, `snug1…`.
    pub invite: String,
}

impl RoomCard {
    /// From the JSON object that `create --json` prints.
    pub fn from_json(value: &Value) -> Self {
        let text = |field: &str| {
            value[field]
                .as_str()
                .unwrap_or_else(|| panic!("`{field}` is missing in {value}"))
                .to_owned()
        };
        Self {
            server: text("server"),
            room: text("room"),
            room_key: text("room_key"),
            password: text("password"),
            invite: text("invite"),
        }
    }
}

/// A request that was answered with an error.
#[derive(Debug, Clone)]
pub struct RpcError {
    /// JSON-RPC's code.
    pub code: i64,
    /// What it says.
    pub message: String,
}

/// A member's process and the conversation with it.
#[derive(Debug)]
pub struct Member {
    process: Process,
    name: String,
    requests: u64,
    read: usize,
    events: Vec<(Instant, Value)>,
    replies: BTreeMap<u64, Value>,
}

impl Member {
    /// Starts `snug join --json` with Room ID and Room Key; does not wait for anything.
    pub fn join(home: &Home, card: &RoomCard, name: &str) -> Self {
        Self::start(name, &mut join_command(home, card, name, "--json"))
    }

    /// Starts any command that speaks JSON-RPC.
    pub fn start(name: &str, command: &mut Command) -> Self {
        Self {
            process: Process::start(name, command),
            name: name.to_owned(),
            requests: 0,
            read: 0,
            events: Vec::new(),
            replies: BTreeMap::new(),
        }
    }

    /// The process, for its end and its transcript.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The name it entered with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits for an event that `pick` takes, those that came already included.
    pub fn wait<T>(&mut self, what: &str, pick: impl FnMut(&Value) -> Option<T>) -> T {
        self.wait_within(PATIENCE, what, pick)
    }

    /// The same with a bound of its own.
    pub fn wait_within<T>(&mut self, bound: Duration, what: &str, mut pick: impl FnMut(&Value) -> Option<T>) -> T {
        let end = Instant::now() + bound;
        let mut seen = 0;
        loop {
            while let Some((_, event)) = self.events.get(seen) {
                if let Some(found) = pick(event) {
                    return found;
                }
                seen += 1;
            }
            self.read_one(end.saturating_duration_since(Instant::now()), what);
        }
    }

    /// An event that `pick` takes, if one comes within `bound`: for what may as well not happen.
    pub fn try_wait<T>(&mut self, bound: Duration, mut pick: impl FnMut(&Value) -> Option<T>) -> Option<T> {
        self.poll(bound, |member| {
            member.events();
            member.events.iter().find_map(|(_, event)| pick(event))
        })
    }

    /// The reply to a request, if it comes within `bound`.
    pub fn reply_within(&mut self, bound: Duration, id: u64) -> Option<Value> {
        self.poll(bound, |member| {
            member.events();
            member.replies.get(&id).cloned()
        })
    }

    fn poll<T>(&mut self, bound: Duration, mut look: impl FnMut(&mut Self) -> Option<T>) -> Option<T> {
        let end = Instant::now() + bound;
        loop {
            let found = look(self);
            if found.is_some() || Instant::now() >= end {
                return found;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until it is in the room and can send; gives its fingerprint.
    pub fn ready(&mut self) -> String {
        self.wait("`ready` event", |event| {
            (event["type"] == "ready").then(|| event["member"].as_str().expect("ready names the member").to_owned())
        })
    }

    /// Waits until these are in the room with it, itself not counted.
    pub fn sees(&mut self, others: &[&str]) {
        let mut missing: BTreeSet<String> = others.iter().map(|&name| name.to_owned()).collect();
        let what = format!("{others:?} in the room");
        self.wait(&what, |event| {
            for member in event["members"].as_array().into_iter().flatten() {
                missing.remove(member["name"].as_str().unwrap_or_default());
            }
            if event["type"] == "system" && event["event"] == "join" {
                let notice = event["message"].as_str().expect("a system event has a message");
                missing.retain(|name| !notice.starts_with(&format!("{name} has joined the room ")));
            }
            missing.is_empty().then_some(())
        });
    }

    /// Sends a message and waits for its id.
    pub fn send(&mut self, text: &str) -> String {
        let reply = self.request("send", json!({ "text": text }));
        let result = reply.unwrap_or_else(|error| panic!("{}: sending failed: {error:?}", self.name));
        let id = result["id"]
            .as_str()
            .unwrap_or_else(|| panic!("{}: a reply without id: {result}", self.name));
        assert_eq!(id.len(), 64, "a message's id is a hash in hex: {id}");
        id.to_owned()
    }

    /// Waits for a message with exactly this text, and gives the event.
    pub fn hears(&mut self, text: &str) -> Value {
        self.wait(&format!("message {text:?}"), |event| {
            (event["type"] == "message" && event["text"] == text).then(|| event.clone())
        })
    }

    /// Waits for a system event of this kind whose message satisfies `test`.
    pub fn notice(&mut self, kind: &str, message: &str) -> Value {
        self.wait(&format!("system event {kind}: {message:?}"), |event| {
            (event["type"] == "system" && event["event"] == kind && event["message"] == message).then(|| event.clone())
        })
    }

    /// Sends a request and waits for its reply.
    pub fn request(&mut self, method: &str, params: Value) -> Result<Value, RpcError> {
        let id = self.post(method, params);
        let end = Instant::now() + PATIENCE;
        let what = format!("reply to `{method}`");
        loop {
            if let Some(mut reply) = self.replies.remove(&id) {
                if let Some(error) = reply.get("error") {
                    let message = error["message"]
                        .as_str()
                        .expect("an error says what is wrong")
                        .to_owned();
                    return Err(RpcError {
                        code: error["code"].as_i64().expect("an error has a code"),
                        message,
                    });
                }
                return Ok(reply["result"].take());
            }
            self.read_one(end.saturating_duration_since(Instant::now()), &what);
        }
    }

    /// Sends a request without waiting for its reply; gives its id.
    pub fn post(&mut self, method: &str, params: Value) -> u64 {
        self.requests += 1;
        let id = self.requests;
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.process.write_line(&request.to_string());
        id
    }

    /// All events so far, with the instant each was read.
    pub fn events(&mut self) -> &[(Instant, Value)] {
        for line in self.process.lines_since(self.read) {
            self.take(&line);
        }
        &self.events
    }

    /// The texts of all messages heard so far, in order.
    pub fn heard(&mut self) -> Vec<String> {
        let text = |event: &Value| event["text"].as_str().expect("a message has a text").to_owned();
        self.events()
            .iter()
            .filter(|(_, event)| event["type"] == "message")
            .map(|(_, event)| text(event))
            .collect()
    }

    /// The members as it sees them now.
    pub fn members(&mut self) -> Vec<Value> {
        let result = self
            .request("members", json!({}))
            .unwrap_or_else(|error| panic!("`members` failed: {error:?}"));
        result["members"]
            .as_array()
            .unwrap_or_else(|| panic!("no list of members in {result}"))
            .clone()
    }

    /// Leaves the room in order and waits for the end.
    pub fn leave(mut self) {
        // The reply may be overtaken by the end, so it isn't waited for.
        self.post("leave", json!({}));
        assert_eq!(self.process.exit_code(), 0, "leaving is a success");
    }

    /// Ends standard input, as a program that is done does, and waits for an orderly end.
    pub fn hang_up(mut self) {
        self.process.close_stdin();
        assert_eq!(
            self.process.exit_code(),
            0,
            "the end of standard input is an orderly end"
        );
    }

    fn read_one(&mut self, left: Duration, what: &str) {
        let line = self
            .process
            .wait_line_within(left, what, self.read, |line| Some(line.clone()));
        self.take(&line);
    }

    fn take(&mut self, line: &Line) {
        self.read += 1;
        let value: Value = serde_json::from_str(&line.text)
            .unwrap_or_else(|error| panic!("{}: a line that is no JSON ({error}): {:?}", self.name, line.text));
        assert_eq!(value["jsonrpc"], "2.0", "{}: not JSON-RPC 2.0: {value}", self.name);
        if value["method"] == "event" {
            let event = value["params"].clone();
            assert!(
                event["type"].is_string(),
                "{}: an event without a type: {value}",
                self.name
            );
            assert!(
                event["at"].is_string(),
                "{}: an event without a time: {value}",
                self.name
            );
            self.events.push((line.at, event));
        } else if let Some(id) = value["id"].as_u64() {
            self.replies.insert(id, value);
        } else {
            // A reply to a request that could not be read has the id null.
            assert!(
                value["error"].is_object(),
                "{}: neither event nor reply: {value}",
                self.name
            );
        }
    }
}

/// `snug join` with what every test gives, and a front end (`--json` or `--plain`).
pub fn join_command(home: &Home, card: &RoomCard, name: &str, front_end: &str) -> Command {
    let key = home.secret("room-key", &card.room_key);
    let mut command = home.snug(["join", "--server", &card.server, "--room", &card.room, "--name", name]);
    command
        .arg("--room-key-file")
        .arg(key)
        .arg("--data-dir")
        .arg(home.data());
    command.args([front_end]).args(plain::LOOPBACK);
    command
}

/// `snug host` in a room with this id, and a front end; its server and its mesh are on loopback.
pub fn host_command(home: &Home, room: &str, name: &str, front_end: &str) -> Command {
    let mut command = home.snug([
        "host",
        "--room",
        room,
        "--name",
        name,
        "--listen-http",
        "127.0.0.1:0",
        front_end,
    ]);
    command.args(plain::LOOPBACK);
    command
}

/// Starts `snug host --json`, waits for what it hands on, and until it is in the room.
pub fn host(home: &Home, room: &str, name: &str) -> (Member, RoomCard) {
    let mut member = Member::start(name, &mut host_command(home, room, name, "--json"));
    let card = member.wait("`created` event", |event| {
        (event["type"] == "created").then(|| RoomCard::from_json(event))
    });
    member.ready();
    (member, card)
}

/// Makes a room at a server with `snug create`.
pub fn create(home: &Home, server: &str, room: &str) -> RoomCard {
    let output = crate::process::run(
        "create",
        home.snug(["create", "--server", server, "--room", room, "--json"])
            .args(plain::LOOPBACK),
        "",
    );
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "create failed ({}): {stderr}", output.status);
    let value =
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("create printed no JSON: {error}: {stdout}"));
    RoomCard::from_json(&value)
}
