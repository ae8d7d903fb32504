//! A topic that the real broker compacts: records that it took because later ones of their key are there are no gap.

use flowtrail::config::{Config, OnGap};

use crate::{
    collecting::{collect_all, stored},
    gaps::{flows, gaps, ids, names},
    servers::{self, until},
    topics::{self, put},
};

/// Compacted as soon as may be.
const COMPACTED: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.ms", "50"),
    ("min.cleanable.dirty.ratio", "0"),
    ("max.compaction.lag.ms", "50"),
];

/// Two groups that read the same compacted topic into databases of their own, one for each word on gaps.
async fn configs() -> [Config; 2] {
    let topic = servers::topic_with(1, &COMPACTED).await;
    let mut both = [
        servers::config_of(&servers::database().await).await,
        servers::config_of(&servers::database().await).await,
    ];
    for (config, on_gap) in both.iter_mut().zip([OnGap::Halt, OnGap::Continue]) {
        config.kafka.topics = vec![topic.clone()];
        config.collector.on_gap = on_gap;
    }
    both
}

/// Waits until compaction has taken all records below an offset. It never takes the newest ones, so others are put
/// behind them meanwhile, all of one key.
async fn until_gone_below(config: &Config, offset: i64) {
    until("compaction has taken the records", async || {
        put(config, &flows("tick", 1)).await;
        let left = topics::offsets(config).await;
        if left[0] >= offset { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

/// Everything is stored, and nobody speaks of a gap.
async fn assert_whole(config: &Config, prefixes: [&str; 2]) {
    let end = topics::ends(config).await;
    assert_eq!(stored(&servers::connect_to(config).await, config).await, end);
    let wanted = prefixes.map(|prefix| names(prefix, 0..10)).concat();
    assert_eq!(ids(config).await, [wanted, names("tick", 0..1)].concat());
    assert_eq!(gaps(config).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holes_that_compaction_leaves_are_no_gap() {
    let configs = configs().await;
    let config = &configs[0];
    put(config, &flows("a", 10)).await;
    put(config, &flows("b", 10)).await;
    // Every other record has a later one of its key.
    let again = flows("a", 10).into_iter().chain(flows("b", 10)).step_by(2);
    put(config, &again.collect::<Vec<_>>()).await;
    until("compaction leaves holes", async || {
        put(config, &flows("tick", 1)).await;
        let left = topics::offsets(config).await;
        let first: Vec<_> = left.iter().copied().filter(|offset| *offset < 20).collect();
        if first == [1, 3, 5, 7, 9, 11, 13, 15, 17, 19] { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    for config in &configs {
        collect_all(config).await;
        assert_whole(config, ["a", "b"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_compaction_took_the_record_stored_last_is_no_gap() {
    let configs = configs().await;
    let config = &configs[0];
    put(config, &flows("a", 10)).await;
    for config in &configs {
        collect_all(config).await;
        assert_eq!(stored(&servers::connect_to(config).await, config).await, [(0, 10)]);
    }
    // The record at the stored offset goes too, and more behind it.
    for _ in 0..2 {
        put(config, &[flows("a", 10), flows("b", 10)].concat()).await;
    }
    until_gone_below(config, 30).await;
    for config in &configs {
        collect_all(config).await;
        assert_whole(config, ["a", "b"]).await;
    }
}
