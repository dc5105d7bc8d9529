//! tmp
pub mod arch;
mod field;
pub mod filter;
pub mod frame;
mod quote;
pub mod reader;
pub mod record;
pub mod serial;
pub mod stamp;
pub mod text;
