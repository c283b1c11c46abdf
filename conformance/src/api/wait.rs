//! Waiting for what must come: list, then watch, until a condition holds or the time is over.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use tokio::time::Instant;

use super::{Refusal, Resource, Watch};

/// A condition that was not met in time.
#[derive(Debug, thiserror::Error)]
#[error("expected {expected}; last seen: {last}")]
pub struct Unmet {
    /// In words, the condition.
    pub expected: String,
    /// The objects as they were last.
    pub last: String,
}

/// How long an unreachable or overloaded server is left alone before it is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// An object without what nobody reads in a message.
pub(crate) fn brief(object: &Value) -> String {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    let mut text = object.to_string();
    if text.len() > 3000 {
        let cut = (0..=3000).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}

fn key(object: &Value) -> (String, String) {
    let part = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    (part("namespace"), part("name"))
}

/// Has the objects of a query until `met` says that they are as expected.
struct Wait<'a> {
    resource: &'a Resource,
    query: &'a str,
    objects: BTreeMap<(String, String), Value>,
}

impl Wait<'_> {
    async fn run(&mut self, met: &mut (dyn FnMut(&[&Value]) -> bool + Send)) -> Result<()> {
        loop {
            let list = match self.resource.list(self.query).await {
                Ok(list) => list,
                Err(error) if Refusal::code_of(&error).is_some_and(|c| c == 429 || c >= 500) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let items = list["items"].as_array().cloned().unwrap_or_default();
            self.objects = items.into_iter().map(|item| (key(&item), item)).collect();
            if self.holds(met) {
                return Ok(());
            }
            let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            let watched = self.resource.watch_from(self.query, version).await;
            if let Ok(mut watch) = watched
                && self.follow(&mut watch, met).await
            {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// True if the condition came to hold before the watch ended.
    async fn follow(
        &mut self,
        watch: &mut Watch,
        met: &mut (dyn FnMut(&[&Value]) -> bool + Send),
    ) -> bool {
        while let Ok(Some(event)) = watch.next().await {
            match event.kind.as_str() {
                "ADDED" | "MODIFIED" => {
                    self.objects.insert(key(&event.object), event.object);
                }
                "DELETED" => {
                    self.objects.remove(&key(&event.object));
                }
                "BOOKMARK" => continue,
                _ => return false,
            }
            if self.holds(met) {
                return true;
            }
        }
        false
    }

    fn holds(&self, met: &mut (dyn FnMut(&[&Value]) -> bool + Send)) -> bool {
        met(&self.objects.values().collect::<Vec<_>>())
    }

    fn last(&self) -> String {
        let objects: Vec<String> = self.objects.values().map(brief).collect();
        if objects.is_empty() { "nothing".to_owned() } else { objects.join("\n  ") }
    }
}

impl Resource {
    /// Waits until the objects of a query (`labelSelector=…`) meet a condition; gives them.
    ///
    /// # Errors
    /// [`Unmet`] when the deadline passes, a refusal otherwise.
    pub async fn wait_all(
        &self,
        query: &str,
        expected: &str,
        mut met: impl FnMut(&[&Value]) -> bool + Send,
    ) -> Result<Vec<Value>> {
        let mut wait = Wait { resource: self, query, objects: BTreeMap::new() };
        let deadline = self.cluster().deadline();
        match tokio::time::timeout_at(deadline, wait.run(&mut met)).await {
            Ok(done) => done?,
            Err(_) => {
                let last = wait.last();
                return Err(Unmet { expected: expected.to_owned(), last }.into());
            }
        }
        Ok(wait.objects.into_values().collect())
    }

    /// Waits until the object exists and meets a condition; gives it.
    ///
    /// # Errors
    /// As [`Resource::wait_all`].
    pub async fn wait(
        &self,
        name: &str,
        expected: &str,
        mut met: impl FnMut(&Value) -> bool + Send,
    ) -> Result<Value> {
        let query = format!("fieldSelector=metadata.name={name}");
        let expected = format!("{} {name} {expected}", self.kind().kind);
        let named = |object: &&Value| object["metadata"]["name"] == name;
        let objects = self
            .wait_all(&query, &expected, |objects| {
                objects.iter().copied().find(named).is_some_and(&mut met)
            })
            .await?;
        Ok(objects.into_iter().find(|o| named(&o)).unwrap_or_default())
    }

    /// Waits until the object does not exist.
    ///
    /// # Errors
    /// As [`Resource::wait_all`].
    pub async fn wait_gone(&self, name: &str) -> Result<()> {
        let query = format!("fieldSelector=metadata.name={name}");
        let expected = format!("{} {name} to be gone", self.kind().kind);
        self.wait_all(&query, &expected, |objects| {
            objects.iter().all(|object| object["metadata"]["name"] != name)
        })
        .await
        .map(drop)
    }

    /// Demands that the objects of a query meet a condition for a whole while.
    ///
    /// # Errors
    /// [`Unmet`] as soon as they do not.
    pub async fn stays(
        &self,
        query: &str,
        time: Duration,
        expected: &str,
        mut holds: impl FnMut(&[&Value]) -> bool + Send,
    ) -> Result<()> {
        let short = self.until(self.cluster().deadline().min(Instant::now() + time));
        let mut last = String::new();
        let broken = short.wait_all(query, expected, |objects| {
            let ok = holds(objects);
            if !ok {
                last = objects.iter().map(|o| brief(o)).collect::<Vec<_>>().join("\n  ");
            }
            !ok
        });
        match broken.await {
            Err(error) if error.is::<Unmet>() => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(Unmet { expected: format!("{expected}, for {time:?}"), last }.into()),
        }
    }
}
