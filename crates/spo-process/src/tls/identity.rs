//! Pure. Identity: the certificate chain and the key which a server shows.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

/// A certificate, the ones that vouch for it, and the key of the first.
pub struct Identity(Arc<CertifiedKey>);

/// Why two PEM texts are no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A block in the first text is broken.
    #[error("the certificates can not be read as PEM")]
    Certificates(#[source] pem::Error),
    /// The first text has no block `CERTIFICATE`.
    #[error("there is no certificate: a PEM block CERTIFICATE is needed")]
    NoCertificate,
    /// The second text has no key that can be read.
    #[error("there is no private key: a PEM block with PKCS #8, PKCS #1 or SEC1 is needed")]
    NoKey(#[source] pem::Error),
    /// The key is of a kind that nobody here can sign with.
    #[error("the private key can not be used: RSA, ECDSA P-256, P-384 and Ed25519 can")]
    Key(#[source] Error),
    /// The pair is of two files that do not belong together, or is being replaced right now.
    #[error("the private key does not belong to the first certificate")]
    Mismatch,
    /// The first certificate is not one.
    #[error("the first certificate can not be read")]
    Certificate(#[source] Error),
    /// None could be made.
    #[error("a self-signed certificate can not be made")]
    SelfSigned(#[source] rcgen::Error),
}

impl Identity {
    /// Reads an identity from PEM: the certificate of the server first, then those that vouch for
    /// it; and the key.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(IdentityError::Certificates)?;
        if chain.is_empty() {
            return Err(IdentityError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(IdentityError::NoKey)?;
        let key = ring::sign::any_supported_type(&key).map_err(IdentityError::Key)?;
        let pair = CertifiedKey::new(chain, key);
        match pair.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Self(Arc::new(pair)))
            }
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(IdentityError::Mismatch)
            }
            Err(error) => Err(IdentityError::Certificate(error)),
        }
    }

    /// Makes an identity that nobody vouches for but itself, for a server that must not wait for a
    /// better one.
    pub fn self_signed(name: &str) -> Result<Self, IdentityError> {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]);
        let made = made.map_err(IdentityError::SelfSigned)?;
        let key = made.signing_key.serialize_pem();
        Self::from_pem(made.cert.pem().as_bytes(), key.as_bytes())
    }

    pub(super) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0)
    }
}

/// Without the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} certificates)", self.0.cert.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn check(certificates: &str, key: &str, expected: &str) {
        let read = Identity::from_pem(certificates.as_bytes(), key.as_bytes());
        let said = read.map_or_else(
            |error| error.to_string(),
            |identity| format!("{identity:?}"),
        );
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn an_identity_can_vouch_for_itself() {
        let made = Identity::self_signed("metrics.ns.svc").unwrap();
        assert_eq!(format!("{made:?}"), "Identity(1 certificates)");
    }

    #[test]
    fn a_pair_is_an_identity_and_anything_else_says_why_not() {
        let ((certificate, key), (other, other_key)) = (pair(), pair());
        check(&certificate, &key, "Identity(1 certificates)");
        check(&format!("{certificate}{other}"), &key, "(2 certificates)");
        check("", &key, "there is no certificate");
        check(&key, &key, "there is no certificate");
        check(&certificate, "", "there is no private key");
        check(&certificate, &certificate, "there is no private key");
        check(&certificate, &other_key, "does not belong");
        check(&certificate.replace("-----END", ""), &key, "as PEM");
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        check(empty, &key, "the first certificate can not be read");
        let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        check(&certificate, no_key, "the private key can not be used");
    }
}
