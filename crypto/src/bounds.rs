//! Every bound of the protocol, once, with its reason: docs/PROTOCOL.md, "Bounds", holds the same table, and a test
//! compares the two. Senders keep them as strictly as receivers.

macro_rules! bounds {
    ($($(#[doc = $doc:literal])* $name:ident: $type:ty = $value:expr, $unit:literal;)*) => {
        $($(#[doc = $doc])* #[doc = concat!("\n\nIn ", $unit, ".")] pub const $name: $type = $value;)*

        /// All bounds: name, value, unit.
        pub const ALL: &[(&str, u64, &str)] = &[$((stringify!($name), $name as u64, $unit)),*];
    };
}

bounds! {
    /// Longest Room ID, after NFKC.
    MAX_ROOM_ID_CHARS: usize = 64, "characters";
    /// Shortest Room Key that a person may choose.
    MIN_ROOM_KEY_CHARS: usize = 5, "characters";
    /// Longest Room Key or Password: more is a pasted file, and Argon2id would chew on it.
    MAX_SECRET_BYTES: usize = 1024, "bytes";
    /// Shortest Password.
    MIN_PASSWORD_CHARS: usize = 8, "characters";
    /// Words of a generated Room Key or Password: 10 × 12.92 bits = 129 bits.
    GENERATED_WORDS: usize = 10, "words";
    /// Below this zxcvbn score a chosen Room Key is weak, for a rendezvous could guess it offline.
    MIN_ROOM_KEY_SCORE: u8 = 3, "zxcvbn score";
    /// Longest display name, in characters.
    MAX_NAME_CHARS: usize = 64, "characters";
    /// Longest display name, in bytes of UTF-8.
    MAX_NAME_BYTES: usize = 256, "bytes";
    /// Longest room description.
    MAX_DESCRIPTION_BYTES: usize = 512, "bytes";

    /// Extensions of one object.
    MAX_EXTENSIONS: usize = 8, "extensions";
    /// Largest extension: a Room Key and r fit.
    MAX_EXTENSION_BYTES: usize = 1_536, "bytes";

    /// Largest frame or control message: what gossip carries, well under its transmit limit.
    MAX_GOSSIP_BYTES: usize = 32 * 1024, "bytes";
    /// Largest padded contents of a frame: the gossip limit less a frame's own fields.
    MAX_PADDED_BYTES: usize = 31 * 1024, "bytes";
    /// Text of one message: it fits a frame with every field at its largest, and leaves room for others.
    MAX_TEXT_BYTES: usize = 16 * 1024, "bytes";
    /// Contents in one frame.
    MAX_CONTENTS: usize = 123, "contents";
    /// Parents that a frame names.
    MAX_PARENTS: usize = 8, "frame hashes";
    /// Counters that a receiver skips to reach a frame; more would be a way to burn its CPU.
    MAX_SKIP: u64 = 1_000, "counters";
    /// Message keys that a receiver keeps for late frames of one sender; the oldest go first.
    MAX_STORED_KEYS: usize = 1_000, "keys";

    /// Direct messages of one epoch of a room of two: then its speaker issues the next one.
    MAX_PAIR_MESSAGES: u64 = 256, "messages";
    /// Boxes of direct messages by one member that a receiver tries to open: more would be a way to burn its CPU. One more each second.
    MAX_PAIR_TRIALS: u64 = 1_024, "boxes";

    /// Members whose entries stand in the announcement itself; larger epochs are fetched.
    MAX_INLINE_MEMBERS: usize = 256, "members";
    /// Members of one epoch.
    MAX_MEMBERS: usize = 4_096, "members";
    /// Custodians that an issuer names.
    MAX_CUSTODIANS: usize = 8, "leaves";
    /// A box's path in the Merkle tree: log2 of the members.
    MAX_PATH: usize = 12, "hashes";
    /// Plaintext of one box.
    MAX_BOX_PLAINTEXT: usize = 2 * 1024, "bytes";

    /// Parents of an operation.
    MAX_OPERATION_PARENTS: usize = 16, "operation hashes";
    /// Body of an operation.
    MAX_OPERATION_BODY: usize = 16 * 1024, "bytes";
    /// A room's authority log, encoded.
    MAX_LOG_BYTES: usize = 64 * 1024, "bytes";
    /// Operations of an authority log.
    MAX_LOG_OPERATIONS: usize = 512, "operations";

    /// Part of the log, encoded, that moderators may fill: the rest is the admin's, whose kick always gets through.
    MAX_LOG_BYTES_OF_MODERATORS: usize = 16 * 1024, "bytes";
    /// Operations by one moderator that are taken one by one.
    MAX_OPERATIONS_OF_MODERATOR: usize = 32, "operations";
    /// What a new generation consists of, with the boxes of those that it is for.
    MAX_OBJECT_BYTES: usize = 768 * 1024, "bytes";

    /// Sealed room capsule.
    MAX_CAPSULE_BYTES: usize = 80 * 1024, "bytes";
    /// Sealed admin capsule.
    MAX_ADMIN_CAPSULE_BYTES: usize = 4 * 1024, "bytes";
    /// Sealed presence record.
    MAX_PRESENCE_BYTES: usize = 1024, "bytes";
    /// Addresses in an invite or a presence record.
    MAX_ADDRESSES: usize = 16, "addresses";
    /// Longest address.
    MAX_ADDRESS_BYTES: usize = 256, "bytes";
    /// Longest server URL in an invite.
    MAX_URL_BYTES: usize = 512, "bytes";
    /// Longest invite: its characters.
    MAX_INVITE_CHARS: usize = 16 * 1024, "characters";

    /// Largest request or reply on a direct link.
    MAX_DIRECT_BYTES: usize = 1024 * 1024, "bytes";
    /// Entries of one list in a sync request.
    MAX_SYNC_ENTRIES: usize = 8_192, "entries";
    /// Epochs of one request for frames.
    MAX_SYNC_EPOCHS: usize = 64, "epochs";
    /// Counters beyond the contiguous ones that a request names for one sender.
    MAX_EXTRA_COUNTERS: usize = 64, "counters";
    /// Frames of one request for statements.
    MAX_STATEMENTS: usize = 64, "frames";
    /// Frames and control messages of one deposit with a keeper.
    MAX_DEPOSIT: usize = 512, "items";
    /// Items of one answer in which a keeper lists what it holds.
    MAX_HOLDINGS: usize = 8_192, "items";
    /// Items that are asked of a keeper at once.
    MAX_FETCH: usize = 1_024, "items";
    /// Days that a round may lie ahead of a receiver's clock.
    MAX_ROUND_AHEAD_DAYS: u32 = 1, "days";
}
