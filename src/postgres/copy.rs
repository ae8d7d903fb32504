//! Binary `COPY`: rows are written into one buffer and sent in large chunks, without an allocation per field.

use std::pin::Pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use tokio_postgres::{Client, CopyInSink, Error, Statement};

use crate::model::Micros;

/// Chunks of this many bytes go to Postgres. Larger ones gain nothing on loopback; the driver's own writer sends
/// 4 kB at a time, which costs a third of the throughput.
const CHUNK: usize = 128 << 10;

/// The length of a field that is null.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// Signature, flags, and length of the header's extension: `PostgreSQL` documentation, COPY, "Binary Format".
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// One `COPY … FROM STDIN (FORMAT binary)` under way. Dropping it unfinished makes Postgres abort the statement.
pub(crate) struct CopyRows {
    sink: Pin<Box<CopyInSink<Bytes>>>,
    row: Encoder,
}

/// Fields of rows in binary format.
#[derive(Debug)]
pub(crate) struct Encoder {
    buffer: BytesMut,
}

impl CopyRows {
    /// Begins the statement.
    pub(crate) async fn begin(client: &Client, statement: &Statement) -> Result<Self, Error> {
        let sink = Box::pin(client.copy_in(statement).await?);
        Ok(Self { sink, row: Encoder::new() })
    }

    /// Begins a row of so many fields, which the caller then writes in the order of the columns.
    pub(crate) async fn row(&mut self, fields: i16) -> Result<&mut Encoder, Error> {
        if let Some(chunk) = self.row.begin_row(fields) {
            self.sink.feed(chunk).await?;
        }
        Ok(&mut self.row)
    }

    /// Ends the statement and says how many rows Postgres took.
    pub(crate) async fn finish(mut self) -> Result<u64, Error> {
        self.sink.feed(self.row.finish()).await?;
        self.sink.as_mut().finish().await
    }
}

impl Encoder {
    /// Before the first row.
    pub(crate) fn new() -> Self {
        let mut buffer = BytesMut::with_capacity(CHUNK + (CHUNK >> 2));
        buffer.put_slice(HEADER);
        Self { buffer }
    }

    /// For fields that are no rows of a `COPY`.
    pub(crate) fn of_fields() -> Self {
        Self { buffer: BytesMut::new() }
    }

    /// What was written since this was asked last.
    pub(crate) fn take(&mut self) -> BytesMut {
        self.buffer.split()
    }

    /// Begins a row of so many fields; gives what was written before it, once that is a chunk.
    pub(crate) fn begin_row(&mut self, fields: i16) -> Option<Bytes> {
        let chunk = (self.buffer.len() >= CHUNK).then(|| self.buffer.split().freeze());
        self.buffer.put_i16(fields);
        chunk
    }

    /// What is left, with the mark of the end.
    pub(crate) fn finish(mut self) -> Bytes {
        self.buffer.put_i16(-1);
        self.buffer.freeze()
    }

    /// A field of a few bytes, with its length, in one go.
    fn fixed<const N: usize, const WITH_LENGTH: usize>(&mut self, value: [u8; N]) {
        let mut field = [0; WITH_LENGTH];
        let length = u32::try_from(N).unwrap_or(u32::MAX).to_be_bytes();
        for (place, byte) in field.iter_mut().zip(length.into_iter().chain(value)) {
            *place = byte;
        }
        self.buffer.extend_from_slice(&field);
    }

    /// A `text`.
    pub(crate) fn text(&mut self, text: Option<&str>) {
        self.bytes(text.map(str::as_bytes));
    }

    /// A `bytea`.
    pub(crate) fn bytes(&mut self, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else { return self.buffer.extend_from_slice(&NULL) };
        // A field is a slice of one Kafka message, far below 2 GiB.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.buffer.extend_from_slice(&length.to_be_bytes());
        self.buffer.extend_from_slice(bytes);
    }

    /// A `timestamp without time zone`.
    pub(crate) fn time(&mut self, time: Option<Micros>) {
        match time {
            Some(time) => self.int8(time.to_postgres()),
            None => self.buffer.extend_from_slice(&NULL),
        }
    }

    /// A `bigint`.
    pub(crate) fn int8(&mut self, number: i64) {
        self.fixed::<8, 12>(number.to_be_bytes());
    }

    /// An `integer`.
    pub(crate) fn int4(&mut self, number: i32) {
        self.fixed::<4, 8>(number.to_be_bytes());
    }

    /// A `smallint`.
    pub(crate) fn int2(&mut self, number: i16) {
        self.fixed::<2, 6>(number.to_be_bytes());
    }

    /// A `boolean`.
    pub(crate) fn bool(&mut self, value: bool) {
        self.fixed::<1, 5>([u8::from(value)]);
    }
}
