//! Documents of issuers, which may be slow, huge or lie: a request has a time, an answer a size, no
//! redirect is followed, and nothing of an answer is repeated in an error.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use telemetry::task;
use tokio_rustls::TlsConnector;

use crate::webhook::connect;

/// Time for a document, from the lookup of the host's name to its last byte.
const TIME: Duration = Duration::from_secs(10);
/// Largest document.
const MAX: usize = 1 << 20;

/// Why a document could not be had.
#[derive(Clone, Debug, thiserror::Error)]
pub(in crate::authn) enum FetchError {
    #[error("Get {0}: unsupported URL: https is needed")]
    Url(String),
    #[error("Get {0}: context deadline exceeded")]
    Time(String),
    #[error("Get {0}: {1}")]
    Transport(String, String),
    #[error("Get {0}: redirects are not followed: {1}")]
    Redirect(String, StatusCode),
    #[error("Get {0}: {1}")]
    Status(String, StatusCode),
}

/// Gets a document.
pub(super) async fn get(url: &str, tls: &Arc<rustls::ClientConfig>) -> Result<Bytes, FetchError> {
    let quoted = apimachinery::text::quote(url);
    match tokio::time::timeout(TIME, exchange(url, &quoted, tls)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(FetchError::Time(quoted)),
    }
}

async fn exchange(
    url: &str,
    quoted: &str,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<Bytes, FetchError> {
    let unsupported = || FetchError::Url(quoted.to_owned());
    let uri: Uri = url.parse().map_err(|_| unsupported())?;
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https"));
    // A name and password before the host would be sent to nobody.
    let authority = authority.filter(|a| !a.as_str().contains('@')).ok_or_else(unsupported)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = authority.port_u16().unwrap_or(443);

    let failed =
        |why: &dyn std::fmt::Display| FetchError::Transport(quoted.to_owned(), why.to_string());
    let found = tokio::net::lookup_host((host.as_str(), port)).await;
    let addresses: Vec<_> =
        found.map_err(|why| failed(&format!("dial tcp: lookup {host}: {why}")))?.collect();
    let stream = connect(&addresses).await.map_err(|why| failed(&why))?;
    let name = ServerName::try_from(host).map_err(|why| failed(&why))?;
    let stream = TlsConnector::from(tls.clone())
        .connect(name, stream)
        .await
        .map_err(|why| failed(&format!("tls: failed to verify certificate: {why}")))?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| failed(&e))?;
    // Ends with the sender.
    let _connection = task::spawn("issuer", connection);
    let request = Request::builder()
        .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, authority.as_str())
        .header(ACCEPT, "application/json, application/jwk-set+json")
        .header(USER_AGENT, "kube-apiserver")
        .body(Empty::<Bytes>::new())
        .map_err(|why| failed(&why))?;
    let answer = sender.send_request(request).await.map_err(|why| failed(&why))?;
    match answer.status() {
        StatusCode::OK => {}
        status if status.is_redirection() => {
            return Err(FetchError::Redirect(quoted.to_owned(), status));
        }
        status => return Err(FetchError::Status(quoted.to_owned(), status)),
    }
    let body = Limited::new(answer.into_body(), MAX).collect().await;
    Ok(body.map_err(|why| failed(&why))?.to_bytes())
}
