//! Lanes over time: what each node was, with what was done above. Drawn twice: the whole run, and the moment.

use super::messages;
use super::scene::{Act, Lane, Scene, State};
use super::tale::{On, Sentence};
use crate::env::NodeId;
use crate::env::talk::Sent;
use crate::page::chrome::mark;
use crate::page::draw::{PLOT, Px, Scale, fit, grid, px, seconds, width};
use maud::{Markup, html};
use std::collections::BTreeSet;

/// Where the drawing of lanes begins, below the times.
const TOP: Px = 180;
const ROW: Px = 220;
/// How many rows operations, and faults, may take; what does not fit shares the last one.
const ROWS_MAX: usize = 6;

/// Sizes of a drawing.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// How high a lane is, and how far the next one begins below it.
    pub lane: Px,
    pub step: Px,
    /// Whether what a node was is written into its lane.
    pub words: bool,
}

pub const THIN: Look = Look { lane: 100, step: 170, words: false };
pub const WIDE: Look = Look { lane: 180, step: 300, words: true };

/// A drawing, with its column of names.
#[derive(Clone, Debug)]
pub struct Drawing {
    pub names: Markup,
    pub plot: Markup,
    pub height: Px,
}

/// An act with its place: row, box, and where its label stands.
struct Placed<'s, 'a> {
    act: &'s Act<'a>,
    row: usize,
    x0: Px,
    x1: Px,
    number: Option<usize>,
    /// Where there is no row free, the box alone is drawn.
    labelled: bool,
}

/// Puts acts into rows so that neither boxes nor labels meet.
fn place<'s, 'a>(
    acts: &[&'s Act<'a>],
    scene: &Scene<'_>,
    scale: &Scale,
    tale: &[Sentence],
) -> (Vec<Placed<'s, 'a>>, usize) {
    let mut ends: Vec<Px> = Vec::new();
    let mut placed = Vec::new();
    for act in acts {
        let (x0, x1) = (scale.x(act.from), scale.x(act.to.unwrap_or(scene.to)).max(scale.x(act.from) + 20));
        let number =
            tale.iter().position(|one| one.on == On::Act(act.applied.event.clone())).map(|at| at + 1);
        let begins = x0 - if number.is_some() { 220 } else { 40 };
        let inside = width(&act.label, 11) + 80 <= x1 - x0;
        let ends_at = if inside { x1 } else { x1 + width(&act.label, 11) + 100 };
        let free = ends.iter().position(|end| *end <= begins);
        let (row, labelled) = match free {
            Some(row) => (row, true),
            None if ends.len() < ROWS_MAX => {
                ends.push(0);
                (ends.len() - 1, true)
            }
            None => (ROWS_MAX - 1, false),
        };
        ends[row] = ends[row].max(if labelled { ends_at } else { x1 });
        placed.push(Placed { act, row, x0, x1, number, labelled });
    }
    (placed, ends.len())
}

fn act(placed: &Placed<'_, '_>, y: Px, scene: &Scene<'_>) -> Markup {
    let (act, x0, x1) = (placed.act, placed.x0, placed.x1);
    let class = if act.fault { "flt" } else { "opb" };
    let until = act.to.map_or_else(|| "the end".into(), |to| format!("{} s", seconds(to, 3)));
    let title = format!("{}: {} ({} s to {until})", act.applied.event, act.label, seconds(act.from, 3));
    let label = width(&act.label, 11);
    let inside = label + 80 <= x1 - x0;
    html! {
        rect x=(px(x0)) y=(px(y)) width=(px(x1 - x0)) height="14" class=(class) { title { (title) } }
        @if act.fault && act.to.is_none() && scene.to > act.from {
            path d=(format!("M{} {}l6 7l-6 7", px(x1 - 80), px(y))) class="rl" fill="none" {}
        }
        @if !placed.labelled {
        } @else if inside {
            text x=(px(x0 + 60)) y=(px(y + 108)) class=(if act.fault { "s op2" } else { "s" }) { (act.label) }
        } @else if x1 + 60 + label <= PLOT {
            text x=(px(x1 + 60)) y=(px(y + 108)) class="s halo" { (act.label) }
        } @else {
            text x=(px(x0 - if placed.number.is_some() { 240 } else { 60 })) y=(px(y + 108)) class="s halo" text-anchor="end" { (act.label) }
        }
        @if let Some(number) = placed.number.filter(|_| placed.labelled) { (mark(number, (x0 - 120).max(90), y + 70)) }
    }
}

const fn class(state: State) -> &'static str {
    match state {
        State::Primary => "pri",
        State::Replica => "rep",
        State::Unsynced => "syn",
        State::Bare => "opb",
        State::Paused => "pau",
        State::Down => "dn",
    }
}

fn lane(lane: &Lane, y: Px, look: Look, scale: &Scale) -> Markup {
    let (from, to) = (scale.from(), scale.to());
    html! {
        @for span in lane.spans.iter().filter(|span| span.to > from && span.from < to) {
            @let (x0, x1) = (scale.x(span.from), scale.x(span.to));
            @let title = format!("{}: {} ({} to {} s)", lane.node, span.text, seconds(span.from, 3), seconds(span.to, 3));
            @if span.state == State::Down {
                line x1=(px(x0)) y1=(px(y + look.lane / 2)) x2=(px(x1)) y2=(px(y + look.lane / 2)) class="dn" {
                    title { (title) }
                }
                @if span.from >= from {
                    path d=(format!("M{} {}l10 10m0 -10l-10 10", px(x0 - 50), px(y + look.lane / 2 - 50))) class="xx" {
                        title { (title) }
                    }
                }
                @if look.words && x1 - x0 > 400 {
                    text x=(px(x0 + 120)) y=(px(y + look.lane / 2 + 40)) class="s f2 halo" { "down" }
                }
            } @else {
                rect x=(px(x0)) y=(px(y)) width=(px((x1 - x0 - 8).max(6))) height=(px(look.lane)) class=(class(span.state)) {
                    title { (title) }
                }
                @if look.words {
                    @if let Some(text) = fit(&span.text, 11, x1 - x0 - 100) {
                        text x=(px(x0 + 50)) y=(px(y + look.lane / 2 + 40))
                            class=(match span.state { State::Primary => "s op", State::Unsynced => "s sy halo", _ => "s" }) { (text) }
                    }
                }
            }
        }
        @for (begun, ended) in lane.apart.iter().filter(|(begun, ended)| *ended > from && *begun < to) {
            @let (x0, x1) = (scale.x(*begun), scale.x(*ended));
            rect x=(px(x0)) y=(px(y - 25)) width=(px(x1 - x0)) height=(px(look.lane + 50)) class="par" {
                title { (lane.node) " cut off (" (seconds(*begun, 3)) " to " (seconds(*ended, 3)) " s)" }
            }
        }
    }
}

/// The nodes whose lanes are drawn, in order: shards of the story first.
pub fn order<'s>(scene: &'s Scene<'_>, only: Option<&BTreeSet<NodeId>>) -> Vec<&'s Lane> {
    let involved = scene.involved();
    let shards: BTreeSet<Option<u16>> =
        scene.lanes.iter().filter(|lane| involved.contains(&lane.node)).map(|lane| lane.shard).collect();
    let mut lanes: Vec<&Lane> =
        scene.lanes.iter().filter(|lane| only.is_none_or(|only| only.contains(&lane.node))).collect();
    lanes.sort_by_key(|lane| (!shards.contains(&lane.shard), lane.shard.unwrap_or(u16::MAX), lane.node));
    lanes
}

/// Lanes of these nodes over this time.
pub fn draw(
    scene: &Scene<'_>,
    scale: &Scale,
    look: Look,
    lanes: &[&Lane],
    tale: &[Sentence],
    sent: &[&Sent],
) -> Drawing {
    let (from, to) = (scale.from(), scale.to());
    let inside = |act: &&Act<'_>| act.from < to && act.to.is_none_or(|end| end > from);
    let rows = |fault: bool| -> Vec<&Act<'_>> {
        scene.acts.iter().filter(|act| act.fault == fault).filter(inside).collect()
    };
    let (operations, faults) = (rows(false), rows(true));
    let (operations, high) = place(&operations, scene, scale, tale);
    let (faults, deep) = place(&faults, scene, scale, tale);
    let faults_at = TOP + 100 + ROW * high.max(1) as Px;
    let lanes_at = faults_at + ROW * deep.max(1) as Px + 80;
    let mut y = lanes_at;
    let mut places = Vec::new();
    let mut last = None;
    for lane in lanes {
        if last.is_some_and(|last| last != lane.shard) {
            y += look.lane / 2;
        }
        places.push((*lane, y, last != Some(lane.shard)));
        last = Some(lane.shard);
        y += look.step;
    }
    let bottom = y - look.step + look.lane + 60;
    let height = bottom + 320;
    let group = scene.words.group;
    let names = html! {
        text x="8" y=(px(TOP + 210)) class="s fb" { "operations" }
        text x="8" y=(px(faults_at + 110)) class="s fb" { "faults" }
        @for (lane, y, first) in &places {
            @let middle = y + look.lane / 2 + 40;
            @if *first && !group {
                text x="8" y=(px(middle)) class="s f2" { @match lane.shard { Some(shard) => { "shard " (shard) }, None => { "added" } } }
            }
            text x="104" y=(px(middle)) class=(if look.words { "s fb" } else { "s" }) text-anchor="end" { (lane.node) }
        }
    };
    let healed = scene.healed.filter(|at| scale.holds(*at));
    let broken = scene.broken.filter(|at| scale.holds(*at));
    let plot = html! {
        (messages::ground(scale, TOP, bottom))
        (grid(scale, TOP, bottom))
        @for one in &operations { (act(one, TOP + 110 + ROW * one.row as Px, scene)) }
        @for one in &faults { (act(one, faults_at + ROW * one.row as Px, scene)) }
        @for (one, y, _) in &places { (lane(one, *y, look, scale)) }
        (messages::arrows(scene, sent, scale, &|node| {
            places.iter().find(|(lane, _, _)| lane.node == node).map(|(_, y, _)| y + look.lane / 2)
        }))
        @if let Some(at) = healed {
            @let x = scale.x(at);
            line x1=(px(x)) y1=(px(TOP)) x2=(px(x)) y2=(px(bottom)) class="ax" stroke-dasharray="2 3" {
                title { "healed: " (seconds(at, 3)) " s; from here nothing is disturbed" }
            }
            @let far = x + width("all healed", 11) + 60 > PLOT;
            text x=(px(x + if far { -40 } else { 40 })) y=(px(bottom + 100)) class="s f2"
                text-anchor=(if far { "end" } else { "start" }) { "all healed" }
        }
        @if let Some(at) = broken {
            @let x = scale.x(at);
            @let text = format!("{} s", seconds(at, 3));
            @let far = x + width(&text, 11) + 100 > PLOT;
            line x1=(px(x)) y1=(px(TOP)) x2=(px(x)) y2=(px(bottom + 120)) class="vio" {}
            path d=(format!("M{} {}l5 5l-5 5l-5 -5z", px(x), px(bottom + 160))) class="viof" { title { "the first sign of what is wrong" } }
            text x=(px(x + if far { -80 } else { 80 })) y=(px(bottom + 250)) class="s fb bd"
                text-anchor=(if far { "end" } else { "start" }) { (text) }
        }
        @for (number, sentence) in tale.iter().enumerate().filter(|(_, one)| scale.holds(one.at)) {
            @if let On::Lane(node) = sentence.on {
                @if let Some((_, y, _)) = places.iter().find(|(lane, _, _)| lane.node == node) {
                    (mark(number + 1, scale.x(sentence.at).clamp(90, PLOT - 90), y + look.lane / 2))
                }
            }
        }
    };
    Drawing { names, plot, height }
}

/// What the encodings mean.
pub fn legend(scene: &Scene<'_>) -> Markup {
    let words = scene.words;
    let has = |state: State| scene.lanes.iter().any(|lane| lane.spans.iter().any(|span| span.state == state));
    let apart = scene.lanes.iter().any(|lane| !lane.apart.is_empty());
    let swatch = |class: &'static str| {
        html! { svg width="26" height="12" aria-hidden="true" { rect x="1" y="1" width="24" height="10" class=(class) {} } }
    };
    html! {
        ul.leg {
            li { (swatch("pri")) (words.primary) " (filled)" }
            li { (swatch("rep")) (words.replica) ", its link up (outlined)" }
            @if has(State::Unsynced) { li { (swatch("syn")) (words.replica) " without a link, or copying (hatched)" } }
            @if has(State::Bare) { li { (swatch("opb")) (words.primary) " without slots" } }
            @if has(State::Down) {
                li { svg width="26" height="12" aria-hidden="true" {
                    path d="M1 1l10 10m0 -10l-10 10" class="xx" {} line x1="13" y1="6" x2="26" y2="6" class="dn" {}
                } "down" }
            }
            @if has(State::Paused) { li { (swatch("pau")) "paused" } }
            @if apart { li { (swatch("par")) "cut off" } }
            li { (swatch("opb")) "operation" }
            li { (swatch("flt")) "fault, to its heal or to the end" }
            @if scene.broken.is_some() {
                li { svg width="12" height="12" aria-hidden="true" { path d="M6 1l5 5l-5 5l-5 -5z" class="viof" {} } "first sign of what is wrong" }
            }
        }
    }
}
