//! What each part of a scenario means beside the others: contradictions that a glance at one line cannot show.
//!
//! Shards, nodes and replicas that are not there, actions that the target does not offer or the environment
//! cannot carry out, a duration on something that does not last; `order` adds what is wrong about when events start.
//! With a spread in the cluster's shape, the lower end counts: a written event must have its place under every
//! seed. All is pure, and everything found is reported with its place.

use super::events::{Act, Events};
use super::forms::{suggest, targets};
use super::parts::get;
use super::{Spec, StartSpec, links, order};
use crate::catalogue::{ACTIONS, Ability, Action, CheckSpec, NodeSelector};
use crate::env::{PROFILES, Profile, SIM, own_of};
use crate::target::embedded::bugs::BUGS;
use crate::timeline::Observation;
use crate::yaml::document::{Node, Problems, Span, Value};
use crate::yaml::fields::{Field, FieldInfo, Record as _};

/// Reports every contradiction of a file whose parts have been read.
pub fn check(spec: &Spec, file: &Node, events: &Events<'_>, problems: &mut Problems) {
    let room = Room::of(spec, events);
    lives(spec, file, problems);
    for act in &events.acts {
        offered(spec, act, problems);
        lasting(act, problems);
        fields(act, &room, events, problems);
        parameters(act, &room, problems);
        links::parameters(act, problems);
    }
    common_target(spec, events, problems);
    vocabulary(spec, file, problems);
    observations(spec, events, &room, problems);
    load(spec, file, &room, problems);
    bugs(spec, file, problems);
    schedule(spec, file, problems);
    order::circles(events, problems);
    order::anchored_only(events, problems);
    // What the generator made may overlap and may end late; a person who writes so has made a mistake.
    if spec.origin.is_none() {
        order::after_the_end(spec, events, problems);
        order::overlaps(events, problems);
        order::within_cuts(events, problems);
        links::contradictions(events, problems);
        links::heals(events, problems);
    }
}

/// What is there at least, whatever the seed draws: at the start, and with what operations may add.
struct Room {
    shards: u16,
    replicas: u16,
    nodes: u16,
    /// Whether the shape has a spread, for the message.
    drawn: bool,
}

impl Room {
    fn of(spec: &Spec, events: &Events<'_>) -> Self {
        let added = |name: &str| events.acts.iter().filter(|act| act.action.name() == name).count() as u16;
        let (out, more) = (added("scale_out"), added("add_replica"));
        let cluster = &spec.cluster;
        let start = cluster.shards.low.saturating_mul(cluster.replicas.low.saturating_add(1));
        Self {
            shards: cluster.shards.low.saturating_add(out),
            replicas: cluster.replicas.low.saturating_add(more),
            nodes: start.saturating_add(out).saturating_add(more),
            drawn: cluster.shards.low != cluster.shards.high || cluster.replicas.low != cluster.replicas.high,
        }
    }

    fn count(&self, count: u16, what: &str) -> String {
        let least = if self.drawn { "at least " } else { "" };
        match count {
            0 if self.drawn => format!("there may be no {what}s"),
            0 => format!("there are no {what}s"),
            1 => format!("there is {least}1 {what}, number 0"),
            _ => format!("there are {least}{count} {what}s, 0 to {}", count - 1),
        }
    }

    /// Why a selector has no place here, with the way to mend it.
    fn lacks(&self, selector: &NodeSelector) -> Option<(String, String)> {
        let shape = || "count from 0, or make the cluster larger".to_string();
        match selector {
            NodeSelector::Primary(shard) | NodeSelector::Replica(shard, _) if *shard >= self.shards => {
                Some((self.count(self.shards, "shard"), shape()))
            }
            NodeSelector::Replica(_, replica) if *replica >= self.replicas => {
                Some((format!("{} in each shard", self.count(self.replicas, "replica")), shape()))
            }
            NodeSelector::AnyReplica if self.replicas == 0 => {
                Some((self.count(0, "replica"), "give the cluster `replicas: 1`".into()))
            }
            NodeSelector::Node(node) if *node >= self.nodes => {
                Some((self.count(self.nodes, "node"), shape()))
            }
            NodeSelector::AnyOf(nodes) if nodes.iter().any(|node| *node >= self.nodes) => {
                Some((self.count(self.nodes, "node"), shape()))
            }
            _ => None,
        }
    }
}

fn profile(spec: &Spec) -> Option<&'static Profile> {
    let name = spec.environment.as_deref()?;
    PROFILES.iter().copied().find(|profile| profile.name == name)
}

/// The target's nodes live in the environment, where both are named.
fn lives(spec: &Spec, file: &Node, problems: &mut Problems) {
    let Some((target, profile)) = spec.target.as_deref().zip(profile(spec)) else { return };
    let Some((_, value)) = get(file, "environment") else { return };
    if let Some(why) = profile.lacks(target) {
        let own = own_of(target);
        let problem = problems.error(
            Some(value.span),
            "environment",
            &value.as_written(),
            format!("environment: {why}"),
        );
        if let Some(own) = own {
            problem.hint(format!("write `environment: {}`, or leave it out", own.name));
        }
    }
}

/// The target offers the action, and the environment can carry it out.
fn offered(spec: &Spec, act: &Act<'_>, problems: &mut Problems) {
    let info = act.action.info();
    let mut report = |message: String, hint: String| {
        problems.error(Some(act.span), &act.path, info.name, message).hint(hint);
    };
    if let Some(target) = spec.target.as_deref()
        && !info.targets.contains(&target)
    {
        let others: Vec<&str> =
            ACTIONS.iter().filter(|info| info.targets.contains(&target)).map(|info| info.name).collect();
        report(
            format!("{}: target `{target}` does not offer `{}`", act.path, info.name),
            format!(
                "`{}` is offered by {}; `{target}` offers {}",
                info.name,
                info.targets.join(", "),
                others.join(", ")
            ),
        );
    } else if let Some(profile) = profile(spec)
        && let needs = act.action.needs()
        && !profile.offers(needs)
    {
        report(
            format!(
                "{}: environment `{}` cannot do `{}`, which needs the ability `{}`",
                act.path,
                profile.name,
                info.name,
                needs.as_str()
            ),
            able(needs),
        );
    } else if let Action::ClockSkew(skew) = &act.action
        && !skew.behind.is_zero()
        && (profile(spec).is_some_and(|profile| profile.name == SIM.name)
            || spec.target.as_deref() == Some("embedded"))
    {
        report(
            format!("{}: the embedded cluster reads a clock that only goes forward", act.path),
            "leave `behind` out, or run a real server: `target: valkey`".into(),
        );
    }
}

/// The environments that have an ability.
fn able(needs: Ability) -> String {
    let able = PROFILES.iter().filter(|profile| profile.offers(needs)).map(|profile| profile.name);
    format!("environments that can: {}", able.collect::<Vec<_>>().join(", "))
}

/// Without a target there must be one that offers everything.
fn common_target(spec: &Spec, events: &Events<'_>, problems: &mut Problems) {
    if spec.target.is_some() {
        return;
    }
    let mut left = targets();
    for act in &events.acts {
        let info = act.action.info();
        let before = left.clone();
        left.retain(|target| info.targets.contains(target));
        if left.is_empty() {
            let message = format!(
                "{}: no target offers `{}` beside what stands before it, which {} offers",
                act.path,
                info.name,
                before.join(", ")
            );
            problems.error(Some(act.span), &act.path, info.name, message).hint(format!(
                "`{}` is offered by {}",
                info.name,
                info.targets.join(", ")
            ));
            return;
        }
    }
}

fn vocabulary(spec: &Spec, file: &Node, problems: &mut Problems) {
    let Some((draw, target)) = spec.draw.as_ref().zip(spec.target.as_deref()) else { return };
    let Some((_, from)) = get(file, "draw").and_then(|(_, draw)| get(draw, "from")) else { return };
    for (position, (name, _)) in draw.vocabulary.iter().enumerate() {
        let Some(info) = ACTIONS.iter().find(|info| info.name == name) else { continue };
        let span = match &from.value {
            Value::List(items) => items.get(position).map(|item| item.span),
            Value::Map(pairs) => pairs.get(position).map(|(key, _)| key.span),
            _ => None,
        };
        let able = profile(spec).is_none_or(|profile| profile.offers(info.needs));
        if !info.targets.contains(&target) {
            problems
                .error(
                    span,
                    "draw.from",
                    name,
                    format!("draw.from: target `{target}` does not offer `{name}`"),
                )
                .hint(format!("`{name}` is offered by {}", info.targets.join(", ")));
        } else if !able {
            problems.error(
                span,
                "draw.from",
                name,
                format!("draw.from: this environment cannot do `{name}`"),
            );
        }
    }
}

/// Only what lasts has a `for:`.
fn lasting(act: &Act<'_>, problems: &mut Problems) {
    let info = act.action.info();
    if let Some(span) = act.lasts.filter(|_| !info.lasting) {
        let hint = match info.name {
            "restart" => "how long the node is down is its field `down`".to_string(),
            "burst" => "how long it lasts is its field `length`".to_string(),
            _ => {
                let lasting: Vec<&str> =
                    ACTIONS.iter().filter(|info| info.lasting).map(|info| info.name).collect();
                format!("leave `for` out; what lasts: {}", lasting.join(", "))
            }
        };
        let message = format!("{}: `{}` does not last, so `for` has no meaning", act.path, info.name);
        problems.error(Some(span), &act.path, "for", message).hint(hint);
    }
}

/// Every selector and shard number in the fields of an action.
fn fields(act: &Act<'_>, room: &Room, events: &Events<'_>, problems: &mut Problems) {
    let Some(Node { value: Value::Map(pairs), .. }) = act.fields else { return };
    let Some((_, declared)) = Action::FIELDS.iter().find(|(name, _)| *name == act.action.name()) else {
        return;
    };
    for (key, value) in pairs {
        let Some(info) = declared.iter().find(|info| info.name == key.text) else { continue };
        let path = format!("{}.{}", act.path, key.text);
        if is_selector(info) {
            if let Some(selector) = NodeSelector::from_text(value.text()) {
                selects(&selector, value, &path, room, events, problems);
            }
        } else if is_shard(info)
            && let Ok(shard) = u16::read(value)
        {
            shard_exists(shard, value.span, &path, room, problems);
        }
    }
}

fn is_selector(info: &FieldInfo) -> bool {
    (info.expected)() == NodeSelector::expected()
}
fn is_shard(info: &FieldInfo) -> bool {
    (info.expected)() == u16::expected() && matches!(info.name, "shard" | "from" | "to")
}

fn selects(
    selector: &NodeSelector,
    value: &Node,
    path: &str,
    room: &Room,
    events: &Events<'_>,
    problems: &mut Problems,
) {
    if let Some((message, hint)) = room.lacks(selector) {
        let message = format!("{path}: no such node `{selector}`: {message}");
        problems.error(Some(value.span), path, &value.as_written(), message).hint(hint);
    }
    if let NodeSelector::SameAs(id) = selector
        && !events.is_event(id)
    {
        problems
            .error(Some(value.span), path, &value.as_written(), format!("{path}: no event is called `{id}`"))
            .hint(suggest(id, &events.names()));
    }
}

fn shard_exists(shard: u16, span: Span, path: &str, room: &Room, problems: &mut Problems) {
    if shard >= room.shards {
        let message = format!("{path}: no such shard: {}", room.count(room.shards, "shard"));
        problems
            .error(Some(span), path, &shard.to_string(), message)
            .hint("shards count from 0; with a spread, the lower end must do");
    }
}

/// What single actions need beside their fields' types.
fn parameters(act: &Act<'_>, room: &Room, problems: &mut Problems) {
    let place =
        |name: &str| act.fields.and_then(|fields| get(fields, name)).map_or(act.span, |(_, node)| node.span);
    let mut report = |span: Span, offending: &str, message: &str, hint: &str| {
        problems.error(Some(span), &act.path, offending, format!("{}: {message}", act.path)).hint(hint);
    };
    match &act.action {
        Action::Failover(failover) => {
            if room.replicas == 0 {
                report(
                    act.span,
                    "failover",
                    "a failover needs a replica, and there are none",
                    "give the cluster `replicas: 1`",
                );
            }
            match (&failover.shard, &failover.of) {
                (None, None) => report(
                    act.span,
                    "failover",
                    "nothing says which primary is to be replaced",
                    "give `shard: 1` or `of: node-3`",
                ),
                (Some(_), Some(_)) => report(
                    place("of"),
                    "of",
                    "`shard` and `of` both say which primary is to be replaced",
                    "keep one of them",
                ),
                _ => {}
            }
        }
        Action::RemoveReplica(_) if room.replicas == 0 => {
            report(
                act.span,
                "remove_replica",
                "there is no replica to remove",
                "give the cluster `replicas: 1`",
            );
        }
        Action::Reshard(reshard) => {
            if reshard.from == reshard.to {
                report(
                    place("to"),
                    "to",
                    "`from` and `to` are the same shard",
                    "move the slots to another shard",
                );
            }
            if reshard.slots == 0 || reshard.slots > 16384 {
                report(
                    place("slots"),
                    &reshard.slots.to_string(),
                    "expected 1 to 16384 slots",
                    "leave `slots` out for 4",
                );
            }
        }
        Action::Drain(drain) if drain.shard == drain.to => {
            report(place("to"), "to", "`shard` and `to` are the same shard", "drain to another shard");
        }
        Action::ScaleIn(_) if room.shards < 2 => {
            report(act.span, "scale_in", "the only shard cannot leave", "give the cluster more shards");
        }
        Action::Admin(admin) if admin.slot > 16383 => {
            report(
                place("slot"),
                &admin.slot.to_string(),
                "expected a slot from 0 to 16383",
                "slots count from 0",
            );
        }
        Action::Check(look) => {
            for (field, names) in [("checks", &look.checks), ("critical", &look.critical)] {
                let list = act.fields.and_then(|fields| get(fields, field)).map(|(_, node)| node);
                let unknown = |(_, name): &(usize, &String)| !CheckSpec::NAMES.contains(&name.as_str());
                for (position, name) in names.iter().enumerate().filter(unknown) {
                    let span = match list.map(|list| &list.value) {
                        Some(Value::List(items)) => items.get(position).map_or(act.span, |item| item.span),
                        _ => list.map_or(act.span, |list| list.span),
                    };
                    report(span, name, &format!("unknown check `{name}`"), &suggest(name, CheckSpec::NAMES));
                }
            }
        }
        _ => {}
    }
}

/// What `when:` speaks about is there.
fn observations(spec: &Spec, events: &Events<'_>, room: &Room, problems: &mut Problems) {
    let written = events.events.iter().map(|event| &event.start).zip(&events.places);
    let repeated = events.backgrounds.iter().map(|each| &each.start).zip(&events.background_places);
    for (start, place) in written.chain(repeated) {
        let (StartSpec::When(observation), Some((_, value))) = (start, place.begins) else { continue };
        let Value::Map(pairs) = &value.value else { continue };
        let Some((name, inner)) = pairs.first() else { continue };
        let path = format!("{}.when.{}", place.path, name.text);
        let at = |field: &str| get(inner, field).map_or(name.span, |(_, node)| node.span);
        if let Some(profile) = profile(spec).filter(|profile| !profile.offers(observation.needs())) {
            let needs = observation.needs().as_str();
            let message = format!(
                "{path}: environment `{}` does not see this, which needs the ability `{needs}`",
                profile.name
            );
            problems.error(Some(name.span), &path, &name.text, message).hint(able(observation.needs()));
        }
        match observation {
            Observation::Message { from, to, nth, .. } => {
                for (field, node) in [("from", from), ("to", to)] {
                    if let Some((_, value)) = get(inner, field) {
                        selects(node, value, &format!("{path}.{field}"), room, events, problems);
                    }
                }
                if *nth == 0 {
                    let message = format!("{path}.nth: messages count from 1");
                    problems
                        .error(Some(at("nth")), &format!("{path}.nth"), "0", message)
                        .hint("the first such message is 1");
                }
            }
            Observation::Log { node, .. } | Observation::Role { node, .. } | Observation::Exit { node } => {
                if let Some((_, value)) = get(inner, "node") {
                    selects(node, value, &format!("{path}.node"), room, events, problems);
                }
                if let Observation::Log { has, .. } = observation
                    && has.is_empty()
                {
                    problems
                        .error(
                            Some(at("has")),
                            &format!("{path}.has"),
                            "\"\"",
                            format!("{path}.has: every line holds the empty text"),
                        )
                        .hint("give a part of the line to wait for");
                }
            }
            Observation::NoPrimary { shard } => {
                shard_exists(*shard, at("shard"), &format!("{path}.shard"), room, problems);
            }
            Observation::Operation { client, .. } => {
                let load = spec.load.clone().unwrap_or_default();
                if spec.draw.is_none() && (load.is_none() || *client >= load.clients) {
                    let clients = if load.is_none() { 0 } else { load.clients };
                    let message = format!("{path}.client: {}", room_of_clients(clients));
                    problems
                        .error(Some(at("client")), &format!("{path}.client"), &client.to_string(), message)
                        .hint("clients count from 0; `load:` says how many there are");
                }
            }
        }
    }
}

fn room_of_clients(clients: u16) -> String {
    match clients {
        0 => "no such client: there is no load".into(),
        1 => "no such client: there is 1 client, number 0".into(),
        _ => format!("no such client: there are {clients} clients, 0 to {}", clients - 1),
    }
}

fn load(spec: &Spec, file: &Node, room: &Room, problems: &mut Problems) {
    let Some((load, (_, node))) = spec.load.as_ref().zip(get(file, "load")) else { return };
    if let Some((_, list)) = get(node, "shards") {
        for (position, shard) in load.shards.iter().enumerate() {
            let span = match &list.value {
                Value::List(items) => items.get(position).map_or(list.span, |item| item.span),
                _ => list.span,
            };
            shard_exists(*shard, span, "load.shards", room, problems);
        }
    }
    for (name, wrong) in
        [("keys", load.keys == 0), ("pipeline", load.pipeline == 0), ("timeout", load.timeout.0 == 0)]
    {
        if let Some((_, value)) = get(node, name).filter(|_| wrong && !load.is_none()) {
            let path = format!("load.{name}");
            problems
                .error(Some(value.span), &path, &value.as_written(), format!("{path}: expected more than 0"))
                .hint("`rate: 0/s` is the way to say that there is no load");
        }
    }
    // What does not read was told, and has no weight for want of one.
    let told = problems.list.iter().any(|problem| problem.path.starts_with("load.mix"));
    let idle = !told && !load.is_none() && load.mix_in_force().write_fields().is_empty();
    if let Some((_, mix)) = get(node, "mix").filter(|_| idle) {
        let message = "load.mix: no operation has a weight above 0, so that none could be issued";
        problems.error(Some(mix.span), "load.mix", mix.text(), message).hint(
            "write at least one, for instance `mix: {set: 1, get: 1}`; `rate: 0/s` says that there is no load",
        );
    }
    let replicas = spec.cluster.replicas.low;
    if let Some((_, value)) = get(node, "wait").filter(|_| u16::from(load.wait) > replicas) {
        problems
            .warning(
                Some(value.span),
                "load.wait",
                &value.as_written(),
                format!(
                    "load.wait: a primary may have only {replicas} replicas, so `WAIT` runs into its time-out"
                ),
            )
            .hint("wait for at most as many as there are");
    }
}

/// What real time decides is pinned nowhere; the embedded target has a key and no turns.
fn schedule(spec: &Spec, file: &Node, problems: &mut Problems) {
    let (Some((key, _)), Some(profile)) = (get(file, "schedule"), profile(spec)) else { return };
    let without_effect = match profile.name {
        "sim" if spec.schedule.policy.is_some() => "schedule.policy",
        "sim" if spec.schedule.order.is_some() => "schedule.order",
        "exact" | "sim" => return,
        _ => "schedule",
    };
    let message = format!("{without_effect}: without effect in environment `{}`", profile.name);
    problems
        .warning(Some(key.span), without_effect, "schedule", message)
        .hint("turns are given, and messages are seen, in `environment: exact`");
}

fn bugs(spec: &Spec, file: &Node, problems: &mut Problems) {
    let Some((key, list)) = get(file, "bugs").filter(|_| !spec.bugs.is_empty()) else { return };
    if let Some(target) = spec.target.as_deref().filter(|target| *target != "embedded") {
        problems
            .error(
                Some(key.span),
                "bugs",
                "bugs",
                format!("bugs: target `{target}` has no bugs to switch on"),
            )
            .hint("named bugs are those of `target: embedded`");
        return;
    }
    let known: Vec<&str> = BUGS.iter().map(|bug| bug.name).collect();
    for (position, name) in spec.bugs.iter().enumerate().filter(|(_, name)| !known.contains(&name.as_str())) {
        let span = match &list.value {
            Value::List(items) => items.get(position).map_or(list.span, |item| item.span),
            _ => list.span,
        };
        let path = format!("bugs[{position}]");
        problems
            .error(Some(span), &path, name, format!("{path}: unknown bug `{name}`"))
            .hint(suggest(name, &known));
    }
}
