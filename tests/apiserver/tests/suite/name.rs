//! Names of profiles as names of files.

use std::time::Duration;

use kube::ResourceExt as _;
use spo_api::node_status::ProfileState;
use spo_test_apiserver::files;
use spo_test_apiserver::profile::{self, allowing};
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn every_name_that_the_api_server_takes_has_a_file() {
    let rig = Rig::with_nodes(1).await;
    let longest = "a".repeat(253);
    let labels = [
        "b".repeat(63),
        "c".repeat(63),
        "d".repeat(63),
        "e".repeat(61),
    ]
    .join(".");
    let suffixed = format!("{}.json", "f".repeat(248));
    let expected = [
        ("a.b.c", Some("a.b.c.json")),
        ("x.json", Some("x.json")),
        ("y.json.json", Some("y.json.json")),
        ("0", Some("0.json")),
        ("json", Some("json.json")),
        (&longest, None),
        (&labels, None),
        (&suffixed, Some(&suffixed)),
    ];
    for (name, _) in expected {
        rig.create(&allowing(name, &["read"])).await;
    }
    let directory = rig.nodes().next().unwrap().directory();
    for (name, file) in expected {
        let found = rig.ready(name).await;
        rig.on_every_node(name, &profile::file(&rig.client, &found).await)
            .await;
        if let Some(file) = file {
            assert!(
                files::names(&directory).contains(&file.to_owned()),
                "{name}"
            );
        }
        let path = rig.nodes().next().unwrap().file(name);
        let file = path.file_name().unwrap().to_str().unwrap();
        let status = found.status.unwrap();
        assert_eq!(status.localhost_profile, Some(format!("operator/{file}")));
        assert_eq!(
            rig.statuses_of(name).await.len(),
            1,
            "found by its label: {name}"
        );
    }
    for (name, _) in expected {
        rig.delete(name).await;
    }
    for (name, _) in expected {
        rig.gone(name).await;
    }
    assert_eq!(files::names(&directory), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_the_operators_own_file_is_refused() {
    let rig = Rig::with_nodes(1).await;
    for name in ["kubelet-config", "kubelet-config.json"] {
        rig.create(&allowing(name, &["read"])).await;
        let texts = [
            "InvalidSeccompProfile",
            "metadata.name",
            "give the profile another name",
        ];
        let refused = rig.state(name, ProfileState::Error, &texts).await;
        assert_eq!(refused.status.unwrap().localhost_profile, None);
        rig.delete(name).await;
        eventually(SOON, "it can be deleted", async || {
            let left = rig.profiles().get_opt(name).await.unwrap();
            left.map_or(Ok(()), |left| Err(profile::summary(&left)))
        })
        .await;
    }
    assert_eq!(
        files::names(&rig.nodes().next().unwrap().directory()),
        [""; 0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_names_with_one_file_the_older_has_it_and_the_younger_says_so() {
    for (older, younger) in [("dup", "dup.json"), ("dup.json", "dup")] {
        let rig = Rig::with_nodes(2).await;
        rig.create(&allowing(older, &["read"])).await;
        let first = rig.ready(older).await;
        let bytes = profile::file(&rig.client, &first).await;
        // Creation times are whole seconds.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        rig.create(&allowing(younger, &["write"])).await;
        let named = format!("the older SeccompProfile {older:?}");
        let texts = [
            "InvalidSeccompProfile",
            named.as_str(),
            "give this profile another name",
        ];
        rig.state(younger, ProfileState::Error, &texts).await;
        rig.ready(older).await;
        rig.on_every_node(older, &bytes).await;

        // The younger goes, and takes nothing along.
        rig.delete(younger).await;
        eventually(SOON, "the younger is gone", async || {
            let left = rig.profiles().get_opt(younger).await.unwrap();
            left.map_or(Ok(()), |left| Err(format!("{:?}", left.finalizers())))
        })
        .await;
        rig.on_every_node(older, &bytes).await;

        // The older goes, and the file is the younger's.
        rig.create(&allowing(younger, &["write"])).await;
        rig.state(younger, ProfileState::Error, &texts).await;
        rig.delete(older).await;
        let second = rig.ready(younger).await;
        rig.on_every_node(younger, &profile::file(&rig.client, &second).await)
            .await;
        eventually(SOON, "the older is gone", async || {
            let left = rig.profiles().get_opt(older).await.unwrap();
            left.map_or(Ok(()), |left| Err(format!("{:?}", left.finalizers())))
        })
        .await;
    }
}
