//! Directories which are opened by the path that was given: the drop directory, and the state's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use spo_host::file::{self, Dir, FILE_MODE};
use spo_host::root::{self, CreateDirs, NodeRoot};

use super::module::{Module, name_of};
use super::plan::{Known, Wanted};

/// The largest module which is tried, in bytes. The CRD bounds a raw policy to a fraction of it.
const MODULE_LIMIT: usize = 8 << 20;

/// The largest state which is read, in bytes.
const STATE_LIMIT: usize = 64 << 20;

/// Opens a directory.
pub(crate) fn open(path: &Path) -> Result<Dir, root::Error> {
    NodeRoot::open(path)?.dir("", CreateDirs::Never)
}

/// Reads every module of the drop directory. Files of other names, links and directories are
/// nobody's modules.
pub(crate) fn scan(dir: &Dir) -> Result<Wanted, file::Error> {
    let mut wanted = BTreeMap::new();
    // Sorted, so that of two files for one name `.cil` comes before `.pp`.
    for file in dir.list()? {
        let Some(name) = name_of(&file) else {
            continue;
        };
        if wanted.contains_key(name) {
            continue;
        }
        let module = match dir.read(&file, MODULE_LIMIT) {
            Ok(Some(bytes)) => Module::read(name, &file, &bytes),
            // Removed since it was listed.
            Ok(None) => continue,
            Err(file::Error::Symlink { .. } | file::Error::NotRegular { .. }) => continue,
            Err(file::Error::TooBig { limit, .. }) => {
                let reason = format!("the file is bigger than {limit} bytes");
                Module::refused(&file, reason)
            }
            Err(error) => return Err(error),
        };
        wanted.insert(name.to_owned(), module);
    }
    Ok(wanted)
}

/// The text of a module's file, for a message. Empty when it is not to be had.
pub(crate) fn text(dir: &Dir, file: &str) -> Vec<u8> {
    let read = dir.read(file, MODULE_LIMIT);
    read.ok().flatten().unwrap_or_default()
}

/// Where the state is kept.
#[derive(Debug, Clone)]
pub(crate) struct StateFile {
    directory: PathBuf,
    file: String,
}

/// Why there is no state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The path has no last part which is a file name.
    #[error("{0:?} is not the path of a file: use a path such as /var/run/selinuxd.db")]
    Path(PathBuf),
    /// The directory can not be opened.
    #[error("cannot open the directory of the state file")]
    Directory(#[from] root::Error),
    /// The file can not be read or written.
    #[error("cannot use the state file")]
    File(#[from] file::Error),
    /// The file holds something else, such as the database of upstream's selinuxd.
    #[error("the state file {0:?} is not ours")]
    Foreign(PathBuf, #[source] serde_json::Error),
}

impl StateFile {
    pub(crate) fn new(path: &Path) -> Result<Self, StateError> {
        let no_file = || StateError::Path(path.to_owned());
        let file = path.file_name().and_then(|file| file.to_str());
        Ok(Self {
            directory: path.parent().ok_or_else(no_file)?.to_owned(),
            file: file.ok_or_else(no_file)?.to_owned(),
        })
    }

    /// Reads the state; nothing is known where there is none.
    pub(crate) fn read(&self) -> Result<Known, StateError> {
        let bytes = open(&self.directory)?.read(&self.file, STATE_LIMIT)?;
        let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else {
            return Ok(Known::default());
        };
        serde_json::from_slice(&bytes)
            .map_err(|error| StateError::Foreign(self.directory.join(&self.file), error))
    }

    /// Writes the state, whole or not at all.
    pub(crate) fn write(&self, known: &Known) -> Result<(), StateError> {
        let bytes = serde_json::to_vec(known)
            .map_err(|error| StateError::Foreign(self.directory.join(&self.file), error))?;
        open(&self.directory)?.write_atomic(&self.file, &bytes, FILE_MODE)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "somebody else wrote these files")]

    use std::fs::write;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_modules_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| write(dir.path().join(name), text).unwrap();
        put("a.cil", "(block a)");
        put("a.pp", "x");
        put("b.pp", "x");
        put("README", "x");
        put("empty.cil", "");
        std::fs::create_dir(dir.path().join("d.cil")).unwrap();
        symlink("a.cil", dir.path().join("l.cil")).unwrap();
        let big = std::fs::File::create(dir.path().join("big.cil")).unwrap();
        big.set_len(MODULE_LIMIT as u64 + 1).unwrap();

        let wanted = scan(&open(dir.path()).unwrap()).unwrap();
        let files: Vec<_> = wanted.values().map(|module| module.file.as_str()).collect();
        assert_eq!(files, ["a.cil", "b.pp", "big.cil", "empty.cil"]);
        assert!(wanted["a"].refusal.is_none());
        assert!(wanted["big"].refusal.is_some() && wanted["empty"].refusal.is_some());
    }

    #[test]
    fn the_state_outlives_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let file = StateFile::new(&path).unwrap();
        assert_eq!(file.read().unwrap(), Known::default());
        file.write(&Known::default()).unwrap();
        assert_eq!(file.read().unwrap(), Known::default());
        // bbolt: upstream's.
        write(&path, [0, 1, 2, 3]).unwrap();
        assert!(matches!(file.read(), Err(StateError::Foreign(..))));
        assert!(matches!(
            StateFile::new(Path::new("/")),
            Err(StateError::Path(_))
        ));
    }
}
