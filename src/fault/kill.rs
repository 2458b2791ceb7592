//! `kill`: a signal that ends the process. With `for:` it is started again, with its data, at the end.

use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};

crate::word! {
    /// A signal by its name without `SIG`.
    pub enum Signal { Kill = "KILL", Term = "TERM", Int = "INT", Abrt = "ABRT", Segv = "SEGV", Hup = "HUP" }
}

impl Signal {
    /// Its number on Linux.
    pub const fn number(self) -> i32 {
        match self {
            Self::Hup => 1,
            Self::Int => 2,
            Self::Abrt => 6,
            Self::Kill => 9,
            Self::Segv => 11,
            Self::Term => 15,
        }
    }
}

crate::record! {
    pub struct Kill {
        /// the node that gets the signal
        pub node: NodeSelector,
        /// the signal
        pub signal: Signal = Signal::Kill,
        /// leave out nodes whose death would leave their shard without a live member; none left is a skip
        pub spare_shard: bool = false,
        /// leave out nodes that an earlier event killed; when none is left, the event is skipped
        pub spare_dead: bool = false,
    }
}

impl Kill {
    pub const NAME: &'static str = "kill";
}

impl Declared for Kill {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Signal,
        class: Class::Disruptive,
        summary: "end a process by a signal; with `for:` it comes back with its data, without it it stays dead",
        targets: targets::ALL,
        drawn: true,
        lasting: true,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let shard = context.shard();
        let replica = context.replicas > 0 && context.rng.ratio(1, 3);
        let node = if replica {
            NodeSelector::Replica(shard, context.rng.below(u64::from(context.replicas)) as u16)
        } else {
            NodeSelector::Primary(shard)
        };
        let signal = if context.rng.ratio(3, 4) {
            Signal::Kill
        } else {
            *context.rng.pick(&[Signal::Term, Signal::Int, Signal::Segv])
        };
        Some(Self { node, signal, spare_shard: false, spare_dead: false })
    }
}
