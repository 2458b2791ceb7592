//! What a scenario expects of a time in its own run: the checks whose lists of expectations name events.
//!
//! An expectation says *when* (before, during, after or from an event on, up to another), *of whom* (the nodes that
//! the events struck, the others, each node by itself, all together, or one by name) and *what*. It is a part of the
//! scenario and no promise of the target: a run without one is held to nothing.

pub mod injection;
pub mod leadership;
pub mod service;
mod window;

use super::{Judgement, Verdict};
use crate::run::record::Record;
use crate::yaml::document::{Node, Problems, Value};
use crate::yaml::fields::{Field, Record as Declared, mapping, read_record};
use serde::{Deserialize, Serialize};
pub use window::{Of, Window};

/// A list of expectations. A mistake is told at the one that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected<T>(pub Vec<T>);

/// One expectation of a list: a time, some nodes, and at least one claim.
pub trait Expectation: Declared {
    /// What it is called in messages.
    const WHAT: &'static str;
    /// Whether it claims anything.
    fn claims(&self) -> bool;
}

impl<T: Expectation> Field for Expected<T> {
    fn expected() -> String {
        format!("a list of {}", T::WHAT)
    }
    fn schema() -> serde_json::Value {
        let fields = T::FIELDS.iter().map(|field| {
            let mut schema = (field.schema)();
            // One name stands for a list of one.
            if schema["type"] == "array" {
                schema = serde_json::json!({"anyOf": [schema["items"], schema]});
            }
            if let Some(schema) = schema.as_object_mut() {
                schema.insert("description".into(), field.doc.trim().into());
            }
            (field.name.to_string(), schema)
        });
        let properties: serde_json::Map<_, _> = fields.collect();
        let item =
            serde_json::json!({"type": "object", "additionalProperties": false, "properties": properties});
        serde_json::json!({"type": "array", "items": item})
    }
    fn read(node: &Node) -> Result<Self, String> {
        crate::yaml::fields::read_whole(node)
    }
    fn read_within(node: &Node, path: &str, problems: &mut Problems) -> Option<Self> {
        let Value::List(items) = &node.value else {
            let message = format!("{path}: expected {}, got {}", Self::expected(), node.describe());
            problems.error(Some(node.span), path, &node.as_written(), message);
            return None;
        };
        let mut all = Vec::new();
        for (place, item) in items.iter().enumerate() {
            let path = format!("{path}[{place}]");
            let one: T = read_record(item, &path, problems)?;
            if !one.claims() {
                let message = format!("{path}: it names a time and expects nothing of it");
                problems.error(Some(item.span), &path, "", message);
            }
            all.push(one);
        }
        Some(Self(all))
    }
    fn write(&self) -> String {
        format!("[{}]", self.0.iter().map(|one| mapping(one.write_fields())).collect::<Vec<_>>().join(", "))
    }
}

/// Declares an expectation: the fields that name a time and nodes, and claims of its own, each optional.
macro_rules! expectation {
    ($what:literal $(#[$meta:meta])* pub struct $name:ident { $($(#[doc = $doc:literal])* pub $field:ident : $ty:ty),* $(,)? }) => {
        crate::record! {
            $(#[$meta])*
            pub struct $name {
                /// up to the start of these events
                pub before: Vec<String> = Vec::new(),
                /// while all of these events are in force
                pub during: Vec<String> = Vec::new(),
                /// once all of these events have ended
                pub after: Vec<String> = Vec::new(),
                /// once all of these events are in force
                pub from: Vec<String> = Vec::new(),
                /// and up to the start of these
                pub until: Vec<String> = Vec::new(),
                /// the nodes: `all` together, `each` by itself, those that the events `struck`, the `others`, or one
                pub of: super::window::Of = super::window::Of::All,
                $($(#[doc = $doc])* pub $field: Option<$ty> = None),*
            }
        }
        impl super::Expectation for $name {
            const WHAT: &'static str = $what;
            fn claims(&self) -> bool {
                [$(self.$field.is_some()),*].contains(&true)
            }
        }
        impl $name {
            fn window(&self, record: &crate::run::record::Record) -> Result<super::window::Window, String> {
                let Self { before, during, after, from, until, .. } = self;
                super::window::Window::of(record, &super::window::Named { before, during, after, from, until })
            }
        }
    };
}
use expectation;

/// What one claim of an expectation came to: met, with what was seen, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Met {
    Yes(String),
    No(String),
    /// The record does not tell.
    Unclear(String),
}

/// The judgement over all claims of a list, each with the words of its expectation.
fn judged(name: &str, record: &Record, claims: &[(String, Met)]) -> Judgement {
    if claims.is_empty() {
        return Judgement::new(name, Verdict::NotOwed, "the scenario expects nothing of this kind");
    }
    let told = |wanted: fn(&Met) -> Option<&String>| -> Vec<String> {
        claims.iter().filter_map(|(what, met)| wanted(met).map(|seen| format!("{what}: {seen}"))).collect()
    };
    let wrong = told(|met| if let Met::No(seen) = met { Some(seen) } else { None });
    let unclear = told(|met| if let Met::Unclear(seen) = met { Some(seen) } else { None });
    let right = told(|met| if let Met::Yes(seen) = met { Some(seen) } else { None });
    let (verdict, reason, evidence) = if let Some(first) = wrong.first() {
        (Verdict::Fail, first.clone(), wrong.clone())
    } else if let Some(first) = unclear.first() {
        (Verdict::Unknown, first.clone(), unclear.clone())
    } else {
        (Verdict::Pass, format!("all {} expectations were met", right.len()), right)
    };
    let looked_at = format!(
        "{} expectations, {} operations, {} views",
        claims.len(),
        record.history.len(),
        record.views.len()
    );
    Judgement::new(name, verdict, reason).looked_at(looked_at).with_evidence(evidence)
}
