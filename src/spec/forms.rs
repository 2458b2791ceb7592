//! The keys of the native form, each with its sentence: what the reader accepts, the schema offers and
//! `dsl/README.md` explains.

use super::Spread;
use crate::catalogue::{MessageType, NodeSelector};
use crate::target::TARGETS;
use crate::time::Millis;
use crate::timeline::{Formation, Role, Settings};
use crate::yaml::document::{Key, Node, Problems, Value, nearest};
use crate::yaml::fields::{Field, FieldInfo, Record, read_at, read_record, read_whole};

/// A key that is not a field of a record.
#[derive(Clone, Copy, Debug)]
pub struct KeyInfo {
    pub name: &'static str,
    pub doc: &'static str,
}

const fn key(name: &'static str, doc: &'static str) -> KeyInfo {
    KeyInfo { name, doc }
}

/// The keys at the top of a file.
pub const TOP: &[KeyInfo] = &[
    key("fuzz", "the version of this form: 1; no other dialect has this key"),
    key("name", "what the run is called"),
    key(
        "tags",
        "words of your own, such as `[membership, slow]`, by which `fuzz run DIR --tag slow` chooses; no part of the timeline",
    ),
    key(
        "seed",
        "the seed that fills in every range and draw, a number or a word that is hashed to one; `--seed` overrides it",
    ),
    key("generator", "written by `fuzz generate`: the construction that drew this timeline"),
    key("catalogue", "written by `fuzz generate`: the version of the vocabulary"),
    key("profile", "written by `fuzz generate`: the environment's declared profile"),
    key("target", "the system under test; any that offers what is used when absent"),
    key("environment", "where its nodes live; the target's own when absent"),
    key("cluster", "the shape of the cluster at the start"),
    key("load", "what the clients do; the default load when absent"),
    key("length", "the safety phase: how long faults may strike before everything heals; at most 45m"),
    key("bugs", "named bugs to switch on in the embedded target"),
    key("schedule", "what is pinned of the choices of a simulated environment; all are drawn when absent"),
    key("checks", "what must hold: `default`, or a list of checks, each a name or a name with its bounds"),
    key("draw", "events that the seed draws"),
    key("timeline", "events as written"),
    key("repro", "written into repro files: what came of the run; read by `fuzz replay` alone"),
];

/// The keys of an event.
pub const EVENT: &[KeyInfo] = &[
    key("id", "its name, for other events to hang on; `e1`, `e2`, ... by position when absent"),
    key("at", "it starts at this time since the cluster was first healthy"),
    key("forming", "it starts at this time since the first process began, while the cluster forms"),
    key("after", "it starts when this event, or each of these, has ended"),
    key("with", "it starts when this event starts"),
    key("when", "it starts when this is seen"),
    key("delay", "it starts this much later than the above"),
    key("within", "how long an anchor is waited for; the event is skipped when it does not come"),
    key("do", "one operation, fault or group"),
    key("for", "how long it lasts before it heals; to the end of the safety phase when absent"),
];

/// The ways to start, of which an event has exactly one.
pub const STARTS: &[&str] = &["at", "forming", "after", "with", "when"];

/// What may stand in `do:` beside the catalogue's operations and faults.
pub const GROUPS: &[KeyInfo] = &[
    key("together", "all members start at once; `for:` holds for each that has none of its own"),
    key("in_order", "each member starts when the one before has ended"),
    key("background", "one of several things, again and again, as the seed draws"),
];

/// What may stand in `when:`, with its fields.
pub const OBSERVATIONS: &[(&str, &str, &[FieldInfo])] = &[
    ("log", "a line of a node's log holds a text", LogSeen::FIELDS),
    ("role", "a node says that it is a primary or a replica", RoleSeen::FIELDS),
    ("no_primary", "a shard has no live primary", NoPrimarySeen::FIELDS),
    ("exit", "a process is gone", ExitSeen::FIELDS),
    ("operation", "a client issues its n-th operation", OperationSeen::FIELDS),
    (
        "message",
        "a node sends a message of the cluster bus; it has not arrived when the event begins, so a cut can still hold it",
        MessageSeen::FIELDS,
    ),
];

crate::record! {
    pub struct LogSeen {
        /// whose log
        pub node: NodeSelector,
        /// the text that a line holds
        pub has: String,
    }
}
crate::record! {
    pub struct RoleSeen {
        /// which node
        pub node: NodeSelector,
        /// what it says that it is
        pub is: Role,
    }
}
crate::record! {
    pub struct NoPrimarySeen {
        /// the shard
        pub shard: u16,
    }
}
crate::record! {
    pub struct ExitSeen {
        /// which node
        pub node: NodeSelector,
    }
}
crate::record! {
    pub struct OperationSeen {
        /// the client, from 0
        pub client: u16,
        /// its operation, from 0
        pub number: u64,
    }
}

crate::record! {
    pub struct MessageSeen {
        /// the type of the message
        pub r#type: MessageType,
        /// who sends it; any node when absent
        pub from: NodeSelector = NodeSelector::Any,
        /// whom it is sent to; any node when absent
        pub to: NodeSelector = NodeSelector::Any,
        /// the first such message is 1
        pub nth: u64 = 1,
    }
}

crate::record! {
    /// `cluster:` as written: shape and number of replicas may have a spread.
    pub struct ClusterForm {
        /// primaries with slots
        pub shards: Spread<u16> = Spread::exactly(3),
        /// replicas of each primary
        pub replicas: Spread<u16> = Spread::exactly(1),
        /// written beforehand, or formed by MEET; drawn when absent beside `draw:`
        pub formation: Option<Formation> = None,
        /// server settings beside the defaults, the same on every node; not those of the run itself (`port`, `dir`, ...)
        pub settings: Settings = Settings::default(),
        /// clients and nodes authenticate by a password
        pub password: bool = false,
        /// clients authenticate as an ACL user
        pub acl_user: bool = false,
        /// node *i* listens on this port plus *i*; a wish, where the environment hands out ports itself
        pub base_port: Option<u16> = None,
    }
}

crate::record! {
    /// `draw:` as written.
    pub struct DrawForm {
        /// how many events
        pub events: Spread<u16> = Spread { low: 5, high: 12 },
        /// the time over which they are spread; at most 40m
        pub over: Spread<Millis> = Spread { low: Millis(15_000), high: Millis(20_000) },
        /// operations and faults, as a list or with weights; all that target and environment offer when absent
        pub from: Vocabulary = Vocabulary::default(),
        /// what no draw may break
        pub keep: Keep = Keep { quorum: false },
    }
}

crate::record! {
    pub struct Keep {
        /// a majority of the primaries and a live member in every shard stay untouched
        pub quorum: bool = false,
    }
}

crate::record! {
    /// `do: {background: ...}` as written; its `one_of` is read apart.
    pub struct BackgroundForm {
        /// the time from one event to the next
        pub every: Spread<Millis>,
    }
}

/// Names of operations and faults with weights.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Vocabulary(pub Vec<(String, u16)>);

impl Field for Vocabulary {
    fn expected() -> String {
        "a list of operations and faults, or a mapping of them to weights".into()
    }
    fn schema() -> serde_json::Value {
        let names: Vec<&str> = drawn_names().collect();
        serde_json::json!({"anyOf": [
            {"type": "array", "items": {"enum": names}},
            {"type": "object", "propertyNames": {"enum": names}, "additionalProperties": u16::schema()},
        ]})
    }
    fn read(node: &Node) -> Result<Self, String> {
        read_whole(node)
    }
    fn read_within(node: &Node, path: &str, problems: &mut Problems) -> Option<Self> {
        let read: Vec<Option<(String, u16)>> = match &node.value {
            Value::List(items) => {
                let name = |(position, item): (usize, &Node)| {
                    read_at::<String>(item, &format!("{path}[{position}]"), problems).map(|name| (name, 1))
                };
                items.iter().enumerate().map(name).collect()
            }
            Value::Map(pairs) => {
                let weigh = |(key, weight): &(Key, Node)| {
                    let weight = read_at::<u16>(weight, &format!("{path}.{}", key.text), problems)?;
                    Some((key.text.clone(), weight))
                };
                pairs.iter().map(weigh).collect()
            }
            _ => {
                let message = format!("{path}: expected {}, got {}", Self::expected(), node.describe());
                problems.error(Some(node.span), path, &node.as_written(), message);
                return None;
            }
        };
        read.into_iter().collect::<Option<_>>().map(Self)
    }
    fn write(&self) -> String {
        let pairs: Vec<String> = self.0.iter().map(|(name, weight)| format!("{name}: {weight}")).collect();
        format!("{{{}}}", pairs.join(", "))
    }
}

impl Field for Keep {
    fn expected() -> String {
        "a mapping such as `{quorum: true}`".into()
    }
    fn schema() -> serde_json::Value {
        super::schema::record(Self::FIELDS)
    }
    fn read(node: &Node) -> Result<Self, String> {
        read_whole(node)
    }
    fn read_within(node: &Node, path: &str, problems: &mut Problems) -> Option<Self> {
        read_record(node, path, problems)
    }
    fn write(&self) -> String {
        format!("{{quorum: {}}}", self.quorum)
    }
}

/// The operations and faults that a seed may draw.
pub fn drawn_names() -> impl Iterator<Item = &'static str> {
    crate::catalogue::ACTIONS.iter().filter(|info| info.may_be_drawn()).map(|info| info.name)
}

/// The names of the targets.
pub fn targets() -> Vec<&'static str> {
    TARGETS.iter().map(|info| info.name).collect()
}

/// `did you mean ...? known: ...`, for a word that is none of these.
pub fn suggest(word: &str, known: &[&str]) -> String {
    let list = format!("known: {}", known.join(", "));
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? {list}"),
        None => list,
    }
}
