//! The embedded PostgreSQL 17: a database in a directory, run by and for this process.
//!
//! It is pglite-oxide's: PostgreSQL compiled to WebAssembly, behind a socket, one connection at a time.
//! What that means, as measured with 0.5.1:
//!
//! - PostgreSQL runs without fsync (with it, it panics): a killed process loses nothing that was
//!   committed, a power cut may.
//! - It unpacks its runtime once for each user, 99 MB, into the platform's cache directory
//!   (`~/.cache/pglite-oxide`, `$XDG_CACHE_HOME/pglite-oxide`). A database's directory holds only
//!   what differs from the template there; a cache that was deleted is unpacked again.
//! - A client that goes away in the middle of an answer ends the engine's thread, hence [`Engine::connect`]
//!   starts it again when it finds nobody listening.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use pglite_oxide::PgliteServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls};

use super::lock::Patience;
use crate::error::{Error, Result};

const USER: &str = "postgres";
const DBNAME: &str = "postgres";

/// What marks a directory as one of these databases; pglite-oxide makes and locks it first.
const LOCK: &str = ".pglite-oxide.lock";

/// Who has it open, for the message to the second one.
const PID: &str = "sparkload.pid";

/// libpq's name for a socket, so that `psql -h ./sparkload.db` finds it.
#[cfg(unix)]
const SOCKET: &str = ".s.PGSQL.5432";

/// The shortest limit that a socket's path has on any Unix (macOS: 104 bytes with the final NUL).
#[cfg(unix)]
const SOCKET_PATH_MAX: usize = 103;

/// How long a new connection waits for the one before it to end: a dropped client's takes milliseconds.
const TURN: Duration = Duration::from_secs(10);

/// How long a drop waits for PostgreSQL to shut down; it takes 15 ms when it is idle.
const GOODBYE: Duration = Duration::from_secs(5);

/// A running embedded PostgreSQL.
///
/// Dropping it cuts an open connection (whose transaction is rolled back) and shuts PostgreSQL down.
pub(crate) struct Engine {
    path: PathBuf,
    running: Mutex<Option<PgliteServer>>,
    turn: Arc<Semaphore>,
    /// Our end of the open connection, to cut it by.
    line: Arc<Mutex<Option<Line>>>,
}

impl Engine {
    /// Opens the database in `path`, creating both when they are missing; waits up to `wait` until it is no more in
    /// use.
    ///
    /// # Errors
    ///
    /// The directory holds something else, is still in use by another process, or can't be written.
    pub(crate) async fn start(path: &Path, wait: Option<Duration>) -> Result<Self> {
        let path = path.to_owned();
        let mut patience = Patience::new(wait);
        let running = loop {
            match blocking(&path, start).await? {
                Some(running) => break running,
                None => patience.wait(in_use(&path)).await?,
            }
        };
        Ok(Self {
            path,
            running: Mutex::new(Some(running)),
            turn: Arc::new(Semaphore::new(1)),
            line: Arc::default(),
        })
    }

    /// Opens the one connection; it is free again when the client is dropped.
    ///
    /// # Errors
    ///
    /// The connection is still taken after ten seconds, or PostgreSQL doesn't start.
    pub(crate) async fn connect(&self) -> Result<Client> {
        let Ok(Ok(turn)) = timeout(TURN, Arc::clone(&self.turn).acquire_owned()).await else {
            return Err(Error::target(format!("{self} serves one connection, and that is taken"))
                .with_help("use one connection at a time with the embedded database"));
        };
        match self.dial().await {
            Ok((client, task)) => {
                self.serve(task, turn);
                return Ok(client);
            }
            Err(error) => tracing::debug!(%error, "starting the embedded PostgreSQL again"),
        }
        self.restart().await?;
        let (client, task) = self.dial().await.map_err(|error| {
            Error::target(format!("can't connect to {self}"))
                .because(error)
                .with_help("see what it says above; another directory makes a new database")
        })?;
        self.serve(task, turn);
        Ok(client)
    }

    async fn dial(&self) -> Result<(Client, Task), Box<dyn std::error::Error + Send + Sync>> {
        let endpoint = self.endpoint().ok_or("it is shut down")?;
        let line = endpoint.dial()?;
        *lock(&self.line) = Some(line.try_clone()?);
        Ok(match line {
            #[cfg(unix)]
            Line::Unix(line) => {
                line.set_nonblocking(true)?;
                log_in(tokio::net::UnixStream::from_std(line)?).await?
            }
            Line::Tcp(line) => {
                line.set_nonblocking(true)?;
                line.set_nodelay(true)?;
                log_in(tokio::net::TcpStream::from_std(line)?).await?
            }
        })
    }

    fn serve(&self, task: Task, turn: OwnedSemaphorePermit) {
        let line = Arc::clone(&self.line);
        tokio::spawn(async move {
            if let Err(error) = task.await {
                tracing::debug!(%error, "the connection to the embedded PostgreSQL ended");
            }
            if let Some(line) = lock(&line).take() {
                line.cut();
            }
            drop(turn);
        });
    }

    async fn restart(&self) -> Result<()> {
        let old = lock(&self.running).take();
        let new = blocking(&self.path, move |path| {
            drop(old);
            start(path)
        });
        let new = new.await?.ok_or_else(|| in_use(&self.path))?;
        *lock(&self.running) = Some(new);
        Ok(())
    }

    fn endpoint(&self) -> Option<Endpoint> {
        let running = lock(&self.running);
        let server = running.as_ref()?;
        #[cfg(unix)]
        if let Some(socket) = server.socket_path() {
            return Some(Endpoint::Unix(socket.to_owned()));
        }
        server.tcp_addr().map(Endpoint::Tcp)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(line) = lock(&self.line).take() {
            line.cut();
        }
        let Some(server) = lock(&self.running).take() else { return };
        let pid = self.path.join(PID);
        let (done, finished) = channel();
        // Its shutdown waits for whoever is connected, and someone else's psql may be.
        thread::spawn(move || {
            let _ = fs::remove_file(pid);
            if let Err(error) = server.shutdown() {
                tracing::debug!("the embedded PostgreSQL did not shut down cleanly: {error:#}");
            }
            let _ = done.send(());
        });
        if finished.recv_timeout(GOODBYE).is_err() {
            tracing::warn!(path = %self.path.display(), "the embedded PostgreSQL is still busy");
        }
    }
}

impl std::fmt::Display for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the embedded database {}", self.path.display())
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine({})", self.path.display())
    }
}

/// The future that moves a connection's bytes.
type Task = std::pin::Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

async fn log_in<S>(stream: S) -> Result<(Client, Task), tokio_postgres::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut config = Config::new();
    config.user(USER).dbname(DBNAME).application_name("sparkload");
    let (client, connection) = config.connect_raw(stream, NoTls).await?;
    Ok((client, Box::pin(connection)))
}

enum Endpoint {
    #[cfg(unix)]
    Unix(PathBuf),
    Tcp(SocketAddr),
}

enum Line {
    #[cfg(unix)]
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Endpoint {
    fn dial(&self) -> io::Result<Line> {
        match self {
            #[cfg(unix)]
            Self::Unix(path) => UnixStream::connect(path).map(Line::Unix),
            Self::Tcp(address) => TcpStream::connect(address).map(Line::Tcp),
        }
    }
}

impl Line {
    fn try_clone(&self) -> io::Result<Self> {
        match self {
            #[cfg(unix)]
            Self::Unix(line) => line.try_clone().map(Self::Unix),
            Self::Tcp(line) => line.try_clone().map(Self::Tcp),
        }
    }

    fn cut(&self) {
        // An error says that it is cut already.
        let _ = match self {
            #[cfg(unix)]
            Self::Unix(line) => line.shutdown(Shutdown::Both),
            Self::Tcp(line) => line.shutdown(Shutdown::Both),
        };
    }
}

async fn blocking(
    path: &Path,
    work: impl FnOnce(&Path) -> Result<Option<PgliteServer>> + Send + 'static,
) -> Result<Option<PgliteServer>> {
    let owned = path.to_owned();
    spawn_blocking(move || work(&owned)).await.unwrap_or_else(|panic| {
        Err(Error::target(format!("can't start the embedded database {}", path.display()))
            .because(panic))
    })
}

/// Starts the server, unless another process or another load of this one has the directory in use.
fn start(path: &Path) -> Result<Option<PgliteServer>> {
    let failed = || Error::target(format!("can't open the embedded database {}", path.display()));
    let directory = prepare(path).map_err(|error| {
        failed().because(error).with_help("name a directory that you may write to")
    })?;
    if holds_something_else(&directory) {
        return Err(failed()
            .because("the directory holds something else")
            .with_help("name a new or empty directory"));
    }

    let builder = PgliteServer::builder().path(&directory).username(USER).database(DBNAME);
    #[cfg(unix)]
    let builder = match socket_path(&directory, path) {
        Some(socket) => builder.unix(socket),
        None => builder.tcp((Ipv4Addr::LOCALHOST, 0).into()),
    };
    let server = match builder.start() {
        Ok(server) => server,
        Err(error) => {
            let text = format!("{error:#}");
            if text.contains("already in use") {
                return Ok(None);
            }
            return Err(failed().because(error).with_help(if text.contains("cache") {
                "let it write to your cache directory (~/.cache/pglite-oxide, about 100 MB)"
            } else {
                "see what it says above; another directory makes a new database"
            }));
        }
    };
    if let Err(error) = fs::write(directory.join(PID), std::process::id().to_string()) {
        tracing::debug!(%error, "nobody will know who has the embedded database open");
    }
    Ok(Some(server))
}

fn prepare(path: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(path)?;
    path.canonicalize()
}

fn holds_something_else(directory: &Path) -> bool {
    let empty = fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none());
    !empty && !directory.join(LOCK).exists()
}

/// The socket lies in the database's directory, or nowhere if no path to that is short enough.
#[cfg(unix)]
fn socket_path(canonical: &Path, given: &Path) -> Option<PathBuf> {
    let candidates = [canonical.join(SOCKET), given.join(SOCKET)];
    candidates.into_iter().find(|path| path.as_os_str().len() <= SOCKET_PATH_MAX)
}

fn in_use(path: &Path) -> Error {
    let place = path.display();
    let pid: Option<u32> = fs::read_to_string(path.join(PID)).ok().and_then(|pid| pid.parse().ok());
    let error = match pid {
        Some(pid) if pid == std::process::id() => {
            Error::target(format!("the embedded database {place} is already open in this process"))
        }
        Some(pid) => {
            Error::target(format!("the embedded database {place} is in use by process {pid}"))
        }
        None => Error::target(format!("the embedded database {place} is in use")),
    };
    error.with_help("wait until it is done, or use another directory or a PostgreSQL server")
}

/// A panic while one of these locks was held leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::{BufMut, Bytes, BytesMut};
    use futures::SinkExt;

    use super::*;

    async fn count(client: &Client) -> i64 {
        client.query_one("SELECT count(*) FROM plays", &[]).await.unwrap().get(0)
    }

    async fn copy_in(client: &Client, rows: u32) {
        let sink = client.copy_in::<_, Bytes>("COPY plays FROM STDIN BINARY").await.unwrap();
        let mut sink = std::pin::pin!(sink);
        let mut block = BytesMut::from(&b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"[..]);
        for row in 0..rows {
            block.put_i16(2);
            block.put_i32(4);
            block.put_u32(row);
            block.put_i32(100);
            block.put_bytes(b'x', 100);
            if block.len() > 1 << 16 {
                sink.send(block.split().freeze()).await.unwrap();
            }
        }
        block.put_i16(-1);
        sink.send(block.freeze()).await.unwrap();
        assert_eq!(sink.finish().await.unwrap(), u64::from(rows));
    }

    #[tokio::test]
    async fn what_was_committed_is_there_after_closing_and_opening_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sparkload.db");

        let engine = Engine::start(&path, None).await.unwrap();
        let client = engine.connect().await.unwrap();
        client.batch_execute("CREATE TABLE plays (id int, text text)").await.unwrap();
        copy_in(&client, 100_000).await;
        drop(client);
        let client = engine.connect().await.unwrap();
        assert_eq!(count(&client).await, 100_000, "after connecting again");
        drop((client, engine));

        let engine = Engine::start(&path, None).await.unwrap();
        assert_eq!(count(&engine.connect().await.unwrap()).await, 100_000, "after opening again");
    }

    #[tokio::test]
    async fn a_drop_never_waits_for_the_client_and_rolls_its_work_back() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::start(directory.path(), None).await.unwrap();
        let client = engine.connect().await.unwrap();
        client.batch_execute("CREATE TABLE plays (id int, text text)").await.unwrap();
        client.batch_execute("BEGIN").await.unwrap();
        copy_in(&client, 10).await;

        let start = Instant::now();
        drop(engine);
        assert!(start.elapsed() < GOODBYE, "{:?}", start.elapsed());
        assert!(client.batch_execute("COMMIT").await.is_err());

        let engine = Engine::start(directory.path(), None).await.unwrap();
        assert_eq!(count(&engine.connect().await.unwrap()).await, 0);
    }

    #[tokio::test]
    async fn it_starts_again_after_a_client_broke_off() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::start(directory.path(), None).await.unwrap();
        let client = engine.connect().await.unwrap();
        client.batch_execute("CREATE TABLE plays (id int, text text)").await.unwrap();
        copy_in(&client, 10).await;
        // Cut while PostgreSQL is writing an answer that nobody reads any more.
        let flood = client.simple_query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)");
        let _ = timeout(Duration::from_millis(100), flood).await;
        if let Some(line) = lock(&engine.line).take() {
            line.cut();
        }
        drop(client);
        assert_eq!(count(&engine.connect().await.unwrap()).await, 10);
    }

    #[tokio::test]
    async fn a_copy_that_is_given_up_leaves_nothing() {
        const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::start(directory.path(), None).await.unwrap();
        let client = engine.connect().await.unwrap();
        client.batch_execute("CREATE TABLE plays (id int, text text)").await.unwrap();
        for _ in 0..2 {
            let sink = client.copy_in("COPY plays FROM STDIN BINARY").await.unwrap();
            Box::pin(sink).send(Bytes::from_static(HEADER)).await.unwrap();
        }
        assert_eq!(count(&client).await, 0, "on the same connection");
        let sink = client.copy_in("COPY plays FROM STDIN BINARY").await.unwrap();
        let mut sink = Box::pin(sink);
        sink.send(Bytes::from_static(HEADER)).await.unwrap();
        drop((client, sink));
        assert_eq!(count(&engine.connect().await.unwrap()).await, 0, "on the next");
    }

    #[tokio::test]
    async fn a_second_opener_is_told_who_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::start(directory.path(), None).await.unwrap();
        let error = Engine::start(directory.path(), None).await.unwrap_err();
        let path = directory.path().display();
        assert_eq!(
            error.to_string(),
            format!("the embedded database {path} is already open in this process")
        );
        drop(engine);
        Engine::start(directory.path(), None).await.unwrap();
    }

    #[tokio::test]
    async fn a_directory_of_something_else_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("thesis.txt"), "").unwrap();
        let error = Engine::start(directory.path(), None).await.unwrap_err();
        assert_eq!(error.help(), Some("name a new or empty directory"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_long_path_gets_its_socket_by_the_shorter_name_or_none() {
        let (long, short) = ("/x".repeat(60), "./sparkload.db");
        let found = |canonical: &str, given: &str| {
            socket_path(Path::new(canonical), Path::new(given)).map(|it| it.display().to_string())
        };
        assert_eq!(found("/a", "a").as_deref(), Some("/a/.s.PGSQL.5432"));
        assert_eq!(found(&long, short).as_deref(), Some("./sparkload.db/.s.PGSQL.5432"));
        assert_eq!(found(&long, &long), None);
    }
}
