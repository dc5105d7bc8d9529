//! What is on the node already, for a plan of what is missing.

use std::io;

use spo_host::file::entry::Entry;
use spo_host::file::{self, Dir};
use spo_host::root::{self, CreateDirs, NodeRoot};
use spo_profile::layout::{HOST_OPERATOR_ROOT, KUBELET_CONFIG, OPERATOR_DIR};

use crate::enabler::plan::{Facts, OperatorDir, Place};
use crate::enabler::{Error, seccomp_dir};

/// The largest file that is a kubelet configuration of ours.
const CONFIG_MAX: usize = 64 << 10;

/// What an earlier run remembered, if it is readable as a file.
pub(super) fn remembered(root: &NodeRoot) -> Result<Option<Vec<u8>>, Error> {
    Ok(match open(root, HOST_OPERATOR_ROOT)? {
        Some(dir) => read_config(&dir)?,
        None => None,
    })
}

pub(super) fn fetch(root: &NodeRoot, kubelet: &str) -> Result<Facts, Error> {
    let operator = open(root, HOST_OPERATOR_ROOT)?;
    let seccomp = open(root, &seccomp_dir(kubelet))?;
    let place = match &seccomp {
        Some(seccomp) => place(root, kubelet, seccomp, operator.as_ref())?,
        None => Place::Absent,
    };
    let operator = match operator {
        Some(dir) => Some(operator_dir(&dir)?),
        None => None,
    };
    Ok(Facts {
        seccomp_dir: seccomp.is_some(),
        operator,
        place,
    })
}

fn operator_dir(dir: &Dir) -> Result<OperatorDir, Error> {
    let mut profiles = Vec::new();
    for name in dir.list()? {
        if name == KUBELET_CONFIG || !name.ends_with(".json") {
            continue;
        }
        if let Some(Entry::File { owner, only_name }) = dir.entry(&name)? {
            profiles.push((name, owner, only_name));
        }
    }
    Ok(OperatorDir {
        mode: dir.own_mode()?,
        owner: dir.owner()?,
        remembered: read_config(dir)?,
        profiles,
    })
}

/// What stands where the kubelet looks for our directory.
fn place(
    root: &NodeRoot,
    kubelet: &str,
    seccomp: &Dir,
    operator: Option<&Dir>,
) -> Result<Place, Error> {
    let entry = match seccomp.entry(OPERATOR_DIR)? {
        None => return Ok(Place::Absent),
        Some(Entry::File { .. } | Entry::Other) => return Ok(Place::Strange),
        Some(Entry::Link { target }) if target == HOST_OPERATOR_ROOT => return Ok(Place::Ours),
        Some(entry @ (Entry::Link { .. } | Entry::Directory)) => entry,
    };
    let path = format!("{}/{OPERATOR_DIR}", seccomp_dir(kubelet));
    let leads_to = open(root, &path)?;
    // Another way to write the link, or a mount.
    if let (Some(found), Some(operator)) = (&leads_to, operator)
        && found.is_same(operator)?
    {
        return Ok(Place::Ours);
    }
    Ok(match (entry, leads_to) {
        (Entry::Link { target }, _) => Place::Link(target),
        (_, Some(dir)) => Place::Directory(dir.list()?.len()),
        (_, None) => Place::Absent,
    })
}

/// A directory of the node, if there is one.
fn open(root: &NodeRoot, path: &str) -> Result<Option<Dir>, Error> {
    match root.dir(path, CreateDirs::Never) {
        Ok(dir) => Ok(Some(dir)),
        Err(root::Error::OpenDir { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// What is not a file of ours is written anew.
fn read_config(dir: &Dir) -> Result<Option<Vec<u8>>, Error> {
    match dir.read(KUBELET_CONFIG, CONFIG_MAX) {
        Ok(found) => Ok(found),
        Err(file::Error::Symlink { .. } | file::Error::TooBig { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
