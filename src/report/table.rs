//! Several scenarios as one table: a line each, with its verdict, how long it took and what spoke against it. Pure.

use super::names::{seconds, status};
use super::story::Story;
use crate::check::Verdict;
use serde_json::{Value, json};

/// One scenario of a folder, run or not.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    pub file: String,
    /// As the file gives them.
    pub tags: &'a [String],
    pub exit_code: u8,
    /// Nothing for one that could not be started.
    pub story: Option<&'a Story>,
    /// Why it could not.
    pub error: Option<String>,
}

impl Row<'_> {
    /// What it is called: as it says, else by its file.
    pub fn name(&self) -> String {
        let named = self.story.and_then(|story| story.started.as_ref()?.name.clone());
        named.unwrap_or_else(|| self.file.clone())
    }
    pub fn wall_ms(&self) -> u64 {
        self.story.and_then(|story| story.finished.as_ref()).map_or(0, |finished| finished.wall_ms)
    }
    fn verdict(&self) -> &'static str {
        match (self.story, self.exit_code) {
            (Some(_), 5) => "BROKEN",
            (Some(story), _) => status(story.verdict()),
            (None, _) => "NOT RUN",
        }
    }
    /// The checks that failed, else those that could not decide, each with its reason.
    pub fn against(&self) -> Vec<String> {
        let Some(story) = self.story else { return self.error.clone().into_iter().collect() };
        let of = |verdict: Verdict| {
            let wanted = story.judgements.iter().filter(move |judgement| judgement.verdict == verdict);
            wanted.map(|judgement| format!("{}: {}", judgement.check, judgement.reason)).collect::<Vec<_>>()
        };
        let mut against = of(Verdict::Fail);
        if against.is_empty() {
            against = of(Verdict::Unknown);
        }
        if against.is_empty() {
            against.extend(story.finished.as_ref().and_then(|finished| finished.error.clone()));
        }
        against
    }
    /// As one object, for `--format json`.
    pub fn json(&self) -> Value {
        let finished = self.story.and_then(|story| story.finished.as_ref());
        json!({
            "event": "scenario",
            "file": self.file,
            "name": self.name(),
            "tags": self.tags,
            "verdict": finished.map(|finished| finished.verdict.as_str()),
            "exit_code": self.exit_code,
            "wall_ms": self.wall_ms(),
            "against": self.against(),
            "run": finished.map(|finished| finished.run.clone()),
            "error": self.error,
        })
    }
}

/// The lines of the table; with a column of tags where any scenario has one.
pub fn table(rows: &[Row<'_>]) -> Vec<String> {
    let width = rows.iter().map(|row| row.name().chars().count()).max().unwrap_or(0).max("Scenario".len());
    let tags = rows.iter().map(|row| row.tags.join(", ").len()).max().unwrap_or(0);
    let tags = if tags == 0 { 0 } else { tags.max("Tags".len()) };
    let column = |text: &str| if tags == 0 { String::new() } else { format!("  {text:tags$}") };
    let head = format!("{:width$}  {:8} {:>8}{}", "Scenario", "Verdict", "Wall", column("Tags"));
    let mut lines = vec![head.trim_end().to_string()];
    for row in rows {
        let wall = format!("{}s", seconds(row.wall_ms(), 1));
        let mut against = row.against().into_iter();
        let first = against.next().map_or_else(String::new, |why| format!("  {why}"));
        let more = against.count();
        let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
        let tags = column(&row.tags.join(", "));
        let line = format!("{:width$}  {:8} {wall:>8}{tags}{first}{more}", row.name(), row.verdict());
        lines.push(line.trim_end().to_string());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Judgement;

    #[test]
    fn a_line_tells_what_spoke_against_a_scenario() {
        let judgement = |verdict, reason: &str| Judgement::new("service", verdict, reason);
        let failed = Story {
            judgements: vec![judgement(Verdict::Fail, "one write"), judgement(Verdict::Fail, "another")],
            ..Story::default()
        };
        let passed = Story { judgements: vec![judgement(Verdict::Pass, "all")], ..Story::default() };
        let row = |file: &str, exit_code, story| Row {
            file: file.into(),
            tags: &[],
            exit_code,
            story,
            error: None,
        };
        let absent = Row { error: Some("no server".into()), ..row("c", 3, None) };
        let tagged = ["disk".to_string(), "slow".to_string()];
        let lines = table(&[Row { tags: &tagged, ..row("a", 1, Some(&failed)) }, row("b", 0, Some(&passed))]);
        assert_eq!(lines[0], "Scenario  Verdict      Wall  Tags");
        assert!(lines[1].ends_with("0.0s  disk, slow  service: one write (and 1 more)"), "{}", lines[1]);
        assert!(lines[2].ends_with("0.0s"), "{}", lines[2]);
        let lines = table(&[row("a", 1, Some(&failed)), row("b", 0, Some(&passed)), absent]);
        assert_eq!(lines[0], "Scenario  Verdict      Wall");
        assert!(lines[1].ends_with("0.0s  service: one write (and 1 more)"), "{}", lines[1]);
        assert!(lines[2].starts_with("b ") && lines[2].ends_with("0.0s"), "{}", lines[2]);
        assert!(lines[3].contains("NOT RUN") && lines[3].ends_with("no server"), "{}", lines[3]);
    }
}
