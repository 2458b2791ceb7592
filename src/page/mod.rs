//! Pages for people: a run, a night, a run in progress. Each is one file that asks for nothing, whole without a script,
//! and a pure function of what was recorded: the same recording gives the same bytes, on any machine.
//!
//! [`style`] has the colours and rules, [`chrome`] what all pages have, [`draw`] what drawings are made of. All text
//! that a server, a key or a stranger's file could have written goes through maud, which escapes it.

pub mod campaign;
pub mod chrome;
pub mod clock;
pub mod compare;
pub mod draw;
pub mod live;
pub mod run;
pub mod style;

#[cfg(test)]
mod testing;
