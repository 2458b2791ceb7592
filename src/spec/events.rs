//! `timeline:` as written: events with their starts, groups unfolded to plain events, names resolved.
//!
//! A group becomes plain events at once: members of `together` hang on the first of them, members of
//! `in_order` on the one before. A `background` stays one until the seed is known. What hangs on a group hangs
//! on its members. Everything read keeps its place, so that `meaning` can say where a contradiction stands.

use super::background::{Background, Choice};
use super::forms::{EVENT, STARTS, suggest};
use super::parts::{collect_ids, get, group_items, named, only_known, parent, read_action, start};
use super::{EventSpec, Spread, StartSpec};
use crate::catalogue::{Action, EventId};
use crate::time::Millis;
use crate::yaml::document::{Key, Node, Problems, Span, Value};
use crate::yaml::fields::{Field, read_at};
use std::collections::{BTreeMap, BTreeSet};

/// The most events that a file may come to, those that the seed draws included: far beyond what anyone runs, and
/// a bound on the work below.
pub const EVENTS_MAX: usize = 2000;
/// How deep groups may stand in groups.
pub(super) const DEPTH_MAX: usize = 8;
pub(super) const ZERO: Spread<Millis> = Spread::exactly(Millis(0));

/// An action and where it stands, in an event or in a background.
#[derive(Debug)]
pub struct Act<'a> {
    pub path: String,
    /// The action's name.
    pub span: Span,
    pub action: Action,
    /// Its fields as written; `None` when the name stands alone.
    pub fields: Option<&'a Node>,
    /// The `for:` that is meant for it, if there is one.
    pub lasts: Option<Span>,
}

/// Where an event stands.
#[derive(Debug)]
pub struct Place<'a> {
    pub path: String,
    pub span: Span,
    /// The key and the value of its start, where it has one of its own.
    pub begins: Option<(&'a Key, &'a Node)>,
}

/// All that `timeline:` holds.
#[expect(clippy::struct_field_names, reason = "an event is called an event everywhere")]
#[derive(Debug)]
pub struct Events<'a> {
    pub events: Vec<EventSpec>,
    /// Of each event, in the same order.
    pub places: Vec<Place<'a>>,
    pub backgrounds: Vec<Background>,
    /// Of each background, in the same order.
    pub background_places: Vec<Place<'a>>,
    pub acts: Vec<Act<'a>>,
    ids: BTreeMap<EventId, Named>,
    too_many: bool,
}

/// What an id stands for.
#[derive(Clone, Debug)]
struct Named {
    span: Span,
    /// `None` until it is read, and when it could not be.
    members: Option<Members>,
    background: bool,
}

/// The events that a part of the file became: the one that starts first, and those that end last.
#[derive(Clone, Debug)]
struct Members {
    first: EventId,
    last: Vec<EventId>,
}

/// What an action inherits from the event or group around it.
#[derive(Clone, Debug)]
struct Base<'a> {
    id: EventId,
    start: StartSpec,
    delay: Spread<Millis>,
    within: Option<Millis>,
    lasts: Option<Lasts>,
    span: Span,
    key: Option<(&'a Key, &'a Node)>,
    depth: usize,
}

/// A `for:`, and whether it is the group's.
#[derive(Clone, Copy, Debug)]
struct Lasts {
    span: Span,
    spread: Spread<Millis>,
    inherited: bool,
}

impl<'a> Events<'a> {
    /// Reads the list. Problems are reported; what could be read is there.
    pub fn read(node: Option<&'a Node>, problems: &mut Problems) -> Self {
        let mut all = Self {
            events: Vec::new(),
            places: Vec::new(),
            backgrounds: Vec::new(),
            background_places: Vec::new(),
            acts: Vec::new(),
            ids: BTreeMap::new(),
            too_many: false,
        };
        let Some(node) = node else { return all };
        let items = match &node.value {
            Value::List(items) => items,
            Value::Null => return all,
            _ => {
                let found = node.describe();
                let message = format!("timeline: expected a list of events, got {found}");
                problems
                    .error(Some(node.span), "timeline", &node.as_written(), message)
                    .hint("write each event as `- {at: 2s, do: {kill: {node: shard-1-primary}}}`");
                return all;
            }
        };
        let mut given = Vec::new();
        collect_ids(node, 0, &mut given);
        for (position, item) in items.iter().enumerate() {
            let mut id = format!("e{}", position + 1);
            while given.contains(&id.as_str()) {
                id.push('x');
            }
            all.item(item, &format!("timeline[{position}]"), id.into(), None, problems);
        }
        if all.too_many {
            let message = format!("timeline: more than {EVENTS_MAX} events");
            problems.error(Some(node.span), "timeline", "", message).hint("split the file");
        }
        all.resolve(problems);
        all
    }

    /// Whether an event, not a group, has this id.
    pub fn is_event(&self, id: &str) -> bool {
        self.ids
            .get(id)
            .is_some_and(|named| !named.background && named.members.as_ref().is_none_or(|m| m.first == id))
    }
    pub fn names(&self) -> Vec<&str> {
        self.ids.keys().map(|id| &**id).collect()
    }

    /// One event, or one member of a group when `under` says where it begins.
    fn item(
        &mut self,
        node: &'a Node,
        path: &str,
        automatic: EventId,
        under: Option<&Base<'a>>,
        problems: &mut Problems,
    ) -> Option<Members> {
        let known: Vec<&str> = EVENT.iter().map(|key| key.name).collect();
        only_known(node, path, &known, problems)?;
        let id = match get(node, "id") {
            None => automatic,
            Some((_, value)) => match read_at::<EventId>(value, &format!("{path}.id"), problems) {
                Some(id) if id.is_empty() || id.len() > 100 || id.chars().any(char::is_control) => {
                    let message = format!("{path}.id: expected a name of 1 to 100 characters");
                    problems.error(Some(value.span), &format!("{path}.id"), &value.as_written(), message);
                    automatic
                }
                Some(id) => id,
                None => automatic,
            },
        };
        let place = get(node, "id").map_or(node.span, |(_, value)| value.span);
        self.register(&id, place, &format!("{path}.id"), problems);
        let (start, key) = match under {
            None => start(node, path, problems),
            Some(base) => {
                for (key, _) in STARTS.iter().filter_map(|name| get(node, name)) {
                    let message = format!(
                        "{path}: a member of a group starts with its group, so `{}` has no place here",
                        key.text
                    );
                    problems
                        .error(Some(key.span), path, &key.text, message)
                        .hint("give the start to the group; a member may have a `delay`");
                }
                (base.start.clone(), None)
            }
        };
        let mut optional = |name: &str| {
            let (key, value) = get(node, name)?;
            read_at::<Spread<Millis>>(value, &format!("{path}.{name}"), problems)
                .map(|spread| (key.span, spread))
        };
        let own_delay = optional("delay").map_or(ZERO, |(_, delay)| delay);
        let lasts = optional("for")
            .map(|(span, spread)| Lasts { span, spread, inherited: false })
            .or_else(|| under.and_then(|base| base.lasts));
        let within = get(node, "within")
            .and_then(|(_, value)| read_at::<Millis>(value, &format!("{path}.within"), problems))
            .or_else(|| under.and_then(|base| base.within));
        let Some((_, what)) = get(node, "do") else {
            problems
                .error(Some(node.span), path, "", format!("{path}: missing required key `do`"))
                .hint("say what happens, for instance `do: {kill: {node: shard-1-primary}}`");
            return None;
        };
        let base = Base {
            id: id.clone(),
            start,
            delay: under.map_or(ZERO, |base| base.delay).plus(own_delay),
            within,
            lasts,
            span: node.span,
            key,
            depth: under.map_or(0, |base| base.depth),
        };
        let members = self.what(what, &format!("{path}.do"), base, problems);
        if let Some(named) = self.ids.get_mut(&id) {
            named.members.clone_from(&members);
        }
        members
    }

    /// What `do:` holds: an action or a group.
    fn what(
        &mut self,
        node: &'a Node,
        path: &str,
        base: Base<'a>,
        problems: &mut Problems,
    ) -> Option<Members> {
        let (name, span, value) = named(node, path, "one operation, fault or group", problems)?;
        let inner = format!("{path}.{name}");
        match (name, value) {
            ("together", Some(value)) => self.together(value, &inner, &base, problems),
            ("in_order", Some(value)) => self.in_order(value, &inner, &base, problems),
            ("background", Some(value)) => {
                self.background(value, &inner, base, problems);
                None
            }
            _ => {
                let action = read_action(name, span, value, path, problems)?;
                if self.events.len() >= EVENTS_MAX {
                    // Said once, where the whole is looked at.
                    self.too_many = true;
                    return None;
                }
                // A group's `for:` is meant for those of its members that can last.
                let lasts = base.lasts.filter(|lasts| action.info().lasting || !lasts.inherited);
                self.acts.push(Act {
                    path: inner,
                    span,
                    action: action.clone(),
                    fields: value,
                    lasts: lasts.map(|lasts| lasts.span),
                });
                self.places.push(Place { path: parent(path).into(), span: base.span, begins: base.key });
                self.events.push(EventSpec {
                    id: base.id.clone(),
                    start: base.start,
                    delay: base.delay,
                    within: base.within,
                    action,
                    lasts: lasts.map(|lasts| lasts.spread),
                    line: base.span.line,
                });
                Some(Members { first: base.id.clone(), last: vec![base.id] })
            }
        }
    }

    /// One member: an action as it is, or an event without a start.
    fn member(
        &mut self,
        node: &'a Node,
        path: &str,
        id: EventId,
        base: &Base<'a>,
        problems: &mut Problems,
    ) -> Option<Members> {
        if get(node, "do").is_some() {
            return self.item(node, path, id, Some(base), problems);
        }
        self.register(&id, node.span, path, problems);
        let base = Base { id: id.clone(), span: node.span, key: None, ..base.clone() };
        let members = self.what(node, path, base, problems);
        if let Some(named) = self.ids.get_mut(&id) {
            named.members.clone_from(&members);
        }
        members
    }

    /// The first member without a delay of its own takes the group's start; the others hang on it.
    fn together(
        &mut self,
        node: &'a Node,
        path: &str,
        base: &Base<'a>,
        problems: &mut Problems,
    ) -> Option<Members> {
        let items = group_items(node, path, base.depth, problems)?;
        let leader = items.iter().position(|item| get(item, "delay").is_none());
        let Some(leader) = leader else {
            problems
                .error(Some(node.span), path, "", format!("{path}: every member has a delay"))
                .hint("let one member start with the group, and give the group the least of the delays");
            return None;
        };
        let from = self.events.len();
        let inner = base.inside();
        let name = |position: usize| {
            let id = EventId::from(format!("{}-{}", base.id, position + 1));
            (format!("{path}[{position}]"), id)
        };
        let (at, id) = name(leader);
        let first = self.member(&items[leader], &at, id, &inner, problems);
        let mut last = first.as_ref().map(|members| members.last.clone()).unwrap_or_default();
        let start =
            first.as_ref().map_or(base.start.clone(), |members| StartSpec::With(members.first.clone()));
        let follower = Base { start, delay: ZERO, ..inner };
        for (position, item) in items.iter().enumerate().filter(|(position, _)| *position != leader) {
            let (at, id) = name(position);
            if let Some(members) = self.member(item, &at, id, &follower, problems) {
                last.extend(members.last);
            }
        }
        self.someone_lasts(from, path, base, problems);
        Some(Members { first: first?.first, last })
    }

    /// The first member takes the group's start; each other begins when the one before has ended.
    fn in_order(
        &mut self,
        node: &'a Node,
        path: &str,
        base: &Base<'a>,
        problems: &mut Problems,
    ) -> Option<Members> {
        let items = group_items(node, path, base.depth, problems)?;
        let from = self.events.len();
        let mut inner = base.inside();
        let (mut first, mut last) = (None, Vec::new());
        for (position, item) in items.iter().enumerate() {
            let id = EventId::from(format!("{}-{}", base.id, position + 1));
            let members = self.member(item, &format!("{path}[{position}]"), id, &inner, problems)?;
            first.get_or_insert(members.first);
            inner = Base { start: StartSpec::After(members.last.clone()), delay: ZERO, ..inner };
            last = members.last;
        }
        self.someone_lasts(from, path, base, problems);
        Some(Members { first: first?, last })
    }

    /// A group's `for:` must be of use to one of its members, which begin at `from`.
    fn someone_lasts(&self, from: usize, path: &str, base: &Base<'a>, problems: &mut Problems) {
        if let Some(lasts) = base.lasts.filter(|lasts| !lasts.inherited)
            && !self.events[from..].iter().any(|event| event.action.info().lasting)
        {
            let message = format!("{path}: nothing in this group lasts, so `for` has no meaning");
            problems.error(Some(lasts.span), path, "for", message).hint("leave `for` out");
        }
    }

    fn background(&mut self, node: &'a Node, path: &str, base: Base<'a>, problems: &mut Problems) {
        if let Some(named) = self.ids.get_mut(&base.id) {
            named.background = true;
        }
        if base.depth > 0 {
            problems
                .error(
                    Some(node.span),
                    path,
                    "background",
                    format!("{path}: a background is no member of a group"),
                )
                .hint("make it an event of its own, which starts `with` an event of the group");
            return;
        }
        if only_known(node, path, &["every", "one_of"], problems).is_none() {
            return;
        }
        let every = if let Some((_, value)) = get(node, "every") {
            read_at::<Spread<Millis>>(value, &format!("{path}.every"), problems)
        } else {
            problems
                .error(Some(node.span), path, "", format!("{path}: missing required key `every`"))
                .hint(format!("expected {}", <Spread<Millis>>::expected()));
            None
        };
        if let (Some(every), Some((_, value))) = (every, get(node, "every"))
            && every.low.0 < 10
        {
            let message = format!("{path}.every: expected at least 10ms, got {}", value.text());
            problems.error(Some(value.span), &format!("{path}.every"), value.text(), message);
        }
        let Some((_, list)) = get(node, "one_of") else {
            problems
                .error(Some(node.span), path, "", format!("{path}: missing required key `one_of`"))
                .hint("list what may happen, for instance `one_of: [{pause: {node: any}}]`");
            return;
        };
        let Some(items) = group_items(list, &format!("{path}.one_of"), 0, problems) else { return };
        let mut one_of = Vec::new();
        for (position, item) in items.iter().enumerate() {
            let at = format!("{path}.one_of[{position}]");
            one_of.extend(self.choice(item, &at, problems));
        }
        let Some(every) = every else { return };
        self.background_places.push(Place {
            path: parent(parent(path)).into(),
            span: base.span,
            begins: base.key,
        });
        self.backgrounds.push(Background {
            id: base.id,
            start: base.start,
            delay: base.delay,
            within: base.within,
            every,
            one_of,
            lasts: base.lasts.map(|lasts| lasts.spread),
            line: base.span.line,
        });
    }

    /// One of the things that a background may do: an action, or `{do: ACTION, for: ...}`.
    fn choice(&mut self, node: &'a Node, path: &str, problems: &mut Problems) -> Option<Choice> {
        let (what, lasts) = match get(node, "do") {
            Some((_, what)) => {
                only_known(node, path, &["do", "for"], problems)?;
                let lasts = get(node, "for").and_then(|(key, value)| {
                    let spread = read_at::<Spread<Millis>>(value, &format!("{path}.for"), problems)?;
                    Some((key.span, spread))
                });
                (what, lasts)
            }
            None => (node, None),
        };
        let (name, span, value) = named(what, path, "one operation or fault", problems)?;
        let action = read_action(name, span, value, path, problems)?;
        self.acts.push(Act {
            path: format!("{path}.{name}"),
            span,
            action: action.clone(),
            fields: value,
            lasts: lasts.map(|(span, _)| span),
        });
        Some(Choice { action, lasts: lasts.map(|(_, spread)| spread) })
    }

    fn register(&mut self, id: &str, span: Span, path: &str, problems: &mut Problems) {
        if let Some(before) = self.ids.get(id) {
            let message = format!("{path}: two events are called `{id}`");
            problems
                .error(Some(span), path, id, message)
                .hint(format!("the other is on line {}", before.span.line));
            return;
        }
        self.ids.insert(id.to_owned().into(), Named { span, members: None, background: false });
    }

    /// Puts the members of a group in its place wherever something hangs on it, and reports unknown names.
    fn resolve(&mut self, problems: &mut Problems) {
        let ids = &self.ids;
        let events = self.events.iter_mut().map(|event| &mut event.start).zip(&self.places);
        let backgrounds = self.backgrounds.iter_mut().map(|b| &mut b.start).zip(&self.background_places);
        for (start, place) in events.chain(backgrounds) {
            let Some((key, value)) = place.begins else { continue };
            let path = format!("{}.{}", place.path, key.text);
            match start {
                StartSpec::With(anchor) => {
                    if let Some(members) = members_of(anchor, value.span, &path, ids, problems) {
                        anchor.clone_from(&members.first);
                    }
                }
                StartSpec::After(anchors) => {
                    let spans: Vec<Span> = match &value.value {
                        Value::List(items) => items.iter().map(|item| item.span).collect(),
                        _ => vec![value.span],
                    };
                    let (mut ends, mut seen): (Vec<EventId>, BTreeSet<&EventId>) = Default::default();
                    for (anchor, span) in anchors.iter().zip(spans) {
                        let found = members_of(anchor, span, &path, ids, problems);
                        for end in found.map_or(&[][..], |members| &members.last) {
                            if seen.insert(end) {
                                ends.push(end.clone());
                                continue;
                            }
                            let message = format!("{path}: `{end}` is waited for twice");
                            problems.error(Some(span), &path, anchor, message).hint("name it once");
                        }
                    }
                    *anchors = ends;
                }
                _ => {}
            }
        }
    }
}

impl Base<'_> {
    /// What the members of a group get from it.
    fn inside(&self) -> Self {
        let lasts = self.lasts.map(|lasts| Lasts { inherited: true, ..lasts });
        Self { lasts, depth: self.depth + 1, ..self.clone() }
    }
}

/// What hangs on this id hangs on these events. `None` was reported, here or where the event was read.
fn members_of<'i>(
    id: &str,
    span: Span,
    path: &str,
    ids: &'i BTreeMap<EventId, Named>,
    problems: &mut Problems,
) -> Option<&'i Members> {
    match ids.get(id) {
        Some(named) if named.background => {
            problems
                .error(
                    Some(span),
                    path,
                    id,
                    format!("{path}: `{id}` is a background, which nothing can hang on"),
                )
                .hint("hang it on what the background hangs on");
            None
        }
        Some(named) => named.members.as_ref(),
        None => {
            let known: Vec<&str> = ids.keys().map(|id| &**id).collect();
            problems
                .error(Some(span), path, id, format!("{path}: no event is called `{id}`"))
                .hint(suggest(id, &known));
            None
        }
    }
}
