//! What administrators do to a cluster that runs: settings, restarts one by one, a spell of load, a new epoch.

use super::{ALL, REVISIONS, VALKEY, declare, named};
use crate::catalogue::{ActionInfo, Class, Declared, DrawContext, NodeSelector};
use crate::time::Millis;

crate::word! {
    /// The kind of value that a setting is changed to.
    pub enum ValueClass { Least = "least", Most = "most", Off = "off", On = "on", Double = "double", Half = "half" }
}

crate::word! {
    /// A revision that is known only when it is asked for.
    pub enum Revision { Current = "current", LastDelete = "last_delete", Compacted = "compacted" }
}

crate::record! {
    pub struct ConfigChange {
        /// the node whose setting changes
        pub node: NodeSelector,
        /// which setting: the rank in the sorted list that the running server reports, modulo its length
        pub rank: u16,
        /// what kind of value it gets
        pub value: ValueClass,
    }
}
crate::record! {
    pub struct RollingRestart {
        /// the pause between two nodes
        pub gap: Millis = Millis(1000),
    }
}
crate::record! {
    pub struct Burst {
        /// the shard whose keys get the load
        pub shard: u16,
        /// operations a second beside the load of the run
        pub rate: u32 = 2000,
        /// all on one key
        pub one_key: bool = false,
        /// how long
        pub length: Millis = Millis(1000),
    }
}
crate::record! {
    pub struct BumpEpoch {
        /// the shard whose primary gets the command
        pub shard: u16,
    }
}

crate::record! {
    pub struct Compact {
        /// up to which revision: the current one, that of the last deletion, that of the last compaction
        pub at: Revision = Revision::Current,
        /// how many revisions before that
        pub back: u64 = 0,
        /// wait until the space is free on every node that was asked
        pub physical: bool = false,
    }
}
crate::record! {
    pub struct Defragment {
        /// the node whose store is written anew; it answers nothing meanwhile
        pub node: NodeSelector,
    }
}

crate::record! {
    pub struct ExceedQuota {
        /// how long the group stays without space before somebody makes some
        pub hold: Millis = Millis(1000),
    }
}
crate::record! {
    pub struct Snapshot {
        /// the node that is asked for a copy of its whole store
        pub node: NodeSelector,
    }
}

impl ExceedQuota {
    pub const NAME: &'static str = "exceed_quota";
}
impl Snapshot {
    pub const NAME: &'static str = "snapshot";
}
impl ConfigChange {
    pub const NAME: &'static str = "config_change";
}
impl RollingRestart {
    pub const NAME: &'static str = "rolling_restart";
}
impl Burst {
    pub const NAME: &'static str = "burst";
}
impl BumpEpoch {
    pub const NAME: &'static str = "bump_epoch";
}

impl Compact {
    pub const NAME: &'static str = "compact";
}
impl Defragment {
    pub const NAME: &'static str = "defragment";
}

impl Declared for Compact {
    const INFO: ActionInfo =
        declare(Self::NAME, Class::Safe, REVISIONS, "forget what keys were before the latest revisions");
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let at = *context.rng.pick(&[Revision::Current, Revision::Current, Revision::LastDelete]);
        let back = *context.rng.pick(&[0, 0, 1, 10, 100]);
        Some(Self { at, back, physical: context.rng.ratio(1, 2) })
    }
}
impl Declared for Defragment {
    const INFO: ActionInfo =
        declare(Self::NAME, Class::Safe, REVISIONS, "write a node's store anew, without what is free in it");
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let shard = context.shard();
        let follower = context.replicas > 0 && context.rng.ratio(2, 3);
        let node = if follower {
            NodeSelector::Replica(shard, context.rng.below(u64::from(context.replicas)) as u16)
        } else {
            NodeSelector::Primary(shard)
        };
        Some(Self { node })
    }
}
impl Declared for ExceedQuota {
    const INFO: ActionInfo = named(
        Self::NAME,
        REVISIONS,
        "fill the store up to its quota, then compact, defragment and disarm the alarm",
    );
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        Some(Self { hold: Millis(*context.rng.pick(&[500, 1000, 3000])) })
    }
}
impl Declared for Snapshot {
    const INFO: ActionInfo =
        named(Self::NAME, REVISIONS, "fetch a copy of a node's whole store and check that it is whole");
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        Some(Self { node: NodeSelector::Primary(context.shard()) })
    }
}
impl Declared for ConfigChange {
    const INFO: ActionInfo = declare(
        Self::NAME,
        Class::Safe,
        VALKEY,
        "change a setting of a running server, chosen by rank and kind of value",
    );
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let rank = context.rng.below(1000) as u16;
        let value = *context.rng.pick(ValueClass::ALL);
        Some(Self { node, rank, value })
    }
}
impl Declared for RollingRestart {
    const INFO: ActionInfo = declare(
        Self::NAME,
        Class::Disruptive,
        ALL,
        "restart every node in turn, replicas first, primaries after a failover",
    );
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        Some(Self { gap: Millis(*context.rng.pick(&[200, 1000])) })
    }
}
impl Declared for Burst {
    const INFO: ActionInfo =
        declare(Self::NAME, Class::Safe, ALL, "a spell of heavy load on one shard or one key");
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let shard = context.shard();
        let rate = *context.rng.pick(&[500, 2000, 5000]);
        let one_key = context.rng.ratio(1, 4);
        let length = Millis(*context.rng.pick(&[300, 1000, 3000]));
        Some(Self { shard, rate, one_key, length })
    }
}
impl Declared for BumpEpoch {
    // An epoch without consensus may set aside the last failover (valkey.io/commands/cluster-bumpepoch).
    const INFO: ActionInfo = declare(
        Self::NAME,
        Class::Disruptive,
        VALKEY,
        "a primary takes a new configuration epoch without asking anybody",
    );
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        Some(Self { shard: context.shard() })
    }
}
