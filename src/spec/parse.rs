//! From bytes to a [`Spec`]: the one door for scenario files, whatever form they are written in.
//!
//! Pure and bounded. All problems of a file come out at once, in the order of their place; a spec comes out only
//! when none of them is an error.

use super::{Spec, dialect, native};
use crate::yaml::document::Problems;
use crate::yaml::parse::parse as parse_yaml;

/// Reads a scenario in the native form or in one of the foreign dialects.
pub fn parse(bytes: &[u8], problems: &mut Problems) -> Option<Spec> {
    let node = parse_yaml(bytes, problems)?;
    let spec =
        if native::is_native(&node) { native::read(&node, problems) } else { dialect::read(&node, problems) };
    problems.sort();
    spec.filter(|_| !problems.has_errors())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Action, CheckSpec, NodeSelector};
    use crate::spec::{Spread, StartSpec};
    use crate::time::Millis;
    use crate::timeline::Observation;
    use crate::yaml::document::Severity;
    use crate::yaml::fields::Record as _;

    fn read(text: &str) -> Spec {
        let mut problems = Problems::default();
        let spec = parse(text.as_bytes(), &mut problems);
        spec.unwrap_or_else(|| panic!("{text}\n{problems:#?}"))
    }

    /// Each problem as `line:column offending | message | hint`.
    fn refuse(text: &str) -> Vec<String> {
        let mut problems = Problems::default();
        assert_eq!(parse(text.as_bytes(), &mut problems), None, "{text}");
        let tell = |p: &crate::yaml::document::Problem| {
            let place = p.span.map(|s| s.to_string()).unwrap_or_default();
            format!("{place} {} | {} | {}", p.offending, p.message, p.hint.clone().unwrap_or_default())
        };
        problems.list.iter().filter(|p| p.severity == Severity::Error).map(tell).collect()
    }

    #[test]
    fn a_scenario_from_head_to_foot() {
        let spec = read(
            r#"
fuzz: 1
name: failover while the old primary is stopped
target: valkey
cluster: {shards: 3, replicas: 1, settings: {cluster-node-timeout: 1000}}
load: {clients: 6, rate: 300/s, mix: {set: 4, get: 4, incr: 1, append: 1}, keys: 500, skew: zipf}
timeline:
  - {at: 2s, do: {failover: {shard: 1}}, id: takeover}
  - {with: takeover, do: {pause: {node: shard-1-primary}}, for: 3s..6s}
  - {after: takeover, delay: 300ms, do: {kill: {node: shard-2-primary, signal: KILL}}, for: 4s}
  - {when: {log: {node: any, has: "Failover election won"}}, within: 5s, do: {pause: {node: node-3}}, for: 1500ms}
  - {at: 12s, do: {check: {checks: [slot_coverage, view_agreement]}}}
checks: default
"#,
        );
        assert_eq!(spec.cluster.shards, Spread::exactly(3));
        assert_eq!(spec.checks, None);
        let ids: Vec<&str> = spec.events.iter().map(|event| &*event.id).collect();
        assert_eq!(ids, ["takeover", "e2", "e3", "e4", "e5"]);
        assert_eq!(spec.events[1].start, StartSpec::With("takeover".into()));
        assert_eq!(spec.events[1].lasts, Some(Spread { low: Millis(3000), high: Millis(6000) }));
        assert_eq!(spec.events[2].start, StartSpec::After(vec!["takeover".into()]));
        assert_eq!(spec.events[2].delay, Spread::exactly(Millis(300)));
        let seen = Observation::Log { node: NodeSelector::Any, has: "Failover election won".into() };
        assert_eq!(spec.events[3].start, StartSpec::When(seen));
        assert_eq!(spec.events[3].within, Some(Millis(5000)));
        assert_eq!(spec.events[3].line, 11);
        assert_eq!(spec.events[4].action.name(), "check");
    }

    #[test]
    fn together_hangs_on_its_first_and_in_order_on_the_one_before() {
        let spec = read(
            r"
fuzz: 1
timeline:
  - at: 2s
    id: both
    do:
      together:
        - {do: {pause: {node: node-1}}, delay: 50ms, for: 1s}
        - kill: {node: node-0}
        - {in_order: [{pause: {node: node-2}}, rolling_restart]}
    for: 4s
  - {after: both, do: {pause: {node: node-3}}, for: 1s}
  - {with: both, do: {pause: {node: node-4}}, for: 1s}
",
        );
        let told: Vec<(String, StartSpec, u64, Option<u64>)> = spec
            .events
            .iter()
            .map(|e| (e.id.to_string(), e.start.clone(), e.delay.low.0, e.lasts.map(|l| l.low.0)))
            .collect();
        let with = |id: &str| StartSpec::With(id.to_owned().into());
        let after = |ids: &[&str]| StartSpec::After(ids.iter().map(|id| (*id).to_owned().into()).collect());
        let expected = [
            ("both-2", StartSpec::At(Spread::exactly(Millis(2000))), 0, Some(4000)),
            ("both-1", with("both-2"), 50, Some(1000)),
            ("both-3-1", with("both-2"), 0, Some(4000)),
            ("both-3-2", after(&["both-3-1"]), 0, None),
            ("e2", after(&["both-2", "both-1", "both-3-2"]), 0, Some(1000)),
            ("e3", with("both-2"), 0, Some(1000)),
        ];
        assert_eq!(told, expected.map(|(id, start, delay, lasts)| (id.to_string(), start, delay, lasts)));
    }

    #[test]
    fn a_background_waits_for_the_seed() {
        let spec = read(
            "fuzz: 1\ntimeline:\n  - at: 1s\n    id: hum\n    for: 8s\n    do: {background: {every: 2s..6s, one_of: \
             [{pause: {node: any}}, {do: {kill: {node: any}}, for: 1s..2s}]}}\n",
        );
        assert!(spec.events.is_empty());
        let [background] = &spec.backgrounds[..] else { panic!("one background") };
        assert_eq!(background.id, "hum");
        assert_eq!(background.lasts, Some(Spread::exactly(Millis(8000))));
        assert_eq!(background.one_of.len(), 2);
        assert!(matches!(background.one_of[1].action, Action::Kill(_)));
    }

    #[test]
    fn a_random_scenario_draws_within_its_bounds() {
        let spec = read(
            "fuzz: 1\ncluster: {shards: 3..7, replicas: 0..2}\ndraw: {events: 4..9, over: 12s, from: {kill: 3, \
             pause: 1}, keep: {quorum: true}}\n",
        );
        let draw = spec.draw.expect("a draw");
        assert_eq!(draw.vocabulary, [("kill".to_string(), 3), ("pause".to_string(), 1)]);
        assert!(draw.keep_quorum);
        assert_eq!(spec.cluster.shards, Spread { low: 3, high: 7 });
        assert_eq!(spec.cluster.formation, None);
    }

    #[test]
    fn checks_stand_by_name_or_with_bounds() {
        let spec = read("fuzz: 1\nchecks: [crash, {convergence_time: {within: 20s}}]\ntimeline: []\n");
        let names: Vec<&str> =
            spec.checks.as_deref().unwrap_or_default().iter().map(CheckSpec::name).collect();
        assert_eq!(names, ["crash", "convergence_time"]);
    }

    #[test]
    fn all_mistakes_come_at_once_and_in_order() {
        let found = refuse(
            "fuzz: 1\ntarget: valky\ncluster: {shards: 0}\ntimeline:\n  - {at: 2, do: {kil: {node: node-1}}}\n  \
             - {at: 2s, after: e1, do: {pause: {nod: node-1}}}\n  - {do: {pause: {node: node-1}}, whith: e1}\n",
        );
        let starts: Vec<&str> = found.iter().map(|p| p.split(' ').next().unwrap_or("")).collect();
        assert_eq!(
            starts,
            ["2:9", "3:19", "5:10", "5:18", "6:14", "6:37", "6:38", "7:5", "7:35"],
            "{found:#?}"
        );
        assert!(found[0].contains("did you mean `valkey`?"), "{found:#?}");
        assert!(found[3].contains("did you mean `kill`? known: failover, "), "{found:#?}");
        assert!(found[4].contains("two ways to start, `at` (line 6) and `after`"), "{found:#?}");
        assert!(found[8].contains("did you mean `with`?"), "{found:#?}");
    }

    #[test]
    fn contradictions_are_told_with_their_place() {
        let head = "fuzz: 1\ncluster: {shards: 3..7, replicas: 0..1}\ntimeline:\n";
        // The caret marks where the message must point.
        for (marked, words) in [
            ("- {at: 1s, do: {kill: {node: ^shard-3-primary}}}", "there are at least 3 shards, 0 to 2"),
            ("- {at: 1s, do: {kill: {node: ^node-3}}}", "there are at least 3 nodes, 0 to 2"),
            ("- {at: 1s, do: {kill: {node: ^shard-0-replica}}}", "there may be no replicas in each shard"),
            ("- {at: 1s, do: {^failover: {shard: 0}}}", "a failover needs a replica"),
            ("- {at: 1s, do: {burst: {shard: ^9}}}", "no such shard"),
            ("- {at: 1s, do: {burst: {shard: 1}}, ^for: 2s}", "`burst` does not last"),
            ("- {after: ^nope, do: {kill: {node: any}}}", "no event is called `nope`"),
            ("- {with: ^e1, do: {kill: {node: any}}}", "in a circle: e1 -> e1"),
            (
                "- {after: ^e2, do: {kill: {node: any}}}\n  - {with: e1, do: {kill: {node: any}}}",
                "in a circle: e1 -> e2 -> e1",
            ),
            (
                "- {at: 1s, id: a, do: {kill: {node: any}}}\n  - {at: 1s, id: ^a, do: {kill: {node: any}}}",
                "two events are called `a`",
            ),
            ("- {at: 1s, do: {kill: {node: ^target-of-x}}}", "no event is called `x`"),
            ("- {at: 1s, do: {check: {checks: [^slots]}}}", "unknown check `slots`"),
            ("- {at: 1s, do: {kill: {node: any}, ^pause: {node: any}}}", "got kill and pause"),
            ("- {at: 1s, do: {reshard: {from: 1, to: ^1}}}", "the same shard"),
            (
                "- {at: 1s, do: {pause: {node: node-1}}, for: 4s}\n  - ^{at: 3s, do: {pause: {node: node-1}}, for: 1s}",
                "still in force",
            ),
            (
                "- {at: 1s, do: {cut: {node: node-1}}, for: 4s}\n  - ^{at: 3s, do: {slow: {node: node-1}}, for: 1s}",
                "`slow` lies wholly within the `cut` of `e1` (line ",
            ),
            (
                "- {at: 1s, do: {slow: {node: node-1, jitter: 9ms}}, for: 4s}\n  - ^{at: 3s, do: {slow: {node: node-1, jitter: 9ms, distribution: normal}}, for: 4s}",
                "while `e1` (line 4) spreads them otherwise",
            ),
            ("- {at: 1s, do: {slow: {node: node-1, distribution: ^pareto}}}", "nothing that could be spread"),
            ("- {at: 1s, do: {lossy: {node: node-1, burst: ^0}}}", "a burst has 1 to 1000 messages"),
            (
                "- {at: 1s, do: {lossy: {node: node-1, lose: ^900, burst: 8}}}",
                "lose at most 888 of a thousand",
            ),
            ("- {at: 1s, do: {garble: {node: node-1, share: ^1001}}}", "expected 0 to 1000"),
            ("- {at: 1s, do: {throttle: {node: node-1, rate: ^0}}}", "nothing at all would pass"),
            ("- {at: 1s, do: {cut: {node: node-1, from: ^node-9}}}", "no such node `node-9`"),
            ("- {at: 1s, do: {cut: {node: node-1, from: ^node-65535}}}", "no such node"),
            ("- {at: 1s, do: {cut: {node: ^tool}}}", "expected a node"),
            ("- {at: 1s, do: {cut: {node: node-1, from: ^10.77.255.254}}}", "expected a node"),
            ("- {at: 1s, do: {cut: {node: node-1, from: ^node-1}}}", "no link to itself"),
            ("- {at: 1s, do: {lossy: {node: node-1, lose: ^-5}}}", "-5"),
            ("- {at: 1s, do: {lossy: {node: node-1, lose: ^150%}}}", "150%"),
            ("- {at: 1s, do: {lossy: {node: node-1, lose: ^0}}}", "nothing would be lost"),
            ("- {at: 1s, do: {slow: {node: node-1, delay: ^24h}}}", "24h"),
            ("- {at: 1s, do: {slow: {node: node-1, delay: ^90m}}}", "at most 1m"),
            ("- {at: 1s, do: {slow: {node: node-1, delay: ^0ms}}}", "nothing would be slow"),
            ("- {at: 1s, do: {garble: {node: node-1, share: ^0}}}", "nothing would be struck"),
            (
                "- {at: 1s, do: {cut: {node: node-1}}, for: 4s}\n  - ^{at: 3s, do: {cut: {node: node-1, heal: natural}}, for: 4s}",
                "`cut` of `e1` (line 4) heals otherwise",
            ),
            ("- {at: 1s, do: {strike_link: {from: node-1, to: ^node-9}}}", "no such node `node-9`"),
            ("- {at: 1s, do: {strike_link: {from: node-1, to: node-2, nth: ^0}}}", "counted from 1"),
            ("- {at: 1s, do: {strike_link: {from: node-1, to: node-2, at: ^message}}}", "of which type?"),
            ("- {at: 1s, do: {strike_link: {from: node-1, to: node-2, message: ^FAIL}}}", "counts messages"),
            (
                "- {at: 1s, do: {strike_link: {from: node-1, to: node-2, at: message, message: FAIL, how: ^garble}}}",
                "not in messages",
            ),
            ("- {at: 1s, do: {flap: {node: node-1, down: ^0ms}}}", "expected at least 10ms"),
            ("- {at: 1s, do: {stutter: {node: node-1, run: ^1ms}}}", "expected at least 10ms"),
            ("- {at: 1s, do: {half_open: {node: node-1}}, ^for: 2s}", "lost at once"),
            ("- {at: 1s, do: {restart: {node: node-1, gone: ^2s}}}", "comes back with its data kept"),
            ("- {at: 1s, do: {restart: {node: node-1, data: ^foreign}}}", "whose data?"),
            ("- {at: 1s, do: {restart: {node: node-1, from: ^node-2}}}", "its own data kept"),
            (
                "- {at: 1s, do: {restart: {node: node-1, data: foreign, from: ^node-9}}}",
                "no such node `node-9`",
            ),
            ("- {at: 1s, do: {restart: {node: node-1, data: foreign, from: ^node-1}}}", "are its own"),
            ("- {at: 1s, do: {slow_disk: {node: node-1, delay: ^0ms}}}", "nothing would be slow"),
            (
                "- {at: 1s, do: {slow_disk: {node: node-1, rate: ^100001}}}",
                "could not be told from one without",
            ),
            (
                "- {at: 1s, do: {resolve_fails: {node: node-1, how: late, delay: ^0ms}}}",
                "nothing would be late",
            ),
            ("- {at: 1s, do: {resolve_fails: {node: node-1, how: ^eror}}}", "did you mean `error`?"),
            ("- {at: 1s, do: {bit_flip: {node: node-1, file: ^../x}}}", "no path in the node's folder"),
            ("- {at: 1s, do: {bit_flip: {node: node-1, file: '*.aof', bit: ^8}}}", "the bits 0 to 7"),
            ("- {at: 1s, do: {bit_flip: {node: node-1, file: '*', from_end: ^true}}}", "no `offset`"),
            ("- {at: 1s, do: {cut: {node: node-1, traffic: ^buss}}}", "did you mean `bus`?"),
            (
                "- {at: 1s, do: {reset: {node: node-1, clients: ^true, traffic: bus}}}",
                "clients have no connection of class `bus`",
            ),
            ("- {at: 1s, do: {together: [{^at: 2s, do: {kill: {node: any}}}]}}", "starts with its group"),
            ("- {at: 1s, do: {together: [rolling_restart]}, ^for: 2s}", "nothing in this group lasts"),
            ("- {when: {log: {node: any, has: ^\"\"}}, do: {kill: {node: any}}}", "the empty text"),
            ("- {when: {operation: {client: ^6, number: 1}}, do: {kill: {node: any}}}", "6 clients, 0 to 5"),
            (
                "- {when: {no_primary: {shard: ^7}}, do: {background: {every: 1s, one_of: [{kill: {node: any}}]}}}",
                "no such shard",
            ),
            (
                "- {when: {operation: {client: ^6, number: 1}}, do: {background: {every: 1s, one_of: [{kill: {node: any}}]}}}",
                "6 clients, 0 to 5",
            ),
            (
                "- {at: 1s, do: {^clock_skew: {node: any, behind: 2s}}}\ntarget: embedded",
                "reads a clock that only goes forward",
            ),
            ("- {when: {^rolle: {node: any}}, do: {kill: {node: any}}}", "unknown observation `rolle`"),
        ] {
            let marked = format!("{head}  {marked}\n");
            let (before, _) = marked.split_once('^').expect("a caret");
            let column = before.lines().last().map_or(0, |line| line.chars().count()) + 1;
            let place = format!("{}:{column} ", before.lines().count());
            let found = refuse(&marked.replacen('^', "", 1));
            assert_eq!(found.len(), 1, "{marked}\n{found:#?}");
            assert!(found[0].starts_with(&place), "{marked}\n{found:#?}");
            assert!(found[0].contains(words), "{marked}\n{found:#?}");
        }
    }

    #[test]
    fn target_and_environment_must_offer_what_is_used() {
        let found = refuse("fuzz: 1\ntarget: embedded\ntimeline: [{at: 1s, do: {scale_out: {}}}]\n");
        assert!(found[0].contains("target `embedded` does not offer `scale_out`"), "{found:#?}");
        let found =
            refuse("fuzz: 1\nenvironment: processes\ntimeline: [{at: 1s, do: {cut: {node: node-1}}}]\n");
        assert!(found[0].contains("environment `processes` cannot do `cut`"), "{found:#?}");
        assert!(found[0].contains("environments that can: sim, exact"), "{found:#?}");
        let slow = |fields| {
            let event = format!("{{slow_disk: {{node: node-1, {fields}}}}}");
            format!("fuzz: 1\nenvironment: exact\ntimeline: [{{at: 1s, do: {event}}}]\n")
        };
        let found = refuse(&slow("read: 5ms"));
        assert!(found[0].contains("cannot do `slow_disk`, which needs the ability `reads`"), "{found:#?}");
        assert!(found[0].contains("environments that can: live"), "{found:#?}");
        read(&slow("delay: 5ms"));
        let found = refuse("fuzz: 1\ntarget: embedded\ndraw: {from: [kill, scale_out, check]}\n");
        assert_eq!(found.len(), 2, "{found:#?}");
    }

    #[test]
    fn a_target_is_refused_in_an_environment_where_it_does_not_live() {
        for (target, environment, own) in [("valkey", "sim", "exact"), ("embedded", "processes", "sim")] {
            let text = format!("fuzz: 1\ntarget: {target}\nenvironment: {environment}\ntimeline: []\n");
            let mut problems = Problems::default();
            assert_eq!(parse(text.as_bytes(), &mut problems), None);
            let [problem] = &problems.list[..] else { panic!("{problems:#?}") };
            assert_eq!(problem.span.map(|span| (span.line, span.column)), Some((3, 14)));
            assert!(
                problem.message.contains(&format!("`{target}` does not live in environment `{environment}`"))
            );
            assert!(problem.hint.as_ref().is_some_and(|hint| hint.contains(&format!("environment: {own}"))));
        }
    }

    #[test]
    fn a_pinned_schedule_is_read_and_told_where_it_has_no_effect() {
        for (environment, pinned, warnings) in [
            ("exact", "{policy: starve, key: 7}", 0),
            ("sim", "{key: 7}", 0),
            ("sim", "{policy: starve}", 1),
            ("exact", "{order: off}", 0),
            ("exact", "{order: 3}", 0),
            ("sim", "{order: 1}", 1),
            ("processes", "{key: 7}", 1),
        ] {
            let text = format!("fuzz: 1\nenvironment: {environment}\nschedule: {pinned}\ntimeline: []\n");
            let mut problems = Problems::default();
            let spec = parse(text.as_bytes(), &mut problems).expect("no more than a warning");
            assert_eq!(problems.list.len(), warnings, "{text} {problems:#?}");
            let fields = spec.schedule.write_fields();
            let written: Vec<String> =
                fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            assert_eq!(format!("{{{}}}", written.join(", ")), pinned);
        }
    }

    #[test]
    fn what_has_parts_is_told_at_the_part_that_is_wrong() {
        for (marked, words) in [
            ("cluster: {settings: {save: \"\", ^port: 7}}", "`port` is set by the run itself"),
            ("cluster: {settings: {save: \"\", ^Save: 7}}", "names are of lower-case letters"),
            ("cluster: {settings: {save: ^[1, 2]}}", "expected one value, got a list"),
            ("cluster: {settings: ^[1, 2]}", "expected a mapping of settings to values"),
            ("draw: {keep: {quorum: ^maybe}}", "expected true or false"),
            ("draw: {keep: {^quorom: true}}", "did you mean `quorum`?"),
            ("schedule: {policy: ^burst}", "did you mean `bursts`?"),
            ("schedule: {order: ^4}", "expected `off`, or a number of windows up to 3"),
            ("schedule: {^polcy: bursts}", "did you mean `policy`?"),
            ("draw: {from: [kill, ^[pause]]}", "expected a string, got a list"),
            ("draw: {from: {kill: 1, pause: ^often}}", "expected an integer"),
            ("draw: {from: {kill: 1, ^pauze: 1}}", "did you mean `pause`?"),
        ] {
            let marked = format!("fuzz: 1\ntimeline: []\n{marked}\n");
            let column = marked.lines().last().and_then(|line| line.find('^')).expect("a caret") + 1;
            let found = refuse(&marked.replacen('^', "", 1));
            assert_eq!(found.len(), 1, "{marked}\n{found:#?}");
            assert!(found[0].starts_with(&format!("3:{column} ")), "{marked}\n{found:#?}");
            assert!(found[0].contains(words), "{marked}\n{found:#?}");
        }
    }

    #[test]
    fn mistakes_in_a_mix_and_in_bugs_are_told_where_they_stand() {
        let found = refuse(
            "fuzz: 1\nload: {mix: {sett: 4, get: x}, rat: 1/s}\ntimeline: []\nbugs: [ack_before_decide]\n",
        );
        let starts: Vec<&str> = found.iter().map(|p| p.split(' ').next().unwrap_or("")).collect();
        assert_eq!(starts, ["2:14", "2:28", "2:32", "4:8"], "{found:#?}");
        assert!(found[3].contains("did you mean `ack_before_decided`?"), "{found:#?}");
    }

    #[test]
    fn a_file_comes_to_no_more_events_than_can_be_looked_at() {
        let many = "fuzz: 1\ntimeline:\n".to_string() + &"- {at: 1s, do: rolling_restart}\n".repeat(2001);
        assert!(refuse(&many)[0].contains("more than 2000 events"));
        assert!(refuse("fuzz: 1\ndraw: {events: 1..9999}\n")[0].contains("expected at most 200"));
        // A long chain, each link waiting for the one before, is no circle and takes no stack.
        let link = |n: usize| format!("- {{id: c{n}, after: c{}, do: rolling_restart}}\n", n + 1);
        let chain: String = (0..1500).map(link).collect();
        let whole = format!("fuzz: 1\ntimeline:\n{chain}- {{id: c1500, at: 1s, do: rolling_restart}}\n");
        assert_eq!(read(&whole).events.len(), 1501);
        let closed = whole.replace("at: 1s", "after: c0");
        assert!(refuse(&closed)[0].contains("in a circle: c0 -> c1 -> "));
    }

    #[test]
    fn a_file_of_no_form_is_told_what_a_scenario_needs() {
        assert!(refuse("name: x\n").iter().any(|message| message.contains("scenario_id")));
        assert!(refuse("fuzz: 2\ntimeline: []\n")[0].contains("expected 1"));
        assert!(refuse("fuzz: 1\n")[0].contains("`timeline` and `draw` are both missing"));
        assert!(refuse("fuzz: 1\ntimeline: []\nprofile: x\n")[0].contains("without generator and catalogue"));
    }
}
