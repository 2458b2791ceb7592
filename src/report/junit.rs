//! `JUnit`'s XML: a suite per run, a case per check, so that continuous integration shows them as tests. Before those of a
//! folder stands a suite with a case per scenario.

use super::names::seconds;
use super::story::Story;
use super::table::Row;
use super::text::{errors, ordered, push, unheard};
use crate::check::Verdict;

/// The runs of one invocation as one document. `told` gives the story of one that failed, a sentence each.
pub fn xml(stories: &[&Story], rows: &[Row<'_>], told: &dyn Fn(&Story) -> Vec<String>) -> String {
    let mut out =
        String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"seedfault\">\n");
    if !rows.is_empty() {
        scenarios(&mut out, rows);
    }
    for story in stories {
        suite(&mut out, story, told);
    }
    out.push_str("</testsuites>\n");
    out
}

/// A case per scenario: failed by what spoke against it, in error where the run broke or could not begin, skipped where
/// nothing could be decided.
fn scenarios(out: &mut String, rows: &[Row<'_>]) {
    let count = |wanted: &[u8]| rows.iter().filter(|row| wanted.contains(&row.exit_code)).count();
    push(
        out,
        format_args!(
            "  <testsuite name=\"scenarios\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{}\">\n",
            rows.len(),
            count(&[1]),
            count(&[2, 3, 5]),
            count(&[4, 130]),
            seconds(rows.iter().map(Row::wall_ms).sum(), 3),
        ),
    );
    for row in rows {
        let against = row.against();
        let message = escape(against.first().map_or("", String::as_str));
        let all = escape(&against.join("\n"));
        push(
            out,
            format_args!(
                "    <testcase classname=\"{}\" name=\"{}\" time=\"{}\">",
                escape(&row.file),
                escape(&row.name()),
                seconds(row.wall_ms(), 3)
            ),
        );
        if !row.tags.is_empty() {
            out.push_str("<properties>");
            for tag in row.tags {
                push(out, format_args!("<property name=\"tag\" value=\"{}\"/>", escape(tag)));
            }
            out.push_str("</properties>");
        }
        match row.exit_code {
            0 => {}
            1 => push(out, format_args!("<failure message=\"{message}\">{all}</failure>")),
            4 | 130 => push(out, format_args!("<skipped message=\"unknown: {message}\"/>")),
            _ => push(out, format_args!("<error message=\"{message}\"/>")),
        }
        out.push_str("</testcase>\n");
    }
    out.push_str("  </testsuite>\n");
}

fn suite(out: &mut String, story: &Story, told: &dyn Fn(&Story) -> Vec<String>) {
    let sentences = if story.failed().next().is_some() { told(story) } else { Vec::new() };
    let happened = if sentences.is_empty() {
        String::new()
    } else {
        format!("\n\nWhat happened:\n{}", sentences.join("\n"))
    };
    let started = story.started.as_ref();
    let name = started.map_or_else(
        || "run".into(),
        |started| started.name.clone().unwrap_or_else(|| format!("seed {}", started.seed)),
    );
    let count = |verdict: Verdict| story.judgements.iter().filter(|j| j.verdict == verdict).count();
    let skipped =
        count(Verdict::Unknown) + count(Verdict::NotOwed) + count(Verdict::Voided) + unheard(story).len();
    // A run that broke, or that could not decide, is an error of its own beside the checks.
    let broken = story.finished.as_ref().is_none_or(|finished| matches!(finished.exit_code, 2..=5));
    push(
        out,
        format_args!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{skipped}\" time=\"{}\" \
             timestamp=\"{}\">\n",
            escape(&name),
            story.judgements.len() + unheard(story).len() + 1,
            count(Verdict::Fail),
            usize::from(broken),
            story.finished.as_ref().map_or_else(|| "0".into(), |finished| seconds(finished.wall_ms, 3)),
            escape(started.map_or("", |started| started.started_at.trim_end_matches('Z'))),
        ),
    );
    if let Some(started) = started {
        out.push_str("    <properties>\n");
        let mut properties = vec![
            ("seed", started.seed.to_string()),
            ("target", started.target.clone()),
            ("environment", started.environment.clone()),
            ("server", started.server.clone()),
            ("timeline_hash", started.timeline_hash.clone()),
        ];
        if let Some(finished) = &story.finished {
            properties.push(("schedule_hash", finished.schedule_hash.clone()));
            properties.push(("reproduce", finished.reproduce.clone()));
        }
        for (name, value) in properties {
            push(out, format_args!("      <property name=\"{name}\" value=\"{}\"/>\n", escape(&value)));
        }
        out.push_str("    </properties>\n");
    }
    let class = escape(&format!("seedfault.{}", started.map_or("unknown", |started| &started.target)));
    push(out, format_args!("    <testcase classname=\"{class}\" name=\"run\">"));
    if broken {
        push(out, format_args!("<error message=\"{}\"/>", escape(&errors(story).join("; "))));
    }
    out.push_str("</testcase>\n");
    for judgement in ordered(story) {
        push(out, format_args!("    <testcase classname=\"{class}\" name=\"{}\">", escape(&judgement.check)));
        let message = escape(&judgement.reason);
        match judgement.verdict {
            Verdict::Pass => {}
            Verdict::Fail => push(
                out,
                format_args!(
                    "<failure message=\"{message}\">{}</failure>",
                    escape(&format!("{}{happened}", judgement.evidence.join("\n")))
                ),
            ),
            verdict => push(out, format_args!("<skipped message=\"{verdict}: {message}\"/>")),
        }
        out.push_str("</testcase>\n");
    }
    for check in unheard(story) {
        push(
            out,
            format_args!(
                "    <testcase classname=\"{class}\" name=\"{}\"><skipped message=\"unknown: not judged\"/></testcase>\n",
                escape(check)
            ),
        );
    }
    out.push_str("  </testsuite>\n");
}

/// Many runs of one scenario, of which only failures that differ are told.
#[derive(Clone, Debug)]
pub struct Failures {
    pub name: String,
    pub target: String,
    pub seconds_ms: u64,
    pub properties: Vec<(&'static str, String)>,
    /// Why nothing could be seen.
    pub error: Option<String>,
    pub failures: Vec<Failed>,
}

/// A failure, however many runs met it.
#[derive(Clone, Debug)]
pub struct Failed {
    pub name: String,
    pub message: String,
    pub text: String,
}

/// A suite with a case for the runs as such and one for each failure.
pub fn failures(suite: &Failures) -> String {
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"seedfault\">\n  <testsuite name=\"{}\" \
         tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"0\" time=\"{}\">\n    <properties>\n",
        escape(&suite.name),
        suite.failures.len() + 1,
        suite.failures.len(),
        usize::from(suite.error.is_some()),
        seconds(suite.seconds_ms, 3)
    );
    for (name, value) in &suite.properties {
        push(&mut out, format_args!("      <property name=\"{name}\" value=\"{}\"/>\n", escape(value)));
    }
    let class = escape(&format!("seedfault.{}", suite.target));
    push(&mut out, format_args!("    </properties>\n    <testcase classname=\"{class}\" name=\"runs\">"));
    if let Some(error) = &suite.error {
        push(&mut out, format_args!("<error message=\"{}\"/>", escape(error)));
    }
    out.push_str("</testcase>\n");
    for Failed { name, message, text } in &suite.failures {
        push(
            &mut out,
            format_args!(
                "    <testcase classname=\"{class}\" name=\"{}\"><failure message=\"{}\">{}</failure></testcase>\n",
                escape(name),
                escape(message),
                escape(text)
            ),
        );
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

/// Text for an attribute or an element. What XML 1.0 cannot hold at all becomes the replacement character.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\r' => out.push_str("&#13;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn nothing_in_a_message_breaks_the_document() {
        assert_eq!(escape("a<b>&\"'\u{1}\n]]>"), "a&lt;b&gt;&amp;&quot;&apos;\u{fffd}&#10;]]&gt;");
    }
}
