//! Answers requests for resources: finds the kind and dispatches to the handler of the verb.

use apimachinery::Status;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, USER_AGENT, WARNING};
use http::{HeaderMap, Request};
use tokio_util::sync::CancellationToken;

use crate::body::{self, Body};
use crate::chain::{Outcome, Received};
use crate::limits::{self, Abandoned};
use crate::negotiate::{Accepted, Encoding};
use crate::registry::{Kind, Sub};
use crate::request::RequestInfo;
use crate::user::User;
use crate::verbs::{self, Call};
use crate::{encode, routes, warning};

/// The text of a header.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Answers a request that has been authorized.
pub(crate) async fn serve(received: Received) -> Outcome {
    let user = received.user()?.clone();
    let Received {
        server, mut request, info, kind, query, stages, gone, audit, seats: _seats, ..
    } = received;
    let Some(kind) = kind else {
        let known = server.kinds().group(&info.group).is_some();
        return if known { Err(routes::no_such_path()) } else { Ok(routes::page_not_found()) };
    };
    let Some(sub) = sub_of(&kind, &info) else { return Err(routes::no_such_path()) };
    let methods = routes::methods(&kind, sub, &info);
    if methods.is_empty() {
        return Err(routes::no_such_path());
    }
    let headers = request.headers();
    let accept = header(headers, &ACCEPT);
    if !methods.contains(&info.method.as_str()) {
        return Ok(routes::method_not_allowed(methods, Encoding::wanted(accept)));
    }
    // Streams have their own protocols, regardless of the Accept header.
    let offer = routes::offer(&kind, sub, &info);
    let protobuf = kind.custom.is_none() || sub == Some(Sub::Scale);
    let accepted = match Accepted::best(accept, offer, protobuf) {
        Err(_) if limits::is_stream(&info) && sub != Some(Sub::Log) => Accepted::JSON,
        other => other?,
    };
    let agent = header(headers, &USER_AGENT).unwrap_or_default();
    let call = Call {
        server: &server,
        user,
        info,
        query,
        accepted,
        content_type: header(headers, &CONTENT_TYPE).map(str::to_owned),
        agent: agent.split('/').next().unwrap_or_default().to_owned(),
        kind,
        sub,
        dry: false,
        warnings: Default::default(),
        stages,
        audit,
    };
    request.extensions_mut().remove::<User>();
    // Warnings are sent with refusals too.
    let mut response = match dispatch(&call, request, &gone).await {
        Ok(response) => response,
        Err(status) => encode::error(&status, accepted.encoding),
    };
    call.stages.passed("answered");
    for value in warning::headers(call.warnings.into_inner()) {
        response.headers_mut().append(WARNING, value);
    }
    Ok(response)
}

/// Dispatches the request to its verb, with the whole body unless it is a stream.
async fn dispatch(call: &Call<'_>, request: Request<Body>, gone: &CancellationToken) -> Outcome {
    if call.info.is_read() || limits::is_stream(&call.info) {
        return verbs::dispatch(call, request).await;
    }
    let (parts, body) = request.into_parts();
    let time = limits::allotted(&call.query)?;
    let body = limits::within(time, body::read(body)).await?;
    call.stages.passed("read");
    let stored = call.server.entry(&call.kind, &call.info.namespace, &call.info.name);
    let bytes = body.len() + stored.map_or(0, |entry| entry.bytes.len());
    // Patterns and expressions of others cost what no size tells.
    let long = limits::is_long(bytes) || call.kind.is_costly();
    let request = Request::from_parts(parts, body::full(body));
    let verb = verbs::dispatch(call, request);
    let done = call.server.work.run(&call.user.name, long, gone, verb).await;
    done.unwrap_or_else(|Abandoned| Err(Status::timeout("the client has left", 0)))
}

/// The subresource that a path names: none, one of the kind's, or an unknown one.
fn sub_of(kind: &Kind, info: &RequestInfo) -> Option<Option<Sub>> {
    match info.subresource.as_str() {
        "" => Some(None),
        name => kind.subs.iter().copied().find(|sub| sub.name() == name).map(Some),
    }
}
