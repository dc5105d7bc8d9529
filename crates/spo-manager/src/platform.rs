//! What kind of cluster this is: asked once in a while, never per object.

use std::time::Duration;

use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};

/// How long an answer is good for. Operators and their kinds come and go rarely.
pub(crate) const FRESH: Duration = Duration::from_secs(600);

/// Who makes the certificates of the webhooks and of the metrics endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// We do.
    SelfManaged,
    /// cert-manager does; it has to be installed.
    CertManager,
    /// The service CA of OpenShift does.
    OpenShift,
}

/// The cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Platform {
    pub(crate) openshift: bool,
    pub(crate) provider: Provider,
    /// Whether `monitoring.coreos.com` is served.
    pub(crate) service_monitors: bool,
    /// Whether `cert-manager.io` is served.
    pub(crate) cert_manager: bool,
}

/// The cluster could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Which groups are served.
    #[error("cannot ask which API groups the cluster has")]
    Groups(#[source] kube::Error),
    /// Contract 03, 2.5.
    #[error("unable to determine certificate provider: cannot read {what}")]
    Provider {
        what: &'static str,
        source: kube::Error,
    },
}

/// Asks. `setting` overrides what would be chosen.
///
/// OpenShift is where the ClusterOperator `openshift-apiserver` can be read, as upstream decides it.
/// Elsewhere we make the certificates, unless cert-manager already does: a cluster that ran upstream
/// has its Certificate `webhook-cert`, and two writers of one Secret would not do.
pub(crate) async fn probe(
    client: &Client,
    namespace: &str,
    setting: Option<Provider>,
) -> Result<Platform, Error> {
    let groups = client.list_api_groups().await.map_err(Error::Groups)?;
    let serves = |name: &str| groups.groups.iter().any(|group| group.name == name);
    let cert_manager = serves("cert-manager.io");
    let openshift = serves("config.openshift.io") && {
        let api = dynamic(
            client,
            None,
            "config.openshift.io/v1",
            "ClusterOperator",
            "clusteroperators",
        );
        exists(
            &api,
            "openshift-apiserver",
            "ClusterOperator openshift-apiserver",
        )
        .await?
    };
    let provider = match setting {
        Some(provider) => provider,
        None if openshift => Provider::OpenShift,
        None if cert_manager => {
            let api = dynamic(
                client,
                Some(namespace),
                "cert-manager.io/v1",
                "Certificate",
                "certificates",
            );
            match exists(&api, "webhook-cert", "Certificate webhook-cert").await? {
                true => Provider::CertManager,
                false => Provider::SelfManaged,
            }
        }
        None => Provider::SelfManaged,
    };
    Ok(Platform {
        openshift,
        provider,
        service_monitors: serves("monitoring.coreos.com"),
        cert_manager,
    })
}

fn dynamic(
    client: &Client,
    namespace: Option<&str>,
    version: &str,
    kind: &str,
    plural: &str,
) -> Api<DynamicObject> {
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let gvk = GroupVersionKind::gvk(group, version, kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

async fn exists(api: &Api<DynamicObject>, name: &str, what: &'static str) -> Result<bool, Error> {
    let found = api.get_metadata_opt(name).await;
    let found = found.map_err(|source| Error::Provider { what, source })?;
    Ok(found.is_some())
}
