//! mls-rs.

use mls_rs::client_builder::MlsConfig;
use mls_rs::group::ReceivedMessage;
use mls_rs::identity::SigningIdentity;
use mls_rs::identity::basic::{BasicCredential, BasicIdentityProvider};
use mls_rs::{CipherSuite, CipherSuiteProvider as _, Client, CryptoProvider as _, Group, MlsMessage};
use mls_rs_crypto_rustcrypto::RustCryptoProvider;

use super::{Pair, TEXT};

const SUITE: CipherSuite = CipherSuite::CURVE25519_CHACHA;

fn client(name: &str) -> Client<impl MlsConfig + use<>> {
    let crypto = RustCryptoProvider::default();
    let suite = crypto.cipher_suite_provider(SUITE).expect("the suite");
    let (secret, public) = suite.signature_key_generate().expect("a key");
    let identity = SigningIdentity::new(BasicCredential::new(name.as_bytes().to_vec()).into_credential(), public);
    Client::builder()
        .identity_provider(BasicIdentityProvider)
        .crypto_provider(crypto)
        .signing_identity(identity, secret, SUITE)
        .build()
}

struct Groups<C: MlsConfig> {
    sender: Group<C>,
    receiver: Group<C>,
}

pub struct MlsRs(Box<dyn Pair>);

impl MlsRs {
    pub fn new(members: usize) -> Self {
        let (alice, bob) = (client("alice"), client("bob"));
        let mut sender = alice
            .group_builder()
            .and_then(|builder| builder.build())
            .expect("a group");
        let mut commit = sender.commit_builder();
        let others: Vec<_> = (2..members).map(|number| client(&format!("member {number}"))).collect();
        for other in std::iter::once(&bob).chain(&others) {
            let package = other.generate_key_package_message(Default::default(), Default::default(), None);
            commit = commit.add_member(package.expect("a key package")).expect("one more");
        }
        let commit = commit.build().expect("a commit");
        sender.apply_pending_commit().expect("it counts");
        let (receiver, _) = bob
            .join_group(None, &commit.welcome_messages[0], None)
            .expect("bob joins");
        assert_eq!(receiver.roster().members().len(), members);
        Self(Box::new(Groups { sender, receiver }))
    }
}

impl Pair for MlsRs {
    fn seal(&mut self) -> Vec<u8> {
        self.0.seal()
    }

    fn open(&mut self, bytes: &[u8]) -> usize {
        self.0.open(bytes)
    }
}

impl<C: MlsConfig> Pair for Groups<C> {
    fn seal(&mut self) -> Vec<u8> {
        let message = self
            .sender
            .encrypt_application_message(&TEXT, Vec::new())
            .expect("a message");
        message.to_bytes().expect("bytes")
    }

    fn open(&mut self, bytes: &[u8]) -> usize {
        let message = MlsMessage::from_bytes(bytes).expect("a message");
        match self.receiver.process_incoming_message(message).expect("it opens") {
            ReceivedMessage::ApplicationMessage(said) => said.data().len(),
            _ => 0,
        }
    }
}
