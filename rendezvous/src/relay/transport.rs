//! TCP (Noise, yamux) and QUIC, with the bytes of all streams counted: what a circuit carries is read from one stream and written to
//! another, and the rest is a few hundred bytes for each reservation.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent, SubstreamBox};
use libp2p::core::transport::{Boxed, timeout::TransportTimeout};
use libp2p::core::{Transport, upgrade};
use libp2p::identity::Keypair;
use libp2p::{PeerId, noise, quic, tcp, yamux};

use super::{RelayCounters, RelayError, RelayLimits};

/// Time for the transport's handshake: who doesn't finish it holds a place and a file descriptor.
const HANDSHAKE: Duration = Duration::from_secs(8);
/// Bytes under way on one QUIC stream, and on all of a connection.
const STREAM_BYTES: u32 = 1 << 20;
const CONNECTION_BYTES: u32 = 4 << 20;

pub(super) fn transport(
    keypair: &Keypair,
    limits: &RelayLimits,
    counters: &Arc<RelayCounters>,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, RelayError> {
    let noise = noise::Config::new(keypair).map_err(|error| RelayError::Setup(error.to_string()))?;
    let streams = limits.streams().get();
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(streams as usize);
    let tcp = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let mut config = quic::Config::new(keypair);
    config.max_stream_data = STREAM_BYTES;
    config.max_connection_data = CONNECTION_BYTES;
    config.max_concurrent_stream_limit = streams;
    let quic = quic::tokio::Transport::new(config).map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let counters = Arc::clone(counters);
    let both = tcp
        .or_transport(quic)
        .map(|either, _| either.into_inner())
        .map(move |(peer, muxer), _| {
            let counted = Counted {
                inner: muxer,
                counters: Arc::clone(&counters),
            };
            (peer, StreamMuxerBox::new(counted))
        });
    Ok(TransportTimeout::new(both, HANDSHAKE).boxed())
}

/// A connection whose streams are [`CountedStream`]s.
struct Counted {
    inner: StreamMuxerBox,
    counters: Arc<RelayCounters>,
}

impl Counted {
    fn stream(&self, inner: SubstreamBox) -> CountedStream {
        CountedStream {
            inner,
            counters: Arc::clone(&self.counters),
        }
    }
}

impl StreamMuxer for Counted {
    type Substream = CountedStream;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<CountedStream>> {
        let polled = Pin::new(&mut self.inner).poll_inbound(cx);
        polled.map_ok(|stream| self.stream(stream))
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<CountedStream>> {
        let polled = Pin::new(&mut self.inner).poll_outbound(cx);
        polled.map_ok(|stream| self.stream(stream))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

/// A stream whose bytes are counted.
struct CountedStream {
    inner: SubstreamBox,
    counters: Arc<RelayCounters>,
}

impl AsyncRead for CountedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if let Poll::Ready(Ok(count)) = read {
            self.counters.count_received(count);
        }
        read
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.counters.count_sent(count);
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.counters.count_sent(count);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
