//! The kubelet's own HTTPS server.

pub(crate) mod logs;

use crate::config::ServerConfig;
use crate::context::Context;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

pub(crate) struct Server;
pub(crate) async fn bind(_c: Arc<Context>, _s: &ServerConfig) -> std::io::Result<Server> {
    Ok(Server)
}
impl Server {
    pub(crate) async fn run(self, c: CancellationToken) {
        c.cancelled().await
    }
}
