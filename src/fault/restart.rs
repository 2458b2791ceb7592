//! `restart`: a node ends and comes back, with its data kept, emptied, wiped, older than it should be, or another node's.
//!
//! `data: foreign` is what a volume does that is mounted at the wrong machine, or a backup that is restored twice: what
//! the other node has learned, its identity too, is there once more. What a node is told (its own configuration file)
//! stays its own. Nobody promised to survive that, so claims about data are void. When the faults are over such a node is
//! wiped and brought in anew.

use crate::catalogue::info::OF_DATA;
use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};
use crate::fault::kill::Signal;
use crate::time::Millis;

crate::word! {
    /// What a node finds on its disk when it comes back.
    pub enum RestartData {
        /// Everything that was on disk.
        Kept = "kept",
        /// The cluster's configuration (`nodes.conf`) but no data.
        Empty = "empty",
        /// Nothing: a new id at the old address, which must be forgotten and met again.
        Wiped = "wiped",
        /// A copy of its folder from earlier in the run.
        Older = "older",
        /// A copy of another node's: its data and its identity.
        Foreign = "foreign",
    }
}

crate::record! {
    pub struct Restart {
        /// the node that restarts
        pub node: NodeSelector,
        /// what it finds on its disk
        pub data: RestartData = RestartData::Kept,
        /// the signal that ends it
        pub signal: Signal = Signal::Kill,
        /// how long it is down
        pub down: Millis = Millis(0),
        /// how long it runs on with its files gone before it ends: they are removed under it (not with the embedded
        /// target, and only where it comes back `empty` or `wiped`)
        #[serde(default, skip_serializing_if = "Millis::is_zero")]
        pub gone: Millis = Millis(0),
        /// whose data it finds, with `data: foreign`
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub from: Option<NodeSelector> = None,
    }
}

impl Restart {
    pub const NAME: &'static str = "restart";
}

impl Declared for Restart {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::StaleData,
        class: Class::Disruptive,
        summary: "end a process and start it again with its data kept, empty, wiped, older or another node's",
        targets: targets::ALL,
        drawn: true,
        lasting: false,
    };

    fn needs(&self) -> Ability {
        let files = !self.gone.is_zero() || self.data == RestartData::Foreign;
        if files { Ability::Files } else { Ability::StaleData }
    }

    fn class(&self) -> Class {
        if self.data == RestartData::Foreign { Class::Voids(OF_DATA) } else { Self::INFO.class }
    }

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let shard = context.shard();
        let replica = context.replicas > 0 && context.rng.ratio(1, 2);
        let node = if replica {
            NodeSelector::Replica(shard, context.rng.below(u64::from(context.replicas)) as u16)
        } else {
            NodeSelector::Primary(shard)
        };
        // A member of a consensus group that forgets voids its claims, so it keeps its data.
        let data = if context.consensus {
            RestartData::Kept
        } else {
            match context.rng.below(8) {
                0..=3 => RestartData::Kept,
                4..=5 => RestartData::Older,
                6 => RestartData::Empty,
                _ => RestartData::Wiped,
            }
        };
        let signal = if context.rng.ratio(3, 4) { Signal::Kill } else { Signal::Term };
        let down = Millis(*context.rng.pick(&[0, 100, 500, 1500, 4000]));
        Some(Self { node, data, signal, down, gone: Millis(0), from: None })
    }
}
