//! `reset`: connections that are established break, on both sides at once, as a firewall that forgets them does it.

use super::traffic::{self, Traffic};
use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};

crate::record! {
    pub struct Reset {
        /// the nodes on one side
        pub node: NodeSelector,
        /// the nodes on the other side; every other node when absent
        pub from: Option<NodeSelector> = None,
        /// the connections of clients to `node` break too
        pub clients: bool = false,
        /// the packets that it strikes: `clients` (connections to the port for clients,
        /// where replicas replicate too), `bus` (the cluster bus), or `all` between nodes
        #[serde(default, skip_serializing_if = "Traffic::is_all")]
        pub traffic: Traffic = Traffic::All,
    }
}

impl Reset {
    pub const NAME: &'static str = "reset";
}

impl Declared for Reset {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Connection,
        class: Class::Disruptive,
        summary: "reset the established connections between a node and others (ECONNRESET), once",
        targets: targets::REAL,
        drawn: false,
        lasting: false,
    };

    fn needs(&self) -> Ability {
        traffic::needs(self.traffic, Self::INFO.needs)
    }

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        Some(Self { node, from: None, clients: context.rng.ratio(1, 2), traffic: Traffic::All })
    }
}
