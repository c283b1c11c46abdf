//! One informer per kind per process.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use kube::{Api, Client};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::informer::{Informer, Kind, Selection};

/// Hands out shared informers, whose pods are without what only a kubelet reads; each starts when it
/// is first asked for and ends with the factory's token. All components of a process should share one
/// factory, so that each object is held once.
#[derive(Clone)]
pub struct InformerFactory {
    client: Client,
    cancel: CancellationToken,
    running: Arc<Mutex<HashMap<Identity, Box<dyn Any + Send + Sync>>>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Identity {
    kind: TypeId,
    url: String,
    selection: Selection,
}

impl InformerFactory {
    /// A factory whose informers read through `client`.
    pub fn new(client: Client, cancel: CancellationToken) -> Self {
        Self { client, cancel, running: Arc::default() }
    }

    /// The client the informers use.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The informer of a whole kind, such as `factory.informer::<Pod>()`.
    pub fn informer<K>(&self) -> Informer<K>
    where
        K: Kind<DynamicType = ()>,
    {
        self.select::<K>(Selection::default())
    }

    /// An informer of some objects of a kind.
    pub fn select<K>(&self, selection: Selection) -> Informer<K>
    where
        K: Kind<DynamicType = ()>,
    {
        self.dynamic(&(), selection)
    }

    /// An informer of a kind known only at run time: `K` is `DynamicObject` or
    /// `PartialObjectMeta<DynamicObject>`, `kind` its `ApiResource`.
    pub fn dynamic<K: Kind>(&self, kind: &K::DynamicType, selection: Selection) -> Informer<K> {
        let url = K::url_path(kind, None);
        let id = Identity { kind: TypeId::of::<K>(), url, selection };
        let mut running = self.running.lock();
        if let Some(informer) = running.get(&id).and_then(|any| any.downcast_ref::<Informer<K>>()) {
            return informer.clone();
        }
        let api = Api::all_with(self.client.clone(), kind);
        let informer = Informer::share(api, &id.selection, self.cancel.child_token());
        running.insert(id, Box::new(informer.clone()));
        informer
    }
}
