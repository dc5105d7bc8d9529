//! The certificate of a server: read it from its Secret, or make one.

use std::collections::BTreeSet;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, string::Ia5String,
};

use crate::{
    CERTIFICATE, Error, SERVING_BUNDLE, SecretData,
    authority::Authority,
    certificate::{Certificate, Role},
    span::{self, Span},
};

/// A server which needs a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// The name of its Secret.
    pub secret: String,
    /// The DNS names under which it is called; the first is its common name too.
    pub names: Vec<String>,
}

/// A common name may not be longer (RFC 5280, ub-common-name), in bytes. A longer one is left out;
/// verifiers look at the other names only.
const COMMON_NAME_MAX: usize = 64;

impl Serving {
    /// With its names in lower case, each once.
    pub(crate) fn checked(&self) -> Result<Self, Error> {
        let mut names = Vec::new();
        for name in &self.names {
            let lower = name.to_ascii_lowercase();
            if !is_dns_name(&lower) {
                return Err(Error::InvalidName {
                    secret: self.secret.clone(),
                    name: name.clone(),
                });
            }
            if !names.contains(&lower) {
                names.push(lower);
            }
        }
        let secret = self.secret.clone();
        if names.is_empty() {
            return Err(Error::NoNames { secret });
        }
        Ok(Self { secret, names })
    }
}

/// The certificate of a server with its key, as it stands in its Secret or will.
pub(crate) struct Pair {
    certificate: Certificate,
    key: KeyPair,
}

impl Pair {
    /// The certificate of a Secret, if it is good for this server at a time; otherwise why not.
    pub(crate) fn read(
        found: Option<&SecretData>,
        server: &Serving,
        authority: &Authority,
        at: i64,
    ) -> Result<Self, &'static str> {
        let data = found.ok_or("there is none")?;
        let certificate =
            Certificate::read(data, CERTIFICATE).ok_or("tls.crt is not a certificate")?;
        let wanted: BTreeSet<String> = server.names.iter().cloned().collect();
        if certificate.role != Role::Server {
            return Err("tls.crt is not for a server");
        }
        if certificate.names.as_ref() != Some(&wanted) {
            return Err("the names changed");
        }
        if !certificate.is_signed_by(&authority.certificate) {
            return Err("another authority signed it");
        }
        let key = certificate
            .key(data)
            .ok_or("tls.key is not the key of tls.crt")?;
        certificate.span.judge(at)?;
        Ok(Self { certificate, key })
    }

    /// Makes a new one, which ends with its authority at the latest.
    pub(crate) fn make(server: &Serving, authority: &Authority, span: Span) -> Result<Self, Error> {
        let error = |source| Error::Make {
            name: format!("secret {}", server.secret),
            source,
        };
        let span = span.until(authority.certificate.span.end);
        let key = KeyPair::generate().map_err(error)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if let Some(first) = server.names.first()
            && first.len() <= COMMON_NAME_MAX
        {
            let name = first.as_str();
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.subject_alt_names = server
            .names
            .iter()
            .map(|name| Ia5String::try_from(name.as_str()).map(SanType::DnsName))
            .collect::<Result<_, _>>()
            .map_err(error)?;
        params.not_before = span::date(span.begin);
        params.not_after = span::date(span.end);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let issuer = authority.issuer().map_err(error)?;
        let signed = params.signed_by(&key, &issuer).map_err(error)?;
        let certificate = Certificate::parse(signed.der().to_vec())
            .ok_or_else(|| error(rcgen::Error::CouldNotParseCertificate))?;
        Ok(Self { certificate, key })
    }

    pub(crate) fn renew_at(&self) -> i64 {
        self.certificate.span.renew_at()
    }

    /// Its Secret.
    pub(crate) fn data(&self, bundle: &str) -> SecretData {
        self.certificate.data(&self.key, (SERVING_BUNDLE, bundle))
    }
}

/// Whether this is a name of lower-case labels (RFC 1123).
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}
