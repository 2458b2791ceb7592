//! What a node is made of: its command line, `server.conf`, and the `nodes.conf` that makes it wake up as a
//! member of a formed cluster. Pure: the same timeline gives the same bytes.
//!
//! Both servers read the same file. valkey 8.0 takes the shard id as an auxiliary field behind an empty host
//! name (`ip:port@bus,,shard-id=<40 hex digits>`, `clusterLoadConfig` in `cluster_legacy.c`) and draws a random
//! one for each node where it is missing; redis 7.0 reads the host name and passes over what follows. Node ids
//! come from the timeline's key, also where the cluster forms by `MEET`: a node that finds only itself in
//! `nodes.conf` starts alone, under that id.

use crate::entropy::Entropy;
use crate::env::{LIVE, NodeId, NodeSpec};
use crate::run::world::{ACL_USER, PASSWORD};
use crate::timeline::{Formation, Settings, Timeline};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The server's settings.
pub const SERVER_CONF: &str = "server.conf";
/// The cluster's configuration, which the server itself rewrites.
pub const NODES_CONF: &str = "nodes.conf";

/// The cluster node id that a node starts with.
pub fn node_id(timeline: &Timeline, node: NodeId) -> String {
    hex40(&timeline.key().child("node-id").nth(u64::from(node.0)))
}

fn shard_id(timeline: &Timeline, shard: u16) -> String {
    hex40(&timeline.key().child("shard-id").nth(u64::from(shard)))
}

fn hex40(entropy: &Entropy) -> String {
    let mut rng = entropy.rng();
    (0..40).map(|_| char::from(b"0123456789abcdef"[rng.below(16) as usize])).collect()
}

/// The nodes at the start, by number.
pub fn cluster(timeline: &Timeline) -> Vec<NodeSpec> {
    (0..timeline.cluster.nodes())
        .map(|number| {
            let node = NodeId(number);
            match timeline.cluster.formation {
                Formation::Written => spec(timeline, nodes_conf(timeline, node)),
                Formation::Meet => single(timeline, node),
            }
        })
        .collect()
}

/// A node that knows only itself.
pub fn single(timeline: &Timeline, node: NodeId) -> NodeSpec {
    let id = node_id(timeline, node);
    let text = format!(
        "{id} {} myself,master - 0 0 0 connected\nvars currentEpoch 0 lastVoteEpoch 0\n",
        place(node, &hex40(&timeline.key().child("shard-id-alone").nth(u64::from(node.0))))
    );
    spec(timeline, text)
}

fn spec(timeline: &Timeline, nodes_conf: String) -> NodeSpec {
    NodeSpec {
        argv: vec!["{server}".into(), format!("{{dir}}/{SERVER_CONF}")],
        files: BTreeMap::from([
            (SERVER_CONF.to_string(), server_conf(timeline)),
            (NODES_CONF.to_string(), nodes_conf),
        ]),
        config_files: vec![NODES_CONF.into()],
        data_files: vec!["dump.rdb".into(), "appendonlydir".into()],
    }
}

/// Where a node is, as `nodes.conf` writes it; the environment fills the addresses in.
fn place(node: NodeId, shard_id: &str) -> String {
    let n = node.0;
    format!("{{address:{n}}}:{{port:{n}}}@{{bus_port:{n}}},,shard-id={shard_id}")
}

/// The formed cluster as `myself` sees it. Primary *s* has the configuration epoch *s* + 1.
fn nodes_conf(timeline: &Timeline, myself: NodeId) -> String {
    let cluster = &timeline.cluster;
    let mut text = String::new();
    for shard in 0..cluster.shards {
        let primary = NodeId(cluster.node(shard, 0));
        for member in 0..=cluster.replicas {
            let node = NodeId(cluster.node(shard, member));
            let me = if node == myself { "myself," } else { "" };
            let id = node_id(timeline, node);
            let place = place(node, &shard_id(timeline, shard));
            let epoch = shard + 1;
            let _ = if member == 0 {
                let (first, last) = cluster.slots(shard);
                writeln!(text, "{id} {place} {me}master - 0 0 {epoch} connected {first}-{last}")
            } else {
                let of = node_id(timeline, primary);
                writeln!(text, "{id} {place} {me}slave {of} 0 0 {epoch} connected")
            };
        }
    }
    let _ = writeln!(text, "vars currentEpoch {} lastVoteEpoch 0", cluster.shards);
    text
}

/// `server.conf`: what a run needs, then the timeline's settings.
fn server_conf(timeline: &Timeline) -> String {
    let cluster = &timeline.cluster;
    // In this order: a log file is opened when its line is read.
    let mut text = String::from(
        "bind {address}\nport {port}\ndaemonize no\nprotected-mode no\n\
         dir \"{dir}\"\nlogfile \"{dir}/server.log\"\n\
         cluster-enabled yes\ncluster-config-file nodes.conf\n",
    );
    let mut settings: BTreeMap<&str, &str> = BTreeMap::from([
        ("appendonly", "no"),
        // A crash shall be reported at once, not after a test of all memory.
        ("crash-memcheck-enabled", "no"),
        // Sabotage crashes a server by DEBUG, which `local` allows over the loopback interface alone.
        ("enable-debug-command", if timeline.environment == LIVE.name { "yes" } else { "local" }),
        ("io-threads", "1"),
        ("loglevel", "notice"),
        // The delay waits for more replicas to come, and costs 5 s of every start.
        ("repl-diskless-sync-delay", "0"),
        ("save", ""),
    ]);
    let node_timeout = cluster.node_timeout().0.to_string();
    settings.insert("cluster-node-timeout", &node_timeout);
    for (name, value) in &cluster.settings.0 {
        // A file that has one is refused when it is read; what holds here rests on no file.
        if Settings::refuse(name, value).is_none() {
            settings.insert(name, value);
        }
    }
    for (name, value) in settings {
        let value = if value.is_empty() { "\"\"" } else { value };
        let _ = writeln!(text, "{name} {value}");
    }
    if cluster.password {
        let _ = writeln!(text, "requirepass {PASSWORD}\nmasterauth {PASSWORD}");
    }
    if cluster.acl_user {
        let _ = writeln!(text, "user {ACL_USER} on >{PASSWORD} ~* &* +@all");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seed;
    use crate::time::Millis;
    use crate::timeline::{Cluster, Load, Schedule};

    fn timeline(change: impl FnOnce(&mut Cluster)) -> Timeline {
        let mut cluster = Cluster {
            shards: 3,
            replicas: 1,
            formation: Formation::Written,
            settings: Settings::default(),
            password: false,
            acl_user: false,
            base_port: None,
        };
        change(&mut cluster);
        Timeline {
            seed: Seed(1),
            generator: String::new(),
            catalogue: crate::catalogue::VERSION,
            profile: "processes/1".into(),
            name: None,
            target: "valkey".into(),
            environment: "processes".into(),
            cluster,
            load: Load::none(),
            length: Millis::secs(1),
            events: Vec::new(),
            checks: Vec::new(),
            bugs: Vec::new(),
            schedule: Schedule::default(),
        }
    }

    #[test]
    fn a_cluster_starts_formed() {
        let nodes = cluster(&timeline(|_| {}));
        assert_eq!(nodes.len(), 6);
        let conf = &nodes[1].files[NODES_CONF];
        let lines: Vec<&str> = conf.lines().collect();
        assert_eq!(lines.len(), 7);
        assert!(lines[0].ends_with(" master - 0 0 1 connected 0-5460"), "{conf}");
        let id = lines[0].split(' ').next().expect("an id");
        assert_eq!(id.len(), 40);
        assert!(lines[1].ends_with(&format!(" myself,slave {id} 0 0 1 connected")), "{conf}");
        assert!(lines[2].contains(" {address:2}:{port:2}@{bus_port:2},,shard-id="), "{conf}");
        assert!(lines[4].ends_with(" 3 connected 10922-16383"), "{conf}");
        assert_eq!(lines[6], "vars currentEpoch 3 lastVoteEpoch 0");
    }

    #[test]
    fn ids_are_the_same_for_the_same_seed_and_differ_between_nodes() {
        let timeline = timeline(|_| {});
        assert_eq!(cluster(&timeline), cluster(&timeline));
        assert_ne!(node_id(&timeline, NodeId(0)), node_id(&timeline, NodeId(1)));
    }

    #[test]
    fn a_node_that_will_be_met_knows_only_itself_under_its_own_id() {
        let timeline = timeline(|cluster| cluster.formation = Formation::Meet);
        let nodes = cluster(&timeline);
        let conf = &nodes[2].files[NODES_CONF];
        assert_eq!(conf.lines().count(), 2);
        assert!(conf.starts_with(&node_id(&timeline, NodeId(2))));
    }

    #[test]
    fn settings_of_the_timeline_win_and_those_of_the_run_stay() {
        let timeline = timeline(|cluster| {
            cluster.settings.0.insert("save".into(), "900 1".into());
            cluster.settings.0.insert("appendonly".into(), "yes".into());
            cluster.settings.0.insert("port".into(), "1".into());
            cluster.settings.0.insert("x y".into(), "1".into());
        });
        let conf = &cluster(&timeline)[0].files[SERVER_CONF];
        assert!(conf.contains("\nsave 900 1\n"), "{conf}");
        assert!(conf.contains("\nappendonly yes\n"), "{conf}");
        assert!(!conf.contains("appendonly no"), "{conf}");
        assert_eq!(conf.matches("\nport ").count(), 1);
    }

    #[test]
    fn a_password_is_asked_of_clients_and_given_to_primaries() {
        let timeline = timeline(|cluster| (cluster.password, cluster.acl_user) = (true, true));
        let conf = &cluster(&timeline)[0].files[SERVER_CONF];
        for line in ["requirepass seedfault", "masterauth seedfault", "user fuzz on >seedfault ~* &* +@all"] {
            assert!(conf.lines().any(|l| l == line), "{line} in {conf}");
        }
    }
}
