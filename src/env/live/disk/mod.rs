//! The nodes' disks: calls that fail, last, are short, or are where a node ends or stops.
//!
//! Each node is started under a [`filter`] that gives certain calls to a [`supervisor`] in the run's process, before
//! the kernel makes them. It works for any binary, without privilege, mount or preloaded library. Which calls those are
//! cannot be changed later, and each costs some microseconds, a write to a socket too: a run watches those that its
//! timeline has faults for, and one without a fault of a disk has no filter at all.
//!
//! At the end of a fault a [`trial`] tells whether the disk is well.

mod filter;
mod kernel;
pub mod power;
mod rules;
mod supervisor;
mod trial;

#[cfg(test)]
mod tests;

use super::tally::Tally;
use crate::entropy::Entropy;
use crate::env::{EnvError, NodeId, Observed};
use crate::fault::disk::{Blow, Calls, DiskRule};
use crate::time::Millis;
use filter::Filter;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use rules::Lifted;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use supervisor::{Counts, Shared, greeting};
use trial::{Failed, Slow, Trial};

/// What became of each node's calls, in the run folder.
pub const DISKS: &str = "disks.tsv";
/// How long a process may take to have put its filter on.
const WATCHED_MAX: Duration = Duration::from_secs(5);

/// See the module's page.
#[derive(Debug)]
pub struct Disks {
    calls: Calls,
    filter: Filter,
    /// Where a process sends its listener. Ours and its own until it execs.
    supervisor: OwnedFd,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Decides where writes are torn.
    key: Entropy,
    trials: BTreeMap<NodeId, (Trial, String)>,
    file: PathBuf,
    /// Whether a node may lose its power at a call.
    power: bool,
}

impl Disks {
    /// Disks of which these calls are watched.
    pub fn start(calls: Calls, key: Entropy, file: PathBuf) -> io::Result<Self> {
        let filter = Filter::new(calls)?;
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        let shared = Shared::new(ours)?;
        let thread = std::thread::Builder::new().name("disks".into()).spawn({
            let shared = shared.clone();
            move || shared.run()
        })?;
        let thread = Some(thread);
        Ok(Self {
            calls,
            filter,
            supervisor: theirs,
            shared,
            thread,
            key,
            trials: BTreeMap::new(),
            file,
            power: false,
        })
    }

    /// Somebody takes from a node what it has not synced, when it loses its power at a call.
    pub fn with_power(mut self, power: bool) -> Self {
        self.power = power;
        self
    }

    /// What the command starts belongs to this node: its calls to files below `folder` are watched.
    pub fn watch(&self, node: NodeId, folder: &Path, command: &mut Command) -> io::Result<()> {
        let folder = fs::canonicalize(folder)?;
        self.shared.lock().disks.entry(node).or_default().folder = folder;
        let (filter, supervisor) = (self.filter.clone(), self.supervisor.as_raw_fd());
        let put_on = move || filter.put_on(supervisor, greeting(node, false, std::process::id()));
        #[expect(unsafe_code, reason = "the closure makes system calls and allocates nothing")]
        unsafe {
            command.pre_exec(put_on);
        }
        Ok(())
    }

    /// Puts an event's rule on a disk, or takes it off and tries whether the disk is well. Called again, with how long
    /// it has waited, until it answers something. `runs`: whether the node does.
    pub fn change(
        &mut self,
        node: NodeId,
        event: &str,
        rule: Option<&DiskRule>,
        runs: bool,
        waited: Option<Duration>,
    ) -> Result<Option<String>, EnvError> {
        let result = match rule {
            Some(rule) => self.put(node, event, rule, runs, waited.unwrap_or_default()),
            None => self.heal(node, event, waited),
        };
        result.map_err(|why| EnvError::Failed { what: format!("changing the disk of {node}"), why })
    }

    fn works(&self) -> Result<(), String> {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Err("the supervisor has ended".into());
        }
        self.shared.lock().trouble.take().map_or(Ok(()), Err)
    }

    fn put(
        &self,
        node: NodeId,
        event: &str,
        rule: &DiskRule,
        runs: bool,
        waited: Duration,
    ) -> Result<Option<String>, String> {
        self.works()?;
        if matches!(rule, DiskRule::Strike { how: Blow::Power, .. }) && !self.power {
            return Err("what was not synced cannot be lost in this run".into());
        }
        if !self.calls.hold(rule.calls()) {
            return Err(format!("these calls are not watched in this run: {rule:?}"));
        }
        let mut inner = self.shared.lock();
        if runs && !inner.watches(node) {
            let late = waited > WATCHED_MAX;
            return if late { Err("its calls are not watched".into()) } else { Ok(None) };
        }
        let word = self.key.child("disk").child(event).word("torn", u64::from(node.0), 0);
        inner.disks.entry(node).or_default().rules.put(event, rule.clone(), word);
        Ok(Some(format!("{rule:?}")))
    }

    fn heal(
        &mut self,
        node: NodeId,
        event: &str,
        waited: Option<Duration>,
    ) -> Result<Option<String>, String> {
        let Some(waited) = waited else {
            self.works()?;
            let Some(lifted) = self.lift(node, event) else { return Ok(Some("no rule is on it".into())) };
            let said = format!("{} calls were struck", lifted.struck);
            // Others would strike the trial too; at the end of the last it is made.
            if self.shared.lock().disks.get(&node).is_some_and(|disk| !disk.rules.is_empty()) {
                return Ok(Some(format!("{said}; other rules are on it still")));
            }
            self.try_disk(node, &lifted.rule, said)?;
            return Ok(None);
        };
        let Some((trial, said)) = self.trials.get_mut(&node) else { return Ok(None) };
        let Some(came) = trial.look(waited) else { return Ok(None) };
        let said = std::mem::take(said);
        self.trials.remove(&node);
        came.map_err(|why| format!("a write, sync and rename in its folder do not pass: {why}"))?;
        self.works()?;
        Ok(Some(format!("{said}; a write, a sync and a rename pass again")))
    }

    fn lift(&self, node: NodeId, event: &str) -> Option<Lifted> {
        let mut inner = self.shared.lock();
        let rules = &mut inner.disks.get_mut(&node)?.rules;
        let lifted = rules.lift(event)?;
        if !rules.slow() {
            self.shared.hurry(&mut inner, node);
        }
        Some(lifted)
    }

    /// Begins to try whether this rule is in force no longer.
    fn try_disk(&mut self, node: NodeId, rule: &DiskRule, said: String) -> Result<(), String> {
        let folder = self.shared.lock().disks.get(&node).map(|disk| disk.folder.clone()).unwrap_or_default();
        let limit = |time: Millis| (!time.is_zero()).then(|| Duration::from_millis(time.0));
        let slow = match rule {
            DiskRule::Slow { delay, read, rate } => {
                Slow { write: limit(*delay), read: limit(*read), rate: *rate }
            }
            _ => Slow::default(),
        };
        let trial = Trial::begin(&self.filter, self.supervisor.as_raw_fd(), node, &folder, slow)
            .map_err(|error| format!("no process can try it: {error}"))?;
        self.trials.insert(node, (trial, said));
        Ok(())
    }

    /// Whether calls of a node wait for their answer: their threads do nothing then, though they are not stopped.
    pub fn keeps(&self, node: NodeId) -> bool {
        self.shared.lock().keeps(node)
    }

    /// By which event a node has lost its power, if it has since this was asked.
    pub fn take_power(&self, node: NodeId) -> Option<String> {
        self.shared.lock().power.remove(&node)
    }

    /// A node goes on.
    pub fn release(&self, node: NodeId) {
        self.shared.lock().release(node);
    }

    /// Readable when there is something to be told.
    pub fn told(&self) -> BorrowedFd<'_> {
        self.shared.told.as_fd()
    }

    pub fn take_observed(&self) -> Vec<Observed> {
        let _ = self.shared.told.read();
        std::mem::take(&mut self.shared.lock().observed)
    }

    /// To be called when all nodes are gone. Answers what the user should know.
    pub fn close(&mut self) -> Vec<String> {
        self.trials.clear();
        let mut notes = Vec::new();
        let inner = self.shared.lock();
        notes.extend(inner.trouble.iter().map(|trouble| format!("failed at the nodes' disks: {trouble}")));
        let mut tally = Tally::new("node", SEEN, columns(&Counts::default()));
        for (node, disk) in &inner.disks {
            tally.row(&node.to_string(), columns(&disk.counts));
        }
        drop(inner);
        notes.extend(tally.struck().map(|struck| format!("calls to disks with a fault: {struck}")));
        if let Err(error) = fs::write(&self.file, tally.table()) {
            notes.push(format!("failed to write {DISKS}: {error}"));
        }
        self.stop();
        notes
    }

    fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = self.shared.stop.write(1);
            let _ = thread.join();
        }
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether all of this works on this machine: a process has its writes shortened and refused in this folder, and then
/// has them made.
pub fn try_here(folder: &Path) -> Result<(), String> {
    const LOOK: Duration = Duration::from_millis(1);
    let said = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let (node, full) = (NodeId(0), DiskRule::Full { room: 1 });
    let folder = fs::canonicalize(folder).map_err(said("its folder"))?;
    let key = Entropy::root(crate::entropy::Seed(0));
    let mut disks = Disks::start(Calls::ALL, key, folder.join(DISKS)).map_err(said("a supervisor"))?;
    disks.shared.lock().disks.entry(node).or_default().folder = folder;
    for (rule, expected) in [(Some(&full), Err(Failed::Call(Errno::ENOSPC))), (None, Ok(()))] {
        match rule {
            Some(rule) => disks.put(node, "trial", rule, false, Duration::ZERO).map(drop)?,
            None => drop(disks.lift(node, "trial")),
        }
        disks.try_disk(node, &full, String::new())?;
        let mut waited = Duration::ZERO;
        let (mut trial, _) = disks.trials.remove(&node).ok_or("it was not tried")?;
        let came = loop {
            if let Some(came) = trial.look(waited) {
                break came;
            }
            std::thread::sleep(LOOK);
            waited += LOOK;
        };
        disks.works()?;
        if came != expected {
            return Err(came.map_or_else(|why| why.to_string(), |()| "the kernel asked nobody".into()));
        }
    }
    Ok(())
}

/// Columns that tell what came by; those after them tell what a fault did.
const SEEN: usize = 4;

fn columns(counts: &Counts) -> [(&'static str, u64); 8] {
    [
        ("writes", counts.writes),
        ("syncs", counts.syncs),
        ("renames", counts.renames),
        ("reads", counts.reads),
        ("failed", counts.failed),
        ("short", counts.short),
        ("delayed", counts.delayed),
        ("struck", counts.struck),
    ]
}
