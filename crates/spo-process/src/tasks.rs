//! Owned tasks: every task of a process has a name and an owner, and none dies unnoticed.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{Instrument as _, error, info, info_span};

/// How long tasks may take to end after shutdown was asked for. The kubelet gives 30 s.
const DRAIN: Duration = Duration::from_secs(20);

/// The tasks of a process.
pub struct Tasks {
    set: JoinSet<&'static str>,
    shutdown: watch::Sender<bool>,
}

/// Tells a task that it should end. Cheap to clone.
#[derive(Clone)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Resolves when the process is asked to end. Cancel-safe.
    pub async fn asked(&mut self) {
        // An error means that `Tasks` is gone, which is a shutdown too.
        let _ended = self.0.wait_for(|asked| *asked).await;
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to, and all tasks ended in time.
    Asked,
    /// A task ended on its own, or panicked: something we need is gone.
    TaskFell,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Self {
        Self {
            set: JoinSet::new(),
            shutdown: watch::Sender::new(false),
        }
    }

    /// A handle that tells when to end.
    pub fn shutdown(&self) -> Shutdown {
        Shutdown(self.shutdown.subscribe())
    }

    /// Starts a task. It runs until [`Shutdown::asked`]; ending earlier ends the process.
    pub fn spawn(&mut self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let span = info_span!("task", task = name);
        self.set.spawn(
            async move {
                future.await;
                name
            }
            .instrument(span),
        );
    }

    /// Runs until SIGINT, SIGTERM, or the end of any task; then asks the others to end and waits
    /// for them, at most [`DRAIN`].
    pub async fn run(mut self) -> Ended {
        let ended = tokio::select! {
            signal = signal() => {
                info!("Received OS signal: {signal}. Initiating graceful shutdown...");
                Ended::Asked
            }
            Some(result) = self.set.join_next() => {
                match result {
                    Ok(task) => error!(task, "task ended"),
                    Err(error) => error!(%error, "task fell"),
                }
                Ended::TaskFell
            }
        };
        self.shutdown.send_replace(true);
        let drained = tokio::time::timeout(DRAIN, async {
            while self.set.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            error!("tasks did not end in time");
        }
        ended
    }
}

async fn signal() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        error!("cannot listen to signals; end the process with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "terminated",
        _ = interrupt.recv() => "interrupt",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_one_task_ends_all() {
        let mut tasks = Tasks::new();
        let mut shutdown = tasks.shutdown();
        tasks.spawn("patient", async move { shutdown.asked().await });
        tasks.spawn("short", async {});
        assert_eq!(tasks.run().await, Ended::TaskFell);
    }

    #[tokio::test]
    async fn a_panic_ends_all() {
        let mut tasks = Tasks::new();
        let mut shutdown = tasks.shutdown();
        tasks.spawn("patient", async move { shutdown.asked().await });
        tasks.spawn("clumsy", async { panic!("on purpose") });
        assert_eq!(tasks.run().await, Ended::TaskFell);
    }
}
