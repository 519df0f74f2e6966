//! Looking for a secret in bytes, in every form in which a program could have let it out.

use aho_corasick::AhoCorasick;
use data_encoding::{BASE32_NOPAD, BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER};

/// Secrets to look for, all in one pass.
///
/// Each is looked for as it is, in UTF-16, percent-encoded, in hex, in base32 and in both base64 alphabets at every offset that a
/// surrounding text can give it; letters match in either case.
#[derive(Debug)]
pub struct Canaries {
    search: AhoCorasick,
    forms: Vec<(String, &'static str)>,
}

impl Canaries {
    /// Each should have at least 8 characters, so that what is found is no accident.
    pub fn new<S: AsRef<str>>(canaries: impl IntoIterator<Item = S>) -> Self {
        let mut patterns = Vec::new();
        let mut names = Vec::new();
        for canary in canaries {
            let canary = canary.as_ref();
            assert!(canary.len() >= 8, "{canary:?} is too short to look for");
            for (name, form) in forms(canary) {
                patterns.push(form);
                names.push((canary.to_owned(), name));
            }
        }
        let search = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(patterns)
            .expect("few short patterns");
        Self { search, forms: names }
    }

    /// A canary that stands somewhere in `bytes`, and the form in which it does.
    pub fn find_in(&self, bytes: &[u8]) -> Option<(&str, &'static str)> {
        let found = self.search.find(bytes)?;
        let (canary, form) = &self.forms[found.pattern().as_usize()];
        Some((canary, form))
    }
}

/// The form in which `canary` stands somewhere in `bytes`, if it does.
pub fn find(bytes: &[u8], canary: &str) -> Option<&'static str> {
    Canaries::new([canary]).find_in(bytes).map(|(_, form)| form)
}

/// The files below a folder that hold a canary in any form.
pub fn in_folder(folder: &std::path::Path, canary: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder that can be read").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if find(&std::fs::read(&path).expect("a file that can be read"), canary).is_some() {
                found.push(path);
            }
        }
    }
    found
}

/// Whether `needle` stands in `bytes`.
pub fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

fn forms(canary: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = canary.as_bytes();
    let utf16 = |order: fn(u16) -> [u8; 2]| canary.encode_utf16().flat_map(order).collect();
    let percent: String = bytes
        .iter()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(*byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    let mut forms = vec![
        ("as it is", bytes.to_vec()),
        ("UTF-16", utf16(u16::to_le_bytes)),
        ("UTF-16", utf16(u16::to_be_bytes)),
        ("percent-encoded", percent.into_bytes()),
        ("hex", HEXLOWER.encode(bytes).into_bytes()),
    ];
    for (name, encoding, symbol_bits) in [
        ("base64", BASE64_NOPAD, 6),
        ("base64url", BASE64URL_NOPAD, 6),
        ("base32", BASE32_NOPAD, 5),
    ] {
        let group = if symbol_bits == 6 { 3 } else { 5 };
        for offset in 0..group {
            let mut shifted = vec![0; offset];
            shifted.extend_from_slice(bytes);
            let encoded = encoding.encode(&shifted).into_bytes();
            // Symbols that also carry bits of what stands before or after would differ: only the inner ones are looked for.
            let first = (offset * 8usize).div_ceil(symbol_bits);
            let last = shifted.len() * 8 / symbol_bits;
            forms.push((name, encoded[first..last].to_vec()));
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::BASE64;

    const CANARY: &str = "canary-7f3a-bird";

    fn hidden(text: Vec<u8>) -> Option<&'static str> {
        let mut bytes = b"POST /v1 HTTP/1.1\r\n\r\n{\"x\":\"".to_vec();
        bytes.extend(text);
        bytes.extend(b"\"}\n\xff\xfe");
        find(&bytes, CANARY)
    }

    #[test]
    fn finds_every_form_at_every_offset() {
        assert_eq!(hidden(CANARY.into()), Some("as it is"));
        assert_eq!(hidden(CANARY.to_uppercase().into()), Some("as it is"));
        assert_eq!(
            hidden(CANARY.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            Some("UTF-16")
        );
        assert_eq!(hidden("canary%2D7f3a%2dbird".into()), Some("percent-encoded"));
        for around in ["", "a", "ab", "abc", "abcd", "abcde"] {
            let text = format!("{around}{CANARY}{around}");
            assert_eq!(hidden(HEXLOWER.encode(text.as_bytes()).into()), Some("hex"));
            assert_eq!(hidden(BASE64.encode(text.as_bytes()).into()), Some("base64"));
            // The two alphabets differ in two symbols only, so either name may be given.
            assert!(
                hidden(BASE64URL_NOPAD.encode(text.as_bytes()).into()).is_some(),
                "{around}"
            );
            assert_eq!(hidden(BASE32_NOPAD.encode(text.as_bytes()).into()), Some("base32"));
        }
    }

    #[test]
    fn finds_nothing_where_nothing_is() {
        assert_eq!(hidden(Vec::new()), None);
        assert_eq!(hidden("canary-7f3a-bir".into()), None);
        assert_eq!(hidden(BASE64.encode(b"canary-7f3a-birb").into()), None);
    }
}
