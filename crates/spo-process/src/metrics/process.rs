//! What a process says about itself, under the names that every Prometheus client library uses.
//!
//! Go's own families (`go_*`, `promhttp_*`) are not among them (decision 16).

use std::fs;
use std::sync::{Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntGauge, Registry};

/// What the kernel counts the time of processes in, a second of it: `USER_HZ`, the same on every
/// architecture that we are built for.
const TICKS: f64 = 100.0;

/// Registers the families.
pub fn register(registry: &Registry) -> Result<(), prometheus::Error> {
    registry.register(Box::new(Process::new()?))
}

struct Process {
    // Held while a page is made: two pages at once would count time twice.
    cpu: Mutex<Counter>,
    started: Gauge,
    resident: IntGauge,
    virtual_memory: IntGauge,
    threads: IntGauge,
    open_fds: IntGauge,
    max_fds: IntGauge,
    descriptions: Vec<Desc>,
}

impl Process {
    fn new() -> Result<Self, prometheus::Error> {
        let mut process = Self {
            cpu: Mutex::new(Counter::new(
                "process_cpu_seconds_total",
                "Total user and system CPU time spent in seconds.",
            )?),
            started: Gauge::new(
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
            )?,
            resident: IntGauge::new(
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
            )?,
            virtual_memory: IntGauge::new(
                "process_virtual_memory_bytes",
                "Virtual memory size in bytes.",
            )?,
            threads: IntGauge::new("process_threads", "Number of OS threads in the process.")?,
            open_fds: IntGauge::new("process_open_fds", "Number of open file descriptors.")?,
            max_fds: IntGauge::new(
                "process_max_fds",
                "Maximum number of open file descriptors.",
            )?,
            descriptions: Vec::new(),
        };
        let cpu = process
            .cpu
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let mut descriptions: Vec<Desc> = cpu.desc().into_iter().cloned().collect();
        for family in process.gauges() {
            descriptions.extend(family.desc().into_iter().cloned());
        }
        process.descriptions = descriptions;
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
        if let (Some(ticks), Some(boot)) = (Stat::parse(&stat), boot_time(&boot)) {
            process.started.set(boot + ticks.started / TICKS);
        }
        Ok(process)
    }

    fn gauges(&self) -> [&dyn Collector; 6] {
        [
            &self.started,
            &self.resident,
            &self.virtual_memory,
            &self.threads,
            &self.open_fds,
            &self.max_fds,
        ]
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let cpu = self.cpu.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(stat) = fs::read_to_string("/proc/self/stat")
            && let Some(stat) = Stat::parse(&stat)
        {
            cpu.inc_by((stat.cpu / TICKS - cpu.get()).max(0.0));
        }
        if let Ok(status) = fs::read_to_string("/proc/self/status") {
            let field = |name| field(&status, name);
            set(&self.resident, field("VmRSS:").map(|kib| kib << 10));
            set(&self.virtual_memory, field("VmSize:").map(|kib| kib << 10));
            set(&self.threads, field("Threads:"));
        }
        if let Ok(limits) = fs::read_to_string("/proc/self/limits") {
            set(&self.max_fds, field(&limits, "Max open files"));
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory that is being read.
            let open = entries.count().saturating_sub(1);
            set(&self.open_fds, i64::try_from(open).ok());
        }
        let mut families = cpu.collect();
        families.extend(self.gauges().iter().flat_map(|gauge| gauge.collect()));
        families
    }
}

fn set(gauge: &IntGauge, value: Option<i64>) {
    if let Some(value) = value {
        gauge.set(value);
    }
}

/// The number behind a name at the start of a line.
fn field(text: &str, name: &str) -> Option<i64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn boot_time(stat: &str) -> Option<f64> {
    let rest = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    rest.trim().parse().ok()
}

/// Two fields of proc_pid_stat(5), in ticks.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu: f64,
    started: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name is in parentheses, and may hold some itself.
        let (_, rest) = text.rsplit_once(") ")?;
        // The first of these is field 3.
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |field: usize| -> Option<f64> { fields.get(field - 3)?.parse().ok() };
        Some(Self {
            cpu: number(14)? + number(15)?,
            started: number(22)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn a_name_with_parentheses_is_no_obstacle() {
        let fields: Vec<String> = (4..=52).map(|field| field.to_string()).collect();
        let text = format!("1 (a) b) c) S {}\n", fields.join(" "));
        let expected = Stat {
            cpu: 29.0,
            started: 22.0,
        };
        assert_eq!(Stat::parse(&text), Some(expected));
        assert_eq!(Stat::parse("1 (a) S 4 5"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn this_process_is_described() {
        let registry = Registry::new();
        register(&registry).unwrap();
        let value = |name: &str| -> f64 {
            let text = TextEncoder::new().encode_to_string(&registry.gather());
            let text = text.unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{name} in {text}"))
                .trim()
                .parse()
                .unwrap()
        };
        assert!(value("process_resident_memory_bytes ") > 1e5);
        assert!(value("process_virtual_memory_bytes ") > 1e5);
        assert!(value("process_threads ") >= 1.0);
        assert!(value("process_max_fds ") >= 1.0);
        let before = value("process_open_fds ");
        let file = fs::File::open("/proc/self/stat").unwrap();
        assert!(value("process_open_fds ") >= 1.0, "{before}");
        drop(file);
        let now = jiff::Timestamp::now().as_second();
        let age = now - value("process_start_time_seconds ") as i64;
        assert!((-2..3600 * 24).contains(&age), "{age}");
        let first = value("process_cpu_seconds_total ");
        let start = std::time::Instant::now();
        let mut work = 0_u64;
        while start.elapsed().as_millis() < 200 {
            work = std::hint::black_box(work.wrapping_mul(31).wrapping_add(7));
        }
        assert!(value("process_cpu_seconds_total ") > first);
    }
}
