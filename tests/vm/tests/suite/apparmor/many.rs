//! A measurement: hundreds of profiles on one node. `hack/test-vm apparmor many -- --ignored --nocapture`

use std::time::{Duration, Instant};

use spo_test_apiserver::wait::eventually;
use spo_test_vm::apparmor;
use spo_test_vm::rig::Rig;

use super::installed::{ON, manifest, revision};

/// Profiles. The machine is emulated: natively it is some ten times faster.
const COUNT: usize = 500;

const LONG: Duration = Duration::from_secs(300);

fn ours() -> usize {
    let loaded = apparmor::loaded();
    loaded
        .keys()
        .filter(|name| name.starts_with("many-"))
        .count()
}

#[tokio::test]
#[ignore = "a measurement, of minutes"]
async fn many_profiles_are_loaded_once() {
    let mut rig = Rig::start(&[ON]).await;
    rig.kill_daemon();
    for number in 0..COUNT {
        rig.apply(&manifest(&format!("many-{number}"), "Enforce"))
            .await;
    }
    let start = Instant::now();
    rig.start_daemon();
    eventually(LONG, "all are loaded", async || {
        let now = ours();
        if now == COUNT {
            Ok(())
        } else {
            Err(now.to_string())
        }
    })
    .await;
    eprintln!("{COUNT} profiles loaded after {:?}", start.elapsed());
    rig.ready().await;
    eprintln!("and reported after {:?}", start.elapsed());

    tokio::time::sleep(Duration::from_secs(3)).await;
    rig.kill_daemon();
    let before = revision();
    let start = Instant::now();
    rig.start_daemon();
    rig.ready().await;
    eprintln!("ready again after {:?}", start.elapsed());
    assert_eq!(revision(), before, "something was loaded");
}
