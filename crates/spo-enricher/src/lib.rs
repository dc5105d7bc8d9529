//! The enrichers: audit records of this node, with the pods they are about.
//!
//! [`run_log_enricher`] writes a line for every record of a container on standard output, as klog
//! does (contract 02b, 5.8).
//!
//! Needs of the node: what [`source`] says, and its processes (`hostPID`). Needs of the API server:
//! list and watch pods; it asks for those of its own node only.
//!
//! One task does all: it reads the source, follows the pods, and writes. `pipeline` decides.

// Foreign bytes come in here; a position that is not there must be a value, not a panic.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice))]

mod index;
mod lru;
mod pipeline;
mod pod;
pub mod source;
mod tally;
mod whose;
mod world;

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::{Api, Client};
use spo_audit::filter::{FilterError, Filters};
use spo_host::process::Procfs;
use spo_process::chain::chain;
use spo_process::tasks::{Ended, Shutdown, Tasks};
use tokio::io::AsyncWriteExt as _;
use tracing::{error, info, warn};

use pipeline::{Pipeline, Told};
use pod::Pod;
use source::{Files, Setting, Source};
use tally::{Tally, Telling};
use world::Node;

/// What a log enricher is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The Node object of this node.
    pub node_name: String,
    /// The user's rules, as JSON.
    pub filters: String,
    /// Where records come from.
    pub source: Setting,
    /// The files that they may come from.
    pub files: Files,
    /// Where the processes of the node are seen.
    pub procfs: PathBuf,
    /// How often lines that say the same are summed up in one; without, each is written.
    pub deduplicate: Option<Duration>,
}

/// A log enricher that could not be started, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rules make no sense. Nothing is written rather than too much.
    #[error("get enricher filters")]
    Filters(#[from] FilterError),
    /// There is no API server to speak to.
    #[error(transparent)]
    Client(#[from] spo_kube::client::Error),
    /// There are no records to be had.
    #[error("enricher failed")]
    Source(#[from] source::Error),
    /// Nobody reads what is written.
    #[error("enricher failed: cannot write to standard output")]
    Write(#[source] io::Error),
}

/// Runs the log enricher until it is told to end, or until its source does.
pub async fn run_log_enricher(config: Config) -> Result<Ended, Error> {
    info!("starting component: log-enricher");
    let (filters, notices) = Filters::parse(&config.filters)?;
    info!(filters = config.filters, "Enricher Filters");
    for notice in notices {
        warn!("{notice}");
    }
    let source = Source::open(config.source, &config.files)?;
    let client = spo_kube::client::connect().await?;
    info!("Starting log-enricher on node: {}", config.node_name);
    let node = Node::new(Procfs::new(&config.procfs));
    let told = Told {
        node: config.node_name,
        filters,
        deduplicate: config.deduplicate,
    };
    let mut tasks = Tasks::new();
    let shutdown = tasks.shutdown();
    tasks.spawn("log-enricher", async move {
        if let Err(error) = enrich(source, client, told, node, shutdown).await {
            error!(error = chain(&error), "the log enricher can not go on");
        }
    });
    Ok(tasks.run().await)
}

async fn enrich(
    mut source: Source,
    client: Client,
    told: Told,
    mut node: Node,
    mut shutdown: Shutdown,
) -> Result<(), Error> {
    let pods = spo_kube::watch::watch_on_node(Api::<Pod>::all(client), &told.node);
    let mut pods = pin!(pods);
    let mut pipeline = Pipeline::new(told, source.frame());
    let mut stdout = tokio::io::stdout();
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    every_second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut overruns, mut truncations) = (0, 0);
    let mut telling = Telling::default();
    let began = Instant::now();
    loop {
        tokio::select! {
            () = shutdown.asked() => return Ok(()),
            event = pods.next() => {
                // The watch never ends.
                if let Some(event) = event {
                    pipeline.pod(event, began.elapsed(), &mut node);
                }
            }
            losses = source.read(|raw| pipeline.read(raw, began.elapsed(), &mut node)) => {
                let losses = losses?;
                overruns += losses.overruns;
                truncations += losses.truncations;
            }
            _ = every_second.tick() => {
                let now = began.elapsed();
                pipeline.tick(now, &mut node);
                let tally = Tally { overruns, truncations, ..pipeline.tally() };
                if telling.is_due(tally, now) {
                    tell(tally);
                }
            }
        }
        let out = pipeline.out();
        if !out.is_empty() {
            stdout
                .write_all(out.as_bytes())
                .await
                .map_err(Error::Write)?;
            stdout.flush().await.map_err(Error::Write)?;
            out.clear();
            out.shrink_to(OUT_KEPT);
        }
    }
}

/// Bytes that are kept for the lines to come.
const OUT_KEPT: usize = 256 * 1024;

fn tell(tally: Tally) {
    let Tally {
        overruns,
        truncations,
        lost,
        forged,
        too_long,
        malformed,
        process_gone,
        not_waited_for,
        without_name,
        of_the_host,
        of_no_pod,
        told_by_programs,
    } = tally;
    warn!(
        overruns,
        truncations,
        lost,
        forged,
        too_long,
        malformed,
        process_gone,
        not_waited_for,
        without_name,
        of_the_host,
        of_no_pod,
        told_by_programs,
        "not every audit record became a line; these are the counts since the start"
    );
    if without_name > 0 {
        info!(count = without_name, "no syscall name found for ID");
    }
}
