//! `sparkload cluster`: makes a Redshift cluster to load into, shows it, and removes it.

mod create;
mod delete;
mod password_file;
pub mod settings;
mod settings_file;
mod status;

use std::process::ExitCode;

use self::settings::Job;
use super::failure::Failure;

pub async fn run(job: Job) -> Result<ExitCode, Failure> {
    match job {
        Job::Create(job) => create::run(*job).await,
        Job::Status(job) => status::run(*job).await,
        Job::Delete(job) => delete::run(*job).await,
    }
}
