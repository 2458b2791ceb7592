//! The result file that scripts of the newer tool read (`--output`): its keys, filled from our checks.

use super::names::{FINAL, newer};
use super::story::Story;
use super::text::errors;
use crate::check::{Judgement, Verdict};
use crate::run::record::Status;
use serde_json::{Map, Value, json};

/// All runs of one invocation. A check that was off, or was not reached, is absent; one that could not decide
/// has `success` false and says so in `error`: unknown is not passed.
pub fn results(stories: &[&Story]) -> Value {
    let results: Vec<Value> = stories.iter().map(|story| result(story)).collect();
    let passed = stories.iter().filter(|story| passed(story)).count();
    let timestamp = stories
        .first()
        .and_then(|story| story.started.as_ref())
        .map_or_else(String::new, |started| started.started_at.trim_end_matches('Z').to_string());
    json!({
        "timestamp": timestamp,
        "total_tests": stories.len(),
        "passed": passed,
        "failed": stories.len() - passed,
        "results": results,
    })
}

fn passed(story: &Story) -> bool {
    matches!(story.verdict(), Verdict::Pass | Verdict::NotOwed)
}

fn result(story: &Story) -> Value {
    let kind = |event: &str| story.planned(event).map_or("", |planned| planned.kind.as_str());
    let count = |wanted: &str, counts: &dyn Fn(&Status) -> bool| -> usize {
        story
            .applied
            .iter()
            .filter(|(_, applied)| kind(&applied.event) == wanted && counts(&applied.status))
            .map(|(_, applied)| if wanted == "fault" { applied.resolved.len().max(1) } else { 1 })
            .sum()
    };
    let started = story.started.as_ref();
    let errors = errors(story);
    let mut result = Map::new();
    let name = started.map(|started| started.name.clone().unwrap_or_else(|| started.seed.to_string()));
    result.insert("scenario_id".into(), json!(name));
    result.insert("success".into(), json!(passed(story)));
    result.insert("duration".into(), duration(story));
    result.insert("operations_executed".into(), json!(count("operation", &|s| *s == Status::Applied)));
    result.insert("chaos_events".into(), json!(count("fault", &|s| !matches!(s, Status::Skipped(_)))));
    result.insert("seed".into(), json!(started.map(|started| started.seed)));
    let message = if errors.is_empty() { Value::Null } else { json!(errors.join("; ")) };
    result.insert("error_message".into(), message);
    if !story.judgements.is_empty() {
        result.insert("final_validation".into(), validation(story, &story.judgements));
    }
    if !story.looks.is_empty() {
        let waves = story.looks.iter().map(|(_, _, judgements)| validation(story, judgements)).collect();
        result.insert("per_operation_validations".into(), Value::Array(waves));
    }
    Value::Object(result)
}

/// Seconds with two decimals, as a number.
fn duration(story: &Story) -> Value {
    story.finished.as_ref().map_or(Value::Null, |finished| json!((finished.wall_ms / 10) as f64 / 100.0))
}

fn validation(story: &Story, judgements: &[Judgement]) -> Value {
    let failed: Vec<&Judgement> = judgements.iter().filter(|j| j.verdict == Verdict::Fail).collect();
    let mut names: Vec<&str> = failed.iter().map(|judgement| newer(&judgement.check)).collect();
    names.dedup();
    let mut checks = Map::new();
    for (key, _, ours) in FINAL {
        let judged: Vec<&Judgement> =
            judgements.iter().filter(|j| ours.contains(&j.check.as_str())).collect();
        if !judged.is_empty() {
            checks.insert((*key).into(), check(story, key, &judged));
        }
    }
    json!({
        "overall_success": judgements.iter().all(|j| !matches!(j.verdict, Verdict::Fail | Verdict::Unknown)),
        "failed_checks": names,
        "error_messages": failed.iter().map(|j| format!("{}: {}", j.check, j.reason)).collect::<Vec<_>>(),
        "checks": checks,
    })
}

/// What one of our checks says, under its own name: one key of the newer tool's may stand for several.
fn own(judgement: &Judgement) -> Value {
    let error = matches!(judgement.verdict, Verdict::Fail | Verdict::Unknown).then_some(&judgement.reason);
    json!({
        "verdict": judgement.verdict.as_str(),
        "error": error,
        "looked_at": judgement.looked_at,
        "evidence": judgement.evidence,
    })
}

fn check(story: &Story, key: &str, judged: &[&Judgement]) -> Value {
    let heaviest = judged.iter().map(|judgement| judgement.verdict).max().unwrap_or(Verdict::Unknown);
    let reasons: Vec<String> = judged
        .iter()
        .filter(|judgement| matches!(judgement.verdict, Verdict::Fail | Verdict::Unknown))
        .map(|judgement| match judged {
            [_] => judgement.reason.clone(),
            _ => format!("{}: {}", judgement.check, judgement.reason),
        })
        .collect();
    let mut out = Map::new();
    out.insert("success".into(), json!(!matches!(heaviest, Verdict::Fail | Verdict::Unknown)));
    out.insert("verdict".into(), json!(heaviest.as_str()));
    if key == "slot_coverage"
        && let Some(cluster) = &story.cluster
    {
        let free: u32 = cluster.slots_unowned.iter().map(|(a, b)| u32::from(b - a) + 1).sum();
        out.insert("total_slots_assigned".into(), json!(16384 - free));
        out.insert("unassigned_slots_count".into(), json!(free));
    }
    if key == "topology"
        && let (Some(cluster), Some(started)) = (&story.cluster, &story.started)
    {
        let live = |role: &str| {
            cluster.nodes.iter().filter(|node| node.role == role && node.state == "CONNECTED").count()
        };
        out.insert("expected_primaries".into(), json!(started.shards));
        out.insert("actual_primaries".into(), json!(live("primary")));
        out.insert(
            "expected_replicas".into(),
            json!(u32::from(started.shards) * u32::from(started.replicas)),
        );
        out.insert("actual_replicas".into(), json!(live("replica")));
    }
    let looked: Vec<&str> = judged.iter().map(|judgement| judgement.looked_at.as_str()).collect();
    out.insert("looked_at".into(), json!(looked.join("; ")));
    let evidence: Vec<&String> = judged.iter().flat_map(|judgement| &judgement.evidence).collect();
    out.insert("evidence".into(), json!(evidence));
    let error = if reasons.is_empty() { Value::Null } else { json!(reasons.join("; ")) };
    out.insert("error".into(), error);
    if judged.iter().any(|judgement| judgement.check != key) {
        let by_check: Map<String, Value> =
            judged.iter().map(|judgement| (judgement.check.clone(), own(judgement))).collect();
        out.insert("by_check".into(), Value::Object(by_check));
    }
    Value::Object(out)
}
