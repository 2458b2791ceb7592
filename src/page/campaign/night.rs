//! The night by the clock: features reached, runs, and how they ended. Pauses between the parts of a campaign are cut out.

use super::{Campaign, Run, Verdict};
use crate::page::chrome::{Figure, figure};
use crate::page::clock::{self, Part};
use crate::page::draw::{NAMES, PLOT, Px, px, width};
use crate::report::names::thousands;
use crate::report::visible::on_one_line as shown;
use maud::{Markup, html};

const FEATURES_TOP: Px = 400;
const FEATURES_FOOT: Px = 1940;
const RUNS_TOP: Px = 2400;
const RUNS_FOOT: Px = 3200;
/// The lines on which the ends of runs stand.
const ENDS: [(Verdict, Px); 4] =
    [(Verdict::Pass, 3820), (Verdict::Fail, 4060), (Verdict::Unknown, 4300), (Verdict::Broken, 4540)];
const HEIGHT: Px = 4820;
const BINS_MAX: i64 = 60;
const LABELS_MAX: usize = 16;

/// Where times and counts are drawn.
struct Axes {
    parts: Vec<Part>,
    /// How long was worked in all, in milliseconds.
    all: i64,
    features_most: u64,
    /// Of a bin, in milliseconds.
    bin: i64,
}

impl Axes {
    fn x(&self, worked: i64) -> Px {
        (worked.clamp(0, self.all) * i64::from(PLOT) / self.all) as Px
    }
    fn at(&self, run: &Run) -> i64 {
        clock::worked(&self.parts, run.span().1)
    }
    fn y(&self, features: u64) -> Px {
        let tall =
            i64::from(FEATURES_FOOT - FEATURES_TOP) * features as i64 / self.features_most.max(1) as i64;
        FEATURES_FOOT - tall as Px
    }
}

/// A round number that is not below this one, and how far apart its grid lines are.
fn most(number: u64) -> (u64, u64) {
    let steps = (0..18).flat_map(|power| [1, 2, 5].map(|n| n * 10u64.pow(power)));
    let step = steps.into_iter().find(|step| number <= step * 4).unwrap_or(number);
    (step * number.div_ceil(step).max(1), step)
}

pub(super) fn section(campaign: &Campaign) -> Markup {
    let parts = clock::parts(&campaign.runs.iter().map(Run::span).collect::<Vec<_>>());
    if parts.is_empty() {
        return html! { section.pb { h2 { "The night" } p { "No run is over." } } };
    }
    let all = parts.iter().map(|part| part.to - part.from).sum::<i64>().max(1000);
    let curve = curve(&campaign.runs, &parts);
    let before = campaign.before.first().map(|before| {
        let parts = clock::parts(&before.runs.iter().map(Run::span).collect::<Vec<_>>());
        self::curve(&before.runs, &parts)
    });
    let highest = |curve: &[(i64, u64)]| curve.iter().filter(|(at, _)| *at <= all).map(|(_, n)| *n).max();
    let top = highest(&curve).max(before.as_deref().and_then(highest)).unwrap_or(0);
    let bin = clock::round((all + 999) / 1000, BINS_MAX) * 1000;
    let axes = Axes { parts, all, features_most: most(top).0, bin };
    let bins = bins(campaign, &axes);
    let per = clock::length(bin / 1000);
    let figure_of = Figure {
        id: "g1",
        title: "Figure 1. The night by the clock.".into(),
        caption: html! {
            "Diamonds: where each failure was first met. A flat curve means that the night found nothing new any more. "
            "Times are UTC; a run counts where it ended; each row of ends has its own scale."
            @if axes.parts.len() > 1 { " Where nothing ran for a quarter of an hour that time is cut out, at the dashed lines." }
            @if let Some(before) = campaign.before.first() { " Dashed curve: campaign " (before.id) ", from its own beginning." }
        },
        description: format!(
            "Features reached over the night, up to {}; runs in each {per}; and how runs ended.",
            thousands(campaign.reached())
        ),
        height: HEIGHT,
        names: names(campaign, &axes, &bins, &per),
        plot: html! {
            (times(&axes))
            (features(campaign, &axes, &curve, before.as_deref()))
            (diamonds(campaign, &axes, &curve))
            (runs(&axes, &bins, &per))
            @for (verdict, foot) in ENDS { (ends(&axes, &bins, verdict, foot, &per)) }
        },
        scale: None,
        first: 0,
    };
    html! { section.pb { h2 { "The night" } (figure(&figure_of)) } }
}

/// How many features were reached after each time worked.
fn curve(runs: &[Run], parts: &[Part]) -> Vec<(i64, u64)> {
    let mut firsts: Vec<(i64, u64)> =
        runs.iter().map(|run| (clock::worked(parts, run.span().1), run.first)).collect();
    firsts.sort_unstable();
    let mut sum = 0;
    firsts
        .into_iter()
        .map(|(at, first)| {
            sum += first;
            (at, sum)
        })
        .collect()
}

/// What ended within a time.
#[derive(Clone, Default)]
struct Bin {
    ended: [u64; 4],
    held_up: u64,
}

impl Bin {
    fn all(&self) -> u64 {
        self.ended.iter().sum()
    }
}

fn bins(campaign: &Campaign, axes: &Axes) -> Vec<Bin> {
    let count = (axes.all + axes.bin - 1) / axes.bin;
    let mut bins = vec![Bin::default(); count.max(1) as usize];
    for run in &campaign.runs {
        let at = (axes.at(run) / axes.bin).clamp(0, count - 1) as usize;
        bins[at].ended[run.verdict as usize] += 1;
        // As a campaign takes it that goes slower for it.
        bins[at].held_up += u64::from(run.stretched_ms * 1000 > run.virtual_ms * 20);
    }
    bins
}

fn names(campaign: &Campaign, axes: &Axes, bins: &[Bin], per: &str) -> Markup {
    let (top, step) = most(axes.features_most);
    let (runs_top, runs_step) = most(bins.iter().map(Bin::all).max().unwrap_or(0));
    let right = NAMES - 60;
    html! {
        text x="8" y="14" class="s fb" { "features reached" }
        @for at in 0..=top / step {
            text x=(px(right)) y=(px(axes.y(at * step) + 40)) class="s f2" text-anchor="end" { (thousands(at * step)) }
        }
        text x="8" y=(px(RUNS_TOP - 160)) class="s fb" { "runs in " (per) }
        @for at in 0..=runs_top / runs_step {
            text x=(px(right)) y=(px(runs_y(at * runs_step, runs_top) + 40)) class="s f2" text-anchor="end" { (thousands(at * runs_step)) }
        }
        text x="8" y=(px(ENDS[0].1 - 240)) class="s fb" { "how runs ended" }
        @for ((verdict, foot), class) in ENDS.into_iter().zip(["okt", "bd", "unt", "f2"]) {
            text x="8" y=(px(foot - 20)) class=(format!("s {class}")) { (verdict.told().0) }
            text x=(px(right)) y=(px(foot - 20)) class="s fb" text-anchor="end" { (thousands(campaign.of(verdict))) }
        }
    }
}

fn times(axes: &Axes) -> Markup {
    let with_seconds = axes.all < 600_000;
    let mut free = 0;
    let mut ticks = Vec::new();
    for (clock, worked) in clock::ticks(&axes.parts, 10) {
        let (x, text) = (axes.x(worked), clock::time_of_day(clock / 1000, with_seconds));
        let half = width(&text, 11) / 2;
        let left = (x - half).clamp(20, PLOT - 2 * half - 20);
        let label = (left >= free).then_some((left + half, text));
        if label.is_some() {
            free = left + 2 * half + 60;
        }
        ticks.push((x, label));
    }
    html! {
        @for (x, label) in &ticks {
            line x1=(px(*x)) y1="20" x2=(px(*x)) y2=(px(HEIGHT - 100)) class="gl" {}
            @if let Some((middle, text)) = label {
                text x=(px(*middle)) y="13" class="s f2" text-anchor="middle" { (text) }
            }
        }
        @for part in axes.parts.iter().skip(1) {
            @let x = px(axes.x(part.worked));
            line x1=(x) y1="20" x2=(x) y2=(px(HEIGHT - 100)) class="ax" stroke-dasharray="4 3" { title { "a pause" } }
        }
    }
}

/// A line of steps; what lies within a tenth of a pixel is one point.
fn line(axes: &Axes, curve: &[(i64, u64)]) -> String {
    let mut points: Vec<(Px, Px)> = vec![(0, FEATURES_FOOT)];
    for (at, count) in curve.iter().filter(|(at, _)| *at <= axes.all) {
        let point = (axes.x(*at), axes.y(*count));
        match points.last_mut() {
            Some(last) if point.0 - last.0 < 20 => *last = (last.0, point.1),
            _ => points.push(point),
        }
    }
    let mut path = String::new();
    for (at, (x, y)) in points.iter().enumerate() {
        path += &format!("{}{} {}", if at == 0 { 'M' } else { 'L' }, px(*x), px(*y));
    }
    path
}

fn features(campaign: &Campaign, axes: &Axes, curve: &[(i64, u64)], before: Option<&[(i64, u64)]>) -> Markup {
    let (top, step) = most(axes.features_most);
    let now = format!("campaign {}, {}: {}", campaign.id, campaign.mode, thousands(campaign.reached()));
    let now_y = axes.y(curve.last().map_or(0, |(_, count)| *count)) - 70;
    let then = before.zip(campaign.before.first()).and_then(|(curve, before)| {
        let (_, count) = curve.iter().rfind(|(at, _)| *at <= axes.all)?;
        let y = axes.y(*count) - 70;
        // Under the other where both end at one height.
        let y = if (y - now_y).abs() < 140 { now_y + 280 } else { y };
        Some((line(axes, curve), y, format!("campaign {}: {} by then", before.id, thousands(*count))))
    });
    html! {
        @for at in 0..=top / step {
            @let y = px(axes.y(at * step));
            line x1="0" y1=(y) x2=(px(PLOT)) y2=(y) class=(if at == 0 { "ax" } else { "rl" }) {}
        }
        @if let Some((path, y, text)) = &then {
            path d=(path) class="l-2" stroke-dasharray="7 3" { title { (text) } }
            text x=(px(PLOT - 60)) y=(px((*y).max(330))) class="s halo" text-anchor="end" { (text) }
        }
        path d=(line(axes, curve)) class="l-pri" { title { (now) } }
        text x=(px(PLOT - 60)) y=(px(now_y.max(330))) class="s pr fb halo" text-anchor="end" { (now) }
    }
}

/// Where each failure was first met, with the name of its check where there is room.
fn diamonds(campaign: &Campaign, axes: &Axes, curve: &[(i64, u64)]) -> Markup {
    let mut taken: Vec<[Px; 4]> = Vec::new();
    let mut marks = Vec::new();
    for finding in &campaign.findings {
        let Some(at) = campaign.met_by(finding.id).map(|run| axes.at(run)).min() else { continue };
        let count = curve.iter().rfind(|(then, _)| *then <= at).map_or(0, |(_, count)| *count);
        let (x, y) = (axes.x(at), axes.y(count));
        let text = if finding.new {
            format!("{} (new)", shown(&finding.check))
        } else {
            shown(&finding.check).into()
        };
        let wide = width(&text, 11) + 20;
        let places = [
            (110, 170),
            (110, 60),
            (110, 300),
            (-110 - wide, -60),
            (110, 430),
            (-110 - wide, -190),
            (110, 560),
        ];
        let place = places.into_iter().map(|(dx, dy)| (x + dx, y + dy)).find(|(left, foot)| {
            let inside =
                *left >= 20 && left + wide <= PLOT - 20 && *foot >= 330 && *foot <= FEATURES_FOOT - 30;
            let room = taken
                .iter()
                .all(|[l, t, r, b]| left + wide < *l || left > r || foot - 110 > *b || *foot < *t);
            inside && room
        });
        let label = place.filter(|_| taken.len() < LABELS_MAX).map(|(left, foot)| {
            taken.push([left, foot - 110, left + wide, foot]);
            (left, foot, text)
        });
        marks.push((x, y, finding, label));
    }
    html! {
        @for (x, y, finding, label) in &marks {
            @let class = if finding.new { "viof" } else { "evk" };
            path d=(format!("M{} {}l6 6l-6 6l-6 -6z", px(*x), px(y - 60))) class=(class) {
                title { "first met: " (shown(&finding.check)) ": " (shown(&finding.reason)) }
            }
            @if let Some((left, foot, text)) = label {
                text x=(px(*left)) y=(px(*foot)) class=(if finding.new { "s halo bd fb" } else { "s halo" }) { (text) }
            }
        }
    }
}

fn runs_y(count: u64, top: u64) -> Px {
    RUNS_FOOT - (i64::from(RUNS_FOOT - RUNS_TOP) * count as i64 / top.max(1) as i64) as Px
}

/// Each bin from its left to its right edge, with the count that it has.
fn boxes<'a>(axes: &'a Axes, bins: &'a [Bin]) -> impl Iterator<Item = (Px, Px, &'a Bin)> {
    bins.iter().enumerate().map(|(at, bin)| {
        let from = axes.x(at as i64 * axes.bin) + 10;
        let to = axes.x((at as i64 + 1) * axes.bin) - 10;
        (from, (to - from).max(5), bin)
    })
}

fn runs(axes: &Axes, bins: &[Bin], per: &str) -> Markup {
    let (top, step) = most(bins.iter().map(Bin::all).max().unwrap_or(0));
    let held_up = boxes(axes, bins).find(|(_, _, bin)| bin.held_up * 2 > bin.all());
    html! {
        @for at in 0..=top / step {
            @let y = px(runs_y(at * step, top));
            line x1="0" y1=(y) x2=(px(PLOT)) y2=(y) class=(if at == 0 { "ax" } else { "rl" }) {}
        }
        @for (x, wide, bin) in boxes(axes, bins).filter(|(_, _, bin)| bin.all() > 0) {
            @let y = runs_y(bin.all(), top);
            @let class = if bin.held_up * 2 > bin.all() { "syn" } else { "lite" };
            rect x=(px(x)) y=(px(y)) width=(px(wide)) height=(px(RUNS_FOOT - y)) class=(class) {
                title { (thousands(bin.all())) " runs in " (per) @if bin.held_up > 0 { ", " (bin.held_up) " held up" } }
            }
        }
        @if let Some((x, _, _)) = held_up {
            @let text = "hatched: most runs were held up, the machine was busy";
            text x=(px(x.min(PLOT - width(text, 11) - 40) + 20)) y=(px(RUNS_TOP + 110)) class="s halo" { (text) }
        }
    }
}

fn ends(axes: &Axes, bins: &[Bin], verdict: Verdict, foot: Px, per: &str) -> Markup {
    let of = |bin: &Bin| bin.ended[verdict as usize];
    let most = bins.iter().map(of).max().unwrap_or(0).max(1);
    let class = ["okb", "bdb", "unb", "ev"][verdict as usize];
    html! {
        line x1="0" y1=(px(foot)) x2=(px(PLOT)) y2=(px(foot)) class="rl" {}
        @for (x, wide, bin) in boxes(axes, bins).filter(|(_, _, bin)| of(bin) > 0) {
            @let tall = ((150 * of(bin) / most) as Px).max(20);
            rect x=(px(x)) y=(px(foot - tall)) width=(px(wide)) height=(px(tall)) class=(class) {
                title { (thousands(of(bin))) " " (verdict.told().0) " in " (per) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::most;

    #[test]
    fn axes_end_at_round_numbers() {
        for (number, expected) in
            [(0, (1, 1)), (3, (3, 1)), (626, (800, 200)), (3871, (4000, 1000)), (4_001, (6_000, 2_000))]
        {
            assert_eq!(most(number), expected);
        }
    }
}
