//! Helm charts and Go templates to Kubernetes objects.
