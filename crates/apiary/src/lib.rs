//! The composition root: the one place that knows every room of the house, and the command line over it.

pub mod admission;
pub mod cli;
pub mod config;
pub mod control;
pub mod files;
pub mod fleet;
pub mod host;
pub mod management;
pub mod manifests;
pub mod ui;
