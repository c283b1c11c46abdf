//! The gRPC health check, `grpc.health.v1.Health/Check`.

use std::io;
use std::time::Duration;

use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::dial::{self, dial, join};
use super::run::Outcome;

const SERVING: i32 = 1;
const MAX_ANSWER: usize = 64 * 1024;

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

pub(super) async fn probe(host: &str, port: u16, service: &str, timeout: Duration) -> Outcome {
    let address = join(host, port);
    let within = format!("{}s", timeout.as_secs());
    match tokio::time::timeout(timeout, check(host, port, service)).await {
        Err(_) => Outcome::Failure(format!("timeout: health rpc did not complete within {within}")),
        Ok(Err(error @ (Failed::Dial(_) | Failed::Handshake(_)))) => Outcome::Failure(format!(
            "failed to connect service {address:?} within {within}: {error}"
        )),
        Ok(Err(error)) => Outcome::Failure(error.to_string()),
        Ok(Ok(SERVING)) => Outcome::Success,
        Ok(Ok(status)) => {
            let word = match status {
                0 => "UNKNOWN",
                2 => "NOT_SERVING",
                3 => "SERVICE_UNKNOWN",
                _ => "UNRECOGNIZED",
            };
            Outcome::Failure(format!("service unhealthy (responded with {word:?})"))
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Dial(#[from] dial::Error),
    #[error(transparent)]
    Handshake(#[from] tonic::transport::Error),
    #[error("this server does not implement the grpc health protocol (grpc.health.v1.Health)")]
    Unimplemented,
    #[error("health rpc failed: service unknown")]
    NotFound,
    #[error("health rpc failed: code {}: {}", i32::from(.0.code()), .0.message())]
    Status(Status),
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::Unimplemented => Self::Unimplemented,
            Code::NotFound => Self::NotFound,
            _ => Self::Status(status),
        }
    }
}

async fn check(host: &str, port: u16, service: &str) -> Result<i32, Failed> {
    let mut stream = Some(dial(host, port, Duration::MAX).await?);
    // Every probe has a connection of its own, which is not made again.
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().ok_or(io::ErrorKind::NotConnected);
        async move { Ok::<_, io::Error>(TokioIo::new(stream?)) }
    });
    let channel = Endpoint::from_shared(format!("http://{}", join(host, port)))?
        .user_agent("kube-probe/1.37")?
        .connect_with_connector(connector)
        .await?;
    let mut client = Grpc::new(channel).max_decoding_message_size(MAX_ANSWER);
    client.ready().await?;
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
    let request = Request::new(HealthCheckRequest { service: service.to_owned() });
    Ok(client.unary(request, path, codec).await?.into_inner().status)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, Response};
    use http_body_util::{BodyExt, StreamBody};
    use hyper::body::{Frame, Incoming};
    use hyper_util::rt::TokioExecutor;
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers one request for the service `db` with this message and status.
    async fn serve(listener: TcpListener, message: &'static [u8], code: &'static str) {
        let service = hyper::service::service_fn(async move |request: http::Request<Incoming>| {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            let asked = request.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(&asked[..], b"\0\0\0\0\x04\x0a\x02db");
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", code.parse().unwrap());
            trailers.insert("grpc-message", "because".parse().unwrap());
            let frames = [Frame::data(Bytes::from_static(message)), Frame::trailers(trailers)];
            let frames = frames.map(Ok::<_, std::convert::Infallible>);
            let mut answer = Response::new(StreamBody::new(futures::stream::iter(frames)));
            let kind = "application/grpc".parse().unwrap();
            answer.headers_mut().insert("content-type", kind);
            Ok::<_, std::convert::Infallible>(answer)
        });
        let (stream, _) = listener.accept().await.unwrap();
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(TokioIo::new(stream), service).await;
    }

    #[tokio::test]
    async fn answers_become_outcomes() {
        let refused = |text: &str| Outcome::Failure(text.to_owned());
        for (message, code, wanted) in [
            (&b"\0\0\0\0\x02\x08\x01"[..], "0", Outcome::Success),
            (
                b"\0\0\0\0\x02\x08\x02",
                "0",
                refused("service unhealthy (responded with \"NOT_SERVING\")"),
            ),
            (b"\0\0\0\0\0", "0", refused("service unhealthy (responded with \"UNKNOWN\")")),
            (b"", "5", refused("health rpc failed: service unknown")),
            (
                b"",
                "12",
                refused(
                    "this server does not implement the grpc health protocol (grpc.health.v1.Health)",
                ),
            ),
            (b"", "16", refused("health rpc failed: code 16: because")),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let served = tokio::spawn(serve(listener, message, code));
            let outcome = probe("127.0.0.1", port, "db", Duration::from_secs(10)).await;
            assert_eq!(outcome, wanted, "{code}");
            served.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_or_silent_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let outcome = probe("127.0.0.1", port, "", Duration::from_secs(1)).await;
        let late = "timeout: health rpc did not complete within 1s";
        assert_eq!(outcome, Outcome::Failure(late.to_owned()));
        drop(listener);
        let Outcome::Failure(text) = probe("127.0.0.1", port, "", Duration::from_secs(1)).await
        else {
            panic!("nobody answers there")
        };
        assert!(text.ends_with("connect: connection refused"), "{text}");
    }
}
