//! The tables of `dsl/README.md`, made from the declarations that the reader uses. They stand between two
//! comments each, `<!-- table NAME -->` and `<!-- end -->`; the rest of the page is written by hand.

use seedfault::catalogue::{ACTIONS, Action, ActionKind, CheckSpec};
use seedfault::env::PROFILES;
use seedfault::spec::forms::{ClusterForm, DrawForm, EVENT, GROUPS, Keep, KeyInfo, OBSERVATIONS, TOP};
use seedfault::timeline::{Load, Mix, Schedule};
use seedfault::yaml::fields::{FieldInfo, Record};

/// The page with every table made anew.
pub fn renewed(page: &str) -> String {
    let mut out = String::new();
    let mut rest = page;
    while let Some((before, from)) = rest.split_once("<!-- table ") {
        let (name, inside) = from.split_once(" -->\n").expect("a table has a name");
        let (_, after) = inside.split_once("<!-- end -->").expect("a table has an end");
        out += &format!("{before}<!-- table {name} -->\n{}<!-- end -->", table(name));
        rest = after;
    }
    out + rest
}

fn table(name: &str) -> String {
    match name {
        "top" => keys(TOP),
        "event" => keys(EVENT),
        "groups" => keys(GROUPS),
        "cluster" => fields(ClusterForm::FIELDS),
        "load" => fields(Load::FIELDS),
        "mix" => fields(Mix::FIELDS),
        "schedule" => fields(Schedule::FIELDS),
        "draw" => fields(DrawForm::FIELDS),
        "keep" => fields(Keep::FIELDS),
        "observations" => OBSERVATIONS
            .iter()
            .map(|(name, doc, list)| format!("- `{name}`: {doc}\n\n{}\n", indented(&fields(list))))
            .collect(),
        "operations" => actions(ActionKind::Operation),
        "faults" => actions(ActionKind::Fault),
        "looks" => actions(ActionKind::Check) + &actions(ActionKind::Sabotage),
        "checks" => checks(),
        "environments" => {
            let rows = PROFILES.iter().map(|profile| {
                let abilities: Vec<&str> = profile.abilities.iter().map(|ability| ability.as_str()).collect();
                format!("| `{}` | {} | {} |\n", profile.name, profile.summary, abilities.join(", "))
            });
            "| Environment | What it is | Abilities |\n|---|---|---|\n".to_string()
                + &rows.collect::<String>()
        }
        other => panic!("no table is called `{other}`"),
    }
}

fn keys(keys: &[KeyInfo]) -> String {
    let rows = keys.iter().map(|key| format!("| `{}` | {} |\n", key.name, key.doc));
    "| Key | Meaning |\n|---|---|\n".to_string() + &rows.collect::<String>()
}

fn fields(fields: &[FieldInfo]) -> String {
    let rows = fields.iter().map(|field| {
        let default = match field.default.map(|default| default()) {
            _ if field.required => "required".into(),
            Some(text) if text != "null" => format!("`{text}`"),
            _ => String::new(),
        };
        let expected = (field.expected)().replace('|', "\\|");
        format!("| `{}` | {expected} | {default} | {} |\n", field.name, field.doc.trim())
    });
    "| Field | Value | Default | Meaning |\n|---|---|---|---|\n".to_string() + &rows.collect::<String>()
}

fn actions(kind: ActionKind) -> String {
    let of_kind = ACTIONS.iter().zip(Action::FIELDS).filter(|(info, _)| info.kind == kind);
    of_kind
        .map(|(info, (name, list))| {
            let mut remarks = vec![format!("targets: {}", info.targets.join(", "))];
            if info.lasting {
                remarks.push("lasts: takes `for`".into());
            }
            if info.needs.as_str() != "none" {
                remarks.push(format!("needs the ability {}", info.needs.as_str()));
            }
            if !info.drawn {
                remarks.push("never drawn".into());
            }
            let table = if list.is_empty() { "It has no fields.\n".into() } else { fields(list) };
            format!("#### `{name}`\n\n{}. ({})\n\n{table}\n", info.summary, remarks.join("; "))
        })
        .collect()
}

fn checks() -> String {
    let rows = CheckSpec::FIELDS.iter().flat_map(|(name, list)| {
        let bounds = list.iter().map(move |field| {
            let default = field.default.map(|default| default()).filter(|text| text != "null");
            let default = default.map(|text| format!(" (default `{text}`)")).unwrap_or_default();
            format!("| `{name}` | `{}` | {}{default} |\n", field.name, field.doc.trim())
        });
        let none = list.is_empty().then(|| format!("| `{name}` | | |\n"));
        none.into_iter().chain(bounds)
    });
    "| Check | Bound | Meaning |\n|---|---|---|\n".to_string() + &rows.collect::<String>()
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
