//! The load until now: operations a second, those that were not acknowledged, and how long the others took.

use super::lanes::Scene;
use crate::page::chrome::{self, Figure};
use crate::page::draw::{self, NAMES, PLOT, Px, px};
use crate::report::names::thousands;
use crate::report::story::Story;
use maud::{Markup, html};

const TOP: Px = 420;
const FOOT: Px = 1080;
const SLOW: Px = 1500;
const FAST: Px = 2020;
const HEIGHT: Px = 2140;
/// The latencies at the edges of their part, in microseconds.
const FASTEST_US: f64 = 100.0;
const SLOWEST_US: f64 = 10_000_000.0;

/// A stretch between two words on the progress.
struct Beat {
    from: i64,
    to: i64,
    ok: u64,
    not_ok: u64,
    half: Option<u64>,
    most: Option<u64>,
}

fn beats(story: &Story) -> Vec<Beat> {
    let mut beats = Vec::new();
    for two in story.load.windows(2) {
        let [(from, before), (to, now)] = two else { continue };
        // The clock begins anew when the cluster is healthy.
        if to <= from {
            continue;
        }
        let a_second = |count: u64| count * 1_000_000 / (to - from) as u64;
        let ok = now.ok.saturating_sub(before.ok);
        let all = now.operations.saturating_sub(before.operations);
        beats.push(Beat {
            from: *from,
            to: *to,
            ok: a_second(ok),
            not_ok: a_second(all.saturating_sub(ok)),
            half: now.latency_p50_us,
            most: now.latency_p99_us,
        });
    }
    beats
}

fn slow(us: u64) -> Px {
    let part =
        ((us as f64).clamp(FASTEST_US, SLOWEST_US) / FASTEST_US).log10() / (SLOWEST_US / FASTEST_US).log10();
    FAST - (part * f64::from(FAST - SLOW)).round() as Px
}

pub(super) fn figure(story: &Story, scene: &Scene) -> Markup {
    let beats = beats(story);
    let most = beats.iter().map(|beat| beat.ok + beat.not_ok).max().unwrap_or(0).max(10);
    let most = [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000]
        .into_iter()
        .find(|round| most <= *round)
        .unwrap_or(most);
    let y = |count: u64| FOOT - (count * (FOOT - TOP) as u64 / most) as Px;
    let x = |at: i64| scene.scale.x(at);
    let line = |point: &dyn Fn(&Beat) -> Option<Px>| -> String {
        let mut path = String::new();
        let mut drawn = false;
        for beat in &beats {
            let Some(height) = point(beat) else {
                drawn = false;
                continue;
            };
            let middle = i32::midpoint(x(beat.from), x(beat.to));
            path += &format!("{}{} {}", if drawn { 'L' } else { 'M' }, px(middle), px(height));
            drawn = true;
        }
        path
    };
    let now = x(scene.now);
    let last = beats.last();
    let gaps = scene.without_primary();
    let shape = Figure {
        id: "v2",
        title: "Figure 2. The load.".into(),
        caption: html! {
            "In stretches of about a second. Latency is of what was acknowledged."
            @if !gaps.is_empty() { " Grey: a shard without a running primary." }
        },
        description: format!("Operations a second and latency up to {} s.", draw::seconds(scene.now, 3)),
        height: HEIGHT,
        names: html! {
            text x="8" y="34" class="s fb" { "operations/s" }
            text x="8" y=(px(TOP + 220)) class="s okt" { "━ ok" }
            text x="8" y=(px(TOP + 380)) class="s bd" { "▨ not ok" }
            @for (count, at) in [(most, TOP), (0, FOOT)] {
                text x=(px(NAMES - 60)) y=(px(at + 40)) class="s f2" text-anchor="end" { (thousands(count)) }
            }
            text x="8" y=(px(SLOW - 160)) class="s fb" { "latency, ms (log)" }
            @for (us, text) in [(100, "0.1"), (10_000, "10"), (1_000_000, "1,000")] {
                text x=(px(NAMES - 60)) y=(px(slow(us) + 40)) class="s f2" text-anchor="end" { (text) }
            }
        },
        plot: html! {
            rect x=(px(now)) y="0" width=(px(PLOT - now)) height=(px(HEIGHT)) class="zoomb" {}
            @for (_, since) in &gaps {
                rect x=(px(x(*since))) y="0" width=(px(now - x(*since))) height=(px(HEIGHT)) class="fw" {}
            }
            (draw::grid(&scene.scale, 180, FAST + 60))
            line x1="0" y1=(px(FOOT)) x2=(px(PLOT)) y2=(px(FOOT)) class="ax" {}
            line x1="0" y1=(px(TOP)) x2=(px(PLOT)) y2=(px(TOP)) class="rl" {}
            @for beat in beats.iter().filter(|beat| beat.not_ok > 0) {
                @let (left, wide) = (px(x(beat.from) + 5), px((x(beat.to) - x(beat.from) - 10).max(10)));
                @let tall = (FOOT - y(beat.not_ok)).max(20);
                @for class in ["no", "nob"] {
                    rect x=(left) y=(px(FOOT - tall)) width=(wide) height=(px(tall)) class=(class) {
                        title { (thousands(beat.not_ok)) " a second not acknowledged" }
                    }
                }
            }
            path d=(line(&|beat| Some(y(beat.ok)))) class="l-ok" { title { "acknowledged a second" } }
            @for us in [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000] {
                line x1="0" y1=(px(slow(us))) x2=(px(PLOT)) y2=(px(slow(us))) class="rl" {}
            }
            path d=(line(&|beat| beat.most.map(slow))) class="l-2" { title { "99 % took no longer" } }
            path d=(line(&|beat| beat.half.map(slow))) class="l-pri" { title { "half took no longer" } }
            line x1=(px(now)) y1="18" x2=(px(now)) y2=(px(FAST + 60)) class="ax" style="stroke-width:2" {}
            @if let Some(last) = last.filter(|_| now + 1500 < PLOT) {
                text x=(px(now + 80)) y=(px(TOP + 200)) class="s halo" { (thousands(last.ok)) " ok, " (thousands(last.not_ok)) " not ok" }
                @if let (Some(half), Some(most)) = (last.half, last.most) {
                    text x=(px(now + 80)) y=(px(SLOW - 40)) class="s halo" { "99 %: " (milliseconds(most)) " ms" }
                    text x=(px(now + 80)) y=(px(SLOW + 120)) class="s pr halo" { "median: " (milliseconds(half)) " ms" }
                }
            }
        },
        scale: Some(&scene.scale),
        first: (now - 1600).max(0),
    };
    chrome::figure(&shape)
}

/// `0.31`, `128.04`.
fn milliseconds(us: u64) -> String {
    format!("{}.{:02}", thousands(us / 1000), us % 1000 / 10)
}
