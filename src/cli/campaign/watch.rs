//! How a campaign stands, and what is seen of it while it goes on: on a terminal a few lines that are drawn over and over,
//! elsewhere a line of a log each minute.

use super::findings;
use super::store::Finding;
use super::{Setting, length};
use crate::campaign::Family;
use crate::page::live::Night;
use crate::report::names::{counted, thousands};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How many failures, and how many findings, are told on a terminal.
pub const FAILURES_MAX: usize = 3;
const FINDINGS_MAX: usize = 8;

/// What a campaign has come to.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Of this part.
    pub runs: u64,
    /// Of the whole campaign.
    pub verdicts: BTreeMap<String, u64>,
    pub findings: Vec<Finding>,
    pub reached: BTreeMap<Family, u64>,
    pub kept: u64,
    pub active: usize,
    pub side_by_side: usize,
    /// The last runs that failed, by number, and by what.
    pub failures: VecDeque<(u64, String)>,
    /// Of this part, and all parts together.
    pub elapsed: Duration,
    pub spent: Duration,
    pub left: Option<Duration>,
}

impl Standing {
    pub fn of(&self, verdict: &str) -> u64 {
        self.verdicts.get(verdict).copied().unwrap_or(0)
    }

    pub fn all(&self) -> u64 {
        self.verdicts.values().sum()
    }

    /// Runs in an hour, as it goes in this part.
    pub fn an_hour(&self) -> u64 {
        let hours = self.elapsed.as_secs_f64() / 3600.0;
        if hours > 0.0 { (self.runs as f64 / hours) as u64 } else { 0 }
    }

    fn features(&self) -> u64 {
        self.reached.values().sum()
    }

    /// A line of a log.
    pub fn line(&self) -> String {
        let left = self.left.map_or_else(String::new, |left| format!(", {} left", length(left)));
        format!(
            "{} runs, {} an hour, {} side by side; {}; {} features, {} timelines kept{left}\n",
            thousands(self.all()),
            thousands(self.an_hour()),
            self.side_by_side,
            counted(self.findings.len() as u64, "finding"),
            thousands(self.features()),
            thousands(self.kept)
        )
    }

    /// For a browser.
    pub(super) fn night(&self, setting: &Setting<'_>) -> Night {
        let known = |finding: &Finding| {
            let line = findings::line(finding);
            let what = line.split_once(": ").map_or(line.trim(), |(_, what)| what.trim());
            (finding.runs.max(1), finding.check.clone(), format!("{}: {what}", finding.reason))
        };
        Night {
            id: setting.campaign.id,
            target: setting.place.target.clone(),
            environment: setting.place.profile.name.into(),
            spent: length(self.spent),
            left: self.left.map(length),
            an_hour: self.an_hour(),
            active: self.active as u64,
            side_by_side: self.side_by_side as u64,
            ended: ["pass", "fail", "unknown", "broken"].map(|verdict| self.of(verdict)),
            features: self.features(),
            kept: self.kept,
            findings: self.findings.iter().map(known).collect(),
            failures: self.failures.iter().cloned().collect(),
        }
    }

    /// A few lines of a terminal.
    pub fn lines(&self, setting: &Setting<'_>) -> String {
        let left = self.left.map_or_else(String::new, |left| format!(", {} left", length(left)));
        let mut lines = vec![
            format!(
                "campaign {} on {} in {}: {}{left}",
                setting.campaign.id,
                setting.place.target,
                setting.place.profile.name,
                length(self.spent)
            ),
            format!(
                "runs      {}, {} an hour, {} of {} side by side: {} passed, {} undecided, {} broke, {} failed",
                thousands(self.all()),
                thousands(self.an_hour()),
                self.active,
                self.side_by_side,
                thousands(self.of("pass")),
                thousands(self.of("unknown")),
                thousands(self.of("broken")),
                thousands(self.of("fail"))
            ),
            format!("features  {} by {}", thousands(self.features()), counted(self.kept, "timeline")),
            format!("findings  {}", thousands(self.findings.len() as u64)),
        ];
        // The latest are seen.
        let hidden = self.findings.len().saturating_sub(FINDINGS_MAX);
        lines.extend(self.findings[hidden..].iter().map(|finding| {
            let line = findings::line(finding);
            line.trim_end().to_string()
        }));
        if hidden > 0 {
            lines.push(format!("        and {} before", counted(hidden as u64, "other")));
        }
        lines.extend(self.failures.iter().map(|(number, by)| format!("failed    run {number}: {by}")));
        lines.join("\n") + "\n"
    }
}
