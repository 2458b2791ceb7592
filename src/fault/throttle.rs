//! `throttle`: each link from and to a node carries so many bytes a second, and keeps a bounded queue of the rest.

use crate::catalogue::{Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector};

crate::record! {
    pub struct Throttle {
        /// the node whose links are narrow
        pub node: NodeSelector,
        /// what each of them carries, in thousand bytes a second
        pub rate: u32 = 100,
    }
}

impl Throttle {
    pub const NAME: &'static str = "throttle";
}

impl Declared for Throttle {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Packet,
        class: Class::Disruptive,
        summary: "limit the bytes a second on each of a node's links; what its queue cannot hold is lost",
        targets: &["valkey"],
        drawn: false,
        lasting: true,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        Some(Self { node, rate: *context.rng.pick(&[20, 100, 1000]) })
    }
}
