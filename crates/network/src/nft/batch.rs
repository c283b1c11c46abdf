//! Transactions: all of it or nothing.

use super::consts::*;
use super::rule::Rule;
use super::set::{Element, SetSpec};
use super::{ChainType, Family, Hook};
use crate::netlink::Message;

const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
const CREATE: u16 = REQUEST | libc::NLM_F_CREATE as u16;
const APPEND: u16 = CREATE | libc::NLM_F_APPEND as u16;

/// Elements per message: an attribute holds 64 KiB at most.
const ELEMENTS_PER_MESSAGE: usize = 256;

/// Changes to tables of one name, applied together by [`super::NftSocket::commit`].
#[derive(Debug, Clone)]
pub struct Batch {
    family: Family,
    table: String,
    bytes: usize,
    pub(super) messages: Vec<(String, Message)>,
}

impl Batch {
    /// An empty transaction on a table.
    #[must_use]
    pub fn new(family: Family, table: &str) -> Self {
        Self { family, table: table.to_owned(), bytes: 0, messages: Vec::new() }
    }

    /// Goes on with the table of the same name in another family, in the same transaction.
    pub fn set_family(&mut self, family: Family) {
        self.family = family;
    }

    /// Returns true if the batch would change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Bytes of all messages.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes
    }

    fn push(
        &mut self,
        what: String,
        message: u16,
        flags: u16,
        build: impl FnOnce(Message) -> Message,
    ) {
        // The table's name is attribute 1 of every object.
        let start = Message::new(kind(message), flags)
            .raw(&header(self.family.number(), 0))
            .str(1, &self.table);
        let message = build(start);
        self.bytes += message.len();
        self.messages.push((what, message));
    }

    /// Makes the table; one that exists stays.
    pub fn add_table(&mut self) {
        self.push(format!("add table {}", self.table), NEWTABLE, CREATE, |m| m);
    }

    /// Removes the table and all in it, whether it exists or not.
    pub fn delete_table(&mut self) {
        self.add_table();
        self.push(format!("delete table {}", self.table), DELTABLE, REQUEST, |m| m);
    }

    /// Makes a chain to jump to; one that exists stays.
    pub fn add_chain(&mut self, chain: &str) {
        self.push(format!("add chain {chain}"), NEWCHAIN, CREATE, |m| m.str(CHAIN_NAME, chain));
    }

    /// Makes a chain that packets enter at a hook.
    pub fn add_base_chain(&mut self, chain: &str, kind: ChainType, hook: Hook, priority: i32) {
        let name = match kind {
            ChainType::Filter => "filter",
            ChainType::Nat => "nat",
            ChainType::Route => "route",
        };
        self.push(format!("add base chain {chain}"), NEWCHAIN, CREATE, |m| {
            m.str(CHAIN_NAME, chain)
                .nest(4, |m| m.be32(1, hook as u32).be32(2, priority as u32))
                .str(7, name)
        });
    }

    /// Removes a chain's rules.
    pub fn flush_chain(&mut self, chain: &str) {
        self.push(format!("flush chain {chain}"), DELRULE, REQUEST, |m| m.str(2, chain));
    }

    /// Removes a chain, which nothing may jump to any more.
    pub fn delete_chain(&mut self, chain: &str) {
        self.push(format!("delete chain {chain}"), DELCHAIN, REQUEST, |m| m.str(CHAIN_NAME, chain));
    }

    /// Appends a rule.
    pub fn add_rule(&mut self, chain: &str, rule: &Rule) {
        self.push(format!("add rule to {chain}"), NEWRULE, APPEND, |m| {
            m.str(2, chain).nest(4, |m| m.append(rule.fragment()))
        });
    }

    /// Makes a set or map; one that exists stays.
    pub fn add_set(&mut self, spec: &SetSpec<'_>) {
        // Sets of one transaction are told apart by number.
        let id = self.messages.len() as u32 + 1;
        self.push(format!("add set {}", spec.name), NEWSET, CREATE, |m| spec.write(m, id));
    }

    /// Removes a set.
    pub fn delete_set(&mut self, set: &str) {
        self.push(format!("delete set {set}"), DELSET, REQUEST, |m| m.str(2, set));
    }

    /// Adds elements. An element that exists with other data is an error: delete it first.
    pub fn add_elements(&mut self, set: &str, elements: &[Element]) {
        self.elements(set, NEWSETELEM, CREATE, elements);
    }

    /// Removes elements that exist.
    pub fn delete_elements(&mut self, set: &str, elements: &[Element]) {
        self.elements(set, DELSETELEM, REQUEST, elements);
    }

    /// Removes every element of a set.
    pub fn flush_set(&mut self, set: &str) {
        self.push(format!("flush set {set}"), DELSETELEM, REQUEST, |m| {
            m.str(SET_ELEM_LIST_SET, set)
        });
    }

    fn elements(&mut self, set: &str, message: u16, flags: u16, elements: &[Element]) {
        for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
            self.push(format!("change elements of {set}"), message, flags, |m| {
                m.str(SET_ELEM_LIST_SET, set).nest(SET_ELEM_LIST_ELEMENTS, |m| {
                    chunk.iter().fold(m, |m, element| {
                        m.nest(LIST_ELEM, |m| element.write(m, message == DELSETELEM))
                    })
                })
            });
        }
    }
}
