//! Does to a directory of a node what the daemon does: `write-profiles NODE_ROOT DIRECTORY`.
//!
//! Writes `one.json` and `two.json`, writes `one.json` again by itself, removes `two.json`.

use std::error::Error;
use std::process::ExitCode;

use spo_host::file::FILE_MODE;
use spo_host::root::{CreateDirs, NodeRoot};

#[expect(clippy::print_stderr, reason = "it is a command")]
fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (root, directory) = (args.next(), args.next());
    match write(&root.unwrap_or_default(), &directory.unwrap_or_default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", spo_test_node::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn write(root: &str, directory: &str) -> Result<(), Box<dyn Error>> {
    let dir = NodeRoot::open(root.as_ref())?.dir(directory, CreateDirs::Missing)?;
    dir.remove_stale_temps()?;
    let files = ["one.json", "two.json"].map(|name| (name.to_owned(), b"first".to_vec()));
    for written in dir.write_batch(&files, FILE_MODE) {
        written?;
    }
    dir.write_atomic("one.json", b"second", FILE_MODE)?;
    dir.unlink("two.json")?;
    Ok(())
}
