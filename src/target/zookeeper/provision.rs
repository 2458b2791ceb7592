//! What a node is made of: the command that runs a server, the configuration that it is told, and its number in the
//! ensemble. Pure: the same timeline and the same way to start a server give the same bytes.
//!
//! A server rewrites its own `zoo.cfg`: at its first start it moves the members into `zoo.cfg.dynamic.<version>`, and at
//! each reconfiguration it writes the next one. One that lost what it has learned finds `zoo.cfg` as it was told at first.

use crate::env::{NodeId, NodeSpec};
use crate::target::{self, TICK_MS};
use crate::timeline::Timeline;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// What a server is told, and rewrites.
pub const ZOO_CFG: &str = "zoo.cfg";
/// Where snapshots and the log of transactions lie, and its number.
pub const DATA: &str = "data";
/// Who may do everything, also change the ensemble.
pub const SUPER: (&str, &str) = ("super", "seedfault");
/// SHA-1 of `super:seedfault`, as the server wants the digest of a super-user.
const SUPER_DIGEST: &str = "super:sMrJSb1M+Jb5fZRsxVVS+AfAsxo=";
/// How many ticks a follower may take to connect to a leader and to catch up.
const INIT_TICKS: u64 = 100;

/// What a session may wish for at most, in milliseconds.
const MAX_SESSION_MS: u32 = 10_000;

/// How a server is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Launch {
    /// A Java machine with these archives, as `-cp` takes them.
    Classes(String),
    /// The program that stands for `{server}`: it takes the path of the configuration, stays in the foreground and keeps
    /// its process id.
    Program,
}

impl Launch {
    /// How what a user named is started: an archive with what lies beside it, a folder as it is unpacked (its path ends with
    /// a slash), or else a program.
    pub fn of(server: &Path) -> Self {
        let text = server.to_string_lossy();
        if let Some(folder) = text.strip_suffix('/') {
            return Self::Classes(format!("{folder}/conf:{folder}/lib/*:{folder}/*"));
        }
        if text.ends_with(".jar") {
            let logger = server.with_file_name(LOGGER);
            return Self::Classes(format!("{text}:{}", logger.display()));
        }
        Self::Program
    }

    /// The command that tells the version.
    pub fn asks_version(&self, server: &Path) -> Vec<String> {
        match self {
            Self::Classes(class_path) => {
                let class = "org.apache.zookeeper.version.VersionInfoMain";
                ["java", "-XX:TieredStopAtLevel=1", "-cp", class_path, class].map(Into::into).to_vec()
            }
            Self::Program => vec![server.to_string_lossy().into_owned(), "--version".into()],
        }
    }
}

/// What writes the log of a server that is started from its archive.
const LOGGER: &str = "slf4j-simple.jar";

/// Where Debian's package `libzookeeper-java` puts the archive, which names all others that it needs but a logger.
pub const DEBIAN: &str = "/usr/share/java/zookeeper.jar";

/// The number by which the ensemble knows a node: 1 to 255.
pub const fn server_id(node: NodeId) -> u64 {
    node.0 as u64 + 1
}

/// The node of a number.
pub fn node_of(server_id: u64) -> Option<NodeId> {
    u16::try_from(server_id.checked_sub(1)?).ok().map(NodeId)
}

/// A member's line: where it talks with the others (as follower, and to vote) and where clients find it.
pub fn member(node: NodeId) -> String {
    let n = node.0;
    format!(
        "server.{}={{address:{n}}}:{{bus_port:{n}}}:{{second_bus_port:{n}}}:participant;{{address:{n}}}:{{port:{n}}}",
        server_id(node)
    )
}

/// The nodes at the start, by number.
pub fn ensemble(timeline: &Timeline, launch: &Launch) -> Vec<NodeSpec> {
    let members: Vec<NodeId> = (0..timeline.cluster.nodes()).map(NodeId).collect();
    members.iter().map(|node| spec(timeline, launch, *node, &members)).collect()
}

/// A node that joins later: it knows those of the start and itself, and is taught by the leader who belongs to the
/// ensemble by now.
pub fn joining(timeline: &Timeline, launch: &Launch, node: NodeId) -> NodeSpec {
    let members: Vec<NodeId> = (0..timeline.cluster.nodes()).map(NodeId).chain([node]).collect();
    spec(timeline, launch, node, &members)
}

/// A node as a member beside these others, itself among them.
pub fn spec(timeline: &Timeline, launch: &Launch, node: NodeId, members: &[NodeId]) -> NodeSpec {
    NodeSpec {
        argv: argv(launch),
        files: BTreeMap::from([
            (ZOO_CFG.to_string(), zoo_cfg(timeline, members)),
            (format!("{DATA}/myid"), format!("{}\n", server_id(node))),
        ]),
        config_files: Vec::new(),
        data_files: vec![format!("{DATA}/version-2")],
    }
}

/// The command line.
pub fn argv(launch: &Launch) -> Vec<String> {
    let mut argv = Vec::new();
    match launch {
        Launch::Program => argv.push("{server}".into()),
        Launch::Classes(class_path) => {
            argv.push("java".into());
            argv.extend(JVM.iter().map(ToString::to_string));
            argv.push(format!("-Dzookeeper.DigestAuthenticationProvider.superDigest={SUPER_DIGEST}"));
            argv.extend(["-cp".into(), class_path.clone()]);
            argv.push("org.apache.zookeeper.server.quorum.QuorumPeerMain".into());
        }
    }
    argv.push(format!("{{dir}}/{ZOO_CFG}"));
    argv
}

/// A machine that starts fast and stays small, and what a server takes from its command line alone.
const JVM: &[&str] = &[
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xshare:auto",
    "-XX:-UsePerfData",
    "-Xms24m",
    "-Xmx96m",
    // Nodes that go when they were not changed for a while.
    "-Dzookeeper.extendedTypesEnabled=true",
    "-Dznode.container.checkIntervalMs=1000",
    // KiB that a log of transactions grows by at a time; the default of 64 MiB makes copies of a folder slow.
    "-Dzookeeper.preAllocSize=1024",
    "-Dzookeeper.jmx.log4j.disable=true",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.showLogName=false",
    "-Dorg.slf4j.simpleLogger.showShortLogName=true",
    // A line for each word that it is asked.
    "-Dorg.slf4j.simpleLogger.log.org.apache.zookeeper.server.NIOServerCnxn=warn",
];

/// The configuration: what a run needs, then the timeline's settings, whose names are those of `zoo.cfg` with dashes
/// (`snap-count` is `snapCount`).
fn zoo_cfg(timeline: &Timeline, members: &[NodeId]) -> String {
    let limit = timeline.cluster.node_timeout().0.div_ceil(TICK_MS).max(2);
    let mut settings: BTreeMap<String, String> = BTreeMap::from([
        ("4lw.commands.whitelist".into(), "*".into()),
        ("admin.enableServer".into(), "false".into()),
        ("dataDir".into(), format!("{{dir}}/{DATA}")),
        ("initLimit".into(), INIT_TICKS.to_string()),
        ("maxClientCnxns".into(), "0".into()),
        // Clients that issue seldom send no pings between.
        ("maxSessionTimeout".into(), MAX_SESSION_MS.to_string()),
        ("reconfigEnabled".into(), "true".into()),
        ("standaloneEnabled".into(), "false".into()),
        ("syncLimit".into(), limit.to_string()),
        ("tickTime".into(), TICK_MS.to_string()),
    ]);
    let known = target::info(super::NAME).and_then(|info| info.settings).unwrap_or_default();
    for (name, value) in timeline.cluster.settings.0.iter().filter(|(name, _)| known.contains(&name.as_str()))
    {
        settings.insert(camel(name), value.clone());
    }
    let mut text = String::new();
    for (name, value) in settings {
        let _ = writeln!(text, "{name}={value}");
    }
    for node in members {
        let _ = writeln!(text, "{}", member(*node));
    }
    text
}

/// `snap-count` as `snapCount`.
fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let mut out = words.next().unwrap_or_default().to_string();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seed;
    use crate::time::Millis;
    use crate::timeline::{Cluster, Formation, Load, Schedule, Settings};

    fn timeline(settings: &[(&str, &str)]) -> Timeline {
        Timeline {
            seed: Seed(1),
            generator: String::new(),
            catalogue: crate::catalogue::VERSION,
            profile: "processes/1".into(),
            name: None,
            target: "zookeeper".into(),
            environment: "processes".into(),
            cluster: Cluster {
                shards: 1,
                replicas: 2,
                formation: Formation::Written,
                settings: Settings(settings.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()),
                password: false,
                acl_user: false,
                base_port: None,
            },
            load: Load::none(),
            length: Millis::secs(1),
            events: Vec::new(),
            checks: Vec::new(),
            bugs: Vec::new(),
            schedule: Schedule::default(),
        }
    }

    #[test]
    fn an_ensemble_starts_formed_and_each_server_knows_its_number() {
        let nodes = ensemble(&timeline(&[]), &Launch::Classes("x.jar".into()));
        assert_eq!(nodes.len(), 3);
        assert_eq!(nodes[2].files["data/myid"], "3\n");
        let cfg = &nodes[0].files[ZOO_CFG];
        assert_eq!(cfg, &nodes[1].files[ZOO_CFG], "all are told the same");
        assert!(cfg.contains("\nsyncLimit=10\ntickTime=100\n"), "{cfg}");
        assert!(
            cfg.ends_with(
                "server.3={address:2}:{bus_port:2}:{second_bus_port:2}:participant;{address:2}:{port:2}\n"
            ),
            "{cfg}"
        );
        assert_eq!(node_of(server_id(NodeId(4))), Some(NodeId(4)));
        assert_eq!(node_of(0), None);
    }

    #[test]
    fn settings_of_the_timeline_win_under_the_names_of_the_server() {
        let timeline =
            timeline(&[("cluster-node-timeout", "2050"), ("snap-count", "500"), ("init-limit", "7")]);
        let cfg = &ensemble(&timeline, &Launch::Program)[0].files[ZOO_CFG];
        for line in ["snapCount=500", "initLimit=7", "syncLimit=21"] {
            assert!(cfg.lines().any(|l| l == line), "{line} in {cfg}");
        }
        assert!(!cfg.contains("cluster"), "{cfg}");
    }

    #[test]
    fn a_leader_looks_as_often_for_what_it_has_to_remove_as_others_go_by() {
        let interval = format!("-Dznode.container.checkIntervalMs={}", target::CONTAINER_CHECK_MS);
        assert!(argv(&Launch::Classes("x.jar".into())).contains(&interval));
    }

    #[test]
    fn a_node_that_joins_knows_the_others_and_itself() {
        let spec = joining(&timeline(&[]), &Launch::Program, NodeId(5));
        let lines = spec.files[ZOO_CFG].lines().filter(|line| line.starts_with("server.")).count();
        assert_eq!(lines, 4);
        assert_eq!(spec.argv, ["{server}", "{dir}/zoo.cfg"]);
    }
}
