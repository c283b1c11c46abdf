//! Connecting to a pod, with errors in Go's words, which users know from events.

use std::time::Duration;

use tokio::net::TcpStream;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("dial tcp {0}: i/o timeout")]
    Timeout(String),
    #[error("dial tcp {address}: {}", reason(source))]
    Refused { address: String, source: std::io::Error },
}

/// Connects within `timeout`.
///
/// # Errors
/// Why not, such as `dial tcp 10.0.0.7:80: connect: connection refused`.
pub(crate) async fn dial(host: &str, port: u16, timeout: Duration) -> Result<TcpStream, Error> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = join(bare, port);
    match tokio::time::timeout(timeout, TcpStream::connect((bare, port))).await {
        Err(_) => Err(Error::Timeout(address)),
        Ok(Err(source)) => Err(Error::Refused { address, source }),
        Ok(Ok(stream)) => Ok(stream),
    }
}

/// Host and port as one word.
pub(crate) fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn reason(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => {
            let description = nix::Error::from_raw(code).desc().to_lowercase();
            format!("connect: {description}")
        }
        None => error.to_string(),
    }
}
