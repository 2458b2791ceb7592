//! `slow`: every message from and to a node takes longer.

use super::traffic::{self, Traffic};
use crate::catalogue::{Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector};
use crate::time::Millis;

crate::record! {
    pub struct Slow {
        /// the node whose links are slow
        pub node: NodeSelector,
        /// what each message takes longer
        pub delay: Millis = Millis(100),
        /// up to this much more, per message
        pub jitter: Millis = Millis(0),
        /// the packets that it strikes: `clients` (the port for clients, where replicas replicate too; and also
        /// between the node and the run's own clients), `bus` (the cluster bus), or `all` between nodes
        #[serde(default, skip_serializing_if = "Traffic::is_all")]
        pub traffic: Traffic = Traffic::All,
    }
}

impl Slow {
    pub const NAME: &'static str = "slow";
}

impl Declared for Slow {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Link,
        class: Class::Disruptive,
        summary: "delay every message of a node, with jitter",
        targets: &["valkey", "embedded"],
        drawn: true,
        lasting: true,
    };

    fn needs(&self) -> Ability {
        traffic::needs(self.traffic, Self::INFO.needs)
    }

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let delay = Millis(*context.rng.pick(&[10, 50, 200, 800]));
        let jitter = Millis(*context.rng.pick(&[0, 20, 300]));
        Some(Self { node, delay, jitter, traffic: Traffic::All })
    }
}
