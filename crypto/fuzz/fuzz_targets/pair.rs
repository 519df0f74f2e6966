//! A direct message: any bytes as its body; a genuine one, changed; and, by a hostile member who holds all the right keys, any bytes
//! inside of a box and any contents inside of a message. What is read is what was sealed, and what is refused moves nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snug_crypto::{
    content,
    kem::KemKey,
    pair::{Begun, Body, Form, PairError, begin_first, begin_turn},
};
use snug_crypto_fuzz::{
    pair::{PARENT, SECRET, Two},
    text,
};

fuzz_target!(|input: &[u8]| {
    let Some((&kind, rest)) = input.split_first() else {
        return;
    };
    let form = if kind & 4 == 0 { Form::First } else { Form::Turn };
    match kind & 3 {
        0 => anything(rest),
        1 => changed(form, rest),
        2 => inside(form, rest),
        _ => contents(form, rest),
    }
});

/// No bytes open that nobody sealed.
fn anything(bytes: &[u8]) {
    let two = Two::new();
    let Ok(body) = Body::decode(bytes) else {
        return;
    };
    assert_eq!(bytes[0], body.form() as u8);
    assert_eq!(&bytes[1..9], body.tag().as_bytes());
    let genuine = [Form::First, Form::Turn].map(|form| two.genuine(form));
    if genuine.iter().any(|genuine| *genuine == bytes) {
        return;
    }
    let mut begun = two.listening(body.form());
    assert!(begun.open(&PARENT, &body).is_err(), "a message that nobody sealed");
    // A genuine box around other things begins an epoch, and one that nobody sealed none.
    let end = 9 + box_len(body.form());
    if bytes[..end] != genuine[body.form() as usize - 1][..end] {
        assert!(
            begin_first(&body, &two.line, &two.kem).is_err(),
            "a box that nobody sealed"
        );
        assert!(begin_turn(&body, &two.line, &two.kem, &two.psk).is_err());
    }
}

/// A genuine message with some bytes changed, cut off or added: not read, and the genuine one then is.
fn changed(form: Form, edits: &[u8]) {
    let two = Two::new();
    let genuine = two.genuine(form);
    let mut bytes = genuine.to_vec();
    for edit in edits.chunks_exact(4) {
        let at = usize::from(u16::from_be_bytes([edit[0], edit[1]]));
        match edit[2] {
            0 => bytes.truncate(at),
            1 => bytes.push(edit[3]),
            _ if at < bytes.len() => bytes[at] ^= edit[3],
            _ => (),
        }
    }
    let mut listening = two.listening(form);
    if bytes != genuine {
        if let Ok(body) = Body::decode(&bytes) {
            if let Ok(Begun { mut epoch, .. }) = begin(&body) {
                assert!(epoch.open(&PARENT, &body).is_err(), "a change is read");
            }
            assert!(listening.open(&PARENT, &body).is_err(), "a change is read");
        }
    }
    let body = Body::decode(genuine).unwrap();
    assert_eq!(listening.open(&PARENT, &body), Ok(text("hello")));
    assert_eq!(listening.open(&PARENT, &body), Err(PairError::Used));
}

/// Any bytes inside of a box, sealed as a box is: it begins an epoch if it says one, and exactly the one that it says.
fn inside(form: Form, rest: &[u8]) {
    let two = Two::new();
    let Some((&[how, high, low], overlay)) = rest.split_first_chunk() else {
        return;
    };
    // Over an honest one, at any place: no random bytes are a KEM key.
    let mut inside = two.honest(form);
    let at = usize::from(u16::from_be_bytes([high, low])) % inside.len();
    let len = overlay.len().min(inside.len() - at);
    inside[at..at + len].copy_from_slice(&overlay[..len]);

    let psk = match form {
        Form::First => inside[41..73].try_into().unwrap(),
        Form::Turn => *two.psk.expose(),
    };
    let answer: &[u8; 1216] = inside.last_chunk().unwrap();
    let mut sealed = two.seal_box(form, &inside);
    // Above all, a tag that isn't the psk's.
    sealed.tag[0] ^= how & 1;
    let honest = inside[0] == 1 && how & 1 == 0 && KemKey::from_bytes(answer).is_some();
    let said = text("said");
    let bytes = sealed.message(&two.line, &psk, &inside[SECRET], 0, &two.padded(&said));
    let body = Body::decode(&bytes).unwrap();
    let begun = begin(&body);
    assert_eq!(begun.is_ok(), honest, "{:?}", begun.err());
    if let Ok(mut begun) = begun {
        assert_eq!(begun.epoch.seq().to_be_bytes(), inside[1..9]);
        assert_eq!((begun.psk.expose(), begun.answer.as_bytes()), (&psk, answer));
        assert_eq!(begun.epoch.open(&PARENT, &body), Ok(said));
    }
}

/// Any contents under the key of any message: read if they are one content in its one encoding.
fn contents(form: Form, rest: &[u8]) {
    let two = Two::new();
    let Some((&[how, high, low], padded)) = rest.split_first_chunk() else {
        return;
    };
    let (counter, mut padded) = (u16::from_be_bytes([high, low]) % 300, padded.to_vec());
    if how & 1 == 0 && padded.len() <= 4_096 {
        padded.resize(content::padded_len(padded.len()).unwrap(), 0);
    }
    let inside = two.honest(form);
    let bytes = (two.seal_box(form, &inside)).message(&two.line, two.psk.expose(), &inside[SECRET], counter, &padded);
    let body = Body::decode(&bytes).unwrap();
    let mut listening = begin(&body).unwrap().epoch;
    let before = listening.at_rest().encode();
    match listening.open(&PARENT, &body) {
        Ok(said) => {
            assert!(counter < 256 && said.as_direct().is_none());
            let len = content::contents_len(std::slice::from_ref(&said));
            assert_eq!(
                content::padded_len(len),
                Some(padded.len()),
                "one encoding of what is said"
            );
            assert!(padded.starts_with(&[0, 0, 0, 1]), "one content");
            assert_eq!(listening.open(&PARENT, &body), Err(PairError::Used));
        }
        Err(error) => {
            assert_eq!(counter >= 256, error == PairError::Used, "{error}");
            assert_eq!(listening.at_rest().encode(), before, "nothing moves");
        }
    }
}

fn begin(body: &Body<'_>) -> Result<Begun, PairError> {
    let two = Two::new();
    match body.form() {
        Form::First => begin_first(body, &two.line, &two.kem),
        Form::Turn => begin_turn(body, &two.line, &two.kem, &two.psk),
    }
}

fn box_len(form: Form) -> usize {
    match form {
        Form::First => 2_425,
        Form::Turn => 2_393,
    }
}
