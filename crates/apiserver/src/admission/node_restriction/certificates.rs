//! The certificates that a node may request for pods: those that its own pods mount.

use apimachinery::text::quote;
use apimachinery::{Object, ObjectExt, Status};

use crate::admission::{Operation, Request};
use crate::authz::{self, Attributes};
use crate::registry::{self, MIRROR_POD};

/// `object` is the PodCertificateRequest.
pub(super) async fn check(
    request: &Request<'_>,
    node: &str,
    object: Option<&Object>,
) -> Result<(), Status> {
    let (Operation::Create, Some(asked)) = (request.operation, object) else {
        return Err(request.forbidden(format!("unexpected operation {}", request.operation.name())));
    };
    let spec = |field: &str| asked.str_at(&["spec", field]).to_owned();
    if spec("nodeName") != node {
        return Err(request.forbidden(format!(
            "PodCertificateRequest.Spec.NodeName={}, which is not the requesting node {}",
            quote(&spec("nodeName")),
            quote(node)
        )));
    }
    let known = Known { request, spec: &spec };
    let own = known.find("nodes", "node", "", node)?;
    let pod_name = spec("podName");
    let shown = quote(&format!("{}/{pod_name}", request.namespace));
    // Caches may lag behind: these are no refusals, so that the kubelet tries again.
    if own.uid() != spec("nodeUID") {
        return Err(Status::internal(format!(
            "PodCertificateRequest for pod {shown} names node UID {}, inconsistent with the \
             running node ({})",
            quote(&spec("nodeUID")),
            quote(own.uid())
        )));
    }
    let pod = known.find("pods", "pod", request.namespace, &pod_name)?;
    if pod.uid() != spec("podUID") {
        return Err(Status::internal(format!(
            "PodCertificateRequest for pod {shown} contains pod UID ({}) which differs from \
             running pod {}",
            quote(&spec("podUID")),
            quote(pod.uid())
        )));
    }
    if pod.str_at(&["spec", "nodeName"]) != node {
        return Err(request.forbidden(format!(
            "pod {shown} is not running on node {} named in the PodCertificateRequest",
            quote(node)
        )));
    }
    if pod.annotation(MIRROR_POD).is_some() {
        return Err(request.forbidden(format!("pod {shown} is a mirror pod")));
    }
    let (account, of_pod) =
        (spec("serviceAccountName"), pod.str_at(&["spec", "serviceAccountName"]));
    if account != of_pod {
        return Err(request.forbidden(format!(
            "PodCertificateRequest for pod {shown} contains serviceAccountName ({}) that differs \
             from running pod ({})",
            quote(&account),
            quote(of_pod)
        )));
    }
    let found = known.find("serviceaccounts", "service account", request.namespace, &account)?;
    if found.uid() != spec("serviceAccountUID") {
        return Err(Status::internal(format!(
            "PodCertificateRequest for pod {shown} names service account UID {}, which differs \
             from the running service account ({})",
            quote(&spec("serviceAccountUID")),
            quote(found.uid())
        )));
    }
    let signer = spec("signerName");
    if mounts(&pod, &signer) || may_ask(request, &signer, &account).await {
        return Ok(());
    }
    Err(request.forbidden(format!(
        "pod {shown} does not mount a podCertificate projected volume for signer {}",
        quote(&signer)
    )))
}

/// The objects that a request names.
struct Known<'a> {
    request: &'a Request<'a>,
    spec: &'a (dyn Fn(&str) -> String + Sync),
}

impl Known<'_> {
    fn find(
        &self,
        resource: &str,
        what: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Object, Status> {
        let kind = registry::find("", "v1", resource)
            .ok_or_else(|| Status::internal(format!("no {resource}")))?;
        if let Some(entry) = self.request.server.entry(kind, namespace, name) {
            return Ok(entry.object());
        }
        let full = match namespace {
            "" => (self.spec)("nodeName"),
            namespace => format!("{namespace}/{name}"),
        };
        Err(Status::internal(format!(
            "while retrieving {what} {} named in the PodCertificateRequest: {resource} {} not found",
            quote(&full),
            quote(name)
        )))
    }
}

/// Returns true if a volume of the pod has a certificate of the signer.
fn mounts(pod: &Object, signer: &str) -> bool {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    volumes
        .filter_map(|volume| volume["projected"]["sources"].as_array())
        .flatten()
        .any(|source| source["podCertificate"]["signerName"] == signer)
}

/// Administrators may allow nodes further signers.
async fn may_ask(request: &Request<'_>, signer: &str, account: &str) -> bool {
    let resource = signer.replace('/', ":");
    let verb = "request-serviceaccounts-podcertificate-signer";
    let attributes = Attributes {
        namespace: request.namespace,
        name: account,
        ..Attributes::on_resource(request.user, verb, request.kind.group, &resource)
    };
    authz::decide(request.server, attributes).await.is_allowed()
}
