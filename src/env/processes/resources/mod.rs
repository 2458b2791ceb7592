//! What faults take away from one node while it runs, and what that came to in the kernel's own numbers.
//!
//! Nothing here outlives the run: what stops, wants or limits is a thread of the run's process or a limit of the node's
//! own, and both go with them. No cgroup is made, which would stay behind after a `kill -9`
//! (`docs/adr/0010-resources.md`).

mod crowd;
mod hog;
mod limits;
mod share;

use super::proc::{self, Stat};
use crate::fault::resource::ResourceRule;
use crowd::Crowd;
use hog::Hogs;
use limits::{Kind, Limits};
use share::Share;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

/// How long what was taken away may take to be there again.
const BACK_MAX: Duration = Duration::from_secs(15);
/// How long a crowd may take to come.
const CROWD_MAX: Duration = Duration::from_secs(25);
const MEGABYTE: u64 = 1 << 20;

/// What came of an attempt to take something or to give it back; `None`: not yet.
type Came = Result<Option<String>, String>;

pub use limits::files_as_we_began;

#[derive(Debug)]
pub struct Resources {
    family: Family,
    place: SocketAddrV4,
    rules: BTreeMap<String, ResourceRule>,
    share: Option<Share>,
    hogs: Option<Hogs>,
    files: Limits,
    data: Limits,
    crowds: BTreeMap<String, Crowd>,
    /// By event, what may be in memory, in bytes.
    killers: BTreeMap<String, u64>,
    /// What was measured for an event whose rule is off, until it is seen to be over.
    ended: BTreeMap<String, String>,
    /// Another event has stopped it.
    held: bool,
}

/// A node's processes, found anew each time.
#[derive(Clone, Debug)]
struct Family {
    folder: PathBuf,
    leader: Option<i32>,
}

impl Family {
    fn members(&self) -> Vec<Stat> {
        self.leader.map_or_else(Vec::new, |leader| proc::family(leader, &self.folder))
    }

    /// The numbers of all threads.
    fn threads(&self) -> Vec<i32> {
        let members = self.members();
        members.iter().flat_map(|stat| proc::threads(stat.pid)).collect()
    }
}

impl Resources {
    pub fn new(folder: PathBuf, place: SocketAddrV4) -> Self {
        Self {
            family: Family { folder, leader: None },
            place,
            rules: BTreeMap::new(),
            share: None,
            hogs: None,
            files: Limits::new(Kind::Files),
            data: Limits::new(Kind::Data),
            crowds: BTreeMap::new(),
            killers: BTreeMap::new(),
            ended: BTreeMap::new(),
            held: false,
        }
    }

    /// A process of the node was started: what is taken away is taken from it too.
    pub fn started(&mut self, pid: i32) {
        self.family.leader = Some(pid);
        self.held = false;
        if let Some(share) = &self.share {
            share.follow(Some(pid));
        }
        if let Some(hogs) = &mut self.hogs {
            hogs.bind(&self.family);
        }
    }

    /// It is gone: its number may become a stranger's.
    pub fn gone(&mut self) {
        self.family.leader = None;
        if let Some(share) = &self.share {
            share.follow(None);
        }
    }

    /// From now on nothing here stops the node or lets it go on.
    pub fn hold(&mut self) {
        self.held = true;
        if let Some(share) = &self.share {
            share.hold();
        }
    }

    pub fn is_held(&self) -> bool {
        self.held
    }

    /// The node is ours to stop again. `runs`: it was let go on meanwhile; else it is as it was.
    pub fn release(&mut self, runs: bool) {
        self.held = false;
        if let Some(share) = &self.share {
            share.release(runs);
        }
    }

    /// Answers what is in force, once it is. Called again, with how long it has waited, until then.
    pub fn take(
        &mut self,
        event: &str,
        rule: &ResourceRule,
        waited: Duration,
        crowd: Option<Ipv4Addr>,
    ) -> Came {
        self.rules.insert(event.into(), rule.clone());
        let said = match rule {
            ResourceRule::Share(percent) => {
                let share = match &mut self.share {
                    Some(share) => share,
                    None => self.share.insert(Share::start(self.family.clone(), self.held).map_err(plain)?),
                };
                share.limit(event, *percent);
                format!("it has {percent} of one core's time")
            }
            ResourceRule::Hog { threads } => {
                let hogs = match &mut self.hogs {
                    Some(hogs) => hogs,
                    None => self.hogs.insert(Hogs::find_core(&self.family)?),
                };
                hogs.add(event, *threads, &self.family)?
            }
            ResourceRule::Files { spare } => {
                let limit = |pid| Ok(limits::limit_for(&limits::open_files(pid)?, u64::from(*spare)));
                let limit = self.files.put(event, &self.family, limit)?;
                format!("its limit on open files is {limit}, which leaves {spare}")
            }
            ResourceRule::Data { room } => {
                let limit = |pid| Ok(limits::data_size(pid)? + u64::from(*room) * MEGABYTE);
                self.data.put(event, &self.family, limit)?;
                format!("{room} MB more than it has")
            }
            ResourceRule::Kill { room } => {
                let most = self.resident() + u64::from(*room) * MEGABYTE;
                self.killers.insert(event.into(), most);
                format!("it may have {} MB in memory, {room} more than it has", most / MEGABYTE)
            }
            ResourceRule::Connections { count } => {
                let near = crowd.ok_or("a crowd has no address here")?;
                // Each is a file of ours; nodes that are started later have what they had before.
                limits::open_many().map_err(plain)?;
                let crowd =
                    self.crowds.entry(event.into()).or_insert_with(|| Crowd::new(near, self.place, *count));
                let came = crowd.turn().map_err(plain)?;
                let told = crowd.told(self.family.leader);
                return match came {
                    true => Ok(Some(told)),
                    false if waited > CROWD_MAX => Err(told),
                    false => Ok(None),
                };
            }
        };
        Ok(Some(said))
    }

    /// Looks after what is taken away. Answers the events on whose account the node is to be killed, and why.
    pub fn look(&mut self) -> Vec<(String, String)> {
        for crowd in self.crowds.values_mut() {
            // Who cannot come now does at the next look.
            let _ = crowd.turn();
        }
        if self.killers.is_empty() || self.family.leader.is_none() {
            return Vec::new();
        }
        let has = self.resident();
        let over = self.killers.iter().filter(|(_, most)| has > **most);
        let told = |(event, most): (&String, &u64)| {
            (event.clone(), format!("killed with {} MB in memory, of {}", has / MEGABYTE, most / MEGABYTE))
        };
        over.map(told).collect()
    }

    /// What the node's processes have in memory, in bytes.
    fn resident(&self) -> u64 {
        self.family.members().iter().filter_map(|stat| limits::resident(stat.pid)).sum()
    }

    /// Takes an event's rule off, and answers what was measured once the node is seen to have it back.
    pub fn give_back(&mut self, event: &str, waited: Duration) -> Came {
        if let Some(rule) = self.rules.remove(event) {
            let measured = self.lift(event, &rule)?;
            self.ended.insert(event.into(), measured);
        }
        match self.still_taken(event) {
            None => {
                self.crowds.remove(event);
                Ok(self.ended.remove(event).or_else(|| Some("nothing was taken".into())))
            }
            Some(why) if waited > BACK_MAX => Err(why),
            Some(_) => Ok(None),
        }
    }

    fn lift(&mut self, event: &str, rule: &ResourceRule) -> Result<String, String> {
        match rule {
            ResourceRule::Share(_) => self.share.as_mut().map(|share| share.lift(event)),
            ResourceRule::Hog { .. } => self.hogs.as_mut().map(|hogs| hogs.remove(event, &self.family)),
            ResourceRule::Files { .. } => {
                self.files.lift(event);
                let open = self.family.leader.and_then(|pid| limits::open_files(pid).ok());
                open.map(|open| Ok(format!("it had {} files open at the end", open.len())))
            }
            ResourceRule::Data { .. } => {
                self.data.lift(event);
                None
            }
            ResourceRule::Kill { .. } => {
                self.killers.remove(event);
                Some(Ok(format!("it has {} MB in memory", self.resident() / MEGABYTE)))
            }
            ResourceRule::Connections { .. } => self.crowds.get_mut(event).map(|crowd| {
                let told = crowd.told(self.family.leader);
                crowd.leave();
                Ok(told)
            }),
        }
        .unwrap_or_else(|| Ok("all is as it was".into()))
    }

    /// What a node does not have back though no rule takes it away.
    fn still_taken(&mut self, event: &str) -> Option<String> {
        if self.share.as_ref().is_some_and(Share::is_idle) {
            self.share = None;
        }
        if self.hogs.as_ref().is_some_and(Hogs::is_idle) {
            if let Some(why) = self.hogs.as_mut().and_then(|hogs| hogs.unbind(&self.family)) {
                return Some(why);
            }
            self.hogs = None;
        }
        for limits in [&mut self.files, &mut self.data] {
            if let Some(why) = limits.mend(&self.family) {
                return Some(why);
            }
        }
        // One that stands still closes nothing.
        let left =
            self.crowds.get(event).filter(|_| !self.held).map_or(0, |crowd| crowd.left(self.family.leader));
        if left > 0 {
            return Some(format!("it has not closed {left} connections of the crowd"));
        }
        if self.share.is_none() && !self.held {
            let stands = |pid: i32| proc::thread_states(pid).contains(&'T');
            let stopped = self.family.members().into_iter().find(|stat| stands(stat.pid));
            return stopped.map(|stat| format!("pid {} still stands", stat.pid));
        }
        None
    }
}

/// Whether what is taken away could be, and measured: tried on this process, which loses nothing.
pub fn probe() -> Result<(), String> {
    let me = std::process::id() as i32;
    share::cpu_time(me).ok_or("the kernel does not tell what a process has used of the processors")?;
    hog::probe(me).map_err(|error| format!("binding a process to cores: {error}"))?;
    limits::probe(me).map_err(|error| format!("changing the limits of a process: {error}"))
}

/// How many files the tool may open, and with them connections.
pub fn files_at_most() -> u64 {
    limits::files().map_or(0, |(_, hard)| hard)
}

fn plain(error: std::io::Error) -> String {
    error.to_string()
}
