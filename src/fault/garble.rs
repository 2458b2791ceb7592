//! `garble`: in a share of the segments from and to a node one bit of the payload is flipped, and the checksum made right
//! again, so that nothing but the application can tell: what a bad card behind a checksum in hardware does.
//!
//! Neither the client protocol nor the cluster bus of the servers has a checksum of its own, so nothing that they claim
//! of data or of the cluster is owed any more. That they do not crash is.

use super::traffic::{self, Traffic};
use crate::catalogue::info::OF_DATA;
use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};

crate::record! {
    pub struct Garble {
        /// the node whose links are bad
        pub node: NodeSelector,
        /// segments in which a bit is flipped, in a thousand
        pub share: u16 = 10,
        /// the packets that it strikes: `clients` (the port for clients, where replicas replicate too; and also
        /// between the node and the run's own clients), `bus` (the cluster bus), or `all` between nodes
        #[serde(default, skip_serializing_if = "Traffic::is_all")]
        pub traffic: Traffic = Traffic::All,
    }
}

impl Garble {
    pub const NAME: &'static str = "garble";
}

impl Declared for Garble {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Packet,
        class: Class::Voids(OF_DATA),
        summary: "flip a bit in a share of a node's segments so that the servers get it",
        targets: targets::REAL,
        drawn: false,
        lasting: true,
    };

    fn needs(&self) -> Ability {
        traffic::needs(self.traffic, Self::INFO.needs)
    }

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        Some(Self { node, share: *context.rng.pick(&[1, 10, 50]), traffic: Traffic::All })
    }
}
