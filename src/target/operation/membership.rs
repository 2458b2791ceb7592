//! Who belongs to the cluster: replicas and shards that come and go, a replica that goes to another shard, a node
//! forgotten and met again.

use super::{LEARNERS, MEMBERS, RECONFIGURED, VALKEY, declare, named, other_shard};
use crate::catalogue::{ActionInfo, Class, Declared, DrawContext, NodeSelector};

crate::record! {
    pub struct AddReplica {
        /// the shard that gets one more replica, on a new node
        pub shard: u16,
    }
}
crate::record! {
    pub struct RemoveReplica {
        /// the shard that loses a replica: it is forgotten by all and shut down
        pub shard: u16,
    }
}
crate::record! {
    pub struct ScaleOut {
        /// slots that the new shard takes, evenly from the others; 0 means an equal share
        pub slots: u16 = 0,
    }
}
crate::record! {
    pub struct ScaleIn {
        /// the shard that gives its slots away and leaves
        pub shard: u16,
    }
}
crate::record! {
    pub struct ForgetAndMeet {
        /// the node that all others forget, and then meet again
        pub node: NodeSelector,
    }
}
crate::record! {
    pub struct MoveReplica {
        /// the shard that gives one of its replicas
        pub shard: u16,
        /// the shard whose primary it follows from then on
        pub to: u16,
    }
}

crate::record! {
    pub struct AddLearner {
        /// the group that gets a member without a vote, on a new node
        pub shard: u16 = 0,
    }
}
crate::record! {
    pub struct Promote {
        /// the group whose learner gets a vote, once it has caught up
        pub shard: u16 = 0,
    }
}
crate::record! {
    pub struct ReplaceMember {
        /// the member that is taken out, alive or dead; a new node joins instead of it
        pub node: NodeSelector,
    }
}

crate::word! {
    /// Why a change of the members has to be refused.
    pub enum Forbidden {
        /// All of these, one after the other.
        All = "all",
        /// It is meant for a configuration that is no longer in force.
        Stale = "stale",
        /// It would leave no member.
        Nobody = "nobody",
        /// Those who belong to the new configuration and are connected are no majority of it.
        NoQuorum = "no_quorum",
        /// Who asks may not.
        NoRight = "no_right",
        /// It is no description of servers.
        Malformed = "malformed",
    }
}
crate::record! {
    pub struct RefusedReconfig {
        /// what is wrong with the changes that are asked for
        pub what: Forbidden = Forbidden::All,
    }
}

impl RefusedReconfig {
    pub const NAME: &'static str = "refused_reconfig";
}
impl AddReplica {
    pub const NAME: &'static str = "add_replica";
}
impl RemoveReplica {
    pub const NAME: &'static str = "remove_replica";
}
impl ScaleOut {
    pub const NAME: &'static str = "scale_out";
}
impl ScaleIn {
    pub const NAME: &'static str = "scale_in";
}
impl ForgetAndMeet {
    pub const NAME: &'static str = "forget_and_meet";
}
impl MoveReplica {
    pub const NAME: &'static str = "move_replica";
}

impl AddLearner {
    pub const NAME: &'static str = "add_learner";
}
impl Promote {
    pub const NAME: &'static str = "promote";
}
impl ReplaceMember {
    pub const NAME: &'static str = "replace_member";
}

impl Declared for AddLearner {
    const INFO: ActionInfo =
        named(Self::NAME, LEARNERS, "start a new node and add it as a learner: it follows and has no vote");
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        Some(Self { shard: context.shard() })
    }
}
impl Declared for Promote {
    const INFO: ActionInfo = named(Self::NAME, LEARNERS, "give the learner a vote, once it has caught up");
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        Some(Self { shard: context.shard() })
    }
}
impl Declared for ReplaceMember {
    const INFO: ActionInfo =
        named(Self::NAME, LEARNERS, "take a member out, alive or dead, and add a new node instead of it");
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let shard = context.shard();
        (context.replicas > 1).then_some(Self { node: NodeSelector::Replica(shard, 0) })
    }
}
impl Declared for RefusedReconfig {
    const INFO: ActionInfo =
        named(Self::NAME, RECONFIGURED, "ask every server for changes of the members that it has to refuse");
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        Some(Self { what: *context.rng.pick(Forbidden::ALL) })
    }
}
impl Declared for AddReplica {
    const INFO: ActionInfo = declare(
        Self::NAME,
        Class::Safe,
        MEMBERS,
        "start a new node, meet it, and make it a replica of a shard",
    );
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        Some(Self { shard: context.shard() })
    }
}
impl Declared for RemoveReplica {
    const INFO: ActionInfo =
        declare(Self::NAME, Class::Safe, MEMBERS, "forget a replica on every node and shut it down");
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        // Of three that agree by consensus, the two that are left bear no loss.
        if context.replicas == 0 || (context.consensus && context.replicas < 3) {
            return None;
        }
        Some(Self { shard: context.shard() })
    }
}
impl Declared for ScaleOut {
    const INFO: ActionInfo =
        declare(Self::NAME, Class::Safe, VALKEY, "add a shard on a new node and move slots to it");
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        Some(Self { slots: *context.rng.pick(&[1, 4, 16, 64]) })
    }
}
impl Declared for ScaleIn {
    const INFO: ActionInfo =
        declare(Self::NAME, Class::Safe, VALKEY, "move all slots of a shard away and let its nodes leave");
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        if context.shards <= 3 {
            return None;
        }
        Some(Self { shard: context.shard() })
    }
}
impl Declared for ForgetAndMeet {
    const INFO: ActionInfo =
        declare(Self::NAME, Class::Safe, VALKEY, "let every node forget one, and introduce it again");
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        if context.replicas == 0 {
            return None;
        }
        let shard = context.shard();
        Some(Self { node: NodeSelector::Replica(shard, 0) })
    }
}
impl Declared for MoveReplica {
    const INFO: ActionInfo =
        declare(Self::NAME, Class::Safe, VALKEY, "let a replica of a shard follow the primary of another");
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        if context.replicas == 0 || context.shards < 2 {
            return None;
        }
        // The last event and the seed's focus speak of the shard that takes: what strikes next strikes there.
        let to = context.shard();
        let shard = other_shard(context, to);
        Some(Self { shard, to })
    }
}
