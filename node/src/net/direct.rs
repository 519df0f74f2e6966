//! `/snug/direct/1`: one request, one reply, on a stream of their own (docs/PROTOCOL.md, "Links").
//!
//! Each is a big-endian `u32` length and that many bytes, at most [`MAX_DIRECT_BYTES`]; then the sender closes its side.
//! A length costs nothing until the bytes come: memory grows with what was received.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{
    StreamProtocol,
    request_response::{self, Behaviour, ProtocolSupport},
};
use snug_crypto::bounds::MAX_DIRECT_BYTES;

use super::config::NetLimits;

/// The protocol's name on the wire.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/snug/direct/1");

/// Requests and replies between linked peers.
pub(crate) type Direct = Behaviour<DirectCodec>;

pub(crate) fn direct(limits: &NetLimits) -> Direct {
    let config = request_response::Config::default()
        .with_request_timeout(limits.direct_timeout)
        .with_max_concurrent_streams(limits.direct_streams * 2);
    let codec = DirectCodec::bounded(MAX_DIRECT_BYTES);
    Direct::with_codec(codec, [(PROTOCOL, ProtocolSupport::Full)], config)
}

/// See the module.
#[derive(Clone)]
pub(crate) struct DirectCodec {
    max: usize,
}

impl DirectCodec {
    /// For requests and replies of at most so many bytes.
    pub(crate) fn bounded(max: usize) -> Self {
        Self { max }
    }
}

impl request_response::Codec for DirectCodec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, self.max).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, self.max).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &request, self.max).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, response: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &response, self.max).await
    }
}

async fn read<T: AsyncRead + Unpin + Send>(io: &mut T, max: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length);
    if length as usize > max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "more than a direct message may have",
        ));
    }
    let mut bytes = Vec::new();
    io.take(u64::from(length)).read_to_end(&mut bytes).await?;
    if bytes.len() != length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

async fn write<T: AsyncWrite + Unpin + Send>(io: &mut T, bytes: &[u8], max: usize) -> io::Result<()> {
    let length = u32::try_from(bytes.len())
        .ok()
        .filter(|_| bytes.len() <= max)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "more than a direct message may have"))?;
    io.write_all(&length.to_be_bytes()).await?;
    io.write_all(bytes).await?;
    io.flush().await
}

#[cfg(test)]
mod tests {
    use futures::{executor::block_on, io::Cursor};

    use super::*;

    fn framed(length: u32, bytes: &[u8]) -> Vec<u8> {
        [&length.to_be_bytes()[..], bytes].concat()
    }

    #[test]
    fn what_is_written_is_read() {
        for size in [0, 1, 1000, MAX_DIRECT_BYTES] {
            let (bytes, mut wire) = (vec![7; size], Cursor::new(Vec::new()));
            block_on(write(&mut wire, &bytes, MAX_DIRECT_BYTES)).unwrap();
            assert_eq!(
                block_on(read(&mut Cursor::new(wire.into_inner()), MAX_DIRECT_BYTES)).unwrap(),
                bytes
            );
        }
    }

    #[test]
    fn too_long_and_cut_short_are_refused() {
        assert!(
            block_on(write(
                &mut Cursor::new(Vec::new()),
                &vec![0; MAX_DIRECT_BYTES + 1],
                MAX_DIRECT_BYTES
            ))
            .is_err()
        );
        let long = MAX_DIRECT_BYTES as u32 + 1;
        for wire in [
            framed(long, &[]),
            framed(u32::MAX, &[]),
            framed(2, b"a"),
            vec![0, 0],
            vec![],
        ] {
            assert!(block_on(read(&mut Cursor::new(wire), MAX_DIRECT_BYTES)).is_err());
        }
    }
}
