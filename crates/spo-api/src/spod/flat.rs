//! The names which fields of the SPOD had up to release 0.10, before there were groups. Pure.
//!
//! Guides of that time tell people to patch them, and they work: old versions convert them, and v1
//! accepts them (decisions 17 and 18). `effective.rs` says what happens where both names are used.
//!
//! Source: contract 01, 4.5.

use k8s_openapi::api::core::v1::{Affinity, Toleration};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::{Value, json};

use super::{JsonEnricherOptions, LogEnricherSource, WebhookOptions};
use crate::seccomp_profile::Action;

/// The flat fields. Those of [`MOVES`], as a test makes sure.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct Flat {
    /// Deprecated: use spec.selinux.enable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_selinux: Option<bool>,

    /// Deprecated: use spec.selinux.typeTag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selinux_type_tag: Option<String>,

    /// Deprecated: use spec.selinux.options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selinux_options: Option<FlatSelinuxOptions>,

    /// Deprecated: use spec.webhook.staticConfig.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub static_webhook_config: Option<bool>,

    /// Deprecated: use spec.webhook.options.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["name"]
    ))]
    pub webhook_options: Option<Vec<WebhookOptions>>,

    /// Deprecated: use spec.scheduling.tolerations.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub tolerations: Option<Vec<Toleration>>,

    /// Deprecated: use spec.scheduling.affinity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,

    /// Deprecated: use spec.scheduling.priorityClassName.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,

    /// Deprecated: use spec.security.disableOciArtifactSignatureVerification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_oci_artifact_signature_verification: Option<bool>,

    /// Deprecated: use spec.enricher.enableLogEnricher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_log_enricher: Option<bool>,

    /// Deprecated: use spec.enricher.logEnricherFilters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_enricher_filters: Option<String>,

    /// Deprecated: use spec.enricher.logEnricherSource. Upper and lower case do not matter here.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "in_any_case"
    )]
    #[schemars(
        with = "Option<String>",
        regex(pattern = r"^(?i:auditd|bpf|netlink|auto)$")
    )]
    pub log_enricher_source: Option<LogEnricherSource>,

    /// Deprecated: use spec.enricher.enableJsonEnricher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_json_enricher: Option<bool>,

    /// Deprecated: use spec.enricher.jsonEnricherFilters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_enricher_filters: Option<String>,

    /// Deprecated: use spec.enricher.jsonEnricherOptions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_enricher_options: Option<JsonEnricherOptions>,

    /// Deprecated: use spec.enricher.enableBpfRecorder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_bpf_recorder: Option<bool>,

    /// Deprecated: use spec.security.allowedSyscalls.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub allowed_syscalls: Option<Vec<String>>,

    /// Deprecated: use spec.security.allowedSeccompActions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub allowed_seccomp_actions: Option<Vec<Action>>,
}

/// The flat options for SELinux.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct FlatSelinuxOptions {
    /// Deprecated: use spec.selinux.options.allowedSystemProfiles.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub allowed_system_profiles: Option<Vec<String>>,
}

fn in_any_case<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<LogEnricherSource>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let source = SOURCES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(&text));
    let unknown = || D::Error::custom(format!("logEnricherSource is {text:?}, an unknown value"));
    source.map(|(_, source)| Some(*source)).ok_or_else(unknown)
}

const SOURCES: [(&str, LogEnricherSource); 4] = [
    ("Auditd", LogEnricherSource::Auditd),
    ("Bpf", LogEnricherSource::Bpf),
    ("Netlink", LogEnricherSource::Netlink),
    ("Auto", LogEnricherSource::Auto),
];

/// A flat field and its place in a group.
pub struct Move {
    /// The path below `spec` that the field had.
    pub flat: &'static str,
    /// The path below `spec` which it has now.
    pub grouped: &'static str,
    shape: Shape,
    unset: fn() -> Value,
}

/// Every flat field. Source: contract 01, 4.5.
pub const MOVES: [Move; 18] = [
    // Not a default of the schema. But shipped configurations of upstream say `enable: false`, and
    // a patch with the flat name has to work there, too.
    field("enableSelinux", "selinux.enable", Shape::Boolean, off),
    field("selinuxTypeTag", "selinux.typeTag", Shape::Text, || {
        json!("spc_t")
    }),
    field(
        "selinuxOptions.allowedSystemProfiles",
        "selinux.options.allowedSystemProfiles",
        Shape::List,
        // An empty list is explicit here: it allows none.
        || json!(["container"]),
    ),
    field(
        "staticWebhookConfig",
        "webhook.staticConfig",
        Shape::Boolean,
        off,
    ),
    field("webhookOptions", "webhook.options", Shape::List, nothing),
    field(
        "tolerations",
        "scheduling.tolerations",
        Shape::List,
        nothing,
    ),
    field("affinity", "scheduling.affinity", Shape::Object, || {
        json!({})
    }),
    field(
        "priorityClassName",
        "scheduling.priorityClassName",
        Shape::Text,
        || json!("system-node-critical"),
    ),
    field(
        "disableOciArtifactSignatureVerification",
        "security.disableOciArtifactSignatureVerification",
        Shape::Boolean,
        off,
    ),
    field(
        "enableLogEnricher",
        "enricher.enableLogEnricher",
        Shape::Boolean,
        off,
    ),
    field(
        "logEnricherFilters",
        "enricher.logEnricherFilters",
        Shape::Text,
        || Value::Null,
    ),
    // Not a default of the schema, but what an absent source means, and what conversion by
    // upstream has written into objects that had none.
    field(
        "logEnricherSource",
        "enricher.logEnricherSource",
        Shape::Source,
        || json!("Auditd"),
    ),
    field(
        "enableJsonEnricher",
        "enricher.enableJsonEnricher",
        Shape::Boolean,
        off,
    ),
    field(
        "jsonEnricherFilters",
        "enricher.jsonEnricherFilters",
        Shape::Text,
        || Value::Null,
    ),
    field(
        "jsonEnricherOptions",
        "enricher.jsonEnricherOptions",
        Shape::Object,
        || json!({}),
    ),
    field(
        "enableBpfRecorder",
        "enricher.enableBpfRecorder",
        Shape::Boolean,
        off,
    ),
    field(
        "allowedSyscalls",
        "security.allowedSyscalls",
        Shape::List,
        nothing,
    ),
    field(
        "allowedSeccompActions",
        "security.allowedSeccompActions",
        Shape::Actions,
        nothing,
    ),
];

const fn field(
    flat: &'static str,
    grouped: &'static str,
    shape: Shape,
    unset: fn() -> Value,
) -> Move {
    Move {
        flat,
        grouped,
        shape,
        unset,
    }
}

fn off() -> Value {
    json!(false)
}

fn nothing() -> Value {
    json!([])
}

/// What a flat field holds.
enum Shape {
    Boolean,
    Text,
    /// A [`LogEnricherSource`], in any case.
    Source,
    List,
    /// A list of [`Action`]. It was free text.
    Actions,
    Object,
}

/// What stands in a flat field.
pub(crate) enum Held {
    /// A value for the group.
    Value(Value),
    /// A text for which the group has no value.
    Unknown(String),
    /// Nothing, or nothing of that shape.
    Foreign,
}

impl Move {
    /// What a flat value means in the group.
    pub(crate) fn read(&self, value: &Value) -> Held {
        let fits = match (&self.shape, value) {
            (Shape::Source, Value::String(text)) => {
                let mut names = SOURCES.iter().map(|(name, _)| *name);
                return match names.find(|name| name.eq_ignore_ascii_case(text)) {
                    Some(name) => Held::Value(name.into()),
                    None => Held::Unknown(text.clone()),
                };
            }
            (Shape::Actions, Value::Array(actions)) => {
                let unknown = |text: &&str| text.parse::<Action>().is_err();
                let mut texts = actions.iter().filter_map(Value::as_str);
                if let Some(text) = texts.find(unknown) {
                    return Held::Unknown(text.to_owned());
                }
                actions.iter().all(Value::is_string)
            }
            (Shape::Boolean, Value::Bool(_))
            | (Shape::Text, Value::String(_))
            | (Shape::List, Value::Array(_))
            | (Shape::Object, Value::Object(_)) => true,
            _ => false,
        };
        if fits {
            Held::Value(value.clone())
        } else {
            Held::Foreign
        }
    }

    /// Whether a value in the group says something. The API server fills in defaults, and shipped
    /// configurations spell them out: nobody has meant anything with these.
    pub(crate) fn is_explicit(&self, grouped: &Value) -> bool {
        !grouped.is_null() && *grouped != (self.unset)()
    }

    /// The texts which [`Held::Unknown`] is none of.
    pub(crate) fn known(&self) -> Vec<&'static str> {
        match self.shape {
            Shape::Source => SOURCES.map(|(name, _)| name).to_vec(),
            Shape::Actions => Action::ALL.iter().map(|action| action.as_str()).collect(),
            _ => vec![],
        }
    }
}
