//! `lossy`: a share of the messages from and to a node is lost, sent twice, or overtaken.

use super::traffic::{self, Traffic};
use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};

crate::record! {
    pub struct Lossy {
        /// the node whose links are lossy
        pub node: NodeSelector,
        /// messages lost, in a thousand
        pub lose: u16 = 100,
        /// messages sent twice, in a thousand
        pub duplicate: u16 = 0,
        /// messages that a later one may overtake, in a thousand
        pub reorder: u16 = 0,
        /// the packets that it strikes: `clients` (the port for clients, where replicas replicate too; and also
        /// between the node and the run's own clients), `bus` (the cluster bus), or `all` between nodes
        #[serde(default, skip_serializing_if = "Traffic::is_all")]
        pub traffic: Traffic = Traffic::All,
        /// losses come in bursts of so many messages on average; each is drawn by itself when absent
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub burst: Option<u16> = None,
        /// of every hundred messages on a link exactly that share is lost (of every thousand where it is no whole per cent), in
        /// an order that the seed shuffles, instead of each by chance
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pub exact: bool = false,
    }
}

impl Lossy {
    pub const NAME: &'static str = "lossy";
}

impl Declared for Lossy {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Link,
        class: Class::Disruptive,
        summary: "lose, duplicate and reorder a share of a node's messages",
        targets: targets::ALL,
        drawn: true,
        lasting: true,
    };

    fn needs(&self) -> Ability {
        let bursts = if self.burst.is_some() || self.exact { Ability::Packet } else { Self::INFO.needs };
        traffic::needs(self.traffic, bursts)
    }

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let lose = *context.rng.pick(&[10, 100, 300]);
        let duplicate = *context.rng.pick(&[0, 50, 300]);
        let reorder = *context.rng.pick(&[0, 50, 300]);
        Some(Self { node, lose, duplicate, reorder, traffic: Traffic::All, burst: None, exact: false })
    }
}
