//! The servers that tests talk to: an S3 inside the process, a PostgreSQL beside it, a bad line and poolers to that, and a Redshift
//! over both.

pub mod clean;
pub mod pooler;
pub mod postgres;
pub mod proxy;
#[cfg(feature = "s3")]
pub mod redshift;
pub mod s3;
