//! What administrators do to a cluster that runs: `config_change`, `rolling_restart`, `burst`, `bump_epoch`.

use super::failover::take_over;
use crate::env::NodeId;
use crate::run::operation::OpIo;
use crate::run::resp::Reply;
use crate::target::operation::{BumpEpoch, ConfigChange, FailoverMode, RollingRestart, ValueClass};
use crate::target::valkey::hands::{self, Done, draw, fail, is_up, live, live_primary, live_replicas, skip};
use crate::time::Millis;

/// Settings whose change would make the run or its verdict mean something else: how we reach and watch the
/// servers, who may be promoted and when, what bounds rest on. A trailing `*` stands for any end.
const DENIED: &[&str] = &[
    "acl*",
    "aof-load-truncated",
    "bind*",
    "client-*",
    "cluster-*",
    "crash-*",
    "daemonize",
    "databases",
    "dbfilename",
    "dir",
    "enable-*",
    "io-threads*",
    "key-load-delay",
    "loglevel",
    "logfile",
    "master*",
    "maxclients",
    "maxmemory",
    "maxmemory-clients",
    "maxmemory-policy",
    "min-replicas-*",
    "min-slaves-*",
    "oom-score-adj*",
    "pidfile",
    "port",
    "primary*",
    "protected-mode",
    "rdb-key-save-delay",
    "rdma*",
    "repl-diskless-sync-*",
    "repl-ping-*",
    "repl-timeout",
    "replica-announce*",
    "replica-read-only",
    "replica-serve-stale-data",
    "requirepass",
    "save",
    "shutdown-*",
    "slave*",
    "socket-mark-id",
    "supervised",
    "syslog*",
    "timeout",
    "tls*",
    "unixsocket*",
    "watchdog-period",
];

/// Settings with words for values, least first.
const WORDS: &[(&str, &[&str])] = &[
    ("appendfsync", &["no", "everysec", "always"]),
    ("repl-diskless-load", &["disabled", "on-empty-db", "swapdb"]),
    ("sanitize-dump-payload", &["no", "clients", "yes"]),
];

fn denied(name: &str) -> bool {
    DENIED.iter().any(|entry| entry.strip_suffix('*').map_or(*entry == name, |start| name.starts_with(start)))
}

/// The value of this class for a setting that stands at `now`; `None` where the class means nothing for it.
fn value(name: &str, now: &str, class: ValueClass) -> Option<String> {
    if let Some((_, words)) = WORDS.iter().find(|(setting, _)| *setting == name) {
        let place = words.iter().position(|word| *word == now)?;
        let to = match class {
            ValueClass::Least | ValueClass::Off => 0,
            ValueClass::Most | ValueClass::On => words.len() - 1,
            ValueClass::Double => (place + 1) % words.len(),
            ValueClass::Half => place / 2,
        };
        return Some(words[to].into());
    }
    if now == "yes" || now == "no" {
        let on = match class {
            ValueClass::Least | ValueClass::Off => false,
            ValueClass::Most | ValueClass::On => true,
            ValueClass::Double | ValueClass::Half => now == "no",
        };
        return Some(if on { "yes" } else { "no" }.into());
    }
    let number: i64 = now.parse().ok()?;
    let to = match class {
        ValueClass::Least | ValueClass::Off => 0,
        ValueClass::On => 1,
        ValueClass::Most => i64::from(i32::MAX),
        ValueClass::Double => number.saturating_mul(2),
        ValueClass::Half => number / 2,
    };
    Some(to.to_string())
}

/// Name and value of every setting that may be changed, sorted, out of the answer to `CONFIG GET *`.
fn changeable(answer: &Reply) -> Vec<(String, String)> {
    let Reply::Array(items) = answer else { return Vec::new() };
    let mut pairs: Vec<(String, String)> = items
        .chunks_exact(2)
        .filter_map(|pair| Some((pair[0].text()?.to_string(), pair[1].text()?.to_string())))
        .filter(|(name, now)| !denied(name) && value(name, now, ValueClass::Most).is_some())
        .collect();
    pairs.sort();
    pairs
}

pub async fn config_change(op: OpIo, fields: ConfigChange) -> Done {
    let node = live(&op, &fields.node)?;
    op.resolved(node);
    let settings = changeable(&op.tell(node, &["CONFIG", "GET", "*"]).await?);
    if settings.is_empty() {
        return skip(format!("{node} reports no setting that may be changed"));
    }
    let (name, now) = &settings[usize::from(fields.rank) % settings.len()];
    let to = value(name, now, fields.value).expect("the list holds no other settings");
    op.detail(format!("{name} of {node}: {now} to {to}"));
    op.tell(node, &["CONFIG", "SET", name, &to]).await?;
    op.step(format!("{node} took {name} {to}"));
    Ok(())
}

/// Replicas first, then primaries, each after one of its replicas has taken over.
pub async fn rolling_restart(op: OpIo, fields: RollingRestart) -> Done {
    let shards: Vec<u16> = op.world.borrow().primaries.keys().copied().collect();
    let mut restarted = 0;
    for shard in &shards {
        for replica in live_replicas(&op, *shard) {
            restart(&op, replica).await?;
            restarted += 1;
            op.io.sleep(fields.gap).await;
        }
    }
    for shard in &shards {
        let Ok(primary) = hands::live_primary(&op, *shard) else {
            op.step(format!("shard {shard} has no live primary and is passed over"));
            continue;
        };
        let Some(replica) = draw(&op, &format!("replica-{shard}"), &live_replicas(&op, *shard)) else {
            op.step(format!("{primary} has no replica to take over and is passed over"));
            continue;
        };
        take_over(&op, *shard, replica, FailoverMode::Default, op.io.after(Millis(10_000))).await?;
        restart(&op, primary).await?;
        restarted += 1;
        op.io.sleep(fields.gap).await;
    }
    op.detail(format!("{restarted} nodes restarted"));
    if restarted == 0 { fail("no node could be restarted") } else { Ok(()) }
}

/// Ends a replica, starts it again, and waits until it is linked to the primary of its shard.
async fn restart(op: &OpIo, node: NodeId) -> Result<(), String> {
    op.resolved(node);
    hands::end(op, node).await?;
    if is_up(op, node) {
        return Err(format!("another event started {node} meanwhile"));
    }
    hands::start(op, node).await?;
    let deadline = op.io.after(hands::LINK_TIMEOUT);
    hands::retry(op, deadline, hands::LOOK, async || {
        let says = hands::replication(op, node).await?;
        if says.linked { Ok(()) } else { Err(format!("{node} is not linked again")) }
    })
    .await?;
    op.step(format!("{node} restarted and linked"));
    Ok(())
}

/// Not while slots come or go: who gives slots at a raised epoch, of which the taker has not heard, wins them back on
/// the taker alone (see `slots::turn`).
pub async fn bump_epoch(op: OpIo, fields: BumpEpoch) -> Done {
    let node = live_primary(&op, fields.shard)?;
    if op.world.borrow().gives_or_takes(node) {
        return skip(format!("slots of {node} are on the move"));
    }
    op.resolved(node);
    op.detail(format!("{node} gets CLUSTER BUMPEPOCH"));
    let answer = hands::text(&op, node, &["CLUSTER", "BUMPEPOCH"]).await?;
    op.step(format!("{node} answered {answer}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_the_run_rests_on_are_left_alone() {
        let pairs = [
            ("timeout", "0"),
            ("cluster-node-timeout", "1000"),
            ("slave-priority", "100"),
            ("hz", "10"),
            ("activerehashing", "yes"),
            ("appendfsync", "everysec"),
            ("proc-title-template", "{title}"),
        ];
        let bulk = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
        let answer = Reply::Array(pairs.iter().flat_map(|(name, now)| [bulk(name), bulk(now)]).collect());
        let names: Vec<String> = changeable(&answer).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["activerehashing", "appendfsync", "hz"]);
    }

    #[test]
    fn values_follow_their_class() {
        for (name, now, class, to) in [
            ("hz", "10", ValueClass::Double, "20"),
            ("hz", "10", ValueClass::Half, "5"),
            ("hz", "10", ValueClass::Most, "2147483647"),
            ("lazyfree-lazy-expire", "no", ValueClass::On, "yes"),
            ("lazyfree-lazy-expire", "no", ValueClass::Half, "yes"),
            ("appendfsync", "everysec", ValueClass::Most, "always"),
            ("appendfsync", "always", ValueClass::Double, "no"),
        ] {
            assert_eq!(value(name, now, class).as_deref(), Some(to), "{name} {now} {class}");
        }
        assert_eq!(value("latency-tracking-info-percentiles", "50 99", ValueClass::Least), None);
    }
}
