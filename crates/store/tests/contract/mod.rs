//! The contract of `Store` as tests of any engine: another engine is one more line in
//! `tests/engines.rs`.

use std::sync::Arc;

use store::{CommitError, Event, Expect, Feed, Key, Op, Revision, Store, Value};

/// Opens the store again and again, as its process would after a restart.
pub(crate) trait Engine {
    fn open(&self) -> Arc<dyn Store>;
}

/// `{"r":"<revision>","v":"<text>"}`, with the revision left open.
fn value(text: &str) -> Value {
    let before = r#"{"r":""#;
    let bytes = format!(r#"{before}","v":"{text}"}}"#);
    Value { bytes: bytes.into(), revision_at: before.len() }
}

fn put(key: &str, expect: Expect, text: &str) -> Op {
    Op { key: key.into(), expect, value: Some(value(text)) }
}

fn delete(key: &str, at: Revision) -> Op {
    Op { key: key.into(), expect: Expect::At(at), value: None }
}

fn read(feed: &Feed, key: &str) -> Option<String> {
    let record = feed.records.get(&Key::from(key))?;
    Some(String::from_utf8(record.bytes.to_vec()).unwrap())
}

async fn next(feed: &mut Feed, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < count {
        events.extend(feed.events.recv().await.expect("the feed goes on").iter().cloned());
    }
    events
}

pub(crate) async fn revisions_have_no_gaps_and_are_spliced_in(engine: &dyn Engine) {
    let store = engine.open();
    let begun = store.feed().await.unwrap().revision;
    let created = store.commit(put("/a/1", Expect::Absent, "x")).await.unwrap();
    assert_eq!(created, begun + 1);
    let changed = store.commit(put("/a/1", Expect::At(created), "y")).await.unwrap();
    assert_eq!(changed, begun + 2);
    let feed = store.feed().await.unwrap();
    assert_eq!(feed.revision, changed);
    assert_eq!(read(&feed, "/a/1"), Some(format!(r#"{{"r":"{changed}","v":"y"}}"#)));
    let record = feed.records.get(&Key::from("/a/1")).unwrap();
    assert_eq!((record.created, record.modified), (created, changed));
}

pub(crate) async fn what_is_not_as_expected_changes_nothing(engine: &dyn Engine) {
    let store = engine.open();
    let at = store.commit(put("/a/1", Expect::Absent, "x")).await.unwrap();
    for (op, known) in [
        (put("/a/1", Expect::Absent, "y"), Some(at)),
        (put("/a/1", Expect::At(at + 7), "y"), Some(at)),
        (delete("/a/1", at + 7), Some(at)),
        (put("/a/2", Expect::At(at), "y"), None),
        (delete("/a/2", at), None),
    ] {
        assert_eq!(store.commit(op).await, Err(CommitError::Conflict(known)));
    }
    let feed = store.feed().await.unwrap();
    assert_eq!((feed.revision, feed.records.len()), (at, 1), "a refusal takes no revision");
}

pub(crate) async fn a_feed_has_every_change_once_and_in_order(engine: &dyn Engine) {
    let store = engine.open();
    let mut early = store.feed().await.unwrap();
    let first = store.commit(put("/a/1", Expect::Absent, "x")).await.unwrap();
    let mut late = store.feed().await.unwrap();
    let second = store.commit(put("/a/2", Expect::Absent, "y")).await.unwrap();
    let gone = store.commit(delete("/a/1", first)).await.unwrap();
    let seen: Vec<_> = next(&mut early, 3)
        .await
        .into_iter()
        .map(|event| (event.revision, event.key.to_string(), event.record.is_some()))
        .collect();
    let wanted = [(first, "/a/1", true), (second, "/a/2", true), (gone, "/a/1", false)];
    assert_eq!(seen, wanted.map(|(revision, key, there)| (revision, key.to_owned(), there)));
    // The state and what follows it meet without a gap.
    assert!(late.records.contains_key(&Key::from("/a/1")));
    let rest: Vec<_> = next(&mut late, 2).await.iter().map(|event| event.revision).collect();
    assert_eq!(rest, [second, gone]);
}

pub(crate) async fn an_event_is_there_before_its_author_is_told(engine: &dyn Engine) {
    let store = engine.open();
    let mut feed = store.feed().await.unwrap();
    for number in 0..50 {
        let key = format!("/a/{number}");
        let revision = store.commit(put(&key, Expect::Absent, "x")).await.unwrap();
        let batch = feed.events.try_recv().expect("the event came before the answer");
        assert_eq!(batch.last().map(|event| event.revision), Some(revision));
    }
}

pub(crate) async fn of_many_authors_at_once_one_wins(engine: &dyn Engine) {
    let store = engine.open();
    let at = store.commit(put("/a/1", Expect::Absent, "x")).await.unwrap();
    let attempts = (0..32).map(|n| store.commit(put("/a/1", Expect::At(at), &n.to_string())));
    let results = futures::future::join_all(attempts).await;
    let won: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
    assert_eq!(won, [&(at + 1)]);
    let lost = Err(CommitError::Conflict(Some(at + 1)));
    assert_eq!(results.iter().filter(|result| **result == lost).count(), 31);
}

pub(crate) async fn what_was_acknowledged_outlives_the_store(engine: &dyn Engine) {
    let store = engine.open();
    let mut last = 0;
    for number in 0..200 {
        let key = format!("/a/{:03}", number % 50);
        let expect = match store.feed().await.unwrap().records.get(&Key::from(&*key)) {
            Some(record) => Expect::At(record.modified),
            None => Expect::Absent,
        };
        last = store.commit(put(&key, expect, &number.to_string())).await.unwrap();
    }
    let before = store.feed().await.unwrap();
    drop(store);
    let after = engine.open().feed().await.unwrap();
    assert_eq!((after.revision, &after.records), (last, &before.records));
}
