"""What the benchmarks share: the administrator's connection to the API server, work in parallel,
percentiles, and what a process uses."""

import base64
import http.client
import json
import os
import ssl
import statistics
import tempfile
import threading
import urllib.parse

GROUP = "security-profiles-operator.x-k8s.io"


class Cluster:
    """The API server, for the administrator. kubectl would be most of what is measured."""

    def __init__(self):
        # kubectl prints JSON, so no YAML parser.
        with os.popen(f"{os.environ['KUBECTL']} config view --raw --minify --flatten -o json") as pipe:
            config = json.load(pipe)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.context = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile("wb") as pem:
            pem.write(base64.b64decode(user["client-certificate-data"]))
            pem.write(base64.b64decode(user["client-key-data"]))
            pem.flush()
            self.context.load_cert_chain(pem.name)
        self.host = urllib.parse.urlparse(cluster["server"]).netloc
        self.local = threading.local()

    def request(self, method, path, body=None):
        """One connection for each thread."""
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPSConnection(
                self.host, context=self.context, timeout=120)
        text = None if body is None else json.dumps(body)
        try:
            response = self.send(method, path, text)
        except (http.client.RemoteDisconnected, ConnectionError):
            if method != "GET":
                raise
            # The API server has closed a connection which nobody used for a while.
            self.local.connection.close()
            response = self.send(method, path, text)
        data = response.read()
        if response.status >= 300 and not (method == "DELETE" and response.status == 404):
            raise RuntimeError(f"{method} {path}: {response.status} {data[:300]}")
        return data

    def send(self, method, path, text):
        self.local.connection.request(method, path, text, {"Content-Type": "application/json"})
        return self.local.connection.getresponse()

    def get(self, path):
        return json.loads(self.request("GET", path))

    def metric(self, metric, **wanted):
        """The sum of the series of a metric that have these labels; a label may have one of several
        values."""
        total = 0.0
        for line in self.request("GET", "/metrics").decode().splitlines():
            if not line.startswith(metric + "{"):
                continue
            labels, value = line[len(metric) + 1:].rsplit("} ", 1)
            labels = dict(part.split("=", 1) for part in labels.split(",") if "=" in part)
            if all(labels.get(key, "").strip('"') in values for key, values in wanted.items()):
                total += float(value)
        return total


def in_parallel(work, items, threads=16):
    """Raises what the first failed piece of work raised."""
    items, lock, failures = list(items), threading.Lock(), []

    def loop():
        while True:
            with lock:
                if not items or failures:
                    return
                item = items.pop()
            try:
                work(item)
            except Exception as failure:
                failures.append(failure)
    workers = [threading.Thread(target=loop) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def milliseconds(values):
    return (f"p50 {statistics.median(values) * 1000:7.2f} ms   "
            f"p99 {percentile(values, 0.99) * 1000:7.2f} ms   max {max(values) * 1000:7.1f} ms")


def mib(pid, field):
    """A field of the status of a process: VmRSS, VmHWM (its peak), RssAnon."""
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has no {field}")


def forget_peak(pid):
    """From now on, VmHWM is the peak from now on."""
    with open(f"/proc/{pid}/clear_refs", "w") as refs:
        refs.write("5")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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


def seccomp_spec():
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"action": "SCMP_ACT_ALLOW", "names": SYSCALLS}],
    }


def pod(name, spec=None):
    """A pod of a usual size."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "foreign"}},
        "spec": {"nodeName": "bench-a", **(spec or {}), "containers": [{
            "name": "app", "image": "registry.example/team/app:1.2.3",
            "env": [{"name": f"VARIABLE_{n}", "value": "x" * 40} for n in range(10)]}]},
    }
