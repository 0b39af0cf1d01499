//! The built-in controllers against the real API server, in one process, in virtual time.

#[cfg(test)]
mod housekeeping;
