//! A server with its own store, and a client for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apimachinery::ObjectExt;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use store::{Embedded, OpenError, Options};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::authn::{Peer, Presented};
use crate::body::{Body, full};
use crate::metrics::Metrics;
use crate::{
    AdmissionOptions, ApiServer, AuditOptions, Authentication, Authorization, Config,
    EncryptionOptions, StartError, User,
};

/// The options of a server.
#[derive(Default)]
struct Wanted {
    admission: AdmissionOptions,
    authentication: Authentication,
    authorization: Authorization,
    audit: AuditOptions,
    encryption: EncryptionOptions,
    sizes: Options,
}

/// The store of a server that has ended, or of none: tasks of one may still hold it.
pub(super) async fn open_store(dir: &Path, sizes: Options) -> Embedded {
    for _ in 0..1000 {
        match Embedded::open(&dir.join("store"), sizes) {
            Err(OpenError::InUse(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
            opened => return opened.unwrap(),
        }
    }
    panic!("the store is never let go");
}

/// A running server.
pub(super) struct Api {
    server: ApiServer,
    dir: tempfile::TempDir,
}

/// A response that was read completely.
pub(super) struct Answer {
    pub(super) code: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.bytes)))
    }

    /// The body of a success.
    #[track_caller]
    pub(super) fn ok(&self) -> Value {
        assert!(self.code.is_success(), "{}: {}", self.code, String::from_utf8_lossy(&self.bytes));
        self.json()
    }

    /// The Status of a failure with this code.
    #[track_caller]
    pub(super) fn fails(&self, code: u16) -> Value {
        let text = String::from_utf8_lossy(&self.bytes);
        assert_eq!(self.code.as_u16(), code, "{text}");
        let status = self.json();
        assert_eq!(status.kind(), "Status", "{text}");
        assert_eq!(status["status"], "Failure", "{text}");
        assert_eq!(status["code"], code, "{text}");
        status
    }
}

/// A request under construction.
pub(super) struct Ask<'a> {
    api: &'a Api,
    /// None authenticates itself by its headers.
    user: Option<User>,
    builder: http::request::Builder,
    body: Vec<u8>,
}

impl Api {
    /// With this audit; it may refuse its configuration.
    pub(super) async fn with_audit(audit: AuditOptions) -> Result<Self, StartError> {
        let dir = tempfile::tempdir().unwrap();
        let api = Self::try_open(dir, Wanted { audit, ..Wanted::default() }).await?;
        Ok(api.with_account().await)
    }

    /// With these options of authorization; it may refuse them.
    pub(super) async fn authorized_by(authorization: Authorization) -> Result<Self, StartError> {
        let dir = tempfile::tempdir().unwrap();
        let chosen = Wanted { authorization, ..Wanted::default() };
        Ok(Self::try_open(dir, chosen).await?.with_account().await)
    }

    /// On a store that may be there, with this encryption; it may refuse its configuration.
    pub(super) async fn encrypted(
        dir: tempfile::TempDir,
        encryption: EncryptionOptions,
        sizes: Options,
    ) -> Result<Self, StartError> {
        Self::try_open(dir, Wanted { encryption, sizes, ..Wanted::default() }).await
    }

    /// Where its store is.
    pub(super) fn path(&self) -> std::path::PathBuf {
        self.dir.path().to_owned()
    }

    /// Ends the server, but keeps its directory.
    pub(super) fn end(self) -> tempfile::TempDir {
        let Self { server, dir } = self;
        drop(server);
        dir
    }

    /// The server itself.
    pub(super) fn server(&self) -> &ApiServer {
        &self.server
    }

    /// Returns when the audit events so far are written.
    pub(super) async fn flush_audit(&self) {
        self.server.flush_audit().await;
    }

    pub(super) async fn start() -> Self {
        Self::start_with(Authentication::default()).await
    }

    /// With these admission plugins.
    pub(super) async fn with_admission(admission: AdmissionOptions) -> Self {
        Self::try_start(admission).await.unwrap().with_account().await
    }

    /// With these options of authentication.
    pub(super) async fn start_with(authentication: Authentication) -> Self {
        let api = Self::open(tempfile::tempdir().unwrap(), authentication).await;
        api.unwrap_or_else(|why| panic!("{why}")).with_account().await
    }

    async fn with_account(self) -> Self {
        let account = json!({"metadata": {"name": "default"}});
        self.post("/api/v1/namespaces/default/serviceaccounts", &account).await.ok();
        self
    }

    /// Another server on the same store.
    pub(super) async fn restart(self) -> Self {
        let Self { server, dir } = self;
        drop(server);
        Self::open(dir, Authentication::default()).await.unwrap_or_else(|why| panic!("{why}"))
    }

    /// Starts a server that may refuse its configuration.
    pub(super) async fn try_start(admission: AdmissionOptions) -> Result<Self, StartError> {
        let dir = tempfile::tempdir().unwrap();
        Self::try_open(dir, Wanted { admission, ..Wanted::default() }).await
    }

    /// A server that may refuse to start.
    pub(super) async fn open(
        dir: tempfile::TempDir,
        authentication: Authentication,
    ) -> Result<Self, StartError> {
        Self::try_open(dir, Wanted { authentication, ..Wanted::default() }).await
    }

    async fn try_open(dir: tempfile::TempDir, wanted: Wanted) -> Result<Self, StartError> {
        let Wanted { admission, authentication, authorization, audit, encryption, sizes } = wanted;
        let store = open_store(dir.path(), sizes).await;
        let ca = pki::Authority::open(dir.path(), "ca").unwrap();
        let client =
            ca.issue(&pki::Subject { name: "kubelet-client", ..Default::default() }).unwrap();
        let signer = pki::Signer::open(&dir.path().join("sa.key"), "https://issuer").unwrap();
        let server = ApiServer::start(Config {
            store: Arc::new(store),
            service_range: "10.96.0.0/16".parse().unwrap(),
            signer: Arc::new(signer),
            kubelet_tls: Arc::new(pki::tls::client(&client, ca.cert()).unwrap()),
            client_ca: ca.cert().to_owned(),
            authentication,
            authorization,
            front_proxy: crate::FrontProxy {
                authority: ca.cert().to_owned(),
                identity: client.clone(),
            },
            components_within: false,
            admission,
            audit,
            encryption,
            advertise: "127.0.0.1:6443".parse().unwrap(),
            metrics: telemetry::metrics::Registry::new(),
        })
        .await?;
        Ok(Self { server, dir })
    }

    /// Serves TLS connections on loopback until the end of the test, and opens one as a user with
    /// all rights.
    pub(super) async fn connect(&self) -> TlsStream<TcpStream> {
        let ca = pki::Authority::open(self.dir.path(), "ca").unwrap();
        let address = std::net::IpAddr::from([127, 0, 0, 1]);
        let subject = pki::Subject {
            name: "apiserver",
            ips: &[address],
            usage: pki::Usage::Server,
            ..Default::default()
        };
        let tls = self.server.tls(ca.issue(&subject).unwrap()).unwrap();
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = self.server.clone();
        tokio::spawn(async move { server.serve(listener, tls, CancellationToken::new()).await });

        let subject =
            pki::Subject { name: "tester", group: "system:masters", ..Default::default() };
        let client = pki::tls::client(&ca.issue(&subject).unwrap(), ca.cert()).unwrap();
        let stream = TcpStream::connect(at).await.unwrap();
        TlsConnector::from(Arc::new(client)).connect(address.into(), stream).await.unwrap()
    }

    /// The authority of the certificates that this server presents.
    pub(super) fn authority(&self) -> String {
        pki::Authority::open(self.dir.path(), "ca").unwrap().cert().to_owned()
    }

    /// Stores an object of the table as it is, past all rules.
    pub(super) async fn store(&self, mut object: Value) {
        let (group, version) = object.api_version().split_once('/').unwrap_or(("", "v1"));
        let kind = crate::registry::find_kind(group, version, object.kind()).unwrap();
        let committed = self.server.0.commit(kind, &mut object, store::Expect::Absent).await;
        assert!(committed.is_ok());
    }

    /// A user's certificate of this server's authority.
    pub(super) fn issue(&self, name: &str, group: &str) -> pki::Issued {
        let ca = pki::Authority::open(self.dir.path(), "ca").unwrap();
        ca.issue(&pki::Subject { name, group, ..Default::default() }).unwrap()
    }

    /// The server's metrics.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.server.0.metrics
    }

    /// Signs tokens that this server accepts.
    pub(super) fn signer(&self) -> pki::Signer {
        pki::Signer::open(&self.dir.path().join("sa.key"), "https://issuer").unwrap()
    }

    pub(super) fn ask(&self, method: Method, uri: &str) -> Ask<'_> {
        Ask {
            api: self,
            user: Some(User::new("tester", &["system:masters"])),
            builder: Request::builder().method(method).uri(uri),
            body: Vec::new(),
        }
    }

    pub(super) async fn get(&self, uri: &str) -> Answer {
        self.ask(Method::GET, uri).send().await
    }

    pub(super) async fn post(&self, uri: &str, object: &Value) -> Answer {
        self.ask(Method::POST, uri).json(object).send().await
    }

    pub(super) async fn put(&self, uri: &str, object: &Value) -> Answer {
        self.ask(Method::PUT, uri).json(object).send().await
    }

    pub(super) async fn patch(&self, uri: &str, media_type: &str, patch: &Value) -> Answer {
        self.ask(Method::PATCH, uri)
            .header("content-type", media_type)
            .body(patch.to_string())
            .send()
            .await
    }

    pub(super) async fn delete(&self, uri: &str) -> Answer {
        self.ask(Method::DELETE, uri).send().await
    }
}

impl Ask<'_> {
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(super) fn json(self, object: &Value) -> Self {
        self.header("content-type", "application/json").body(object.to_string())
    }

    pub(super) fn by(mut self, user: User) -> Self {
        self.user = Some(user);
        self
    }

    /// As from a network: who asks is known by its credentials alone.
    pub(super) fn unauthenticated(mut self) -> Self {
        self.user = None;
        self
    }

    /// Over a connection whose client has this certificate.
    pub(super) fn presenting(mut self, issued: &pki::Issued) -> Self {
        let chain = CertificateDer::pem_slice_iter(issued.cert.as_bytes());
        let chain: Vec<_> = chain.collect::<Result<_, _>>().unwrap();
        let peer = Peer(Presented::of(Some(&chain)).map(Arc::new));
        self.builder = self.builder.extension(peer);
        self
    }

    /// As from a network, with a bearer token.
    pub(super) fn with_token(self, token: &str) -> Self {
        self.unauthenticated().header("authorization", &format!("Bearer {token}"))
    }

    /// Sends it and reads the whole response.
    pub(super) async fn send(self) -> Answer {
        let response = self.open().await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { code: parts.status, headers: parts.headers, bytes }
    }

    /// Sends it with a streamed body.
    pub(super) async fn send_body(self, body: Body) -> Answer {
        let request = self.builder.body(body).unwrap();
        let response = self.api.server.handle(request, self.user).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { code: parts.status, headers: parts.headers, bytes }
    }

    /// Sends it and returns the response with an unread body.
    pub(super) async fn open(self) -> http::Response<Body> {
        let request = self.builder.body(full(self.body)).unwrap();
        self.api.server.handle(request, self.user).await
    }
}

/// A watch being read.
pub(super) struct Watch {
    body: Body,
    unread: Vec<u8>,
}

impl Watch {
    pub(super) async fn open(api: &Api, uri: &str) -> Self {
        let body = api.ask(Method::GET, uri).open().await.into_body();
        Self { body, unread: Vec::new() }
    }

    /// The next event.
    pub(super) async fn event(&mut self) -> Value {
        loop {
            if let Some(end) = self.unread.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return serde_json::from_slice(&line).unwrap();
            }
            // The deadline only matters if the event never arrives.
            let deadline = std::time::Duration::from_secs(20);
            let frame = tokio::time::timeout(deadline, self.body.frame()).await.expect("an event");
            let frame = frame.expect("the watch goes on").unwrap();
            self.unread.extend(frame.into_data().unwrap());
        }
    }
}
