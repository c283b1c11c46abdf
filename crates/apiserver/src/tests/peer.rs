//! A server on loopback that reviews users and rights, and can misbehave.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Its reaction to a question.
#[derive(Clone)]
pub(super) enum Reply {
    /// Answers with this status of the review.
    Status(Value),
    /// Answers with this code and body.
    Raw(u16, String),
    /// Answers that another place knows.
    Moved,
    /// Never answers.
    Hang,
}

type Behaviour = Box<dyn Fn(&Value) -> Reply + Send>;

pub(super) struct Peer {
    dir: tempfile::TempDir,
    port: u16,
    authority: String,
    asked: Arc<Mutex<Vec<Value>>>,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl Peer {
    pub(super) async fn start(behaviour: impl Fn(&Value) -> Reply + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = pki::Authority::open(dir.path(), "ca").unwrap();
        let address = std::net::IpAddr::from([127, 0, 0, 1]);
        let subject = pki::Subject {
            name: "peer",
            ips: &[address],
            usage: pki::Usage::Server,
            ..Default::default()
        };
        let tls = pki::tls::server(&ca.issue(&subject).unwrap(), ca.cert(), &["http/1.1"]).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let behaviour: Arc<Mutex<Behaviour>> = Arc::new(Mutex::new(Box::new(behaviour)));
        let (seen, acts) = (asked.clone(), behaviour.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, seen, acts) = (acceptor.clone(), seen.clone(), acts.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let serve =
                        service_fn(move |request| answer(request, seen.clone(), acts.clone()));
                    let connection = hyper::server::conn::http1::Builder::new();
                    let _ = connection.serve_connection(TokioIo::new(stream), serve).await;
                });
            }
        });
        Self { dir, port, authority: ca.cert().to_owned(), asked, behaviour }
    }

    /// From now on it does this.
    pub(super) fn act(&self, behaviour: impl Fn(&Value) -> Reply + Send + 'static) {
        *self.behaviour.lock() = Box::new(behaviour);
    }

    /// A kubeconfig that leads to it.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        let path = self.dir.path().join("kubeconfig");
        let config = json!({
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "clusters": [{"name": "c", "cluster": {
                "server": format!("https://127.0.0.1:{}/review", self.port),
                "certificate-authority-data": STANDARD.encode(&self.authority),
            }}],
        });
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// The documents that it got.
    pub(super) fn asked(&self) -> Vec<Value> {
        self.asked.lock().clone()
    }
}

async fn answer(
    request: Request<Incoming>,
    asked: Arc<Mutex<Vec<Value>>>,
    behaviour: Arc<Mutex<Behaviour>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let review: Value = serde_json::from_slice(&body).unwrap();
    let reply = behaviour.lock()(&review["spec"]);
    asked.lock().push(review.clone());
    let response = Response::builder();
    Ok(match reply {
        Reply::Status(status) => {
            let answer = json!({"kind": review["kind"], "apiVersion": review["apiVersion"],
                "status": status});
            response.body(Full::from(answer.to_string())).unwrap()
        }
        Reply::Raw(code, body) => response.status(code).body(Full::from(body)).unwrap(),
        Reply::Moved => {
            let moved = response.status(307).header("location", format!("{path}/elsewhere"));
            moved.body(Full::default()).unwrap()
        }
        Reply::Hang => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            response.body(Full::default()).unwrap()
        }
    })
}
