//! What stands above and below the drawings: what goes on, in a sentence; the nodes, the events, the checks.

use super::lanes::{Lane, Scene, State};
use super::{Frame, Now};
use crate::check::Verdict;
use crate::page::chrome::{self, Fact};
use crate::page::draw;
use crate::report::names::{counted, sign, thousands};
use crate::report::story::Story;
use crate::report::visible::on_one_line as shown;
use crate::run::event::Phase;
use crate::run::record::Status;
use maud::{Markup, html};

/// How many events are listed, those that happened and those to come.
const EVENTS_MAX: usize = 40;
const TO_COME_MAX: usize = 3;

fn time(at: i64) -> String {
    draw::seconds(at, 3)
}

pub(super) fn title(story: &Story) -> String {
    let seed = story.started.as_ref().map_or_else(String::new, |started| format!("seed {}: ", started.seed));
    format!("{seed}{}", state(story).0)
}

/// In short, and the class of it.
fn state(story: &Story) -> (&'static str, &'static str) {
    if story.finished.is_some() {
        return match story.verdict() {
            Verdict::Fail => ("✕ failed", "tag bad"),
            Verdict::Pass | Verdict::NotOwed => ("✓ passed", "tag t-ok"),
            Verdict::Unknown | Verdict::Voided => ("? unknown", "tag t-unk"),
        };
    }
    let told = match story.phase {
        None => "▶ starting",
        Some(Phase::Boot) => "▶ running: the cluster forms",
        Some(Phase::Safety) => "▶ running: safety phase",
        Some(Phase::Heal) => "▶ running: faults are healed",
        Some(Phase::Settle) => "▶ running: the cluster is to settle",
        Some(Phase::Check) => "▶ running: it is judged",
    };
    (told, "tag")
}

fn headline(story: &Story, scene: &Scene) -> String {
    if let Some(finished) = &story.finished {
        return match (finished.verdict, finished.findings.first(), &finished.error) {
            (Verdict::Fail, Some(first), _) => shown(first).into(),
            (Verdict::Fail, None, _) => "A check failed.".into(),
            (Verdict::Pass | Verdict::NotOwed, ..) => {
                let passed = story.judgements.iter().filter(|judged| judged.verdict == Verdict::Pass).count();
                format!("The run passed: {} found nothing.", counted(passed as u64, "check"))
            }
            (_, _, Some(error)) => format!("The run could not be decided: {}", shown(error)),
            _ => "The run could not be decided.".into(),
        };
    }
    match story.phase {
        None => "The run starts.".into(),
        Some(Phase::Boot) => "The cluster forms.".into(),
        Some(Phase::Check) => "The checks look at what was recorded.".into(),
        Some(_) => {
            let gaps = scene.without_primary();
            match &gaps[..] {
                [] => {
                    let up = scene.lanes.iter().filter(|lane| lane.state() == State::Up).count();
                    format!(
                        "{up} of {} run; every shard has a primary.",
                        counted(scene.lanes.len() as u64, "node")
                    )
                }
                [(shard, since)] => {
                    format!("Shard {shard} has had no running primary for {} s.", time(scene.now - since))
                }
                [(_, since), ..] => {
                    let first = gaps.iter().map(|(_, since)| *since).min().unwrap_or(*since);
                    format!(
                        "{} shards have no running primary, the first for {} s.",
                        gaps.len(),
                        time(scene.now - first)
                    )
                }
            }
        }
    }
}

fn lede(story: &Story, now: &Now) -> Markup {
    html! {
        @match (&story.finished, now.is_last) {
            (None, _) => "No verdict yet: the cluster is judged when it has settled.",
            (Some(finished), is_last) => {
                @if is_last { "The run is over. " } @else { "The run is over; the command goes on. " }
                "Its folder is " span.mono { (shown(&finished.run)) } ". "
                @for (name, to) in &now.links { a href=(to) data-keep="" { (name) } " " }
            }
        }
    }
}

/// How far it is, of a hundred: forming, the load, what follows it, the judgement.
fn far(story: &Story) -> u64 {
    let length = story.plan.as_ref().map_or(0, |plan| plan.length_ms as i64 * 1000).max(1);
    match story.phase {
        _ if story.finished.is_some() => 100,
        None => 0,
        Some(Phase::Boot) => 3,
        Some(Phase::Safety) => 6 + (story.last_at_us.clamp(0, length) * 74 / length) as u64,
        Some(Phase::Heal) => 82,
        Some(Phase::Settle) => 86,
        Some(Phase::Check) => 96,
    }
}

fn progress(story: &Story) -> Markup {
    let far = far(story);
    let length = story.plan.as_ref().map_or(0, |plan| plan.length_ms);
    let told = match story.phase {
        _ if story.finished.is_some() => "over".into(),
        Some(Phase::Safety) => {
            format!(
                "safety, {} of {} s",
                draw::seconds(story.last_at_us, 1),
                draw::seconds(length as i64 * 1000, 1)
            )
        }
        Some(phase) => phase.to_string(),
        None => "start".into(),
    };
    html! {
        div style="margin:18px 0 0" {
            svg width="100%" height="34" role="img" aria-label=(format!("{far} of 100: {told}")) style="display:block" {
                rect x="0" y="3" width="100%" height="10" class="zoomb" {}
                rect x="0" y="3" width=(format!("{far}%")) height="10" class="flt" {}
                @for at in ["6%", "80%", "96%"] { line x1=(at) x2=(at) y1="0" y2="16" class="ax" {} }
                text x="0" y="31" class="s f2" { "form" }
                text x="43%" y="31" class="s fb" text-anchor="middle" { (told) }
                text x="88%" y="31" class="s f2 onlyw" text-anchor="middle" { "heal, settle" }
                text x="100%" y="31" class="s f2" text-anchor="end" { "judge" }
            }
        }
    }
}

pub(super) fn head(story: &Story, scene: &Scene, now: &Now) -> Markup {
    let (told, class) = state(story);
    let progressed = story.progress.unwrap_or_default();
    let stretched: u64 = story.stretches.iter().map(|(_, by, _)| by.0).sum();
    let of = |wanted: fn(&Status) -> bool| {
        story.applied.iter().filter(|(_, applied)| wanted(&applied.status)).count() as u64
    };
    let planned = story.plan.as_ref().map_or(0, |plan| plan.events.len()) as u64;
    let facts = [
        Fact {
            term: "Logical clock",
            is: html! { b { (time(story.last_at_us)) " s" } },
            note: html! { "held back: " (thousands(stretched)) " ms" },
            wide: false,
        },
        Fact {
            term: "Wall time",
            is: html! { b { (crate::report::names::seconds(now.wall_ms, 1)) " s" } },
            note: html! { (thousands(progressed.operations)) " operations, " (thousands(progressed.ok)) " acknowledged" },
            wide: false,
        },
        Fact {
            term: "Events",
            is: html! { b { (of(|status| *status == Status::Applied)) " of " (planned) } " applied" },
            note: html! {
                (story.under_way.len()) " under way, " (of(|status| matches!(status, Status::Skipped(_)))) " skipped, " (of(|status| matches!(status, Status::Failed(_)))) " failed"
            },
            wide: false,
        },
        Fact {
            term: "Nodes",
            is: html! {
                b { (scene.lanes.iter().filter(|lane| lane.state() == State::Up).count()) " of " (scene.lanes.len()) } " up"
            },
            note: html! { (counted(scene.without_primary().len() as u64, "shard")) " without a running primary" },
            wide: false,
        },
    ];
    html! {
        div.bar {
            span { b { "seedfault" } " live" }
            @if let Some(started) = &story.started {
                span { "seed " b { (started.seed) } }
                @if let Some(name) = &started.name { span { (shown(name)) } }
                span { @if started.server.is_empty() { (shown(&started.target)) } @else { (shown(&started.server)) } }
                span { (shown(&started.environment)) }
                span { (counted(started.shards.into(), "shard")) " × " (counted(started.replicas.into(), "replica")) }
            }
        }
        p style="margin:20px 0 0" { span class=(class) id="live-state" { (told) } }
        h1 { (headline(story, scene)) }
        p.lede { (lede(story, now)) }
        (progress(story))
        (chrome::facts(&facts))
    }
}

pub(super) fn nodes(story: &Story, scene: &Scene) -> Markup {
    let last = |lane: &Lane| {
        let cluster = story.cluster.as_ref()?;
        cluster.nodes.iter().find(|node| node.node.0 == lane.node)
    };
    html! {
        h2 { "Nodes now" }
        p.sub { @if story.cluster.is_some() { "As they answered at the end." } @else { "By what was seen of their processes and of what they say they are." } }
        div.wrap tabindex="0" role="group" aria-label="nodes now" { table {
            thead { tr { th scope="col" { "Node" } th scope="col" { "Role" } th scope="col" { "Process" } th.r scope="col" { "Starts" } @if story.cluster.is_some() { th scope="col" { "At the end" } } } }
            tbody { @for lane in &scene.lanes { tr {
                th scope="row" class="nw" { "node-" (lane.node) }
                td.nw {
                    @match lane.role() {
                        Some((_, role, shard)) => {
                            @if role == "primary" { "● " } @else { "○ " } (shown(role))
                            @if let Some(shard) = shard { " of shard " (shard) }
                        },
                        None => span.t-2 { "not known yet" },
                    }
                }
                td.nw { @match lane.state() {
                    State::Up => "up",
                    State::Down(_) if lane.lives.is_empty() => span.t-2 { "not started" },
                    State::Down(since) => { "✕ down since " (time(since)) " s" },
                    State::Paused(since) => { "‖ paused since " (time(since)) " s" },
                } }
                td.r { (lane.lives.len()) }
                @if story.cluster.is_some() { td { @match last(lane) {
                    Some(node) => { (shown(&node.state)) @if !node.why.is_empty() { br; span.t-2 { (shown(&node.why)) } } },
                    None => span.t-2 { "–" },
                } } }
            } } }
        } }
    }
}

/// Something that happened: when, its sign, its word, and what there is to say.
struct Happened {
    at: i64,
    sign: &'static str,
    word: String,
    what: String,
}

fn happened(story: &Story) -> Vec<Happened> {
    let mut all = Vec::new();
    for (at, applied) in &story.applied {
        let nodes: Vec<String> = applied.resolved.iter().map(ToString::to_string).collect();
        let (sign, why) = match &applied.status {
            Status::Applied => ("■ applied", applied.detail.clone()),
            Status::Skipped(why) => ("– skipped", why.clone()),
            Status::Failed(why) => ("✕ failed", why.clone()),
        };
        let over = applied.ended.map_or("", |_| ", over");
        let what = [nodes.join(", "), why].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        let word = applied.action.clone();
        all.push(Happened { at: *at, sign, word, what: format!("{}{over}", what.join(": ")) });
    }
    for (id, (at, nodes)) in &story.under_way {
        let word = story.planned(id).map_or("", |planned| planned.action.as_str()).to_string();
        let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        all.push(Happened { at: *at, sign: "▶ under way", word, what: nodes.join(", ") });
    }
    for (at, node, role, shard) in story.roles.iter().skip(story.roles_forming.0) {
        let shard = shard.map_or_else(String::new, |shard| format!(" of shard {shard}"));
        let what = format!("{node} is {role}{shard}");
        all.push(Happened { at: *at, sign: "◇ observed", word: "role".into(), what });
    }
    for (_, life) in &story.lives {
        let node = life.node;
        if let Some((end, exit)) = &life.ended {
            let by = if life.signalled.is_empty() { ", by itself" } else { "" };
            let (at, what) = (end.0 as i64 - story.boot_us, format!("{node}: {exit}{by}"));
            all.push(Happened { at, sign: "◇ observed", word: "exit".into(), what });
        }
    }
    let told = |at: &i64, word: &str, what: &str| Happened {
        at: *at,
        sign: "◇ observed",
        word: word.into(),
        what: what.into(),
    };
    all.extend(story.notes.iter().map(|(at, text)| told(at, "note", text)));
    all.extend(story.stretches.iter().map(|(at, by, why)| told(at, "held back", &format!("{by}: {why}"))));
    for (at, event, judgements) in &story.looks {
        let checks: Vec<String> =
            judgements.iter().map(|judged| format!("{} {}", sign(judged.verdict), judged.check)).collect();
        all.push(told(at, "look", &format!("{event}: {}", checks.join(", "))));
    }
    all.sort_by_key(|happened| std::cmp::Reverse(happened.at));
    all
}

pub(super) fn events(story: &Story) -> Markup {
    let all = happened(story);
    let left_out = all.len().saturating_sub(EVENTS_MAX) as u64;
    let known = |id: &str| {
        story.under_way.contains_key(id) || story.applied.iter().any(|(_, applied)| applied.event == id)
    };
    let to_come: Vec<_> = match (&story.plan, &story.finished) {
        (Some(plan), None) => plan.events.iter().filter(|event| !known(&event.id)).collect(),
        _ => Vec::new(),
    };
    html! {
        h2 { "Events, newest first" }
        p.sub { "As applied, with the nodes that they resolved to." }
        div.wrap tabindex="0" role="group" aria-label="events" { table {
            thead { tr { th.r scope="col" { "s" } th scope="col" {} th scope="col" { "Event" } th scope="col" {} } }
            tbody {
                @if to_come.len() > TO_COME_MAX { tr.t-2 { td {} td colspan="3" { "… and " (counted((to_come.len() - TO_COME_MAX) as u64, "other")) " to come" } } }
                @for event in to_come.iter().take(TO_COME_MAX).rev() { tr.t-2 {
                    td {} td.nw { "… to come" } th scope="row" class="mono" { (shown(&event.action)) }
                    td style="overflow-wrap:anywhere" { (shown(&event.start)) }
                } }
                @for happened in all.iter().take(EVENTS_MAX) { tr {
                    td.r { (time(happened.at)) } td.nw { (happened.sign) } th scope="row" class="mono" { (shown(&happened.word)) }
                    td style="overflow-wrap:anywhere" { (shown(&happened.what)) }
                } }
            }
        } }
        @if left_out > 0 { p.sub { "And " (counted(left_out, "event")) " before." } }
    }
}

pub(super) fn checks(story: &Story) -> Markup {
    let on = story.plan.as_ref().map_or(0, |plan| plan.checks.len()) as u64;
    let mut judged: Vec<_> = story.judgements.iter().collect();
    judged.sort_by_key(|judged| match judged.verdict {
        Verdict::Fail => 0,
        Verdict::Unknown => 1,
        _ => 2,
    });
    let looked = story.looks.iter().flat_map(|(_, _, judgements)| judgements);
    let failed = looked.filter(|judged| judged.verdict == Verdict::Fail).count() as u64;
    html! {
        h3 { "Checks so far" }
        @if judged.is_empty() {
            p style="font-size:14px" {
                @if failed > 0 { b.t-bad { "✕ " (counted(failed, "look")) " in the middle of the run failed. " } }
                @else if story.looks.is_empty() { "None has spoken. " } @else { "Nothing has failed. " }
                (counted(on, "check")) @if on == 1 { " waits" } @else { " wait" } " for the settled cluster."
            }
        } @else {
            div.wrap tabindex="0" role="group" aria-label="checks" { table { tbody {
                @for judged in judged {
                    @let class = match judged.verdict { Verdict::Fail => "t-bad b", Verdict::Pass => "t-ok", Verdict::Unknown => "t-unk", _ => "t-2" };
                    tr.hot[judged.verdict == Verdict::Fail] {
                        td.nw { span class=(class) { (sign(judged.verdict)) " " (judged.verdict.as_str()) } }
                        th scope="row" class="mono" { (shown(&judged.check)) }
                        td style="overflow-wrap:anywhere" { (shown(&judged.reason)) }
                    }
                }
            } } }
        }
    }
}

/// A campaign that goes on, as the terminal shows it.
#[derive(Clone, Debug, Default)]
pub struct Night {
    pub id: i64,
    pub target: String,
    pub environment: String,
    pub spent: String,
    pub left: Option<String>,
    pub an_hour: u64,
    pub active: u64,
    pub side_by_side: u64,
    /// Passed, failed, unknown, broken.
    pub ended: [u64; 4],
    pub features: u64,
    pub kept: u64,
    /// Runs, check, and what is known of it, the latest last.
    pub findings: Vec<(u64, String, String)>,
    /// The last runs that failed, and by what.
    pub failures: Vec<(u64, String)>,
}

/// A campaign so far.
pub fn night(night: &Night, now: &Now) -> Frame {
    let all: u64 = night.ended.iter().sum();
    let headline = match night.findings.len() as u64 {
        0 => format!("{}, no failure.", counted(all, "run")),
        1 => format!("{}, one failure.", counted(all, "run")),
        n => format!("{}, {n} distinct failures.", counted(all, "run")),
    };
    let [passed, failed, unknown, broken] = night.ended.map(thousands);
    let facts = [
        Fact {
            term: "Runs",
            is: html! { b { (thousands(all)) } ", " (thousands(night.an_hour)) " an hour" },
            note: html! { (night.active) " of " (night.side_by_side) " side by side" },
            wide: false,
        },
        Fact {
            term: "How they ended",
            is: html! { b { (passed) } " passed" },
            note: html! { (failed) " failed, " (unknown) " unknown, " (broken) " broken" },
            wide: false,
        },
        Fact {
            term: "Time",
            is: html! { b { (night.spent) } },
            note: html! { @match &night.left { Some(left) => { (left) " left" }, None => "no bound" } },
            wide: false,
        },
        Fact {
            term: "Coverage",
            is: html! { b { (thousands(night.features)) } " features" },
            note: html! { (counted(night.kept, "timeline")) " kept" },
            wide: false,
        },
    ];
    let (state, class) = if now.is_last { ("■ over", "tag") } else { ("▶ running", "tag") };
    Frame {
        title: format!("campaign {}: {headline}", night.id),
        head: html! {
            div.bar {
                span { b { "seedfault" } " campaign " (night.id) }
                span { (shown(&night.target)) " in " (shown(&night.environment)) }
            }
            p style="margin:20px 0 0" { span class=(class) id="live-state" { (state) } }
            h1 { (headline) }
            p.lede {
                @if now.is_last { "The campaign is over. " } @else { "Its page is written when it is over. " }
                @for (name, to) in &now.links { a href=(to) data-keep="" { (name) } " " }
            }
            (chrome::facts(&facts))
        },
        main: html! {
            section {
                h2 { "Failures so far" }
                @if night.findings.is_empty() { p { "None." } } @else {
                    div.wrap tabindex="0" role="group" aria-label="failures so far" { table.cards {
                        thead { tr { th.r scope="col" { "Runs" } th scope="col" { "Check" } th scope="col" { "What is known of it" } } }
                        tbody { @for (runs, check, what) in night.findings.iter().rev() { tr {
                            td.r.b { (thousands(*runs)) } th scope="row" class="mono" { (shown(check)) }
                            td style="overflow-wrap:anywhere" { (shown(what)) }
                        } } }
                    } }
                }
            }
            section {
                h2 { "The last runs that failed" }
                @if night.failures.is_empty() { p { "None." } } @else {
                    div.wrap tabindex="0" role="group" aria-label="the last runs that failed" { table {
                        thead { tr { th.r scope="col" { "Run" } th scope="col" { "By" } } }
                        tbody { @for (number, by) in &night.failures { tr {
                            td.r { (number) } td style="overflow-wrap:anywhere" { (shown(by)) }
                        } } }
                    } }
                }
            }
        },
        is_last: now.is_last,
    }
}
