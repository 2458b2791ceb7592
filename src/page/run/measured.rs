//! Who owned the slots, how much was served and how fast, and what positions were announced, over the whole run.

use super::scene::{Scene, State};
use crate::env::NodeId;
use crate::history::{Operation, Outcome};
use crate::page::draw::{PLOT, Px, Scale, fit, grid, px, seconds};
use crate::run::record::Record;
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::lanes::Drawing;

const TOP: Px = 180;
/// How many rows of slots are drawn; those in which nothing changed are left out first.
const RANGES_MAX: usize = 14;
/// How many bins the time is cut into, at most; and how short one may be.
const BINS_MAX: i64 = 240;
const BIN_MIN: i64 = 250_000;

/// A stretch of slots, with who owned it from when on.
struct Owned {
    first: u16,
    last: u16,
    by: Vec<(i64, Option<NodeId>)>,
}

fn owned(scene: &Scene<'_>, record: &Record) -> Vec<Owned> {
    let views = || record.views.iter().chain(record.last.iter().map(|last| &last.view));
    let mut edges: BTreeSet<u32> = [0, 16384].into();
    for view in views() {
        for (first, last) in view.answered().flat_map(|(_, report)| report.own_slots()) {
            edges.extend([u32::from(*first), u32::from(*last) + 1]);
        }
    }
    let edges: Vec<u32> = edges.into_iter().collect();
    let mut rows: Vec<Owned> = edges
        .windows(2)
        .map(|pair| Owned { first: pair[0] as u16, last: (pair[1] - 1) as u16, by: Vec::new() })
        .collect();
    for view in views() {
        let at = scene.since(view.at);
        for row in &mut rows {
            let claims = |slots: &[(u16, u16)]| slots.iter().any(|(a, b)| *a <= row.first && row.first <= *b);
            let owner = view.answered().find(|(_, report)| claims(report.own_slots())).map(|(node, _)| node);
            // Who does not answer may own them still; who is down does not.
            let owner = owner.or_else(|| {
                let before = row.by.last().and_then(|(_, owner)| *owner)?;
                let away = scene.at(before, at).is_none_or(|span| span.state == State::Down);
                (!away && view.report(before).is_none()).then_some(before)
            });
            if row.by.last().is_none_or(|(_, last)| *last != owner) {
                row.by.push((at.max(scene.from), owner));
            }
        }
    }
    let mut merged: Vec<Owned> = Vec::new();
    for row in rows {
        match merged.last_mut() {
            Some(last) if last.by == row.by => last.last = row.last,
            _ => merged.push(row),
        }
    }
    merged
}

/// What clients got in one bin of time.
#[derive(Clone, Debug, Default)]
struct Bin {
    ok: u64,
    refused: u64,
    unknown: u64,
    /// Of those acknowledged.
    latencies: Vec<u64>,
}

struct Bins {
    length: i64,
    from: i64,
    bins: Vec<Bin>,
}

impl Bins {
    fn of(scene: &Scene<'_>, record: &Record) -> Self {
        let length = ((scene.to - scene.from) / BINS_MAX).max(BIN_MIN);
        let count = (scene.to - scene.from).div_euclid(length) as usize + 1;
        let mut bins = vec![Bin::default(); count];
        for one in &record.history {
            let at = scene.since(one.complete.logical) - scene.from;
            let Some(bin) = usize::try_from(at.div_euclid(length)).ok().and_then(|place| bins.get_mut(place))
            else {
                continue;
            };
            match one.outcome {
                Outcome::Ok(_) => {
                    bin.ok += 1;
                    bin.latencies.push(took(one));
                }
                Outcome::Fail(_) => bin.refused += 1,
                Outcome::Unknown(_) => bin.unknown += 1,
            }
        }
        bins.iter_mut().for_each(|bin| bin.latencies.sort_unstable());
        Self { length, from: scene.from, bins }
    }

    fn at(&self, place: usize) -> i64 {
        self.from + place as i64 * self.length
    }

    fn a_second(&self, count: u64) -> u64 {
        count * 1_000_000 / self.length as u64
    }
}

fn took(one: &Operation) -> u64 {
    one.complete.wall.0.saturating_sub(one.invoke.wall.0)
}

/// The value at a share of a sorted row.
fn quantile(sorted: &[u64], percent: usize) -> Option<u64> {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().checked_sub(1)?)).copied()
}

/// A number that an axis may end at: 1, 2 or 5 times a power of ten.
fn round_up(number: u64) -> u64 {
    let mut unit = 1;
    loop {
        for times in [1, 2, 5] {
            if number <= times * unit {
                return times * unit;
            }
        }
        unit *= 10;
    }
}

pub fn draw(scene: &Scene<'_>, record: &Record, scale: &Scale) -> Drawing {
    let bottom_of = |y: Px, height: Px| y + height;
    let (mut names, mut plot) = (Vec::new(), Vec::new());
    let mut y = TOP + 100;

    let rows = owned(scene, record);
    let (shown, left_out) = choose(rows, scene.words.group);
    names.push(html! { text x="8" y=(px(y + 70)) class="s fb" { (if scene.words.group { "led by" } else { "slots owned by" }) } });
    y += if scene.words.group { 0 } else { 140 };
    for row in &shown {
        let range = if row.first == row.last {
            row.first.to_string()
        } else {
            format!("{}–{}", row.first, row.last)
        };
        if !scene.words.group {
            names.push(html! { text x="104" y=(px(y + 90)) class="s" text-anchor="end" { (range) } });
        }
        plot.push(owners(row, y, scale, scene));
        y += 160;
    }
    if left_out > 0 {
        names.push(html! { text x="8" y=(px(y + 90)) class="s f2" { (left_out) " more" } });
        plot.push(html! { text x="4" y=(px(y + 90)) class="s f2" { "ranges whose owner never changed, or that did not fit" } });
        y += 160;
    }
    y += 160;

    let bins = Bins::of(scene, record);
    if !record.history.is_empty() {
        let height = 700;
        names.push(html! {
            text x="8" y=(px(y + 70)) class="s fb" { "operations/s" }
            text x="8" y=(px(y + 230)) class="s okt" { "■ ok" }
            text x="8" y=(px(y + 370)) class="s bd" { "■ refused" }
            text x="8" y=(px(y + 510)) class="s unt" { "■ unknown" }
        });
        plot.push(rate(&bins, y, height, scale));
        y = bottom_of(y, height) + 220;
        let height = 700;
        names.push(html! {
            text x="8" y=(px(y + 70)) class="s fb" { "latency, ms" }
            text x="8" y=(px(y + 230)) class="s f2" { "— 99 %" }
            text x="8" y=(px(y + 370)) class="s pr" { "— median" }
        });
        plot.push(latency(&bins, y, height, scale));
        y = bottom_of(y, height) + 220;
    }
    let streams = if scene.words.group { Vec::new() } else { offsets(scene, record) };
    if streams.iter().any(|line| line.points.iter().any(|(_, offset)| *offset > 0)) {
        let height = 900;
        names.push(html! {
            text x="8" y=(px(y + 70)) class="s fb" { "position" }
            text x="8" y=(px(y + 210)) class="s f2" { "announced, in" }
            text x="8" y=(px(y + 340)) class="s f2" { "its own stream" }
        });
        plot.push(positions(&streams, y, height, scale));
        y = bottom_of(y, height) + 220;
    }
    let bottom = y - 100;
    let broken = scene.broken.filter(|at| scale.holds(*at));
    let windows = scene.acts.iter().filter(|act| act.fault);
    let plot = html! {
        @for act in windows {
            @let (x0, x1) = (scale.x(act.from), scale.x(act.to.unwrap_or(scene.to)));
            rect x=(px(x0)) y=(px(TOP)) width=(px((x1 - x0).max(10))) height=(px(bottom - TOP)) class="fw" {
                title { (act.label) ", " (seconds(act.from, 3)) " s" }
            }
        }
        (grid(scale, TOP, bottom))
        @for part in &plot { (part) }
        @if let Some(at) = broken {
            line x1=(px(scale.x(at))) y1=(px(TOP)) x2=(px(scale.x(at))) y2=(px(bottom)) class="vio" {}
        }
    };
    Drawing { names: html! { @for part in &names { (part) } }, plot, height: bottom + 40 }
}

/// Rows that changed come first; order stays that of the slots.
fn choose(rows: Vec<Owned>, group: bool) -> (Vec<Owned>, usize) {
    if group {
        return (rows.into_iter().take(1).collect(), 0);
    }
    let all = rows.len();
    if all <= RANGES_MAX {
        return (rows, 0);
    }
    let changed: Vec<Owned> = rows.into_iter().filter(|row| row.by.len() > 1).take(RANGES_MAX).collect();
    let left = all - changed.len();
    (changed, left)
}

fn owners(row: &Owned, y: Px, scale: &Scale, scene: &Scene<'_>) -> Markup {
    let end = scene.to;
    html! {
        @for (place, (from, owner)) in row.by.iter().enumerate() {
            @let to = row.by.get(place + 1).map_or(end, |(next, _)| *next);
            @let (x0, x1) = (scale.x(*from), scale.x(to));
            @match owner {
                Some(node) => {
                    rect x=(px(x0)) y=(px(y)) width=(px((x1 - x0 - 8).max(6))) height="12" class="pri" {
                        title { (node) " (" (seconds(*from, 3)) " to " (seconds(to, 3)) " s)" }
                    }
                    @if let Some(text) = fit(&node.to_string(), 11, x1 - x0 - 80) {
                        text x=(px(x0 + 40)) y=(px(y + 95)) class="s op" { (text) }
                    }
                }
                None => {
                    rect x=(px(x0)) y=(px(y)) width=(px((x1 - x0 - 8).max(6))) height="12" class="no" {
                        title { "nobody (" (seconds(*from, 3)) " to " (seconds(to, 3)) " s)" }
                    }
                    @if x1 - x0 > 500 { text x=(px(x0 + 40)) y=(px(y + 95)) class="s bd halo" { "nobody" } }
                }
            }
        }
    }
}

fn rate(bins: &Bins, y: Px, height: Px, scale: &Scale) -> Markup {
    let most =
        bins.bins.iter().map(|bin| bins.a_second(bin.ok + bin.refused + bin.unknown)).max().unwrap_or(0);
    let most = round_up(most.max(1));
    let tall = |count: u64| (bins.a_second(count) as i64 * i64::from(height) / most as i64) as Px;
    let base = y + height;
    html! {
        line x1="0" y1=(px(base)) x2=(px(PLOT)) y2=(px(base)) class="rl" {}
        line x1="0" y1=(px(y)) x2=(px(PLOT)) y2=(px(y)) class="gl" {}
        text x="2" y=(px(y + 100)) class="s f2 halo" { (most) "/s" }
        @for (place, bin) in bins.bins.iter().enumerate().filter(|(_, bin)| bin.ok + bin.refused + bin.unknown > 0) {
            @let (x0, x1) = (scale.x(bins.at(place)), scale.x(bins.at(place + 1)));
            @let width = (x1 - x0 - 6).max(8);
            @let (ok, refused, unknown) = (tall(bin.ok), tall(bin.refused), tall(bin.unknown));
            g {
                title {
                    (seconds(bins.at(place), 2)) " s: " (bins.a_second(bin.ok)) " ok, " (bins.a_second(bin.refused))
                    " refused, " (bins.a_second(bin.unknown)) " unknown a second"
                }
                @if ok > 0 { rect x=(px(x0)) y=(px(base - ok)) width=(px(width)) height=(px(ok)) class="okb" {} }
                @if refused > 0 { rect x=(px(x0)) y=(px(base - ok - refused)) width=(px(width)) height=(px(refused)) class="bdb" {} }
                @if unknown > 0 { rect x=(px(x0)) y=(px(base - ok - refused - unknown)) width=(px(width)) height=(px(unknown)) class="unb" {} }
            }
        }
    }
}

/// Powers of ten from a tenth of a millisecond on, in microseconds.
const DECADES: &[(u64, &str)] = &[
    (100, "0.1"),
    (1_000, "1"),
    (10_000, "10"),
    (100_000, "100"),
    (1_000_000, "1,000"),
    (10_000_000, "10,000"),
];

/// A thousandth of the way up per unit: the logarithm, in integers, by squaring.
fn log10_thousandths(number: u64) -> i64 {
    // As good as a float's: the pages' bytes must not hang on one.
    let mut whole = 0;
    let mut rest = u128::from(number.max(1)) << 32;
    let one = 1u128 << 32;
    while rest >= 10 * one {
        rest /= 10;
        whole += 1;
    }
    let (mut part, mut bit) = (0i64, 1i64 << 19);
    for _ in 0..20 {
        // Squaring doubles the logarithm.
        rest = (rest * rest) >> 32;
        if rest >= 10 * one {
            rest /= 10;
            part += bit;
        }
        bit >>= 1;
    }
    whole * 1000 + part * 1000 / (1 << 20)
}

fn latency(bins: &Bins, y: Px, height: Px, scale: &Scale) -> Markup {
    let most = bins.bins.iter().filter_map(|bin| bin.latencies.last()).max().copied().unwrap_or(1);
    let top = DECADES.iter().position(|(us, _)| *us >= most).unwrap_or(DECADES.len() - 1).max(1);
    let (low, high) = (2_000, 2_000 + 1000 * top as i64);
    let base = y + height;
    let place = |us: u64| {
        let at = (log10_thousandths(us).clamp(low, high) - low) * i64::from(height) / (high - low);
        base - at as Px
    };
    let line = |percent: usize| {
        let mut path = String::new();
        let mut pen = 'M';
        for (number, bin) in bins.bins.iter().enumerate() {
            match quantile(&bin.latencies, percent) {
                Some(us) => {
                    let x = Px::midpoint(scale.x(bins.at(number)), scale.x(bins.at(number + 1)));
                    let _ = write!(path, "{pen}{} {}", px(x), px(place(us)));
                    pen = 'L';
                }
                None => pen = 'M',
            }
        }
        path
    };
    html! {
        @for (us, label) in &DECADES[..=top] {
            line x1="0" y1=(px(place(*us))) x2=(px(PLOT)) y2=(px(place(*us))) class="gl" {}
            text x="2" y=(px(place(*us) - 20)) class="s f2 halo" { (label) }
        }
        path d=(line(99)) class="l-2" { title { "99 % within" } }
        path d=(line(50)) class="l-pri" { title { "median" } }
    }
}

/// What a node announced, as long as it was of one stream.
struct Stream {
    node: NodeId,
    stream: usize,
    points: Vec<(i64, u64)>,
}

/// How many lines are drawn.
const LINES_MAX: usize = 12;

fn offsets(scene: &Scene<'_>, record: &Record) -> Vec<Stream> {
    let involved = scene.involved();
    let shards: BTreeSet<Option<u16>> =
        scene.lanes.iter().filter(|lane| involved.contains(&lane.node)).map(|lane| lane.shard).collect();
    let shown: BTreeSet<NodeId> = scene
        .lanes
        .iter()
        .filter(|lane| shards.is_empty() || shards.contains(&lane.shard))
        .map(|lane| lane.node)
        .take(LINES_MAX)
        .collect();
    let mut streams: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lines: Vec<Stream> = Vec::new();
    let mut open: BTreeMap<NodeId, usize> = BTreeMap::new();
    for view in record.views.iter().chain(record.last.iter().map(|last| &last.view)) {
        let at = scene.since(view.at);
        for one in view.nodes.iter().filter(|one| shown.contains(&one.node)) {
            let Ok(report) = &one.report else {
                open.remove(&one.node);
                continue;
            };
            let id = report.replication.replication_id.as_str();
            if id.is_empty() {
                continue;
            }
            let next = streams.len() + 1;
            let stream = *streams.entry(id).or_insert(next);
            let line = open.get(&one.node).copied().filter(|line| lines[*line].stream == stream);
            let line = line.unwrap_or_else(|| {
                lines.push(Stream { node: one.node, stream, points: Vec::new() });
                lines.len() - 1
            });
            open.insert(one.node, line);
            lines[line].points.push((at, report.replication.offset));
        }
    }
    lines
}

fn positions(lines: &[Stream], y: Px, height: Px, scale: &Scale) -> Markup {
    let most = lines.iter().flat_map(|line| &line.points).map(|(_, offset)| *offset).max().unwrap_or(1);
    let most = round_up(most.max(1));
    let base = y + height;
    let place = |offset: u64| base - (u128::from(offset) * height as u128 / u128::from(most)) as Px;
    let classes = ["l-pri", "l-syn", "l-ok", "l-2", "l-bad"];
    // A label for each line that ends where no other label stands.
    let mut taken: Vec<(Px, Px)> = Vec::new();
    let mut labels = Vec::new();
    for line in lines {
        let Some((at, offset)) = line.points.last() else { continue };
        let (x, at_y) = (scale.x(*at), place(*offset));
        let text = format!("{}, stream {}", line.node, line.stream);
        let free = taken.iter().all(|(tx, ty)| (tx - x).abs() > 900 || (ty - at_y).abs() > 110);
        if free && x > 1100 {
            taken.push((x, at_y));
            labels.push((x - 40, at_y - 40, text));
        }
    }
    html! {
        line x1="0" y1=(px(base)) x2=(px(PLOT)) y2=(px(base)) class="rl" {}
        line x1="0" y1=(px(y)) x2=(px(PLOT)) y2=(px(y)) class="gl" {}
        text x="2" y=(px(y + 100)) class="s f2 halo" { (crate::report::names::thousands(most)) " bytes" }
        @for line in lines {
            @let path = line.points.iter().enumerate().map(|(number, (at, offset))| {
                format!("{}{} {}", if number == 0 { 'M' } else { 'L' }, px(scale.x(*at)), px(place(*offset)))
            }).collect::<String>();
            path d=(path) class=(classes[(line.stream - 1) % classes.len()]) {
                title { (line.node) ", replication stream " (line.stream) " of this run" }
            }
        }
        @for (x, y, text) in &labels {
            text x=(px(*x)) y=(px(*y)) class="s halo" text-anchor="end" { (text) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_integers_and_right() {
        for (number, thousandths) in
            [(1, 0), (10, 1000), (1000, 3000), (2, 301), (500, 2698), (999_999, 5999)]
        {
            assert!(
                (log10_thousandths(number) - thousandths).abs() <= 1,
                "{number}: {}",
                log10_thousandths(number)
            );
        }
    }

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!([round_up(1), round_up(3), round_up(317), round_up(50_001)], [1, 5, 500, 100_000]);
    }

    #[test]
    fn a_quantile_of_nothing_is_none() {
        assert_eq!(quantile(&[], 50), None);
        assert_eq!([quantile(&[1, 2, 3, 4], 50), quantile(&[1, 2, 3, 4], 99)], [Some(3), Some(4)]);
    }
}
