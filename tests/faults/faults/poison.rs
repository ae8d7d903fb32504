//! Messages that can't be decoded, and rows that Postgres refuses.

use anyhow::ensure;

use super::{Prepared, Recovered};
use crate::{scene::Scene, traffic::MARK};

/// Marked rows are refused, wherever they would come to lie.
pub async fn prepare(scene: &mut Scene) -> Prepared {
    let client = scene.connect().await?;
    for (table, column) in [
        ("steps", "taskname"),
        ("ft_superseded_step", "taskname"),
        ("flowstate", "appname"),
        ("ft_run", "appname"),
    ] {
        let sql = format!("ALTER TABLE {table} ADD CONSTRAINT unmarked CHECK ({column} <> '{MARK}')");
        client.batch_execute(&sql).await?;
    }
    Ok(None)
}

/// It is there all the time; in the middle some of both kinds has been met.
pub async fn is_there(scene: &mut Scene) -> Recovered {
    let sql =
        "SELECT count(*) FILTER (WHERE reason = 'refused'), count(*) FILTER (WHERE reason = 'undecodable')
        FROM ft_dead_letter";
    let row = scene.connect().await?.query_one(sql, &[]).await?;
    let met: [i64; 2] = [row.get(0), row.get(1)];
    ensure!(met.iter().all(|count| *count > 0), "nothing was refused: {met:?}");
    Ok(None)
}
