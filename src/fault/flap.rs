//! `flap`: the links between two sets of nodes go down and up again in a rhythm, as a port with a bad plug does.
//!
//! Each way up is a heal of a cut. Where the rhythm is shorter than the node timeout nobody is replaced for it, and what
//! hangs on a connection is late again and again.

use super::traffic::{self, Traffic};
use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};
use crate::time::Millis;

crate::record! {
    pub struct Flap {
        /// the nodes on one side
        pub node: NodeSelector,
        /// the nodes on the other side; every other node when absent
        pub from: Option<NodeSelector> = None,
        /// how long nothing passes, each time
        pub down: Millis = Millis(300),
        /// how long all passes before the next time
        pub up: Millis = Millis(700),
        /// the packets that it strikes: `clients` (the port for clients, where replicas replicate too; without `from` also
        /// between the node and the run's own clients), `bus` (the cluster bus), or `all` between nodes
        pub traffic: Traffic = Traffic::All,
    }
}

impl Flap {
    pub const NAME: &'static str = "flap";
}

impl Declared for Flap {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Cut,
        class: Class::Disruptive,
        summary: "cut the links between a node and others and heal them, again and again",
        targets: targets::ALL,
        drawn: false,
        lasting: true,
    };

    fn needs(&self) -> Ability {
        traffic::needs(self.traffic, Self::INFO.needs)
    }

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let down = Millis(*context.rng.pick(&[100, 300, 1000]));
        let up = Millis(*context.rng.pick(&[100, 700, 2000]));
        Some(Self { node, from: None, down, up, traffic: Traffic::All })
    }
}
