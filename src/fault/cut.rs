//! `cut`: nothing passes between two sets of nodes, in both directions or one.

use super::traffic::{self, Traffic};
use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};

crate::word! {
    /// How connections learn that a cut is over.
    #[derive(Default)]
    pub enum Heal {
        /// The last segment that it swallowed of each is delivered, and the answer wakes its sender up.
        #[default]
        Prompt = "prompt",
        /// TCP tries again when its back-off is over: after as long again as the cut had lasted, up to two minutes.
        Natural = "natural",
    }
}

impl Heal {
    /// What a timeline does not write.
    pub fn is_prompt(&self) -> bool {
        *self == Self::Prompt
    }
}

crate::record! {
    pub struct Cut {
        /// the nodes on one side
        pub node: NodeSelector,
        /// the nodes on the other side; every other node when absent
        pub from: Option<NodeSelector> = None,
        /// only messages sent by `node` are lost; the other direction stays open
        pub one_way: bool = false,
        /// the packets that it strikes: `clients` (the port for clients, where replicas replicate too; without `from` also
        /// between the node and the run's own clients), `bus` (the cluster bus), or `all` between nodes
        #[serde(default, skip_serializing_if = "Traffic::is_all")]
        pub traffic: Traffic = Traffic::All,
        /// how connections learn that it is over: `prompt` (they are woken up), or `natural` (when TCP tries again by
        /// itself, which after a long cut takes as long again)
        #[serde(default, skip_serializing_if = "Heal::is_prompt")]
        pub heal: Heal = Heal::Prompt,
    }
}

impl Cut {
    pub const NAME: &'static str = "cut";
}

impl Declared for Cut {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Cut,
        class: Class::Disruptive,
        summary: "cut every link between a node and others, both ways or one way",
        targets: targets::ALL,
        drawn: true,
        lasting: true,
    };

    fn needs(&self) -> Ability {
        let chosen = if self.heal.is_prompt() { Self::INFO.needs } else { Ability::Packet };
        traffic::needs(self.traffic, chosen)
    }

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = match context.rng.below(4) {
            0 => NodeSelector::Minority,
            _ => NodeSelector::Primary(context.shard()),
        };
        Some(Self {
            node,
            from: None,
            one_way: context.rng.ratio(1, 4),
            traffic: Traffic::All,
            heal: Heal::Prompt,
        })
    }
}
