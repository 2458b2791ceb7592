//! `one_leader`: a term has one leader, and no node's term goes back.
//!
//! A server's log says who became leader in which term, to the letter. A view says it too, but its term and its leader are
//! read one after the other (etcd: `Status` in `etcdserver/api/v3rpc/maintenance.go`), so that what is said once may be the
//! old leader with the new term: it counts once two views in a row say so.

use super::{Check, Judgement, Verdict};
use crate::env::NodeId;
use crate::run::record::Record;
use crate::timeline::Role;
use std::collections::{BTreeMap, BTreeSet};

crate::record! {
    pub struct OneLeader {
    }
}

impl OneLeader {
    pub const NAME: &'static str = "one_leader";
}

/// The term of a line such as `8f9d70db0a6c2a3a became leader at term 4`.
fn elected(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("became leader at term ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Who led in which term, by every word of it that counts.
fn leaders(record: &Record) -> BTreeMap<u64, BTreeSet<NodeId>> {
    let mut leaders: BTreeMap<u64, BTreeSet<NodeId>> = BTreeMap::new();
    for line in &record.log_lines {
        if let Some(term) = elected(&line.line) {
            leaders.entry(term).or_default().insert(line.node);
        }
    }
    let mut before: BTreeSet<(NodeId, u64)> = BTreeSet::new();
    for view in record.views.iter().chain(record.last.iter().map(|last| &last.view)) {
        let claims: BTreeSet<(NodeId, u64)> = view
            .answered()
            .filter(|(_, report)| report.replication.role == Role::Primary)
            .map(|(node, report)| (node, report.current_epoch))
            .collect();
        for (node, term) in claims.intersection(&before) {
            leaders.entry(*term).or_default().insert(*node);
        }
        before = claims;
    }
    leaders
}

/// Nodes whose term went back though they had kept what they wrote.
fn back(record: &Record) -> Vec<String> {
    let mut odd = Vec::new();
    let mut latest: BTreeMap<NodeId, u64> = BTreeMap::new();
    let stale: BTreeSet<NodeId> =
        record.lives.iter().filter(|life| life.stale.is_some()).map(|life| life.node).collect();
    for view in record.views.iter().chain(record.last.iter().map(|last| &last.view)) {
        for (node, report) in view.answered().filter(|(node, _)| !stale.contains(node)) {
            let term = report.current_epoch;
            let last = latest.entry(node).or_insert(term);
            if term < *last {
                odd.push(format!(
                    "{node} was in term {last} and is in term {term} at {}",
                    record.when(view.at)
                ));
            }
            *last = term.max(*last);
        }
    }
    odd
}

impl Check for OneLeader {
    fn claim(&self) -> &'static str {
        "a term has at most one leader, and the term of a node never goes back"
    }
    fn source(&self) -> &'static str {
        "Ongaro and Ousterhout, 'In Search of an Understandable Consensus Algorithm' (2014), figure 3, 'Election Safety'"
    }

    fn judge(&self, record: &Record) -> Judgement {
        let leaders = leaders(record);
        if leaders.is_empty() {
            return Judgement::new(Self::NAME, Verdict::Unknown, "nothing observed: nobody was seen to lead");
        }
        let looked_at = format!("{} terms with a leader, {} views", leaders.len(), record.views.len());
        let twice = leaders.iter().filter(|(_, nodes)| nodes.len() > 1);
        let mut odd: Vec<String> = twice
            .map(|(term, nodes)| {
                let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
                format!("term {term} had the leaders {}", nodes.join(" and "))
            })
            .collect();
        odd.extend(back(record));
        let (verdict, reason) = match odd.len() {
            0 => (Verdict::Pass, "every term had one leader".to_string()),
            count => (Verdict::Fail, format!("{count} time(s) a term was not one leader's")),
        };
        Judgement::new(Self::NAME, verdict, reason).looked_at(looked_at).with_evidence(odd)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Scene;
    use super::*;

    fn judge(scene: &Scene) -> Judgement {
        OneLeader {}.judge(&scene.record)
    }

    #[test]
    fn a_term_with_two_leaders_fails() {
        let mut scene = Scene::new(1, 2).target("etcd").healthy();
        scene.log(0, 1000, "raft2026/11/22 INFO: 19e7b76a8768a98 became leader at term 4");
        assert_eq!(judge(&scene).verdict, Verdict::Pass, "{:?}", judge(&scene));
        scene.log(2, 9000, "{\"msg\":\"59fc7fc799b2014e became leader at term 4\"}");
        let judgement = judge(&scene);
        assert_eq!(judgement.verdict, Verdict::Fail);
        assert!(judgement.evidence[0].contains("term 4 had the leaders node-0 and node-2"), "{judgement:?}");
    }

    #[test]
    fn a_term_that_goes_back_fails_unless_the_node_forgot() {
        let mut scene = Scene::new(1, 2).target("etcd").healthy();
        let last = scene.record.views.len() - 1;
        scene.report(0, 1).current_epoch = 9;
        scene.report(last, 1).current_epoch = 3;
        let judgement = judge(&scene);
        assert!(judgement.evidence.iter().any(|line| line.contains("node-1 was in term 9")), "{judgement:?}");
        scene.life(1).stale = Some("older".into());
        assert_eq!(judge(&scene).verdict, Verdict::Pass);
    }

    #[test]
    fn one_view_alone_proves_no_leader() {
        let mut scene = Scene::new(1, 2).target("etcd").healthy();
        let epoch = scene.report(1, 0).current_epoch;
        let claim = |scene: &mut Scene, view: usize| {
            let report = scene.report(view, 1);
            (report.replication.role, report.current_epoch) = (Role::Primary, epoch);
        };
        claim(&mut scene, 1);
        assert_eq!(
            judge(&scene).verdict,
            Verdict::Pass,
            "its term and its leader are read one after the other"
        );
        claim(&mut scene, 2);
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
    }
}
