//! A record that a Flowable engine wrote, in each framing.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use flowtrail::pipeline::decode::{
    decode as decode_record,
    foreign::{Foreign, Told},
};

use super::{AT_LEAST, bounded, event, sentence};

/// What a record may grow to.
const INFLATED: usize = 1 << 16;

/// A byte before the JSON: bit 0 puts it into an array, bit 1 gzips it, bit 2 says that it is gzip'd.
pub fn flowable(input: &[u8]) {
    let [how, json @ ..] = input else { return };
    let mut payload = json.to_vec();
    if how & 1 != 0 {
        payload = [b"[", json, b",", json, b"]"].concat();
    }
    if how & 2 != 0 {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&payload).unwrap();
        payload = gzip.finish().unwrap();
    }
    if how & 4 != 0 {
        payload.splice(..0, [0x1f, 0x8b]);
    }
    let Some(told) = read(&payload.clone().into()) else { return };
    said(&told);
    // What is passed over in an element alone may be no text; in an array it has to be.
    if how == &0 && told.refused.is_none() && std::str::from_utf8(json).is_ok() {
        // Twice the same in an array is twice the same.
        let twice = read(&[b"[", json, b",", json, b"]"].concat().into()).unwrap();
        let events = |told: &Told| decode_record(None, Some(&told.payload), 1 << 20, None).unwrap().events;
        let (once, twice) = (events(&told), events(&twice));
        assert_eq!([once.as_slice(), once.as_slice()].concat(), twice.as_slice());
    }
}

fn read(payload: &Bytes) -> Option<Told> {
    let config = flowtrail::config::Flowable { max_inflated_bytes: INFLATED, ..Default::default() };
    let foreign = Foreign::of(&config);
    let most = AT_LEAST + 4 * INFLATED + 40 * payload.len();
    let told = bounded(most, || foreign.read(payload, || None, true))?;
    assert_eq!(foreign.read(payload, || None, true), Some(told.clone()), "the same record says the same");
    match told {
        Ok(told) => Some(told),
        Err(reject) => {
            sentence::sentence(&reject, 400);
            None
        }
    }
}

/// What is told decodes to events that are as they should be, and is refused where the element was.
fn said(told: &Told) {
    let decoded = decode_record(None, Some(&told.payload), 1 << 20, None).unwrap();
    decoded.events.iter().for_each(|said| event::check(said, 1 << 20));
    if told.refused.is_some() {
        assert!(decoded.refused().is_some());
    }
}
