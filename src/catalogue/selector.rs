//! Which node an event means. Roles are resolved when the event strikes, and the answer is recorded.

use crate::yaml::document::Node;
use crate::yaml::fields::{Field, quote, scalar};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// The name of an event within its timeline: as somebody wrote it, or one of those that drawn events have, which are
/// borrowed because a heap string each took an eighth of the time.
pub type EventId = Cow<'static, str>;

/// One node or several, by number or by what they are at the moment the event strikes. Shards and nodes
/// count from 0. A shard keeps its number while its slots move: shard *s* is the nodes that began in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NodeSelector {
    /// `node-3`
    Node(u16),
    /// `shard-1-primary`: the primary of that shard at this moment, dead or alive.
    Primary(u16),
    /// `shard-1-replica` or `shard-1-replica-2`: the *n*-th replica, in the order of node numbers.
    Replica(u16, u16),
    /// `any`, `any-primary`, `any-replica`: one live node, drawn by the timeline's key at this event.
    Any,
    AnyPrimary,
    AnyReplica,
    /// `shard-1-any-replica`: one live replica of that shard, drawn likewise.
    AnyReplicaOf(u16),
    /// `any-of-node-4-node-7`: one of these that lives.
    AnyOf(Vec<u16>),
    /// `target-of-EVENT`: what that event resolved to.
    SameAs(EventId),
    /// `all`: every live node.
    All,
    /// `minority`, `majority`: of the live primaries, the lowest numbers first, with their replicas left out.
    Minority,
    Majority,
    /// `id-<40 hex digits>`: by cluster node id.
    Id(String),
    /// `port-7003`: by the port it was asked to listen on.
    Port(u16),
}

impl NodeSelector {
    pub fn from_text(text: &str) -> Option<Self> {
        let number = |t: &str| -> Option<u16> {
            if t.is_empty()
                || t.len() > 5
                || !t.bytes().all(|b| b.is_ascii_digit())
                || (t.len() > 1 && t.starts_with('0'))
            {
                return None;
            }
            t.parse().ok()
        };
        Some(match text {
            "any" => Self::Any,
            "any-primary" => Self::AnyPrimary,
            "any-replica" => Self::AnyReplica,
            "all" => Self::All,
            "minority" => Self::Minority,
            "majority" => Self::Majority,
            _ => {
                if let Some(rest) = text.strip_prefix("any-of-") {
                    let numbers: Option<Vec<u16>> =
                        rest.strip_prefix("node-")?.split("-node-").map(number).collect();
                    Self::AnyOf(numbers?)
                } else if let Some(rest) = text.strip_prefix("target-of-") {
                    (!rest.is_empty()).then(|| Self::SameAs(rest.to_owned().into()))?
                } else if let Some(rest) = text.strip_prefix("node-") {
                    Self::Node(number(rest)?)
                } else if let Some(rest) = text.strip_prefix("port-") {
                    Self::Port(number(rest)?)
                } else if let Some(rest) = text.strip_prefix("id-") {
                    (rest.len() == 40 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
                        .then(|| Self::Id(rest.into()))?
                } else {
                    let (shard, role) = text.strip_prefix("shard-")?.split_once('-')?;
                    let shard = number(shard)?;
                    match role {
                        "primary" | "master" => Self::Primary(shard),
                        "replica" | "slave" => Self::Replica(shard, 0),
                        "any-replica" => Self::AnyReplicaOf(shard),
                        _ => Self::Replica(shard, number(role.strip_prefix("replica-")?)?),
                    }
                }
            }
        })
    }

    /// The shard it names, if it names one.
    pub fn shard(&self) -> Option<u16> {
        match self {
            Self::Primary(shard) | Self::Replica(shard, _) | Self::AnyReplicaOf(shard) => Some(*shard),
            _ => None,
        }
    }
}

impl fmt::Display for NodeSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(n) => write!(f, "node-{n}"),
            Self::Primary(s) => write!(f, "shard-{s}-primary"),
            Self::Replica(s, 0) => write!(f, "shard-{s}-replica"),
            Self::Replica(s, n) => write!(f, "shard-{s}-replica-{n}"),
            Self::Any => f.write_str("any"),
            Self::AnyPrimary => f.write_str("any-primary"),
            Self::AnyReplica => f.write_str("any-replica"),
            Self::AnyReplicaOf(s) => write!(f, "shard-{s}-any-replica"),
            Self::AnyOf(nodes) => {
                f.write_str("any-of")?;
                nodes.iter().try_for_each(|n| write!(f, "-node-{n}"))
            }
            Self::SameAs(event) => write!(f, "target-of-{event}"),
            Self::All => f.write_str("all"),
            Self::Minority => f.write_str("minority"),
            Self::Majority => f.write_str("majority"),
            Self::Id(id) => write!(f, "id-{id}"),
            Self::Port(port) => write!(f, "port-{port}"),
        }
    }
}

impl Field for NodeSelector {
    fn expected() -> String {
        "a node: `node-3`, `shard-1-primary`, `shard-1-replica-2`, `shard-1-any-replica`, `any`, `any-primary`, `any-replica`, `all`, \
         `minority`, `majority`, `target-of-EVENT`"
            .into()
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({"type": "string", "pattern": "^(node-[0-9]+|shard-[0-9]+-(primary|any-replica|replica(-[0-9]+)?)|any(-primary|-replica|-of(-node-[0-9]+)+)?|all|minority|majority|target-of-.+|id-[0-9a-fA-F]{40}|port-[0-9]+)$"})
    }
    fn read(node: &Node) -> Result<Self, String> {
        Self::from_text(scalar(node, Self::expected)?).ok_or_else(Self::expected)
    }
    fn write(&self) -> String {
        quote(&self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_read_and_print() {
        for text in [
            "node-0",
            "shard-1-primary",
            "shard-2-replica",
            "shard-2-replica-1",
            "any",
            "any-primary",
            "any-replica",
            "shard-1-any-replica",
            "any-of-node-4-node-7",
            "target-of-e1",
            "all",
            "minority",
            "majority",
            "port-7003",
        ] {
            assert_eq!(NodeSelector::from_text(text).map(|s| s.to_string()).as_deref(), Some(text));
        }
        assert_eq!(NodeSelector::from_text("shard-1-master"), Some(NodeSelector::Primary(1)));
        for text in [
            "",
            "node-",
            "node-x",
            "shard-1",
            "shard-1-leader",
            "anyone",
            "node-65536",
            "target-of-",
            "id-12",
        ] {
            assert_eq!(NodeSelector::from_text(text), None, "{text}");
        }
    }
}
