//! Moves what the spool holds to Kafka, once Kafka is there again.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::{
    recorder::Recorder,
    spool::{Entry, Spool},
};
use crate::{clock, kafka::confirmed::Unconfirmed, metrics, telemetry::Seldom};

/// Events that are on their way to Kafka at once.
const AT_ONCE: usize = 512;

/// The file in the spool's folder that keeps events which Kafka will never take; `publish --from protobuf` reads it.
pub const REJECTED: &str = "rejected.pb";

/// The first and the longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Moves events until `stop`. What is under way then stays in the spool.
///
/// An event that is too large for the topic would hold up all others for ever: it is put aside in [`REJECTED`], with
/// a line in the log.
pub async fn drain(recorder: &Recorder, spool: &Spool, folder: &Path, stop: CancellationToken) {
    let moving = async {
        let mut seldom = Seldom::default();
        metrics::gateway_spool_bytes(spool.bytes());
        loop {
            spool.filled().await;
            let mut pauses = ExponentialBuilder::new()
                .with_min_delay(PAUSES.0)
                .with_max_delay(PAUSES.1)
                .with_jitter()
                .without_max_times()
                .build();
            while let Err(why) = move_oldest(recorder, spool, folder).await {
                if seldom.is_due("drain", clock::monotonic()) {
                    let bytes = spool.bytes();
                    tracing::warn!(event = "spool_waits", why, bytes, "events wait in the spool for Kafka");
                }
                tokio::time::sleep(pauses.next().unwrap_or(PAUSES.1)).await;
            }
            metrics::gateway_spool_bytes(spool.bytes());
            if spool.bytes() == 0 {
                seldom.over("drain");
                tracing::info!(event = "spool_drained", "all that the spool held is on the topic");
            }
        }
    };
    let _ = stop.run_until_cancelled(moving).await;
}

/// Moves the oldest segment, if there is one.
async fn move_oldest(recorder: &Recorder, spool: &Spool, folder: &Path) -> Result<(), String> {
    metrics::gateway_spool_bytes(spool.bytes());
    let unreadable = |error: io::Error| format!("the spool can't be read: {error}");
    let Some(mut waiting) = spool.oldest().await.map_err(unreadable)? else { return Ok(()) };
    let mut entries = std::mem::take(&mut waiting.entries).into_iter();
    // One goes ahead: while Kafka is away the rest need not wait in the producer.
    if let Some(first) = entries.next() {
        move_one(recorder, first, folder).await?;
    }
    let rest = stream::iter(entries).map(|entry| move_one(recorder, entry, folder));
    let outcomes: Vec<_> = rest.buffer_unordered(AT_ONCE).collect().await;
    outcomes.into_iter().collect::<Result<(), _>>()?;
    spool.remove(waiting).await.map_err(|error| format!("the spool can't be written: {error}"))
}

async fn move_one(recorder: &Recorder, entry: Entry, folder: &Path) -> Result<(), String> {
    match recorder.to_topic(&entry.key, &entry.payload).await {
        Ok(_) => Ok(()),
        Err(Unconfirmed::TooLarge) => {
            let file = folder.join(REJECTED);
            put_aside(&entry, &file).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
            let (key, bytes) = (entry.key.as_str(), entry.payload.len());
            let file = file.display();
            tracing::error!(
                event = "spooled_event_rejected",
                key,
                bytes,
                %file,
                "an event is larger than the topic takes; it is kept in the file"
            );
            Ok(())
        }
        Err(why) => Err(why.to_string()),
    }
}

fn put_aside(entry: &Entry, file: &Path) -> io::Result<()> {
    let mut bytes = Vec::new();
    // Behind its length as a varint, as `publish` reads events.
    prost::encode_length_delimiter(entry.payload.len(), &mut bytes).map_err(io::Error::other)?;
    bytes.extend_from_slice(&entry.payload);
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    file.write_all(&bytes)?;
    file.sync_all()
}
