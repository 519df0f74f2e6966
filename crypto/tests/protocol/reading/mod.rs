//! Reads vectors, whoever made them: opens or makes again every value from the values beside it, and refuses every `reject`.
//!
//! It works from the JSON alone, so it holds the committed files and what the second implementation made alike, and each
//! field that it reads is one whose change it notices.

use data_encoding::HEXLOWER;
use serde_json::Value;

mod authority;
mod certificate;
mod epochs;
mod keeper;
mod links;
mod members;
mod pair;
mod room;
mod tables;
mod vault;

/// What is wrong with a file.
pub type Failure = String;

/// How much of a file was held.
#[derive(Clone, Copy, Default)]
pub struct Held {
    /// Values that were made or opened again and are the same.
    pub agree: u32,
    /// What had to be refused and was.
    pub refused: u32,
}

/// Reads the file called `name`; `file` gives it, and the others that it builds upon.
pub fn read<'v>(name: &str, file: &dyn Fn(&str) -> &'v Value) -> Result<Held, Failure> {
    let mut held = Held::default();
    let v = At(file(name));
    let h = &mut held;
    match name {
        "names" => tables::names(v, h),
        "padding" => tables::padding(v, h),
        "labels" => tables::labels(v, h),
        "bounds" => tables::bounds(v, h),
        "generation" => room::generation(v, h),
        "genesis" => room::genesis(v, h),
        "capsule" => room::capsule(v, h),
        "certificate" => certificate::certificate(v, h),
        "invite" => room::invite(v, h),
        "leaf" => members::leaf(v, h),
        "safety" => members::safety(v, h),
        "operation" => members::operation(v, h),
        "authority" => authority::authority(v, h),
        "control" => members::control(v, h),
        "epoch" => epochs::epoch(v, h).map(|_| ()),
        "frame" => epochs::frame(v, At(file("epoch")), h),
        "pair" => pair::pair(v, h),
        "presence" => links::presence(v, h),
        "link" => links::link(v, h),
        "direct" => links::direct(v, h),
        "keeper" => keeper::keeper(v, h),
        "vault" => vault::vault(v, h),
        _ => Err("no reader".to_owned()),
    }
    .map_err(|failure| format!("{name}: {failure}"))?;
    Ok(held)
}

/// A place in a file.
#[derive(Clone, Copy)]
struct At<'a>(&'a Value);

impl<'a> At<'a> {
    fn at(self, name: &str) -> Result<Self, Failure> {
        self.0.get(name).map(Self).ok_or_else(|| format!("{name} is missing"))
    }

    fn whole(self) -> Result<&'a str, Failure> {
        self.0.as_str().ok_or_else(|| "not a text".to_owned())
    }

    fn text(self, name: &str) -> Result<&'a str, Failure> {
        self.at(name)?.whole().map_err(|failure| format!("{name}: {failure}"))
    }

    fn unhex(self) -> Result<Vec<u8>, Failure> {
        HEXLOWER
            .decode(self.whole()?.as_bytes())
            .map_err(|error| error.to_string())
    }

    fn bytes(self, name: &str) -> Result<Vec<u8>, Failure> {
        self.at(name)?.unhex().map_err(|failure| format!("{name}: {failure}"))
    }

    fn array<const N: usize>(self, name: &str) -> Result<[u8; N], Failure> {
        let bytes = self.bytes(name)?;
        bytes.try_into().map_err(|_| format!("{name}: not {N} bytes"))
    }

    fn number(self, name: &str) -> Result<u64, Failure> {
        self.at(name)?.0.as_u64().ok_or_else(|| format!("{name}: not a number"))
    }

    fn small<T: TryFrom<u64>>(self, name: &str) -> Result<T, Failure> {
        T::try_from(self.number(name)?).map_err(|_| format!("{name}: too large"))
    }

    fn flag(self, name: &str) -> Result<bool, Failure> {
        self.at(name)?
            .0
            .as_bool()
            .ok_or_else(|| format!("{name}: not a boolean"))
    }

    fn list(self, name: &str) -> Result<impl Iterator<Item = Self> + use<'a>, Failure> {
        let list = self
            .at(name)?
            .0
            .as_array()
            .ok_or_else(|| format!("{name}: not a list"))?;
        Ok(list.iter().map(Self))
    }

    fn arrays<const N: usize, T>(self, name: &str, from: impl Fn([u8; N]) -> T) -> Result<Vec<T>, Failure> {
        let one = |item: Self| {
            let bytes = item.unhex()?.try_into();
            bytes.map(&from).map_err(|_| format!("{name}: not {N} bytes"))
        };
        self.list(name)?.map(one).collect()
    }
}

impl Held {
    /// Ours and the file's, which must be the same.
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, ours: T, theirs: T) -> Result<(), Failure> {
        self.agree += 1;
        (ours == theirs).then_some(()).ok_or_else(|| format!("{what} differs"))
    }

    /// Bytes of ours, and the file's field of that name.
    fn is(&mut self, v: At<'_>, name: &str, ours: impl AsRef<[u8]>) -> Result<(), Failure> {
        self.same(name, ours.as_ref(), &v.bytes(name)?)
    }

    /// What must not be taken.
    fn refuse<T>(
        &mut self,
        v: At<'_>,
        name: &str,
        mut take: impl FnMut(At<'_>) -> Result<T, Failure>,
    ) -> Result<(), Failure> {
        for case in v.list(name)? {
            self.refused += 1;
            if take(case).is_ok() {
                return Err(format!("{name}: accepted {}", case.0.get("what").unwrap_or(case.0)));
            }
        }
        Ok(())
    }
}

/// An error of the crate as a failure.
fn failed(error: impl std::fmt::Display) -> Failure {
    error.to_string()
}
