//! Serves a directory from memory as the bucket `sparkify` of an S3 server, until it is interrupted:
//! `cargo run --release --example serve -- DIRECTORY`.
//!
//! It prints the URL to give to `--endpoint-url`; the directory of a `--source s3://sparkify` holds `song_data` and
//! `log_data`. Any benchmark should have its server in a process of its own.

#[path = "../tests/support/s3.rs"]
mod s3;

use std::path::PathBuf;

use s3::S3;

fn main() -> Result<(), &'static str> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).ok_or("name a directory")?;
    let server = S3::start();
    server.put_directory("sparkify", "", &directory);
    println!("{}", server.endpoint());
    loop {
        std::thread::park();
    }
}
