//! `anyOf`, `oneOf`, `allOf` and `not`.

use super::check::plain;
use super::node::Node;
use super::outcome::{Outcome, Taken};
use super::place::Place;
use serde_json::Value;

/// Checks the schemas that a schema is composed of.
pub(super) fn compose(node: &Node, value: &Value, at: &Place<'_>, out: &mut Outcome) {
    out.matches += 2;
    if !node.any_of.is_empty() {
        any_of(&node.any_of, value, at, out);
    }
    if !node.one_of.is_empty() {
        one_of(&node.one_of, value, at, out);
    }
    if !node.all_of.is_empty() {
        all_of(&node.all_of, value, at, out);
    }
    if let Some(not) = &node.not
        && attempt(not, value, at, out).is_ok()
    {
        out.composite(at, "must not validate the schema (not)");
    }
}

/// Checks an alternative by itself.
fn attempt(node: &Node, value: &Value, at: &Place<'_>, out: &mut Outcome) -> Result<Taken, Taken> {
    let mark = out.mark();
    plain(node, value, at, out);
    let failed = out.failed_since(mark);
    let taken = out.take(mark);
    if failed { Err(taken) } else { Ok(taken) }
}

/// Keeps the first of the failures that came furthest.
fn keep_best(best: &mut Option<Taken>, failure: Taken) {
    if best.as_ref().is_none_or(|best| failure.matches > best.matches) {
        *best = Some(failure);
    }
}

fn any_of(nodes: &[Node], value: &Value, at: &Place<'_>, out: &mut Outcome) {
    let mut best = None;
    for node in nodes {
        match attempt(node, value, at, out) {
            Ok(success) => return out.put(success),
            Err(failure) => keep_best(&mut best, failure),
        }
    }
    out.composite(at, "must validate at least one schema (anyOf)");
    best.into_iter().for_each(|best| out.put(best));
}

fn one_of(nodes: &[Node], value: &Value, at: &Place<'_>, out: &mut Outcome) {
    let (mut first, mut count, mut best) = (None, 0_usize, None);
    for node in nodes {
        match attempt(node, value, at, out) {
            Ok(success) => {
                count += 1;
                first.get_or_insert(success);
            }
            Err(failure) if count == 0 => keep_best(&mut best, failure),
            Err(_) => {}
        }
    }
    let found = match count {
        0 => "Found none valid".to_owned(),
        1 => return first.into_iter().for_each(|first| out.put(first)),
        _ => format!("Found {count} valid alternatives"),
    };
    out.composite(at, &format!("must validate one and only one schema (oneOf). {found}"));
    if count == 0 {
        best.into_iter().for_each(|best| out.put(best));
    }
}

fn all_of(nodes: &[Node], value: &Value, at: &Place<'_>, out: &mut Outcome) {
    let mut count = 0;
    for node in nodes {
        let mark = out.mark();
        plain(node, value, at, out);
        count += usize::from(!out.failed_since(mark));
    }
    match count {
        0 => out.composite(at, "must validate all the schemas (allOf). None validated"),
        _ if count < nodes.len() => out.composite(at, "must validate all the schemas (allOf)"),
        _ => {}
    }
}
