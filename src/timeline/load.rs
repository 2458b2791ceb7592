//! The clients' work: what they do, how often, on which keys. Operation *i* of client *c* is a pure function of
//! the timeline's key, *c* and *i* (see `run::client`).

use crate::time::Millis;
use crate::yaml::document::{Node, Problems, Value};
use crate::yaml::fields::{Field, Fields, Record, mapping, quote, read_record, read_whole, scalar};
use serde::{Deserialize, Serialize};

/// Operations a second over all clients: `300/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rate(pub u32);

crate::word! {
    /// A ready mix of reads and writes.
    pub enum Pattern { ReadHeavy = "read_heavy", WriteHeavy = "write_heavy", Mixed = "mixed" }
}

crate::word! {
    /// How operations spread over the keys.
    pub enum Skew { Uniform = "uniform", Zipf = "zipf", Hot = "hot" }
}

/// The beginning of every key's name. Empty by default, and then no part of a timeline's binary form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyPrefix(pub String);

impl KeyPrefix {
    pub const LENGTH_MAX: usize = 64;

    /// Braces would move the key to another slot, the others mean something else to `KEYS`, by which strays are
    /// looked for.
    pub fn parse(text: &str) -> Result<Self, String> {
        let odd = |c: char| !c.is_ascii_graphic() || "{}*?[]\\".contains(c);
        if text.len() > Self::LENGTH_MAX || text.contains(odd) {
            Err(Self::expected())
        } else {
            Ok(Self(text.into()))
        }
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Field for KeyPrefix {
    fn expected() -> String {
        format!(
            "at most {} printable ASCII characters without blanks, braces, or any of `*?[]\\`",
            Self::LENGTH_MAX
        )
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({"type": "string", "pattern": r"^[!-)+->@-Z^-z|~]*$", "maxLength": Self::LENGTH_MAX})
    }
    fn read(node: &Node) -> Result<Self, String> {
        Self::parse(scalar(node, Self::expected)?)
    }
    fn write(&self) -> String {
        quote(&self.0)
    }
}

crate::record! {
    /// How often each kind of operation is issued, relative to the others.
    pub struct Mix {
        /// read one key, of any kind
        pub get: u16 = 0,
        /// write a unique value to a register
        pub set: u16 = 0,
        /// add one to a counter
        pub incr: u16 = 0,
        /// append a unique element to a list
        pub append: u16 = 0,
        /// add a unique member to a set
        pub add: u16 = 0,
        /// delete a register
        pub delete: u16 = 0,
    }
}

crate::record! {
    /// The load of a run. `rate: 0/s` means none.
    pub struct Load {
        /// clients, each with one operation open at a time (a pipeline counts as one)
        pub clients: u16 = 6,
        /// operations a second, over all clients
        pub rate: Rate = Rate(300),
        /// a ready mix
        pub pattern: Pattern = Pattern::Mixed,
        /// a mix of one's own; the pattern is ignored then
        pub mix: Option<Mix> = None,
        /// keys of each kind
        pub keys: u32 = 500,
        /// how operations spread over them
        pub skew: Skew = Skew::Zipf,
        /// the shards that the keys lie on; all when empty
        pub shards: Vec<u16> = Vec::new(),
        /// bytes in a value
        pub value_bytes: u32 = 64,
        /// operations sent at once
        pub pipeline: u16 = 1,
        /// of a thousand issues, how many are a `MULTI` of a write of each kind in one slot
        pub transactions: u16 = 0,
        /// after each write, `WAIT` for this many replicas
        pub wait: u8 = 0,
        /// after each write, `WAITAOF` for the local disk and this many replicas' (`wait` is ignored then)
        pub waitaof: Option<u8> = None,
        /// how long an operation may take
        pub timeout: Millis = Millis(1000),
        /// issue the next operation when the last has ended instead of at its time, up to 1,000 a second over all
        pub closed: bool = false,
        /// when the load stops; with the safety phase when absent
        pub stop: Option<Millis> = None,
        /// what the name of each key begins with, before its kind and number as in `r:{17}`
        #[serde(default, skip_serializing_if = "KeyPrefix::is_empty")]
        pub key_prefix: KeyPrefix = KeyPrefix::default(),
        /// clients that watch every change instead of making one, where a store has watches
        #[serde(default, skip_serializing_if = "is_none")]
        pub watchers: u16 = 0,
        /// clients that hold one session after the other, with an ephemeral node and a place in the queue for a lock, where a store has sessions
        #[serde(default, skip_serializing_if = "is_none", with = "sessions")]
        pub sessions: u16 = 0,
        /// clients that move money between accounts, each time in one transaction, where that is offered (zookeeper)
        #[serde(default, skip_serializing_if = "is_none", with = "tellers")]
        pub tellers: u16 = 0,
        /// clients that hold one lease after the other, with keys, where a store has leases
        #[serde(default, skip_serializing_if = "is_none", with = "leases")]
        pub leases: u16 = 0,
        /// each of the watchers has several watches on one stream, asks for their progress, cancels some and goes on with them, where that is offered (etcd)
        #[serde(default, skip_serializing_if = "is_not", with = "watch_streams")]
        pub watch_streams: bool = false,
        /// clients that ask for what they may and may not do, as several people, where nodes have access lists (zookeeper)
        #[serde(default, skip_serializing_if = "is_none", with = "guests")]
        pub guests: u16 = 0,
        /// clients that put elements into a queue and take them out of it, each once and in order, where that is offered (zookeeper)
        #[serde(default, skip_serializing_if = "is_none", with = "queuers")]
        pub queuers: u16 = 0,
        /// clients that make containers and nodes with a time to live, which are removed without a client, where there are such nodes (zookeeper)
        #[serde(default, skip_serializing_if = "is_none", with = "containers")]
        pub containers: u16 = 0,
    }
}

/// A value with a name beside it, so that it is not taken in a binary form for a field before it, which may be left out.
macro_rules! named {
    ($name:ident: $kind:ty) => {
        mod $name {
            use serde::{Deserialize, Deserializer, Serialize, Serializer};

            pub fn serialize<S: Serializer>(value: &$kind, serializer: S) -> Result<S::Ok, S::Error> {
                (stringify!($name), value).serialize(serializer)
            }
            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$kind, D::Error> {
                <(String, $kind)>::deserialize(deserializer).map(|(_, value)| value)
            }
        }
    };
}
named!(sessions: u16);
named!(tellers: u16);
named!(leases: u16);
named!(watch_streams: bool);
named!(guests: u16);
named!(queuers: u16);
named!(containers: u16);

/// No watchers, no sessions, no tellers, no leases, no guests, no queuers and no containers are no part of a timeline's binary form.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_none(watchers: &u16) -> bool {
    *watchers == 0
}

/// Neither is what is not asked for.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_not(flag: &bool) -> bool {
    !flag
}

impl Default for Load {
    fn default() -> Self {
        let node = Node { span: crate::yaml::document::Span::default(), value: Value::Null };
        let mut problems = Problems::default();
        let mut fields =
            Fields::open(&node, "load", &mut problems).expect("nothing counts as an empty mapping");
        Self::read_fields(&mut fields).expect("every field has a default")
    }
}

impl Load {
    /// No client at all.
    pub fn none() -> Self {
        Self { rate: Rate(0), ..Self::default() }
    }
    pub fn is_none(&self) -> bool {
        self.rate.0 == 0 || self.clients == 0
    }
    /// The mix in force.
    pub fn mix_in_force(&self) -> Mix {
        self.mix.clone().unwrap_or(match self.pattern {
            Pattern::ReadHeavy => Mix { get: 8, set: 1, incr: 1, append: 1, add: 1, delete: 0 },
            Pattern::WriteHeavy => Mix { get: 1, set: 4, incr: 2, append: 2, add: 2, delete: 1 },
            Pattern::Mixed => Mix { get: 4, set: 4, incr: 1, append: 1, add: 1, delete: 1 },
        })
    }
}

impl Field for Rate {
    fn expected() -> String {
        "a rate such as `300/s`".into()
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({"type": "string", "pattern": "^[0-9]+/s$"})
    }
    fn read(node: &Node) -> Result<Self, String> {
        let text = scalar(node, Self::expected)?;
        let number = text.strip_suffix("/s").and_then(|n| n.parse().ok()).ok_or_else(Self::expected)?;
        if number > 1_000_000 { Err("a rate of at most 1000000/s".into()) } else { Ok(Self(number)) }
    }
    fn write(&self) -> String {
        format!("{}/s", self.0)
    }
}

impl Field for Mix {
    fn expected() -> String {
        "a mapping of operations (get, set, incr, append, add, delete) to weights".into()
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({"type": "object", "additionalProperties": false,
            "properties": Self::FIELDS.iter().map(|f| (f.name.to_string(), (f.schema)())).collect::<serde_json::Map<_, _>>()})
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_would_move_keys_or_hide_them_is_refused() {
        for good in ["", "ledger:", "a/b#c", &"x".repeat(KeyPrefix::LENGTH_MAX)] {
            assert_eq!(KeyPrefix::parse(good), Ok(KeyPrefix(good.into())), "{good}");
        }
        for bad in ["{a}", "a b", "a*", "[a", "a\\", "über:", "a\n", &"x".repeat(KeyPrefix::LENGTH_MAX + 1)]
        {
            assert!(KeyPrefix::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_prefix_is_no_part_of_the_binary_form() {
        let plain = postcard::to_stdvec(&Load::default()).expect("plain data");
        let named = Load { key_prefix: KeyPrefix("a".into()), ..Load::default() };
        let named = postcard::to_stdvec(&named).expect("plain data");
        assert_eq!(named, [plain.as_slice(), &[1, b'a']].concat());
    }
}
