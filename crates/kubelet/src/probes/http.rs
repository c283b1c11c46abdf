//! HTTP requests of probes and lifecycle hooks.

use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderName, HeaderValue, LOCATION};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::HTTPGetAction;
use tokio::io::{AsyncRead, AsyncWrite};

use super::dial::{self, dial, join};
use super::run::Outcome;

const MAX_BODY: usize = 10 * 1024;
const MAX_REDIRECTS: usize = 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    HeaderName(#[from] http::header::InvalidHeaderName),
    #[error(transparent)]
    HeaderValue(#[from] http::header::InvalidHeaderValue),
    #[error(transparent)]
    Request(#[from] http::Error),
    #[error(transparent)]
    Dial(#[from] dial::Error),
    #[error(transparent)]
    ServerName(#[from] rustls::pki_types::InvalidDnsNameError),
    #[error(transparent)]
    Tls(#[from] pki::Error),
    #[error(transparent)]
    Handshake(#[from] std::io::Error),
    #[error(transparent)]
    Exchange(#[from] hyper::Error),
    #[error("stopped after {MAX_REDIRECTS} redirects")]
    Redirects,
}

/// A GET succeeds with a status from 200 to 399.
pub(super) async fn probe(
    get: &HTTPGetAction,
    host: &str,
    port: u16,
    timeout: Duration,
) -> Outcome {
    let url = url(get, host, port);
    match tokio::time::timeout(timeout, fetch(get, host, port, "kube-probe/1.37")).await {
        Err(_) => Outcome::Failure(format!(
            "Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting \
             headers)"
        )),
        Ok(Err(error)) => Outcome::Failure(format!("Get \"{url}\": {error}")),
        // One that leads elsewhere: those on the same host were followed.
        Ok(Ok((status, body))) if status.is_redirection() => {
            Outcome::Warning(format!("Probe terminated redirects, Response body: {body}"))
        }
        Ok(Ok((status, _))) if (200..400).contains(&status.as_u16()) => Outcome::Success,
        Ok(Ok((status, _))) => {
            Outcome::Failure(format!("HTTP probe failed with statuscode: {}", status.as_u16()))
        }
    }
}

fn is_https(get: &HTTPGetAction) -> bool {
    get.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
}

/// The URL an action means.
pub(crate) fn url(get: &HTTPGetAction, host: &str, port: u16) -> String {
    let scheme = if is_https(get) { "https" } else { "http" };
    format!("{scheme}://{}{}", join(host, port), path(get))
}

fn path(get: &HTTPGetAction) -> String {
    let path = get.path.as_deref().unwrap_or("/");
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// Sends the request, follows redirects on the same host, and returns status and the beginning
/// of the body.
///
/// # Errors
/// There was no answer.
pub(crate) async fn fetch(
    get: &HTTPGetAction,
    host: &str,
    port: u16,
    agent: &str,
) -> Result<(StatusCode, String), Error> {
    let mut path = path(get);
    for _ in 0..=MAX_REDIRECTS {
        let mut request = Request::get(&path);
        let mut named_host = None;
        if let Some(headers) = request.headers_mut() {
            headers.insert("user-agent", HeaderValue::from_str(agent)?);
            headers.insert("accept", HeaderValue::from_static("*/*"));
            headers.insert("connection", HeaderValue::from_static("close"));
            for header in get.http_headers.iter().flatten() {
                let name = HeaderName::from_bytes(header.name.as_bytes())?;
                let value = HeaderValue::from_str(&header.value)?;
                if name == HOST {
                    named_host = Some(value);
                } else if header.value.is_empty() {
                    headers.remove(name);
                } else {
                    headers.insert(name, value);
                }
            }
            let default = HeaderValue::from_str(&join(host, port))?;
            headers.insert(HOST, named_host.unwrap_or(default));
        }
        let request = request.body(Empty::<Bytes>::new())?;
        let stream = dial(host, port, Duration::MAX).await?;
        let (status, location, body) = if is_https(get) {
            exchange(tls(stream, host).await?, request).await?
        } else {
            exchange(stream, request).await?
        };
        match location.filter(|_| status.is_redirection()) {
            Some(next) => match same_host(&next, host, port) {
                Some(next) => path = next,
                // A redirect to elsewhere is an answer in itself.
                None => return Ok((status, body)),
            },
            None => return Ok((status, body)),
        }
    }
    Err(Error::Redirects)
}

/// The path of a location that leads to the same host.
fn same_host(location: &str, host: &str, port: u16) -> Option<String> {
    let uri: Uri = location.parse().ok()?;
    let same = match uri.authority() {
        None => true,
        Some(authority) => {
            authority.host() == host && authority.port_u16().is_none_or(|other| other == port)
        }
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    same.then(|| path.to_owned())
}

async fn exchange<S>(
    stream: S,
    request: Request<Empty<Bytes>>,
) -> Result<(StatusCode, Option<String>, String), Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends by itself once the answer is dropped.
    telemetry::task::spawn("probe-connection", connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let location = response.headers().get(LOCATION);
    let location = location.and_then(|value| value.to_str().ok()).map(str::to_owned);
    // A body that is too long or breaks off does not change the answer.
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Ok((status, location, String::from_utf8_lossy(&body).into_owned()))
}

/// A probe asks whether the server answers, not who it is.
async fn tls(
    stream: tokio::net::TcpStream,
    host: &str,
) -> Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>, Error> {
    let config = pki::tls::unverified_client()?;
    let name = rustls::pki_types::ServerName::try_from(host.to_owned())?;
    Ok(tokio_rustls::TlsConnector::from(config).connect(name, stream).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A server that gives these answers, one per connection, and returns the requests.
    async fn server(answers: &'static [&'static str]) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut seen = String::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 4096];
                let n = stream.read(&mut buffer).await.unwrap();
                seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            seen
        });
        (port, task)
    }

    fn action() -> HTTPGetAction {
        HTTPGetAction { path: Some("/healthz".into()), ..HTTPGetAction::default() }
    }

    #[tokio::test]
    async fn statuses() {
        let table: [(&[&str], Outcome); 4] = [
            (&["HTTP/1.1 204 No Content\r\n\r\n"], Outcome::Success),
            (
                &["HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"],
                Outcome::Failure("HTTP probe failed with statuscode: 503".into()),
            ),
            (
                &[
                    "HTTP/1.1 302 Found\r\nlocation: /next\r\ncontent-length: 0\r\n\r\n",
                    "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
                ],
                Outcome::Failure("HTTP probe failed with statuscode: 500".into()),
            ),
            (
                &[
                    "HTTP/1.1 302 Found\r\nlocation: http://elsewhere/\r\ncontent-length: 2\r\n\r\ngo",
                ],
                Outcome::Warning("Probe terminated redirects, Response body: go".into()),
            ),
        ];
        for (answers, wanted) in table {
            let (port, task) = server(answers).await;
            let got = probe(&action(), "127.0.0.1", port, Duration::from_secs(5)).await;
            assert_eq!(got, wanted);
            let seen = task.await.unwrap();
            assert!(seen.starts_with("GET /healthz HTTP/1.1\r\n"), "{seen}");
            assert!(seen.contains("user-agent: kube-probe/1.37"), "{seen}");
        }
    }

    #[tokio::test]
    async fn nobody_listens() {
        // Bound, so that no other test gets the port, but not listening.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = socket.local_addr().unwrap().port();
        let got = probe(&action(), "127.0.0.1", port, Duration::from_secs(5)).await;
        let wanted = format!(
            "Get \"http://127.0.0.1:{port}/healthz\": dial tcp 127.0.0.1:{port}: connect: \
             connection refused"
        );
        assert_eq!(got, Outcome::Failure(wanted));
    }
}
