//! Logs requests of a component that the API server refuses for good: nobody reads its events.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;

/// A refusal is a `Status` of less than this.
const MOST: usize = 64 << 10;

/// How a refusal is worth hearing of.
#[derive(Debug, PartialEq, Eq)]
enum Weight {
    /// A fault of the component, or of its rights.
    Fault,
    /// Policy: a quota, a namespace that ends. Whoever made the object hears of it by an event.
    Policy,
}

/// The weight of an answer to a write; none for what is answered by trying again or by seeing that
/// somebody else was first.
fn weight(method: &Method, status: StatusCode) -> Option<Weight> {
    let writes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    match status {
        StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS => None,
        StatusCode::FORBIDDEN if writes => Some(Weight::Policy),
        _ if writes && status.is_client_error() => Some(Weight::Fault),
        _ => None,
    }
}

/// Logs the answer to `component` if it is a refusal, and passes it on.
pub(crate) async fn noted(
    component: &'static str,
    method: &Method,
    path: &str,
    response: Response<Body>,
) -> Response<Body> {
    let Some(weight) = weight(method, response.status()) else { return response };
    let (parts, body) = response.into_parts();
    let bytes = Limited::new(body, MOST).collect().await;
    let bytes = bytes.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let said = message(&bytes);
    let status = parts.status.as_u16();
    match weight {
        Weight::Fault => tracing::warn!(component, %method, path, status, said, "write refused"),
        Weight::Policy => tracing::info!(component, %method, path, status, said, "write refused"),
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn message(bytes: &Bytes) -> String {
    let status: Result<kube::core::Status, _> = serde_json::from_slice(bytes);
    status.map(|status| status.message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_writes_that_will_never_do_are_noted() {
        let of = |method: Method, code: u16| weight(&method, StatusCode::from_u16(code).unwrap());
        assert_eq!(of(Method::POST, 422), Some(Weight::Fault));
        assert_eq!(of(Method::PATCH, 403), Some(Weight::Policy));
        for (method, code) in [
            (Method::GET, 403),
            (Method::PUT, 409),
            (Method::DELETE, 404),
            (Method::POST, 429),
            (Method::POST, 201),
            (Method::POST, 503),
        ] {
            assert_eq!(of(method, code), None);
        }
    }

    #[tokio::test]
    async fn a_refusal_reaches_its_caller_whole() {
        let said =
            r#"{"kind":"Status","status":"Failure","message":"no","reason":"Invalid","code":422}"#;
        let refused = Response::builder().status(422).body(Body::from(said.as_bytes().to_vec()));
        let passed = noted("test", &Method::POST, "/x", refused.unwrap()).await;
        assert_eq!(passed.status(), 422);
        assert_eq!(passed.into_body().collect().await.unwrap().to_bytes(), said);
        assert_eq!(message(&Bytes::from_static(said.as_bytes())), "no");
    }
}
