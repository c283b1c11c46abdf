//! Exec and attach.

mod outcome;
mod streams;
pub(super) use streams::spdy_answer;

use std::sync::Arc;

use axum::extract::Request;
use runtime::{AttachRequest, ExecRequest, Session, TerminalSize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

use super::query::Query;
use super::{Answer, find, refuse};
use crate::context::Context;
use streams::{Streams, Wanted};

fn wanted(query: &Query) -> Wanted {
    let tty = query.flag(&["tty"]);
    Wanted {
        stdin: query.flag(&["input", "stdin"]),
        stdout: query.flag(&["output", "stdout"]),
        // With a terminal both outputs are one.
        stderr: query.flag(&["error", "stderr"]) && !tty,
        tty,
    }
}

/// Runs a command in a container, connected to the caller.
pub(super) async fn exec(
    context: Arc<Context>,
    namespace: &str,
    pod: &str,
    container: &str,
    query: &Query,
    request: Request,
) -> Answer {
    let status = match find::running(&context, namespace, pod, container).await {
        Ok(status) => status,
        Err((code, message)) => return refuse(code, message),
    };
    let wanted = wanted(query);
    let exec = ExecRequest {
        cmd: query.all("command").map(str::to_owned).collect(),
        tty: wanted.tty,
        stdin: wanted.stdin,
        stdout: wanted.stdout,
        stderr: wanted.stderr,
    };
    streams::open(request, wanted, move |mut streams| async move {
        let result = context.runtime.exec(&status.id, exec).await;
        let result = connect(result, &mut streams).await;
        let error = streams.structured;
        streams.finish(outcome::of_exec(&result, error)).await;
    })
}

/// Connects the caller to the container's own process.
pub(super) async fn attach(
    context: Arc<Context>,
    namespace: &str,
    pod: &str,
    container: &str,
    query: &Query,
    request: Request,
) -> Answer {
    let status = match find::running(&context, namespace, pod, container).await {
        Ok(status) => status,
        Err((code, message)) => return refuse(code, message),
    };
    let wanted = wanted(query);
    let attach =
        AttachRequest { stdin: wanted.stdin, stdout: wanted.stdout, stderr: wanted.stderr };
    streams::open(request, wanted, move |mut streams| async move {
        let result = context.runtime.attach(&status.id, attach).await;
        let result = connect(result, &mut streams).await;
        let structured = streams.structured;
        streams.finish(outcome::of_attach(&result, structured)).await;
    })
}

/// Moves bytes both ways until the process has ended and all it wrote has been sent, or the
/// caller is gone.
async fn connect(session: runtime::Result<Session>, streams: &mut Streams) -> runtime::Result<i32> {
    let Session { stdin, stdout, stderr, resize, exit } = session?;
    let input = async {
        if let (Some(mut from), Some(mut to)) = (streams.stdin.take(), stdin) {
            // A process that reads no more is its own business.
            let _ = tokio::io::copy(&mut from, &mut to).await;
            let _ = to.shutdown().await;
        }
        std::future::pending::<()>().await
    };
    let sizes = async {
        if let (Some(from), Some(to)) = (streams.resize.take(), resize) {
            let mut lines = BufReader::new(from).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                forward_size(&line, &to).await;
            }
        }
        std::future::pending::<()>().await
    };
    let (mut out, mut err) = (streams.stdout.take(), streams.stderr.take());
    let output = async {
        let out = async {
            if let (Some(mut from), Some(to)) = (stdout, out.as_mut()) {
                let _ = tokio::io::copy(&mut from, to).await;
            }
        };
        let err = async {
            if let (Some(mut from), Some(to)) = (stderr, err.as_mut()) {
                let _ = tokio::io::copy(&mut from, to).await;
            }
        };
        let (exit, (), ()) = tokio::join!(exit, out, err);
        exit
    };
    let gone = streams.ended.clone();
    let result = tokio::select! {
        result = output => result,
        () = input => unreachable!("input never ends by itself"),
        () = sizes => unreachable!("sizes never end by themselves"),
        () = gone.cancelled() => {
            Err(runtime::Error::Unavailable("the client closed the connection".to_owned()))
        }
    };
    for writer in [&mut out, &mut err].into_iter().flatten() {
        let _ = writer.shutdown().await;
    }
    result
}

async fn forward_size(line: &str, to: &mpsc::Sender<TerminalSize>) {
    #[derive(serde::Deserialize)]
    struct Size {
        #[serde(rename = "Width", default)]
        width: u16,
        #[serde(rename = "Height", default)]
        height: u16,
    }
    if let Ok(Size { width, height }) = serde_json::from_str(line) {
        let _ = to.send(TerminalSize { width, height }).await;
    }
}
