//! The command line as types. No I/O but the one line of `version`.
//!
//! Flags and variables are public (contract 03, 1 and 2.1); the ones that upstream lacks say so.

mod doctor;
mod enabler;
mod enricher;
mod selinuxd;
mod uninstall;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};
use spo_daemon::{MetricsAccess, apparmor, selinux};
use spo_process::tls::MinVersion;

/// Manage seccomp profiles as Kubernetes objects.
#[derive(Parser, Debug)]
#[command(name = "security-profiles-operator", version = VERSION, disable_version_flag = true)]
pub(crate) struct Args {
    /// Log verbosity: 0 information, 1 debug, 2 trace.
    #[arg(short = 'V', long, env = "SPO_VERBOSITY", default_value_t = 0)]
    pub(crate) verbosity: u8,

    /// Log filter that replaces the verbosity, such as `spo_daemon=debug`.
    #[arg(long, env = "RUST_LOG")]
    pub(crate) log_filter: Option<String>,

    /// Prints the version.
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: (),

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What comes after the name, as upstream prints it.
const VERSION: &str = concat!("version ", env!("CARGO_PKG_VERSION"));

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// The cluster side: sums up what the nodes report and protects profiles in use.
    #[command(visible_alias = "m")]
    Manager(Manager),
    /// The node side: installs profiles on the node it runs on.
    #[command(visible_alias = "d")]
    Daemon(Daemon),
    /// Prints which mechanisms the host offers that it runs on, and what is missing.
    Doctor(doctor::Doctor),
    /// Writes a line for every audit record that is about a container of this node.
    #[command(visible_alias = "l")]
    LogEnricher(enricher::LogEnricher),
    /// Prepares the node, as root, so that the daemon needs no rights: an init container.
    NonRootEnabler(enabler::NonRootEnabler),
    /// Prints what the manager would apply for a SPOD, without a cluster.
    Render(crate::render::Render),
    /// What the API server asks: converts objects, admits pods and raw SELinux policies.
    #[command(visible_alias = "w")]
    Webhook(Webhook),
    /// Installs SELinux modules from a directory, many in one transaction.
    Selinuxd(selinuxd::Selinuxd),
    /// Takes away everything that the operator has made, objects and files.
    Uninstall(uninstall::Uninstall),
    /// Prints the version.
    #[command(visible_alias = "v")]
    Version,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Manager {
    /// The operator's namespace.
    #[arg(long, env = "OPERATOR_NAMESPACE")]
    namespace: String,

    /// The name of the object with the operator's configuration.
    #[arg(long, env = "SPOD_NAME", default_value = "spod")]
    spod_name: String,

    /// Who this process is in the leader election: the name of its pod.
    #[arg(long, env = "POD_NAME")]
    identity: Option<String>,

    /// Where health is served.
    #[arg(long, env = "HEALTH_ADDRESS", default_value_t = all(8085))]
    health_address: SocketAddr,

    /// Where the conversion of old API versions is served.
    #[arg(long, default_value_t = all(9443))]
    conversion_address: SocketAddr,

    /// Where metrics are served, over TLS, to who has a right to them.
    #[arg(long, env = "METRICS_ADDRESS", default_value_t = all(8080))]
    metrics_address: SocketAddr,

    /// Leave the webhooks to the operator in a default SPOD; without, they are deployed by hand.
    #[arg(short = 'w', long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true")]
    webhook: bool,

    /// Sum up what the nodes report.
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true")]
    with_nodestatus_controller: bool,

    /// Render what the operator consists of.
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true")]
    with_spod_controller: bool,

    /// Accepted for compatibility: who uses a profile is part of the node status controller.
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true", hide = true)]
    with_workload_annotator: bool,

    /// Accepted for compatibility: this version merges no recordings.
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true", hide = true)]
    with_recording_merger: bool,

    /// The kubelet's directory on the nodes.
    #[arg(long, env = "KUBELET_DIR", default_value = KUBELET_DIR)]
    kubelet_dir: String,

    /// The namespaces whose pods count, separated by commas; all of them without.
    #[arg(long, env)]
    restrict_to_namespace: Option<String>,

    /// What the operator lifecycle manager says instead.
    #[arg(long, env, hide = true)]
    watch_namespace: Option<String>,

    #[command(flatten)]
    switched_on: SwitchedOn,

    /// Who makes the certificates of the webhooks and of the metrics endpoint.
    #[arg(long, env = "CERTIFICATE_PROVIDER", value_enum, ignore_case = true,
          default_value_t = Provider::Auto)]
    certificate_provider: Provider,
}

/// Who makes certificates.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    /// OpenShift where it is; cert-manager where it already does; else the manager.
    Auto,
    /// The manager.
    SelfManaged,
    /// cert-manager, which has to be installed.
    CertManager,
    /// The service CA of OpenShift.
    Openshift,
}

impl Provider {
    /// The choice, if there is one.
    fn chosen(self) -> Option<spo_manager::Provider> {
        match self {
            Self::Auto => None,
            Self::SelfManaged => Some(spo_manager::Provider::SelfManaged),
            Self::CertManager => Some(spo_manager::Provider::CertManager),
            Self::Openshift => Some(spo_manager::Provider::OpenShift),
        }
    }
}

/// Where the kubelet's directory usually is.
pub(crate) const KUBELET_DIR: &str = "/var/lib/kubelet";

/// What the environment switches on whatever the SPOD says (contract 03, 2.1).
#[derive(clap::Args, Debug)]
struct SwitchedOn {
    /// Run the log enricher whatever the SPOD says.
    #[arg(long, env, hide = true)]
    enable_log_enricher: Option<String>,

    /// Run the JSON enricher whatever the SPOD says.
    #[arg(long, env, hide = true)]
    enable_json_enricher: Option<String>,

    /// Run the BPF recorder whatever the SPOD says.
    #[arg(long, env, hide = true)]
    enable_bpf_recorder: Option<String>,

    /// Serve metrics without authentication whatever the SPOD says.
    #[arg(long, env, hide = true)]
    enable_insecure_metrics_access: Option<String>,
}

impl SwitchedOn {
    fn by_env(&self) -> spo_manager::EnabledByEnv {
        spo_manager::EnabledByEnv {
            log_enricher: is_on(self.enable_log_enricher.as_deref()),
            json_enricher: is_on(self.enable_json_enricher.as_deref()),
            bpf_recorder: is_on(self.enable_bpf_recorder.as_deref()),
            insecure_metrics: is_on(self.enable_insecure_metrics_access.as_deref()),
        }
    }
}

/// A text in the spellings that Go's `strconv.ParseBool` takes for true; anything else is off.
fn is_on(text: Option<&str>) -> bool {
    matches!(text, Some("1" | "t" | "T" | "TRUE" | "true" | "True"))
}

#[derive(clap::Args, Debug)]
pub(crate) struct Daemon {
    /// The name of the Node object of this node.
    #[arg(long, env = "NODE_NAME")]
    node_name: String,

    /// The operator's namespace.
    #[arg(long, env = "OPERATOR_NAMESPACE")]
    namespace: String,

    /// The name of the object with the operator's configuration.
    #[arg(long, env = "SPOD_NAME", default_value = "spod")]
    spod_name: String,

    /// The directory under which the files of the node appear.
    #[arg(long, env = "NODE_ROOT", default_value = "/")]
    node_root: PathBuf,

    /// The kubelet's directory, as the node sees it.
    #[arg(long, env = "KUBELET_DIR")]
    kubelet_dir: Option<String>,

    /// Install SeccompProfiles.
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true")]
    with_seccomp: bool,

    /// Install AppArmorProfiles.
    #[arg(long, default_value_t = false, action = ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true")]
    with_apparmor: bool,

    /// Install AppArmorProfiles with a policy, too.
    #[arg(long, default_value_t = false, action = ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true")]
    with_raw_apparmor: bool,

    /// Install SelinuxProfiles and RawSelinuxProfiles through selinuxd.
    #[arg(long, default_value_t = false, action = ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true")]
    with_selinux: bool,

    /// The directory from which selinuxd installs modules, as the node sees it.
    #[arg(long, default_value = "/etc/selinux.d")]
    selinux_drop_dir: String,

    /// The socket of selinuxd.
    #[arg(long, default_value = "/var/run/selinuxd/selinuxd.sock")]
    selinuxd_socket: PathBuf,

    #[command(flatten)]
    not_here: NotHere,

    /// Serve metrics as plain HTTP without authentication.
    #[arg(long, env = "ENABLE_INSECURE_METRICS_ACCESS", default_value_t = false,
          action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    with_insecure_metrics_access: bool,

    /// Where health is served.
    #[arg(long, env = "HEALTH_ADDRESS", default_value_t = all(8085))]
    health_address: SocketAddr,

    /// Where metrics are served.
    #[arg(long, env = "METRICS_ADDRESS", default_value_t = all(9443))]
    metrics_address: SocketAddr,

    /// The directory with the files tls.crt and tls.key that metrics are served with.
    #[arg(long, default_value = "/var/run/secrets/metrics")]
    metrics_cert_dir: PathBuf,
}

/// Switches that managers pass on and that have nothing to switch in this version.
#[derive(clap::Args, Debug)]
struct NotHere {
    /// Accepted for compatibility: spec.selinux.enableRawSelinuxProfiles says it to running daemons.
    #[arg(long, default_value_t = false, action = ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true", hide = true)]
    with_raw_selinux: bool,

    /// Accepted for compatibility: this version does not record.
    #[arg(long, env = "ENABLE_RECORDING", default_value_t = false, action = ArgAction::Set,
          num_args = 0..=1, default_missing_value = "true", hide = true)]
    with_recording: bool,

    /// Accepted for compatibility: the daemon holds no pods.
    #[arg(long, default_value_t = false, action = ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true", hide = true)]
    with_mem_optim: bool,
}

impl NotHere {
    /// The switches that are on.
    fn on(&self) -> Vec<&'static str> {
        let switches = [
            // The daemon reads the SPOD's switch for raw SELinux profiles itself, while it runs.
            (self.with_recording, "--with-recording"),
        ];
        let on = switches.into_iter().filter(|(on, _)| *on);
        on.map(|(_, name)| name).collect()
    }
}

#[derive(clap::Args, Debug)]
pub(crate) struct Webhook {
    /// The port on which reviews are answered.
    #[arg(long, short, default_value_t = 9443)]
    port: u16,

    /// The address on which reviews are answered, instead of every address of the host.
    #[arg(long)]
    listen_address: Option<IpAddr>,

    /// Whether the webhook's configuration is somebody else's. Accepted, and changes nothing: this
    /// process writes no configuration.
    #[arg(long = "static", short, default_value_t = false,
          action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    r#static: bool,

    /// The oldest version of TLS that is spoken: 1.2 or 1.3.
    #[arg(long, default_value = "1.2", value_parser = min_version)]
    tls_min_version: MinVersion,

    /// The directory with the files tls.crt and tls.key.
    #[arg(long, default_value = "/tmp/k8s-webhook-server/serving-certs")]
    cert_dir: PathBuf,

    /// The operator's namespace.
    #[arg(long, env = "OPERATOR_NAMESPACE")]
    namespace: String,

    /// The name of the object with the operator's configuration.
    #[arg(long, env = "SPOD_NAME", default_value = "spod")]
    spod_name: String,

    /// Where health is served.
    #[arg(long, env = "HEALTH_ADDRESS", default_value_t = all(8085))]
    health_address: SocketAddr,

    /// Where metrics are served, over TLS, to who has a right to them.
    #[arg(long, env = "METRICS_ADDRESS", default_value_t = all(8080))]
    metrics_address: SocketAddr,
}

fn min_version(text: &str) -> Result<MinVersion, &'static str> {
    match text {
        "1.2" => Ok(MinVersion::Tls12),
        "1.3" => Ok(MinVersion::Tls13),
        _ => Err("allowed values are 1.2, 1.3"),
    }
}

/// Every address of the host: a probe comes from outside.
fn all(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
}

impl Daemon {
    /// What was asked for; or why that makes no sense.
    pub(crate) fn config(self) -> Result<spo_daemon::Config, Nothing> {
        if !self.with_seccomp {
            return Err(Nothing);
        }
        for flag in self.not_here.on() {
            tracing::warn!(flag, "this version has nothing to switch on by this flag");
        }
        Ok(spo_daemon::Config {
            node_name: self.node_name,
            namespace: self.namespace,
            spod_name: self.spod_name,
            node_root: self.node_root,
            kubelet_dir: self.kubelet_dir.filter(|dir| !dir.is_empty()),
            apparmor: if self.with_apparmor {
                apparmor::Told::On {
                    raw: self.with_raw_apparmor,
                }
            } else {
                apparmor::Told::Off
            },
            selinux: if self.with_selinux {
                selinux::Told::On {
                    drop_dir: self.selinux_drop_dir,
                    socket: self.selinuxd_socket,
                }
            } else {
                selinux::Told::Off
            },
            health_address: self.health_address,
            metrics_address: self.metrics_address,
            metrics_access: if self.with_insecure_metrics_access {
                MetricsAccess::Insecure
            } else {
                MetricsAccess::Secure {
                    cert_dir: self.metrics_cert_dir,
                }
            },
        })
    }
}

/// A daemon with nothing to do.
#[derive(Debug, thiserror::Error)]
#[error("no controllers enabled: --with-seccomp=true is the one that this version has")]
pub(crate) struct Nothing;

impl Webhook {
    pub(crate) fn config(self) -> spo_webhook::Config {
        let address = self.listen_address.unwrap_or(Ipv6Addr::UNSPECIFIED.into());
        spo_webhook::Config {
            namespace: self.namespace,
            spod_name: self.spod_name,
            listen_address: SocketAddr::new(address, self.port),
            min_version: self.tls_min_version,
            cert_dir: self.cert_dir,
            health_address: self.health_address,
            metrics_address: self.metrics_address,
        }
    }
}

impl Manager {
    pub(crate) fn config(self) -> spo_manager::Config {
        let identity = self.identity.filter(|identity| !identity.is_empty());
        spo_manager::Config {
            namespace: self.namespace,
            spod_name: self.spod_name,
            // Two managers of one name would both lead: the process id tells them apart.
            identity: identity
                .unwrap_or_else(|| format!("security-profiles-operator_{}", std::process::id())),
            health_address: self.health_address,
            conversion_address: self.conversion_address,
            metrics_address: self.metrics_address,
            jobs: spo_manager::Jobs {
                node_status: self.with_nodestatus_controller,
                spod: self.with_spod_controller,
            },
            settings: spo_manager::Settings {
                kubelet_dir: self.kubelet_dir,
                // The second counts where the first is not set at all (contract 03, 2.4).
                restrict_to_namespace: self
                    .restrict_to_namespace
                    .or(self.watch_namespace)
                    .filter(|namespaces| !namespaces.trim().is_empty()),
                enabled_by_env: self.switched_on.by_env(),
                provider: self.certificate_provider.chosen(),
                webhook: self.webhook,
                related_images: related_images(),
            },
        }
    }
}

/// Images of others, which packagers name in variables: a mapping says which of them is for whom.
fn related_images() -> BTreeMap<String, String> {
    let named = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    named
        .filter(|(name, _)| name.starts_with(spo_manager::RELATED_IMAGE))
        .collect()
}

/// Prints what `version` prints.
#[expect(clippy::print_stdout, reason = "it is the output of the command")]
pub(crate) fn print_version() {
    println!("security-profiles-operator {VERSION}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn switches_take_a_value_or_none() {
        let daemon = |more: &[&str]| {
            let required = ["spo", "daemon", "--node-name", "n", "--namespace", "ns"];
            let parsed = Args::try_parse_from(required.iter().chain(more));
            match parsed.map(|args| args.command) {
                Ok(Command::Daemon(daemon)) => daemon.config(),
                other => panic!("{other:?}"),
            }
        };
        let secure = MetricsAccess::Secure {
            cert_dir: "/var/run/secrets/metrics".into(),
        };
        assert_eq!(daemon(&[]).unwrap().metrics_access, secure);
        let off = "--with-insecure-metrics-access=false";
        assert_eq!(daemon(&[off]).unwrap().metrics_access, secure);
        for on in [
            "--with-insecure-metrics-access",
            "--with-insecure-metrics-access=true",
        ] {
            let access = daemon(&[on]).unwrap().metrics_access;
            assert_eq!(access, MetricsAccess::Insecure);
        }
        assert!(daemon(&["--with-seccomp=false"]).is_err());
        let apparmor = |more: &[&str]| daemon(more).unwrap().apparmor;
        let raw = "--with-raw-apparmor=true";
        assert_eq!(apparmor(&[raw]), apparmor::Told::Off);
        let on = ["--with-apparmor=true", raw];
        assert_eq!(apparmor(&on[..1]), apparmor::Told::On { raw: false });
        assert_eq!(apparmor(&on), apparmor::Told::On { raw: true });
    }

    #[test]
    fn a_webhook_listens_everywhere_unless_told_otherwise() {
        let webhook = |more: &[&str]| {
            let required = ["spo", "w", "--namespace", "ns"];
            match Args::try_parse_from(required.iter().chain(more))?.command {
                Command::Webhook(webhook) => Ok(webhook.config()),
                other => panic!("{other:?}"),
            }
        };
        let config = webhook(&[]).unwrap();
        assert_eq!(config.listen_address, all(9443));
        assert_eq!(config.min_version, MinVersion::Tls12);
        let changed = ["-s", "-p", "1", "--listen-address", "127.0.0.1"];
        let config = webhook(&changed).unwrap();
        assert_eq!(config.listen_address, ([127, 0, 0, 1], 1).into());
        let config = webhook(&["--static=true", "--tls-min-version", "1.3"]).unwrap();
        assert_eq!(config.min_version, MinVersion::Tls13);
        let error: clap::Error = webhook(&["--tls-min-version=1.1"]).unwrap_err();
        assert!(error.to_string().contains("allowed values are 1.2, 1.3"));
    }
}
