//! The manifests that users have, ours and upstream's: each applies, reads back in every version, and
//! applied again in its old version changes nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use spo_api::GROUP;
use spo_test_apiserver::cluster::DEFAULT;
use spo_test_apiserver::env::{self, kubectl};
use spo_test_apiserver::rig::Rig;

/// Applies a manifest; a field that the schema does not have is an error.
fn apply(file: &Path) -> Result<String, String> {
    kubectl(&["apply", "--validate=strict", "-f", file.to_str().unwrap()])
}

/// The objects of a manifest, as kubectl reads it.
fn read(file: &Path) -> Vec<Value> {
    let path = file.to_str().unwrap();
    let args = ["create", "--dry-run=client", "-o", "json", "-f", path];
    let text = kubectl(&args).unwrap();
    let objects = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let mut all = Vec::new();
    for object in objects {
        let object = object.unwrap();
        match object["items"].as_array() {
            Some(items) => all.extend(items.iter().cloned()),
            None => all.push(object),
        }
    }
    all
}

/// Whether `found` says everything that `said` says: what it says differently, by its path.
fn missing(said: &Value, found: &Value, path: &str) -> Vec<String> {
    match (said, found) {
        (Value::Object(said), Value::Object(_)) => said
            .iter()
            .flat_map(|(key, value)| missing(value, &found[key], &format!("{path}.{key}")))
            .collect(),
        (Value::Array(said), Value::Array(found)) if said.len() == found.len() => said
            .iter()
            .zip(found)
            .flat_map(|(said, found)| missing(said, found, &format!("{path}[]")))
            .collect(),
        _ if said == found => Vec::new(),
        _ => vec![format!("{path}: {said} was applied, {found} is read")],
    }
}

/// An object of ours as it was applied.
struct Applied {
    said: Value,
    plural: String,
}

impl Applied {
    fn of(said: Value) -> Option<Self> {
        let group = said["apiVersion"].as_str()?.split_once('/')?.0;
        if group != GROUP {
            return None;
        }
        let kind = said["kind"].as_str()?.to_lowercase();
        let plural = match kind.ends_with('s') {
            true => format!("{kind}es"),
            false => format!("{kind}s"),
        };
        Some(Self { said, plural })
    }

    fn get(&self, version: &str) -> Value {
        let resource = format!(
            "{}.{version}.{GROUP}/{}",
            self.plural,
            self.said["metadata"]["name"].as_str().unwrap()
        );
        let namespace = self.said["metadata"]["namespace"]
            .as_str()
            .unwrap_or(DEFAULT);
        let text = kubectl(&["get", &resource, "-n", namespace, "-o", "json"]).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The versions that the kind is served in.
    fn versions(&self) -> Vec<String> {
        let name = format!("crd/{}.{GROUP}", self.plural);
        let path = "-o=jsonpath={.spec.versions[?(@.served==true)].name}";
        let text = kubectl(&["get", &name, path]).unwrap();
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn check(&self, rig: &Rig) -> Vec<String> {
        let label = format!("{} {}", self.said["kind"], self.said["metadata"]["name"]);
        let version = self.said["apiVersion"]
            .as_str()
            .unwrap()
            .split_once('/')
            .unwrap()
            .1;
        let found = self.get(version);
        let mut problems = missing(&self.said["spec"], &found["spec"], "spec");
        problems.extend(missing(
            &self.said["metadata"],
            &found["metadata"],
            "metadata",
        ));
        let before = self.get("v1");
        let versions = self.versions();
        assert!(versions.contains(&"v1".to_owned()), "{label}: {versions:?}");
        for old in versions.iter().filter(|version| *version != "v1") {
            // As somebody with a file in the old version: all that is read there, applied there.
            let read = self.get(old);
            let again = json!({
                "apiVersion": read["apiVersion"],
                "kind": read["kind"],
                "metadata": {
                    "name": read["metadata"]["name"],
                    "namespace": read["metadata"]["namespace"],
                },
                "spec": read["spec"],
            });
            let file = rig.directory().join("again.json");
            std::fs::write(&file, again.to_string()).unwrap();
            if let Err(error) = apply(&file) {
                problems.push(format!("applied in {old}: {error}"));
            }
            let after = self.get("v1");
            if before["spec"] != after["spec"] {
                problems.push(format!(
                    "v1 by way of {old}: {} has become {}",
                    before["spec"], after["spec"]
                ));
            }
        }
        problems
            .iter()
            .map(|problem| format!("{label}: {problem}"))
            .collect()
    }
}

fn manifests(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    files.sort_unstable();
    assert!(!files.is_empty(), "{} has no manifests", folder.display());
    files
}

/// Our SPOD and what the manager makes from it are in the way of nobody: it renders nothing without
/// its Deployment, which is not there.
async fn check_folder(folder: &Path) {
    let rig = Rig::with_nodes(0).await;
    rig.converts().await;
    let (mut problems, mut count) = (Vec::new(), 0);
    for file in manifests(folder) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let objects = read(&file);
        let namespaces = objects
            .iter()
            .filter_map(|o| o["metadata"]["namespace"].as_str());
        for namespace in namespaces.collect::<BTreeSet<_>>() {
            // It may be there.
            kubectl(&["create", "namespace", namespace]).ok();
        }
        match apply(&file) {
            Ok(_) => {
                for applied in objects.into_iter().filter_map(Applied::of) {
                    count += 1;
                    let found = applied.check(&rig);
                    problems.extend(
                        found
                            .into_iter()
                            .map(|problem| format!("{name}: {problem}")),
                    );
                }
            }
            Err(error) => problems.push(format!("{name}: {error}")),
        }
        let path = file.to_str().unwrap();
        let (gone, now) = ("--ignore-not-found", "--grace-period=0");
        let deleted = kubectl(&["delete", gone, now, "--force", "-f", path]);
        problems.extend(deleted.err().map(|error| format!("{name}: {error}")));
    }
    println!("{}: {count} objects", folder.display());
    assert!(count > 0, "none of them is of our kinds");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ours_are_the_same_in_every_version() {
    check_folder(&env::repository().join("examples")).await;
}

/// The folder is beside the repository on the machines of those who have it.
#[tokio::test(flavor = "multi_thread")]
async fn upstreams_are_the_same_in_every_version() {
    let folder = env::repository().join("../shared/contract/examples");
    if !folder.is_dir() {
        println!("note: there is no {}", folder.display());
        return;
    }
    check_folder(&folder).await;
}
