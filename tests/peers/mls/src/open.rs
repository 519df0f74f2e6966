//! openmls.

use openmls::prelude::tls_codec::DeserializeBytes as _;
use openmls::prelude::*;
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;

use super::{Pair, TEXT};

const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519;

struct Member {
    provider: OpenMlsRustCrypto,
    signer: SignatureKeyPair,
    credential: CredentialWithKey,
}

impl Member {
    fn new(name: &str) -> Self {
        let signer = SignatureKeyPair::new(SUITE.signature_algorithm()).expect("a key");
        let credential = CredentialWithKey {
            credential: BasicCredential::new(name.as_bytes().to_vec()).into(),
            signature_key: signer.to_public_vec().into(),
        };
        Self {
            provider: OpenMlsRustCrypto::default(),
            signer,
            credential,
        }
    }

    fn key_package(&self) -> KeyPackage {
        let built = KeyPackage::builder().build(SUITE, &self.provider, &self.signer, self.credential.clone());
        built.expect("a key package").key_package().clone()
    }
}

pub struct OpenMls {
    alice: Member,
    bob: Member,
    sender: MlsGroup,
    receiver: MlsGroup,
}

impl OpenMls {
    pub fn new(members: usize) -> Self {
        let (alice, bob) = (Member::new("alice"), Member::new("bob"));
        let config = MlsGroupCreateConfig::builder()
            .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
            .ciphersuite(SUITE)
            .use_ratchet_tree_extension(true)
            .build();
        let mut sender =
            MlsGroup::new(&alice.provider, &alice.signer, &config, alice.credential.clone()).expect("a group");
        let others = (2..members).map(|number| Member::new(&format!("member {number}")).key_package());
        let packages: Vec<KeyPackage> = std::iter::once(bob.key_package()).chain(others).collect();
        let (_, welcome, _) = sender
            .add_members(&alice.provider, &alice.signer, &packages)
            .expect("they are added");
        sender.merge_pending_commit(&alice.provider).expect("it counts");
        let bytes = welcome.to_bytes().expect("a welcome");
        let MlsMessageBodyIn::Welcome(welcome) = MlsMessageIn::tls_deserialize_exact_bytes(&bytes)
            .expect("a message")
            .extract()
        else {
            panic!("no welcome");
        };
        let receiver = StagedWelcome::new_from_welcome(&bob.provider, config.join_config(), welcome, None)
            .and_then(|staged| staged.into_group(&bob.provider))
            .expect("bob joins");
        assert_eq!(receiver.members().count(), members);
        Self {
            alice,
            bob,
            sender,
            receiver,
        }
    }
}

impl Pair for OpenMls {
    fn seal(&mut self) -> Vec<u8> {
        let message = self
            .sender
            .create_message(&self.alice.provider, &self.alice.signer, &TEXT)
            .expect("a message");
        message.to_bytes().expect("bytes")
    }

    fn open(&mut self, bytes: &[u8]) -> usize {
        let message = MlsMessageIn::tls_deserialize_exact_bytes(bytes).expect("a message");
        let message = message.try_into_protocol_message().expect("one of a group");
        let processed = self
            .receiver
            .process_message(&self.bob.provider, message)
            .expect("it opens");
        match processed.into_content() {
            ProcessedMessageContent::ApplicationMessage(said) => said.into_bytes().len(),
            _ => 0,
        }
    }
}
