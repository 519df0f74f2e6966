//! Schemas of the types that are texts in JSON.

use std::borrow::Cow;

use data_encoding::BASE64URL_NOPAD;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::{ByteString, Exact, MAX_RELAY_ADDRESS, ProblemType, RelayAddress, TOKEN_LEN, Token};

impl<const MIN: usize, const MAX: usize> PartialSchema for ByteString<MIN, MAX> {
    fn schema() -> RefOr<Schema> {
        text()
            .pattern(Some("^[A-Za-z0-9_-]*$"))
            .min_length(Some(BASE64URL_NOPAD.encode_len(MIN)))
            .max_length(Some(BASE64URL_NOPAD.encode_len(MAX)))
            .description(Some(format!("{MIN} to {MAX} bytes, base64url without padding")))
            .into()
    }
}

impl<const MIN: usize, const MAX: usize> ToSchema for ByteString<MIN, MAX> {
    fn name() -> Cow<'static, str> {
        format!("Bytes{MIN}To{MAX}").into()
    }
}

impl<const N: usize> PartialSchema for Exact<N> {
    fn schema() -> RefOr<Schema> {
        bytes(N).into()
    }
}

impl<const N: usize> ToSchema for Exact<N> {
    fn name() -> Cow<'static, str> {
        format!("Bytes{N}").into()
    }
}

impl PartialSchema for Token {
    fn schema() -> RefOr<Schema> {
        bytes(TOKEN_LEN).into()
    }
}

impl ToSchema for Token {}

impl PartialSchema for RelayAddress {
    fn schema() -> RefOr<Schema> {
        let description = "A multiaddr that ends in the relay's peer id. One that begins with /tcp or /udp is on the host under which the \
             client reached this server.";
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^/[!-~]*$"))
            .min_length(Some(1))
            .max_length(Some(MAX_RELAY_ADDRESS))
            .description(Some(description))
            .into()
    }
}

impl ToSchema for RelayAddress {}

impl PartialSchema for ProblemType {
    fn schema() -> RefOr<Schema> {
        let known: Vec<&str> = Self::ALL.iter().map(|known| known.urn()).collect();
        let description = format!(
            "What is wrong. A newer server may have others than these: {}",
            known.join(", ")
        );
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(description))
            .into()
    }
}

impl ToSchema for ProblemType {}

/// Of so many bytes there is one text, of one length, whose last character leaves the bits that are none at zero.
fn bytes(len: usize) -> Object {
    let last = match len % 3 {
        0 => "[A-Za-z0-9_-]",
        1 => "[AQgw]",
        _ => "[AEIMQUYcgkosw048]",
    };
    let before = BASE64URL_NOPAD.encode_len(len) - 1;
    text()
        .pattern(Some(format!("^[A-Za-z0-9_-]{{{before}}}{last}$")))
        .min_length(Some(before + 1))
        .max_length(Some(before + 1))
        .description(Some(format!("{len} bytes, base64url without padding")))
        .build()
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .content_encoding("base64url")
}

/// A component of the document: its name and its schema.
pub type Component = (String, RefOr<Schema>);

/// The type's own component, and those that it refers to.
#[must_use]
pub fn components<T: ToSchema>() -> Vec<Component> {
    let mut found = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut found);
    found
}
