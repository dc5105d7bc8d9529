//! The TLS implementation of the process, and serving with it.
//!
//! [`Identity`] is what a server shows, [`follow`] keeps it at what two files say, and [`serve`] is
//! the server.

mod follow;
mod identity;
mod server;

pub use follow::follow;
pub use identity::{Identity, IdentityError};
pub use server::{Bounds, MinVersion, serve};

/// Makes ring the provider of rustls for the whole process. To be called once, first thing in
/// `main`: clients that are built without a provider panic.
pub fn install_provider() {
    // An error means that one is installed already, which is as good.
    let _already = rustls::crypto::ring::default_provider().install_default();
}
