//! Poolers between a client and a test's server: PgBouncer in each of its modes, and pgpool.

#![allow(dead_code, reason = "each test uses its own part of this")]

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use super::postgres::{Database, USER};

/// How long a pooler may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the pooler (its arguments) until standard input closes, which the test process's end does whatever ends it; then
/// ends it by the signal `$0`, and its folder (the current one) goes.
const WATCHDOG: &str = r#"
"$@" >output 2>&1 &
read -r _
kill "-$0" "$!"
wait "$!"
folder=$PWD
cd / && rm -rf "$folder"
"#;

/// A running pooler; dropped, it is gone.
pub struct Pooler {
    url: String,
    watchdog: Child,
}

impl Pooler {
    /// PgBouncer before `database` with these lines among its settings, such as `pool_mode = session`; says aloud that the
    /// test is skipped where the machine has none.
    pub fn pgbouncer(database: &Database, settings: &str) -> Option<Pooler> {
        let program = program("pgbouncer")?;
        let (server, name) = (database.server(), database.name());
        Some(Pooler::start(database, "TERM", |folder, port| {
            let (socket, server_port) = (server.socket_folder().display(), server.port());
            let users = format!("\"{USER}\" \"\"\n");
            fs::write(folder.join("users"), users).expect("a writable folder");
            let all = format!(
                "[databases]\n{name} = host={socket} port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                 listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = users\n{settings}\n"
            );
            fs::write(folder.join("pgbouncer.ini"), all).expect("a writable folder");
            vec![program.clone(), "pgbouncer.ini".into()]
        }))
    }

    /// pgpool before the server of `database`, for so many clients at once; says aloud that the test is skipped where the machine has none.
    pub fn pgpool(database: &Database, clients: usize) -> Option<Pooler> {
        let program = program("pgpool")?;
        let server = database.server();
        Some(Pooler::start(database, "QUIT", |folder, port| {
            let (socket, server_port) = (server.socket_folder().display(), server.port());
            let here = folder.display();
            let all = format!(
                "backend_clustering_mode = 'raw'\nlisten_addresses = '127.0.0.1'\nport = {port}\n\
                 unix_socket_directories = '{here}'\npcp_listen_addresses = ''\npcp_socket_dir = '{here}'\n\
                 backend_hostname0 = '{socket}'\nbackend_port0 = {server_port}\n\
                 num_init_children = {clients}\nreserved_connections = 0\n\
                 pid_file_name = '{here}/pid'\nlogdir = '{here}'\n"
            );
            for (name, text) in [
                ("pgpool.conf", &*all),
                ("pool_hba.conf", ""),
                ("pool_passwd", ""),
                ("pcp.conf", ""),
            ] {
                fs::write(folder.join(name), text).expect("a writable folder");
            }
            let options = ["-n", "-f", "pgpool.conf", "-a", "pool_hba.conf", "-F", "pcp.conf"];
            [program.clone()].into_iter().chain(options.map(PathBuf::from)).collect()
        }))
    }

    fn start(
        database: &Database,
        end: &str,
        prepare: impl Fn(&Path, u16) -> Vec<PathBuf>,
    ) -> Pooler {
        let owner = fs::metadata(database.server().socket_folder()).expect("the server's folder");
        let folder = tempfile::Builder::new().prefix("sparkload-pooler-").tempdir_in("/tmp");
        let folder = folder.expect("a temporary folder").keep();
        let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let port = free.expect("a free port").port();
        let command = prepare(&folder, port);
        let mut watchdog = Command::new("sh");
        watchdog
            .args(["-c", WATCHDOG, end])
            .args(command)
            .current_dir(&folder)
            // Ctrl-C is for the test process; the watchdog then sees it go.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // Neither pooler likes root, and the server's user may go through its socket.
        if fs::metadata(&folder).expect("the folder just made").uid() == 0 {
            let files = fs::read_dir(&folder).expect("our folder").flatten();
            for path in files.map(|file| file.path()).chain([folder.clone()]) {
                chown(path, Some(owner.uid()), Some(owner.gid()))
                    .expect("root may give files away");
            }
            watchdog.uid(owner.uid()).gid(owner.gid());
        }
        let watchdog = watchdog.spawn().expect("sh runs");
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if start.elapsed() > PATIENCE {
                let output = fs::read_to_string(folder.join("output")).unwrap_or_default();
                panic!("the pooler does not start:\n{output}");
            }
            thread::sleep(Duration::from_millis(10));
        }
        let url = format!("postgres://{USER}@127.0.0.1:{port}/{}", database.name());
        Pooler { url, watchdog }
    }

    /// A URL that leads through the pooler; no password is asked for.
    pub fn url(&self) -> String {
        self.url.clone()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// Where a program is: on the path, or where packages put what is for administrators.
fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"].map(PathBuf::from);
    let found = env::split_paths(&path).chain(usual).map(|folder| folder.join(name));
    let found = found.into_iter().find(|file| file.is_file());
    if found.is_none() {
        // Not by a macro: what those print is kept back when a test passes.
        let skipped =
            format!("SKIPPED: a test needs {name}, which `make test` installs where it can\n");
        std::io::stderr().write_all(skipped.as_bytes()).unwrap();
    }
    found
}
