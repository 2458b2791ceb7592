//! Whether a replay did what the recording did, and where it first did not.

use super::Facts;
use crate::check::Verdict;

/// What a replay has in common with its recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// `Ok`: the same schedule. Else the first divergence, in words.
    pub schedule: Result<(), String>,
    /// The same history to the bit; what an exact environment owes.
    pub history: bool,
    /// The verdict is the same, and where it failed, one of the same checks fails.
    pub verdict: bool,
    /// What is to be said of the verdicts.
    pub words: String,
}

/// Compares what a replay came to with what its repro says.
pub fn compare(
    facts: &Facts,
    schedule_hash: &str,
    history_hash: &str,
    schedule: &[String],
    verdict: Verdict,
    failed: &[String],
) -> Agreement {
    let agreed = if facts.schedule_hash == schedule_hash {
        Ok(())
    } else {
        Err(divergence(&facts.schedule, schedule))
    };
    let common: Vec<&str> =
        facts.checks.iter().filter(|check| failed.contains(check)).map(String::as_str).collect();
    let same = verdict == facts.verdict && (verdict != Verdict::Fail || !common.is_empty());
    let words = match (same, verdict) {
        (true, Verdict::Fail) => format!("fails again: {}", common.join(", ")),
        (true, _) => format!("{verdict} again"),
        (false, Verdict::Fail) if facts.verdict == Verdict::Fail => {
            format!("fails, but by {} and not by {}", failed.join(", "), facts.checks.join(", "))
        }
        (false, _) => format!("was {}, now {verdict}", facts.verdict),
    };
    Agreement { schedule: agreed, history: facts.history_hash == history_hash, verdict: same, words }
}

/// Names the first line in which two schedules differ.
fn divergence(was: &[String], now: &[String]) -> String {
    let place = was.iter().zip(now).position(|(a, b)| a != b).unwrap_or_else(|| was.len().min(now.len()));
    match (was.get(place), now.get(place)) {
        (Some(was), Some(now)) => format!("entry {} was `{was}` and is now `{now}`", place + 1),
        (Some(was), None) => format!("entry {}, `{was}`, is missing now", place + 1),
        (None, Some(now)) => format!("entry {} is new: `{now}`", place + 1),
        // Words and hash are taken from the same facts: this is a recording whose words were lost.
        (None, None) => "the hashes differ; the recorded entries do not say where".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(schedule: &[&str]) -> Facts {
        Facts {
            verdict: Verdict::Fail,
            checks: vec!["slot_coverage".into(), "topology".into()],
            findings: Vec::new(),
            timeline_hash: String::new(),
            schedule_hash: "a".into(),
            history_hash: "h".into(),
            trace_hash: None,
            image: None,
            schedule: schedule.iter().map(ToString::to_string).collect(),
            tool: String::new(),
            server: String::new(),
            drawn: None,
            shrunk: None,
        }
    }

    #[test]
    fn the_first_divergence_is_named() {
        let was = facts(&["e1 applied node-1", "e2 applied node-4"]);
        let now = |lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            compare(&was, "b", "h", &lines, Verdict::Pass, &[]).schedule.unwrap_err()
        };
        assert_eq!(
            now(&["e1 applied node-1", "e2 applied node-5", "e3 skipped"]),
            "entry 2 was `e2 applied node-4` and is now `e2 applied node-5`"
        );
        assert_eq!(now(&["e1 applied node-1"]), "entry 2, `e2 applied node-4`, is missing now");
        assert_eq!(
            now(&["e1 applied node-1", "e2 applied node-4", "e3 skipped"]),
            "entry 3 is new: `e3 skipped`"
        );
        assert_eq!(compare(&was, "a", "x", &[], Verdict::Pass, &[]).schedule, Ok(()));
    }

    #[test]
    fn a_failure_of_another_check_is_no_reproduction() {
        let was = facts(&[]);
        let now = |verdict, failed: &[&str]| {
            let failed: Vec<String> = failed.iter().map(ToString::to_string).collect();
            compare(&was, "a", "h", &[], verdict, &failed)
        };
        assert!(now(Verdict::Fail, &["crash", "topology"]).verdict);
        assert!(!now(Verdict::Fail, &["crash"]).verdict);
        assert_eq!(
            now(Verdict::Fail, &["crash"]).words,
            "fails, but by crash and not by slot_coverage, topology"
        );
        assert!(!now(Verdict::Unknown, &[]).verdict);
        assert_eq!(now(Verdict::Pass, &[]).words, "was fail, now pass");
    }
}
