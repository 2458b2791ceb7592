//! `service`: which writes the cluster acknowledged in a time that the scenario names, and how fast.
//!
//! A write belongs to a time when it began and ended in it; it counts for the node that was asked. A node that nobody
//! asked has acknowledged nothing, and has shown nothing either: that is unknown. A rise of the median is counted
//! against the time before the events, for the same nodes.

use super::super::{Check, Judgement};
use super::{Expected, Met, Window, judged};
use crate::env::NodeId;
use crate::history::{Operation, Outcome};
use crate::run::record::Record;
use crate::run::view::ClusterView;
use crate::time::{Micros, Millis};
use crate::timeline::Role;
use std::collections::BTreeSet;

super::expectation! {
    "expectations of what is acknowledged"
    pub struct OfService {
        /// writes acknowledged, at least
        pub least: u32,
        /// writes acknowledged, at most
        pub most: u32,
        /// from the beginning of the time to the first acknowledged write, at most
        pub first_within: Millis,
        /// the longest time without an acknowledged write, at most
        pub gap_most: Millis,
        /// every write that begins so long after the beginning is acknowledged
        pub all_after: Millis,
        /// how much the median latency of acknowledged writes rises, at most
        pub slower_most: Millis,
        /// how much it rises, at least
        pub slower_least: Millis,
        /// a write is not acknowledged only where its node was away or the leader changed, neither for longer than this
        pub errors_within: Millis
    }
}

crate::record! {
    pub struct Service {
        /// what is expected, each of a time: `{during: EVENT, of: struck, most: 0}`
        pub expect: Expected<OfService> = Expected(Vec::new()),
    }
}

impl Service {
    pub const NAME: &'static str = "service";
}

/// What clients wrote in a time.
struct Writes<'a> {
    /// Began and ended in it.
    inside: Vec<&'a Operation>,
    /// Began in it.
    tried: usize,
}

impl<'a> Writes<'a> {
    fn of(record: &'a Record, window: &Window, nodes: &BTreeSet<NodeId>) -> Self {
        let asked = |operation: &&Operation| operation.node.is_some_and(|node| nodes.contains(&node));
        let began = record.history.iter().filter(|operation| {
            operation.kind.writes()
                && window.from <= operation.invoke.logical
                && operation.invoke.logical < window.to
        });
        let began: Vec<&Operation> = began.filter(asked).collect();
        let tried = began.len();
        let inside = began.into_iter().filter(|operation| operation.complete.logical <= window.to).collect();
        Self { inside, tried }
    }
    fn acknowledged(&self) -> impl Iterator<Item = &'a Operation> {
        self.inside.iter().copied().filter(|operation| operation.ok())
    }
}

fn told(operation: &Operation) -> String {
    let node = operation.node.map_or_else(|| "nobody".into(), |node| node.to_string());
    let why = match &operation.outcome {
        Outcome::Ok(_) => "acknowledged".to_string(),
        Outcome::Fail(why) => format!("refused: {why}"),
        Outcome::Unknown(why) => format!("unknown: {why}"),
    };
    format!(
        "{} {} by client {} through {node} from {} to {}, {why}",
        operation.kind, operation.key, operation.client, operation.invoke.logical, operation.complete.logical
    )
}

/// The middle one; of an even number the lower.
fn median(mut times: Vec<u64>) -> Option<Micros> {
    times.sort_unstable();
    times.get(times.len().checked_sub(1)? / 2).map(|time| Micros(*time))
}

fn latencies<'a>(writes: impl Iterator<Item = &'a Operation>) -> Vec<u64> {
    writes.map(|operation| operation.complete.logical.since(operation.invoke.logical).0).collect()
}

fn within_bound(met: bool, seen: String) -> Met {
    if met { Met::Yes(seen) } else { Met::No(seen) }
}

/// The longest time of a window in which no write was acknowledged, and when it began.
fn longest_gap(window: &Window, writes: &Writes<'_>) -> (Micros, Micros) {
    let mut moments: Vec<Micros> =
        writes.acknowledged().map(|operation| operation.complete.logical).collect();
    moments.push(window.to);
    moments.sort();
    let (mut from, mut longest) = (window.from, (Micros(0), window.from));
    for at in moments {
        longest = longest.max((at.since(from), from));
        from = at;
    }
    longest
}

/// How much the median rose over that of the time before.
fn rise(
    record: &Record,
    window: &Window,
    nodes: &BTreeSet<NodeId>,
    writes: &Writes<'_>,
) -> Result<(i64, String), String> {
    let earlier = Window { from: record.healthy_at, to: window.began, ..window.clone() };
    let before = median(latencies(Writes::of(record, &earlier, nodes).acknowledged()));
    let then = median(latencies(writes.acknowledged()));
    let (Some(before), Some(then)) = (before, then) else {
        return Err("no write was acknowledged, before it or in it".into());
    };
    let rise = then.0 as i64 - before.0 as i64;
    let tenths = |us: u64| format!("{}.{}ms", us / 1000, us / 100 % 10);
    Ok((rise, format!("the median went from {} to {}", tenths(before.0), tenths(then.0))))
}

/// The times in which the views knew no leader or changed it: from the last view of the one before to the first of
/// the one after.
fn changes_of_leader(record: &Record) -> Vec<(Micros, Micros)> {
    let led = record.views.iter().map(|view| {
        let leaders = view.answered().filter(|(_, report)| report.replication.role == Role::Primary);
        let newest = leaders.max_by_key(|(_, report)| report.current_epoch);
        (view.at, newest.map(|(node, report)| (node, report.current_epoch)))
    });
    let mut changes = Vec::new();
    let mut last: Option<(Micros, Option<(NodeId, u64)>)> = None;
    let mut since: Option<Micros> = None;
    for (at, leader) in led {
        if let Some((before, known)) = last
            && known != leader
        {
            since.get_or_insert(before);
        }
        if leader.is_some()
            && let Some(from) = since.take()
        {
            changes.push((from, at));
        }
        last = Some((at, leader));
    }
    changes.extend(since.map(|from| (from, Micros::MAX)));
    changes
}

/// The times in which a node was not there.
fn away(record: &Record, node: NodeId) -> Vec<(Micros, Micros)> {
    let lives: Vec<_> = record.lives.iter().filter(|life| life.node == node).collect();
    let gaps = lives.iter().enumerate().filter_map(|(place, life)| {
        let (ended, _) = life.ended?;
        // From its signal on it takes leave: what it is asked then may come to nothing.
        let signalled = record.applied.iter().filter(|one| {
            one.started <= ended && life.signalled.iter().any(|(event, _)| *event == one.event)
        });
        let from = signalled.map(|one| one.started).max().unwrap_or(ended);
        Some((from, lives.get(place + 1).map_or(Micros::MAX, |next| next.started)))
    });
    gaps.collect()
}

/// How long a node that was started takes until it serves, and how long at most where it says later that it does: a Java machine
/// on a busy computer.
const SERVES_AFTER: Millis = Millis(3000);
const SERVES_AT_LAST: Millis = Millis(10_000);

/// When a node that began at a moment serves.
fn serves(record: &Record, node: NodeId, began: Micros) -> Micros {
    let says = |view: &&ClusterView| {
        view.at >= began && view.report(node).is_some_and(|report| report.state == "ok")
    };
    let at = record.views.iter().find(says).map_or(Micros(0), |view| view.at);
    at.max(began.plus(SERVES_AFTER)).min(began.plus(SERVES_AT_LAST))
}

fn errors(record: &Record, writes: &Writes<'_>, bound: Millis) -> Met {
    let changes = changes_of_leader(record);
    let too_long = changes.iter().find(|(from, to)| to.since(*from) > bound.micros());
    if let Some((from, to)) = too_long {
        let until = if *to == Micros::MAX { "the end".into() } else { to.to_string() };
        return Met::No(format!("no leader was known from {from} to {until}"));
    }
    let errors: Vec<&Operation> = writes.inside.iter().copied().filter(|operation| !operation.ok()).collect();
    let excused = |operation: &Operation| {
        let (began, ended) = (operation.invoke.logical, operation.complete.logical);
        let away = operation.node.into_iter().flat_map(|node| {
            let away = away(record, node).into_iter();
            away.map(move |(from, to)| (from, if to == Micros::MAX { to } else { serves(record, node, to) }))
        });
        changes.iter().copied().chain(away).any(|(from, to)| began <= to && from <= ended)
    };
    match errors.iter().find(|operation| !excused(operation)) {
        Some(operation) => Met::No(told(operation)),
        None => Met::Yes(format!(
            "{} of {} writes, {} changes of leader",
            errors.len(),
            writes.inside.len(),
            changes.len()
        )),
    }
}

impl OfService {
    fn judge(&self, record: &Record, out: &mut Vec<(String, Met)>) {
        let window = match self.window(record) {
            Ok(window) => window,
            Err(why) => {
                out.push(("service".into(), Met::Unclear(why)));
                return;
            }
        };
        for (who, nodes) in window.groups(record, self.of) {
            let writes = Writes::of(record, &window, &nodes);
            let at = &window.told;
            let count = writes.acknowledged().count();
            let asked = |met: Met| {
                if writes.tried == 0 { Met::Unclear(format!("nobody asked {who}")) } else { met }
            };
            let mut claim = |what: String, met: Met| out.push((format!("{at}, {who} {what}"), met));
            let seen = format!("{count} of {} writes were acknowledged", writes.tried);
            if let Some(least) = self.least {
                claim(
                    format!("acknowledges at least {least} writes"),
                    asked(within_bound(count >= least as usize, seen.clone())),
                );
            }
            if let Some(most) = self.most {
                let what = if most == 0 {
                    "acknowledges nothing".into()
                } else {
                    format!("acknowledges at most {most} writes")
                };
                let first = writes
                    .acknowledged()
                    .next()
                    .map_or(String::new(), |one| format!(", such as {}", told(one)));
                claim(what, asked(within_bound(count <= most as usize, format!("{seen}{first}"))));
            }
            if let Some(bound) = self.first_within {
                let first = writes.acknowledged().map(|one| one.complete.logical).min();
                let met = match first {
                    Some(first) => {
                        let after = first.since(window.from).millis();
                        within_bound(after <= bound, format!("the first after {after}"))
                    }
                    None if window.to.since(window.from) < bound.micros() => {
                        Met::Unclear(format!("{seen}, in less time than that"))
                    }
                    None => Met::No(seen.clone()),
                };
                claim(format!("acknowledges a write within {bound}"), asked(met));
            }
            if let Some(bound) = self.gap_most {
                let (longest, since) = longest_gap(&window, &writes);
                let gap = longest.millis();
                claim(
                    format!("acknowledges a write every {bound}"),
                    asked(within_bound(gap <= bound, format!("none for {gap} from {}", record.when(since)))),
                );
            }
            if let Some(bound) = self.all_after {
                let from = window.from.plus(bound);
                let late: Vec<&Operation> =
                    writes.inside.iter().copied().filter(|one| one.invoke.logical >= from).collect();
                let met = match late.iter().find(|operation| !operation.ok()) {
                    _ if late.is_empty() => Met::Unclear(format!("nobody asked {who} after {bound}")),
                    Some(operation) => Met::No(told(operation)),
                    None => Met::Yes(format!("all {}", late.len())),
                };
                claim(format!("acknowledges every write after {bound}"), met);
            }
            for (bound, most) in [(self.slower_most, true), (self.slower_least, false)] {
                let Some(bound) = bound else { continue };
                let limit = bound.micros().0 as i64;
                let met = match rise(record, &window, &nodes, &writes) {
                    Ok((rise, seen)) => within_bound(if most { rise <= limit } else { rise >= limit }, seen),
                    Err(why) => Met::Unclear(why),
                };
                claim(format!("is slower by {} {bound}", if most { "at most" } else { "at least" }), met);
            }
            if let Some(bound) = self.errors_within {
                let what = format!("fails only around stops and changes of leader of at most {bound}");
                claim(what, asked(errors(record, &writes, bound)));
            }
        }
    }
}

impl Check for Service {
    fn claim(&self) -> &'static str {
        "the cluster acknowledges writes when the scenario expects it to, and none when it must not"
    }
    fn source(&self) -> &'static str {
        "the scenario; Ongaro, \"Consensus: Bridging Theory and Practice\", 2014, 3.6 and 8: what a majority acknowledges, and only that"
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
    use super::super::super::testing::{Scene, ms};
    use super::super::window::Of;
    use super::*;
    use crate::history::OpKind;

    /// Three nodes, of which one is cut off from 6 to 9 s; all are written to every 100 ms, and the one refuses.
    fn scene() -> Scene {
        let mut scene = Scene::new(1, 2).target("etcd").healthy();
        scene.record.history.clear();
        scene.apply("cut", "cut: {node: node-0}", 6000, Some(9000), &[0]);
        for at in (5000..10_000).step_by(100) {
            for node in 0..3 {
                let refused = node == 0 && (6000..9000).contains(&at);
                let outcome = if refused {
                    Outcome::Unknown("no answer".into())
                } else {
                    Outcome::Ok(crate::history::Value::Missing)
                };
                let value = format!("{node}-{at}");
                scene.op(
                    node,
                    OpKind::Set,
                    "r:9",
                    Some(&value),
                    outcome,
                    at + 1 + u64::from(node),
                    at + 11 + u64::from(node),
                );
            }
        }
        scene
    }

    fn nothing() -> OfService {
        OfService {
            before: Vec::new(),
            during: vec!["cut".into()],
            after: Vec::new(),
            from: Vec::new(),
            until: Vec::new(),
            of: Of::All,
            least: None,
            most: None,
            first_within: None,
            gap_most: None,
            all_after: None,
            slower_most: None,
            slower_least: None,
            errors_within: None,
        }
    }

    fn verdict(scene: &Scene, one: OfService) -> Verdict {
        let judgement = Service { expect: Expected(vec![one]) }.judge(&scene.record);
        judgement.verdict
    }

    #[test]
    fn a_minority_acknowledges_nothing_and_one_write_of_it_fails() {
        let expected = || OfService { of: Of::Struck, most: Some(0), ..nothing() };
        let mut scene = scene();
        assert_eq!(verdict(&scene, expected()), Verdict::Pass);
        scene.set(0, "r:8", "x", 7000);
        assert_eq!(verdict(&scene, expected()), Verdict::Fail);
        scene.record.history.retain(|operation| operation.node != Some(NodeId(0)));
        assert_eq!(verdict(&scene, expected()), Verdict::Unknown, "nobody asked it");
    }

    #[test]
    fn a_majority_goes_on_within_the_bound() {
        let expected =
            |ms| OfService { of: Of::Others, first_within: Some(Millis(ms)), least: Some(20), ..nothing() };
        let mut scene = scene();
        assert_eq!(verdict(&scene, expected(1000)), Verdict::Pass);
        let silent = |operation: &Operation, until| {
            operation.ok() && (ms(6000)..ms(until)).contains(&operation.invoke.logical)
        };
        scene.record.history.retain(|operation| !silent(operation, 7500));
        assert_eq!(verdict(&scene, expected(1000)), Verdict::Fail);
        assert_eq!(verdict(&scene, expected(2000)), Verdict::Pass);
        scene.record.history.retain(|operation| !silent(operation, 9000));
        assert_eq!(verdict(&scene, expected(1000)), Verdict::Unknown, "nobody asked them any more");
    }

    #[test]
    fn too_few_writes_and_too_long_a_gap_fail() {
        let mut scene = scene();
        let gap = |ms| OfService { of: Of::Others, gap_most: Some(Millis(ms)), ..nothing() };
        assert_eq!(verdict(&scene, gap(200)), Verdict::Pass);
        assert_eq!(
            verdict(&scene, OfService { of: Of::Others, least: Some(61), ..nothing() }),
            Verdict::Fail
        );
        scene.record.history.retain(|operation| !(ms(7000)..ms(8000)).contains(&operation.invoke.logical));
        assert_eq!(verdict(&scene, gap(200)), Verdict::Fail);
        assert_eq!(verdict(&scene, gap(2000)), Verdict::Pass);
    }

    #[test]
    fn one_write_that_is_not_acknowledged_after_its_time_fails() {
        let mut scene = scene();
        let all = |of| OfService { of, all_after: Some(Millis(500)), ..nothing() };
        assert_eq!(verdict(&scene, all(Of::Others)), Verdict::Pass);
        assert_eq!(verdict(&scene, all(Of::All)), Verdict::Fail);
        scene.op(1, OpKind::Set, "r:9", Some("x"), Outcome::Fail("no leader".into()), 8500, 8501);
        assert_eq!(verdict(&scene, all(Of::Others)), Verdict::Fail);
    }

    #[test]
    fn the_median_is_compared_with_the_time_before() {
        let mut scene = scene();
        for operation in &mut scene.record.history {
            if (ms(6000)..ms(9000)).contains(&operation.invoke.logical) {
                operation.complete.logical.0 += 50_000;
            }
        }
        let rise = |most: Option<u64>, least: Option<u64>| OfService {
            of: Of::Others,
            slower_most: most.map(Millis),
            slower_least: least.map(Millis),
            ..nothing()
        };
        for (most, least, verdict_is) in [
            (Some(60), Some(40), Verdict::Pass),
            (Some(40), None, Verdict::Fail),
            (None, Some(60), Verdict::Fail),
        ] {
            assert_eq!(verdict(&scene, rise(most, least)), verdict_is, "{most:?} {least:?}");
        }
    }

    #[test]
    fn an_error_away_from_any_stop_fails() {
        let mut scene = Scene::new(1, 2).target("etcd").healthy();
        scene.kill("cut", 1, 7000, Some(8000));
        let expected = || OfService { during: Vec::new(), errors_within: Some(Millis(10_000)), ..nothing() };
        scene.op(1, OpKind::Set, "r:9", Some("x"), Outcome::Fail("refused".into()), 7500, 7501);
        assert_eq!(verdict(&scene, expected()), Verdict::Pass);
        scene.op(2, OpKind::Set, "r:9", Some("y"), Outcome::Fail("refused".into()), 7500, 7501);
        assert_eq!(verdict(&scene, expected()), Verdict::Fail);
    }

    #[test]
    fn a_node_that_takes_long_to_start_is_excused_until_it_says_that_it_serves() {
        let mut scene = Scene::new(1, 2).target("zookeeper").healthy();
        scene.kill("cut", 1, 7000, Some(8000));
        let expected = || OfService { during: Vec::new(), errors_within: Some(Millis(10_000)), ..nothing() };
        scene.run_until(20_000);
        scene.op(1, OpKind::Set, "r:9", Some("x"), Outcome::Fail("refused".into()), 11_500, 11_501);
        assert_eq!(verdict(&scene, expected()), Verdict::Fail, "its views say that it has served");
        for view in scene.record.views.iter_mut().filter(|view| view.at >= ms(8000) && view.at < ms(12_000)) {
            view.nodes[1].report = Err("connection refused".into());
        }
        assert_eq!(verdict(&scene, expected()), Verdict::Pass);
        scene.op(1, OpKind::Set, "r:9", Some("y"), Outcome::Fail("refused".into()), 18_500, 18_501);
        assert_eq!(verdict(&scene, expected()), Verdict::Fail, "not for ever");
    }
}
