//! Contents and opened frames at rest: what waits to be sent, and what waits to be shown. docs/PROTOCOL.md, "At rest".
//!
//! ```text
//! contents = 01 ‖ list of (kind u16 ‖ lp(body))
//! opened   = 01 ‖ epoch_id(32) ‖ leaf_id(16) ‖ counter u64 ‖ frame_hash(32) ‖ list of parent ‖ list of (kind u16 ‖ lp(body))
//! ```

use super::{RestBytes, begin, finish, open};
use crate::{
    EpochId, FrameHash, LeafId, bounds,
    content::{self, Content},
    frame::{OpenedFrame, ParentRef},
    wire::DecodeError,
};

/// Contents that wait to be sent.
#[must_use]
pub fn encode_contents(contents: &[Content]) -> RestBytes {
    let mut writer = begin(content::contents_len(contents));
    content::write_at_rest(contents, &mut writer);
    finish(writer)
}

/// Undoes [`encode_contents`].
///
/// # Errors
/// [`DecodeError`].
pub fn decode_contents(bytes: &[u8]) -> Result<Vec<Content>, DecodeError> {
    let mut reader = open("stored contents", bytes)?;
    let contents = content::read_at_rest(&mut reader)?;
    reader.finish()?;
    Ok(contents)
}

/// A frame that was opened, its key used up, and that the user may not have seen yet.
#[must_use]
pub fn encode_opened(epoch: &EpochId, frame: &OpenedFrame) -> RestBytes {
    let parents = frame.parents.len() * 40;
    let mut writer = begin(32 + 16 + 8 + 32 + 4 + parents + content::contents_len(&frame.contents));
    writer
        .raw(epoch.as_bytes())
        .raw(frame.sender.as_bytes())
        .u64(frame.counter)
        .raw(frame.hash.as_bytes())
        .list(&frame.parents, |w, parent| parent.write(w));
    content::write_at_rest(&frame.contents, &mut writer);
    finish(writer)
}

/// Undoes [`encode_opened`].
///
/// # Errors
/// [`DecodeError`].
pub fn decode_opened(bytes: &[u8]) -> Result<(EpochId, OpenedFrame), DecodeError> {
    let mut reader = open("stored frame", bytes)?;
    let epoch = EpochId::from_bytes(reader.array()?);
    let frame = OpenedFrame {
        sender: LeafId::from_bytes(reader.array()?),
        counter: reader.u64()?,
        hash: FrameHash::from_bytes(reader.array()?),
        parents: reader.list("parents", bounds::MAX_PARENTS, ParentRef::read)?,
        contents: content::read_at_rest(&mut reader)?,
    };
    reader.finish()?;
    Ok((epoch, frame))
}

/// The parents of the next frame.
#[must_use]
pub fn encode_parents(parents: &[ParentRef]) -> RestBytes {
    let mut writer = begin(4 + parents.len() * 40);
    writer.list(parents, |w, parent| parent.write(w));
    finish(writer)
}

/// Undoes [`encode_parents`].
///
/// # Errors
/// [`DecodeError`].
pub fn decode_parents(bytes: &[u8]) -> Result<Vec<ParentRef>, DecodeError> {
    let mut reader = open("stored parents", bytes)?;
    let parents = reader.list("parents", bounds::MAX_PARENTS, ParentRef::read)?;
    reader.finish()?;
    Ok(parents)
}
