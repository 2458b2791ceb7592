//! `clock_strobe`: a node's wall clock flips between the right time and another, again and again, while the node runs, as
//! where two time servers disagree. What counts from the boot goes on evenly, where the environment has both.
//!
//! Each flip ahead makes leases and expiry times run out at once, each flip back brings times that have been before:
//! what is ordered by the time of day is out of order. At the end the clock is where it would have been.

use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};
use crate::time::Millis;

crate::record! {
    pub struct ClockStrobe {
        /// the node whose clock flips
        pub node: NodeSelector,
        /// how far ahead it is every other time
        pub ahead: Millis = Millis(2000),
        /// how long it stays there, and as long with the right time
        pub every: Millis = Millis(100),
    }
}

impl ClockStrobe {
    pub const NAME: &'static str = "clock_strobe";
}

impl Declared for ClockStrobe {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Clock,
        class: Class::Disruptive,
        summary: "let a node's clock flip ahead and back, again and again",
        targets: targets::REAL,
        drawn: false,
        lasting: true,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let ahead = Millis(*context.rng.pick(&[100, 2000, 20_000]));
        let every = Millis(*context.rng.pick(&[20, 100, 500]));
        Some(Self { node, ahead, every })
    }
}
