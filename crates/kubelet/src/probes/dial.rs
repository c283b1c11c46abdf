//! Connecting to a pod, with errors in Go's words, which users know from events.

use std::time::Duration;

use tokio::net::TcpStream;

/// Connects within `timeout`.
///
/// # Errors
/// Why not, such as `dial tcp 10.0.0.7:80: connect: connection refused`.
pub(crate) async fn dial(host: &str, port: u16, timeout: Duration) -> Result<TcpStream, String> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = join(bare, port);
    match tokio::time::timeout(timeout, TcpStream::connect((bare, port))).await {
        Err(_) => Err(format!("dial tcp {address}: i/o timeout")),
        Ok(Err(error)) => Err(format!("dial tcp {address}: {}", reason(&error))),
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
