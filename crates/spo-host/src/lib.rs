//! The node: files under the node root, inotify, libseccomp, AppArmor, and what the kernel offers.
//!
//! Nothing else of ours opens a file of the node, talks to libseccomp or runs the compiler of
//! AppArmor profiles. This crate decides nothing: it reads, writes, watches, loads and probes. It is
//! synchronous, so callers cross over with `spawn_blocking`; the exceptions are what waits:
//! [`watch::DirWatch`], [`audit`], [`apparmor::kernel::Changes`] and [`apparmor::parser::Parser`].
//!
//! Privileges, per module:
//!
//! - `root`, `file`: write permission for the directories which are written, nothing more. Needs
//!   openat2(2), Linux 5.6.
//! - `watch`: none beyond reading the directory; needs `/proc`.
//! - `seccomp`: none to compile; `Filter::load` sets no_new_privs, so none to load either.
//! - `apparmor`: the securityfs of the host, and CAP_MAC_ADMIN to load and remove; none to compile
//!   and to look.
//! - `audit::netlink`: CAP_AUDIT_READ in the initial network namespace. `audit::follow`: read
//!   permission for the file.
//! - `process`: the PID namespace of the host.
//! - `probe`, `boot`, `kubelet`: none.
//!
//! Start reading at `root.rs`, then `file.rs`.

pub mod apparmor;
pub mod audit;
pub mod boot;
pub mod file;
pub mod kubelet;
pub mod probe;
pub mod process;
pub mod root;
pub mod seccomp;
pub mod watch;
