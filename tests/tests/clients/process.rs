//! x
use pfnl_tests::runner::Test;
pub const TESTS: &[Test] = &[];
