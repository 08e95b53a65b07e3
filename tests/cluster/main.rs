//! `sparkload cluster` against moto, which plays AWS: everything is made once, what failed half-way is completed, nothing
//! of another's is touched, and no password is shown.
//!
//! Nothing of this has met the real AWS.

#[path = "../support/clean.rs"]
mod clean;
mod create;
mod delete;
mod faults;
#[path = "../support/moto.rs"]
mod moto;
mod program;
mod rds;
#[path = "../support/serverless.rs"]
mod serverless;
mod workgroup;
