//! Sockets: accepts, bounds and closes connections, HTTP/1.1 over hyper.
//!
//! Every wait has a limit: for a header (also the first, and between requests), for a body and its answer (the app's), and
//! for the client to take what we send. When all places are taken, the oldest connection that has not asked anything yet
//! makes room, so silent sockets can't keep members out.

mod connections;
mod timed;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service;

use self::connections::{Connections, Place};
use self::timed::Timed;
use crate::app::Address;
use crate::config::Limits;

/// What a request's header may take.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Pause when the system has no more sockets for us.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop`, then lets requests in flight end.
pub(crate) async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let connections = Arc::new(Connections::new(&limits));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_HEADER_BYTES)
        .half_close(false);
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let address = Address::of(peer.ip());
                    if let Some(place) = connections.admit(address) {
                        let connection = Connection {
                            builder: builder.clone(),
                            router: router.clone(),
                            address,
                            place,
                            stop: stop.clone(),
                            write_timeout: limits.write_timeout,
                        };
                        tasks.spawn(connection.serve(stream));
                    }
                }
                Err(error) => {
                    // A connection that broke off is the client's matter, running out of sockets ours; both pass.
                    tracing::warn!(reason = %error.kind(), "can't accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let drained = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.shutdown_grace, drained).await.is_err() {
        tracing::warn!("requests were cut off at shutdown");
    }
}

struct Connection {
    builder: http1::Builder,
    router: Router,
    address: Address,
    place: Place,
    stop: CancellationToken,
    write_timeout: Duration,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        let Self {
            builder,
            router,
            address,
            place,
            stop,
            write_timeout,
        } = self;
        // Answers are small and whole; waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        let evicted = place.evicted();
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            place.has_asked();
            request.extensions_mut().insert(address);
            router.clone().call(request.map(Body::new))
        });
        let io = TokioIo::new(Timed::new(stream, write_timeout));
        let mut connection = pin!(builder.serve_connection(io, service));
        let mut stopping = false;
        loop {
            tokio::select! {
                // Errors here are the client's: broken off, too slow, no HTTP.
                _ = connection.as_mut() => return,
                () = evicted.cancelled() => return,
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}
