//! JSON for terminals and pipes: exact, yet without a byte that a terminal would act on.
//!
//! serde_json escapes the C0 controls only. A C1 control (U+009B is a CSI on its own), a bidirectional override or a tag
//! character would pass as UTF-8; here each character outside the allow-list becomes `\uXXXX`, which parses to the same text.

use std::io::{self, Write};

use serde::{Serialize, ser::Error as _};
use serde_json::ser::{CompactFormatter, Formatter};

use super::allow::{Class, class};

/// One line of JSON, without a line feed. Errors are those of `value`'s own serialisation (map keys that aren't strings).
pub fn line<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::with_capacity(256);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Escaping))?;
    String::from_utf8(bytes).map_err(serde_json::Error::custom)
}

/// serde_json's compact form with more escapes.
struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // Most of what is written: keys, hashes, ids.
        if fragment.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return CompactFormatter.write_string_fragment(writer, fragment);
        }
        let mut plain = 0;
        for (at, c) in fragment.char_indices() {
            if c == ' ' || matches!(class(c), Class::Visible) {
                continue;
            }
            CompactFormatter.write_string_fragment(writer, &fragment[plain..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            plain = at + c.len_utf8();
        }
        CompactFormatter.write_string_fragment(writer, &fragment[plain..])
    }
}
