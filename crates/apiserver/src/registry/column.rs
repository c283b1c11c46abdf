//! Table columns, as printed by `kubectl get`.

use apimachinery::ObjectExt;
use jiff::Timestamp;
use serde_json::Value;

/// The way a cell is computed from an object.
#[derive(Clone, Copy)]
pub(crate) enum Cell {
    /// The value at a path; `<none>` or the given text when absent.
    Path(&'static [&'static str], &'static str),
    /// Time since the moment at a path; `<unknown>` when absent.
    Since(&'static [&'static str]),
    /// A computed value.
    Make(fn(&Value) -> Value),
}

/// One column.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    /// Its name, which must match the facts of tables.
    #[cfg_attr(not(test), expect(dead_code, reason = "definitions come from the facts"))]
    pub(crate) name: &'static str,
    /// The type of the cells: `string`, `integer`, `boolean`, `date`. Tables declare the type in
    /// `columns.facts`, which may differ.
    pub(crate) of: &'static str,
    pub(crate) cell: Cell,
}

impl Column {
    const fn new(name: &'static str, of: &'static str, cell: Cell) -> Self {
        Self { name, of, cell }
    }

    /// A string made by a function.
    pub(crate) const fn make(name: &'static str, cell: fn(&Value) -> Value) -> Self {
        Self::new(name, "string", Cell::Make(cell))
    }

    /// A string at a path, `<none>` if absent.
    pub(crate) const fn text(name: &'static str, path: &'static [&'static str]) -> Self {
        Self::new(name, "string", Cell::Path(path, "<none>"))
    }

    /// A string at a path, or `absent`.
    pub(crate) const fn text_or(
        name: &'static str,
        path: &'static [&'static str],
        absent: &'static str,
    ) -> Self {
        Self::new(name, "string", Cell::Path(path, absent))
    }

    /// A number at a path, zero if absent.
    pub(crate) const fn number(name: &'static str, path: &'static [&'static str]) -> Self {
        Self::new(name, "integer", Cell::Path(path, "0"))
    }

    /// A boolean at a path, false if absent.
    pub(crate) const fn flag(name: &'static str, path: &'static [&'static str]) -> Self {
        Self::new(name, "boolean", Cell::Path(path, "false"))
    }

    /// Time since the moment at a path.
    pub(crate) const fn since(name: &'static str, path: &'static [&'static str]) -> Self {
        Self::new(name, "string", Cell::Since(path))
    }

    /// A metav1.LabelSelector as text, empty if it selects nothing.
    pub(crate) fn selector_text(value: Option<&Value>) -> String {
        some_text(selector(value))
    }

    /// A label map as text, empty if there is none.
    pub(crate) fn label_text(value: Option<&Value>) -> String {
        some_text(label_map(value))
    }

    /// The cell of `object`.
    pub(crate) fn value(&self, object: &Value) -> Value {
        match self.cell {
            Cell::Make(make) => make(object),
            Cell::Since(path) => since(object.get_path(path)).into(),
            Cell::Path(path, absent) => match object.get_path(path) {
                Some(value) if !value.is_null() && value != "" => match self.of {
                    "string" if !value.is_string() => value.to_string().into(),
                    _ => value.clone(),
                },
                _ => match self.of {
                    "integer" => Value::from(0),
                    "boolean" => Value::from(false),
                    _ => absent.into(),
                },
            },
        }
    }
}

fn some_text(cell: Value) -> String {
    cell.as_str().filter(|t| *t != "<none>").unwrap_or_default().to_owned()
}

/// The name column.
pub(crate) const NAME: Column =
    Column { name: "Name", of: "string", cell: Cell::Path(&["metadata", "name"], "") };

/// The age column.
pub(crate) const AGE: Column = Column::since("Age", &["metadata", "creationTimestamp"]);

/// The creation time, as RBAC objects show it.
pub(crate) const CREATED_AT: Column = Column {
    name: "Created At",
    of: "date",
    cell: Cell::Path(&["metadata", "creationTimestamp"], ""),
};

/// Time since `moment`, as kubectl prints it.
pub(crate) fn since(moment: Option<&Value>) -> String {
    match moment.and_then(Value::as_str).and_then(apimachinery::time::parse) {
        Some(t) => human_duration(Timestamp::now().duration_since(t).as_secs()),
        None => "<unknown>".into(),
    }
}

/// A duration in seconds in kubectl's short form: at most two units, fewer the longer it is.
pub(crate) fn human_duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |big: i64, big_unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{big}{big_unit}"),
        _ => format!("{big}{big_unit}{small}{small_unit}"),
    };
    match seconds {
        ..-1 => "<invalid>".into(),
        -1..=0 => "0s".into(),
        1..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

/// `a,b,c`, or `<none>`.
pub(crate) fn join(items: impl Iterator<Item = String>) -> Value {
    let text = items.collect::<Vec<_>>().join(",");
    if text.is_empty() { "<none>".into() } else { text.into() }
}

/// Names of the containers at `path`.
pub(crate) fn containers(object: &Value, path: &[&str]) -> Value {
    let list = object.get_path(path).and_then(Value::as_array);
    text(list.into_iter().flatten().map(|c| c["name"].as_str().unwrap_or_default().to_owned()))
}

/// Images of the containers at `path`.
pub(crate) fn images(object: &Value, path: &[&str]) -> Value {
    let list = object.get_path(path).and_then(Value::as_array);
    text(list.into_iter().flatten().map(|c| c["image"].as_str().unwrap_or_default().to_owned()))
}

fn text(items: impl Iterator<Item = String>) -> Value {
    items.collect::<Vec<_>>().join(",").into()
}

/// A label map as `a=b,c=d`, or `<none>`.
pub(crate) fn label_map(value: Option<&Value>) -> Value {
    let map = value.and_then(Value::as_object);
    join(map.into_iter().flatten().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())))
}

/// A metav1.LabelSelector in its string form, or `<none>`.
pub(crate) fn selector(value: Option<&Value>) -> Value {
    let Some(value) = value else { return "<none>".into() };
    let mut parts: Vec<String> = Vec::new();
    let labels = value.get("matchLabels").and_then(Value::as_object);
    for (key, wanted) in labels.into_iter().flatten() {
        parts.push(format!("{key}={}", wanted.as_str().unwrap_or_default()));
    }
    for expression in value.get("matchExpressions").and_then(Value::as_array).into_iter().flatten()
    {
        let key = expression["key"].as_str().unwrap_or_default();
        let values = expression["values"]
            .as_array()
            .map(|v| v.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","));
        let values = values.unwrap_or_default();
        parts.push(match expression["operator"].as_str() {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    join(parts.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_kubectl_prints_them() {
        for (seconds, want) in [
            (-5, "<invalid>"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (700, "11m"),
            (10_800, "3h"),
            (10_860, "3h1m"),
            (30_000, "8h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (864_000, "10d"),
            (63_072_000, "2y"),
            (70_000_000, "2y80d"),
            (260_000_000, "8y"),
        ] {
            assert_eq!(human_duration(seconds), want, "{seconds}");
        }
    }
}
