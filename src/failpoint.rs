//! The steps at which tests/failpoints ends a load.

/// Names a step of a load. Where the feature `failpoints` is on, a test may have it fail there; it is nothing in
/// other builds.
macro_rules! failpoint {
    ($step:literal) => {
        #[cfg(feature = "failpoints")]
        fail::fail_point!($step, |_| Err(crate::Error::target(concat!("failed at ", $step))));
    };
}
