//! The containers which change the SELinux policy of the node.

use serde_json::json;
use spo_api::spod::SelinuxBackend;

use crate::Context;
use crate::settings::Selinux;

use super::container::{Amounts, Container, ProfiledBy, kubelet_env, resources, type_tag};
use super::volume::{Mount, Volume};

const DROP_DIR: &str = "/etc/selinux.d";

/// Policies which profiles build on, and the ones of selinuxd and of recordings.
/// The last status counts: what can not be installed again is there already.
const COPY_POLICIES: &str = "\
set -x
chown 65535:0 /etc/selinux.d
chmod 750 /etc/selinux.d
semodule -i /usr/share/selinuxd/templates/*.cil
semodule -i /opt/spo-profiles/selinuxd.cil
semodule -i /opt/spo-profiles/selinuxrecording.cil
semodule -R
";

/// libsemanage keeps the whole policy in memory.
const MEMORY_LIMIT: &str = "1Gi";

/// The init container which installs policies. It is privileged, because it changes the policy of
/// the node before there is a type for that, and runs a few commands of an image that is not ours.
pub(crate) fn policies_copier(selinux: &Selinux, context: Context<'_>) -> Container {
    let mut mounts = vec![
        Mount::write(Volume::SelinuxDropDir, DROP_DIR),
        Mount::read(Volume::Profiles, "/opt/spo-profiles"),
    ];
    mounts.extend(policy_store());
    if selinux.templates_config_map.is_some() {
        let templates = Mount::read(Volume::SelinuxTemplates, "/usr/share/selinuxd/templates");
        mounts.push(templates);
    }
    Container {
        name: "selinux-shared-policies-copier",
        image: selinux.image.clone(),
        command: Some(match selinux.backend {
            SelinuxBackend::Selinuxd => json!(["bash", "-c"]),
            SelinuxBackend::BuiltIn => json!(["sh", "-c"]),
        }),
        args: vec![COPY_POLICIES.to_owned()],
        env: vec![kubelet_env(context)],
        health: None,
        resources: resources(
            Amounts {
                memory: "32Mi",
                cpu: "100m",
                storage: "10Mi",
            },
            MEMORY_LIMIT,
            "50Mi",
        ),
        security: json!({
            "runAsUser": 0,
            "privileged": true,
            "allowPrivilegeEscalation": true,
            "readOnlyRootFilesystem": true,
            "capabilities": {
                "drop": ["ALL"],
                "add": ["CHOWN", "FOWNER", "FSETID", "DAC_OVERRIDE"],
            },
            "seLinuxOptions": type_tag(context),
        }),
        mounts,
        profiled_by: ProfiledBy::Environment,
    }
}

/// selinuxd, in the type which the copier has installed for it. Ours takes the same arguments.
pub(crate) fn selinuxd(selinux: &Selinux, context: Context<'_>) -> Container {
    let subcommand = match selinux.backend {
        SelinuxBackend::Selinuxd => None,
        SelinuxBackend::BuiltIn => Some("selinuxd"),
    };
    let args = [
        "daemon",
        "--datastore-path",
        "/var/run/selinuxd/selinuxd.db",
        "--socket-path",
        "/var/run/selinuxd/selinuxd.sock",
        "--socket-uid",
        "0",
        "--socket-gid",
        "65535",
    ];
    let mut mounts = vec![
        Mount::read(Volume::SelinuxDropDir, DROP_DIR),
        Mount::write(Volume::SelinuxdPrivate, "/var/run/selinuxd"),
    ];
    mounts.extend(policy_store());
    Container {
        name: "selinuxd",
        image: selinux.image.clone(),
        command: None,
        args: subcommand
            .into_iter()
            .chain(args)
            .map(str::to_owned)
            .collect(),
        env: vec![kubelet_env(context)],
        health: None,
        resources: resources(
            Amounts {
                memory: "512Mi",
                cpu: "100m",
                storage: "200Mi",
            },
            MEMORY_LIMIT,
            "400Mi",
        ),
        security: json!({
            "runAsUser": 0,
            "runAsGroup": 0,
            "readOnlyRootFilesystem": true,
            "capabilities": {
                "drop": ["ALL"],
                "add": ["CHOWN", "FOWNER", "FSETID", "DAC_OVERRIDE"],
            },
            "seLinuxOptions": {"type": "selinuxd.process"},
        }),
        mounts,
        profiled_by: ProfiledBy::Argument("--enable-profiling=true"),
    }
}

fn policy_store() -> [Mount; 3] {
    [
        Mount::write(Volume::SelinuxFs, "/sys/fs/selinux"),
        Mount::write(Volume::SelinuxEtc, "/etc/selinux"),
        Mount::write(Volume::SelinuxStore, "/var/lib/selinux"),
    ]
}
