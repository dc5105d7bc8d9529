//! Where a process belongs: the container of a pod on a node.

use crate::filter::{Fields, Value};
use crate::text::Text;

/// A process, told apart from a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// Its number in the first PID namespace.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did; unknown if it was gone too soon.
    pub start: Option<u64>,
}

/// The container a process runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The node we run on.
    pub node: &'a str,
    /// The namespace of the pod.
    pub namespace: &'a str,
    /// The name of the pod.
    pub pod: &'a str,
    /// The name of the container in the pod.
    pub container: &'a str,
    /// The recording it belongs to, or empty.
    pub recording: &'a str,
}

/// The fields `container`, `namespace` and `pod`: the object `resource` of a JSON record.
impl Fields for Place<'_> {
    fn field(&self, key: &str) -> Option<Value<'_>> {
        let text = match key {
            "container" => self.container,
            "namespace" => self.namespace,
            "pod" => self.pod,
            _ => return None,
        };
        Some(Value::Text(Text::from(text)))
    }
}
