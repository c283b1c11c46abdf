//! GET of one object.

use apimachinery::Status;
use http::{Response, StatusCode};

use super::Call;
use super::list_options::parse_version;
use crate::body::{self, Body};
use crate::encode::{self, entry_bytes, view};
use crate::negotiate::Form;

pub(super) async fn get(call: &Call<'_>) -> Result<Response<Body>, Status> {
    if let Some(version) = call.query.text("resourceVersion") {
        let wanted =
            parse_version(version).map_err(|why| Status::generic(500, "", why.to_string()))?;
        super::list::wait_for(call, wanted).await?;
    }
    let entry = call.own_entry().await?;
    if call.accepted.form == Form::Object {
        let bytes = entry_bytes(&call.kind, &entry, call.accepted.encoding)?;
        let media_type = call.accepted.encoding.media_type();
        return Ok(encode::respond(StatusCode::OK, media_type, body::full(bytes)));
    }
    call.answer(StatusCode::OK, &view(&call.kind, &entry))
}
