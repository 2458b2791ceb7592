//! `throttle`: each link from and to a node carries so many bytes a second, and keeps a bounded queue of the rest.

use super::traffic::{self, Traffic};
use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};

crate::record! {
    pub struct Throttle {
        /// the node whose links are narrow
        pub node: NodeSelector,
        /// what each of them carries, in thousand bytes a second
        pub rate: u32 = 100,
        /// the packets that it strikes: `clients` (the port for clients, where replicas replicate too; and also
        /// between the node and the run's own clients), `bus` (the cluster bus), or `all` between nodes
        #[serde(default, skip_serializing_if = "Traffic::is_all")]
        pub traffic: Traffic = Traffic::All,
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
        targets: targets::REAL,
        drawn: false,
        lasting: true,
    };

    fn needs(&self) -> Ability {
        traffic::needs(self.traffic, Self::INFO.needs)
    }

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        Some(Self { node, rate: *context.rng.pick(&[20, 100, 1000]), traffic: Traffic::All })
    }
}
