//! The TLS implementation of the process.

/// Makes ring the provider of rustls for the whole process. To be called once, first thing in
/// `main`: clients that are built without a provider panic.
pub fn install_provider() {
    // An error means that one is installed already, which is as good.
    let _already = rustls::crypto::ring::default_provider().install_default();
}
