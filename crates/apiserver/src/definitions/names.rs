//! Accepts the names of a definition, unless another one of its group has them (upstream's naming
//! and establishing controllers).

use std::collections::HashSet;

use apimachinery::Object;
use apimachinery::text::quote;
use serde_json::Value;

use super::set_condition;

/// Names that definitions of a group have.
#[derive(Default)]
pub(super) struct Taken {
    resources: HashSet<String>,
    kinds: HashSet<String>,
}

impl Taken {
    /// Adds the accepted names of a definition.
    pub(super) fn add(&mut self, names: &Value) {
        let text = |name: &str| names[name].as_str().map(str::to_owned);
        let short = names["shortNames"].as_array().into_iter().flatten();
        self.resources.extend(["plural", "singular"].into_iter().filter_map(text));
        self.resources.extend(short.filter_map(Value::as_str).map(str::to_owned));
        self.kinds.extend(["kind", "listKind"].into_iter().filter_map(text));
    }
}

/// The complaint about a name that another definition has.
fn conflict(wanted: &str, accepted: &str, taken: &HashSet<String>) -> Option<String> {
    (wanted != accepted && taken.contains(wanted))
        .then(|| format!("{} is already in use", quote(wanted)))
}

/// Upstream's form of several errors.
fn aggregate(mut errors: Vec<String>) -> Option<String> {
    let mut seen = HashSet::new();
    errors.retain(|error| seen.insert(error.clone()));
    match errors.len() {
        0 | 1 => errors.pop(),
        _ => Some(format!("[{}]", errors.join(", "))),
    }
}

/// Accepts what can be accepted of the wanted names. Returns true if the status changed.
pub(super) fn accept(definition: &mut Object, taken: &Taken) -> bool {
    let wanted = definition["spec"]["names"].clone();
    let before = definition["status"]["acceptedNames"].clone();
    if wanted == before {
        return false;
    }
    let text = |names: &Value, name: &str| names[name].as_str().unwrap_or_default().to_owned();
    let mut accepted = before.clone();
    if !accepted.is_object() {
        accepted = serde_json::json!({});
    }
    let mut problem: Option<(&str, String)> = None;
    let mut take = |accepted: &mut Value, name: &str, taken, reason: &'static str| {
        let (own, known) = (text(&wanted, name), text(&before, name));
        match conflict(&own, &known, taken) {
            Some(message) => problem = Some((reason, message)),
            None if own.is_empty() => {}
            None => accepted[name] = own.into(),
        }
    };
    take(&mut accepted, "plural", &taken.resources, "PluralConflict");
    take(&mut accepted, "singular", &taken.resources, "SingularConflict");
    let list = |names: &Value| -> Vec<String> {
        let all = names["shortNames"].as_array().into_iter().flatten();
        all.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let known = list(&before);
    let fresh = list(&wanted).into_iter().filter(|name| !known.contains(name));
    let conflicts = fresh.filter_map(|name| conflict(&name, "", &taken.resources)).collect();
    let short = aggregate(conflicts);
    let short_conflicts = short.is_some();
    let mut short = short.map(|message| ("ShortNamesConflict", message));
    if !short_conflicts {
        copy(&mut accepted, &wanted, "shortNames");
    }
    let mut late: Option<(&str, String)> = None;
    for (name, reason) in [("kind", "KindConflict"), ("listKind", "ListKindConflict")] {
        let (own, known) = (text(&wanted, name), text(&before, name));
        match conflict(&own, &known, &taken.kinds) {
            Some(message) => late = Some((reason, message)),
            None => accepted[name] = own.into(),
        }
    }
    copy(&mut accepted, &wanted, "categories");
    // The last problem is the one that is told.
    let problem = late.or(short.take()).or(problem);
    let changed = accepted != before;
    definition["status"]["acceptedNames"] = accepted;
    let (status, reason, message) = match problem {
        Some((reason, message)) => ("False", reason, message),
        None => ("True", "NoConflicts", "no conflicts found".to_owned()),
    };
    let told = set_condition(definition, "NamesAccepted", status, reason, &message);
    let established = condition(definition, "Established");
    if established.as_deref() != Some("True") {
        let (reason, message) = match status {
            "True" => ("Installing", "the initial names have been accepted"),
            _ => ("NotAccepted", "not all names are accepted"),
        };
        if status == "True" || established.is_none() {
            set_condition(definition, "Established", "False", reason, message);
        }
    }
    changed || told
}

fn copy(accepted: &mut Value, wanted: &Value, name: &str) {
    match wanted.get(name) {
        Some(list) => accepted[name] = list.clone(),
        None => {
            accepted.as_object_mut().map(|names| names.remove(name));
        }
    }
}

/// Establishes a definition whose names are accepted. Returns true if the status changed.
pub(super) fn establish(definition: &mut Object) -> bool {
    let is_true = |of| condition(definition, of).as_deref() == Some("True");
    if !is_true("NamesAccepted") || is_true("Established") {
        return false;
    }
    let message = "the initial names have been accepted";
    set_condition(definition, "Established", "True", "InitialNamesAccepted", message)
}

/// The status of a condition.
fn condition(definition: &Object, of: &str) -> Option<String> {
    let mut conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    let found = conditions.find(|condition| condition["type"] == of)?;
    found["status"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(plural: &str, kind: &str, short: &[&str]) -> Object {
        json!({"spec": {"names": {
            "plural": plural, "singular": kind.to_lowercase(), "kind": kind,
            "listKind": format!("{kind}List"), "shortNames": short,
        }}, "status": {}})
    }

    #[test]
    fn names_are_accepted_once() {
        let mut one = definition("widgets", "Widget", &["w"]);
        assert!(accept(&mut one, &Taken::default()));
        assert_eq!(one["status"]["acceptedNames"], one["spec"]["names"]);
        assert_eq!(condition(&one, "NamesAccepted").unwrap(), "True");
        assert_eq!(condition(&one, "Established").unwrap(), "False");
        assert!(establish(&mut one));
        assert!(!establish(&mut one));
        assert!(!accept(&mut one, &Taken::default()), "nothing is left to accept");

        let mut taken = Taken::default();
        taken.add(&one["status"]["acceptedNames"]);
        let mut two = definition("gadgets", "Widget", &["w", "g"]);
        assert!(accept(&mut two, &taken));
        let conditions = two["status"]["conditions"].as_array().unwrap();
        assert_eq!(conditions[0]["reason"], "ListKindConflict");
        assert_eq!(conditions[0]["message"], "\"WidgetList\" is already in use");
        assert_eq!(two["status"]["acceptedNames"], json!({"plural": "gadgets"}));
        assert!(!establish(&mut two));
        // The names have become free.
        assert!(accept(&mut two, &Taken::default()));
        assert!(establish(&mut two));
    }
}
