//! Metrics: who may read them, over which certificate, and that a Prometheus does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, Service, ServiceAccount};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::Value;
use spo_test_apiserver::cluster::{DEFAULT, NAMESPACE};
use spo_test_apiserver::metrics::{self, Secure};
use spo_test_apiserver::process::Process;
use spo_test_apiserver::rig::Rig;
use spo_test_apiserver::wait::{SOON, eventually};
use spo_test_apiserver::{audit, env, profile, service};

const DAEMONS: &str = "metrics.security-profiles-operator.svc";
const MANAGERS: &str = "conversion-service.security-profiles-operator.svc";
const WEBHOOKS: &str = "webhook-service.security-profiles-operator.svc";

/// A token of an account, as a pod of it would have.
async fn token(client: &Client, namespace: &str, account: &str) -> String {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(60 * 60),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = eventually(SOON, &format!("an account {account}"), async || {
        let params = PostParams::default();
        let answer = api.create_token_request(account, &params, &request).await;
        answer.map_err(|error| error.to_string())
    })
    .await;
    answer.status.unwrap().token.unwrap()
}

/// A manager and a node whose daemon serves as it does by default, with the certificate that the
/// manager has made: where the authority is.
async fn secure() -> (Rig, PathBuf) {
    let mut rig = Rig::empty().await;
    rig.start_manager("manager-0").await;
    rig.make_node("node-1").await;
    let folder = rig.node("node-1").certificates.clone();
    rig.mount("metrics-server-cert", &folder).await;
    rig.start_secure_daemon("node-1");
    rig.daemon_is_ready("node-1").await;
    rig.leader().await;
    (rig, folder.join("ca.crt"))
}

/// How many reviews an account has asked for since.
fn reviews(mark: audit::Mark, account: &str) -> [usize; 2] {
    let writes = mark.writes_by(account);
    ["tokenreviews", "subjectaccessreviews"].map(|resource| {
        let asked = writes.iter().filter(|write| write.resource == resource);
        asked.inspect(|write| assert_eq!(write.code, 201)).count()
    })
}

/// Waits for a certificate that can be verified: the first question to a server.
async fn first(server: &Secure<'_>) -> metrics::Answer {
    eventually(SOON, &format!("{} answers", server.name), async || {
        server.get("/metrics")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_has_the_right_reads_the_metrics_of_a_daemon() {
    let (mut rig, authority) = secure().await;
    rig.create(&profile::allowing("web", &["read"])).await;
    rig.ready("web").await;
    rig.quiet().await;
    let nobody = Secure {
        port: rig.node("node-1").metrics_port,
        name: DAEMONS,
        authority: Some(&authority),
        token: None,
    };
    let mark = audit::mark();
    let answer = first(&nobody).await;
    assert_eq!((answer.code, answer.body.as_str()), (401, "Unauthorized"));
    assert_eq!(answer.version, "1.1");
    assert_eq!(
        reviews(mark, "spod"),
        [0, 0],
        "nobody asks for a missing token"
    );

    let forged = Secure {
        token: Some("eyJhbGciOiJSUzI1NiJ9.e30.AAAA"),
        ..nobody
    };
    for _ in 0..3 {
        let answer = forged.get("/metrics").unwrap();
        assert_eq!((answer.code, answer.body.as_str()), (401, "Unauthorized"));
    }
    assert_eq!(reviews(mark, "spod"), [1, 0]);

    let stranger = token(&rig.client, DEFAULT, "default").await;
    let stranger = Secure {
        token: Some(&stranger),
        ..nobody
    };
    for path in ["/metrics", "/metrics-spod"] {
        let answer = stranger.get(path).unwrap();
        let text = "Authorization denied for user system:serviceaccount:default:default";
        assert_eq!((answer.code, answer.body.as_str()), (403, text));
    }
    assert_eq!(reviews(mark, "spod"), [2, 2]);

    let client = token(&rig.client, NAMESPACE, "default").await;
    let client = Secure {
        token: Some(&client),
        ..nobody
    };
    let mark = audit::mark();
    for _ in 0..5 {
        let answer = client.get("/metrics-spod").unwrap();
        assert_eq!(answer.code, 200, "{}", answer.body);
        let updates = "security_profiles_operator_seccomp_profile_total{operation=\"update\"} 1";
        assert!(
            answer.body.lines().any(|line| line == updates),
            "{}",
            answer.body
        );
        let answer = client.get("/metrics").unwrap();
        assert_eq!(answer.code, 200, "{}", answer.body);
        assert!(
            answer
                .body
                .contains("reconciles_total{controller=\"seccomp\"")
        );
    }
    assert_eq!(
        reviews(mark, "spod"),
        [1, 2],
        "one review a token and a path"
    );
    // The role is for reading.
    for more in [&["--head"][..], &["--request", "POST"]] {
        assert_eq!(client.curl("/metrics", more).unwrap().code, 403, "{more:?}");
    }
    assert_eq!(client.get("/").unwrap().code, 404);
    let answer = client.curl("/metrics", &["--http2"]).unwrap();
    assert_eq!((answer.code, answer.version.as_str()), (200, "1.1"));
    // No other name, and no TLS of the last century.
    let other = Secure {
        name: "metrics.example",
        ..client
    };
    assert!(other.get("/metrics").is_err());
    assert!(client.curl("/metrics", &["--tls-max", "1.1"]).is_err());
    let plain = format!("http://{}:{}/metrics", service::host(), client.port);
    let plain = Command::new("curl").args(["--silent", &plain]).output();
    assert!(!plain.unwrap().status.success());
    let counted = client.get("/metrics-spod").unwrap().body;
    for (code, expected) in [("401", 4.0), ("403", 4.0), ("500", 0.0)] {
        let family = "security_profiles_operator_metrics_requests_total";
        let counted = metrics::sum(&counted, family, &[("code", code)]);
        assert_eq!(counted, expected, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn managers_and_webhooks_serve_nobody_else_either() {
    let (mut rig, _) = secure().await;
    rig.start_webhook().await;
    rig.quiet().await;
    let client = token(&rig.client, NAMESPACE, "default").await;
    let stranger = token(&rig.client, DEFAULT, "default").await;
    for (account, name, secret, port, family) in [
        (
            "security-profiles-operator",
            MANAGERS,
            "conversion-server-cert",
            rig.manager_metrics,
            "security_profiles_operator_reconciles_total{controller=\"spod\"",
        ),
        (
            "spo-webhook",
            WEBHOOKS,
            "webhook-server-cert",
            rig.webhook_metrics,
            "process_resident_memory_bytes ",
        ),
    ] {
        let folder = rig.directory().join(secret);
        rig.mount(secret, &folder).await;
        let authority = folder.join("ca.crt");
        let nobody = Secure {
            port,
            name,
            authority: Some(&authority),
            token: None,
        };
        let mark = audit::mark();
        assert_eq!(first(&nobody).await.code, 401);
        let stranger = Secure {
            token: Some(&stranger),
            ..nobody
        };
        assert_eq!(stranger.get("/metrics").unwrap().code, 403);
        let client = Secure {
            token: Some(&client),
            ..nobody
        };
        for _ in 0..3 {
            let answer = client.get("/metrics").unwrap();
            assert_eq!(answer.code, 200, "{}", answer.body);
            assert!(answer.body.contains(family), "{}", answer.body);
        }
        assert_eq!(client.get("/metrics-spod").unwrap().code, 404);
        assert_eq!(reviews(mark, account), [2, 2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_taken_over_without_a_restart() {
    let mut rig = Rig::empty().await;
    rig.start_manager("manager-0").await;
    rig.make_node("node-1").await;
    rig.start_secure_daemon("node-1");
    rig.daemon_is_ready("node-1").await;
    let (port, folder) = {
        let node = rig.node("node-1");
        (node.metrics_port, node.certificates.clone())
    };
    let anybody = Secure {
        port,
        name: DAEMONS,
        authority: None,
        token: None,
    };
    // Nobody brings a certificate yet: something is served, and the right is still asked for.
    assert_eq!(first(&anybody).await.code, 401);
    let own = shown(port);
    let files = rig.mount("metrics-server-cert", &folder).await;
    let authority = folder.join("ca.crt");
    let verified = Secure {
        authority: Some(&authority),
        ..anybody
    };
    assert_eq!(first(&verified).await.code, 401);
    let first_shown = shown(port);
    assert_ne!(own, first_shown);

    // The manager makes another when there is none.
    let secrets: Api<Secret> = Api::namespaced(rig.client.clone(), NAMESPACE);
    let now = DeleteParams::default();
    secrets.delete("metrics-server-cert", &now).await.unwrap();
    let next = rig.mount("metrics-server-cert", &folder).await;
    assert_ne!(files["tls.crt"], next["tls.crt"]);
    eventually(SOON, "the next certificate is shown", async || {
        let now = shown(port);
        if now == first_shown { Err(now) } else { Ok(()) }
    })
    .await;
    assert_eq!(verified.get("/metrics").unwrap().code, 401);
    // One half of a pair changes nothing.
    let last = shown(port);
    std::fs::write(folder.join("tls.crt"), &files["tls.crt"]).unwrap();
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(shown(port), last);
    let log = rig.node("node-1").daemon().log();
    for said in [
        "which no client can verify",
        "the previous certificate stays",
    ] {
        assert_eq!(log.matches(said).count(), 1, "{said}: {log}");
    }
    assert_eq!(log.matches("certificate loaded").count(), 2, "{log}");
}

/// The fingerprint of the certificate that a server shows.
fn shown(port: u16) -> String {
    let address = format!("{}:{port}", service::host());
    let client = Command::new("openssl")
        .args(["s_client", "-connect", &address, "-servername", DAEMONS])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&client.stdout).into_owned();
    let begin = text.find("-----BEGIN CERTIFICATE-----").unwrap();
    let end = text.find("-----END CERTIFICATE-----").unwrap();
    text[begin..end].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_reads_where_that_was_asked_for() {
    let mut rig = Rig::with_nodes(1).await;
    let port = rig.node("node-1").metrics_port;
    let mark = audit::mark();
    for path in ["/metrics", "/metrics-spod"] {
        let (code, text) = metrics::get(port, path).await.unwrap();
        assert_eq!(code, 200, "{text}");
        assert!(text.contains("process_start_time_seconds"), "{text}");
    }
    assert_eq!(reviews(mark, "spod"), [0, 0]);
}

/// Whether promtool takes an exposition without a complaint.
fn check(name: &str, directory: &Path, text: &str) {
    let file = directory.join("exposition");
    std::fs::write(&file, text).unwrap();
    let checked = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(
        checked.status.success() && said.is_empty(),
        "{name}: {said}\n{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_reads_daemons_and_managers() {
    let mut rig = Rig::empty().await;
    rig.deploy();
    rig.make_node("node-1").await;
    rig.start_manager("manager-0").await;
    let folder = rig.node("node-1").certificates.clone();
    rig.mount("metrics-server-cert", &folder).await;
    rig.start_secure_daemon("node-1");
    rig.daemon_is_ready("node-1").await;
    // What the configuration finds its targets by.
    for (service, wanted) in [
        ("metrics", "https"),
        ("conversion-service", "manager-metrics"),
    ] {
        has_port(&rig, service, wanted).await;
    }
    let port = rig.node("node-1").metrics_port;
    rig.create(&profile::allowing("web", &["read"])).await;
    rig.ready("web").await;

    // The token of the Secret that the ServiceMonitor names.
    let mounted = rig.directory().join("metrics-token");
    rig.mount("metrics-token", &mounted).await;
    let token = std::fs::read_to_string(mounted.join("token")).unwrap();
    let authority = folder.join("ca.crt");
    for (name, port, paths) in [
        (DAEMONS, port, &["/metrics", "/metrics-spod"][..]),
        (MANAGERS, rig.manager_metrics, &["/metrics"]),
    ] {
        for path in paths {
            let server = Secure {
                port,
                name,
                authority: Some(&authority),
                token: Some(&token),
            };
            let answer = server.get(path).unwrap();
            assert_eq!(answer.code, 200, "{}", answer.body);
            check(path, rig.directory(), &answer.body);
        }
    }

    let (_prometheus, port) = prometheus(
        &rig,
        &authority,
        &mounted.join("token"),
        &[port, rig.manager_metrics],
    );
    let ask = async |query: &str| -> Result<Vec<Value>, String> {
        let (code, text) = metrics::get(port, &format!("/api/v1/query?query={query}")).await?;
        let body = dechunk(&text);
        let answer: Value =
            serde_json::from_str(&body).map_err(|e| format!("{code} {e} {text}"))?;
        Ok(answer["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default())
    };
    eventually(
        SOON,
        "both are up, and nothing else is a target",
        async || {
            let up = ask("up").await?;
            let jobs: BTreeSet<&str> = up
                .iter()
                .filter(|series| series["value"][1] == "1")
                .filter_map(|series| series["metric"]["job"].as_str())
                .collect();
            let wanted = [
                "security-profiles-operator",
                "security-profiles-operator-manager",
            ];
            if up.len() == 2 && jobs == wanted.into() {
                Ok(())
            } else {
                let targets = metrics::get(port, "/api/v1/targets?state=active").await?;
                Err(format!("{up:?} {targets:?}"))
            }
        },
    )
    .await;
    for (query, expected) in [
        (
            "security_profiles_operator_seccomp_profile_total{operation=\"update\"}",
            Some("1"),
        ),
        ("security_profiles_operator_seccomp_profiles", Some("1")),
        (
            "sum(security_profiles_operator_reconciles_total{controller=\"seccomp\"})>bool+0",
            Some("1"),
        ),
        ("process_resident_memory_bytes>1000000", None),
    ] {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        eventually(SOON, query, async || {
            let found = ask(&encoded).await?;
            let value = found.first().map(|series| series["value"][1].clone());
            match (value, expected) {
                (Some(value), Some(expected)) if value == expected => Ok(()),
                (Some(_), None) => Ok(()),
                (other, _) => Err(format!("{other:?}")),
            }
        })
        .await;
    }
}

/// The body of an answer that may have come in chunks.
fn dechunk(text: &str) -> String {
    let from = text.find('{').unwrap_or_default();
    let to = text.rfind('}').map_or(text.len(), |end| end + 1);
    text[from..to].to_owned()
}

/// Waits until a Service has a port of this name.
async fn has_port(rig: &Rig, service: &str, wanted: &str) {
    let services: Api<Service> = Api::namespaced(rig.client.clone(), NAMESPACE);
    let what = format!("the Service {service} has a port {wanted}");
    eventually(SOON, &what, async || {
        let found = services.get(service).await;
        let spec = found.map_err(|error| error.to_string())?.spec;
        let ports = spec.and_then(|spec| spec.ports).unwrap_or_default();
        let mut names = ports.iter().filter_map(|port| port.name.as_deref());
        if names.any(|name| name == wanted) {
            Ok(())
        } else {
            Err(format!("{ports:?}"))
        }
    })
    .await;
}

/// A Prometheus with the configuration of docs/metrics.md. Debian builds it without discovery in
/// Kubernetes, so it is told these targets instead, one for each job. Where it answers.
fn prometheus(rig: &Rig, authority: &Path, token: &Path, targets: &[u16]) -> (Process, u16) {
    let page = std::fs::read_to_string(env::repository().join("docs/metrics.md")).unwrap();
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let (snippet, _) = rest.split_once("```").unwrap();
    let mut jobs = snippet.split("- job_name:");
    let mut text = "global: {scrape_interval: 1s, scrape_timeout: 1s}\n".to_owned();
    text.push_str(jobs.next().unwrap());
    for (job, port) in jobs.zip(targets) {
        let (job, discovery) = job.split_once("  kubernetes_sd_configs:\n").unwrap();
        assert!(discovery.contains("role: endpointslice"), "{discovery}");
        let target = format!("{}:{port}", service::host());
        text.push_str(&format!(
            "- job_name:{job}  static_configs: [{{targets: [\"{target}\"]}}]\n"
        ));
    }
    let text = text
        .replace("/etc/prometheus/spo/token", token.to_str().unwrap())
        .replace("/etc/prometheus/spo/ca.crt", authority.to_str().unwrap());
    let directory = rig.directory().join("prometheus");
    std::fs::create_dir(&directory).unwrap();
    let file = directory.join("prometheus.yml");
    std::fs::write(&file, text).unwrap();
    let checked = Command::new("promtool")
        .args(["check", "config", file.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port();
    let mut command = Command::new("prometheus");
    command
        .env_clear()
        .arg(format!("--config.file={}", file.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            directory.join("data").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .current_dir(&directory);
    let log = rig.directory().join("prometheus.log");
    (Process::start("prometheus", &mut command, &log), port)
}
