//! What a peer's conduct is worth to gossipsub.
//!
//! Everybody on the mesh has proven to be of the room, so a peer begins with trust; the one thing that costs is a frame
//! that the room rejects (P4). Five of them graylist the peer: none of what it sends is looked at any more. Being quiet
//! (P3), sharing an address with others (P6) and being slow are no faults: the defaults for a public network would
//! punish a quiet room and a family behind one router.

use std::{collections::HashMap, time::Duration};

use libp2p::gossipsub::{PeerScoreParams, PeerScoreThresholds, TopicHash, TopicScoreParams, score_parameter_decay};

/// The score that a member has from the start (P5).
pub(crate) const MEMBER: f64 = 10.0;

/// What rejected frames cost: this times their number, squared. Four: -320, five: -500.
const REJECTED_WEIGHT: f64 = -20.0;

/// Below it nothing of the peer is processed: five rejected frames are below, whatever good it did (30 at most).
const GRAYLIST: f64 = -400.0;

/// How long a rejected frame is held against a peer.
const MEMORY: Duration = Duration::from_secs(10 * 60);

pub(crate) fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: -40.0,
        publish_threshold: -200.0,
        graylist_threshold: GRAYLIST,
        accept_px_threshold: f64::MAX,
        opportunistic_graft_threshold: 1.0,
    }
}

pub(crate) fn params(topic: TopicHash) -> PeerScoreParams {
    PeerScoreParams {
        topics: HashMap::from([(topic, topic_params())]),
        topic_score_cap: 20.0,
        app_specific_weight: 1.0,
        ip_colocation_factor_weight: 0.0,
        behaviour_penalty_threshold: 6.0,
        retain_score: MEMORY,
        slow_peer_weight: 0.0,
        ..PeerScoreParams::default()
    }
}

pub(crate) fn topic_params() -> TopicScoreParams {
    TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 1.0,
        time_in_mesh_quantum: Duration::from_secs(1),
        time_in_mesh_cap: 10.0,
        first_message_deliveries_weight: 0.5,
        first_message_deliveries_cap: 20.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: REJECTED_WEIGHT,
        invalid_message_deliveries_decay: score_parameter_decay(MEMORY),
        ..TopicScoreParams::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_valid() {
        params(TopicHash::from_raw("t")).validate().unwrap();
        thresholds().validate().unwrap();
    }

    #[test]
    fn five_rejected_frames_graylist_the_best_peer_and_four_do_not_the_newest() {
        let (topic, thresholds) = (topic_params(), thresholds());
        let cost = |count: f64| count * count * topic.invalid_message_deliveries_weight;
        let best = MEMBER + params(TopicHash::from_raw("t")).topic_score_cap;
        assert!(best + cost(5.0) < thresholds.graylist_threshold);
        assert!(cost(4.0) > thresholds.graylist_threshold);
    }
}
