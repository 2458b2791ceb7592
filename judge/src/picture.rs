//! A verdict as one self-contained HTML page: clients as lanes, operations as bars from call to return, the core of
//! each anomaly highlighted, what an operation did and left on hover. No script, no request, light and dark; the
//! same verdict gives the same bytes.
//!
//! The axis is the order of events, not time: what matters is who was over before whom began. What stands around
//! the core is shown as far as there is room, and what was left out is said.

use crate::history::{NEVER, Outcome};
use crate::{Anomaly, Answer, History, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// How many anomalies get a picture; the rest are listed.
const PICTURES_MAX: usize = 12;
/// How many operations a picture shows beside its core.
const AROUND_MAX: usize = 80;
const LANE: usize = 34;
/// Between two ends of operations: as wide as the page allows, within these.
const STEP_MIN: usize = 26;
const STEP_MAX: usize = 130;
const PAGE: usize = 1000;
const LEFT: usize = 90;

/// The page for a verdict on the history of this name under the model of that name.
pub fn page(history: &History, verdict: &Verdict, name: &str, model: &str) -> String {
    let mut out = String::with_capacity(16 * 1024);
    let answer = verdict.answer.word();
    let title = format!("{answer}: {name} as {model}");
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n<style>{STYLE}</style></head>\n<body>\n",
        escape(&title)
    );
    let _ = write!(
        out,
        "<h1><span class=\"{answer}\">{answer}</span> {} <small>as {}</small></h1>\n<p>{}</p>\n<dl>\
         <dt>Looked at</dt><dd>{}</dd><dt>Found out by</dt><dd>{}</dd>",
        escape(name),
        escape(model),
        escape(&verdict.reason),
        escape(&verdict.looked_at),
        escape(&verdict.algorithm),
    );
    if !verdict.not.is_empty() {
        let _ = write!(out, "<dt>Rules out</dt><dd>{}</dd>", escape(&verdict.not.join(", ")));
    }
    for note in &verdict.notes {
        let _ = write!(out, "<dt>Note</dt><dd>{}</dd>", escape(note));
    }
    out.push_str("</dl>\n");
    if !history.ops.is_empty() {
        out.push_str(LEGEND);
    }
    for anomaly in verdict.anomalies.iter().take(PICTURES_MAX) {
        section(&mut out, history, anomaly);
    }
    if let Some(rest) = verdict.anomalies.get(PICTURES_MAX..).filter(|rest| !rest.is_empty()) {
        let _ = write!(out, "<h2>{} more</h2>\n<ul>", rest.len());
        for anomaly in rest {
            let _ = write!(out, "<li>{}: {} operations</li>", escape(&anomaly.name), anomaly.ops.len());
        }
        out.push_str("</ul>\n");
    }
    if verdict.anomalies.is_empty() && verdict.answer == Answer::Ok {
        let all: Vec<usize> = (0..history.ops.len().min(AROUND_MAX)).collect();
        drawing(&mut out, history, &BTreeSet::new(), &all);
        if history.ops.len() > all.len() {
            let _ = writeln!(out, "<p>The first {} of {} operations.</p>", all.len(), history.ops.len());
        }
    }
    out.push_str("</body></html>\n");
    out
}

fn section(out: &mut String, history: &History, anomaly: &Anomaly) {
    let key = anomaly.key.as_ref().map_or_else(String::new, |key| format!(" on {}", escape(key)));
    let _ = write!(out, "<h2>{}{key}</h2>\n<ol>", escape(&anomaly.name));
    for line in &anomaly.story {
        let _ = write!(out, "<li>{}</li>", escape(line));
    }
    out.push_str("</ol>\n");
    let core: BTreeSet<usize> = anomaly.ops.iter().copied().filter(|op| *op < history.ops.len()).collect();
    let (shown, left_out) = around(history, &core);
    drawing(out, history, &core, &shown);
    if left_out > 0 {
        let _ = writeln!(out, "<p>{left_out} other operations of that stretch are not drawn.</p>");
    }
}

/// The core and what is nearest to it on the same object, in order, and how many were left out.
fn around(history: &History, core: &BTreeSet<usize>) -> (Vec<usize>, usize) {
    let Some(first) = core.iter().map(|op| history.ops[*op].call).min() else { return (Vec::new(), 0) };
    let last = core
        .iter()
        .map(|op| &history.ops[*op])
        .map(|op| if op.end == NEVER { op.call } else { op.end })
        .max();
    let last = last.unwrap_or(first);
    let keys: BTreeSet<u64> = core.iter().map(|op| history.ops[*op].key.word()).collect();
    let near = |place: &usize| {
        let op = &history.ops[*place];
        !core.contains(place) && keys.contains(&op.key.word()) && op.call <= last && op.end >= first
    };
    let mut beside: Vec<usize> = (0..history.ops.len()).filter(near).collect();
    let distance = |op: &usize| {
        let call = history.ops[*op].call;
        core.iter().map(|other| history.ops[*other].call.abs_diff(call)).min().unwrap_or(0)
    };
    beside.sort_by_key(|op| (distance(op), *op));
    let left_out = beside.len().saturating_sub(AROUND_MAX);
    beside.truncate(AROUND_MAX);
    let mut shown: Vec<usize> = core.iter().copied().chain(beside).collect();
    shown.sort_unstable();
    (shown, left_out)
}

fn drawing(out: &mut String, history: &History, core: &BTreeSet<usize>, shown: &[usize]) {
    // Only the order of the ends that are shown counts: they stand one step apart.
    let ends =
        shown.iter().map(|op| &history.ops[*op]).flat_map(|op| [op.call, op.end]).filter(|end| *end != NEVER);
    let ends: BTreeSet<u32> = ends.collect();
    let column: BTreeMap<u32, usize> = ends.iter().enumerate().map(|(rank, end)| (*end, rank)).collect();
    let mut lanes: Vec<(u64, String)> = Vec::new();
    for op in shown.iter().map(|op| &history.ops[*op]) {
        if !lanes.iter().any(|(process, _)| *process == op.process.word()) {
            lanes.push((op.process.word(), history.arena.show(op.process)));
        }
    }
    lanes.sort_by(|a, b| (a.1.len(), &a.1).cmp(&(b.1.len(), &b.1)));
    let step = ((PAGE - LEFT) / (column.len() + 1)).clamp(STEP_MIN, STEP_MAX);
    let (width, height) = (LEFT + (column.len() + 1) * step, lanes.len() * LANE + 8);
    let _ = writeln!(
        out,
        "<div class=\"scroll\"><svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"{} operations of {} clients\">",
        shown.len(),
        lanes.len()
    );
    for (lane, (_, process)) in lanes.iter().enumerate() {
        let y = lane * LANE + LANE / 2 + 4;
        let _ = writeln!(
            out,
            "<line class=\"lane\" x1=\"{LEFT}\" y1=\"{y}\" x2=\"{width}\" y2=\"{y}\"/>\
             <text class=\"who\" x=\"{}\" y=\"{}\">{}</text>",
            LEFT - 8,
            y + 4,
            escape(process)
        );
    }
    for place in shown {
        let op = &history.ops[*place];
        let lane = lanes.iter().position(|(process, _)| *process == op.process.word()).unwrap_or(0);
        let y = lane * LANE + 6;
        let from = LEFT + column[&op.call] * step;
        let to = if op.ret == NEVER { width - 4 } else { LEFT + column[&op.ret] * step + step / 2 };
        let kind = match op.outcome {
            Outcome::Ok => "ok",
            Outcome::Fail => "fail",
            Outcome::Info => "info",
        };
        let class = if core.contains(place) { format!("{kind} core") } else { kind.into() };
        let label = label(history, *place, (to - from).saturating_sub(8) * 10 / 73);
        let _ = writeln!(
            out,
            "<g class=\"{class}\"><title>{}</title><rect x=\"{from}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"3\"/>\
             <text x=\"{}\" y=\"{}\">{}</text></g>",
            escape(&hover(history, *place)),
            to - from,
            LANE - 8,
            from + 4,
            y + 17,
            escape(&label)
        );
    }
    out.push_str("</svg></div>\n");
}

/// What fits on a bar of so many letters.
fn label(history: &History, place: usize, room: usize) -> String {
    let op = &history.ops[place];
    let (value, f) = (op.value(), history.f(op));
    let text = match history.arena.items_of(value) {
        _ if value.is_nil() => f.to_owned(),
        Some(micro) if f == "txn" => {
            let micro = micro.iter().map(|micro| match history.arena.items_of(*micro) {
                Some(words) => words.iter().map(|word| plain(history, *word)).collect::<Vec<_>>().join(" "),
                None => plain(history, *micro),
            });
            micro.collect::<Vec<_>>().join(", ")
        }
        _ => format!("{f} {}", plain(history, value)),
    };
    if text.chars().count() <= room {
        return text;
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// A value without the quotes of a text.
fn plain(history: &History, value: crate::Value) -> String {
    history.arena.str_of(value).map_or_else(|| history.arena.show(value), str::to_owned)
}

/// The operation in words, when it was, and what it says of the state.
fn hover(history: &History, place: usize) -> String {
    let op = &history.ops[place];
    let mut text = history.tell(place);
    let ret = if op.ret == NEVER { "never returns".into() } else { format!("returns at event {}", op.ret) };
    let _ = write!(text, "\ncalled at event {}, {ret}", op.call);
    if !op.error.is_nil() {
        let _ = write!(text, "\nerror: {}", history.arena.show(op.error));
    }
    if let Some(state) = left(history, place) {
        let _ = write!(text, "\nstate: {state}");
    }
    text
}

/// What the object held when the operation took effect, as far as it tells.
fn left(history: &History, place: usize) -> Option<String> {
    let op = &history.ops[place];
    if op.outcome != Outcome::Ok {
        return None;
    }
    let show = |value| history.arena.show(value);
    match history.f(op) {
        "write" | "put" | "w" => Some(format!("{} after it", show(op.input))),
        "read" | "get" | "r" if !op.output.is_nil() => Some(show(op.output)),
        "cas" => {
            let [from, to] = history.arena.items_of(op.input)? else { return None };
            Some(format!("{} before it, {} after it", show(*from), show(*to)))
        }
        "acquire" => Some("held after it".into()),
        "release" => Some("free after it".into()),
        _ => None,
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() && c != '\n' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

const LEGEND: &str = "<p class=\"legend\"><i class=\"core\"></i> what contradicts itself <i class=\"ok\"></i> acknowledged \
<i class=\"info\"></i> outcome unknown, to the end <i class=\"fail\"></i> refused; from left to right the order of events, \
each client in its lane</p>\n";

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#6a737d;--page:#fff;--lane:#d8dde3;--ok:#cfe3fb;--okline:#4a86c5;\
--info:#fdf0cf;--infoline:#b98a1d;--fail:#eceff2;--failline:#9aa3ad;--core:#ffd5d0;--coreline:#c0392b}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#9aa3ad;--page:#15181c;--lane:#333a42;--ok:#1d3a5c;\
--okline:#6aa5e3;--info:#463a17;--infoline:#d9ad45;--fail:#2a2f35;--failline:#6a737d;--core:#5c211b;--coreline:#ff7b6b}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);margin:2rem auto;max-width:1100px;\
padding:0 1rem;overflow-wrap:anywhere}h1{font-size:1.4rem}h1 small{font-weight:400;color:var(--soft)}h2{font-size:1.1rem;margin-top:2rem}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{color:var(--soft)}dd{margin:0}\
h1 span{padding:.1rem .5rem;border-radius:.3rem;color:#fff}h1 .ok{background:#2d7d46}h1 .bad{background:#c0392b}\
h1 .unknown{background:#8a6d1d}.scroll{overflow-x:auto;border:1px solid var(--lane);border-radius:.3rem}\
svg{display:block;font:12px ui-monospace,monospace}svg text{fill:var(--ink)}.who{text-anchor:end;fill:var(--soft)}\
.lane{stroke:var(--lane)}rect{fill:var(--ok);stroke:var(--okline)}.info rect{fill:var(--info);stroke:var(--infoline);\
stroke-dasharray:4 3}.fail rect{fill:var(--fail);stroke:var(--failline)}.core rect{fill:var(--core);\
stroke:var(--coreline);stroke-width:2}\
.legend{color:var(--soft);font-size:.85rem}.legend i{display:inline-block;width:1.4em;height:.8em;border:1px solid;\
margin:0 .2em 0 .8em}i.core{background:var(--core);border-color:var(--coreline)}i.ok{background:var(--ok);\
border-color:var(--okline)}i.info{background:var(--info);border-color:var(--infoline);border-style:dashed}\
i.fail{background:var(--fail);border-color:var(--failline)}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::anomaly;

    fn example() -> (History, Verdict) {
        let text = br#"{"process":0,"type":"invoke","f":"write","value":"<1>"}
{"process":1,"type":"invoke","f":"write","value":2}
{"process":0,"type":"ok","f":"write","value":"<1>"}
{"process":2,"type":"invoke","f":"read","value":null}
{"process":2,"type":"ok","f":"read","value":null}
"#;
        let history = crate::read::json::lines(text, crate::read::Shaping::default()).expect("a history");
        let found = anomaly(&history, "nonlinearizable", vec![0, 2]);
        let verdict = Verdict::bad("by hand", "client 2 does not see what client 0 wrote", found);
        (history, verdict)
    }

    #[test]
    fn the_core_is_highlighted_and_the_rest_is_around_it() {
        let (history, verdict) = example();
        let page = page(&history, &verdict, "h.jsonl", "register");
        assert_eq!(page.matches("<g class=\"ok core\"").count(), 2);
        assert_eq!(page.matches("<g class=\"info\"").count(), 1);
        assert!(page.contains("called at event 1, never returns"));
        assert!(page.contains("state: &quot;&lt;1&gt;&quot; after it"));
    }

    #[test]
    fn it_is_whole_by_itself_and_the_same_each_time() {
        let (history, verdict) = example();
        let text = page(&history, &verdict, "h.jsonl", "register");
        for word in ["http", "<script", "<link", "src=", "url("] {
            assert!(!text.contains(word), "{word}");
        }
        assert!(!text.contains("<1>"));
        assert_eq!(text, page(&history, &verdict, "h.jsonl", "register"));
    }
}
