//! What a session answers: rows, or that something is done.

use pgwire::api::results::{FieldFormat, FieldInfo};
use pgwire::messages::data::DataRow;

/// What a statement gives.
#[derive(Debug)]
pub enum Answer {
    Rows { fields: Vec<FieldInfo>, rows: Vec<DataRow>, tag: String },
    Done(String),
}

/// What a prepared statement's columns are.
pub fn fields(
    statement: &tokio_postgres::Statement,
    format: impl Fn(usize) -> FieldFormat,
) -> Vec<FieldInfo> {
    let columns = statement.columns().iter().enumerate();
    columns
        .map(|(at, it)| {
            FieldInfo::new(it.name().to_owned(), None, None, it.type_().clone(), format(at))
        })
        .collect()
}

/// A row as it goes over the wire.
pub fn data_row<'a>(values: impl Iterator<Item = Option<&'a [u8]>>) -> DataRow {
    let mut data = bytes::BytesMut::new();
    let mut count = 0;
    for value in values {
        count += 1;
        match value {
            Some(value) => {
                data.extend_from_slice(&(value.len() as i32).to_be_bytes());
                data.extend_from_slice(value);
            }
            None => data.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
    }
    DataRow::new(data, count)
}
