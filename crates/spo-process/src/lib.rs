//! What being a long-running process takes.
//!
//! A process of ours starts in this order: arguments, [`telemetry`], TLS provider, the component's
//! own wiring on [`tasks::Tasks`], the [`admin`] server and [`metrics`]. It ends when it is told to, or when any of
//! its tasks ends; never with a task silently gone.

pub mod admin;
pub mod chain;
pub mod metrics;
pub mod news;
pub mod tasks;
pub mod telemetry;
pub mod tls;
