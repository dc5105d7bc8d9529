//! The authority which signs the certificates of our servers: read it from its Secret, or make one.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber,
};

use crate::{
    BUNDLE, CERTIFICATE, Error, SecretData,
    certificate::{Certificate, Role},
    span::{self, Span},
};

/// What its common name begins with. A part of its serial number follows, so that no two
/// authorities have the same name: verifiers look for the issuer by name.
const NAME: &str = "security-profiles-operator-ca";

/// How many bytes of the key's digest are the serial number. RFC 5280 allows 20.
const SERIAL_BYTES: usize = 16;
/// How many of them stand in the name.
const SUFFIX_BYTES: usize = 4;

/// An authority with its key.
pub(crate) struct Authority {
    pub(crate) certificate: Certificate,
    key: KeyPair,
}

impl Authority {
    /// The authority of a Secret, if it is good at a time; otherwise why not.
    pub(crate) fn read(found: Option<&SecretData>, at: i64) -> Result<Self, &'static str> {
        let data = found.ok_or("there is none")?;
        let certificate =
            Certificate::read(data, CERTIFICATE).ok_or("tls.crt is not a certificate")?;
        if !is_ours(&certificate) {
            return Err("tls.crt is not an authority which was made here");
        }
        let key = certificate
            .key(data)
            .ok_or("tls.key is not the key of tls.crt")?;
        certificate.span.judge(at)?;
        Ok(Self { certificate, key })
    }

    /// Makes a new one.
    pub(crate) fn make(span: Span) -> Result<Self, Error> {
        let error = |source| Error::Make {
            name: NAME.to_owned(),
            source,
        };
        let key = KeyPair::generate().map_err(error)?;
        let mut params = CertificateParams::default();
        let mut serial = params.key_identifier(&key);
        serial.truncate(SERIAL_BYTES);
        if let Some(first) = serial.first_mut() {
            // Positive, and not shorter because of a leading zero.
            *first = *first & 0x7f | 0x40;
        }
        let suffix: String = serial
            .iter()
            .take(SUFFIX_BYTES)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, format!("{NAME}-{suffix}"));
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_before = span::date(span.begin);
        params.not_after = span::date(span.end);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let signed = params.self_signed(&key).map_err(error)?;
        let certificate = Certificate::parse(signed.der().to_vec())
            .ok_or_else(|| error(rcgen::Error::CouldNotParseCertificate))?;
        Ok(Self { certificate, key })
    }

    /// For the generator.
    pub(crate) fn issuer(&self) -> Result<Issuer<'_, &KeyPair>, rcgen::Error> {
        Issuer::from_ca_cert_der(&self.certificate.der().into(), &self.key)
    }

    pub(crate) fn renew_at(&self) -> i64 {
        self.certificate.span.renew_at()
    }

    /// Its Secret.
    pub(crate) fn data(&self, bundle: &str) -> SecretData {
        self.certificate.data(&self.key, (BUNDLE, bundle))
    }
}

/// Whether a certificate is an authority of the kind which is made here.
pub(crate) fn is_ours(certificate: &Certificate) -> bool {
    certificate.role == Role::Authority
        && certificate
            .common_name
            .as_deref()
            .is_some_and(|name| name.starts_with(NAME))
        && certificate.is_signed_by(certificate)
}
