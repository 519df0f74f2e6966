//! Bech32m (BIP 350) without its length limit: an alphabet that is easy to copy, and a checksum of 30 bits.

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const GENERATOR: [u32; 5] = [0x3B6A_57B2, 0x2650_8E6D, 0x1EA1_19FA, 0x3D42_33DD, 0x2A14_62B3];
const CHECKSUM: u32 = 0x2BC8_30A3;
const CHECKSUM_CHARS: usize = 6;

/// `hrp ‖ '1' ‖ data ‖ checksum`, in lower case, appended to `out`.
pub(crate) fn encode_to(hrp: &str, bytes: &[u8], out: &mut String) {
    let mut checksum = Checksum::new(hrp);
    out.push_str(hrp);
    out.push('1');
    let mut put = |value: u8| out.push(char::from(ALPHABET[usize::from(value)]));
    let (mut bits, mut held) = (0u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            let value = (bits >> held & 31) as u8;
            checksum.add(value);
            put(value);
        }
        bits &= (1 << held) - 1;
    }
    if held > 0 {
        let value = (bits << (5 - held) & 31) as u8;
        checksum.add(value);
        put(value);
    }
    for value in checksum.finish() {
        put(value);
    }
}

/// The number of characters that `len` bytes take.
pub(crate) const fn encoded_len(hrp: &str, len: usize) -> usize {
    hrp.len() + 1 + (len * 8).div_ceil(5) + CHECKSUM_CHARS
}

/// Decodes text of one case into `out`; whether it was well formed.
pub(crate) fn decode_to(hrp: &str, text: &str, out: &mut Vec<u8>) -> bool {
    if text.bytes().any(|b| b.is_ascii_lowercase()) && text.bytes().any(|b| b.is_ascii_uppercase()) {
        return false;
    }
    let Some(data) = text
        .get(..hrp.len())
        .filter(|start| start.eq_ignore_ascii_case(hrp))
        .and_then(|_| text[hrp.len()..].strip_prefix('1'))
    else {
        return false;
    };
    let mut checksum = Checksum::new(hrp);
    let Some(payload) = data.len().checked_sub(CHECKSUM_CHARS) else {
        return false;
    };
    let (mut bits, mut held) = (0u32, 0);
    for (index, character) in data.bytes().enumerate() {
        let Some(value) = ALPHABET
            .iter()
            .position(|known| *known == character.to_ascii_lowercase())
        else {
            return false;
        };
        checksum.add(value as u8);
        if index < payload {
            bits = bits << 5 | value as u32;
            held += 5;
            if held >= 8 {
                held -= 8;
                out.push((bits >> held & 0xFF) as u8);
                bits &= (1 << held) - 1;
            }
        }
    }
    // What is left over is padding: fewer than five bits, all zero.
    checksum.0 == CHECKSUM && held < 5 && bits == 0
}

struct Checksum(u32);

impl Checksum {
    fn new(hrp: &str) -> Self {
        let mut checksum = Self(1);
        hrp.bytes().for_each(|b| checksum.add(b >> 5));
        checksum.add(0);
        hrp.bytes().for_each(|b| checksum.add(b & 31));
        checksum
    }

    fn add(&mut self, value: u8) {
        let top = self.0 >> 25;
        self.0 = (self.0 & 0x01FF_FFFF) << 5 ^ u32::from(value);
        for (bit, generator) in GENERATOR.iter().enumerate() {
            if top >> bit & 1 == 1 {
                self.0 ^= generator;
            }
        }
    }

    fn finish(mut self) -> [u8; CHECKSUM_CHARS] {
        (0..CHECKSUM_CHARS).for_each(|_| self.add(0));
        let value = self.0 ^ CHECKSUM;
        core::array::from_fn(|index| (value >> (5 * (CHECKSUM_CHARS - 1 - index)) & 31) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksum_holds(text: &str) -> bool {
        let (hrp, data) = text.rsplit_once('1').unwrap();
        let mut checksum = Checksum::new(&hrp.to_lowercase());
        for character in data.to_lowercase().bytes() {
            checksum.add(ALPHABET.iter().position(|known| *known == character).unwrap() as u8);
        }
        checksum.0 == CHECKSUM
    }

    #[test]
    fn bip_350_vectors() {
        for good in [
            "A1LQFN3A",
            "a1lqfn3a",
            "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
            "split1checkupstagehandshakeupstreamerranterredcaperredlc445v",
            "?1v759aa",
        ] {
            assert!(checksum_holds(good), "{good}");
        }
        for bad in ["A1LQFN3Q", "a12uel5l", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw"] {
            assert!(!checksum_holds(bad), "{bad}");
        }
    }

    #[test]
    fn bytes_round_trip_in_either_case() {
        for len in 0..64 {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8 ^ 0x5A).collect();
            let mut text = String::new();
            encode_to("snug", &bytes, &mut text);
            assert_eq!(text.len(), encoded_len("snug", len));
            for text in [text.clone(), text.to_uppercase()] {
                let mut back = Vec::new();
                assert!(decode_to("snug", &text, &mut back), "{text}");
                assert_eq!(back, bytes);
            }
        }
    }

    #[test]
    fn a_changed_character_shows() {
        let mut text = String::new();
        encode_to("snug", b"a message of some length", &mut text);
        for at in 5..text.len() {
            let mut bad = text.clone().into_bytes();
            bad[at] = if bad[at] == b'q' { b'p' } else { b'q' };
            assert!(
                !decode_to("snug", &String::from_utf8(bad).unwrap(), &mut Vec::new()),
                "character {at}"
            );
        }
        let mixed = text.replacen('q', "Q", 1);
        assert!(
            mixed == text || !decode_to("snug", &mixed, &mut Vec::new()),
            "mixed case"
        );
        assert!(!decode_to("snug", "snug1", &mut Vec::new()));
        assert!(!decode_to("snug", "snüg1qqqqqq", &mut Vec::new()));
    }
}
