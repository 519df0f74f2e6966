//! Every label of the protocol, once: docs/PROTOCOL.md, "Labels", holds the same table, and a test compares the two.
//!
//! A label separates one use of a hash, a key or a signature from every other. Never reuse or rename one.

/// A domain-separation label: printable ASCII without 0x00.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label(&'static str);

impl Label {
    /// The label's bytes.
    #[must_use]
    pub const fn as_bytes(self) -> &'static [u8] {
        self.0.as_bytes()
    }

    /// The label as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// What a label separates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// An `H(label, …)`.
    Hash,
    /// An `X(k, label, …)`.
    Key,
    /// A `MAC(k, label, …)`.
    Mac,
    /// An Ed25519 signature.
    Signature,
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $use:ident, $fields:literal;)*) => {
        $(
            $(#[$doc])*
            #[doc = concat!("\n\nFields: ", $fields, ".")]
            pub const $name: Label = Label($text);
        )*

        /// All labels: text, use, and the fields that go in.
        pub const ALL: &[(Label, Use, &str)] = &[$(($name, Use::$use, $fields)),*];
    };
}

labels! {
    /// Room handle.
    HANDLE = "handle", Hash, "room_id";
    /// Fingerprint of an identity, first 16 bytes.
    FINGERPRINT = "fingerprint", Hash, "identity_vk";
    /// What two people compare of their identities.
    SAFETY_NUMBER = "safety number", Hash, "the lower identity_vk, the higher identity_vk";
    /// Genesis hash.
    GENESIS = "genesis", Hash, "body";
    /// Operation hash.
    OPERATION = "operation", Hash, "genesis_hash, body";
    /// Digest of what a member knows, for comparison with another's.
    STATE = "state", Hash, "encoded state";
    /// Order in which members issue.
    RANK = "rank", Hash, "identity_vk, epoch_id of the best epoch or zeros";
    /// Digest of a leaf or leave record, which its identity signs.
    RECORD = "record", Hash, "genesis_hash, body";
    /// Leaf id, first 16 bytes.
    LEAF = "leaf", Hash, "genesis_hash, identity_vk, leaf_vk, incarnation";
    /// Digest that a transport key signs to say whose peer it is.
    PEER = "peer", Hash, "genesis_hash, identity_vk, peer";
    /// Hash of a KEM key, as epochs name it.
    KEM = "kem", Hash, "xwing_ek";
    /// Hash of an epoch's members.
    MEMBERS = "members", Hash, "encoded members";
    /// An epoch's context.
    CONTEXT = "context", Hash, "genesis_hash, encoded head of the announcement";
    /// Epoch id.
    EPOCH = "epoch", Hash, "ctx, commit";
    /// Digest of an announcement, which its issuer signs.
    ANNOUNCEMENT = "announcement", Hash, "epoch_id, box_root";
    /// A Merkle tree's leaf: one box.
    BOX_LEAF = "box leaf", Hash, "leaf_id, ciphertext";
    /// A Merkle tree's inner node.
    BOX_NODE = "box node", Hash, "left, right";
    /// Digest of what a frame says.
    CONTENTS = "contents", Hash, "padded contents";
    /// Frame hash.
    FRAME = "frame", Hash, "epoch_id, hdr, H(contents)";
    /// Message id.
    MESSAGE = "message", Hash, "frame_hash, index";
    /// Name of the room of two that two members have.
    PAIR = "pair", Hash, "genesis_hash, the lower identity_vk, the higher identity_vk";
    /// Context of an epoch of a room of two.
    PAIR_CONTEXT = "pair context", Hash, "pair_hash, encoded head";
    /// Name of an OPAQUE registration record.
    CREDENTIAL_RECORD = "credential record", Hash, "registration, upload";
    /// Digest of an approval, which a moderator signs.
    APPROVAL = "approval", Hash, "identity_vk, generation";
    /// Digest of a tombstone, which the admin signs.
    TOMBSTONE = "tombstone", Hash, "handle, genesis_hash";
    /// Digest of a certificate, which the admin signs.
    CERTIFICATE = "certificate", Hash, "body";
    /// Digest of a request to a rendezvous, which the holder of a certificate signs.
    REQUEST = "request", Hash, "what, token, and what it says";
    /// Digest of a keeper's grant, which the admin or a moderator signs.
    GRANT = "grant", Hash, "body";
    /// What a grant calls the sealed object that goes with it.
    KEPT_OBJECT = "kept object", Hash, "sealed object";
    /// Name of what a keeper holds, first 16 bytes.
    KEPT_ITEM = "kept item", Hash, "item";
    /// Digest of a room's entry in the public directory, which the admin signs.
    LISTING = "listing", Hash, "body";

    /// Key of the room capsule.
    CAPSULE = "capsule", Key, "none; k is the room credential's export key";
    /// Key of the admin capsule.
    ADMIN_CAPSULE = "admin", Key, "none; k is the admin credential's export key";
    /// Root of a generation's keys.
    PSK = "psk", Key, "handle, count; k is Extract(r, room_key)";
    /// Gossip topic.
    TOPIC = "topic", Key, "none; k is psk";
    /// Key that authenticates links.
    MESH = "mesh", Key, "none; k is psk";
    /// Key that authenticates links between members and keepers.
    KEEP = "keep", Key, "none; k is psk";
    /// Key that authenticates admissions.
    JOIN = "join", Key, "none; k is psk";
    /// Key that seals presence records.
    INTRO = "intro", Key, "none; k is psk";
    /// Key that seals control messages.
    CONTROL = "control", Key, "none; k is psk";
    /// Key of a frame's envelope.
    ENVELOPE = "env", Key, "ctx; k is Extract(psk, es)";
    /// Tag of an epoch's frames, first 8 bytes.
    TAG = "tag", Key, "ctx; k is Extract(psk, es)";
    /// Commitment to an epoch's secret.
    COMMIT = "commit", Key, "ctx; k is Extract(psk, es)";
    /// Secret that an epoch exports to other uses.
    EXPORT = "export", Key, "ctx; k is Extract(psk, es)";
    /// Root of an epoch's sender chains.
    SENDERS = "snd", Key, "ctx; k is Extract(psk, es)";
    /// First key of one member's chain.
    SENDER = "sender", Key, "leaf_id; k is snd";
    /// Key of a box.
    BOX = "box", Key, "ctx, leaf_id; k is Extract(psk, ss)";
    /// Commitment to a generation's keys.
    KEY_COMMIT = "key commit", Key, "none; k is psk";
    /// Key of a Room Key that a member hands to another.
    HAND_OVER = "hand over", Key, "genesis_hash, generation, leaf_id; k is Extract(zeros, ss)";
    /// Key of what a keeper is granted.
    KEEPER = "keeper", Key, "genesis_hash, generation, vk; k is Extract(zeros, ss)";
    /// Half of a rendezvous' OPRF seed.
    SERVER_OPRF = "server oprf", Key, "which half, one byte; k is server_key";
    /// Seed of a rendezvous' static OPAQUE key.
    SERVER_DH = "server dh", Key, "none; k is server_key";
    /// Seed of the client key that a rendezvous shows for unknown rooms.
    SERVER_FAKE = "server fake", Key, "none; k is server_key";
    /// Key that seals a rendezvous' login state.
    LOGIN_STATE = "login state", Key, "none; k is server_key";
    /// What ties a rendezvous' store to its key.
    KEY_CHECK = "key check", Key, "none; k is server_key";
    /// mDNS service name of a day.
    MDNS = "mdns", Key, "day; k is mesh";
    /// Wraps a vault's key under a passphrase.
    VAULT_WRAP = "vault wrap", Key, "stretching; k is Argon2id of the passphrase, or zeros";
    /// Seals the list of a vault's logs.
    VAULT_HEAD = "vault head", Key, "none; k is the vault key";
    /// Seals an exported identity.
    IDENTITY_EXPORT = "identity export", Key, "none; k is the slot's key";

    /// Admission of a leaf.
    ADMISSION = "admission", Mac, "genesis_hash, body up to the admission; k is join";
    /// Tag of a direct message, first 8 bytes.
    PAIR_TAG = "pair tag", Mac, "box; k is the pair's psk";
    /// Nonce of a control message, first 24 bytes.
    CONTROL_NONCE = "control nonce", Mac, "type ‖ body; k is control";
    /// What tells a listener which of its mesh keys a dialer will prove, first 8 bytes.
    LINK_HINT = "link hint", Mac, "dialer's nonce; k is mesh";
    /// Proof of the mesh key on a link.
    LINK = "link", Mac, "role, dialer, listener, dialer's nonce, listener's nonce; k is mesh";

    /// What a rendezvous' store calls a room.
    KEYED_HANDLE = "keyed handle", Mac, "handle; k is server_key";
    /// What a rendezvous' store calls a token.
    TOKEN = "token", Mac, "token; k is server_key";
    /// What shows a registration to be of a server key, first 8 bytes.
    REGISTRATION = "registration", Mac, "random; k is server_key";
    /// The token that a login earns.
    LOGIN_TOKEN = "login token", Mac, "attempt; k is server_key";
    /// What a rendezvous takes for the registration of a credential that doesn't exist, first 16 bytes.
    UNKNOWN_REGISTRATION = "unknown registration", Mac, "keyed handle, kind, sought; k is server_key";

    /// Signature of a genesis, by the admin key.
    SIGN_GENESIS = "sign genesis", Signature, "genesis_hash, genesis_hash";
    /// Signature of an operation, by its author.
    SIGN_OPERATION = "sign operation", Signature, "genesis_hash, operation hash";
    /// Signature of a record, by its identity.
    SIGN_RECORD = "sign record", Signature, "genesis_hash, H(record)";
    /// Signature of a transport key over its identity.
    SIGN_PEER = "sign peer", Signature, "genesis_hash, H(peer)";
    /// Signature of an announcement, by the issuer's leaf key.
    SIGN_ANNOUNCEMENT = "sign announcement", Signature, "genesis_hash, H(announcement)";
    /// Signature of a frame, by the sender's leaf key.
    SIGN_FRAME = "sign frame", Signature, "genesis_hash, frame_hash";
    /// Signature of an approval, by a moderator or the admin key.
    SIGN_APPROVAL = "sign approval", Signature, "genesis_hash, H(approval)";
    /// Signature of a tombstone, by the admin key.
    SIGN_TOMBSTONE = "sign tombstone", Signature, "genesis_hash, H(tombstone)";
    /// Signature of a certificate, by the admin key.
    SIGN_CERTIFICATE = "sign certificate", Signature, "genesis_hash, H(certificate)";
    /// Signature of a request to a rendezvous, by the key of a certificate.
    SIGN_REQUEST = "sign request", Signature, "genesis_hash, H(request)";
    /// Signature of a keeper's grant, by the admin key or a certificate's.
    SIGN_GRANT = "sign grant", Signature, "genesis_hash, H(grant)";
    /// Signature of a room's entry in the public directory, by the admin key.
    SIGN_LISTING = "sign listing", Signature, "genesis_hash, H(listing)";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct_and_printable() {
        for (index, (label, ..)) in ALL.iter().enumerate() {
            assert!(
                label.as_bytes().iter().all(|byte| (0x20..0x7F).contains(byte)),
                "{label:?}"
            );
            assert!(
                ALL[..index].iter().all(|(other, ..)| other != label),
                "{label:?} stands twice"
            );
        }
    }
}
