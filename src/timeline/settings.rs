//! Server settings of a scenario, and which of them a scenario may not have.
//!
//! A setting goes into every node's configuration file as it is written. Those on which the run itself rests, or
//! by which a server would reach beyond its own folder, are refused when the text is read: for a scenario, for
//! standard input and for a repro alike, since all of them are read here.

use crate::yaml::document::{Node, Problems, Value};
use crate::yaml::fields::{Field, quote, read_whole};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Server settings by name, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(pub BTreeMap<String, String>);

/// Settings that are the run's own. Beside them stands all that begins with `tls-`.
const OURS: &[&str] = &[
    "aclfile",
    "acllog-max-len",
    "bind",
    "cluster-announce-bus-port",
    "cluster-announce-hostname",
    "cluster-announce-ip",
    "cluster-announce-port",
    "cluster-announce-tls-port",
    "cluster-config-file",
    "cluster-enabled",
    "cluster-port",
    "daemonize",
    "dir",
    "include",
    "loadmodule",
    "logfile",
    "masterauth",
    "masteruser",
    "pidfile",
    "port",
    "primaryauth",
    "primaryuser",
    "replicaof",
    "requirepass",
    "slaveof",
    "supervised",
    "unixsocket",
    "user",
];

impl Settings {
    /// Why no scenario may have this setting; `None` if it may.
    pub fn refuse(name: &str, value: &str) -> Option<String> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if name.is_empty() || !name.bytes().all(plain) {
            return Some(format!(
                "`{name}` is no setting: names are of lower-case letters, digits and dashes"
            ));
        }
        if OURS.contains(&name) || name.starts_with("tls-") {
            return Some(format!("`{name}` is set by the run itself"));
        }
        if value.bytes().any(|b| b.is_ascii_control()) {
            return Some(format!("the value of `{name}` has a control character"));
        }
        None
    }
}

impl Field for Settings {
    fn expected() -> String {
        "a mapping of settings to values".into()
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}})
    }
    fn read(node: &Node) -> Result<Self, String> {
        read_whole(node)
    }
    fn read_within(node: &Node, path: &str, problems: &mut Problems) -> Option<Self> {
        let Value::Map(pairs) = &node.value else {
            let message = format!("{path}: expected {}, got {}", Self::expected(), node.describe());
            problems.error(Some(node.span), path, &node.as_written(), message);
            return None;
        };
        let mut settings = BTreeMap::new();
        for (key, value) in pairs {
            let path = format!("{path}.{}", key.text);
            let Value::Scalar { text, .. } = &value.value else {
                let message = format!("{path}: expected one value, got {}", value.describe());
                problems
                    .error(Some(value.span), &path, &value.as_written(), message)
                    .hint("write it as the server's configuration file has it, in quotes if it has spaces");
                continue;
            };
            if let Some(why) = Self::refuse(&key.text, text) {
                problems
                    .error(Some(key.span), &path, &key.text, format!("cluster settings: {why}"))
                    .hint("leave it out of `settings:`");
                continue;
            }
            settings.insert(key.text.clone(), text.clone());
        }
        (settings.len() == pairs.len()).then_some(Self(settings))
    }
    fn write(&self) -> String {
        let pair = |(name, value): (&String, &String)| {
            let plain = value.parse::<u64>().is_ok() || quote(value) == *value;
            format!("{}: {}", quote(name), if plain { value.clone() } else { quote(value) })
        };
        format!("{{{}}}", self.0.iter().map(pair).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    #[test]
    fn what_a_run_rests_on_is_its_own() {
        for (name, value, why) in [
            ("port", "1", "set by the run itself"),
            ("tls-port", "1", "set by the run itself"),
            ("cluster-config-file", "x", "set by the run itself"),
            ("x y", "1", "names are of lower-case letters"),
            ("", "1", "names are of lower-case letters"),
            ("save", "1 1\nport 1", "control character"),
        ] {
            let told = Settings::refuse(name, value).unwrap_or_else(|| panic!("{name} is taken"));
            assert!(told.contains(why), "{told}");
        }
        assert_eq!(Settings::refuse("cluster-node-timeout", "1000"), None);
        assert_eq!(Settings::refuse("save", ""), None);
    }
}
