//! The path of a request: a list of layers around the handler, in upstream's order
//! (`DefaultBuildHandlerChain`). Each layer is one file.
//!
//! The outer layers answer; the inner ones may refuse with a `Status`, which [`answer`] encodes for
//! the client. Layers are stateless: all state travels with the request.

mod answer;
mod audit;
mod authentication;
mod authorization;
mod check;
mod compression;
mod flow_control;
mod impersonation;
mod metrics;
mod panic_guard;
mod request_info;
mod timeout;
mod trace;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use apimachinery::Status;
use futures::future::BoxFuture;
use http::{Request, Response};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceBuilder, service_fn};

use crate::audit::Audit;
use crate::body::{Body, Unread};
use crate::flow_control::Seats;
use crate::registry::KindRef;
use crate::request::{Query, RequestInfo};
use crate::server::Server;
use crate::user::User;
use crate::{aggregation, paths, resource};

pub(crate) use audit::Held;
use check::check;
pub(crate) use trace::Stages;

/// The outcome of the layers that may refuse.
pub(crate) type Outcome = Result<Response<Body>, Status>;

/// A service that layers wrap. It is always ready, so `poll_ready` need not be called.
pub(crate) trait Step<R>:
    Service<R, Response = Response<Body>, Error = Status, Future: Send + 'static>
    + Clone
    + Send
    + 'static
{
}

impl<R, S> Step<R> for S where
    S: Service<R, Response = Response<Body>, Error = Status, Future: Send + 'static>
        + Clone
        + Send
        + 'static
{
}

/// A request before any layer has read it.
pub(crate) struct Arrival {
    pub(crate) server: Arc<Server>,
    pub(crate) request: Request<Body>,
    /// The caller, if it is in this process and has set its identity.
    pub(crate) user: Option<User>,
    pub(crate) stages: Stages,
}

/// A request on its way inwards, with the results of the layers so far.
pub(crate) struct Received {
    pub(crate) server: Arc<Server>,
    pub(crate) request: Request<Body>,
    pub(crate) info: RequestInfo,
    /// The kind that serves the resource, if that is known.
    pub(crate) kind: Option<KindRef>,
    pub(crate) query: Query,
    /// The caller is in this process, and limits itself.
    pub(crate) within: bool,
    user: Option<User>,
    pub(crate) stages: Stages,
    /// Cancelled when the client has left.
    pub(crate) gone: CancellationToken,
    /// Held until the handler has answered.
    pub(crate) seats: Option<Seats>,
    pub(crate) audit: Audit,
}

impl Received {
    /// The user on whose behalf the request runs.
    ///
    /// # Errors
    /// 500 if no layer has authenticated the request, so that nothing is done.
    pub(crate) fn user(&self) -> Result<&User, Status> {
        self.user.as_ref().ok_or_else(|| Status::internal("no user found for request"))
    }
}

/// Waits for what others say of a request, as long as there is a client to answer. Nothing has begun
/// yet that must be finished.
async fn until_gone<T>(
    gone: &CancellationToken,
    waits: impl Future<Output = T>,
) -> Result<T, Status> {
    let said = gone.run_until_cancelled(waits).await;
    said.ok_or_else(|| Status::timeout("the client has left", 0))
}

/// Sends a request through the chain.
pub(crate) fn handle(
    server: Arc<Server>,
    request: Request<Body>,
    user: Option<User>,
) -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
    let mut chain = ServiceBuilder::new()
        .layer_fn(trace::Trace)
        .layer_fn(answer::Answer)
        .layer_fn(request_info::ReadInfo)
        .layer_fn(metrics::Observe)
        .layer_fn(compression::Compress)
        .layer_fn(timeout::Timeout)
        .layer_fn(panic_guard::PanicGuard)
        .layer_fn(authentication::Authenticate)
        .layer_fn(audit::Record)
        .layer(check(impersonation::impersonate))
        .layer_fn(flow_control::FlowControl)
        .layer(check(authorization::authorize))
        .service(service_fn(async |received: Received| {
            if let Some(backend) = received.server.backends.of(&received.info) {
                aggregation::proxy(received, backend).await
            } else if received.info.is_resource {
                resource::serve(received).await
            } else {
                paths::serve(received).await
            }
        }));
    let request = request.map(Unread::wrap);
    chain.call(Arrival { server, request, user, stages: Stages::new(Instant::now()) })
}
