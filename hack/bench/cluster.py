"""Measures what hack/bench/cluster has started. One function each: load and restart (the manager's
memory), convert and list (conversion), review and pods (admission)."""

import base64
import datetime
import json
import multiprocessing
import os
import re
import socket
import ssl
import statistics
import sys
import time

from shared import (GROUP, SYSCALLS, Cluster, cpu_seconds, forget_peak, in_parallel, mib,
                    milliseconds, pod, seccomp_spec)

run, part = sys.argv[1], sys.argv[2]
SCALE = float(os.environ.get("SCALE", "1"))
PROFILES, PODS, OBJECTS = (int(count * SCALE) for count in (10000, 15000, 5000))
# One pod in so many uses a profile.
USERS = 100
# Reviews a second, seconds, and connections of the load on the webhook.
RATE, SECONDS, CONNECTIONS = 500, max(2, int(20 * SCALE)), 4
API = f"/apis/{GROUP}"
cluster = Cluster()


def pid_of(name):
    with open(f"{run}/pid/{name}") as file:
        return int(file.read())


def log(name):
    with open(f"{run}/log/{name}.log") as file:
        return re.sub(r"\x1b\[[0-9;]*m", "", file.read())


def until(what, done, seconds=120):
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            sys.exit(f"not within {seconds} s: {what}")
        time.sleep(0.1)


# ---- Memory -------------------------------------------------------------------------------------

def writes():
    """Requests by which the manager changes profiles."""
    return cluster.metric("apiserver_request_total", resource=["seccompprofiles"],
                          verb=["PATCH", "PUT", "APPLY"])


def quiet(seconds=5):
    """Waits until the manager has written nothing for a while. When it wrote last."""
    last, since = writes(), time.monotonic()
    while time.monotonic() - since < seconds:
        time.sleep(0.5)
        if (now := writes()) != last:
            last, since = now, time.monotonic()
    return since


def in_sync():
    until("the manager is in sync", lambda: "in sync with the cluster" in log("manager"))


def memory(when):
    pid = pid_of("manager")
    print(f"  {when:<44} {mib(pid, 'VmRSS'):6.1f} MiB   of that heap and stacks "
          f"{mib(pid, 'RssAnon'):6.1f}   peak {mib(pid, 'VmHWM'):6.1f}", flush=True)


def profile(number):
    cluster.request("POST", f"{API}/v1/seccompprofiles", {
        "apiVersion": f"{GROUP}/v1", "kind": "SeccompProfile",
        "metadata": {"name": f"profile-{number}"}, "spec": seccomp_spec()})


def foreign_pod(number):
    used = f"operator/profile-{number % PROFILES}.json"
    spec = {"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": used}}}
    cluster.request("POST", "/api/v1/namespaces/default/pods",
                    pod(f"pod-{number}", spec if number % USERS == 0 else None))


def load():
    print(f"\nmanager: {PROFILES} profiles of {len(SYSCALLS)} syscalls, {PODS} pods of which one in "
          f"{USERS} uses a profile\n")
    in_sync()
    quiet()
    memory("nothing in the cluster")
    before, begin, cpu = writes(), time.monotonic(), cpu_seconds(pid_of("manager"))
    in_parallel(profile, range(PROFILES))
    created = time.monotonic() - begin
    settled = quiet() - begin
    memory(f"with {PROFILES} profiles")
    used = cpu_seconds(pid_of("manager")) - cpu
    print(f"    created in {created:.0f} s, all adopted after {settled:.0f} s; "
          f"{(writes() - before) / PROFILES:.2f} writes and {used / PROFILES * 1000:.2f} ms of CPU "
          "of the manager a profile")
    begin, cpu = time.monotonic(), cpu_seconds(pid_of("manager"))
    in_parallel(foreign_pod, range(PODS))
    created = time.monotonic() - begin
    quiet()
    memory(f"and with {PODS} pods")
    used = cpu_seconds(pid_of("manager")) - cpu
    print(f"    created in {created:.0f} s; {used / PODS * 1000:.2f} ms of CPU of the manager a pod")


def restart():
    in_sync()
    times = {}
    for line in log("manager").splitlines():
        for text in ("starting component", "in sync with the cluster"):
            if text in line:
                stamp = re.search(r"\d\d:\d\d:\d\d\.\d+", line).group(0)
                times[text] = datetime.datetime.strptime(stamp, "%H:%M:%S.%f")
    took = times["in sync with the cluster"] - times["starting component"]
    cpu = cpu_seconds(pid_of("manager"))
    memory("started anew: in sync")
    print(f"    from start to in sync: {took.total_seconds():.2f} s, {cpu:.2f} s of CPU")
    before = writes()
    quiet()
    memory("started anew: quiet")
    print(f"    writes after the start: {writes() - before:.0f}")
    print("  (target <= 64 MiB)")


# ---- Conversion ---------------------------------------------------------------------------------

def address_of(service):
    """Where hack/bench/cluster has made a Service lead to."""
    found = cluster.get("/apis/discovery.k8s.io/v1/namespaces/security-profiles-operator/"
                        f"endpointslices/local-{service}")
    return found["endpoints"][0]["addresses"][0], found["ports"][0]["port"]


class Connection:
    """A TLS connection that is kept, as the API server keeps it."""

    def __init__(self, address, service, bundle):
        context = ssl.create_default_context(cadata=bundle)
        plain = socket.create_connection(address, timeout=120)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(
            plain, server_hostname=f"{service}.security-profiles-operator.svc")
        self.input = self.socket.makefile("rb")

    def ask(self, request):
        self.socket.sendall(request)
        status, length = int(self.input.readline().split()[1]), 0
        while (line := self.input.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return status, self.input.read(length)


def post(path, body):
    head = (f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n")
    return head.encode() + body


def as_the_server_sends(version, kind, number, namespace, rest):
    """With what the API server adds to every object."""
    stamp, metadata = "2026-01-01T00:00:00Z", {"name": f"object-{number}"}
    if namespace:
        metadata["namespace"] = "default"
    fields = {"f:spec": {f"f:{name}": {} for name in rest.get("spec", {})}}
    metadata |= {
        "uid": f"00000000-0000-4000-8000-{number:012}", "generation": 1,
        "resourceVersion": str(1000 + number), "creationTimestamp": stamp,
        "managedFields": [{"apiVersion": f"{GROUP}/{version}", "fieldsType": "FieldsV1",
                           "fieldsV1": fields, "manager": "kubectl-client-side-apply",
                           "operation": "Update", "time": stamp}]}
    return {"apiVersion": f"{GROUP}/{version}", "kind": kind, "metadata": metadata, **rest}


# Objects as releases of long ago wrote them: kind, version, whether in a namespace, and the rest.
# Node statuses are not converted (docs/decisions/0004).
OLD = [
    ("SeccompProfile", "v1beta1", False, {"spec": {**seccomp_spec(), "disabled": False}}),
    ("SelinuxProfile", "v1alpha2", False, {"spec": {
        "disabled": False, "permissive": True, "inherit": [{"kind": "System", "name": "container"}],
        "allow": {"@self": {"tcp_socket": ["listen"]}, "http_port_t": {"tcp_socket": ["name_bind"]},
                  "var_log_t": {"dir": ["open", "read", "getattr", "lock", "search"],
                                "file": ["getattr", "read", "open"]}}}}),
    ("RawSelinuxProfile", "v1alpha2", False, {"spec": {
        "disabled": False,
        "policy": "(blockinherit container)\n"
                  + "(allow process http_port_t (tcp_socket (name_bind)))\n" * 20}}),
    ("AppArmorProfile", "v1alpha1", False, {"spec": {
        "disabled": False, "complainMode": True, "abstract": {
            "executable": {"allowedExecutables": ["/bin/sleep"], "allowedLibraries": ["/lib/libc.so.6"]},
            "filesystem": {"readOnlyPaths": [f"/etc/file-{n}" for n in range(20)]}}}}),
    ("ProfileBinding", "v1alpha1", True, {"spec": {
        "profileRef": {"kind": "SeccompProfile", "name": "profile"}, "image": "nginx:1.27"}}),
    ("ProfileRecording", "v1alpha1", True, {"spec": {
        "kind": "SeccompProfile", "recorder": "logs", "mergeStrategy": "containers",
        "podSelector": {"matchLabels": {"app": "web"}}}}),
    ("SecurityProfilesOperatorDaemon", "v1alpha1", True, {"spec": {
        "enableSelinux": True, "enableLogEnricher": True, "logEnricherSource": "bpf",
        "tolerations": [{"operator": "Exists"}], "allowedSyscalls": SYSCALLS}}),
]


def conversion_review(objects, desired="v1"):
    return json.dumps({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "request": {"uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
                    "desiredAPIVersion": f"{GROUP}/{desired}", "objects": objects}}).encode()


def bundle_of_conversion():
    """As the API server is told it."""
    found = []

    def there():
        crd = cluster.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
                          f"profilebindings.{GROUP}")
        webhook = crd["spec"].get("conversion", {}).get("webhook", {})
        found[:] = [webhook.get("clientConfig", {}).get("caBundle")]
        return found[0]
    until("the definitions point at the manager", there)
    return base64.b64decode(found[0]).decode()


def convert():
    print(f"\nconversion: one review of {OBJECTS} objects of an old version, straight to the manager, "
          "median of five\n")
    bundle = bundle_of_conversion()
    until("the manager has a certificate", lambda: "serving conversion with" in log("manager"))
    connection = Connection(address_of("conversion-service"), "conversion-service", bundle)
    pid = pid_of("manager")
    print(f"  {'':<32} {'review':>8}   {'time':>9}   {'objects/s':>9}   {'same version':>12}   "
          f"{'RSS':>8}   {'peak':>9}")

    def timed(request):
        times = []
        for _ in range(5):
            begin = time.monotonic()
            status, body = connection.ask(request)
            times.append(time.monotonic() - begin)
            if status != 200 or b'"status":"Success"' not in body[-100:]:
                sys.exit(f"{status} {body[:300]}")
        return statistics.median(times), body

    def measure(kind, version, objects):
        body = conversion_review(objects)
        forget_peak(pid)
        took, answer = timed(post("/convert", body))
        peak = mib(pid, "VmHWM")
        converted = json.loads(answer)["response"]["convertedObjects"]
        assert len(converted) == len(objects) and converted[0]["apiVersion"] == f"{GROUP}/v1"
        # The floor: the same objects are read and written, and nothing is converted.
        floor, _ = timed(post("/convert", conversion_review(objects, version)))
        print(f"  {kind:<32} {len(body) / 2**20:4.1f} MiB   {took * 1000:6.0f} ms   "
              f"{len(objects) / took:9.0f}   {floor * 1000:9.0f} ms   {mib(pid, 'VmRSS'):4.0f} MiB   "
              f"{peak:5.0f} MiB", flush=True)

    for kind, version, namespaced, rest in OLD:
        measure(kind, version, [as_the_server_sends(version, kind, number, namespaced, rest)
                                for number in range(OBJECTS)])
    # What the limit of 64 MiB is there for.
    kind, version, namespaced, rest = OLD[0]
    rule = rest["spec"]["syscalls"][0]
    large = {"spec": {**rest["spec"], "syscalls": [rule] * 9}}
    measure(f"{kind}, nine rules", version,
            [as_the_server_sends(version, kind, number, namespaced, large) for number in range(OBJECTS)])


def reviews():
    """How many reviews the API server has sent to show bindings in the old version, and the seconds
    until it had the answers."""
    name = "apiserver_crd_conversion_webhook_duration_seconds"
    labels = {"crd_name": [f"profilebindings.{GROUP}"], "to_version": ["v1alpha1"]}
    return cluster.metric(f"{name}_count", **labels), cluster.metric(f"{name}_sum", **labels)


def list_(cache="with"):
    # Not list: that has a meaning.
    bundle_of_conversion()
    path = f"{API}/{{}}/namespaces/default/profilebindings"

    def binding(number):
        cluster.request("POST", path.format("v1"), {
            "apiVersion": f"{GROUP}/v1", "kind": "ProfileBinding",
            "metadata": {"name": f"binding-{number}"}, "spec": OLD[4][3]["spec"]})

    def list_all(version, query):
        token, size = "", 0
        while True:
            answer = cluster.get(f"{path.format(version)}?{query}&continue={token}")
            size += len(answer["items"])
            token = answer["metadata"].get("continue")
            if not token:
                return size

    def works():
        try:
            return list_all("v1alpha1", "") == 1
        except RuntimeError:
            return False
    binding(0)
    until("the API server converts", works)
    sent, cpu = reviews()[0], cpu_seconds(pid_of("manager"))
    begin = time.monotonic()
    in_parallel(binding, range(1, OBJECTS))
    took = time.monotonic() - begin
    print(f"\nconversion: {OBJECTS} ProfileBindings, an API server {cache} a watch cache, which waits "
          f"30 s for a review\n\n  created in v1 in {took:.1f} s")
    if cache == "with":
        # Each version has a cache of its own, which is fed by a watch of its own.
        until("the cache is complete", lambda: reviews()[0] - sent >= OBJECTS - 1)
    print(f"  reviews meanwhile {reviews()[0] - sent:.0f}, with "
          f"{(cpu_seconds(pid_of('manager')) - cpu) / OBJECTS * 1e6:.0f} µs of CPU of the manager an object")
    for what, query in (("at once", ""), ("in pages of 500, as kubectl lists", "limit=500")):
        line = {}
        for version in ("v1", "v1alpha1"):
            times, before = [], reviews()
            for _ in range(3):
                begin = time.monotonic()
                assert list_all(version, query) == OBJECTS
                times.append(time.monotonic() - begin)
            sent, spent = (after - b for after, b in zip(reviews(), before))
            line[version] = statistics.median(times)
            each = f", {spent / sent * 1000:.2f} ms each" if sent else ""
            print(f"  listed {what:<34} {version:<8} {line[version] * 1000:8.0f} ms   "
                  f"{sent / 3:.0f} reviews{each}", flush=True)
        print(f"  {'':<41} ratio    {line['v1alpha1'] / line['v1']:8.2f}")


# ---- Admission ----------------------------------------------------------------------------------

def admission_review(kind, resource, operation, obj):
    group, version = kind[0], kind[1]
    return json.dumps({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": group, "version": version, "kind": kind[2]},
            "resource": {"group": group, "version": version, "resource": resource},
            "requestKind": {"group": group, "version": version, "kind": kind[2]},
            "requestResource": {"group": group, "version": version, "resource": resource},
            "name": obj["metadata"]["name"], "namespace": "default", "operation": operation,
            "userInfo": {"username": "admin", "groups": ["system:masters", "system:authenticated"]},
            "object": obj, "oldObject": None, "dryRun": False,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}}}).encode()


def load_generator(address, bundle, request, expected, offset, barrier, results):
    """One connection: asks at its times, and notes how long after the time there was an answer, so
    that an answer which is late counts for those who wait behind it, too."""
    connection = Connection(address, "webhook-service", bundle)
    for _ in range(50):
        connection.ask(request)
    barrier.wait()
    begin, pause, times = time.monotonic() + 0.2, CONNECTIONS / RATE, []
    for number in range(RATE * SECONDS // CONNECTIONS):
        due = begin + offset + number * pause
        if (wait := due - time.monotonic()) > 0:
            time.sleep(wait)
        status, _ = connection.ask(request)
        times.append(time.monotonic() - due)
        if status != expected:
            results.put(f"{request[:40]}: {status}")
            return
    results.put(times)


def review():
    until("the webhook is in sync", lambda: "in sync with the cluster" in log("webhook"))
    found = []

    def there():
        try:
            name = "spo-mutating-webhook-configuration"
            configuration = cluster.get(
                f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{name}")
        except RuntimeError:
            return False
        found[:] = [configuration["webhooks"][0]["clientConfig"].get("caBundle")]
        return found[0]
    until("the webhooks are configured", there)
    bundle = base64.b64decode(found[0]).decode()
    raw = {"apiVersion": f"{GROUP}/v1", "kind": "RawSelinuxProfile", "metadata": {"name": "raw"},
           "spec": {"policy": OLD[2][3]["spec"]["policy"]}}
    new_pod = admission_review(("", "v1", "Pod"), "pods", "CREATE", pod("web"))
    cases = [
        ("/nothing, answered with 404: the floor", b"GET /nothing HTTP/1.1\r\nHost: bench\r\n\r\n", 404),
        ("/mutate-v1-pod-binding", post("/mutate-v1-pod-binding", new_pod), 200),
        ("/mutate-v1-exec-metadata", post("/mutate-v1-exec-metadata", new_pod), 200),
        ("/validate-rawselinuxprofile", post("/validate-rawselinuxprofile", admission_review(
            (GROUP, "v1", "RawSelinuxProfile"), "rawselinuxprofiles", "CREATE", raw)), 200),
    ]
    print(f"\nadmission: {RATE} reviews a second for {SECONDS} s on {CONNECTIONS} connections, straight "
          "to the webhook\n")
    pid = pid_of("webhook")
    for what, request, expected in cases:
        barrier, results = multiprocessing.Barrier(CONNECTIONS), multiprocessing.Queue()
        workers = [multiprocessing.Process(
            target=load_generator,
            args=(address_of("webhook-service"), bundle, request, expected, number / RATE, barrier, results))
            for number in range(CONNECTIONS)]
        cpu = cpu_seconds(pid)
        for worker in workers:
            worker.start()
        answers = [results.get() for _ in workers]
        for worker in workers:
            worker.join()
        for answer in answers:
            if isinstance(answer, str):
                sys.exit(answer)
        times = [took for answer in answers for took in answer]
        used = (cpu_seconds(pid) - cpu) / (len(times) + 50 * CONNECTIONS)
        print(f"  {what:<40} {milliseconds(times)}   CPU {used * 1e6:4.0f} µs", flush=True)
    print(f"  (target p99 < 5 ms)   webhook {mib(pid, 'VmRSS'):.1f} MiB, peak {mib(pid, 'VmHWM'):.1f} MiB")


def pods():
    rounds, burst = int(1000 * SCALE), int(2000 * SCALE)
    for name, labels in (("plain", {}), ("bound", {"spo.x-k8s.io/enable-binding": ""})):
        cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
    for name in ("plain", "bound"):
        def account():
            try:
                return cluster.get(f"/api/v1/namespaces/{name}/serviceaccounts/default")
            except RuntimeError:
                return None
        until("the namespace has its ServiceAccount", account)
    called = "apiserver_admission_webhook_admission_duration_seconds_count"

    def calls():
        return cluster.metric(called, name=["binding.spo.io"])

    def create(namespace, name):
        begin = time.monotonic()
        cluster.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod(name))
        return time.monotonic() - begin

    def warm():
        before = calls()
        create("bound", f"warm-{time.monotonic_ns()}")
        return calls() > before
    until("the API server calls the webhook", warm)
    print("\nadmission: creating pods through the API server, in a namespace without binding and in one "
          "with it\n")
    times, before = {"plain": [], "bound": []}, calls()
    for number in range(rounds):
        for namespace in ("plain", "bound") if number % 2 else ("bound", "plain"):
            times[namespace].append(create(namespace, f"one-{number}"))
    assert calls() - before == rounds
    print(f"  one after the other, {rounds} each, in turns")
    for namespace, spent in times.items():
        print(f"    {namespace}   {milliseconds(spent)}")
    median = {name: statistics.median(spent) for name, spent in times.items()}
    print(f"    the webhook adds {(median['bound'] - median['plain']) * 1000:.2f} ms to the median   "
          "(upstream 15 ms, and 100 ms at p99)")
    print(f"  eight at once, {burst} each")
    for namespace in ("plain", "bound", "plain", "bound"):
        spent, begin = [], time.monotonic()
        stamp = time.monotonic_ns()
        in_parallel(lambda number: spent.append(create(namespace, f"burst-{stamp}-{number}")),
                    range(burst // 2), threads=8)
        took = time.monotonic() - begin
        print(f"    {namespace}   {milliseconds(spent)}   {len(spent) / took:5.0f} pods/s", flush=True)


PARTS = {"load": load, "restart": restart, "convert": convert, "list": list_, "review": review,
         "pods": pods}
PARTS[part](*sys.argv[3:])
