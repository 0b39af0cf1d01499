//! The `apiary` command.

fn main() {}
