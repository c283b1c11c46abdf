//! Calls to a plugin over its socket (`k8s.io/kms/apis/v2/api.proto`).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::envelope::EncryptedObject;
use crate::encryption::config::Plugin;
use crate::metrics::Encryption as Metrics;

/// Largest answer: all that a plugin may say is less.
const MAX_ANSWER: usize = 64 << 10;

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::encryption) struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::encryption) struct StatusResponse {
    #[prost(string, tag = "1")]
    pub(in crate::encryption) version: String,
    #[prost(string, tag = "2")]
    pub(in crate::encryption) healthz: String,
    #[prost(string, tag = "3")]
    pub(in crate::encryption) key_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::encryption) struct DecryptRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(in crate::encryption) ciphertext: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(in crate::encryption) uid: String,
    #[prost(string, tag = "3")]
    pub(in crate::encryption) key_id: String,
    #[prost(btree_map = "string, bytes", tag = "4")]
    pub(in crate::encryption) annotations: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(in crate::encryption) struct DecryptResponse {
    #[prost(bytes = "vec", tag = "1")]
    pub(in crate::encryption) plaintext: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(in crate::encryption) struct EncryptRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(in crate::encryption) plaintext: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(in crate::encryption) uid: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::encryption) struct EncryptResponse {
    #[prost(bytes = "vec", tag = "1")]
    pub(in crate::encryption) ciphertext: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(in crate::encryption) key_id: String,
    #[prost(btree_map = "string, bytes", tag = "3")]
    pub(in crate::encryption) annotations: BTreeMap<String, Vec<u8>>,
}

impl fmt::Debug for DecryptResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DecryptResponse")
    }
}

impl fmt::Debug for EncryptRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptRequest").field("uid", &self.uid).finish_non_exhaustive()
    }
}

impl Drop for EncryptRequest {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.plaintext);
    }
}

/// A plugin, connected when it is called.
pub(super) struct Service {
    name: String,
    channel: Channel,
    timeout: Duration,
    metrics: Arc<Metrics>,
}

impl Service {
    pub(super) fn new(plugin: &Plugin, metrics: Arc<Metrics>) -> Self {
        let socket = plugin.socket.clone();
        let connector = tower::service_fn(move |_: Uri| connect(socket.clone()));
        let channel =
            Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector);
        Self { name: plugin.name.clone(), channel, timeout: plugin.timeout, metrics }
    }

    /// Asks for the key and the plugin's health.
    pub(super) async fn status(&self) -> Result<StatusResponse, Status> {
        self.call("/v2.KeyManagementService/Status", StatusRequest {}).await
    }

    /// Has a seed encrypted.
    pub(super) async fn encrypt(&self, seed: &[u8]) -> Result<EncryptResponse, Status> {
        let request = EncryptRequest { plaintext: seed.to_vec(), uid: Uuid::new_v4().to_string() };
        self.call("/v2.KeyManagementService/Encrypt", request).await
    }

    /// Has the seed of an envelope decrypted.
    pub(super) async fn decrypt(&self, of: &EncryptedObject) -> Result<Zeroizing<Vec<u8>>, Status> {
        let request = DecryptRequest {
            ciphertext: of.encrypted_dek_source.clone(),
            uid: Uuid::new_v4().to_string(),
            key_id: of.key_id.clone(),
            annotations: of.annotations.clone(),
        };
        let answer: DecryptResponse =
            self.call("/v2.KeyManagementService/Decrypt", request).await?;
        Ok(Zeroizing::new(answer.plaintext))
    }

    /// One call, whose time is that of the whole: a plugin may hang at any point.
    async fn call<M, R>(&self, method: &'static str, message: M) -> Result<R, Status>
    where
        M: prost::Message + Send + Sync + 'static,
        R: prost::Message + Default + Send + Sync + 'static,
    {
        let begun = Instant::now();
        let call = async {
            let grpc = tonic::client::Grpc::new(self.channel.clone());
            let mut grpc = grpc.max_decoding_message_size(MAX_ANSWER);
            grpc.ready().await.map_err(|why| Status::unavailable(why.to_string()))?;
            let path = PathAndQuery::from_static(method);
            let codec = ProstCodec::<M, R>::default();
            grpc.unary(Request::new(message), path, codec).await
        };
        let answer = tokio::time::timeout(self.timeout, call).await;
        let answer =
            answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("context deadline exceeded")));
        let code = answer.as_ref().map_or_else(Status::code, |_| tonic::Code::Ok);
        self.metrics.called(&self.name, method, &format!("{code:?}"), begun.elapsed());
        answer.map(tonic::Response::into_inner)
    }
}

async fn connect(socket: PathBuf) -> std::io::Result<TokioIo<UnixStream>> {
    // A name in the abstract namespace begins with a zero byte.
    let at = match socket.to_str().and_then(|text| text.strip_prefix('@')) {
        Some(name) => PathBuf::from(format!("\0{name}")),
        None => socket.clone(),
    };
    let connected = UnixStream::connect(Path::new(&at)).await;
    connected.map(TokioIo::new).map_err(|error| {
        std::io::Error::new(error.kind(), format!("connecting to {}: {error}", socket.display()))
    })
}
