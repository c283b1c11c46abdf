//! Watches.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::api::{CONFIG_MAP, Patch, Refusal, Resource, expect_refusal};
use crate::case::{Case, case};
use crate::test::{Test, expect_eq, name};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "[sig-api-machinery] Watchers should observe add, update, and delete watch notifications on \
             configmaps [Conformance]",
            notifications,
        ),
        case(
            "[sig-api-machinery] Watchers should be able to start watching from a specific resource \
             version [Conformance]",
            from_a_version,
        ),
        case(
            "[sig-api-machinery] Watchers should be able to restart watching from the last resource \
             version observed by the previous watch [Conformance]",
            restart,
        ),
        case(
            "[sig-api-machinery] Watchers should observe an object deletion if it stops meeting the \
             requirements of the selector [Conformance]",
            leaving_the_selector,
        ),
        case(
            "[sig-api-machinery] Watchers should receive events on concurrent watches in same order \
             [Conformance]",
            same_order,
        ),
        case(
            "[sig-api-machinery] Watchers should start with the present objects when no resource version \
             is given",
            from_the_present,
        ),
        case("[sig-api-machinery] Watchers should end after timeoutSeconds", ends_in_time),
        case(
            "[sig-api-machinery] Lists should time out for a resource version that is not reached",
            too_new,
        ),
        case(
            "[sig-api-machinery] Watchers should send initial events and a bookmark for \
             sendInitialEvents (streaming list)",
            streaming_list,
        ),
    ]
}

fn labelled(name: &str, label: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"watch": label}}})
}

async fn mutate(maps: &Resource, name: &str, count: u32) -> Result<Value> {
    maps.patch(name, Patch::Merge, json!({"data": {"mutation": count.to_string()}})).await
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_default()
}

async fn notifications(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let mut a = maps.watch_from("labelSelector=watch=a", "").await?;
    let mut b = maps.watch_from("labelSelector=watch=b", "").await?;
    let mut both = maps.watch_from("labelSelector=watch in (a,b)", "").await?;
    maps.create(labelled("a", "a")).await?;
    a.expect("ADDED", "a").await?;
    both.expect("ADDED", "a").await?;
    for count in 1..=2 {
        mutate(&maps, "a", count).await?;
        for watch in [&mut a, &mut both] {
            let seen = watch.expect("MODIFIED", "a").await?;
            expect_eq("data.mutation", &seen["data"]["mutation"], &json!(count.to_string()))?;
        }
    }
    maps.delete("a").await?;
    let last = a.expect("DELETED", "a").await?;
    expect_eq("the deleted object's data", &last["data"]["mutation"], &json!("2"))?;
    both.expect("DELETED", "a").await?;
    maps.create(labelled("b", "b")).await?;
    maps.delete("b").await?;
    for watch in [&mut b, &mut both] {
        watch.expect("ADDED", "b").await?;
        watch.expect("DELETED", "b").await?;
    }
    a.expect_silence(Duration::from_millis(500)).await
}

async fn from_a_version(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    maps.create(labelled("m", "from")).await?;
    let first = mutate(&maps, "m", 1).await?;
    mutate(&maps, "m", 2).await?;
    maps.delete("m").await?;
    let mut watch = maps.watch_from("labelSelector=watch=from", version(&first)).await?;
    let seen = watch.expect("MODIFIED", "m").await?;
    expect_eq("the second mutation", &seen["data"]["mutation"], &json!("2"))?;
    watch.expect("DELETED", "m").await.map(drop)
}

async fn restart(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let mut watch = maps.watch_from("labelSelector=watch=restart", "").await?;
    maps.create(labelled("m", "restart")).await?;
    watch.expect("ADDED", "m").await?;
    mutate(&maps, "m", 1).await?;
    let last = watch.expect("MODIFIED", "m").await?;
    drop(watch);
    mutate(&maps, "m", 2).await?;
    maps.delete("m").await?;
    let mut watch = maps.watch_from("labelSelector=watch=restart", version(&last)).await?;
    let seen = watch.expect("MODIFIED", "m").await?;
    expect_eq("the missed mutation", &seen["data"]["mutation"], &json!("2"))?;
    watch.expect("DELETED", "m").await.map(drop)
}

async fn leaving_the_selector(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let mut watch = maps.watch_from("labelSelector=watch=in", "").await?;
    let relabel = |to: &'static str| {
        maps.patch("m", Patch::Merge, json!({"metadata": {"labels": {"watch": to}}}))
    };
    maps.create(labelled("m", "in")).await?;
    watch.expect("ADDED", "m").await?;
    mutate(&maps, "m", 1).await?;
    watch.expect("MODIFIED", "m").await?;
    relabel("out").await?;
    let gone = watch.expect("DELETED", "m").await?;
    expect_eq("the object as it last matched", &gone["metadata"]["labels"]["watch"], &json!("in"))?;
    mutate(&maps, "m", 2).await?;
    watch.expect_silence(Duration::from_millis(500)).await?;
    relabel("in").await?;
    let back = watch.expect("ADDED", "m").await?;
    expect_eq("what it returned with", &back["data"]["mutation"], &json!("2"))?;
    maps.delete("m").await?;
    watch.expect("DELETED", "m").await.map(drop)
}

async fn same_order(test: Test) -> Result<()> {
    const EVENTS: usize = 40;
    let maps = test.of(&CONFIG_MAP);
    let start = maps.list("").await?;
    let write = async {
        for round in 0..EVENTS {
            let name = format!("m{}", round % 5);
            match maps.create(json!({"metadata": {"name": name}})).await {
                Err(error) if Refusal::code_of(&error) == Some(409) => {
                    if round % 3 == 0 {
                        maps.delete(&name).await?;
                    } else {
                        mutate(&maps, &name, u32::try_from(round)?).await?;
                    }
                }
                other => drop(other?),
            }
        }
        anyhow::Ok(())
    };
    let read = |delay: u64| {
        let (maps, from) = (maps.clone(), version(&start).to_owned());
        async move {
            // Each begins at another moment of the same history.
            tokio::time::sleep(Duration::from_millis(delay)).await;
            let mut watch = maps.watch_from("", &from).await?;
            let mut seen = Vec::new();
            while seen.len() < EVENTS {
                let event = watch.event().await?;
                seen.push((event.kind.clone(), version(&event.object).to_owned()));
            }
            anyhow::Ok(seen)
        }
    };
    let readers = futures::future::try_join_all((0..10).map(|reader| read(reader * 20)));
    let ((), seen) = futures::try_join!(write, readers)?;
    for other in &seen[1..] {
        if *other != seen[0] {
            bail!("two watches saw different histories: {:?} and {other:?}", seen[0]);
        }
    }
    Ok(())
}

async fn from_the_present(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    for one in ["one", "two"] {
        maps.create(labelled(one, "present")).await?;
    }
    mutate(&maps, "one", 7).await?;
    for from in ["", "0"] {
        let mut watch = maps.watch_from("labelSelector=watch=present", from).await?;
        let (first, second) = (watch.event().await?, watch.event().await?);
        let mut names = [first.name().to_owned(), second.name().to_owned()];
        names.sort();
        if (first.kind.as_str(), second.kind.as_str()) != ("ADDED", "ADDED")
            || names != ["one", "two"]
        {
            bail!("expected ADDED of one and two from version {from:?}, got {first:?} {second:?}");
        }
    }
    Ok(())
}

async fn ends_in_time(test: Test) -> Result<()> {
    let begun = std::time::Instant::now();
    let mut watch = test.of(&CONFIG_MAP).watch_from("timeoutSeconds=2", "").await?;
    while let Some(event) = watch.next().await? {
        if event.kind == "ERROR" {
            bail!("a watch that timed out ended with {event:?}");
        }
    }
    let took = begun.elapsed();
    if took < Duration::from_millis(1500) || took > Duration::from_secs(20) {
        bail!("expected a watch with timeoutSeconds=2 to end after 2 s, but it took {took:?}");
    }
    Ok(())
}

async fn too_new(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let query = "resourceVersion=999999999999&resourceVersionMatch=NotOlderThan";
    let refusal = expect_refusal(maps.list(query).await, 504, "Timeout")?;
    let causes = refusal.status["details"]["causes"].as_array().cloned().unwrap_or_default();
    let too_large = |cause: &Value| cause["reason"] == "ResourceVersionTooLarge";
    anyhow::ensure!(causes.iter().any(too_large), "the cause is not told: {}", refusal.status);
    Ok(())
}

async fn streaming_list(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    for one in ["one", "two"] {
        maps.create(labelled(one, "stream")).await?;
    }
    let query =
        "labelSelector=watch=stream&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let mut watch = maps.watch_from(query, "").await?;
    let mut names = Vec::new();
    loop {
        let event = watch.next().await?.context("the watch ended before its bookmark")?;
        match event.kind.as_str() {
            "ADDED" => names.push(name(&event.object).to_owned()),
            "BOOKMARK" => {
                let mark = &event.object["metadata"]["annotations"]["k8s.io/initial-events-end"];
                if mark == "true" {
                    break;
                }
            }
            _ => bail!("expected initial events, got {event:?}"),
        }
    }
    names.sort();
    expect_eq("the initial objects", &json!(names), &json!(["one", "two"]))?;
    maps.delete("one").await?;
    watch.expect("DELETED", "one").await.map(drop)
}
