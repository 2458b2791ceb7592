//! A campaign against those before it that did the same: the last one by number, and the spread of up to ten of them.

use super::{Campaign, Run, Verdict, quantile, sentence};
use crate::page::draw::{Px, px};
use crate::report::names::thousands;
use crate::report::visible::on_one_line as shown;
use maud::{Markup, html};

/// A change is told from chance by no fewer campaigns than these.
const SPREAD_MIN: usize = 3;

/// What is better.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    More,
    Less,
    Neither,
}

/// One number of a campaign, in thousandths.
struct Row {
    name: &'static str,
    wanted: Wanted,
    decimals: usize,
    now: Option<u64>,
    /// The latest first.
    before: Vec<Option<u64>>,
}

struct Numbers<'a> {
    runs: &'a [Run],
    spent_ms: u64,
    features: u64,
    findings: u64,
}

type Measure = fn(&Numbers<'_>) -> Option<u64>;

const MEASURES: &[(&str, Wanted, usize, Measure)] = &[
    ("runs an hour", Wanted::More, 0, |n| {
        (n.spent_ms > 0).then(|| n.runs.len() as u64 * 3_600_000_000 / n.spent_ms)
    }),
    ("features reached", Wanted::More, 0, |n| Some(n.features * 1000)),
    ("distinct failures", Wanted::Neither, 0, |n| Some(n.findings * 1000)),
    ("failed, of 1,000 runs", Wanted::Neither, 1, |n| of_thousand(n.runs, Verdict::Fail)),
    ("unknown, of 1,000 runs", Wanted::Less, 1, |n| of_thousand(n.runs, Verdict::Unknown)),
    ("broken, of 1,000 runs", Wanted::Less, 1, |n| of_thousand(n.runs, Verdict::Broken)),
    ("median run, wall s", Wanted::Less, 2, |n| of_runs(n.runs, 50, |run| Some(run.wall_ms))),
    ("99 % latency of the median run, ms", Wanted::Less, 2, |n| {
        of_runs(n.runs, 50, |run| (run.latency_p99_us > 0).then_some(run.latency_p99_us))
    }),
    ("longest failover, median, s", Wanted::Less, 2, |n| of_runs(n.runs, 50, |run| run.failover_ms)),
    ("longest failover, 99 %, s", Wanted::Less, 2, |n| of_runs(n.runs, 99, |run| run.failover_ms)),
];

fn of_thousand(runs: &[Run], verdict: Verdict) -> Option<u64> {
    let count = runs.iter().filter(|run| run.verdict == verdict).count() as u64;
    (count * 1_000_000).checked_div(runs.len() as u64)
}

fn of_runs(runs: &[Run], percent: usize, value: impl Fn(&Run) -> Option<u64>) -> Option<u64> {
    let mut values: Vec<u64> = runs.iter().filter_map(value).collect();
    values.sort_unstable();
    quantile(&values, percent)
}

fn rows(campaign: &Campaign) -> Vec<Row> {
    let now = Numbers {
        runs: &campaign.runs,
        spent_ms: campaign.spent_ms,
        features: campaign.reached(),
        findings: campaign.findings.len() as u64,
    };
    let before: Vec<Numbers<'_>> = campaign
        .before
        .iter()
        .map(|before| Numbers {
            runs: &before.runs,
            spent_ms: before.spent_ms,
            features: before.features,
            findings: before.findings,
        })
        .collect();
    MEASURES
        .iter()
        .map(|(name, wanted, decimals, measure)| Row {
            name,
            wanted: *wanted,
            decimals: *decimals,
            now: measure(&now),
            before: before.iter().map(measure).collect(),
        })
        .filter(|row| row.now.is_some() || row.before.first().is_some_and(Option::is_some))
        .collect()
}

/// What a change is called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Better,
    Worse,
    Other,
    Same,
    /// Too few campaigns to tell it from chance.
    Untold,
}

impl Row {
    fn change(&self) -> Change {
        let known: Vec<u64> = self.before.iter().flatten().copied().collect();
        let Some(now) = self.now else { return Change::Untold };
        if known.len() < SPREAD_MIN {
            return Change::Untold;
        }
        let (low, high) = (known.iter().min().copied(), known.iter().max().copied());
        let (more, less) = (high.is_some_and(|high| now > high), low.is_some_and(|low| now < low));
        match (self.wanted, more, less) {
            (_, false, false) => Change::Same,
            (Wanted::Neither, ..) => Change::Other,
            (Wanted::More, true, _) | (Wanted::Less, _, true) => Change::Better,
            _ => Change::Worse,
        }
    }

    fn told(&self, value: Option<u64>) -> String {
        let Some(value) = value else { return "–".into() };
        match self.decimals {
            0 => thousands((value + 500) / 1000),
            decimals => crate::report::names::seconds(value, decimals as u32),
        }
    }

    fn by(&self) -> String {
        match (self.before.first().copied().flatten(), self.now) {
            (Some(then), Some(now)) if then > 0 => {
                let tenths = (now as i128 - then as i128) * 1000 / i128::from(then);
                let sign = if tenths < 0 { "−" } else { "+" };
                format!("{sign}{}.{} %", tenths.abs() / 10, tenths.abs() % 10)
            }
            _ => String::new(),
        }
    }
}

/// A sentence for the top of the page.
pub(super) fn worse(campaign: &Campaign) -> Option<String> {
    let rows = rows(campaign);
    let worse: Vec<&str> =
        rows.iter().filter(|row| row.change() == Change::Worse).map(|row| row.name).collect();
    let names = worse.split_last().map(|(last, rest)| {
        if rest.is_empty() { (*last).to_string() } else { format!("{} and {last}", rest.join("; ")) }
    })?;
    Some(format!("{}: worse than in all the campaigns that it is compared with.", sentence(&names)))
}

pub(super) fn section(campaign: &Campaign) -> Markup {
    let Some(last) = campaign.before.first() else {
        return html! {
            h2 { "Compared with the last time" }
            p { "The file holds no campaign before this one of the same scenario, flags and environment." }
        };
    };
    let rows = rows(campaign);
    let untold = rows.iter().all(|row| row.change() == Change::Untold);
    html! {
        h2 { "Compared with the last time" }
        p.sub {
            "Hollow: campaign " (last.id) ", " (last.runs.len()) " runs"
            @if last.build != campaign.build { ", on another build: " (shown(&last.server)) " " span.mono { (last.build) } }
            ". Filled: this one. "
            @if untold {
                "Whether a change is more than chance is said once there are three campaigns to compare with."
            } @else {
                "Flagged where it is outside of all of the last " (campaign.before.len()) "."
            }
        }
        div.wrap tabindex="0" role="group" aria-label="compared with the last time" { table {
            thead { tr {
                th scope="col" {} th.r scope="col" { "Campaign " (last.id) } th.r scope="col" { "Now" } th scope="col" {}
                th.r scope="col" { "Change" } @if !untold { th scope="col" {} }
            } }
            tbody { @for row in &rows { tr {
                th scope="row" { (row.name) }
                td.r { (row.told(row.before.first().copied().flatten())) }
                td.r.b { (row.told(row.now)) }
                td { (dots(row)) }
                td.r.nw { (row.by()) }
                @if !untold { td.nw { @match row.change() {
                    Change::Better => span.t-ok { "✓ better" },
                    Change::Worse => span.t-bad.b { "▲ worse" },
                    Change::Other => span.t-2 { "changed" },
                    Change::Same => span.t-2 { "= as before" },
                    Change::Untold => {},
                } } }
            } } }
        } }
    }
}

/// Both from nought to the greater of all.
fn dots(row: &Row) -> Markup {
    let known = || row.before.iter().flatten().copied();
    let most = known().chain(row.now).max().unwrap_or(0).max(1);
    let x = |value: u64| 60 + (i128::from(value) * 980 / i128::from(most)) as Px;
    let (then, now) = (row.before.first().copied().flatten(), row.now);
    html! {
        svg width="110" height="24" viewBox="0 0 110 24" aria-hidden="true" {
            line x1="6" y1="12" x2="104" y2="12" class="rl" {}
            @if known().count() >= SPREAD_MIN {
                @let (low, high) = (x(known().min().unwrap_or(0)), x(known().max().unwrap_or(0)));
                rect x=(px(low)) y="9" width=(px((high - low).max(10))) height="6" class="lite" {}
            }
            @if let (Some(then), Some(now)) = (then, now) { line x1=(px(x(then))) y1="12" x2=(px(x(now))) y2="12" class="ax" {} }
            @if let Some(then) = then { circle cx=(px(x(then))) cy="12" r="4.5" class="s" style="fill:var(--card);stroke:var(--ink2);stroke-width:1.5" {} }
            @if let Some(now) = now { circle cx=(px(x(now))) cy="12" r="4.5" class="flt" {} }
        }
    }
}
