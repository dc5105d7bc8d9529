#!/usr/bin/env bash
# Starts our components as processes against a cluster, each under its real ServiceAccount.
# To be sourced by the demo and the benchmarks; the caller has set KUBECTL, KUBECONFIG and
# `run` (a folder for kubeconfigs, node roots, logs and pids) and `repo`.
# shellcheck disable=SC2154 # run and repo are the caller's

readonly operator_namespace=security-profiles-operator

# The binaries; the caller may set `cargo_profile` to release.
operator_binary() { echo "${CARGO_TARGET_DIR:-$repo/target}/${cargo_profile:-debug}/security-profiles-operator"; }

# Installs CRDs, namespace, accounts and policy.
install_operator() {
  "$KUBECTL" apply --server-side -f "$repo/deploy/crds" >/dev/null
  "$KUBECTL" apply -f "$repo/deploy/base/namespace.yaml" >/dev/null
  "$KUBECTL" apply -f "$repo/deploy/base" >/dev/null
  "$KUBECTL" wait --for=condition=Established --timeout=30s -f "$repo/deploy/crds" >/dev/null
}

# kubeconfig_for FILE ACCOUNT [NODE]: a kubeconfig with a token of the ServiceAccount, as a pod of
# it would have; bound to the node, if one is given.
kubeconfig_for() {
  local file=$1 account=$2 node=${3:-} token
  local -a bound=()
  [[ -n $node ]] && bound=(--bound-object-kind Node --bound-object-name "$node")
  token=$("$KUBECTL" create token "$account" -n "$operator_namespace" --duration 2h "${bound[@]}")
  (
    umask 077
    "$KUBECTL" config view --raw --minify --flatten >"$file"
  )
  "$KUBECTL" --kubeconfig "$file" config set-credentials "$account" --token "$token" >/dev/null
  "$KUBECTL" --kubeconfig "$file" config set-context --current --user "$account" >/dev/null
}

# start NAME COMMAND...: runs a command in the background, with its log and pid in `run`.
start() {
  local name=$1
  shift
  "$@" >>"$run/log/$name.log" 2>&1 </dev/null &
  echo $! >"$run/pid/$name"
}

# stop NAME [SIGNAL]
stop() {
  local name=$1 signal=${2:-TERM} pid
  [[ -f $run/pid/$name ]] || return 0
  pid=$(<"$run/pid/$name")
  kill "-$signal" "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  rm -f "$run/pid/$name"
}

# An address of this machine that is not loopback: Services may not lead there. Nothing is sent; the
# kernel only chooses the address that it would be sent from.
host_address() {
  python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("198.51.100.1", 9)); print(s.getsockname()[0])'
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'
}

# lead SERVICE ADDRESS PORT [NAME]: makes a Service of the operator lead to a port of this machine.
lead() {
  "$KUBECTL" apply -f - >/dev/null <<YAML
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: local-$1
  namespace: $operator_namespace
  labels: {kubernetes.io/service-name: $1}
addressType: IPv4
ports: [{name: "${4:-}", port: $3, protocol: TCP}]
endpoints: [{addresses: ["$2"], conditions: {ready: true}}]
YAML
}

# start_manager: as a process, which also serves conversion if the API server can reach it. In a
# cluster of somebody else it can not.
start_manager() {
  local address=127.0.0.1 port
  port=$(free_port)
  if [[ -z ${own_cluster:-} ]]; then
    address=$(host_address)
    lead conversion-service "$address" "$port" conversion
  fi
  kubeconfig_for "$run/manager.kubeconfig" security-profiles-operator
  start manager env KUBECONFIG="$run/manager.kubeconfig" \
    OPERATOR_NAMESPACE="$operator_namespace" POD_NAME=manager-0 \
    "$(operator_binary)" manager --health-address 127.0.0.1:0 --metrics-address 127.0.0.1:0 \
    --conversion-address "$address:$port"
}

# start_node NODE [METRICS_PORT]: a Node object, a folder as the node's file system, and a daemon.
start_node() {
  local node=$1 port=${2:-0}
  "$KUBECTL" apply -f - >/dev/null <<YAML
apiVersion: v1
kind: Node
metadata: {name: $node, labels: {kubernetes.io/os: linux}}
YAML
  mkdir -p "$run/nodes/$node"
  kubeconfig_for "$run/$node.kubeconfig" spod "$node"
  start_daemon "$node" "$port"
}

start_daemon() {
  local node=$1 port=${2:-0}
  start "$node" env KUBECONFIG="$run/$node.kubeconfig" NODE_NAME="$node" \
    OPERATOR_NAMESPACE="$operator_namespace" NODE_ROOT="$run/nodes/$node" \
    "$(operator_binary)" daemon --health-address 127.0.0.1:0 \
    --with-insecure-metrics-access=true --metrics-address "127.0.0.1:$port"
}

# The file of a profile on a node.
node_file() { echo "$run/nodes/$1/var/lib/kubelet/seccomp/operator/$2.json"; }
