//! What people and scripts read of a run. Everything here is made of [`RunEvent`]s and nothing else, so that
//! `fuzz explain`, which feeds a recording to the same reporters, tells what the run told.
//!
//! [`story`] folds the stream into one value; [`text`] prints the summary and the failure report, [`live`] the
//! progress, [`junit`] and [`result`] the files that other tools read; [`visible`] keeps what comes from outside from
//! acting on a terminal. All of it is pure; where the text goes is the command line's business.
//!
//! [`RunEvent`]: crate::run::event::RunEvent

mod details;
mod failure;
pub mod junit;
pub mod live;
pub mod names;
pub mod result;
pub mod story;
mod summary;
pub mod table;
pub mod text;
pub mod visible;

#[cfg(test)]
mod tests;
