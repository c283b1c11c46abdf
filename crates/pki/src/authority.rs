//! The certificate authority and what it issues.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use ring::digest;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

use crate::{Error, Result};

const CA_DAYS: i64 = 3650;
const LEAF_DAYS: i64 = 365;
/// Allowance for clocks of other machines that are behind.
pub(crate) const BACKDATE: Duration = Duration::minutes(5);

/// A certificate with its key, both PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub cert: String,
    /// Its PKCS#8 private key.
    pub key: String,
}

/// The extended key usage of a certificate (RFC 5280, 4.2.1.12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Usage {
    /// To authenticate to servers.
    #[default]
    Client,
    /// To serve; the API server refuses it from a client.
    Server,
    /// Both: a kubelet is one identity, towards the API server and on its own port.
    Node,
}

impl Usage {
    fn is_client(self) -> bool {
        self != Self::Server
    }

    fn is_server(self) -> bool {
        self != Self::Client
    }
}

/// The subject of a certificate.
#[derive(Clone, Debug, Default)]
pub struct Subject<'a> {
    /// Common name: the user name of a client.
    pub name: &'a str,
    /// Organization: the group of a client; none when empty.
    pub group: &'a str,
    /// DNS names a server answers to.
    pub dns: &'a [&'a str],
    /// Addresses a server answers on.
    pub ips: &'a [IpAddr],
    /// Extended key usage.
    pub usage: Usage,
}

/// User and groups read from a verified client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Common name.
    pub user: String,
    /// Organizations.
    pub groups: Vec<String>,
}

/// A client certificate whose chain a TLS handshake has verified.
///
/// A connection may live longer than the certificate it was opened with, so each request asks for
/// the identity anew.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    identity: Identity,
    validity: (OffsetDateTime, OffsetDateTime),
    fingerprint: String,
}

impl ClientCertificate {
    /// Reads a DER certificate.
    ///
    /// # Errors
    /// It is no X.509 certificate.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let (_, cert) = X509Certificate::from_der(der)
            .map_err(|e| Error::Crypto(format!("certificate: {e}")))?;
        let validity = cert.validity();
        let digest = digest::digest(&digest::SHA256, der);
        Ok(Self {
            identity: Identity::of(&cert),
            validity: (validity.not_before.to_datetime(), validity.not_after.to_datetime()),
            fingerprint: hex::encode(digest),
        })
    }

    /// The identity in its subject, while it is valid.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        let (from, to) = self.validity;
        let now = OffsetDateTime::now_utc();
        (from <= now && now <= to).then_some(&self.identity)
    }

    /// Seconds until it is no longer valid; negative afterwards.
    #[must_use]
    pub fn remaining(&self) -> f64 {
        (self.validity.1 - OffsetDateTime::now_utc()).as_seconds_f64()
    }

    /// SHA-256 of the certificate, in hexadecimal.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

impl Identity {
    /// Reads the subject of a DER certificate.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let (_, cert) = X509Certificate::from_der(der)
            .map_err(|e| Error::Crypto(format!("certificate: {e}")))?;
        Ok(Self::of(&cert))
    }

    fn of(cert: &X509Certificate<'_>) -> Self {
        Self::of_subject(cert.subject())
    }

    pub(crate) fn of_subject(subject: &X509Name<'_>) -> Self {
        let text = |a: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            a.as_str().map(str::to_owned).unwrap_or_default()
        };
        Self {
            // Go keeps the last of several (`pkix.Name.FillFromRDNSequence`), and so does whoever
            // has signed the certificate by what Go reads.
            user: subject.iter_common_name().last().map(text).unwrap_or_default(),
            groups: subject.iter_organization().map(text).collect(),
        }
    }
}

impl Issued {
    /// The identity in the certificate's subject.
    ///
    /// # Errors
    /// It is not a certificate.
    pub fn identity(&self) -> Result<Identity> {
        let der = CertificateDer::from_pem_slice(self.cert.as_bytes())
            .map_err(|e| Error::Crypto(format!("certificate: {e}")))?;
        Identity::from_der(&der)
    }

    /// The certificate as whoever is shown it sees it.
    ///
    /// # Errors
    /// It is not a certificate.
    pub fn certificate(&self) -> Result<ClientCertificate> {
        let der = CertificateDer::from_pem_slice(self.cert.as_bytes())
            .map_err(|e| Error::Crypto(format!("certificate: {e}")))?;
        ClientCertificate::from_der(&der)
    }
}

/// A certificate authority kept in a directory as `<name>.crt` and `<name>.key`.
pub struct Authority {
    dir: PathBuf,
    cert: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Opens the authority `name` in `dir`, making it on first use.
    pub fn open(dir: &Path, name: &str) -> Result<Self> {
        std::fs::create_dir_all(dir)
            .map_err(|source| Error::Io { path: dir.display().to_string(), source })?;
        let (cert_path, key_path) = paths(dir, name);
        if !cert_path.exists() {
            refuse_successor(dir, &cert_path)?;
            let key = KeyPair::generate().map_err(crypto)?;
            let mut params =
                params(&Subject { name: "kubernetes", ..Subject::default() }, CA_DAYS)?;
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![
                KeyUsagePurpose::KeyCertSign,
                KeyUsagePurpose::CrlSign,
                KeyUsagePurpose::DigitalSignature,
            ];
            let cert = params.self_signed(&key).map_err(crypto)?;
            crate::write(&key_path, &key.serialize_pem(), true)?;
            crate::write(&cert_path, &cert.pem(), false)?;
        }
        Self::load(&cert_path, &key_path)
    }

    /// Opens an authority that exists, by the files of its certificate and its key.
    ///
    /// # Errors
    /// A file cannot be read, or holds none; the certificate is out of its time.
    pub fn load(cert_path: &Path, key_path: &Path) -> Result<Self> {
        let cert = crate::read(cert_path)?;
        check_validity(cert_path, &cert)?;
        let malformed = |path: &Path| {
            let path = path.display().to_string();
            move |e: rcgen::Error| Error::Malformed { path, why: e.to_string() }
        };
        let key = KeyPair::from_pem(&crate::read(key_path)?).map_err(malformed(key_path))?;
        let issuer = Issuer::from_ca_cert_pem(&cert, key).map_err(malformed(cert_path))?;
        let dir = cert_path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { dir, cert, issuer })
    }

    /// The authority's certificate, PEM.
    pub fn cert(&self) -> &str {
        &self.cert
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// Signs a certificate for `subject`.
    pub fn issue(&self, subject: &Subject<'_>) -> Result<Issued> {
        let key = KeyPair::generate().map_err(crypto)?;
        let mut params = params(subject, LEAF_DAYS)?;
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        if subject.usage.is_client() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        if subject.usage.is_server() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let cert = params.signed_by(&key, &self.issuer).map_err(crypto)?;
        Ok(Issued { cert: cert.pem(), key: key.serialize_pem() })
    }

    /// The certificate kept as `<name>.crt`, issued on first use and when it no longer says what
    /// it must: another identity, another use, further addresses.
    pub fn issue_kept(&self, name: &str, subject: &Subject<'_>) -> Result<Issued> {
        let (cert_path, key_path) = paths(&self.dir, name);
        if cert_path.exists() && key_path.exists() {
            let cert = crate::read(&cert_path)?;
            check_validity(&cert_path, &cert)?;
            if speaks_for(&cert, subject) {
                return Ok(Issued { cert, key: crate::read(&key_path)? });
            }
        }
        let issued = self.issue(subject)?;
        crate::write(&key_path, &issued.key, true)?;
        crate::write(&cert_path, &issued.cert, false)?;
        Ok(issued)
    }
}

/// A certificate of a server that nobody vouches for: for those who have no better one, and whose
/// clients look at something else to know them.
///
/// # Errors
/// The cryptography is unusable.
pub fn self_signed(subject: &Subject<'_>) -> Result<Issued> {
    let key = KeyPair::generate().map_err(crypto)?;
    let mut params = params(subject, LEAF_DAYS)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    let cert = params.self_signed(&key).map_err(crypto)?;
    Ok(Issued { cert: cert.pem(), key: key.serialize_pem() })
}

/// A new authority in place of a lost one would sign what nobody trusts that trusted the old.
fn refuse_successor(dir: &Path, cert: &Path) -> Result<()> {
    let kept = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    let mut kept = kept.filter(|p| p.extension().is_some_and(|e| e == "crt" || e == "key"));
    // The key that signs tokens needs no authority.
    match kept.find(|path| path.file_stem().is_none_or(|stem| stem != "sa")) {
        None => Ok(()),
        Some(other) => Err(Error::Malformed {
            path: cert.display().to_string(),
            why: format!(
                "it is missing, but {} is there: put it back, or remove the whole directory to \
                 begin with a new authority",
                other.display()
            ),
        }),
    }
}

fn paths(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")))
}

pub(crate) fn crypto(e: rcgen::Error) -> Error {
    Error::Crypto(e.to_string())
}

fn params(subject: &Subject<'_>, days: i64) -> Result<CertificateParams> {
    let names: Vec<String> = subject.dns.iter().map(|d| (*d).to_owned()).collect();
    let mut params = CertificateParams::new(names).map_err(crypto)?;
    params.subject_alt_names.extend(subject.ips.iter().map(|ip| SanType::IpAddress(*ip)));
    params.distinguished_name = DistinguishedName::new();
    if !subject.group.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, subject.group);
    }
    params.distinguished_name.push(DnType::CommonName, subject.name);
    let now = OffsetDateTime::now_utc();
    params.not_before = now - BACKDATE;
    params.not_after = now + Duration::days(days);
    Ok(params)
}

fn check_validity(path: &Path, pem: &str) -> Result<()> {
    let path = path.display().to_string();
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes())
        .map_err(|e| Error::Malformed { path: path.clone(), why: e.to_string() })?;
    let cert = block
        .parse_x509()
        .map_err(|e| Error::Malformed { path: path.clone(), why: e.to_string() })?;
    let now = OffsetDateTime::now_utc();
    let (start, end) = (cert.validity().not_before, cert.validity().not_after);
    if now < start.to_datetime() {
        return Err(Error::NotYetValid { path, at: start.to_string() });
    }
    if now > end.to_datetime() {
        return Err(Error::Expired { path, at: end.to_string() });
    }
    Ok(())
}

fn speaks_for(pem: &str, subject: &Subject<'_>) -> bool {
    let Ok((_, block)) = x509_parser::pem::parse_x509_pem(pem.as_bytes()) else { return false };
    let Ok(cert) = block.parse_x509() else { return false };
    let groups: &[&str] = if subject.group.is_empty() { &[] } else { &[subject.group] };
    let identity = Identity::of(&cert);
    let usage = cert.extended_key_usage().ok().flatten();
    let usage = usage.is_some_and(|usage| {
        usage.value.client_auth == subject.usage.is_client()
            && usage.value.server_auth == subject.usage.is_server()
    });
    if identity.user != subject.name || identity.groups != groups || !usage {
        return false;
    }
    let names = cert.subject_alternative_name().ok().flatten();
    let names = names.map(|n| n.value.general_names.as_slice()).unwrap_or_default();
    use x509_parser::extensions::GeneralName::{DNSName, IPAddress};
    let octets = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    subject.dns.iter().all(|d| names.iter().any(|n| matches!(n, DNSName(x) if x == d)))
        && subject
            .ips
            .iter()
            .all(|ip| names.iter().any(|n| matches!(n, IPAddress(x) if *x == octets(ip))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issues_keeps_and_renews_for_new_addresses() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Authority::open(dir.path(), "ca").unwrap();
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        let subject = Subject { name: "kube-apiserver", ips: &[local], ..Subject::default() };
        let first = ca.issue_kept("apiserver", &subject).unwrap();
        let again = Authority::open(dir.path(), "ca").unwrap();
        assert_eq!(again.cert(), ca.cert());
        assert_eq!(again.issue_kept("apiserver", &subject).unwrap().cert, first.cert);
        let other: IpAddr = "127.0.0.2".parse().unwrap();
        let wider = Subject { ips: &[local, other], ..subject };
        assert_ne!(again.issue_kept("apiserver", &wider).unwrap().cert, first.cert);
    }

    #[test]
    fn a_lost_authority_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Authority::open(dir.path(), "ca").unwrap();
        ca.issue_kept("admin", &Subject { name: "admin", ..Subject::default() }).unwrap();
        std::fs::remove_file(dir.path().join("ca.crt")).unwrap();
        let error = Authority::open(dir.path(), "ca").err().unwrap().to_string();
        assert!(error.contains("ca.crt") && error.contains("is missing"), "{error}");
    }

    #[test]
    fn what_was_issued_for_more_is_issued_again_for_less() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Authority::open(dir.path(), "ca").unwrap();
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        let wide = Subject {
            name: "server",
            group: "system:masters",
            ips: &[local],
            usage: Usage::Node,
            ..Subject::default()
        };
        let first = ca.issue_kept("x", &wide).unwrap();
        let narrow = Subject { group: "", usage: Usage::Server, ..wide };
        let second = ca.issue_kept("x", &narrow).unwrap();
        assert_ne!(first.cert, second.cert);
        assert!(second.identity().unwrap().groups.is_empty());
        assert_eq!(ca.issue_kept("x", &narrow).unwrap().cert, second.cert);
    }

    #[test]
    fn a_client_certificate_ends_with_its_time() {
        let key = KeyPair::generate().unwrap();
        for (start, end, valid) in [(-20, -10, false), (-1, 1, true), (10, 20, false)] {
            let mut params = params(&Subject { name: "u", ..Subject::default() }, 1).unwrap();
            params.not_before = OffsetDateTime::now_utc() + Duration::days(start);
            params.not_after = OffsetDateTime::now_utc() + Duration::days(end);
            let cert = params.self_signed(&key).unwrap();
            let client = ClientCertificate::from_der(cert.der()).unwrap();
            assert_eq!(client.identity().is_some(), valid, "{start} {end}");
        }
    }

    #[test]
    fn reads_user_and_groups() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Authority::open(dir.path(), "ca").unwrap();
        let issued = ca
            .issue(&Subject { name: "admin", group: "system:masters", ..Subject::default() })
            .unwrap();
        let (_, block) = x509_parser::pem::parse_x509_pem(issued.cert.as_bytes()).unwrap();
        let identity = Identity::from_der(&block.contents).unwrap();
        assert_eq!(identity.user, "admin");
        assert_eq!(identity.groups, ["system:masters"]);
    }

    /// DER of an element with this tag and content.
    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag, u8::try_from(content.len()).unwrap()];
        out.extend(content);
        out
    }

    #[test]
    fn the_last_name_is_the_user_and_every_organization_a_group() {
        // Attributes of X.520: 2.5.4.3 is the common name, 2.5.4.10 the organization.
        let attribute = |(kind, value): &(u8, &str)| {
            let mut pair = der(0x06, &[0x55, 0x04, *kind]);
            pair.extend(der(0x0c, value.as_bytes()));
            der(0x30, &pair)
        };
        let alone = |a: &(u8, &str)| der(0x31, &attribute(a));
        let all = [(3, "first"), (10, "b"), (3, "second"), (10, "a"), (10, "b")];
        let apart: Vec<u8> = all.iter().flat_map(alone).collect();
        // One element of several attributes, and one more.
        let together: Vec<u8> = all[..4].iter().flat_map(attribute).collect();
        let together = [der(0x31, &together), alone(&all[4])].concat();
        for names in [apart, together] {
            let subject = der(0x30, &names);
            let (_, subject) = X509Name::from_der(&subject).unwrap();
            let identity = Identity::of_subject(&subject);
            assert_eq!(identity.user, "second");
            assert_eq!(identity.groups, ["b", "a", "b"]);
        }
    }

    #[test]
    fn certificates_out_of_their_time_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (start, end, want_expired) in [(-20, -10, true), (10, 20, false)] {
            let key = KeyPair::generate().unwrap();
            let mut params = params(&Subject { name: "x", ..Subject::default() }, 1).unwrap();
            params.not_before = OffsetDateTime::now_utc() + Duration::days(start);
            params.not_after = OffsetDateTime::now_utc() + Duration::days(end);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let cert = params.self_signed(&key).unwrap();
            std::fs::write(dir.path().join("ca.crt"), cert.pem()).unwrap();
            std::fs::write(dir.path().join("ca.key"), key.serialize_pem()).unwrap();
            match Authority::open(dir.path(), "ca") {
                Err(Error::Expired { .. }) => assert!(want_expired),
                Err(Error::NotYetValid { .. }) => assert!(!want_expired),
                Err(e) => panic!("{e}"),
                Ok(_) => panic!("accepted"),
            }
        }
    }
}
