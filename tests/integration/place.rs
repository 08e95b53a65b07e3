//! What a contract holds for: a server, or a warehouse by staged files or by statements.

use std::path::Path;
use std::process::{Command, Stdio};

use sparkload::{Config, Source, Target};
use tokio_postgres::{Client, NoTls};

use crate::support::clean::clean;
use crate::support::postgres::{self, Database};
use crate::support::s3::{ACCESS_KEY, SECRET_KEY};
use crate::tables::target;
use crate::warehouse::{STAGE_LOCATION, Warehouse};

pub enum Place {
    Postgres(Database),
    Staged(Warehouse),
    Inserted(Warehouse),
}

/// Makes a test of each function for a server, and one for a warehouse by staged files.
macro_rules! at_every_place {
    ($($test:ident),+ $(,)?) => {
        $crate::place::at! { on_postgres, postgres, $($test),+ }
        $crate::place::at! { on_redshift, staged, $($test),+ }
    };
}

/// Makes a test of each function for one kind of place, in a module of this name.
macro_rules! at {
    ($module:ident, $place:ident, $($test:ident),+) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::$test($crate::place::Place::$place()).await;
                }
            )+
        }
    };
}

pub(crate) use {at, at_every_place};

impl Place {
    pub fn postgres() -> Self {
        Self::Postgres(postgres::server().database())
    }

    pub fn staged() -> Self {
        Self::Staged(Warehouse::start())
    }

    pub fn inserted() -> Self {
        Self::Inserted(Warehouse::start())
    }

    /// The tables, as PostgreSQL has them.
    pub fn database(&self) -> &Database {
        match self {
            Self::Postgres(database) => database,
            Self::Staged(warehouse) | Self::Inserted(warehouse) => warehouse.database(),
        }
    }

    /// What is there of a warehouse.
    pub fn warehouse(&self) -> Option<&Warehouse> {
        match self {
            Self::Postgres(_) => None,
            Self::Staged(warehouse) | Self::Inserted(warehouse) => Some(warehouse),
        }
    }

    /// The fastest way in.
    pub fn url(&self) -> String {
        match self.warehouse() {
            None => self.database().socket_keywords(),
            Some(warehouse) => warehouse.redshift.url(),
        }
    }

    /// The same for another user, who is made.
    pub fn user(&self, name: &str) -> String {
        match self.warehouse() {
            None => {
                self.database().query(&format!("CREATE ROLE {name} LOGIN"));
                self.url().replace("user=sparkload", &format!("user={name}"))
            }
            Some(warehouse) => warehouse.redshift.user(name),
        }
    }

    pub fn target(&self) -> Target {
        target(&self.url())
    }

    /// The settings of loading `directory`.
    pub fn config(&self, directory: &Path) -> Config {
        match self {
            Self::Postgres(_) => {
                Config::new(Source::at(directory.to_str().unwrap()).unwrap(), self.target())
            }
            Self::Staged(warehouse) => warehouse.config(directory),
            Self::Inserted(warehouse) => warehouse.config_of_inserts(directory),
        }
    }

    /// The program, about to load `directory`.
    pub fn program(&self, directory: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sparkload"));
        clean(command.current_dir(directory), directory);
        command.arg("load").arg("--source").arg(directory).args(["--target", &self.url()]);
        if let Self::Staged(warehouse) = self {
            command.args(["--stage", STAGE_LOCATION, "--region", "us-east-1"]);
            command.args(["--endpoint-url", &warehouse.s3.endpoint()]);
            command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// A client of the target's, as an analyst has one.
    pub async fn connect(&self) -> Client {
        match self.warehouse() {
            None => self.database().connect().await,
            Some(warehouse) => {
                let (client, connection) =
                    tokio_postgres::connect(&warehouse.redshift.url(), NoTls).await.unwrap();
                tokio::spawn(connection);
                client
            }
        }
    }

    /// A client of whom no lock may keep rows for long.
    pub async fn reader(&self) -> Client {
        const LIMIT: &str = "lock_timeout = '200ms'";
        match self {
            Self::Postgres(database) => {
                let client = database.connect().await;
                client.batch_execute(&format!("SET {LIMIT}")).await.unwrap();
                client
            }
            // Redshift has no such setting; its database behind it has.
            Self::Staged(_) | Self::Inserted(_) => {
                let database = self.database();
                database.query(&format!("ALTER DATABASE {} SET {LIMIT}", database.name()));
                let client = self.connect().await;
                database.query(&format!("ALTER DATABASE {} RESET lock_timeout", database.name()));
                client
            }
        }
    }

    /// The statement that begins a transaction which sees one state.
    pub fn begin(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ",
            Self::Staged(_) | Self::Inserted(_) => "BEGIN",
        }
    }

    /// Sees to it that loads have left nothing behind: no schema of their own, no staged file.
    pub fn hold_empty(&self) {
        let left = "SELECT nspname FROM pg_namespace WHERE nspname LIKE '%\\_loading\\_%'";
        assert_eq!(self.database().query(left), [[None; 0]; 0]);
        if let Some(warehouse) = self.warehouse() {
            warehouse.hold_empty();
        }
    }
}
