//! The same in text that can be pasted into an issue tracker: the story, the events, the command, the evidence.

use super::scene::Scene;
use super::{Source, exact, numbered, rate_told, tale};
use crate::check::Verdict;
use crate::page::draw::seconds;
use crate::report::names::counted;
use crate::report::visible::{on_one_line, visible};
use crate::run::record::Status;
use crate::target;
use std::fmt::Write as _;

/// How many lines of logs with a meaning, and of evidence, are quoted.
const LINES_MAX: usize = 16;
const EVIDENCE_MAX: usize = 8;

pub fn markdown(source: &Source<'_>) -> String {
    let scene = Scene::of(source.story, source.record);
    let (headline, lede) = tale::headline(&scene);
    let story = source.story;
    let mut out = String::new();
    let _ = writeln!(out, "## {}\n\n{}\n", text(&headline), text(&lede));
    if let Some(started) = &story.started {
        let _ = writeln!(
            out,
            "- Server: {}\n- Found with: seedfault {}, seed {}, environment {} ({})",
            text(tale::server(started)),
            text(&started.version),
            started.seed,
            text(&started.environment),
            if exact(source) { "virtual time: the same every time" } else { "real time" }
        );
    }
    if let Some(rate) = source.cut().and_then(|cut| cut.again) {
        let _ = writeln!(out, "- Reproduced: {}", rate_told(source, rate));
    }
    if let Some(cut) = source.cut() {
        let minimal = if cut.minimal { ", none of which can be left out" } else { "" };
        let events = story.plan.as_ref().map_or(0, |plan| plan.events.len() as u64);
        let _ = writeln!(out, "- Shrunk from {} to {}{minimal}", counted(cut.events, "event"), events);
    }
    out.push_str("\n### What happened\n\nTimes are seconds since the cluster was healthy.\n\n");
    for sentence in numbered(&tale::tell(&scene)) {
        let _ = writeln!(out, "{}", text(&sentence));
    }
    if !story.applied.is_empty() {
        out.push_str("\n### Events\n\n| | Event | Starts | On | Outcome |\n|---|---|---|---|---|\n");
    }
    for (number, (at, applied)) in story.applied.iter().enumerate() {
        let planned = story.planned(&applied.event);
        let nodes: Vec<String> = applied.resolved.iter().map(ToString::to_string).collect();
        let outcome = match &applied.status {
            Status::Applied => "applied".to_string(),
            Status::Skipped(why) => format!("skipped: {why}"),
            Status::Failed(why) => format!("failed: {why}"),
        };
        let _ = writeln!(
            out,
            "| {} | `{}` {} | {} ({} s) | {} | {} |",
            number + 1,
            code(&applied.action),
            text(planned.map_or("", |planned| &planned.fields)),
            text(planned.map_or("", |planned| &planned.start)),
            seconds(*at, 3),
            text(&nodes.join(", ")),
            text(&outcome)
        );
    }
    let failed = tale::failed(&scene);
    if !failed.is_empty() {
        out.push_str("\n### Evidence\n");
    }
    for judged in failed {
        let _ = writeln!(
            out,
            "\n**{}**: {}",
            text(&judged.check),
            text(&tale::prose(&scene.in_names(&judged.reason)))
        );
        if let Some((claim, promised)) = (source.claims)(&judged.check, source.story.target()) {
            let _ = writeln!(out, "(claim: {}; source: {})", text(claim), text(promised));
        }
        out.push('\n');
        for line in judged.evidence.iter().take(EVIDENCE_MAX) {
            let _ = writeln!(out, "- {}", text(&tale::prose(&scene.in_names(line))));
        }
        if judged.evidence.len() > EVIDENCE_MAX {
            let _ = writeln!(out, "- and {} more", judged.evidence.len() - EVIDENCE_MAX);
        }
    }
    logs(&mut out, &scene, source);
    let again =
        story.finished.as_ref().map(|finished| finished.reproduce.clone()).or_else(|| story.again.clone());
    if let Some(again) = again.filter(|_| story.verdict() != Verdict::Pass) {
        let _ = writeln!(
            out,
            "\n### To see it again\n\n```sh\n{}\n```",
            on_one_line(&again).replace("```", "` ` `")
        );
    }
    visible(&out).into_owned()
}

fn logs(out: &mut String, scene: &Scene<'_>, source: &Source<'_>) {
    let target = source.story.started.as_ref().map_or("", |started| started.target.as_str());
    let from = scene.acts.first().map_or(0, |act| act.from);
    let Some(record) = scene.record else { return };
    let lines: Vec<String> = record
        .log_lines
        .iter()
        .filter(|line| scene.since(line.at) >= from)
        .filter_map(|line| {
            let (said, means) = target::meaning(target, &line.line);
            let said = scene.in_names(said);
            means.map(|_| format!("{:>9} {}: {said}", seconds(scene.since(line.at), 3), line.node))
        })
        .take(LINES_MAX)
        .collect();
    if lines.is_empty() || source.story.verdict() == Verdict::Pass {
        return;
    }
    out.push_str("\n### From the servers’ logs\n\n```text\n");
    for line in lines {
        // A fence cannot be closed from within.
        let _ = writeln!(out, "{}", on_one_line(&line).replace("```", "` ` `"));
    }
    out.push_str("```\n");
}

/// Plain text, whatever it holds: nothing in it is markup.
fn text(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '@' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn code(words: &str) -> String {
    words.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}
