//! `refuse`: new connections to a node are refused; those that are established live on.

use super::traffic::{self, Traffic};
use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};

crate::record! {
    pub struct Refuse {
        /// the nodes that cannot be connected to
        pub node: NodeSelector,
        /// the nodes that are refused; every other node when absent
        pub from: Option<NodeSelector> = None,
        /// the packets that it strikes: `clients` (the port for clients, where replicas replicate too; without `from` also
        /// between the node and the run's own clients), `bus` (the cluster bus), or `all` between nodes
        #[serde(default, skip_serializing_if = "Traffic::is_all")]
        pub traffic: Traffic = Traffic::All,
    }
}

impl Refuse {
    pub const NAME: &'static str = "refuse";
}

impl Declared for Refuse {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Connection,
        class: Class::Disruptive,
        summary: "refuse connects of other nodes to a node; established connections live on",
        targets: targets::REAL,
        drawn: false,
        lasting: true,
    };

    fn needs(&self) -> Ability {
        traffic::needs(self.traffic, Self::INFO.needs)
    }

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        Some(Self { node: NodeSelector::Primary(context.shard()), from: None, traffic: Traffic::All })
    }
}
