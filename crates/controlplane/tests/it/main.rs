//! The built-in controllers against the real API server, in one process, in virtual time: housekeeping alone, and whole
//! control planes with scheduler and simulated kubelets.

#[cfg(test)]
mod access;
#[cfg(test)]
mod autoscale;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod determinism;
#[cfg(test)]
mod housekeeping;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod nodes;
#[cfg(test)]
mod pods;
#[cfg(test)]
mod rest;
#[cfg(test)]
mod scenario;
#[cfg(test)]
mod sets;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod volumes;
#[cfg(test)]
mod workloads;
#[cfg(test)]
mod world;
