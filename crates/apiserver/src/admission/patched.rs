//! Reads the object that a webhook or a policy has made of the one in a request.

use apimachinery::text::quote;
use apimachinery::{Object, ObjectExt, Status, validate};

use super::Request;
use super::matching::convert;
use crate::registry::Kind;
use crate::verbs::meta;

impl Request<'_> {
    /// A changed object, given as of the kind as which it was seen, as the request's kind: read as
    /// any object is, and with its defaults. Fields that its schema does not know are dropped, or
    /// refused if `strict`.
    ///
    /// # Errors
    /// It is of another kind or in another namespace, does not fit its schema, or cannot be
    /// converted.
    pub(super) async fn patched(
        &self,
        seen: &Kind,
        mut object: Object,
        strict: bool,
    ) -> Result<Object, Status> {
        let own = self.sub.is_some_and(|sub| sub.own_kind().is_some());
        if !own {
            check_kind(seen, &object)?;
        }
        meta::place(self.kind, self.namespace, &mut object)?;
        if own {
            return Ok(object);
        }
        match (&seen.custom, seen.schema()) {
            (Some(custom), _) => {
                custom.schema().prune(&mut object);
            }
            (None, Some(ty)) => {
                let unknown = validate::unknown_fields(ty, &mut object);
                let unknown = unknown.map_err(|why| Status::internal(why.to_string()))?;
                if strict && !unknown.is_empty() {
                    let unknown = unknown.join(", ");
                    return Err(Status::internal(format!("strict decoding error: {unknown}")));
                }
            }
            (None, None) => {}
        }
        object = convert(self.server, seen, self.kind, &object).await?;
        self.kind.write_missing(&mut object);
        self.kind.policy().default(&mut object);
        Ok(object)
    }
}

/// An object stays of its kind: everything else that decides about the request has looked at it.
fn check_kind(seen: &Kind, object: &Object) -> Result<(), Status> {
    if (object.kind(), object.api_version()) == (seen.kind, &seen.api_version()) {
        return Ok(());
    }
    let (kind, version) = (quote(object.kind()), quote(object.api_version()));
    Err(Status::internal(format!("no kind {kind} is registered for version {version} in scheme")))
}
