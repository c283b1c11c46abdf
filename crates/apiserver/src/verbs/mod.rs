//! One handler per verb, for every kind.

mod commit;
mod component_status;
mod connect;
mod create;
mod delete;
mod eviction;
mod get;
mod list;
mod list_body;
mod list_options;
pub(crate) mod meta;
mod options;
mod patch;
mod pod_binding;
mod review;
mod scale;
mod token;
mod unreadable;
mod update;
mod watch;

use std::sync::Arc;
use std::time::Instant;

use apimachinery::validate::FieldValidation;
use apimachinery::{Object, ObjectExt, Status};
use http::{Response, StatusCode};
use parking_lot::Mutex;

use crate::audit::Audit;
use crate::body::{self, Body};
use crate::cache::Entry;
use crate::chain::Stages;
use crate::decode::Expected;
use crate::encode::{self, Include};
use crate::negotiate::{Accepted, Encoding, Form};
use crate::registry::{Access, Context, KindRef, Sub};
use crate::request::{Query, RequestInfo};
use crate::server::Server;
use crate::user::{MASTERS, User};

pub(crate) use commit::{Failure, encode_stored, write_status};
pub(crate) use connect::address::is_proxyable;
pub(crate) use connect::forward;
pub(crate) use create::create_needed;
pub(crate) use delete::delete_all;
pub(crate) use review::user_info;

/// A request for a resource, as seen by the verbs.
pub(crate) struct Call<'a> {
    pub(crate) server: &'a Arc<Server>,
    pub(crate) user: User,
    pub(crate) info: RequestInfo,
    pub(crate) query: Query,
    pub(crate) accepted: Accepted,
    pub(crate) content_type: Option<String>,
    /// The user agent up to its first slash: the default field manager.
    pub(crate) agent: String,
    pub(crate) kind: KindRef,
    pub(crate) sub: Option<Sub>,
    /// True if the body asked for a dry run (DeleteOptions of an eviction).
    pub(crate) dry: bool,
    /// Sent to the client in Warning headers.
    pub(crate) warnings: Mutex<Vec<String>>,
    /// Stages that the request has passed.
    pub(crate) stages: Stages,
    /// The trail of the request, if it is audited.
    pub(crate) audit: Audit,
}

/// Media type of a server-side apply.
pub(crate) const APPLY: &str = "application/apply-patch+yaml";
/// Finalizer that makes the garbage collector orphan the dependents.
pub(crate) const ORPHAN: &str = "orphan";
/// Finalizer that makes the garbage collector delete the dependents first.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

impl<'a> Call<'a> {
    /// The same request as a call on another kind or subresource of the same name.
    pub(crate) fn upon(&self, kind: impl Into<KindRef>, sub: Option<Sub>) -> Call<'a> {
        let kind = kind.into();
        let mut info = self.info.clone();
        info.resource = kind.resource.into();
        Call {
            server: self.server,
            user: self.user.clone(),
            info,
            query: self.query.clone(),
            accepted: self.accepted,
            content_type: None,
            agent: self.agent.clone(),
            kind,
            sub,
            dry: self.dry,
            warnings: Default::default(),
            stages: self.stages.clone(),
            audit: self.audit.clone(),
        }
    }
}

impl<'a> Call<'a> {
    /// A request that this server makes itself for an object.
    fn internal(
        server: &'a Arc<Server>,
        kind: &KindRef,
        verb: &'static str,
        entry: &Entry,
    ) -> Self {
        let info = RequestInfo {
            is_resource: true,
            verb,
            group: kind.group.to_owned(),
            version: kind.version.to_owned(),
            resource: kind.resource.to_owned(),
            namespace: entry.namespace().to_owned(),
            name: entry.name().to_owned(),
            named: true,
            ..RequestInfo::default()
        };
        Self {
            server,
            user: User::new("system:apiserver", &[MASTERS]),
            info,
            query: Query::default(),
            accepted: Accepted::JSON,
            content_type: None,
            agent: "kube-apiserver".to_owned(),
            kind: kind.clone(),
            sub: None,
            dry: false,
            warnings: Default::default(),
            stages: Stages::new(Instant::now()),
            audit: Audit::default(),
        }
    }
}

impl Call<'_> {
    /// The entry of an object, as the kind shows it.
    pub(crate) async fn entry(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Entry>>, Status> {
        let Some(entry) = self.server.entry(&self.kind, namespace, name) else { return Ok(None) };
        let mut entries = [entry];
        crate::conversion::entries(self.server, &self.kind, &mut entries).await?;
        let [entry] = entries;
        Ok(Some(entry))
    }

    /// The entry of the object that the request names.
    pub(crate) async fn own_entry(&self) -> Result<Arc<Entry>, Status> {
        let entry = self.entry(&self.info.namespace, &self.info.name).await?;
        entry.ok_or_else(|| self.not_found())
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            settings: &self.server.settings,
            user: &self.user,
            dry_run: self.dry_run(),
            warnings: &self.warnings,
        }
    }

    pub(crate) fn warn(&self, warnings: impl IntoIterator<Item = String>) {
        self.warnings.lock().extend(warnings);
    }

    /// Returns true if nothing may be stored. Other values of the option were refused before.
    pub(crate) fn dry_run(&self) -> bool {
        self.dry || self.query.all("dryRun").any(|value| value == "All")
    }

    /// Returns true if the request is a server-side apply.
    pub(crate) fn applies(&self) -> bool {
        self.info.verb == "patch"
            && self.content_type.as_deref().is_some_and(|t| t.starts_with(APPLY))
    }

    /// The field manager of this write.
    pub(crate) fn manager(&self) -> String {
        match self.query.text("fieldManager") {
            Some(name) => name.to_owned(),
            None => options::manager_of(&self.agent),
        }
    }

    pub(crate) fn subresource(&self) -> &'static str {
        self.sub.map_or("", Sub::name)
    }

    pub(crate) fn not_found(&self) -> Status {
        Status::not_found(self.kind.group, self.kind.resource, &self.info.name)
    }

    pub(crate) fn expected(&self) -> Expected<'_> {
        Expected {
            group: self.kind.group,
            version: self.kind.version,
            kind: self.kind.kind,
            custom: self.kind.custom.as_deref(),
        }
    }

    /// The encoding of the request body.
    pub(crate) fn content(&self) -> Result<Encoding, Status> {
        crate::negotiate::content_type(self.content_type.as_deref())
    }

    /// `?fieldValidation=`, which was validated with the other options.
    pub(crate) fn field_validation(&self) -> FieldValidation {
        let word = self.query.get("fieldValidation").unwrap_or_default();
        FieldValidation::parse(word).unwrap_or_default()
    }

    /// Decodes the request body as `expected`.
    pub(crate) async fn decode(
        &self,
        body: Body,
        expected: Expected<'_>,
    ) -> Result<Object, Status> {
        let encoding = self.content()?;
        let bytes = crate::body::read(body).await?;
        let mode = self.field_validation();
        let (object, warnings) = crate::decode::object(&bytes, encoding, expected, mode)?;
        self.warn(warnings);
        self.audit.requests(&object, |object| {
            if expected.kind == self.kind.kind {
                self.kind.policy().default(object);
            }
        });
        self.stages.passed("decoded");
        Ok(object)
    }

    /// The entry of an object that was committed and that nobody has changed since: it need not be
    /// encoded again.
    fn committed(&self, object: &Object) -> Option<Arc<Entry>> {
        if self.dry_run() || self.accepted.form != Form::Object || self.kind.is_converted() {
            return None;
        }
        let entry = self.server.entry(&self.kind, object.namespace(), object.name())?;
        let revision = object.resource_version().parse();
        (revision == Ok(entry.revision) && self.kind.shows(&entry.bytes)).then_some(entry)
    }

    /// Answers with the object that this request wrote.
    pub(crate) fn answer_written(
        &self,
        code: StatusCode,
        object: &Object,
    ) -> Result<Response<Body>, Status> {
        let Some(entry) = self.committed(object) else { return self.answer(code, object) };
        let encoding = self.accepted.encoding;
        let bytes = encode::entry_bytes(&self.kind, &entry, encoding)?;
        Ok(encode::respond(code, encoding.media_type(), body::full(bytes)))
    }

    /// Answers with one object of this kind.
    pub(crate) fn answer(
        &self,
        code: StatusCode,
        object: &Object,
    ) -> Result<Response<Body>, Status> {
        let include = Include::parse(self.query.get("includeObject"))?;
        encode::object(code, &self.kind, object, self.accepted, include)
    }
}

/// Dispatches a call to its verb.
pub(crate) async fn dispatch(
    call: &Call<'_>,
    request: http::Request<Body>,
) -> Result<Response<Body>, Status> {
    if let Some(warning) = call.kind.deprecated {
        call.warn([warning.to_owned()]);
        call.audit.annotate("k8s.io/deprecated", "true");
    }
    options::check(call)?;
    if call.kind.access == Access::Virtual {
        return match (call.info.verb, call.sub, call.kind.kind) {
            ("create", None, "Binding") => {
                unreadable::check(call)?;
                pod_binding::bind(call, request.into_body()).await
            }
            ("create", None, _) => review::answer(call, request.into_body()).await,
            _ => Err(unsupported(call)),
        };
    }
    if call.kind.access == Access::Found {
        return match call.info.verb {
            "get" => component_status::get(call),
            "list" => component_status::list(call),
            _ => Err(unsupported(call)),
        };
    }
    unreadable::check(call)?;
    match (call.info.verb, call.sub) {
        (
            "get",
            None | Some(Sub::Status | Sub::EphemeralContainers | Sub::Resize | Sub::Approval),
        ) => get::get(call).await,
        ("list", None) => list::list(call).await,
        ("watch", None) => watch::watch(call, request).await,
        ("create", None) => create::create(call, request.into_body()).await,
        (
            "update",
            None
            | Some(
                Sub::Status
                | Sub::EphemeralContainers
                | Sub::Resize
                | Sub::Approval
                | Sub::Finalize,
            ),
        ) => update::update(call, request.into_body()).await,
        (
            "patch",
            None | Some(Sub::Status | Sub::EphemeralContainers | Sub::Resize | Sub::Approval),
        ) => patch::patch(call, request.into_body()).await,
        ("delete", None) => delete::delete(call, request.into_body()).await,
        ("deletecollection", None) => delete::delete_collection(call, request.into_body()).await,
        ("get", Some(Sub::Scale)) => scale::get(call).await,
        ("update", Some(Sub::Scale)) => scale::update(call, request.into_body()).await,
        ("patch", Some(Sub::Scale)) => scale::patch(call, request.into_body()).await,
        ("create", Some(Sub::Binding)) => pod_binding::bind(call, request.into_body()).await,
        ("create", Some(Sub::Eviction)) => eviction::evict(call, request.into_body()).await,
        ("create", Some(Sub::Token)) => token::issue(call, request.into_body()).await,
        (_, Some(Sub::Log | Sub::Exec | Sub::Attach | Sub::PortForward | Sub::Proxy)) => {
            connect::connect(call, request).await
        }
        _ => Err(unsupported(call)),
    }
}

fn unsupported(call: &Call<'_>) -> Status {
    Status::method_not_supported(call.kind.group, call.kind.resource, call.info.verb)
}
