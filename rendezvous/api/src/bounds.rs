//! Every bound of the API, with its reason. Lengths are in bytes before base64url.

/// OPAQUE registration request: one ristretto255 element (RFC 9807, section 5.1).
pub const REGISTRATION_REQUEST_LEN: usize = 32;
/// OPAQUE registration response: evaluated element and the server's public key.
pub const REGISTRATION_RESPONSE_LEN: usize = 64;
/// OPAQUE registration record: client public key (32), masking key (64), envelope (96).
pub const REGISTRATION_UPLOAD_LEN: usize = 192;
/// What separates one registration's OPRF from another's.
pub const REGISTRATION_ID_LEN: usize = 16;
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
/// Addresses of relays handed out at once: TCP and QUIC, of IPv4 and IPv6, at two places.
pub const MAX_RELAYS: usize = 8;
/// One of them: the longest multiaddr that we make has 110 characters.
pub const MAX_RELAY_ADDRESS: usize = 256;
/// A tombstone: handle (32), genesis hash (32), signature (64).
pub const TOMBSTONE_LEN: usize = 128;
/// An Ed25519 public key.
pub const ADMIN_KEY_LEN: usize = 32;
/// A moderator's certificate: its body (78) and the admin's signature (64).
pub const CERTIFICATE_LEN: usize = 142;
/// An Ed25519 signature.
pub const SIGNATURE_LEN: usize = 64;
/// What ended a generation: an operation, a roster and boxes for about 200 members. Larger ones are served by members.
pub const MAX_KEY_GEN: usize = 256 * 1024;
/// The highest count of a generation: what every JSON reader holds exactly, 2^53 - 1.
pub const MAX_GENERATION: u64 = (1 << 53) - 1;
/// What one change by a moderator may add to the count: a year of hourly changes while the rendezvous was away. So none of
/// them can bring the count to its end; the admin's may be any.
pub const MAX_GENERATION_STEP: u64 = 8760;
/// A signed entry of the public directory: Room ID and description at their longest, two keys, a signature.
pub const MAX_LISTING: usize = 905;
/// Rooms on one page of the public directory.
pub const MAX_PAGE: u16 = 100;
/// A room handle: SHA-256.
pub const HANDLE_LEN: usize = 32;
/// A bearer token: random, so 256 bits can't be guessed.
pub const TOKEN_LEN: usize = 32;

/// The largest request body a server reads: `ChangeRoom` with all of it full, in base64url, and its field names.
pub const MAX_REQUEST_BODY: usize = (MAX_CAPSULE + MAX_ADMIN_CAPSULE + MAX_KEY_GEN) / 3 * 4 + 8 * 1024;
/// The largest response body a client needs to read: the problem of a login with a former Room Key, with a full object. A
/// `Session` with a full capsule and 32 full introductions is half of that.
pub const MAX_RESPONSE_BODY: usize = MAX_KEY_GEN / 3 * 4 + 8 * 1024;

/// Seconds a presence record lives unless it is put again.
pub const PRESENCE_TTL_S: u32 = 90;
/// Seconds a token lives after its last use.
pub const TOKEN_TTL_S: u32 = 3600;
/// Seconds between the start of a login and its finish.
pub const LOGIN_STATE_TTL_S: u32 = 60;
/// Logins of a room that may start and not finish in 24 hours.
pub const MAX_UNFINISHED_LOGINS: u32 = 100;
/// Former Room Keys that a room's server keeps: a member who missed more changes has to ask for the Room Key.
pub const MAX_SUPERSEDED: usize = 32;
/// Days for which a former Room Key is kept at most, whatever the room's grace.
pub const MAX_SUPERSEDED_DAYS: u32 = 90;
/// Days after which the id of a deleted room is free again.
pub const TOMBSTONE_DAYS: u32 = 30;
/// Header that carries the registration token, where a rendezvous asks for one: 16 to 256 visible ASCII characters.
pub const REGISTRATION_TOKEN_HEADER: &str = "snug-registration-token";
