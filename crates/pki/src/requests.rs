//! Certificate signing requests (PKCS #10, RFC 2986), and what the authority makes of them.

use std::net::IpAddr;

use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyUsagePurpose, SanType,
    SerialNumber, SigningKey,
};
use ring::digest;
use time::{Duration, OffsetDateTime};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::authority::{Authority, BACKDATE, crypto};
use crate::blocks::{blocks, encode};
use crate::pem::Refused;
use crate::{Error, Identity};

/// The end of certificates that live shorter than this is not moved with their beginning.
const SHORT: Duration = Duration::hours(8);

/// A request whose signature is that of the key in it.
#[derive(Debug)]
pub struct Request {
    /// Its subject.
    pub identity: Identity,
    /// The names of the DNS that it asks for.
    pub dns_names: Vec<String>,
    /// Mail addresses.
    pub emails: Vec<String>,
    /// IP addresses.
    pub ips: Vec<IpAddr>,
    /// URIs.
    pub uris: Vec<String>,
    subject: Vec<u8>,
    public_key: Vec<u8>,
}

impl Request {
    /// Reads the first block of PEM, `CERTIFICATE REQUEST`.
    ///
    /// # Errors
    /// There is none, or its signature is not that of its key.
    pub fn from_pem(text: &str) -> Result<Self, Refused> {
        let block = Pem::iter_from_buffer(text.as_bytes()).next().and_then(Result::ok);
        let block = block.filter(|b| b.label == "CERTIFICATE REQUEST").ok_or(Refused::NoRequest)?;
        Self::from_der(&block.contents)
    }

    fn from_der(der: &[u8]) -> Result<Self, Refused> {
        let malformed = |why: &str| Refused::Request(why.to_owned());
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|why| malformed(&why.to_string()))?;
        if !rest.is_empty() {
            return Err(malformed("trailing data"));
        }
        if !crate::proof::is_signed(&request) {
            return Err(Refused::Signature);
        }
        let info = &request.certification_request_info;
        let mut read = Self {
            identity: Identity::of_subject(&info.subject),
            dns_names: Vec::new(),
            emails: Vec::new(),
            ips: Vec::new(),
            uris: Vec::new(),
            subject: info.subject.as_raw().to_vec(),
            public_key: info.subject_pki.raw.to_vec(),
        };
        for extension in request.requested_extensions().into_iter().flatten() {
            let ParsedExtension::SubjectAlternativeName(names) = extension else { continue };
            for name in &names.general_names {
                match name {
                    GeneralName::DNSName(name) => read.dns_names.push((*name).to_owned()),
                    GeneralName::RFC822Name(name) => read.emails.push((*name).to_owned()),
                    GeneralName::URI(name) => read.uris.push((*name).to_owned()),
                    GeneralName::IPAddress(octets) => {
                        read.ips.push(address(octets).ok_or_else(|| malformed("IP address"))?);
                    }
                    _ => {}
                }
            }
        }
        Ok(read)
    }

    fn alternative_names(&self) -> Result<Vec<SanType>, Error> {
        let text = |text: &String| text.as_str().try_into().map_err(crypto);
        let dns = self.dns_names.iter().map(|name| Ok(SanType::DnsName(text(name)?)));
        let emails = self.emails.iter().map(|name| Ok(SanType::Rfc822Name(text(name)?)));
        let ips = self.ips.iter().map(|ip| Ok(SanType::IpAddress(*ip)));
        let uris = self.uris.iter().map(|name| Ok(SanType::URI(text(name)?)));
        dns.chain(emails).chain(ips).chain(uris).collect()
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
        _ => None,
    }
}

/// The key usages of the API (`certificates.k8s.io/v1` KeyUsage) in a certificate.
fn usages(names: &[String]) -> Result<(Vec<KeyUsagePurpose>, Vec<ExtendedKeyUsagePurpose>), Error> {
    use ExtendedKeyUsagePurpose as Extended;
    use KeyUsagePurpose as Key;
    const KEY_PURPOSE: [u64; 8] = [1, 3, 6, 1, 5, 5, 7, 3];
    let ipsec = |last: u64| Extended::Other([&KEY_PURPOSE[..], &[last]].concat());
    let (mut keys, mut extended) = (Vec::new(), Vec::new());
    for name in names {
        let key = match name.as_str() {
            "signing" | "digital signature" => Key::DigitalSignature,
            "content commitment" => Key::ContentCommitment,
            "key encipherment" => Key::KeyEncipherment,
            "key agreement" => Key::KeyAgreement,
            "data encipherment" => Key::DataEncipherment,
            "cert sign" => Key::KeyCertSign,
            "crl sign" => Key::CrlSign,
            "encipher only" => Key::EncipherOnly,
            "decipher only" => Key::DecipherOnly,
            other => {
                let purpose = match other {
                    "any" => Extended::Any,
                    "server auth" => Extended::ServerAuth,
                    "client auth" => Extended::ClientAuth,
                    "code signing" => Extended::CodeSigning,
                    "email protection" | "s/mime" => Extended::EmailProtection,
                    "ipsec end system" => ipsec(5),
                    "ipsec tunnel" => ipsec(6),
                    "ipsec user" => ipsec(7),
                    "timestamping" => Extended::TimeStamping,
                    "ocsp signing" => Extended::OcspSigning,
                    "microsoft sgc" => Extended::Other(vec![1, 3, 6, 1, 4, 1, 311, 10, 3, 3]),
                    "netscape sgc" => Extended::Other(vec![2, 16, 840, 1, 113_730, 4, 1]),
                    _ => {
                        let why = format!("unrecognized usage values: [{other:?}]");
                        return Err(Error::Crypto(why));
                    }
                };
                if !extended.contains(&purpose) {
                    extended.push(purpose);
                }
                continue;
            }
        };
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Ok((keys, extended))
}

impl Authority {
    /// Signs a certificate with the subject, the key and the alternative names of a request, for these
    /// usages of the API; PEM. It ends with the authority's own at the latest.
    ///
    /// # Errors
    /// A usage is unknown, the authority has expired, or the cryptography fails.
    pub fn sign(
        &self,
        request: &Request,
        usage: &[String],
        life: Duration,
    ) -> Result<String, Error> {
        let (key_usages, extended_key_usages) = usages(usage)?;
        let now = OffsetDateTime::now_utc();
        let last = self.not_after()?;
        if now >= last {
            let why = format!("refusing to sign a certificate that expired in the past: {last}");
            return Err(Error::Crypto(why));
        }
        let end = if life < SHORT { now + life } else { now + life - BACKDATE };
        let identifier = digest::digest(&digest::SHA256, &request.public_key);
        let mut serial: [u8; 16] = rand::random();
        // Positive, as RFC 5280, 4.1.2.2 demands.
        serial[0] &= 0x7f;
        let mut params = CertificateParams::default();
        params.subject_alt_names = request.alternative_names()?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        (params.not_before, params.not_after) = (now - BACKDATE, end.min(last));
        (params.key_usages, params.extended_key_usages) = (key_usages, extended_key_usages);
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_identifier_method =
            KeyIdMethod::PreSpecified(identifier.as_ref()[..20].to_vec());
        let issuer = self.issuer();
        let ours = params.signed_by(issuer.key(), issuer).map_err(crypto)?;
        // The library makes subjects without their repeated names, and keys of few algorithms.
        let body = with_subject(ours.der(), &request.subject, &request.public_key);
        let (body, algorithm) = body.map_err(|why| Error::Crypto(why.to_string()))?;
        let signature = issuer.key().sign(&body).map_err(crypto)?;
        let der = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_der(&body);
                writer.next().write_der(&algorithm);
                writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
            });
        });
        Ok(encode("CERTIFICATE", &der))
    }

    fn not_after(&self) -> Result<OffsetDateTime, Error> {
        let blocks = blocks(self.cert());
        let der = blocks.first().map(|block| block.contents.as_slice()).unwrap_or_default();
        let (_, own) = X509Certificate::from_der(der)
            .map_err(|why| Error::Crypto(format!("certificate: {why}")))?;
        Ok(own.validity().not_after.to_datetime())
    }
}

/// The part of a certificate that is signed (`TBSCertificate` of RFC 5280, 4.1) with another subject
/// and key, and the algorithm with which it is signed.
fn with_subject(
    certificate: &[u8],
    subject: &[u8],
    public_key: &[u8],
) -> yasna::ASN1Result<(Vec<u8>, Vec<u8>)> {
    let (parts, algorithm) = yasna::parse_der(certificate, |reader| {
        reader.read_sequence(|reader| {
            let parts = reader.next().read_sequence(|reader| {
                // Version, serial number, algorithm, issuer, validity, subject, key, extensions.
                (0..8).map(|_| reader.next().read_der()).collect::<yasna::ASN1Result<Vec<_>>>()
            })?;
            let algorithm = reader.next().read_der()?;
            reader.next().read_bitvec_bytes()?;
            Ok((parts, algorithm))
        })
    })?;
    let body = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            for (at, part) in parts.iter().enumerate() {
                let part = match at {
                    5 => subject,
                    6 => public_key,
                    _ => part,
                };
                writer.next().write_der(part);
            }
        });
    });
    Ok((body, algorithm))
}

#[cfg(test)]
mod tests {
    use rcgen::{DnType, KeyPair};

    use super::*;

    fn request(change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "someone");
        params.distinguished_name.push(DnType::OrganizationName, "group");
        change(&mut params);
        params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
    }

    #[test]
    fn a_request_becomes_a_certificate_that_the_authority_has_signed() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Authority::open(dir.path(), "ca").unwrap();
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        let request = request(|params| {
            params.subject_alt_names.push(SanType::IpAddress(local));
            // Whoever asks to be an authority does not become one.
            params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        });
        let request = Request::from_pem(&request).unwrap();
        assert_eq!((request.identity.user.as_str(), &request.ips[..]), ("someone", &[local][..]));
        let usages = ["client auth", "digital signature"].map(str::to_owned);
        let hour = Duration::hours(1);
        let made = ca.sign(&request, &usages, hour).unwrap();
        assert_ne!(ca.sign(&request, &usages, hour).unwrap(), made);
        let (_, block) = x509_parser::pem::parse_x509_pem(made.as_bytes()).unwrap();
        let (_, authority) = x509_parser::pem::parse_x509_pem(ca.cert().as_bytes()).unwrap();
        let (cert, authority) = (block.parse_x509().unwrap(), authority.parse_x509().unwrap());
        cert.verify_signature(Some(authority.public_key())).unwrap();
        assert_eq!(cert.issuer(), authority.subject());
        assert_eq!(cert.public_key().raw, request.public_key);
        assert!(!cert.is_ca());
        let identity = Identity::from_der(&block.contents).unwrap();
        assert_eq!(
            (identity.user.as_str(), &identity.groups[..]),
            ("someone", &["group".into()][..])
        );
        let extended = cert.extended_key_usage().unwrap().unwrap().value;
        assert!(extended.client_auth && !extended.server_auth);
        let left = cert.validity().time_to_expiration().unwrap();
        assert!(left <= hour && left > hour - Duration::minutes(1), "{left}");
        let long = ca.sign(&request, &usages, Duration::days(100_000)).unwrap();
        let (_, block) = x509_parser::pem::parse_x509_pem(long.as_bytes()).unwrap();
        let end = block.parse_x509().unwrap().validity().not_after;
        assert_eq!(end, authority.validity().not_after);
    }

    #[test]
    fn repeated_organizations_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Authority::open(dir.path(), "ca").unwrap();
        let mut made = Request::from_pem(&request(|_| {})).unwrap();
        // Two organizations (2.5.4.10), of which a map of names would keep one.
        made.subject = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                for group in ["one", "two"] {
                    writer.next().write_set(|writer| {
                        writer.next().write_sequence(|writer| {
                            let kind = yasna::models::ObjectIdentifier::from_slice(&[2, 5, 4, 10]);
                            writer.next().write_oid(&kind);
                            writer.next().write_utf8_string(group);
                        });
                    });
                }
            });
        });
        let made = ca.sign(&made, &["client auth".to_owned()], Duration::hours(9)).unwrap();
        let (_, block) = x509_parser::pem::parse_x509_pem(made.as_bytes()).unwrap();
        assert_eq!(Identity::from_der(&block.contents).unwrap().groups, ["one", "two"]);
    }

    #[test]
    fn what_is_no_request_of_its_own_key_is_refused() {
        let good = request(|_| {});
        let der = blocks(&good)[0].contents.clone();
        for (at, of) in [(der.len() - 1, "signature"), (30, "subject")] {
            let mut changed = der.clone();
            changed[at] ^= 1;
            assert!(Request::from_der(&changed).is_err(), "{of}");
        }
        let other = good.replace("CERTIFICATE REQUEST", "CERTIFICATE");
        assert!(Request::from_pem(&other).is_err());
        assert!(Request::from_pem("").is_err());
        assert!(usages(&["fly".to_owned()]).is_err());
    }
}
