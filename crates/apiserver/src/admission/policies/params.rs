//! The parameters of a policy by one of its bindings (`paramKind`, `paramRef`).

use apimachinery::selector::LabelSelector;
use apimachinery::{Object, ObjectExt};

use super::source::Binding;
use crate::admission::Request;
use crate::encode::view;

/// The reason why there are no parameters.
#[derive(Debug, thiserror::Error)]
pub(super) enum Missing {
    #[error("paramKind kind `{0}` not known")]
    Kind(String),
    #[error(
        "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
    )]
    Namespace,
    #[error("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")]
    Clustered,
    #[error("no params found for policy binding with `Deny` parameterNotFoundAction")]
    Params,
    #[error("{0}")]
    Selector(String),
}

/// The parameters with which the policy is evaluated, once for each; `None` for a policy without.
pub(super) fn of(
    request: &Request<'_>,
    param_kind: Option<&(String, String)>,
    binding: &Binding,
) -> Result<Vec<Option<Object>>, Missing> {
    let (Some((api_version, name)), Some(wanted)) = (param_kind, &binding.param_ref) else {
        return Ok(vec![None]);
    };
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kinds = request.server.kinds();
    let unknown = || Missing::Kind(format!("{api_version}, Kind={name}"));
    let kind = kinds.find_kind(group, version, name).ok_or_else(unknown)?;
    let namespace = wanted.str_at(&["namespace"]);
    let namespace = match (kind.namespaced, namespace) {
        (true, "") if request.namespace.is_empty() => return Err(Missing::Namespace),
        (true, "") => request.namespace,
        (true, given) => given,
        (false, "") => "",
        (false, _) => return Err(Missing::Clustered),
    };
    let mut found: Vec<Option<Object>> = Vec::new();
    match wanted.str_at(&["name"]) {
        "" => {
            let selector = LabelSelector::from_value(&wanted["selector"]);
            let selector = selector.map_err(|status| Missing::Selector(status.message))?;
            let (snapshot, _) = request.server.present(kind).map_err(|_| unknown())?;
            let entries = snapshot.range(namespace, "");
            let selected = entries.map(|entry| view(kind, entry));
            found.extend(selected.filter(|object| selector.matches_object(object)).map(Some));
        }
        name => {
            let entry = request.server.entry(kind, namespace, name);
            found.extend(entry.map(|entry| Some(view(kind, &entry))));
        }
    }
    if found.is_empty() && wanted["parameterNotFoundAction"] == "Deny" {
        return Err(Missing::Params);
    }
    Ok(found)
}
