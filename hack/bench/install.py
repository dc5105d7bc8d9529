"""Measures what hack/bench/install has started. Speaks to the API server itself: kubectl would be
most of what it measures."""

import base64
import glob
import http.client
import json
import os
import ssl
import statistics
import sys
import tempfile
import threading
import time
import urllib.parse

run, count, pods = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
GROUP = "/apis/security-profiles-operator.x-k8s.io/v1"
ROUNDS = 40


def kubeconfig():
    """Address and TLS context of the administrator. kubectl prints JSON, so no YAML parser."""
    with os.popen(f"{os.environ['KUBECTL']} config view --raw --minify --flatten -o json") as pipe:
        config = json.load(pipe)
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(
        cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.NamedTemporaryFile("wb") as pem:
        pem.write(base64.b64decode(user["client-certificate-data"]))
        pem.write(base64.b64decode(user["client-key-data"]))
        pem.flush()
        context.load_cert_chain(pem.name)
    return urllib.parse.urlparse(cluster["server"]).netloc, context


HOST, CONTEXT = kubeconfig()
local = threading.local()


def request(method, path, body=None):
    if not hasattr(local, "connection"):
        local.connection = http.client.HTTPSConnection(HOST, context=CONTEXT, timeout=60)
    text = None if body is None else json.dumps(body)
    local.connection.request(method, path, text, {"Content-Type": "application/json"})
    response = local.connection.getresponse()
    data = response.read()
    if response.status >= 300 and not (method == "DELETE" and response.status == 404):
        raise RuntimeError(f"{method} {path}: {response.status} {data[:300]}")
    return data


NAMES = [
    "accept4 access bind brk clone close connect dup2 epoll_ctl epoll_wait execve exit exit_group",
    "fchmod fchown fcntl fstat futex getcwd getdents64 getegid geteuid getgid getpid getppid getrandom",
    "getsockname getsockopt gettid getuid ioctl listen lseek madvise mkdir mmap mprotect munmap",
    "nanosleep newfstatat open openat pipe2 poll prctl pread64 pwrite64 read readlink recvfrom recvmsg",
    "rename rt_sigaction rt_sigprocmask rt_sigreturn sched_yield sendfile sendmsg sendto set_robust_list",
    "set_tid_address setgid setgroups setitimer setsockopt setuid sigaltstack socket socketpair stat",
    "statfs sysinfo tgkill umask uname unlink utimensat wait4 write writev",
]
SYSCALLS = [name for line in NAMES for name in line.split()]


def profile(name):
    return {
        "apiVersion": "security-profiles-operator.x-k8s.io/v1",
        "kind": "SeccompProfile",
        "metadata": {"name": name},
        "spec": {
            "defaultAction": "SCMP_ACT_ERRNO",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"action": "SCMP_ACT_ALLOW", "names": SYSCALLS}],
        },
    }


class Ready(threading.Thread):
    """Notes when profiles become ready, and when they are gone, by a watch."""

    def __init__(self):
        super().__init__(daemon=True)
        self.times, self.gone, self.changed = {}, set(), threading.Condition()

    def run(self):
        # A watch that can not keep up is ended by the server: list, and watch on.
        while True:
            listed = json.loads(request("GET", f"{GROUP}/seccompprofiles"))
            for item in listed["items"]:
                self.see("MODIFIED", item)
            version = listed["metadata"]["resourceVersion"]
            connection = http.client.HTTPSConnection(HOST, context=CONTEXT)
            connection.request(
                "GET", f"{GROUP}/seccompprofiles?watch=1&resourceVersion={version}")
            try:
                for line in connection.getresponse():
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        break
                    self.see(event["type"], event["object"])
            except (OSError, http.client.HTTPException) as error:
                print(f"(the watch ended: {error!r})", file=sys.stderr)

    def see(self, kind, item):
        now, name = time.monotonic(), item["metadata"]["name"]
        conditions = item.get("status", {}).get("conditions", [])
        with self.changed:
            if kind == "DELETED":
                self.gone.add(name)
            elif any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
                self.times.setdefault(name, now)
            self.changed.notify_all()

    def wait(self, names, where, seconds=300):
        with self.changed:
            done = self.changed.wait_for(lambda: all(n in where() for n in names), seconds)
        if not done:
            sys.exit(f"not done within {seconds} s: {[n for n in names if n not in where()][:5]}")


def directories():
    return sorted(glob.glob(f"{run}/nodes/*/var/lib/kubelet/seccomp/operator"))


def wait_for_files(names, seconds=300):
    """When the last file was there, on all nodes."""
    missing = [os.path.join(d, f"{name}.json") for d in directories() for name in names]
    end = time.monotonic() + seconds
    while missing:
        missing = [path for path in missing if not os.path.exists(path)]
        if not missing:
            break
        if time.monotonic() > end:
            sys.exit(f"not on disk within {seconds} s: {missing[:5]}")
        time.sleep(0.0005 if len(missing) < 10 else 0.01)
    return time.monotonic()


def writes():
    """Requests that write, by resource."""
    found = {}
    for line in request("GET", "/metrics").decode().splitlines():
        if not line.startswith("apiserver_request_total{"):
            continue
        labels, value = line[len("apiserver_request_total{"):].rsplit("} ", 1)
        labels = dict(part.split("=", 1) for part in labels.split(",") if "=" in part)
        labels = {key: text.strip('"') for key, text in labels.items()}
        resource = labels.get("resource")
        if labels.get("verb") in ("POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION") \
                and resource in ("seccompprofiles", "securityprofilenodestatuses", "events"):
            if labels.get("subresource"):
                resource += "/" + labels["subresource"]
            key = f"{labels['verb']} {resource}"
            found[key] = found.get(key, 0) + float(value)
    return found


def processes():
    found = {}
    for path in sorted(glob.glob(f"{run}/pid/*")):
        found[os.path.basename(path)] = int(open(path).read())
    for name in ("etcd", "kube-apiserver", "kube-controller-manager"):
        for status in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                text = open(status, "rb").read().split(b"\0")
            except OSError:
                continue
            if os.path.basename(text[0]).decode() == name and any(
                    f"{run}/controlplane".encode() in part for part in text):
                found[name] = int(status.split("/")[2])
    return found


def rss_mib(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(when):
    sizes = {name: rss_mib(pid) for name, pid in processes().items()}
    daemons = [size for name, size in sizes.items() if name.startswith("bench-")]
    print(f"{when:<34} manager {sizes['manager']:6.1f} MiB   daemon {max(daemons):6.1f} MiB")
    return sizes["manager"], max(daemons)


def in_parallel(work, items, threads=8):
    items, lock = list(items), threading.Lock()

    def loop():
        while True:
            with lock:
                if not items:
                    return
                item = items.pop()
            work(item)
    workers = [threading.Thread(target=loop) for _ in range(threads)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]


def create(name):
    request("POST", f"{GROUP}/seccompprofiles", profile(name))


def delete(name):
    request("DELETE", f"{GROUP}/seccompprofiles/{name}")


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def milliseconds(values):
    return (f"p50 {statistics.median(values) * 1000:6.1f} ms   "
            f"p99 {percentile(values, 0.99) * 1000:6.1f} ms   max {max(values) * 1000:6.1f} ms")


def fsync_cost():
    """Of one small file, written as the daemon writes: the floor of what we can reach."""
    times = []
    for number in range(50):
        path = os.path.join(directories()[0], f".bench-{number}")
        begin = time.monotonic()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        os.write(descriptor, b"x" * 2000)
        os.fsync(descriptor)
        os.close(descriptor)
        times.append(time.monotonic() - begin)
        os.unlink(path)
    return statistics.median(times)


def main():
    while len(directories()) < 3:
        time.sleep(0.1)
    time.sleep(2)
    ready = Ready()
    ready.start()
    print(f"three nodes, {count} profiles of {len(SYSCALLS)} syscalls, {pods} foreign pods\n")
    memory("idle")

    disk, done = [], []
    before = writes()
    for number in range(ROUNDS):
        name = f"one-{number}"
        begin = time.monotonic()
        create(name)
        disk.append(wait_for_files([name]) - begin)
        ready.wait([name], lambda: ready.times)
        done.append(ready.times[name] - begin)
    time.sleep(2)
    after = writes()
    print(f"\none profile, {ROUNDS} times")
    print(f"  apply -> on disk on 3 nodes      {milliseconds(disk)}   (target p99 <= 100)")
    print(f"  apply -> Ready                   {milliseconds(done)}")
    print(f"  of that, one fsync of one file   {fsync_cost() * 1000:.1f} ms")
    spent = {key: (after[key] - before.get(key, 0)) / ROUNDS for key in sorted(after)}
    spent = {key: value for key, value in spent.items() if value}
    print(f"  API writes a profile             {sum(spent.values()):.2f}   (target <= N + 5 = 8)")
    for key, value in spent.items():
        print(f"    {value:5.2f}  {key}")
    names = [f"one-{number}" for number in range(ROUNDS)]
    begin = time.monotonic()
    in_parallel(delete, names)
    ready.wait(names, lambda: ready.gone)
    print(f"  {ROUNDS} deleted everywhere in        {time.monotonic() - begin:.2f} s")

    names = [f"many-{number}" for number in range(count)]
    before, cpu = writes(), {n: cpu_seconds(p) for n, p in processes().items()}
    begin = time.monotonic()
    creator = threading.Thread(target=in_parallel, args=(create, names))
    creator.start()
    on_disk = wait_for_files(names) - begin
    creator.join()
    ready.wait(names, lambda: ready.times)
    finished = max(ready.times[name] for name in names) - begin
    used = {n: cpu_seconds(p) - cpu.get(n, 0) for n, p in processes().items()}
    print(f"\n{count} profiles at once")
    print(f"  on disk on 3 nodes               {on_disk:.2f} s   (target <= 3)")
    print(f"  Ready                            {finished:.2f} s   (target <= 5)")
    time.sleep(2)
    total = sum(writes().values()) - sum(before.values())
    print(f"  API writes a profile             {total / count:.2f}")
    share = sum(used.values())
    print("  CPU until Ready                  " + "   ".join(
        f"{name} {seconds:.1f} s ({seconds / share * 100:.0f} %)"
        for name, seconds in sorted(used.items(), key=lambda item: -item[1]) if seconds > 0.05))
    memory(f"with {count} profiles")
    names_more = [f"more-{number}" for number in range(max(0, 1000 - count))]
    in_parallel(create, names_more)
    ready.wait(names_more, lambda: ready.times)
    time.sleep(3)
    print()
    memory(f"with {count + len(names_more)} profiles")

    def pod(number):
        request("POST", "/api/v1/namespaces/default/pods", {
            "metadata": {"name": f"foreign-{number}", "labels": {"app": "foreign"}},
            "spec": {"nodeName": "bench-a", "containers": [{
                "name": "app", "image": "registry.example/team/app:1.2.3",
                "env": [{"name": f"VARIABLE_{n}", "value": "x" * 40} for n in range(10)]}]}})
    in_parallel(pod, range(pods))
    time.sleep(3)
    memory(f"and with {pods} foreign pods")
    print("(targets: manager <= 48 MiB, daemon <= 24 MiB and flat in foreign pods)")


main()
