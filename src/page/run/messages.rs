//! Messages of the cluster bus that decided something: arrows from lane to lane, and a stretch of time of their own.

use super::scene::Scene;
use crate::catalogue::MessageType;
use crate::env::NodeId;
use crate::env::talk::Sent;
use crate::page::draw::{PLOT, Px, Scale, Segment, px, seconds};
use maud::{Markup, html};
use std::collections::BTreeSet;

/// More arrows than this are no drawing; then only what asks for votes and gives them is drawn.
const ARROWS_MAX: usize = 48;
/// The part of the plot that an election gets, and the gap that shows where its scale begins.
const CLOSE: Px = PLOT * 36 / 100;
const GAP: Px = 60;
/// Before the first message of an election, and after the last.
const ROOM: i64 = 4_000;

fn votes(one: &Sent) -> bool {
    matches!(one.kind, MessageType::FailoverAuthRequest | MessageType::FailoverAuthAck)
}

/// The messages sent within a stretch of time.
pub fn within<'s>(scene: &'s Scene<'_>, from: i64, to: i64) -> Vec<&'s Sent> {
    let Some(record) = scene.record else { return Vec::new() };
    let inside = |one: &&Sent| (from..=to).contains(&scene.since(one.at));
    let all: Vec<&Sent> = record.messages.iter().filter(inside).collect();
    if all.len() <= ARROWS_MAX {
        all
    } else {
        all.into_iter().filter(|one| votes(one)).take(ARROWS_MAX).collect()
    }
}

/// Who asked for votes, and who was asked.
pub fn voters(messages: &[&Sent]) -> BTreeSet<NodeId> {
    messages
        .iter()
        .filter(|one| one.kind == MessageType::FailoverAuthAck)
        .flat_map(|one| [one.from, one.to])
        .collect()
}

/// A scale in which the last election of the stretch is drawn wide enough to be read, where there is one.
pub fn scale(scene: &Scene<'_>, messages: &[&Sent], (from, to): (i64, i64)) -> Scale {
    let whole = Scale { segments: vec![Segment { from, to, x0: 0, x1: PLOT }] };
    let Some(last) = messages.iter().rfind(|one| one.kind == MessageType::FailoverAuthAck) else {
        return whole;
    };
    let of_it: Vec<&&Sent> = messages.iter().filter(|one| votes(one) && one.epoch == last.epoch).collect();
    let begins = of_it.iter().map(|one| scene.since(one.at)).min();
    let ends = of_it.iter().map(|one| scene.since(one.arrived.unwrap_or(one.at))).max();
    let Some((a, b)) = begins.zip(ends).map(|(a, b)| ((a - ROOM).max(from), (b + ROOM).min(to))) else {
        return whole;
    };
    // What is wide already needs no scale of its own.
    if (b - a) * 20 > to - from || a <= from || b >= to {
        return whole;
    }
    let rest = PLOT - CLOSE - 2 * GAP;
    let before = ((a - from) * i64::from(rest) / ((a - from) + (to - b)).max(1)) as Px;
    let before = before.clamp(rest / 5, rest * 4 / 5);
    Scale {
        segments: vec![
            Segment { from, to: a, x0: 0, x1: before },
            Segment { from: a, to: b, x0: before + GAP, x1: before + GAP + CLOSE },
            Segment { from: b, to, x0: before + 2 * GAP + CLOSE, x1: PLOT },
        ],
    }
}

/// The ground of a stretch with a scale of its own, and how much wider it is.
pub fn ground(scale: &Scale, top: Px, bottom: Px) -> Markup {
    let [first, close, _] = scale.segments.as_slice() else { return html! {} };
    let wide = |one: &Segment| i64::from(one.x1 - one.x0) * 1_000_000 / (one.to - one.from).max(1);
    let times = wide(close) / wide(first).max(1);
    html! {
        rect x=(px(close.x0 - GAP)) y=(px(top)) width=(px(close.x1 - close.x0 + 2 * GAP)) height=(px(bottom - top)) class="zoomb" {}
        text x=(px(close.x0)) y=(px(bottom + 100)) class="s f2" { "an election, time drawn " (times) " times wider" }
    }
}

/// Arrows between the lanes, each from its sending to its arrival.
pub fn arrows(
    scene: &Scene<'_>,
    messages: &[&Sent],
    scale: &Scale,
    middle: &dyn Fn(NodeId) -> Option<Px>,
) -> Markup {
    html! {
        @for one in messages.iter().filter(|one| scale.holds(scene.since(one.at))) {
            @if let Some((y0, y1)) = middle(one.from).zip(middle(one.to)) {
                @let at = scene.since(one.at);
                @let arrived = one.arrived.map(|arrived| scene.since(arrived));
                @let (x0, x1) = (scale.x(at), scale.x(arrived.unwrap_or(at)));
                @let end = arrived.map_or("never arrived".into(), |arrived| format!("arrived at {} s", seconds(arrived, 3)));
                @let epoch = one.epoch.map_or_else(String::new, |epoch| format!(", epoch {epoch}"));
                path d=(format!("M{} {}L{} {}", px(x0), px(y0), px(x1), px(y1)))
                    class=(if one.kind == MessageType::FailoverAuthAck { "msg weak" } else { "msg" }) {
                    title { (one.kind) " from " (one.from) " to " (one.to) (epoch) ", sent at " (seconds(at, 3)) " s, " (end) }
                }
            }
        }
    }
}
