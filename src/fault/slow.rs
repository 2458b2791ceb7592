//! `slow`: every message from and to a node takes longer.

use super::traffic::{self, Traffic};
use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};
use crate::time::Millis;

crate::word! {
    /// How what a message takes longer is spread.
    #[derive(Default)]
    pub enum Distribution {
        /// Evenly, from the delay to the delay and the jitter.
        #[default]
        Uniform = "uniform",
        /// Around the delay, with the jitter as its standard deviation; never less than nothing.
        Normal = "normal",
        /// From the delay on, with a heavy tail whose mean is the jitter.
        Pareto = "pareto",
    }
}

impl Distribution {
    /// What a timeline does not write.
    pub fn is_uniform(&self) -> bool {
        *self == Self::Uniform
    }
}

crate::record! {
    pub struct Slow {
        /// the node whose links are slow
        pub node: NodeSelector,
        /// what each message takes longer
        pub delay: Millis = Millis(100),
        /// up to this much more, per message; with another distribution how far it is spread
        pub jitter: Millis = Millis(0),
        /// the packets that it strikes: `clients` (the port for clients, where replicas replicate too; and also
        /// between the node and the run's own clients), `bus` (the cluster bus), or `all` between nodes
        #[serde(default, skip_serializing_if = "Traffic::is_all")]
        pub traffic: Traffic = Traffic::All,
        /// how it is spread: `uniform` (up to `jitter` more), `normal` (around `delay`, `jitter` is the standard deviation),
        /// `pareto` (a heavy tail beyond `delay`, `jitter` is its mean)
        #[serde(default, skip_serializing_if = "Distribution::is_uniform")]
        pub distribution: Distribution = Distribution::Uniform,
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
        targets: targets::ALL,
        drawn: true,
        lasting: true,
    };

    fn needs(&self) -> Ability {
        let shaped = if self.distribution.is_uniform() { Self::INFO.needs } else { Ability::Packet };
        traffic::needs(self.traffic, shaped)
    }

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let delay = Millis(*context.rng.pick(&[10, 50, 200, 800]));
        let jitter = Millis(*context.rng.pick(&[0, 20, 300]));
        Some(Self { node, delay, jitter, traffic: Traffic::All, distribution: Distribution::Uniform })
    }
}
