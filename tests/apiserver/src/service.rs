//! Services whose pods are processes of this machine: what the API server calls, it finds here.

use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::cluster::NAMESPACE;

/// On every slice that a test makes.
const LABEL: &str = "spo.test/rig";

/// An address of this machine that is not a loopback address: a Service may not lead to those.
pub fn host() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: the kernel only chooses the address that it would be sent from.
    socket.connect("198.51.100.1:9").unwrap_or_else(|error| {
        panic!("this machine has no address but loopback, and Services may not lead there: {error}")
    });
    socket.local_addr().unwrap().ip()
}

/// The next port to look at. Below what the kernel gives to connections (`ip_local_port_range`): one of
/// those may be taken again before whoever it is for listens on it.
static NEXT_PORT: AtomicU16 = AtomicU16::new(26_000);

/// A port that is free now on every address of this machine, and is not given to connections.
pub fn free_port() -> u16 {
    loop {
        let port = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        assert!(port < 32_000, "no port is free");
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
}

/// Makes a Service of the operator lead to a port of this machine, and nowhere else.
pub async fn lead(client: &Client, service: &str, port_name: Option<&str>, port: u16) {
    lead_in(client, NAMESPACE, service, port_name, port).await;
}

/// The same, for a Service in some namespace.
pub async fn lead_in(
    client: &Client,
    namespace: &str,
    service: &str,
    port_name: Option<&str>,
    port: u16,
) {
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let name = format!("test-{service}-{}", port_name.unwrap_or("only"));
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "labels": { "kubernetes.io/service-name": service, LABEL: "true" },
        },
        "addressType": "IPv4",
        "ports": [{ "name": port_name.unwrap_or_default(), "port": port, "protocol": "TCP" }],
        "endpoints": [{ "addresses": [host().to_string()], "conditions": { "ready": true } }],
    });
    let params = PatchParams::apply("test").force();
    slices
        .patch(&name, &params, &Patch::Apply(slice))
        .await
        .unwrap();
}

/// Takes away what [`lead`] has made.
pub async fn wipe(client: &Client) {
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), NAMESPACE);
    let ours = ListParams::default().labels(LABEL);
    slices
        .delete_collection(&DeleteParams::default(), &ours)
        .await
        .unwrap();
}
