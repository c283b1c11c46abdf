//! GET of one object.

use apimachinery::Status;
use http::{Response, StatusCode};

use super::Call;
use crate::body::{self, Body};
use crate::encode::{self, entry_bytes, view};
use crate::negotiate::Form;

pub(super) fn get(call: &Call<'_>) -> Result<Response<Body>, Status> {
    super::list::check_revision(call, call.query.text("resourceVersion"))?;
    let entry = call
        .server
        .entry(call.kind, &call.info.namespace, &call.info.name)
        .ok_or_else(|| call.not_found())?;
    if call.accepted.form == Form::Object {
        let bytes = entry_bytes(call.kind, &entry, call.accepted.encoding)?;
        let media_type = call.accepted.encoding.media_type();
        return Ok(encode::respond(StatusCode::OK, media_type, body::full(bytes)));
    }
    call.answer(StatusCode::OK, &view(call.kind, &entry))
}
