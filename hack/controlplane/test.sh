#!/usr/bin/env bash
# Tests the script controlplane: starts two control planes side by side and looks at what they do.
#
# Takes about 80 seconds, most of it waiting for controllers which are slow on purpose.
# Prints a line for each fact, and as the last line how many hold. Needs python3, for a webhook.

set -uo pipefail

controlplane=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/controlplane
work=$(mktemp -d)
a=$work/a b=$work/b
passed=0 failed=0 webhook=

finish() {
  [[ -z $webhook ]] || kill "$webhook"
  for dir in "$a" "$b" "$work/killed"; do "$controlplane" down "$dir" --purge 2>/dev/null; done
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# ---- Asserting ------------------------------------------------------------------------------

result() {
  if [[ $1 == ok ]]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  echo "$1: $2"
}

# A command succeeds.
holds() {
  local what=$1 output
  shift
  if output=$("$@" 2>&1); then result ok "$what"; else result FAILED "$what: $output"; fi
}

# A command prints a text, and nothing else.
prints() {
  local what=$1 expected=$2 output
  shift 2
  output=$("$@" 2>&1)
  if [[ $output == "$expected" ]]; then result ok "$what"; else result FAILED "$what: '$output', not '$expected'"; fi
}

# A command fails, and says why with this text.
refuses() {
  local what=$1 reason=$2 output
  shift 2
  if output=$("$@" 2>&1); then
    result FAILED "$what: it was not refused: $output"
  elif [[ $output == *"$reason"* ]]; then
    result ok "$what"
  else
    result FAILED "$what: '$output' does not say '$reason'"
  fi
}

# A command prints a text before that many seconds have passed.
becomes() {
  local what=$1 limit=$2 expected=$3 output deadline
  shift 3
  deadline=$((SECONDS + limit))
  while
    output=$("$@" 2>&1)
    [[ $output != "$expected" ]]
  do
    if ((SECONDS >= deadline)); then
      result FAILED "$what: still '$output', not '$expected', after $limit s"
      return
    fi
    sleep 0.2
  done
  result ok "$what"
}

# kubectl as the administrator of a control plane.
in_a() { KUBECACHEDIR=$a/kube-cache "$kubectl" --kubeconfig="$a/kubeconfig" "$@"; }
in_b() { KUBECACHEDIR=$b/kube-cache "$kubectl" --kubeconfig="$b/kubeconfig" "$@"; }

server_of() { sed -n 's/^ *server: //p' "$1/kubeconfig"; }

# kubectl with a token and nothing else: folder of the control plane, token.
with_token() {
  local dir=$1 token=$2
  shift 2
  KUBECACHEDIR=$dir/kube-cache "$kubectl" --kubeconfig=/dev/null --server="$(server_of "$dir")" \
    --certificate-authority="$dir/pki/ca.crt" --token="$token" "$@"
}

processes_of() { pgrep -f -a "$1/"; }

# Addresses, as the kernel prints them, on which the processes of a control plane listen.
listeners_of() {
  local file fd
  for file in "$1"/run/*.pid; do
    for fd in /proc/"$(<"$file")"/fd/*; do readlink "$fd"; done
  done | sed -n 's/^socket:\[\(.*\)\]$/\1/p' |
    awk 'NR == FNR { mine[$1]; next } $4 == "0A" && $10 in mine { sub(":.*", "", $2); print $2 }' \
      - /proc/net/tcp /proc/net/tcp6 | sort -u
}

node() {
  cat <<YAML
apiVersion: v1
kind: Node
metadata: {name: $1, labels: {kubernetes.io/hostname: $1, kubernetes.io/os: linux}}
status:
  capacity: {cpu: "4", memory: 8Gi, pods: "110"}
  allocatable: {cpu: "4", memory: 8Gi, pods: "110"}
  conditions: [{type: Ready, status: "True"}]
YAML
}

# ---- Start ----------------------------------------------------------------------------------

# With the real HOME, where Go has its caches.
programs=$("$controlplane" build | head -n 1) || exit 1
version=$("$programs/kube-apiserver" --version)
version=${version#Kubernetes }
export HOME=$work/home
mkdir "$HOME"

"$controlplane" up "$b" >"$work/b.log" 2>&1 &
holds 'a control plane starts' "$controlplane" up "$a"
if wait $!; then second=ok; else second=FAILED; fi
result $second "another starts at the same time: $(<"$work/b.log")"
if [[ ! -f $a/env || ! -f $b/env ]]; then
  echo "$passed passed, $failed failed"
  exit 1
fi
kubectl=$(sed -n "s/^export KUBECTL='\(.*\)'\$/\1/p" "$a/env")

prints 'env names the kubeconfig' "$a/kubeconfig" bash -c ". $a/env && echo \$KUBECONFIG"
holds 'status says that it runs' "$controlplane" status "$a"
refuses 'it is not started twice' 'already running' "$controlplane" up "$a"
prints 'all listen on 127.0.0.1 only' 0100007F listeners_of "$a"
holds 'the version is a release' grep -qE '^v1\.[0-9]+\.[0-9]+$' <<<"$version"
server_version() { in_a get --raw /version | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p'; }
prints 'the server reports it' "$version" server_version

# Slow ones first, looked at in the end.
for name in node-a node-b; do node $name | in_a create -f - >/dev/null; done
in_a create -f - >/dev/null <<'YAML'
apiVersion: v1
kind: Pod
metadata: {name: lost}
spec: {nodeName: absent, containers: [{name: c, image: none}]}
YAML

# ---- Who may do what ------------------------------------------------------------------------

in_a create serviceaccount worker >/dev/null
token=$(in_a create token worker)
prints 'a token authenticates' system:serviceaccount:default:worker \
  with_token "$a" "$token" auth whoami -o 'jsonpath={.status.userInfo.username}'
refuses 'RBAC denies it what nobody granted' Forbidden with_token "$a" "$token" get secrets
in_a create rolebinding worker-views --clusterrole=view --serviceaccount=default:worker >/dev/null
becomes 'RBAC allows it what was granted' 10 yes with_token "$a" "$token" auth can-i list pods
refuses 'the other control plane does not know it' 'must be logged in' with_token "$b" "$token" auth whoami
refuses 'without a credential there is no access' 'HTTP Error 401' \
  python3 -c 'import ssl, sys, urllib.request as request
request.urlopen(sys.argv[1] + "/version", context=ssl.create_default_context(cafile=sys.argv[2]))' \
  "$(server_of "$a")" "$a/pki/ca.crt"

in_a create -f - >/dev/null <<'YAML'
apiVersion: v1
kind: Node
metadata: {name: short-lived}
YAML
bound=$(in_a create token worker --bound-object-kind Node --bound-object-name short-lived)
prints 'a token bound to a Node names it' short-lived with_token "$a" "$bound" \
  auth whoami -o 'jsonpath={.status.userInfo.extra.authentication\.kubernetes\.io/node-name[0]}'
in_a delete node short-lived >/dev/null
bound_token() { if with_token "$a" "$bound" auth whoami >/dev/null 2>&1; then echo accepted; else echo refused; fi; }
becomes 'it ends with the Node' 30 refused bound_token

holds 'aggregated servers find the CA for proxied requests' grep -q 'BEGIN CERTIFICATE' <(
  in_a --namespace=kube-system get configmap extension-apiserver-authentication \
    -o 'jsonpath={.data.requestheader-client-ca-file}')

# ---- Extending it ---------------------------------------------------------------------------

in_a create -f - >/dev/null <<'YAML'
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: hats.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Hat, plural: hats, singular: hat}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, properties: {size: {type: integer}}}
YAML
holds 'a CustomResourceDefinition is established' \
  in_a wait --for=condition=Established --timeout=20s crd/hats.example.com
in_a create -f - >/dev/null <<'YAML'
apiVersion: example.com/v1
kind: Hat
metadata: {name: top}
size: 58
YAML
prints 'its objects are kept' 58 in_a get hat top -o 'jsonpath={.size}'
refuses 'the other control plane does not have it' "doesn't have a resource type" in_b get hats

in_a create -f - >/dev/null <<'YAML'
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: small-hats}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [example.com], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [hats]}
  validations: [{expression: object.size < 70, message: too large a hat}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: small-hats}
spec: {policyName: small-hats, validationActions: [Deny]}
YAML
grow_hat() { in_a patch hat top --type=merge --patch='{"size":80}' --dry-run=server 2>&1 | grep -o 'too large a hat'; }
becomes 'a ValidatingAdmissionPolicy denies' 20 'too large a hat' grow_hat

# Denies everything, and says so.
cat >"$work/webhook.py" <<'PYTHON'
import http.server, json, ssl, sys

class Webhook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        review["response"] = {"uid": review["request"]["uid"], "allowed": False, "status": {"message": "webhook was asked"}}
        body = json.dumps(review).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = http.server.HTTPServer(("127.0.0.1", 0), Webhook)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(sys.argv[1] + "/server.crt", sys.argv[1] + "/server.key")
server.socket = tls.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
PYTHON
python3 "$work/webhook.py" "$a/pki" >"$work/webhook.port" 2>"$work/webhook.log" &
webhook=$!
becomes 'a webhook listens' 10 1 grep -c . "$work/webhook.port"
in_a create -f - >/dev/null <<YAML
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: no-configmaps}
webhooks:
- name: no-configmaps.example.com
  clientConfig:
    url: https://127.0.0.1:$(<"$work/webhook.port")/
    caBundle: $(base64 -w0 "$a/pki/ca.crt")
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
  admissionReviewVersions: [v1]
  sideEffects: None
YAML
create_configmap() { in_a create configmap any --dry-run=server 2>&1 | grep -o 'webhook was asked'; }
becomes 'a webhook by URL is asked' 20 'webhook was asked' create_configmap
kill "$webhook"
webhook=

# ---- Controllers ----------------------------------------------------------------------------

in_a create -f - >/dev/null <<'YAML'
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: everywhere}
spec:
  selector: {matchLabels: {app: everywhere}}
  template:
    metadata: {labels: {app: everywhere}}
    spec: {containers: [{name: c, image: none}]}
YAML
nodes_with_pods() {
  in_a get pods --selector=app=everywhere -o 'jsonpath={range .items[*]}{.spec.nodeName}{"\n"}{end}' | sort
}
becomes 'a DaemonSet has a pod on each Node' 30 $'node-a\nnode-b' nodes_with_pods
becomes 'a pod on a Node which is not there is removed' 100 '' in_a get pod lost --ignore-not-found
prints 'Nodes without a kubelet are not tainted' '' in_a get nodes -o 'jsonpath={.items[*].spec.taints}'
prints 'and keep their pods' 2 in_a get daemonset everywhere -o 'jsonpath={.status.currentNumberScheduled}'

# ---- Stop -----------------------------------------------------------------------------------

before=$(server_of "$a")
holds 'it stops' "$controlplane" down "$a"
prints 'no process is left' '' processes_of "$a"
holds 'the other goes on' "$controlplane" status "$b"
refuses 'status says that it is stopped' stopped "$controlplane" status "$a"
holds 'it stops when it is stopped' "$controlplane" down "$a"
holds 'it starts again' "$controlplane" up "$a"
prints 'at the same address' "$before" server_of "$a"
prints 'with what it had' 58 in_a get hat top -o 'jsonpath={.size}'
prints 'and knows its tokens' system:serviceaccount:default:worker \
  with_token "$a" "$token" auth whoami -o 'jsonpath={.status.userInfo.username}'
holds 'it stops and takes its folder along' "$controlplane" down "$a" --purge
refuses 'nothing of it is left' 'No such file' ls "$a"
holds 'the other does too' "$controlplane" down "$b" --purge
prints 'no process of it is left' '' processes_of "$b"

setsid "$controlplane" up "$work/killed" 2>/dev/null &
until [[ -s $work/killed/run/kube-apiserver.pid ]]; do sleep 0.1; done
kill -KILL $!
wait $! 2>/dev/null
holds 'what a killed start has left is stopped' "$controlplane" down "$work/killed" --purge
prints 'no process of that is left' '' processes_of "$work/killed"

mkdir "$work/foreign"
touch "$work/foreign/file"
refuses 'a folder of somebody else is not taken' 'not from a control plane' "$controlplane" up "$work/foreign"
refuses 'nor removed' 'not from a control plane' "$controlplane" down "$work/foreign" --purge
prints 'HOME has nothing new' '' find "$HOME" -mindepth 1

echo "$passed passed, $failed failed"
((failed == 0))
