//! `bit_flip`: one bit of a file on a node's disk is another: what a bad sector behind a controller without checksums
//! does. It is not undone.
//!
//! A node that runs sees it when it next reads the file; one that does not, when it starts. Which file of those that
//! match, which byte and which bit follows from the seed where it is left out, and is written down in the steps of the
//! event, with the byte before and after. Nothing outside the node's folder is touched, nor the server's log. The
//! append-only file has no checksum, so nothing that the servers claim of data or of the cluster is owed any more. That
//! they do not crash is.

use crate::catalogue::info::OF_DATA;
use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};
use crate::yaml::document::Node;
use crate::yaml::fields::{Field, quote, scalar};
use serde::{Deserialize, Serialize};
use std::fmt;

crate::record! {
    pub struct BitFlip {
        /// the node on whose disk it happens, whether it runs or not
        pub node: NodeSelector,
        /// the file, as a path in the node's folder in which `*` stands for any text, for instance
        /// `appendonlydir/*.incr.aof`; of several that match the seed chooses one
        pub file: FilePattern,
        /// the byte, counted from 0; the seed chooses it where it is left out
        pub offset: Option<u64> = None,
        /// whether `offset` counts from the end of the file, where 0 is its last byte
        pub from_end: bool = false,
        /// the bit of the byte, from 0, the lowest, to 7; the seed chooses it where it is left out
        pub bit: Option<u8> = None,
    }
}

/// The path of a file in a node's folder, in which `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FilePattern(String);

/// What an environment is asked to flip. Numbers that are not given follow from the words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flip {
    pub file: FilePattern,
    pub offset: Option<u64>,
    pub from_end: bool,
    pub bit: Option<u8>,
    /// Decide the file, the byte and the bit.
    pub words: [u64; 3],
}

impl FilePattern {
    pub fn parse(text: &str) -> Result<Self, String> {
        let inside = text.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if inside { Ok(Self(text.into())) } else { Err(format!("`{text}` is no path in the node's folder")) }
    }

    pub fn matches(&self, path: &str) -> bool {
        let (mut parts, mut rest) = (self.0.split('*'), path);
        let first = parts.next().unwrap_or_default();
        let Some(after) = rest.strip_prefix(first) else { return false };
        rest = after;
        let parts: Vec<&str> = parts.collect();
        let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
        for part in middle {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for FilePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Field for FilePattern {
    fn expected() -> String {
        "the path of a file in the node's folder, such as `dump.rdb` or `appendonlydir/*.aof`".into()
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({"type": "string", "minLength": 1})
    }
    fn read(node: &Node) -> Result<Self, String> {
        Self::parse(scalar(node, Self::expected)?)
    }
    fn write(&self) -> String {
        quote(&self.0)
    }
}

impl BitFlip {
    pub const NAME: &'static str = "bit_flip";

    pub fn flip(&self, words: [u64; 3]) -> Flip {
        let Self { file, offset, from_end, bit, .. } = self.clone();
        Flip { file, offset, from_end, bit, words }
    }
}

impl Declared for BitFlip {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Files,
        class: Class::Voids(OF_DATA),
        summary: "flip one bit of a file on a node's disk",
        targets: targets::REAL,
        drawn: false,
        lasting: false,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let file = FilePattern("*.aof".into());
        Some(Self { node, file, offset: None, from_end: false, bit: None })
    }
}

#[cfg(test)]
mod tests {
    use super::FilePattern;

    #[test]
    fn a_star_stands_for_any_text_and_nothing_else_does() {
        for (pattern, path, matches) in [
            ("dump.rdb", "dump.rdb", true),
            ("dump.rdb", "dump.rdb.old", false),
            ("*.aof", "appendonlydir/a.1.incr.aof", true),
            ("*.aof", "appendonlydir/a.manifest", false),
            ("appendonlydir/*.incr.aof", "appendonlydir/a.1.incr.aof", true),
            ("appendonlydir/*.incr.aof", "appendonlydir/a.1.base.aof", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "axxbyc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("*", "anything/at all", true),
        ] {
            let pattern = FilePattern::parse(pattern).expect("a path");
            assert_eq!(pattern.matches(path), matches, "{pattern} {path}");
        }
        for outside in ["", "/etc/passwd", "../x", "a/../b", "a//b", "."] {
            assert!(FilePattern::parse(outside).is_err(), "{outside}");
        }
    }
}
