//! What goes over a local network: multicast DNS (RFC 6762), with a name that means nothing to others (docs/PROTOCOL.md, "On a local
//! network").
//!
//! ```text
//! question  _NAME._udp.local PTR
//! answer    _NAME._udp.local PTR INSTANCE._NAME._udp.local
//!           INSTANCE._NAME._udp.local TXT "0=…" "1=…"     a sealed presence record, in pieces
//! ```

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use simple_dns::rdata::{PTR, RData, TXT};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord, TYPE};
use snug_crypto::bounds::MAX_PRESENCE_BYTES;
use snug_crypto::generation::MeshKey;

/// Largest packet that is looked at: what an Ethernet carries in one piece, and some.
pub(super) const MAX_PACKET: usize = 4096;
/// Bytes of a day's name: 15 characters in base32, which is as long as a service's name may be (RFC 6335).
const NAME_BYTES: usize = 9;
/// Bytes of a record in one string of at most 255, which begins with a key and `=`.
const PIECE: usize = 250;
/// Answers of one packet that are looked at.
const MAX_RECORDS: usize = 16;
/// How long others may remember an answer, in seconds. Nobody of ours does.
const TTL_S: u32 = 120;

/// A room's name on a local network on one day: `_NAME._udp.local`.
pub(super) fn service(mesh: &MeshKey, day: u32) -> String {
    let name = BASE32_NOPAD.encode(&mesh.mdns_name(day)[..NAME_BYTES]);
    format!("_{}._udp.local", name.to_ascii_lowercase())
}

/// What a packet says, as far as it is about these services.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// The services that are asked for.
    pub asked: Vec<String>,
    /// Sealed presence records.
    pub records: Vec<Vec<u8>>,
}

/// A question for one service.
pub(super) fn question(service: &str) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(0);
    let name = Name::new(service).ok()?;
    packet
        .questions
        .push(Question::new(name, TYPE::PTR.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().ok()
}

/// An answer: whoever this is, the record is sealed.
pub(super) fn answer(service: &str, instance: [u8; 8], record: &[u8]) -> Option<Vec<u8>> {
    if record.len() > MAX_PRESENCE_BYTES {
        return None;
    }
    let instance = format!("{}.{service}", HEXLOWER.encode(&instance));
    let mut text = TXT::new();
    for (number, piece) in record.chunks(PIECE).enumerate() {
        text.add_attribute(&number.to_string(), Some(piece)).ok()?;
    }
    let mut packet = Packet::new_reply(0);
    packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    let (service, instance) = (Name::new(service).ok()?, Name::new(&instance).ok()?);
    let pointer = RData::PTR(PTR(instance.clone()));
    packet
        .answers
        .push(ResourceRecord::new(service, CLASS::IN, TTL_S, pointer));
    packet
        .additional_records
        .push(ResourceRecord::new(instance, CLASS::IN, TTL_S, RData::TXT(text)));
    packet.build_bytes_vec().ok()
}

/// What a packet says of these services; nothing, for anything odd.
pub(super) fn hear(bytes: &[u8], services: &[String]) -> Heard {
    let mut heard = Heard::default();
    if bytes.len() > MAX_PACKET {
        return heard;
    }
    let Ok(packet) = Packet::parse(bytes) else {
        return heard;
    };
    let names: Vec<(&String, Name<'_>)> = (services.iter())
        .filter_map(|service| Some((service, Name::new(service).ok()?)))
        .collect();
    if !packet.has_flags(PacketFlag::RESPONSE) {
        for question in packet.questions.iter().take(MAX_RECORDS) {
            let is_pointer = matches!(question.qtype, QTYPE::TYPE(TYPE::PTR) | QTYPE::ANY);
            let is_in = matches!(question.qclass, QCLASS::CLASS(CLASS::IN) | QCLASS::ANY);
            let named = names.iter().find(|(_, name)| *name == question.qname);
            if let (true, true, Some((service, _))) = (is_pointer, is_in, named) {
                heard.asked.push((*service).clone());
            }
        }
        return heard;
    }
    for record in packet
        .answers
        .iter()
        .chain(&packet.additional_records)
        .take(MAX_RECORDS)
    {
        let is_ours = names.iter().any(|(_, name)| record.name.is_subdomain_of(name));
        if let (true, RData::TXT(text)) = (is_ours, &record.rdata) {
            heard.records.extend(sealed(text));
        }
    }
    heard
}

/// The record in a TXT: its pieces, in their order.
fn sealed(text: &TXT<'_>) -> Option<Vec<u8>> {
    let mut record = Vec::new();
    for (number, (key, piece)) in text.iter_raw().enumerate() {
        let piece = piece?;
        if key != number.to_string().as_bytes() || record.len() + piece.len() > MAX_PRESENCE_BYTES {
            return None;
        }
        record.extend_from_slice(piece);
    }
    (!record.is_empty()).then_some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mesh(byte: u8) -> MeshKey {
        MeshKey::from_bytes([byte; 32])
    }

    #[test]
    fn a_name_is_of_one_room_and_one_day() {
        let name = service(&mesh(1), 20_000);
        assert_eq!(name.len(), 1 + 15 + "._udp.local".len());
        assert_ne!(name, service(&mesh(1), 20_001));
        assert_ne!(name, service(&mesh(2), 20_000));
        assert!(Name::new(&name).is_ok_and(|name| name.is_link_local()));
    }

    #[test]
    fn a_question_is_heard_by_who_has_the_name() {
        let (ours, theirs) = (service(&mesh(1), 1), service(&mesh(2), 1));
        let bytes = question(&ours).unwrap();
        assert_eq!(
            hear(&bytes, &[theirs.clone(), ours.clone()]).asked,
            std::slice::from_ref(&ours)
        );
        assert_eq!(hear(&bytes, &[theirs]), Heard::default());
        assert!(bytes.len() < 60, "{}", bytes.len());
    }

    #[test]
    fn a_record_of_any_size_comes_back_whole() {
        let name = service(&mesh(1), 1);
        for size in [1, PIECE, PIECE + 1, MAX_PRESENCE_BYTES] {
            // Every byte value, `=` among them.
            let record: Vec<u8> = (0..size).map(|at| at as u8).collect();
            let bytes = answer(&name, [7; 8], &record).unwrap();
            assert!(bytes.len() <= 1400, "one piece of an Ethernet: {}", bytes.len());
            let heard = hear(&bytes, std::slice::from_ref(&name));
            assert_eq!((heard.asked.len(), heard.records), (0, vec![record]));
            assert_eq!(hear(&bytes, &[service(&mesh(2), 1)]), Heard::default());
        }
        assert_eq!(answer(&name, [7; 8], &[0; MAX_PRESENCE_BYTES + 1]), None);
    }

    #[test]
    fn anything_else_is_nothing() {
        let name = service(&mesh(1), 1);
        let good = answer(&name, [7; 8], &[5; 300]).unwrap();
        for cut in 0..good.len() {
            assert_eq!(
                hear(&good[..cut], std::slice::from_ref(&name)),
                Heard::default(),
                "cut at {cut}"
            );
        }
        assert_eq!(
            hear(&vec![0; MAX_PACKET + 1], std::slice::from_ref(&name)),
            Heard::default()
        );
        let mut rng = <rand_chacha::ChaCha20Rng as rand::SeedableRng>::seed_from_u64(1);
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..4 {
                let at = rand::RngExt::random_range(&mut rng, 0..bytes.len());
                bytes[at] = rand::RngExt::random(&mut rng);
            }
            for record in hear(&bytes, std::slice::from_ref(&name)).records {
                assert!(record.len() <= MAX_PRESENCE_BYTES);
            }
        }
    }
}
