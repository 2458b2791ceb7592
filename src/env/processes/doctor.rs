//! What this machine can do for a run, what is missing, and the command that mends it: data that
//! `fuzz doctor` prints. Nothing found here ever enters a timeline.

use super::cage::{self, Walls};
use super::heals::{self, Swept};
use super::ports::{BLOCK, Ports};
use crate::target;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{Signal, killpg};
use nix::sys::statvfs::statvfs;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Server binaries looked for, the preferred first.
pub const SERVERS: &[&str] = &["valkey-server", "redis-server"];
/// How long a binary may take to say its version.
const VERSION_MAX: Duration = Duration::from_secs(5);
/// Open files that the largest drawn run needs: the tool's sockets to sixteen nodes, and a server's clients,
/// peers and files. Servers ask for ten thousand clients and make do with less.
const FILES_MIN: u64 = 4096;
/// Memory for sixteen empty servers and their forks.
const MEMORY_MIN_MIB: u64 = 512;
/// What an empty server with its buffers takes, generously.
const NODE_KIB: u64 = 24 * 1024;
/// Disk for the folders of some runs.
const DISK_MIN_MIB: u64 = 512;
/// Where a container reads its limit and what it has of it: cgroup version 2, then version 1.
const CGROUPS: &[(&str, &str)] = &[
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
];
/// Below this the servers' timers run late when a cluster fails over.
const CORES_MIN: usize = 2;
/// Our highest port, the bus of the last block.
const PORT_MAX: u32 = 30_000;

crate::word! {
    /// How a thing stands.
    pub enum Standing {
        /// As a run wants it.
        Good = "good",
        /// Runs work, with what is said.
        Limited = "limited",
        /// Some runs cannot be done at all.
        Missing = "missing",
    }
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub what: String,
    pub standing: Standing,
    /// What was found, with numbers.
    pub found: String,
    /// What follows from it, where it is not good.
    pub means: Option<String>,
    /// The command that mends it.
    pub mend: Option<String>,
}

/// A server binary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    pub path: PathBuf,
    /// As it says itself: `Redis server v=7.0.15`; or why it does not.
    pub version: Result<String, String>,
}

impl Finding {
    fn good(what: &str, found: impl Into<String>) -> Self {
        Self { what: what.into(), standing: Standing::Good, found: found.into(), means: None, mend: None }
    }
    fn but(self, standing: Standing, means: &str, mend: Option<&str>) -> Self {
        Self { standing, means: Some(means.into()), mend: mend.map(Into::into), ..self }
    }
}

/// Looks at everything. `path` is the search path for binaries, `runs` the folder of run folders.
pub fn examine(path: &OsStr, runs: &Path) -> Vec<Finding> {
    let mut findings = servers(path);
    findings.extend([namespaces(), ports(), ephemeral_ports(), files(), cores(), memory(), disk(runs)]);
    findings.extend(leftovers(runs));
    findings
}

/// The server binaries on a search path, the preferred first, each with its version.
pub fn servers_on(path: &OsStr) -> Vec<Server> {
    let on_path = |name: &&str| find(path, name);
    SERVERS.iter().filter_map(on_path).map(|path| Server { version: version(&path), path }).collect()
}

/// The first executable file of that name on a search path.
pub fn find(path: &OsStr, name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let runs = |file: &PathBuf| {
        fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(path).map(|folder| folder.join(name)).find(runs)
}

/// What a server says of its version, mostly for `--version`: the first line, up to the build's hashes.
pub fn version(binary: &Path) -> Result<String, String> {
    let asks = target::asks_version(binary);
    let (program, arguments) = asks.split_first().ok_or("there is no way to ask its version")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // A group of its own, so that what a wrapper script starts can be ended with it.
    command.process_group(0);
    cage::die_with_us(&mut command);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let leader = Pid::from_raw(child.id().cast_signed());
    let answered = answered(leader);
    // The leader has not been waited for, so the group's number is still its own. No such group: all have gone.
    let _ = killpg(leader, Signal::SIGKILL);
    let status = child.wait().map_err(|error| error.to_string())?;
    if !answered? {
        return Err(format!("no answer to --version within {} s", VERSION_MAX.as_secs()));
    }
    let mut said = Vec::new();
    if let Some(out) = child.stdout.take() {
        out.take(4096).read_to_end(&mut said).map_err(|error| error.to_string())?;
    }
    let text = String::from_utf8_lossy(&said);
    match text.lines().next() {
        Some(line) if status.success() => Ok(line.split(" sha=").next().unwrap_or(line).trim().to_string()),
        Some(_) => Err(format!("its --version ended with {status}")),
        None => Err(format!("its --version says nothing ({status})")),
    }
}

/// Whether a child ends by itself in time. It is left to be waited for.
fn answered(child: Pid) -> Result<bool, String> {
    const LOOK: Duration = Duration::from_millis(5);
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    let mut waited = Duration::ZERO;
    while waited < VERSION_MAX {
        match waitid(Id::Pid(child), look) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => std::thread::sleep(LOOK),
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.to_string()),
        }
        waited += LOOK;
    }
    Ok(false)
}

fn servers(path: &OsStr) -> Vec<Finding> {
    let servers = servers_on(path);
    if servers.is_empty() {
        let missing = Finding::good("server", format!("neither {} on PATH", SERVERS.join(" nor ")));
        let means = "the target `valkey` needs a server; the target `embedded` works without";
        return vec![missing.but(Standing::Missing, means, install(path))];
    }
    let finding = |server: Server| {
        let place = server.path.display();
        match server.version {
            Ok(version) => Finding::good("server", format!("{version} at {place}")),
            Err(why) => Finding::good("server", format!("{place}: {why}")).but(
                Standing::Limited,
                "it will not be a node; name another by --server-binary",
                None,
            ),
        }
    };
    servers.into_iter().map(finding).collect()
}

/// The command that installs a server with the package manager found here.
fn install(path: &OsStr) -> Option<&'static str> {
    let managers = [
        ("apt-get", "apt-get install redis-server"),
        ("dnf", "dnf install valkey"),
        ("apk", "apk add redis"),
        ("pacman", "pacman -S valkey"),
        ("zypper", "zypper install redis"),
    ];
    managers.into_iter().find(|(manager, _)| find(path, manager).is_some()).map(|(_, command)| command)
}

fn namespaces() -> Finding {
    let root = nix::unistd::geteuid().is_root();
    match cage::holds(Walls::Processes) {
        Ok(()) => Finding::good("PID namespaces", if root { "allowed, as root" } else { "allowed" }),
        Err(why) => {
            let means = "after a `kill -9` of the tool, what a wrapper script started may live on until the \
                         next start sweeps it";
            Finding::good("PID namespaces", why.clone()).but(Standing::Limited, means, mend_namespaces(&why))
        }
    }
}

/// The switch that is known to forbid user namespaces here, if it is set so.
pub fn mend_namespaces(why: &str) -> Option<&'static str> {
    let is = |file: &str, value: &str| fs::read_to_string(file).is_ok_and(|text| text.trim() == value);
    if is("/proc/sys/user/max_user_namespaces", "0") {
        return Some("sysctl -w user.max_user_namespaces=10000");
    }
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return Some("sysctl -w kernel.unprivileged_userns_clone=1");
    }
    if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return Some("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0");
    }
    // Containers mask /proc, which forbids a fresh one; only their own start can allow it.
    why.contains("/proc")
        .then_some("docker run --security-opt systempaths=unconfined --cap-add SYS_ADMIN ...")
}

fn ports() -> Finding {
    match Ports::take(None, &mut Vec::new()) {
        Some(ports) => {
            let first = ports.client(0).unwrap_or_default();
            Finding::good("ports", format!("a free block at 127.0.0.1:{first}"))
        }
        None => Finding::good("ports", "every block between 10000 and 30000 is in use").but(
            Standing::Missing,
            "nodes have nowhere to listen",
            Some("ss -ltnp 'sport >= 10000 and sport < 30000'"),
        ),
    }
}

/// Outgoing connections must not be given the ports of nodes that are down for a moment.
fn ephemeral_ports() -> Finding {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first: Option<u32> = text.split_whitespace().next().and_then(|number| number.parse().ok());
    let found =
        format!("outgoing connections from {}", text.split_whitespace().collect::<Vec<_>>().join(" to "));
    match first {
        Some(first) if first < PORT_MAX => Finding::good("outgoing ports", found).but(
            Standing::Limited,
            "a connection of some program may take a node's port while the node is down",
            Some("sysctl -w net.ipv4.ip_local_port_range='32768 60999'"),
        ),
        _ => Finding::good("outgoing ports", found),
    }
}

fn files() -> Finding {
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((0, 0));
    let finding = Finding::good("open files", format!("{now}, at most {most}"));
    if now >= FILES_MIN {
        return finding;
    }
    finding.but(
        Standing::Limited,
        "large clusters with many clients run out of them",
        Some("ulimit -n 20000"),
    )
}

fn cores() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let finding = Finding::good("cores", cores.to_string());
    if cores >= CORES_MIN {
        return finding;
    }
    finding.but(Standing::Limited, "runs stretch, and time bounds are judged as unknown more often", None)
}

/// How many nodes this machine carries at once, and what that rests on.
pub fn carries() -> (u16, String) {
    let ports = (BLOCK, format!("a run has {BLOCK} ports for its nodes"));
    let memory = available_kib().map(|kib| {
        let nodes = u16::try_from(kib / NODE_KIB).unwrap_or(u16::MAX);
        (nodes, format!("{} MiB of memory are available", kib / 1024))
    });
    memory.into_iter().fold(ports, |least, other| if other.0 < least.0 { other } else { least })
}

/// Memory that new processes may have: what the machine has left, or the container, where that is less.
fn available_kib() -> Option<u64> {
    let read = |file: &str| fs::read_to_string(file).ok();
    let text = read("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let machine: u64 = line.split_whitespace().next()?.parse().ok()?;
    // A container without a limit says `max`, or a number beyond any machine; both leave the machine's own.
    let container = CGROUPS.iter().find_map(|(most, used)| {
        let number = |file| read(file)?.trim().parse::<u64>().ok();
        Some(number(most)?.saturating_sub(number(used)?) / 1024)
    });
    Some(container.map_or(machine, |container| container.min(machine)))
}

fn memory() -> Finding {
    let Some(mib) = available_kib().map(|kib| kib / 1024) else {
        return Finding::good("memory", "not told by the kernel");
    };
    let finding = Finding::good("memory", format!("{mib} MiB available"));
    if mib >= MEMORY_MIN_MIB {
        return finding;
    }
    finding.but(Standing::Limited, "the kernel may kill a server, which would look like a crash", None)
}

fn disk(runs: &Path) -> Finding {
    // The folder may not exist before the first run; its nearest ancestor lies on the same disk.
    let place = std::path::absolute(runs).unwrap_or_else(|_| runs.to_path_buf());
    let existing = place.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let found = match statvfs(existing) {
        Ok(disk) => disk.blocks_available() * disk.fragment_size() / (1024 * 1024),
        Err(error) => return Finding::good("disk", format!("{}: {error}", existing.display())),
    };
    let finding = Finding::good("disk", format!("{found} MiB free for {}", place.display()));
    if found >= DISK_MIN_MIB {
        return finding;
    }
    finding.but(
        Standing::Limited,
        "servers fail to save, and refuse writes then; old run folders may go",
        None,
    )
}

/// What killed runs left is swept on the way.
fn leftovers(runs: &Path) -> Vec<Finding> {
    let told = |(folder, swept): (PathBuf, io::Result<Swept>)| {
        let what = format!("left by {}", folder.display());
        match swept {
            Ok(Swept::Killed(processes)) => Finding::good(&what, format!("ended {}", processes.join(", "))),
            Ok(Swept::Left(processes)) => Finding::good(&what, processes.join(", ")).but(
                Standing::Limited,
                "these processes of an earlier run would not end",
                None,
            ),
            Ok(Swept::Clean | Swept::Alive) => Finding::good(&what, "nothing"),
            Err(error) => Finding::good(&what, error.to_string()).but(
                Standing::Limited,
                "what it started could not be looked up",
                None,
            ),
        }
    };
    heals::sweep_all(runs).into_iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn bin(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("seedfault-doctor-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("writable");
        for (file, script) in files {
            let path = folder.join(file);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("writable");
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("ours");
        }
        folder
    }

    #[test]
    fn a_machine_without_a_server_is_told_the_command_that_installs_one() {
        let path = bin("none", &[("apt-get", "exit 1")]);
        let findings = servers(path.as_os_str());
        assert_eq!(findings[0].standing, Standing::Missing);
        assert_eq!(findings[0].mend.as_deref(), Some("apt-get install redis-server"));
        fs::remove_dir_all(path).expect("writable");
    }

    #[test]
    fn servers_are_found_with_their_versions_and_a_broken_one_is_said() {
        let path = bin(
            "some",
            &[
                ("redis-server", "echo 'Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc'"),
                ("valkey-server", "exit 3"),
            ],
        );
        fs::write(path.join("not-executable"), "").expect("writable");
        let found = servers_on(path.as_os_str());
        assert_eq!(found.len(), 2);
        assert!(found[0].path.ends_with("valkey-server") && found[0].version.is_err(), "{found:?}");
        assert_eq!(found[1].version.as_deref(), Ok("Redis server v=7.0.15"));
        assert_eq!(find(path.as_os_str(), "not-executable"), None);
        let standings: Vec<_> = servers(path.as_os_str()).into_iter().map(|f| f.standing).collect();
        assert_eq!(standings, [Standing::Limited, Standing::Good]);
        fs::remove_dir_all(path).expect("writable");
    }

    #[test]
    fn nothing_that_a_version_script_started_outlives_the_question() {
        let place = bin(
            "hang",
            &[
                ("hangs", "sleep 1001 & echo $! > ${0%/*}/pid; sleep 1002"),
                ("answers", "sleep 1003 & echo $! > ${0%/*}/pid; echo 'Redis server v=7.0.15'"),
            ],
        );
        for (script, says) in [("hangs", "no answer to --version"), ("answers", "Redis server v=7.0.15")] {
            let answer = version(&place.join(script));
            let text = answer.clone().unwrap_or_else(|why| why);
            assert!(text.starts_with(says) && answer.is_ok() == (script == "answers"), "{answer:?}");
            let pid = fs::read_to_string(place.join("pid")).expect("the script wrote it");
            // Killed is not yet gone, and whoever inherits it has still to wait for it.
            let gone = || {
                let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
                stat.is_empty() || stat.contains(") Z ")
            };
            let mut tries = (0..200).map(|_| std::thread::sleep(Duration::from_millis(10)));
            assert!(gone() || tries.any(|()| gone()), "{script} left {pid} behind");
        }
        fs::remove_dir_all(place).expect("writable");
    }

    #[test]
    fn whatever_is_not_good_says_what_follows() {
        let runs = std::env::temp_dir().join("seedfault-doctor-no-runs");
        let findings = examine(OsStr::new("/nowhere"), &runs);
        assert!(findings.len() >= 8, "{findings:?}");
        for finding in findings {
            assert!(!finding.found.is_empty(), "{finding:?}");
            assert_eq!(finding.standing == Standing::Good, finding.means.is_none(), "{finding:?}");
        }
    }
}
