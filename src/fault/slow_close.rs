//! `slow_close`: the end of a connection (FIN) arrives late, and all that was sent before it in time: who reads goes on
//! waiting for more, as behind a proxy or a firewall that holds what is closed.

use super::traffic::{self, Traffic};
use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};
use crate::time::Millis;

crate::record! {
    pub struct SlowClose {
        /// the node from and to which ends of connections are late
        pub node: NodeSelector,
        /// how late
        pub delay: Millis = Millis(2000),
        /// the packets that it strikes: `clients` (the port for clients, where replicas replicate too; and also
        /// between the node and the run's own clients), `bus` (the cluster bus), or `all` between nodes
        #[serde(default, skip_serializing_if = "Traffic::is_all")]
        pub traffic: Traffic = Traffic::All,
    }
}

impl SlowClose {
    pub const NAME: &'static str = "slow_close";
}

impl Declared for SlowClose {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Packet,
        class: Class::Disruptive,
        summary: "let the ends of a node's connections (FIN) arrive late",
        targets: targets::REAL,
        drawn: false,
        lasting: true,
    };

    fn needs(&self) -> Ability {
        traffic::needs(self.traffic, Self::INFO.needs)
    }

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let delay = Millis(*context.rng.pick(&[200, 2000, 10_000]));
        Some(Self { node, delay, traffic: Traffic::All })
    }
}
