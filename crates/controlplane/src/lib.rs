//! An embedded Kubernetes: the API server with the built-in controllers, a scheduler, a signer and simulated nodes.
