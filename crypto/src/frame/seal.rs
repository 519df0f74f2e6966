//! Sealing: one buffer, filled once, sealed in place twice.

use rand_core::CryptoRng;

use super::{AD, Epoch, HEAD, MIN_HEADER, ParentRef, SIGNATURE, SealError, SealedFrame, Statement};
use crate::{
    FrameTag, LeafId,
    aead::{self, Kind},
    bounds,
    content::{self, Content},
    label,
    leaf::LeafSigningKey,
    wire::Writer,
};

impl Epoch {
    /// Seals contents as one frame of ours, and moves our chain on.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(
        &mut self,
        rng: &mut impl CryptoRng,
        me: LeafId,
        key: &LeafSigningKey,
        parents: &[ParentRef],
        contents: &[Content],
    ) -> Result<SealedFrame, SealError> {
        if contents.is_empty() || contents.len() > bounds::MAX_CONTENTS {
            return Err(SealError::ContentCount);
        }
        if parents.len() > bounds::MAX_PARENTS {
            return Err(SealError::TooManyParents);
        }
        if !contents.iter().all(Content::is_bounded) {
            return Err(SealError::TextTooLong);
        }
        if contents.iter().any(Content::is_private) {
            return Err(SealError::Private);
        }
        let len = content::contents_len(contents);
        let padded = content::padded_len(len).ok_or(SealError::TooLarge { bytes: len })?;
        let member = self
            .member(&me)
            .filter(|member| member.key == key.public())
            .ok_or(SealError::NotAMember)?;
        let counter = member.chain.next();
        let step = member.chain.prepare(counter).map_err(|_| SealError::Exhausted)?;

        let header = MIN_HEADER + parents.len() * (FrameTag::LEN + 32);
        let text = HEAD + header;
        let signature = text + padded;
        let size = signature + SIGNATURE + 2 * aead::TAG;
        let mut nonce = [0; aead::NONCE];
        rng.fill_bytes(&mut nonce);
        let mut writer = Writer::with_capacity(size);
        writer.u8(Kind::Frame as u8).raw(self.keys.tag.as_bytes()).raw(&nonce);
        writer
            .raw(me.as_bytes())
            .u64(counter)
            .list(parents, |w, parent| parent.write(w));
        content::write(contents, &mut writer);
        let mut bytes = writer.finish();
        bytes.resize(signature, 0);

        let digest = super::contents_digest(&bytes[text..]);
        let hash = super::frame_hash(&self.id, &bytes[HEAD..text], &digest);
        let signed = key.sign(label::SIGN_FRAME, &self.genesis, hash.as_bytes());
        let statement = Statement {
            epoch: self.id,
            sender: me,
            counter,
            parents: parents.to_vec(),
            contents: digest,
            signature: signed,
            hash,
        };
        bytes.extend_from_slice(&signed);
        let (head, inner) = bytes.split_at_mut(text);
        let mut short = [0; 12];
        short.copy_from_slice(&nonce[..12]);
        let tag = aead::cseal(step.message_key(), &short, &head[HEAD..], inner);
        bytes.extend_from_slice(&tag);
        let (head, envelope) = bytes.split_at_mut(HEAD);
        let tag = aead::xseal(self.keys.envelope.expose(), &nonce, &head[..AD], envelope);
        bytes.extend_from_slice(&tag);

        if let Some(member) = self.member_mut(&me) {
            member.chain.commit(step);
        }
        Ok(SealedFrame {
            bytes,
            hash,
            counter,
            statement,
        })
    }
}
