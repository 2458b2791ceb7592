//! The nodes until now: who was what, when it was down or stood still, and what was done to the cluster.

use crate::page::chrome::{Figure, figure};
use crate::page::draw::{self, NAMES, PLOT, Px, Scale, fit, px, width};
use crate::report::story::Story;
use crate::run::event::Phase;
use crate::run::record::{Applied, Status};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// How many rows of operations, and of faults.
const ROWS_MAX: usize = 4;
const LANE: Px = 210;

/// What a run is drawn from: times count from when the cluster was healthy, in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub scale: Scale,
    pub now: i64,
    pub lanes: Vec<Lane>,
    /// Operations, and faults.
    pub bars: [Vec<Bar>; 2],
}

#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    pub node: u16,
    /// The shard that it was in first.
    pub shard: Option<u16>,
    /// From when on, what, and of which shard.
    pub roles: Vec<(i64, String, Option<u16>)>,
    /// From and to, and how it ended; the last one may go on.
    pub lives: Vec<(i64, Option<(i64, String)>)>,
    pub pauses: Vec<(i64, Option<i64>)>,
}

#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub row: usize,
    pub from: i64,
    pub to: Option<i64>,
    pub label: String,
    pub told: String,
}

/// How a node is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Up,
    Down(i64),
    Paused(i64),
}

impl Lane {
    pub fn state(&self) -> State {
        match self.lives.last() {
            None => State::Down(0),
            Some((_, Some((end, _)))) => State::Down(*end),
            Some((_, None)) => match self.pauses.iter().rev().find(|(_, to)| to.is_none()) {
                Some((from, _)) => State::Paused(*from),
                None => State::Up,
            },
        }
    }

    pub fn role(&self) -> Option<&(i64, String, Option<u16>)> {
        self.roles.last()
    }

    /// What is said of it while it takes part: its stretches, each with its role.
    fn stretches(&self, now: i64) -> Vec<(i64, i64, &str, Option<u16>)> {
        let mut out = Vec::new();
        for (from, end) in &self.lives {
            let to = end.as_ref().map_or(now, |(end, _)| *end);
            for (at, (since, role, shard)) in self.roles.iter().enumerate() {
                let until = self.roles.get(at + 1).map_or(to, |(next, ..)| *next).min(to);
                // What it was first is known a little after it started.
                let since = if at == 0 { *from } else { (*since).max(*from) };
                if until > since {
                    out.push((since, until, role.as_str(), *shard));
                }
            }
            if self.roles.is_empty() && to > *from {
                out.push((*from, to, "starting", None));
            }
        }
        out
    }
}

impl Scene {
    pub fn of(story: &Story) -> Self {
        let now = story.last_at_us;
        let begin = -story.boot_us;
        let length = story.plan.as_ref().map_or(0, |plan| plan.length_ms as i64 * 1000);
        // What follows the load takes as long as it takes: the right edge goes on with it.
        let last =
            if story.phase == Some(Phase::Boot) || story.phase.is_none() { now } else { now.max(length) };
        let to = last + (last - begin) / 12 + 1000;
        Self {
            scale: Scale::whole(begin.min(0), to),
            now,
            lanes: lanes(story),
            bars: [bars(story, "operation"), bars(story, "fault")],
        }
    }

    /// The shards that no running primary holds, with since when, if one ever did.
    pub fn without_primary(&self) -> Vec<(u16, i64)> {
        let mut held: BTreeMap<u16, (bool, i64)> = BTreeMap::new();
        for lane in &self.lanes {
            for (at, (since, role, shard)) in lane.roles.iter().enumerate() {
                let Some(shard) = shard.filter(|_| role == "primary") else { continue };
                let entry = held.entry(shard).or_insert((false, *since));
                let lost = match lane.roles.get(at + 1) {
                    Some((next, ..)) => Some(*next),
                    None => match lane.state() {
                        State::Up => None,
                        State::Down(at) | State::Paused(at) => Some(at),
                    },
                };
                match lost {
                    None => entry.0 = true,
                    Some(lost) => entry.1 = entry.1.max(lost),
                }
            }
        }
        held.into_iter()
            .filter(|(_, (is_held, _))| !is_held)
            .map(|(shard, (_, since))| (shard, since))
            .collect()
    }
}

fn lanes(story: &Story) -> Vec<Lane> {
    let mut lanes: BTreeMap<u16, Lane> = BTreeMap::new();
    let lane = |lanes: &mut BTreeMap<u16, Lane>, node: u16| {
        lanes.entry(node).or_insert_with(|| Lane { node, ..Lane::default() });
    };
    let (forming, offset) = story.roles_forming;
    for (at, (time, node, role, shard)) in story.roles.iter().enumerate() {
        let time = if at < forming { time - offset } else { *time };
        lane(&mut lanes, node.0);
        if let Some(lane) = lanes.get_mut(&node.0) {
            lane.shard = lane.shard.or(*shard);
            lane.roles.push((time, role.clone(), *shard));
        }
    }
    for (_, life) in &story.lives {
        lane(&mut lanes, life.node.0);
        let logical = |at: crate::time::Micros| at.0 as i64 - story.boot_us;
        if let Some(lane) = lanes.get_mut(&life.node.0) {
            let ended = life.ended.as_ref().map(|(at, exit)| (logical(*at), exit.to_string()));
            lane.lives.push((logical(life.started), ended));
            lane.lives.sort();
        }
    }
    // Processes are told of when they start and end; that one stands still is an event's doing.
    for (from, applied) in &story.applied {
        if applied.action == "pause" && applied.status == Status::Applied {
            for node in &applied.resolved {
                if let Some(lane) = lanes.get_mut(&node.0) {
                    lane.pauses.push((*from, ended(*from, applied)));
                }
            }
        }
    }
    for (id, (from, nodes)) in &story.under_way {
        if story.planned(id).is_some_and(|planned| planned.action == "pause") {
            for node in nodes {
                if let Some(lane) = lanes.get_mut(&node.0) {
                    lane.pauses.push((*from, None));
                }
            }
        }
    }
    let mut lanes: Vec<Lane> = lanes.into_values().collect();
    lanes.sort_by_key(|lane| (lane.shard.unwrap_or(u16::MAX), lane.node));
    lanes
}

fn ended(from: i64, applied: &Applied) -> Option<i64> {
    applied.ended.map(|end| from + end.since(applied.started).0 as i64)
}

/// The events of one kind that came about or are under way, in rows in which none lies over another.
fn bars(story: &Story, kind: &str) -> Vec<Bar> {
    let of_kind = |id: &str| story.planned(id).is_some_and(|planned| planned.kind == kind);
    let over = story.applied.iter().filter(|(_, applied)| applied.status == Status::Applied);
    let over = over.map(|(from, applied)| {
        (*from, ended(*from, applied), &applied.event, applied.action.as_str(), &applied.resolved)
    });
    let under_way = story.under_way.iter().map(|(id, (from, nodes))| {
        (*from, None, id, story.planned(id).map_or("", |planned| planned.action.as_str()), nodes)
    });
    let mut all: Vec<_> = over.chain(under_way).filter(|(_, _, id, ..)| of_kind(id)).collect();
    all.sort_by_key(|(from, _, id, ..)| (*from, *id));
    let mut ends: Vec<i64> = Vec::new();
    let mut bars = Vec::new();
    for (from, to, id, action, nodes) in all {
        let row = ends.iter().position(|end| *end <= from).unwrap_or(ends.len());
        let end = to.unwrap_or(i64::MAX).max(from + 1);
        if row < ends.len() {
            ends[row] = end;
        } else {
            ends.push(end);
        }
        let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        let label = format!("{action} {}", nodes.join(", "));
        let until = to.map_or("under way".into(), |to| format!("to {} s", draw::seconds(to, 3)));
        bars.push(Bar {
            row: row.min(ROWS_MAX - 1),
            from,
            to,
            told: format!("{id}: {label}, from {} s, {until}", draw::seconds(from, 3)),
            label: label.trim_end().into(),
        });
    }
    bars
}

fn rows(bars: &[Bar]) -> Px {
    bars.iter().map(|bar| bar.row as Px + 1).max().unwrap_or(1)
}

pub(super) fn legend() -> Markup {
    let boxed = |class: &str| html! { rect x="1" y="2" width="32" height="12" class=(class) {} };
    let down =
        html! { line x1="9" y1="8" x2="33" y2="8" class="dn" {} path d="M1 3l9 9m0 -9l-9 9" class="xx" {} };
    html! {
        ul.leg aria-label="legend" {
            @for (mark, name) in [
                (boxed("pri"), "primary or leader (filled)"),
                (boxed("rep"), "replica or follower (outlined)"),
                (down, "down"),
                (boxed("pau"), "paused"),
                (boxed("opb"), "operation"),
                (boxed("flt"), "fault, to its heal"),
            ] { li { svg width="34" height="16" viewBox="0 0 34 16" aria-hidden="true" { (mark) } (name) } }
        }
    }
}

pub(super) fn nodes(story: &Story, scene: &Scene) -> Markup {
    let operations = 240;
    let faults = operations + rows(&scene.bars[0]) * LANE + 60;
    let mut y = faults + rows(&scene.bars[1]) * LANE + 80;
    let mut tops = Vec::new();
    for (at, lane) in scene.lanes.iter().enumerate() {
        y += if at > 0 && scene.lanes[at - 1].shard != lane.shard { 80 } else { 0 };
        tops.push(y);
        y += LANE;
    }
    let (foot, height) = (y + 20, y + 260);
    let now = scene.scale.x(scene.now);
    let shape = Figure {
        id: "v1",
        title: "Figure 1. The nodes, until now.".into(),
        caption: html! { "Right of the line nothing has happened yet." },
        description: format!("Lanes of {} nodes up to {} s.", scene.lanes.len(), draw::seconds(scene.now, 3)),
        height,
        names: html! {
            text x="8" y=(px(operations + 120)) class="s fb" { "operations" }
            text x="8" y=(px(faults + 120)) class="s fb" { "faults" }
            @for (at, (lane, top)) in scene.lanes.iter().zip(&tops).enumerate() {
                @if at == 0 || scene.lanes[at - 1].shard != lane.shard {
                    text x="8" y=(px(top + 110)) class="s f2" { @match lane.shard { Some(shard) => { "shard " (shard) }, None => "new" } }
                }
                text x=(px(NAMES - 80)) y=(px(top + 110)) class="s" text-anchor="end" { "node-" (lane.node) }
            }
        },
        plot: html! {
            rect x=(px(now)) y="0" width=(px(PLOT - now)) height=(px(height)) class="zoomb" {}
            (draw::grid(&scene.scale, 180, foot))
            (drawn(scene, &scene.bars[0], operations, "opb", "s"))
            (drawn(scene, &scene.bars[1], faults, "flt", "s op2"))
            @for (lane, top) in scene.lanes.iter().zip(&tops) { (one(scene, lane, *top)) }
            g id="now" data-us=(scene.now) data-x=(px(now)) data-phase=[story.phase.map(|phase| phase.to_string())] {
                line x1=(px(now)) y1="18" x2=(px(now)) y2=(px(foot)) class="ax" style="stroke-width:2" {}
                path d=(format!("M{} 18l-6 -9h12z", px(now))) class="flt" {}
                @let text = format!("{}: {} s", if story.finished.is_some() { "end" } else { "now" }, draw::seconds(scene.now, 3));
                @let half = width(&text, 12) * 11 / 20 + 20;
                text x=(px(now.clamp(half, PLOT - half))) y=(px(foot + 160)) class="fb halo" text-anchor="middle" { (text) }
            }
        },
        scale: Some(&scene.scale),
        first: (now - 1600).max(0),
    };
    figure(&shape)
}

/// The bars of events; their words in them, else beside them where nothing else is.
fn drawn(scene: &Scene, bars: &[Bar], top: Px, class: &str, inside: &str) -> Markup {
    html! { @for (at, bar) in bars.iter().enumerate() {
        @let (from, to) = (scene.scale.x(bar.from), scene.scale.x(bar.to.unwrap_or(scene.now)));
        @let wide = (to - from).max(30);
        @let y = top + bar.row as Px * LANE;
        rect x=(px(from)) y=(px(y)) width=(px(wide)) height="15" class=(class) { title { (bar.told) } }
        @let next = bars[at + 1..].iter().filter(|next| next.row == bar.row).map(|next| scene.scale.x(next.from)).min().unwrap_or(PLOT);
        @if let Some(text) = fit(&bar.label, 11, wide - 100) {
            text x=(px(from + 50)) y=(px(y + 115)) class=(inside) { (text) }
        } @else if let Some(text) = fit(&bar.label, 11, next - from - wide - 120) {
            text x=(px(from + wide + 50)) y=(px(y + 115)) class="s halo" { (text) }
        }
    } }
}

fn one(scene: &Scene, lane: &Lane, top: Px) -> Markup {
    let span = |from: i64, to: i64| (scene.scale.x(from), (scene.scale.x(to) - scene.scale.x(from)).max(10));
    let time = |at: i64| draw::seconds(at, 3);
    let middle = top + 70;
    let ends: Vec<(i64, i64, &str)> = lane
        .lives
        .iter()
        .enumerate()
        .filter_map(|(at, (_, end))| {
            let (end, how) = end.as_ref()?;
            let until = lane.lives.get(at + 1).map_or(scene.now, |(next, _)| *next);
            Some((*end, until, how.as_str()))
        })
        .collect();
    html! {
        @for (from, to, role, shard) in lane.stretches(scene.now) {
            @let (x, wide) = span(from, to);
            @let class = match role { "primary" => "pri", "replica" => "rep", _ => "quiet" };
            rect x=(px(x)) y=(px(top)) width=(px(wide)) height="14" class=(class) {
                title {
                    "node-" (lane.node) ": " (role) @if let Some(shard) = shard { " of shard " (shard) }
                    " (" (time(from)) " to " (time(to)) " s)"
                }
            }
        }
        @for (from, to) in &lane.pauses {
            @let to = to.unwrap_or(scene.now);
            @let (x, wide) = span(*from, to);
            rect x=(px(x)) y=(px(top)) width=(px(wide)) height="14" class="pau" {
                title { "node-" (lane.node) ": paused (" (time(*from)) " to " (time(to)) " s)" }
            }
        }
        @for (end, until, how) in ends {
            @let (x, wide) = span(end, until);
            line x1=(px(x)) y1=(px(middle)) x2=(px(x + wide)) y2=(px(middle)) class="dn" {}
            path d=(format!("M{} {}l10 10m0 -10l-10 10", px(x - 50), px(middle - 50))) class="xx" {
                title { "node-" (lane.node) ": " (how) " (" (time(end)) " to " (time(until)) " s)" }
            }
        }
        @let beside = match lane.state() {
            State::Up => None,
            State::Down(since) => Some(("✕ down for", since)),
            State::Paused(since) => Some(("‖ paused for", since)),
        };
        @if let Some((word, since)) = beside.filter(|_| !lane.lives.is_empty()) {
            @let text = format!("{word} {} s", draw::seconds(scene.now - since, 3));
            @if scene.scale.x(scene.now) + width(&text, 11) + 120 < PLOT {
                text x=(px(scene.scale.x(scene.now) + 100)) y=(px(top + 110)) class="s" { (text) }
            }
        }
    }
}
