//! OpenAPI documents.

use apimachinery::Status;
use http::{HeaderMap, Response};

use crate::body::Body;
use crate::request::Query;

/// The documents, made on first request.
#[derive(Default)]
pub(crate) struct Documents {}

impl Documents {
    pub(crate) fn v2(&self, _accept: &str, _headers: &HeaderMap) -> Result<Response<Body>, Status> {
        Err(Status::not_found("", "", "")
            .with_message("the server could not find the requested resource"))
    }

    pub(crate) fn v3(
        &self,
        _path: &str,
        _query: &Query,
        _accept: &str,
        _headers: &HeaderMap,
    ) -> Result<Response<Body>, Status> {
        Err(Status::not_found("", "", "")
            .with_message("the server could not find the requested resource"))
    }
}
