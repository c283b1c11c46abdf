//! Passes a request on to another API server.

use std::sync::Arc;

use apimachinery::Status;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::Backend;
use crate::body::Body;
use crate::chain::{Outcome, Received};
use crate::endpoints;
use crate::routes::plain;
use crate::server::Server;
use crate::user::User;
use crate::verbs::forward::{Target, forward};

/// Headers by which the other server knows the user. A client's own are never passed on.
const PREFIX: &str = "x-remote-";

/// Answers a request that has been authorized.
pub(crate) async fn proxy(received: Received, backend: Arc<Backend>) -> Outcome {
    let user = received.user()?.clone();
    let Received { server, mut request, seats: _seats, .. } = received;
    if !backend.is_available() {
        return Ok(unavailable());
    }
    identify(request.headers_mut(), &user)?;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let Ok(target) = target(&server, &backend, path) else { return Ok(unavailable()) };
    forward(&server.settings.kubelet_tls, target, request).await
}

fn unavailable() -> Response<Body> {
    plain(StatusCode::SERVICE_UNAVAILABLE, "service unavailable\n")
}

/// Where a backend is now.
pub(super) fn target(server: &Server, backend: &Backend, path: String) -> Result<Target, Status> {
    let config = backend.tls.clone().map_err(Status::internal)?;
    let addresses =
        endpoints::of_service(server, &backend.namespace, &backend.service, backend.port);
    let addresses = addresses.map_err(|why| Status::service_unavailable(why.to_string()))?;
    Ok(Target {
        host: backend.host(),
        port: backend.port,
        addresses,
        tls: None,
        config: Some(config),
        path,
    })
}

/// Says who the user is, in the headers of a front proxy.
pub(super) fn identify(headers: &mut HeaderMap, user: &User) -> Result<(), Status> {
    let own: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(PREFIX)).cloned().collect();
    for name in own {
        headers.remove(name);
    }
    let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).map_err(Status::internal);
    headers.insert("x-remote-user", value(&user.name)?);
    if !user.uid.is_empty() {
        headers.insert("x-remote-uid", value(&user.uid)?);
    }
    for group in &user.groups {
        headers.append("x-remote-group", value(group)?);
    }
    for (key, values) in &user.extra {
        // Keys may hold characters that names of headers cannot.
        let key: String = key
            .bytes()
            .map(|b| match b.to_ascii_lowercase() {
                b @ (b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.') => char::from(b).to_string(),
                b => format!("%{b:02X}"),
            })
            .collect();
        let name = format!("{PREFIX}extra-{}", key.to_ascii_lowercase());
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(Status::internal)?;
        for text in values {
            headers.append(name.clone(), value(text)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_cannot_say_who_it_is() {
        let mut headers = HeaderMap::new();
        for name in ["x-remote-user", "x-remote-group", "x-remote-extra-a", "x-remote-uid"] {
            headers.append(name, HeaderValue::from_static("forged"));
        }
        let mut user = User::new("u", &["g"]);
        user.extra.insert("example.com/K".into(), vec!["v".into()]);
        identify(&mut headers, &user).unwrap();
        assert_eq!(headers["x-remote-user"], "u");
        let groups: Vec<_> = headers.get_all("x-remote-group").iter().collect();
        assert_eq!(groups, ["g", "system:authenticated"]);
        assert_eq!(headers["x-remote-extra-example.com%2fk"], "v");
        assert!(headers.values().all(|value| value != "forged"));
    }
}
