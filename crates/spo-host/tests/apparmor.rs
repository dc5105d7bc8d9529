//! AppArmor of the running kernel. Needs root and a kernel with AppArmor, as the VM of tests/vm has;
//! elsewhere it says that it was not run.

use std::path::Path;
use std::time::Duration;

use spo_host::apparmor::Mode;
use spo_host::apparmor::kernel::{Changes, DIR, Error, Kernel, Removed};
use spo_host::apparmor::parser::{Limits, Parser};
use spo_host::probe::{self, Wanted};
use tokio::time::timeout;

const NAME: &str = "spo-test/kernel.a b";

fn text(mode: &str, rule: &str) -> String {
    format!(
        "#include <tunables/global>\nprofile \"{NAME}\" flags=({mode},attach_disconnected) {{\n  \
         #include <abstractions/base>\n  {rule}\n  profile child {{ /x r, }}\n}}\n"
    )
}

async fn changed(changes: &mut Changes) -> bool {
    let wait = timeout(Duration::from_secs(3), changes.next()).await;
    wait.is_ok_and(|change| change.is_ok())
}

#[tokio::test]
async fn a_profile_is_loaded_replaced_and_removed() {
    let program = Parser::find(None);
    let offered = probe::apparmor(Path::new("/sys"), Wanted::Yes, program.as_deref());
    let (Some(program), true) = (program, offered.available) else {
        eprintln!("not tested: {}", offered.message.unwrap_or_default());
        return;
    };
    let parser = Parser::new(program, vec!["/etc/apparmor.d".into()], Limits::default());
    let kernel = Kernel::at(DIR);
    let _before = kernel.remove(NAME).unwrap();
    let mut changes = kernel.changes().unwrap();
    // Whatever was loaded before is the first change.
    while changed(&mut changes).await {}
    assert_eq!(kernel.loaded(NAME).unwrap(), None);

    let enforce = parser.compile(&text("enforce", "/a r,")).await.unwrap();
    kernel.replace(&enforce).unwrap();
    assert!(changed(&mut changes).await);
    let loaded = kernel.loaded(NAME).unwrap().unwrap();
    assert_eq!(loaded.mode, Mode::Enforce);
    assert!(loaded.digest.is_some());
    assert_eq!(kernel.profiles().unwrap().get(NAME), Some(&loaded));
    kernel.replace(&enforce).unwrap();
    assert_eq!(kernel.loaded(NAME).unwrap().as_ref(), Some(&loaded));

    let complain = parser.compile(&text("complain", "/a r,")).await.unwrap();
    kernel.replace(&complain).unwrap();
    assert!(changed(&mut changes).await);
    let complains = kernel.loaded(NAME).unwrap().unwrap();
    assert_eq!(complains.mode, Mode::Complain);
    let other = parser.compile(&text("complain", "/b r,")).await.unwrap();
    kernel.replace(&other).unwrap();
    let other = kernel.loaded(NAME).unwrap().unwrap();
    assert_ne!(other.digest, complains.digest);
    kernel.replace(&enforce).unwrap();
    assert_eq!(kernel.loaded(NAME).unwrap(), Some(loaded));

    assert!(matches!(kernel.replace(b"garbage"), Err(Error::Load(_))));
    while changed(&mut changes).await {}
    assert_eq!(kernel.remove(NAME).unwrap(), Removed::Yes);
    assert!(changed(&mut changes).await);
    assert_eq!(kernel.loaded(NAME).unwrap(), None);
    assert_eq!(kernel.remove(NAME).unwrap(), Removed::WasAbsent);
}
