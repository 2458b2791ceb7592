//! `lease`: what is kept alive does not expire, what is abandoned does, and a fencing token never goes back.
//!
//! etcd's leases (etcd documentation, *Interacting with etcd*, leases; *Lease API guarantees*), `ZooKeeper`'s ephemeral
//! nodes (`ZooKeeper` Programmer's Guide; a session is the lease), and locks with fencing tokens (Kleppmann, *How to
//! do distributed locking*, 2016). A lease lives for its TTL from the last time it was refreshed, so it is alive for
//! sure until the call of its last acknowledged refresh plus the TTL, and gone for sure after the end of the last
//! attempt plus the TTL, once more for each change of leader since (a new leader extends all leases), plus two
//! seconds of slack. In between anything may be seen.
//!
//! Operations, with times: `grant` of a TTL in seconds, answered `[lease, ttl]`; `keep-alive` of a lease (refused
//! with the error `"not-found"`, or answered 0 or null: it is gone); `revoke` of a lease; `put` with a key of
//! `[value, lease]`; `read` of a key, null for gone; `leader-change` as it is seen. `acquire` of a key, answered with
//! the token; `fenced-write` with a key of `[value, token]`. Keys that are put more than once, or `delete`d, are not
//! judged.
//!
//! Anomalies: `expired-early`, `not-expired` (also after a revoke), `token-order` (a later holder has no higher
//! token), `fenced-write` (a write was accepted after one with a higher token).

use super::{Model, Unfit};
use crate::objects::{ident::Idents, names::Names, report::Report};
use crate::{Budget, History, Op, Options, Outcome, Value, Verdict};
use rustc_hash::FxHashMap;

pub const MODEL: Model = Model {
    name: "lease",
    claim: "a lease that is kept alive does not expire, an abandoned one does, and fencing tokens grow",
    judge,
};

const SECOND: u64 = 1_000_000_000;
/// For the loop that looks for expired leases, and for the proposal that revokes them.
const SLACK: u64 = 2 * SECOND;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Grant,
    KeepAlive,
    Revoke,
    Put,
    Delete,
    Read,
    LeaderChange,
    Acquire,
    FencedWrite,
}

/// What is known of one lease; times in nanoseconds, with the operation that each comes from.
#[derive(Clone, Copy, Debug)]
struct Lease {
    ttl: u64,
    /// Alive for sure until then.
    alive: (u64, usize),
    /// The end of the last attempt to refresh it; `None`: it may be refreshed at any time.
    last: Option<(u64, usize)>,
    /// The first attempt to revoke it, and the first that was acknowledged.
    revoked: Option<u32>,
    gone: Option<usize>,
}

fn judge(history: &History, _: &Options, _: &Budget) -> Result<Verdict, Unfit> {
    let names = Names::of(history, "grant, keep-alive, revoke, put, read, acquire, fenced-write", |f| {
        Some(match f {
            "grant" => Role::Grant,
            "keep-alive" | "keepalive" | "refresh" => Role::KeepAlive,
            "revoke" | "close-session" => Role::Revoke,
            "put" | "create-ephemeral" => Role::Put,
            "delete" => Role::Delete,
            "read" | "get" | "exists" => Role::Read,
            "leader-change" => Role::LeaderChange,
            "acquire" => Role::Acquire,
            "fenced-write" => Role::FencedWrite,
            _ => return None,
        })
    })?;
    let mut report =
        Report::new(history, "lease: the bounds of every lease's life; the order of fencing tokens");
    let mut idents = Idents::default();
    let leases = leases(history, &names, &mut idents)?;
    let changes: Vec<u64> = history
        .ops
        .iter()
        .filter(|op| names.role(op) == Some(Role::LeaderChange))
        .filter_map(|op| op.time_call)
        .collect();
    refused(&mut report, history, &names, &mut idents, &leases);
    let reads = reads(&mut report, history, &names, (&mut idents, &leases, &changes));
    tokens(&mut report, history, &names, &mut idents)?;
    report.note("an abandoned lease is given two seconds beyond its time");
    let looked_at = format!("{} leases, {reads} reads of what hangs on them", leases.len());
    Ok(report.verdict(looked_at, "no lease expired early, none outlived its time, and tokens grew"))
}

/// When an operation began and ended.
fn times(history: &History, place: usize) -> Result<(u64, u64), Unfit> {
    let op = &history.ops[place];
    let call = op.time_call.ok_or_else(|| Unfit(format!("leases need times: {}", history.tell(place))))?;
    Ok((call, op.time_end.unwrap_or(u64::MAX)))
}

fn is_gone(history: &History, op: &Op) -> bool {
    let gone = |text: &str| matches!(text.trim_start_matches(':'), "not-found" | "expired" | "gone");
    match op.outcome {
        Outcome::Ok => op.output.is_nil() || op.output.as_int() == Some(0),
        Outcome::Fail => history.arena.str_of(op.error).is_some_and(gone),
        Outcome::Info => false,
    }
}

fn leases(
    history: &History,
    names: &Names<Role>,
    idents: &mut Idents,
) -> Result<FxHashMap<u32, Lease>, Unfit> {
    let arena = &history.arena;
    let mut leases = FxHashMap::default();
    for (place, op) in history.ops.iter().enumerate() {
        let role = names.role(op);
        let refresh = role == Some(Role::KeepAlive) && !is_gone(history, op) && op.may_have_happened();
        if role == Some(Role::Grant) && op.is_ok() {
            let said = arena.items_of(op.output);
            let Some([lease, ttl]) = said else {
                return Err(Unfit(format!("a grant is answered with [lease, ttl]: {}", history.tell(place))));
            };
            let ttl = ttl.as_int().and_then(|ttl| u64::try_from(ttl).ok()).unwrap_or(0) * SECOND;
            let (call, end) = times(history, place)?;
            let (alive, last) = ((call + ttl, place), Some((end, place)));
            leases.insert(idents.of(arena, *lease), Lease { ttl, alive, last, revoked: None, gone: None });
        }
        if !refresh && role != Some(Role::Revoke) {
            continue;
        }
        let Some(lease) = leases.get_mut(&idents.of(arena, op.input)) else { continue };
        if role == Some(Role::Revoke) && op.may_have_happened() {
            lease.revoked.get_or_insert(op.call);
            if op.is_ok() {
                lease.gone.get_or_insert(place);
            }
        }
        if refresh {
            let (call, end) = times(history, place)?;
            if op.is_ok() && call + lease.ttl > lease.alive.0 {
                lease.alive = (call + lease.ttl, place);
            }
            let end = if op.is_ok() { end } else { u64::MAX };
            lease.last = lease.last.filter(|_| end != u64::MAX).map(|last| last.max((end, place)));
        }
    }
    Ok(leases)
}

/// A keep-alive that found its lease gone while it was alive for sure.
fn refused(
    report: &mut Report<'_>,
    history: &History,
    names: &Names<Role>,
    idents: &mut Idents,
    leases: &FxHashMap<u32, Lease>,
) {
    for (place, op) in history.ops.iter().enumerate() {
        if names.role(op) != Some(Role::KeepAlive) || !is_gone(history, op) {
            continue;
        }
        let Some(lease) = leases.get(&idents.of(&history.arena, op.input)) else { continue };
        let Some(end) = op.time_end else { continue };
        if end < lease.alive.0 && lease.revoked.is_none_or(|revoked| revoked > op.end) {
            report.found("expired-early", op.key, || early(history, lease, place, None));
        }
    }
}

fn early(history: &History, lease: &Lease, place: usize, put: Option<usize>) -> (Vec<usize>, String) {
    let mut ops: Vec<usize> = [Some(lease.alive.1), put, Some(place)].into_iter().flatten().collect();
    ops.sort_unstable();
    let left = lease.alive.0 - history.ops[place].time_end.unwrap_or(lease.alive.0);
    (ops, format!("the lease was refreshed, and found gone {} ms before its time", left / 1_000_000))
}

/// What reads saw of keys that hang on leases. Returns how many there were.
fn reads(
    report: &mut Report<'_>,
    history: &History,
    names: &Names<Role>,
    (idents, leases, changes): (&mut Idents, &FxHashMap<u32, Lease>, &[u64]),
) -> usize {
    let arena = &history.arena;
    // By key: the put and its lease, unless it is written otherwise too.
    let mut puts: FxHashMap<u32, Option<(usize, u32)>> = FxHashMap::default();
    for (place, op) in history.ops.iter().enumerate() {
        if !matches!(names.role(op), Some(Role::Put | Role::Delete)) || !op.may_have_happened() {
            continue;
        }
        let key = idents.of(arena, op.key);
        let put = match arena.items_of(op.input) {
            Some([_, lease]) if names.role(op) == Some(Role::Put) && op.is_ok() => {
                Some((place, idents.of(arena, *lease)))
            }
            _ => None,
        };
        puts.entry(key).and_modify(|known| *known = None).or_insert(put);
    }
    let mut count = 0;
    for (place, op) in history.ops.iter().enumerate() {
        if names.role(op) != Some(Role::Read) || !op.is_ok() {
            continue;
        }
        let Some(Some((put, lease))) = puts.get(&idents.of(arena, op.key)).copied() else { continue };
        let (Some(lease), Some(call), Some(end)) = (leases.get(&lease), op.time_call, op.time_end) else {
            continue;
        };
        count += 1;
        let after_put = history.ops[put].ret < op.call;
        let there = !op.output.is_nil() && op.output != Value::bool(false);
        if !there && after_put && end < lease.alive.0 && lease.revoked.is_none_or(|revoked| revoked > op.end)
        {
            report.found("expired-early", op.key, || early(history, lease, place, Some(put)));
        }
        if !there {
            continue;
        }
        if let Some(revoke) = lease.gone.filter(|revoke| history.ops[*revoke].ret < op.call) {
            report.found("not-expired", op.key, || {
                (
                    vec![put, revoke, place],
                    "the lease was revoked, and what hung on it was still there".into(),
                )
            });
        } else if let Some((last, by)) = lease.last {
            let since = changes.iter().filter(|change| **change >= last && **change <= call).count() as u64;
            let dead = last.saturating_add(lease.ttl * (1 + since)).saturating_add(SLACK);
            if call > dead {
                report.found("not-expired", op.key, || {
                    let mut ops = vec![by, put, place];
                    ops.sort_unstable();
                    let late = (call - dead) / 1_000_000;
                    (
                        ops,
                        format!(
                            "nobody refreshed the lease any more; {late} ms after its time it was still there"
                        ),
                    )
                });
            }
        }
    }
    count
}

/// Tokens of one lock grow in real time; of one store, an accepted write has no lower token than one before it.
fn tokens(
    report: &mut Report<'_>,
    history: &History,
    names: &Names<Role>,
    idents: &mut Idents,
) -> Result<(), Unfit> {
    let mut of: FxHashMap<(u32, bool), Vec<(i64, usize)>> = FxHashMap::default();
    let mut order = Vec::new();
    for (place, op) in history.ops.iter().enumerate() {
        let acquire = match names.role(op) {
            Some(Role::Acquire) if op.is_ok() => true,
            Some(Role::FencedWrite) if op.is_ok() => false,
            _ => continue,
        };
        let token = if acquire {
            Some(op.output)
        } else {
            history.arena.items_of(op.input).and_then(|said| said.last().copied())
        };
        let token = token.and_then(Value::as_int);
        let token =
            token.ok_or_else(|| Unfit(format!("a token is a whole number: {}", history.tell(place))))?;
        let object = (idents.of(&history.arena, op.key), acquire);
        let tokens = of.entry(object).or_default();
        if tokens.is_empty() {
            order.push(object);
        }
        tokens.push((token, place));
    }
    for object in order {
        let mut tokens = of.remove(&object).unwrap_or_default();
        tokens.sort_unstable();
        // From the highest down, the one that ended first.
        let mut first: Option<(i64, usize)> = None;
        for (token, place) in tokens.into_iter().rev() {
            if let Some((above, other)) = first {
                let key = history.ops[place].key;
                let late = history.ops[other].ret < history.ops[place].call;
                if object.1 && (late || above == token) {
                    report.found("token-order", key, || {
                        (
                            vec![other, place],
                            format!("the lock was given with token {above}, and then with {token}"),
                        )
                    });
                } else if !object.1 && late && token < above {
                    report.found("fenced-write", key, || {
                        (
                            vec![other, place],
                            format!("token {above} had written, and then {token} was accepted"),
                        )
                    });
                }
            }
            if first.is_none_or(|(_, other)| history.ops[place].ret < history.ops[other].ret) {
                first = Some((token, place));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::model;
    use crate::read::{Shaping, json};
    use crate::{Budget, Options};

    /// Operations of no length, at these milliseconds: time, process, f, key, asked, answered (none: refused).
    fn said(operations: &[(u64, &str, &str, &str, Option<&str>)]) -> String {
        let mut text = String::new();
        for (process, (time, f, key, asked, answered)) in operations.iter().enumerate() {
            let mut event = |time: u64, kind: &str, value: &str| {
                text += &format!(
                    "{{\"time\":{time},\"process\":{process},\"type\":\"{kind}\",\"f\":\"{f}\",\"key\":{key},\
                     \"value\":{value},\"error\":\"not-found\"}}\n"
                );
            };
            event(time * 1_000_000, "invoke", asked);
            match answered {
                Some(answer) => event(time * 1_000_000 + 1, "ok", answer),
                None => event(time * 1_000_000 + 1, "fail", asked),
            }
        }
        let history = json::lines(text.as_bytes(), Shaping::default()).expect("a history");
        let lease = model::named("lease").expect("a model");
        (lease.judge)(&history, &Options::default(), &Budget::default()).expect("it fits").reason
    }

    const KEPT: &str = "no lease expired early, none outlived its time, and tokens grew";
    const GRANT: (u64, &str, &str, &str, Option<&str>) = (0, "grant", "null", "5", Some("[7,5]"));
    const PUT: (u64, &str, &str, &str, Option<&str>) = (10, "put", "\"k\"", "[1,7]", Some("[1,7]"));

    fn read(time: u64, value: &str) -> (u64, &str, &str, &str, Option<&str>) {
        (time, "read", "\"k\"", "null", Some(value))
    }

    #[test]
    fn a_lease_lives_for_its_time_after_the_last_refresh() {
        assert_eq!(said(&[GRANT, PUT, read(4_000, "1"), read(6_000, "null")]), KEPT);
        assert_eq!(said(&[GRANT, PUT, read(4_000, "null")]), "1 expired-early");
        let kept = (4_000, "keep-alive", "null", "7", Some("5"));
        assert_eq!(said(&[GRANT, PUT, kept, read(8_000, "null")]), "1 expired-early");
        assert_eq!(
            said(&[GRANT, PUT, kept, read(8_000, "1"), read(10_000, "1"), read(12_000, "null")]),
            KEPT
        );
        assert_eq!(said(&[GRANT, (3_000, "keep-alive", "null", "7", None)]), "1 expired-early");
    }

    #[test]
    fn an_abandoned_lease_expires_unless_a_new_leader_extends_it() {
        assert_eq!(said(&[GRANT, PUT, read(7_500, "1")]), "1 not-expired");
        let change = (4_000, "leader-change", "null", "null", Some("null"));
        assert_eq!(said(&[GRANT, PUT, change, read(7_500, "1")]), KEPT);
        assert_eq!(said(&[GRANT, PUT, change, read(12_500, "1")]), "1 not-expired");
    }

    #[test]
    fn what_is_revoked_is_gone() {
        let revoke = (1_000, "revoke", "null", "7", Some("null"));
        assert_eq!(said(&[GRANT, PUT, revoke, read(2_000, "null")]), KEPT);
        assert_eq!(said(&[GRANT, PUT, revoke, read(2_000, "1")]), "1 not-expired");
    }

    #[test]
    fn tokens_grow_and_fence() {
        let acquire = |time, token| (time, "acquire", "\"l\"", "null", Some(token));
        assert_eq!(said(&[acquire(0, "1"), acquire(10, "2")]), KEPT);
        assert_eq!(said(&[acquire(0, "2"), acquire(10, "1")]), "1 token-order");
        assert_eq!(said(&[acquire(0, "2"), acquire(10, "2")]), "1 token-order");
        let write = |time, value| (time, "fenced-write", "\"s\"", value, Some("null"));
        assert_eq!(said(&[write(0, "[1,1]"), write(10, "[2,1]"), write(20, "[3,2]")]), KEPT);
        assert_eq!(said(&[write(0, "[1,2]"), write(10, "[2,1]")]), "1 fenced-write");
    }
}
