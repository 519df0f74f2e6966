//! Keepers: offer, invite, grants, what is asked of one, and a generation's object at rest there.

use serde_json::{Value, json};
use snug_crypto::{
    AdminKey, Generation, GenesisHash, OperationHash, TransportKey,
    credential::{Certificate, Rank, SignedCertificate},
    keeper::{
        self, Grant, Granter, KeeperInvite, KeeperReply, KeeperRequest, KeeperSecrets, KeptItem, UnverifiedGrant,
    },
    kem::KemSecret,
    operation::Keeper,
};

use super::{Fixed, fixed::NOW, flipped, hex, longer, reject};

const ADDRESSES: [&str; 2] = ["/ip4/192.0.2.7/tcp/4001", "/ip4/192.0.2.7/udp/4001/quic-v1"];

impl Fixed {
    fn keeper_secrets(&self) -> KeeperSecrets {
        KeeperSecrets {
            transport: TransportKey::from_seed(&self.b(0x81)),
            kem: KemSecret::from_seed(&self.b(0x82)),
        }
    }

    fn before(&self) -> Generation {
        Generation {
            count: 0,
            hash: OperationHash::from_bytes(self.b(0x83)),
        }
    }

    fn certified(&self, admin: &AdminKey, genesis_hash: GenesisHash) -> SignedCertificate {
        let certificate = Certificate {
            genesis_hash,
            key: *self.members[1].secrets.signing.public().as_bytes(),
            rank: Rank::Moderator,
            serial: 0,
            expires_at_ms: NOW + 2_592_000_000,
        };
        certificate.sign(admin)
    }

    fn granted(&self, granter: Granter<'_>, to: &Keeper, object: Option<&[u8]>, number: u64) -> (Value, Vec<u8>) {
        let mut rng = self.rng(number);
        let grant = Grant {
            generation: self.keys.generation(),
            topic: self.keys.topic(),
            keep: self.keys.keep(),
            before: self.before(),
            at_ms: NOW + number,
            object,
        };
        let bytes = grant.create(granter, to, &self.hash(), &mut rng).unwrap().encode();
        let (by, certificate) = match granter {
            Granter::Admin(_) => ("admin", Value::Null),
            Granter::Certified(_, certificate) => ("moderator", hex(certificate.to_bytes())),
        };
        let value = json!({
            "by": by,
            "at": NOW + number,
            "object": hex(object.unwrap_or_default()),
            "certificate": certificate,
            "encapsulation_randomness": hex(<[u8; 64]>::try_from(rng.drawn[0].as_slice()).unwrap()),
            "bytes": hex(&bytes),
        });
        (value, bytes)
    }

    pub(super) fn keeper(&self) -> Value {
        let secrets = self.keeper_secrets();
        let offer = secrets.offer(ADDRESSES.map(str::to_owned).to_vec());
        let object = b"the object of a generation".to_vec();
        let sealed = keeper::seal_object(self.keys.control(), &mut self.rng(20), &object);
        let (admin, leaf) = (&self.admin, &self.members[1].secrets.signing);
        let certificate = self.certified(admin, self.hash());
        let (first, by_admin) = self.granted(Granter::Admin(admin), &offer, None, 21);
        let (second, by_moderator) = self.granted(Granter::Certified(leaf, certificate), &offer, Some(&sealed), 22);
        let item = vec![2; 100];
        let grant = UnverifiedGrant::decode(&by_admin).unwrap();
        let invite = KeeperInvite {
            admin: self.admin.public(),
            grant,
        };
        json!({
            "genesis_hash": hex(self.hash()),
            "admin_seed": hex(*self.admin.to_seed()),
            "leaf_seed": hex(*leaf.to_seed()),
            "transport_seed": hex(*secrets.transport.seed()),
            "kem_seed": hex(*secrets.kem.to_seed()),
            "generation": { "count": self.keys.generation().count, "hash": hex(self.keys.generation().hash) },
            "before": { "count": self.before().count, "hash": hex(self.before().hash) },
            "topic": hex(self.keys.topic().0),
            "keep": hex(self.keys.keep().expose()),
            "control": hex(self.keys.control().expose()),
            "offer": self.offers(&offer),
            "grants": [first, second],
            "reject_grants": self.bad_grants(&by_admin, &by_moderator, &offer),
            "invite": { "text": invite.to_text(), "reject": bad_invites(&invite) },
            "object": {
                "plain": hex(&object),
                "bytes": hex(&sealed),
                "reject": [
                    self.unopened("damaged", &flipped(&sealed, 30)),
                    self.unopened("another kind", &[&[2], &sealed[1..]].concat()),
                    self.unopened("cut short", &sealed[..40]),
                    self.unopened("a byte too many", &longer(&sealed)),
                ],
            },
            "item": { "bytes": hex(&item), "name": hex(keeper::item_name(&item)) },
            "requests": self.keeper_requests(&item, &by_moderator, &sealed),
            "replies": self.keeper_replies(&item, &sealed),
            "reject_requests": [
                request("another request", &[1, 0, 0, 0, 0]),
                request("a byte too many", &[0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
                request("a byte too few", &[0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
                request("more items than a deposit has", &[&[0x10, 0, 0, 2, 1][..], &[0; 4 * 513]].concat()),
                request("an item that is too large", &[&[0x10, 0, 0, 0, 1, 0, 0, 0x80, 1][..], &[0; 0x8001]].concat()),
                request("more names than are fetched at once", &[&[0x12, 0, 0, 4, 1][..], &[0; 16 * 1025]].concat()),
                request("half a name", &[&[0x12, 0, 0, 0, 1][..], &[0; 8]].concat()),
                request("neither a grant nor none", &[&[0x13][..], &[0; 40], &[2]].concat()),
                request("a grant that is too large", &[&[0x13][..], &[0; 40], &[1, 0, 0, 8, 0], &[0; 2049]].concat()),
            ],
            "reject_replies": [
                reply("another reply", &[3]),
                reply("a byte too many", &[0x10, 0]),
                reply("half an item", &[&[0x11][..], &[0; 8], &[0, 0, 0, 1], &[0; 17]].concat()),
                reply("neither more nor not", &[&[0x11][..], &[0; 8], &[0; 4], &[0; 8], &[2]].concat()),
                reply("an object cut short", &[0x13, 1, 0, 0, 0, 5, 1, 2]),
            ],
        })
    }

    fn unopened(&self, what: &str, bytes: &[u8]) -> Value {
        reject(
            what,
            bytes,
            keeper::open_object(self.keys.control(), bytes).ok_or("it doesn't open"),
        )
    }

    fn offers(&self, offer: &Keeper) -> Value {
        let text = offer.to_text().unwrap();
        let bad = |what: &str, text: &str| {
            let error = Keeper::parse(text).unwrap_err();
            json!({ "what": what, "text": text, "error": error.to_string() })
        };
        json!({
            "addresses": offer.addresses,
            "text": text,
            "reject": [
                bad("a character is missing", &text[..text.len() - 1]),
                bad("another character", &text.replacen("snugoffer1q", "snugoffer1p", 1)),
                bad("something else", &text.replacen("snugoffer", "snugkeep", 1)),
                bad("nothing", ""),
            ],
        })
    }

    fn bad_grants(&self, by_admin: &[u8], by_moderator: &[u8], offer: &Keeper) -> Value {
        let open_at = |what: &str, bytes: &[u8], now: u64| {
            let opened = UnverifiedGrant::decode(bytes)
                .map_err(|error| error.to_string())
                .and_then(|grant| {
                    grant
                        .open(&self.keeper_secrets(), &self.admin.public(), &self.hash(), now)
                        .map_err(|error| error.to_string())
                });
            let mut case = reject(what, bytes, opened);
            case["now"] = now.into();
            case
        };
        let open = |what: &str, bytes: &[u8]| open_at(what, bytes, NOW);
        let stranger = AdminKey::from_seed(&self.b(0x12));
        let leaf = &self.members[1].secrets.signing;
        let made = |granter, to: &Keeper| self.granted(granter, to, None, 23).1;
        let other = KeeperSecrets {
            transport: TransportKey::from_seed(&self.b(0x84)),
            kem: KemSecret::from_seed(&self.b(0x82)),
        };
        let other_kem = Keeper {
            kem: KemSecret::from_seed(&self.b(0x85)).public(),
            ..offer.clone()
        };
        let certified = |admin: &AdminKey, genesis| Granter::Certified(leaf, self.certified(admin, genesis));
        let elsewhere = GenesisHash::from_bytes(self.b(0x86));
        let not_the_holder = Granter::Certified(
            &self.members[2].secrets.signing,
            self.certified(&self.admin, self.hash()),
        );
        json!([
            open("signed by another", &made(Granter::Admin(&stranger), offer)),
            open(
                "with the word of another for a leaf",
                &made(certified(&stranger, self.hash()), offer)
            ),
            open(
                "with the word for another room's leaf",
                &made(certified(&self.admin, elsewhere), offer)
            ),
            open("with the word for another leaf", &made(not_the_holder, offer)),
            open_at("with a word that has expired", by_moderator, NOW + 2_592_000_000),
            open(
                "for another keeper",
                &made(Granter::Admin(&self.admin), &other.offer(Vec::new()))
            ),
            open("sealed to another key", &made(Granter::Admin(&self.admin), &other_kem)),
            open("another room", &flipped(by_admin, 1)),
            open("another generation", &flipped(by_admin, 70)),
            open("another generation before", &flipped(by_admin, 110)),
            open("another time", &flipped(by_admin, 152)),
            open("another object", &flipped(by_admin, 153)),
            open("damaged", &flipped(by_admin, 1_300)),
            open("a flipped bit in the signature", &flipped(by_admin, by_admin.len() - 2)),
            open(
                "without the moderator's certificate",
                &[&by_moderator[..1_385], &[0], &by_moderator[1_528..]].concat()
            ),
            open(
                "neither certified nor not",
                &[&by_admin[..1_385], &[2], &by_admin[1_386..]].concat()
            ),
            open("a later version", &[&[2], &by_admin[1..]].concat()),
            open("a byte too many", &longer(by_admin)),
            open("a byte too few", &by_admin[..by_admin.len() - 1]),
        ])
    }

    fn keeper_requests(&self, item: &[u8], grant: &[u8], sealed: &[u8]) -> Value {
        let (store, name, generation) = (self.b(0x87), self.b(0x88), self.before());
        let asked = |grant| KeeperRequest::Generation { generation, grant };
        let fields = |grant: Value, object: Value| json!({ "count": generation.count, "hash": hex(generation.hash), "grant": grant, "object": object });
        let cases = [
            (
                "deposit",
                json!({ "items": [hex(item), hex(&item[..50])] }),
                KeeperRequest::Deposit(vec![item.to_vec(), item[..50].to_vec()]),
            ),
            (
                "holdings",
                json!({ "store": hex(store), "after": 7 }),
                KeeperRequest::Holdings { store, after: 7 },
            ),
            (
                "fetch",
                json!({ "names": [hex(name)] }),
                KeeperRequest::Fetch(vec![name]),
            ),
            ("generation", fields(Value::Null, Value::Null), asked(None)),
            (
                "generation",
                fields(hex(grant), Value::Null),
                asked(Some((grant.to_vec(), None))),
            ),
            (
                "generation",
                fields(hex(grant), hex(sealed)),
                asked(Some((grant.to_vec(), Some(sealed.to_vec())))),
            ),
        ];
        let case = |(what, fields, request): (&str, Value, KeeperRequest)| {
            let bytes = request.encode().unwrap();
            assert_eq!(KeeperRequest::decode(&bytes).unwrap(), request);
            json!({ "what": what, "fields": fields, "bytes": hex(bytes) })
        };
        cases.into_iter().map(case).collect()
    }

    fn keeper_replies(&self, item: &[u8], sealed: &[u8]) -> Value {
        let kept = KeptItem {
            tag: self.b(0x89),
            name: self.b(0x88),
        };
        let cases = [
            ("kept", json!({}), KeeperReply::Kept),
            (
                "holdings",
                json!({
                    "store": hex(self.b::<8>(0x87)), "items": [{ "tag": hex(kept.tag), "name": hex(kept.name) }], "next": 9, "more": true,
                }),
                KeeperReply::Holdings {
                    store: self.b(0x87),
                    items: vec![kept],
                    next: 9,
                    more: true,
                },
            ),
            (
                "items",
                json!({ "items": [hex(item)] }),
                KeeperReply::Items(vec![item.to_vec()]),
            ),
            ("generation", json!({ "object": null }), KeeperReply::Generation(None)),
            (
                "generation",
                json!({ "object": hex(sealed) }),
                KeeperReply::Generation(Some(sealed.to_vec())),
            ),
        ];
        let case = |(what, fields, reply): (&str, Value, KeeperReply)| {
            let bytes = reply.encode().unwrap();
            assert_eq!(KeeperReply::decode(&bytes).unwrap(), reply);
            json!({ "what": what, "fields": fields, "bytes": hex(bytes) })
        };
        cases.into_iter().map(case).collect()
    }
}

fn bad_invites(invite: &KeeperInvite) -> Value {
    let text = invite.to_text();
    let bad = |what: &str, text: &str| {
        let error = KeeperInvite::parse(text).unwrap_err();
        json!({ "what": what, "text": text, "error": error.to_string() })
    };
    json!([
        bad("a character is missing", &text[..text.len() - 1]),
        bad("another character", &text.replacen("snugkeep1q", "snugkeep1p", 1)),
        bad("something else", &text.replacen("snugkeep", "snugoffer", 1)),
    ])
}

fn request(what: &str, bytes: &[u8]) -> Value {
    reject(what, bytes, KeeperRequest::decode(bytes))
}

fn reply(what: &str, bytes: &[u8]) -> Value {
    reject(what, bytes, KeeperReply::decode(bytes))
}
