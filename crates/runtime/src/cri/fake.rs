//! A runtime for tests: gRPC over HTTP/2 on a socket, with answers that are given beforehand.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use prost::Message;
use tokio::net::UnixListener;

/// One answer to a call: messages, and the status with its text.
pub(super) struct Reply(Vec<Vec<u8>>, &'static str, &'static str);

impl Reply {
    pub(super) fn of(messages: &[impl Message]) -> Self {
        Self(messages.iter().map(Message::encode_to_vec).collect(), "0", "")
    }

    pub(super) fn and(self, status: &'static str, text: &'static str) -> Self {
        Self(self.0, status, text)
    }
}

/// The answers to each method, in turn; the last one is repeated.
pub(super) type Script = HashMap<&'static str, Vec<Reply>>;

/// The runtime; dropping it ends every connection.
pub(super) struct Fake {
    _dir: tempfile::TempDir,
    socket: PathBuf,
    script: Arc<Mutex<Script>>,
    connections: tokio::task::JoinSet<()>,
}

impl Fake {
    pub(super) fn start(script: Script) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("fake.sock");
        let mut fake = Self {
            _dir: dir,
            socket,
            script: Arc::new(Mutex::new(script)),
            connections: tokio::task::JoinSet::new(),
        };
        fake.listen();
        fake
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// From now on a method is answered so.
    pub(super) fn answers(&self, method: &'static str, replies: Vec<Reply>) {
        self.script.lock().insert(method, replies);
    }

    /// Ends every connection and takes new ones.
    pub(super) async fn restart(&mut self) {
        self.connections.shutdown().await;
        std::fs::remove_file(&self.socket).unwrap();
        self.listen();
    }

    fn listen(&mut self) {
        let listener = UnixListener::bind(&self.socket).unwrap();
        let script = Arc::clone(&self.script);
        self.connections.spawn(async move {
            let mut served = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let script = Arc::clone(&script);
                let service = service_fn(move |request| {
                    let response = answer(&script, &request);
                    async move { Ok::<_, Infallible>(response) }
                });
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                served.spawn(async move {
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
    }
}

type Body = StreamBody<futures::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

fn answer(script: &Mutex<Script>, request: &Request<Incoming>) -> Response<Body> {
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let mut script = script.lock();
    let replies = script.get_mut(method.as_str());
    let absent = Reply(Vec::new(), "12", "unknown method");
    let Reply(messages, status, text) = match replies {
        Some(replies) if replies.len() > 1 => replies.remove(0),
        Some(replies) => {
            let Reply(messages, status, text) = &replies[0];
            Reply(messages.clone(), status, text)
        }
        None => absent,
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    trailers.insert("grpc-message", text.parse().unwrap());
    let frames = messages.into_iter().map(|message| {
        let mut out = BytesMut::new();
        out.put_u8(0);
        out.put_u32(message.len() as u32);
        out.put_slice(&message);
        Ok(Frame::data(out.freeze()))
    });
    let frames: Vec<_> = frames.chain([Ok(Frame::trailers(trailers))]).collect();
    Response::new(StreamBody::new(futures::stream::iter(frames)))
}
