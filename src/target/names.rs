//! Names: how the program's own SQL finds its tables, while nothing else is found but in `pg_catalog`.
//!
//! Everyone who may make things in a schema that a session looks names up in can put an operator or a function there which
//! fits our SQL better than the server's own: `bigint * interval`, which the server has not, wins over
//! `double precision * interval`, which it has. So SQL that is not run in a schema of our own is run with `pg_catalog`
//! as the search path, and its tables are told by name and schema.

use tokio_postgres::Client;

use super::{Database, failed, quoted};
use crate::error::Result;
use crate::table::Table;

/// Makes a transaction find nothing but what is the server's, and its own temporary tables.
pub(crate) const OWN: &str = "SET LOCAL search_path = pg_catalog, pg_temp";

/// Makes the session of `client` find nothing by its name alone but what is the server's own.
pub(super) async fn find_own(client: &Client) -> Result<()> {
    let what = |cause| failed("can't set the search path", cause);
    client.batch_execute("SET search_path = pg_catalog").await.map_err(what)
}

/// Opens a connection whose session does so.
pub(super) async fn connect(database: &Database) -> Result<Client> {
    let client = database.connect().await?;
    find_own(&client).await?;
    Ok(client)
}

/// Words that a table's name follows.
const BEFORE: [&str; 6] = ["FROM", "JOIN", "INTO", "ON", "TABLE", "UPDATE"];

/// `sql`, which is the program's own, with `schema` before the names of its tables.
pub(crate) fn in_schema(schema: &str, sql: &str) -> String {
    let mut result = String::with_capacity(sql.len() + 100);
    let mut rest = sql;
    let mut table_comes = false;
    while let Some(first) = rest.chars().next() {
        let (token, after) = rest.split_at(token_bytes(rest, first));
        rest = after;
        let is_table = Table::ALL.iter().any(|table| table.name() == token.trim_matches('"'));
        if table_comes && is_table && !rest.starts_with('.') {
            result += &quoted(schema);
            result.push('.');
        }
        result += token;
        if !first.is_whitespace() && !token.starts_with("--") {
            table_comes = BEFORE.iter().any(|word| token.eq_ignore_ascii_case(word));
        }
    }
    result
}

/// How long the token is that `text` begins with: a comment, something in quotes, a word, or another character.
fn token_bytes(text: &str, first: char) -> usize {
    let rest = &text[first.len_utf8()..];
    let of_rest = match first {
        '-' if rest.starts_with('-') => rest.find('\n').unwrap_or(rest.len()),
        '\'' | '"' => rest.find(first).map_or(rest.len(), |end| end + 1),
        _ if is_in_word(first) => rest.find(|it| !is_in_word(it)).unwrap_or(rest.len()),
        _ => 0,
    };
    first.len_utf8() + of_rest
}

fn is_in_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_get_the_schema_where_they_are_named_as_such() {
        for (sql, expected) in [
            ("SELECT time FROM time", r#"SELECT time FROM "s".time"#),
            (r#"FROM "time" t JOIN users"#, r#"FROM "s"."time" t JOIN "s".users"#),
            ("FROM songplays)", r#"FROM "s".songplays)"#),
            ("extract(hour FROM start_time)", "extract(hour FROM start_time)"),
            ("JOIN a ON songplays.start_time = b", "JOIN a ON songplays.start_time = b"),
            ("UPDATE load_objects\nSET run = 1", "UPDATE \"s\".load_objects\nSET run = 1"),
            ("INSERT INTO load_runs (\"time\")", "INSERT INTO \"s\".load_runs (\"time\")"),
            ("CREATE INDEX i ON songs (song_id)", r#"CREATE INDEX i ON "s".songs (song_id)"#),
            ("LOCK TABLE artists IN", r#"LOCK TABLE "s".artists IN"#),
            ("FROM touched_songs, (SELECT 1)", "FROM touched_songs, (SELECT 1)"),
            ("'FROM songs' -- FROM users\n", "'FROM songs' -- FROM users\n"),
            ("FROM -- the plays\n songplays", "FROM -- the plays\n \"s\".songplays"),
        ] {
            assert_eq!(in_schema("s", sql), expected);
        }
        assert_eq!(in_schema("a\"\nb", "FROM users"), "FROM \"a\"\"\nb\".users");
    }
}
