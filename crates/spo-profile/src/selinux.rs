//! The verbs of the SELinux kinds.
//!
//! | verb | SelinuxProfile | RawSelinuxProfile |
//! | --- | --- | --- |
//! | name | [`name::BlockName`] | the same |
//! | what the administrator permits | [`limits::Limits`] | which blocks [`raw::check`] lets inherit |
//! | `resolve` | [`inherit::resolve`] | |
//! | `render` | [`cil::render`] | [`raw::wrap`] |
//! | `parse` | [`cil::parse`](cil::parse::parse) | |
//!
//! Start reading at [`cil`].

pub mod cil;
pub mod inherit;
mod lex;
pub mod limits;
pub mod name;
pub mod raw;
pub mod tree;
mod word;
