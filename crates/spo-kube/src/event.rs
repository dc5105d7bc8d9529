//! Pure. A Kubernetes event about one of our objects, as core/v1 (contract 02a, 2.11).

use std::fmt;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::ObjectMeta;

/// Longest message that the API server takes for an event, in bytes.
const MESSAGE_MAX: usize = 1024;
/// Events about cluster scoped objects live here, as client-go does it.
const CLUSTER_SCOPED: &str = "default";

/// What a user should know.
#[derive(Debug, Clone, PartialEq)]
pub struct KubeEvent {
    /// The object it is about.
    pub about: ObjectReference,
    /// Good or bad.
    pub severity: Severity,
    /// One of the public reasons.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// Which controller says it.
    pub component: &'static str,
    /// On which node, if on one.
    pub node: Option<String>,
}

/// The type of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Something was done.
    Normal,
    /// Something needs a human.
    Warning,
}

impl KubeEvent {
    /// The object that is sent.
    pub(crate) fn object(&self, now: jiff::Timestamp) -> Event {
        let namespace = self
            .about
            .namespace
            .clone()
            .unwrap_or_else(|| CLUSTER_SCOPED.to_owned());
        let name = self.about.name.as_deref().unwrap_or_default();
        // As client-go names them; a long object name is cut so that the event's name fits.
        let start: String = name.chars().take(220).collect();
        let start = start.trim_end_matches(['-', '.']);
        let mut end = MESSAGE_MAX.min(self.message.len());
        while !self.message.is_char_boundary(end) {
            end -= 1;
        }
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{start}.{:x}", now.as_nanosecond())),
                namespace: Some(namespace),
                ..ObjectMeta::default()
            },
            involved_object: self.about.clone(),
            reason: Some(self.reason.clone()),
            message: self.message.get(..end).map(str::to_owned),
            type_: Some(
                match self.severity {
                    Severity::Normal => "Normal",
                    Severity::Warning => "Warning",
                }
                .to_owned(),
            ),
            source: Some(EventSource {
                component: Some(self.component.to_owned()),
                host: self.node.clone(),
            }),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            count: Some(1),
            ..Event::default()
        }
    }
}

impl fmt::Display for KubeEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} {:?}", self.severity, self.reason, self.message)
    }
}
