//! Signals: Ctrl-C, and on Unix what `kill` and service managers send.

use std::io;

use tokio::signal;

/// Begins to listen; what comes from now on completes the future instead of ending the program.
#[cfg(unix)]
pub fn listen() -> io::Result<impl Future<Output = ()>> {
    use signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Begins to listen, from the future's first poll on.
#[cfg(not(unix))]
pub fn listen() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        // A program that can't listen to signals is ended by them, which is as well.
        if signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    })
}
