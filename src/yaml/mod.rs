//! YAML text with positions: the tree (`document`), its reader (`parse`), typed fields (`fields`).

pub mod document;
pub mod fields;
pub mod parse;
pub use parse::parse;
