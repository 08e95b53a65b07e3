//! A bad line to a server: a TCP proxy that cuts connections where a test wants it.

#![allow(dead_code, reason = "each test uses its own part of this")]

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::postgres::{Database, USER};
#[cfg(feature = "s3")]
use super::redshift::Redshift;

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// When so many bytes have gone to the server.
    Sent(usize),
    /// When so many bytes have come from the server.
    Received(usize),
    /// When the server has been told the n-th COMMIT of all, counted from 1; its answer is lost.
    Commit(usize),
}

/// How a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Both sides are told in the ordinary way.
    Fin,
    /// Both sides are told by a reset.
    Reset,
    /// The client is told by a reset, the server is told nothing.
    HalfOpen,
    /// Both sides are told nothing, and nothing goes through any more.
    Silent,
}

/// One cut.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// The connection, counted from 0; `None` takes whichever gets there first.
    pub connection: Option<usize>,
    pub at: At,
    pub how: How,
}

/// A running proxy; dropped, it closes everything.
pub struct Proxy {
    url: String,
    shared: Arc<Mutex<Shared>>,
    accept: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    cuts: Vec<Cut>,
    made: usize,
    commits: usize,
    /// How many connections there were before the cuts were named.
    before: usize,
    /// Bytes to and from the server, by connection.
    traffic: Vec<(usize, usize)>,
    /// The ends of connections that were told nothing.
    held: Vec<Box<dyn Line>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy to `database`, which lets everyone in; runs on the runtime of the caller.
    pub async fn to(database: &Database) -> Proxy {
        let server = database.server();
        let socket = server.socket_folder().join(format!(".s.PGSQL.{}", server.port()));
        let url = |port| format!("postgres://{USER}@127.0.0.1:{port}/{}", database.name());
        Proxy::start(Server::Socket(socket), url).await
    }

    /// A proxy to a warehouse, which asks for a password.
    #[cfg(feature = "s3")]
    pub async fn to_redshift(redshift: &Redshift) -> Proxy {
        let there = format!(":{}/", redshift.port());
        let url = |port| redshift.url().replace(&there, &format!(":{port}/"));
        Proxy::start(Server::Port(redshift.port()), url).await
    }

    async fn start(server: Server, url: impl Fn(u16) -> String) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let shared = Arc::<Mutex<Shared>>::default();
        let accept = tokio::spawn(accept(listener, server, shared.clone()));
        Proxy { url: url(port), shared, accept }
    }

    /// A URL that leads through the proxy.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// From now on makes these cuts, each once, and counts connections, commits and bytes anew.
    pub fn cut(&self, cuts: &[Cut]) {
        let mut shared = self.shared.lock().unwrap();
        let Shared { traffic, tasks, .. } = std::mem::take(&mut *shared);
        tasks.iter().for_each(JoinHandle::abort);
        shared.cuts = cuts.to_vec();
        // One that is about to end may still count.
        (shared.before, shared.traffic) = (traffic.len(), traffic);
    }

    /// How many cuts were made.
    pub fn made(&self) -> usize {
        self.shared.lock().unwrap().made
    }

    /// How many COMMITs there were.
    pub fn commits(&self) -> usize {
        self.shared.lock().unwrap().commits
    }

    /// How many bytes went to the server and came from it, by connection.
    pub fn traffic(&self) -> Vec<(usize, usize)> {
        let shared = self.shared.lock().unwrap();
        shared.traffic[shared.before..].to_vec()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accept.abort();
        self.cut(&[]);
    }
}

/// Where the server listens.
enum Server {
    Socket(PathBuf),
    Port(u16),
}

impl Server {
    async fn connect(&self) -> io::Result<Box<dyn Line>> {
        Ok(match self {
            Server::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Server::Port(port) => Box::new(TcpStream::connect(("127.0.0.1", *port)).await?),
        })
    }
}

/// A connection to a server.
trait Line: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

async fn accept(listener: TcpListener, server: Server, shared: Arc<Mutex<Shared>>) {
    while let Ok((client, _)) = listener.accept().await {
        let number = {
            let mut shared = shared.lock().unwrap();
            shared.traffic.push((0, 0));
            shared.traffic.len() - 1
        };
        // A server that is down refuses: so does the proxy, by closing.
        let Ok(server) = server.connect().await else { continue };
        let task = tokio::spawn(serve(number, client, server, shared.clone()));
        shared.lock().unwrap().tasks.push(task);
    }
}

/// Moves bytes until one side closes or a cut is due.
async fn serve(
    number: usize,
    mut client: TcpStream,
    mut server: Box<dyn Line>,
    shared: Arc<Mutex<Shared>>,
) {
    let _ = client.set_nodelay(true);
    let (mut to, mut from) = ([0; 8192], [0; 8192]);
    let cut = loop {
        let moved: io::Result<Option<How>> = async {
            tokio::select! {
                read = client.read(&mut to) => {
                    let bytes = &to[..some(read?)?];
                    let (pass, cut, commit) = shared.lock().unwrap().sent(number, bytes);
                    server.write_all(&bytes[..pass]).await?;
                    if commit && cut.is_some() {
                        // Time to commit.
                        sleep(Duration::from_millis(20)).await;
                    }
                    Ok(cut)
                }
                read = server.read(&mut from) => {
                    let bytes = &from[..some(read?)?];
                    let (pass, cut) = shared.lock().unwrap().received(number, bytes.len());
                    client.write_all(&bytes[..pass]).await?;
                    Ok(cut)
                }
            }
        }
        .await;
        match moved {
            Ok(None) => {}
            Ok(Some(how)) => break how,
            Err(_) => return,
        }
    };
    match cut {
        How::Fin => {}
        How::Reset => drop(client.set_zero_linger()),
        How::HalfOpen => {
            drop(client.set_zero_linger());
            shared.lock().unwrap().held.push(server);
        }
        How::Silent => shared.lock().unwrap().held.extend([server, Box::new(client)]),
    }
}

fn some(read: usize) -> io::Result<usize> {
    if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(read) }
}

impl Shared {
    /// How many of the bytes are passed on, how the connection is cut then, and whether that is at a COMMIT.
    fn sent(&mut self, number: usize, bytes: &[u8]) -> (usize, Option<How>, bool) {
        const COMMIT: &[u8] = b"COMMIT\0";
        let commit = bytes.windows(COMMIT.len()).any(|window| window == COMMIT);
        self.commits += usize::from(commit && number >= self.before);
        let (commits, before) = (self.commits, self.traffic[number].0);
        self.traffic[number].0 += bytes.len();
        if commit && let Some(how) = self.take(number, |at| at == At::Commit(commits)) {
            return (bytes.len(), Some(how), true);
        }
        let mut pass = bytes.len();
        let cut = self.take(number, |at| match at {
            At::Sent(limit) if (before..before + bytes.len()).contains(&limit) => {
                pass = limit - before;
                true
            }
            _ => false,
        });
        (pass, cut, false)
    }

    fn received(&mut self, number: usize, bytes: usize) -> (usize, Option<How>) {
        let before = self.traffic[number].1;
        self.traffic[number].1 += bytes;
        let mut pass = bytes;
        let cut = self.take(number, |at| match at {
            At::Received(limit) if (before..before + bytes).contains(&limit) => {
                pass = limit - before;
                true
            }
            _ => false,
        });
        (pass, cut)
    }

    /// Takes a cut that is due.
    fn take(&mut self, number: usize, mut is_due: impl FnMut(At) -> bool) -> Option<How> {
        let number = number.checked_sub(self.before)?;
        let at = self.cuts.iter().position(|cut| {
            cut.connection.is_none_or(|connection| connection == number) && is_due(cut.at)
        })?;
        self.made += 1;
        Some(self.cuts.remove(at).how)
    }
}
