//! Where words go: events to standard output as a report, a log or lines of JSON, talk to standard error.
//!
//! This is the one place where text leaves: what would act on a terminal is escaped here ([`visible`]), but for the
//! own sequences of the progress line and of the lines that stand below all that is said.
//!
//! A reader that goes away (`| head`) is no error: nothing more is written, and the run is told to end.

use super::flags::Format;
use super::serve::Serve;
use crate::report::live::{Live, Log};
use crate::report::story::Story;
use crate::report::table::{Row, table};
use crate::report::text::Detail;
use crate::report::visible::visible;
use crate::run::event::RunEvent;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Writes to standard error; if nobody reads it, nothing can be said.
pub fn talk(text: &str) {
    above(|| drop(std::io::stderr().write_all(visible(text).as_bytes())));
}

/// Writes to standard output. False when nobody reads it any more.
pub fn print(text: &str) -> bool {
    above(|| print_raw(&visible(text)))
}

/// The lines that stand at the bottom of a terminal, as they were drawn.
static STANDING: Mutex<String> = Mutex::new(String::new());

/// Whether lines can stand on standard output: a terminal, and not one that can only go on.
pub fn stands() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|kind| kind != "dumb")
}

/// Draws these lines over those that stood before; what is said from now on goes above them. None: they are gone.
pub fn stand(lines: &str) {
    let mut standing = STANDING.lock().unwrap_or_else(PoisonError::into_inner);
    let lifted = lift(&standing);
    *standing = visible(lines).into_owned();
    print_raw(&(lifted + &put(&standing)));
}

/// Says something above the lines that stand.
fn above<T>(say: impl FnOnce() -> T) -> T {
    let standing = STANDING.lock().unwrap_or_else(PoisonError::into_inner);
    if standing.is_empty() {
        return say();
    }
    print_raw(&lift(&standing));
    let said = say();
    print_raw(&put(&standing));
    said
}

/// To the first of the lines, with nothing from there on.
fn lift(standing: &str) -> String {
    match standing.lines().count() {
        0 => String::new(),
        count => format!("\x1b[{count}A\r\x1b[J"),
    }
}

/// The lines; one that is too wide is cut by the terminal, for else it would take two (`DECAWM`).
fn put(standing: &str) -> String {
    if standing.is_empty() { String::new() } else { format!("\x1b[?7l{standing}\x1b[?7h") }
}

fn print_raw(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// One invocation's output.
#[derive(Debug)]
pub struct Console {
    format: Format,
    quiet: bool,
    detail: Detail,
    terminal: bool,
    live: Live,
    log: Log,
    /// A progress line stands on the terminal.
    drawn: bool,
    /// Standard output is closed or full.
    pub broken: bool,
    /// What shows the run to browsers.
    pub page: Option<Arc<Serve>>,
}

impl Console {
    pub fn new(format: Format, quiet: bool, verbose: bool) -> Self {
        let terminal = format == Format::Text && std::io::stdout().is_terminal();
        let detail = if verbose { Detail::Full } else { Detail::Lines };
        let log = Log::new(verbose);
        let live = Live::default();
        Self { format, quiet, detail, terminal, live, log, drawn: false, broken: false, page: None }
    }

    /// A line of data in the text form; talk in the JSON form, whose output is events alone.
    pub fn say(&mut self, text: &str) {
        if !self.quiet {
            self.insist(text);
        }
    }

    /// As [`Console::say`], also when quiet.
    pub fn insist(&mut self, text: &str) {
        match self.format {
            Format::Text => self.write(&format!("{text}\n")),
            Format::Json => talk(&format!("{text}\n")),
        }
    }

    /// An event while the run goes on; `story` has heard it.
    pub fn event(&mut self, event: &RunEvent, story: &Story) {
        if let Some(page) = &self.page {
            page.event(event);
        }
        match self.format {
            Format::Json => match serde_json::to_string(event) {
                Ok(text) => self.write(&format!("{text}\n")),
                Err(error) => talk(&format!("warning: an event could not be written: {error}\n")),
            },
            Format::Text if self.quiet => {}
            Format::Text => {
                for text in self.log.lines(event, story) {
                    self.write(&format!("{text}\n"));
                }
                if self.terminal {
                    self.refresh(story);
                }
            }
        }
    }

    /// The scenarios of a folder: a table, or an object each.
    pub fn rows(&mut self, rows: &[Row<'_>]) {
        match self.format {
            Format::Json => rows.iter().for_each(|row| self.write(&format!("{}\n", row.json()))),
            Format::Text => {
                self.write("\n");
                table(rows).iter().for_each(|line| self.write(&format!("{line}\n")));
            }
        }
    }

    pub fn is_text(&self) -> bool {
        self.format == Format::Text
    }
    pub fn detail(&self) -> Detail {
        self.detail
    }
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Says what is still to be said, and takes the progress line away.
    pub fn finish(&mut self) {
        if let Some(text) = self.log.release().filter(|_| self.is_text() && !self.quiet) {
            self.write(&format!("{text}\n"));
        }
        if self.drawn {
            self.write("");
        }
    }

    /// Draws the progress line over the last one.
    fn refresh(&mut self, story: &Story) {
        let text = self.live.progress(story, width());
        if !text.is_empty() {
            self.wipe();
            self.write(&text);
            self.drawn = true;
        }
    }

    fn write(&mut self, text: &str) {
        if std::mem::take(&mut self.drawn) {
            self.wipe();
        }
        self.broken = self.broken || !print(text);
    }

    /// Empties the line that the cursor is on.
    fn wipe(&mut self) {
        self.broken = self.broken || !print_raw("\r\x1b[2K");
    }
}

/// The terminal's width as the shell tells it, or that of the oldest terminals.
fn width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).unwrap_or(80)
}
