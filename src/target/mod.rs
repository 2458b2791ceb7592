//! What is tested: one folder per system, and one line of [`TARGETS`]. `operation` is the vocabulary that the targets
//! share.
//!
//! A target is a kind of cluster. Those with slots are made of shards, each a primary and its replicas. One of a single
//! consensus group is seen as one shard that owns every slot: its leader is the primary, who follows is a replica, the
//! term is the epoch; so that the same selectors, operations, faults and checks speak of both.

pub mod embedded;
#[cfg(feature = "cli")]
pub mod etcd;
#[cfg(feature = "cli")]
mod group;
pub mod hands;
pub mod operation;
pub mod valkey;
#[cfg(feature = "cli")]
pub mod zookeeper;

#[cfg(feature = "cli")]
use crate::run::operation::Target;
#[cfg(feature = "cli")]
use std::path::Path;
#[cfg(feature = "cli")]
use std::rc::Rc;

/// How a target's nodes come to hold the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// A primary acknowledges before its replicas have it: documented loss may follow a failover.
    Asynchronous,
    /// What is acknowledged is in the log of a majority.
    Consensus,
}

/// What is known of a target before anything runs. Pure data, the same on every machine.
#[derive(Clone, Copy, Debug)]
pub struct TargetInfo {
    pub name: &'static str,
    pub summary: &'static str,
    /// Where its nodes live unless something else is asked for.
    pub environment: &'static str,
    /// The programs that its nodes are, as they are called on `PATH`, the preferred first; none where there are none.
    pub servers: &'static [&'static str],
    /// How to come by one.
    pub install: &'static str,
    pub replication: Replication,
    /// One group of nodes without slots.
    pub group: bool,
    /// The settings that a scenario may give its servers; any that is not the run's own where there is no list.
    pub settings: Option<&'static [&'static str]>,
}

/// What a target calls the roles of its nodes, and the number of a reign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    pub primary: &'static str,
    pub replica: &'static str,
    pub epoch: &'static str,
    /// One group of nodes without slots.
    pub group: bool,
}

/// Every target.
pub const TARGETS: &[&TargetInfo] = &[
    &TargetInfo {
        name: "valkey",
        summary: "real valkey-server or redis-server processes",
        environment: "exact",
        servers: &["valkey-server", "redis-server"],
        install: "Debian: `apt-get install redis-server`, or `valkey-server` from backports",
        replication: Replication::Asynchronous,
        group: false,
        settings: None,
    },
    &TargetInfo {
        name: "embedded",
        summary: "an in-process cluster with the same slot map, in virtual time; needs nothing installed",
        environment: "sim",
        servers: &[],
        install: "",
        replication: Replication::Consensus,
        group: false,
        settings: None,
    },
    &TargetInfo {
        name: "etcd",
        summary: "real etcd processes, 3.4 to 3.6: one Raft group",
        environment: "live",
        servers: &["etcd"],
        install: "Debian: `apt-get install etcd-server`",
        replication: Replication::Consensus,
        group: true,
        settings: Some(&[
            "auto-compaction-mode",
            "auto-compaction-retention",
            "election-timeout",
            "experimental-watch-progress-notify-interval",
            "heartbeat-interval",
            "max-request-bytes",
            "max-txn-ops",
            "pre-vote",
            "quota-backend-bytes",
            "snapshot-count",
            "strict-reconfig-check",
        ]),
    },
    &TargetInfo {
        name: "zookeeper",
        summary: "real ZooKeeper servers, 3.5 and later: one ensemble",
        environment: "live",
        servers: &["/usr/share/java/zookeeper.jar"],
        install: "Debian: `apt-get install zookeeper`",
        replication: Replication::Consensus,
        group: true,
        settings: Some(&[
            "commit-log-count",
            "force-sync",
            "global-outstanding-limit",
            "init-limit",
            "max-client-cnxns",
            "max-session-timeout",
            "min-session-timeout",
            "snap-count",
            "sync-limit",
        ]),
    },
];

/// ZooKeeper's least unit of time in a run, in which its limits are counted.
pub const TICK_MS: u64 = 100;

/// How often a leader of ZooKeeper looks in a run for nodes that it has to remove.
pub const CONTAINER_CHECK_MS: u64 = 1000;

/// The targets that offer what any cluster can do or suffer.
pub const ALL: &[&str] = &["valkey", "embedded", "etcd", "zookeeper"];
/// Those whose nodes are processes.
pub const REAL: &[&str] = &["valkey", "etcd", "zookeeper"];
/// Those whose primary, or leader, can be told to hand over.
pub const MOVED: &[&str] = &["valkey", "embedded", "etcd"];
/// Those whose keys lie in slots that move.
pub const SLOTTED: &[&str] = &["valkey", "embedded"];
/// Those whose members come and go while they run.
pub const MEMBERS: &[&str] = &["valkey", "etcd", "zookeeper"];
/// Those with a log of revisions that is compacted.
pub const REVISIONS: &[&str] = &["etcd"];
/// Those with members that have no vote until they are promoted, and whose members are replaced by new ones.
pub const LEARNERS: &[&str] = &["etcd"];
/// Those whose members are told by a list that a change of it must fit.
pub const RECONFIGURED: &[&str] = &["zookeeper"];
/// Those with watches on a tree of nodes.
pub const TREES: &[&str] = &["zookeeper"];
/// Those that can be harmed behind their backs.
pub const HARMED: &[&str] = &["valkey", "etcd"];
/// Those that speak the Redis Cluster protocol.
pub const VALKEY: &[&str] = &["valkey"];

/// The target of this name, whose nodes are processes of this server, which says this of its version.
#[cfg(feature = "cli")]
pub fn real(name: &str, server: &Path, version: &str) -> Option<Rc<dyn Target>> {
    match name {
        valkey::Valkey::NAME => {
            Some(Rc::new(valkey::Valkey { kind: valkey::Server::from_version(version)?.kind }))
        }
        etcd::NAME => etcd::version(version).map(|_| Rc::new(etcd::Etcd) as Rc<dyn Target>),
        zookeeper::NAME => {
            zookeeper::version(version).map(|_| Rc::new(zookeeper::Zookeeper::new(server)) as Rc<dyn Target>)
        }
        _ => None,
    }
}

/// The target whose server says this for `--version`, or why no run can do with that one. Nothing for what is no server.
#[cfg(feature = "cli")]
pub fn of_version(version: &str) -> Option<Result<&'static TargetInfo, String>> {
    if let Some(server) = valkey::Server::from_version(version) {
        return Some(server.unfit().map_or(info(valkey::Valkey::NAME).ok_or_else(String::new), Err));
    }
    let name = match (etcd::version(version), zookeeper::version(version)) {
        (Some(_), _) => etcd::NAME,
        (_, Some(_)) => zookeeper::NAME,
        _ => return None,
    };
    Some(info(name).ok_or_else(String::new))
}

/// The command by which a server that a user names tells its version.
#[cfg(feature = "cli")]
pub fn asks_version(server: &Path) -> Vec<String> {
    zookeeper::provision::Launch::of(server).asks_version(server)
}

/// The words of the target of this name.
pub fn words(name: &str) -> Words {
    let group = group(name);
    let epoch = if name == "etcd" { "term" } else { "epoch" };
    let (primary, replica) = if group { ("leader", "follower") } else { ("primary", "replica") };
    Words { primary, replica, epoch, group }
}

/// What a line of a server's log says without its clock, and what it means in plain words, where that is known.
pub fn meaning<'l>(target: &str, line: &'l str) -> (&'l str, Option<&'static str>) {
    let (said, meanings): (&str, &[(&str, &'static str)]) = match target {
        "valkey" => (valkey::log::said(line), valkey::log::MEANINGS),
        #[cfg(feature = "cli")]
        "etcd" => (etcd::log::said(line), etcd::log::MEANINGS),
        #[cfg(feature = "cli")]
        "zookeeper" => (zookeeper::log::said(line), zookeeper::log::MEANINGS),
        _ => (line, &[]),
    };
    (said, meanings.iter().find(|(part, _)| line.contains(part)).map(|(_, meaning)| *meaning))
}

/// What is known of the target of this name.
pub fn info(name: &str) -> Option<&'static TargetInfo> {
    TARGETS.iter().copied().find(|info| info.name == name)
}

/// Whether what this target acknowledges is in the log of a majority.
pub fn consensus(name: &str) -> bool {
    info(name).is_some_and(|info| info.replication == Replication::Consensus)
}

/// Whether this target is one group of nodes.
pub fn group(name: &str) -> bool {
    info(name).is_some_and(|info| info.group)
}
