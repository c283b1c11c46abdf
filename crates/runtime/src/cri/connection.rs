//! The connection to the runtime's socket, and calls over it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Response, Status};

use super::proto::image_service_client::ImageServiceClient;
use super::proto::runtime_service_client::RuntimeServiceClient;

/// How long a call may take unless it says otherwise: `runtimeRequestTimeout` of upstream's
/// kubelet.
pub(super) const DEADLINE: Duration = Duration::from_secs(120);
/// Largest answer, as with upstream's client (`maxMsgSize`).
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// How long the socket may take to be connected, as with upstream's client.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest deadline that a request names, three years.
const LONGEST: Duration = Duration::from_secs(99_999_999);

pub(super) type RuntimeClient = RuntimeServiceClient<Channel>;
pub(super) type ImageClient = ImageServiceClient<Channel>;

/// The two services of the interface, over one connection that is made when it is needed.
#[derive(Clone)]
pub(super) struct Calls {
    runtime: RuntimeClient,
    images: ImageClient,
}

impl Calls {
    pub(super) fn new(socket: &Path) -> Self {
        let socket = socket.to_owned();
        let connector = tower::service_fn(move |_: Uri| connect(socket.clone()));
        let channel = Endpoint::from_static("http://localhost")
            .user_agent(concat!("coxswain/", env!("CARGO_PKG_VERSION")))
            .unwrap_or_else(|_| Endpoint::from_static("http://localhost"))
            .connect_with_connector_lazy(connector);
        Self {
            runtime: RuntimeClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE),
            images: ImageClient::new(channel).max_decoding_message_size(MAX_MESSAGE),
        }
    }

    /// A call of the RuntimeService.
    pub(super) async fn runtime<M, R>(
        &self,
        method: impl AsyncFnOnce(&mut RuntimeClient, Request<M>) -> Result<Response<R>, Status>,
        message: M,
    ) -> Result<R, Status> {
        self.runtime_within(method, message, Some(DEADLINE)).await
    }

    /// A call of the RuntimeService that may take this long.
    pub(super) async fn runtime_within<M, R>(
        &self,
        method: impl AsyncFnOnce(&mut RuntimeClient, Request<M>) -> Result<Response<R>, Status>,
        message: M,
        deadline: Option<Duration>,
    ) -> Result<R, Status> {
        within(deadline, method(&mut self.runtime.clone(), request(message, deadline))).await
    }

    /// A call of the ImageService.
    pub(super) async fn image<M, R>(
        &self,
        method: impl AsyncFnOnce(&mut ImageClient, Request<M>) -> Result<Response<R>, Status>,
        message: M,
        deadline: Option<Duration>,
    ) -> Result<R, Status> {
        within(deadline, method(&mut self.images.clone(), request(message, deadline))).await
    }
}

async fn connect(socket: PathBuf) -> std::io::Result<TokioIo<UnixStream>> {
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, UnixStream::connect(&socket));
    let connected = connecting.await.unwrap_or_else(|late| Err(late.into()));
    connected.map(TokioIo::new).map_err(|error| {
        std::io::Error::new(error.kind(), format!("connecting to {}: {error}", socket.display()))
    })
}

fn request<M>(message: M, deadline: Option<Duration>) -> Request<M> {
    let mut request = Request::new(message);
    if let Some(deadline) = deadline {
        // tonic panics at one that has more than eight digits in every unit.
        request.set_timeout(deadline.min(LONGEST));
    }
    request
}

/// tonic limits the time to the head of the answer; here it is that of the whole.
async fn within<R>(
    deadline: Option<Duration>,
    call: impl Future<Output = Result<Response<R>, Status>>,
) -> Result<R, Status> {
    let answer = match deadline {
        Some(deadline) => tokio::time::timeout(deadline, call)
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("context deadline exceeded"))),
        None => call.await,
    };
    answer.map(Response::into_inner)
}
