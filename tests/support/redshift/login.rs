//! A login that only Redshift's own drivers understand.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The number of Redshift's own authentication request (mtxr/vscode-sqltools#1415), which asks for a SHA-256 digest.
const DIGEST: i32 = 13;
/// Asks for TLS.
const TLS: i32 = 80_877_103;

/// Reads a login and demands the digest. What follows the number is salt, nonces and their lengths; a client that does not
/// know the number does not read on.
pub async fn demand_digest(mut stream: TcpStream) -> io::Result<()> {
    loop {
        let length = stream.read_i32().await?;
        let mut message = vec![0; usize::try_from(length).unwrap_or(8).clamp(8, 10_000) - 4];
        stream.read_exact(&mut message).await?;
        if message.get(..4) != Some(&TLS.to_be_bytes()) {
            break;
        }
        stream.write_all(b"N").await?;
    }
    let mut request = vec![b'R'];
    let body = [DIGEST.to_be_bytes(), 1_i32.to_be_bytes(), 4_i32.to_be_bytes(), *b"salt"];
    request.extend_from_slice(&(4 + 16_i32).to_be_bytes());
    request.extend(body.concat());
    stream.write_all(&request).await?;
    // The client's turn: it hangs up, or sends what nobody checks.
    let _ = stream.read(&mut [0; 64]).await?;
    Ok(())
}
