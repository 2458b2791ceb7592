//! The last words of a campaign, for everybody who may read them: people on a terminal, what reads `JUnit`'s files, and a
//! workflow of GitHub's, by annotations and by the summary of its step.

use super::store::Finding;
use super::{Setting, crew, findings, length};
use crate::cli::console::{print, talk};
use crate::cli::exit::{Code, Failure};
use crate::cli::flags::shell;
use crate::cli::folder::write_where_told;
use crate::cli::input::plain;
use crate::cli::results::table;
use crate::report::junit;
use crate::report::names::{counted, thousands};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Where GitHub wants the summary of a step.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// `page` is where the page of the campaign was written.
pub(super) fn tell(setting: &Setting<'_>, ended: &crew::Ended, page: Option<&Path>) -> Result<(), Failure> {
    let page = page.map_or_else(String::new, |page| format!("the page of it: {}\n", page.display()));
    print(&(text(setting, ended) + &page));
    // As runners of GitHub's say of themselves.
    if std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        print(&annotations(&ended.standing.findings));
    }
    if let Some(path) = std::env::var_os(STEP_SUMMARY).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        let file = fs::OpenOptions::new().create(true).append(true).open(&path);
        // The campaign is what it is without it.
        if let Err(error) = file.and_then(|mut file| file.write_all(markdown(setting, ended).as_bytes())) {
            talk(&format!("warning: failed to write {STEP_SUMMARY}: {}\n", plain(&error)));
        }
    }
    if let Some(path) = &setting.args.junit {
        write_where_told(path, junit::failures(&suite(setting, ended)).as_bytes()).map_err(|error| {
            Failure::new(Code::Environment, format!("failed to write {}: {}", path.display(), plain(&error)))
        })?;
    }
    Ok(())
}

const COLUMNS: [&str; 7] = ["runs", "passed", "undecided", "broke", "failed", "features", "timelines kept"];

/// What stands under [`COLUMNS`].
fn counts(ended: &crew::Ended) -> Vec<String> {
    let now = &ended.standing;
    let [passed, undecided, broke, failed] =
        ["pass", "unknown", "broken", "fail"].map(|verdict| now.of(verdict));
    let reached = now.reached.values().sum();
    [now.all(), passed, undecided, broke, failed, reached, now.kept].map(thousands).to_vec()
}

/// How long it took, and how fast it went.
fn pace(setting: &Setting<'_>, ended: &crew::Ended) -> String {
    let now = &ended.standing;
    format!(
        "campaign {}: {} in {}, {} an hour with {} side by side",
        setting.campaign.id,
        counted(now.all(), "run"),
        length(now.spent),
        thousands(now.an_hour()),
        now.side_by_side
    )
}

fn text(setting: &Setting<'_>, ended: &crew::Ended) -> String {
    let now = &ended.standing;
    let mut text = format!("\n{}\n\n{}", pace(setting, ended), table(&COLUMNS.join("\t"), &[counts(ended)]));
    let reached: Vec<String> =
        now.reached.iter().map(|(family, count)| format!("{family} {}", thousands(*count))).collect();
    text += &format!("reached: {}\n\n", reached.join(", "));
    if let Some(why) = &ended.first_broken {
        text += &format!("the first that broke: {why}\n");
    }
    match now.findings.len() as u64 {
        0 => text += "no findings\n",
        count => text += &format!("{}:\n", counted(count, "finding")),
    }
    now.findings.iter().for_each(|finding| text += &findings::line(finding));
    if let Some(first) = now.findings.first() {
        text += &format!("to see one again: {}\n", again(setting, first));
    }
    text
}

fn again(setting: &Setting<'_>, finding: &Finding) -> String {
    format!("fuzz replay {}{}", shell(&finding.repro), setting.place.spelled())
}

/// A line for each finding, by which it stands beside its file and on the page of the run (workflow commands, GitHub's
/// documentation).
fn annotations(findings: &[Finding]) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\n', "%0A").replace('\r', "%0D");
    let property = |text: &str| data(text).replace(',', "%2C").replace(':', "%3A");
    findings
        .iter()
        .map(|finding| {
            format!(
                "::error file={},title={}::{}\n",
                property(&finding.repro),
                property(&finding.check),
                data(&finding.reason)
            )
        })
        .collect()
}

fn markdown(setting: &Setting<'_>, ended: &crew::Ended) -> String {
    let now = &ended.standing;
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head = |titles: &[&str]| format!("| {} |\n|{}\n", titles.join(" | "), "---|".repeat(titles.len()));
    let mut out =
        format!("### {}\n\n{}\n\n", as_markdown(&pace(setting, ended)), as_markdown(&setting.place.told()));
    out += &head(&COLUMNS);
    out += &row(&counts(ended));
    out.push('\n');
    if let Some(why) = &ended.first_broken {
        out += &format!("The first that broke: {}\n\n", as_markdown(why));
    }
    if now.findings.is_empty() {
        return out + "No findings.\n\n";
    }
    out += &head(&["runs", "check", "what", "smallest", "fails in", "see it again"]);
    for finding in &now.findings {
        let small = finding.small.as_ref();
        out += &row(&[
            thousands(finding.runs.max(1)),
            as_markdown(&finding.check),
            as_markdown(&finding.reason),
            as_markdown(&small.map_or_else(|| "not shrunk".into(), findings::smallest)),
            as_markdown(&small.map_or_else(|| "not measured".into(), findings::often)),
            format!("`{}`", again(setting, finding).replace('|', "\\|").replace('`', "'")),
        ]);
    }
    out.push('\n');
    out
}

/// Text that stays what it is among marks.
fn as_markdown(text: &str) -> String {
    let mut out = String::new();
    for sign in text.chars() {
        match sign {
            '\n' | '\r' => out.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' => out.extend(['\\', sign]),
            _ => out.push(sign),
        }
    }
    out
}

fn suite(setting: &Setting<'_>, ended: &crew::Ended) -> junit::Failures {
    let now = &ended.standing;
    let all = now.all();
    let nothing_seen = all > 0 && now.of("broken") == all;
    let why = ended.first_broken.as_deref().unwrap_or_default();
    let failures = now.findings.iter().map(|finding| junit::Failed {
        name: format!("{} ({})", finding.check, stem(&finding.repro)),
        message: finding.reason.clone(),
        text: format!("{}{}", findings::line(finding).trim_start(), again(setting, finding)),
    });
    junit::Failures {
        name: format!("campaign {}", setting.campaign.id),
        target: setting.place.target.clone(),
        seconds_ms: now.spent.as_millis() as u64,
        properties: vec![
            ("seed", setting.campaign.seed.to_string()),
            ("environment", setting.place.profile.name.into()),
            (
                "server",
                setting.place.server.as_ref().map_or_else(String::new, |server| server.version.clone()),
            ),
            ("mode", setting.args.mode.clone()),
            ("runs", all.to_string()),
            ("runs_passed", now.of("pass").to_string()),
            ("runs_unknown", now.of("unknown").to_string()),
            ("runs_broken", now.of("broken").to_string()),
            ("runs_failed", now.of("fail").to_string()),
            ("runs_an_hour", now.an_hour().to_string()),
        ],
        error: nothing_seen.then(|| format!("every run broke; the first: {why}")),
        failures: failures.collect(),
    }
}

fn stem(path: &str) -> String {
    Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_reason_ends_a_cell_or_an_annotation() {
        assert_eq!(as_markdown("a|b\n*c* <d> `e`"), "a\\|b \\*c\\* \\<d\\> \\`e\\`");
        let finding = Finding {
            id: 1,
            check: "a,b".into(),
            kinds: [].into(),
            state: String::new(),
            reason: "50 %\n::error::no".into(),
            number: 1,
            runs: 1,
            repro: "repro/a:b.yaml".into(),
            small: None,
        };
        assert_eq!(
            annotations(&[finding]),
            "::error file=repro/a%3Ab.yaml,title=a%2Cb::50 %25%0A::error::no\n"
        );
    }
}
