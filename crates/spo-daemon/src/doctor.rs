//! What this host offers, for somebody who looks for what is wrong: needs no cluster.
//!
//! Looks as the user and in the container that it runs in, as a daemon does: what the daemon may not
//! see is missing for it. `report.rs` makes texts of it.

pub mod report;

use std::path::{Path, PathBuf};

use spo_host::apparmor::parser::{Limits, Parser};
use spo_host::kubelet;
use spo_host::probe::host::Place;
use spo_host::probe::{self, Wanted, host};
use spo_process::chain::chain;
use spo_profile::layout::{HOST_OPERATOR_ROOT, KUBELET_CONFIG};
use spo_selinuxd::client;

use report::{Fact, Report};

/// Where the kernel tells about itself.
const SYS: &str = "/sys";
const PROC: &str = "/proc";

/// What to look at.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where the node's files appear.
    pub node_root: PathBuf,
    /// The kubelet's directory, as the node sees it, if the environment names one.
    pub kubelet_dir: Option<String>,
    /// The socket of selinuxd.
    pub selinuxd: PathBuf,
}

/// Looks.
pub async fn examine(request: &Request) -> Report {
    let (answers, selinuxd) = selinuxd(&request.selinuxd).await;
    let (parser, parser_says) = parser().await;
    let mechanisms = vec![
        probe::seccomp(),
        probe::selinux(Path::new(PROC), Wanted::Yes, answers),
        probe::apparmor(Path::new(SYS), Wanted::Yes, parser.as_deref()),
    ];
    Report::new(
        mechanisms,
        vec![
            Fact::new("kernel", host::kernel(Path::new(PROC)), "not to be seen"),
            Fact::new(
                "security modules",
                host::security_modules(Path::new(SYS)),
                "not to be seen: mount securityfs at /sys/kernel/security",
            ),
            kubelet_directory(request),
            operator_directory(request),
            parser_says,
            selinuxd,
        ],
    )
}

/// Whether selinuxd answers; `None` if nobody has started one, as before the first SPOD that asks.
async fn selinuxd(socket: &Path) -> (Option<bool>, Fact) {
    let shown = socket.display();
    let (answers, fact) = match client::Client::new(socket.to_owned()).ready().await {
        Ok(true) => (Some(true), Ok(format!("{shown}, ready"))),
        Ok(false) => (
            Some(false),
            Err(format!(
                "{shown} answers that it is not ready yet: wait for it"
            )),
        ),
        Err(error @ client::Error::Absent { .. }) => (None, Err(error.to_string())),
        Err(error) => (Some(false), Err(chain(&error).to_string())),
    };
    (answers, Fact::of("selinuxd", fact))
}

async fn parser() -> (Option<PathBuf>, Fact) {
    const NAME: &str = "apparmor_parser";
    let Some(program) = Parser::find(None) else {
        let missing = "not installed: the operator's image brings one along; on a host, install \
                       the package apparmor";
        return (None, Fact::of(NAME, Err(missing.to_owned())));
    };
    let parser = Parser::new(program.clone(), Vec::new(), Limits::default());
    let shown = program.display();
    match parser.version().await {
        Ok(version) => {
            let fact = Fact::of(NAME, Ok(format!("{shown}, {version}")));
            (Some(program), fact)
        }
        Err(error) => (None, Fact::of(NAME, Err(chain(&error).to_string()))),
    }
}

/// A directory of the node, which `path` names as the node sees it.
fn on_node(request: &Request, path: &str) -> PathBuf {
    request.node_root.join(path.trim_start_matches('/'))
}

fn kubelet_directory(request: &Request) -> Fact {
    let config = on_node(request, HOST_OPERATOR_ROOT).join(KUBELET_CONFIG);
    let directory = kubelet::directory(
        host::content(&config).as_deref(),
        request.kubelet_dir.as_deref(),
    );
    let said = match host::place(&on_node(request, &directory)) {
        Place::Absent => Err(format!(
            "{directory} is not there: if the kubelet's --root-dir is another directory, set \
             KUBELET_DIR of the manager to it"
        )),
        Place::NoDirectory => Err(format!("{directory} is no directory")),
        Place::ReadOnly | Place::Writable => Ok(directory),
    };
    Fact::of("kubelet directory", said)
}

fn operator_directory(request: &Request) -> Fact {
    let said = match host::place(&on_node(request, HOST_OPERATOR_ROOT)) {
        Place::Absent => Err(format!(
            "{HOST_OPERATOR_ROOT} is not there: the init container of the daemon makes it"
        )),
        Place::NoDirectory => Err(format!(
            "{HOST_OPERATOR_ROOT} is no directory: move it out of the way"
        )),
        Place::ReadOnly => Err(format!(
            "{HOST_OPERATOR_ROOT} can not be written by user {}: the init container of the daemon \
             gives it to the daemon's user",
            host::user()
        )),
        Place::Writable => Ok(format!("{HOST_OPERATOR_ROOT}, writable")),
    };
    Fact::of("operator directory", said)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "what a host has on disk, it has from others"
)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_missing_on_the_host_is_named_until_it_is_there() {
        let root = tempfile::tempdir().unwrap();
        let request = Request {
            node_root: root.path().to_owned(),
            kubelet_dir: Some("/mnt/kubelet".to_owned()),
            selinuxd: root.path().join("socket"),
        };
        let text = examine(&request).await.to_string();
        for expected in [
            "/mnt/kubelet is not there: ",
            "/var/lib/security-profiles-operator is not there: ",
            "/socket does not exist",
        ] {
            assert!(text.contains(expected), "{text}");
        }
        let operator = on_node(&request, HOST_OPERATOR_ROOT);
        std::fs::create_dir_all(&operator).unwrap();
        std::fs::write(operator.join(KUBELET_CONFIG), kubelet::config("/mnt/other")).unwrap();
        std::fs::create_dir_all(on_node(&request, "/mnt/other")).unwrap();
        // Nobody listens on it.
        drop(std::os::unix::net::UnixListener::bind(&request.selinuxd).unwrap());
        let text = examine(&request).await.to_string();
        for expected in [
            "kubelet directory      /mnt/other\n",
            "operator directory     /var/lib/security-profiles-operator, writable\n",
            "selinuxd            !  selinuxd does not listen on ",
        ] {
            assert!(text.contains(expected), "{text}");
        }
    }
}
