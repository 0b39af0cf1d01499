//! Infrastructure providers, one folder each.

pub mod local;
