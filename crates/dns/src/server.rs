//! Questions over UDP and TCP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};
use parking_lot::RwLock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use crate::catalog::Catalog;
use crate::forward::Forwarder;
use crate::metrics::{Asked, Metrics};
use crate::zone::{Answer, Zone};

/// Without EDNS an answer over UDP has at most this many bytes.
const PLAIN_PAYLOAD: u16 = 512;
/// Larger answers would be fragmented on the way.
const MAX_PAYLOAD: u16 = 1232;
/// Questions that wait for upstream servers; more are refused.
const MAX_FORWARDED: usize = 1000;
/// How long a TCP client may stay silent.
const IDLE: Duration = Duration::from_secs(10);
/// TCP clients served at once.
const MAX_STREAMS: usize = 512;

/// Everything an answer is made from.
pub(crate) struct Server {
    pub(crate) zone: Zone,
    pub(crate) catalog: RwLock<Catalog>,
    pub(crate) forwarder: Forwarder,
    metrics: Metrics,
    forwarded: Semaphore,
    streams: Semaphore,
}

/// A question that was understood, and what is known of its answer so far.
enum Step {
    /// Complete.
    Done(Message),
    /// Upstream servers must be asked.
    Forward(Message, Query),
}

impl Server {
    pub(crate) fn new(zone: Zone, forwarder: Forwarder, metrics: Metrics) -> Self {
        Self {
            zone,
            catalog: RwLock::default(),
            forwarder,
            metrics,
            forwarded: Semaphore::new(MAX_FORWARDED),
            streams: Semaphore::new(MAX_STREAMS),
        }
    }

    /// Serves one UDP socket until it is dropped.
    pub(crate) async fn serve_udp(self: Arc<Self>, socket: Arc<UdpSocket>) -> io::Result<()> {
        let mut buffer = vec![0; 4096];
        loop {
            let (length, peer) = match socket.recv_from(&mut buffer).await {
                // An earlier answer could not be delivered: nothing to do with this socket.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                result => result?,
            };
            let Ok(request) = Message::from_vec(&buffer[..length]) else { continue };
            let (limit, begun) = (payload(&request), Instant::now());
            match self.begin(&request) {
                None => {}
                Some(Step::Done(answer)) => {
                    let sent = send(&socket, peer, &answer, limit).await;
                    let asked = Asked { request: &request, transport: "udp", bytes: length };
                    self.metrics.answered(asked, &answer, sent, begun.elapsed());
                }
                Some(Step::Forward(answer, query)) => {
                    let (server, socket) = (Arc::clone(&self), Arc::clone(&socket));
                    telemetry::task::spawn("dns-tcp", async move {
                        let answer = server.complete(answer, query).await;
                        let sent = send(&socket, peer, &answer, limit).await;
                        let asked = Asked { request: &request, transport: "udp", bytes: length };
                        server.metrics.answered(asked, &answer, sent, begun.elapsed());
                    });
                }
            }
        }
    }

    /// Serves one TCP listener until it is dropped.
    pub(crate) async fn serve_tcp(self: Arc<Self>, listener: TcpListener) -> io::Result<()> {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let server = Arc::clone(&self);
            telemetry::task::spawn("dns-query", async move {
                let Ok(_place) = server.streams.try_acquire() else { return Ok(()) };
                server.serve_stream(stream).await
            });
        }
    }

    async fn serve_stream(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let length = tokio::time::timeout(IDLE, stream.read_u16()).await??;
            let mut buffer = vec![0; length.into()];
            tokio::time::timeout(IDLE, stream.read_exact(&mut buffer)).await??;
            let request = Message::from_vec(&buffer).map_err(io::Error::other)?;
            let begun = Instant::now();
            let answer = match self.begin(&request) {
                None => return Ok(()),
                Some(Step::Done(answer)) => answer,
                Some(Step::Forward(answer, query)) => self.complete(answer, query).await,
            };
            let bytes = answer.to_vec().map_err(io::Error::other)?;
            stream.write_u16(bytes.len() as u16).await?;
            stream.write_all(&bytes).await?;
            let asked = Asked { request: &request, transport: "tcp", bytes: length.into() };
            self.metrics.answered(asked, &answer, bytes.len(), begun.elapsed());
        }
    }

    /// Answers from memory as far as that goes; `None` for what deserves no answer.
    fn begin(&self, request: &Message) -> Option<Step> {
        if request.metadata.message_type != MessageType::Query {
            return None;
        }
        let mut answer = Message::new(0, MessageType::Response, OpCode::Query);
        answer.metadata = Metadata::response_from_request(&request.metadata);
        answer.metadata.recursion_available = true;
        answer.add_queries(request.queries.iter().cloned());
        if let Some(asked) = &request.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(MAX_PAYLOAD).set_dnssec_ok(asked.flags().dnssec_ok);
            answer.set_edns(edns);
        }
        let refuse = |mut answer: Message, code| {
            answer.metadata.response_code = code;
            Some(Step::Done(answer))
        };
        if request.metadata.op_code != OpCode::Query {
            return refuse(answer, ResponseCode::NotImp);
        }
        let [query] = &*request.queries else { return refuse(answer, ResponseCode::FormErr) };
        if query.query_class() != DNSClass::IN
            || matches!(query.query_type(), RecordType::AXFR | RecordType::IXFR)
        {
            return refuse(answer, ResponseCode::Refused);
        }
        let known = self.zone.answer(&self.catalog.read(), query.name(), query.query_type());
        let Some(known) = known else {
            let query = query.clone();
            return Some(Step::Forward(answer, query));
        };
        let chase = known
            .chase
            .clone()
            .filter(|_| matches!(query.query_type(), RecordType::A | RecordType::AAAA));
        self.fill(&mut answer, known);
        Some(match chase {
            Some(target) => Step::Forward(answer, Query::query(target, query.query_type())),
            None => Step::Done(answer),
        })
    }

    fn fill(&self, answer: &mut Message, mut known: Answer) {
        // Clients take the first address: each should get another one.
        if known.answers.len() > 1 {
            use std::hash::BuildHasher;
            let random = std::hash::RandomState::new().hash_one(answer.metadata.id) as usize;
            let middle = random % known.answers.len();
            known.answers.rotate_left(middle);
        }
        answer.metadata.authoritative = true;
        answer.metadata.response_code = known.code.into();
        answer.add_answers(known.answers);
        answer.add_authorities(known.authorities);
        answer.add_additionals(known.additionals);
    }

    /// Adds what upstream servers say about `query`.
    async fn complete(&self, mut answer: Message, query: Query) -> Message {
        let Ok(_place) = self.forwarded.try_acquire() else {
            answer.metadata.response_code = ResponseCode::Refused;
            return answer;
        };
        self.metrics.forwarded();
        let dnssec = answer.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
        match self.forwarder.ask(&query, dnssec).await {
            Some(known) => {
                answer.metadata.response_code = known.metadata.response_code;
                answer.metadata.authentic_data = known.metadata.authentic_data;
                answer.add_answers(known.answers);
                answer.add_authorities(known.authorities);
                answer.add_additionals(known.additionals);
            }
            None => answer.metadata.response_code = ResponseCode::ServFail,
        }
        answer
    }
}

/// The largest answer the client takes over UDP.
fn payload(request: &Message) -> u16 {
    let asked = request.edns.as_ref().map_or(PLAIN_PAYLOAD, Edns::max_payload);
    asked.clamp(PLAIN_PAYLOAD, MAX_PAYLOAD)
}

/// Sends an answer, of which as many bytes go out as this says; one that is too large goes out empty,
/// and the client asks again by TCP.
async fn send(socket: &UdpSocket, peer: SocketAddr, answer: &Message, limit: u16) -> usize {
    let fits = |bytes: &Vec<u8>| bytes.len() <= usize::from(limit);
    let bytes = answer.to_vec().ok().filter(fits).or_else(|| answer.truncate().to_vec().ok());
    let Some(bytes) = bytes else { return 0 };
    // The client may be gone; it will not ask why.
    socket.send_to(&bytes, peer).await.ok();
    bytes.len()
}

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;
