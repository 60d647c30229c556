//! Nothing, but a reason for cargo to join the features of test-only dependencies too: `scripts/fuzz` names this example,
//! and so finds what `cargo test --workspace` has compiled.

fn main() {}
