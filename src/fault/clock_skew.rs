//! `clock_skew`: a node's clock jumps ahead or back, and runs faster or slower than the others.

use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};
use crate::time::Millis;

crate::record! {
    pub struct ClockSkew {
        /// the node whose clock is wrong
        pub node: NodeSelector,
        /// how far it jumps ahead
        pub ahead: Millis = Millis(0),
        /// how fast it runs afterwards, in per cent of true time
        pub rate: u16 = 100,
        /// how far its wall clock jumps back, as a time server steps it; what counts from the boot goes on
        #[serde(default, skip_serializing_if = "Millis::is_zero")]
        pub behind: Millis = Millis(0),
    }
}

impl ClockSkew {
    pub const NAME: &'static str = "clock_skew";
}

impl Declared for ClockSkew {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Clock,
        class: Class::Disruptive,
        summary: "let one node's clock jump ahead or back and run at another rate",
        targets: targets::ALL,
        drawn: true,
        lasting: true,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let ahead = Millis(*context.rng.pick(&[0, 500, 5000]));
        let rate = *context.rng.pick(&[50, 90, 110, 300]);
        Some(Self { node, ahead, rate, behind: Millis(0) })
    }
}
