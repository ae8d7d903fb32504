//! Rows as parameters of a statement: an array for each column, filled from one reused buffer.

use bytes::{BufMut as _, BytesMut};
use tokio_postgres::{
    Error, Row,
    types::{IsNull, Kind, ToSql, Type, to_sql_checked},
};

use super::{copy::Encoder, session::Session};

/// Parameters of these types, a row for each of their members.
pub(super) fn unfolded(types: &str) -> String {
    let parameters: Vec<String> =
        (1..).zip(types.split(", ")).map(|(number, of)| format!("${number}::{of}[]")).collect();
    format!("unnest({})", parameters.join(", "))
}

/// Rows by their columns. A field is the same in an array as in a `COPY`.
pub(super) struct Columns {
    arrays: Vec<Column>,
    row: Encoder,
}

/// A column of some rows, as an array.
#[derive(Debug, Default)]
struct Column {
    fields: BytesMut,
    count: i32,
}

impl Columns {
    pub(super) fn of(types: &str) -> Self {
        let arrays = types.split(", ").map(|_| Column::default()).collect();
        Self { arrays, row: Encoder::of_fields() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.arrays.iter().all(|column| column.count == 0)
    }

    pub(super) fn push(&mut self, put: impl FnOnce(&mut Encoder)) {
        put(&mut self.row);
        let mut row = self.row.take();
        for column in &mut self.arrays {
            // A null has a length below 0.
            let length = row.first_chunk().map_or(0, |length| i32::from_be_bytes(*length));
            let end = size_of::<i32>() + usize::try_from(length).unwrap_or(0);
            column.fields.extend_from_slice(&row.split_to(end.min(row.len())));
            column.count += 1;
        }
    }

    /// Runs a statement with the columns as its parameters, unless there are no rows.
    pub(super) async fn send(&self, session: &Session, sql: &'static str) -> Result<Vec<Row>, Error> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let mut parameters: Vec<&(dyn ToSql + Sync)> = Vec::with_capacity(self.arrays.len());
        for column in &self.arrays {
            parameters.push(column);
        }
        session.query(sql, &parameters).await
    }
}

impl ToSql for Column {
    /// `PostgreSQL`, `array_recv`: dimensions, whether there may be nulls, type of the members; of the one dimension how
    /// many and the number of the first; members.
    fn to_sql(
        &self,
        kind: &Type,
        to: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Kind::Array(member) = kind.kind() else { return Err("it is no array".into()) };
        to.put_i32(1);
        to.put_i32(1);
        to.put_u32(member.oid());
        to.put_i32(self.count);
        to.put_i32(1);
        to.extend_from_slice(&self.fields);
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        matches!(kind.kind(), Kind::Array(_))
    }

    to_sql_checked!();
}
