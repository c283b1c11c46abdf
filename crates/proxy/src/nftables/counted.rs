//! A set of addresses that several service ports share: an address is in it while one needs it.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use network::nft::{Batch, Element};

/// A set of the table and how many service ports need each address of it.
pub(super) struct Counted {
    set: &'static str,
    element: fn(IpAddr) -> Element,
    users: HashMap<IpAddr, usize>,
}

impl Counted {
    pub(super) fn new(set: &'static str, element: fn(IpAddr) -> Element) -> Self {
        Self { set, element, users: HashMap::new() }
    }

    /// Forgets all, as when the table is made anew.
    pub(super) fn clear(&mut self) {
        self.users.clear();
    }

    /// Writes what follows for the set when a port needs `after` where it needed `before`.
    pub(super) fn change(
        &mut self,
        batch: &mut Batch,
        before: &HashSet<IpAddr>,
        after: &HashSet<IpAddr>,
    ) {
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for address in after.difference(before) {
            let users = self.users.entry(*address).or_default();
            *users += 1;
            if *users == 1 {
                added.push((self.element)(*address));
            }
        }
        for address in before.difference(after) {
            if let Some(users) = self.users.get_mut(address) {
                *users -= 1;
                if *users == 0 {
                    self.users.remove(address);
                    removed.push((self.element)(*address));
                }
            }
        }
        batch.delete_elements(self.set, &removed);
        batch.add_elements(self.set, &added);
    }
}
