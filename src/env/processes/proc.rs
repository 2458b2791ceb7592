//! What the kernel says about processes, read from `/proc` (see proc(5)): states, families, identities.
//!
//! What was done to a process is believed only when it is read back here.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// One process as its `stat` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub pid: i32,
    /// `R`, `S`, `D`, `T` (stopped), `Z` (dead, not yet reaped), ...
    pub state: char,
    pub parent: i32,
    pub group: i32,
    /// Clock ticks from boot to its start: with the pid, it names a process for good.
    pub start: u64,
}

impl Stat {
    pub fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The second field is the name in brackets; it may itself hold brackets and blanks.
    fn parse(text: &str) -> Option<Self> {
        let (head, tail) = text.rsplit_once(')')?;
        let pid = head.split_once(' ')?.0.parse().ok()?;
        let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
        Some(Self {
            pid,
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }

    /// Dead, though perhaps not yet reaped.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// The state of every thread of a process; empty when it is gone.
pub fn thread_states(pid: i32) -> Vec<char> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let stat = |task: fs::DirEntry| fs::read_to_string(task.path().join("stat")).ok();
    tasks.flatten().filter_map(stat).filter_map(|text| Stat::parse(&text)).map(|stat| stat.state).collect()
}

/// The numbers of the threads of a process; none when it is gone.
pub fn threads(pid: i32) -> Vec<i32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
}

/// Every process that can be seen, in the order of pids.
pub fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pid = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<i32>().ok();
    let mut found: Vec<Stat> = entries.flatten().filter_map(pid).filter_map(Stat::of).collect();
    found.sort_by_key(|stat| stat.pid);
    found
}

/// The variable that marks the processes of a node; its value is the node's folder.
pub const MARK: &str = "SEEDFAULT_NODE";

/// Whether a process was started, by however many steps, with a mark that begins like this. A server may have
/// written its title over its environment, so "no" proves nothing.
pub fn is_marked(pid: i32, folder: &Path) -> bool {
    let Some(environment) = environment(pid) else { return false };
    let value = |entry: &[u8]| entry.strip_prefix(format!("{MARK}=").as_bytes()).map(<[u8]>::to_vec);
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(folder.as_os_str());
    environment
        .split(|byte| *byte == 0)
        .filter_map(value)
        .any(|value| value.strip_prefix(bytes).is_some_and(|rest| rest.is_empty() || rest[0] == b'/'))
}

/// What a process was started with. One that `execve` is just giving another program has none for a moment (4 of
/// 100 readings of one that does nothing else): it is asked again, so that no member is taken for a stranger.
fn environment(pid: i32) -> Option<Vec<u8>> {
    let mut same = (String::new(), 0);
    for _ in 0..EXEC_LOOKS {
        let bytes = read_at_once(&format!("/proc/{pid}/environ")).ok()?;
        // Threads of the kernel have no program.
        if !bytes.is_empty() || fs::read_link(format!("/proc/{pid}/exe")).is_err() {
            return Some(bytes);
        }
        let (begin, end) = environment_bounds(pid)?;
        if begin == end && end != "0" {
            same = if same.0 == end { (end, same.1 + 1) } else { (end, 0) };
            if same.1 == EMPTY_LOOKS {
                return Some(bytes);
            }
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    None
}

/// The file in one `read`: what a second one finds may be gone with the program that the first one saw.
fn read_at_once(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 32 << 10];
    loop {
        let length = fs::File::open(path)?.read(&mut bytes)?;
        if length < bytes.len() {
            bytes.truncate(length);
            return Ok(bytes);
        }
        bytes.resize(bytes.len() * 4, 0);
    }
}

/// For how many looks, half a millisecond apart, a process on a busy machine may stand inside `execve`; and for
/// how many an environment stays empty at one place before it is one that was given empty.
const EXEC_LOOKS: usize = 2_000;
const EMPTY_LOOKS: usize = 10;

/// Where the environment of a process begins and ends: fields 50 and 51 of `stat`, 0 until it is laid out.
fn environment_bounds(pid: i32) -> Option<(String, String)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, tail) = text.rsplit_once(')')?;
    let mut fields = tail.split_ascii_whitespace().skip(47).map(str::to_string);
    Some((fields.next()?, fields.next()?))
}

/// Whether a process has started others that are its children still; yes where the kernel does not tell.
pub fn has_children(pid: i32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    let children = |task: fs::DirEntry| fs::read_to_string(task.path().join("children"));
    tasks.flatten().any(|task| children(task).map_or(true, |children| !children.trim().is_empty()))
}

/// The living members of a node: its leader, the leader's process group, all their descendants, and whatever
/// carries the mark of its folder (what left the group and lost its parent).
pub fn family(leader: i32, folder: &Path) -> Vec<Stat> {
    let all = all();
    let me = std::process::id() as i32;
    let mut members: BTreeSet<i32> =
        all.iter().filter(|stat| stat.pid == leader || stat.group == leader).map(|stat| stat.pid).collect();
    members.extend(all.iter().filter(|stat| is_marked(stat.pid, folder)).map(|stat| stat.pid));
    members.remove(&me);
    loop {
        let before = members.len();
        let children = all.iter().filter(|stat| members.contains(&stat.parent)).map(|stat| stat.pid);
        members.extend(children.collect::<Vec<_>>());
        if members.len() == before {
            break;
        }
    }
    all.into_iter().filter(|stat| members.contains(&stat.pid) && !stat.is_dead()).collect()
}

/// A process for good: no later process is mistaken for it, in whatever PID namespace either is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its pid in its own namespace.
    pub pid: i32,
    pub start: u64,
    /// The number of its PID namespace.
    pub namespace: String,
    /// The boot of the machine.
    pub boot: String,
}

impl Identity {
    /// The identity of a process of our own namespace.
    pub fn of(pid: i32) -> Option<Self> {
        let start = Stat::of(pid)?.start;
        Some(Self { pid, start, namespace: namespace("self")?, boot: boot()? })
    }

    /// The same process as we see it, if it lives.
    pub fn find(&self) -> Option<Stat> {
        if boot()? != self.boot {
            return None;
        }
        if namespace("self")? == self.namespace {
            return Stat::of(self.pid).filter(|stat| stat.start == self.start && !stat.is_dead());
        }
        let same = |stat: &Stat| {
            stat.start == self.start
                && !stat.is_dead()
                && namespace(&stat.pid.to_string()).as_ref() == Some(&self.namespace)
                && innermost_pid(stat.pid) == Some(self.pid)
        };
        all().into_iter().find(same)
    }
}

fn boot() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_string())
}

fn namespace(process: &str) -> Option<String> {
    Some(fs::read_link(format!("/proc/{process}/ns/pid")).ok()?.to_string_lossy().into_owned())
}

/// Its pid in its own namespace: the last number of the line `NSpid`.
fn innermost_pid(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_shift_the_fields() {
        let text = "77 (a ) b (c) S 1 77 77 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4242 9 9";
        let stat = Stat::parse(text).expect("well formed");
        assert_eq!(stat, Stat { pid: 77, state: 'S', parent: 1, group: 77, start: 4242 });
    }

    #[test]
    fn an_identity_finds_its_process_and_no_other() {
        let me = Identity::of(std::process::id() as i32).expect("we live");
        assert_eq!(me.find().map(|stat| stat.pid), Some(me.pid));
        assert_eq!(Identity { start: me.start + 1, ..me.clone() }.find(), None, "the pid was used again");
        assert_eq!(Identity { boot: "other".into(), ..me }.find(), None, "the machine was booted again");
    }

    #[test]
    fn a_process_is_marked_while_one_program_follows_another() {
        let folder = std::env::temp_dir().join(format!("seedfault-exec-{}", std::process::id()));
        let script = folder.join("again");
        fs::create_dir_all(&folder).expect("writable");
        fs::write(&script, "exec sh \"$0\"\n").expect("writable");
        let mut shell = Command::new("sh").arg(&script).env(MARK, &folder).spawn().expect("there is a shell");
        let missed = (0..3_000).filter(|_| !is_marked(shell.id() as i32, &folder)).count();
        shell.kill().expect("it runs");
        shell.wait().expect("it was killed");
        fs::remove_dir_all(&folder).expect("ours");
        assert_eq!(missed, 0, "of 3000 looks");
    }

    #[test]
    fn a_family_holds_what_left_the_group_and_lost_its_parent() {
        let folder = std::env::temp_dir().join(format!("seedfault-family-{}", std::process::id()));
        let script = "setsid sh -c 'sleep 60 & wait' & exit 0";
        let mut shell =
            Command::new("sh").args(["-c", script]).env(MARK, &folder).spawn().expect("there is a shell");
        let leader = shell.id() as i32;
        shell.wait().expect("it ends");
        let mut members = family(leader, &folder);
        for _ in 0..500 {
            if members.len() == 2 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
            members = family(leader, &folder);
        }
        for stat in &members {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(stat.pid), nix::sys::signal::SIGKILL);
        }
        assert_eq!(members.len(), 2, "{members:?}");
    }
}
