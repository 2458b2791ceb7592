//! What watches were told: streams of changes by revision, as a client of a store with a log of revisions got them.

use crate::env::NodeId;
use crate::time::Micros;
use serde::{Deserialize, Serialize};

/// One watch, from when it was asked for to when it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Who watches, and which of its watches this is, from 0.
    pub watcher: u32,
    pub number: u32,
    pub node: NodeId,
    /// The first revision asked for; 0 stands for what comes from now on.
    pub from: i64,
    /// What `from` was meant as.
    pub meant: String,
    /// It goes on where the last one of this watcher broke off.
    pub resumed: bool,
    pub asked: Micros,
    /// When the server said that it watches, and at which revision it was by then.
    pub created: Option<(Micros, i64)>,
    pub told: Vec<Told>,
    /// When it ended, and why; nothing for one that was open to the last.
    pub ended: Option<(Micros, String)>,
    /// Where it is one of several on a stream; one that has its own watches everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
}

/// What is asked of a watch that shares its stream with others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    /// Which of its watcher's streams it is on, from 0.
    pub stream: u32,
    pub keys: Keys,
    /// It asked to be told its progress while nothing happens.
    pub progress_notify: bool,
    /// It takes what is too large for one message in several.
    pub fragments: bool,
    /// When the whole stream was asked for its progress.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub progress_asked: Vec<Micros>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<Cancel>,
}

/// The keys from one on, up to another if one is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    pub from: String,
    pub to: Option<String>,
}

/// A watch that is to end while others on its stream go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    pub asked: Micros,
    /// When the server said that it has ended.
    pub confirmed: Option<Micros>,
    /// What came of it afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Told>,
}

/// One message of a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub at: Micros,
    /// The revision of the store by the message's head.
    pub revision: i64,
    /// Nothing for a notification of progress.
    pub changes: Vec<Change>,
    /// A notification of progress to all watches of the stream, as it was asked for.
    #[serde(default, skip_serializing_if = "is_not")]
    pub to_all: bool,
    /// The next message goes on with it.
    #[serde(default, skip_serializing_if = "is_not")]
    pub fragment: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_not(flag: &bool) -> bool {
    !flag
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Change {
    pub revision: i64,
    pub key: String,
    pub deleted: bool,
    /// The revision at which the key came to be; 0 for a deletion.
    pub created: i64,
    /// How often it was put since then; 0 for a deletion.
    pub version: i64,
}

impl Keys {
    pub fn hold(&self, key: &str) -> bool {
        key >= self.from.as_str() && self.to.as_deref().is_none_or(|to| key < to)
    }
}

impl Watch {
    /// Whether a change of this key is told.
    pub fn is_of(&self, key: &str) -> bool {
        self.beside.as_ref().is_none_or(|beside| beside.keys.hold(key))
    }
    pub fn cancel(&self) -> Option<&Cancel> {
        self.beside.as_ref()?.cancel.as_ref()
    }
    /// The revision of the last change of which all was told.
    pub fn last_told(&self) -> Option<i64> {
        let mut whole = self.told.iter().rev().skip_while(|told| told.fragment);
        whole.find_map(|told| told.changes.last()).map(|change| change.revision)
    }
    /// Up to which revision it was said that all was told.
    pub fn progress(&self) -> Option<i64> {
        self.told.iter().rev().find(|told| told.changes.is_empty()).map(|told| told.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(revisions: &[i64], fragment: bool) -> Told {
        let change = |revision: &i64| Change {
            revision: *revision,
            key: "a".into(),
            deleted: false,
            created: 1,
            version: 1,
        };
        Told { revision: 9, changes: revisions.iter().map(change).collect(), fragment, ..Told::default() }
    }

    #[test]
    fn a_watch_goes_on_behind_what_it_was_told_whole() {
        let mut watch: Watch = serde_json::from_str(
            r#"{"watcher":0,"number":0,"node":0,"from":2,"meant":"now","resumed":false,"asked":0,"created":null,
                "told":[{"at":1,"revision":3,"changes":[]}],"ended":null}"#,
        )
        .expect("as older runs have it");
        assert_eq!((watch.last_told(), watch.progress()), (None, Some(3)));
        watch.told = vec![told(&[2, 3], false), told(&[4], true), told(&[4, 5], false)];
        assert_eq!((watch.last_told(), watch.progress()), (Some(5), None));
        // The rest of revision 7 did not come, and progress says nothing of it.
        watch.told.extend([told(&[6, 7], true), told(&[7], true)]);
        assert_eq!(watch.last_told(), Some(5));
        assert!(watch.is_of("any key"));
        let keys = Keys { from: "b".into(), to: Some("d".into()) };
        watch.beside = Some(Beside { keys, ..Beside::default() });
        assert_eq!(["a", "b", "c9", "d"].map(|key| watch.is_of(key)), [false, true, true, false]);
    }
}
