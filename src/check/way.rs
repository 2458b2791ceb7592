//! The way in which a run failed: what two failures must have in common to be the same.

use super::{Judgement, Verdict};
use std::collections::BTreeSet;

/// A check and the kinds of what it saw: its lines of evidence without their particulars, or its reason where it has
/// no evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    pub check: String,
    pub kinds: BTreeSet<String>,
}

impl Way {
    /// Of a judgement that failed.
    pub fn of(judgement: &Judgement) -> Option<Self> {
        let kinds = if judgement.evidence.is_empty() {
            BTreeSet::from([kind(&judgement.reason)])
        } else {
            judgement.evidence.iter().map(|line| kind(line)).collect()
        };
        (judgement.verdict == Verdict::Fail).then(|| Self { check: judgement.check.clone(), kinds })
    }

    /// Whether one of these judgements is a failure of the same check that saw something of the same kind.
    pub fn is_in<'a>(&self, judgements: impl IntoIterator<Item = &'a Judgement>) -> bool {
        let mut ways = judgements.into_iter().filter_map(Self::of);
        ways.any(|way| way.check == self.check && !way.kinds.is_disjoint(&self.kinds))
    }
}

/// A sentence without its particulars: words with a digit in them (nodes, keys, counts, times) and what stands in
/// quotes are all alike, however many follow one another.
pub fn kind(sentence: &str) -> String {
    let mut out = String::new();
    // Every second part stands between backticks or quotes.
    for (place, part) in sentence.split(['`', '"']).enumerate() {
        for word in part.split_whitespace() {
            let particular = place % 2 == 1 || word.contains(|sign: char| sign.is_ascii_digit());
            let word = if particular { "#" } else { word };
            if word == "#" && (out == "#" || out.ends_with(" #")) {
                continue;
            }
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(word);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn particulars_make_no_kind() {
        let one =
            "set r:{3} c0-747 acknowledged by node-1 at 15.041s is lost, the key holds `c1-666`: a majority";
        let other =
            "set r:{9} c1-2 acknowledged by node-4 at 2s is lost, the key holds `c0 and more`: a majority";
        assert_eq!(kind(one), kind(other));
        assert_eq!(kind("slots 1, 3, 7-9 have no owner"), "slots # have no owner");
        assert_ne!(kind("slots 1 have no owner"), kind("slots 1 have two owners"));
        assert_eq!(kind(""), "");
    }

    #[test]
    fn a_failure_is_the_same_by_its_check_and_one_kind() {
        let judged = |check: &str, verdict, evidence: &[&str]| {
            let evidence = evidence.iter().map(ToString::to_string).collect();
            Judgement::new(check, verdict, "2 differences").with_evidence(evidence)
        };
        let first =
            judged("topology", Verdict::Fail, &["node-1 has no primary", "shard 3 has two primaries"]);
        let way = Way::of(&first).expect("it failed");
        assert!(way.is_in([&judged("topology", Verdict::Fail, &["node-7 has no primary"])]));
        assert!(!way.is_in([&judged("topology", Verdict::Fail, &["shard 3 is empty"])]));
        assert!(!way.is_in([&judged("quorum", Verdict::Fail, &["node-7 has no primary"])]));
        assert!(!way.is_in([&judged("topology", Verdict::Unknown, &["node-7 has no primary"])]));
        assert_eq!(Way::of(&judged("topology", Verdict::Pass, &[])), None);
        let bare = judged("crash", Verdict::Fail, &[]);
        assert!(Way::of(&bare).expect("it failed").is_in([&bare]), "by its reason");
    }
}
