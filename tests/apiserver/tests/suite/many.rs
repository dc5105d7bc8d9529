//! Five hundred profiles at once.

use std::time::{Duration, Instant};

use kube::api::{DeleteParams, ListParams, PostParams};
use spo_test_apiserver::profile::{self, allowing};
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::eventually;
use spo_test_apiserver::{audit, files};
use tokio::task::JoinSet;

const PROFILES: usize = 500;
/// Generous: this is not a benchmark.
const DEADLINE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_profiles_come_and_go_at_once() {
    let rig = Rig::with_nodes(3).await;
    let mark = audit::mark();
    let start = Instant::now();
    let names: Vec<String> = (0..PROFILES)
        .map(|number| format!("web-{number:03}"))
        .collect();
    let mut creations = JoinSet::new();
    for part in names.chunks(PROFILES / 10) {
        let (api, part) = (rig.profiles(), part.to_vec());
        creations.spawn(async move {
            for name in part {
                let syscalls = ["read", "write", "openat", "close", "statx"];
                let profile = allowing(&name, &syscalls[..1 + name.len() % 5]);
                api.create(&PostParams::default(), &profile).await.unwrap();
            }
        });
    }
    creations.join_all().await;
    let created = start.elapsed();
    let list = async || {
        rig.profiles()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
    };
    eventually(DEADLINE, "every profile is ready", async || {
        let not_yet = list()
            .await
            .iter()
            .filter(|found| !profile::is_ready(found))
            .count();
        if not_yet == 0 {
            Ok(())
        } else {
            Err(format!("{not_yet} are not"))
        }
    })
    .await;
    let ready = start.elapsed();
    for found in list().await {
        let bytes = profile::file(&rig.client, &found).await;
        let name = found.metadata.name.unwrap();
        for node in rig.nodes() {
            assert_eq!(
                files::check(&node.file(&name), &bytes),
                Ok(()),
                "{}",
                node.name
            );
        }
    }
    for node in rig.nodes() {
        assert_eq!(files::names(&node.directory()).len(), PROFILES);
    }
    let writes = mark.settled(Duration::from_secs(2)).await;
    let refused = writes.iter().filter(|write| write.code >= 400).count();
    println!(
        "{PROFILES} profiles on 3 nodes: created after {created:.1?}, ready after {ready:.1?}, {} \
         writes in all, {refused} of them refused",
        writes.len()
    );

    let (mark, start) = (audit::mark(), Instant::now());
    let (delete, all) = (DeleteParams::default(), ListParams::default());
    rig.profiles()
        .delete_collection(&delete, &all)
        .await
        .unwrap();
    eventually(DEADLINE, "every profile is gone", async || {
        let left = list().await.len();
        if left == 0 {
            Ok(())
        } else {
            Err(format!("{left} are left"))
        }
    })
    .await;
    eventually(DEADLINE, "every file is gone", async || {
        let left: usize = rig
            .nodes()
            .map(|node| files::names(&node.directory()).len())
            .sum();
        if left == 0 {
            Ok(())
        } else {
            Err(format!("{left} are left"))
        }
    })
    .await;
    println!(
        "gone after {:.1?}, with {} writes",
        start.elapsed(),
        mark.writes().len()
    );
}
