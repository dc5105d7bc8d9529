//! `uninstall`: takes away what the operator has made, and prints each step on a line.

use std::time::Duration;

use spo_manager::uninstall::{self, Request};
use spo_process::tasks::Ended;

/// What to take away, and how long to wait for it.
#[derive(clap::Args, Debug)]
pub(crate) struct Uninstall {
    /// The operator's namespace.
    #[arg(
        long,
        env = "OPERATOR_NAMESPACE",
        default_value = "security-profiles-operator"
    )]
    namespace: String,

    /// How long each step waits for the operator or the API server: 90, 90s or 2m.
    #[arg(long, default_value = "60s", value_parser = duration)]
    timeout: Duration,

    /// Delete the CustomResourceDefinitions, too.
    #[arg(long)]
    crds: bool,

    /// Only print what would be deleted.
    #[arg(long)]
    dry_run: bool,

    /// Delete also profiles that pods use: containers of these pods that start later will fail.
    #[arg(long)]
    force: bool,
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(number) => (number, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let number: u64 = number
        .parse()
        .map_err(|_number| "expected a number of seconds or minutes, such as 60s or 2m")?;
    Ok(Duration::from_secs(number.saturating_mul(unit)))
}

#[expect(clippy::print_stdout, reason = "it is the output of the command")]
fn print(line: &str) {
    println!("{line}");
}

impl Uninstall {
    /// Does it. What is left is a failure.
    pub(crate) async fn run(self) -> Result<Ended, uninstall::Error> {
        let request = Request {
            namespace: self.namespace,
            timeout: self.timeout,
            crds: self.crds,
            dry_run: self.dry_run,
            force: self.force,
        };
        match uninstall::run_uninstall(&request, &print).await? {
            true => Ok(Ended::Asked),
            false => Ok(Ended::TaskFell),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_seconds_or_minutes() {
        for (text, seconds) in [("90", 90), ("60s", 60), ("2m", 120)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert!(duration("1h").is_err());
    }
}
