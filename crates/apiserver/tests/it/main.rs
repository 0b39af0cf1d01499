//! The API server as its clients see it: requests over the in-process transport, answers as they are on the wire.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod aggregation;
mod audit;
mod authorization;
mod connect;
mod conversion;
mod custom;
mod doors;
mod evict;
mod extension;
mod flow;
mod fuzz;
mod hook;
mod hostile;
mod http_surface;
mod in_process;
mod isolation;
mod limits;
mod oidc;
mod policies;
mod protobuf;
mod quota;
mod replay;
mod restart;
mod rules;
mod sessions;
mod spdy;
mod streams;
mod stress;
mod watch;
mod webhook_calls;
mod webhooks;
mod wire;
mod world;
mod write;
