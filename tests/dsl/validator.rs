//! As much of JSON Schema as our own schema uses, so that a test can hold files against it. Patterns are left
//! to the reader's own tests; a keyword that is not known here is a fault, so that none is skipped in silence.

use serde_json::Value;

/// What is wrong with a value, by path; nothing when the schema takes it.
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, schema, value, "$", &mut found);
    found
}

fn check(root: &Value, schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let Some(keywords) = schema.as_object() else {
        if schema != &Value::Bool(true) {
            found.push(format!("{path}: nothing may stand here"));
        }
        return;
    };
    let takes = |schema: &Value| {
        let mut inner = Vec::new();
        check(root, schema, value, path, &mut inner);
        inner.is_empty()
    };
    let list = |argument: &Value| argument.as_array().cloned().unwrap_or_default();
    for (keyword, argument) in keywords {
        let holds = match keyword.as_str() {
            "$ref" => {
                let name =
                    argument.as_str().and_then(|text| text.strip_prefix("#/$defs/")).expect("a local name");
                takes(&root["$defs"][name])
            }
            "type" => match argument {
                Value::Array(types) => types.iter().any(|name| is(value, name)),
                name => is(value, name),
            },
            "const" => value == argument,
            "enum" => list(argument).contains(value),
            "anyOf" => list(argument).iter().any(takes),
            "oneOf" => list(argument).iter().filter(|schema| takes(schema)).count() == 1,
            "required" => value.as_object().is_none_or(|object| {
                list(argument).iter().all(|name| object.contains_key(name.as_str().unwrap_or_default()))
            }),
            "minProperties" => {
                value.as_object().is_none_or(|object| object.len() as u64 >= argument.as_u64().unwrap_or(0))
            }
            "maxProperties" => {
                value.as_object().is_none_or(|object| object.len() as u64 <= argument.as_u64().unwrap_or(0))
            }
            "minItems" => {
                value.as_array().is_none_or(|items| items.len() as u64 >= argument.as_u64().unwrap_or(0))
            }
            "maxItems" => {
                value.as_array().is_none_or(|items| items.len() as u64 <= argument.as_u64().unwrap_or(0))
            }
            "uniqueItems" => value
                .as_array()
                .is_none_or(|items| items.iter().enumerate().all(|(at, item)| !items[..at].contains(item))),
            "minimum" => value.as_f64().is_none_or(|number| number >= argument.as_f64().unwrap_or(0.0)),
            "minLength" => value
                .as_str()
                .is_none_or(|text| text.chars().count() as u64 >= argument.as_u64().unwrap_or(0)),
            "maxLength" => value
                .as_str()
                .is_none_or(|text| text.chars().count() as u64 <= argument.as_u64().unwrap_or(0)),
            "items" => {
                for (position, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, argument, item, &format!("{path}[{position}]"), found);
                }
                true
            }
            "properties" => {
                for (name, item) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = argument.get(name) {
                        check(root, schema, item, &format!("{path}.{name}"), found);
                    }
                }
                true
            }
            "additionalProperties" => {
                for (name, item) in value.as_object().into_iter().flatten() {
                    if keywords.get("properties").is_none_or(|known| known.get(name).is_none()) {
                        check(root, argument, item, &format!("{path}.{name}"), found);
                    }
                }
                true
            }
            "propertyNames" => value
                .as_object()
                .is_none_or(|object| object.keys().all(|name| takes_name(root, argument, name))),
            "$schema" | "$defs" | "title" | "description" | "default" | "pattern" => true,
            _ => panic!("the schema uses `{keyword}`, which this validator does not know"),
        };
        if !holds {
            found.push(format!("{path}: `{keyword}` does not hold"));
        }
    }
}

fn takes_name(root: &Value, schema: &Value, name: &str) -> bool {
    let mut inner = Vec::new();
    check(root, schema, &Value::from(name), "", &mut inner);
    inner.is_empty()
}

fn is(value: &Value, name: &Value) -> bool {
    match name.as_str().expect("the name of a type") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no type is called `{other}`"),
    }
}
