//! `fuzz replay --stop-at-turn N`: what to do with a run that stands still. This side prints where it stands, passes on
//! what is asked on standard input, and lets it go on at an empty line. The other side is `env::exact::stop`.

use super::console::talk;
use super::flags::Output;
use super::folder::RUNS;
use crate::entropy::Seed;
use std::fs;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The names of `env::exact::stop`, which is not there on every target.
const STANDING: &str = "standing.txt";
const ASK: &str = "ask";
const ANSWER: &str = "answer";

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The folder of a run that will stand, known before it begins.
pub fn folder(output: &Output, seed: Seed) -> PathBuf {
    let own = || Path::new(RUNS).join(format!("standing-{}-{seed}", std::process::id()));
    output.out.clone().unwrap_or_else(own)
}

/// Waits beside the run until it stands. The thread ends with the process, at the latest.
#[expect(
    clippy::disallowed_methods,
    reason = "it reads a terminal; the run is another process, of one thread"
)]
pub fn attend(folder: PathBuf) {
    std::thread::spawn(move || {
        let told = loop {
            match fs::read_to_string(folder.join(STANDING)) {
                Ok(text) => break text,
                Err(_) => std::thread::sleep(LOOK_EVERY),
            }
        };
        talk(&told);
        talk(
            "each node waits for its next turn; a debugger may attach, look, and detach\n\
             ask a node by its name and a command, such as `node-0 CLUSTER NODES`: it answers by turns that the run \
             would not have had\n\
             an empty line lets the run go on\n",
        );
        let mut lines = std::io::stdin().lock().lines().map_while(Result::ok);
        loop {
            let line = lines.next().unwrap_or_default();
            if ask(&folder, &line).is_err() || line.trim().is_empty() {
                return;
            }
            let answer = folder.join(ANSWER);
            let text = loop {
                match fs::read_to_string(&answer) {
                    Ok(text) => break text,
                    Err(_) => std::thread::sleep(LOOK_EVERY),
                }
            };
            talk(&text);
            // Else the next one would not be seen.
            let _ = fs::remove_file(&answer);
        }
    });
}

fn ask(folder: &Path, line: &str) -> std::io::Result<()> {
    let half = folder.join("ask.half");
    fs::write(&half, line)?;
    fs::rename(half, folder.join(ASK))
}
