//! The arguments of `log-enricher` (contract 02, 1.6); those that upstream lacks say so.

use std::path::PathBuf;
use std::time::Duration;

use spo_enricher::source::{Files, Setting};

#[derive(clap::Args, Debug)]
pub(crate) struct LogEnricher {
    /// The name of the Node object of this node.
    #[arg(long, env = "NODE_NAME")]
    node_name: String,

    /// Which records are written: a JSON array of rules.
    #[arg(long, default_value = "")]
    enricher_filters_json: String,

    /// Where records come from: Auditd (a log file, or else the audit socket), Netlink (the audit
    /// socket) or Auto (the audit socket, or else a log file).
    #[arg(long, default_value = "Auditd")]
    enricher_log_source: String,

    /// Where auditd writes. Upstream has no such flag.
    #[arg(long, default_value = "/var/log/audit/audit.log")]
    audit_log: PathBuf,

    /// Where syslog writes what the kernel says. Upstream has no such flag.
    #[arg(long, default_value = "/var/log/syslog")]
    syslog: PathBuf,

    /// Where the processes of the node are seen. Upstream has no such flag.
    #[arg(long, default_value = "/proc")]
    procfs: PathBuf,

    /// Write the first of lines that say the same, and sum up the others every so many seconds; 0
    /// writes each. Upstream has no such flag.
    #[arg(long, default_value_t = 0)]
    deduplicate_seconds: u64,
}

impl LogEnricher {
    pub(crate) fn config(self) -> spo_enricher::Config {
        spo_enricher::Config {
            node_name: self.node_name,
            filters: self.enricher_filters_json,
            source: Setting::of(&self.enricher_log_source),
            files: Files {
                audit: self.audit_log,
                syslog: self.syslog,
            },
            procfs: self.procfs,
            deduplicate: (self.deduplicate_seconds > 0)
                .then(|| Duration::from_secs(self.deduplicate_seconds)),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command};

    fn parse(more: &[&str]) -> spo_enricher::Config {
        let begin = ["spo", "log-enricher", "--node-name=n"];
        match Args::try_parse_from(begin.iter().chain(more)).map(|args| args.command) {
            Ok(Command::LogEnricher(enricher)) => enricher.config(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_the_daemon_set_says_is_taken() {
        let config = parse(&[]);
        assert_eq!((config.source, config.deduplicate), (Setting::Auditd, None));
        assert_eq!(config.filters, "");
        let config = parse(&[
            "--enricher-filters-json=[]",
            "--enricher-log-source=Netlink",
            "--deduplicate-seconds=60",
        ]);
        assert_eq!(config.source, Setting::Netlink);
        assert_eq!(config.filters, "[]");
        assert_eq!(config.deduplicate, Some(Duration::from_mins(1)));
    }
}
