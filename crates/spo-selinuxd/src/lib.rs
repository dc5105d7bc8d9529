//! selinuxd: the service which installs SELinux modules on a node (contract 02a, 3.7 and 3.8).
//!
//! [`client`] talks to whatever serves the socket: selinuxd's image, or our own backend.

pub mod client;
pub mod status;
