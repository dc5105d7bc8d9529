//! SelinuxProfiles and RawSelinuxProfiles from the object to what selinuxd is given, and back.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use spo_api::GROUP;
use spo_api::spod::SecurityProfilesOperatorDaemon;
use spo_test_apiserver::cluster::NAMESPACE;
use spo_test_apiserver::metrics;
use spo_test_apiserver::played::Profiles;
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::selinuxd::{self, DROP_DIR, FAILS, Selinuxd};
use spo_test_apiserver::wait::{SOON, always, eventually};

const AVAILABLE: (&str, &str) = ("True", "Available");
const UNAVAILABLE: (&str, &str) = ("False", "Unavailable");

/// A cluster of one node with SELinux.
struct Cluster {
    rig: Rig,
    profiles: Profiles,
    raws: Profiles,
    dir: PathBuf,
}

impl Cluster {
    async fn new() -> Self {
        let mut rig = Rig::empty().await;
        rig.start_manager("manager-0").await;
        rig.make_node("node-1").await;
        rig.leader().await;
        configure(&rig, json!({ "enable": true })).await;
        let node = rig.node("node-1");
        selinuxd::prepare(&node.root);
        node.arguments = selinuxd::arguments(&node.root);
        let dir = node.root.join(DROP_DIR);
        rig.start_daemon("node-1");
        rig.daemon_is_ready("node-1").await;
        Self {
            profiles: Profiles::new(&rig.client, "SelinuxProfile", "selinuxprofiles"),
            raws: Profiles::new(&rig.client, "RawSelinuxProfile", "rawselinuxprofiles"),
            rig,
            dir,
        }
    }

    fn selinuxd(&mut self) -> Selinuxd {
        Selinuxd::start(&self.rig.node("node-1").root)
    }

    fn file(&self, name: &str) -> String {
        let file = self.dir.join(format!("{name}.cil"));
        std::fs::read_to_string(file).unwrap_or_default()
    }

    fn files(&self) -> Vec<String> {
        spo_test_apiserver::files::names(&self.dir)
    }

    async fn counts(&mut self, family: &str, label: (&str, &str), expected: f64) {
        let node = self.rig.node("node-1");
        let name = format!("security_profiles_operator_selinux_profile_{family}");
        eventually(SOON, &format!("{name} {label:?}"), async || {
            let sum = metrics::sum(&node.metrics().await, &name, &[label]);
            if sum == expected {
                Ok(())
            } else {
                Err(format!("{sum}"))
            }
        })
        .await;
    }
}

async fn configure(rig: &Rig, selinux: Value) {
    let spods: Api<SecurityProfilesOperatorDaemon> = Api::namespaced(rig.client.clone(), NAMESPACE);
    let spod = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "SecurityProfilesOperatorDaemon",
        "metadata": { "name": "spod" },
        "spec": { "selinux": selinux },
    });
    let params = PatchParams::apply("test").force();
    spods
        .patch("spod", &params, &Patch::Apply(spod))
        .await
        .unwrap();
}

fn allow(target: &str) -> Value {
    json!({ "allow": { target: { "tcp_socket": ["name_bind"] } } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_becomes_a_module_and_goes_again() {
    let mut cluster = Cluster::new().await;
    let selinuxd = cluster.selinuxd();
    cluster.profiles.create("web", allow("http_port_t")).await;
    let found = cluster.profiles.says("web", "Ready", AVAILABLE, &[]).await;
    assert_eq!(found.data["status"]["usage"], "web.process");
    assert_eq!(
        cluster.file("web"),
        "(block web\n(blockinherit container)\n\
         (allow process http_port_t ( tcp_socket ( name_bind )))\n)\n"
    );
    let mode = cluster
        .dir
        .join("web.cil")
        .metadata()
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o7777, 0o600);
    assert_eq!(selinuxd.installed(), ["web"]);
    cluster.counts("total", ("operation", "update"), 1.0).await;
    // Nobody asks when nobody waits.
    let asked = selinuxd.questions();
    let quiet = Duration::from_secs(3);
    always(quiet, "selinuxd is left alone", async || {
        let more = selinuxd.questions() - asked;
        if more == 0 {
            Ok(())
        } else {
            Err(format!("{more} questions"))
        }
    })
    .await;

    cluster
        .profiles
        .patch("web", json!({ "spec": { "mode": "Permissive" } }))
        .await;
    cluster.profiles.says("web", "Ready", AVAILABLE, &[]).await;
    assert!(cluster.file("web").contains("(typepermissive process)"));

    // Files that somebody changes are restored.
    std::fs::remove_file(cluster.dir.join("web.cil")).unwrap();
    let told = cluster.rig.event("RestoredSelinuxPolicy", "web").await;
    assert!(told.contains("web.cil was deleted"), "{told}");
    cluster.profiles.says("web", "Ready", AVAILABLE, &[]).await;
    assert!(cluster.file("web").contains("(typepermissive process)"));

    cluster.profiles.delete("web").await;
    cluster.profiles.gone("web").await;
    assert_eq!(cluster.files(), [""; 0]);
    assert_eq!(selinuxd.installed(), [""; 0]);
    cluster.counts("total", ("operation", "delete"), 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_installed_says_why() {
    let mut cluster = Cluster::new().await;
    let selinuxd = cluster.selinuxd();
    let profiles = cluster.profiles.clone();
    profiles.create("typo", allow(FAILS)).await;
    let texts = [
        "CannotSaveSelinuxPolicy",
        "cannot install module: /etc/selinux.d/typo.cil; the log of the container selinuxd says why",
    ];
    profiles.says("typo", "Ready", UNAVAILABLE, &texts).await;
    profiles
        .patch("typo", json!({ "spec": { "allow": { FAILS: null } } }))
        .await;
    profiles.says("typo", "Ready", AVAILABLE, &[]).await;

    profiles.create("shadow", allow("shadow_t")).await;
    let texts = [
        "CannotWritePolicyFile",
        "spec.allow[\"shadow_t\"][\"tcp_socket\"]: invalid semantic rule for type shadow_t, class \
         tcp_socket: type shadow_t is denied",
    ];
    profiles.says("shadow", "Ready", UNAVAILABLE, &texts).await;
    profiles.create("1.web", json!({})).await;
    let texts = ["Profile failed validation on node-1: metadata.name: \"1.web\" can not be"];
    profiles.says("1.web", "Ready", UNAVAILABLE, &texts).await;
    assert_eq!(cluster.files(), ["typo.cil"]);
    cluster
        .counts("error_total", ("reason", "CannotSaveSelinuxPolicy"), 2.0)
        .await;
    let told = cluster.rig.event("CannotWritePolicyFile", "shadow").await;
    assert!(told.contains("type shadow_t is denied"), "{told}");

    // What an administrator permits later is installed then; what is forbidden, removed.
    let options = json!({ "allowedTypes": ["shadow_t"] });
    configure(&cluster.rig, json!({ "enable": true, "options": options })).await;
    profiles.says("shadow", "Ready", AVAILABLE, &[]).await;
    configure(&cluster.rig, json!({ "enable": true })).await;
    profiles
        .says("shadow", "Ready", UNAVAILABLE, &["shadow_t is denied"])
        .await;
    assert_eq!(cluster.files(), ["typo.cil"]);
    for name in ["shadow", "1.web", "typo"] {
        profiles.delete(name).await;
        profiles.gone(name).await;
    }
    assert_eq!(selinuxd.installed(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_policies_are_wrapped_and_can_be_switched_off() {
    let mut cluster = Cluster::new().await;
    let selinuxd = cluster.selinuxd();
    let raws = cluster.raws.clone();
    let policy = "(blockinherit container)\n(allow process var_log_t ( dir ( open )))\n";
    raws.create("logger", json!({ "policy": policy })).await;
    let found = raws.says("logger", "Ready", AVAILABLE, &[]).await;
    assert_eq!(found.data["status"]["usage"], "logger.process");
    let module = "(block logger\n    (blockinherit container)\n    (allow process var_log_t ( dir ( \
                  open )))\n)";
    assert_eq!(cluster.file("logger"), module);
    raws.create("escape", json!({ "policy": "(in container (x))" }))
        .await;
    let texts = ["spec.policy: invalid policy: use of restricted global directive 'in'"];
    raws.says("escape", "Ready", UNAVAILABLE, &texts).await;

    // A name belongs to the older of two.
    cluster.profiles.create("logger", json!({})).await;
    let texts = ["the file logger.cil belongs to the older RawSelinuxProfile/logger"];
    cluster
        .profiles
        .says("logger", "Ready", UNAVAILABLE, &texts)
        .await;
    assert_eq!(cluster.file("logger"), module);
    cluster.profiles.delete("logger").await;
    cluster.profiles.gone("logger").await;
    assert_eq!(cluster.file("logger"), module);

    let off = json!({ "enable": true, "enableRawSelinuxProfiles": false });
    configure(&cluster.rig, off).await;
    let texts = ["set spec.selinux.enableRawSelinuxProfiles of the"];
    raws.says("logger", "Ready", UNAVAILABLE, &texts).await;
    eventually(SOON, "the module is gone", async || {
        let installed = selinuxd.installed();
        if installed.is_empty() {
            Ok(())
        } else {
            Err(format!("{installed:?}"))
        }
    })
    .await;
    configure(&cluster.rig, json!({ "enable": true })).await;
    raws.says("logger", "Ready", AVAILABLE, &[]).await;
    raws.delete("logger").await;
    raws.gone("logger").await;
    assert_eq!(cluster.files(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_are_installed_after_what_they_inherit_and_removed_before_it() {
    let mut cluster = Cluster::new().await;
    let selinuxd = cluster.selinuxd();
    let profiles = cluster.profiles.clone();
    let inherits = |name: &str| json!({ "inherit": [{ "kind": "SelinuxProfile", "name": name }] });
    profiles.create("child", inherits("parent")).await;
    let texts = ["couldn't find inherit reference SelinuxProfile/parent"];
    profiles.says("child", "Ready", UNAVAILABLE, &texts).await;
    profiles.create("parent", json!({})).await;
    profiles.says("child", "Ready", AVAILABLE, &[]).await;
    assert_eq!(
        cluster.file("child"),
        "(block child\n(blockinherit parent)\n)\n"
    );
    let age = |name: &str| {
        let file = cluster.dir.join(format!("{name}.cil"));
        file.metadata().unwrap().modified().unwrap()
    };
    let between = age("child").duration_since(age("parent")).unwrap();
    assert!(between > Duration::from_millis(600), "{between:?}");

    profiles.delete("parent").await;
    always(Duration::from_secs(4), "both are installed", async || {
        let installed = selinuxd.installed();
        if installed == ["child", "parent"] {
            Ok(())
        } else {
            Err(format!("{installed:?}"))
        }
    })
    .await;
    profiles.delete("child").await;
    profiles.gone("child").await;
    profiles.gone("parent").await;
    assert_eq!(cluster.files(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn selinuxd_may_come_late_and_go() {
    let mut cluster = Cluster::new().await;
    let profiles = cluster.profiles.clone();
    profiles.create("web", json!({})).await;
    let texts = ["CannotContactSelinuxd", "selinuxd is not there"];
    profiles.says("web", "Ready", UNAVAILABLE, &texts).await;
    cluster
        .counts("error_total", ("reason", "CannotContactSelinuxd"), 1.0)
        .await;
    cluster.rig.daemon_is_ready("node-1").await;
    let selinuxd = cluster.selinuxd();
    profiles.says("web", "Ready", AVAILABLE, &[]).await;
    drop(selinuxd);
    // What is installed stays so. What is to be removed waits, and nobody says that it is gone.
    profiles.delete("web").await;
    always(Duration::from_secs(3), "the file waits", async || {
        if cluster.files() == ["web.cil"] {
            Ok(())
        } else {
            Err("it is gone".to_owned())
        }
    })
    .await;
    let _selinuxd = cluster.selinuxd();
    profiles.gone("web").await;
    assert_eq!(cluster.files(), [""; 0]);
    let log = cluster.rig.node("node-1").daemon().log();
    assert_eq!(
        log.matches("selinuxd can not be asked; trying").count(),
        1,
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_while_no_daemon_ran_is_found() {
    let mut cluster = Cluster::new().await;
    let selinuxd = cluster.selinuxd();
    let profiles = cluster.profiles.clone();
    profiles.create("web", json!({})).await;
    profiles.says("web", "Ready", AVAILABLE, &[]).await;
    cluster.rig.kill_daemon("node-1");
    let write = |name: &str, text: &str| {
        let file = cluster.dir.join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("old.cil", "(block old\n(blockinherit container)\n)\n");
    write("old-raw.cil", "(block old-raw\n    (type x)\n)");
    write("foreign.cil", "(type foreign_t)\n");
    write("container.cil", "(block container\n    (type process)\n)");
    cluster.rig.start_daemon("node-1");
    cluster.rig.daemon_is_ready("node-1").await;
    let expected = ["container.cil", "foreign.cil", "web.cil"];
    eventually(SOON, "the orphans are gone", async || {
        let files = cluster.files();
        if files == expected {
            Ok(())
        } else {
            Err(format!("{files:?}"))
        }
    })
    .await;
    profiles.says("web", "Ready", AVAILABLE, &[]).await;
    assert!(selinuxd.installed().contains(&"web".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_not_told_to_install_any_more_holds_nothing_back() {
    let mut cluster = Cluster::new().await;
    let _selinuxd = cluster.selinuxd();
    let profiles = cluster.profiles.clone();
    profiles.create("web", json!({})).await;
    profiles.says("web", "Ready", AVAILABLE, &[]).await;
    cluster.rig.kill_daemon("node-1");
    cluster.rig.node("node-1").arguments = Vec::new();
    cluster.rig.start_daemon("node-1");
    cluster.rig.daemon_is_ready("node-1").await;
    let texts = ["the operator is not told to install SELinux profiles"];
    let not_offered = ("False", "NotOffered");
    profiles.says("web", "Ready", not_offered, &texts).await;
    profiles.delete("web").await;
    profiles.gone("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_selinux_says_nothing_about_profiles() {
    let mut rig = Rig::with_nodes(1).await;
    configure(&rig, json!({ "enable": true })).await;
    let profiles = Profiles::new(&rig.client, "SelinuxProfile", "selinuxprofiles");
    profiles.create("web", json!({})).await;
    let texts = ["SELinux is off in the kernel"];
    profiles
        .says("web", "Ready", ("False", "NotOffered"), &texts)
        .await;
    assert!(!rig.node("node-1").root.join(DROP_DIR).exists());
    let log = rig.node("node-1").daemon().log();
    assert!(!log.contains("cannot"), "{log}");
}
