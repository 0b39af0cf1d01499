//! The simulated world that tests, demos and load runs share.
