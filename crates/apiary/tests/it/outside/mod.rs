//! Outside tests: the real binary on a real port and a data directory on disk, driven by real kubectl.
//!
//! Every wait has a limit and nothing sleeps: tests read the events that `apiary up -o json` prints, or let kubectl wait.

mod access;
mod apply;
mod backup;
mod bad_input;
mod catalog;
mod change;
mod charts;
mod cli;
mod clients;
mod cluster_chart;
mod clusterctl;
mod clusters;
mod extension;
mod guide;
mod helm;
mod kill;
mod kube_rs;
mod nodes;
mod read;
mod restart;
mod rollout;
mod streams;
mod terminal;
mod verbs;
mod webhook;
mod world;
