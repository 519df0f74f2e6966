//! Every duration and bound of the room's behaviour, each with its reason (docs/PROTOCOL.md, "Epochs" and "Delivery").

use std::time::Duration;

use snug_crypto::bounds::{MAX_MEMBERS, MAX_SYNC_ENTRIES};

/// How long a need for a new epoch rests before the first in rank issues, when the room was quiet: long enough for two leaves that
/// arrive together to share an epoch, short enough that a join feels immediate.
pub(super) const ISSUE_WAIT_QUIET: Duration = Duration::from_millis(20);
/// The same when another need arose, or this member issued, within [`BUSY_WINDOW`]: a storm of joins is answered with few epochs.
pub(super) const ISSUE_WAIT_BUSY: Duration = Duration::from_millis(250);
/// What is added, for each member, when this member itself issued twice within [`BUSY_WINDOW`]: an epoch costs its issuer about 0.1 ms a
/// member, so that a storm takes a tenth of one core at most, and a small room does not wait.
pub(super) const ISSUE_WAIT_PER_MEMBER: Duration = Duration::from_micros(1_250);
/// The most that is added so.
pub(super) const ISSUE_WAIT_ISSUED: Duration = Duration::from_millis(1_250);
/// What is added, for each member beyond [`LARGE_ROOM`], whoever issued last: an epoch costs each of them about 2 microseconds a member, and in a
/// large room its boxes take a while to reach those who are a few links away.
pub(super) const ISSUE_WAIT_LARGE: Duration = Duration::from_micros(2_500);
/// Up to so many members a room is not large.
pub(super) const LARGE_ROOM: usize = 100;
/// What counts as recent for the waits above.
pub(super) const BUSY_WINDOW: Duration = Duration::from_secs(6);
/// Between one rank's turn to issue and the next's.
pub(super) const RANK_STEP: Duration = Duration::from_secs(1);
/// Ranks that a member without the best epoch stands behind those that hold it.
pub(super) const NEWCOMER_RANKS: u32 = 2;
/// Base wait when there is no candidate at all, for members that once held an epoch here.
pub(super) const NO_CANDIDATE_WAIT_FORMER: Duration = Duration::from_millis(1_500);
/// Base wait when there is no candidate at all, for members that never held an epoch here.
pub(super) const NO_CANDIDATE_WAIT_NEW: Duration = Duration::from_secs(6);
/// Base wait when the best epoch is one this member does not hold.
pub(super) const NOT_HELD_WAIT: Duration = Duration::from_secs(10);
/// Base wait when none of the best epoch's members is here to serve a box.
pub(super) const NOT_HELD_ALONE_WAIT: Duration = Duration::from_secs(2);
/// A member whose link went down counts as present this long: a reconnect must not reorder ranks.
pub(super) const PRESENCE_STICKY: Duration = Duration::from_secs(3);
/// A member that is not linked counts as present this long after something it signed was heard.
pub(super) const HEARD_HORIZON: Duration = Duration::from_secs(75);
/// How long a joiner waits for word whom to dial before it publishes its leaf regardless.
pub(super) const JOIN_PATIENCE: Duration = Duration::from_millis(300);
/// How long it waits for a first link to those who are being dialled: a handshake takes about six round trips, and who takes an epoch
/// of its own while others are there talks past them.
pub(super) const LINK_PATIENCE: Duration = Duration::from_secs(3);
/// How long a joiner that has a link waits for that link's sync reply.
pub(super) const SYNC_PATIENCE: Duration = Duration::from_millis(1_500);
/// How long a message is held back for an epoch that includes those who just joined.
pub(super) const SEND_HOLD: Duration = Duration::from_secs(6);
/// Between two requests for a missing box, at least; jitter of [`BOX_RETRY_JITTER`] is added.
pub(super) const BOX_RETRY: Duration = Duration::from_millis(500);
/// See [`BOX_RETRY`].
pub(super) const BOX_RETRY_JITTER: Duration = Duration::from_millis(300);
/// A member whose box can't be had for this long takes a new incarnation and is boxed again.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(8);
/// What is added for each member beyond [`LARGE_ROOM`]: who takes another incarnation makes everybody need another epoch, and a room of a thousand
/// in which many do so at once never comes to rest.
const STUCK_PER_MEMBER: Duration = Duration::from_millis(25);
/// Between two comparisons with a link; jittered by half.
pub(super) const COMPARE_INTERVAL: Duration = Duration::from_secs(4);
/// Where there are many links it is less, so that each has its turn within this: one honest link among twenty that withhold what they know
/// is asked within a minute.
pub(super) const COMPARE_ROUND: Duration = Duration::from_secs(40);
/// …but not less than this, however many links there are.
pub(super) const COMPARE_INTERVAL_MIN: Duration = Duration::from_millis(500);
/// After a gap shows, how long gossip may still fill it before it is pulled.
pub(super) const GAP_PATIENCE: Duration = Duration::from_millis(250);
/// A frame waits at most this long for its parents; then it is shown, and the gap stays on record. While something
/// is known to be missing, or comes because it was asked for, it waits on, up to [`GAP_TOLD`].
pub(super) const CAUSAL_HOLD: Duration = Duration::from_secs(3);
/// How long a gap in somebody's messages stays before the user is told of it: pulls fill most within seconds.
pub(super) const GAP_TOLD: Duration = Duration::from_secs(10);
/// Large epochs whose lists of members are looked for at once; the oldest makes way.
pub(super) const MAX_LISTS: usize = 16;
/// Links that are remembered as having told of each.
pub(super) const MAX_LIST_SOURCES: usize = 8;
/// A list that doesn't come within this time is asked for at the next source.
pub(super) const LIST_REPLY: Duration = Duration::from_millis(500);
/// A source that has none yet is asked again after this, at first: a round trip nearby. Doubled up to [`LIST_RETRY_MAX`].
pub(super) const LIST_RETRY: Duration = Duration::from_millis(50);
/// See [`LIST_RETRY`].
pub(super) const LIST_RETRY_MAX: Duration = Duration::from_secs(4);
/// A list that nobody gave for so long isn't looked for any more: comparison tells of its epoch again, if it still counts.
pub(super) const LIST_PATIENCE: Duration = Duration::from_secs(30);
/// Boxes looked for at once because others asked us for them.
pub(super) const MAX_SEARCHES: usize = 256;
/// How often those are asked for each who have it, or are nearer to its issuer; see [`way_retry`].
pub(super) const WAY_TRIES: u32 = 6;
/// Links asked for each of them then, one after the other, [`BOX_RETRY`] apart.
pub(super) const SEARCH_TRIES: usize = 12;
/// A box that none of them had is not looked for again before this is over.
pub(super) const SEARCH_REST: Duration = Duration::from_secs(5);
/// Who is nearer to an epoch's issuer may be looking for the box itself: it is asked again after this, at first; doubled up to [`BOX_RETRY`].
const WAY_RETRY: Duration = Duration::from_millis(100);
/// Between two questions for the statements of frames that others name and that are not here; doubled up to [`AUDIT_ASK_MAX`].
pub(super) const AUDIT_ASK: Duration = Duration::from_secs(2);
/// See [`AUDIT_ASK`].
pub(super) const AUDIT_ASK_MAX: Duration = Duration::from_secs(60);
/// How long a report that the user asked for waits for the links' answers.
pub(super) const AUDIT_PATIENCE: Duration = Duration::from_secs(3);
/// Frames of an epoch that is not here yet are held this long.
pub(super) const UNKNOWN_HOLD: Duration = Duration::from_secs(30);
/// At most this many frames of unknown epochs are held.
pub(super) const UNKNOWN_FRAMES: usize = 256;
/// At most this many bytes of them.
pub(super) const UNKNOWN_BYTES: usize = 1 << 20;
/// A leaf is renewed when less than this share of its lifetime is left (one over it).
pub(super) const RENEW_SHARE: u64 = 3;
/// Two clocks may differ by this much before an expiry or a round is doubted: each may be off by an hour, as people's time zones and dead
/// batteries do, and a message takes its time.
pub(crate) const CLOCK_SKEW_MS: u64 = 2 * 3_600_000 + 300_000;
/// A day, the length of a round.
pub(super) const DAY_MS: u64 = 86_400_000;
/// Custodians an issuer names.
pub(super) const CUSTODIANS: usize = 8;
/// A member that sees fewer custodians than this becomes one.
pub(super) const CUSTODIANS_WANTED: usize = 3;
/// Leaves kept at most, by their identities: as many as an epoch holds, so that there is an epoch for every roster, and a room may have as many members as
/// its policy may say. A list of all of them, and of the ends of memberships, fits into a sync request.
pub(super) const MAX_REGISTERS: usize = MAX_MEMBERS;
const _: () = assert!(MAX_REGISTERS + MAX_LEAVES <= MAX_SYNC_ENTRIES, "see MAX_REGISTERS");
/// Leaves kept at most, with those that epochs of earlier days name: what is superseded and named by no epoch goes within a minute.
pub(super) const MAX_SUPERSEDED: usize = 2 * MAX_REGISTERS;
/// Ends of memberships kept at most; the oldest go first.
pub(super) const MAX_LEAVES: usize = 1_024;
/// Between two times that records are told to a link which seems to know others of the same numbers.
pub(super) const RETELL_INTERVAL: Duration = Duration::from_secs(20);
/// Records told so: all of a small room's; of a thousand members' they would be 1.6 MB.
pub(super) const RETOLD: usize = 64;
/// Who knows nothing yet waits so long for what one link tells before it asks the next: a round trip around the world.
pub(super) const SYNC_TURN: Duration = Duration::from_millis(400);
/// After a change of epoch, how long frames of the epochs before it are still compared.
pub(super) const AFTERMATH: Duration = Duration::from_secs(120);
/// Between two times at which links are told that frames of an earlier epoch were given to us.
pub(super) const NEWS_PACE: Duration = Duration::from_secs(2);
/// The longest wait between two pulls for a gap that nobody could fill; a link that comes or knows more is asked at once. An answer may
/// repeat what came beyond the gap, so whoever leaves a number out for good must not have it sent too often.
pub(super) const GAP_PATIENCE_MAX: Duration = Duration::from_secs(30);
/// Between two requests for boxes to keep for others, at first; doubled while nothing new comes.
pub(super) const CUSTODY_RETRY: Duration = Duration::from_secs(1);
/// The longest such wait.
pub(super) const CUSTODY_RETRY_MAX: Duration = Duration::from_secs(60);
/// Announcements kept at most; the least useful go first.
pub(super) const MAX_ANNOUNCEMENTS: usize = 64;
/// Announcements of one issuer kept at most, so that one member can't crowd out the others' epochs; enough that what an honest one issued
/// while members came and went is still there for those who slept.
pub(super) const MAX_ANNOUNCEMENTS_PER_ISSUER: usize = 32;
/// Ids of erased or disqualified epochs remembered at most: what was erased must not be reopened while others still announce it.
pub(super) const MAX_GRAVES: usize = 4_096;
/// Between two looks at who is present, when nothing else changed.
pub(super) const PRESENCE_LOOK: Duration = Duration::from_millis(500);
/// Up to so many members, whatever changes is judged and told at once. In a larger room that fills or empties in a moment everybody would
/// go through all members for each of them, which makes a room of a thousand compute for minutes.
const SMALL_ROOM: usize = 32;
/// What a larger room waits for each member, between two looks at all of them.
const LOOK_PAUSE_PER_MEMBER: Duration = Duration::from_micros(500);

/// How many members there are beyond [`LARGE_ROOM`].
fn beyond_large(members: usize) -> u32 {
    u32::try_from(members.saturating_sub(LARGE_ROOM)).unwrap_or(u32::MAX)
}

/// What a need for an epoch in so large a room waits beyond [`ISSUE_WAIT_BUSY`].
pub(super) fn issue_wait_large(members: usize) -> Duration {
    ISSUE_WAIT_LARGE.saturating_mul(beyond_large(members))
}

/// How long a member of so large a room looks for its box.
pub(super) fn stuck_after(members: usize) -> Duration {
    STUCK_AFTER + STUCK_PER_MEMBER.saturating_mul(beyond_large(members))
}

/// How long to wait for a box before whoever looks for it nearer to its issuer is asked once more.
pub(super) fn way_retry(tries: u32) -> Duration {
    WAY_RETRY.saturating_mul(1 << tries.min(8)).min(BOX_RETRY)
}

/// How long a look at so many members has to last.
pub(super) fn look_pause(members: usize) -> Duration {
    if members <= SMALL_ROOM {
        return Duration::ZERO;
    }
    LOOK_PAUSE_PER_MEMBER.saturating_mul(u32::try_from(members).unwrap_or(u32::MAX))
}
/// Between two clean-ups, when nothing changed.
pub(super) const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// Between two clean-ups at least, unless there is too much: a room of a thousand that comes together can't afford one for each.
pub(super) const PRUNE_PAUSE: Duration = Duration::from_millis(500);
/// Epochs whose keys are held at most.
pub(super) const MAX_HELD_EPOCHS: usize = 32;
/// Epochs whose vectors are exchanged: the newest held.
pub(super) const SYNC_EPOCHS: usize = 8;
/// Ciphertext kept for members that missed it: frames, bytes, age.
pub(super) const KEPT_FRAMES: usize = 10_000;
/// See [`KEPT_FRAMES`].
pub(super) const KEPT_BYTES: usize = 32 << 20;
/// See [`KEPT_FRAMES`]; the room's policy can shorten it.
pub(super) const KEPT_AGE: Duration = Duration::from_secs(24 * 3600);
/// Bytes of frames, boxes or leaves in one direct reply.
pub(super) const REPLY_BYTES: usize = 512 << 10;
/// Between two frames of ours. The first leaves at once; what is said meanwhile leaves together, as one frame. So a lone message waits
/// for nothing, and a burst costs one signature and one publish for up to 123 messages.
pub(super) const FRAME_PACE: Duration = Duration::from_millis(5);
/// A member counts as one who speaks for this long after a frame of its own came, and every one that does adds a [`FRAME_PACE`] to
/// each other's: whoever talks, a room has some two hundred frames a second.
pub(super) const SPEAKS_FOR: Duration = Duration::from_millis(500);
/// Members that are counted so, at most: nobody who talks among many waits for more than a twentieth of a second.
pub(super) const MAX_SHARES: usize = 10;
/// Frames that may wait for somebody to hear them, where nobody is there: weeks of somebody who types. Then nothing more is taken.
pub(super) const MAX_SOLILOQUY: usize = 4_096;
/// Bytes of what they say.
pub(super) const MAX_SOLILOQUY_BYTES: usize = 16 << 20;
/// Messages that may wait to be sent; and frames of ours that are followed while nobody is known to have them.
pub(super) const MAX_OUTBOX: usize = 256;
/// How long after something new an author is told how far we are: what comes together is told together, with what the front end confirms.
pub(super) const RECEIPT_WAIT: Duration = Duration::from_millis(200);
/// Between two times that one author is told. Receipts cost so much, and no more, however much is said.
pub(super) const RECEIPT_PACE: Duration = Duration::from_secs(2);
/// Between two times that our own user is told of receipts.
pub(super) const RECEIPT_TELL: Duration = Duration::from_millis(100);
/// Messages whose receipts are told at once, so that they never push messages out of a slow front end's queue.
pub(super) const RECEIPTS_AT_ONCE: usize = 64;
/// Frames of ours that are followed: the newest.
pub(super) const MAX_TRACKED: usize = 1_024;
/// Questions of ours that may be open at once.
pub(super) const MAX_QUERIES: usize = 256;
/// Generations whose Room Key is kept: late members are let know at the doors of the earlier ones.
pub(super) const MAX_HELD_GENERATIONS: usize = 8;
/// Generations of which it is remembered whom they carried over: those that are held, and as many.
pub(super) const MAX_CARRIED: usize = 2 * MAX_HELD_GENERATIONS;
/// Objects of generations kept for late members, each at most 768 KiB.
pub(super) const MAX_OBJECTS: usize = 4;
/// Objects looked for at once.
pub(super) const MAX_WANTED_OBJECTS: usize = 8;
/// Between two requests for an object.
pub(super) const OBJECT_RETRY: Duration = Duration::from_millis(200);
/// After this long an object that nobody has is no longer looked for.
pub(super) const OBJECT_PATIENCE: Duration = Duration::from_secs(600);
/// The maker of a generation stays on the old mesh until the members that it is linked with have fetched it, and at most this long:
/// who is later finds it at the door.
pub(super) const MOVE_MAKER: Duration = Duration::from_millis(1_500);
/// Whoever fetched it stays so much longer, for those that have asked it.
pub(super) const MOVE_OTHERS: Duration = Duration::from_millis(150);
/// Where removals overlap, the most junior moderator present joins them after this long, the next one a second later.
pub(super) const JOIN_REMOVALS: Duration = Duration::from_millis(500);
/// Between the first two times that a moderator is told the admin's word for it, doubled up to [`CERTIFICATE_INTERVAL`]: gossip may lose one,
/// on the way to a new generation most of all.
pub(super) const CERTIFICATE_AGAIN: Duration = Duration::from_secs(4);
/// Between two times that it is told in the end: a word that was kept lasts for 30 days.
pub(super) const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(3_600);
/// Between two questions of who waits whether a moderator let it in.
pub(super) const APPROVAL_ASK: Duration = Duration::from_secs(3);
/// How long a link of a banned identity lasts after its leaf came: time enough to learn of the ban over it, and to go. Nobody loses by it:
/// the banned one can read nothing.
pub(super) const REFUSAL_PATIENCE: Duration = Duration::from_secs(30);
/// The same for its later links.
pub(super) const REFUSAL_AGAIN: Duration = Duration::from_secs(1);
/// Who waits and is told of to a moderator at once: whoever holds the Room Key can knock under any number of names.
pub(super) const MAX_KNOCKS: usize = 64;
/// Approvals kept for those who are on their way in.
pub(super) const MAX_APPROVALS: usize = 256;
/// Parents a frame names at most.
pub(super) const MAX_PARENTS: usize = 8;

/// How often something may be done by one, and how often at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) every: Duration,
    pub(super) burst: u32,
}

/// What one sender may say by gossip: twice as many frames as an honest one sends (see [`FRAME_PACE`]), 32 ms of computing a second; and at once
/// everything that can wait in an outbox, each message in a frame of its own, and as much again.
pub(super) const SPEECH: Rate = Rate {
    every: Duration::from_micros(2_500),
    burst: 2 * MAX_OUTBOX as u32,
};
/// New records of one identity: an honest one has a few an hour, and a few more with each start.
pub(super) const RECORDS: Rate = Rate {
    every: Duration::from_secs(2),
    burst: 32,
};
/// Epochs of one issuer: who is first in rank while a room fills issues one every quarter of a second, and soon every second.
pub(super) const ISSUES: Rate = Rate {
    every: Duration::from_millis(500),
    burst: 64,
};
/// Objects of generations that one link, or all doors together, tell of unasked, and that are none that we have: each takes up to some 50 ms. Two
/// branches of a room need one of each other.
pub(super) const OBJECTS: Rate = Rate {
    every: Duration::from_secs(2),
    burst: 8,
};
/// Questions of one link. A member that enters a large room asks a few dozen, for others too.
pub(super) const QUESTIONS: Rate = Rate {
    every: Duration::from_millis(10),
    burst: 1_000,
};
/// Buckets of each kind that are kept at most.
pub(super) const MAX_BUCKETS: usize = 2 * MAX_REGISTERS;
