//! selinuxd: the service which installs SELinux modules on a node (contract 02a, 3.7 and 3.8).
//!
//! [`client`] talks to whatever serves the socket: selinuxd's image, or [`daemon`], which is our
//! own and does the same in one transaction for many modules.
//!
//! Privileges: the client needs write permission on the socket. The daemon needs what semodule(8)
//! needs: root's files under `/etc/selinux` and `/var/lib/selinux` for writing, `/sys/fs/selinux`,
//! and the permission to load a policy; CAP_CHOWN for a socket of another group, nothing more.

pub mod backend;
pub mod client;
pub mod daemon;
pub mod server;
pub mod status;
pub mod view;
