//! Direct messages, made again from the randomness that stands beside them.

use snug_crypto::{
    EpochId, GenesisHash, IdentityKey, LeafId, PairHash,
    content::Content,
    kdf,
    kem::KemSecret,
    label,
    pair::{Body, Form, Line, Listening, PairPsk, Speaking, begin_first, begin_turn},
};

use super::{
    At, Failure, Held,
    epochs::{Replayed, content},
    failed,
};

pub(super) fn pair(v: At<'_>, h: &mut Held) -> Result<(), Failure> {
    let genesis = GenesisHash::from_bytes(v.array("genesis_hash")?);
    let identities = v.arrays("identities", IdentityKey::from_bytes)?;
    let [one, other] = identities[..] else {
        return Err("not two identities".to_owned());
    };
    let pair = PairHash::of(&genesis, &one, &other);
    h.is(v, "pair_hash", pair)?;
    h.same(
        "pair of the two the other way round",
        PairHash::of(&genesis, &other, &one),
        pair,
    )?;
    v.list("epochs")?.try_for_each(|case| epoch(case, pair, h))
}

struct Reading {
    form: Form,
    kem: KemSecret,
    psk: PairPsk,
}

impl Reading {
    fn begin(&self, line: &Line, body: &Body<'_>) -> Result<Listening, Failure> {
        match self.form {
            Form::First => begin_first(body, line, &self.kem)
                .map(|begun| begun.epoch)
                .map_err(failed),
            Form::Turn if !body.is_under(&self.psk) => Err("not under the psk".to_owned()),
            Form::Turn => begin_turn(body, line, &self.kem, &self.psk)
                .map(|begun| begun.epoch)
                .map_err(failed),
        }
    }

    fn read(&self, line: &Line, parent: &EpochId, bytes: &[u8], times: usize) -> Result<Content, Failure> {
        let body = Body::decode(bytes).map_err(failed)?;
        let mut epoch = self.begin(line, &body)?;
        (1..times).try_for_each(|_| epoch.open(parent, &body).map(|_| ()).map_err(failed))?;
        epoch.open(parent, &body).map_err(failed)
    }
}

fn epoch(v: At<'_>, pair: PairHash, h: &mut Held) -> Result<(), Failure> {
    let line = Line {
        pair,
        speaker: LeafId::from_bytes(v.array("speaker")?),
        reader: LeafId::from_bytes(v.array("reader")?),
    };
    let form = match v.number("form")? {
        1 => Form::First,
        2 => Form::Turn,
        _ => return Err("no such form".to_owned()),
    };
    let kem = KemSecret::from_seed(&v.array("kem_seed")?);
    let answer = KemSecret::from_seed(&v.array("answer_seed")?);
    let psk = PairPsk::from_bytes(v.array("psk")?);
    h.is(v, "kem_hash", kem.public().hash())?;
    let head = [
        &[form as u8][..],
        line.speaker.as_bytes(),
        line.reader.as_bytes(),
        &kem.public().hash(),
    ]
    .concat();
    let ctx = kdf::hash(label::PAIR_CONTEXT, &[pair.as_bytes(), &head]);
    let root = kdf::extract(psk.expose(), &v.bytes("es")?);
    let snd = kdf::expand(&*root, label::SENDERS, &[&ctx]);
    h.is(v, "ctx", ctx)?;
    h.is(v, "extracted", *root)?;
    h.is(v, "snd", *snd)?;
    h.is(
        v,
        "ck_0",
        *kdf::expand(&*snd, label::SENDER, &[line.speaker.as_bytes()]),
    )?;

    let messages: Vec<At<'_>> = v.list("messages")?.collect();
    let mut drawn = v.array::<32>("es")?.to_vec();
    drawn.extend(v.array::<64>("encapsulation_randomness")?);
    for message in &messages {
        drawn.extend(message.array::<12>("nonce")?);
    }
    let mut rng = Replayed(drawn.into_iter());
    let (to, seq) = (kem.public(), v.number("seq")?);
    let mut speaking = Speaking::begin(&mut rng, form, &line, &to, &psk, seq, &answer.public()).ok_or("no key")?;
    h.is(v, "tag", speaking.tag())?;
    let reading = Reading { form, kem, psk };
    let mut whole: Option<Listening> = None;
    for message in &messages {
        let (parent, says) = (
            EpochId::from_bytes(message.array("parent")?),
            content(message.at("says")?)?,
        );
        h.same("counter", speaking.said(), message.number("counter")?)?;
        let made = speaking.seal(&mut rng, &parent, &says).map_err(failed)?;
        h.is(*message, "body", &made)?;
        let sealed_box = v.bytes("box")?;
        h.same("box", made.get(9..9 + sealed_box.len()), Some(&sealed_box[..]))?;
        h.same(
            "what is read alone",
            reading.read(&line, &parent, &made, 1)?,
            says.clone(),
        )?;
        let body = Body::decode(&made).map_err(failed)?;
        let mut listening = match whole.take() {
            Some(listening) => listening,
            None => reading.begin(&line, &body)?,
        };
        h.same("number", listening.seq(), v.number("seq")?)?;
        h.same(
            "what is read in order",
            listening.open(&parent, &body).map_err(failed)?,
            says,
        )?;
        whole = Some(listening);
    }
    h.refuse(v, "reject", |case| {
        let copied = Line {
            speaker: LeafId::from_bytes(case.array("speaker")?),
            ..line
        };
        let parent = EpochId::from_bytes(case.array("parent")?);
        let times = if case.text("what")? == "read before" { 2 } else { 1 };
        reading.read(&copied, &parent, &case.bytes("bytes")?, times)
    })
}
