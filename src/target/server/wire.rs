//! The wire: a connection's stream, encrypted as its step says, that watches how the server wants the client to log in.
//!
//! The driver sends a password to whoever asks for one, in whatever way. Here the request is seen before the driver sees
//! it, so that `require_auth` is kept; and a server that has asked once is known to let this user in by this way, so that
//! a login which it refuses then is never tried again without TLS.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connect::Step;
use crate::target::tls::Tls;

/// The ways to log in that a server may ask for; libpq's `require_auth`.
///
/// A bit for each number in [`METHODS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Methods(u16);

/// How libpq calls the numbers of the protocol's `Authentication…` messages; 0 asks for nothing.
const METHODS: [(&str, i32); 7] = [
    ("none", 0),
    ("password", 3),
    ("md5", 5),
    ("gss", 7),
    ("sspi", 9),
    ("scram-sha-256", 10),
    ("oauth", 10),
];
/// Those that the driver can do.
const DONE: [&str; 4] = ["none", "password", "md5", "scram-sha-256"];

impl Methods {
    /// Reads names parted by commas, all of them with `!` before or none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut named = BTreeSet::new();
        let mut negated = BTreeSet::new();
        for name in text.split(',').map(str::trim) {
            let (of, name) = match name.strip_prefix('!') {
                Some(name) => (&mut negated, name),
                None => (&mut named, name),
            };
            let (known, _) = METHODS.iter().find(|(known, _)| *known == name)?;
            of.insert(*known);
        }
        let allowed = |name: &&str| match negated.is_empty() {
            true => named.contains(name),
            false => !negated.contains(name),
        };
        let numbers = METHODS.iter().filter(|(name, _)| DONE.contains(name) && allowed(name));
        let both = !named.is_empty() && !negated.is_empty();
        (!both).then(|| Self(numbers.fold(0, |bits, (_, number)| bits | 1 << number)))
    }

    /// Whether none of them can be done here.
    pub fn is_hopeless(self) -> bool {
        self.0 == 0
    }

    fn allow(self, method: i32) -> bool {
        (0..16).contains(&method) && self.0 & 1 << method != 0
    }
}

fn name_of(method: i32) -> &'static str {
    METHODS.iter().find(|(_, number)| *number == method).map_or("another one", |(name, _)| name)
}

/// What one attempt to connect has come to, for who made it.
#[derive(Debug)]
pub(super) struct Attempt {
    asked: AtomicI32,
    encrypted: AtomicBool,
    methods: Option<Methods>,
}

const NOT_YET: i32 = -1;

impl Attempt {
    pub fn new(methods: Option<Methods>) -> Self {
        Self { asked: AtomicI32::new(NOT_YET), encrypted: AtomicBool::new(false), methods }
    }

    /// Whether the server has said how the client is to log in, if only that it need not: it was past the point where
    /// TLS matters.
    pub fn got_to_login(&self) -> bool {
        self.asked.load(Ordering::Relaxed) != NOT_YET
    }

    /// Whether TLS was agreed upon.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted.load(Ordering::Relaxed)
    }

    fn ask(&self, method: i32) -> Result<(), Refusal> {
        self.asked.store(method, Ordering::Relaxed);
        match self.methods {
            Some(allowed) if !allowed.allow(method) => Err(Refusal::Method(method)),
            _ => Ok(()),
        }
    }
}

/// Why a connection is not gone on with.
#[derive(Debug)]
pub(in crate::target) enum Refusal {
    NoTls,
    Method(i32),
    NoCertificate,
    Peer { is: u32, wanted: String },
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTls => f.write_str("server does not support TLS"),
            Self::Method(0) => {
                f.write_str("the server lets in without any login, and `require_auth` demands one")
            }
            Self::Method(method) => {
                write!(
                    f,
                    "the server asks for a login by {}, which `require_auth` does not allow",
                    name_of(*method)
                )
            }
            Self::NoCertificate => f.write_str(
                "the server has taken no client certificate, and `sslcertmode` demands it",
            ),
            Self::Peer { is, wanted } => {
                write!(
                    f,
                    "the server runs as the user with the number {is}, and `requirepeer` demands {wanted}"
                )
            }
        }
    }
}

/// Makes a [`Wire`] of the driver's socket.
///
/// To the driver it looks like TLS that begins at once. So what is agreed upon with the server, or not, is this one's; and a
/// request to cancel, which the driver makes like the connection, is to be made by the same step of one.
#[derive(Clone)]
pub(super) struct Connector {
    pub step: Step,
    pub tls: Option<Tls>,
    /// TLS begins without a question; libpq's `sslnegotiation=direct`.
    pub direct: bool,
    pub attempt: Arc<Attempt>,
}

impl<S> MakeTlsConnect<S> for Connector
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Wire<S>;
    type TlsConnect = Connecting;
    type Error = Infallible;

    fn make_tls_connect(&mut self, host: &str) -> Result<Connecting, Infallible> {
        Ok(Connecting { connector: self.clone(), host: host.to_owned() })
    }
}

pub(super) struct Connecting {
    connector: Connector,
    host: String,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<S> TlsConnect<S> for Connecting
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Wire<S>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Wire<S>, BoxError>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let Self { connector, host } = self;
        Box::pin(async move { connector.negotiate(stream, &host).await })
    }
}

/// Asks for TLS; the server answers by one byte.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

impl Connector {
    async fn negotiate<S>(self, mut stream: S, host: &str) -> Result<Wire<S>, BoxError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { step, tls, direct, attempt } = self;
        let Some(tls) = tls.filter(|_| step != Step::Plain) else {
            return Ok(Wire::new(Line::Plain(stream), attempt));
        };
        if !direct {
            stream.write_all(&SSL_REQUEST).await?;
            stream.flush().await?;
            if stream.read_u8().await? != b'S' {
                return match step {
                    Step::Tls => Err(Refusal::NoTls.into()),
                    _ => Ok(Wire::new(Line::Plain(stream), attempt)),
                };
            }
        }
        attempt.encrypted.store(true, Ordering::Relaxed);
        let shown = OnceLock::new();
        let (config, shown) = tls.for_one_connection(Arc::new(shown));
        let Ok(connecting) =
            MakeTlsConnect::<S>::make_tls_connect(&mut MakeRustlsConnect::new(config), host);
        let stream = connecting.connect(stream).await?;
        if shown.is_some_and(|shown| shown.get().is_none()) {
            return Err(Refusal::NoCertificate.into());
        }
        Ok(Wire::new(Line::Tls(Box::new(stream)), attempt))
    }
}

type Encrypted<S> = <MakeRustlsConnect as MakeTlsConnect<S>>::Stream;

enum Line<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Plain(S),
    Tls(Box<Encrypted<S>>),
}

/// A connection's stream.
pub(super) struct Wire<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    line: Line<S>,
    watch: Option<Watch>,
}

/// Reads the first message of the server's: its tag, its length, and the number of what it asks for.
struct Watch {
    head: [u8; 9],
    seen: usize,
    attempt: Arc<Attempt>,
}

impl Watch {
    /// Takes bytes that have come; whether it has seen enough.
    fn take(&mut self, bytes: &[u8]) -> Result<bool, Refusal> {
        let count = bytes.len().min(self.head.len() - self.seen);
        self.head[self.seen..self.seen + count].copy_from_slice(&bytes[..count]);
        self.seen += count;
        match self.head {
            _ if self.seen == 0 => Ok(false),
            [b'R', _, _, _, _, number @ ..] if self.seen == self.head.len() => {
                self.attempt.ask(i32::from_be_bytes(number)).map(|()| true)
            }
            [tag, ..] => Ok(tag != b'R'),
        }
    }
}

impl<S> Wire<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn new(line: Line<S>, attempt: Arc<Attempt>) -> Self {
        Self { line, watch: Some(Watch { head: [0; 9], seen: 0, attempt }) }
    }

    /// One that is not encrypted.
    pub fn plain(stream: S, attempt: Arc<Attempt>) -> Self {
        Self::new(Line::Plain(stream), attempt)
    }
}

impl<S> AsyncRead for Wire<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.line {
            Line::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Line::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        };
        if let (Poll::Ready(Ok(())), Some(watch)) = (&read, &mut self.watch) {
            let taken = watch.take(&buffer.filled()[before..]);
            let refused = |refusal| io::Error::new(io::ErrorKind::PermissionDenied, refusal);
            if taken.map_err(refused)? {
                self.watch = None;
            }
        }
        read
    }
}

impl<S> AsyncWrite for Wire<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.line {
            Line::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Line::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.line {
            Line::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Line::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.line {
            Line::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Line::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

impl<S> TlsStream for Wire<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn channel_binding(&self) -> ChannelBinding {
        match &self.line {
            Line::Plain(_) => ChannelBinding::none(),
            Line::Tls(stream) => stream.channel_binding(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_log_in_are_named_as_libpq_names_them() {
        for (text, numbers) in [
            ("scram-sha-256", Some([10].as_slice())),
            ("password,md5", Some(&[3, 5])),
            ("none", Some(&[0])),
            ("!password, !md5", Some(&[0, 10])),
            ("!none", Some(&[3, 5, 10])),
            ("gss", Some(&[])),
            ("oauth", Some(&[])),
            ("!oauth", Some(&[0, 3, 5, 10])),
            ("gss,scram-sha-256", Some(&[10])),
            ("md5,!none", None),
            ("scram", None),
            ("", None),
            ("!", None),
        ] {
            let read = Methods::parse(text)
                .map(|methods| (-1..99).filter(|it| methods.allow(*it)).collect::<Vec<_>>());
            assert_eq!(read.as_deref(), numbers, "{text}");
        }
    }

    #[test]
    fn the_first_request_is_seen_however_its_bytes_come() {
        let request = [b'R', 0, 0, 0, 12, 0, 0, 0, 5, 1, 2, 3, 4];
        for size in 1..=request.len() {
            let attempt = Arc::new(Attempt::new(Methods::parse("scram-sha-256")));
            let mut watch = Watch { head: [0; 9], seen: 0, attempt: attempt.clone() };
            let mut taken = request.chunks(size).map(|bytes| watch.take(bytes));
            let refused = taken.find_map(Result::err).expect("md5 is not allowed");
            assert!(refused.to_string().contains("a login by md5"), "{refused}");
            assert!(attempt.got_to_login());
        }
        let attempt = Arc::new(Attempt::new(None));
        let mut watch = Watch { head: [0; 9], seen: 0, attempt: attempt.clone() };
        assert!(watch.take(b"E\0\0\0").unwrap(), "an error is no request");
        assert!(!attempt.got_to_login());
    }
}
