//! Options from the `opts` of a case: the words that Elle's callers use, as JSON.
//!
//! `{"consistency-models": ["serializable"], "anomalies": ["G1"], "wfr-keys?": true}`. Without
//! `consistency-models` the claim is strict serializability; `null` claims no model, so that only `anomalies` count.

use crate::Options;
use serde_json::Value as Json;

impl Options {
    /// Unknown words are an error: a claim that is passed over would change the verdict.
    pub fn from_case_opts(opts: &Json) -> Result<Self, String> {
        let mut options = Self::default();
        let Some(fields) = opts.as_object() else {
            return if opts.is_null() { Ok(options) } else { Err("options are a JSON object".into()) };
        };
        for (name, value) in fields {
            match name.as_str() {
                "consistency-models" => options.consistency_models = words(name, value)?,
                "anomalies" => options.anomalies = words(name, value)?,
                "linearizable-keys?" => options.linearizable_keys = switch(name, value)?,
                "sequential-keys?" => options.sequential_keys = switch(name, value)?,
                "wfr-keys?" => options.wfr_keys = switch(name, value)?,
                "transaction-order" => {
                    options.transaction_order = Some(value.clone()).filter(|order| !order.is_null());
                }
                "linearizable?" => options.linearizable = switch(name, value)?,
                "negative-balances?" => options.negative_balances = switch(name, value)?,
                "total-amount" => options.total = Some(whole(name, value)?),
                "group-size" => {
                    options.group_size =
                        Some(u32::try_from(whole(name, value)?).map_err(|_| format!("{name} is too large"))?);
                }
                // How long to look, where to write and how to draw: nothing that a verdict depends on.
                "cycle-search-timeout" | "directory" | "plot-format" | "plot-timeout" | "max-plot-bytes" => {}
                other => return Err(format!("unknown option {other:?}")),
            }
        }
        let claims_nothing = fields.get("consistency-models").is_some_and(Json::is_null);
        if claims_nothing && options.anomalies.is_none() {
            options.consistency_models = Some(Vec::new());
        } else if !claims_nothing && options.consistency_models.is_none() && options.anomalies.is_some() {
            options.consistency_models = Some(vec!["strict-serializable".into()]);
        }
        Ok(options)
    }
}

/// A list of names; a leading colon is a keyword's and no part of the name.
fn words(name: &str, value: &Json) -> Result<Option<Vec<String>>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let list = value.as_array().ok_or_else(|| format!("{name} is a list of names"))?;
    let word = |word: &Json| word.as_str().map(|word| word.trim_start_matches(':').to_owned());
    list.iter()
        .map(|item| word(item).ok_or_else(|| format!("{name} is a list of names")))
        .collect::<Result<_, _>>()
        .map(Some)
}

fn switch(name: &str, value: &Json) -> Result<bool, String> {
    match value {
        Json::Null => Ok(false),
        Json::Bool(on) => Ok(*on),
        _ => Err(format!("{name} is true or false")),
    }
}

fn whole(name: &str, value: &Json) -> Result<i64, String> {
    value.as_i64().ok_or_else(|| format!("{name} is a whole number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_models_named_and_none_claimed_differ() {
        let of = |opts| Options::from_case_opts(&opts).expect("options");
        assert_eq!(of(json!({})), Options::default());
        let some = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let both = of(json!({"anomalies": ["G0"]}));
        assert_eq!(
            (both.consistency_models, both.anomalies),
            (some(&["strict-serializable"]), some(&["G0"]))
        );
        let only = of(json!({"consistency-models": null, "anomalies": [":G0"]}));
        assert_eq!((only.consistency_models, only.anomalies), (None, some(&["G0"])));
        let nothing = of(json!({"consistency-models": null}));
        assert_eq!(nothing.consistency_models, some(&[]));
        assert_eq!(of(json!({"total-amount": 100, "group-size": 3})).total, Some(100));
        assert!(of(json!({"wfr-keys?": true, "linearizable-keys?": false})).wfr_keys);
    }

    #[test]
    fn an_unknown_word_is_an_error() {
        assert_eq!(
            Options::from_case_opts(&json!({"consistency-model": []})),
            Err("unknown option \"consistency-model\"".into())
        );
        assert!(Options::from_case_opts(&json!({"wfr-keys?": "yes"})).is_err());
    }
}
