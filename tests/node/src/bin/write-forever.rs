//! Writes the file `web.json` in a directory again and again, until it is killed:
//! `write-forever DIRECTORY`. A whole content is 65536 times one letter.

use std::path::Path;
use std::process::ExitCode;

use spo_host::file::FILE_MODE;
use spo_host::root::{CreateDirs, NodeRoot};

fn main() -> ExitCode {
    let Some(directory) = std::env::args().nth(1) else {
        return ExitCode::from(2);
    };
    let root = NodeRoot::open(Path::new(&directory)).expect("the test made the directory");
    let dir = root
        .dir("", CreateDirs::Never)
        .expect("the root is a directory");
    for letter in (b'a'..=b'z').cycle() {
        let bytes = vec![letter; 1 << 16];
        dir.write_atomic("web.json", &bytes, FILE_MODE)
            .expect("the directory is writable");
    }
    ExitCode::SUCCESS
}
