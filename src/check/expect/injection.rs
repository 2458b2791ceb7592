//! `injection`: what the scenario does to the cluster was really done, as counted where it was done.
//!
//! A fault that loses nothing, delays nothing or cuts nothing makes a run that passes and shows nothing. What is
//! claimed here is read from the evidence of the events (segments by link, ends of connections), from the processes and
//! from the nodes' logs; never from what was asked for.

use super::super::{Check, Judgement};
use super::window::applied;
use super::{Expected, Met, judged};
use crate::env::{Exit, NodeId};
use crate::fault::kill::Signal;
use crate::run::record::{OnLink, Record};
use crate::time::{Micros, Millis};
use std::collections::BTreeSet;

super::expectation! {
    "expectations of what was done"
    pub struct OfInjection {
        /// on each of their links, segments that they struck, at least
        pub segments_least: u32,
        /// of every hundred segments on each of their links exactly so many were lost, and of what is left of a hundred no
        /// other number than that allows; a hundred on one link at least
        pub lost_of_hundred: u32,
        /// ends of connections were held back for so long, at least
        pub ends_held: Millis,
        /// ends of connections that were, at least
        pub ends_least: u32,
        /// their processes ended by this signal and needed no other
        pub stopped_by: Signal,
        /// the processes of these nodes were down together for so long, at least
        pub down_together: Millis,
        /// nodes down at one time, at most
        pub down_most: u32,
        /// they were in force within the same millisecond: true, or false for anything else
        pub same_millisecond: bool,
        /// a text in the log of a node that they struck, in this time
        pub log: String
    }
}

crate::record! {
    pub struct Injection {
        /// what is expected, each of events: `{during: EVENT, lost_of_hundred: 20}`
        pub expect: Expected<OfInjection> = Expected(Vec::new()),
    }
}

impl Injection {
    pub const NAME: &'static str = "injection";
}

/// The bounds within which a share of each hundred lies, for a number that ends within a hundred.
fn of_hundred(seen: u64, share: u64) -> (u64, u64) {
    let (whole, rest) = (seen / 100 * share, seen % 100);
    (whole + (rest + share).saturating_sub(100), whole + rest.min(share))
}

fn on_links(links: &[OnLink], wrong: impl Fn(&OnLink) -> bool, told: impl Fn(&OnLink) -> String) -> Met {
    let line = |link: &OnLink| format!("{} to {}: {}", link.from, link.to, told(link));
    match links.iter().find(|link| wrong(link)) {
        _ if links.is_empty() => Met::Unclear("nothing was counted on a link".into()),
        Some(link) => Met::No(line(link)),
        None => Met::Yes(links.iter().map(line).collect::<Vec<_>>().join("; ")),
    }
}

/// When each node of a run was down, from the end of one process to the start of the next.
fn down(record: &Record) -> Vec<(NodeId, Micros, Micros)> {
    let mut down = Vec::new();
    for (place, life) in record.lives.iter().enumerate() {
        if let Some((ended, _)) = life.ended {
            let next = record.lives[place + 1..].iter().find(|next| next.node == life.node);
            down.push((life.node, ended, next.map_or(Micros::MAX, |next| next.started)));
        }
    }
    down
}

fn most_down(record: &Record) -> (usize, String) {
    let down = down(record);
    let at = |moment: Micros| -> BTreeSet<NodeId> {
        let there = down.iter().filter(|(_, from, to)| *from <= moment && moment < *to);
        there.map(|(node, ..)| *node).collect()
    };
    let most = down.iter().map(|(_, from, _)| (at(*from), *from)).max_by_key(|(nodes, _)| nodes.len());
    let (nodes, when) = most.unwrap_or_default();
    let names = super::super::facts::names(&nodes);
    (nodes.len(), if nodes.is_empty() { "nobody was down".into() } else { format!("{names} at {when}") })
}

impl OfInjection {
    fn events(&self) -> Vec<&String> {
        [&self.during, &self.after, &self.from, &self.before].into_iter().flatten().collect()
    }

    fn judge(&self, record: &Record, out: &mut Vec<(String, Met)>) {
        let window = match self.window(record) {
            Ok(window) => window,
            Err(why) => {
                out.push(("injection".into(), Met::Unclear(why)));
                return;
            }
        };
        let events = self.events();
        let happened: Vec<_> = events.iter().filter_map(|name| applied(record, name).ok()).collect();
        let links: Vec<OnLink> = happened.iter().flat_map(|one| one.links.iter().cloned()).collect();
        let mut claim = |what: String, met: Met| out.push((format!("{}, {what}", window.told), met));
        if let Some(least) = self.segments_least {
            // Some nodes never speak to each other: ZooKeeper's followers do so in elections alone.
            let used: Vec<OnLink> =
                links.iter().filter(|link| link.seen + link.struck > 0).cloned().collect();
            let met = if used.is_empty() && !links.is_empty() {
                Met::No(format!("nobody spoke on any of {} links", links.len()))
            } else {
                on_links(
                    &used,
                    |link| link.struck < u64::from(least),
                    |link| format!("{} segments", link.struck),
                )
            };
            claim(format!("at least {least} segments are struck on each link that is used"), met);
        }
        if let Some(share) = self.lost_of_hundred {
            let wrong = |link: &OnLink| {
                let (least, most) = of_hundred(link.seen, share.into());
                link.lost < least || link.lost > most
            };
            let idle = links.iter().all(|link| link.seen < 100);
            let met = if idle {
                Met::No(format!("no link of {} carried a hundred", links.len()))
            } else {
                on_links(&links, wrong, |link| format!("{} of {} segments lost", link.lost, link.seen))
            };
            claim(format!("{share} of every hundred segments are lost on each link"), met);
        }
        if let Some(bound) = self.ends_held {
            let held = links.iter().map(|link| link.ends).sum::<u64>();
            let shortest = links.iter().filter_map(|link| link.ends_after).min();
            let seen = format!("{held} ends, the first after {}", shortest.unwrap_or_default().millis());
            let least = u64::from(self.ends_least.unwrap_or(1));
            let met = match shortest {
                _ if links.is_empty() => Met::Unclear("nothing was counted on a link".into()),
                Some(shortest) if shortest >= bound.micros() && held >= least => Met::Yes(seen),
                _ => Met::No(seen),
            };
            claim(format!("at least {least} ends of connections are held back for {bound}"), met);
        }
        if let Some(signal) = self.stopped_by {
            let met = stopped(record, &events, signal);
            claim(format!("SIG{signal} alone ends the processes"), met);
        }
        if let Some(bound) = self.down_together {
            let met = together(record, &window.struck, bound);
            claim(format!("all of them are down together for {bound}"), met);
        }
        if let Some(most) = self.down_most {
            let (count, seen) = most_down(record);
            let met = if count <= most as usize { Met::Yes(seen) } else { Met::No(seen) };
            claim(format!("at most {most} nodes are down at once"), met);
        }
        if let Some(wanted) = self.same_millisecond {
            let moments = happened.iter().map(|one| one.started.millis());
            let all: BTreeSet<Millis> = moments.collect();
            let seen = all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
            let same = all.first().zip(all.last()).is_some_and(|(first, last)| last.0 - first.0 <= 1);
            let met = if same == wanted { Met::Yes(seen) } else { Met::No(seen) };
            claim("they strike in the same millisecond".into(), met);
        }
        if let Some(text) = &self.log {
            let lines = record
                .log_lines
                .iter()
                .filter(|line| window.struck.contains(&line.node) && window.holds(line.at));
            let met = match lines.clone().find(|line| line.line.contains(text.as_str())) {
                Some(line) => Met::Yes(format!("{} at {}: {}", line.node, record.when(line.at), line.line)),
                None => Met::No(format!("not in {} lines", lines.count())),
            };
            claim(format!("a log says `{text}`"), met);
        }
    }
}

/// Every process that these events ended got this signal and no other, and ended by it or of its own accord after it.
fn stopped(record: &Record, events: &[&String], signal: Signal) -> Met {
    let struck: Vec<_> = record
        .lives
        .iter()
        .filter(|life| life.signalled.iter().any(|(event, _)| events.contains(&event)))
        .collect();
    let mut seen = Vec::new();
    for life in &struck {
        let Some((_, exit)) = life.ended else { return Met::No(format!("{} did not end", life.node)) };
        let others: Vec<String> = life
            .signalled
            .iter()
            .filter(|(_, number)| *number != signal.number())
            .map(|(_, number)| number.to_string())
            .collect();
        // A JVM that ends by a signal exits with 128 and its number.
        let fits = match exit {
            Exit::Signal(number) => number == signal.number(),
            Exit::Code(code) => code == 0 || code == 128 + signal.number(),
        };
        if !others.is_empty() || !fits {
            let other = if others.is_empty() {
                String::new()
            } else {
                format!(", and got signal {}", others.join(", "))
            };
            return Met::No(format!("{} ended with {exit}{other}", life.node));
        }
        seen.push(format!("{} ended with {exit}", life.node));
    }
    if seen.is_empty() { Met::Unclear("no process got a signal".into()) } else { Met::Yes(seen.join(", ")) }
}

/// How long all of these nodes were down at the same time, the longest.
fn together(record: &Record, nodes: &BTreeSet<NodeId>, bound: Millis) -> Met {
    let down = down(record);
    let starts: Vec<Micros> =
        down.iter().filter(|(node, ..)| nodes.contains(node)).map(|(_, from, _)| *from).collect();
    let all_down = |at: Micros| {
        let ends = nodes.iter().map(|node| {
            let there = down.iter().filter(|(other, from, to)| other == node && *from <= at && at < *to);
            there.map(|(.., to)| *to).max()
        });
        ends.collect::<Option<Vec<Micros>>>().and_then(|ends| ends.into_iter().min()).map(|end| {
            let end = end.min(record.load_stopped_at);
            end.since(at)
        })
    };
    match starts.into_iter().filter_map(all_down).max() {
        Some(longest) if longest >= bound.micros() => Met::Yes(format!("for {}", longest.millis())),
        Some(longest) => Met::No(format!("for {}", longest.millis())),
        None => Met::No("they never were".into()),
    }
}

impl Check for Injection {
    fn claim(&self) -> &'static str {
        "what the scenario does to the cluster is really done to it"
    }
    fn source(&self) -> &'static str {
        "the scenario; the counts of the environment, the processes' exits, the nodes' logs"
    }

    fn judge(&self, record: &Record) -> Judgement {
        let mut claims = Vec::new();
        self.expect.0.iter().for_each(|one| one.judge(record, &mut claims));
        judged(Self::NAME, record, &claims)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Verdict;
    use super::super::super::testing::{Scene, ms};
    use super::super::window::Of;
    use super::*;

    fn nothing() -> OfInjection {
        OfInjection {
            before: Vec::new(),
            during: vec!["blow".into()],
            after: Vec::new(),
            from: Vec::new(),
            until: Vec::new(),
            of: Of::All,
            segments_least: None,
            lost_of_hundred: None,
            ends_held: None,
            ends_least: None,
            stopped_by: None,
            down_together: None,
            down_most: None,
            same_millisecond: None,
            log: None,
        }
    }

    fn verdict(scene: &Scene, one: OfInjection) -> Verdict {
        Injection { expect: Expected(vec![one]) }.judge(&scene.record).verdict
    }

    fn link(seen: u64, struck: u64, lost: u64) -> OnLink {
        OnLink { from: NodeId(0), to: NodeId(1), seen, struck, lost, ends: 0, ends_after: None }
    }

    fn lossy(links: &[OnLink]) -> Scene {
        let mut scene = Scene::new(1, 2).target("etcd").healthy();
        scene.apply("blow", "lossy: {node: node-0, lose: 200}", 6000, Some(9000), &[0]);
        scene.record.applied[0].links = links.to_vec();
        scene
    }

    #[test]
    fn a_loss_is_counted_by_the_hundred() {
        let expected = || OfInjection { lost_of_hundred: Some(20), ..nothing() };
        for (seen, lost, is) in [
            (300, 60, Verdict::Pass),
            (350, 75, Verdict::Pass),
            (350, 80, Verdict::Pass),
            (350, 81, Verdict::Fail),
            (390, 69, Verdict::Fail),
            (300, 61, Verdict::Fail),
            (300, 0, Verdict::Fail),
            (40, 8, Verdict::Fail),
        ] {
            assert_eq!(verdict(&lossy(&[link(seen, lost, lost)]), expected()), is, "{lost} of {seen}");
        }
        assert_eq!(verdict(&lossy(&[]), expected()), Verdict::Fail);
        assert_eq!(verdict(&lossy(&[link(300, 60, 60), link(40, 8, 8)]), expected()), Verdict::Pass);
        assert_eq!(verdict(&lossy(&[link(300, 60, 60), link(40, 21, 21)]), expected()), Verdict::Fail);
    }

    #[test]
    fn a_rule_that_struck_nothing_on_one_link_fails() {
        let expected = || OfInjection { segments_least: Some(10), ..nothing() };
        assert_eq!(verdict(&lossy(&[link(90, 50, 0), link(90, 10, 0)]), expected()), Verdict::Pass);
        assert_eq!(verdict(&lossy(&[link(90, 50, 0), link(90, 9, 0)]), expected()), Verdict::Fail);
    }

    #[test]
    fn ends_that_came_in_time_were_not_held() {
        let expected = || OfInjection { ends_held: Some(Millis(5000)), ends_least: Some(2), ..nothing() };
        let held = |ends, after| OnLink { ends, ends_after: Some(ms(after)), ..link(9, 9, 0) };
        assert_eq!(verdict(&lossy(&[held(2, 5000)]), expected()), Verdict::Pass);
        assert_eq!(verdict(&lossy(&[held(1, 5000)]), expected()), Verdict::Fail);
        assert_eq!(verdict(&lossy(&[held(3, 4999)]), expected()), Verdict::Fail);
        assert_eq!(verdict(&lossy(&[link(9, 9, 0)]), expected()), Verdict::Fail);
    }

    #[test]
    fn a_stop_that_needs_a_kill_is_none() {
        let expected = || OfInjection {
            from: vec!["blow".into()],
            during: Vec::new(),
            stopped_by: Some(Signal::Term),
            ..nothing()
        };
        for (signals, exit, is) in [
            (&[15][..], Exit::Signal(15), Verdict::Pass),
            (&[15], Exit::Code(143), Verdict::Pass),
            (&[15], Exit::Code(0), Verdict::Pass),
            (&[15], Exit::Code(1), Verdict::Fail),
            (&[15, 9], Exit::Signal(9), Verdict::Fail),
        ] {
            let mut scene = Scene::new(1, 2).target("etcd").healthy();
            scene.kill("blow", 1, 7000, Some(9000));
            let life = &mut scene.record.lives[1];
            life.signalled = signals.iter().map(|signal| ("blow".into(), *signal)).collect();
            life.ended = Some((ms(7010), exit));
            assert_eq!(verdict(&scene, expected()), is, "{signals:?} {exit}");
        }
    }

    #[test]
    fn who_is_down_together_is_told_by_the_processes() {
        let mut scene = Scene::new(1, 2).target("etcd").healthy();
        scene.kill("one", 1, 7000, Some(9000));
        scene.kill("two", 2, 7000, Some(8500));
        let of = |events: &[&str]| events.iter().map(ToString::to_string).collect::<Vec<String>>();
        let both = || OfInjection { during: Vec::new(), from: of(&["one", "two"]), ..nothing() };
        let down = |ms| OfInjection { down_together: Some(Millis(ms)), ..both() };
        assert_eq!(verdict(&scene, down(1500)), Verdict::Pass);
        assert_eq!(verdict(&scene, down(1501)), Verdict::Fail);
        assert_eq!(verdict(&scene, OfInjection { same_millisecond: Some(true), ..both() }), Verdict::Pass);
        assert_eq!(verdict(&scene, OfInjection { down_most: Some(1), ..both() }), Verdict::Fail);
        assert_eq!(verdict(&scene, OfInjection { down_most: Some(2), ..both() }), Verdict::Pass);
        scene.record.applied[1].started = ms(7003);
        assert_eq!(verdict(&scene, OfInjection { same_millisecond: Some(true), ..both() }), Verdict::Fail);
    }

    #[test]
    fn a_line_of_a_log_is_looked_for_where_and_when_it_is_meant() {
        let mut scene = Scene::new(1, 2).target("etcd").healthy();
        scene.kill("blow", 1, 7000, Some(8000));
        let expected = || OfInjection {
            during: Vec::new(),
            after: vec!["blow".into()],
            log: Some("snapshot".into()),
            ..nothing()
        };
        scene.log(1, 6000, "saved a snapshot");
        scene.log(2, 9000, "sent a snapshot");
        assert_eq!(verdict(&scene, expected()), Verdict::Fail);
        scene.log(1, 9100, "got a snapshot");
        assert_eq!(verdict(&scene, expected()), Verdict::Pass);
    }
}
