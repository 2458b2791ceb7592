//! Two campaigns side by side, of two builds or two nights: runs of the same timelines and how they ended, which failures
//! each met, and how long clients and shards waited. A pure function of what the file of results holds.

use super::campaign::{Run, Verdict, quantile, sentence, share, spent, word};
use super::chrome::{self, Fact, Figure, figure};
use super::draw::{PLOT, Px, px, width};
use crate::report::names::{counted, seconds, thousands};
use crate::report::visible::on_one_line as shown;
use maud::{Markup, html};

/// One of the two.
#[derive(Clone, Debug, Default)]
pub struct Side {
    pub id: i64,
    pub server: String,
    pub build: String,
    pub target: String,
    pub environment: String,
    pub mode: String,
    pub seed: String,
    pub spent_ms: u64,
    pub runs: Vec<Run>,
}

#[derive(Clone, Debug, Default)]
pub struct Comparison {
    pub sides: [Side; 2],
    /// Runs of the same timeline, by their places in both.
    pub pairs: Vec<(usize, usize)>,
    /// Failures with how many runs of each met them.
    pub findings: Vec<Met>,
    pub command: String,
}

#[derive(Clone, Debug, Default)]
pub struct Met {
    pub check: String,
    pub reason: String,
    pub runs: [u64; 2],
}

/// How many timelines that ended differently are listed.
const ROWS_MAX: usize = 200;

impl Comparison {
    fn pair(&self, at: (usize, usize)) -> [&Run; 2] {
        [&self.sides[0].runs[at.0], &self.sides[1].runs[at.1]]
    }

    fn differing(&self) -> impl Iterator<Item = [&Run; 2]> {
        self.pairs.iter().map(|pair| self.pair(*pair)).filter(|[a, b]| a.verdict != b.verdict)
    }

    /// The runs that are measured: those of the same timelines where there are any.
    fn measured(&self, side: usize) -> Vec<&Run> {
        if self.pairs.is_empty() {
            return self.sides[side].runs.iter().collect();
        }
        self.pairs.iter().map(|pair| self.pair(*pair)[side]).collect()
    }
}

pub fn page(comparison: &Comparison) -> String {
    let [a, b] = &comparison.sides;
    let title = format!("campaigns {} and {}", a.id, b.id);
    let bar = vec![
        html! { b { "seedfault" } " comparison" },
        html! { "campaigns " (a.id) " and " (b.id) },
        html! { (shown(&a.target)) " in " (shown(&a.environment)) @if (&a.target, &a.environment) != (&b.target, &b.environment) {
            ", " (shown(&b.target)) " in " (shown(&b.environment))
        } },
    ];
    let main = html! {
        main {
            (outcomes(comparison))
            (differing(comparison))
            (failures(comparison))
            (distributions(comparison))
        }
        footer.end { section {
            h2 { "How to read this page" }
            p {
                "Campaigns in mode " code { "random" } " with the same " code { "--seed" } " and scenario run the same timelines: "
                "what differs then is the server, the environment, or, in real time, chance. A run that fails on one side alone is worth a look; "
                "that it passes on the other says something only where that side is exact or was run often."
            }
        } }
    };
    chrome::page(&title, &bar, &head(comparison), &main)
}

fn headline(comparison: &Comparison) -> String {
    let [a, b] = &comparison.sides;
    let shared = comparison.pairs.len() as u64;
    if shared == 0 {
        return format!("Campaigns {} and {} ran no timeline in common.", a.id, b.id);
    }
    let differ = comparison.differing().count() as u64;
    let only = |side: usize| {
        comparison.differing().filter(|pair| pair[side].verdict == Verdict::Fail).count() as u64
    };
    let of = format!("Of {} that both ran, ", counted(shared, "timeline"));
    let first = match differ {
        0 => format!("{of}every one ended alike."),
        1 => format!("{of}one ended differently."),
        n => format!("{of}{} ended differently.", word(n)),
    };
    let fails = |count: u64, id: i64| {
        let verb = if count == 1 { "fails" } else { "fail" };
        format!(" {} {verb} in campaign {id} alone.", sentence(&word(count)))
    };
    let told = [(only(0), a.id), (only(1), b.id)].into_iter().filter(|(count, _)| *count > 0);
    first + &told.map(|(count, id)| fails(count, id)).collect::<String>()
}

fn head(comparison: &Comparison) -> Markup {
    let side = |side: &Side| {
        let passed = side.runs.iter().filter(|run| run.verdict == Verdict::Pass).count() as u64;
        Fact {
            term: "",
            is: html! { b { "Campaign " (side.id) } ": " (if side.server.is_empty() { shown(&side.target) } else { shown(&side.server) }) },
            note: html! {
                (counted(side.runs.len() as u64, "run")) " in " (spent(side.spent_ms)) ", " (share(passed, side.runs.len() as u64)) " passed; "
                (side.mode) ", from seed " (side.seed)
                @if !side.build.is_empty() { "; build " span.mono { (side.build) } }
            },
            wide: true,
        }
    };
    let [mut a, mut b] = [side(&comparison.sides[0]), side(&comparison.sides[1])];
    (a.term, b.term) = ("A", "B");
    html! {
        h1 style="margin-top:18px" { (headline(comparison)) }
        @if comparison.pairs.is_empty() {
            p.lede { "Only how their runs are distributed can be compared: what differs may be the timelines." }
        }
        (chrome::command(&shown(&comparison.command), "writes this page"))
        (chrome::facts(&[a, b]))
    }
}

/// Every timeline that both ran is a column: never by colour alone, the height says it too.
fn outcomes(comparison: &Comparison) -> Markup {
    if comparison.pairs.is_empty() {
        return html! {};
    }
    let count = comparison.pairs.len();
    let tall = |verdict: Verdict| [60, 260, 180, 120][verdict as usize];
    let class = |verdict: Verdict| ["okb", "bdb", "unb", "ev"][verdict as usize];
    // Of what would stand within less than a pixel only what is worst is seen.
    let columns = count.min((PLOT / 20) as usize);
    let worst = |side: usize, column: usize| {
        let (from, to) = (column * count / columns, (column + 1) * count / columns);
        let of = |at: usize| comparison.pair(comparison.pairs[at])[side].verdict;
        (from..to).map(of).max_by_key(|verdict| [0, 3, 2, 1][*verdict as usize]).unwrap_or_default()
    };
    let x = |column: usize| (column as i64 * i64::from(PLOT) / columns as i64) as Px;
    let rows = [(0, 520), (1, 920)];
    let shape = Figure {
        id: "g1",
        title: "Figure 1. The same timelines side by side.".into(),
        caption: html! {
            "In the order of their runs. Low: passed. Full: failed. Between: unknown, and lowest of these broken. "
            @if columns < count { "There are more timelines than columns: each column shows the worst of " (count.div_ceil(columns)) "." }
        },
        description: headline(comparison),
        height: 1060,
        names: html! { @for (side, foot) in rows {
            text x="8" y=(px(foot - 80)) class="s fb" { @if side == 0 { "A" } @else { "B" } }
            text x="24" y=(px(foot - 80)) class="s f2" { "campaign " (comparison.sides[side].id) }
        } },
        plot: html! {
            @for column in 0..columns {
                @let (a, b) = (worst(0, column), worst(1, column));
                @if a != b { rect x=(px(x(column))) y="10" width=(px(x(column + 1) - x(column))) height="90" class="win" {} }
            }
            @for (side, foot) in rows {
                line x1="0" y1=(px(foot)) x2=(px(PLOT)) y2=(px(foot)) class="rl" {}
                @for column in 0..columns {
                    @let verdict = worst(side, column);
                    @let gap = if columns > 300 { 0 } else { 6 };
                    rect x=(px(x(column) + gap)) y=(px(foot - tall(verdict))) width=(px((x(column + 1) - x(column) - 2 * gap).max(5)))
                        height=(px(tall(verdict))) class=(class(verdict)) {
                        @if columns == count { title { "seed " (comparison.pair(comparison.pairs[column])[side].seed) ": " (verdict.told().0) } }
                    }
                }
            }
        },
        scale: None,
        first: 0,
    };
    let cell = |a: Verdict, b: Verdict| {
        let same = comparison.pairs.iter().map(|pair| comparison.pair(*pair));
        same.filter(|pair| pair[0].verdict == a && pair[1].verdict == b).count() as u64
    };
    html! {
        section {
            h2 { "How the same timelines ended" }
            (figure(&shape))
            div.wrap tabindex="0" role="group" aria-label="verdicts of both" style="max-width:560px;margin-top:18px" { table {
                thead { tr {
                    th scope="col" { "A ↓ B →" }
                    @for verdict in Verdict::ALL { th.r scope="col" { (verdict.tell()) } }
                } }
                tbody { @for a in Verdict::ALL { tr {
                    th scope="row" { (a.tell()) }
                    @for b in Verdict::ALL {
                        @let count = cell(a, b);
                        td.r.b[count > 0].diff[a != b && count > 0] { (thousands(count)) }
                    }
                } } }
            } }
        }
    }
}

fn differing(comparison: &Comparison) -> Markup {
    let mut rows: Vec<[&Run; 2]> = comparison.differing().collect();
    rows.sort_by_key(|[a, b]| (b.verdict != Verdict::Fail, a.verdict != Verdict::Fail, a.number));
    let left_out = rows.len().saturating_sub(ROWS_MAX) as u64;
    html! { @if !rows.is_empty() { section {
        h2 { "What differs" }
        p.sub { "First what fails in B alone, then what fails in A alone, then the rest." }
        div.wrap tabindex="0" role="group" aria-label="runs that ended differently" { table.mid {
            thead { tr {
                th scope="col" { "Seed" } th scope="col" { "Timeline" } th scope="col" { "A" } th scope="col" { "B" } th scope="col" { "Why" }
            } }
            tbody { @for [a, b] in rows.iter().take(ROWS_MAX) { tr {
                th scope="row" class="mono" { (shown(&a.seed)) }
                td.nw { (counted(a.events, "event")) " on " (a.shards) " × " (1 + a.replicas) }
                td { (a.verdict.tell()) } td { (b.verdict.tell()) }
                td style="overflow-wrap:anywhere;min-width:240px" {
                    @for (name, run) in [("A: ", a), ("B: ", b)] { @if !run.why.is_empty() { div { b { (name) } (shown(&run.why)) } } }
                }
            } } }
        } }
        @if left_out > 0 { p.sub { "And " (counted(left_out, "other")) "." } }
    } } }
}

fn failures(comparison: &Comparison) -> Markup {
    html! { section {
        h2 { "Which failures they met" }
        @if comparison.findings.is_empty() { p { "Neither met any." } } @else {
            p.sub { "Runs that met each, in all of both campaigns. On two builds the same failure is two findings: they are told apart by build." }
            div.wrap tabindex="0" role="group" aria-label="failures of both" { table.mid {
                thead { tr {
                    th scope="col" { "What fails, and the check that says so" } th.r scope="col" { "Runs of A" } th.r scope="col" { "Runs of B" } th scope="col" {}
                } }
                tbody { @for met in &comparison.findings { tr {
                    th scope="row" style="overflow-wrap:anywhere;min-width:220px" {
                        (shown(&met.reason)) br; span.t-2.mono style="font-weight:400" { (shown(&met.check)) }
                    }
                    td.r { (thousands(met.runs[0])) } td.r { (thousands(met.runs[1])) }
                    td.nw { @match met.runs { [0, _] => "B alone", [_, 0] => "A alone", _ => "both" } }
                } } }
            } }
        }
    } }
}

type Value = fn(&Run) -> Option<u64>;

/// Name, decimals of thousandths, and the value of a run in thousandths.
const MEASURES: &[(&str, Value)] = &[
    ("99 % latency, ms", |run| (run.latency_p99_us > 0).then_some(run.latency_p99_us)),
    ("mean latency, ms", |run| (run.latency_mean_us > 0).then_some(run.latency_mean_us)),
    ("max latency, ms", |run| (run.latency_max_us > 0).then_some(run.latency_max_us)),
    ("longest failover, s", |run| run.failover_ms),
    ("virtual time, s", |run| Some(run.virtual_ms)),
    ("wall time, s", |run| Some(run.wall_ms)),
];

const BLOCK: Px = 760;

fn distributions(comparison: &Comparison) -> Markup {
    let measured: Vec<(&str, [Vec<u64>; 2])> = MEASURES
        .iter()
        .map(|(name, value)| {
            let of = |side: usize| {
                let mut values: Vec<u64> = comparison.measured(side).into_iter().filter_map(value).collect();
                values.sort_unstable();
                values
            };
            (*name, [of(0), of(1)])
        })
        .filter(|(_, sides)| sides.iter().any(|values| !values.is_empty()))
        .collect();
    if measured.is_empty() {
        return html! {};
    }
    let height = measured.len() as Px * BLOCK + 120;
    let shape = Figure {
        id: "g2",
        title: "Figure 2. How runs are distributed.".into(),
        caption: html! {
            "Thin: from the least to the most. Thick: from 10 to 90 %. Circle: the median, hollow for A. Stroke: 99 %. Each has its own scale, which is logarithmic."
        },
        description:
            "For each number the runs of both campaigns by their quantiles; the table has the same numbers."
                .into(),
        height,
        names: html! { @for (at, (name, _)) in measured.iter().enumerate() {
            @let top = at as Px * BLOCK;
            text x="8" y=(px(top + 180)) class="s fb" { (name) }
            text x="104" y=(px(top + 360)) class="s f2" text-anchor="end" { "A" }
            text x="104" y=(px(top + 560)) class="s f2" text-anchor="end" { "B" }
        } },
        plot: html! { @for (at, (_, sides)) in measured.iter().enumerate() { (strips(at as Px * BLOCK, sides)) } },
        scale: None,
        first: 0,
    };
    html! { section.pb {
        h2 { "How long things took" }
        p.sub { @if comparison.pairs.is_empty() { "Of all runs of both." } @else { "Of the runs of the same timelines alone." } }
        (figure(&shape))
        div.wrap tabindex="0" role="group" aria-label="quantiles of both" style="margin-top:18px" { table.mid {
            thead { tr {
                th scope="col" { "of runs" }
                @for side in ["A", "B"] { @for what in ["median", "90 %", "99 %", "most", "runs"] { th.r scope="col" { (side) ": " (what) } } }
            } }
            tbody { @for (name, sides) in &measured { tr {
                th scope="row" { (name) }
                @for values in sides {
                    @for percent in [50, 90, 99, 100] { td.r { (quantile(values, percent).map_or("–".into(), told)) } }
                    td.r.t-2 { (thousands(values.len() as u64)) }
                }
            } } }
        } }
    } }
}

/// Thousandths with as many decimals as tell something.
fn told(value: u64) -> String {
    let decimals = if value >= 100_000 {
        0
    } else if value >= 10_000 {
        1
    } else {
        2
    };
    if decimals == 0 { thousands((value + 500) / 1000) } else { seconds(value, decimals) }
}

/// Both sides of one number on one logarithmic scale.
fn strips(top: Px, sides: &[Vec<u64>; 2]) -> Markup {
    let all = || sides.iter().flatten().copied();
    let (least, most) = (all().min().unwrap_or(1).max(1), all().max().unwrap_or(1).max(2));
    let decade = |value: u64| (value as f64).log10();
    let (low, high) = (decade(least).floor(), decade(most).ceil().max(decade(least).floor() + 1.0));
    let x = |value: u64| {
        200 + ((decade(value.max(1)) - low) / (high - low) * f64::from(PLOT - 600)).round().max(0.0) as Px
    };
    let decades = (low as u32)..=(high as u32);
    html! {
        @for power in decades {
            @let value = 10u64.pow(power);
            @let at = x(value);
            line x1=(px(at)) y1=(px(top + 200)) x2=(px(at)) y2=(px(top + 620)) class="gl" {}
            @let text = if value < 1000 { seconds(value, 3) } else { thousands(value / 1000) };
            @let half = width(&text, 11) / 2;
            text x=(px(at.max(half + 20))) y=(px(top + 160)) class="s f2" text-anchor="middle" { (text) }
        }
        @for (side, values) in sides.iter().enumerate() {
            @let y = top + 320 + side as Px * 200;
            @if values.is_empty() {
                text x="24" y=(px(y + 40)) class="s f2" { "no run" }
            } @else {
                @let at = |percent: usize| x(quantile(values, percent).unwrap_or(0));
                line x1=(px(x(values[0]))) y1=(px(y)) x2=(px(at(100))) y2=(px(y)) class="ax" {}
                rect x=(px(at(10))) y=(px(y - 40)) width=(px((at(90) - at(10)).max(10))) height="8" class="ev" {}
                path d=(format!("M{} {}v12", px(at(99)), px(y - 60))) class="xx" {}
                circle cx=(px(at(50))) cy=(px(y)) r="5.5" class="flt" style=[(side == 0).then_some("fill:var(--card);stroke:var(--ink2);stroke-width:1.5")] {
                    title { "median " (told(quantile(values, 50).unwrap_or(0))) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::testing::tags;

    fn two(text: &str) -> Comparison {
        let run = |number: u64, verdict: Verdict| Run {
            number,
            seed: number.to_string(),
            verdict,
            why: if verdict == Verdict::Pass { String::new() } else { format!("crash: {text}") },
            virtual_ms: 20_000 + number,
            wall_ms: 900,
            latency_p99_us: 800 * (number + 1),
            latency_mean_us: 300,
            latency_max_us: 90_000,
            ..Run::default()
        };
        let side = |id: i64, fails: u64| Side {
            id,
            server: format!("Redis server {text}"),
            build: text.into(),
            target: "valkey".into(),
            environment: "exact".into(),
            mode: "random".into(),
            seed: "7".into(),
            spent_ms: 60_000,
            runs: (0..9).map(|n| run(n, if n == fails { Verdict::Fail } else { Verdict::Pass })).collect(),
        };
        Comparison {
            sides: [side(1, 3), side(2, 5)],
            pairs: (0..9).map(|n| (n, n)).collect(),
            findings: vec![Met { check: format!("crash{text}"), reason: text.into(), runs: [1, 1] }],
            command: format!("fuzz results --compare 1 2 --html '{text}'"),
        }
    }

    #[test]
    fn what_fails_on_one_side_alone_is_said_first() {
        let page = page(&two(""));
        for part in [
            "Of 9 timelines that both ran, two ended differently. One fails in campaign 1 alone. One fails in campaign 2 alone.",
            "88.88 % passed",
            "99 % latency, ms",
        ] {
            assert!(page.contains(part), "no `{part}`");
        }
        let mut apart = two("");
        apart.pairs.clear();
        assert!(super::page(&apart).contains("Campaigns 1 and 2 ran no timeline in common."));
    }

    #[test]
    fn nothing_that_was_recorded_becomes_markup() {
        let plain = tags(&page(&two("x")));
        for hostile in
            ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "]]></svg>\u{0}\u{1b}"]
        {
            assert_eq!(tags(&page(&two(hostile))), plain, "{hostile:?}");
        }
        assert_eq!(page(&two("x")), page(&two("x")));
    }
}
