//! `use_up_connections`: clients that do nothing take the connections of a node, from an address of their own, until it
//! takes no more (`maxclients`) or there are as many as asked for, and hold them until the end.
//!
//! Who is connected stays so; who comes later, a client or another node that replicates, is turned away. One that the
//! node closes comes back, so that nobody else gets its place.

use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};
use crate::fault::resource::ResourceRule;

crate::record! {
    pub struct UseUpConnections {
        /// the node whose connections are taken
        pub node: NodeSelector,
        /// how many are taken; as many as the node has when absent
        pub connections: Option<u32> = None,
    }
}

impl UseUpConnections {
    pub const NAME: &'static str = "use_up_connections";

    pub fn rule(&self) -> ResourceRule {
        ResourceRule::Connections { count: self.connections }
    }
}

impl Declared for UseUpConnections {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Resource,
        class: Class::Disruptive,
        summary: "take a node's connections, all or so many, and hold them",
        targets: targets::REAL,
        drawn: false,
        lasting: true,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        Some(Self { node: NodeSelector::Primary(context.shard()), connections: None })
    }
}
