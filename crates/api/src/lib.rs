//! The platform's kinds: types, conditions, labels, defaulting and validation.
