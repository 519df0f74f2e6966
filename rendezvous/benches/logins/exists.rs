//! Whether a login's start tells if there is such a room.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use snug_crypto::RoomHandle;

use crate::client::{Connection, prepare, start};
use crate::dudect::{BOUND, t};

/// Starts that are left unfinished of one room: as many as the server's own limit lets through.
const EACH: usize = 100;

/// Class 0 exists, class 1 doesn't.
pub async fn measure(address: SocketAddr, rooms: &[RoomHandle], samples: usize) -> Value {
    let mut rng = StdRng::seed_from_u64(1);
    let mut connection = Connection::open(address).await;
    let (mut times, mut sizes) = ([Vec::new(), Vec::new()], BTreeSet::new());
    assert!(
        samples <= 2 * EACH * rooms.len(),
        "--rooms has to be {} or more",
        samples.div_ceil(2 * EACH)
    );
    for round in 0..samples.div_ceil(2 * rooms.len()) {
        // Each room and each of as many handles once a round, in random order.
        let mut handles: Vec<(usize, RoomHandle)> = rooms.iter().map(|room| (0, *room)).collect();
        handles.extend((0..rooms.len()).map(|n| {
            let mut bytes = [0xFF; 32];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            (1, RoomHandle::from_bytes(bytes))
        }));
        for at in (1..handles.len()).rev() {
            handles.swap(at, rng.random_range(0..=at));
        }
        for (class, handle) in handles {
            let prepared = prepare(&[handle], 1).remove(0);
            let (time, size) = start(&mut connection, &prepared).await;
            sizes.insert(size);
            // In the first round the server makes an account for each.
            if round > 0 {
                times[class].push(time);
            }
        }
    }
    let mean = |times: &[f64]| {
        #[allow(clippy::cast_precision_loss)] // Far below 2^52.
        let count = times.len() as f64;
        (times.iter().sum::<f64>() / count / 1000.0).round()
    };
    let means = json!({ "exists_us": mean(&times[0]), "does_not_us": mean(&times[1]) });
    let count = times.iter().map(Vec::len).sum::<usize>();
    let t = t(times).abs();
    json!({ "samples": count, "mean": means, "abs_t": (t * 100.0).round() / 100.0, "tells": t >= BOUND, "sizes": sizes })
}
