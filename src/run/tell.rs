//! What a run tells its reporters about itself: the plan before it begins, and the load and the cluster in
//! numbers once it is over. Pure functions of the timeline and the record; the child process calls them.

use super::event::{ClusterState, NodeState, Plan, PlannedEvent, Workload};
use super::record::{Record, Status};
use super::view::{ClusterView, NodeReport};
use crate::catalogue::ActionKind;
use crate::env::{Exit, NodeId};
use crate::history::Outcome;
use crate::time::Micros;
use crate::timeline::{Event, Observation, Role, Start, Timeline, sent_text};

/// The timeline as reporters show it.
pub fn plan(timeline: &Timeline) -> Plan {
    let load = &timeline.load;
    Plan {
        generator: timeline.generator.clone(),
        catalogue: timeline.catalogue,
        profile: timeline.profile.clone(),
        length_ms: timeline.length.0,
        load: if load.is_none() {
            "none".into()
        } else {
            let mix = if load.mix.is_some() { "own mix" } else { load.pattern.as_str() };
            format!("{} clients, {}/s, {mix}, {} keys of each kind", load.clients, load.rate.0, load.keys)
        },
        events: timeline.events.iter().map(planned).collect(),
        checks: timeline.checks.iter().map(|check| check.name().to_string()).collect(),
        bugs: timeline.bugs.clone(),
    }
}

fn planned(event: &Event) -> PlannedEvent {
    let fields: Vec<String> =
        event.action.write_fields().into_iter().map(|(name, text)| format!("{name}: {text}")).collect();
    PlannedEvent {
        id: event.id.to_string(),
        start: start_text(event),
        action: event.action.name().into(),
        kind: match event.action.info().kind {
            ActionKind::Operation => "operation",
            ActionKind::Fault => "fault",
            ActionKind::Check => "check",
            ActionKind::Sabotage => "sabotage",
        }
        .into(),
        fields: fields.join(", "),
        lasts: event.lasts.map(|millis| millis.to_string()),
    }
}

fn start_text(event: &Event) -> String {
    let anchor = match &event.start {
        Start::At(at) => return format!("at {}", at.saturating_add(event.delay)),
        Start::Forming(at) => return format!("forming {}", at.saturating_add(event.delay)),
        Start::After(ids) => format!("after {}", ids.join(" and ")),
        Start::With(id) => format!("with {id}"),
        Start::When(Observation::Log { node, has }) => format!("when {node} logs {has:?}"),
        Start::When(Observation::Role { node, is }) => format!("when {node} is {is}"),
        Start::When(Observation::NoPrimary { shard }) => format!("when shard {shard} has no primary"),
        Start::When(Observation::Exit { node }) => format!("when {node} exits"),
        Start::When(Observation::Operation { client, number }) => {
            format!("when client {client} issues operation {number}")
        }
        Start::When(Observation::Message { kind, from, to, nth }) => {
            format!("when {}", sent_text(*kind, from, to, *nth))
        }
    };
    if event.delay.0 == 0 { anchor } else { format!("{anchor} + {}", event.delay) }
}

/// The clients' work in numbers.
pub fn workload(record: &Record) -> Workload {
    let mut told = Workload { skipped: record.operations_skipped, ..Workload::default() };
    let mut latencies: Vec<u64> = Vec::new();
    let (mut first, mut last) = (Micros::MAX, Micros(0));
    for operation in &record.history {
        told.operations += 1;
        first = first.min(operation.invoke.wall);
        last = last.max(operation.complete.wall);
        match operation.outcome {
            Outcome::Ok(_) => {
                told.ok += 1;
                latencies.push(operation.complete.wall.since(operation.invoke.wall).0);
            }
            Outcome::Fail(_) => told.fail += 1,
            Outcome::Unknown(_) => told.unknown += 1,
        }
    }
    latencies.sort_unstable();
    if let Some(longest) = latencies.last() {
        told.latency_mean_us = latencies.iter().sum::<u64>() / latencies.len() as u64;
        told.latency_p99_us = latencies[(latencies.len() * 99 / 100).min(latencies.len() - 1)];
        told.latency_max_us = *longest;
    }
    told.span_ms = last.since(first).millis().0;
    told
}

/// The cluster as it was at the end: the final view, or the last sample if the run did not get that far.
pub fn cluster(record: &Record) -> ClusterState {
    let view = record.last.as_ref().map(|last| &last.view).or(record.views.last());
    let Some(view) = view else { return ClusterState::default() };
    let removed = record.last.as_ref().map_or(&[][..], |last| &last.removed);
    ClusterState {
        nodes: view
            .nodes
            .iter()
            .filter(|node| !removed.contains(&node.node))
            .map(|node| node_state(record, view, node.node))
            .collect(),
        slots_unowned: slots_unowned(view),
        slots_moving: slots_moving(view),
        settled_at_us: record
            .last
            .as_ref()
            .and_then(|last| last.settled_at)
            .map(|at| super::event::since_healthy(at, record.healthy_at)),
    }
}

fn node_state(record: &Record, view: &ClusterView, node: NodeId) -> NodeState {
    let cluster = &record.timeline.cluster;
    let shard = (node.0 < cluster.nodes()).then(|| node.0 / (1 + cluster.replicas));
    let said = view.nodes.iter().find(|other| other.node == node).map(|other| &other.report);
    let id = said.and_then(|said| said.as_ref().ok()).map(|report| report.id.as_str());
    // By its id where it told one: at its address the others may list the id that it lost.
    let others: Vec<_> = view
        .answered()
        .filter(|(other, _)| *other != node)
        .flat_map(|(_, report)| {
            report.members.iter().filter(|member| match id {
                Some(id) => member.id == id && !member.handshake,
                None => member.node == Some(node),
            })
        })
        .collect();
    let majority = |count: usize| count * 2 > others.len() && count > 0;
    let failed = majority(others.iter().filter(|member| member.fail).count());
    let suspected = majority(others.iter().filter(|member| member.maybe_fail || member.fail).count());
    let seen_as_replica = majority(others.iter().filter(|member| member.role == Role::Replica).count());
    let (role, state, why) = match said {
        Some(Ok(report)) => {
            let role = report.myself().map_or(report.replication.role, |me| me.role);
            let (state, why) = if view.is_stranger(node) {
                ("DISCONNECTED", "answers, but no other node lists its id".into())
            } else if failed {
                ("FAIL", "answers, but most others mark it failed".into())
            } else if suspected {
                ("PFAIL", "answers, but most others suspect it".into())
            } else if role == Role::Primary && seen_as_replica {
                ("PROMOTING", "calls itself primary; most others still see a replica".into())
            } else if report.replication.sync_in_progress {
                ("SYNCING", "a sync with its primary is under way".into())
            } else if role == Role::Replica && !report.replication.link_up {
                ("DISCONNECTED", link_down(report))
            } else {
                ("CONNECTED", String::new())
            };
            (role.to_string(), state, why)
        }
        Some(Err(error)) => {
            let role = others.first().map_or("unknown", |member| member.role.as_str());
            let state = if failed { "FAIL" } else { "DISCONNECTED" };
            (role.to_string(), state, death(record, node).unwrap_or_else(|| error.clone()))
        }
        None => ("unknown".into(), "DISCONNECTED", "was not asked".into()),
    };
    NodeState { node, role, shard, state: state.into(), why }
}

fn link_down(report: &NodeReport) -> String {
    match report.replication.link_down_s {
        Some(seconds) => format!("no link to its primary for {seconds} s"),
        None => "no link to its primary".into(),
    }
}

/// How the node's last process ended, if it did, and which events signalled it.
fn death(record: &Record, node: NodeId) -> Option<String> {
    let life = record.lives.iter().rev().find(|life| life.node == node)?;
    if let Some((_, None)) = life.paused.last() {
        return Some("is paused".into());
    }
    let (_, exit) = life.ended.as_ref()?;
    let how = match exit {
        Exit::Code(code) => format!("exited with {code}"),
        Exit::Signal(signal) => format!("ended by signal {signal}"),
    };
    let events: Vec<&str> = life.signalled.iter().map(|(event, _)| event.as_str()).collect();
    Some(if events.is_empty() {
        format!("{how}, by itself")
    } else {
        format!("{how}, by {}", events.join(", "))
    })
}

fn slots_unowned(view: &ClusterView) -> Vec<(u16, u16)> {
    let mut claimed: Vec<(u16, u16)> =
        view.answered().flat_map(|(_, report)| report.own_slots().iter().copied()).collect();
    claimed.sort_unstable();
    let (mut free, mut next) = (Vec::new(), 0u16);
    for (first, last) in claimed {
        if first > next {
            free.push((next, first - 1));
        }
        next = next.max(last.saturating_add(1));
    }
    if next < 16384 {
        free.push((next, 16383));
    }
    free
}

fn slots_moving(view: &ClusterView) -> Vec<String> {
    let mut moving = Vec::new();
    for (node, report) in view.answered() {
        let Some(me) = report.myself() else { continue };
        let name = |id: &str| {
            let member = report.members.iter().find(|member| member.id == id);
            member.and_then(|member| member.node).map_or_else(|| id.to_string(), |node| node.to_string())
        };
        moving.extend(
            me.migrating.iter().map(|(slot, id)| format!("slot {slot}: {node} gives it to {}", name(id))),
        );
        moving.extend(
            me.importing.iter().map(|(slot, id)| format!("slot {slot}: {node} takes it from {}", name(id))),
        );
    }
    moving
}

/// `applied`, `skipped` or `failed`.
pub fn status_word(status: &Status) -> &'static str {
    match status {
        Status::Applied => "applied",
        Status::Skipped(_) => "skipped",
        Status::Failed(_) => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::Scene;
    use crate::run::view::NodeView;

    fn report(slots: &[(u16, u16)]) -> NodeReport {
        let me = super::super::view::Member {
            id: "a".into(),
            node: Some(NodeId(0)),
            role: Role::Primary,
            primary: None,
            myself: true,
            fail: false,
            maybe_fail: false,
            handshake: false,
            noaddr: false,
            config_epoch: 1,
            link_up: true,
            slots: slots.to_vec(),
            migrating: vec![(5, "zz".into())],
            importing: Vec::new(),
        };
        NodeReport {
            id: "a".into(),
            state: "ok".into(),
            current_epoch: 1,
            members: vec![me],
            replication: super::super::view::Replication {
                role: Role::Primary,
                link_up: true,
                sync_in_progress: false,
                offset: 0,
                replication_id: String::new(),
                last_io_s: None,
                link_down_s: None,
            },
        }
    }

    #[test]
    fn a_node_whose_id_nobody_lists_is_no_part_of_the_cluster() {
        let mut scene = Scene::new(3, 0).healthy();
        scene.kill("k1", 0, 11_000, None);
        scene.start(0, 11_300, Some("wiped"));
        scene.stranger(0);
        scene.run_until(20_000);
        scene.settle();
        let states: Vec<(String, String)> =
            cluster(&scene.record).nodes.into_iter().map(|node| (node.state, node.why)).collect();
        assert_eq!(states[0], ("DISCONNECTED".into(), "answers, but no other node lists its id".into()));
        assert_eq!(states[1].0, "CONNECTED");
    }

    #[test]
    fn slots_that_nobody_claims_come_as_inclusive_ranges() {
        let view = |slots: &[(u16, u16)]| ClusterView {
            at: Micros(0),
            nodes: vec![NodeView { node: NodeId(0), at: Micros(0), report: Ok(report(slots)) }],
        };
        assert_eq!(slots_unowned(&view(&[(0, 16383)])), []);
        assert_eq!(slots_unowned(&view(&[])), [(0, 16383)]);
        assert_eq!(slots_unowned(&view(&[(10, 20), (22, 16000)])), [(0, 9), (21, 21), (16001, 16383)]);
        assert_eq!(slots_moving(&view(&[(0, 9)])), ["slot 5: node-0 gives it to zz"]);
    }
}
