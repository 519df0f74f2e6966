//! What depends on no room.

use snug_crypto::{
    RoomId, RoomKey, bounds as limits, content, kdf,
    label::{self, Use},
    names::check_name,
};

use super::{At, Failure, Held, failed};

pub(super) fn names(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    for case in v.list("room_ids")? {
        let id = RoomId::parse(case.text("typed")?).map_err(failed)?;
        h.same("room id", id.as_str(), case.text("room_id")?)?;
        h.is(case, "handle", id.handle())?;
    }
    for case in v.list("room_keys")? {
        h.is(
            case,
            "room_key",
            RoomKey::parse(case.text("typed")?).map_err(failed)?.reveal(),
        )?;
    }
    for name in v.list("names")? {
        h.same("name", check_name(name.whole()?), Ok(()))?;
    }
    h.refuse(v, "reject_room_ids", |case| {
        RoomId::parse(case.text("typed")?).map_err(failed)
    })?;
    h.refuse(v, "reject_room_keys", |case| {
        RoomKey::parse(case.text("typed")?).map_err(failed)
    })?;
    h.refuse(v, "reject_names", |case| {
        check_name(case.text("typed")?).map_err(failed)
    })
}

pub(super) fn padding(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let padded = |len: u64| content::padded_len(usize::try_from(len).unwrap_or(usize::MAX));
    for case in v.list("cases")? {
        let len = padded(case.number("len")?).ok_or("too large")?;
        h.same("padding", len as u64, case.number("padded")?)?;
    }
    h.refuse(v, "reject", |case| {
        padded(case.0.as_u64().ok_or("not a number")?).ok_or_else(Failure::new)
    })
}

pub(super) fn labels(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let (key, one, two) = (v.array("key")?, v.bytes("one")?, v.bytes("two")?);
    let fields: [&[u8]; 2] = [&one, &two];
    let rows: Vec<_> = v.list("labels")?.collect();
    h.same("number of labels", label::ALL.len(), rows.len())?;
    for ((label, usage, inputs), row) in label::ALL.iter().zip(rows) {
        h.same("label", label.as_str(), row.text("label")?)?;
        h.same("use", format!("{usage:?}").as_str(), row.text("use")?)?;
        h.same("fields", *inputs, row.text("fields")?)?;
        match usage {
            Use::Hash => h.is(row, "output", kdf::hash(*label, &fields))?,
            Use::Key => h.is(row, "output", *kdf::expand(&key, *label, &fields))?,
            Use::Mac => h.is(row, "output", kdf::mac(&key, *label, &fields))?,
            Use::Signature => (),
        }
    }
    Ok(())
}

pub(super) fn bounds(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let rows: Vec<_> = v.list("bounds")?.collect();
    h.same("number of bounds", limits::ALL.len(), rows.len())?;
    for ((name, value, unit), row) in limits::ALL.iter().zip(rows) {
        h.same("name", *name, row.text("name")?)?;
        h.same(name, *value, row.number("value")?)?;
        h.same("unit", *unit, row.text("unit")?)?;
    }
    Ok(())
}
