//! A server that tells what it was asked: HTTP, UDP and the gRPC health protocol.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::{TcpListener, UdpSocket};

use super::http_get;

struct State {
    begun: Instant,
    /// When `/healthz` and gRPC health begin to fail.
    sick_after: Option<Duration>,
    /// Method and path of each request.
    seen: Mutex<Vec<String>>,
}

impl State {
    fn healthy(&self) -> bool {
        self.sick_after.is_none_or(|after| self.begun.elapsed() < after)
    }
}

/// Serves what `http=8080 udp=8081 grpc=5000 sick-after=SECONDS` says; those ports by default.
pub(super) async fn serve(arguments: &[String]) -> Result<()> {
    let number = |name: &str, default: u16| -> Result<u16> {
        let given = arguments.iter().find_map(|a| a.strip_prefix(name)?.strip_prefix('='));
        given.map_or(Ok(default), |text| text.parse().with_context(|| format!("{name}={text}")))
    };
    let sick = number("sick-after", u16::MAX)?;
    let state = Arc::new(State {
        begun: Instant::now(),
        sick_after: (sick != u16::MAX).then(|| Duration::from_secs(sick.into())),
        seen: Mutex::default(),
    });
    let http = TcpListener::bind(any(number("http", 8080)?)).await?;
    let grpc = TcpListener::bind(any(number("grpc", 5000)?)).await?;
    let udp = UdpSocket::bind(any(number("udp", 8081)?)).await?;
    println!("serving");
    tokio::try_join!(
        accept(http, state.clone(), false),
        accept(grpc, state, true),
        answer_udp(udp)
    )?;
    Ok(())
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

async fn accept(listener: TcpListener, state: Arc<State>, grpc: bool) -> Result<()> {
    let mut open = FuturesUnordered::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => accepted?,
            Some(()) = open.next() => continue,
        };
        let state = state.clone();
        open.push(async move {
            let service = service_fn(move |request| {
                let state = state.clone();
                async move {
                    let answer = match grpc {
                        true => health(&state),
                        false => answer(request, peer, &state).await,
                    };
                    Ok::<_, Infallible>(answer)
                }
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

fn text(code: u16, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(text.into()).boxed());
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
    response
}

/// `grpc.health.v1.Health/Check`: one field, 1 for serving and 2 for not.
fn health(state: &State) -> Response<Body> {
    let status = if state.healthy() { 1 } else { 2 };
    let message = Bytes::from(vec![0, 0, 0, 0, 2, 0x08, status]);
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let frames = [Ok(Frame::data(message)), Ok(Frame::trailers(trailers))];
    let mut response =
        Response::new(BodyExt::boxed(StreamBody::new(futures::stream::iter(frames))));
    let kind = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    response
}

async fn answer(request: Request<Incoming>, peer: SocketAddr, state: &State) -> Response<Body> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let parameter = |name: &str| {
        let found = query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let found = found.unwrap_or_default();
        percent_encoding::percent_decode_str(found).decode_utf8_lossy().into_owned()
    };
    if path != "/seen" && path != "/healthz" {
        state.seen.lock().push(format!("{} {path}", head.method));
    }
    match path.as_str() {
        "/hostname" => text(200, hostname()),
        "/healthz" if state.healthy() => text(200, "ok"),
        "/healthz" => text(500, "sick"),
        "/echo" => text(200, parameter("msg")),
        "/clientip" => text(200, peer.to_string()),
        "/seen" => text(200, state.seen.lock().join("\n")),
        "/dial" => match http_get::get(&parameter("url")).await {
            Ok((code, body)) => text(code, body),
            Err(error) => text(502, format!("{error:#}")),
        },
        "/exit" => {
            // The answer is on its way before the process is gone.
            println!("exiting as asked");
            std::process::exit(parameter("code").parse().unwrap_or(0))
        }
        "/redirect" => {
            let mut response = text(301, "");
            if let Ok(to) = http::HeaderValue::from_str(&parameter("to")) {
                response.headers_mut().insert("location", to);
            }
            response
        }
        _ => {
            let body = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
            let headers: serde_json::Map<String, serde_json::Value> = head
                .headers
                .iter()
                .map(|(name, value)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into())
                })
                .collect();
            let seen = json!({
                "method": head.method.as_str(), "path": path, "query": query, "headers": headers,
                "body": String::from_utf8_lossy(&body), "hostname": hostname(),
            });
            text(200, seen.to_string())
        }
    }
}

fn hostname() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

async fn answer_udp(socket: UdpSocket) -> Result<()> {
    let mut buffer = [0; 2048];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await?;
        let asked = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let answer = match asked.trim().split_once(' ') {
            Some(("echo", rest)) => rest.to_owned(),
            _ if asked.trim() == "clientip" => peer.to_string(),
            _ => hostname(),
        };
        // A peer that is gone has no use for the answer.
        let _ = socket.send_to(answer.as_bytes(), peer).await;
    }
}
