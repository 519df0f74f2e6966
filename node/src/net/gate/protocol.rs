//! What two peers say on `/snug/link/1`: docs/PROTOCOL.md, "Links".
//!
//! ```text
//! dialer                              listener
//! nonce_d (32)            ->
//!                         <-          nonce_l (32) ‖ HMAC(mesh, listener ‖ peers ‖ nonces) (32)
//! HMAC(mesh, dialer ‖ …) (32) ->
//! OPEN (1)                <->         OPEN (1)
//! BEAT (1) every few seconds <->      BEAT (1)
//! ```
//!
//! Each side sends `OPEN` once its own protocols stand ready, and opens none of them before it has the other's `OPEN`:
//! gossipsub takes one refused stream for "not supported" and stays silent on that connection for good.
//! The beats are the link's liveness check: a connection whose peer vanished looks open for minutes on TCP.

use std::{sync::Arc, time::Duration};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, future::Either, pin_mut};
use libp2p::StreamProtocol;
use rand::{TryRng, rngs::SysRng};
use snug_crypto::{
    MeshKey, PeerKey,
    link::{self, Link, LinkRole},
};

/// The protocol's name on the wire.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/snug/link/1");

/// A link is dead when nothing was heard for this many of its beats.
const BEATS_MISSED: u32 = 3;

const OPEN: u8 = 1;
const BEAT: u8 = 2;

/// Why a link came to nothing, or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The peer doesn't hold this room's mesh key.
    #[error("the peer could not prove that it belongs to the room")]
    WrongProof,
    /// The peer doesn't speak `/snug/link/1`, or speaks it wrongly.
    #[error("the peer does not speak the link protocol")]
    Unsupported,
    /// It took too long.
    #[error("the peer did not prove itself in time")]
    TimedOut,
    /// The stream ended.
    #[error("the link's stream ended")]
    Ended,
    /// Nothing was heard from the peer for three beats.
    #[error("the peer fell silent")]
    Silent,
    /// Both peers dialed at once, and the other connection stays.
    #[error("one connection is enough")]
    Redundant,
    /// No randomness from the operating system.
    #[error("the operating system gave no randomness")]
    NoRandomness,
}

/// What both ends of a link need to prove themselves, shared by all connections.
pub(crate) struct Credentials {
    pub(crate) mesh: MeshKey,
    pub(crate) local: PeerKey,
}

/// One connection's side of the proof.
pub(crate) struct Proof {
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) remote: PeerKey,
    pub(crate) role: LinkRole,
}

impl Proof {
    /// Runs the proof both ways and hands the stream back; from then on the peer is known to hold the mesh key.
    pub(crate) async fn run<S>(self, mut stream: S) -> Result<S, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut ours = [0; 32];
        SysRng.try_fill_bytes(&mut ours).map_err(|_| Failure::NoRandomness)?;
        match self.role {
            LinkRole::Dialer => {
                write(&mut stream, &ours).await?;
                let theirs = read(&mut stream).await?;
                self.check(LinkRole::Listener, &ours, &theirs, &read(&mut stream).await?)?;
                write(&mut stream, &self.prove(&ours, &theirs)).await?;
            }
            LinkRole::Listener => {
                let theirs = read(&mut stream).await?;
                let mut answer = [0; 64];
                answer[..32].copy_from_slice(&ours);
                answer[32..].copy_from_slice(&self.prove(&theirs, &ours));
                write(&mut stream, &answer).await?;
                self.check(LinkRole::Dialer, &theirs, &ours, &read(&mut stream).await?)?;
            }
        }
        Ok(stream)
    }

    fn prove(&self, dialer_nonce: &[u8; 32], listener_nonce: &[u8; 32]) -> [u8; 32] {
        link::prove(
            &self.credentials.mesh,
            self.role,
            &self.link(dialer_nonce, listener_nonce),
        )
    }

    fn check(
        &self,
        role: LinkRole,
        dialer_nonce: &[u8; 32],
        listener_nonce: &[u8; 32],
        proof: &[u8; 32],
    ) -> Result<(), Failure> {
        if link::verify(
            &self.credentials.mesh,
            role,
            &self.link(dialer_nonce, listener_nonce),
            proof,
        ) {
            Ok(())
        } else {
            Err(Failure::WrongProof)
        }
    }

    fn link<'a>(&'a self, dialer_nonce: &'a [u8; 32], listener_nonce: &'a [u8; 32]) -> Link<'a> {
        let (dialer, listener) = match self.role {
            LinkRole::Dialer => (&self.credentials.local, &self.remote),
            LinkRole::Listener => (&self.remote, &self.credentials.local),
        };
        Link {
            dialer,
            listener,
            dialer_nonce,
            listener_nonce,
        }
    }
}

/// Tells the peer that our protocols stand ready, and waits until its do.
pub(crate) async fn open<S>(mut stream: S) -> Result<S, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    write(&mut stream, &[OPEN]).await?;
    match read(&mut stream).await? {
        [OPEN] => Ok(stream),
        [_] => Err(Failure::Unsupported),
    }
}

/// Beats until the peer falls silent or the stream ends; says which.
pub(crate) async fn beat<S>(stream: S, interval: Duration) -> Failure
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut reader, mut writer) = stream.split();
    let listen = async {
        let mut beats = [0; 16];
        loop {
            match tokio::time::timeout(interval * BEATS_MISSED, reader.read(&mut beats)).await {
                Err(_) => return Failure::Silent,
                Ok(Err(_) | Ok(0)) => return Failure::Ended,
                Ok(Ok(count)) if beats[..count].iter().any(|&byte| byte != BEAT) => return Failure::Unsupported,
                Ok(Ok(_)) => {}
            }
        }
    };
    let tell = async {
        loop {
            tokio::time::sleep(interval).await;
            if write(&mut writer, &[BEAT]).await.is_err() {
                return Failure::Ended;
            }
        }
    };
    pin_mut!(listen, tell);
    match futures::future::select(listen, tell).await {
        Either::Left((failure, _)) | Either::Right((failure, _)) => failure,
    }
}

async fn write<W: AsyncWrite + Unpin>(writer: &mut W, bytes: &[u8]) -> Result<(), Failure> {
    writer.write_all(bytes).await.map_err(|_| Failure::Ended)?;
    writer.flush().await.map_err(|_| Failure::Ended)
}

async fn read<R: AsyncRead + Unpin, const N: usize>(reader: &mut R) -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes).await.map_err(|_| Failure::Ended)?;
    Ok(bytes)
}
