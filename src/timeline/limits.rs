//! Whether a timeline fits the machine. A timeline never depends on the machine, so one that is too large is not
//! drawn smaller: the run says so (exit code 3), with what would fit. Pure, given what the machine has.

use super::Timeline;

/// What a machine can carry, as found by probing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nodes that it can run at once.
    pub nodes: u16,
    /// What the number rests on, for the message: `2 cores, 3900 MB free`.
    pub because: String,
}

/// The most nodes that are there at once: those of the start and those that operations add.
pub fn nodes_peak(timeline: &Timeline) -> u16 {
    use crate::catalogue::Action;
    let added = timeline.events.iter().map(|event| match event.action {
        Action::AddReplica(_) | Action::ScaleOut(_) => 1u16,
        _ => 0,
    });
    added.fold(timeline.cluster.nodes(), u16::saturating_add)
}

/// A timeline that is too large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge {
    pub why: String,
    /// Fewer shards and replicas that fit; `None` where no cluster of three shards does.
    pub fitting: Option<(u16, u16)>,
}

/// Says why a timeline is too large and what would fit, or nothing when it fits.
pub fn too_large(timeline: &Timeline, limits: &Limits) -> Option<TooLarge> {
    let (needed, there) = (nodes_peak(timeline), limits.nodes);
    if needed <= there {
        return None;
    }
    let cluster = &timeline.cluster;
    let added = needed - cluster.nodes();
    let why = format!(
        "the timeline needs {needed} nodes ({} shards of {} nodes{}), this machine carries {there} ({})",
        cluster.shards,
        1 + cluster.replicas,
        if added > 0 { format!(", and {added} added") } else { String::new() },
        limits.because,
    );
    let room = there.saturating_sub(added);
    // As many replicas as fit three shards, as many shards as fit those replicas.
    let fitting = (0..=cluster.replicas)
        .rev()
        .find(|replicas| (1 + replicas) * cluster.shards.min(3) <= room)
        .map(|replicas| ((room / (1 + replicas)).min(cluster.shards), replicas));
    Some(TooLarge { why, fitting })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seed;
    use crate::env::PROCESSES;
    use crate::spec::{Dialect, Spec, Spread};
    use crate::timeline::generate;

    fn cluster(shards: u16, replicas: u16) -> Timeline {
        let mut spec = Spec::quiet(Dialect::Native);
        spec.cluster.shards = Spread::exactly(shards);
        spec.cluster.replicas = Spread::exactly(replicas);
        generate(&spec, Seed(1), "valkey", &PROCESSES).expect("nothing is drawn")
    }

    #[test]
    fn what_fits_is_not_refused() {
        let limits = Limits { nodes: 6, because: "2 cores".into() };
        assert_eq!(too_large(&cluster(3, 1), &limits), None);
    }

    #[test]
    fn what_is_said_to_fit_fits() {
        for (shards, replicas, nodes) in [(16, 0, 6), (5, 2, 9), (3, 2, 8), (3, 1, 5), (7, 1, 3), (1, 5, 4)] {
            let limits = Limits { nodes, because: "2 cores".into() };
            let told = too_large(&cluster(shards, replicas), &limits).expect("it is too large");
            let (fewer_shards, fewer_replicas) = told.fitting.expect("three shards fit");
            assert_eq!(too_large(&cluster(fewer_shards, fewer_replicas), &limits), None, "{told:?}");
            assert!(fewer_shards >= shards.min(3), "{told:?}");
        }
    }

    #[test]
    fn a_machine_for_no_cluster_is_told_so() {
        let limits = Limits { nodes: 2, because: "1 core".into() };
        let told = too_large(&cluster(3, 1), &limits).expect("it is too large");
        assert_eq!(told.fitting, None, "{told:?}");
    }
}
