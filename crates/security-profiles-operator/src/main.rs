//! The operator: one binary, one subcommand per component.

mod args;
mod render;

use std::process::ExitCode;

use clap::Parser as _;
use spo_process::chain::chain;
use spo_process::tasks::Ended;
use tracing::{error, info};

use args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    spo_process::telemetry::init(args.verbosity, args.log_filter.as_deref());
    spo_process::tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(run(args.command)) {
        Ok(Ended::Asked) => ExitCode::SUCCESS,
        Ok(Ended::TaskFell) => ExitCode::FAILURE,
        Err(error) => failed(&*error),
    }
}

async fn run(command: Command) -> Result<Ended, Box<dyn std::error::Error>> {
    match command {
        Command::Daemon(daemon) => Ok(spo_daemon::run_daemon(daemon.config()?).await?),
        Command::LogEnricher(enricher) => {
            Ok(spo_enricher::run_log_enricher(enricher.config()).await?)
        }
        Command::Manager(manager) => Ok(spo_manager::run_manager(manager.config()).await?),
        Command::Doctor(doctor) => Ok(doctor.run().await),
        Command::NonRootEnabler(enabler) => {
            spo_daemon::enabler::run_enabler(&enabler.config())?;
            Ok(Ended::Asked)
        }
        Command::Render(arguments) => {
            render::render(arguments)?;
            Ok(Ended::Asked)
        }
        Command::Selinuxd(selinuxd) => Ok(selinuxd.run().await?),
        Command::Uninstall(uninstall) => Ok(uninstall.run().await?),
        Command::Webhook(webhook) => Ok(spo_webhook::run_webhook(webhook.config()).await?),
        Command::Version => {
            args::print_version();
            Ok(Ended::Asked)
        }
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    error!(error = %chain(error), "running security-profiles-operator");
    info!("the process ends; whoever started it may start it again");
    ExitCode::FAILURE
}
