//! A case: a title, what it needs, and what it does.

use anyhow::Result;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::test::Test;

/// A requirement on the cluster or on this machine; a case that lacks one is reported as skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Containers that run, and the test image.
    Image,
    /// So many nodes that take pods.
    Nodes(usize),
    /// The program `kubectl`.
    Kubectl,
}

type Body = Box<dyn Fn(Test) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// One test.
pub struct Case {
    /// Upstream's title where there is one, with its tags.
    pub title: String,
    /// Its requirements.
    pub needs: Vec<Need>,
    body: Body,
}

/// A case that needs nothing but the API.
pub fn case<F, R>(title: &str, body: F) -> Case
where
    F: Fn(Test) -> R + Send + Sync + 'static,
    R: Future<Output = Result<()>> + Send + 'static,
{
    Case {
        title: title.to_owned(),
        needs: Vec::new(),
        body: Box::new(move |test| body(test).boxed()),
    }
}

/// A case that runs containers of the test image.
pub fn pod_case<F, R>(title: &str, body: F) -> Case
where
    F: Fn(Test) -> R + Send + Sync + 'static,
    R: Future<Output = Result<()>> + Send + 'static,
{
    case(title, body).needs(Need::Image)
}

impl Case {
    /// The same with a further need.
    #[must_use]
    pub fn needs(mut self, need: Need) -> Self {
        self.needs.push(need);
        self
    }

    /// True for a case that runs alone because it changes what others see.
    #[must_use]
    pub fn serial(&self) -> bool {
        self.title.contains("[Serial]") || self.title.contains("[Disruptive]")
    }

    /// Its special interest group, as `sig-apps`.
    #[must_use]
    pub fn sig(&self) -> &str {
        self.title.split(['[', ']']).nth(1).unwrap_or_default()
    }

    /// Does it.
    pub(crate) fn run(&self, test: Test) -> BoxFuture<'static, Result<()>> {
        (self.body)(test)
    }
}

/// Why a case that was begun cannot tell anything on this cluster.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Skipped(pub String);
