//! The process that a connection was told of when it was made: PostgreSQL names the one that serves it, with the key to
//! cancel its work; a pooler, whose clients have no process of their own, names what it likes.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Client;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// The process. The driver keeps it to itself, but writes it into a request to cancel, which goes nowhere here.
pub(crate) async fn process(client: &Client) -> Option<i32> {
    let mut sent = Vec::new();
    client.cancel_token().cancel_query_raw(Paper(&mut sent), Itself).await.ok()?;
    // The length, the code, the process and the key, behind what may ask for TLS (PostgreSQL manual, "CancelRequest").
    let request = sent.last_chunk::<16>()?;
    request[8..].first_chunk().map(|process| i32::from_be_bytes(*process))
}

/// A server that takes down what it is sent, and is for TLS if it is asked.
struct Paper<'a>(&'a mut Vec<u8>);

impl AsyncWrite for Paper<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Paper<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        answer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        answer.put_slice(b"S");
        Poll::Ready(Ok(()))
    }
}

impl TlsStream for Paper<'_> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

/// TLS that is none.
struct Itself;

impl<'a> TlsConnect<Paper<'a>> for Itself {
    type Stream = Paper<'a>;
    type Error = Infallible;
    type Future = Ready<Result<Paper<'a>, Infallible>>;

    fn connect(self, stream: Paper<'a>) -> Self::Future {
        ready(Ok(stream))
    }
}
