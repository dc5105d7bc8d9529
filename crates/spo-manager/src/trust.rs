//! Certificates: makes them, tells everybody whom to trust, and renews them in time.
//!
//! The order is what matters: the authority, then its certificate wherever it has to be known, then
//! what it has signed. So at no time does a server show what its clients do not trust.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::{ApiResource, ObjectMeta, PartialObjectMeta};
use kube::{Api, Client};
use spo_api::crd::CONVERSION_SERVICE;
use spo_api::meta::{APP, LABEL_APP};
use spo_certificate::{Found, Plan, Policy, SecretData, Serving, Wanted};
use spo_kube::execute::execute;
use spo_kube::reach;
use spo_kube::step::{Step, Target};
use spo_kube::watch::{watch, watch_named};
use spo_process::news::News;
use spo_process::tasks::Shutdown;
use tokio::sync::watch;
use tracing::{debug, error, info};

use crate::crds;
use crate::platform::{self, Provider};

/// Our authority.
const AUTHORITY_SECRET: &str = "security-profiles-operator-ca";
/// What the manager serves `/convert` with.
pub(crate) const CONVERSION_SECRET: &str = "conversion-server-cert";
/// What the webhooks serve with (contract 03, 2.5).
const WEBHOOK_SECRET: &str = "webhook-server-cert";
/// What the daemons serve metrics with (contract 03, 2.5).
const METRICS_SECRET: &str = "metrics-server-cert";

/// Changes that come together are looked at once.
const GATHER: Duration = Duration::from_millis(200);
/// After a failure.
const RETRY: Duration = Duration::from_secs(5);
/// How long the webhook configurations are waited for to learn of a new authority.
const SPREAD: Duration = Duration::from_secs(30);

/// What the task needs.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) provider: Option<Provider>,
    /// Told how far the certificates are.
    pub(crate) trust: watch::Sender<Trust>,
}

/// How far the certificates are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    /// Whether a round has come to what follows; before, nothing is known.
    pub(crate) looked: bool,
    /// Whom clients of the webhooks have to trust; `None` also while somebody else sees to that.
    pub(crate) bundle: Option<String>,
    /// Why the last round was not finished, if the API server has said so.
    pub(crate) failure: Option<String>,
}

fn publish(trust: &watch::Sender<Trust>, change: impl FnOnce(&mut Trust)) {
    trust.send_if_modified(|trust| {
        let before = trust.clone();
        change(trust);
        *trust != before
    });
}

/// Why a round was not finished.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Platform(#[from] platform::Error),
    #[error("cannot read Secret {name}")]
    Read {
        name: &'static str,
        source: kube::Error,
    },
    #[error("cannot make certificates")]
    Certificate(#[from] spo_certificate::Error),
    #[error(transparent)]
    Definitions(#[from] crds::Error),
    #[error("cannot rewrite what old releases have stored")]
    Migration(#[source] crds::Error),
    #[error(transparent)]
    Write(#[from] spo_kube::execute::Error),
}

/// Runs until shutdown.
pub(crate) async fn run(context: Context, mut shutdown: Shutdown) {
    let mut changes = changes(&context);
    let mut migrated = false;
    let mut news = News::default();
    loop {
        let pause = match whole_round(&context, &mut migrated).await {
            Ok(next) => {
                if news.works() {
                    info!("certificates and conversion are set up now");
                }
                publish(&context.trust, |trust| trust.failure = None);
                next
            }
            Err(error) => {
                failed(&context, &mut news, &error);
                RETRY
            }
        };
        tokio::select! {
            () = shutdown.asked() => return,
            Some(()) = changes.next() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(pause) => {}
        }
        // What has come meanwhile is covered by the next round.
        while futures::FutureExt::now_or_never(changes.next())
            .is_some_and(|change| change.is_some())
        {}
    }
}

async fn whole_round(context: &Context, migrated: &mut bool) -> Result<Duration, Error> {
    let next = round(context).await?;
    if !*migrated {
        crds::migrate(&context.client)
            .await
            .map_err(Error::Migration)?;
        *migrated = true;
    }
    Ok(next)
}

fn failed(context: &Context, news: &mut News, error: &Error) {
    if reach::is_unreachable(error) {
        return reach::lost(error);
    }
    let text = spo_kube::execute::advise(error);
    if news.failed(&text) {
        error!(
            error = text,
            "certificates and conversion are not set up: trying again"
        );
    } else {
        debug!(
            error = text,
            "certificates and conversion are still not set up"
        );
    }
    publish(&context.trust, |trust| {
        trust.looked = true;
        trust.failure = Some(format!(
            "certificates and conversion are not set up: {text}"
        ));
    });
}

/// Anything that may have undone what a round has done.
fn changes(context: &Context) -> Pin<Box<dyn Stream<Item = ()> + Send>> {
    let crds: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(context.client.clone());
    let mut all = vec![
        watch(crds, &format!("{LABEL_APP}={APP}"))
            .map(|_| ())
            .boxed(),
    ];
    for name in [
        AUTHORITY_SECRET,
        CONVERSION_SECRET,
        WEBHOOK_SECRET,
        METRICS_SECRET,
    ] {
        let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &context.namespace);
        all.push(watch_named(secrets, name).map(|_| ()).boxed());
    }
    futures::stream::select_all(all).boxed()
}

/// What is to be served under which names.
fn wanted(namespace: &str, provider: Provider) -> Wanted {
    let service = |secret: &str, service: &str| Serving {
        secret: secret.to_owned(),
        names: vec![
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
            format!("{service}.{namespace}"),
        ],
    };
    let mut serving = vec![service(CONVERSION_SECRET, CONVERSION_SERVICE)];
    if provider == Provider::SelfManaged {
        serving.push(service(WEBHOOK_SECRET, "webhook-service"));
        serving.push(service(METRICS_SECRET, "metrics"));
    }
    Wanted { serving }
}

/// One round: how long until the next.
async fn round(context: &Context) -> Result<Duration, Error> {
    let Context {
        client,
        namespace,
        provider,
        ..
    } = context;
    let platform = platform::probe(client, namespace, *provider).await?;
    let wanted = wanted(namespace, platform.provider);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let authority = read(&secrets, AUTHORITY_SECRET).await?;
    let mut serving = BTreeMap::new();
    for name in [CONVERSION_SECRET, WEBHOOK_SECRET, METRICS_SECRET] {
        if wanted.serving.iter().any(|wanted| wanted.secret == name) {
            serving.insert(name.to_owned(), read(&secrets, name).await?);
        }
    }
    let found = Found { authority, serving };
    let plan = spo_certificate::plan(&found, &wanted, Timestamp::now(), &Policy::default())?;
    carry_out(context, platform.provider, plan).await
}

async fn carry_out(context: &Context, provider: Provider, plan: Plan) -> Result<Duration, Error> {
    let Context {
        client, namespace, ..
    } = context;
    let writes = plan.authority.is_some() || !plan.serving.is_empty();
    let owner = if writes {
        owner(client, namespace).await
    } else {
        None
    };
    if let Some(data) = &plan.authority {
        execute(
            client,
            &secret(namespace, AUTHORITY_SECRET, data, owner.as_ref()),
        )
        .await?;
    }
    crds::point_at_us(client, namespace, &plan.bundle).await?;
    let ours = (provider == Provider::SelfManaged).then(|| plan.bundle.clone());
    publish(&context.trust, |trust| {
        trust.looked = true;
        trust.bundle = ours;
    });
    if plan.serving.contains_key(WEBHOOK_SECRET) {
        wait_for_webhooks(client, &plan.bundle).await;
    }
    for (name, data) in &plan.serving {
        execute(client, &secret(namespace, name, data, owner.as_ref())).await?;
    }
    // Told when it is done: a round that fails is made again, for the same reasons.
    for reason in &plan.reasons {
        info!(%reason, "certificate");
    }
    let now = Timestamp::now();
    let until = plan.next_check.duration_since(now);
    let until = Duration::try_from(until).unwrap_or(RETRY);
    Ok(until.clamp(RETRY, platform::FRESH))
}

async fn read(secrets: &Api<Secret>, name: &'static str) -> Result<Option<SecretData>, Error> {
    let found = secrets.get_opt(name).await;
    let found = found.map_err(|source| Error::Read { name, source })?;
    let data = |secret: Secret| {
        let data = secret.data.unwrap_or_default().into_iter();
        data.map(|(key, value)| (key, value.0)).collect()
    };
    Ok(found.map(data))
}

/// Until the configuration that is there, if one is, names the authority that has signed what is
/// about to be served. It is the controller of the SPOD who writes it.
async fn wait_for_webhooks(client: &Client, bundle: &str) {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let start = tokio::time::Instant::now();
    while start.elapsed() < SPREAD {
        let Ok(Some(found)) = api.get_opt("spo-mutating-webhook-configuration").await else {
            return;
        };
        let webhooks = found.webhooks.unwrap_or_default();
        let mut bundles = webhooks
            .iter()
            .map(|webhook| webhook.client_config.ca_bundle.as_ref());
        // One that names nobody yet is being made; nothing that works is broken.
        if bundles.all(|known| known.is_none_or(|known| known.0 == bundle.as_bytes())) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The Deployment of the manager: the Secrets go when it goes.
async fn owner(client: &Client, namespace: &str) -> Option<OwnerReference> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let found = api.get_metadata_opt(crate::DEPLOYMENT).await.ok()??;
    Some(OwnerReference {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name: crate::DEPLOYMENT.to_owned(),
        uid: found.metadata.uid?,
        ..OwnerReference::default()
    })
}

fn secret(namespace: &str, name: &str, data: &SecretData, owner: Option<&OwnerReference>) -> Step {
    let data = data
        .iter()
        .map(|(key, value)| (key.clone(), ByteString(value.clone())));
    let object = Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(BTreeMap::from([(LABEL_APP.to_owned(), APP.to_owned())])),
            owner_references: owner.map(|owner| vec![owner.clone()]),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(data.collect()),
        ..Secret::default()
    };
    Step::Apply {
        target: Target {
            resource: ApiResource::erase::<Secret>(&()),
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
        },
        object: serde_json::to_value(object).unwrap_or_default(),
    }
}
