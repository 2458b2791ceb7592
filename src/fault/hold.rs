//! `hold`: messages of one type wait on a link until another message has passed: an order of arrival, written down.
//!
//! TCP is a stream: what follows a held message on its connection waits with it, and comes right behind it.

use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, MessageType, NodeSelector,
};
use crate::yaml::document::{Node, Problems};
use crate::yaml::fields::{Field, Record, mapping, read_record, read_whole};

crate::record! {
    pub struct Hold {
        /// who sends the messages that wait
        pub from: NodeSelector,
        /// whom they are sent to
        pub to: NodeSelector,
        /// the type of the messages that wait
        pub message: MessageType,
        /// the message that lets them go once it has been delivered; the end of `for:` does so in any case
        pub until: Option<Passing> = None,
    }
}

crate::record! {
    pub struct Passing {
        /// the type of the message
        pub message: MessageType,
        /// who sends it
        pub from: NodeSelector,
        /// whom it is sent to
        pub to: NodeSelector,
    }
}

impl Hold {
    pub const NAME: &'static str = "hold";
}

impl Declared for Hold {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Message,
        class: Class::Disruptive,
        summary: "hold messages of one type on a link until another message has passed",
        targets: &["valkey"],
        drawn: false,
        lasting: true,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        const KINDS: [MessageType; 4] = [
            MessageType::Pong,
            MessageType::Fail,
            MessageType::FailoverAuthRequest,
            MessageType::FailoverAuthAck,
        ];
        let message = *context.rng.pick(&KINDS);
        let to = NodeSelector::Primary(context.shard());
        Some(Self { from: NodeSelector::AnyPrimary, to, message, until: None })
    }
}

impl Field for Passing {
    fn expected() -> String {
        "a message, `{message: PING, from: NODE, to: NODE}`".into()
    }
    fn schema() -> serde_json::Value {
        let mut schema = serde_json::json!({"type": "object", "additionalProperties": false});
        for field in Self::FIELDS {
            schema["properties"][field.name] = (field.schema)();
        }
        schema["required"] = Self::FIELDS.iter().map(|field| field.name).collect();
        schema
    }
    fn read(node: &Node) -> Result<Self, String> {
        read_whole(node)
    }
    fn read_within(node: &Node, path: &str, problems: &mut Problems) -> Option<Self> {
        read_record(node, path, problems)
    }
    fn write(&self) -> String {
        mapping(self.write_fields())
    }
}
