//! The servers that tests talk to: an S3 inside the process, a PostgreSQL beside it, and a bad line to that.

pub mod postgres;
pub mod proxy;
pub mod s3;
