//! The requests of kubelets, by upstream's rules (`pkg/apis/certificates/helpers.go`).

use std::collections::BTreeSet;

use pki::Request;

/// The reason why a request is not one for its signer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("subject organization is not system:nodes")]
    Organization,
    #[error("subject common name does not begin with system:node:")]
    Name,
    #[error("DNS or IP subjectAltName is required")]
    NoAddress,
    #[error("{0} subjectAltNames are not allowed")]
    Alternative(&'static str),
    #[error("usages did not match [{0}]")]
    Usages(String),
    #[error("invalid usage for client certificate: {0}")]
    NoClientUsage(String),
    #[error("missing required usage for client certificate: {0}")]
    MissingUsage(&'static str),
}

/// Keys that are not RSA need no encipherment.
const OPTIONAL: &str = "key encipherment";

fn check_subject(request: &Request) -> Result<(), Unfit> {
    match request.identity.groups.as_slice() {
        [group] if group == "system:nodes" => Ok(()),
        _ => Err(Unfit::Organization),
    }
}

fn check_name_and_usages(request: &Request, usages: &[String], auth: &str) -> Result<(), Unfit> {
    let given: BTreeSet<&str> =
        usages.iter().map(String::as_str).filter(|usage| *usage != OPTIONAL).collect();
    if given != BTreeSet::from(["digital signature", auth]) {
        let mut all = ["digital signature", OPTIONAL, auth];
        all.sort_unstable();
        return Err(Unfit::Usages(all.join(" ")));
    }
    match request.identity.user.starts_with("system:node:") {
        true => Ok(()),
        false => Err(Unfit::Name),
    }
}

/// A request for the certificate with which a kubelet serves.
pub(super) fn check_serving(request: &Request, usages: &[String]) -> Result<(), Unfit> {
    check_subject(request)?;
    if request.dns_names.is_empty() && request.ips.is_empty() {
        return Err(Unfit::NoAddress);
    }
    if !request.emails.is_empty() {
        return Err(Unfit::Alternative("Email"));
    }
    if !request.uris.is_empty() {
        return Err(Unfit::Alternative("URI"));
    }
    check_name_and_usages(request, usages, "server auth")
}

/// A request for the certificate with which a kubelet speaks to the API server.
pub(super) fn check_client(request: &Request, usages: &[String]) -> Result<(), Unfit> {
    check_subject(request)?;
    for (name, none) in [
        ("DNS", request.dns_names.is_empty()),
        ("Email", request.emails.is_empty()),
        ("IP", request.ips.is_empty()),
        ("URI", request.uris.is_empty()),
    ] {
        if !none {
            return Err(Unfit::Alternative(name));
        }
    }
    check_name_and_usages(request, usages, "client auth")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A request with this subject and these names of the DNS.
    pub(in crate::certificates) fn request(user: &str, groups: &[&str], dns: &[&str]) -> String {
        let dns: Vec<String> = dns.iter().map(|name| (*name).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(dns).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, user);
        for group in groups {
            params.distinguished_name.push(rcgen::DnType::OrganizationName, *group);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        params.serialize_request(&key).unwrap().pem().unwrap()
    }

    #[test]
    fn only_requests_of_kubelets_pass() {
        let check = |check: fn(&Request, &[String]) -> Result<(), Unfit>,
                     (user, group, dns): (&str, &str, &[&str]),
                     usages: &[&str]| {
            let request = Request::from_pem(&request(user, &[group], dns)).unwrap();
            let usages: Vec<String> = usages.iter().map(|usage| (*usage).to_owned()).collect();
            check(&request, &usages)
        };
        let node: (&str, &str, &[&str]) = ("system:node:a", "system:nodes", &[]);
        let named: (&str, &str, &[&str]) = ("system:node:a", "system:nodes", &["a"]);
        let client = ["digital signature", "client auth"];
        let server = ["digital signature", "key encipherment", "server auth"];
        for (function, subject, usages, expected) in [
            (check_client as fn(&_, &_) -> _, node, &client[..], Ok(())),
            (check_client, named, &client, Err(Unfit::Alternative("DNS"))),
            (check_client, ("a", "system:nodes", &[]), &client, Err(Unfit::Name)),
            (
                check_client,
                ("system:node:a", "system:masters", &[]),
                &client,
                Err(Unfit::Organization),
            ),
            (
                check_client,
                node,
                &server,
                Err(Unfit::Usages("client auth digital signature key encipherment".to_owned())),
            ),
            (check_serving, named, &server, Ok(())),
            (check_serving, node, &server, Err(Unfit::NoAddress)),
        ] {
            assert_eq!(check(function, subject, usages), expected, "{subject:?} {usages:?}");
        }
    }
}
