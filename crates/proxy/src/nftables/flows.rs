//! Connections that began before a change: where they must not go on as they did.

use std::collections::HashSet;
use std::net::SocketAddr;

use network::nft::{Batch, Data, Element};
use network::{conntrack, netns};

use super::{Nftables, family, plan};
use crate::backend::Change;
use crate::model::{PortRules, Protocol};

impl Nftables {
    /// Clients that stick to an endpoint which has gone choose anew.
    pub(super) fn release_clients(&mut self, change: &Change) -> network::Result<()> {
        let (Some(old), Some(new)) = (&change.old, &change.new) else { return Ok(()) };
        if new.affinity.is_none() || old.affinity.is_none() {
            return Ok(());
        }
        for (set, before, after) in [
            (plan::affinity_name(&new.id, false), &old.endpoints, &new.endpoints),
            (plan::affinity_name(&new.id, true), &old.local_endpoints, &new.local_endpoints),
        ] {
            let gone: HashSet<Vec<u8>> = before
                .iter()
                .filter(|endpoint| !after.contains(endpoint))
                .map(|endpoint| plan::target(*endpoint))
                .collect();
            if gone.is_empty() || after.is_empty() {
                continue;
            }
            let family = family(new.id.ipv6);
            let stuck = match self.socket.elements(family, &self.table, &set) {
                // Only a port with a policy has a set of clients of its local endpoints.
                Err(error) if error.is_not_found() => continue,
                result => result?,
            };
            let stuck: Vec<_> = stuck
                .into_iter()
                .filter(|(_, target)| gone.contains(target))
                .map(|(key, _)| Element { key, data: Data::None })
                .collect();
            let mut batch = Batch::new(family, &self.table);
            batch.delete_elements(&set, &stuck);
            match self.socket.commit(batch) {
                // Some expired meanwhile; those that did not go with their next expiry.
                Err(error) if error.is_not_found() => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// A UDP flow goes on for ever to where its first packet went: forget those to endpoints that
    /// have gone, and those that were let through before the service had an endpoint.
    pub(super) fn forget_flows(&self, changes: &[Change]) -> network::Result<()> {
        for ipv6 in [false, true] {
            let mut gone: HashSet<SocketAddr> = HashSet::new();
            let mut revived: HashSet<SocketAddr> = HashSet::new();
            for change in changes {
                let (old, new) = (change.old.as_deref(), change.new.as_deref());
                let Some(any) = old.or(new) else { continue };
                if any.id.protocol != Protocol::Udp || any.id.ipv6 != ipv6 {
                    continue;
                }
                // One that terminates may serve on for the traffic that must stay here alone.
                let (before, after) = (reached(old), reached(new));
                let left = |endpoint: &&SocketAddr| !after.iter().any(|l| l.contains(endpoint));
                gone.extend(before.into_iter().flatten().filter(left));
                let found = before.iter().zip(&after).any(|(b, a)| b.is_empty() && !a.is_empty());
                if let (true, Some(new)) = (found, new) {
                    let ips = [&new.cluster_ips, &new.external_ips, &new.load_balancer_ips];
                    let ips = ips.into_iter().flatten();
                    revived.extend(ips.map(|ip| SocketAddr::new(*ip, new.port)));
                }
            }
            if gone.is_empty() && revived.is_empty() {
                continue;
            }
            netns::run_in(self.netns.as_deref(), || {
                conntrack::forget_udp(ipv6, |flow| {
                    let responder = SocketAddr::new(flow.responder, flow.responder_port);
                    let destination = SocketAddr::new(flow.destination, flow.destination_port);
                    (gone.contains(&responder) && responder != destination)
                        || revived.contains(&destination) && responder == destination
                })
            })?;
        }
        Ok(())
    }
}

/// The endpoints of a port: those of traffic that may go anywhere, and of what must stay here.
fn reached(rules: Option<&PortRules>) -> [&[SocketAddr]; 2] {
    rules.map_or([&[], &[]], |rules| [&rules.endpoints, &rules.local_endpoints])
}
