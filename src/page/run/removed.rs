//! What shrinking took away: the timeline as it was found, with the events that are enough marked.

use super::scene::Scene;
use crate::catalogue::EventId;
use crate::page::chrome::{Figure, figure};
use crate::page::draw::{Px, Scale, grid, px, seconds};
use crate::report::names::counted;
use crate::repro::Cut;
use crate::timeline::{Start, Timeline};
use maud::{Markup, html};
use std::collections::BTreeMap;

const TOP: Px = 180;
const ROW: Px = 150;

pub fn section(scene: &Scene<'_>, original: &Timeline, cut: Option<&Cut>) -> Markup {
    let starts = starts(original);
    let length = starts.values().copied().max().unwrap_or(0).max(original.length.micros().0 as i64);
    let scale = Scale::whole(0, length);
    let mut rows: BTreeMap<&str, Vec<&EventId>> = BTreeMap::new();
    for event in &original.events {
        rows.entry(event.action.name()).or_default().push(&event.id);
    }
    let kept = |id: &EventId| scene.story.planned(id).is_some();
    let bottom = TOP + 60 + ROW * rows.len() as Px;
    let names = html! {
        @for (number, name) in rows.keys().enumerate() {
            text x="104" y=(px(TOP + 60 + ROW * number as Px + 90)) class="s" text-anchor="end" {
                (crate::page::draw::fit(name, 11, 1000).unwrap_or_default())
            }
        }
    };
    let plot = html! {
        (grid(&scale, TOP, bottom))
        @for (number, (name, ids)) in rows.iter().enumerate() {
            @let y = TOP + 60 + ROW * number as Px;
            @for id in ids {
                @let at = starts.get(id.as_ref()).copied().unwrap_or(0);
                @let x = scale.x(at).clamp(10, crate::page::draw::PLOT - 70);
                @if kept(id) {
                    rect x=(px(x - 10)) y=(px(y)) width="8" height="12" class="evk" { title { (id) ": " (name) ", " (seconds(at, 3)) " s as planned; kept" } }
                } @else {
                    rect x=(px(x)) y=(px(y)) width="3" height="12" class="ev" { title { (id) ": " (name) ", " (seconds(at, 3)) " s as planned; not needed" } }
                }
            }
        }
    };
    let events = original.events.len() as u64;
    let left = original.events.iter().filter(|event| kept(&event.id)).count() as u64;
    html! {
        section {
            h2 { "From " (counted(events, "event")) " to " (left) }
            p.sub {
                @if let Some(cut) = cut {
                    (counted(cut.runs, "run")) " were made to find it"
                    @if cut.minimal { "; no event of it can be left out" } "."
                }
            }
            (figure(&Figure {
                id: "f4",
                title: "Figure 4. As it was found.".into(),
                caption: html! { "Black and broad: the events that are enough. Grey: those that could be taken away. Times as planned; those that wait for something stand where what they wait for does." },
                description: format!("{events} events, of which {left} are enough"),
                height: bottom + 40,
                names,
                plot,
                scale: Some(&scale),
                first: 0,
            }))
        }
    }
}

/// When each event was planned, as far as the timeline alone says.
fn starts(timeline: &Timeline) -> BTreeMap<String, i64> {
    let mut out: BTreeMap<String, i64> = BTreeMap::new();
    for event in &timeline.events {
        let base = match &event.start {
            Start::At(at) => at.micros().0 as i64,
            Start::Forming(_) | Start::When(_) => out.values().copied().max().unwrap_or(0),
            Start::With(id) => out.get(id.as_ref()).copied().unwrap_or(0),
            Start::After(ids) => ids.iter().filter_map(|id| out.get(id.as_ref())).copied().max().unwrap_or(0),
        };
        out.insert(event.id.to_string(), base + event.delay.micros().0 as i64);
    }
    out
}
