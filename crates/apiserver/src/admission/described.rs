//! A request as webhooks and expressions see it (`AdmissionRequest`).

use apimachinery::{Object, Status};
use serde_json::{Value, json};

use super::Request;
use super::matching::convert;
use crate::registry::{Kind, Sub};
use crate::verbs::user_info;

fn named(kind: &Kind, of: &str, value: &str) -> Value {
    json!({"group": kind.group, "version": kind.version, of: value})
}

impl Request<'_> {
    /// The kind of the objects of a subresource that has its own.
    fn kind_of_sub(&self) -> Option<(&'static str, &'static str, &'static str)> {
        self.sub.and_then(Sub::own_kind).filter(|_| self.sub != Some(Sub::Scale))
    }

    /// The request without its objects, as of the kind as which they are seen.
    pub(super) fn described(&self, seen: &Kind) -> Value {
        let own = self.kind;
        let kind_of = |kind: &Kind| match self.kind_of_sub() {
            Some((group, version, name)) => {
                json!({"group": group, "version": version, "kind": name})
            }
            None => named(kind, "kind", kind.kind),
        };
        let mut described = json!({
            "kind": kind_of(seen), "resource": named(seen, "resource", seen.resource),
            "requestKind": kind_of(own), "requestResource": named(own, "resource", own.resource),
            "operation": self.operation.name(), "userInfo": user_info(self.user),
            "dryRun": self.dry_run, "options": self.options(),
        });
        if let Some(sub) = self.sub {
            described["subResource"] = sub.name().into();
            described["requestSubResource"] = sub.name().into();
        }
        let namespace = if self.is("", "namespaces") { self.name } else { self.namespace };
        for (field, text) in [("name", self.reviewed_name()), ("namespace", namespace)] {
            if !text.is_empty() {
                described[field] = text.into();
            }
        }
        described
    }

    /// An object of the request as of that kind; null if there is none.
    ///
    /// # Errors
    /// It cannot be converted.
    pub(super) async fn shown(
        &self,
        seen: &Kind,
        object: Option<&Object>,
    ) -> Result<Value, Status> {
        match object.filter(|object| !object.is_null()) {
            None => Ok(Value::Null),
            Some(object) if self.kind_of_sub().is_some() => Ok(object.clone()),
            Some(object) => convert(self.server, self.kind, seen, object).await,
        }
    }
}
