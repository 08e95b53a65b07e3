//! Encoding: rows become the bytes that a database reads.
//!
//! The format is PostgreSQL's binary COPY, described in its manual under `COPY`, "Binary Format".

mod binary;

pub(crate) use binary::{HEADER, RowWriter, Rows, TRAILER};
