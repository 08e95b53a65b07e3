//! Transport: connections to a server, each of which carries one request after the other.
//!
//! A connection is driven by whoever waits for its answer and not by a task of its own: to wake one costs as much as a
//! small object does.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use aws_sdk_s3::error::{BoxError, ConnectorError};
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

/// Sends requests to one server.
#[derive(Debug)]
pub(super) struct Transport {
    server: Uri,
    connector: HttpsConnector<HttpConnector>,
    patience: Patience,
    idle: Idle,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Until there is a connection.
    pub connect: Duration,
    /// Until an answer begins.
    pub answer: Duration,
    /// Until a connection that waits is used again: what is between may have forgotten it after a longer time.
    pub idle: Duration,
}

/// Connections that wait for a request.
type Idle = Arc<Mutex<Vec<Line>>>;

/// A connection.
#[derive(Debug)]
struct Line {
    sender: SendRequest<NoBody>,
    /// Until it is closed; boxed, as it is large and a line changes hands for each request.
    connection: Option<Box<Connection<Socket, NoBody>>>,
    used: Instant,
}

type Socket = MaybeHttpsStream<TokioIo<TcpStream>>;

/// The body of a request that has none: an empty text.
pub(super) type NoBody = String;

/// The body of an answer; once it has come, its connection waits for the next request.
#[derive(Debug)]
pub(super) struct Coming {
    incoming: Incoming,
    line: Option<Line>,
    idle: Idle,
}

/// The certificates that the operating system trusts.
static ROOTS: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
});

impl Transport {
    /// Connects to the `server`, once there is something to send, and trusts `roots` or whom the operating system does.
    pub fn new(
        server: Uri,
        roots: Option<&RootCertStore>,
        patience: Patience,
    ) -> Result<Self, BoxError> {
        match (server.scheme_str(), roots) {
            (Some("https"), Some(roots)) => Self::trusting(roots, server, patience),
            (Some("https"), None) => Self::trusting(&ROOTS, server, patience),
            _ => Self::trusting(&RootCertStore::empty(), server, patience),
        }
    }

    fn trusting(roots: &RootCertStore, server: Uri, patience: Patience) -> Result<Self, BoxError> {
        let tls = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let connector = builder.enable_http1().wrap_connector(tcp);
        Ok(Self { server, connector, patience, idle: Idle::default() })
    }

    /// Sends `request` and waits until its answer begins.
    pub async fn send(
        &self,
        mut request: Request<NoBody>,
    ) -> Result<Response<Coming>, ConnectorError> {
        loop {
            let waiting = self.waiting();
            let is_new = waiting.is_none();
            let mut line = match waiting {
                Some(line) => line,
                None => within(self.patience.connect, self.connect())
                    .await?
                    .map_err(ConnectorError::io)?,
            };
            let mut refused = match within(self.patience.answer, line.ask(request)).await? {
                Ok(response) => {
                    let idle = self.idle.clone();
                    return Ok(response.map(|incoming| Coming {
                        incoming,
                        line: Some(line),
                        idle,
                    }));
                }
                Err(refused) => refused,
            };
            match refused.take_message() {
                // The server has closed the connection while it waited, and the request was not sent.
                Some(unsent) if !is_new => request = unsent,
                _ => return Err(failed(refused.into_error())),
            }
        }
    }

    /// The connection that has waited least, if that is not too long.
    fn waiting(&self) -> Option<Line> {
        let line = lock(&self.idle).pop()?;
        (line.used.elapsed() < self.patience.idle).then_some(line)
    }

    async fn connect(&self) -> Result<Line, BoxError> {
        let socket = self.connector.clone().call(self.server.clone()).await?;
        let (sender, connection) = handshake(socket).await?;
        let connection = Some(Box::new(connection));
        Ok(Line { sender, connection, used: Instant::now() })
    }
}

/// What `work` comes to, if it does so within `patience`.
async fn within<T>(patience: Duration, work: impl Future<Output = T>) -> Result<T, ConnectorError> {
    timeout(patience, work).await.map_err(|elapsed| ConnectorError::timeout(elapsed.into()))
}

/// What an error says about another attempt: what is no HTTP will be none the next time.
fn failed(error: hyper::Error) -> ConnectorError {
    match error.is_parse() {
        true => ConnectorError::other(error.into(), None),
        false => ConnectorError::io(error.into()),
    }
}

fn lock(idle: &Idle) -> MutexGuard<'_, Vec<Line>> {
    idle.lock().expect("nothing panics while it holds the lock")
}

impl Line {
    /// Reads and writes what can be; what becomes of it, the answer and its body tell.
    fn drive(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(&mut **connection).poll(context).is_ready()
        {
            self.connection = None;
        }
    }

    async fn ask(
        &mut self,
        request: Request<NoBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<NoBody>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        poll_fn(|context| {
            self.drive(context);
            answer.as_mut().poll(context)
        })
        .await
    }
}

impl Body for Coming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Self { incoming, line, idle } = &mut *self;
        let mut incoming = Pin::new(incoming);
        let mut frame = incoming.as_mut().poll_frame(context);
        if frame.is_pending() {
            if let Some(line) = line {
                line.drive(context);
            }
            frame = incoming.poll_frame(context);
        }
        if matches!(frame, Poll::Ready(None))
            && let Some(mut line) = line.take()
        {
            line.drive(context);
            if !line.sender.is_closed() {
                line.used = Instant::now();
                lock(idle).push(line);
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        // Where it is, nobody would ask for the end, at which the connection is given back.
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{self, BufRead, BufReader, Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use aws_sdk_s3::primitives::{ByteStream, SdkBody};
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use super::*;

    /// A server that sends the same answer to every request.
    pub struct Server {
        address: SocketAddr,
        connections: Arc<AtomicUsize>,
        /// Says when a connection was closed.
        closed: mpsc::Receiver<()>,
    }

    impl Server {
        /// Sends `answer`, and closes each connection after so many of them.
        pub fn start(answer: &'static str, most: usize) -> Self {
            Self::over(|socket| socket, answer, most)
        }

        fn over<S: Read + Write>(
            secured: impl Fn(std::net::TcpStream) -> S + Send + Sync + 'static,
            answer: &'static str,
            most: usize,
        ) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let connections = Arc::new(AtomicUsize::new(0));
            let (close, closed) = mpsc::channel();
            let (accepted, secured) = (connections.clone(), Arc::new(secured));
            thread::spawn(move || {
                for socket in listener.incoming() {
                    accepted.fetch_add(1, Ordering::Relaxed);
                    let (close, secured) = (close.clone(), secured.clone());
                    thread::spawn(move || {
                        let _ = serve(&mut BufReader::new(secured(socket.unwrap())), answer, most);
                        let _ = close.send(());
                    });
                }
            });
            Self { address, connections, closed }
        }

        pub fn uri(&self) -> Uri {
            format!("http://{}", self.address).parse().unwrap()
        }

        pub fn connections(&self) -> usize {
            self.connections.load(Ordering::Relaxed)
        }
    }

    /// Answers `most` requests on one connection.
    fn serve<S: Read + Write>(
        socket: &mut BufReader<S>,
        answer: &str,
        most: usize,
    ) -> io::Result<()> {
        for _ in 0..most {
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                if socket.read_line(&mut line)? == 0 {
                    return Ok(());
                }
            }
            socket.get_mut().write_all(answer.as_bytes())?;
        }
        Ok(())
    }

    const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

    const PATIENCE: Patience = Patience {
        connect: Duration::from_secs(10),
        answer: Duration::from_secs(10),
        idle: Duration::from_secs(10),
    };

    fn request() -> Request<NoBody> {
        Request::get("/x").header("host", "localhost").body(NoBody::new()).unwrap()
    }

    /// The body of an answer, read to its end.
    async fn text(transport: &Transport) -> String {
        let body = transport.send(request()).await.unwrap().into_body();
        let stream = ByteStream::new(SdkBody::from_body_1_x(body));
        String::from_utf8(stream.collect().await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_connection_carries_one_request_after_the_other() {
        const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        const CHUNKS: &str =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
        for (answer, expected) in [(HELLO, "hello"), (EMPTY, ""), (CHUNKS, "hello")] {
            let server = Server::start(answer, usize::MAX);
            let transport = Transport::new(server.uri(), None, PATIENCE).unwrap();
            for _ in 0..3 {
                assert_eq!(text(&transport).await, expected);
            }
            assert_eq!(server.connections(), 1);
            let (one, other) = tokio::join!(text(&transport), text(&transport));
            assert_eq!((&*one, &*other), (expected, expected));
            assert_eq!(server.connections(), 2);
        }
    }

    #[tokio::test]
    async fn a_connection_that_can_not_be_used_again_is_not() {
        let server = Server::start(HELLO, usize::MAX);
        let transport = Transport::new(server.uri(), None, PATIENCE).unwrap();
        // The body is not read.
        drop(transport.send(request()).await.unwrap());
        assert_eq!(text(&transport).await, "hello");
        assert_eq!(server.connections(), 2);
        // It has waited for too long.
        let idle = Duration::ZERO;
        let transport = Transport::new(server.uri(), None, Patience { idle, ..PATIENCE }).unwrap();
        for connections in [3, 4] {
            assert_eq!(text(&transport).await, "hello");
            assert_eq!(server.connections(), connections);
        }
        // The server says that it closes it.
        const LAST: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
        let server = Server::start(LAST, usize::MAX);
        let transport = Transport::new(server.uri(), None, PATIENCE).unwrap();
        for connections in [1, 2] {
            assert_eq!(text(&transport).await, "hello");
            assert_eq!(server.connections(), connections);
        }
        // It closes it without a word.
        let server = Server::start(HELLO, 1);
        let transport = Transport::new(server.uri(), None, PATIENCE).unwrap();
        for connections in [1, 2] {
            assert_eq!(text(&transport).await, "hello");
            assert_eq!(server.connections(), connections);
            server.closed.recv().unwrap();
            // The runtime hears of it when it looks for what has come.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn failures_say_whether_another_attempt_may_help() {
        let silent = Server::start("", usize::MAX);
        let patience = Patience { answer: Duration::from_millis(50), ..PATIENCE };
        let transport = Transport::new(silent.uri(), None, patience).unwrap();
        assert!(transport.send(request()).await.unwrap_err().is_timeout());
        let closing = Server::start("", 1);
        let transport = Transport::new(closing.uri(), None, PATIENCE).unwrap();
        assert!(transport.send(request()).await.unwrap_err().is_io());
        let stranger = Server::start("220 mail.example ESMTP\r\n", usize::MAX);
        let transport = Transport::new(stranger.uri(), None, PATIENCE).unwrap();
        let error = transport.send(request()).await.unwrap_err();
        assert!(!error.is_io() && !error.is_timeout() && error.as_other().is_none(), "{error:?}");
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let nobody = format!("http://{free}").parse().unwrap();
        let transport = Transport::new(nobody, None, PATIENCE).unwrap();
        assert!(transport.send(request()).await.unwrap_err().is_io());
    }

    #[tokio::test]
    async fn only_servers_with_a_trusted_certificate_are_asked() {
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = issued.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())
            .unwrap();
        let config = Arc::new(config);
        let secured =
            move |socket| StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), socket);
        let server = Server::over(secured, HELLO, usize::MAX);
        let uri: Uri = format!("https://localhost:{}", server.address.port()).parse().unwrap();
        let mut roots = RootCertStore::empty();
        let stranger = Transport::trusting(&roots, uri.clone(), PATIENCE).unwrap();
        assert!(stranger.send(request()).await.unwrap_err().is_io());
        roots.add(certificate).unwrap();
        let transport = Transport::trusting(&roots, uri, PATIENCE).unwrap();
        for _ in 0..2 {
            assert_eq!(text(&transport).await, "hello");
        }
        assert_eq!(server.connections(), 2);
    }
}
