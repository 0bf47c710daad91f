//! pfnl's chores: demo, test, checks.

fn main() {}
