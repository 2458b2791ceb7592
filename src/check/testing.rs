//! Hand-made records for the tests of the checks: a healthy cluster, and the ways in which a test harms it.
//!
//! Times are milliseconds from the environment's start. The cluster is healthy at 5 s and is looked at every
//! second; `healthy` ends the run at 10 s and settles it. A test that needs more calls `run_until` and `settle`
//! again: a node that is dead or stopped by then is silent in the views that follow.

use super::{default_spec, facts::SLOTS};
use crate::catalogue::{Action, CheckSpec};
use crate::entropy::Seed;
use crate::env::{ConnId, Exit, NodeId};
use crate::history::{Key, KeyKind, OpKind, Operation, Outcome, Stamp, Value};
use crate::run::record::{Applied, CatchUp, KeyDump, Last, Life, LogLine, Record, SlotAnswer, Status};
use crate::run::view::{ClusterView, Member, NodeReport, NodeView, Replication};
use crate::time::{Micros, Millis};
use crate::timeline::{Cluster, Event, Formation, Load, Role, Schedule, Settings, Start, Timeline};
use crate::yaml::document::{Key as YamlKey, Node, Problems, Span, Value as YamlValue};
use std::collections::BTreeMap;

pub const fn ms(millis: u64) -> Micros {
    Micros(millis * 1000)
}

/// The cluster id of a node.
pub fn node_id(node: u16) -> String {
    format!("{node:040x}")
}

/// Every check of a sharded cluster with its defaults; those that only expect what a scenario says expect what holds in a healthy run.
pub fn checks() -> Vec<CheckSpec> {
    let check = |name: &&str| {
        let claim = match *name {
            "service" => "least: 1",
            "leadership" => "term: kept",
            "injection" => "down_most: 1",
            name => return default_spec(name).expect("every field has a default"),
        };
        let text = format!("fuzz: 1\nchecks: [{{{name}: {{expect: [{{{claim}}}]}}}}]\ntimeline: []\n");
        let mut problems = Problems::default();
        let spec = crate::spec::parse::parse(text.as_bytes(), &mut problems).expect("it reads");
        assert!(!problems.has_errors(), "{:?}", problems.list);
        spec.checks.expect("it has one").remove(0)
    };
    let of_groups = ["one_leader", "watch", "ephemerals", "bank", "leases", "refusals", "queue", "removals"];
    let sharded = |name: &&&str| !of_groups.contains(*name);
    CheckSpec::NAMES.iter().filter(sharded).map(check).collect()
}

/// `r:9` as a key.
pub fn key(text: &str) -> Key {
    let (kind, number) = text.split_once(':').expect("a kind and a number");
    Key { kind: KeyKind::from_text(kind).expect("a kind"), number: number.parse().expect("a number") }
}

pub fn text(value: &str) -> Value {
    Value::Text(value.into())
}
pub fn list(items: &[&str]) -> Value {
    Value::List(items.iter().map(ToString::to_string).collect())
}
pub fn set(items: &[&str]) -> Value {
    Value::Set(items.iter().map(ToString::to_string).collect())
}

/// Reads `name: {field: value, ...}`.
fn action(text: &str) -> Action {
    let (name, fields) = text.split_once(':').expect("a name and its fields");
    let fields = fields.trim().trim_start_matches('{').trim_end_matches('}');
    let scalar = |text: &str| Node {
        span: Span::default(),
        value: YamlValue::Scalar { text: text.trim().into(), quoted: false },
    };
    let pairs = fields.split(',').filter(|pair| !pair.trim().is_empty()).map(|pair| {
        let (key, value) = pair.split_once(':').expect("a field and its value");
        (YamlKey { text: key.trim().into(), span: Span::default() }, scalar(value))
    });
    let node = Node { span: Span::default(), value: YamlValue::Map(pairs.collect()) };
    let mut problems = Problems::default();
    let action = Action::read(name.trim(), &node, name, &mut problems);
    assert!(problems.list.is_empty(), "{text}: {:?}", problems.list);
    action.expect("an action of the catalogue")
}

#[derive(Debug)]
pub struct Scene {
    pub record: Record,
    /// What each node would say now.
    now: Vec<NodeReport>,
    sequence: u64,
}

impl Scene {
    pub fn new(shards: u16, replicas: u16) -> Self {
        let cluster = Cluster {
            shards,
            replicas,
            formation: Formation::Written,
            settings: Settings::default(),
            password: false,
            acl_user: false,
            base_port: None,
        };
        let timeline = Timeline {
            seed: Seed(1),
            generator: "test/1".into(),
            catalogue: 1,
            profile: "processes/1".into(),
            name: None,
            target: "valkey".into(),
            environment: "processes".into(),
            cluster,
            load: Load::default(),
            length: Millis(10_000),
            events: Vec::new(),
            checks: Vec::new(),
            bugs: Vec::new(),
            schedule: Schedule::default(),
        };
        let nodes = timeline.cluster.nodes();
        let members: Vec<Member> = (0..nodes).map(|node| member(&timeline.cluster, node)).collect();
        let now = (0..nodes).map(|node| report(&members, node)).collect();
        let lives = (0..nodes)
            .map(|node| Life {
                node: NodeId(node),
                incarnation: 1,
                started: ms(100),
                ended: None,
                signalled: Vec::new(),
                paused: Vec::new(),
                stale: None,
            })
            .collect();
        let record = Record {
            timeline,
            healthy_at: ms(5000),
            healed_at: ms(10_000),
            load_stopped_at: ms(10_000),
            applied: Vec::new(),
            history: Vec::new(),
            operations_skipped: 0,
            views: Vec::new(),
            last: None,
            lives,
            log_lines: Vec::new(),
            stretches: Vec::new(),
            watches: Vec::new(),
            sessions: Vec::new(),
            sights: Vec::new(),
            transfers: Vec::new(),
            audits: Vec::new(),
            leases: Vec::new(),
            demands: Vec::new(),
            vigils: Vec::new(),
            strokes: Vec::new(),
            queue: Vec::new(),
            removables: Vec::new(),
            ended_early: None,
            said: Vec::new(),
            messages: Vec::new(),
        };
        Self { record, now, sequence: 0 }
    }
    pub fn checks(mut self, checks: Vec<CheckSpec>) -> Self {
        self.record.timeline.checks = checks;
        self
    }
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.record.timeline.cluster.settings.0.insert(name.into(), value.into());
        self
    }
    pub fn target(mut self, target: &str) -> Self {
        self.record.timeline.target = target.into();
        self
    }

    /// A few operations on a key of each kind per shard, looks up to 10 s, and a settled end.
    pub fn healthy(mut self) -> Self {
        let cluster = self.record.timeline.cluster.clone();
        let mut dump = Vec::new();
        for shard in 0..cluster.shards {
            let owner = cluster.node(shard, 0);
            let at = 6000 + 100 * u64::from(shard);
            let name = |kind: &str| format!("{kind}:{shard}");
            self.set(owner, &name("r"), "a", at);
            self.set(owner, &name("r"), "b", at + 10);
            self.get(owner, &name("r"), Some("b"), at + 20);
            self.op(owner, OpKind::Incr, &name("c"), None, Outcome::Ok(Value::Number(1)), at + 30, at + 31);
            self.op(
                owner,
                OpKind::Append,
                &name("l"),
                Some("x"),
                Outcome::Ok(Value::Number(1)),
                at + 40,
                at + 41,
            );
            self.op(
                owner,
                OpKind::Add,
                &name("s"),
                Some("x"),
                Outcome::Ok(Value::Number(1)),
                at + 50,
                at + 51,
            );
            let held = [("r", text("b")), ("c", Value::Number(1)), ("l", list(&["x"])), ("s", set(&["x"]))];
            for (kind, value) in held {
                let replicas =
                    (1..=cluster.replicas).map(|n| (NodeId(cluster.node(shard, n)), Ok(value.clone())));
                dump.push(KeyDump {
                    key: key(&name(kind)),
                    slot: cluster.slots(shard).0,
                    replicas: replicas.collect(),
                    value: Ok(value),
                    strays: Vec::new(),
                });
            }
        }
        self.run_until(10_000);
        self.settle();
        self.last().dump = dump;
        self
    }

    /// Looks every second up to a moment, at which the safety phase ends.
    pub fn run_until(&mut self, until: u64) {
        let mut at = self.record.views.last().map_or(5000, |view| view.at.0 / 1000 + 1000);
        while at <= until {
            let view = self.view(at);
            self.record.views.push(view);
            at += 1000;
        }
        self.record.healed_at = ms(until);
        self.record.load_stopped_at = ms(until);
    }

    fn view(&self, at: u64) -> ClusterView {
        let awake = |node: NodeId| {
            self.record.lives.iter().any(|life| {
                life.node == node
                    && life.started <= ms(at)
                    && life.ended.is_none_or(|(ended, _)| ended > ms(at))
                    && !super::facts::paused_at(life, ms(at))
            })
        };
        let nodes = self.now.iter().enumerate().map(|(node, report)| {
            let node = NodeId(node as u16);
            let report = if awake(node) { Ok(report.clone()) } else { Err("no answer".into()) };
            NodeView { node, at: ms(at), report }
        });
        ClusterView { at: ms(at), nodes: nodes.collect() }
    }

    /// The end of the run two seconds after the safety phase; what was dumped before stays.
    pub fn settle(&mut self) {
        let at = self.record.healed_at.0 / 1000 + 2000;
        let view = self.view(at);
        let mut owners: Vec<Option<NodeId>> = vec![None; usize::from(SLOTS)];
        for (node, report) in view.answered() {
            for &(first, last) in report.own_slots() {
                owners[usize::from(first)..=usize::from(last)].fill(Some(node));
            }
        }
        let mut slots: Vec<SlotAnswer> = Vec::new();
        for (slot, owner) in owners.into_iter().enumerate() {
            let slot = slot as u16;
            match slots.last_mut() {
                Some(answer) if answer.owner == owner => answer.last = slot,
                _ => {
                    let answer =
                        owner.map(|_| ()).ok_or_else(|| "CLUSTERDOWN Hash slot not served".to_string());
                    slots.push(SlotAnswer { first: slot, last: slot, owner, answer });
                }
            }
        }
        let replicas = view.answered().filter_map(|(replica, report)| {
            let id = report.myself()?.primary.as_deref()?;
            let (primary, _) = view.answered().find(|(_, other)| other.id == id)?;
            Some(CatchUp {
                primary,
                primary_offset: 1000,
                replica,
                replica_offset: Some(1000),
                link_up: true,
                same_replication_id: true,
                after: Some(Millis(0)),
                last_io_s: Some(1),
            })
        });
        let catch_up = replicas.collect();
        let dump = self.record.last.take().map(|last| last.dump).unwrap_or_default();
        self.record.last = Some(Last {
            view,
            settled_at: Some(ms(at - 1000)),
            bound: Millis(30_000),
            bound_why: "test".into(),
            slots,
            dump,
            catch_up,
            left_dead: Vec::new(),
            removed: Vec::new(),
        });
    }

    /// An event that was carried out.
    pub fn apply(&mut self, id: &str, what: &str, started: u64, ended: Option<u64>, resolved: &[u16]) {
        let action = action(what);
        self.record.applied.push(Applied {
            event: id.into(),
            action: action.name().into(),
            resolved: resolved.iter().copied().map(NodeId).collect(),
            detail: String::new(),
            started: ms(started),
            ended: ended.map(ms),
            status: Status::Applied,
            steps: Vec::new(),
            slots: Vec::new(),
            slots_left_open: Vec::new(),
            links: Vec::new(),
        });
        let start = Start::At(Millis(started));
        let event =
            Event { id: id.to_owned().into(), start, delay: Millis(0), within: None, action, lasts: None };
        self.record.timeline.events.push(event);
    }
    pub fn admin(&mut self, id: &str, at: u64) {
        self.apply(id, "admin: {node: node-0, command: bumpepoch}", at, Some(at), &[0]);
    }
    /// SIGKILL; the node comes back with its data at `back`, or not at all.
    pub fn kill(&mut self, id: &str, node: u16, at: u64, back: Option<u64>) {
        self.apply(id, &format!("kill: {{node: node-{node}}}"), at, back, &[node]);
        self.life(node).ended = Some((ms(at), Exit::Signal(9)));
        self.life(node).signalled.push((id.into(), 9));
        if let Some(back) = back {
            self.start(node, back, None);
        }
    }
    /// A new process of a node.
    pub fn start(&mut self, node: u16, at: u64, stale: Option<&str>) {
        let incarnation = self.life(node).incarnation + 1;
        self.record.lives.push(Life {
            node: NodeId(node),
            incarnation,
            started: ms(at),
            ended: None,
            signalled: Vec::new(),
            paused: Vec::new(),
            stale: stale.map(Into::into),
        });
    }
    pub fn pause(&mut self, id: &str, node: u16, from: u64, until: u64) {
        self.apply(id, &format!("pause: {{node: node-{node}}}"), from, Some(until), &[node]);
        self.life(node).paused.push((ms(from), Some(ms(until))));
    }
    /// `heir` has the slots of `old` from now on, in every node's eyes, and `old` is its replica.
    pub fn promote(&mut self, heir: u16, old: u16) {
        let epoch = self.now[0].current_epoch + 1;
        for report in &mut self.now {
            report.current_epoch = epoch;
            let slots = std::mem::take(&mut report.members[usize::from(old)].slots);
            let new = &mut report.members[usize::from(heir)];
            (new.role, new.primary, new.slots, new.config_epoch) = (Role::Primary, None, slots, epoch);
            let former = &mut report.members[usize::from(old)];
            (former.role, former.primary) = (Role::Replica, Some(node_id(heir)));
        }
        self.now[usize::from(heir)].replication.role = Role::Primary;
        self.now[usize::from(old)].replication.role = Role::Replica;
    }
    /// A replica follows another primary from now on, by everybody's word.
    pub fn follow(&mut self, node: u16, primary: u16) {
        for report in &mut self.now {
            report.members[usize::from(node)].primary = Some(node_id(primary));
        }
    }
    /// A node has another id from now on and knows nobody; the others go on listing the old one.
    pub fn stranger(&mut self, node: u16) {
        let report = &mut self.now[usize::from(node)];
        report.id = node_id(1000 + node);
        for member in report.members.iter_mut().filter(|member| member.myself) {
            (member.id, member.slots) = (node_id(1000 + node), Vec::new());
        }
        report.members.retain(|member| member.myself);
        for (_, other) in self.now.iter_mut().enumerate().filter(|(other, _)| *other != usize::from(node)) {
            other.members[usize::from(node)].fail = true;
        }
    }
    /// All but the node itself list its old id without a slot from now on.
    pub fn forgotten(&mut self, node: u16) {
        for (_, other) in self.now.iter_mut().enumerate().filter(|(other, _)| *other != usize::from(node)) {
            other.members[usize::from(node)].slots.clear();
        }
    }
    /// The slots of a node in every node's eyes from now on.
    pub fn claims(&mut self, node: u16, slots: &[(u16, u16)]) {
        for report in &mut self.now {
            report.members[usize::from(node)].slots = slots.to_vec();
        }
    }
    /// What a node reports of its link from now on.
    pub fn link(&mut self, node: u16, up: bool) {
        self.now[usize::from(node)].replication.link_up = up;
    }
    /// The replication offset that a node reports from now on.
    pub fn offset(&mut self, node: u16, offset: u64) {
        self.now[usize::from(node)].replication.offset = offset;
    }
    pub fn state(&mut self, node: u16, state: &str) {
        self.now[usize::from(node)].state = state.into();
    }
    pub fn log(&mut self, node: u16, at: u64, line: &str) {
        let incarnation = self.life(node).incarnation;
        self.record.log_lines.push(LogLine {
            at: ms(at),
            node: NodeId(node),
            incarnation,
            line: line.into(),
        });
    }

    /// The latest process of a node.
    pub fn life(&mut self, node: u16) -> &mut Life {
        self.record.lives.iter_mut().rev().find(|life| life.node == NodeId(node)).expect("a process")
    }
    pub fn last(&mut self) -> &mut Last {
        self.record.last.as_mut().expect("settled")
    }
    pub fn last_report(&mut self, node: u16) -> &mut NodeReport {
        self.last().view.nodes[usize::from(node)].report.as_mut().expect("an answer")
    }
    /// What the last view's `teller` says about `about`.
    pub fn last_member(&mut self, teller: u16, about: u16) -> &mut Member {
        let view = &mut self.last().view;
        Self::member_in(view, teller, about)
    }
    pub fn member_in(view: &mut ClusterView, teller: u16, about: u16) -> &mut Member {
        let report = view.nodes[usize::from(teller)].report.as_mut().expect("an answer");
        report.members.iter_mut().find(|member| member.node == Some(NodeId(about))).expect("a member")
    }
    pub fn report(&mut self, view: usize, node: u16) -> &mut NodeReport {
        self.record.views[view].nodes[usize::from(node)].report.as_mut().expect("an answer")
    }
    /// A node does not answer in the last view.
    pub fn silence(&mut self, node: u16) {
        self.last().view.nodes[usize::from(node)].report = Err("timed out".into());
    }
    /// The first range of answers is split after this slot.
    pub fn split_answer(&mut self, slot: u16) {
        let answers = &mut self.last().slots;
        let rest = SlotAnswer { first: slot + 1, ..answers[0].clone() };
        answers[0].last = slot;
        answers.insert(1, rest);
    }
    /// What the owner holds of a key at the end.
    pub fn holds(&mut self, name: &str, slot: u16, value: Value) {
        let wanted = key(name);
        let dump = &mut self.last().dump;
        match dump.iter_mut().find(|one| one.key == wanted) {
            Some(one) => one.value = Ok(value),
            None => dump.push(KeyDump {
                key: wanted,
                slot,
                value: Ok(value),
                replicas: Vec::new(),
                strays: Vec::new(),
            }),
        }
    }

    pub fn set(&mut self, node: u16, name: &str, value: &str, at: u64) {
        self.op(node, OpKind::Set, name, Some(value), Outcome::Ok(Value::Missing), at, at + 1);
    }
    pub fn get(&mut self, node: u16, name: &str, value: Option<&str>, at: u64) {
        let value = value.map_or(Value::Missing, text);
        self.op(node, OpKind::Get, name, None, Outcome::Ok(value), at, at + 1);
    }
    pub fn op(
        &mut self,
        node: u16,
        kind: OpKind,
        name: &str,
        argument: Option<&str>,
        outcome: Outcome,
        invoke: u64,
        complete: u64,
    ) -> &mut Operation {
        let mut stamp = |at: u64| {
            self.sequence += 1;
            Stamp { order: at * 1000 + self.sequence, logical: ms(at), wall: ms(at) }
        };
        let (invoke, complete) = (stamp(invoke), stamp(complete));
        let index = self.sequence;
        let operation = Operation {
            client: 0,
            index,
            kind,
            key: key(name),
            argument: argument.map(Into::into),
            invoke,
            complete,
            outcome,
            node: Some(NodeId(node)),
            connection: Some(ConnId(u64::from(node))),
            redirects: Vec::new(),
            waited: None,
            transaction: None,
        };
        self.record.history.push(operation);
        self.record.history.sort_by_key(|operation| operation.complete.order);
        self.record.history.iter_mut().find(|operation| operation.index == index).expect("just put in")
    }
}

fn member(cluster: &Cluster, node: u16) -> Member {
    let (shard, replica) = (node / (1 + cluster.replicas), node % (1 + cluster.replicas));
    let primary = cluster.node(shard, 0);
    Member {
        id: node_id(node),
        node: Some(NodeId(node)),
        role: if replica == 0 { Role::Primary } else { Role::Replica },
        primary: (replica != 0).then(|| node_id(primary)),
        myself: false,
        fail: false,
        maybe_fail: false,
        handshake: false,
        noaddr: false,
        config_epoch: u64::from(shard) + 1,
        link_up: true,
        slots: if replica == 0 { vec![cluster.slots(shard)] } else { Vec::new() },
        migrating: Vec::new(),
        importing: Vec::new(),
    }
}

fn report(members: &[Member], node: u16) -> NodeReport {
    let mut members = members.to_vec();
    members[usize::from(node)].myself = true;
    let me = members[usize::from(node)].clone();
    let stream = me.primary.clone().unwrap_or_else(|| me.id.clone());
    NodeReport {
        id: me.id,
        state: "ok".into(),
        current_epoch: members.iter().map(|member| member.config_epoch).max().unwrap_or(0),
        replication: Replication {
            role: me.role,
            link_up: true,
            sync_in_progress: false,
            offset: 1000,
            replication_id: stream,
            last_io_s: (me.role == Role::Replica).then_some(1),
            link_down_s: None,
        },
        members,
    }
}

/// The classes of a judgement as pairs, for short assertions.
pub fn classes(judgement: &super::Judgement) -> BTreeMap<&str, u64> {
    judgement.classes.iter().map(|(class, count)| (class.as_str(), *count)).collect()
}
