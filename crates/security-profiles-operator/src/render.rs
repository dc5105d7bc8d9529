//! `render`: what the manager would apply for a SPOD, printed, without a cluster.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;
use spo_api::convert::convert;
use spo_api::spod::SecurityProfilesOperatorDaemonSpec;
use spo_api::spod::effective::effective;
use spo_render::facts::{Certificates, Facts};

use crate::args::{KUBELET_DIR, Provider};

/// What is to be rendered.
#[derive(clap::Args, Debug)]
pub(crate) struct Render {
    /// A file with a SecurityProfilesOperatorDaemon in any version, `-` for standard input. Without,
    /// the default one.
    #[arg(long, value_name = "FILE")]
    spod: Option<PathBuf>,

    /// What kind of cluster it is for.
    #[arg(long, value_enum, ignore_case = true, default_value_t = Platform::Kubernetes)]
    platform: Platform,

    /// The operator's namespace. Without, the one of the SPOD.
    #[arg(long)]
    namespace: Option<String>,

    /// The image that the Deployment of the manager runs.
    #[arg(long, default_value = "localhost/security-profiles-operator:latest")]
    image: String,

    /// How that Deployment pulls it.
    #[arg(long, default_value = "IfNotPresent")]
    image_pull_policy: String,

    /// Who makes the certificates: `auto` is the manager, on OpenShift its service CA.
    #[arg(long, value_enum, ignore_case = true, default_value_t = Provider::Auto)]
    certificate_provider: Provider,

    /// The kubelet's directory on the nodes.
    #[arg(long, default_value = KUBELET_DIR)]
    kubelet_dir: String,

    /// The cluster has the kind ServiceMonitor.
    #[arg(long)]
    service_monitors: bool,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Platform {
    Kubernetes,
    Openshift,
}

/// Why nothing was rendered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is not YAML", path.display())]
    Yaml {
        path: PathBuf,
        source: Box<serde_saphyr::Error>,
    },
    #[error("{} holds no SecurityProfilesOperatorDaemon: give a file with one", path.display())]
    Missing { path: PathBuf },
    #[error("cannot bring the SPOD to the version v1")]
    Convert(#[source] Box<spo_api::convert::Error>),
    #[error("spec of the SPOD can not be read")]
    Spec(#[source] serde_json::Error),
    #[error("cannot write to standard output")]
    Write(#[source] std::io::Error),
}

const KIND: &str = "SecurityProfilesOperatorDaemon";

/// Renders to standard output. What the SPOD asks for and does not get goes to standard error.
pub(crate) fn render(arguments: Render) -> Result<(), Error> {
    let spod = match &arguments.spod {
        Some(path) => read(path)?,
        None => spo_render::default_spod("security-profiles-operator", false),
    };
    let version = format!("{}/v1", spo_api::GROUP);
    let spod = convert(spod, &version).map_err(|error| Error::Convert(Box::new(error)))?;
    let name = spod["metadata"]["name"].as_str().unwrap_or("spod");
    let namespace = arguments
        .namespace
        .as_deref()
        .or_else(|| spod["metadata"]["namespace"].as_str())
        .unwrap_or("security-profiles-operator");
    let spec = spod
        .get("spec")
        .cloned()
        .unwrap_or_else(|| serde_json::json!({}));
    let spec: SecurityProfilesOperatorDaemonSpec =
        serde_json::from_value(spec).map_err(Error::Spec)?;
    let effective = effective(&spec);
    let openshift = arguments.platform == Platform::Openshift;
    let facts = Facts {
        namespace: namespace.to_owned(),
        image: arguments.image,
        image_pull_policy: arguments.image_pull_policy,
        kubelet_dir: arguments.kubelet_dir,
        platform: match arguments.platform {
            Platform::Kubernetes => spo_render::facts::Platform::Kubernetes,
            Platform::Openshift => spo_render::facts::Platform::OpenShift,
        },
        certificates: match arguments.certificate_provider {
            Provider::CertManager => Certificates::CertManager,
            Provider::Openshift => Certificates::OpenShift,
            Provider::Auto if openshift => Certificates::OpenShift,
            // Its certificate is not known before the manager runs.
            Provider::Auto | Provider::SelfManaged => Certificates::SelfManaged { ca_bundle: None },
        },
        service_monitors: arguments.service_monitors,
        ..Facts::default()
    };
    let rendered = spo_render::render(name, &effective.spec, &facts);
    for moved in &effective.moved {
        let effect = match moved.applied {
            true => "is taken as",
            false => "has no effect beside",
        };
        note(&format!(
            "spec.{} {effect} spec.{}",
            moved.flat, moved.grouped
        ));
    }
    for withheld in &rendered.withheld {
        note(&format!("{}: {}", withheld.field, withheld.reason));
    }
    let text = spo_render::to_yaml(&rendered.objects);
    std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .map_err(Error::Write)
}

/// The first SPOD in a file, which may hold other documents.
fn read(path: &Path) -> Result<Value, Error> {
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let path = path.to_owned();
    let text = text.map_err(|source| Error::Read {
        path: path.clone(),
        source,
    })?;
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).map_err(|source| Error::Yaml {
            path: path.clone(),
            source: Box::new(source),
        })?;
    let mut spods = documents
        .into_iter()
        .filter(|document| document["kind"] == KIND);
    spods.next().ok_or(Error::Missing { path })
}

#[expect(clippy::print_stderr, reason = "a command line tool talks to its user")]
fn note(text: &str) {
    eprintln!("note: {text}");
}
