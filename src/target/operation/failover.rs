//! `failover`: a replica is asked to take over from its primary.

use super::{MOVED, declare};
use crate::catalogue::{ActionInfo, Class, Declared, DrawContext, NodeSelector};
use crate::time::Millis;

crate::word! {
    /// The forms of `CLUSTER FAILOVER`: agreed with the primary, without it, without anyone's vote.
    pub enum FailoverMode { Default = "default", Force = "force", Takeover = "takeover" }
}

crate::record! {
    pub struct Failover {
        /// the shard; or name the primary by `of`
        pub shard: Option<u16> = None,
        /// the primary that is to be replaced, where it is not named by its shard
        pub of: Option<NodeSelector> = None,
        /// with the primary's consent, without it (`force`), or without a vote (`takeover`)
        pub mode: FailoverMode = FailoverMode::Default,
        /// the replica that takes over; drawn by the timeline's key among the live ones when absent
        pub to: Option<NodeSelector> = None,
        /// the bound on its completion: the replica says it is primary, the shard's live replicas are linked
        pub timeout: Millis = Millis(10_000),
    }
}

impl Failover {
    pub const NAME: &'static str = "failover";
}

impl Declared for Failover {
    // A default failover loses nothing; FORCE and TAKEOVER may: `class_of` looks at the mode.
    const INFO: ActionInfo = declare(
        Self::NAME,
        Class::Safe,
        MOVED,
        "ask a replica to take over its shard: default, force or takeover",
    );

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        if context.replicas == 0 {
            return None;
        }
        let shard = Some(context.shard());
        let mode = match context.rng.below(if context.consensus { 1 } else { 5 }) {
            0..=2 => FailoverMode::Default,
            3 => FailoverMode::Force,
            _ => FailoverMode::Takeover,
        };
        Some(Self { shard, of: None, mode, to: None, timeout: Millis(10_000) })
    }
}
