//! An issuer of tokens on loopback, which can also misbehave.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A key that signs tokens.
pub(super) struct Key {
    id: String,
    pair: EcdsaKeyPair,
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

impl Key {
    pub(super) fn new(id: &str) -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        Self { id: id.to_owned(), pair }
    }

    fn to_jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        json!({"kty": "EC", "crv": "P-256", "kid": self.id, "x": x, "y": y})
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": self.id});
        let message = format!("{}.{}", encode(&header), encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// An answer: its head and its body.
type Answer = (String, Vec<u8>);

pub(super) struct Issuer {
    pub(super) url: String,
    /// Its authority, PEM.
    pub(super) authority: String,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    fetched: Arc<AtomicUsize>,
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
const DISCOVERY: &str = "/.well-known/openid-configuration";

impl Issuer {
    /// An issuer that says nothing yet.
    pub(super) async fn silent() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = pki::Authority::open(dir.path(), "ca").unwrap();
        let address = std::net::IpAddr::from([127, 0, 0, 1]);
        let subject = pki::Subject {
            name: "issuer",
            ips: &[address],
            usage: pki::Usage::Server,
            ..pki::Subject::default()
        };
        let issued = authority.issue(&subject).unwrap();
        let tls = pki::tls::server(&issued, authority.cert(), &["http/1.1"]).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let answers: Arc<Mutex<HashMap<String, Answer>>> = Arc::default();
        let fetched = Arc::new(AtomicUsize::new(0));
        let (known, count) = (answers.clone(), fetched.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                let _ = stream.read_line(&mut line).await;
                let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                count.fetch_add(usize::from(path == "/keys"), Ordering::Relaxed);
                let missing = || ("HTTP/1.1 404 Not Found\r\n".to_owned(), Vec::new());
                let (head, body) = known.lock().get(&path).cloned().unwrap_or_else(missing);
                let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { url, authority: authority.cert().to_owned(), answers, fetched }
    }

    pub(super) async fn start(keys: &[&Key]) -> Self {
        let issuer = Self::silent().await;
        issuer.serve_keys(keys);
        issuer.speak(&issuer.url);
        issuer
    }

    fn answer(&self, path: &str, head: &str, body: impl Into<Vec<u8>>) {
        self.answers.lock().insert(path.to_owned(), (head.to_owned(), body.into()));
    }

    /// Says that it is this issuer.
    pub(super) fn speak(&self, name: &str) {
        let document = json!({"issuer": name, "jwks_uri": format!("{}/keys", self.url)});
        self.answer(DISCOVERY, OK, document.to_string());
    }

    pub(super) fn serve_keys(&self, keys: &[&Key]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.to_jwk()).collect();
        self.answer("/keys", OK, json!({"keys": keys}).to_string());
    }

    /// Answers a request for its keys like this.
    pub(super) fn misbehave(&self, head: &str, body: Vec<u8>) {
        self.answer("/keys", head, body);
    }

    /// How often its keys were asked for.
    pub(super) fn fetched(&self) -> usize {
        self.fetched.load(Ordering::Relaxed)
    }

    /// Claims that are good for an hour, and these.
    pub(super) fn claims(&self, more: &Value) -> Value {
        let now = jiff::Timestamp::now().as_second();
        let mut claims = json!({"iss": self.url, "aud": "us", "exp": now + 3600, "sub": "ann"});
        for (claim, value) in more.as_object().into_iter().flatten() {
            claims[claim] = value.clone();
        }
        claims
    }
}
