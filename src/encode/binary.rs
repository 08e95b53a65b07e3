//! PostgreSQL's binary COPY format, described in its manual under `COPY`, "Binary Format".

use super::RowWriter;
use crate::table::Row;
use crate::table::time::Moment;

/// What a binary COPY starts with: signature, flags, length of the header's extension.
pub(crate) const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What a binary COPY ends with.
pub(crate) const TRAILER: &[u8; 2] = b"\xff\xff";

/// Adds a row.
pub(super) fn push<R: Row>(bytes: &mut Vec<u8>, row: &R) {
    let columns = R::TABLE.columns().len();
    bytes.extend_from_slice(&(columns as i16).to_be_bytes());
    let mut writer = Writer { bytes, columns: 0 };
    row.write(&mut writer);
    debug_assert_eq!(writer.columns, columns, "{} writes other columns than it has", R::TABLE);
}

struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    columns: usize,
}

impl RowWriter for Writer<'_> {
    fn int(&mut self, value: Option<i32>) {
        self.number(value.map(i32::to_be_bytes));
    }

    fn bigint(&mut self, value: Option<i64>) {
        self.number(value.map(i64::to_be_bytes));
    }

    fn double(&mut self, value: Option<f64>) {
        self.number(value.map(f64::to_be_bytes));
    }

    fn timestamp(&mut self, value: Moment) {
        self.number(Some(value.postgres_us().to_be_bytes()));
    }

    fn text(&mut self, value: Option<&str>) {
        let Some(value) = value else { return self.null() };
        self.bytes.extend_from_slice(&(value.len() as i32).to_be_bytes());
        self.bytes.extend_from_slice(value.as_bytes());
        self.columns += 1;
    }

    fn json(&mut self, value: Option<&str>) {
        // The version of the format, which is text.
        const VERSION: u8 = 1;
        let Some(value) = value else { return self.null() };
        self.bytes.extend_from_slice(&(1 + value.len() as i32).to_be_bytes());
        self.bytes.push(VERSION);
        self.bytes.extend_from_slice(value.as_bytes());
        self.columns += 1;
    }
}

impl Writer<'_> {
    fn number<const BYTES: usize>(&mut self, value: Option<[u8; BYTES]>) {
        let Some(value) = value else { return self.null() };
        self.bytes.extend_from_slice(&(BYTES as i32).to_be_bytes());
        self.bytes.extend_from_slice(&value);
        self.columns += 1;
    }

    fn null(&mut self) {
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
        self.columns += 1;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::{SinkExt, TryStreamExt, pin_mut};
    use tokio_postgres::Client;

    use super::*;
    use crate::encode::{Encoding, Rows};
    use crate::table::{Column, Kind, Table, time};
    use crate::test_server;

    const TABLES: &str = include_str!("../sql/tables.sql");
    const KEYS: &str = include_str!("../sql/keys.sql");

    fn copy(rows: &Rows) -> Bytes {
        [&HEADER[..], &rows.bytes, &TRAILER[..]].concat().into()
    }

    /// Sends `rows` to the server and has them back as the server writes them.
    async fn round_trip(client: &Client, rows: &Rows, order: &str) -> Bytes {
        let table = rows.table;
        let sink = client.copy_in(&format!("COPY {table} FROM STDIN (FORMAT binary)")).await;
        let sink = sink.unwrap();
        pin_mut!(sink);
        sink.send(copy(rows)).await.unwrap();
        assert_eq!(sink.finish().await.unwrap(), rows.count);
        let query = format!("COPY (TABLE {table} ORDER BY {order}) TO STDOUT (FORMAT binary)");
        let back = client.copy_out(&query).await.unwrap();
        back.try_collect::<Vec<_>>().await.unwrap().concat().into()
    }

    #[tokio::test]
    async fn every_type_is_encoded_as_the_server_does() {
        struct Everything(i64);

        impl Row for Everything {
            // A staging table has all types but timestamps.
            const TABLE: Table = Table::StagingSongs;

            fn write(&self, row: &mut impl RowWriter) {
                let none = self.0 == 0;
                let text =
                    ["", "plain", "späte 日本語 🎵", "\\N\t\"'\u{1}", "x"][self.0 as usize % 5];
                row.int([None, Some(0), Some(-1), Some(i32::MIN), Some(i32::MAX)][self.0 as usize]);
                row.text(Some("AR").filter(|_| !none));
                row.double(
                    [None, Some(0.1), Some(-0.0), Some(f64::MAX), Some(5e-324)][self.0 as usize],
                );
                row.double(Some(-182.85669).filter(|_| !none));
                row.text(Some(text).filter(|_| !none));
                row.text(Some(text));
                row.text(None);
                row.text(Some(""));
                row.double(Some(1e300));
                row.int(None);
                row.bigint(Some([i64::MIN, -1, 0, 1, i64::MAX][self.0 as usize]));
                row.bigint(Some(self.0));
                row.json(Some("{\"a\": [1.50, null, \"é\"]}").filter(|_| !none));
            }
        }

        let database = test_server::server().database();
        let client = database.connect().await;
        client.batch_execute(TABLES).await.unwrap();
        let mut rows = Rows::new(Table::StagingSongs, Encoding::Binary);
        (0..5).for_each(|number| rows.push(&Everything(number)));
        assert_eq!(round_trip(&client, &rows, "record_no").await, copy(&rows));
    }

    #[tokio::test]
    async fn times_are_taken_apart_as_the_server_does() {
        let database = test_server::server().database();
        let client = database.connect().await;
        client.batch_execute(TABLES).await.unwrap();
        // The ends of PostgreSQL's range, the turns of many years, and moments in between.
        let ends = [-210_866_803_200_000, 9_224_318_015_999_999];
        let steps = (-2000..4000).map(|year| year * 31_556_952_000 + year * 86_399_999 % 999_983);
        let days = (-800..800).map(|day| 1_451_606_400_000 + day * 86_400_000 - day % 2);
        let mut moments: Vec<i64> = ends.into_iter().chain(steps).chain(days).collect();
        moments.sort_unstable();
        moments.dedup();
        let mut rows = Rows::new(Table::Time, Encoding::Binary);
        let moments = moments.into_iter().map(|ms| Moment::from_unix_ms(ms).unwrap());
        time::rows(moments).for_each(|row| rows.push(&row));
        assert_eq!(round_trip(&client, &rows, "start_time").await, copy(&rows));
        let wrong = client
            .query(
                "SELECT start_time::text FROM time
                 WHERE (hour, day, week, month, year, weekday) IS DISTINCT FROM
                       (extract(hour FROM start_time), extract(day FROM start_time),
                        extract(week FROM start_time), extract(month FROM start_time),
                        extract(year FROM start_time), extract(dow FROM start_time))",
                &[],
            )
            .await
            .unwrap();
        let wrong: Vec<String> = wrong.iter().map(|row| row.get(0)).collect();
        assert_eq!(wrong, [""; 0]);
    }

    #[tokio::test]
    async fn the_tables_have_the_columns_and_keys_that_are_written() {
        let database = test_server::server().database();
        let client = database.connect().await;
        client.batch_execute(TABLES).await.unwrap();
        client.batch_execute(KEYS).await.unwrap();
        for table in Table::ALL {
            let columns = client
                .query(
                    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
                     WHERE attrelid = to_regclass($1) AND attnum > 0 ORDER BY attnum",
                    &[&table.name()],
                )
                .await
                .unwrap();
            let found: Vec<(String, String)> =
                columns.iter().map(|row| (row.get(0), row.get(1))).collect();
            let expected: Vec<(String, String)> = table
                .columns()
                .iter()
                .map(|Column { name, kind }| ((*name).to_owned(), server_type(*kind).to_owned()))
                .collect();
            assert_eq!(found, expected, "{table}");

            let key = "SELECT array_agg(attname::text ORDER BY attnum) FROM pg_index
                       JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
                       WHERE indisprimary AND indrelid = to_regclass($1)";
            let key: Option<Vec<String>> =
                client.query_one(key, &[&table.name()]).await.unwrap().get(0);
            let keyless = [Table::StagingEvents, Table::StagingSongs, Table::LoadErrors];
            let expected = table.key().iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(key, Some(expected).filter(|_| !keyless.contains(&table)), "{table}");
        }
    }

    /// The server's own name of a column's type.
    fn server_type(kind: Kind) -> &'static str {
        match kind {
            Kind::Int => "integer",
            Kind::BigInt => "bigint",
            Kind::Double => "double precision",
            Kind::Timestamp => "timestamp without time zone",
            Kind::Word | Kind::Text | Kind::Long => "text",
            Kind::Key => "character varying(256)",
            Kind::Json => "jsonb",
        }
    }
}
