//! `strike_link`: what is done to the n-th packet, byte, connect or message of the cluster bus on a link, counted from the
//! beginning of the fault. What a cut swallows is not counted, so that a strike that begins with a cut can mean the first
//! connect after its heal.
//!
//! TCP sends a lost packet again. A message of the bus that is lost is taken out of its connection for good, and one that
//! is duplicated is in it twice.

use super::traffic::Traffic;
use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, MessageType, NodeSelector,
};
use crate::time::Millis;

crate::word! {
    /// What is counted on a link.
    #[derive(Default)]
    pub enum LinkPoint {
        /// TCP segments, empty ones too.
        #[default]
        Packet = "packet",
        /// Bytes of payload; the segment that holds the n-th is struck.
        Byte = "byte",
        /// Attempts to connect (SYN), those that are tried again too.
        Connect = "connect",
        /// Messages of the cluster bus.
        Message = "message",
    }
}

crate::word! {
    /// What is done to it.
    #[derive(Default)]
    pub enum LinkBlow {
        #[default]
        Lose = "lose",
        Delay = "delay",
        Duplicate = "duplicate",
        Corrupt = "corrupt",
        Garble = "garble",
        Reset = "reset",
    }
}

crate::record! {
    pub struct StrikeLink {
        /// who sends it
        pub from: NodeSelector,
        /// whom it is sent to
        pub to: NodeSelector,
        /// what is counted: `packet`, `byte`, `connect` (SYN), or `message` (of the cluster bus)
        pub at: LinkPoint = LinkPoint::Packet,
        /// the type of the messages that are counted, with `at: message`
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub message: Option<MessageType> = None,
        /// the one that is struck, counted from the beginning of the fault
        pub nth: u64 = 1,
        /// what is done to it: `lose`, `delay`, `duplicate`, `corrupt` (the checksum tells), `garble` (it does not), or
        /// `reset` (of its connection)
        pub how: LinkBlow = LinkBlow::Lose,
        /// how long it waits, with `how: delay`
        pub delay: Millis = Millis(500),
        /// the packets that are counted: `clients` (the port for clients, where replicas replicate too), `bus` (the cluster
        /// bus), or `all` between nodes
        #[serde(default, skip_serializing_if = "Traffic::is_all")]
        pub traffic: Traffic = Traffic::All,
    }
}

impl StrikeLink {
    pub const NAME: &'static str = "strike_link";
}

impl Declared for StrikeLink {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Packet,
        class: Class::Disruptive,
        summary: "lose, delay, duplicate or spoil the n-th packet, byte, connect or bus message on a link",
        targets: &["valkey"],
        drawn: false,
        lasting: true,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        const KINDS: [MessageType; 3] =
            [MessageType::Fail, MessageType::FailoverAuthRequest, MessageType::FailoverAuthAck];
        let to = NodeSelector::Primary(context.shard());
        let at = *context.rng.pick(LinkPoint::ALL);
        let message = (at == LinkPoint::Message).then(|| *context.rng.pick(&KINDS));
        let how = *context.rng.pick(&[LinkBlow::Lose, LinkBlow::Delay, LinkBlow::Duplicate]);
        let nth = *context.rng.pick(&[1, 2, 3, 5, 8, 13]);
        let delay = Millis(*context.rng.pick(&[50, 500, 2000]));
        Some(Self { from: NodeSelector::AnyPrimary, to, at, message, nth, how, delay, traffic: Traffic::All })
    }
}
