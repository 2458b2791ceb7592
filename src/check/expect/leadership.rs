//! `leadership`: who leads and who follows, by the members' own word, in a time that the scenario names.
//!
//! All is read from the views: who says that it leads, in which term (or epoch), and how far each has applied the log.
//! A view is a look at all members within half a second, kept at every change and about once a second, so that what
//! lasted for less is not seen. That there are never two leaders in one term is another check's claim.

use super::super::{Check, Judgement};
use super::window::applied;
use super::{Expected, Met, Window, judged};
use crate::env::NodeId;
use crate::run::record::Record;
use crate::run::view::ClusterView;
use crate::time::{Micros, Millis};
use crate::timeline::Role;
use std::collections::BTreeSet;

crate::word! {
    /// What becomes of the term.
    pub enum Term { Kept = "kept", Raised = "raised" }
}

super::expectation! {
    "expectations of who leads"
    pub struct OfLeadership {
        /// whether these nodes led when the events struck
        pub led: bool,
        /// from the beginning to a leader of a higher term among these nodes, at most
        pub new_leader_within: Millis,
        /// so long after the beginning none of these nodes says that it leads
        pub no_leader_after: Millis,
        /// from the beginning until all members answer and name one leader of one term, at most
        pub one_leader_within: Millis,
        /// from the beginning until these nodes say that they follow a leader, at most
        pub follows_within: Millis,
        /// from the beginning until these nodes have applied all that any member had applied before it, at most
        pub caught_up_within: Millis,
        /// whether the highest term stays as it was, or rises
        pub term: Term
    }
}

crate::record! {
    pub struct Leadership {
        /// what is expected, each of a time: `{from: EVENT, of: others, new_leader_within: 10s}`
        pub expect: Expected<OfLeadership> = Expected(Vec::new()),
    }
}

impl Leadership {
    pub const NAME: &'static str = "leadership";
}

/// The views of the run and of its end, in order.
fn views(record: &Record) -> impl Iterator<Item = &ClusterView> {
    record.views.iter().chain(record.last.iter().map(|last| &last.view))
}

/// The highest term that any of these views speaks of.
fn term<'a>(views: impl Iterator<Item = &'a ClusterView>) -> Option<u64> {
    views.flat_map(ClusterView::answered).map(|(_, report)| report.current_epoch).max()
}

fn leaders(view: &ClusterView) -> Vec<(NodeId, u64)> {
    let leads = view.answered().filter(|(_, report)| report.replication.role == Role::Primary);
    leads.map(|(node, report)| (node, report.current_epoch)).collect()
}

/// The first view from a moment on of which something holds, against a bound.
fn reached(record: &Record, from: Micros, bound: Millis, holds: impl Fn(&ClusterView) -> bool) -> Met {
    let mut seen = 0;
    for view in views(record).filter(|view| view.at >= from) {
        seen += 1;
        let after = view.at.since(from).millis();
        if holds(view) {
            return if after <= bound {
                Met::Yes(format!("after {after}"))
            } else {
                Met::No(format!("only after {after}"))
            };
        }
        if after > bound {
            return Met::No(format!("not in {seen} views up to {after} later"));
        }
    }
    Met::Unclear(format!("not in {seen} views, and the run ended before"))
}

impl OfLeadership {
    fn judge(&self, record: &Record, out: &mut Vec<(String, Met)>) {
        let window = match self.window(record) {
            Ok(window) => window,
            Err(why) => {
                out.push(("leadership".into(), Met::Unclear(why)));
                return;
            }
        };
        let inside: Vec<&ClusterView> = views(record).filter(|view| window.holds(view.at)).collect();
        let before = || views(record).filter(|view| view.at <= window.began);
        for (who, nodes) in window.groups(record, self.of) {
            let mut claim =
                |what: String, met: Met| out.push((format!("{}, {who}: {what}", window.told), met));
            if let Some(expected) = self.led {
                let what =
                    if expected { "led when it was struck" } else { "did not lead when it was struck" };
                claim(what.into(), self.led_before(record, &nodes, expected));
            }
            if let Some(bound) = self.new_leader_within {
                let old = term(before()).unwrap_or(0);
                let new = |view: &ClusterView| {
                    leaders(view).iter().any(|(node, term)| nodes.contains(node) && *term > old)
                };
                claim(
                    format!("leads in a term higher than {old} within {bound}"),
                    reached(record, window.from, bound, new),
                );
            }
            if let Some(bound) = self.no_leader_after {
                claim(
                    format!("says after {bound} no more that it leads"),
                    nobody(record, &window, &inside, &nodes, bound),
                );
            }
            if let Some(bound) = self.one_leader_within {
                let members: BTreeSet<NodeId> = record.lives.iter().map(|life| life.node).collect();
                let one = |view: &ClusterView| {
                    let terms: BTreeSet<u64> =
                        view.answered().map(|(_, report)| report.current_epoch).collect();
                    leaders(view).len() == 1 && terms.len() == 1 && view.answered().count() >= members.len()
                };
                claim(
                    format!("one leader in one term within {bound}"),
                    reached(record, window.from, bound, one),
                );
            }
            if let Some(bound) = self.follows_within {
                let follow = |view: &ClusterView| {
                    nodes.iter().all(|node| {
                        view.report(*node).is_some_and(|report| {
                            report.replication.role == Role::Replica && report.replication.link_up
                        })
                    })
                };
                claim(
                    format!("follows a leader within {bound}"),
                    reached(record, window.from, bound, follow),
                );
            }
            if let Some(bound) = self.caught_up_within {
                claim(format!("has applied all within {bound}"), caught_up(record, &window, &nodes, bound));
            }
            if let Some(wanted) = self.term {
                let (old, new) = (term(before()), term(inside.iter().copied()));
                let met = match (old, new) {
                    (Some(old), Some(new)) => {
                        let seen = format!("it was {old} and came to {new} in {} views", inside.len());
                        let is = if new > old { Term::Raised } else { Term::Kept };
                        if is == wanted { Met::Yes(seen) } else { Met::No(seen) }
                    }
                    _ => Met::Unclear("no view tells a term".into()),
                };
                claim(format!("the term is {wanted}"), met);
            }
        }
    }

    /// By the last view before each event of those that begin the time.
    fn led_before(&self, record: &Record, nodes: &BTreeSet<NodeId>, expected: bool) -> Met {
        let events = [&self.during, &self.from, &self.after, &self.before];
        let Some(event) = events.into_iter().flatten().next() else {
            return Met::Unclear("no event is named".into());
        };
        let Ok(struck) = applied(record, event) else {
            return Met::Unclear(format!("{event} did not happen"));
        };
        let mut before =
            record.views.iter().filter(|view| view.at < struck.started && view.answered().next().is_some());
        let last = before.next_back();
        let Some(view) = last else { return Met::Unclear(format!("no view before {event}")) };
        let leaders = leaders(view);
        let led = leaders.iter().any(|(node, _)| nodes.contains(node));
        let told: Vec<String> = leaders.iter().map(|(node, term)| format!("{node} in term {term}")).collect();
        let seen = format!(
            "at {} the leader was {}",
            view.at,
            if told.is_empty() { "nobody".into() } else { told.join(", ") }
        );
        match led == expected {
            _ if leaders.is_empty() => Met::Unclear(seen),
            true => Met::Yes(seen),
            false => Met::No(seen),
        }
    }
}

fn nobody(
    record: &Record,
    window: &Window,
    inside: &[&ClusterView],
    nodes: &BTreeSet<NodeId>,
    bound: Millis,
) -> Met {
    let from = window.from.plus(bound);
    let late: Vec<&&ClusterView> = inside.iter().filter(|view| view.at >= from).collect();
    let answers =
        late.iter().flat_map(|view| view.answered()).filter(|(node, _)| nodes.contains(node)).count();
    for view in &late {
        if let Some((node, term)) = leaders(view).into_iter().find(|(node, _)| nodes.contains(node)) {
            return Met::No(format!("{node} leads in term {term} at {}", record.when(view.at)));
        }
    }
    if answers == 0 {
        return Met::Unclear(format!("none of them answered a look after {bound}"));
    }
    Met::Yes(format!("{answers} answers in {} views", late.len()))
}

/// Each node's applied index in a view reaches the highest that any told before the time began.
fn caught_up(record: &Record, window: &Window, nodes: &BTreeSet<NodeId>, bound: Millis) -> Met {
    let told = |view: &ClusterView| view.answered().map(|(_, report)| report.replication.offset).max();
    let Some(all) = views(record).filter(|view| view.at <= window.from).filter_map(told).max() else {
        return Met::Unclear("no view before it".into());
    };
    let reaches = |view: &ClusterView| {
        nodes.iter().all(|node| view.report(*node).is_some_and(|report| report.replication.offset >= all))
    };
    match reached(record, window.from, bound, reaches) {
        Met::Yes(seen) => Met::Yes(format!("index {all} {seen}")),
        Met::No(seen) => Met::No(format!("index {all} {seen}")),
        Met::Unclear(why) => Met::Unclear(why),
    }
}

impl Check for Leadership {
    fn claim(&self) -> &'static str {
        "who leads and who follows is what the scenario expects, in time"
    }
    fn source(&self) -> &'static str {
        "the scenario; Ongaro, \"Consensus: Bridging Theory and Practice\", 2014, 3.4 (elections) and 6.2 (a leader without a quorum steps down)"
    }

    fn judge(&self, record: &Record) -> Judgement {
        let mut claims = Vec::new();
        self.expect.0.iter().for_each(|one| one.judge(record, &mut claims));
        judged(Self::NAME, record, &claims)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Verdict;
    use super::super::super::testing::Scene;
    use super::super::window::Of;
    use super::*;

    fn nothing() -> OfLeadership {
        OfLeadership {
            before: Vec::new(),
            during: Vec::new(),
            after: Vec::new(),
            from: Vec::new(),
            until: Vec::new(),
            of: Of::All,
            led: None,
            new_leader_within: None,
            no_leader_after: None,
            one_leader_within: None,
            follows_within: None,
            caught_up_within: None,
            term: None,
        }
    }

    fn verdict(scene: &Scene, one: OfLeadership) -> Verdict {
        Leadership { expect: Expected(vec![one]) }.judge(&scene.record).verdict
    }

    fn named() -> Vec<String> {
        vec!["death".into()]
    }

    /// The leader is killed at 11 s and comes back at 15 s; another leads from 13 s on.
    fn scene() -> Scene {
        let mut scene = Scene::new(1, 2).target("etcd").healthy();
        scene.kill("death", 0, 11_000, Some(15_000));
        scene.run_until(12_000);
        scene.promote(1, 0);
        scene.run_until(20_000);
        scene.settle();
        scene
    }

    #[test]
    fn a_new_leader_has_a_bound_and_a_higher_term() {
        let expected =
            |ms, of| OfLeadership { from: named(), of, new_leader_within: Some(Millis(ms)), ..nothing() };
        assert_eq!(verdict(&scene(), expected(2000, Of::Others)), Verdict::Pass);
        assert_eq!(verdict(&scene(), expected(1000, Of::Others)), Verdict::Fail);
        assert_eq!(verdict(&scene(), expected(2000, Of::Struck)), Verdict::Fail);
        let mut same_term = scene();
        for view in &mut same_term.record.views {
            view.nodes
                .iter_mut()
                .filter_map(|node| node.report.as_mut().ok())
                .for_each(|report| report.current_epoch = 1);
        }
        assert_eq!(verdict(&same_term, expected(2000, Of::Others)), Verdict::Fail);
    }

    #[test]
    fn who_led_is_told_by_the_view_before() {
        let led = |led| OfLeadership { from: named(), of: Of::Struck, led: Some(led), ..nothing() };
        assert_eq!(verdict(&scene(), led(true)), Verdict::Pass);
        assert_eq!(verdict(&scene(), led(false)), Verdict::Fail);
    }

    #[test]
    fn a_leader_that_stays_one_without_a_quorum_fails() {
        let mut scene = Scene::new(1, 2).target("etcd").healthy();
        scene.apply("death", "cut: {node: node-0}", 11_000, Some(18_000), &[0]);
        scene.run_until(20_000);
        scene.settle();
        let none = || OfLeadership { during: named(), no_leader_after: Some(Millis(3000)), ..nothing() };
        assert_eq!(verdict(&scene, none()), Verdict::Fail);
        for view in scene.record.views.iter_mut().filter(|view| view.at.0 >= 14_000_000) {
            for report in view.nodes.iter_mut().filter_map(|node| node.report.as_mut().ok()) {
                report.replication.role = Role::Replica;
            }
        }
        assert_eq!(verdict(&scene, none()), Verdict::Pass);
        for node in scene.record.views.iter_mut().flat_map(|view| &mut view.nodes) {
            node.report = Err("no answer".into());
        }
        assert_eq!(verdict(&scene, none()), Verdict::Unknown, "nobody said anything");
    }

    #[test]
    fn who_comes_back_follows_and_has_all_in_time() {
        let follows = |ms| OfLeadership {
            after: named(),
            of: Of::Struck,
            follows_within: Some(Millis(ms)),
            caught_up_within: Some(Millis(ms)),
            one_leader_within: Some(Millis(ms)),
            ..nothing()
        };
        assert_eq!(verdict(&scene(), follows(1000)), Verdict::Pass);
        let mut behind = scene();
        for view in behind.record.views.iter_mut().filter(|view| view.at.0 >= 15_000_000) {
            view.nodes[0].report.as_mut().expect("it answers").replication.offset = 999;
        }
        assert_eq!(verdict(&behind, follows(1000)), Verdict::Fail);
        let mut leads = scene();
        for view in leads.record.views.iter_mut().filter(|view| view.at.0 >= 15_000_000) {
            view.nodes[0].report.as_mut().expect("it answers").replication.role = Role::Primary;
        }
        assert_eq!(verdict(&leads, follows(1000)), Verdict::Fail);
        assert_eq!(
            verdict(&scene(), OfLeadership { after: vec!["other".into()], ..follows(1000) }),
            Verdict::Unknown
        );
    }

    #[test]
    fn the_term_is_kept_or_it_is_not() {
        let term = |term| OfLeadership { during: named(), term: Some(term), ..nothing() };
        assert_eq!(verdict(&scene(), term(Term::Raised)), Verdict::Pass);
        assert_eq!(verdict(&scene(), term(Term::Kept)), Verdict::Fail);
    }
}
