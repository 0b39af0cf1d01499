//! The composition root: the one place that knows every room of the house, and the command line over it.

/// Objects are many small allocations, made by one thread and freed by another. In profiles of writes the system's allocator
/// took about a quarter of the processor time, and this one less.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod admission;
pub mod blueprint;
pub mod charts;
pub mod cli;
pub mod config;
pub mod control;
pub mod conversion;
pub mod files;
pub mod fleet;
pub mod host;
pub mod inspect;
pub mod management;
pub mod manifests;
pub mod object;
pub mod ui;
