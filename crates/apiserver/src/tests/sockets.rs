//! Watches over WebSocket, with a separate client and a real connection.

use std::time::Duration;

use apimachinery::ObjectExt;
use futures::{SinkExt, StreamExt};
use http::{Request, Response};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message, handshake::client::generate_key};

use super::harness::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// Time limit for events that never arrive.
const SOON: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// Opens a watch of the config maps in the default namespace.
async fn watch(
    api: &Api,
    query: &str,
    headers: &[(&str, &str)],
) -> Result<(Socket, Response<Option<Vec<u8>>>), Error> {
    let mut request = Request::builder()
        .uri(format!("wss://127.0.0.1{MAPS}?watch=1&{query}"))
        .header("host", "127.0.0.1")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", generate_key());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    tokio_tungstenite::client_async(request.body(()).unwrap(), api.connect().await).await
}

async fn message(socket: &mut Socket) -> Message {
    tokio::time::timeout(SOON, socket.next()).await.expect("a message").unwrap().unwrap()
}

/// Reads the next event, which must be a text message.
async fn event(socket: &mut Socket) -> (String, String) {
    let Message::Text(text) = message(socket).await else { panic!("a text was expected") };
    let event: Value = serde_json::from_str(&text).unwrap();
    (event.str_at(&["type"]).to_owned(), event["object"].name().to_owned())
}

async fn make(api: &Api, name: &str) {
    api.post(MAPS, &json!({"metadata": {"name": name}})).await.ok();
}

/// The framing follows the encoding of the events, whichever protocol a client names.
#[tokio::test]
async fn events_are_texts_under_every_protocol() {
    let api = Api::start().await;
    make(&api, "before").await;
    for (i, protocol) in
        ["", "base64.binary.k8s.io", "binary.k8s.io", "v4.channel.k8s.io"].into_iter().enumerate()
    {
        let header = [("sec-websocket-protocol", protocol)];
        let headers = if protocol.is_empty() { &[] } else { &header[..] };
        let (mut socket, response) = watch(&api, "", headers).await.unwrap();
        assert_eq!(response.status(), 101);
        let answered = response.headers().get("sec-websocket-protocol");
        assert_eq!(answered.map_or("", |p| p.to_str().unwrap()), protocol);
        assert_eq!(response.headers()["content-type"], "application/json");
        for known in std::iter::once("before".to_owned()).chain((0..i).map(|i| format!("live-{i}")))
        {
            assert_eq!(event(&mut socket).await, ("ADDED".into(), known), "{protocol}");
        }
        let name = format!("live-{i}");
        make(&api, &name).await;
        assert_eq!(event(&mut socket).await, ("ADDED".into(), name), "{protocol}");
        // Client messages are ignored, but pings are answered.
        socket.send(Message::text("nothing")).await.unwrap();
        socket.send(Message::Ping("alive".into())).await.unwrap();
        assert_eq!(message(&mut socket).await, Message::Pong("alive".into()));
        socket.close(None).await.unwrap();
        assert!(matches!(message(&mut socket).await, Message::Close(_)), "{protocol}");
    }
}

#[tokio::test]
async fn protobuf_comes_in_binary_messages() {
    let api = Api::start().await;
    make(&api, "a").await;
    make(&api, "b").await;
    let accept = [("accept", "application/vnd.kubernetes.protobuf;stream=watch")];
    let (mut socket, response) = watch(&api, "", &accept).await.unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "application/vnd.kubernetes.protobuf;stream=watch"
    );
    for name in ["a", "b"] {
        let Message::Binary(bytes) = message(&mut socket).await else { panic!("no binary") };
        let event = String::from_utf8_lossy(&bytes).into_owned();
        assert!(event.contains("ADDED") && event.contains(name), "{event}");
    }
}

#[tokio::test]
async fn a_watch_over_a_socket_ends_with_a_close() {
    let api = Api::start().await;
    let (mut socket, _) = watch(&api, "timeoutSeconds=1", &[]).await.unwrap();
    let Message::Close(Some(frame)) = message(&mut socket).await else { panic!("no close") };
    assert_eq!(u16::from(frame.code), 1000);
}

#[tokio::test]
async fn handshakes_that_are_none_are_refused() {
    let api = Api::start().await;
    let refused = |outcome: Result<_, Error>| match outcome.map(drop) {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    };
    let two = [("sec-websocket-protocol", "base64.binary.k8s.io, binary.k8s.io")];
    assert_eq!(refused(watch(&api, "", &two).await), 400);
    assert_eq!(refused(watch(&api, "labelSelector=a+in+(", &[]).await), 400);
    let with_key = |version: Option<&str>| {
        let ask = api.ask(http::Method::GET, &format!("{MAPS}?watch=1"));
        let ask = ask
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "WebSocket")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        match version {
            Some(version) => ask.header("sec-websocket-version", version),
            None => ask,
        }
        .send()
    };
    with_key(Some("8")).await.fails(400);
    with_key(None).await.fails(400);
}
