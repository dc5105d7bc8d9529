//! The rules of the house as tests, for `cargo test -p spo-test-tidy`.
//!
//! A rule is a module with a pure function from the [`tree::Tree`] to [`problem::Problem`]s, and
//! unit tests which show it fail on a small tree. The tests over our own tree are in `house.rs`:
//! start reading there. The rules read files; they build, format and run nothing but shellcheck.

#![cfg(test)]

mod crate_order;
mod doc;
mod house;
mod length;
mod lints;
mod lockfile;
mod manifest;
mod markdown;
mod module;
mod owner;
mod place;
mod problem;
mod purity;
mod rust;
mod shell;
mod tree;
