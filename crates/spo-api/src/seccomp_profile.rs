//! SeccompProfile v1: spec, status, and the enumerations of seccomp(2) and the OCI runtime-spec.

pub mod held;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::node_status::ProfileState;

/// SeccompProfileSpec defines which system calls a workload may make.
///
/// The field order is the member order of the file on the node (contract 02a, 2.7).
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "security-profiles-operator.x-k8s.io",
    version = "v1",
    kind = "SeccompProfile",
    plural = "seccompprofiles",
    shortname = "sp",
    status = "SeccompProfileStatus",
    derive = "PartialEq",
    doc = "SeccompProfile is a cluster level specification for a seccomp profile. \
           See https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp",
    printcolumn(name = "Status", type_ = "string", json_path = ".status.status"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "LocalhostProfile",
        type_ = "string",
        json_path = ".status.localhostProfile",
        priority = "10"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct SeccompProfileSpec {
    /// state says whether nodes act on the profile. A `Disabled` profile is taken off the nodes and
    /// kept as an object. The default is `Enabled`.
    #[serde(default)]
    pub state: DesiredState,

    /// baseProfileName is the name of another SeccompProfile of the cluster whose system calls are
    /// united with the ones of this profile. Prefixed with `oci://` it names an artifact in a
    /// registry instead. Only system calls are inherited: the default action, the architectures and
    /// the flags are the ones written here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_profile_name: Option<String>,

    /// defaultAction is what happens to a system call which no rule names.
    pub default_action: Action,

    /// architectures which the filter covers. Without any, the runtime uses the native one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub architectures: Vec<Arch>,

    /// listenerPath is the UNIX domain socket of the agent which decides on `SCMP_ACT_NOTIFY`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^/var/run/security-profiles-operator/[a-zA-Z0-9_\-\.]+$"))]
    pub listener_path: Option<String>,

    /// listenerMetadata is opaque text which is handed to that agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener_metadata: Option<String>,

    /// syscalls are the rules. Their order is kept, unless a base profile is united with them.
    /// While this field is optional, some values of defaultAction are of no use without rules: with
    /// `SCMP_ACT_KILL` and no rule a container is killed at its first system call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub syscalls: Vec<Syscall>,

    /// flags of seccomp(2) with which the filter is loaded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub flags: Vec<Flag>,
}

/// Syscall is one rule: what happens to some system calls, optionally only with some arguments.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Syscall {
    /// names of the system calls.
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "set"))]
    pub names: Vec<String>,

    /// action is what happens to these system calls.
    pub action: Action,

    /// errnoRet is the error number which `SCMP_ACT_ERRNO` and `SCMP_ACT_TRACE` return. Absent or
    /// 0 means the default of the container runtime, EPERM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub errno_ret: Option<i32>,

    /// args are conditions on the arguments. The rule applies if all of them hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 6), extend("x-kubernetes-list-type" = "atomic"))]
    pub args: Vec<Arg>,
}

/// Arg is a condition on one argument of a system call.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct Arg {
    /// index of the argument, 0 to 5.
    #[schemars(range(min = 0), extend("x-kubernetes-validations" = [{
        "rule": "self <= 5",
        "message": "index is 0 to 5: a system call has six arguments",
    }]))]
    pub index: i32,

    /// value is the first operand. Absent means 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub value: Option<i64>,

    /// valueTwo is the second operand, used by `SCMP_CMP_MASKED_EQ` only: the argument, masked
    /// with `value`, must be equal to `valueTwo`. Absent means 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub value_two: Option<i64>,

    /// op is the comparison.
    pub op: Operator,
}

/// SeccompProfileStatus says where the profile is installed and who uses it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SeccompProfileStatus {
    /// status sums up the nodes: the lowest state which any of them reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ProfileState>,

    /// conditions hold the condition `Ready`, whose message says on how many nodes the profile is
    /// installed and what is wrong on the others; and, while the profile is being deleted, the
    /// condition `InUse`, whose message names the pods which hold it back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::condition::list_schema")]
    pub conditions: Vec<Condition>,

    /// localhostProfile is what a pod writes in `securityContext.seccompProfile.localhostProfile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub localhost_profile: Option<String>,

    /// path of the file on a node whose kubelet runs in the default directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,

    /// activeWorkloads names pods which use the profile, as `namespace/name`. The list holds the
    /// first 100 by name; activeWorkloadsCount counts all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub active_workloads: Vec<String>,

    /// activeWorkloadsCount is the number of pods which use the profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub active_workloads_count: Option<i32>,
}

/// Whether nodes act on a profile.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DesiredState {
    #[default]
    #[expect(
        missing_docs,
        reason = "the name says it; a doc comment would become oneOf"
    )]
    Enabled,
    #[expect(
        missing_docs,
        reason = "the name says it; a doc comment would become oneOf"
    )]
    Disabled,
}

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the names are the kernel's; a doc comment would become oneOf")]
        pub enum $name { $(#[serde(rename = $text)] $variant,)+ }

        impl $name {
            /// Every value, in schema order.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The name in libseccomp and in the OCI runtime-spec.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = Unknown;
            fn from_str(text: &str) -> Result<Self, Unknown> {
                match text {
                    $($text => Ok($name::$variant),)+
                    _ => Err(Unknown(text.to_owned())),
                }
            }
        }
    };
}

/// A name which none of the values of an enumeration has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a known value")]
pub struct Unknown(pub String);

named! {
    /// What happens to a system call. Source: OCI runtime-spec 1.2, config-linux.md#seccomp.
    Action {
        Kill = "SCMP_ACT_KILL",
        KillProcess = "SCMP_ACT_KILL_PROCESS",
        KillThread = "SCMP_ACT_KILL_THREAD",
        Trap = "SCMP_ACT_TRAP",
        Errno = "SCMP_ACT_ERRNO",
        Trace = "SCMP_ACT_TRACE",
        Allow = "SCMP_ACT_ALLOW",
        Log = "SCMP_ACT_LOG",
        Notify = "SCMP_ACT_NOTIFY",
    }
}

impl Default for Action {
    /// The action that an absent one stands for nowhere: only tests and builders use it.
    fn default() -> Self {
        Action::Errno
    }
}

named! {
    /// How an argument is compared.
    Operator {
        NotEqual = "SCMP_CMP_NE",
        Less = "SCMP_CMP_LT",
        LessEqual = "SCMP_CMP_LE",
        Equal = "SCMP_CMP_EQ",
        GreaterEqual = "SCMP_CMP_GE",
        Greater = "SCMP_CMP_GT",
        MaskedEqual = "SCMP_CMP_MASKED_EQ",
    }
}

named! {
    /// Flags of seccomp(2).
    Flag {
        Tsync = "SECCOMP_FILTER_FLAG_TSYNC",
        Log = "SECCOMP_FILTER_FLAG_LOG",
        SpecAllow = "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        WaitKillableRecv = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    }
}

named! {
    /// Architectures of a filter.
    Arch {
        Native = "SCMP_ARCH_NATIVE",
        X86 = "SCMP_ARCH_X86",
        X86_64 = "SCMP_ARCH_X86_64",
        X32 = "SCMP_ARCH_X32",
        Arm = "SCMP_ARCH_ARM",
        Aarch64 = "SCMP_ARCH_AARCH64",
        Mips = "SCMP_ARCH_MIPS",
        Mips64 = "SCMP_ARCH_MIPS64",
        Mips64N32 = "SCMP_ARCH_MIPS64N32",
        Mipsel = "SCMP_ARCH_MIPSEL",
        Mipsel64 = "SCMP_ARCH_MIPSEL64",
        Mipsel64N32 = "SCMP_ARCH_MIPSEL64N32",
        Ppc = "SCMP_ARCH_PPC",
        Ppc64 = "SCMP_ARCH_PPC64",
        Ppc64le = "SCMP_ARCH_PPC64LE",
        S390 = "SCMP_ARCH_S390",
        S390x = "SCMP_ARCH_S390X",
        Parisc = "SCMP_ARCH_PARISC",
        Parisc64 = "SCMP_ARCH_PARISC64",
        Riscv64 = "SCMP_ARCH_RISCV64",
        Loongarch64 = "SCMP_ARCH_LOONGARCH64",
        M68k = "SCMP_ARCH_M68K",
        Sh = "SCMP_ARCH_SH",
        Sheb = "SCMP_ARCH_SHEB",
    }
}
