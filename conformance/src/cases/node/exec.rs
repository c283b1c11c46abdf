//! Streams into running containers.

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::AttachParams;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::case::{Case, pod_case};
use crate::cases::node::do_command;
use crate::test::{Test, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    vec![
        pod_case(
            "[sig-node] Pods should support remote command execution over websockets [NodeConformance] \
             [Conformance]",
            remote_command,
        ),
        pod_case(
            "[sig-node] Pods should support retrieving logs from the container over websockets \
             [NodeConformance] [Conformance]",
            logs,
        ),
        pod_case("[sig-node] Pods should pass standard input and the exit code of exec", input),
        pod_case("[sig-cli] Pods should forward ports", forward),
    ]
}

async fn remote_command(test: Test) -> Result<()> {
    test.start(test.pod("p", json!({"containers": [test.pause("main")]}))).await?;
    let ran =
        test.exec("p", "main", &["print remote execution test", "err on the other stream"]).await?;
    expect_eq("standard output", &json!(ran.stdout), &json!("remote execution test\n"))?;
    expect_eq("standard error", &json!(ran.stderr), &json!("on the other stream\n"))?;
    expect_eq("success", &json!(ran.success), &json!(true))?;
    let failed = test.exec("p", "main", &["exit 7"]).await?;
    expect_eq("success of exit 7", &json!(failed.success), &json!(false))?;
    match test.exec("p", "absent", &["print x"]).await {
        Ok(ran) => bail!("exec in a container that is not there ran: {ran:?}"),
        Err(_) => Ok(()),
    }
}

async fn logs(test: Test) -> Result<()> {
    let container = test.container("main", &["print container is alive", "hold"]);
    test.start(test.pod("p", json!({"containers": [container]}))).await?;
    test.log_lines("p", "main", 1).await?;
    let path = test.pods().object_path("p/log?container=main");
    let key = tokio_tungstenite::tungstenite::handshake::client::generate_key();
    let request = http::Request::get(path)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", key)
        .header("sec-websocket-protocol", "binary.k8s.io")
        .body(kube::client::Body::empty())?;
    let answer = test.cluster.client().send(request).await?;
    expect_eq("the status", &json!(answer.status().as_u16()), &json!(101))?;
    let protocol = answer.headers().get("sec-websocket-protocol").cloned();
    let protocol = protocol.context("no protocol")?;
    expect_eq("the protocol", &json!(protocol.to_str()?), &json!("binary.k8s.io"))?;
    let stream = TokioIo::new(hyper::upgrade::on(answer).await?);
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
    let mut said = Vec::new();
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_close() {
            break;
        }
        said.extend_from_slice(&message.into_data());
    }
    expect_in("the log", &String::from_utf8_lossy(&said), "container is alive\n")
}

fn pods(test: &Test) -> Api<Pod> {
    Api::namespaced(test.cluster.client().clone(), &test.namespace)
}

async fn input(test: Test) -> Result<()> {
    test.start(test.pod("p", json!({"containers": [test.pause("main")]}))).await?;
    let command = do_command(&["cat /dev/stdin", "exit 3"]);
    let command: Vec<String> = serde_json::from_value(command)?;
    let params = AttachParams::default().stdin(true).container("main");
    let mut process = pods(&test).exec("p", &command, &params).await?;
    let mut stdin = process.stdin().context("no standard input")?;
    stdin.write_all(b"said to it").await?;
    stdin.shutdown().await?;
    drop(stdin);
    let mut said = String::new();
    process.stdout().context("no standard output")?.read_to_string(&mut said).await?;
    expect_in("what came back", &said, "said to it")?;
    let status = process.take_status().context("no status")?.await.context("no status")?;
    let causes = status.details.and_then(|details| details.causes).unwrap_or_default();
    let code = causes.iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    let code = code.and_then(|cause| cause.message.clone());
    expect_eq("the exit code", &json!(code), &json!("3"))
}

async fn forward(test: Test) -> Result<()> {
    test.start(test.pod("p", json!({"containers": [test.server("s")]}))).await?;
    let mut forwarder = pods(&test).portforward("p", &[8080]).await?;
    let mut stream = forwarder.take_stream(8080).context("no stream")?;
    stream
        .write_all(b"GET /echo?msg=through HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n")
        .await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    drop(stream);
    expect_in("the answer", &said, "200 OK")?;
    expect_in("the answer", &said, "through")
}
