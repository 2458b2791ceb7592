//! The page of a campaign: what failed, when, how sure that is, and how the night went compared with those before.
//!
//! A pure function of what the file of results holds: the same file gives the same bytes. What is not there is left out,
//! or the page says so. Whoever fills [`Campaign`] reads the file; this module reads nothing.

mod against;
mod failures;
mod night;

#[cfg(test)]
mod tests;

use super::chrome::{self, Fact};
use super::clock;
use crate::report::names::{counted, thousands};
use crate::report::visible::on_one_line as shown;
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};

/// A campaign as the file of results has it.
#[derive(Clone, Debug, Default)]
pub struct Campaign {
    pub id: i64,
    /// Did it come to its end?
    pub is_over: bool,
    pub spent_ms: u64,
    pub seed: String,
    pub mode: String,
    pub target: String,
    pub environment: String,
    pub server: String,
    pub build: String,
    pub tool: String,
    /// As it was typed; older files do not have it.
    pub command: Option<String>,
    pub real_time: bool,
    /// By number.
    pub runs: Vec<Run>,
    /// Those that its runs met, the new ones first.
    pub findings: Vec<Finding>,
    /// How many were reached, by family.
    pub features: BTreeMap<String, u64>,
    pub kept: u64,
    /// Rare situations that seeds of its target can reach, with how many runs did; `None` where they were not counted.
    pub marks: Option<Vec<Mark>>,
    /// The campaigns before it that did the same, the latest first.
    pub before: Vec<Before>,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    #[default]
    Pass,
    Fail,
    Unknown,
    Broken,
}

impl Verdict {
    pub const ALL: [Self; 4] = [Self::Pass, Self::Fail, Self::Unknown, Self::Broken];

    /// As the file writes it; what is not known is broken.
    pub fn parse(text: &str) -> Self {
        match text {
            "pass" => Self::Pass,
            "fail" => Self::Fail,
            "unknown" => Self::Unknown,
            _ => Self::Broken,
        }
    }

    pub(super) fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Pass => ("✓ passed", "t-ok"),
            Self::Fail => ("✕ failed", "t-bad"),
            Self::Unknown => ("? unknown", "t-unk"),
            Self::Broken => ("– broken", "t-2"),
        }
    }

    pub(super) fn tell(self) -> Markup {
        let (text, class) = self.told();
        html! { span class=(format!("{class} nw")) { (text) } }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Run {
    pub number: u64,
    /// Seconds since 1970.
    pub started: i64,
    pub origin: String,
    pub seed: String,
    pub shards: u64,
    pub replicas: u64,
    pub events: u64,
    pub verdict: Verdict,
    pub why: String,
    pub finding: Option<i64>,
    pub virtual_ms: u64,
    pub wall_ms: u64,
    pub stretched_ms: u64,
    pub latency_mean_us: u64,
    pub latency_p99_us: u64,
    pub latency_max_us: u64,
    pub failover_ms: Option<u64>,
    /// How many features it was the first to reach.
    pub first: u64,
}

impl Run {
    /// From and to, in milliseconds since 1970.
    fn span(&self) -> (i64, i64) {
        let from = self.started * 1000;
        (from, from + self.wall_ms as i64)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Finding {
    pub id: i64,
    /// No campaign before this one met it.
    pub new: bool,
    pub check: String,
    pub reason: String,
    pub server: String,
    /// How many events the first run had that met it.
    pub before: Option<u64>,
    pub small: Option<Small>,
    /// The file that brings it back, and the command.
    pub repro: String,
    pub replay: String,
    /// Where its story is told: what to call it, and where it is from the page.
    pub links: Vec<(String, String)>,
    /// What is known of it where the server is made.
    pub upstream: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Small {
    pub events: u64,
    pub nodes: u64,
    pub shape: String,
    pub failed: u32,
    pub replays: u32,
    pub minimal: bool,
    pub token: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Mark {
    pub name: String,
    pub line: String,
    pub runs: u64,
}

/// A campaign before.
#[derive(Clone, Debug, Default)]
pub struct Before {
    pub id: i64,
    pub server: String,
    pub build: String,
    pub spent_ms: u64,
    pub features: u64,
    pub findings: u64,
    pub runs: Vec<Run>,
}

impl Campaign {
    fn of(&self, verdict: Verdict) -> u64 {
        self.runs.iter().filter(|run| run.verdict == verdict).count() as u64
    }

    fn all(&self) -> u64 {
        self.runs.len() as u64
    }

    fn met_by(&self, finding: i64) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(move |run| run.finding == Some(finding))
    }

    fn reached(&self) -> u64 {
        self.features.values().sum()
    }

    fn grade(&self) -> &'static str {
        if self.real_time { "logical" } else { "exact" }
    }

    fn new_and_known(&self) -> (u64, u64) {
        let new = self.findings.iter().filter(|finding| finding.new).count();
        (new as u64, (self.findings.len() - new) as u64)
    }

    fn span(&self) -> Option<(i64, i64)> {
        let from = self.runs.iter().map(|run| run.span().0).min()?;
        let to = self.runs.iter().map(|run| run.span().1).max()?;
        Some((from / 1000, (to + 999) / 1000))
    }

    /// What the server calls itself, or the target's name.
    fn system(&self) -> String {
        if self.server.is_empty() { format!("{} target", self.target) } else { shown(&self.server).into() }
    }
}

/// The whole page.
pub fn page(campaign: &Campaign) -> String {
    let bar = bar(campaign);
    let title = format!("campaign {}: {}", campaign.id, headline(campaign));
    let main = html! {
        main {
            (failures::section(campaign))
            (night::section(campaign))
            section.pb.two style="row-gap:28px" {
                div { (against::section(campaign)) }
                div { (slowest(campaign)) }
            }
            (situations(campaign))
        }
        footer.end { (how_to_read(campaign)) }
    };
    chrome::page(&title, &bar, &head(campaign), &main)
}

fn bar(campaign: &Campaign) -> Vec<Markup> {
    let mut bar = vec![html! { b { "seedfault" } " campaign " (campaign.id) }];
    bar.extend(campaign.span().map(|(from, to)| html! { (clock::span(from, to)) }));
    bar.push(html! { span style="overflow-wrap:anywhere" { (campaign.system()) } });
    bar.push(html! { "environment " (campaign.environment) ", grade " (campaign.grade()) });
    bar
}

/// Small numbers are words.
pub(super) fn word(count: u64) -> String {
    const WORDS: [&str; 13] = [
        "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ];
    WORDS.get(count as usize).map_or_else(|| thousands(count), |word| (*word).into())
}

/// With a great letter at its beginning.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn headline(campaign: &Campaign) -> String {
    let runs = counted(campaign.all(), "run");
    let (new, known) = campaign.new_and_known();
    let count = new + known;
    if count == 0 {
        return format!("{runs} found no failure.");
    }
    let failures =
        if count == 1 { "one failure".into() } else { format!("{} distinct failures", word(count)) };
    let which = match (new, known) {
        (1, 0) => "It is new.".into(),
        (0, 1) => "It was known.".into(),
        (2, 0) => "Both are new.".into(),
        (0, 2) => "Both were known.".into(),
        (_, 0) => "All of them are new.".into(),
        (0, _) => "All of them were known.".into(),
        (1, _) => "One of them is new.".into(),
        _ => format!("{} of them are new.", sentence(&word(new))),
    };
    format!("{runs} found {failures}. {which}")
}

/// What else there is to know before one reads on.
fn lede(campaign: &Campaign) -> String {
    let mut told = Vec::new();
    if !campaign.is_over {
        told.push(
            "The campaign did not come to its end: it goes on when the same command is typed again.".into(),
        );
    }
    let (new, known) = campaign.new_and_known();
    if new > 0 && known > 0 {
        told.push(if known == 1 {
            "The known failure came back.".into()
        } else {
            format!("The {} known failures came back.", word(known))
        });
    }
    let unshrunk = campaign.findings.iter().filter(|finding| finding.small.is_none()).count() as u64;
    if unshrunk > 0 {
        let (them, is) = if unshrunk == 1 { ("failure", "is") } else { ("failures", "are") };
        told.push(format!("{} {them} {is} not shrunk.", sentence(&word(unshrunk))));
    }
    let never = campaign.marks.iter().flatten().filter(|mark| mark.runs == 0).count() as u64;
    match (never, &campaign.marks) {
        (_, None) => {}
        (0, _) => told.push("Every rare situation was reached.".into()),
        (1, _) => told.push("One rare situation was never reached.".into()),
        _ => told.push(format!("{} rare situations were never reached.", sentence(&word(never)))),
    }
    match campaign.of(Verdict::Broken) {
        0 => {}
        1 => told.push("One run broke, which says nothing of the system.".into()),
        n => told.push(format!("{} runs broke, which says nothing of the system.", sentence(&word(n)))),
    }
    told.extend(against::worse(campaign));
    told.join(" ")
}

fn head(campaign: &Campaign) -> Markup {
    let all = campaign.all();
    let hours = campaign.spent_ms as f64 / 3_600_000.0;
    let an_hour = if hours > 0.0 { (all as f64 / hours) as u64 } else { 0 };
    let [passed, failed, unknown, broken] = Verdict::ALL.map(|verdict| campaign.of(verdict));
    let (new, known) = campaign.new_and_known();
    let explained = campaign.runs.iter().filter(|run| run.finding.is_some()).count() as u64;
    let more = campaign.before.first().map(|before| {
        let (now, then) = (campaign.reached(), before.features);
        if now >= then {
            format!("{} more than campaign {}; ", thousands(now - then), before.id)
        } else {
            format!("{} fewer than campaign {}; ", thousands(then - now), before.id)
        }
    });
    let facts = [
        Fact {
            term: "Runs",
            is: html! { b { (thousands(all)) } " in " (spent(campaign.spent_ms)) },
            note: html! { (thousands(an_hour)) " an hour; " (campaign.mode) ", from seed " (campaign.seed) },
            wide: false,
        },
        Fact {
            term: "Healthy",
            is: html! { b { (share(passed, all)) } " passed" },
            note: html! { (thousands(failed)) " failed, " (thousands(unknown)) " unknown, " (thousands(broken)) " broken" },
            wide: false,
        },
        Fact {
            term: "Failures",
            is: html! { b { (thousands(new + known)) } " distinct, " b { (thousands(new)) } " new" },
            note: html! {
                @if new + known == 0 { "no run failed" }
                @else { (counted(explained, "run")) ", of " (thousands(failed)) " that failed" }
            },
            wide: false,
        },
        Fact {
            term: "Coverage",
            is: html! { b { (thousands(campaign.reached())) } " features" },
            note: html! { (more.unwrap_or_default()) (counted(campaign.kept, "timeline")) " kept" },
            wide: false,
        },
    ];
    html! {
        h1 style="margin-top:18px" { (headline(campaign)) }
        @let lede = lede(campaign);
        @if !lede.is_empty() { p.lede { (lede) } }
        @if let Some(command) = &campaign.command { (chrome::command(&shown(command), "starts this campaign")) }
        (chrome::facts(&facts))
    }
}

/// `8 h`, `1 h 12 min`, `59 s`.
pub(super) fn spent(ms: u64) -> String {
    let seconds = (ms + 500) / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, 0) => format!("{m} min"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, 0, _) => format!("{h} h"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

/// `97.99 %`; what is not all is never rounded to 100.
pub(super) fn share(count: u64, all: u64) -> String {
    if all == 0 {
        return "none".into();
    }
    let hundredths = count * 10_000 / all;
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

/// The value below which this part of them lies, in hundredths; they are sorted.
pub(super) fn quantile(sorted: &[u64], percent: usize) -> Option<u64> {
    sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1).copied()
}

const SLOWEST_MAX: usize = 8;

fn slowest(campaign: &Campaign) -> Markup {
    let mut runs: Vec<&Run> = campaign.runs.iter().collect();
    runs.sort_by_key(|run| (std::cmp::Reverse(run.wall_ms), run.number));
    let mut walls: Vec<u64> = runs.iter().map(|run| run.wall_ms).collect();
    walls.sort_unstable();
    let second = |ms: u64| crate::report::names::seconds(ms, 1);
    html! {
        h2 { "The slowest runs" }
        p.sub { "By wall time. " @if let Some(median) = quantile(&walls, 50) { "The median run takes " (second(median)) " s." } }
        @if runs.is_empty() { p { "No run is over." } } @else {
            div.wrap tabindex="0" role="group" aria-label="the slowest runs" { table {
                thead { tr {
                    th scope="col" { "Run" } th scope="col" { "What it was" } th.r scope="col" { "Wall, s" }
                    th.r scope="col" { "Virtual, s" } th scope="col" { "Verdict" }
                } }
                tbody { @for run in runs.iter().take(SLOWEST_MAX) { tr {
                    th scope="row" { (run.number) }
                    td style="overflow-wrap:anywhere" {
                        (counted(run.events, "event")) " on " (run.shards) " × " (1 + run.replicas) " nodes, from "
                        @if run.origin == "seed" { "seed " span.mono { (run.seed) } } @else { (shown(&run.origin)) }
                        @if !run.why.is_empty() { br; span.t-2 { (shown(&run.why)) } }
                    }
                    td.r { (second(run.wall_ms)) } td.r { (second(run.virtual_ms)) } td { (run.verdict.tell()) }
                } } }
            } }
        }
    }
}

/// Bars whose length goes by the number's powers of two.
fn situations(campaign: &Campaign) -> Markup {
    let bar = |runs: u64, most: u64| {
        let size = |runs: u64| f64::from(runs as u32 + 1).ln();
        (size(runs) / size(most.max(1)) * 2400.0) as i32
    };
    html! {
        section {
            h2 { "Rare situations reached" }
            @match &campaign.marks {
                None => p { "This campaign did not count them: it was run by a version of the tool that kept none." },
                Some(marks) if marks.is_empty() => p { "There is no list of rare situations for target " (campaign.target) "." },
                Some(marks) => {
                    @let most = marks.iter().map(|mark| mark.runs).max().unwrap_or(0);
                    p.sub { "A night that reaches none of a kind has said nothing about it. Bars are logarithmic." }
                    div.wrap tabindex="0" role="group" aria-label="rare situations" style="max-width:820px" { table {
                        thead { tr { th scope="col" { "Situation" } th.r scope="col" { "Runs" } th scope="col" {} } }
                        tbody { @for mark in marks {
                            @let is_never = mark.runs == 0;
                            tr.hot[is_never] {
                                th scope="row" style="font-weight:400" { (mark.line) }
                                td.r.b { (thousands(mark.runs)) }
                                td style="width:264px" {
                                    @if is_never { span.t-bad.b.nw { "✕ never reached" } } @else {
                                        svg width="240" height="14" viewBox="0 0 240 14" aria-hidden="true" {
                                            rect x="0" y="2" height="10" width=(super::draw::px(bar(mark.runs, most))) class="ev" {}
                                        }
                                    }
                                }
                            }
                        } }
                    } }
                }
            }
        }
    }
}

fn how_to_read(campaign: &Campaign) -> Markup {
    let servers: BTreeSet<&str> = campaign.findings.iter().map(|finding| finding.server.as_str()).collect();
    html! {
        section {
            h2 { "How to read this page" }
            div.two {
                p {
                    b { "Distinct" } " means a different check, kind of violation, cluster state at the end, or smallest timeline. "
                    b { "Known" } " failures were met by a campaign before, on the same build of the server; they are counted, not repeated. "
                    b { "Unknown" } " runs could not be decided and are never counted as healthy; " b { "broken" }
                    " runs are our own trouble, such as a port in use."
                }
                p {
                    "The command of a failure brings it back. "
                    @if campaign.real_time {
                        "In real time the same timeline may go another way: the share of replays that failed again says how often. "
                    } @else {
                        "In virtual time each replay of a failure is the same, step by step. "
                    }
                    "The same numbers are in the file of results: " code { "fuzz results --campaign " (campaign.id) }
                    ". Campaigns that are killed go on where they were; nothing is counted twice."
                }
            }
            p.sub {
                "Made by seedfault " (campaign.tool)
                @if !campaign.build.is_empty() { "; build of the server " span.mono { (campaign.build) } }
                @if servers.len() > 1 { "; failures of " (servers.len()) " versions of it" } "."
            }
        }
    }
}
