//! Two runs side by side: of one timeline on two builds, or of what was thought to be the same twice.

use super::scene::Scene;
use super::{Source, figure_of_lanes, lanes, measured, tale};
use crate::check::{Judgement, Verdict};
use crate::page::chrome::{Figure, figure, page};
use crate::page::draw::{Scale, seconds};
use crate::report::names::{check_status, sign, status, thousands};
use crate::report::story::Story;
use crate::run::record::{Applied, Status};
use maud::{Markup, html};
use std::collections::BTreeSet;

/// The page of two runs. `names` are what the user called them.
pub fn beside(sources: [&Source<'_>; 2], names: [&str; 2]) -> String {
    let stories = sources.map(|source| source.story);
    let (headline, lede) = headline(stories, names);
    let head = html! {
        h1 { (headline) }
        p.lede { (lede) }
    };
    let scenes = sources.map(|source| Scene::of(source.story, source.record));
    let main = html! {
        main {
            @for (source, name) in sources.iter().zip(names) {
                @for remark in source.remarks { p.sub { "Note on " (name) ": " (remark) } }
            }
            section { h2 { "The two" } (both(stories, names)) }
            section { h2 { "What was done, in each" } (events(stories, names)) }
            section { h2 { "What was found, in each" } (checks(stories, names)) }
            section.pb { h2 { "Drawn to one scale" } (lanes::legend(&scenes[0])) (drawn(sources, &scenes, names)) }
        }
    };
    let bar = [html! { b { "seedfault" } " two runs" }, html! { (names[0]) }, html! { (names[1]) }];
    page(&format!("seedfault: {headline}"), &bar, &head, &main)
}

fn failed(story: &Story) -> BTreeSet<&str> {
    story.failed().map(|judged| judged.check.as_str()).collect()
}

fn list(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

fn headline(stories: [&Story; 2], names: [&str; 2]) -> (String, String) {
    let hash = |story: &Story| story.started.as_ref().map(|started| started.timeline_hash.clone());
    let same = hash(stories[0]).is_some() && hash(stories[0]) == hash(stories[1]);
    let lede = if same {
        "The same timeline was run twice."
    } else {
        "They are runs of two timelines: what differs may come from that alone."
    };
    let [one, other] = stories.map(failed);
    let words = |at: usize| match stories[at].verdict() {
        Verdict::Fail => format!("{} failed by {}", names[at], list(if at == 0 { &one } else { &other })),
        Verdict::Pass | Verdict::NotOwed => format!("{} passed", names[at]),
        Verdict::Unknown | Verdict::Voided => format!("{} was not decided", names[at]),
    };
    let history = |story: &Story| story.finished.as_ref().map(|finished| finished.history_hash.clone());
    let equal = history(stories[0]).is_some_and(|hash| !hash.is_empty())
        && history(stories[0]) == history(stories[1]);
    let head = match stories.map(Story::verdict) {
        [Verdict::Fail, Verdict::Fail] if one == other => format!("Both failed by {}.", list(&one)),
        [Verdict::Pass, Verdict::Pass] => "Both passed.".into(),
        _ => format!("{}; {}.", words(0), words(1)),
    };
    let lede = if equal {
        format!("{lede} Their histories are equal, operation by operation.")
    } else {
        lede.into()
    };
    (head, lede)
}

/// A row of the first table: what it is, and of each run.
fn both(stories: [&Story; 2], names: [&str; 2]) -> Markup {
    let of = |tell: &dyn Fn(&Story) -> Option<String>| {
        stories.map(|story| tell(story).unwrap_or_else(|| "–".into()))
    };
    let rows: Vec<(&str, [String; 2])> = vec![
        ("verdict", stories.map(|story| status(story.verdict()).to_lowercase())),
        ("server", of(&|story| Some(tale::server(story.started.as_ref()?).to_string()))),
        ("environment", of(&|story| Some(story.started.as_ref()?.environment.clone()))),
        ("seed", of(&|story| Some(story.started.as_ref()?.seed.to_string()))),
        ("timeline", of(&|story| Some(story.started.as_ref()?.timeline_hash.clone()))),
        ("schedule", of(&|story| Some(story.finished.as_ref()?.schedule_hash.clone()))),
        ("history", of(&|story| Some(story.finished.as_ref()?.history_hash.clone()))),
        ("logical time, s", of(&|story| Some(seconds(story.finished.as_ref()?.virtual_ms as i64 * 1000, 1)))),
        ("settled, s", of(&|story| Some(seconds(story.cluster.as_ref()?.settled_at_us?, 3)))),
        ("operations", of(&|story| Some(thousands(story.workload?.operations)))),
        ("acknowledged", of(&|story| Some(thousands(story.workload?.ok)))),
        ("refused", of(&|story| Some(thousands(story.workload?.fail)))),
        ("unknown", of(&|story| Some(thousands(story.workload?.unknown)))),
        (
            "99 % of latencies within, ms",
            of(&|story| Some(seconds(story.workload?.latency_p99_us as i64 * 1000, 3))),
        ),
    ];
    html! {
        div.wrap { table.mid {
            thead { tr { th {} @for name in names { th { (name) } } } }
            tbody { @for (what, values) in &rows {
                tr { th scope="row" { (what) }
                    td.mono { (values[0]) }
                    td class=(if values[0] == values[1] { "mono" } else { "mono diff" }) { (values[1]) }
                }
            } }
        } }
    }
}

fn outcome(story: &Story, id: &str) -> Option<(i64, String, String)> {
    let (at, applied): &(i64, Applied) = story.applied.iter().find(|(_, applied)| applied.event == id)?;
    let nodes: Vec<String> = applied.resolved.iter().map(ToString::to_string).collect();
    let word = match &applied.status {
        Status::Applied => "applied".to_string(),
        Status::Skipped(why) => format!("skipped: {why}"),
        Status::Failed(why) => format!("failed: {why}"),
    };
    Some((*at, nodes.join(", "), word))
}

fn events(stories: [&Story; 2], names: [&str; 2]) -> Markup {
    let mut ids: Vec<(&str, &str)> = Vec::new();
    for planned in stories.iter().flat_map(|story| &story.plan).flat_map(|plan| &plan.events) {
        if !ids.iter().any(|(id, _)| *id == planned.id) {
            ids.push((&planned.id, &planned.action));
        }
    }
    let told = |outcome: &Option<(i64, String, String)>| match outcome {
        None => html! { "–" },
        Some((at, nodes, word)) => {
            html! { (seconds(*at, 3)) " s " @if !nodes.is_empty() { "on " (nodes) ", " } (word) }
        }
    };
    html! {
        @if ids.is_empty() { p.sub { "No event was planned in either." } } @else {
            div.wrap { table.mid {
                thead { tr { th { "Event" } @for name in names { th { (name) } } } }
                tbody { @for (id, action) in &ids {
                    @let [one, other] = stories.map(|story| outcome(story, id));
                    // The moment of what waits for something may differ by a little where time is real.
                    @let same = one.as_ref().map(|one| (&one.1, &one.2)) == other.as_ref().map(|one| (&one.1, &one.2));
                    tr { th scope="row" { (id) " " span.mono { (action) } }
                        td { (told(&one)) } td class=[(!same).then_some("diff")] { (told(&other)) }
                    }
                } }
            } }
        }
    }
}

fn checks(stories: [&Story; 2], names: [&str; 2]) -> Markup {
    let mut all: Vec<&str> = Vec::new();
    for judged in stories.iter().flat_map(|story| &story.judgements) {
        if !all.contains(&judged.check.as_str()) {
            all.push(&judged.check);
        }
    }
    let told = |judged: Option<&Judgement>| match judged {
        None => html! { "not judged" },
        Some(judged) => html! {
            b { (sign(judged.verdict)) " " (check_status(judged.verdict).to_lowercase()) } br; (tale::prose(&judged.reason))
        },
    };
    html! {
        div.wrap { table.mid {
            thead { tr { th { "Check" } @for name in names { th { (name) } } } }
            tbody { @for check in &all {
                @let [one, other] = stories.map(|story| story.judgement(check));
                @let same = one.map(|one| one.verdict) == other.map(|one| one.verdict);
                tr { th.mono scope="row" { (check) } td { (told(one)) } td class=[(!same).then_some("diff")] { (told(other)) } }
            } }
        } }
    }
}

fn drawn(sources: [&Source<'_>; 2], scenes: &[Scene<'_>; 2], names: [&str; 2]) -> Markup {
    let from = scenes.iter().map(|scene| scene.from).min().unwrap_or(0);
    let to = scenes.iter().map(|scene| scene.to).max().unwrap_or(1);
    let scale = Scale::whole(from, to);
    html! {
        @for (place, (scene, name)) in scenes.iter().zip(names).enumerate() {
            @let id = format!("lanes{}", place + 1);
            (figure_of_lanes(scene, &scale, &id, format!("Figure {}. {name}.", place + 1)))
        }
        @for (place, ((scene, source), name)) in scenes.iter().zip(sources).zip(names).enumerate() {
            @if let Some(record) = source.record {
                @let drawing = measured::draw(scene, record, &scale);
                @let id = format!("measured{}", place + 1);
                (figure(&Figure {
                    id: &id,
                    title: format!("Figure {}. {name}, measured.", place + 3),
                    caption: html! { "The same time as above. Grey: while a fault was in force." },
                    description: format!("What was measured in {name}"),
                    height: drawing.height,
                    names: drawing.names,
                    plot: drawing.plot,
                    scale: Some(&scale),
                    first: 0,
                }))
            }
        }
    }
}
