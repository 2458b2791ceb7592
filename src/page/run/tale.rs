//! What happened, in five to eight sentences. Each comes from something recorded: an event that was applied, a change
//! that was seen, a claim that was broken. Nothing is supposed.

use super::scene::{Scene, State};
use crate::check::{Judgement, Verdict};
use crate::env::NodeId;
use crate::page::draw::seconds;
use crate::report::names::{capital, thousands};
use crate::run::record::Status;
use maud::{Markup, html};
use std::collections::BTreeSet;

/// How many sentences are told at most.
pub const SENTENCES_MAX: usize = 8;

/// What a sentence is about: where its number stands in the drawings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum On {
    Act(String),
    Lane(NodeId),
    Nothing,
}

#[derive(Clone, Debug)]
pub struct Sentence {
    pub at: i64,
    /// When it was over, where it lasted.
    pub until: Option<i64>,
    pub text: Markup,
    /// The same without markup.
    pub plain: String,
    pub on: On,
    /// What must be told first when there is too much: less is more.
    weight: u8,
}

/// What is done to a node, as the end of a sentence.
const DONE: &[(&str, &str)] = &[
    ("kill", "was killed"),
    ("pause", "was stopped (SIGSTOP)"),
    ("stutter", "was stopped and let go again and again"),
    ("restart", "was ended and started again"),
    ("cut", "was cut off"),
    ("flap", "was cut off and healed again and again"),
    ("lossy", "lost a share of its messages"),
    ("slow", "had its messages delayed"),
    ("clock_skew", "had its clock set wrong"),
    ("clock_strobe", "had its clock flipped ahead and back"),
    ("disk_error", "had its disk fail"),
    ("full_disk", "had its disk filled up"),
    ("slow_disk", "had its disk slowed down"),
    ("strike_at", "was struck in the middle of what it wrote"),
    ("power_loss", "lost power, and what it had not synced"),
    ("memory_limit", "was left little memory"),
    ("reset", "had its connections reset"),
    ("refuse", "could not be connected to"),
    ("hold", "had messages held back"),
    ("corrupt", "had segments corrupted"),
    ("garble", "had bytes garbled"),
    ("throttle", "had its links throttled"),
    ("half_open", "lost its connections, and the other ends did not know"),
    ("strike_link", "had one of its links struck"),
    ("slow_close", "had the ends of its connections delayed"),
    ("cpu_limit", "was left a share of one core"),
    ("cpu_hog", "had to share its core with busy threads"),
    ("fd_limit", "could open few files more"),
    ("use_up_connections", "had its connections taken"),
    ("bit_flip", "had a bit of a file flipped"),
    ("resolve_fails", "could not resolve names"),
    ("failover", "was asked to take over"),
    ("add_replica", "was started, to join as a replica"),
    ("remove_replica", "was forgotten by the others and shut down"),
    ("forget_and_meet", "was forgotten by the others and introduced again"),
    ("config_change", "had a setting changed"),
    ("bump_epoch", "took a new epoch without asking anybody"),
    ("move_replica", "was told to follow another primary"),
    ("scale_out", "was started as a shard of its own, to be given slots"),
    ("scale_in", "gave its slots away, to leave"),
    ("drain", "gave all its slots away"),
    ("reshard", "gave slots away"),
    ("admin", "was given an administrative command"),
    ("compact", "was told to forget old revisions"),
    ("defragment", "wrote its store anew"),
    ("add_learner", "was started, to follow without a vote"),
    ("promote", "was given a vote"),
    ("replace_member", "was taken out, and a new one was added instead of it"),
    ("exceed_quota", "was filled up to its quota, and room was made again"),
    ("refused_reconfig", "was asked for changes of the members that it has to refuse"),
    ("snapshot", "was asked for a copy of its whole store"),
    ("burst", "came under heavy load"),
    ("sabotage", "was tampered with, so that a check must find it"),
];

/// The whole story, in order.
pub fn tell(scene: &Scene<'_>) -> Vec<Sentence> {
    let mut all = acts(scene);
    all.extend(observed(scene));
    all.extend(broken(scene));
    all.extend(end(scene));
    let involved = scene.involved();
    // What speaks of nodes that have no part in what broke is told last, if there is room.
    let failed: BTreeSet<NodeId> = scene
        .story
        .failed()
        .flat_map(|judged| std::iter::once(&judged.reason).chain(judged.evidence.iter().take(4)))
        .flat_map(|text| scene.named(text))
        .collect();
    let shards: BTreeSet<_> = failed.iter().filter_map(|node| scene.lane(*node)?.shard).collect();
    let near = |sentence: &Sentence| match &sentence.on {
        On::Nothing => true,
        On::Lane(node) => failed.contains(node) || (failed.is_empty() && involved.contains(node)),
        On::Act(event) => scene.acts.iter().any(|act| {
            act.applied.event == *event
                && act.applied.resolved.iter().any(|node| {
                    failed.contains(node)
                        || scene
                            .lane(*node)
                            .and_then(|lane| lane.shard)
                            .is_some_and(|one| shards.contains(&one))
                })
        }),
    };
    let late = |sentence: &Sentence| scene.broken.is_some_and(|at| sentence.at > at);
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|place| {
        let one = &all[*place];
        (one.weight, !near(one), late(one), std::cmp::Reverse(one.at))
    });
    order.truncate(SENTENCES_MAX);
    // What was broken is told after what was seen then.
    order.sort_by_key(|place| (all[*place].at / 1000, *place));
    let mut told: Vec<Sentence> = Vec::new();
    let mut left: Vec<Option<Sentence>> = all.into_iter().map(Some).collect();
    for place in order {
        told.extend(left[place].take());
    }
    told
}

/// A node, with what it was at that moment.
fn subject(scene: &Scene<'_>, node: NodeId, at: i64) -> (Markup, String) {
    let was = scene.at(node, at - 1).map(|span| match span.state {
        State::Down => "down already".into(),
        State::Paused => "paused".into(),
        _ => named(span),
    });
    match was {
        Some(was) => (html! { b.nw { (node) } ", " (was) "," }, format!("{node}, {was},")),
        None => (html! { b.nw { (node) } }, node.to_string()),
    }
}

fn acts(scene: &Scene<'_>) -> Vec<Sentence> {
    let mut out = Vec::new();
    for act in &scene.acts {
        let applied = act.applied;
        let phrase = DONE.iter().find(|(name, _)| *name == applied.action).map(|(_, phrase)| *phrase);
        let phrase = phrase.map_or_else(|| format!("was given `{}`", applied.action), str::to_string);
        let nodes = &applied.resolved;
        let (who, who_plain) = match nodes.first() {
            None => (html! { "The cluster" }, "The cluster".to_string()),
            Some(_) if applied.action == "rolling_restart" => {
                (html! { "Every node" }, "Every node".to_string())
            }
            Some(node) => subject(scene, *node, act.from),
        };
        let plural = applied.action == "rolling_restart";
        let phrase = if plural { "was restarted in turn".to_string() } else { phrase };
        let more = match nodes.len() {
            0 | 1 => String::new(),
            _ if plural => String::new(),
            _ => {
                let names: Vec<String> = nodes.iter().skip(1).take(4).map(ToString::to_string).collect();
                let rest = nodes.len() - 1 - names.len();
                let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
                format!(" ({}{rest})", names.join(", "))
            }
        };
        let fields = scene.story.planned(&applied.event).map_or("", |planned| planned.fields.as_str());
        let detail = if applied.detail.is_empty() { beside(fields) } else { applied.detail.clone() };
        let detail = if detail.is_empty() || detail.chars().count() > 160 {
            String::new()
        } else {
            format!(" ({detail})")
        };
        // What is done to it already names the others.
        let named = nodes.iter().skip(1).all(|node| applied.detail.contains(&node.to_string()));
        let more = if named { String::new() } else { more };
        let last = applied.steps.last().map(|(_, step)| step.clone()).unwrap_or_default();
        let how_it_ended = match (&applied.status, act.to) {
            (Status::Failed(why), _) => format!(" It did not come about: {why}."),
            (_, None) if last.starts_with("SIG") || act.applied.action == "power_loss" => {
                " It was not started again in this run.".into()
            }
            (_, Some(to)) if last.starts_with("SIG") => {
                format!(" It was started again {} s later.", seconds(to - act.from, 3))
            }
            (_, Some(to)) if act.fault => {
                let what = if last.is_empty() {
                    "It was healed".to_string()
                } else {
                    format!("In the end {}", lower(&last))
                };
                format!(" {what}, after {} s.", seconds(to - act.from, 3))
            }
            (_, None) if act.fault => " That lasted to the end of the run.".into(),
            _ => String::new(),
        };
        let plain = format!("{who_plain} {phrase}{more}{detail}.{how_it_ended}");
        out.push(Sentence {
            at: act.from,
            until: act.to.filter(|to| *to > act.from),
            text: html! { (who) " " (phrase) (more) (detail) "." (how_it_ended) },
            plain,
            on: On::Act(applied.event.clone()),
            weight: 1,
        });
    }
    out
}

/// What was seen to change: who took over, who ended by itself, how long a shard had no primary.
fn observed(scene: &Scene<'_>) -> Vec<Sentence> {
    let mut out = Vec::new();
    let words = scene.words;
    for lane in &scene.lanes {
        let alive = |state: State| !matches!(state, State::Down | State::Paused);
        let mut before: Option<&super::scene::Span> = None;
        for span in lane.spans.iter().filter(|span| alive(span.state)) {
            let was = before.replace(span);
            let Some(was) = was.filter(|was| was.state != span.state && span.from > 0) else { continue };
            let node = lane.node;
            let (at, weight, more) = if span.state == State::Primary {
                let mut more = vacancy(scene, lane.shard, span.from).map_or_else(String::new, |gap| {
                    let of = match lane.shard.filter(|_| !words.group) {
                        Some(shard) => format!("Shard {shard}"),
                        None => "The group".into(),
                    };
                    format!(" {of} had had no {} for {} s.", words.primary, seconds(gap, 3))
                });
                more.push_str(&positions(scene, node, span.from));
                (span.from, 1, more)
            } else if was.state == State::Primary {
                (span.from, 2, String::new())
            } else {
                continue;
            };
            let (is, had_been) = (named(span), named(was));
            out.push(Sentence {
                at,
                until: None,
                text: html! { b.nw { (node) } " was " b { (is) } " from then on; before, " (had_been) "." (more) },
                plain: format!("{node} was {is} from then on; before, {had_been}.{more}"),
                on: On::Lane(node),
                weight,
            });
        }
    }
    for life in scene.lives() {
        let Some((at, exit)) = life.ended.as_ref().filter(|_| life.signalled.is_empty()) else { continue };
        let at = scene.since(*at);
        // Whoever was told to leave, or was ended in the course of an operation, did not end by itself.
        let told = scene.acts.iter().any(|act| {
            act.applied.resolved.contains(&life.node)
                && act.from <= at
                && act.to.is_none_or(|to| at <= to + 1_000_000)
        });
        if told || at < 0 {
            continue;
        }
        let plain = format!("{} ended by itself, with {exit}.", life.node);
        out.push(Sentence {
            at,
            until: None,
            text: html! { b.nw { (life.node) } " ended by itself, with " (exit) "." },
            plain,
            on: On::Lane(life.node),
            weight: 0,
        });
    }
    out
}

/// What a node was, with its article.
fn named(span: &super::scene::Span) -> String {
    let article = if span.state == State::Primary { "the" } else { "a" };
    format!("{article} {}", span.text)
}

/// What the replicas of one primary had announced when one of them took over: votes are asked for in that order.
fn positions(scene: &Scene<'_>, winner: NodeId, at: i64) -> String {
    let Some(record) = scene.record.filter(|_| !scene.words.group) else { return String::new() };
    let before = record.views.iter().rev().find(|view| scene.since(view.at) < at);
    let Some((view, own)) = before.and_then(|view| Some((view, view.report(winner)?))) else {
        return String::new();
    };
    let primary = |report: &crate::run::view::NodeReport| report.myself().and_then(|me| me.primary.clone());
    let Some(followed) = primary(own) else { return String::new() };
    let others =
        view.answered().filter(|(node, one)| *node != winner && primary(one).as_ref() == Some(&followed));
    let told: Vec<String> = others
        .take(3)
        .map(|(node, one)| {
            let other = one.replication.replication_id != own.replication.replication_id;
            let stream = if other { " of another stream" } else { "" };
            format!("{node} {}{stream}", thousands(one.replication.offset))
        })
        .collect();
    if told.is_empty() {
        return String::new();
    }
    format!(" It had announced position {}, {}.", thousands(own.replication.offset), told.join(", "))
}

/// The fields of an event that say more than whom it strikes.
fn beside(fields: &str) -> String {
    let whom = ["node:", "nodes:", "shard:", "from:", "to:"];
    let more = fields.split(", ").filter(|field| !whom.iter().any(|word| field.starts_with(word)));
    more.collect::<Vec<_>>().join(", ")
}

/// What is shorter is not told of.
const GAP_MIN: i64 = 50_000;

/// How long nobody in the shard had been a primary, when one was seen again.
fn vacancy(scene: &Scene<'_>, shard: Option<u16>, at: i64) -> Option<i64> {
    let of_shard = scene.lanes.iter().filter(|lane| scene.words.group || lane.shard == shard);
    let reigns =
        of_shard.flat_map(|lane| &lane.spans).filter(|span| span.state == State::Primary && span.from < at);
    let last = reigns.map(|span| span.to).max()?;
    // Between two answers of one look is no gap.
    Some(at - last).filter(|gap| *gap >= GAP_MIN)
}

/// Claims that were broken, the weightiest first.
pub fn failed<'s>(scene: &'s Scene<'_>) -> Vec<&'s Judgement> {
    let mut failed: Vec<&Judgement> = scene.story.failed().collect();
    failed.sort_by_key(|judged| {
        LEADS.iter().position(|(name, _)| *name == judged.check).unwrap_or(LEADS.len())
    });
    failed
}

/// Checks from cause to symptom, with the headline of one that failed.
pub const LEADS: &[(&str, &str)] = &[
    ("acknowledged_loss", "Acknowledged writes were lost."),
    ("linearizability", "Clients got answers that no order of the operations explains."),
    ("watch", "A watch did not tell what it had to tell."),
    ("ephemerals", "A session, its node or its lock was not as it had to be."),
    ("bank", "A transfer was not done as a whole."),
    ("refusals", "A request was not refused, or not granted, as it had to be."),
    ("queue", "An element of a queue was lost, taken twice or passed over."),
    ("removals", "A node that goes by itself was not removed as it had to be."),
    ("leases", "A lease did not live or end as it had to."),
    ("one_leader", "A term was not one leader’s."),
    ("crash", "A server ended by itself."),
    ("hang", "A server stood still."),
    ("log_scan", "A server reported a bug of its own."),
    ("data_consistency", "Nodes that had to hold the same did not."),
    ("slot_coverage", "Slots were not served by one owner each."),
    ("quorum", "Nodes answered that had to be silent, or were silent that had to answer."),
    ("topology", "Members, roles or slots were out of place."),
    ("view_agreement", "The nodes did not agree on what the cluster is."),
    ("replica_sync", "A replica did not come to hold what its primary holds."),
    ("replication_lag", "Replicas lagged beyond the bound."),
    ("convergence_time", "The cluster did not settle in time."),
    ("service", "The service was not what the scenario expects."),
    ("leadership", "Leadership was not what the scenario expects."),
    ("injection", "A fault did not strike as the scenario expects."),
    ("look", "A look in the middle of the run did not hold."),
    ("run", "The run itself was not as planned."),
];

fn broken(scene: &Scene<'_>) -> Vec<Sentence> {
    let failed = failed(scene);
    let sentence = |(place, judged): (usize, &&Judgement)| {
        let at = std::iter::once(&judged.reason)
            .chain(&judged.evidence)
            .flat_map(|text| super::scene::moments(text))
            .min()
            .unwrap_or(scene.to);
        let reason = prose(&scene.in_names(&first_of(judged)));
        let lane = scene.named(&judged.reason).into_iter().next();
        Sentence {
            at,
            until: None,
            plain: format!("So {} does not hold: {}.", judged.check, reason.trim_end_matches('.')),
            text: html! { "So " b.t-bad { (judged.check) } " does not hold: " (reason.trim_end_matches('.')) "." },
            on: lane.map_or(On::Nothing, On::Lane),
            weight: if place < 3 { 0 } else { 3 },
        }
    };
    failed.iter().enumerate().map(sentence).collect()
}

/// The reason without what is counted before it, where the first particular follows.
fn first_of(judged: &Judgement) -> String {
    match judged.evidence.first() {
        Some(first) => first.clone(),
        None => judged.reason.clone(),
    }
}

fn end(scene: &Scene<'_>) -> Vec<Sentence> {
    let Some(cluster) = &scene.story.cluster else { return Vec::new() };
    let (at, plain) = match cluster.settled_at_us {
        Some(at) => (
            at,
            "Everything was healed, and what the nodes told of the cluster did not change any more."
                .to_string(),
        ),
        None => (
            scene.to,
            "Everything was healed, but what the nodes told of the cluster went on changing up to the bound."
                .to_string(),
        ),
    };
    let failed = scene.story.verdict() == Verdict::Fail;
    vec![Sentence {
        at,
        until: None,
        text: html! { (plain) },
        plain: plain.clone(),
        on: On::Nothing,
        weight: if failed { 3 } else { 1 },
    }]
}

/// A text of a check as prose: moments without their sign, a blank before the unit, quotes as in print.
pub fn prose(text: &str) -> String {
    let mut out = String::new();
    let text = quoted(text);
    let mut rest = text.as_str();
    while let Some(at) = rest.find('+') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let number: String = after[1..].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let is_moment =
            number.split_once('.').is_some_and(|(whole, part)| !whole.is_empty() && part.len() == 3)
                && after[1 + number.len()..].starts_with('s');
        if is_moment {
            out.push_str(&number);
            out.push_str(" s");
            rest = &after[number.len() + 2..];
        } else {
            out.push('+');
            rest = &after[1..];
        }
    }
    out.push_str(rest);
    out
}

/// What stands between back quotes stands between quotes.
fn quoted(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    // One without its pair is part of what is told.
    if parts.len().is_multiple_of(2) {
        return text.into();
    }
    let quote = |(place, part): (usize, &&str)| {
        if place % 2 == 1 { format!("‘{part}’") } else { (*part).to_string() }
    };
    parts.iter().enumerate().map(quote).collect()
}

fn lower(text: &str) -> String {
    // Names of nodes and of signals stay as they are.
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if letters.as_str().chars().next().is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.into(),
    }
}

/// One sentence for the whole, and one for how it came.
pub fn headline(scene: &Scene<'_>) -> (String, String) {
    let story = scene.story;
    let started = story.started.as_ref();
    let nodes = scene.lanes.len() as u64;
    let done = scene.acts.len() as u64;
    let events = |count: u64| match count {
        0 => "Nothing was done".to_string(),
        1 => "One event was applied".to_string(),
        count => format!("{} events were applied", thousands(count)),
    };
    let load = story.plan.as_ref().map_or("", |plan| plan.load.as_str());
    let load =
        if load.is_empty() || load == "none" { String::new() } else { format!(" under the load of {load}") };
    let kinds: BTreeSet<&str> = scene.acts.iter().map(|act| act.applied.action.as_str()).collect();
    let names: Vec<String> = kinds.iter().take(8).map(|name| name.replace('_', " ")).collect();
    let more = kinds.len() - names.len();
    let names = if names.is_empty() {
        String::new()
    } else {
        format!(
            ": {}{}",
            names.join(", "),
            if more > 0 { format!(" and {more} other kinds") } else { String::new() }
        )
    };
    let lede = format!(
        "{} to {} of {}{load}{names}.",
        events(done),
        crate::report::names::counted(nodes, "node"),
        started.map_or("the cluster", |started| server(started))
    );
    let failed = failed(scene);
    let head = match (story.verdict(), failed.first()) {
        (_, Some(judged)) => {
            let lead = LEADS
                .iter()
                .find(|(name, _)| *name == judged.check)
                .map_or("A claim was broken.", |(_, lead)| *lead);
            let particular = scene.in_names(&first_of(judged));
            if particular.chars().count() <= 170 {
                format!("{lead} {}.", opening(prose(&particular).trim_end_matches('.')))
            } else {
                lead.to_string()
            }
        }
        (Verdict::Pass, None) => {
            let held =
                story.judgements.iter().filter(|judged| judged.verdict == Verdict::Pass).count() as u64;
            format!(
                "Nothing broke: {} held.",
                if held == 1 { "one claim".into() } else { format!("{held} claims") }
            )
        }
        (_, None) => {
            let why = story.judgements.iter().find(|judged| judged.verdict == Verdict::Unknown);
            let why = why.map(|judged| format!("{}: {}", judged.check, prose(&judged.reason)));
            let error = story.finished.as_ref().and_then(|finished| finished.error.clone());
            let why = error.or(why).unwrap_or_else(|| "the run did not get to its end".into());
            format!("Nothing was decided: {}.", why.trim_end_matches('.'))
        }
    };
    (head, lede)
}

pub fn server(started: &crate::report::story::Started) -> &str {
    match started.server.as_str() {
        "" if started.target == "embedded" => "the embedded cluster",
        "" => &started.target,
        server => server,
    }
}

/// A text as the beginning of a sentence: the name of a node or of a key stays a name.
fn opening(text: &str) -> String {
    let is_name = text.starts_with("node-") || text.find(":{").is_some_and(|at| at < 4);
    if is_name { text.into() } else { capital(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::ActionKind;

    #[test]
    fn moments_become_prose_and_other_signs_stay() {
        assert_eq!(prose("node-9 took over by +3.797s, 1 + 2"), "node-9 took over by 3.797 s, 1 + 2");
        assert_eq!(prose("+x +12s"), "+x +12s");
        assert_eq!(prose("holds `a`, not `b"), "holds `a`, not `b");
        assert_eq!(prose("holds `a`"), "holds ‘a’");
    }

    #[test]
    fn every_operation_and_fault_has_its_words() {
        let acts = |kind: ActionKind| kind != ActionKind::Check;
        for info in crate::catalogue::ACTIONS.iter().filter(|info| acts(info.kind)) {
            let told = DONE.iter().any(|(name, _)| *name == info.name) || info.name == "rolling_restart";
            assert!(told, "{} has no words in a story", info.name);
        }
    }

    #[test]
    fn every_check_has_a_headline() {
        for name in crate::catalogue::CheckSpec::NAMES {
            assert!(LEADS.iter().any(|(lead, _)| lead == name), "{name} has no headline");
        }
    }
}
