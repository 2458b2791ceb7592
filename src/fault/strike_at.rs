//! `strike_at`: a node is killed, loses power or stops at the n-th write, sync or rename, in the middle of its turn.
//!
//! With `kill` and `power` the call is not made; with `torn` a part of the write is stored first, of a length that
//! follows from the seed. With `pause` the call is made when the node goes on. At the end of the fault the node is
//! started again with its data, or goes on. A forked child that comes to the call takes the whole node along.

use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};
use crate::fault::disk::{Blow, DiskRule, FileCall};

crate::record! {
    pub struct StrikeAt {
        /// the node that is struck
        pub node: NodeSelector,
        /// the calls that are counted
        pub call: FileCall,
        /// the call at which it is struck, counted from the beginning of the fault
        pub nth: u32 = 1,
        /// what happens then
        pub how: Blow = Blow::Kill,
    }
}

impl StrikeAt {
    pub const NAME: &'static str = "strike_at";
}

impl Declared for StrikeAt {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Disk,
        class: Class::Disruptive,
        summary: "kill, tear, stop or cut the power of a node at its n-th write, sync or rename",
        targets: targets::REAL,
        drawn: false,
        lasting: true,
    };

    fn needs(&self) -> Ability {
        if self.how == Blow::Power { Ability::Power } else { Ability::Disk }
    }

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let how = match *context.rng.pick(Blow::ALL) {
            Blow::Power if !context.power => Blow::Kill,
            how => how,
        };
        let call = if how == Blow::Torn { FileCall::Write } else { *context.rng.pick(FileCall::ALL) };
        let nth = *context.rng.pick(&[1, 2, 3, 5, 8, 13, 21]);
        Some(Self { node, call, nth, how })
    }
}

impl StrikeAt {
    pub fn rule(&self) -> DiskRule {
        let Self { call, nth, how, .. } = *self;
        DiskRule::Strike { call, nth, how }
    }
}
