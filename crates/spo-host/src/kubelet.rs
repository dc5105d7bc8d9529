//! Pure. Find the kubelet's root directory on a node, and remember it.

use serde::{Deserialize, Serialize};

/// Where kubelets live unless they are told otherwise.
pub const DEFAULT_DIRECTORY: &str = "/var/lib/kubelet";

/// The kubelet's root directory, absolute and as the node sees it (contract 02, 1.8).
///
/// `config` is the content of `/var/lib/security-profiles-operator/kubelet-config.json`, if there
/// is one; `environment` the value of `KUBELET_DIR`, if set.
pub fn directory(config: Option<&[u8]>, environment: Option<&str>) -> String {
    let configured = config
        .and_then(|bytes| serde_json::from_slice::<Config>(bytes).ok())
        .map(|config| config.kubelet_dir);
    [configured.as_deref(), environment]
        .into_iter()
        .flatten()
        .map(|path| path.trim_matches('/'))
        .find(|path| !path.is_empty())
        // Upstream may have written the directory without its leading slash (contract 02, 1.4).
        .map_or_else(|| DEFAULT_DIRECTORY.to_owned(), |path| format!("/{path}"))
}

/// The content of the file, for a directory (contract 02, 1.4).
pub fn config(directory: &str) -> Vec<u8> {
    let config = Config {
        kubelet_dir: directory.to_owned(),
    };
    serde_json::to_vec(&config).expect("a text is always written")
}

#[derive(Deserialize, Serialize)]
struct Config {
    #[serde(rename = "kubeletDir")]
    kubelet_dir: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_goes_before_the_environment_before_the_default() {
        let check = |config: Option<&str>, environment, expected| {
            assert_eq!(
                directory(config.map(str::as_bytes), environment),
                expected,
                "{config:?}"
            );
        };
        check(None, None, "/var/lib/kubelet");
        check(None, Some(""), "/var/lib/kubelet");
        check(None, Some("/env"), "/env");
        check(Some(r#"{"kubeletDir":"/file"}"#), Some("/env"), "/file");
        check(Some(r#"{"kubeletDir":"/file/","more":1}"#), None, "/file");
        check(
            Some(r#"{"kubeletDir":"mnt/resource/kubelet"}"#),
            None,
            "/mnt/resource/kubelet",
        );
    }

    #[test]
    fn what_is_remembered_is_found() {
        let written = config("/mnt/\"quoted\"");
        assert_eq!(directory(Some(&written), None), "/mnt/\"quoted\"");
        assert_eq!(
            config("/var/lib/kubelet"),
            br#"{"kubeletDir":"/var/lib/kubelet"}"#
        );
    }

    #[test]
    fn a_file_which_says_nothing_is_passed_over() {
        for config in [
            "",
            "null",
            "{}",
            "[]",
            r#"{"kubeletDir":1}"#,
            r#"{"kubeletDir":""}"#,
        ] {
            assert_eq!(
                directory(Some(config.as_bytes()), Some("/env")),
                "/env",
                "{config}"
            );
        }
    }
}
