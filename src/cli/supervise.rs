//! A run is a child process: this side starts it, hears it out, passes on the wish to stop, and cleans up behind
//! it. Whatever becomes of the child, the answer says it, and nothing that it started is left.

use super::folder::CHILD_LOG;
use super::input::plain;
use crate::env::processes::heals::{Swept, sweep};
use crate::run::event::{Finished, RunEvent};
use crate::run::request::RunRequest;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

/// How long a child that was asked to end may take: it heals, looks once more, and writes the record.
const GRACE: Duration = Duration::from_secs(30);
/// How long a child may take beyond the bound it was given for the whole run.
const OVERTIME: Duration = Duration::from_secs(120);

/// How a run ended.
#[derive(Debug, Default)]
pub struct Ended {
    /// The child's last word, if it got to say it.
    pub finished: Option<Finished>,
    /// Why there is none, or what else went wrong with the child.
    pub trouble: Vec<String>,
    /// The user asked for the end.
    pub interrupted: bool,
    pub wall: Duration,
}

/// What became of the words that were passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Fine,
    /// Nobody listens any more.
    Gone,
}

/// Carries a request out in a child. `hear` gets every event but the last, which is in the answer.
pub fn run(request: &RunRequest, hear: &mut dyn FnMut(&RunEvent) -> Heard) -> std::io::Result<Ended> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began = Instant::now();
    let mut ended = runtime.block_on(attend(request, hear))?;
    ended.wall = began.elapsed();
    match sweep(&request.options.folder) {
        Ok(Swept::Clean) => {}
        Ok(Swept::Alive) => ended.trouble.push("the run's process lives on after its end was seen".into()),
        Ok(Swept::Killed(left)) => {
            ended
                .trouble
                .push(format!("the run left processes behind, which were killed: {}", left.join(", ")));
        }
        Ok(Swept::Left(left)) => {
            ended.trouble.push(format!("the run left processes that cannot be killed: {}", left.join(", ")));
        }
        Err(error) => ended.trouble.push(format!("failed to look for what the run left: {}", plain(&error))),
    }
    Ok(ended)
}

/// The wishes to stop, from the moment it is made.
pub struct Stops([SignalStream; 3]);

impl Stops {
    pub fn listen() -> std::io::Result<Self> {
        let stream = |kind| signal(kind);
        Ok(Self([
            stream(SignalKind::interrupt())?,
            stream(SignalKind::terminate())?,
            stream(SignalKind::hangup())?,
        ]))
    }
    pub async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

async fn attend(request: &RunRequest, hear: &mut dyn FnMut(&RunEvent) -> Heard) -> std::io::Result<Ended> {
    // Before the child exists, so that no Ctrl-C falls between.
    let mut stops = Stops::listen()?;
    let folder = &request.options.folder;
    let log = std::fs::File::create(folder.join(CHILD_LOG))?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg("__run")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::from(log))
        // Ctrl-C on the terminal goes to us alone, and we pass it on.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let mut ended = Ended::default();
    if let Some(mut stdin) = child.stdin.take() {
        let text = serde_json::to_vec(request)?;
        // A child that died at once says so by its exit status.
        let _ = stdin.write_all(&text).await;
    }
    let Some(stdout) = child.stdout.take() else { return Err(std::io::Error::other("no pipe to the child")) };
    let mut lines = BufReader::new(stdout);
    let mut line = Vec::new();
    let overtime = Instant::now() + Duration::from_millis(request.options.run_timeout.0) + OVERTIME;
    let mut deadline = overtime;
    loop {
        tokio::select! {
            read = lines.read_until(b'\n', &mut line) => {
                if read? == 0 {
                    break;
                }
                if take(&line, &mut ended, hear) == Heard::Gone && !ended.interrupted {
                    ended.interrupted = true;
                    ask(&child);
                    deadline = Instant::now() + GRACE;
                }
                line.clear();
            }
            () = stops.next() => {
                if ended.interrupted {
                    ended.trouble.push("killed at the user's second request".into());
                    put_down(&child);
                } else {
                    ended.interrupted = true;
                    super::console::talk("\ninterrupted: ending the run; once more kills it\n");
                    ask(&child);
                    deadline = Instant::now() + GRACE;
                }
            }
            () = sleep_until(deadline) => {
                let why = if ended.interrupted { "it did not end when asked to" } else { "it ran far beyond its time" };
                ended.trouble.push(format!("the run was killed: {why}"));
                put_down(&child);
                deadline = Instant::now() + GRACE;
            }
        }
    }
    // Its output is closed, so it is gone or about to be.
    let status = match tokio::time::timeout(GRACE, child.wait()).await {
        Ok(status) => status?,
        Err(_) => {
            put_down(&child);
            child.wait().await?
        }
    };
    if ended.finished.is_none() {
        ended.trouble.insert(
            0,
            format!("the run's process ended without a last word ({status}){}", last_words(folder)),
        );
    }
    Ok(ended)
}

/// Takes one line of the child's.
fn take(line: &[u8], ended: &mut Ended, hear: &mut dyn FnMut(&RunEvent) -> Heard) -> Heard {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line.is_empty() {
        return Heard::Fine;
    }
    match serde_json::from_slice::<RunEvent>(line) {
        Ok(RunEvent::Finished(finished)) => {
            ended.finished = Some(*finished);
            Heard::Fine
        }
        Ok(event) => hear(&event),
        Err(_) => {
            let shown: String = String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned();
            ended.trouble.push(format!("a line of the run's process is no event: {shown}"));
            Heard::Fine
        }
    }
}

/// Asks the child to heal, look once more, and end.
fn ask(child: &Child) {
    send(child, Signal::SIGINT);
}

fn put_down(child: &Child) {
    send(child, Signal::SIGKILL);
}

fn send(child: &Child, signal: Signal) {
    if let Some(pid) = child.id() {
        // It may be gone already: its status will tell.
        let _ = kill(Pid::from_raw(pid as i32), signal);
    }
}

/// The end of what the child said on standard error: where it panicked.
fn last_words(folder: &Path) -> String {
    let Ok(bytes) = std::fs::read(folder.join(CHILD_LOG)) else { return String::new() };
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(20_000)..]).into_owned();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return String::new();
    }
    // A backtrace may follow where it panicked and why.
    let panicked = lines.iter().position(|line| line.contains("panicked at"));
    let from = panicked.unwrap_or(lines.len().saturating_sub(4));
    format!(": {}", lines[from..lines.len().min(from + 4)].join(" / "))
}
