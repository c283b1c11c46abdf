//! Values of libraries, which only their functions look into.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::functions::formats::Format;
use crate::functions::net::Cidr;
use crate::functions::quantity::Quantity;
use crate::functions::semver::Semver;
use crate::functions::url::Url;

/// A value of a library.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Opaque<'a> {
    #[doc(hidden)]
    Quantity(Quantity),
    #[doc(hidden)]
    Url(Arc<Url>),
    #[doc(hidden)]
    Ip(IpAddr),
    #[doc(hidden)]
    Cidr(Cidr),
    #[doc(hidden)]
    Semver(Arc<Semver>),
    #[doc(hidden)]
    Format(&'static Format),
    /// The authorizer, or a check that is put together.
    Authorization(Arc<Subject<'a>>),
    /// The answer of the authorizer.
    Decision(Arc<Decision>),
}

impl Opaque<'_> {
    /// The name of its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Opaque::Quantity(_) => "kubernetes.Quantity",
            Opaque::Url(_) => "kubernetes.URL",
            Opaque::Ip(_) => "net.IP",
            Opaque::Cidr(_) => "net.CIDR",
            Opaque::Semver(_) => "kubernetes.Semver",
            Opaque::Format(_) => "kubernetes.NamedFormat",
            Opaque::Authorization(subject) => subject.type_name(),
            Opaque::Decision(_) => "kubernetes.authorization.Decision",
        }
    }
}

/// Decides whether someone may do something.
pub trait Authorizer: Sync {
    /// True if the check is allowed. Its user is the one who made the request, unless the check
    /// names a service account.
    fn authorize(&self, check: &Check, verb: &str) -> Decision;
}

/// A check that is put together.
#[derive(Clone)]
pub struct Subject<'a> {
    /// The one that decides.
    pub authorizer: &'a dyn Authorizer,
    /// As much of the check as is known until now.
    pub check: Check,
}

/// A question to the authorizer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    /// The namespace and the name of the service account instead of the user.
    pub service_account: Option<(String, String)>,
    /// A path that is no resource.
    pub path: Option<String>,
    /// The API group.
    pub group: Option<String>,
    /// The resource.
    pub resource: Option<String>,
    /// The subresource.
    pub subresource: String,
    /// The namespace, or all.
    pub namespace: String,
    /// The name, or all.
    pub name: String,
    /// Which fields of the objects have which values.
    pub field_selector: String,
    /// Which labels the objects have.
    pub label_selector: String,
}

/// The answer of the authorizer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// True if it is allowed.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// The error, if something went wrong.
    pub error: Option<String>,
}

impl Subject<'_> {
    fn type_name(&self) -> &'static str {
        match &self.check {
            Check { path: Some(_), .. } => "kubernetes.authorization.PathCheck",
            Check { resource: Some(_), .. } => "kubernetes.authorization.ResourceCheck",
            Check { group: Some(_), .. } => "kubernetes.authorization.GroupCheck",
            _ => "kubernetes.authorization.Authorizer",
        }
    }
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.check, f)
    }
}
