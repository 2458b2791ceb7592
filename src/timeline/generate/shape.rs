//! The cluster and the load that a seed draws. Small clusters are favoured, because what goes wrong goes wrong
//! there sooner and is understood sooner, yet the whole of the spread is reached.

use crate::catalogue::NodeSelector;
use crate::entropy::Rng;
use crate::env::Profile;
use crate::spec::{Spec, Spread};
use crate::target::{REVISIONS, consensus, group};
use crate::time::Millis;
use crate::timeline::{Cluster, Formation, KeyPrefix, Load, Pattern, Rate, Skew};

/// One drawn cluster in this many is formed by `CLUSTER MEET` instead of starting formed.
const MEET_SEEDS: u64 = 8;

pub(super) fn cluster(spec: &Spec, profile: &Profile, target: &str, rng: &mut Rng) -> Cluster {
    let (shards, replicas) = if group(target) {
        (1, followers(spec, rng))
    } else {
        size(spec.cluster.shards, spec.cluster.replicas, profile.nodes_max, rng)
    };
    let mut cluster = Cluster {
        shards,
        replicas,
        formation: spec.cluster.formation.unwrap_or(Formation::Written),
        settings: spec.cluster.settings.clone(),
        password: spec.cluster.password,
        acl_user: spec.cluster.acl_user,
        base_port: spec.cluster.base_port,
    };
    if spec.draw.is_some() {
        draw_settings(&mut cluster, target, rng);
        // Who agrees by consensus does so from the first moment; there is nothing to introduce.
        if !consensus(target) {
            let meet = rng.ratio(1, MEET_SEEDS);
            if meet && spec.cluster.formation.is_none() {
                cluster.formation = Formation::Meet;
            }
            cluster.password |= rng.ratio(1, 12);
            cluster.acl_user |= rng.ratio(1, 16);
        }
    }
    cluster
}

/// How many follow the leader of a group. One that was asked for as a single shard has as many as were asked for; shards
/// of another kind of cluster say nothing about it, and then it has three nodes, or now and then five.
fn followers(spec: &Spec, rng: &mut Rng) -> u16 {
    let Spread { low, high } = spec.cluster.replicas;
    if spec.cluster.shards == Spread::exactly(1) {
        return rng.range(u64::from(low), u64::from(high.max(low))) as u16;
    }
    if spec.draw.is_some() && rng.ratio(1, 6) { 4 } else { 2 }
}

/// Shards and replicas within both spreads. Where something is left to draw, the profile's limit is kept, unless
/// the smallest that was asked for is already beyond it.
fn size(shards: Spread<u16>, replicas: Spread<u16>, nodes_max: u16, rng: &mut Rng) -> (u16, u16) {
    let shards_room = (nodes_max / (1 + replicas.low)).clamp(shards.low, shards.high.max(shards.low));
    let chosen_shards = if shards.low >= shards_room {
        shards.low
    } else {
        let span = u64::from(shards_room - shards.low);
        shards.low
            + match rng.below(8) {
                0..=3 => 0,
                4..=6 => rng.range(1, span.min(3)),
                _ => rng.range(1, span),
            } as u16
    };
    let replicas_room =
        (nodes_max / chosen_shards).saturating_sub(1).clamp(replicas.low, replicas.high.max(replicas.low));
    let chosen_replicas = if replicas.low >= replicas_room {
        replicas.low
    } else if rng.ratio(2, 3) {
        // One replica each is what most clusters have, and where a second failure hurts most.
        1.clamp(replicas.low, replicas_room)
    } else {
        rng.range(u64::from(replicas.low), u64::from(replicas_room)) as u16
    };
    (chosen_shards, chosen_replicas)
}

/// Settings that move the moments at which things happen, and the paths that replication and recovery take.
/// One that the spec gives stays.
fn draw_settings(cluster: &mut Cluster, target: &str, rng: &mut Rng) {
    let mut set = |name: &str, value: &str| {
        if !cluster.settings.0.contains_key(name) {
            cluster.settings.0.insert(name.to_owned(), value.to_owned());
        }
    };
    // Half of the seeds keep 1000, the value that the checks' bounds are best known for.
    let timeouts = ["1000", "1000", "1000", "500", "750", "1500", "2000"];
    if target == "zookeeper" {
        set("sync-limit", rng.pick::<&str>(&["10", "10", "10", "8", "15", "20"]));
        if rng.ratio(1, 3) {
            set("snap-count", rng.pick::<&str>(&["10", "100", "1000"]));
        }
        // How many transactions a leader keeps at hand: a follower that misses more comes back by a snapshot.
        if rng.ratio(1, 3) {
            set("commit-log-count", rng.pick::<&str>(&["5", "50"]));
        }
        return;
    }
    if group(target) {
        // A tenth of the election timeout is what etcd itself takes for a heartbeat.
        let timeout = timeouts[rng.below(timeouts.len() as u64) as usize];
        set("election-timeout", timeout);
        set("heartbeat-interval", &timeout[..timeout.len() - 1]);
        // A follower that was away for longer than the log that is kept comes back by a snapshot.
        if rng.ratio(1, 3) {
            set("snapshot-count", rng.pick::<&str>(&["10", "100", "1000"]));
        }
        if rng.ratio(1, 4) {
            set("pre-vote", "true");
        }
        return;
    }
    set("cluster-node-timeout", timeouts[rng.below(timeouts.len() as u64) as usize]);
    if consensus(target) {
        return;
    }
    if rng.ratio(1, 4) {
        set("appendonly", "yes");
        if rng.ratio(1, 3) {
            set("appendfsync", "always");
        }
    }
    // The smallest backlog makes a short absence a full sync.
    if rng.ratio(1, 6) {
        set("repl-backlog-size", "16384");
    }
    // 5 s is what the servers themselves take; a run takes none, so that a start is over at once.
    if rng.ratio(1, 3) {
        set("repl-diskless-sync-delay", "5");
    }
    if rng.ratio(1, 8) {
        set("repl-diskless-sync", "no");
    }
    if rng.ratio(1, 8) {
        set("repl-diskless-load", "swapdb");
    }
    if rng.ratio(1, 8) {
        set("cluster-require-full-coverage", "no");
    }
    if rng.ratio(1, 4) {
        set("cluster-allow-replica-migration", "no");
    } else if rng.ratio(1, 6) {
        set("cluster-migration-barrier", rng.pick::<&str>(&["0", "2"]));
    }
    if rng.ratio(1, 8) {
        set("cluster-replica-validity-factor", rng.pick::<&str>(&["0", "0", "1", "100"]));
    }
}

/// A load that never rests. `WAITAOF` is not drawn: redis has it from 7.2 on, and Debian's is 7.0.
pub(super) fn load(cluster: &Cluster, target: &str, rng: &mut Rng) -> Load {
    let modest = consensus(target);
    let mut load = Load {
        clients: rng.range(2, 12) as u16,
        rate: Rate(*rng.pick(if modest { &[50, 100, 200, 400] } else { &[100, 300, 300, 800, 2000] })),
        pattern: *rng.pick(Pattern::ALL),
        mix: None,
        keys: *rng.pick(&[8, 50, 200, 1000]),
        skew: *rng.pick(Skew::ALL),
        shards: Vec::new(),
        value_bytes: *rng.pick(&[16, 64, 64, 256, 2048]),
        pipeline: 1,
        transactions: 0,
        wait: 0,
        waitaof: None,
        timeout: Millis(*rng.pick(&[500, 1000, 1000, 2000])),
        closed: rng.ratio(1, 10),
        stop: None,
        key_prefix: KeyPrefix::default(),
        watchers: 0,
        sessions: 0,
        tellers: 0,
        leases: 0,
        watch_streams: false,
        guests: 0,
        queuers: 0,
        containers: 0,
    };
    if REVISIONS.contains(&target) {
        load.watchers = rng.range(1, 4) as u16;
        // Enough to leave a follower behind the log that its leader keeps, at times.
        load.rate = Rate(*rng.pick(&[100, 300, 1000, 2000]));
        load.value_bytes = *rng.pick(&[16, 64, 64, 256]);
    }
    if modest {
        return load;
    }
    load.pipeline = *rng.pick(&[1, 1, 1, 4, 16]);
    load.transactions = *rng.pick(&[0, 0, 20, 200]);
    if cluster.replicas > 0 && rng.ratio(1, 4) {
        load.wait = rng.range(1, u64::from(cluster.replicas)) as u8;
    }
    // Large values, so that a full sync takes long enough for something to happen in it.
    if rng.ratio(1, 16) {
        load.value_bytes = 16_384;
    }
    load
}

/// The node that begins as the primary of a shard, for a timeline that strikes while there are no roles yet.
pub(super) fn first_node(cluster: &Cluster, shard: u16, member: u16) -> NodeSelector {
    NodeSelector::Node(cluster.node(shard, member))
}
