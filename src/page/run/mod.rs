//! The page of one run: what broke, how it came about, how to see it again.
//!
//! [`scene`] knows who was what and when, [`tale`] makes sentences of it; [`lanes`] and [`measured`] draw, [`tables`] list.

mod beside;
mod lanes;
mod markdown;
mod measured;
mod messages;
mod removed;
mod scene;
mod tables;
mod tale;

use super::chrome::{Fact, Figure, command, facts, figure, page};
use super::draw::{Scale, seconds};
use crate::check::Verdict;
use crate::env::{EXACT, LIVE, NodeId, SIM};
use crate::report::names::{capital, counted, status, thousands};
use crate::report::story::Story;
use crate::report::text::Claims;
use crate::repro::{Cut, Facts, Rate, often};
use crate::run::record::Record;
use crate::timeline::Timeline;
pub use beside::beside;
pub use markdown::markdown;
use maud::{Markup, html};
use scene::Scene;
use std::collections::BTreeSet;
use tables::Without;

/// All that a page of a run is made of.
pub struct Source<'a> {
    pub story: &'a Story,
    /// `None` of a run that broke or was killed: then there are no drawings of what clients and nodes said.
    pub record: Option<&'a Record>,
    /// The folder of the smallest timeline that still fails, below this one's, if it was looked for from here.
    pub smallest: Option<&'a str>,
    /// The timeline before it was shrunk, where it is known.
    pub original: Option<&'a Timeline>,
    /// What was known of this timeline: how it failed, how often, what it was before it was shrunk.
    pub repro: Option<&'a Facts>,
    pub claims: Claims<'a>,
    /// The files of the run folder, with their sizes.
    pub files: &'a [(String, u64)],
    /// What could not be read of the folder.
    pub remarks: &'a [String],
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("story", self.story)
            .field("repro", &self.repro)
            .finish_non_exhaustive()
    }
}

impl Source<'_> {
    fn cut(&self) -> Option<&Cut> {
        self.repro.and_then(|facts| facts.shrunk.as_ref())
    }
}

/// How the same comes again: bit for bit, or as a coin does.
fn exact(source: &Source<'_>) -> bool {
    let environment = source.story.started.as_ref().map_or("", |started| started.environment.as_str());
    [EXACT.name, SIM.name].contains(&environment)
}

/// The page.
pub fn html(source: &Source<'_>) -> String {
    let scene = Scene::of(source.story, source.record);
    let tale = tale::tell(&scene);
    let (headline, lede) = tale::headline(&scene);
    let title = format!("seedfault: {headline}");
    let started = source.story.started.as_ref();
    let bar = vec![
        html! { b { "seedfault" } " report of a run" },
        html! { "target " (started.map_or("unknown", |started| started.target.as_str())) },
        html! { "environment " (started.map_or("unknown", |started| started.environment.as_str())) },
        html! { (started.map_or(String::new(), |started| started.started_at.replace('T', " ").replace('Z', " UTC"))) },
    ];
    let head = head(source, &scene, &headline, &lede);
    let main = html! {
        main {
            @for remark in source.remarks { p.sub { "Note: " (remark) } }
            (story(source, &scene, &tale))
            (drawn(source, &scene, &tale))
            @if let Some(original) = source.original { (removed::section(&scene, original, source.cut())) }
            @if source.story.verdict() == Verdict::Fail {
                section.pb { h2 { "Evidence" } (tables::proof(&scene)) }
            }
            section { h2 { "All checks" } p.sub { (checks_told(source)) } (tables::checks(&scene, source.claims)) }
            section {
                h2 { "What the servers wrote, and what it means" }
                p.sub { "Lines of all nodes in one order, by logical time. What a server calls a node by its id is the node’s name here. Grey rows are ours." }
                (tables::logs(&scene, started.map_or("", |started| started.target.as_str())))
            }
            (foot(source))
        }
    };
    page(&title, &bar, &head, &main)
}

/// The story alone, in numbered sentences.
pub fn sentences(story: &Story, record: Option<&Record>) -> Vec<String> {
    numbered(&tale::tell(&Scene::of(story, record)))
}

fn numbered(tale: &[tale::Sentence]) -> Vec<String> {
    let told = |(number, one): (usize, &tale::Sentence)| {
        format!("{}. {} s: {}", number + 1, seconds(one.at, 3), one.plain)
    };
    tale.iter().enumerate().map(told).collect()
}

fn checks_told(source: &Source<'_>) -> String {
    let count =
        |verdict: Verdict| source.story.judgements.iter().filter(|one| one.verdict == verdict).count();
    let unknown = count(Verdict::Unknown);
    let rest = if unknown > 0 { " A check that could not see enough says unknown, never pass." } else { "" };
    format!(
        "{} failed, {} passed, {} had nothing to claim here, {unknown} could not decide.{rest}",
        count(Verdict::Fail),
        count(Verdict::Pass),
        count(Verdict::NotOwed) + count(Verdict::Voided)
    )
}

fn head(source: &Source<'_>, scene: &Scene<'_>, headline: &str, lede: &str) -> Markup {
    let story = source.story;
    let failed = tale::failed(scene);
    let finished = story.finished.as_ref();
    let verdict = story.verdict();
    let (class, sign) = match verdict {
        Verdict::Fail => ("tag bad", "✕"),
        Verdict::Pass | Verdict::NotOwed => ("tag t-ok", "✓"),
        Verdict::Unknown | Verdict::Voided => ("tag t-unk", "?"),
    };
    let again = finished.map(|finished| finished.reproduce.clone()).or_else(|| story.again.clone());
    html! {
        p.verdict {
            span class=(class) { (sign) " " (status(verdict)) }
            @for judged in failed.iter().take(4) { " " span.tag.t-bad { (judged.check) } }
        }
        h1 { (headline) }
        p.lede { (lede) }
        @if let Some(smallest) = source.smallest {
            p.lede { "A smaller timeline fails in the same way: " a href=(format!("{smallest}/report.html")) { "its report" } "." }
        }
        @if let Some(again) = &again { (command(again, "does this run again")) }
        (facts(&facts_of(source, scene)))
    }
}

/// How often it fails, in words.
fn rate_told(source: &Source<'_>, rate: Rate) -> String {
    often(rate.failed, rate.runs, exact(source))
}

/// Whether this run is what was saved of an earlier one.
fn again(source: &Source<'_>) -> Markup {
    let finished = source.story.finished.as_ref();
    match (source.repro, finished) {
        (Some(known), Some(finished)) if known.history_hash == finished.history_hash => {
            html! { b { "again" } " " small { "the same history as was saved, bit for bit" } }
        }
        (Some(known), _)
            if known.checks.iter().any(|check| source.story.failed().any(|one| one.check == *check)) =>
        {
            html! { b { "again" } " " small { "by the check that failed when it was saved" } }
        }
        _ => html! { "not measured " small { span.mono { "fuzz replay --times 20" } " measures it" } },
    }
}

fn facts_of(source: &Source<'_>, scene: &Scene<'_>) -> Vec<Fact> {
    let story = source.story;
    let nothing = || html! {};
    let mut out = Vec::new();
    let failed = tale::failed(scene);
    if !failed.is_empty() {
        let rate = source.cut().and_then(|cut| cut.again);
        out.push(match rate {
            Some(rate) => Fact {
                term: "Reproduced",
                is: html! { b { (rate_told(source, rate)) } },
                note: match source.cut().and_then(|cut| cut.before) {
                    Some(before) => html! { "before it was shrunk: " (rate_told(source, before)) },
                    None => nothing(),
                },
                wide: false,
            },
            None => Fact { term: "Reproduced", is: again(source), note: nothing(), wide: false },
        });
    }
    out.push(Fact {
        term: "Grade",
        is: html! { b { (if exact(source) { "exact" } else { "logical" }) } },
        note: html! { (if exact(source) { "same timeline, same history, bit for bit" } else { "the same events at the same logical times, on real clocks" }) },
        wide: false,
    });
    let events = story.plan.as_ref().map_or(0, |plan| plan.events.len() as u64);
    out.push(match source.cut() {
        Some(cut) => Fact {
            term: "Smallest timeline",
            is: html! { b { (counted(events, "event")) } " of " (thousands(cut.events)) },
            note: if cut.minimal {
                html! { "take any one away and it passes; " (counted(cut.runs, "run")) " to find" }
            } else {
                html! { "found in " (counted(cut.runs, "run")) "; whether fewer would do was not shown" }
            },
            wide: false,
        },
        None => Fact {
            term: "Timeline",
            is: html! { b { (counted(events, "event")) } },
            note: html! { (counted(scene.acts.len() as u64, "event")) " applied" },
            wide: false,
        },
    });
    if let Some(finished) = &story.finished {
        let faster = finished.virtual_ms.checked_div(finished.wall_ms.max(1)).unwrap_or(0);
        out.push(Fact {
            term: "Duration",
            is: html! { b { (seconds(finished.virtual_ms as i64 * 1000, 1)) " s" } " logical, " b { (seconds(finished.wall_ms as i64 * 1000, 1)) " s" } " wall" },
            note: if faster > 1 { html! { (faster) " times faster than real time" } } else { nothing() },
            wide: false,
        });
    }
    if let Some((claim, promised)) =
        failed.first().and_then(|judged| (source.claims)(&judged.check, source.story.target()))
    {
        out.push(Fact {
            term: "What the check claims",
            is: html! { (capital(claim)) "." },
            note: html! { "Source: " (promised) },
            wide: true,
        });
    }
    if let Some(started) = &story.started {
        let token = source.cut().and_then(|cut| cut.token.as_deref());
        out.push(Fact {
            term: "Seed",
            is: html! { span.mono { (started.seed) } @if let Some(token) = token { br; span.mono { (token) } } },
            note: if token.is_some() { html! { "and its token: seed, kept events, schedule key, catalogue" } } else { nothing() },
            wide: false,
        });
        let plan = story.plan.as_ref();
        let shape = if scene.words.group {
            format!("{} members", u32::from(started.replicas) + 1)
        } else {
            format!(
                "{} × {} nodes",
                counted(u64::from(started.shards), "shard"),
                u32::from(started.replicas) + 1
            )
        };
        out.push(Fact {
            term: "Versions",
            is: html! { (tale::server(started)) },
            note: html! {
                (shape) "; seedfault " (started.version)
                @if let Some(plan) = plan { ", catalogue " (plan.catalogue) ", profile " (plan.profile) }
                @if let Some(plan) = plan.filter(|plan| !plan.bugs.is_empty()) { "; bugs switched on: " (plan.bugs.join(", ")) }
            },
            wide: false,
        });
    }
    out
}

fn story(source: &Source<'_>, scene: &Scene<'_>, tale: &[tale::Sentence]) -> Markup {
    let minimal = source.cut().is_some_and(|cut| cut.minimal);
    let events = source.story.plan.as_ref().map_or(0, |plan| plan.events.len() as u64);
    html! {
        section.two aria-label="story" {
            div {
                h2 id="story" { "What happened" }
                @if scene.acts.len() + 2 > tale::SENTENCES_MAX && !tale.is_empty() {
                    p.sub { "What matters most of it, in its order; every event stands in the table." }
                }
                @if tale.is_empty() { p.sub { "Nothing was done to the cluster, and nothing was seen to change." } }
                ol.story {
                    @for (number, sentence) in tale.iter().enumerate() {
                        @let number = number + 1;
                        li id=(format!("s{number}")) data-k=(number) {
                            a.num href=(format!("#m{number}")) aria-label=(format!("{number}: show in the drawing")) { (number) }
                            p { (sentence.text) " " span.t {
                                (seconds(sentence.at, 3))
                                @if let Some(until) = sentence.until { "–" (seconds(until, 3)) }
                                " s"
                            } }
                        }
                    }
                }
            }
            div {
                h2 { @if source.cut().is_some() { @if events == 1 { "The one event that is enough" } @else { "The " (counted(events, "event")) " that are enough" } } @else { "What was done" } }
                p.sub { "As applied, with the nodes they resolved to." @if let Some(plan) = &source.story.plan { @if plan.load != "none" { " Beside it: " (plan.load) "." } } }
                @if source.story.applied.is_empty() { p.sub { "No event was applied." } }
                @else { (tables::events(scene, if minimal { Without::Passes } else { Without::NotTried })) }
            }
        }
    }
}

/// How much of the time before what broke, and after it, the second drawing shows.
const BEFORE: i64 = 1_500_000;
const AFTER: i64 = 700_000;
/// A drawing of the moment that would show nearly all shows nothing new.
const NEARLY_ALL: i64 = 60;

/// The stretch of the second drawing: from before the last event that matters to after what broke.
fn moment(scene: &Scene<'_>) -> Option<(i64, i64)> {
    let broken = scene.broken?;
    let near = scene.acts.iter().rev().find(|act| act.from <= broken)?;
    let (from, to) = ((near.from - BEFORE).max(scene.from), (broken + AFTER).min(scene.to));
    ((to - from) * 100 < (scene.to - scene.from) * NEARLY_ALL).then_some((from, to))
}

fn drawn(source: &Source<'_>, scene: &Scene<'_>, tale: &[tale::Sentence]) -> Markup {
    if scene.lanes.is_empty() {
        return html! { section { h2 { "The run, drawn" } p.sub { "No node was started: there is nothing to draw." } } };
    }
    let whole = Scale::whole(scene.from, scene.to);
    let all = lanes::draw(scene, &whole, lanes::THIN, &lanes::order(scene, None), tale, &[]);
    let length = seconds(scene.to - scene.from, 1);
    let moment = moment(scene);
    let close = moment.map(|(from, to)| {
        let sent = messages::within(scene, from, to);
        let scale = messages::scale(scene, &sent, (from, to));
        let mut only = nodes_close(scene);
        only.extend(messages::voters(&sent));
        let drawing = lanes::draw(scene, &scale, lanes::WIDE, &lanes::order(scene, Some(&only)), tale, &sent);
        (scale, drawing, scene.lanes.len() - only.len(), sent.len())
    });
    let described = tale
        .iter()
        .map(|one| format!("{} s: {}", seconds(one.at, 3), one.plain))
        .collect::<Vec<_>>()
        .join(" ");
    html! {
        section.pb {
            h2 { "The run, drawn" }
            (lanes::legend(scene))
            (figure(&Figure {
                id: "f1",
                title: "Figure 1. The whole run.".into(),
                caption: html! { "Logical time from left to right, " (length) " s. What a node was is as it said itself at looks up to a second apart." },
                description: described.clone(),
                height: all.height,
                names: all.names,
                plot: all.plot,
                scale: Some(&whole),
                first: scene.broken.map_or(0, |at| (whole.x(at) - 2000).max(0)),
            }))
            @if let Some((scale, drawing, left, sent)) = close {
                (figure(&Figure {
                    id: "f2",
                    title: "Figure 2. The moment.".into(),
                    caption: html! {
                        "The same, " ((scene.to - scene.from) / (scale.to() - scale.from()).max(1)) " times as wide"
                        @if left > 0 { ", without the " (counted(left as u64, "node")) " that had no part in it" } "."
                        @if sent > 0 { " Arrows are messages of the cluster bus that are no gossip; dashed: votes given." }
                    },
                    description: described,
                    height: drawing.height,
                    names: drawing.names,
                    plot: drawing.plot,
                    scale: Some(&scale),
                    first: 0,
                }))
            }
            @if let Some(record) = source.record {
                @let drawing = measured::draw(scene, record, &whole);
                (figure(&Figure {
                    id: "f3",
                    title: format!("Figure {}. {}", if moment.is_some() { 3 } else { 2 }, if scene.words.group { "Who led, and what was measured." } else { "Who owned the slots, and what was measured." }),
                    caption: html! { "The same time as figure 1. Grey: while a fault was in force." },
                    description: "Owners of slots, operations a second by outcome, latency, and positions announced, over the run.".into(),
                    height: drawing.height,
                    names: drawing.names,
                    plot: drawing.plot,
                    scale: Some(&whole),
                    first: scene.broken.map_or(0, |at| (whole.x(at) - 2000).max(0)),
                }))
            } @else {
                p.sub { "The run left no record: what clients and nodes said is not drawn." }
            }
        }
    }
}

/// The lanes of a whole run, without the numbers of a story.
fn figure_of_lanes(scene: &Scene<'_>, scale: &Scale, id: &str, title: String) -> Markup {
    let drawing = lanes::draw(scene, scale, lanes::THIN, &lanes::order(scene, None), &[], &[]);
    figure(&Figure {
        id,
        description: title.clone(),
        title,
        caption: html! { "Logical time from left to right." },
        height: drawing.height,
        names: drawing.names,
        plot: drawing.plot,
        scale: Some(scale),
        first: 0,
    })
}

/// The nodes of the shards that had a part in it.
fn nodes_close(scene: &Scene<'_>) -> BTreeSet<NodeId> {
    let involved = scene.involved();
    let shards: BTreeSet<Option<u16>> =
        scene.lanes.iter().filter(|lane| involved.contains(&lane.node)).map(|lane| lane.shard).collect();
    let near = |lane: &&scene::Lane| shards.contains(&lane.shard) || involved.contains(&lane.node);
    scene.lanes.iter().filter(near).map(|lane| lane.node).collect()
}

fn foot(source: &Source<'_>) -> Markup {
    const FILES: &[(&str, &str)] = &[
        ("events.jsonl", "what the run told, an event a line"),
        ("heals.jsonl", "what undoes each fault"),
        ("history.jsonl", "every operation of every client, with its call and its return"),
        ("links.tsv", "what each link carried and lost"),
        ("record.json", "all that the checks judge: events, views, history, logs"),
        ("repro.yaml", "the timeline with what is known of it"),
        ("run.log", "what the run’s process wrote to standard error"),
        ("timeline.yaml", "the timeline, materialised; it runs without the seed"),
        ("verdict.json", "the last word: verdict, hashes, findings"),
    ];
    let finished = source.story.finished.as_ref();
    let digests: Vec<(&str, String)> = finished.map_or_else(Vec::new, |finished| {
        let mut all = vec![
            ("timeline", finished.timeline_hash.clone()),
            ("schedule", finished.schedule_hash.clone()),
            ("history", finished.history_hash.clone()),
        ];
        all.extend(finished.trace_hash.clone().map(|hash| ("every turn", hash)));
        if let Some(image) = &finished.image {
            all.extend([
                ("server binary", image.server.clone()),
                ("C library", image.libc.clone()),
                ("kernel", image.kernel.clone()),
            ]);
        }
        all
    });
    html! {
        section.two aria-label="the run folder" {
            div {
                h2 { "The run folder" }
                div.kv { @for (name, size) in source.files {
                    span.mono { (name) }
                    span { @if let Some((_, what)) = FILES.iter().find(|(known, _)| known == name) { (what) ", " } (size_told(*size)) }
                } }
            }
            div {
                h2 { "Digests" }
                div.kv { @for (what, hash) in digests.iter().filter(|(_, hash)| !hash.is_empty()) { span { (what) } span.mono { (hash) } } }
                h3 { "How to read this page" }
                p.sub {
                    "Time is logical: seconds since the cluster was first healthy; the same in drawings, tables and logs. "
                    b { "Fail" } " means that a stated claim was broken, with the evidence shown. "
                    b { "Unknown" } " means that the evidence was not enough. "
                    b { "Acknowledged" } " means that the client was told OK."
                    @if source.story.plan.is_some() && source.record.is_some() && source.story.started.as_ref().is_some_and(|started| started.environment == LIVE.name) {
                        " Times of a live run are real: another run of the same timeline differs in its details."
                    }
                }
            }
        }
    }
}

fn size_told(bytes: u64) -> String {
    match bytes {
        0..1_000 => counted(bytes, "byte"),
        1_000..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
    }
}
