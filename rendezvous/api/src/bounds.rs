//! Every bound of the API, with its reason. Lengths are in bytes before base64url.

/// OPAQUE registration request: one ristretto255 element (RFC 9807, section 5.1).
pub const REGISTRATION_REQUEST_LEN: usize = 32;
/// OPAQUE registration response: evaluated element and the server's public key.
pub const REGISTRATION_RESPONSE_LEN: usize = 64;
/// OPAQUE registration record: client public key (32), masking key (64), envelope (96).
pub const REGISTRATION_UPLOAD_LEN: usize = 192;
/// OPAQUE KE1: blinded element (32), client nonce (32), client key share (32).
pub const KE1_LEN: usize = 96;
/// OPAQUE KE2: evaluated element (32), masking nonce (32), masked response (128), server nonce (32), server key share
/// (32), server MAC (64).
pub const KE2_LEN: usize = 320;
/// OPAQUE KE3: client MAC.
pub const KE3_LEN: usize = 64;

/// A server's sealed login state. Ours is shorter; the bound leaves room for the state of other suites.
pub const MAX_LOGIN_STATE: usize = 1024;
/// The sealed capsule of a room: the authority log inside is bounded to 64 KiB, genesis and framing need far less than
/// the rest.
pub const MAX_CAPSULE: usize = 96 * 1024;
/// The sealed admin capsule: an admin key and a genesis.
pub const MAX_ADMIN_CAPSULE: usize = 16 * 1024;
/// A sealed presence record.
pub const MAX_PRESENCE: usize = 1024;
/// Introductions handed out at once.
pub const MAX_INTRODUCTIONS: usize = 32;
/// A tombstone: handle (32), genesis hash (32), signature (64).
pub const TOMBSTONE_LEN: usize = 128;
/// An Ed25519 public key.
pub const ADMIN_KEY_LEN: usize = 32;
/// A room handle: SHA-256.
pub const HANDLE_LEN: usize = 32;
/// A bearer token: random, so 256 bits can't be guessed.
pub const TOKEN_LEN: usize = 32;

/// The largest request body a server reads: `RegisterFinish` with both capsules full, in base64url, and its field names.
pub const MAX_REQUEST_BODY: usize = (MAX_CAPSULE + MAX_ADMIN_CAPSULE) / 3 * 4 + 4 * 1024;
/// The largest response body a client needs to read: `Session` with a full capsule and 32 full introductions.
pub const MAX_RESPONSE_BODY: usize = MAX_CAPSULE / 3 * 4 + MAX_INTRODUCTIONS * (MAX_PRESENCE * 4 / 3 + 8) + 8 * 1024;

/// Seconds a presence record lives unless it is put again.
pub const PRESENCE_TTL_S: u32 = 90;
/// Seconds a token lives after its last use.
pub const TOKEN_TTL_S: u32 = 3600;
/// Seconds between the start of a login and its finish.
pub const LOGIN_STATE_TTL_S: u32 = 60;
/// Logins of a room that may start and not finish in 24 hours.
pub const MAX_UNFINISHED_LOGINS: u32 = 100;
/// Days after which the id of a deleted room is free again.
pub const TOMBSTONE_DAYS: u32 = 30;
