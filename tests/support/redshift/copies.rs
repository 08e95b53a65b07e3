//! What a session does with a COPY, and where its errors are kept.

use tokio_postgres::NoTls;

use super::copy::{Copy, Failed, Rejected};
use super::error::{Refusal, Result};
use super::session::{LastCopy, Session};
use super::tokens::literal;

impl Session {
    /// Carries out a COPY, and remembers it.
    pub(super) async fn copy(&mut self, copy: &Copy) -> Result<()> {
        let query = self.shared.next_query();
        let settings = self.shared.settings();
        let fails = self.shared.faults.copy(&copy.table.name);
        let result = copy.run(&self.client, &settings, &self.shared.endpoint, query, fails).await;
        let name = &copy.table.name;
        match result {
            Ok(loaded) => {
                self.last_copy = LastCopy { id: query, count: loaded.rows as i64 };
                self.keep(&loaded.rejected, loaded.table, query).await
            }
            Err(Failed::Early(refusal)) => Err(refusal),
            Err(Failed::Late(refusal)) => {
                // The number of rows is that of the last COPY that began, the query that of the last that stayed.
                self.last_copy.count = 0;
                self.last_copy_before.count = 0;
                Err(refusal)
            }
            Err(Failed::Data { rejected, table }) => {
                self.last_copy = LastCopy { id: query, count: 0 };
                // It stays when the transaction is rolled back, for its errors to be found by.
                self.last_copy_before = self.last_copy;
                self.keep(&rejected, table, query).await?;
                let list = match settings.serverless {
                    true => "sys_load_error_detail",
                    false => "stl_load_errors",
                };
                let text = format!(
                    "Load into table '{name}' failed.  Check '{list}' system table for details."
                );
                Err(Refusal::engine(text, 8001, "COPY", query))
            }
        }
    }

    /// Keeps load errors, whatever becomes of the transaction.
    async fn keep(&self, rejected: &[Rejected], table: u32, query: i64) -> Result<()> {
        if rejected.is_empty() {
            return Ok(());
        }
        let (client, connection) = tokio_postgres::connect(&self.shared.keywords, NoTls).await?;
        let connection = tokio::spawn(connection);
        for it in rejected {
            let (column, kind, length) = match &it.column {
                Some(column) => (
                    column.name.as_str(),
                    column.type_name(),
                    column.bytes.map_or(String::new(), |bytes| bytes.to_string()),
                ),
                None => ("", "", String::new()),
            };
            let sql = format!(
                "INSERT INTO redshift_stand_in.stl_load_errors (tbl, session, query, filename, line_number, colname, \
                 type, col_length, position, raw_line, raw_field_value, err_code, err_reason) VALUES ({table}, {}, \
                 {query}, {}::char(256), {}, {}::char(127), {}::char(10), {}::char(10), 0, {}::char(1024), \
                 {}::char(1024), {}, {}::char(100))",
                self.process,
                literal(&it.file),
                it.line,
                literal(column),
                literal(kind),
                literal(&length),
                literal(&it.raw_line),
                literal(&it.raw_value),
                it.wrong.code,
                literal(&it.wrong.reason),
            );
            client.batch_execute(&sql).await?;
        }
        drop(client);
        let _ = connection.await;
        Ok(())
    }
}
