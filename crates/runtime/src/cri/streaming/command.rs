//! The streams of a command: `v4.channel.k8s.io`.

use futures::FutureExt;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::{connect, failed, stream_type};
use crate::spdy::Client;
use crate::{Error, Reader, Result, Session, TerminalSize, Writer};

const PROTOCOL: &str = "v4.channel.k8s.io";
/// Longest last message that is read.
const MAX_STATUS: u64 = 1 << 20;

/// Which streams to open.
#[derive(Debug, Clone, Copy)]
pub(in crate::cri) struct Wanted {
    pub(in crate::cri) stdin: bool,
    pub(in crate::cri) stdout: bool,
    pub(in crate::cri) stderr: bool,
    pub(in crate::cri) tty: bool,
}

/// Connects to a command at a URL of the streaming server.
pub(in crate::cri) async fn command(url: &str, wanted: Wanted) -> Result<Session> {
    open(connect(url, PROTOCOL).await?, wanted).await.map_err(|error| failed(url, error))
}

async fn open(client: Client, wanted: Wanted) -> std::io::Result<Session> {
    // The order of upstream's client; the server counts them.
    let error = client.open(stream_type("error")).await?.reader;
    let (mut stdin, mut stdout, mut stderr, mut resize) = (None, None, None, None);
    if wanted.stdin {
        stdin = Some(client.open(stream_type("stdin")).await?.writer);
    }
    if wanted.stdout {
        stdout = Some(client.open(stream_type("stdout")).await?.reader);
    }
    if wanted.stderr {
        stderr = Some(client.open(stream_type("stderr")).await?.reader);
    }
    if wanted.tty {
        let to = client.open(stream_type("resize")).await?.writer;
        let (sender, sizes) = mpsc::channel(4);
        telemetry::task::spawn("cri-resize", send_sizes(sizes, to));
        resize = Some(sender);
    }
    Ok(Session { stdin, stdout, stderr, resize, exit: exit(client, error).boxed() })
}

async fn send_sizes(mut sizes: mpsc::Receiver<TerminalSize>, mut to: Writer) {
    while let Some(TerminalSize { width, height }) = sizes.recv().await {
        let line = format!("{{\"Width\":{width},\"Height\":{height}}}\n");
        if to.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Holds the connection until the last message, which the server sends when all output is sent.
async fn exit(client: Client, error: Reader) -> Result<i32> {
    let mut text = String::new();
    let read = error.take(MAX_STATUS).read_to_string(&mut text).await;
    drop(client);
    read?;
    outcome(&text)
}

/// The parts of `meta/v1.Status` that say how a command ended.
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    status: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
    details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    causes: Vec<Cause>,
}

#[derive(Deserialize)]
struct Cause {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

fn outcome(text: &str) -> Result<i32> {
    if text.is_empty() {
        let message = "the container runtime closed the connection before the command ended";
        return Err(Error::Unavailable(message.to_owned()));
    }
    let status: Status = serde_json::from_str(text)
        .map_err(|error| Error::Internal(format!("error stream protocol error: {error}")))?;
    if status.status == "Success" {
        return Ok(0);
    }
    let causes = status.details.map(|details| details.causes).unwrap_or_default();
    if status.reason == "NonZeroExitCode" {
        let code = causes.iter().find(|cause| cause.reason == "ExitCode");
        let code = code.and_then(|cause| cause.message.parse().ok());
        return code.ok_or_else(|| {
            Error::Internal(format!("error stream protocol error: no exit code in {text}"))
        });
    }
    // The kubelet says these words itself.
    let mut message = status.message.as_str();
    for begin in [
        "Internal error occurred: ",
        "error executing command in container: ",
        "error attaching to container: ",
    ] {
        message = message.strip_prefix(begin).unwrap_or(message);
    }
    Err(Error::Internal(message.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spdy;

    #[test]
    fn the_last_message_is_the_outcome() {
        assert_eq!(outcome(r#"{"metadata":{},"status":"Success"}"#).unwrap(), 0);
        let code = r#"{"status":"Failure","reason":"NonZeroExitCode","message":"command terminated",
            "details":{"causes":[{"reason":"ExitCode","message":"42"}]}}"#;
        assert_eq!(outcome(code).unwrap(), 42);
        let failed = r#"{"status":"Failure","reason":"InternalError","message":
            "Internal error occurred: error executing command in container: no such file"}"#;
        assert_eq!(outcome(failed).unwrap_err().to_string(), "no such file");
        assert!(matches!(outcome(""), Err(Error::Unavailable(_))));
        assert!(matches!(outcome("nonsense"), Err(Error::Internal(_))));
    }

    #[tokio::test]
    async fn a_command_reads_its_input_to_the_end() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let server = tokio::spawn(async move {
            let mut session = spdy::Session::new(Box::new(far)).unwrap();
            let mut streams = Vec::new();
            for name in ["error", "stdin", "stdout", "resize"] {
                let stream = session.accept().await.unwrap();
                assert_eq!(stream.header("streamtype"), Some(name));
                streams.push(stream);
            }
            let mut text = String::new();
            let mut size = [0; 25];
            streams[1].reader.read_to_string(&mut text).await.unwrap();
            streams[3].reader.read_exact(&mut size).await.unwrap();
            assert_eq!(&size, b"{\"Width\":80,\"Height\":24}\n");
            streams[2].writer.write_all(text.to_uppercase().as_bytes()).await.unwrap();
            streams[0].writer.write_all(br#"{"status":"Success"}"#).await.unwrap();
            drop(streams);
            session.close().await;
        });
        let wanted = Wanted { stdin: true, stdout: true, stderr: false, tty: true };
        let client = Client::new(Box::new(near)).unwrap();
        let mut session = open(client, wanted).await.unwrap();
        let mut stdin = session.stdin.take().unwrap();
        stdin.write_all(b"words").await.unwrap();
        stdin.shutdown().await.unwrap();
        let size = TerminalSize { width: 80, height: 24 };
        session.resize.as_ref().unwrap().send(size).await.unwrap();
        assert_eq!(session.exit.await.unwrap(), 0);
        let mut out = String::new();
        session.stdout.unwrap().read_to_string(&mut out).await.unwrap();
        assert_eq!(out, "WORDS");
        server.await.unwrap();
    }
}
