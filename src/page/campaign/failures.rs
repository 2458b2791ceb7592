//! The failures, one row each, new ones first: what fails, when runs met it, how often it comes back, and what to type.

use super::{Campaign, Finding, Run};
use crate::page::clock;
use crate::page::draw::{Px, px};
use crate::report::names::{counted, thousands};
use crate::report::visible::on_one_line as shown;
use crate::repro::wilson;
use maud::{Markup, html};

/// How wide the bars over the night are, and how many there are.
const WIDE: Px = 1500;
const BARS: i64 = 48;

pub(super) fn section(campaign: &Campaign) -> Markup {
    let (new, known) = campaign.new_and_known();
    let parts = clock::parts(&campaign.runs.iter().map(Run::span).collect::<Vec<_>>());
    let all: i64 = parts.iter().map(|part| part.to - part.from).sum();
    let span = campaign.span().map(|(from, to)| {
        let seconds = to - from < 600;
        format!("{} to {} UTC", clock::time_of_day(from, seconds), clock::time_of_day(to, seconds))
    });
    html! {
        section {
            h2 { "The failures" }
            @if campaign.findings.is_empty() {
                p { "None. " (counted(campaign.all(), "run")) " of this scenario met no broken claim." }
            } @else {
                p.sub {
                    "One row per distinct failure, new ones first. Bars: runs that met it; the red line is the first. "
                    "Dot and whisker: replays that failed again, with the 95 % interval."
                }
                @if new > 0 && known > 0 {
                    div.tools.js role="group" aria-label="filter failures" style="margin-bottom:8px" {
                        button type="button" data-group="fl" data-filter="all" aria-pressed="true" { "all " (new + known) }
                        button type="button" data-group="fl" data-filter="new" aria-pressed="false" { "+ new " (new) }
                        button type="button" data-group="fl" data-filter="known" aria-pressed="false" { "● known " (known) }
                    }
                }
                div.wrap tabindex="0" role="group" aria-label="failures" {
                    table.cards style="min-width:1120px" {
                        thead { tr {
                            th scope="col" {} th scope="col" { "What fails, and the check that says so" }
                            th scope="col" { "System, grade" } th scope="col" { "When, " (span.unwrap_or_default()) }
                            th scope="col" { "Reproduced" } th.r scope="col" { "Events" } th scope="col" { "See it again" }
                            th scope="col" { "Upstream" }
                        } }
                        tbody { @for finding in &campaign.findings { (row(campaign, finding, &parts, all)) } }
                    }
                }
            }
        }
    }
}

fn row(campaign: &Campaign, finding: &Finding, parts: &[clock::Part], all: i64) -> Markup {
    let state = if finding.new { "new" } else { "known" };
    html! {
        tr data-in="fl" data-is=(state) {
            td { @if finding.new { span.tag.bad { "+ new" } } @else { span.tag.t-2 { "● known" } } }
            th scope="row" style="min-width:220px;max-width:340px;overflow-wrap:anywhere" {
                (shown(&finding.reason)) br;
                span.t-2.mono style="font-weight:400" { (shown(&finding.check)) }
            }
            td style="overflow-wrap:anywhere;min-width:80px" { (shown(&finding.server)) br; span.t-2 { (campaign.grade()) } }
            td.nw { (met(campaign, finding, parts, all)) }
            td.nw { (again(finding)) }
            td.r { (events(finding)) }
            td style="overflow-wrap:anywhere;min-width:150px;max-width:230px" { (see(finding)) }
            td style="overflow-wrap:anywhere;min-width:80px;max-width:150px" {
                @match &finding.upstream { Some(text) => (shown(text)), None => span.t-2 { "not looked up" } }
            }
        }
    }
}

/// Bars over the time that was worked.
fn met(campaign: &Campaign, finding: &Finding, parts: &[clock::Part], all: i64) -> Markup {
    let mut ends: Vec<i64> = campaign.met_by(finding.id).map(|run| run.span().1).collect();
    ends.sort_unstable();
    let place = |at: i64| clock::worked(parts, at) * BARS / all.max(1);
    let mut bars = [0u64; BARS as usize];
    for end in &ends {
        bars[place(*end).clamp(0, BARS - 1) as usize] += 1;
    }
    let most = bars.iter().copied().max().unwrap_or(0).max(1);
    let runs = ends.len() as u64;
    let first = ends.first().map(|end| {
        (
            clock::time_of_day(end / 1000, all < 600_000),
            place(*end).clamp(0, BARS - 1) as Px * WIDE / BARS as Px,
        )
    });
    let told = first.as_ref().map_or_else(String::new, |(time, _)| format!(", first {time}"));
    html! {
        svg width="150" height="26" viewBox="0 0 150 26" role="img" aria-label=(format!("{} over the night{told}", counted(runs, "run"))) {
            line x1="0" y1="25.5" x2="150" y2="25.5" class="rl" {}
            @for (at, count) in bars.iter().enumerate().filter(|(_, count)| **count > 0) {
                @let tall = (190 * count / most).max(20) as Px;
                rect x=(px(at as Px * WIDE / BARS as Px)) y=(px(250 - tall)) width="2.3" height=(px(tall)) class="flt" {
                    title { (counted(*count, "run")) }
                }
            }
            @if let Some((_, x)) = &first { path d=(format!("M{} 25v-22", px(x + 11))) class="vio" {} }
        }
        br;
        span.t-2 { (counted(runs, "run")) (told) }
    }
}

/// A dot where it lies, and how far it may be from there.
fn again(finding: &Finding) -> Markup {
    let Some(small) = finding.small.as_ref().filter(|small| small.replays > 0) else {
        return html! { span.t-2 { "not measured" } };
    };
    let (low, high) = wilson(small.failed, small.replays);
    let x = |percent: f64| 40 + (percent * 11.2).round() as Px;
    let (from, to) = (x(low), x(high));
    let at = x(f64::from(small.failed) * 100.0 / f64::from(small.replays));
    let interval = format!("{low:.0}–{high:.0} %");
    html! {
        svg width="120" height="26" viewBox="0 0 120 26" role="img"
            aria-label=(format!("{} of {}, interval {low:.0} to {high:.0} per cent", small.failed, small.replays)) {
            line x1="4" y1="13" x2="116" y2="13" class="rl" {}
            @for tick in [40, 600, 1160] { line x1=(px(tick)) y1="10" x2=(px(tick)) y2="16" class="rl" {} }
            line x1=(px(from)) y1="13" x2=(px(to)) y2="13" class="ax" style="stroke-width:2" {}
            path d=(format!("M{} 9v8M{} 9v8", px(from), px(to))) class="ax" {}
            circle cx=(px(at)) cy="13" r="4.5" class="flt" {}
        }
        br;
        b { (small.failed) " of " (small.replays) } " " span.t-2 { (interval) }
    }
}

fn events(finding: &Finding) -> Markup {
    html! {
        span.nw {
            @match (finding.before, &finding.small) {
                (Some(before), Some(small)) => { (thousands(before)) " → " b { (thousands(small.events)) } },
                (None, Some(small)) => b { (thousands(small.events)) },
                (Some(before), None) => (thousands(before)),
                (None, None) => "–",
            }
        }
        @match &finding.small {
            Some(small) => {
                br;
                span.t-2 {
                    @if small.shape.is_empty() { "the load alone" } @else { (shown(&small.shape)) }
                    br; span.nw { (small.nodes) " nodes" }
                    @if small.minimal { br; span.nw { "none can go" } }
                }
            },
            None => { br; span.t-2.nw { "not shrunk" } },
        }
    }
}

fn see(finding: &Finding) -> Markup {
    html! {
        @if let Some(token) = finding.small.as_ref().and_then(|small| small.token.as_ref()) {
            span.mono { (shown(token)) } br;
        }
        @if finding.links.is_empty() { span.t-2 { (shown(&finding.repro)) } }
        @for (at, (name, to)) in finding.links.iter().enumerate() {
            @if at > 0 { " · " }
            a href=(to) { (name) }
        }
        details { summary { "command" } code { (shown(&finding.replay)) } }
    }
}
