//! Patches of every kind, server-side apply included.
