//! What two peers say on `/snug/link/1`: docs/PROTOCOL.md, "Links".
//!
//! ```text
//! dialer                              listener
//! nonce_d (32) ‖ hint (8) ->
//!                         <-          nonce_l (32) ‖ HMAC(mesh, listener ‖ peers ‖ nonces) (32)
//! HMAC(mesh, dialer ‖ …) (32) ->
//! OPEN (1)                <->         OPEN (1)
//! BEAT (1) every few seconds <->      BEAT (1)
//! ```
//!
//! The hint says which generation's mesh key the dialer proves. A side whose current generation is another one sends `DOOR` in the place of
//! `OPEN`: no protocol of the room is spoken on such a connection, but one question and its answer on this very stream, `door`.
//!
//! Each side sends `OPEN` once its own protocols stand ready, and opens none of them before it has the other's `OPEN`:
//! gossipsub takes one refused stream for "not supported" and stays silent on that connection for good.
//! The beats are the link's liveness check: a connection whose peer vanished looks open for minutes on TCP.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, future::Either, pin_mut};
use libp2p::StreamProtocol;
use rand::{TryRng, rngs::SysRng};
use snug_crypto::{
    MeshKey, PeerKey,
    bounds::MAX_DIRECT_BYTES,
    link::{self, Link, LinkRole},
};

/// The protocol's name on the wire.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/snug/link/1");

/// A link is dead when nothing was heard for this many of its beats.
const BEATS_MISSED: u32 = 3;

const OPEN: u8 = 1;
const BEAT: u8 = 2;
const DOOR: u8 = 3;

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
    /// The peers are in different generations: what there was to say about that is said.
    #[error("the peer is in another generation of the room")]
    Door,
    /// No randomness from the operating system.
    #[error("the operating system gave no randomness")]
    NoRandomness,
}

/// What both ends of a link need to prove themselves, shared by all connections.
pub(crate) struct Credentials {
    /// The current generation's key.
    pub(crate) mesh: MeshKey,
    /// Those of earlier ones, the latest first.
    pub(crate) doors: Vec<MeshKey>,
    pub(crate) local: PeerKey,
    /// What is asked at a door by a peer whose generation is the one proven.
    pub(crate) plain: Vec<u8>,
    /// The same by one whose generation is another, and of which the answerer may not know.
    pub(crate) telling: Vec<u8>,
    /// The room's keepers.
    pub(crate) keepers: Keepers,
    /// Whether we are one ourselves: then members ask, and we answer.
    pub(crate) is_keeper: bool,
}

/// Who the room's keepers are, and what they know of it.
#[derive(Clone, Default)]
pub(crate) struct Keepers {
    /// What they and members prove to each other: the current generation's, then those of the doors. A keeper has no other key, so
    /// it can't pass for a member under another name.
    pub(crate) keys: Vec<MeshKey>,
    /// What they are asked at their doors, and at ours, by their peers.
    pub(crate) questions: BTreeMap<PeerKey, Vec<u8>>,
}

impl Credentials {
    /// The current key, or an earlier one: of those that are proven to this peer.
    fn key(&self, index: usize, remote: &PeerKey) -> Option<&MeshKey> {
        if self.keepers.questions.contains_key(remote) {
            return self.keepers.keys.get(index);
        }
        match index.checked_sub(1) {
            None => Some(&self.mesh),
            Some(door) => self.doors.get(door),
        }
    }
}

/// One connection's side of the proof.
pub(crate) struct Proof {
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) remote: PeerKey,
    pub(crate) role: LinkRole,
    /// Which key a dialer proves: 0 the current one, from 1 on the doors.
    pub(crate) key: usize,
}

/// A stream whose peer holds a mesh key of the room.
pub(crate) struct Proven<S> {
    pub(crate) stream: S,
    /// Whether it is an earlier generation's: then the link is good for [`door`] alone.
    pub(crate) at_door: bool,
    /// Which end of it we are.
    pub(crate) role: LinkRole,
    pub(crate) remote: PeerKey,
    pub(crate) credentials: Arc<Credentials>,
}

impl<S> Proven<S> {
    /// Between a member and a keeper the member asks, and what it asks anybody else is none of the keeper's business.
    fn to_keeper(&self) -> Option<&[u8]> {
        self.credentials.keepers.questions.get(&self.remote).map(Vec::as_slice)
    }
}

impl Proof {
    /// Runs the proof both ways and hands the stream back; from then on the peer is known to hold the mesh key.
    pub(crate) async fn run<S>(mut self, mut stream: S) -> Result<Proven<S>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut ours = [0; 32];
        SysRng.try_fill_bytes(&mut ours).map_err(|_| Failure::NoRandomness)?;
        match self.role {
            LinkRole::Dialer => {
                let mut hello = [0; 40];
                hello[..32].copy_from_slice(&ours);
                hello[32..].copy_from_slice(&link::hint(self.mesh()?, &ours));
                write(&mut stream, &hello).await?;
                let theirs = read(&mut stream).await?;
                self.check(LinkRole::Listener, &ours, &theirs, &read(&mut stream).await?)?;
                write(&mut stream, &self.prove(&ours, &theirs)?).await?;
            }
            LinkRole::Listener => {
                let theirs = read(&mut stream).await?;
                let hint: [u8; 8] = read(&mut stream).await?;
                let keys = 0..=self.credentials.doors.len();
                let key = |key: &usize| self.credentials.key(*key, &self.remote);
                let hinted = |index: &usize| key(index).is_some_and(|key| link::hint(key, &theirs) == hint);
                self.key = keys.into_iter().find(hinted).ok_or(Failure::WrongProof)?;
                let mut answer = [0; 64];
                answer[..32].copy_from_slice(&ours);
                answer[32..].copy_from_slice(&self.prove(&theirs, &ours)?);
                write(&mut stream, &answer).await?;
                self.check(LinkRole::Dialer, &theirs, &ours, &read(&mut stream).await?)?;
            }
        }
        Ok(Proven {
            stream,
            at_door: self.key > 0,
            role: self.role,
            remote: self.remote,
            credentials: self.credentials,
        })
    }

    fn mesh(&self) -> Result<&MeshKey, Failure> {
        self.credentials.key(self.key, &self.remote).ok_or(Failure::WrongProof)
    }

    fn prove(&self, dialer_nonce: &[u8; 32], listener_nonce: &[u8; 32]) -> Result<[u8; 32], Failure> {
        let link = self.link(dialer_nonce, listener_nonce);
        Ok(link::prove(self.mesh()?, self.role, &link))
    }

    fn check(
        &self,
        role: LinkRole,
        dialer_nonce: &[u8; 32],
        listener_nonce: &[u8; 32],
        proof: &[u8; 32],
    ) -> Result<(), Failure> {
        if link::verify(self.mesh()?, role, &self.link(dialer_nonce, listener_nonce), proof) {
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

/// What a peer asks at a door.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) bytes: Vec<u8>,
    /// Whether it proved the key of the generation that we are in, and has left that; else it proved an earlier one's.
    pub(crate) ahead: bool,
}

/// What became of a link that was proven.
pub(crate) enum Opened<S> {
    /// It is open.
    Open(S),
    /// The peer is in another generation, and answered our question.
    Answered(Vec<u8>),
    /// The peer is in another generation, and asks this: [`answer`] is waited for.
    Asked(S, Question),
}

/// Tells the peer that our protocols stand ready, and waits until its do; or hears that it has moved on, and asks.
pub(crate) async fn open<S>(mut proven: Proven<S>) -> Result<Opened<S>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    write(&mut proven.stream, &[OPEN]).await?;
    match read(&mut proven.stream).await? {
        [OPEN] => Ok(Opened::Open(proven.stream)),
        [DOOR] if proven.credentials.is_keeper => {
            let bytes = read_long(&mut proven.stream).await?;
            Ok(Opened::Asked(proven.stream, Question { bytes, ahead: true }))
        }
        [DOOR] => {
            let question = proven.to_keeper().unwrap_or(&proven.credentials.plain).to_vec();
            ask(&mut proven.stream, &question).await.map(Opened::Answered)
        }
        [_] => Err(Failure::Unsupported),
    }
}

/// The peer proved an earlier generation's key: whoever is in that generation asks, or the dialer, if neither is.
pub(crate) async fn door<S>(mut proven: Proven<S>) -> Result<Opened<S>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    write(&mut proven.stream, &[DOOR]).await?;
    let said = read(&mut proven.stream).await?;
    if let (Some(question), [OPEN | DOOR]) = (proven.to_keeper().map(<[u8]>::to_vec), said) {
        return ask(&mut proven.stream, &question).await.map(Opened::Answered);
    }
    match (said, proven.role) {
        ([DOOR], LinkRole::Dialer) if !proven.credentials.is_keeper => {
            let answer = ask(&mut proven.stream, &proven.credentials.telling).await?;
            Ok(Opened::Answered(answer))
        }
        ([OPEN | DOOR], _) => {
            let bytes = read_long(&mut proven.stream).await?;
            Ok(Opened::Asked(proven.stream, Question { bytes, ahead: false }))
        }
        _ => Err(Failure::Unsupported),
    }
}

/// Answers what was asked at the door, and is done with it.
pub(crate) async fn answer<S>(mut stream: S, bytes: Vec<u8>) -> Failure
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let told = async {
        write_long(&mut stream, &bytes).await?;
        stream.close().await.map_err(|_| Failure::Ended)?;
        // The asker closes when it has all of it.
        let mut rest = [0; 1];
        drop(stream.read(&mut rest).await);
        Ok(())
    };
    told.await.err().unwrap_or(Failure::Door)
}

async fn ask<S>(stream: &mut S, question: &[u8]) -> Result<Vec<u8>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if question.is_empty() {
        return Err(Failure::Door);
    }
    write_long(stream, question).await?;
    read_long(stream).await
}

async fn write_long<W: AsyncWrite + Unpin>(writer: &mut W, bytes: &[u8]) -> Result<(), Failure> {
    let length = u32::try_from(bytes.len()).map_err(|_| Failure::Unsupported)?;
    writer
        .write_all(&length.to_be_bytes())
        .await
        .map_err(|_| Failure::Ended)?;
    write(writer, bytes).await
}

async fn read_long<R: AsyncRead + Unpin>(reader: &mut R) -> Result<Vec<u8>, Failure> {
    let length = u32::from_be_bytes(read(reader).await?) as usize;
    if length > MAX_DIRECT_BYTES {
        return Err(Failure::Unsupported);
    }
    // Memory for what comes, not for what is announced.
    let mut bytes = Vec::new();
    let mut limited = reader.take(length as u64);
    limited.read_to_end(&mut bytes).await.map_err(|_| Failure::Ended)?;
    if bytes.len() == length {
        Ok(bytes)
    } else {
        Err(Failure::Ended)
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
