//! The cluster's own zone: which records a name has. Answers come from memory alone.

mod names;

use std::net::IpAddr;

use client::ObjectKey;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::catalog::{Catalog, EndpointEntry, Port, ServiceEntry, ServiceKind};
use names::{Place, parse};

/// Seconds a client may keep an answer.
pub(crate) const TTL: u32 = 5;
/// The version of the specification that the `dns-version` record announces.
const VERSION: &str = "1.1.0";

/// The answer to a question.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) code: Code,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
    /// A name outside the zone whose addresses complete the answer.
    pub(crate) chase: Option<Name>,
}

/// Outcome of a lookup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Code {
    /// The name exists.
    #[default]
    Found,
    /// It does not.
    NoSuchName,
}

impl From<Code> for ResponseCode {
    fn from(code: Code) -> Self {
        match code {
            Code::Found => Self::NoError,
            Code::NoSuchName => Self::NXDomain,
        }
    }
}

/// The zone of a cluster domain.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    origin: Name,
}

impl Zone {
    /// The zone of `domain`, such as `cluster.local`.
    pub(crate) fn new(domain: &str) -> Result<Self, hickory_proto::ProtoError> {
        let mut origin = Name::from_ascii(domain)?.to_lowercase();
        origin.set_fqdn(true);
        Ok(Self { origin })
    }

    /// Answers a question where it is the cluster's to answer; `None` leaves it to others.
    pub(crate) fn answer(
        &self,
        catalog: &Catalog,
        name: &Name,
        kind: RecordType,
    ) -> Option<Answer> {
        if self.origin.zone_of(name) {
            return Some(self.own(catalog, name, kind));
        }
        let address = reverse(name)?;
        let targets = self.reverse_targets(catalog, address);
        if targets.is_empty() {
            return None;
        }
        let wanted = matches!(kind, RecordType::PTR | RecordType::ANY);
        let records = targets.into_iter().map(|target| record(name, RData::PTR(PTR(target))));
        let answers = if wanted { records.collect() } else { Vec::new() };
        Some(Answer { answers, ..Answer::default() })
    }

    fn own(&self, catalog: &Catalog, name: &Name, kind: RecordType) -> Answer {
        let labels: Vec<String> = name
            .iter()
            .take(usize::from(name.num_labels() - self.origin.num_labels()))
            .map(|label| String::from_utf8_lossy(label).to_ascii_lowercase())
            .collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let mut answer = match parse(&labels) {
            Place::Apex => self.apex(name, kind),
            Place::NameServer => self.name_server(catalog, name, kind),
            Place::Version => {
                let text = RData::TXT(TXT::new(vec![VERSION.to_owned()]));
                Answer { answers: one(kind, RecordType::TXT, name, text), ..Answer::default() }
            }
            Place::Branch => Answer::default(),
            Place::Namespace(namespace) if catalog.has_namespace(namespace) => Answer::default(),
            Place::Pod { namespace, address } if catalog.has_namespace(namespace) => {
                Answer { answers: addresses(kind, name, [address]), ..Answer::default() }
            }
            Place::Service { namespace, service } => {
                self.service(catalog, name, kind, &ObjectKey::new(namespace, service))
            }
            Place::Port { namespace, service, port, protocol } => {
                let key = ObjectKey::new(namespace, service);
                self.port(catalog, name, kind, &key, Some((port, protocol)))
            }
            Place::Endpoint { namespace, service, hostname } => {
                let key = ObjectKey::new(namespace, service);
                let found = catalog.endpoints(&key);
                let found = found.iter().filter(|endpoint| endpoint.hostname == hostname);
                let ips: Vec<_> = found.map(|endpoint| endpoint.address).collect();
                existing(!ips.is_empty(), addresses(kind, name, ips))
            }
            Place::Namespace(_) | Place::Pod { .. } | Place::Nowhere => existing(false, Vec::new()),
        };
        if answer.answers.is_empty() {
            answer.authorities.push(record(&self.origin, self.soa()));
        }
        answer
    }

    fn apex(&self, name: &Name, kind: RecordType) -> Answer {
        let mut answers = one(kind, RecordType::SOA, name, self.soa());
        answers.extend(one(kind, RecordType::NS, name, RData::NS(NS(self.below("ns.dns")))));
        Answer { answers, ..Answer::default() }
    }

    /// `ns.dns` is wherever the cluster's DNS service is.
    fn name_server(&self, catalog: &Catalog, name: &Name, kind: RecordType) -> Answer {
        let service = catalog.service(&ObjectKey::new("kube-system", "kube-dns"));
        let answers = match service.map(|service| &service.kind) {
            Some(ServiceKind::Cluster(ips)) => addresses(kind, name, ips.iter().copied()),
            _ => Vec::new(),
        };
        Answer { answers, ..Answer::default() }
    }

    fn service(&self, catalog: &Catalog, name: &Name, kind: RecordType, key: &ObjectKey) -> Answer {
        let Some(service) = catalog.service(key) else { return existing(false, Vec::new()) };
        match &service.kind {
            ServiceKind::External(target) => external(name, target, &self.origin),
            _ if kind == RecordType::SRV => self.port(catalog, name, kind, key, None),
            ServiceKind::Cluster(ips) => existing(true, addresses(kind, name, ips.iter().copied())),
            ServiceKind::Headless => {
                let found = catalog.endpoints(key);
                let ips = found.iter().map(|endpoint| endpoint.address);
                existing(!found.is_empty(), addresses(kind, name, ips))
            }
        }
    }

    /// SRV records of one port (name, protocol), or of all.
    fn port(
        &self,
        catalog: &Catalog,
        name: &Name,
        kind: RecordType,
        key: &ObjectKey,
        wanted: Option<(&str, &str)>,
    ) -> Answer {
        let Some(service) = catalog.service(key) else { return existing(false, Vec::new()) };
        let fits = |port: &&Port| {
            wanted.is_none_or(|(name, protocol)| port.name == name && port.protocol == protocol)
        };
        let host = self.below(&format!("{}.{}.svc", key.name, key.namespace));
        let targets: Vec<(u16, Name, Vec<IpAddr>)> = match service {
            ServiceEntry { kind: ServiceKind::External(_), .. } => Vec::new(),
            ServiceEntry { kind: ServiceKind::Cluster(ips), ports } => ports
                .iter()
                .filter(fits)
                .map(|port| (port.port, host.clone(), ips.clone()))
                .collect(),
            ServiceEntry { kind: ServiceKind::Headless, .. } => {
                let found = catalog.endpoints(key);
                let target = |endpoint: &EndpointEntry, port: &Port| {
                    let host = host.prepend_label(endpoint.hostname.as_bytes()).ok()?;
                    Some((port.port, host, vec![endpoint.address]))
                };
                found
                    .iter()
                    .flat_map(|endpoint| {
                        let ports = endpoint.ports.iter().filter(fits);
                        ports.filter_map(|port| target(endpoint, port)).collect::<Vec<_>>()
                    })
                    .collect()
            }
        };
        let mut answer = existing(!targets.is_empty(), Vec::new());
        if !matches!(kind, RecordType::SRV | RecordType::ANY) {
            return answer;
        }
        let weight = (100 / targets.len().max(1)).max(1) as u16;
        for (port, host, ips) in targets {
            let data = RData::SRV(SRV::new(0, weight, port, host.clone()));
            answer.answers.push(record(name, data));
            for ip in ips {
                let extra = record(&host, ip.into());
                if !answer.additionals.contains(&extra) {
                    answer.additionals.push(extra);
                }
            }
        }
        answer
    }

    fn reverse_targets(&self, catalog: &Catalog, address: IpAddr) -> Vec<Name> {
        if let Some(key) = catalog.by_cluster_ip(address) {
            return vec![self.below(&format!("{}.{}.svc", key.name, key.namespace))];
        }
        catalog
            .by_endpoint_ip(address)
            .into_iter()
            .map(|(key, host)| self.below(&format!("{host}.{}.{}.svc", key.name, key.namespace)))
            .collect()
    }

    fn below(&self, labels: &str) -> Name {
        let labels: Vec<_> =
            labels.split('.').map(str::as_bytes).chain(self.origin.iter()).collect();
        Name::from_labels(labels).unwrap_or_else(|_| self.origin.clone())
    }

    fn soa(&self) -> RData {
        let (master, mailbox) = (self.below("ns.dns"), self.below("hostmaster"));
        RData::SOA(SOA::new(master, mailbox, 1, 7200, 1800, 86_400, TTL))
    }
}

fn existing(exists: bool, answers: Vec<Record>) -> Answer {
    let code = if exists { Code::Found } else { Code::NoSuchName };
    Answer { code, answers, ..Answer::default() }
}

/// Another name; one outside the zone is left to be resolved.
fn external(name: &Name, target: &str, origin: &Name) -> Answer {
    let Ok(mut target) = Name::from_utf8(target) else { return existing(true, Vec::new()) };
    target.set_fqdn(true);
    let chase = (!origin.zone_of(&target)).then(|| target.clone());
    let answers = vec![record(name, RData::CNAME(CNAME(target)))];
    Answer { answers, chase, ..Answer::default() }
}

fn record(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), TTL, data)
}

fn one(asked: RecordType, kind: RecordType, name: &Name, data: RData) -> Vec<Record> {
    if asked == kind || asked == RecordType::ANY { vec![record(name, data)] } else { Vec::new() }
}

fn addresses(kind: RecordType, name: &Name, ips: impl IntoIterator<Item = IpAddr>) -> Vec<Record> {
    ips.into_iter()
        .filter(|ip| match kind {
            RecordType::A => ip.is_ipv4(),
            RecordType::AAAA => ip.is_ipv6(),
            RecordType::ANY => true,
            _ => false,
        })
        .map(|ip| record(name, ip.into()))
        .collect()
}

/// The address of a complete reverse name.
fn reverse(name: &Name) -> Option<IpAddr> {
    let net = name.parse_arpa_name().ok()?;
    (net.prefix_len() == net.max_prefix_len()).then(|| net.addr())
}

#[cfg(test)]
mod tests;
