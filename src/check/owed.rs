//! The one eligibility model: when a promotion is owed, by when, and when a cluster must have settled.
//!
//! It holds Valkey and Redis to what their sources promise (`cluster_legacy.c`: `clusterHandleSlaveFailover`,
//! `clusterUpdateState`; valkey.io/topics/cluster-spec, "Replica election and promotion"):
//!
//! - a replica is elected by a majority of the primaries *that own slots*, so with one or two nothing is owed;
//! - a replica may stand only if its link was up since its own start and has not been down for longer than
//!   ping period + node timeout x `cluster-replica-validity-factor` + node timeout; one that was restarted
//!   while its primary is down may never stand at a factor above 0;
//! - `cluster-replica-no-failover` forbids it.
//!
//! For the embedded target a promotion is owed while a majority of the shard's voters, one of its nodes, and a
//! majority of the slot map's voters are awake and connected.
//! Where the record cannot tell, the answer is [`Owed::Unclear`]; no check turns that into a failure.

use super::facts::{Facts, Outage, names};
use crate::catalogue::Action;
use crate::env::NodeId;
use crate::run::record::{Applied, Life, Record, Status};
use crate::run::view::NodeReport;
use crate::time::{Micros, Millis};
use crate::timeline::{Role, Timeline};
use std::collections::BTreeSet;

pub use super::facts::disruptive;

/// `repl-ping-replica-period`, 10 s by default, is part of the validity limit.
pub const PING_PERIOD: Millis = Millis(10_000);
/// `cluster-replica-validity-factor` by default.
pub const VALIDITY_FACTOR: u64 = 10;

/// How long a primary takes to be marked FAIL: the timeout, half of it for the reports of the others, and a
/// second for the pings that find out.
pub fn detect(node_timeout: Millis) -> Millis {
    Millis(node_timeout.0 * 3 / 2 + 1000)
}
/// One further try of an election: `auth_retry_time`, and a second for the delay before it.
pub fn retry(node_timeout: Millis) -> Millis {
    Millis((4 * node_timeout.0).max(4000) + 1000)
}

/// How long a change that needs no election takes to reach every node: detection, FAIL cleared, and 5 s for
/// links and delays.
pub fn digest(node_timeout: Millis) -> Millis {
    Millis(detect(node_timeout).0 + 2 * node_timeout.0 + 5000)
}

/// By when a replica must have been promoted, counted from when its primary went away or the conditions came
/// about: detection, one second of delay and one per rank, and further tries when votes were split.
pub fn promotion_bound(node_timeout: Millis, replicas: u16, failed_together: u64) -> Millis {
    let elect = 1000 + 1000 * u64::from(replicas);
    Millis(detect(node_timeout).0 + elect + (2 + failed_together) * retry(node_timeout).0)
}

/// How long after everything was healed the cluster may take to settle, and how that is made up.
pub fn settle_bound(timeline: &Timeline, applied: &[Applied], lives: &[Life]) -> (Millis, String) {
    let timeout = timeline.cluster.node_timeout();
    let per_shard = 1 + timeline.cluster.replicas;
    // Nodes added later count as a shard each.
    let shard = |node: NodeId| {
        if node.0 < timeline.cluster.nodes() { node.0 / per_shard } else { timeline.cluster.shards + node.0 }
    };
    let failed: BTreeSet<u16> = lives
        .iter()
        .filter(|life| life.ended.is_some() || !life.paused.is_empty())
        .map(|life| shard(life.node))
        .collect();
    let failed = failed.len() as u64;
    let mut parts: Vec<(String, u64)> = Vec::new();
    if failed > 0 {
        parts.push(("detect".into(), detect(timeout).0));
        parts.push(("elect".into(), 1000 + 1000 * u64::from(timeline.cluster.replicas)));
        parts.push((format!("{} further tries", 2 + failed), (2 + failed) * retry(timeout).0));
    }
    parts.push(("rejoin".into(), timeout.0.clamp(500, 5000)));
    parts.push(("clear FAIL".into(), 2 * timeout.0));
    parts.push(("sync".into(), 5000 + 5000));
    if timeline.cluster.settings.0.get("cluster-allow-replica-migration").map(String::as_str) != Some("no") {
        parts.push(("replica migration".into(), 5000));
    }
    let forgets = |one: &&Applied| {
        let admin = one.action == "admin" && one.detail.to_lowercase().contains("forget");
        // A new node that could not be brought in is forgotten again.
        let undone = matches!(one.action.as_str(), "add_replica" | "scale_out")
            && matches!(one.status, Status::Failed(_));
        matches!(one.action.as_str(), "forget_and_meet" | "remove_replica" | "scale_in") || admin || undone
    };
    let wiped = lives.iter().any(|life| life.stale.as_deref() == Some("wiped"));
    if wiped || applied.iter().filter(forgets).any(|one| !super::facts::skipped(one)) {
        parts.push(("ban of a forgotten id".into(), 60_000));
    }
    // Until its clock has made good what it lost, a server takes what is due for not yet due.
    let lost = timeline.events.iter().map(|event| match &event.action {
        Action::ClockSkew(skew) => skew.behind.0,
        // Each way back is one.
        Action::ClockStrobe(strobe) => strobe.ahead.0,
        _ => 0,
    });
    let lost: u64 = lost.sum();
    if lost > 0 {
        parts.push(("clocks that went back".into(), lost));
    }
    let total = Millis(parts.iter().map(|(_, millis)| millis).sum());
    let why = parts.iter().map(|(name, millis)| format!("{name} {}", Millis(*millis)));
    (total, why.collect::<Vec<_>>().join(" + "))
}

/// Whether a replica must take over, and by when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owed {
    By(Micros),
    /// Not, and why: an uncovered slot is expected then.
    No(String),
    /// The record does not tell, and why.
    Unclear(String),
}

/// A slot-owning primary that went away, and what its shard owes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promotion {
    pub outage: Outage,
    /// What it owned when it went.
    pub slots: Vec<(u16, u16)>,
    pub owed: Owed,
}

impl Promotion {
    /// Whether the primary is still away at a moment; a node that came back wiped is another node.
    pub fn away_at(&self, at: Micros) -> bool {
        self.outage.from <= at && (self.outage.wiped || self.outage.until.is_none_or(|until| until > at))
    }
}

/// Every time a slot-owning primary was away, in the order of time.
pub fn promotions_owed(record: &Record) -> Vec<Promotion> {
    let facts = Facts::of(record);
    promotions(&facts)
}

pub(super) fn promotions(facts: &Facts<'_>) -> Vec<Promotion> {
    let outages = facts.outages();
    let mut promotions: Vec<Promotion> = Vec::new();
    for outage in &outages {
        let slots = facts.owners_at(outage.from).slots_of(outage.node);
        if slots.is_empty() {
            continue;
        }
        let owed = owed(facts, outage, &outages);
        promotions.push(Promotion { outage: outage.clone(), slots, owed });
    }
    promotions.sort_by_key(|promotion| (promotion.outage.from, promotion.outage.node));
    promotions
}

/// A replica that may stand, while its process lives, up to a moment.
struct Candidate {
    node: NodeId,
    /// The latest moment at which an election may begin that it can win.
    until: Micros,
}

fn owed(facts: &Facts<'_>, outage: &Outage, outages: &[Outage]) -> Owed {
    let timeline = &facts.record.timeline;
    if !facts.consensus() {
        for name in ["cluster-node-timeout", "cluster-replica-validity-factor", "cluster-replica-no-failover"]
        {
            if facts.setting_changed(name) {
                return Owed::Unclear(format!("{name} was changed during the run"));
            }
        }
        if facts.setting("cluster-replica-no-failover") == Some("yes") {
            return Owed::No("cluster-replica-no-failover is set".into());
        }
    }
    if let (true, false, Some(back)) = (outage.wiped, facts.consensus(), outage.until) {
        // Who is answered by another id takes the address from the old one (NOADDR) and never again asks whether
        // that lives, so that it is not marked as failing (`cluster_legacy.c`, `clusterProcessPacket`, `clusterCron`).
        let node = outage.node;
        if back <= outage.from.plus(facts.node_timeout()) {
            return Owed::No(format!("a stranger answered at {node}'s address before it could be missed"));
        }
        if back <= outage.from.plus(detect(facts.node_timeout())) {
            return Owed::Unclear(format!(
                "{node} may not have been missed before a stranger answered for it"
            ));
        }
    }
    let end = facts.end();
    let horizon = if outage.wiped { end } else { outage.until.unwrap_or(end).min(end) };
    let together = outages
        .iter()
        .filter(|other| other.from <= horizon && other.until.is_none_or(|until| until >= outage.from))
        .filter(|other| !facts.owners_at(other.from).slots_of(other.node).is_empty())
        .count() as u64;
    let mut bound = promotion_bound(facts.node_timeout(), timeline.cluster.replicas, together);
    let manual = facts.record.applied.iter().any(|one| {
        one.action == "failover" && one.started <= horizon && one.started.plus(Millis(10_000)) >= outage.from
    });
    if manual {
        // A manual failover under way holds the automatic one back until it times out (CLUSTER_MF_TIMEOUT).
        bound = bound.saturating_add(Millis(5000));
    }
    let candidates = match candidates(facts, outage) {
        Ok(candidates) => candidates,
        Err(answer) => return answer,
    };

    let points = change_points(facts, outage.from, horizon);
    let mut why_not = String::new();
    let mut since: Option<Micros> = None;
    for &at in &points {
        match missing_condition(facts, outage, &candidates, since.unwrap_or(at), at) {
            None => {
                let begun = *since.get_or_insert(at);
                if at > begun.plus(bound) {
                    break;
                }
            }
            Some(why) => {
                if since.is_some_and(|begun| at >= begun.plus(bound)) {
                    break;
                }
                since = None;
                why_not = why;
            }
        }
    }
    let Some(begun) = since else { return Owed::No(why_not) };
    let by = begun.plus(bound);
    if horizon < by && !outage.wiped && outage.until.is_some_and(|until| until <= by) {
        return Owed::No(format!("{} came back before a promotion was due", outage.node));
    }
    if facts.stretched(outage.from, by) {
        return Owed::Unclear("the logical clock was held back while the promotion was due".into());
    }
    if !facts.consensus() && candidates.iter().all(|candidate| candidate.until < by) {
        return Owed::Unclear(format!("votes may have been split until {}'s data was too old", outage.node));
    }
    Owed::By(by)
}

/// Moments at which a condition may begin or end.
fn change_points(facts: &Facts<'_>, from: Micros, to: Micros) -> Vec<Micros> {
    let mut points: BTreeSet<Micros> = BTreeSet::from([from]);
    for life in &facts.record.lives {
        points.insert(life.started);
        points.extend(life.ended.map(|(at, _)| at));
        for (paused, resumed) in &life.paused {
            points.insert(*paused);
            points.extend(*resumed);
        }
    }
    points.extend(facts.record.views.iter().map(|view| view.at));
    for one in &facts.record.applied {
        points.insert(one.started);
        points.extend(one.ended);
    }
    points.into_iter().filter(|at| (from..=to).contains(at)).collect()
}

/// What a promotion lacks at a moment; `None` when all conditions hold.
fn missing_condition(
    facts: &Facts<'_>,
    outage: &Outage,
    candidates: &[Candidate],
    begun: Micros,
    at: Micros,
) -> Option<String> {
    if facts.consensus() {
        let Some(shard) = facts.shard(outage.node) else { return Some("an unknown shard".into()) };
        let fouled = facts.fouled_between(at, at);
        let well = |node: &&NodeId| facts.awake(**node, at) && !fouled.contains(*node);
        for (voters, what) in
            [(facts.voters(shard), format!("shard {shard}")), (facts.map_voters(), "the slot map".into())]
        {
            let count = voters.iter().filter(well).count();
            if count * 2 <= voters.len() {
                return Some(format!(
                    "{count} of {} voters on {what} were awake and connected",
                    voters.len()
                ));
            }
        }
        if !facts.shard_nodes(shard).iter().any(|node| well(&node)) {
            return Some(format!("no node of shard {shard} was awake and connected"));
        }
        return None;
    }
    let (awake, owners) = facts.awake_owners(at);
    let fouled = facts.fouled_between(at, at);
    let well = awake.iter().filter(|node| !fouled.contains(*node)).count();
    if well < owners / 2 + 1 {
        return Some(format!(
            "{well} of {owners} slot-owning primaries were awake and connected: no majority"
        ));
    }
    if candidates.is_empty() {
        return Some(format!("{} had no replica that may take over", outage.node));
    }
    // Its data must be young enough for the first election and two further tries.
    let replicas = facts.record.timeline.cluster.replicas;
    let tries = promotion_bound(facts.node_timeout(), replicas, 0);
    let stands = |candidate: &Candidate| {
        let same = facts.life_at(candidate.node, at).map(|life| life.incarnation)
            == facts.life_at(candidate.node, outage.from).map(|life| life.incarnation);
        facts.awake(candidate.node, at)
            && !fouled.contains(&candidate.node)
            && begun.plus(tries) <= candidate.until
            && (same || candidate.until == Micros::MAX)
    };
    if !candidates.iter().any(stands) {
        let nodes: Vec<NodeId> = candidates.iter().map(|candidate| candidate.node).collect();
        return Some(format!(
            "no replica could stand: {} dead, stopped, restarted or cut from its data for too long",
            names(&nodes)
        ));
    }
    None
}

/// The replicas of the primary that may stand, as certain as the views make it.
fn candidates(facts: &Facts<'_>, outage: &Outage) -> Result<Vec<Candidate>, Owed> {
    if facts.consensus() {
        return Ok(Vec::new());
    }
    let factor = match facts.setting("cluster-replica-validity-factor").map(str::parse::<u64>) {
        None => VALIDITY_FACTOR,
        Some(Ok(factor)) => factor,
        Some(Err(_)) => return Err(Owed::Unclear("cluster-replica-validity-factor is no number".into())),
    };
    let timeout = facts.node_timeout();
    let limit = Millis(PING_PERIOD.0 + timeout.0 * factor + timeout.0);
    let primary_id = last_report(facts, outage.node, outage.from).map(|(_, report)| report.id.clone());
    let mut sure: Vec<Candidate> = Vec::new();
    let mut unsure: Vec<NodeId> = Vec::new();
    let nodes: BTreeSet<NodeId> = facts.record.lives.iter().map(|life| life.node).collect();
    for node in nodes.into_iter().filter(|node| *node != outage.node) {
        let Some(life) = facts.life_at(node, outage.from) else { continue };
        let until = |seen: Micros| if factor == 0 { Micros::MAX } else { seen.plus(limit) };
        let Some((seen, report)) = last_report(facts, node, outage.from) else {
            // Before the first view every replica's link was up, if it has lived since then.
            let began_here = facts.shard(node).is_some() && facts.shard(node) == facts.shard(outage.node);
            if began_here {
                if life.started <= facts.record.healthy_at && outage.from >= facts.record.healthy_at {
                    sure.push(Candidate { node, until: until(outage.from) });
                } else {
                    unsure.push(node);
                }
            }
            continue;
        };
        let primary = report.myself().and_then(|me| me.primary.clone());
        if report.replication.role != Role::Replica || primary.is_none() || primary != primary_id {
            continue;
        }
        let linked = link_last_up(facts, node, life, outage.from);
        match linked {
            Some(up) => sure.push(Candidate { node, until: until(up) }),
            // Factor 0 asks for no data at all.
            None if factor == 0 => sure.push(Candidate { node, until: Micros::MAX }),
            // Restarted since the last view of it: whether its link came up in time is not known.
            None if seen < life.started => unsure.push(node),
            None => {}
        }
    }
    if sure.is_empty() && !unsure.is_empty() {
        return Err(Owed::Unclear(format!("no view tells whether {} had a link", names(&unsure))));
    }
    Ok(sure)
}

/// What a node said last, at or before a moment.
pub(super) fn last_report<'a>(
    facts: &Facts<'a>,
    node: NodeId,
    at: Micros,
) -> Option<(Micros, &'a NodeReport)> {
    let mut earlier = facts.record.views.iter().rev().filter(|view| view.at <= at);
    earlier.find_map(|view| Some((view.at, view.report(node)?)))
}

/// When this process was last seen with its link up, at or before a moment.
fn link_last_up(facts: &Facts<'_>, node: NodeId, life: &Life, at: Micros) -> Option<Micros> {
    let seen = facts.record.views.iter().rev().filter(|view| view.at <= at && view.at >= life.started);
    let mut up = seen.filter(|view| {
        view.report(node)
            .is_some_and(|report| report.replication.role == Role::Replica && report.replication.link_up)
    });
    up.next().map(|view| view.at)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Scene, ms};
    use super::*;

    /// What is owed for the first outage of node-0.
    fn owed_for(scene: &Scene) -> Owed {
        let promotions = promotions_owed(&scene.record);
        promotions.into_iter().find(|one| one.outage.node == NodeId(0)).expect("node-0 was away").owed
    }
    fn killed(scene: Scene) -> Scene {
        let mut scene = scene.healthy();
        scene.kill("k1", 0, 11_000, None);
        scene
    }
    fn later(mut scene: Scene) -> Scene {
        scene.run_until(80_000);
        scene
    }

    #[test]
    fn the_bound_is_made_of_detection_election_and_tries() {
        // 1.5 s + 1 s, 1 s + 1 s, (2 + 1) x (4 s + 1 s).
        assert_eq!(promotion_bound(Millis(1000), 1, 1), Millis(2500 + 2000 + 15_000));
        assert_eq!(promotion_bound(Millis(5000), 2, 2), Millis(8500 + 3000 + 4 * 21_000));
        assert_eq!(owed_for(&later(killed(Scene::new(3, 1)))), Owed::By(ms(11_000 + 19_500)));
    }

    #[test]
    fn fewer_than_three_slot_owning_primaries_owe_nothing() {
        for shards in [1, 2] {
            assert!(matches!(owed_for(&later(killed(Scene::new(shards, 1)))), Owed::No(_)), "{shards}");
        }
    }

    #[test]
    fn a_majority_that_comes_back_owes_it_from_then_on_within_the_validity_limit() {
        let back_at = |factor: &str, millis: u64| {
            let mut scene = killed(Scene::new(3, 1).setting("cluster-replica-validity-factor", factor));
            scene.kill("k2", 2, 11_000, Some(millis));
            scene.kill("k3", 3, 10_500, None);
            later(scene)
        };
        // The link was last seen up at 11 s; the limit is 10 s + factor x 1 s + 1 s.
        assert_eq!(owed_for(&back_at("20", 12_000)), Owed::By(ms(12_000 + 24_500)));
        assert_eq!(owed_for(&back_at("20", 17_500)), Owed::By(ms(17_500 + 24_500)));
        assert!(matches!(owed_for(&back_at("20", 17_501)), Owed::Unclear(_)), "not all tries fit");
        assert!(matches!(owed_for(&back_at("20", 27_501)), Owed::No(_)), "too old for three of them");
        assert_eq!(owed_for(&back_at("0", 33_000)), Owed::By(ms(33_000 + 24_500)), "factor 0 has no limit");
    }

    #[test]
    fn a_replica_restarted_while_its_primary_is_down_never_stands_but_at_factor_0() {
        for (factor, owed) in [("10", false), ("0", true)] {
            let mut scene = Scene::new(3, 1).setting("cluster-replica-validity-factor", factor);
            scene = killed(scene);
            scene.kill("k2", 1, 11_100, Some(11_500));
            scene.link(1, false);
            assert_eq!(matches!(owed_for(&later(scene)), Owed::By(_)), owed, "factor {factor}");
        }
    }

    #[test]
    fn a_replica_that_may_not_or_cannot_take_over_owes_nothing() {
        let forbidden = Scene::new(3, 1).setting("cluster-replica-no-failover", "yes");
        assert!(matches!(owed_for(&later(killed(forbidden))), Owed::No(_)));
        let mut paused = killed(Scene::new(3, 1));
        paused.pause("p1", 1, 10_500, 80_000);
        assert!(matches!(owed_for(&later(paused)), Owed::No(_)));
        assert!(matches!(owed_for(&later(killed(Scene::new(3, 0)))), Owed::No(_)));
    }

    #[test]
    fn a_primary_that_comes_back_in_time_needs_no_successor_unless_it_came_back_wiped() {
        for (stale, owed) in [(None, false), (Some("wiped"), true)] {
            let mut scene = killed(Scene::new(3, 1));
            scene.start(0, 14_000, stale);
            assert_eq!(matches!(owed_for(&later(scene)), Owed::By(_)), owed, "{stale:?}");
        }
    }

    #[test]
    fn nobody_misses_a_primary_whose_address_a_stranger_took_at_once() {
        let back = |at| {
            let mut scene = killed(Scene::new(3, 1));
            scene.start(0, at, Some("wiped"));
            owed_for(&later(scene))
        };
        assert!(matches!(back(12_000), Owed::No(_)));
        assert!(matches!(back(13_000), Owed::Unclear(_)));
    }

    #[test]
    fn voters_and_replicas_whose_links_are_bad_owe_nothing_meanwhile() {
        for (struck, owed) in [(1, false), (2, false), (3, true)] {
            let mut scene = killed(Scene::new(3, 1));
            scene.apply("c1", &format!("cut: {{node: node-{struck}}}"), 9000, Some(80_000), &[struck]);
            let found = owed_for(&later(scene));
            assert_eq!(matches!(found, Owed::By(_)), owed, "{struck}: {found:?}");
        }
    }

    #[test]
    fn what_the_record_cannot_tell_is_unclear() {
        let mut scene = killed(Scene::new(3, 1));
        scene.record.stretches = vec![(ms(15_000), Millis(100))];
        assert!(matches!(owed_for(&later(scene)), Owed::Unclear(_)));
        let mut scene = killed(Scene::new(3, 1));
        let change = "config_change: {node: node-0, rank: 3, value: double}";
        scene.apply("c1", change, 9000, Some(9100), &[0]);
        scene.record.applied[1].detail = "cluster-node-timeout 1000 to 2000".into();
        assert!(matches!(owed_for(&later(scene)), Owed::Unclear(_)));
    }

    #[test]
    fn the_embedded_shard_owes_it_while_its_own_majority_is_awake_and_connected() {
        let scene = || killed(Scene::new(3, 2).target("embedded"));
        assert!(matches!(owed_for(&later(scene())), Owed::By(_)));
        let mut cut = scene();
        cut.apply("c1", "cut: {node: node-1}", 10_000, Some(80_000), &[1]);
        assert!(matches!(owed_for(&later(cut)), Owed::No(_)));
        // With one replica a witness votes too: the first primary of the next shard.
        let pair = || killed(Scene::new(3, 1).target("embedded"));
        assert!(matches!(owed_for(&later(pair())), Owed::By(_)));
        let mut alone = pair();
        alone.apply("c1", "cut: {node: node-2}", 10_000, Some(80_000), &[2]);
        assert!(matches!(owed_for(&later(alone)), Owed::No(_)));
    }

    #[test]
    fn settling_is_given_more_time_for_what_went_wrong() {
        let scene = Scene::new(3, 1).healthy();
        let bound =
            |scene: &Scene| settle_bound(&scene.record.timeline, &scene.record.applied, &scene.record.lives);
        let (quiet, why) = bound(&scene);
        assert_eq!((quiet, why.contains("elect")), (Millis(1000 + 2000 + 10_000 + 5000), false));
        let killed = killed(Scene::new(3, 1));
        assert_eq!(bound(&killed).0, Millis(quiet.0 + 2500 + 2000 + 15_000));
        let mut forgets = Scene::new(3, 1).healthy();
        forgets.apply("f1", "forget_and_meet: {node: node-1}", 9000, Some(9500), &[1]);
        assert_eq!(bound(&forgets).0, Millis(quiet.0 + 60_000));
        let fixed = Scene::new(3, 1).setting("cluster-allow-replica-migration", "no");
        assert_eq!(bound(&fixed).0, Millis(quiet.0 - 5000));
    }
}
