//! Servers that speak something else, answer garbage, or don't answer: an error in bounded time, never a crash.

use crate::bad_input::outcome;
use snug_tests::home::Home;
use snug_tests::member::{self, RoomCard};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Exit status: the rendezvous can't be reached, or isn't one.
const UNREACHABLE: i32 = 4;
/// No answer is waited for longer.
const BOUND: Duration = Duration::from_secs(45);

/// A server on loopback that answers each connection as told; it ends with the test program.
fn server(answer: impl Fn(&mut TcpStream) + Send + Sync + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || {
                // Reads the request's head first, as any server would.
                let mut seen = Vec::new();
                let mut buffer = [0; 4096];
                while !seen.windows(4).any(|window| window == b"\r\n\r\n") {
                    match stream.read(&mut buffer) {
                        Ok(read) if read > 0 => seen.extend_from_slice(&buffer[..read]),
                        _ => return,
                    }
                }
                answer(&mut stream);
            });
        }
    });
    url
}

#[track_caller]
fn refuses(what: &str, url: String) -> String {
    let home = Home::new();
    let card = RoomCard {
        server: url,
        room: "den".into(),
        room_key: "long-enough-and-strong-key-2041".into(),
        password: String::new(),
        invite: String::new(),
    };
    let started = Instant::now();
    let (status, words) = outcome(
        &mut member::join_command(&home, &card, "bob", "--json"),
        &[&card.room_key],
    );
    assert!(started.elapsed() < BOUND, "{what}: took {:?}", started.elapsed());
    assert_eq!(status, Some(UNREACHABLE), "{what}: {words}");
    assert!(
        words.chars().all(|c| c == '\n' || !c.is_control()),
        "{what}: control characters in {words:?}"
    );
    assert!(!words.contains('\u{202e}'), "{what}: format characters in {words:?}");
    assert!(
        words.len() < 4_000,
        "{what}: an error that fits on a screen: {} bytes",
        words.len()
    );
    words
}

fn http(status: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn says(text: String) -> impl Fn(&mut TcpStream) + Send + Sync + Clone + 'static {
    move |stream| drop(stream.write_all(text.as_bytes()))
}

#[test]
fn another_service() {
    refuses(
        "a web page",
        server(says(http("200 OK", "text/html", "<h1>It works!</h1>"))),
    );
    refuses(
        "not found",
        server(says(http("404 Not Found", "text/html", "<h1>nothing</h1>"))),
    );
    refuses("an SSH server", server(says("SSH-2.0-OpenSSH_9.6\r\n".into())));
    refuses(
        "binary garbage",
        server(|stream| drop(stream.write_all(&[0xff, 0, 0x9b, 0x1b, b']', 7]))),
    );
    refuses("one that hangs up", server(|_| {}));
    refuses(
        "a failing one",
        server(says(http("500 Internal Server Error", "text/plain", "no"))),
    );
}

#[test]
fn answers_of_the_wrong_shape() {
    refuses("empty JSON", server(says(http("200 OK", "application/json", "{}"))));
    refuses("an array", server(says(http("200 OK", "application/json", "[1,2,3]"))));
    refuses(
        "deep nesting",
        server(says(http("200 OK", "application/json", &"[".repeat(200_000)))),
    );
    let strings = r#"{"response":"AAAA","state":"AAAA","ke2":"AAAA","message":"AAAA","token":"","login":"!!!"}"#;
    refuses(
        "short strings",
        server(says(http("200 OK", "application/json", strings))),
    );
    let hostile = "{\"type\":\"urn:snug:problem:\u{1b}]0;owned\u{7}\",\"title\":\"\u{1b}[2J\u{202e}\u{9b}31m\",\"status\":503,\
                   \"detail\":\"\\u001b]52;c;b3duZWQ=\\u0007\\u202e\\r\\n\\nerror: all is well\"}";
    let words = refuses(
        "a problem with escapes",
        server(says(http(
            "503 Service Unavailable",
            "application/problem+json",
            hostile,
        ))),
    );
    assert!(
        !words.lines().any(|line| line.starts_with("error: all is well")),
        "a server can't write lines of ours: {words}"
    );
    let location =
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/elsewhere\r\ncontent-length: 0\r\n\r\n";
    refuses("a redirection", server(says(location.into())));
}

#[test]
fn answers_without_an_end() {
    refuses(
        "an endless body",
        server(|stream| {
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
            let mut going = stream.write_all(head).is_ok();
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            while going {
                going = stream.write_all(chunk.as_bytes()).is_ok();
            }
        }),
    );
    refuses(
        "endless headers",
        server(|stream| {
            let mut going = stream.write_all(b"HTTP/1.1 200 OK\r\n").is_ok();
            while going {
                going = stream
                    .write_all(b"x-more: and more and more and more and more and more\r\n")
                    .is_ok();
            }
        }),
    );
}

#[test]
fn no_answer_at_all() {
    refuses(
        "a silent one",
        server(|stream| {
            // Holds the connection until the client gives up.
            let _ = stream.read(&mut [0; 1]);
        }),
    );
}
