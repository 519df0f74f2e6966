//! A TCP proxy that keeps every byte that passes it, in both directions.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// One direction of one connection, in order and whole.
type Stream = Arc<Mutex<Vec<u8>>>;

/// A proxy before a server.
#[derive(Debug)]
pub struct Capture {
    address: SocketAddr,
    streams: Arc<Mutex<Vec<Stream>>>,
    ended: Arc<AtomicBool>,
}

impl Capture {
    /// Listens on a free port of loopback and hands every connection on to `server` (host and port).
    pub fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let streams = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let (kept, stop, server) = (Arc::clone(&streams), Arc::clone(&ended), server.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let Ok(upstream) = TcpStream::connect(&server) else {
                    continue;
                };
                copy(&client, &upstream, &kept);
                copy(&upstream, &client, &kept);
            }
        });
        Self {
            address,
            streams,
            ended,
        }
    }

    /// What clients get as `--server`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that passed so far: each direction of each connection.
    pub fn streams(&self) -> Vec<Vec<u8>> {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams
            .iter()
            .map(|stream| stream.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .collect()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts, so that it sees the end.
        let _ = TcpStream::connect(self.address);
    }
}

fn copy(from: &TcpStream, to: &TcpStream, streams: &Arc<Mutex<Vec<Stream>>>) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else {
        return;
    };
    let kept = Stream::default();
    streams
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(Arc::clone(&kept));
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(read) = from.read(&mut buffer) {
            // Kept before it goes on: what arrived has been recorded.
            kept.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(&buffer[..read]);
            if read == 0 || to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_both_directions_whole_and_passes_them_on() {
        let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = server.local_addr().expect("an address").to_string();
        let answering = thread::spawn(move || {
            let (mut stream, _) = server.accept().expect("a connection");
            let mut asked = Vec::new();
            stream.read_to_end(&mut asked).expect("what the client sends");
            stream.write_all(&asked.repeat(3)).expect("an answer");
        });
        let capture = Capture::before(&address);
        let asked = vec![7; 100_000];
        let mut client = TcpStream::connect(capture.address).expect("the proxy listens");
        client.write_all(&asked).expect("a request");
        client.shutdown(Shutdown::Write).expect("the end of it");
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).expect("an answer");
        answering.join().expect("the server ends");
        assert!(answer == asked.repeat(3));
        let mut sizes: Vec<usize> = capture.streams().iter().map(Vec::len).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [100_000, 300_000]);
    }
}
