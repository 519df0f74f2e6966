//! gossipsub, set up so that it neither falls silent nor tells more than it must.
//!
//! Its defaults kill a link without a word: a read buffer above `max_transmit_size` (64 KiB; several small messages at
//! once are enough) or a control message above 16 KiB resets the stream, and after five streams it gives up on the
//! connection. Hence both limits are far above what a room sends, and [`super::watch`] closes a connection before
//! gossipsub gives up on it.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use libp2p::gossipsub::IdentTopic;
use libp2p::gossipsub::{
    Behaviour, ConfigBuilder, IdentityTransform, MaxCountSubscriptionFilter, Message, MessageAuthenticity, MessageId,
    TopicHash, TopicSubscriptionFilter, ValidationMode,
};
use sha2::{Digest, Sha256};
use snug_crypto::generation::Topic;

use super::{config::SMALL_ROOM, event::NetError, scoring};

/// Limit of a message and of a read buffer; frames are a thirtieth of it.
const MAX_TRANSMIT_BYTES: usize = 1 << 20;

/// Bytes of a message's id: 160 bits of SHA-256.
const MESSAGE_ID_BYTES: usize = 20;

/// A queued forward is worth this long a wait; the default of one second drops under load.
const FORWARD_PATIENCE: Duration = Duration::from_secs(5);

/// Members remember frames for good; this one only spares them the work.
const DUPLICATE_CACHE: Duration = Duration::from_secs(5 * 60);

/// Heartbeats of messages that are kept and told of: less memory than the default 5 and 3, repair is ours anyway.
const HISTORY: usize = 2;

/// Messages that wait for one peer, each for five seconds at most: half a second of a busy room of twenty.
const QUEUE: usize = 2048;

/// gossipsub for one topic, which is the only one that it lets peers subscribe to.
pub(crate) type Gossip = Behaviour<IdentityTransform, MaxCountSubscriptionFilter<CurrentTopic>>;

/// The one topic that counts; another one with each generation of the Room Key.
#[derive(Clone)]
pub(crate) struct CurrentTopic(Arc<RwLock<TopicHash>>);

impl CurrentTopic {
    pub(crate) fn new(topic: TopicHash) -> Self {
        Self(Arc::new(RwLock::new(topic)))
    }

    pub(crate) fn set(&self, topic: TopicHash) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = topic;
    }
}

impl TopicSubscriptionFilter for CurrentTopic {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        *self.0.read().unwrap_or_else(PoisonError::into_inner) == *topic
    }
}

/// The topic's name on the wire.
pub(crate) fn topic(topic: &Topic) -> IdentTopic {
    IdentTopic::new(data_encoding::BASE64URL_NOPAD.encode(&topic.0))
}

/// A frame's id: all who see the same bytes give it the same one, and it says nothing of the author.
fn message_id(message: &Message) -> MessageId {
    MessageId::new(&Sha256::digest(&message.data)[..MESSAGE_ID_BYTES])
}

/// gossipsub, subscribed to `name`, and what changes the topic that peers may subscribe to.
pub(crate) fn gossip(name: &IdentTopic, max_participants: u16) -> Result<(Gossip, CurrentTopic), NetError> {
    let mut config = ConfigBuilder::default();
    config
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(message_id)
        .max_transmit_size(MAX_TRANSMIT_BYTES)
        .max_control_message_size(MAX_TRANSMIT_BYTES)
        .forward_queue_duration(FORWARD_PATIENCE)
        .duplicate_cache_time(DUPLICATE_CACHE)
        .history_length(HISTORY)
        .history_gossip(HISTORY)
        .connection_handler_queue_len(QUEUE)
        .flood_publish(max_participants <= SMALL_ROOM)
        // A room of two must not wait five seconds for its first graft.
        .heartbeat_initial_delay(Duration::from_millis(100));
    if max_participants <= SMALL_ROOM {
        config
            .mesh_n(3)
            .mesh_n_low(2)
            .mesh_n_high(4)
            .mesh_outbound_min(1)
            .retain_scores(2);
    }
    let setup = |reason: &dyn ToString| NetError::Setup {
        reason: reason.to_string(),
    };
    let config = config.build().map_err(|error| setup(&error))?;
    let hash: TopicHash = name.hash();
    let current = CurrentTopic::new(hash.clone());
    let filter = MaxCountSubscriptionFilter {
        filter: current.clone(),
        // The old one and the new one, while a generation ends.
        max_subscribed_topics: 2,
        max_subscriptions_per_request: 16,
    };
    let mut gossip = Gossip::new_with_subscription_filter(MessageAuthenticity::Anonymous, config, filter)
        .map_err(|error| setup(&error))?;
    gossip
        .with_peer_score(scoring::params(hash), scoring::thresholds())
        .map_err(|error| setup(&error))?;
    gossip.subscribe(name).map_err(|error| setup(&error))?;
    Ok((gossip, current))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_sizes_of_room_are_accepted() {
        let name = IdentTopic::new("t");
        for participants in [2, SMALL_ROOM, SMALL_ROOM + 1, u16::MAX] {
            assert!(gossip(&name, participants).is_ok());
        }
    }
}
