//! Files that somebody changes behind our back are restored.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use spo_test_apiserver::profile::{self, allowing};
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, eventually};
use spo_test_apiserver::{audit, files};

/// What a user can wait for.
const RESTORED: Duration = Duration::from_secs(5);

/// Does something to the file of a profile, and expects it to be as before, with an event, and then
/// quiet.
async fn check(what: &str, tamper: fn(&Path)) {
    let rig = Rig::with_nodes(2).await;
    rig.create(&allowing("web", &["read"])).await;
    let web = rig.ready("web").await;
    let bytes = profile::file(&rig.client, &web).await;
    rig.quiet().await;

    let mark = audit::mark();
    let file = rig.nodes().next().unwrap().file("web");
    tamper(&file);
    let start = Instant::now();
    eventually(
        RESTORED,
        &format!("a file that was {what} is restored"),
        async || files::check(&file, &bytes),
    )
    .await;
    println!(
        "a file that was {what}: restored after {:.0?}",
        start.elapsed()
    );
    let told = rig.event("RestoredSeccompProfile", "web").await;
    assert!(
        told.contains("node-1") && told.contains("web.json"),
        "{told}"
    );
    // Nothing but the event: what the node has reported is still true.
    let writes = mark.settled(Duration::from_secs(1)).await;
    assert_eq!(writes.len(), 1, "{what}:{}", audit::list(&writes));
    assert_eq!(files::check(&file, &bytes), Ok(()));
    assert_eq!(
        files::names(&rig.nodes().next().unwrap().directory()),
        ["web.json"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_changed_is_restored() {
    check("changed", |file| {
        std::fs::write(file, "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}").unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_truncated_is_restored() {
    check("truncated", |file| std::fs::write(file, "").unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_deleted_is_restored() {
    check("deleted", |file| std::fs::remove_file(file).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_moved_away_is_restored() {
    check("moved away", |file| {
        std::fs::rename(file, file.ancestors().nth(2).unwrap().join("x")).unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_nobody_may_read_is_restored() {
    check("chmod'ed away", |file| {
        std::fs::set_permissions(file, Permissions::from_mode(0o000)).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_replaced_by_a_symlink_is_restored() {
    check("replaced by a symlink", |file| {
        let elsewhere = file.ancestors().nth(2).unwrap().join("elsewhere.json");
        std::fs::rename(file, &elsewhere).unwrap();
        symlink(&elsewhere, file).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_in_the_place_of_a_file_is_told_and_its_removal_heals() {
    let rig = Rig::with_nodes(1).await;
    rig.create(&allowing("web", &["read"])).await;
    let web = rig.ready("web").await;
    let bytes = profile::file(&rig.client, &web).await;
    let file = rig.nodes().next().unwrap().file("web");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    std::fs::write(file.join("precious"), "").unwrap();
    let texts = ["CannotSaveSeccompProfile", "web.json"];
    rig.state("web", spo_api::node_status::ProfileState::Error, &texts)
        .await;
    assert!(
        file.join("precious").exists(),
        "what is not ours is not removed"
    );
    std::fs::remove_dir_all(&file).unwrap();
    rig.ready("web").await;
    rig.on_every_node("web", &bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_directory_is_made_again_with_every_file() {
    let mut rig = Rig::with_nodes(1).await;
    let mut expected = Vec::new();
    for number in 0..10 {
        let name = format!("web-{number}");
        rig.create(&allowing(&name, &["read", "write"][..1 + number % 2]))
            .await;
        let found = rig.ready(&name).await;
        expected.push((name, profile::file(&rig.client, &found).await));
    }
    let directory = rig.nodes().next().unwrap().directory();
    let away = directory.with_file_name("away");
    let ways: [(&str, &dyn Fn()); 2] = [
        ("removed", &|| std::fs::remove_dir_all(&directory).unwrap()),
        ("moved away", &|| {
            std::fs::rename(&directory, &away).unwrap()
        }),
    ];
    for (what, tamper) in ways {
        // All of it is gone before anybody can look.
        rig.node("node-1").daemon().freeze().await;
        tamper();
        rig.node("node-1").daemon().thaw();
        let start = Instant::now();
        eventually(
            SOON,
            &format!("the files of a directory that was {what}"),
            async || {
                let node = rig.nodes().next().unwrap();
                expected
                    .iter()
                    .try_for_each(|(name, bytes)| files::check(&node.file(name), bytes))
            },
        )
        .await;
        println!(
            "the operator directory, {what}: restored after {:.0?}",
            start.elapsed()
        );
    }
    // It is watched again, too.
    let (name, bytes) = &expected[0];
    let file = rig.nodes().next().unwrap().file(name);
    std::fs::remove_file(&file).unwrap();
    eventually(RESTORED, "a file in the new directory", async || {
        files::check(&file, bytes)
    })
    .await;
    let writes = audit::mark().settled(Duration::from_secs(1)).await;
    assert!(writes.len() < 20, "{}", audit::list(&writes));
}
