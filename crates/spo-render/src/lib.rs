//! One SecurityProfilesOperatorDaemon (SPOD) in, every object that the operator applies out.
//!
//! Pure: the same SPOD and the same [`Facts`] give the same objects, byte for byte.
//! The objects are meant for server-side apply: they hold only the fields which we mean, so that
//! leaving one out takes it back.
//! What lives in static manifests (accounts, roles, the ConfigMap, the manager) is not rendered.
//! Start reading at `settings.rs`, which decides what is in effect; the other files write it down.

mod cert_manager;
mod daemonset;
mod default_spod;
pub mod facts;
mod metrics;
mod names;
mod object;
mod profiles;
mod settings;
mod webhook;
mod yaml;

use serde_json::Value;
use spo_api::spod::SecurityProfilesOperatorDaemonSpec;

pub use default_spod::default_spod;
pub use facts::Facts;
pub use yaml::to_yaml;

use settings::Settings;

/// What a SPOD becomes.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// Complete objects, in the order in which they must be applied: what others refer to first,
    /// and webhook configurations, which can refuse requests, last.
    pub objects: Vec<Value>,
    /// What the SPOD asks for and does not get, in the order of its fields.
    pub withheld: Vec<Withheld>,
}

/// Something which the SPOD asks for and does not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// Path of the field which asks for it, or the environment variable that does.
    pub field: String,
    /// Why not, as a sentence for the status of the SPOD.
    pub reason: String,
}

/// What all renderers look at.
#[derive(Clone, Copy)]
struct Context<'a> {
    /// Name of the SPOD.
    name: &'a str,
    settings: &'a Settings,
    facts: &'a Facts,
}

/// Renders the SPOD `name`, whose deprecated flat fields are already merged into `spec`.
pub fn render(name: &str, spec: &SecurityProfilesOperatorDaemonSpec, facts: &Facts) -> Rendered {
    let (settings, withheld) = settings::settle(spec, facts);
    let context = Context {
        name,
        settings: &settings,
        facts,
    };
    let objects = [
        cert_manager::render(context),
        metrics::render_service(context),
        webhook::service::render(context),
        profiles::render(context),
        daemonset::render(context),
        webhook::deployment::render(context),
        metrics::render_monitor(context),
        webhook::configurations::render(context),
    ];
    Rendered {
        objects: objects.into_iter().flatten().map(object::prune).collect(),
        withheld,
    }
}
