//! Signals: Ctrl-C, and on Unix what `kill` and service managers send.

/// Waits until someone wants the program to end.
pub async fn interrupted() {
    // A program that can't listen to signals is ended by them, which is as well.
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
