//! A private PostgreSQL server for tests: initialised in a temporary folder, gone with the process.
//!
//! [`server`] is shared by all tests of a binary, and each test makes a [`Database`] of its own in
//! it. [`Postgres::start_tls`] starts a second server, which takes TCP connections by TLS only.
//!
//! Nothing here needs an async runtime, so tests of the binary and of the library use it alike.

#![allow(dead_code, reason = "each test, bench and example uses its own part of this")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// The superuser: trusted on the socket, asked for [`PASSWORD`] (SCRAM) over TCP.
pub const USER: &str = "sparkload";
/// A password that has to be escaped wherever passwords are written.
pub const PASSWORD: &str = "s3cret p@ss/w%rd'\\";
/// [`PASSWORD`] as it stands in a URL.
pub const PASSWORD_IN_URL: &str = "s3cret%20p%40ss%2Fw%25rd%27%5C";

/// How long a server may take to start; a busy machine needs a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the server (its arguments), again for each line on standard input once it has stopped. When standard input
/// closes, which the test process's end does whatever ends it, the server and its folder (the current one) go.
const WATCHDOG: &str = r#"
"$@" >log 2>&1 &
while read -r _; do
    wait "$!"
    "$@" >>log 2>&1 &
done
kill -QUIT "$!"
wait "$!"
folder=$PWD
cd / && rm -rf "$folder"
"#;

/// How a server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Ends its clients' sessions and writes everything to disk.
    Fast,
    /// As if it had crashed.
    Immediate,
}

/// The server that the tests of this binary share; the first call starts it.
///
/// # Panics
/// When the machine has no PostgreSQL server, or it does not start.
pub fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(Postgres::start)
}

/// A running server. It stops, and its files go, with the last handle to it (databases are
/// handles too) or with the process.
#[derive(Clone)]
pub struct Postgres(Arc<Running>);

struct Running {
    folder: PathBuf,
    port: u16,
    watchdog: Child,
}

impl Postgres {
    /// Starts a server without TLS.
    pub fn start() -> Postgres {
        Postgres::start_with(Transport::Plain)
    }

    /// Starts a server that takes TCP connections by TLS only. Its certificate is for the name
    /// `localhost` alone and signed by the authority in [`Postgres::ca_file`], so `127.0.0.1` is
    /// good for `verify-ca` and wrong for `verify-full`.
    pub fn start_tls() -> Postgres {
        Postgres::start_with(Transport::Tls)
    }

    fn start_with(transport: Transport) -> Postgres {
        let bin = binaries().unwrap_or_else(|| {
            panic!(
                "no PostgreSQL server on this machine: run `make test`, which installs one, \
                 or set SPARKLOAD_TEST_PG_BIN to the folder that holds initdb and postgres"
            )
        });
        // Another program can take the free port before the server does: hence a few tries.
        let mut log = String::new();
        for _ in 0..3 {
            let folder = Folder::new();
            folder.initialise(&bin, transport);
            match folder.run(&bin) {
                Ok(running) => return Postgres(Arc::new(running)),
                Err(error) => log = error,
            }
        }
        panic!("the PostgreSQL server does not start:\n{log}");
    }

    /// Creates an empty database that no other test uses.
    pub fn database(&self) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        query(self.keywords("postgres"), format!("CREATE DATABASE {name} TEMPLATE template0"));
        Database { server: self.clone(), name }
    }

    /// Stops the server, and waits until it is gone.
    pub fn stop(&self, how: Stop) {
        self.0.signal(match how {
            Stop::Fast => "-INT",
            Stop::Immediate => "-QUIT",
        });
        let file = self.0.folder.join("data/postmaster.pid");
        let start = Instant::now();
        while file.exists() {
            if start.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.0.folder.join("log")).unwrap_or_default();
                panic!("the server does not stop ({how:?}):\n{log}");
            }
            thread::sleep(Duration::from_millis(5));
            // On some machines a server that is stopped hard now and then misses that its last child has gone.
            if file.exists() && start.elapsed() > Duration::from_secs(1) {
                self.0.signal("-CHLD");
                thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// Starts the server again after [`Postgres::stop`], and waits until it takes connections.
    pub fn restart(&self) {
        let mut watchdog = self.0.watchdog.stdin.as_ref().expect("it is open until the end");
        watchdog.write_all(b"\n").expect("the watchdog listens");
        let start = Instant::now();
        while !self.0.is_ready() {
            assert!(start.elapsed() < PATIENCE, "the server does not start again");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets the server take no more connections, or take them again: who connects meanwhile gets no answer.
    pub fn pause(&self, paused: bool) {
        self.0.signal(if paused { "-STOP" } else { "-CONT" });
    }

    /// The TCP port, on 127.0.0.1 only.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The folder that holds the Unix socket.
    pub fn socket_folder(&self) -> &Path {
        &self.0.folder
    }

    /// The authority that signed the certificate of [`Postgres::start_tls`]'s server (PEM).
    pub fn ca_file(&self) -> PathBuf {
        self.0.folder.join("ca.pem")
    }

    /// An authority that signed nothing of this server's (PEM).
    pub fn other_ca_file(&self) -> PathBuf {
        self.0.folder.join("other-ca.pem")
    }

    fn keywords(&self, database: &str) -> String {
        let folder = self.0.folder.display();
        format!("host={folder} port={} user={USER} dbname={database}", self.0.port)
    }
}

impl Running {
    /// Signals the server, if it runs.
    fn signal(&self, signal: &str) {
        let state = fs::read_to_string(self.folder.join("data/postmaster.pid"));
        if let Some(process) = state.unwrap_or_default().lines().next() {
            let kill = Command::new("kill").args([signal, process]).stderr(Stdio::null()).status();
            kill.expect("there is a kill");
        }
    }

    fn is_ready(&self) -> bool {
        let state = fs::read_to_string(self.folder.join("data/postmaster.pid"));
        let ready = |line: &str| ["ready", "standby"].contains(&line.trim());
        state.is_ok_and(|text| text.lines().nth(7).is_some_and(ready))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// A test's own database; dropping it drops the database, whoever is still connected.
pub struct Database {
    server: Postgres,
    name: String,
}

impl Database {
    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server it is in.
    pub fn server(&self) -> &Postgres {
        &self.server
    }

    /// A URL over TCP, by address, with user and password.
    pub fn url(&self) -> String {
        self.url_at("127.0.0.1")
    }

    /// The same with another name for this machine, such as `localhost`.
    pub fn url_at(&self, host: &str) -> String {
        let Database { server, name } = self;
        format!("postgresql://{USER}:{PASSWORD_IN_URL}@{host}:{}/{name}", server.port())
    }

    /// libpq keywords over the Unix socket; no password is needed.
    pub fn socket_keywords(&self) -> String {
        self.server.keywords(&self.name)
    }

    /// Connects over the Unix socket, on the runtime of the caller.
    pub async fn connect(&self) -> Client {
        let (client, connection) =
            tokio_postgres::connect(&self.socket_keywords(), NoTls).await.expect("a connection");
        tokio::spawn(connection);
        client
    }

    /// Runs any number of statements and gives the rows they return, each value as PostgreSQL
    /// writes it in text.
    ///
    /// # Panics
    /// When PostgreSQL refuses a statement.
    pub fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        query(self.socket_keywords(), sql.to_owned())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Database { server, name } = self;
        // PostgreSQL 12 has no DROP DATABASE … WITH (FORCE).
        let disconnect = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        );
        for sql in [disconnect, format!("DROP DATABASE {name}")] {
            let _ = try_query(server.keywords("postgres"), sql);
        }
    }
}

fn query(keywords: String, sql: String) -> Vec<Vec<Option<String>>> {
    try_query(keywords, sql).unwrap_or_else(|error| panic!("{error:?}"))
}

/// Queries from a thread of its own, since the caller's may belong to a runtime.
fn try_query(
    keywords: String,
    sql: String,
) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
    let run = async move || {
        let (client, connection) = tokio_postgres::connect(&keywords, NoTls).await?;
        let connection = tokio::spawn(connection);
        let messages = client.simple_query(&sql).await?;
        drop(client);
        let _ = connection.await;
        let mut rows = Vec::new();
        for message in messages {
            if let SimpleQueryMessage::Row(row) = message {
                rows.push((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect());
            }
        }
        Ok(rows)
    };
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    thread::spawn(move || runtime().block_on(run())).join().expect("the query's thread")
}

/// How a server takes TCP connections.
#[derive(Clone, Copy)]
enum Transport {
    Plain,
    Tls,
}

/// A new server's folder: `data` inside, beside it the socket, the log and the certificates.
struct Folder {
    path: PathBuf,
    owner: Option<Owner>,
}

impl Folder {
    fn new() -> Folder {
        let new = |parent: &Path| {
            let prefix = "sparkload-postgres-";
            let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(parent);
            folder.expect("a temporary folder").keep()
        };
        let path = new(&env::temp_dir());
        if fs::metadata(&path).expect("the folder just made").uid() != 0 {
            return Folder { path, owner: None };
        }
        // PostgreSQL does not run as root, and root's own TMPDIR may be closed to other users.
        fs::remove_dir(&path).expect("an empty folder");
        let folder = Folder { path: new(Path::new("/tmp")), owner: Some(Owner::find()) };
        folder.give(&folder.path);
        folder
    }

    /// Makes the database cluster and its settings.
    fn initialise(&self, bin: &Path, transport: Transport) {
        let data = self.path.join("data");
        self.write("password", PASSWORD);
        let output = self
            .command(bin.join("initdb"))
            .args(["--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile=password"])
            .args(["--encoding=UTF8", "--locale=C", "--no-sync", "-U", USER, "-D", "data"])
            .output()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", bin.display()));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "initdb failed:\n{text}");

        let mut settings = fs::read_to_string(data.join("postgresql.conf")).unwrap();
        // Nothing here has to survive a crash. The time zone is one that shows a mistake: a
        // load's timestamps are UTC whatever the server's own zone is (this one, eight hours
        // west, is written so that it needs no zone files).
        settings.push_str(
            "listen_addresses = '127.0.0.1'\n\
             max_connections = 100\n\
             fsync = off\n\
             full_page_writes = off\n\
             synchronous_commit = off\n\
             timezone = '<-08>+8'\n",
        );
        let tcp = match transport {
            Transport::Plain => "host",
            Transport::Tls => {
                self.write_certificates();
                settings.push_str("ssl = on\n");
                for (name, file) in [("cert", "server.pem"), ("key", "server.key")] {
                    writeln!(settings, "ssl_{name}_file = '{}'", self.path.join(file).display())
                        .unwrap();
                }
                "hostssl"
            }
        };
        self.write("data/postgresql.conf", &settings);
        let access = format!("local all all trust\n{tcp} all all 127.0.0.1/32 scram-sha-256\n");
        self.write("data/pg_hba.conf", &access);
    }

    /// Starts the server and waits until it takes connections.
    ///
    /// # Errors
    /// The server's log, when it does not start.
    fn run(self, bin: &Path) -> Result<Running, String> {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let port = free.expect("a free port").port();
        let mut watchdog = self.command("sh");
        watchdog
            .args(["-c", WATCHDOG, "sh"])
            .arg(bin.join("postgres"))
            .args(["-D", "data", "-p", &port.to_string(), "-k"])
            .arg(&self.path)
            // Ctrl-C is for the test process; the watchdog then sees it go.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let watchdog = watchdog.spawn().expect("sh runs");
        let running = Running { folder: self.path, port, watchdog };

        let start = Instant::now();
        loop {
            if running.is_ready() {
                return Ok(running);
            }
            let log = fs::read_to_string(running.folder.join("log")).unwrap_or_default();
            if log.contains("FATAL") || start.elapsed() > PATIENCE {
                return Err(log);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// A command that runs in the folder, as its owner.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.path).stdin(Stdio::null());
        // PGDATA, PGOPTIONS and the like are about its user's servers.
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        if let Some(Owner { uid, gid }) = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Writes a file that only the server's user can read, as it demands of its key.
    fn write(&self, name: &str, text: &str) {
        let path = self.path.join(name);
        fs::write(&path, text).expect("a writable folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our file");
        self.give(&path);
    }

    fn give(&self, path: &Path) {
        if let Some(Owner { uid, gid }) = self.owner {
            chown(path, Some(uid), Some(gid)).expect("root may give files away");
        }
    }

    fn write_certificates(&self) {
        let (authority, issuer) = authority("sparkload tests");
        let key = rcgen::KeyPair::generate().unwrap();
        let name = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = name.signed_by(&key, &issuer).unwrap();
        self.write("server.pem", &certificate.pem());
        self.write("server.key", &key.serialize_pem());
        self.write("ca.pem", &authority.pem());
        self.write("other-ca.pem", &self::authority("somebody else").0.pem());
    }
}

fn authority(name: &str) -> (rcgen::Certificate, rcgen::Issuer<'static, rcgen::KeyPair>) {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let key = rcgen::KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap(), rcgen::Issuer::new(params, key))
}

/// The user that runs the server where the tests run as root.
#[derive(Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    fn find() -> Owner {
        let id = |flag, user| {
            let output = Command::new("id").args([flag, user]).stderr(Stdio::null()).output();
            String::from_utf8(output.ok()?.stdout).ok()?.trim().parse().ok()
        };
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|user| Some(Owner { uid: id("-u", user)?, gid: id("-g", user)? }))
            .expect("PostgreSQL does not run as root, and there is neither postgres nor nobody")
    }
}

/// The folder of `initdb` and `postgres`: where the environment says, on the path, or where the
/// systems' packages put it (tests/postgres.sh knows the same places).
fn binaries() -> Option<PathBuf> {
    if let Some(folder) = env::var_os("SPARKLOAD_TEST_PG_BIN") {
        return Some(folder.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let packaged = [
        ("/usr/lib/postgresql", "", "bin"), // Debian, Ubuntu
        ("/usr", "pgsql-", "bin"),          // PGDG's packages for Red Hat's systems
        ("/usr/libexec", "postgresql", ""), // Alpine
        ("/usr/local", "pgsql", "bin"),     // from source
        ("/opt/homebrew/opt", "postgresql@", "bin"),
        ("/usr/local/opt", "postgresql@", "bin"),
    ];
    let packaged = packaged.iter().flat_map(|(parent, name, bin)| newest_first(parent, name, bin));
    env::split_paths(&path)
        .chain(packaged)
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

/// `parent/name<version>/bin` for each version there is.
fn newest_first(parent: &str, name: &str, bin: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let folder = entry.file_name();
        if let Some(version) = folder.to_str().and_then(|folder| folder.strip_prefix(name)) {
            let version = version.split('.').next().and_then(|it| it.parse().ok()).unwrap_or(0);
            found.push((version, entry.path().join(bin)));
        }
    }
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, folder)| folder).collect()
}
