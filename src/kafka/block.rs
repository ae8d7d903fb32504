//! Memory that records share, so that a record needs none of its own.

use std::cmp::max;

use bytes::{BufMut, Bytes, BytesMut};

use super::broker::Record;

/// Records are copied into blocks of this many bytes; a larger one gets one of its own.
const SIZE: usize = 64 << 10;

/// Where the next records are copied to; those before hold on to what they have of it.
#[derive(Debug, Default)]
pub(crate) struct Block(BytesMut);

impl Block {
    /// Key and value of a record, copied out of the memory of whoever read it.
    pub(crate) fn copy(&mut self, record: &(impl Record + ?Sized)) -> (Option<Bytes>, Option<Bytes>) {
        let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let needed = len(record.key()) + len(record.payload());
        if self.0.capacity() < needed {
            self.0 = BytesMut::with_capacity(max(SIZE, needed));
        }
        let mut copy = |bytes: &[u8]| {
            self.0.put_slice(bytes);
            self.0.split().freeze()
        };
        (record.key().map(&mut copy), record.payload().map(&mut copy))
    }
}
