//! The rendezvous program.
fn main() {}
