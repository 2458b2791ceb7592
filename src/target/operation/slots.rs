//! Which shard serves which slot: `reshard` moves some with their keys, `drain` moves all of a shard's.

use super::{SLOTTED, declare, other_shard};
use crate::catalogue::{ActionInfo, Class, Declared, DrawContext};

crate::word! {
    /// The last step of a slot's migration that is carried out; the rest is left undone.
    pub enum StopAfter {
        Importing = "importing",
        Migrating = "migrating",
        SomeKeys = "some-keys",
        AllKeys = "all-keys",
        TargetOwns = "target-owns",
        Done = "done",
    }
}

crate::record! {
    pub struct Reshard {
        /// the shard that gives
        pub from: u16,
        /// the shard that takes
        pub to: u16,
        /// how many slots, the lowest that the giver owns first
        pub slots: u16 = 4,
        /// stop in the last slot after this step
        pub stop_after: StopAfter = StopAfter::Done,
    }
}
crate::record! {
    pub struct Drain {
        /// the shard whose primary gives all its slots away
        pub shard: u16,
        /// the shard that takes them
        pub to: u16,
    }
}

impl Reshard {
    pub const NAME: &'static str = "reshard";
}
impl Drain {
    pub const NAME: &'static str = "drain";
}

impl Declared for Reshard {
    const INFO: ActionInfo = declare(
        Self::NAME,
        Class::Safe,
        SLOTTED,
        "move slots with their keys from one shard to another, to the end or up to a step",
    );
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        if context.shards < 2 {
            return None;
        }
        let from = context.shard();
        let to = other_shard(context, from);
        let slots = *context.rng.pick(&[1, 2, 4, 8]);
        let stop_after =
            if context.rng.ratio(1, 2) { StopAfter::Done } else { *context.rng.pick(StopAfter::ALL) };
        Some(Self { from, to, slots, stop_after })
    }
}
impl Declared for Drain {
    const INFO: ActionInfo = declare(Self::NAME, Class::Safe, SLOTTED, "move all slots of a primary away");
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        if context.shards < 4 {
            return None;
        }
        let shard = context.shard();
        let to = other_shard(context, shard);
        Some(Self { shard, to })
    }
}
