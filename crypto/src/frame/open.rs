//! Opening: the cheapest check first, and nothing changes before the last one passed.

use zeroize::Zeroizing;

use super::{
    AD, Epoch, FrameError, HEAD, MIN_HEADER, OpenedFrame, ParentRef, SIGNATURE, Statement, chain::ChainError, tag_of,
};
use crate::{
    LeafId, aead, bounds, content, label,
    sign::BadSignature,
    wire::{DecodeError, Reader},
};

/// No frame is smaller: no parents, and contents padded to 256 bytes.
const MIN_FRAME: usize = HEAD + MIN_HEADER + 256 + SIGNATURE + 2 * aead::TAG;

impl Epoch {
    /// Opens a frame: see [`Self::open_stated`], whose statement this drops.
    ///
    /// # Errors
    /// [`FrameError`]
    pub fn open(&mut self, bytes: &[u8]) -> Result<OpenedFrame, FrameError> {
        self.open_stated(bytes).map(|(frame, _)| frame)
    }

    /// Opens a frame, and gives what its sender signed: size, tag, envelope, header, replay window and chain bound, inner seal, signature, contents. Only
    /// then does the sender's chain move.
    ///
    /// # Errors
    /// [`FrameError`]; its [`FrameError::blame`] says what to do with the frame.
    pub fn open_stated(&mut self, bytes: &[u8]) -> Result<(OpenedFrame, Statement), FrameError> {
        self.open_if(bytes, |_| true)
    }

    /// The same, if its sender may say something: asked once its name can be read, of a member of this epoch whose counter isn't used, and
    /// before anything of its own is decrypted or verified.
    ///
    /// # Errors
    /// [`FrameError`]; [`FrameError::Shed`] where it may not.
    pub fn open_if(
        &mut self,
        bytes: &[u8],
        may_speak: impl FnOnce(&LeafId) -> bool,
    ) -> Result<(OpenedFrame, Statement), FrameError> {
        let tag = tag_of(bytes).ok_or(FrameError::NotAFrame)?;
        if bytes.len() < MIN_FRAME || bytes.len() > bounds::MAX_GOSSIP_BYTES {
            return Err(FrameError::NotAFrame);
        }
        if tag != self.tag() {
            return Err(FrameError::OtherEpoch);
        }
        let (head, rest) = bytes.split_first_chunk::<HEAD>().ok_or(FrameError::NotAFrame)?;
        let mut nonce = [0; aead::NONCE];
        nonce.copy_from_slice(&head[AD..]);
        let mut buffer = Zeroizing::new(rest.to_vec());
        aead::xopen(self.keys.envelope.expose(), &nonce, &head[..AD], &mut buffer)
            .map_err(|aead::Forged| FrameError::Forged)?;
        let text = buffer
            .split_last_chunk_mut::<{ aead::TAG }>()
            .ok_or(FrameError::NotAFrame)?
            .0;

        let mut reader = Reader::new(text);
        let sender = LeafId::from_bytes(reader.array()?);
        let counter = reader.u64()?;
        let parents = reader.list("parents", bounds::MAX_PARENTS, ParentRef::read)?;
        let header = text.len() - reader.remaining();
        let at = self.members.binary_search_by_key(&sender, |member| member.leaf);
        let member = at
            .ok()
            .and_then(|at| self.members.get_mut(at))
            .ok_or(FrameError::NotAMember)?;
        let step = member.chain.prepare(counter).map_err(|error| match error {
            ChainError::Used => FrameError::Duplicate,
            ChainError::TooFar { ahead } => FrameError::TooFarAhead { ahead },
        })?;
        if !may_speak(&sender) {
            return Err(FrameError::Shed);
        }

        let (header, inner) = text.split_at_mut(header);
        let mut short = [0; 12];
        short.copy_from_slice(&nonce[..12]);
        aead::copen(step.message_key(), &short, header, inner).map_err(|aead::Forged| FrameError::WrongChain)?;
        let inner = inner
            .split_last_chunk::<{ aead::TAG }>()
            .ok_or(DecodeError::Truncated)?
            .0;
        let (padded, signature) = inner.split_last_chunk::<SIGNATURE>().ok_or(DecodeError::Truncated)?;
        let digest = super::contents_digest(padded);
        let hash = super::frame_hash(&self.id, header, &digest);
        member
            .key
            .verify(label::SIGN_FRAME, &self.genesis, hash.as_bytes(), signature)
            .map_err(|BadSignature| FrameError::BadSignature)?;
        let contents = content::read_padded(padded)?;
        let statement = Statement::new(self.id, header, digest, *signature, hash)?;
        member.chain.commit(step);
        Ok((
            OpenedFrame {
                sender,
                counter,
                parents,
                hash,
                contents,
            },
            statement,
        ))
    }
}
