//! `stutter`: SIGSTOP and SIGCONT in a rhythm: a process that runs, and never for long, as on a machine that swaps or
//! is overcommitted. It goes on at the end.

use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};
use crate::time::Millis;

crate::record! {
    pub struct Stutter {
        /// the node that stops again and again
        pub node: NodeSelector,
        /// how long it stands, each time
        pub stop: Millis = Millis(200),
        /// how long it runs before the next time
        pub run: Millis = Millis(100),
    }
}

impl Stutter {
    pub const NAME: &'static str = "stutter";
}

impl Declared for Stutter {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Signal,
        class: Class::Disruptive,
        summary: "stop a process and let it go on, again and again, until the end of `for:`",
        targets: targets::ALL,
        drawn: false,
        lasting: true,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let stop = Millis(*context.rng.pick(&[50, 200, 800]));
        let run = Millis(*context.rng.pick(&[20, 100, 500]));
        Some(Self { node, stop, run })
    }
}
