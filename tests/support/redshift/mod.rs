//! A stand-in for Amazon Redshift: its protocol, its SQL and its COPY, in front of a PostgreSQL database.
//!
//! It answers as Redshift does as far as that is documented or reported, and refuses whatever it has not been taught, so
//! that no client can come to rely on what Redshift has not. Transactions, temporary tables and locks are PostgreSQL's own:
//! each client has a connection to it. [`Fault`] makes things go wrong.
//!
//! Like the S3 server it runs on threads of its own.

#![allow(dead_code, reason = "each test uses its own part of this")]

mod alter;
mod answer;
mod attributes;
mod calls;
mod columns;
mod compare;
mod copies;
mod copy;
mod create;
mod error;
mod expr;
mod faults;
mod functions;
mod login;
mod query;
mod relations;
mod session;
mod settings;
mod sql;
mod tokens;
mod wire;
mod words;
mod writes;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio_postgres::CancelToken;

pub use self::faults::Fault;
use self::faults::Faults;
use self::settings::Settings;
use super::postgres::{Database, PASSWORD_IN_URL, USER};
use super::s3::S3;

/// What Redshift has in its own schemas.
const CATALOG: &str = include_str!("catalog.sql");
/// How many slices a warehouse has unless a test says otherwise: two nodes of two.
const SLICES: u32 = 4;
/// Threads that serve.
const THREADS: usize = 2;

/// A running warehouse; dropping it stops the server and drops the database behind it.
pub struct Redshift {
    shared: Arc<Shared>,
    port: u16,
    runtime: Option<tokio::runtime::Runtime>,
    database: Database,
}

impl Redshift {
    /// Starts a provisioned cluster over an empty database; its COPYs read from `s3`.
    pub fn start(database: Database, s3: &S3) -> Redshift {
        database.query(CATALOG);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a non-blocking listener");
        let port = listener.local_addr().expect("a bound address").port();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("redshift")
            .enable_all()
            .build()
            .expect("a runtime");
        let shared = Arc::new(Shared {
            keywords: database.socket_keywords(),
            name: database.name().to_owned(),
            endpoint: s3.endpoint(),
            settings: Mutex::default(),
            faults: Faults::default(),
            statements: Mutex::default(),
            queries: AtomicI64::new(100),
            sessions: Mutex::default(),
        });
        runtime.spawn(accept(listener, shared.clone()));
        let redshift = Redshift { shared, port, runtime: Some(runtime), database };
        redshift.set_slices(SLICES);
        redshift
    }

    /// A URL with user and password.
    pub fn url(&self) -> String {
        let name = self.database.name();
        let at = format!("127.0.0.1:{}", self.port);
        format!("postgresql://{USER}:{PASSWORD_IN_URL}@{at}/{name}?sslmode=disable")
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The PostgreSQL behind, to look at tables directly.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Makes a user who is no superuser; gives a URL with user and password.
    pub fn user(&self, name: &str) -> String {
        self.database.query(&format!("CREATE ROLE {name} LOGIN"));
        self.set(|it| it.users.push(name.to_owned()));
        self.url().replace(&format!("//{USER}:"), &format!("//{name}:"))
    }

    /// Lets COPYs read in the name of this IAM role.
    pub fn role(&self, arn: &str) {
        self.set(|it| it.roles.push(arn.to_owned()));
    }

    /// The same, and `IAM_ROLE default` means this role.
    pub fn default_role(&self, arn: &str) {
        self.role(arn);
        self.set(|it| it.default_role = Some(arn.to_owned()));
    }

    /// Says that a bucket is in another region than the warehouse, which is in us-east-1.
    pub fn bucket_region(&self, bucket: &str, region: &str) {
        self.set(|it| {
            it.regions.insert(bucket.to_owned(), region.to_owned());
        });
    }

    /// Is Redshift Serverless from now on: STL and STV tables are closed.
    pub fn serverless(&self) {
        self.set(|it| it.serverless = true);
    }

    /// Takes capitals and small letters for the same from now on.
    pub fn case_insensitive(&self) {
        self.set(|it| it.case_insensitive = true);
    }

    /// Tells no more how many rows INSERT, UPDATE and DELETE changed.
    pub fn without_counts(&self) {
        self.set(|it| it.counts = false);
    }

    /// Has so many slices from now on, two a node.
    pub fn set_slices(&self, slices: u32) {
        self.database.query(&format!(
            "TRUNCATE redshift_stand_in.stv_slices; INSERT INTO redshift_stand_in.stv_slices \
             SELECT it / 2, it, it % 2, 'D' FROM generate_series(0, {slices} - 1) it"
        ));
    }

    /// Lets something go wrong, with whoever comes first.
    pub fn fail_next(&self, fault: Fault) {
        self.shared.faults.add(fault);
    }

    /// How many faults have not happened yet.
    pub fn pending_faults(&self) -> usize {
        self.shared.faults.pending()
    }

    /// Every statement that came, refused ones too, in the order of their arrival.
    pub fn statements(&self) -> Vec<String> {
        self.shared.statements.lock().unwrap().clone()
    }

    /// Forgets the statements that came.
    pub fn clear_statements(&self) {
        self.shared.statements.lock().unwrap().clear();
    }

    fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared.settings.lock().unwrap());
    }
}

impl Drop for Redshift {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What the handle and all sessions share.
pub struct Shared {
    /// How to connect to PostgreSQL.
    keywords: String,
    name: String,
    /// S3's.
    endpoint: String,
    settings: Mutex<Settings>,
    faults: Faults,
    statements: Mutex<Vec<String>>,
    /// The number of the last query.
    queries: AtomicI64,
    /// What cancels a session's query, with its secret, by its process.
    sessions: Mutex<HashMap<i32, (i32, CancelToken)>>,
}

impl Shared {
    fn settings(&self) -> Settings {
        self.settings.lock().unwrap().clone()
    }

    fn record(&self, statement: &str) {
        self.statements.lock().unwrap().push(statement.to_owned());
    }

    fn next_query(&self) -> i64 {
        self.queries.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn enter(&self, process: i32, secret: i32, token: CancelToken) {
        self.sessions.lock().unwrap().insert(process, (secret, token));
    }

    fn leave(&self, process: i32) {
        self.sessions.lock().unwrap().remove(&process);
    }

    fn cancel(&self, process: i32, secret: Option<i32>) -> Option<CancelToken> {
        let sessions = self.sessions.lock().unwrap();
        let (known, token) = sessions.get(&process)?;
        (Some(*known) == secret).then(|| token.clone())
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            if shared.faults.digest() {
                let _ = login::demand_digest(stream).await;
                return;
            }
            let hang_up = Arc::new(Notify::new());
            let handler = wire::Handler::new(shared, hang_up.clone());
            tokio::select! {
                _ = pgwire::tokio::process_socket(stream, None, handler) => {}
                () = hang_up.notified() => {}
            }
        });
    }
}
