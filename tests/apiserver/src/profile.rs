//! Seccomp profiles: made with a line, looked at with a line, rendered as a node is to have them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, Client};
use spo_api::condition;
use spo_api::node_status::ProfileState;
use spo_api::seccomp_profile::{Action, SeccompProfile, SeccompProfileSpec, Syscall};
use spo_profile::seccomp::render;
use spo_profile::seccomp::resolve::{BaseRef, Progress, Resolved, Resolver};

/// A profile that allows these system calls and nothing else.
pub fn allowing(name: &str, syscalls: &[&str]) -> SeccompProfile {
    let rule = Syscall {
        names: syscalls.iter().map(|&name| name.to_owned()).collect(),
        action: Action::Allow,
        errno_ret: None,
        args: Vec::new(),
    };
    let syscalls = if syscalls.is_empty() {
        Vec::new()
    } else {
        vec![rule]
    };
    let spec = SeccompProfileSpec {
        default_action: Action::Errno,
        syscalls,
        ..SeccompProfileSpec::default()
    };
    SeccompProfile::new(name, spec)
}

/// The same, on top of a base profile.
pub fn extending(name: &str, base: &str, syscalls: &[&str]) -> SeccompProfile {
    let mut profile = allowing(name, syscalls);
    profile.spec.base_profile_name = Some(base.to_owned());
    profile
}

/// The state that the profile's status names.
pub fn state(profile: &SeccompProfile) -> Option<ProfileState> {
    profile.status.as_ref().and_then(|status| status.status)
}

/// A condition of a profile.
pub fn condition<'a>(profile: &'a SeccompProfile, type_: &str) -> Option<&'a Condition> {
    let conditions = &profile.status.as_ref()?.conditions;
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// The message of the condition `Ready`.
pub fn message(profile: &SeccompProfile) -> &str {
    condition(profile, condition::READY).map_or("", |ready| ready.message.as_str())
}

/// Whether `Ready` is true, and about the generation that is there.
pub fn is_ready(profile: &SeccompProfile) -> bool {
    state(profile) == Some(ProfileState::Installed)
        && condition(profile, condition::READY).is_some_and(|ready| {
            ready.status == "True" && ready.observed_generation == profile.metadata.generation
        })
}

/// The status in a line, for messages.
pub fn summary(profile: &SeccompProfile) -> String {
    let state = state(profile).map_or("no state", ProfileState::as_str);
    let conditions = profile
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice());
    let conditions: Vec<String> = conditions
        .unwrap_or_default()
        .iter()
        .map(|c| {
            format!(
                "{} {} {:?}: {:?}",
                c.type_, c.status, c.observed_generation, c.message
            )
        })
        .collect();
    format!(
        "{state} generation {:?} {conditions:?}",
        profile.metadata.generation
    )
}

/// The profile with the base profiles that the cluster has.
pub async fn resolve(client: &Client, profile: &SeccompProfile) -> Resolved {
    let api: Api<SeccompProfile> = Api::all(client.clone());
    let name = profile.metadata.name.as_deref().unwrap();
    let mut resolver = Resolver::new(name, profile.spec.clone());
    loop {
        match resolver.step() {
            Progress::Done(resolved) => return resolved,
            Progress::Failed(error) => panic!("{name}: {error}"),
            Progress::Need(need) => {
                let BaseRef::Local(base) = need.base() else {
                    panic!("{name}: an artifact")
                };
                let base = api.get(base).await.unwrap();
                resolver = need.answer(Some(base.spec));
            }
        }
    }
}

/// The bytes of the file that a node is to have.
pub async fn file(client: &Client, profile: &SeccompProfile) -> Vec<u8> {
    render::render(&resolve(client, profile).await.spec)
}
