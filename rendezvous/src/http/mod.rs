//! Sockets: accepts, bounds and closes connections, TLS over rustls, HTTP/1.1 over hyper.
//!
//! Every wait has a limit: for a handshake and a header (also the first, and between requests), for a body and its answer
//! (the app's), and for the client to take what we send. When all places are taken, a connection that nobody is answering
//! makes room: one that has not asked anything yet, or the longest idle one of the address that holds most. So neither silent
//! sockets nor idle ones can keep members out.

mod connections;
mod counters;
mod forwarded;
mod timed;
mod tls;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service;

pub(crate) use self::counters::Counters;
pub(crate) use self::tls::{Certificate, Tls, Upkeep, days_left, inspect, inspect_kept};

use self::connections::{Connections, Place};
use self::counters::Event;
use self::timed::Timed;
use crate::config::{Limits, LiveConfig};

/// What a request's header may take.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Pause when the system has no more sockets for us.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One listener and what it serves.
pub(crate) struct Front {
    pub listener: TcpListener,
    pub router: Router,
    pub tls: Option<Tls>,
    pub live: LiveConfig,
    pub counters: Arc<Counters>,
}

impl Front {
    /// Serves until `stop`, then lets requests in flight end.
    pub async fn serve(self, stop: CancellationToken) {
        let Self {
            listener,
            router,
            tls,
            live,
            counters,
        } = self;
        let connections = Arc::new(Connections::default());
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let now = live.get();
                        let is_proxy = forwarded::is_trusted(peer.ip(), &now.trusted_proxies);
                        let place = connections.admit(peer.ip(), is_proxy, &now.limits);
                        counters.count(if place.is_some() { Event::Accepted } else { Event::Refused });
                        if let Some(place) = place {
                            let connection = Connection {
                                builder: builder(&now.limits),
                                router: router.clone(),
                                peer: peer.ip(),
                                place,
                                stop: stop.clone(),
                                handshake_timeout: now.limits.header_timeout,
                                write_timeout: now.limits.write_timeout,
                                live: live.clone(),
                                counters: Arc::clone(&counters),
                            };
                            tasks.spawn(connection.serve(stream, tls.clone()));
                        }
                    }
                    Err(error) => {
                        // A connection that broke off is the client's matter, running out of sockets ours; both pass.
                        tracing::warn!(reason = %error.kind(), "can't accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
            counters.set_open(connections.open());
        }
        drop(listener);
        let grace = live.get().limits.shutdown_grace;
        let drained = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, drained).await.is_err() {
            tracing::warn!("requests were cut off at shutdown");
        }
    }
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_HEADER_BYTES)
        .half_close(false);
    builder
}

struct Connection {
    builder: http1::Builder,
    router: Router,
    peer: IpAddr,
    place: Arc<Place>,
    stop: CancellationToken,
    handshake_timeout: Duration,
    write_timeout: Duration,
    live: LiveConfig,
    counters: Arc<Counters>,
}

impl Connection {
    async fn serve(self, stream: TcpStream, tls: Option<Tls>) {
        // Answers are small and whole; waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        let stream = Timed::new(stream, self.write_timeout);
        let Some(tls) = tls else {
            return self.serve_http(stream, false).await;
        };
        let evicted = self.place.evicted();
        let secured = tokio::select! {
            secured = tokio::time::timeout(self.handshake_timeout, tls.accept(stream)) => secured,
            () = evicted.cancelled() => return self.counters.count(Event::Evicted),
            () = self.stop.cancelled() => return,
        };
        match secured {
            Ok(Ok(Some(stream))) => self.serve_http(stream, true).await,
            // An ACME authority's challenge, which the handshake has answered.
            Ok(Ok(None)) => {}
            Ok(Err(_)) | Err(_) => self.counters.count(Event::HandshakeFailed),
        }
    }

    async fn serve_http(self, stream: impl AsyncRead + AsyncWrite + Unpin, is_tls: bool) {
        let Self {
            builder,
            router,
            peer,
            place,
            stop,
            live,
            counters,
            ..
        } = self;
        let evicted = place.evicted();
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            let in_flight = place.asks();
            let (address, transport) = forwarded::client(peer, is_tls, request.headers(), &live.get().trusted_proxies);
            request.extensions_mut().insert(address);
            request.extensions_mut().insert(transport);
            let answer = router.clone().call(request.map(Body::new));
            async move {
                let answer = answer.await;
                drop(in_flight);
                answer
            }
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut stopping = false;
        loop {
            tokio::select! {
                // Errors here are the client's: broken off, too slow, no HTTP.
                _ = connection.as_mut() => return,
                () = evicted.cancelled() => return counters.count(Event::Evicted),
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}
