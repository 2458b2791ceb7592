//! The JSON schema of the native form (draft 2020-12), made from the same declarations that the reader uses.
//!
//! `dsl/schema.json` is its printed form, for editors; a test fails when it is out of date. The schema says what
//! stands where. What a part means beside the others is the reader's to say (`meaning`).

use super::forms::{
    BackgroundForm, ClusterForm, DrawForm, EVENT, GROUPS, KeyInfo, OBSERVATIONS, STARTS, TOP, targets,
};
use super::{FORM, Spread};
use crate::catalogue::{ACTIONS, Action, CheckSpec};
use crate::env::PROFILES;
use crate::target::embedded::bugs::BUGS;
use crate::time::Millis;
use crate::timeline::{Load, Schedule};
use crate::yaml::fields::{Field, FieldInfo, Record};
use serde_json::{Map, Value, json};

/// The schema of a scenario file.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    let mut define = |name: &str, value: Value| definitions.insert(name.into(), value);
    define("action", one_of_names(&actions(), &names_alone()));
    define("what", one_of_names(&[actions(), groups()].concat(), &names_alone()));
    define("event", event(&[]));
    define("member", json!({"anyOf": [event(STARTS), {"$ref": "#/$defs/what"}]}));
    define(
        "choice",
        json!({"anyOf": [event(&["id", "at", "forming", "after", "with", "when", "delay", "within"]), {"$ref": "#/$defs/action"}]}),
    );
    let observations: Vec<(String, Value)> = OBSERVATIONS
        .iter()
        .map(|(name, doc, fields)| ((*name).into(), described(record(fields), doc)))
        .collect();
    define("observation", one_of_names(&observations, &[]));
    let bounds: Vec<(String, Value)> =
        CheckSpec::FIELDS.iter().map(|(name, fields)| ((*name).into(), record(fields))).collect();
    define("check", one_of_names(&bounds, CheckSpec::NAMES));
    let properties =
        TOP.iter().map(|key| (key.name.to_string(), described(top(key), key.doc))).collect::<Map<_, _>>();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "a seedfault scenario",
        "type": "object",
        "properties": properties,
        "required": ["fuzz"],
        "anyOf": [{"required": ["timeline"]}, {"required": ["draw"]}],
        "additionalProperties": false,
        "$defs": definitions,
    })
}

/// The schema as `dsl/schema.json` holds it.
pub fn schema_text() -> String {
    format!("{:#}\n", schema())
}

/// The schema of a group of fields.
pub fn record(fields: &[FieldInfo]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| {
            let mut schema = described((field.schema)(), field.doc.trim());
            if let (Some(default), Some(object)) = (field.default, schema.as_object_mut()) {
                let text = default();
                if text != "null" {
                    // The default as the text stands in a file: numbers and booleans as such, all else a string.
                    let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
                    object.insert("default".into(), value);
                }
            }
            (field.name.to_string(), schema)
        })
        .collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if required.is_empty() {
        // Nothing at all counts as an empty mapping.
        schema["type"] = json!(["object", "null"]);
    } else {
        schema["required"] = json!(required);
    }
    schema
}

fn described(mut schema: Value, doc: &str) -> Value {
    schema["description"] = json!(doc);
    schema
}

/// A mapping with exactly one of these keys, or one of these names alone.
fn one_of_names(entries: &[(String, Value)], alone: &[&str]) -> Value {
    let properties: Map<String, Value> = entries.iter().cloned().collect();
    let mapping = json!({
        "type": "object",
        "properties": properties,
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": false,
    });
    if alone.is_empty() { mapping } else { json!({"anyOf": [mapping, {"enum": alone}]}) }
}

fn actions() -> Vec<(String, Value)> {
    let described_action =
        |(info, (name, fields)): (&crate::catalogue::ActionInfo, &(&str, &[FieldInfo]))| {
            ((*name).to_string(), described(record(fields), info.summary))
        };
    ACTIONS.iter().zip(Action::FIELDS).map(described_action).collect()
}

/// Actions that need no field may stand as a name alone.
fn names_alone() -> Vec<&'static str> {
    let free = |fields: &[FieldInfo]| fields.iter().all(|field| !field.required);
    Action::FIELDS.iter().filter(|(_, fields)| free(fields)).map(|(name, _)| *name).collect()
}

fn groups() -> Vec<(String, Value)> {
    let members =
        |what: &str| json!({"type": "array", "minItems": 1, "items": {"$ref": format!("#/$defs/{what}")}});
    GROUPS
        .iter()
        .map(|group| {
            let schema = if group.name == "background" {
                let mut schema = record(BackgroundForm::FIELDS);
                schema["properties"]["one_of"] =
                    described(members("choice"), "what may happen, each as likely");
                schema["required"] = json!(["every", "one_of"]);
                schema
            } else {
                members("member")
            };
            (group.name.to_string(), described(schema, group.doc))
        })
        .collect()
}

/// An event without some of its keys.
fn event(without: &[&str]) -> Value {
    let id = json!({"type": "string", "minLength": 1, "maxLength": 100});
    let keys = EVENT.iter().filter(|key| !without.contains(&key.name));
    let properties: Map<String, Value> = keys
        .map(|key| {
            let schema = match key.name {
                "id" | "with" => id.clone(),
                "after" => json!({"anyOf": [id, {"type": "array", "minItems": 1, "items": id}]}),
                "when" => json!({"$ref": "#/$defs/observation"}),
                "within" => Millis::schema(),
                "do" => json!({"$ref": "#/$defs/what"}),
                _ => Spread::<Millis>::schema(),
            };
            (key.name.to_string(), described(schema, key.doc))
        })
        .collect();
    let mut schema = json!({"type": "object", "properties": properties, "required": ["do"], "additionalProperties": false});
    if STARTS.iter().all(|start| !without.contains(start)) {
        let starts: Vec<Value> = STARTS.iter().map(|start| json!({"required": [start]})).collect();
        schema["oneOf"] = json!(starts);
    }
    schema
}

fn top(key: &KeyInfo) -> Value {
    let environments: Vec<&str> = PROFILES.iter().map(|profile| profile.name).collect();
    match key.name {
        "fuzz" => json!({"const": FORM}),
        "tags" => super::tags::schema(),
        "seed" => json!({"type": ["integer", "string"]}),
        "catalogue" => u32::schema(),
        "target" => json!({"enum": targets()}),
        "environment" => json!({"enum": environments}),
        "cluster" => record(ClusterForm::FIELDS),
        "load" => record(Load::FIELDS),
        "length" => Millis::schema(),
        "schedule" => record(Schedule::FIELDS),
        "bugs" => {
            let names: Vec<&str> = BUGS.iter().map(|bug| bug.name).collect();
            json!({"type": "array", "items": {"enum": names}})
        }
        "checks" => {
            json!({"anyOf": [{"const": "default"}, {"type": "array", "items": {"$ref": "#/$defs/check"}}]})
        }
        "draw" => record(DrawForm::FIELDS),
        "timeline" => json!({"type": ["array", "null"], "items": {"$ref": "#/$defs/event"}}),
        "repro" => json!({"type": "object"}),
        _ => String::schema(),
    }
}
