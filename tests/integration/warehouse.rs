//! A warehouse to load: the stand-in for Redshift, the database behind it, and a bucket to stage in.

use std::path::Path;

use sparkload::{Config, CopyAccess, S3Credentials, S3Options, S3Stage, Source};

use crate::support::postgres::{self, Database, Postgres};
use crate::support::redshift::Redshift;
use crate::support::s3::{ACCESS_KEY, S3, SECRET_KEY};
use crate::tables::target;

/// The bucket of the stage.
pub const STAGE: &str = "stage";
pub const STAGE_LOCATION: &str = "s3://stage/loads";

pub struct Warehouse {
    pub redshift: Redshift,
    pub s3: S3,
}

impl Warehouse {
    pub fn start() -> Self {
        Self::over(postgres::server())
    }

    /// A warehouse over a server of its own, which can be stopped.
    pub fn over(server: &Postgres) -> Self {
        let s3 = S3::start_private();
        s3.create_bucket(STAGE);
        Self { redshift: Redshift::start(server.database(), &s3), s3 }
    }

    /// The tables, as PostgreSQL has them.
    pub fn database(&self) -> &Database {
        self.redshift.database()
    }

    pub fn stage(&self) -> S3Stage {
        stage_at(self.s3.endpoint())
    }

    /// The settings of loading `directory` by staged files.
    pub fn config(&self, directory: &Path) -> Config {
        Config { stage: Some(self.stage()), ..self.config_of_inserts(directory) }
    }

    /// The settings of loading `directory` by statements.
    pub fn config_of_inserts(&self, directory: &Path) -> Config {
        let source = Source::at(directory.to_str().unwrap()).unwrap();
        Config::new(source, target(&self.redshift.url()))
    }

    /// The keys of the files that are staged.
    pub fn staged(&self) -> Vec<String> {
        self.s3.objects(STAGE).into_keys().collect()
    }

    /// Sees to it that nothing is staged, not even in part.
    pub fn hold_empty(&self) {
        assert_eq!(self.staged(), [""; 0]);
        assert_eq!(self.s3.open_uploads(STAGE), 0, "uploads that are not complete");
    }
}

/// The stage in the S3 at `endpoint`.
pub fn stage_at(endpoint: String) -> S3Stage {
    let credentials = S3Credentials {
        access_key_id: ACCESS_KEY.to_owned(),
        secret_access_key: SECRET_KEY.to_owned().into(),
    };
    let s3 = S3Options {
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(endpoint),
        credentials: Some(credentials),
        ..S3Options::default()
    };
    let location = STAGE_LOCATION.parse().unwrap();
    S3Stage { location, s3, access: CopyAccess::Keys, keep: false }
}
