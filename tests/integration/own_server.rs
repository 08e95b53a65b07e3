//! A server of a test's own, whose settings it changes while the server runs.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::postgres::{Database, Postgres};

pub struct OwnServer {
    pub server: Postgres,
    pub database: Database,
}

impl OwnServer {
    pub fn new(server: Postgres) -> Self {
        let database = server.database();
        Self { server, database }
    }

    /// Who is let in over TCP: lines of pg_hba.conf. The socket stays open.
    pub fn admit(&self, lines: &str) {
        self.write("data/pg_hba.conf", &format!("local all all trust\n{lines}\n"));
        self.reload();
    }

    /// Gives settings these values, and all others their first ones.
    pub fn set(&self, settings: &[(&str, &str)]) {
        self.database.query("ALTER SYSTEM RESET ALL");
        for (name, value) in settings {
            self.database.query(&format!("ALTER SYSTEM SET {name} = '{value}'"));
        }
        self.reload();
    }

    /// Replaces or makes a file in the server's folder, which it may read.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.server.socket_folder().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.server.socket_folder().join("log")).unwrap()
    }

    /// Has the server read its files again, and waits until it has.
    pub fn reload(&self) {
        let loaded = || self.database.query("SELECT pg_conf_load_time()");
        let before = loaded();
        self.database.query("SELECT pg_reload_conf()");
        let start = Instant::now();
        while loaded() == before {
            assert!(start.elapsed() < Duration::from_secs(60), "the server reloads nothing");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
