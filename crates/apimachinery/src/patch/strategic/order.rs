//! The order of a merged list: items of the patch keep the patch's order, items that only the
//! server has keep the server's, interleaved as on the server.

use super::directive::{self, PATCH};
use crate::status::Status;
use serde_json::Value;

/// The identity of an item: the value of its merge key, or the scalar itself.
fn identity<'a>(item: &'a Value, key: &str) -> Option<&'a Value> {
    if key.is_empty() { Some(item) } else { item.get(key) }
}

fn position(list: &[Value], item: &Value, key: &str) -> Option<usize> {
    let id = identity(item, key)?;
    list.iter().position(|other| identity(other, key) == Some(id))
}

/// Checks that the items a patch sets appear in `wanted` in the same order.
pub(super) fn check(patch: &[Value], wanted: &[Value], key: &str) -> Result<(), Status> {
    if wanted.is_empty() {
        return Ok(());
    }
    let mut rest = wanted.iter();
    for item in patch.iter().filter(|item| item.get(PATCH).is_none()) {
        let id = identity(item, key).ok_or_else(|| directive::no_merge_key(item, key))?;
        if !rest.any(|w| identity(w, key) == Some(id)) {
            return Err(directive::untranslated(
                "The order in patch list doesn't match $setElementOrder list",
            ));
        }
    }
    Ok(())
}

/// Puts a merged list in order.
pub(super) fn arrange(
    merged: Vec<Value>,
    wanted: &[Value],
    server: &[Value],
    key: &str,
) -> Result<Vec<Value>, Status> {
    if let Some(item) = merged.iter().find(|item| identity(item, key).is_none()) {
        return Err(directive::no_merge_key(item, key));
    }
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| position(wanted, item, key).is_some());
    named.sort_by_key(|item| position(wanted, item, key));
    others.sort_by_key(|item| position(server, item, key).unwrap_or(usize::MAX));

    let mut arranged = Vec::with_capacity(named.len() + others.len());
    let mut others = others.into_iter().peekable();
    for item in named {
        let at = position(server, &item, key);
        while let (Some(at), Some(other)) = (at, others.peek()) {
            match position(server, other, key) {
                Some(other_at) if other_at < at => arranged.extend(others.next()),
                _ => break,
            }
        }
        arranged.push(item);
    }
    arranged.extend(others);
    Ok(arranged)
}
