//! A plugin that does as it is told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::stream;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use prost::Message;
use tokio::net::UnixListener;

use super::service::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, StatusResponse,
};

/// How a plugin answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// It never answers.
    Hangs,
    /// It answers with bytes that mean nothing.
    Garbage,
    /// It answers with much more than it may.
    Floods,
    /// It says that it is ill.
    Ill,
    /// It names no key.
    Keyless,
}

pub(crate) struct State {
    pub(crate) mood: Mood,
    pub(crate) key_id: String,
    /// The methods that were called.
    pub(crate) calls: Vec<String>,
}

/// A plugin behind a socket. Dropping it ends it.
pub(crate) struct Plugin {
    pub(crate) state: Arc<Mutex<State>>,
    socket: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Plugin {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Plugin {
    pub(crate) fn start(socket: &Path, key_id: &str) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let state = State { mood: Mood::Well, key_id: key_id.to_owned(), calls: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let own = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = own.clone();
                let answer =
                    hyper::service::service_fn(move |request| answer(state.clone(), request));
                let serve = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), answer);
                tokio::spawn(serve);
            }
        });
        Self { state, socket: socket.to_owned(), task }
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.state.lock().mood = mood;
    }

    pub(crate) fn rotate(&self, key_id: &str) {
        self.state.lock().key_id = key_id.to_owned();
    }
}

type Answer =
    Response<StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, std::io::Error>>>>>;

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Answer, std::io::Error> {
    let path = request.uri().path().to_owned();
    let mut body = request.into_body().collect().await.unwrap().to_bytes();
    body.advance(5);
    let (mood, key_id) = {
        let mut state = state.lock();
        state.calls.push(path.rsplit('/').next().unwrap().to_owned());
        (state.mood, state.key_id.clone())
    };
    let method = path.rsplit('/').next().unwrap();
    let message = match (mood, method) {
        (Mood::Hangs, _) => std::future::pending().await,
        (Mood::Garbage, _) => vec![0xff; 40],
        (Mood::Floods, _) => vec![0; 1 << 20],
        (_, "Status") => StatusResponse {
            version: "v2".into(),
            healthz: if mood == Mood::Ill { "on fire" } else { "ok" }.into(),
            key_id: if mood == Mood::Keyless { String::new() } else { key_id },
        }
        .encode_to_vec(),
        (_, "Encrypt") => {
            let request = EncryptRequest::decode(body).unwrap();
            let turned = request.plaintext.iter().map(|byte| byte ^ 0x5a);
            EncryptResponse {
                ciphertext: key_id.bytes().chain([0]).chain(turned).collect(),
                key_id,
                annotations: BTreeMap::from([("made.example.com".into(), b"here".to_vec())]),
            }
            .encode_to_vec()
        }
        _ => {
            let request = DecryptRequest::decode(body).unwrap();
            let at = request.ciphertext.iter().position(|byte| *byte == 0).unwrap();
            assert_eq!(&request.ciphertext[..at], request.key_id.as_bytes());
            assert_eq!(request.annotations["made.example.com"], b"here");
            let plaintext = request.ciphertext[at + 1..].iter().map(|byte| byte ^ 0x5a).collect();
            DecryptResponse { plaintext }.encode_to_vec()
        }
    };
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(&message);
    let trailers = HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let frames = vec![Ok(Frame::data(framed.freeze())), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(StreamBody::new(stream::iter(frames)));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}
