//! The tables of the report: events, checks, what proves the failure, what the servers wrote, the folder.

use super::scene::Scene;
use super::tale::{LEADS, prose};
use crate::check::{Judgement, Verdict};
use crate::env::NodeId;
use crate::history::{Operation, Value};
use crate::page::draw::seconds;
use crate::report::names::{capital, check_status, counted, sign, thousands};
use crate::report::text::Claims;
use crate::run::record::{Applied, LogLine, Record, Status};
use crate::target;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// How many events are shown before the rest is folded.
const EVENTS_MAX: usize = 12;
const KEYS_MAX: usize = 10;
const VIEWS_MAX: usize = 16;
/// How many lines of logs are shown, and how many of those folded below each.
const LINES_MAX: usize = 90;
const FOLD_MAX: usize = 12;
const LINE_LENGTH_MAX: usize = 400;

/// What became of the events when each was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// Shrinking showed that none can be left out.
    Passes,
    NotTried,
}

pub fn events(scene: &Scene<'_>, without: Without) -> Markup {
    let story = scene.story;
    let rows: Vec<&(i64, Applied)> = story.applied.iter().collect();
    let (shown, folded) = rows.split_at(rows.len().min(EVENTS_MAX));
    let minimal = without == Without::Passes;
    let row = |number: usize, at: i64, applied: &Applied| {
        let planned = story.planned(&applied.event);
        let fields = planned.map_or("", |planned| planned.fields.as_str());
        let starts =
            planned.map_or_else(|| format!("at {} s", seconds(at, 3)), |planned| planned.start.clone());
        let lasts = planned.and_then(|planned| planned.lasts.as_deref());
        let nodes: Vec<String> = applied.resolved.iter().map(ToString::to_string).collect();
        let (class, outcome) = match &applied.status {
            Status::Applied => ("", String::new()),
            Status::Skipped(why) => ("t-unk", format!("? skipped: {why}")),
            Status::Failed(why) => ("t-unk", format!("✕ failed: {why}")),
        };
        html! {
            tr {
                td.r { b { (number) } }
                td {
                    span.mono.b { (applied.action) } @if !fields.is_empty() { " " span.t-2 { (fields) } }
                    @if !nodes.is_empty() { br; (nodes.join(", ")) }
                    @if !outcome.is_empty() { br; span class=(class) { (outcome) } }
                }
                td { (starts) @if let Some(lasts) = lasts { br; "for " (lasts) } br; span.t-2 { (seconds(at, 3)) " s" } }
                @if minimal { td.nw { span.t-ok { "✓ passes" } } }
            }
        }
    };
    html! {
        div.wrap { table.cards {
            thead { tr { th {} th { "Event" } th { "Starts" } @if minimal { th { "Without it" } } } }
            tbody { @for (number, (at, applied)) in shown.iter().enumerate() { (row(number + 1, *at, applied)) } }
        } }
        @if !folded.is_empty() {
            details { summary { (counted(folded.len() as u64, "event")) " more" }
                div.wrap { table.cards { tbody {
                    @for (number, (at, applied)) in folded.iter().enumerate() { (row(EVENTS_MAX + number + 1, *at, applied)) }
                } } }
            }
        }
    }
}

/// Every check, the broken ones first, the undecided ones last.
pub fn checks(scene: &Scene<'_>, claims: Claims<'_>) -> Markup {
    let mut judged: Vec<&Judgement> = scene.story.judgements.iter().collect();
    let order = |verdict: Verdict| match verdict {
        Verdict::Fail => 0,
        Verdict::Pass => 1,
        Verdict::NotOwed | Verdict::Voided => 2,
        Verdict::Unknown => 3,
    };
    judged.sort_by_key(|one| {
        (order(one.verdict), LEADS.iter().position(|(name, _)| *name == one.check).unwrap_or(LEADS.len()))
    });
    let count = |verdict: Verdict| judged.iter().filter(|one| one.verdict == verdict).count();
    let kinds = [
        ("fail", "✕ fail", count(Verdict::Fail)),
        ("pass", "✓ pass", count(Verdict::Pass)),
        ("none", "– not owed", count(Verdict::NotOwed) + count(Verdict::Voided)),
        ("unknown", "? unknown", count(Verdict::Unknown)),
    ];
    html! {
        p.tools.js role="group" aria-label="filter" {
            button type="button" data-group="checks" data-filter="all" aria-pressed="true" { "all " (judged.len()) }
            @for (word, label, count) in kinds.iter().filter(|(_, _, count)| *count > 0) {
                button type="button" data-group="checks" data-filter=(word) aria-pressed="false" { (label) " " (count) }
            }
        }
        div.wrap { table.cards {
            thead { tr { th { "Check" } th { "Verdict" } th { "What it looked at" } th { "What it saw" } } }
            tbody {
                @for one in &judged {
                    @let (class, word) = match one.verdict {
                        Verdict::Fail => ("t-bad b", "fail"),
                        Verdict::Pass => ("t-ok", "pass"),
                        Verdict::NotOwed | Verdict::Voided => ("t-2", "none"),
                        Verdict::Unknown => ("t-unk", "unknown"),
                    };
                    tr data-in="checks" data-is=(word) class=[(one.verdict == Verdict::Fail).then_some("hot")] {
                        th scope="row" {
                            span.mono { (one.check) }
                            @if let Some((claim, source)) = claims(&one.check, scene.story.target()) {
                                details { summary { "claim" } (claim) br; span.t-2 { "Source: " (source) } }
                            }
                        }
                        td.nw { span class=(class) { (sign(one.verdict)) " " (check_status(one.verdict).to_lowercase()) } }
                        td { (if one.looked_at.is_empty() { "nothing".into() } else { prose(&one.looked_at) }) }
                        td {
                            (prose(&scene.in_names(&one.reason)))
                            @for (class, count) in &one.classes { br; span.t-2 { (thousands(*count)) " " (class) } }
                        }
                    }
                }
            }
        } }
    }
}

/// What a failed check rests on: its evidence, the keys, the operations, the views.
pub fn proof(scene: &Scene<'_>) -> Markup {
    let failed = super::tale::failed(scene);
    html! {
        @for judged in &failed {
            @if !judged.evidence.is_empty() {
                h3 { (judged.check) ", in particulars" }
                ul.proof { @for line in &judged.evidence { li { (prose(&scene.in_names(line))) } } }
            }
            @if let Some(record) = scene.record {
                @match judged.check.as_str() {
                    "acknowledged_loss" | "data_consistency" => { (keys(scene, record, judged)) }
                    "linearizability" => { (operations(scene, record, judged)) }
                    _ => {}
                }
            }
        }
        @if let Some(record) = scene.record.filter(|_| !failed.is_empty()) { (views(scene, record)) }
    }
}

fn brief(value: &Value) -> String {
    let text = match value {
        Value::Missing => "not there".into(),
        Value::Text(text) => format!("‘{text}’"),
        Value::Number(number) => number.to_string(),
        Value::List(items) => format!("a list of {}", items.len()),
        Value::Set(items) => format!("a set of {}", items.len()),
    };
    cut(&text, 40)
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.into() } else { text.chars().take(most).chain(['…']).collect() }
}

/// The keys that the evidence names: who holds what in the end.
fn keys(scene: &Scene<'_>, record: &Record, judged: &Judgement) -> Markup {
    let Some(last) = &record.last else { return html! {} };
    let texts: Vec<&str> =
        std::iter::once(judged.reason.as_str()).chain(judged.evidence.iter().map(String::as_str)).collect();
    let named: Vec<_> = last
        .dump
        .iter()
        .filter(|dump| texts.iter().any(|text| text.contains(&dump.key.to_string())))
        .take(KEYS_MAX)
        .collect();
    if named.is_empty() {
        return html! {};
    }
    let group = scene.words.group;
    html! {
        h3 { "The keys named, in the end" }
        div.wrap { table.cards {
            thead { tr {
                th { "Key" } @if !group { th.r { "Slot" } } th { "Last acknowledged write" } th { "As a client reads it" }
                th { (capital(scene.words.replica)) "s hold" } th { "Held astray by" }
            } }
            tbody { @for dump in named {
                @let write = record.history.iter().rev().find(|one| one.key == dump.key && one.acknowledged_write());
                tr {
                    th scope="row" { span.mono { (dump.key) } }
                    @if !group { td.r { (thousands(u64::from(dump.slot))) } }
                    td { @match write {
                        Some(one) => {
                            (one.kind) @if let Some(argument) = &one.argument { " " (cut(argument, 40)) } ", "
                            (seconds(scene.since(one.complete.logical), 3)) " s"
                            @if let Some(node) = one.node { ", by " (node) }
                        }
                        None => "none",
                    } }
                    td { @match &dump.value { Ok(value) => (brief(value)), Err(why) => { span.t-unk { "? " (why) } } } }
                    td { @for (number, (node, held)) in dump.replicas.iter().enumerate() {
                        @if number > 0 { br; }
                        (node) ": " @match held { Ok(value) => (brief(value)), Err(why) => { "? " (why) } }
                    } }
                    td class=[(!dump.strays.is_empty()).then_some("diff")] {
                        (dump.strays.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
                    }
                }
            } }
        } }
    }
}

/// The operations on the first key that the evidence names, around the ones it names.
fn operations(scene: &Scene<'_>, record: &Record, judged: &Judgement) -> Markup {
    const AROUND: usize = 12;
    let key =
        judged.evidence.first().unwrap_or(&judged.reason).split(": ").next().unwrap_or_default().to_string();
    let of_key: Vec<&Operation> = record.history.iter().filter(|one| one.key.to_string() == key).collect();
    let moments = super::scene::moments(judged.evidence.first().unwrap_or(&judged.reason));
    let Some((first, last)) = moments.iter().min().zip(moments.iter().max()) else { return html! {} };
    let near: Vec<&&Operation> = of_key
        .iter()
        .filter(|one| {
            let (from, to) = (scene.since(one.invoke.logical), scene.since(one.complete.logical));
            to >= first - 1_000_000 && from <= last + 1_000
        })
        .collect();
    let shown = &near[near.len().saturating_sub(AROUND)..];
    if shown.is_empty() {
        return html! {};
    }
    html! {
        h3 { "The last operations on " span.mono { (key) } " up to then (" (shown.len()) " of " (thousands(of_key.len() as u64)) ")" }
        div.wrap { table.cards {
            thead { tr { th { "Asked, s" } th { "Answered, s" } th { "Client" } th { "Node" } th { "Operation" } th { "Answer" } } }
            tbody { @for one in shown {
                tr {
                    td.r { (seconds(scene.since(one.invoke.logical), 3)) }
                    td.r { (seconds(scene.since(one.complete.logical), 3)) }
                    td { (one.client) }
                    td { @if let Some(node) = one.node { (node) } }
                    td { (one.kind) @if let Some(argument) = &one.argument { " " (cut(argument, 40)) } }
                    td { @match &one.outcome {
                        crate::history::Outcome::Ok(value) => { span.t-ok { "✓ " } (brief(value)) }
                        crate::history::Outcome::Fail(why) => { span.t-bad { "✕ " } (cut(why, 80)) }
                        crate::history::Outcome::Unknown(why) => { span.t-unk { "? " } (cut(why, 80)) }
                    } }
                }
            } }
        } }
    }
}

/// What every node said of itself at the first view that shows what is wrong, or the last.
fn views(scene: &Scene<'_>, record: &Record) -> Markup {
    let at = scene.broken.unwrap_or(scene.to);
    let all: Vec<_> = record.views.iter().chain(record.last.iter().map(|last| &last.view)).collect();
    let Some(view) = all.iter().find(|view| scene.since(view.at) >= at).or(all.last()) else {
        return html! {};
    };
    let involved = scene.involved();
    let mut nodes: Vec<_> = view.nodes.iter().collect();
    nodes.sort_by_key(|one| (!involved.contains(&one.node), one.node));
    let left = nodes.len().saturating_sub(VIEWS_MAX);
    let ids: BTreeMap<&str, NodeId> =
        view.answered().map(|(node, report)| (report.id.as_str(), node)).collect();
    let group = scene.words.group;
    let slots = |slots: &[(u16, u16)]| -> String {
        let ranges: Vec<String> = slots
            .iter()
            .take(6)
            .map(|(a, b)| if a == b { a.to_string() } else { format!("{a}–{b}") })
            .collect();
        let more = if slots.len() > 6 { format!(" and {} more", slots.len() - 6) } else { String::new() };
        if ranges.is_empty() { "–".into() } else { format!("{}{more}", ranges.join(", ")) }
    };
    html! {
        h3 { "What each node said of itself at " (seconds(scene.since(view.at), 3)) " s" }
        div.wrap { table.mid {
            thead { tr {
                th { "Node" } th { "Says it is" } th.r { (capital(scene.words.epoch)) }
                @if !group { th { "Own slots" } } th { "Link to its " (scene.words.primary) } th.r { "Position" } th { "Cluster" }
            } }
            tbody { @for one in nodes.iter().take(VIEWS_MAX) {
                tr class=[involved.contains(&one.node).then_some("hot")] {
                    th scope="row" { (one.node) }
                    @match &one.report {
                        Err(why) => { td colspan=(if group { "5" } else { "6" }) { span.t-unk { "? no answer: " (cut(why, 100)) } } }
                        Ok(report) => {
                            @let me = report.myself();
                            @let primary = me.and_then(|me| me.primary.as_deref()).and_then(|id| ids.get(id));
                            td {
                                (if report.replication.role == crate::timeline::Role::Primary { scene.words.primary } else { scene.words.replica })
                                @if let Some(primary) = primary { " of " (primary) }
                            }
                            td.r { (if group { report.current_epoch } else { me.map_or(report.current_epoch, |me| me.config_epoch) }) }
                            @if !group { td { (slots(report.own_slots())) } }
                            td { @if report.replication.role == crate::timeline::Role::Primary { "–" } @else if report.replication.link_up { "up" } @else { span.t-bad { "✕ down" } } }
                            td.r { (thousands(report.replication.offset)) }
                            td { (report.state) }
                        }
                    }
                }
            } }
        } }
        @if left > 0 { p.sub { (counted(left as u64, "node")) " more in " span.mono { "record.json" } "." } }
    }
}

/// A line of the table of logs.
struct Line<'a> {
    at: i64,
    node: Option<NodeId>,
    said: String,
    means: Option<&'a str>,
}

/// What the servers wrote that has a meaning, in one order, with what we did between; the rest folded.
pub fn logs(scene: &Scene<'_>, target: &str) -> Markup {
    let from = scene.acts.first().map_or(0, |act| act.from) - 500_000;
    let all: Vec<&LogLine> = match scene.record {
        Some(record) => record.log_lines.iter().collect(),
        None => scene.story.log.iter().map(|(_, line)| line).collect(),
    };
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut early = 0u64;
    for line in all {
        let at = scene.since(line.at);
        if at < from {
            early += 1;
            continue;
        }
        let (said, means) = target::meaning(target, &line.line);
        lines.push(Line {
            at,
            node: Some(line.node),
            said: scene.in_names(&cut(said, LINE_LENGTH_MAX)),
            means,
        });
    }
    for act in &scene.acts {
        lines.push(Line { at: act.from, node: None, said: act.label.clone(), means: Some("What we did.") });
    }
    lines.sort_by_key(|line| (line.at, line.node));
    // Of many nodes that say the same within two seconds, the first is told and the others are folded.
    let mut shown: Vec<(Line<'_>, Vec<Line<'_>>)> = Vec::new();
    let mut told: BTreeMap<&str, i64> = BTreeMap::new();
    for line in lines {
        let ours = line.node.is_none();
        let again = |means: &str| !ours && told.get(means).is_some_and(|at| line.at - at < 2_000_000);
        if line.means.is_none_or(again) || shown.len() >= LINES_MAX {
            match shown.last_mut() {
                Some((_, folded)) => folded.push(line),
                None => early += 1,
            }
        } else {
            told.extend(line.means.map(|means| (means, line.at)));
            shown.push((line, Vec::new()));
        }
    }
    html! {
        @if shown.is_empty() { p.sub { "No server wrote anything that means something here." } }
        @else { div.logs id="logs" {
            div.lr.hd { span.tm { "time, s" } span { "node" } span {} span { "log line" } span { "in plain words" } }
            @for (line, folded) in &shown {
                div class=(if line.node.is_none() { "lr us" } else { "lr" }) {
                    span.tm { (seconds(line.at, 3)) }
                    span.b { @match line.node { Some(node) => (node), None => "seedfault" } }
                    span {}
                    span.mono { (line.said) }
                    span.w { (line.means.unwrap_or_default()) }
                }
                @if !folded.is_empty() {
                    @let kept = folded.len().min(FOLD_MAX);
                    div.fold { details {
                        summary { (counted(folded.len() as u64, "line")) " folded" }
                        pre { @for one in folded.iter().take(kept) {
                            (seconds(one.at, 3)) " " @if let Some(node) = one.node { (node) " " } (one.said) "\n"
                        } @if folded.len() > kept { "… " (folded.len() - kept) " more in nodes/*/server.log" } }
                    } }
                }
            }
        } }
        @if early > 0 { p.sub { (counted(early, "line")) " from before the first event are left out." } }
    }
}
