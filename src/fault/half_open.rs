//! `half_open`: a node loses its established connections and those at their other ends still have them, as after a loss
//! of power or behind a firewall that forgets. Who has one hears of it when it next sends something, by a reset; with
//! `silent` it hears nothing at all until the fault ends, and what it sends is sent again and again.

use super::traffic::Traffic;
use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};

crate::record! {
    pub struct HalfOpen {
        /// the nodes that lose their connections
        pub node: NodeSelector,
        /// the nodes that still have them; every other node when absent
        pub from: Option<NodeSelector> = None,
        /// until the end of `for:` these hear nothing; else a reset answers what they send
        pub silent: bool = false,
        /// the connections that are lost: `clients` (the port for clients, where replicas replicate too; without `from` also
        /// those of the run's own clients), `bus` (the cluster bus), or `all` between nodes
        pub traffic: Traffic = Traffic::All,
    }
}

impl HalfOpen {
    pub const NAME: &'static str = "half_open";
}

impl Declared for HalfOpen {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Packet,
        class: Class::Disruptive,
        summary: "a node loses its connections, and the other ends do not know it",
        targets: targets::REAL,
        drawn: false,
        lasting: true,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let silent = context.rng.ratio(1, 2);
        Some(Self { node, from: None, silent, traffic: Traffic::All })
    }
}
