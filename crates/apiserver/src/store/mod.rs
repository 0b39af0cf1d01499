//! The log of record and the in-memory state that lists and watches are served from.
