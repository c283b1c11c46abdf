//! Asking upstream servers for what is not the cluster's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, Query};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::cache::Cache;

/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The upstream servers, asked in order.
#[derive(Debug)]
pub(crate) struct Forwarder {
    servers: Vec<SocketAddr>,
    cache: Cache,
}

impl Forwarder {
    /// Servers of a `resolv.conf`, without those that are ourselves. A missing file means none.
    pub(crate) fn open(resolv_conf: &Path, own: &[SocketAddr]) -> Self {
        let text = std::fs::read_to_string(resolv_conf).unwrap_or_default();
        let servers = name_servers(&text).filter(|server| !own.contains(server)).collect();
        Self { servers, cache: Cache::default() }
    }

    #[cfg(test)]
    pub(crate) fn to(servers: Vec<SocketAddr>) -> Self {
        Self { servers, cache: Cache::default() }
    }

    /// The answer to a question, from memory or from the first server that gives one; `None`
    /// where none does.
    pub(crate) async fn ask(&self, query: &Query, dnssec: bool) -> Option<Message> {
        let question = (query.name().to_lowercase(), query.query_type(), dnssec);
        if let Some(answer) = self.cache.get(&question) {
            return Some(answer);
        }
        for server in &self.servers {
            match tokio::time::timeout(PATIENCE, exchange(*server, query, dnssec)).await {
                Ok(Ok(answer)) => {
                    self.cache.put(question, &answer);
                    return Some(answer);
                }
                Ok(Err(error)) => tracing::debug!(%server, %error, "upstream does not answer"),
                Err(_) => tracing::debug!(%server, "upstream does not answer in time"),
            }
        }
        None
    }
}

fn name_servers(text: &str) -> impl Iterator<Item = SocketAddr> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        if words.next() != Some("nameserver") {
            return None;
        }
        // A zone (fe80::1%eth0) has no meaning for a pod.
        let address: IpAddr = words.next()?.parse().ok()?;
        Some(SocketAddr::new(address, 53))
    })
}

async fn exchange(server: SocketAddr, query: &Query, dnssec: bool) -> io::Result<Message> {
    // A fresh socket per question: its random port makes forged answers hard to place.
    let local: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((local, 0)).await?;
    socket.connect(server).await?;
    let mut request = Message::query();
    request.metadata.recursion_desired = true;
    request.add_query(query.clone());
    let mut edns = hickory_proto::op::Edns::new();
    edns.set_max_payload(1232).set_dnssec_ok(dnssec);
    request.set_edns(edns);
    let bytes = request.to_vec().map_err(io::Error::other)?;
    socket.send(&bytes).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let Ok(answer) = Message::from_vec(&buffer[..length]) else { continue };
        if !answers(&answer, &request) {
            continue;
        }
        return if answer.metadata.truncation {
            by_tcp(server, &request, &bytes).await
        } else {
            Ok(answer)
        };
    }
}

async fn by_tcp(server: SocketAddr, request: &Message, bytes: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_u16(bytes.len() as u16).await?;
    stream.write_all(bytes).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; length.into()];
    stream.read_exact(&mut buffer).await?;
    let answer = Message::from_vec(&buffer).map_err(io::Error::other)?;
    if answers(&answer, request) { Ok(answer) } else { Err(io::Error::other("not our answer")) }
}

fn answers(answer: &Message, request: &Message) -> bool {
    answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == request.metadata.id
        && answer.queries == request.queries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_is_read() {
        let text =
            "# x\nnameserver 192.0.2.1\nsearch a b\nnameserver 2001:db8::1\nnameserver bad\n";
        let found: Vec<_> = name_servers(text).map(|server| server.to_string()).collect();
        assert_eq!(found, ["192.0.2.1:53", "[2001:db8::1]:53"]);
    }
}
