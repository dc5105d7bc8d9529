//! What a daemon does about the profiles of a mechanism that its node does not offer: this machine's
//! daemons are told to leave AppArmor alone, whether its kernel has it or not.

use kube::api::ListParams;
use serde_json::json;
use spo_api::meta;
use spo_test_apiserver::played::{PlayedNode, Profiles};
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, eventually};

#[tokio::test]
async fn a_node_without_apparmor_takes_back_its_reports_and_says_why() {
    let rig = Rig::with_nodes(1).await;
    let profiles = Profiles::new(&rig.client, "AppArmorProfile", "apparmorprofiles");
    profiles.create("web", json!({})).await;
    // As when the node still had it.
    let node = PlayedNode {
        client: &rig.client,
        name: "node-1",
    };
    node.installs(&profiles, "web").await;
    eventually(SOON, "the report is taken back", async || {
        let label = format!("{}=AppArmorProfile", meta::LABEL_PROFILE_KIND);
        let about = ListParams::default().labels(&label);
        match rig.statuses().list(&about).await.unwrap().items.len() {
            0 => Ok(()),
            left => Err(format!("{left} reports")),
        }
    })
    .await;
    // From what the daemon has said about the node.
    let why = ["AppArmor"];
    profiles
        .says("web", "Ready", ("False", "NotOffered"), &why)
        .await;
    let statuses = rig.statuses().list(&ListParams::default()).await.unwrap();
    let mechanisms: Vec<_> = statuses
        .items
        .into_iter()
        .filter_map(|status| status.status)
        .flat_map(|status| status.mechanisms)
        .filter(|mechanism| mechanism.name == "AppArmor")
        .collect();
    assert_eq!(mechanisms.len(), 1, "{mechanisms:?}");
    assert!(!mechanisms[0].available);
    let why = mechanisms[0].message.as_deref().unwrap();
    assert!(why.contains("AppArmor"), "{why}");
}
