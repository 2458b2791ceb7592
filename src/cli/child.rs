//! `fuzz __run`: the other side of `supervise`. Reads the request, makes sure that it dies with its parent, and
//! carries the run out.

use super::exit::{Code, Failure};
use crate::run::request::RunRequest;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use std::io::Read;

/// A request is a timeline; no honest one comes near this.
const REQUEST_MAX: u64 = 64 * 1024 * 1024;

pub fn main() -> super::Done {
    let broken = |message: String| Failure::new(Code::Broken, message);
    let mut text = Vec::new();
    std::io::stdin()
        .lock()
        .take(REQUEST_MAX)
        .read_to_end(&mut text)
        .map_err(|error| broken(format!("failed to read the request: {error}")))?;
    let request: RunRequest = serde_json::from_slice(&text)
        .map_err(|error| Failure::bad_input(format!("the request is no run: {error}")))?;
    prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|error| broken(format!("failed to tie this process to its parent: {error}")))?;
    if getppid().as_raw() != request.options.parent as i32 {
        return Err(broken("the parent is gone".into()));
    }
    Ok(Code::of(crate::run::child::run(&request.timeline, &request.options)))
}
