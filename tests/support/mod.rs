//! The servers that tests talk to: an S3 inside the process, a PostgreSQL beside it.

pub mod postgres;
pub mod s3;
