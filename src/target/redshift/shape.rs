//! The shape of tables that are there: a load goes into none that differ from its own.

use tokio_postgres::Client;

use super::sql::{self, literal};
use crate::dialect::Dialect;
use crate::error::{Error, Result};
use crate::table::{Column, Table};
use crate::target::upgrade::{REDSHIFT, Upgrade};

/// The tables of `schema` that are there, which is the first one in the search path.
pub(super) async fn present(client: &Client, schema: &str) -> Result<Vec<Table>> {
    let what = format!("can't look at the tables of the schema {schema}");
    let relations = sql::relations(client, &what).await?;
    let is_there = |table: &Table| relations.iter().any(|name| name == table.name());
    Ok(Table::ALL.into_iter().filter(is_there).collect())
}

/// Sees to it that the database tells capitals from small letters, as keys and matching do.
///
/// # Errors
///
/// It doesn't.
pub(super) async fn require_case(client: &Client) -> Result<()> {
    let what = "can't ask for the collation of the database";
    let rows = sql::rows(client, what, "SELECT db_collation()").await?;
    if rows.first().and_then(|row| row.get(0)) != Some("case_insensitive") {
        return Ok(());
    }
    Err(Error::target("the database takes capitals and small letters for the same")
        .because("its collation is CASE_INSENSITIVE, by which different songs can have one key")
        .with_help("load a database whose collation is CASE_SENSITIVE"))
}

/// What has to be done to the tables of `schema`, as far as they are there.
///
/// # Errors
///
/// They are no version's of this program; the error lists how they differ.
pub(super) async fn compare(client: &Client, schema: &str) -> Result<Upgrade> {
    let what = format!("can't look at the tables of the schema {schema}");
    let query = format!(
        "SELECT table_name, column_name, data_type, character_maximum_length
         FROM information_schema.columns
         WHERE table_schema = {}
         ORDER BY table_name, ordinal_position",
        literal(schema)
    );
    let rows = sql::rows(client, &what, &query).await?;
    let mut differences = Vec::new();
    for table in present(client, schema).await? {
        let found: Vec<(&str, String)> = rows
            .iter()
            .filter(|row| row.get(0) == Some(table.name()))
            .map(|row| (row.get(1).unwrap_or_default(), sql_type(row.get(2), row.get(3))))
            .collect();
        // What may not be seen is named when it is asked.
        if !found.is_empty() {
            differences.extend(differences_of(table, &found));
        }
    }
    REDSHIFT.upgrade(schema, differences)
}

/// How the columns that were `found` differ from those of `table`.
fn differences_of(table: Table, found: &[(&str, String)]) -> Vec<String> {
    let mut differences = Vec::new();
    for Column { name, kind } in table.columns() {
        let expected = kind.sql(Dialect::Redshift);
        match found.iter().find(|(found, _)| found == name) {
            None => differences.push(format!("{table} lacks {name} {expected}")),
            Some((_, found)) if found != expected => {
                differences.push(format!("{table}.{name} is {found} instead of {expected}"));
            }
            Some(_) => {}
        }
    }
    let is_known = |name: &str| table.columns().iter().any(|column| column.name == name);
    for (name, kind) in found.iter().filter(|(name, _)| !is_known(name)) {
        differences.push(format!("{table} has {name} {kind} besides"));
    }
    differences
}

/// A type as this program writes it.
fn sql_type(name: Option<&str>, length: Option<&str>) -> String {
    match (name.unwrap_or_default(), length) {
        ("character varying", Some(length)) => format!("VARCHAR({length})"),
        ("integer", _) => "INT".to_owned(),
        ("timestamp without time zone", _) => "TIMESTAMP".to_owned(),
        (other, _) => other.to_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_named() {
        let columns = |types: &[(&'static str, &str)]| -> Vec<(&str, String)> {
            types.iter().map(|(name, kind)| (*name, (*kind).to_owned())).collect()
        };
        let same = columns(&[
            ("user_id", "INT"),
            ("first_name", "VARCHAR(1024)"),
            ("last_name", "VARCHAR(1024)"),
            ("gender", "VARCHAR(64)"),
            ("level", "VARCHAR(64)"),
        ]);
        assert_eq!(differences_of(Table::Users, &same), [""; 0]);
        let other = columns(&[
            ("user_id", "BIGINT"),
            ("first_name", "VARCHAR(1024)"),
            ("gender", "VARCHAR(64)"),
            ("level", "VARCHAR(64)"),
            ("age", "INT"),
        ]);
        assert_eq!(
            differences_of(Table::Users, &other),
            [
                "users.user_id is BIGINT instead of INT",
                "users lacks last_name VARCHAR(1024)",
                "users has age INT besides",
            ]
        );
        assert_eq!(sql_type(Some("character varying"), Some("64")), "VARCHAR(64)");
        assert_eq!(sql_type(Some("double precision"), None), "DOUBLE PRECISION");
    }

    /// The statement that makes each table says what the encoders write.
    #[test]
    fn the_tables_have_the_columns_that_are_written() {
        let statements = super::super::publish::TABLES;
        for table in Table::ALL {
            let (_, rest) = statements
                .split_once(&format!("EXISTS {table} ("))
                .or_else(|| statements.split_once(&format!("EXISTS \"{table}\" (")))
                .unwrap();
            let (body, _) = rest.split_once("\n)").unwrap();
            let column = |line: &str| {
                let line = line.trim().replace('"', "");
                let (name, rest) = line.split_once(' ')?;
                let end = [" NOT NULL", " ENCODE", ","]
                    .into_iter()
                    .filter_map(|end| rest.find(end))
                    .min();
                (name.chars().all(|it| it.is_ascii_lowercase() || it == '_'))
                    .then(|| (name.to_owned(), rest[..end.unwrap_or(rest.len())].to_owned()))
            };
            let found: Vec<_> = body.lines().filter_map(column).collect();
            let expected: Vec<_> = table
                .columns()
                .iter()
                .map(|Column { name, kind }| {
                    ((*name).to_owned(), kind.sql(Dialect::Redshift).to_owned())
                })
                .collect();
            assert_eq!(found, expected, "{table}");
        }
    }
}
