//! The page of a run, or of a campaign, that goes on: what its events have told so far. Pure functions; the server that
//! shows it is the command line's (`cli::serve`), which replaces the two parts of a [`Frame`] as they change.

mod lanes;
mod load;
mod words;

#[cfg(test)]
mod tests;

pub use words::{Night, night};

use super::chrome;
use crate::report::story::Story;
use maud::{Markup, PreEscaped, html};

/// Keeps the page as it is told. Without it, the page asks for itself once a second.
const SCRIPT: &str = include_str!("live/live.js");

/// The parts of the page that change.
#[derive(Clone, Debug)]
pub struct Frame {
    pub title: String,
    pub head: Markup,
    pub main: Markup,
    /// Nothing will follow.
    pub is_last: bool,
}

/// What only the server knows.
#[derive(Clone, Debug, Default)]
pub struct Now {
    /// Since the run began.
    pub wall_ms: u64,
    /// The process that ran it is about to end.
    pub is_last: bool,
    /// What can be read of it, and where it is from the page.
    pub links: Vec<(String, String)>,
}

/// The run so far.
pub fn run(story: &Story, now: &Now) -> Frame {
    let scene = lanes::Scene::of(story);
    Frame {
        title: words::title(story),
        head: words::head(story, &scene, now),
        main: html! {
            section {
                (lanes::legend())
                (lanes::nodes(story, &scene))
                (load::figure(story, &scene))
            }
            section.two style="row-gap:28px" {
                div { (words::nodes(story, &scene)) }
                div { (words::events(story)) (words::checks(story)) }
            }
        },
        is_last: now.is_last,
    }
}

/// The whole page with a frame in it.
pub fn page(frame: &Frame) -> String {
    let head = html! {
        // The line above the headline changes too, and stands in the head.
        style { ".bar:empty{display:none}" }
        div id="live-head" style="overflow-wrap:anywhere" { (frame.head) }
        @if !frame.is_last { noscript { meta http-equiv="refresh" content="1"; } }
    };
    let main = html! {
        main id="live-main" { (frame.main) }
        footer.end { section {
            h2 { "How to read this page" }
            p.sub {
                "It shows the same events that the terminal and the recorder get, and nothing else. Closing it changes nothing. "
                "It comes from the process that runs, and goes when that ends: what it showed last stays. Without JavaScript it reloads once a second."
            }
        } }
        @if !frame.is_last { script { (PreEscaped(SCRIPT)) } }
    };
    chrome::page(&frame.title, &[], &head, &main)
}
