//! What all pages have: the frame, facts, a command to copy, tags, a figure that scrolls.

use super::draw::{NAMES, PLOT, Px, Scale, px};
use super::style;
use crate::report::visible::visible;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::borrow::Cow;

/// A whole page. `bar` is the line above the headline.
pub fn page(title: &str, bar: &[Markup], head: &Markup, main: &Markup) -> String {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(style::rules())) }
            }
            body {
                (patterns())
                header.top {
                    div.bar { @for part in bar { span { (part) } } }
                    (head)
                }
                (main)
                script { (PreEscaped(style::SCRIPT)) }
            }
        }
    };
    let text = markup.into_string();
    // What turns the order of letters round, or acts on a terminal that shows the file, is seen instead.
    match visible(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(seen) => seen,
    }
}

/// The patterns and arrow heads that drawings name.
fn patterns() -> Markup {
    html! {
        svg width="0" height="0" class="defs" aria-hidden="true" focusable="false" { defs {
            pattern id="hs" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                rect width="6" height="6" class="hs0" {} rect width="2.2" height="6" class="hs1" {}
            }
            pattern id="hn" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)" {
                rect width="1.6" height="5" class="hn1" {}
            }
            pattern id="hp" width="7" height="8" patternUnits="userSpaceOnUse" {
                rect width="7" height="8" class="hp0" {} rect width="2" height="8" class="hp1" {}
                rect x="3.4" width="1" height="8" class="hp1" {}
            }
            @for (id, class) in [("ah", "ahf"), ("av", "avf")] {
                marker id=(id) viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto" {
                    path d="M0 .8L7.4 4L0 7.2z" class=(class) {}
                }
            }
        } }
    }
}

/// A command with a button that copies it.
pub fn command(text: &str, what_it_does: &str) -> Markup {
    html! {
        div.cmd {
            code id="cmd" { (text) }
            button.js type="button" data-copy="cmd" aria-label=(format!("Copy the command that {what_it_does}")) { "Copy" }
        }
    }
}

/// A term, what it is, and a smaller note. `wide` takes two columns.
#[derive(Clone, Debug)]
pub struct Fact {
    pub term: &'static str,
    pub is: Markup,
    pub note: Markup,
    pub wide: bool,
}

pub fn facts(facts: &[Fact]) -> Markup {
    html! {
        dl.facts {
            @for fact in facts {
                div class=(if fact.wide { "w2" } else { "m2" }) {
                    dt { (fact.term) }
                    dd { (fact.is) @if !fact.note.0.is_empty() { " " small { (fact.note) } } }
                }
            }
        }
    }
}

/// A drawing with a column of names that stays where it is while the rest scrolls.
#[derive(Clone, Debug)]
pub struct Figure<'a> {
    pub id: &'a str,
    /// `Figure 1.` and what it shows in bold; what there is to know.
    pub title: String,
    pub caption: Markup,
    /// For who cannot see it.
    pub description: String,
    pub height: Px,
    pub names: Markup,
    pub plot: Markup,
    /// `None` where it shows no time.
    pub scale: Option<&'a Scale>,
    /// Where a narrow screen begins.
    pub first: Px,
}

pub fn figure(figure: &Figure<'_>) -> Markup {
    let id = figure.id;
    let (title, description) = (format!("{id}t"), format!("{id}d"));
    html! {
        figure {
            figcaption {
                span { b { (figure.title) } " " (figure.caption) }
                span.tools.js role="group" aria-label="zoom" {
                    "zoom "
                    @for (by, sign) in [("in", "+"), ("out", "−"), ("fit", "fit")] {
                        button type="button" data-zoom=(id) data-by=(by) { (sign) } " "
                    }
                }
            }
            div.pan id=(id) data-x=(px(figure.first)) tabindex="0" role="group" aria-label=(figure.title) {
                svg.lab width=(px(NAMES)) height=(px(figure.height))
                    viewBox=(format!("0 0 {} {}", px(NAMES), px(figure.height))) aria-hidden="true" { (figure.names) }
                svg.plot width=(px(PLOT)) height=(px(figure.height))
                    viewBox=(format!("0 0 {} {}", px(PLOT), px(figure.height)))
                    role="img" aria-labelledby=(format!("{title} {description}"))
                    data-seg=[figure.scale.map(Scale::data)] {
                    title id=(title) { (figure.title) }
                    desc id=(description) { (figure.description) }
                    (figure.plot)
                }
            }
            p.hint { "Scroll the drawing sideways; the names stay in place." }
        }
    }
}

/// A numbered circle that leads to a sentence of the story, or from there to the drawing.
pub fn mark(number: usize, x: Px, y: Px) -> Markup {
    html! {
        a.mk href=(format!("#s{number}")) data-k=(number) id=(format!("m{number}"))
            aria-label=(format!("sentence {number} of the story")) {
            title { "sentence " (number) " of the story" }
            circle cx=(px(x)) cy=(px(y)) r="8.5" {}
            text x=(px(x)) y=(px(y + 39)) text-anchor="middle" { (number) }
        }
    }
}
