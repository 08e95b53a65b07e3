//! Buffers: the memory of blocks and rows, which is used again when they are gone.
//!
//! Fresh memory costs the kernel a fault for each 4 KiB of it, and returning large pieces in another order than they were
//! taken leaves the allocator with holes.

use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard};

/// Gives out buffers of about one size, and takes them back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// Bytes that go back to where they came from when they are dropped.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    home: Option<Buffers>,
}

/// Smaller ones are left to the allocator, which is good at them.
const WORTH_KEEPING: usize = 64 << 10;
/// Larger ones have held a huge record, which may never come again: their memory is not held on to.
const TOO_LARGE: usize = 8 << 20;

impl Buffers {
    /// An empty buffer with room for `capacity` bytes.
    pub fn take(&self, capacity: usize) -> Buffer {
        if capacity < WORTH_KEEPING {
            return Vec::with_capacity(capacity).into();
        }
        let mut bytes = self.spare().pop().unwrap_or_default();
        bytes.reserve(capacity);
        Buffer { bytes, home: Some(self.clone()) }
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }
}

impl Buffer {
    /// The same bytes; where they are few, they leave larger memory to others.
    pub fn fitted(self) -> Self {
        if self.len() >= WORTH_KEEPING || self.capacity() < WORTH_KEEPING {
            return self;
        }
        self.to_vec().into()
    }
}

impl From<Vec<u8>> for Buffer {
    /// Bytes of the allocator's.
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, home: None }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = self.home.take()
            && self.bytes.capacity() <= TOO_LARGE
        {
            self.bytes.clear();
            home.spare().push(mem::take(&mut self.bytes));
        }
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_empty_and_is_given_out_again() {
        let buffers = Buffers::default();
        let mut first = buffers.take(WORTH_KEEPING);
        first.push(7);
        let place = first.as_ptr();
        drop(first);
        let again = buffers.take(WORTH_KEEPING);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        assert_eq!(buffers.spare().len(), 0);
        assert!(buffers.take(2 * WORTH_KEEPING).capacity() >= 2 * WORTH_KEEPING);
    }

    #[test]
    fn few_bytes_go_to_memory_of_their_own() {
        let buffers = Buffers::default();
        let mut few = buffers.take(WORTH_KEEPING);
        few.push(7);
        let few = few.fitted();
        assert_eq!((&few[..], buffers.spare().len()), (&[7][..], 1));
        assert!(few.capacity() < 64);
        let mut many = buffers.take(WORTH_KEEPING);
        many.resize(WORTH_KEEPING, 7);
        let place = many.as_ptr();
        assert_eq!(many.fitted().as_ptr(), place);
    }

    #[test]
    fn neither_small_nor_huge_ones_are_kept() {
        let buffers = Buffers::default();
        drop(buffers.take(WORTH_KEEPING - 1));
        buffers.take(WORTH_KEEPING).reserve(TOO_LARGE + 1);
        assert_eq!(buffers.spare().len(), 0);
    }
}
