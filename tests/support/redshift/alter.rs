//! ALTER TABLE: one change at a time, of few kinds.

use sqlparser::ast::{AlterTableOperation, ColumnOption, ObjectName, RenameTableNameKind};

use super::columns;
use super::error::{Refusal, Result};
use super::query::{Check, parts};
use super::sql::{self, Command};
use super::tokens::{Cursor, Statement, quoted};

/// What follows ALTER TABLE; the parser knows neither of the two that are read here.
pub fn statement(statement: &Statement, mut cursor: Cursor<'_>, check: &Check) -> Result<Command> {
    if let Ok(table) = cursor.table() {
        if cursor.word("APPEND") {
            let text = "ALTER TABLE APPEND cannot run inside a transaction block";
            return Err(Refusal::new("25001", text));
        }
        if cursor.words(&["OWNER", "TO"]) {
            check.target(&table.object())?;
            let sql = format!("ALTER TABLE {} OWNER TO {}", table.sql(), quoted(&cursor.name()?));
            return match cursor.is_done() {
                true => Ok(Command::Run { sql: vec![sql], tag: "ALTER TABLE" }),
                false => Err(cursor.wrong()),
            };
        }
    }
    sql::other(sql::parse(&statement.tokens)?, check)
}

/// What one operation is to PostgreSQL.
pub fn alter(table: &ObjectName, operation: &AlterTableOperation, check: &Check) -> Result<String> {
    match operation {
        AlterTableOperation::RenameTable { table_name: RenameTableNameKind::To(name) } => {
            let [_] = &parts(name)?[..] else { return Err(Refusal::syntax(".")) };
            Ok(format!("ALTER TABLE {table} {operation}"))
        }
        AlterTableOperation::RenameColumn { .. } => Ok(format!("ALTER TABLE {table} {operation}")),
        AlterTableOperation::DropColumn { if_exists: false, column_names, .. }
            if column_names.len() == 1 =>
        {
            Ok(format!("ALTER TABLE {table} {operation}"))
        }
        AlterTableOperation::AddColumn {
            if_not_exists: false,
            column_def,
            column_position: None,
            ..
        } => {
            let column = columns::column_type(&column_def.data_type)?;
            let name = &column_def.name;
            let mut sql = format!("ALTER TABLE {table} ADD COLUMN {name} {}", column.sql);
            for option in &column_def.options {
                match &option.option {
                    ColumnOption::Null => {}
                    ColumnOption::NotNull => sql += " NOT NULL",
                    ColumnOption::Default(value) => {
                        let mut value = value.clone();
                        check.expr(&mut value)?;
                        sql += &format!(" DEFAULT {value}");
                    }
                    other => return Err(Refusal::unsupported(&other.to_string())),
                }
            }
            if let Some(bytes) = column.bytes {
                let name = parts(&vec![name.clone()].into())?.concat();
                sql += &format!(", ADD {}", columns::limit(&name, bytes));
            }
            Ok(sql)
        }
        other => {
            let text = other.to_string();
            let words: Vec<_> = text.split_whitespace().take(2).collect();
            Err(Refusal::unsupported(&format!("ALTER TABLE {}", words.join(" "))))
        }
    }
}
