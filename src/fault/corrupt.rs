//! `corrupt`: in a share of the segments from and to a node one bit is flipped, and the checksum tells its receiver.
//!
//! To the servers it is a loss that TCP repairs; what does not check its sums would show here.

use super::traffic::{self, Traffic};
use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};

crate::record! {
    pub struct Corrupt {
        /// the node whose links are bad
        pub node: NodeSelector,
        /// segments in which a bit is flipped, in a thousand
        pub share: u16 = 50,
        /// the packets that it strikes: `clients` (the port for clients, where replicas replicate too; and also
        /// between the node and the run's own clients), `bus` (the cluster bus), or `all` between nodes
        #[serde(default, skip_serializing_if = "Traffic::is_all")]
        pub traffic: Traffic = Traffic::All,
    }
}

impl Corrupt {
    pub const NAME: &'static str = "corrupt";
}

impl Declared for Corrupt {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Packet,
        class: Class::Disruptive,
        summary: "flip a bit in a share of a node's segments, which their checksum tells",
        targets: targets::REAL,
        drawn: false,
        lasting: true,
    };

    fn needs(&self) -> Ability {
        traffic::needs(self.traffic, Self::INFO.needs)
    }

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        Some(Self { node, share: *context.rng.pick(&[10, 50, 200]), traffic: Traffic::All })
    }
}
