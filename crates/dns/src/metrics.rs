//! Metrics of the server's queries, under CoreDNS's names.

use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use telemetry::metrics::{Counter, Desc, Family, Histogram, Registry, buckets};

/// The value of the label `server`.
const SERVER: &str = "dns://:53";

/// All metrics of the server.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Family<Counter, 6>,
    responses: Family<Counter, 5>,
    durations: Family<Histogram, 3>,
    request_sizes: Family<Histogram, 4>,
    response_sizes: Family<Histogram, 4>,
    forwarded: Counter,
    zone: String,
}

/// A question, and how it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) request: &'a Message,
    /// `udp` or `tcp`.
    pub(crate) transport: &'static str,
    pub(crate) bytes: usize,
}

/// A record type's name in a bounded number of labels, as CoreDNS bounds them.
fn kind(of: Option<RecordType>) -> &'static str {
    match of {
        Some(RecordType::A) => "A",
        Some(RecordType::AAAA) => "AAAA",
        Some(RecordType::CNAME) => "CNAME",
        Some(RecordType::MX) => "MX",
        Some(RecordType::NS) => "NS",
        Some(RecordType::PTR) => "PTR",
        Some(RecordType::SOA) => "SOA",
        Some(RecordType::SRV) => "SRV",
        Some(RecordType::TXT) => "TXT",
        _ => "other",
    }
}

fn code(of: ResponseCode) -> &'static str {
    match of {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        _ => "other",
    }
}

impl Metrics {
    /// Adds them to a registry; `domain` is that of the cluster.
    pub(crate) fn new(registry: &Registry, domain: &str) -> Self {
        let sizes = [
            0.0, 100.0, 200.0, 300.0, 400.0, 511.0, 1023.0, 2047.0, 4095.0, 8291.0, 16e3, 32e3,
            48e3, 64e3,
        ];
        let sized = ["server", "zone", "view", "proto"];
        Self {
            requests: registry.counters(
                Desc::foreign(
                    "coredns_dns_requests_total",
                    "Counter of DNS requests made per zone, protocol and family.",
                ),
                ["server", "zone", "view", "proto", "family", "type"],
            ),
            responses: registry.counters(
                Desc::foreign("coredns_dns_responses_total", "Counter of response status codes."),
                ["server", "zone", "view", "rcode", "plugin"],
            ),
            durations: registry.histograms(
                Desc::foreign(
                    "coredns_dns_request_duration_seconds",
                    "Histogram of the time (in seconds) each request took per zone.",
                ),
                ["server", "zone", "view"],
                &buckets::exponential(0.00025, 2.0, 16),
            ),
            request_sizes: registry.histograms(
                Desc::foreign(
                    "coredns_dns_request_size_bytes",
                    "Size of the EDNS0 UDP buffer in bytes (64K for TCP) per zone and protocol.",
                ),
                sized,
                &sizes,
            ),
            response_sizes: registry.histograms(
                Desc::foreign(
                    "coredns_dns_response_size_bytes",
                    "Size of the returned response in bytes.",
                ),
                sized,
                &sizes,
            ),
            forwarded: registry.counter(Desc::foreign(
                "coredns_forward_requests_total",
                "Counter of requests made per upstream.",
            )),
            zone: format!("{}.", domain.trim_end_matches('.')),
        }
    }

    /// A question was sent on to upstream servers.
    pub(crate) fn forwarded(&self) {
        self.forwarded.inc();
    }

    /// A question was answered.
    pub(crate) fn answered(
        &self,
        asked: Asked<'_>,
        answer: &Message,
        bytes: usize,
        took: Duration,
    ) {
        let own = answer.metadata.authoritative;
        let (zone, plugin) = if own { (&*self.zone, "kubernetes") } else { (".", "forward") };
        let query = asked.request.queries.first();
        let kind = kind(query.map(|query| query.query_type()));
        let transport = asked.transport;
        self.requests.with([SERVER, zone, "", transport, "1", kind]).inc();
        let code = code(answer.metadata.response_code);
        self.responses.with([SERVER, zone, "", code, plugin]).inc();
        self.durations.with([SERVER, zone, ""]).observe(took.as_secs_f64());
        let sized = [SERVER, zone, "", transport];
        self.request_sizes.with(sized).observe(asked.bytes as f64);
        self.response_sizes.with(sized).observe(bytes as f64);
    }
}
