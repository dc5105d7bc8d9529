//! Pure. A certificate as it was found: what we need to know of it, and whether its parts fit.

use std::collections::BTreeSet;

use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{KeyPair, PublicKeyData as _};
use x509_parser::{
    certificate::X509Certificate,
    der_parser::asn1_rs::{Tag, oid},
    extensions::GeneralName,
    prelude::FromDer as _,
};

use crate::{SecretData, span::Span};

/// A certificate of which all parts that matter here can be read.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    der: Vec<u8>,
    pub(crate) span: Span,
    /// The whole subject, encoded.
    subject: Vec<u8>,
    /// The whole issuer, encoded.
    issuer: Vec<u8>,
    /// The public key with its algorithm, encoded.
    public_key: Vec<u8>,
    /// If the subject is a common name in UTF-8 and nothing else. The generator might spell
    /// another subject anew, and an issuer must be spelled like the subject it names.
    pub(crate) common_name: Option<String>,
    pub(crate) role: Role,
    /// `None`: it has others than DNS names, or a name twice, or none at all.
    pub(crate) names: Option<BTreeSet<String>>,
}

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// To sign the certificates of servers, and nothing below them.
    Authority,
    /// By a server.
    Server,
    /// For anything else.
    Other,
}

/// More than any certificate or bundle of ours, in bytes; what is longer is not read.
const PEM_MAX: usize = 64 * 1024;

const LABEL: &str = "CERTIFICATE";

impl Certificate {
    /// The first certificate of a text in PEM.
    pub(crate) fn read(data: &SecretData, key: &str) -> Option<Self> {
        Self::read_all(data, key).into_iter().next()
    }

    /// Every certificate of a text in PEM; what else is in it is passed over. If a block is
    /// damaged, none.
    pub(crate) fn read_all(data: &SecretData, key: &str) -> Vec<Self> {
        let text = data.get(key).map_or(&[][..], Vec::as_slice);
        if text.len() > PEM_MAX {
            return Vec::new();
        }
        pem::parse_many(text)
            .unwrap_or_default()
            .into_iter()
            .filter(|block| block.tag() == LABEL)
            .filter_map(|block| Self::parse(block.into_contents()))
            .collect()
    }

    /// Reads DER.
    pub(crate) fn parse(der: Vec<u8>) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(&der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let validity = parsed.validity();
        let certificate = Self {
            span: Span {
                begin: validity.not_before.timestamp(),
                end: validity.not_after.timestamp(),
            },
            subject: parsed.subject().as_raw().to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
            public_key: parsed.public_key().raw.to_vec(),
            common_name: common_name(&parsed),
            role: role(&parsed),
            names: names(&parsed),
            der: Vec::new(),
        };
        Some(Self { der, ..certificate })
    }

    pub(crate) fn pem(&self) -> String {
        let block = Pem::new(LABEL, self.der.as_slice());
        pem::encode_config(&block, EncodeConfig::new().set_line_ending(LineEnding::LF))
    }

    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether an authority issued and signed this, and nobody has touched it since.
    pub(crate) fn is_signed_by(&self, authority: &Self) -> bool {
        if self.issuer != authority.subject {
            return false;
        }
        let (Ok((_, signed)), Ok((_, signer))) = (
            X509Certificate::from_der(&self.der),
            X509Certificate::from_der(&authority.der),
        ) else {
            return false;
        };
        signed.verify_signature(Some(signer.public_key())).is_ok() && is_exact(&signed, &self.der)
    }

    /// A Secret of this, its key, and a bundle under its name. It is spelled anew and not as it was
    /// found: other readers of PEM are stricter than ours.
    pub(crate) fn data(&self, key: &KeyPair, (name, bundle): (&str, &str)) -> SecretData {
        SecretData::from([
            (crate::CERTIFICATE.to_owned(), self.pem().into_bytes()),
            (crate::KEY.to_owned(), key.serialize_pem().into_bytes()),
            (name.to_owned(), bundle.as_bytes().to_vec()),
        ])
    }

    /// The private key of a Secret, if it is the one of this certificate and of the kind we make.
    pub(crate) fn key(&self, data: &SecretData) -> Option<KeyPair> {
        let text = std::str::from_utf8(data.get(crate::KEY)?).ok()?;
        if text.len() > PEM_MAX {
            return None;
        }
        let algorithm = &rcgen::PKCS_ECDSA_P256_SHA256;
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(text, algorithm).ok()?;
        (key.subject_public_key_info() == self.public_key).then_some(key)
    }
}

/// Whether a certificate is encoded as the generator does around the part which is signed.
///
/// The parser is more lenient there than others. One certificate which they do not read would make
/// the whole bundle useless to them.
fn is_exact(parsed: &X509Certificate<'_>, der: &[u8]) -> bool {
    let mut signature = vec![0];
    signature.extend_from_slice(&parsed.signature_value.data);
    let mut parts = parsed.tbs_certificate.as_ref().to_vec();
    parts.extend_from_slice(ECDSA_WITH_SHA256);
    parts.append(&mut element(BIT_STRING, &signature));
    element(SEQUENCE, &parts) == der
}

/// The identifier of our algorithm of signatures, encoded (RFC 5758, 3.2).
const ECDSA_WITH_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// Tag, length and content (X.690, 10.1).
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut encoded = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short @ 0..0x80) => encoded.push(short),
        Ok(_) | Err(_) => {
            let length = content.len().to_be_bytes();
            let length = length.iter().copied().skip_while(|byte| *byte == 0);
            let length: Vec<u8> = length.collect();
            // At most the bytes of a `usize`.
            encoded.push(0x80 | length.len() as u8);
            encoded.extend(length);
        }
    }
    encoded.extend_from_slice(content);
    encoded
}

fn common_name(parsed: &X509Certificate<'_>) -> Option<String> {
    let mut sets = parsed.subject().iter_rdn();
    let mut parts = sets.next()?.iter();
    let part = parts.next()?;
    let is_alone = parts.next().is_none() && sets.next().is_none();
    let is_text = part.attr_value().tag() == Tag::Utf8String;
    let is_common_name = *part.attr_type() == oid!(2.5.4.3);
    (is_alone && is_text && is_common_name).then(|| part.as_str().ok().map(str::to_owned))?
}

fn role(parsed: &X509Certificate<'_>) -> Role {
    let is_ca = match parsed.basic_constraints() {
        Ok(Some(found)) => found.value.ca,
        Ok(None) => false,
        Err(_) => return Role::Other,
    };
    if is_ca {
        return match parsed.key_usage() {
            Ok(Some(usage)) if usage.value.key_cert_sign() => Role::Authority,
            _ => Role::Other,
        };
    }
    match parsed.extended_key_usage() {
        Ok(Some(usage)) if usage.value.server_auth => Role::Server,
        _ => Role::Other,
    }
}

fn names(parsed: &X509Certificate<'_>) -> Option<BTreeSet<String>> {
    let found = parsed.subject_alternative_name().ok()??;
    let mut names = BTreeSet::new();
    for name in &found.value.general_names {
        let GeneralName::DNSName(name) = name else {
            return None;
        };
        if !names.insert((*name).to_owned()) {
            return None;
        }
    }
    Some(names)
}
