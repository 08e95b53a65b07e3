//! Queues: work that is all there when it begins, and is taken by whoever is free.

use async_channel::Receiver;

/// Lines `work` up; the queue ends behind it.
pub(crate) fn queue<T>(work: impl IntoIterator<Item = T>) -> Receiver<T> {
    let (sender, queue) = async_channel::unbounded();
    for item in work {
        sender.try_send(item).expect("the channel is open and without bound");
    }
    queue
}
