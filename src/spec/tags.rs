//! `tags: [membership, slow]`: words of a file's own, by which `fuzz run DIR --tag membership` chooses among scenarios.
//! They mean nothing to the run, and are no part of the timeline.

use super::parts::get;
use crate::yaml::document::{Node, Problems, Value};
use std::collections::BTreeSet;

/// The most tags of a scenario.
const TAGS_MAX: usize = 20;
/// The longest tag.
const LETTERS_MAX: usize = 40;
/// What a tag is, for the schema.
const PATTERN: &str = "^[a-z][a-z0-9_.-]{0,39}$";
const HINT: &str =
    "a tag is a word that can stand on a command line, in lower case: `tags: [membership, slow]`";

/// What kept a word from being a tag: nothing, where it is one.
fn wrong(text: &str) -> Option<String> {
    let inside =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_.-".contains(letter);
    if text.is_empty() {
        return Some("is empty".into());
    }
    if matches!(text, "true" | "false" | "null") {
        return Some(format!("`{text}` is no word to who reads YAML"));
    }
    if !text.starts_with(|letter: char| letter.is_ascii_lowercase()) {
        return Some(format!("`{text}` does not begin with a lower-case letter from a to z"));
    }
    if let Some(letter) = text.chars().find(|letter| !inside(*letter)) {
        return Some(format!(
            "`{text}` has {letter:?} in it; letters from a to z, digits, `-`, `_` and `.` may stand in it"
        ));
    }
    (text.len() > LETTERS_MAX).then(|| format!("`{text}` has {} letters, at most {LETTERS_MAX}", text.len()))
}

/// The tags of a file, as written; every bad one is told where it stands.
pub(super) fn read(file: &Node, problems: &mut Problems) -> Vec<String> {
    let Some((_, value)) = get(file, "tags") else { return Vec::new() };
    let items: &[Node] = match &value.value {
        Value::Null => return Vec::new(),
        Value::List(items) => items,
        // One alone.
        Value::Scalar { .. } => std::slice::from_ref(value),
        Value::Map(_) => {
            let message = format!("tags: expected a list of tags, got {}", value.describe());
            problems.error(Some(value.span), "tags", &value.as_written(), message).hint(HINT);
            return Vec::new();
        }
    };
    if items.len() > TAGS_MAX {
        let message = format!("tags: {} of them, at most {TAGS_MAX}", items.len());
        problems
            .error(Some(value.span), "tags", &value.as_written(), message)
            .hint("keep those that you choose by");
    }
    let mut tags: Vec<String> = Vec::new();
    for (position, item) in items.iter().enumerate() {
        let path = format!("tags[{position}]");
        let Value::Scalar { text, .. } = &item.value else {
            let message = format!("{path}: expected a tag, got {}", item.describe());
            problems.error(Some(item.span), &path, &item.as_written(), message).hint(HINT);
            continue;
        };
        if let Some(wrong) = wrong(text) {
            let message = format!("{path}: {wrong}");
            problems.error(Some(item.span), &path, text, message).hint(HINT);
        } else if tags.contains(text) {
            let message = format!("{path}: `{text}` stands here twice");
            problems.error(Some(item.span), &path, text, message).hint("once is enough");
        } else {
            tags.push(text.clone());
        }
    }
    tags
}

/// The schema of `tags:`.
pub(super) fn schema() -> serde_json::Value {
    let tag = serde_json::json!({"type": "string", "pattern": PATTERN});
    serde_json::json!({"anyOf": [
        {"type": "array", "maxItems": TAGS_MAX, "uniqueItems": true, "items": tag.clone()},
        tag,
        {"type": "null"},
    ]})
}

/// Which scenarios are wanted: those with any of the first tags (all, where none is named) and none of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub any_of: BTreeSet<String>,
    pub none_of: BTreeSet<String>,
}

impl Wanted {
    pub fn takes(&self, tags: &[String]) -> bool {
        let named = |names: &BTreeSet<String>| tags.iter().any(|tag| names.contains(tag));
        (self.any_of.is_empty() || named(&self.any_of)) && !named(&self.none_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::parse::parse;

    fn told(tags: &str) -> Result<Vec<String>, Vec<String>> {
        let mut problems = Problems::default();
        let spec = parse(format!("fuzz: 1\ntags: {tags}\ntimeline: []\n").as_bytes(), &mut problems);
        let told = |problem: &crate::yaml::document::Problem| {
            format!("{}: {}", problem.span.map_or_else(String::new, |span| span.to_string()), problem.message)
        };
        spec.map(|spec| spec.tags).ok_or_else(|| problems.list.iter().map(told).collect())
    }

    #[test]
    fn tags_are_words_and_each_bad_one_is_told_where_it_stands() {
        assert_eq!(told("[membership, slow]"), Ok(vec!["membership".into(), "slow".into()]));
        assert_eq!(told("slow"), Ok(vec!["slow".into()]));
        assert_eq!(told("[]"), Ok(vec![]));
        assert_eq!(told(""), Ok(vec![]));
        let bad = told("[Slow, a b, ok, ok, 7, \"\", [x]]").unwrap_err();
        assert_eq!(bad.len(), 6, "{bad:#?}");
        for (said, wanted) in bad.iter().zip([
            "2:8: tags[0]: `Slow` does not begin with a lower-case letter",
            "2:14: tags[1]: `a b` has ' ' in it",
            "2:23: tags[3]: `ok` stands here twice",
            "2:27: tags[4]: `7` does not begin",
            "2:30: tags[5]: is empty",
            "2:34: tags[6]: expected a tag, got a list",
        ]) {
            assert!(said.starts_with(wanted), "{said} is not {wanted}");
        }
        assert!(told("{a: b}").unwrap_err()[0].contains("expected a list of tags, got a mapping"));
        let many: Vec<String> = (0..=TAGS_MAX).map(|n| format!("t{n}")).collect();
        assert!(told(&format!("[{}]", many.join(", "))).unwrap_err()[0].contains("21 of them, at most 20"));
        assert!(told(&"a".repeat(LETTERS_MAX)).is_ok());
        assert!(told(&"a".repeat(LETTERS_MAX + 1)).unwrap_err()[0].contains("41 letters, at most 40"));
    }

    #[test]
    fn a_tag_that_is_not_wanted_weighs_more_than_one_that_is() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect::<BTreeSet<_>>();
        let tags: Vec<String> = vec!["slow".into(), "disk".into()];
        for (any_of, none_of, takes) in [
            (&[][..], &[][..], true),
            (&["disk", "links"], &[], true),
            (&["links"], &[], false),
            (&[], &["slow"], false),
            (&[], &["links"], true),
            (&["disk"], &["slow"], false),
        ] {
            let wanted = Wanted { any_of: set(any_of), none_of: set(none_of) };
            assert_eq!(wanted.takes(&tags), takes, "{wanted:?}");
            assert_eq!(wanted.takes(&[]), any_of.is_empty(), "{wanted:?}");
        }
    }
}
