//! A Postgres of the test's own that dies without warning, again and again, while records keep coming. Sessions that
//! store batches commit without waiting for the disk, so each death takes transactions along that had been answered.

use std::{path::Path, sync::Arc};

use flowtrail::{
    dev::{self, Server, Stack, StackOptions},
    schema,
};
use secrecy::ExposeSecret as _;
use tokio::task::spawn_blocking;
use tokio_postgres::Client;

use crate::{
    collecting::{Collecting, stored, until_stored},
    program,
    proxy::{Mode, through_a_proxy},
    rows,
    servers::{self, PATIENCE, until},
    topics,
    traffic::{assert_stored, send, traffic},
};

/// How often Postgres dies; more in the long form.
fn deaths() -> usize {
    std::env::var("IT_POSTGRES_DEATHS").ok().map_or(10, |text| text.parse().unwrap())
}

/// Records between one death and the next, and how many come in a second.
const EACH: usize = 1_500;
const RATE: u32 = 3_000;

/// What is answered stays in memory for as long as may be. The disk is not waited for: what the system has been given
/// outlives the death of a process.
const FORGETFUL: [(&str, &str); 4] =
    [("wal_buffers", "64MB"), ("bgwriter_lru_maxpages", "0"), ("autovacuum", "off"), ("fsync", "off")];

/// Beside the Kafka that all tests share.
async fn own_postgres() -> Arc<Stack> {
    let kafka = servers::bootstrap_servers().await;
    let start = move || {
        let data_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres-killed");
        dev::reset(&data_dir).unwrap();
        let mut options = StackOptions::new(data_dir);
        options.kafka = Some(kafka);
        let settings = FORGETFUL.map(|(name, value)| (name.to_owned(), value.to_owned()));
        options.postgres_settings.extend(settings);
        Arc::new(Stack::start(&options).unwrap_or_else(|error| panic!("{error}")))
    };
    spawn_blocking(start).await.unwrap()
}

/// Holds the process that writes answered commits down, so that there is something to lose when Postgres dies.
async fn hold_the_writer(client: &Client) {
    let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'";
    until("the writer runs", async || {
        let rows = client.query(sql, &[]).await.unwrap();
        let Some(row) = rows.first() else { return Err("there is none yet".to_owned()) };
        program::send(row.get::<_, i32>(0).unsigned_abs(), "STOP").await;
        Ok(())
    })
    .await;
}

/// Does something to the server that blocks.
async fn with_postgres(stack: &Arc<Stack>, act: impl FnOnce(&Server) + Send + 'static) {
    let stack = stack.clone();
    spawn_blocking(move || act(stack.postgres().unwrap())).await.unwrap();
}

/// Kills the server with all its sessions at once, or its first process only: then the sessions find themselves alone.
async fn kill(stack: &Arc<Stack>, with_sessions: bool) {
    if with_sessions {
        with_postgres(stack, Server::kill).await;
    } else {
        program::send(stack.postgres().unwrap().pid().unwrap(), "KILL").await;
        until("Postgres has ended", async || match stack.postgres().unwrap().pid() {
            None => Ok(()),
            Some(pid) => Err(format!("{pid} runs")),
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_is_killed_again_and_again_under_load_loses_nothing_for_good() {
    let stack = own_postgres().await;
    let mut config = servers::config_of(stack.database_url().expose_secret()).await;
    config.kafka.topics = vec![servers::topic(4).await];
    config.collector.batch_rows = 100;
    schema::update(&mut servers::connect_to(&config).await, PATIENCE, 0).await.unwrap();
    let records = traffic(43, deaths() * EACH + EACH);
    let (proxied, proxy) = through_a_proxy(&config).await;
    let collecting = Collecting::start(&proxied);
    let sum = |offsets: Vec<(i32, i64)>| offsets.into_iter().map(|(_, next)| next).sum::<i64>();

    let mut taken = Vec::new();
    for (death, chunk) in records.chunks(EACH).take(deaths()).enumerate() {
        let sending = send(&config, chunk, RATE);
        let client = servers::connect_to(&config).await;
        let until_sum = async |goal: usize| {
            until("so much is stored", async || {
                let stored = sum(stored(&client, &config).await);
                if usize::try_from(stored).unwrap() >= goal {
                    Ok(())
                } else {
                    Err(format!("{stored} of {goal}"))
                }
            })
            .await;
        };
        until_sum(death * EACH + EACH / 5).await;
        hold_the_writer(&client).await;
        until_sum(death * EACH + EACH / 2).await;
        let before = sum(stored(&client, &config).await);
        kill(&stack, death % 2 == 0).await;
        // What it lost is to be seen before the collector stores it again.
        proxy.cut().await;
        with_postgres(&stack, |postgres| postgres.start().unwrap_or_else(|error| panic!("{error}"))).await;
        let after = sum(stored(&servers::connect_to(&config).await, &config).await);
        taken.push(before - after);
        proxy.set(Mode::Pass);
        sending.await.unwrap();
    }
    println!("records that were stored and lost with each death: {taken:?}");
    assert!(taken.iter().any(|records| *records > 0), "no death took anything along, so nothing was shown");

    // A loss is noticed when more of its partition is to be stored, so a last death needs something to come after it.
    let last = &records[deaths() * EACH..];
    send(&config, last, 0).await.unwrap();
    until_stored(&config).await;
    collecting.stop().await;
    assert_stored(&config, &records).await;
    assert_eq!(rows::count(&servers::connect_to(&config).await, "ft_dead_letter").await, 0);
    assert_eq!(topics::group_offsets(&config).await, topics::ends(&config).await);
    let data_dir = stack.data_dir().to_owned();
    let end = move || {
        drop(stack);
        dev::reset(&data_dir).unwrap();
    };
    spawn_blocking(end).await.unwrap();
}
