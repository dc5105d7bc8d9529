//! The API server: watch it, write to it, tell users, hold a lease, and
//! ask it who may read our metrics ([`review`]).
//!
//! Nothing is decided here. An application describes what to write as [`step::Step`]s, and
//! [`execute::execute`] is the only place that writes. [`controller::run`] is the loop that every
//! controller runs in; [`queue`] is its pure part.

pub mod client;
pub mod controller;
pub mod event;
pub mod execute;
pub mod lease;
pub mod queue;
pub mod reach;
pub mod review;
pub mod step;
pub mod table;
pub mod watch;
