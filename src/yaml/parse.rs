//! Bytes to the spanned tree of [`document`](super::document): bounded, and honest about where things stand.
//!
//! The grammar is the parser crate's; this module turns its events into nodes, unfolds aliases and merge keys,
//! and refuses what would be lost in silence (duplicate keys, unknown tags, a second document) or would not
//! end (alias bombs). It never panics and never takes more than a bounded amount of time and memory, whatever
//! the bytes are: they may come from a stranger's bug report.

use super::document::{Key, Node, Problems, Span, Value};
use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, Tag};
use std::collections::BTreeMap;

/// The largest text that is read, in bytes.
pub const SIZE_MAX: usize = 1024 * 1024;
/// How deep lists and mappings may nest, aliases unfolded.
pub const DEPTH_MAX: usize = 64;
/// How many values a text may hold once its aliases are unfolded.
pub const NODES_MAX: usize = 10_000;
/// How many bytes of text those values may hold together: one long string can be named ten thousand times.
pub const UNFOLDED_MAX: usize = 4 * SIZE_MAX;

/// What an empty file, or one of the wrong shape, is told.
pub const WHAT_A_SCENARIO_NEEDS: &str = "a scenario is a mapping: `fuzz: 1` with `timeline` or `draw` in the native \
     form; `scenario_id`, `cluster` and `operations` (or `scenario`, `cluster` and `operations`) in a dialect";

/// Reads one YAML document. `None` when there is no tree to speak of; then `problems` says why.
pub fn parse(bytes: &[u8], problems: &mut Problems) -> Option<Node> {
    if bytes.len() > SIZE_MAX {
        let message = format!("the text has {} bytes; at most {SIZE_MAX} (1 MiB) are read", bytes.len());
        problems.error(None, "", "", message).hint("keep a scenario small; take out what is not needed");
        return None;
    }
    let text = decode(bytes, problems)?;
    if !printable(text, problems) {
        return None;
    }
    Builder::new(text, problems).run()
}

/// The text without its byte-order mark.
fn decode<'a>(bytes: &'a [u8], problems: &mut Problems) -> Option<&'a str> {
    let start = Span { line: 1, column: 1, length: 1 };
    for (mark, name) in [
        (&[0xFF, 0xFE, 0, 0][..], "UTF-32"),
        (&[0, 0, 0xFE, 0xFF], "UTF-32"),
        (&[0xFF, 0xFE], "UTF-16"),
        (&[0xFE, 0xFF], "UTF-16"),
    ] {
        if bytes.starts_with(mark) {
            let offending = escape_bytes(mark);
            problems
                .error(Some(start), "", &offending, format!("the file begins with a {name} byte-order mark"))
                .hint("save the file as UTF-8");
            return None;
        }
    }
    let body = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(bytes);
    let skipped = bytes.len() - body.len();
    match std::str::from_utf8(body) {
        Ok(text) => Some(text),
        Err(error) => {
            let offset = error.valid_up_to();
            let before = std::str::from_utf8(&body[..offset]).unwrap_or_default();
            let byte = body[offset];
            problems
                .error(
                    Some(place(before, before.len())),
                    "",
                    &escape_bytes(&[byte]),
                    format!("not valid UTF-8: byte 0x{byte:02X} at offset {}", offset + skipped),
                )
                .hint("save the file as UTF-8");
            None
        }
    }
}

fn escape_bytes(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a string cannot fail.
        let _ = write!(out, "\\x{byte:02X}");
        out
    })
}

/// YAML forbids control characters (YAML 1.2.2, 5.1); the parser would take a NUL for the end of the file.
fn printable(text: &str, problems: &mut Problems) -> bool {
    let forbidden = |c: char| (c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r')) || c == '\u{FFFF}';
    let Some((offset, found)) = text.char_indices().find(|(_, c)| forbidden(*c)) else { return true };
    let code = u32::from(found);
    problems
        .error(
            Some(place(text, offset)),
            "",
            &format!("\\x{code:02X}"),
            format!("control character U+{code:04X}, which YAML forbids"),
        )
        .hint("remove it, or write it as an escape in double quotes");
    false
}

/// Line and column of a byte offset. Lines end at `\n`, `\r\n` or a lone `\r`, as YAML has it.
fn place(text: &str, offset: usize) -> Span {
    let (mut line, mut column, mut last) = (1, 1, ' ');
    for c in text[..offset].chars() {
        match (last, c) {
            ('\r', '\n') => {}
            (_, '\n' | '\r') => (line, column) = (line + 1, 1),
            _ => column += 1,
        }
        last = c;
    }
    Span { line, column, length: 1 }
}

/// A value that has an anchor, with what it costs to write it out once more.
struct Anchored {
    name: String,
    node: Node,
    cost: Cost,
}

#[derive(Clone, Copy, Default)]
struct Cost {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

/// A list or mapping that is not closed yet.
struct Open {
    span: Span,
    anchor: usize,
    cost: Cost,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        pairs: Vec<(Key, Node)>,
        /// The line of each key so far.
        lines: BTreeMap<String, u32>,
        /// What comes next is a value, of this key.
        key: Option<PendingKey>,
        /// The values of `<<`.
        merged: Vec<Node>,
    },
}

struct PendingKey {
    key: Key,
    duplicate: bool,
    merge: bool,
}

struct Builder<'a> {
    text: &'a str,
    problems: &'a mut Problems,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Anchored>,
    /// Names of anchors by id, from the moment they are seen.
    names: BTreeMap<usize, String>,
    total: Cost,
    root: Option<Node>,
    documents: usize,
    /// A mistake after which the tree would say something else than the file.
    broken: bool,
}

/// Reading cannot go on; the reason is among the problems.
struct Stop;

impl<'a> Builder<'a> {
    fn new(text: &'a str, problems: &'a mut Problems) -> Self {
        Self {
            text,
            problems,
            open: Vec::new(),
            anchors: BTreeMap::new(),
            names: BTreeMap::new(),
            total: Cost::default(),
            root: None,
            documents: 0,
            broken: false,
        }
    }

    fn run(mut self) -> Option<Node> {
        let options = granit_parser::options! {
            emit_unresolved_aliases: true,
            emit_anchor_events: true,
            emit_comments: false,
            flow_nesting_limit: DEPTH_MAX + 1,
            block_nesting_limit: DEPTH_MAX + 1,
        };
        for next in Parser::new_from_str_with_options(self.text, options) {
            let (event, span) = match next {
                Ok(next) => next,
                Err(error) => {
                    self.syntax_error(error.kind(), error.marker(), error.info());
                    return None;
                }
            };
            if self.event(event, &span).is_err() {
                return None;
            }
        }
        let start = Span { line: 1, column: 1, length: 1 };
        match self.root {
            None | Some(Node { value: Value::Null, .. }) if !self.broken => {
                self.problems
                    .error(Some(start), "", "", "the file is empty: it holds no value")
                    .hint(WHAT_A_SCENARIO_NEEDS);
                None
            }
            root => root.filter(|_| !self.broken),
        }
    }

    fn event(&mut self, event: Event<'_>, at: &granit_parser::Span) -> Result<(), Stop> {
        let span = self.span(at);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.problems
                        .error(
                            Some(span),
                            "",
                            "---",
                            "a second document begins here; a file holds one scenario",
                        )
                        .hint("put each scenario into a file of its own");
                    return Err(Stop);
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = self.scalar_tag(tag.as_deref(), at).unwrap_or(style != ScalarStyle::Plain);
                let null = !quoted && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                if self.expects_key() {
                    return self.key(Key { text: text.into_owned(), span }, quoted, anchor);
                }
                let cost = Cost { nodes: 1, bytes: text.len(), depth: 0 };
                let value =
                    if null { Value::Null } else { Value::Scalar { text: text.into_owned(), quoted } };
                self.spend(cost, span, None)?;
                self.add(Node { span, value }, cost, anchor);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq", at);
                self.begin(span, anchor, Content::List(Vec::new()))?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", at);
                let content =
                    Content::Map { pairs: Vec::new(), lines: BTreeMap::new(), key: None, merged: Vec::new() };
                self.begin(span, anchor, content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Anchor(id, name) => {
                self.names.insert(id, name.into_owned());
            }
            Event::Alias(id) => self.alias(id, span)?,
            Event::UnresolvedAlias(name) => {
                self.problems
                    .error(
                        Some(span),
                        "",
                        &format!("*{name}"),
                        format!("undefined alias `*{name}`: no anchor `&{name}` comes before it"),
                    )
                    .hint("define the anchor first, or quote the text if the asterisk belongs to it");
                self.broken = true;
                self.stand_in(span);
            }
            // The rest speaks of the stream, not of values.
            _ => {}
        }
        Ok(())
    }

    /// A span of ours: on one line, at least one character long.
    fn span(&self, at: &granit_parser::Span) -> Span {
        let source = at.slice(self.text).unwrap_or("");
        let first_line = source.split(['\n', '\r']).next().unwrap_or("").trim_end();
        Span { length: first_line.chars().count().max(1) as u32, ..marker(&at.start) }
    }

    fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { content: Content::Map { key: None, .. }, .. }))
    }

    /// Counts before anything is copied, so that a bomb costs no more than its text.
    fn spend(&mut self, cost: Cost, span: Span, alias: Option<&str>) -> Result<(), Stop> {
        self.total.nodes += cost.nodes;
        self.total.bytes += cost.bytes;
        let depth = self.open.len() + cost.depth;
        let what = if self.total.nodes > NODES_MAX {
            format!("more than {NODES_MAX} items")
        } else if self.total.bytes > UNFOLDED_MAX {
            format!("more than {UNFOLDED_MAX} bytes of text")
        } else if depth > DEPTH_MAX {
            format!("more than {DEPTH_MAX} levels of lists and mappings")
        } else {
            return Ok(());
        };
        match alias {
            Some(name) => self
                .problems
                .error(
                    Some(span),
                    "",
                    &format!("*{name}"),
                    format!("with the alias `*{name}`, aliases unfold to more than the allowed number of items: {what}"),
                )
                .hint("write the values out"),
            None => self.problems.error(Some(span), "", "", format!("the file holds {what}")).hint(
                "a scenario is small: the limits are there for files that are made to exhaust a reader",
            ),
        }
        Err(Stop)
    }

    fn begin(&mut self, span: Span, anchor: usize, content: Content) -> Result<(), Stop> {
        if self.expects_key() {
            self.problems
                .error(Some(span), "", "", "a list or a mapping stands as a key; keys are words")
                .hint("quote the key if its brackets belong to it");
            return Err(Stop);
        }
        self.spend(Cost { nodes: 1, bytes: 0, depth: 1 }, span, None)?;
        self.open.push(Open { span, anchor, cost: Cost { nodes: 1, bytes: 0, depth: 1 }, content });
        Ok(())
    }

    fn end(&mut self) {
        let Some(Open { span, anchor, cost, content }) = self.open.pop() else { return };
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map { mut pairs, mut lines, merged, .. } => {
                for (key, node) in merged.into_iter().flat_map(merge_pairs) {
                    // What is written here comes before what is merged in, and earlier merges before later ones.
                    if lines.insert(key.text.clone(), key.span.line).is_none() {
                        pairs.push((key, node));
                    }
                }
                Value::Map(pairs)
            }
        };
        self.add(Node { span, value }, cost, anchor);
    }

    /// A value, complete: into the collection that is open, or the root.
    fn add(&mut self, node: Node, cost: Cost, anchor: usize) {
        if anchor != 0 {
            let name = self.names.get(&anchor).cloned().unwrap_or_default();
            self.anchors.insert(anchor, Anchored { name, node: node.clone(), cost });
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        open.cost.nodes += cost.nodes;
        open.cost.bytes += cost.bytes;
        open.cost.depth = open.cost.depth.max(cost.depth + 1);
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map { pairs, key, merged, .. } => match key.take() {
                Some(PendingKey { merge: true, duplicate: false, key }) => {
                    if is_mergeable(&node) {
                        merged.push(node);
                    } else {
                        let found = node.describe();
                        self.problems
                            .error(
                                Some(node.span),
                                "",
                                &node.as_written(),
                                format!("`<<` merges mappings, got {found}"),
                            )
                            .hint("name an anchored mapping, as in `<<: *defaults`");
                        pairs.push((key, node));
                        self.broken = true;
                    }
                }
                Some(PendingKey { duplicate: false, key, .. }) => pairs.push((key, node)),
                // Reported already: the first one stays.
                _ => {}
            },
        }
    }

    fn key(&mut self, key: Key, quoted: bool, anchor: usize) -> Result<(), Stop> {
        let cost = Cost { nodes: 1, bytes: key.text.len(), depth: 0 };
        self.spend(Cost { nodes: 0, ..cost }, key.span, None)?;
        if anchor != 0 {
            let name = self.names.get(&anchor).cloned().unwrap_or_default();
            let value = Value::Scalar { text: key.text.clone(), quoted };
            self.anchors.insert(anchor, Anchored { name, node: Node { span: key.span, value }, cost });
        }
        let Some(Open { cost: sum, content: Content::Map { lines, key: pending, .. }, .. }) =
            self.open.last_mut()
        else {
            return Ok(());
        };
        sum.bytes += key.text.len();
        let merge = key.text == "<<" && !quoted;
        let duplicate = lines.get(&key.text).copied();
        if let Some(first) = duplicate {
            self.problems
                .error(
                    Some(key.span),
                    "",
                    &key.text,
                    format!("duplicate key `{}`, first given on line {first}", key.text),
                )
                .hint("keep one");
        } else if !merge {
            lines.insert(key.text.clone(), key.span.line);
        }
        *pending = Some(PendingKey { key, duplicate: duplicate.is_some(), merge });
        Ok(())
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Stop> {
        let Some(anchored) = self.anchors.get(&id) else {
            let name = self.names.get(&id).map_or("", String::as_str);
            let message = format!("the alias `*{name}` stands inside the value that it names");
            self.problems.error(Some(span), "", &format!("*{name}"), message).hint("write the value out");
            return Err(Stop);
        };
        let (name, cost) = (anchored.name.clone(), anchored.cost);
        self.spend(cost, span, Some(&name))?;
        let node = self.anchors.get(&id).map(|anchored| anchored.node.clone());
        let Some(node) = node else { return Ok(()) };
        if !self.expects_key() {
            self.add(node, cost, 0);
            return Ok(());
        }
        if let Value::Scalar { text, quoted } = node.value {
            self.key(Key { text, span }, quoted, 0)
        } else {
            let message = format!("the alias `*{name}` stands as a key but names no word");
            self.problems.error(Some(span), "", &format!("*{name}"), message);
            Err(Stop)
        }
    }

    /// Holds the place of a value that was reported, so that the rest is still read.
    fn stand_in(&mut self, span: Span) {
        if self.expects_key() {
            // The position makes the key unlike any other.
            let text = format!("?{span}");
            let _ = self.key(Key { text, span }, true, 0);
        } else {
            self.add(Node { span, value: Value::Null }, Cost { nodes: 1, bytes: 0, depth: 0 }, 0);
        }
    }

    /// Whether a tag makes the scalar a string (`!!str`), or something that is read by its text.
    fn scalar_tag(&mut self, tag: Option<&Tag>, at: &granit_parser::Span) -> Option<bool> {
        let tag = tag?;
        match tag.core_suffix() {
            Some("str") => Some(true),
            Some("int" | "float" | "bool" | "null") => Some(false),
            // `!` alone is YAML's non-specific tag: the scalar is a string.
            _ if tag.parts() == ("!", "") || tag.parts() == ("", "!") => Some(true),
            _ => {
                self.unknown_tag(at);
                None
            }
        }
    }

    fn collection_tag(&mut self, tag: Option<&Tag>, expected: &str, at: &granit_parser::Span) {
        if tag.is_some_and(|tag| tag.core_suffix() != Some(expected)) {
            self.unknown_tag(at);
        }
    }

    fn unknown_tag(&mut self, at: &granit_parser::Span) {
        let tag = at.tag_span();
        let written = tag.as_ref().and_then(|tag| tag.slice(self.text)).unwrap_or("!");
        let span = tag.as_ref().map_or_else(|| marker(&at.start), |tag| self.span(tag));
        self.problems
            .error(Some(span), "", written, format!("tag `{written}` has no meaning here"))
            .hint("remove the tag");
        self.broken = true;
    }

    fn syntax_error(&mut self, kind: &ErrorKind, at: &Marker, words: impl std::fmt::Display) {
        let at = marker(at);
        if let Some(tab) = self.indenting_tab(at.line, kind) {
            self.problems.error(Some(tab), "", "\\t", "YAML forbids tabs for indentation").hint("use spaces");
            return;
        }
        let line = lines(self.text).nth(at.line as usize - 1).unwrap_or("");
        let offending: String = line.chars().skip(at.column as usize - 1).take(40).collect();
        let offending = offending.split_whitespace().next().unwrap_or("").to_string();
        self.problems.error(Some(at), "", &offending, format!("not valid YAML: {words}"));
    }

    /// The tab that is to blame for a syntax error: in the indentation of its line, or (when the parser itself
    /// speaks of tabs) of a line close by. A plain scalar that a tab ended is reported at its begin.
    fn indenting_tab(&self, line: u32, kind: &ErrorKind) -> Option<Span> {
        let speaks_of_tabs = matches!(
            kind,
            ErrorKind::TabNotAllowed
                | ErrorKind::TabInBlockIndentation
                | ErrorKind::TabAtBlockScalarStart
                | ErrorKind::TabInIndentation
                | ErrorKind::TabInPlainScalar
        );
        let near: &[i64] = if speaks_of_tabs { &[0, 1, 2, -1, -2] } else { &[0] };
        near.iter().find_map(|offset| {
            let index = usize::try_from(i64::from(line) - 1 + offset).ok()?;
            let text = lines(self.text).nth(index)?;
            let indent = &text[..text.len() - text.trim_start_matches([' ', '\t']).len()];
            let at = indent.find('\t')?;
            Some(Span { line: index as u32 + 1, column: at as u32 + 1, length: 1 })
        })
    }
}

fn marker(at: &Marker) -> Span {
    Span { line: at.line().max(1) as u32, column: at.col() as u32 + 1, length: 1 }
}

/// The lines of a text as YAML counts them.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else {
            rest = None;
            return Some(text);
        };
        let width = if text[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&text[end + width..]);
        Some(&text[..end])
    })
}

fn is_mergeable(node: &Node) -> bool {
    match &node.value {
        Value::Map(_) => true,
        Value::List(items) => items.iter().all(|item| matches!(item.value, Value::Map(_))),
        _ => false,
    }
}

fn merge_pairs(node: Node) -> Vec<(Key, Node)> {
    match node.value {
        Value::Map(pairs) => pairs,
        Value::List(items) => items.into_iter().flat_map(merge_pairs).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
