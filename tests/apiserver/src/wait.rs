//! Waiting for values: always with a deadline, and with the last value where it passes.

use std::time::{Duration, Instant};

/// How often a value is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// For what takes a moment: long, because the machine may be busy with other things.
pub const SOON: Duration = Duration::from_secs(30);

/// Looks until there is a value. `Err` is what is there instead, shown when the time is over.
pub async fn eventually<T>(
    within: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let start = Instant::now();
    loop {
        let last = match look().await {
            Ok(value) => return value,
            Err(last) => last,
        };
        assert!(
            start.elapsed() < within,
            "{what}: not within {within:?}; at last: {last}"
        );
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Looks for a while, and fails as soon as something is wrong.
pub async fn always(
    during: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<(), String>,
) {
    let start = Instant::now();
    while start.elapsed() < during {
        if let Err(wrong) = look().await {
            panic!("{what}: after {:?}: {wrong}", start.elapsed());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Looks until a value has been the same for `quiet`.
pub async fn settled<T: PartialEq + std::fmt::Debug>(
    within: Duration,
    quiet: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> T,
) -> T {
    let start = Instant::now();
    let mut last = look().await;
    let mut since = Instant::now();
    while since.elapsed() < quiet {
        tokio::time::sleep(INTERVAL).await;
        let next = look().await;
        if next != last {
            assert!(
                start.elapsed() < within,
                "{what}: still changing after {within:?}: {next:?}"
            );
            (last, since) = (next, Instant::now());
        }
    }
    last
}
