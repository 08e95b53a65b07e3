//! The statements that Redshift knows, and what becomes of each.

use sqlparser::ast::{
    AlterTableOperation, Assignment, AssignmentTarget, BinaryOperator, ContextModifier, Delete,
    Expr, FromTable, Insert, Lock, ObjectName, ObjectType, RenameTableNameKind, SchemaName, Set,
    SetExpr, Statement as Parsed, TableFactor, TableObject, Truncate, Update, UpdateTableFromKind,
};
use sqlparser::dialect::RedshiftSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::TokenWithSpan;

use super::columns;
use super::copy::Copy;
use super::create;
use super::error::{Refusal, Result};
use super::query::{Check, Facts, parts};
use super::tokens::{Cursor, Statement, quoted};

/// The longest statement, in bytes.
pub const LONGEST: usize = 16_777_216;

/// What to do for a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    Begin,
    Commit,
    Rollback,
    /// Runs in PostgreSQL and gives rows.
    Rows {
        sql: String,
        tag: &'static str,
    },
    /// Runs in PostgreSQL and gives a number of rows.
    Changes {
        sql: String,
        tag: &'static str,
    },
    /// Runs in PostgreSQL, one after the other.
    Run {
        sql: Vec<String>,
        tag: &'static str,
    },
    /// Takes effect at once, with all that the transaction has done.
    Truncate {
        sql: String,
    },
    /// Runs outside of a transaction only.
    Alone {
        sql: Vec<String>,
        tag: &'static str,
    },
    Copy(Box<Copy>),
}

/// Parses what stands between two semicolons.
pub fn parse(tokens: &[TokenWithSpan]) -> Result<Parsed> {
    let dialect = RedshiftSqlDialect {};
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens.to_vec());
    let wrong = |error| Refusal::new("42601", format!("syntax error: {error}"));
    let parsed = parser.parse_statement().map_err(wrong)?;
    let rest = parser.peek_token();
    match rest.token {
        sqlparser::tokenizer::Token::EOF => Ok(parsed),
        other => Err(Refusal::syntax(&other.to_string())),
    }
}

/// Understands a statement, or refuses it.
pub fn understand(statement: &Statement, facts: Facts) -> Result<Command> {
    let length = statement.text.len();
    if length > LONGEST {
        // As reported in psycopg/psycopg2#1091.
        let text = format!(
            "Statement is too large. Statement Size: {length} bytes. Maximum Allowed: {LONGEST} bytes"
        );
        return Err(Refusal::new("42601", text));
    }
    let check = Check::new(facts);
    let tokens = &statement.tokens[..];
    let mut cursor = Cursor::new(tokens);
    let command = if cursor.word("COPY") {
        let copy = Copy::parse(cursor)?;
        check.target(&copy.table.object())?;
        Command::Copy(Box::new(copy))
    } else if create::is_it(tokens) {
        let is_query = tokens.iter().any(|it| it.token.to_string().eq_ignore_ascii_case("select"));
        let tag = if is_query { "SELECT" } else { "CREATE TABLE" };
        Command::Run { sql: create::create(tokens, &check)?, tag }
    } else if cursor.words(&["ALTER", "TABLE"]) {
        alter_table(statement, cursor, &check)?
    } else if cursor.word("DECLARE") {
        return Err(Refusal::unsupported("DECLARE CURSOR"));
    } else {
        other(parse(tokens)?, &check)?
    };
    check.finish()?;
    Ok(command)
}

/// What follows ALTER TABLE; the parser knows neither of the two that are read here.
fn alter_table(statement: &Statement, mut cursor: Cursor<'_>, check: &Check) -> Result<Command> {
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
    other(parse(&statement.tokens)?, check)
}

fn other(mut parsed: Parsed, check: &Check) -> Result<Command> {
    let refused = |parsed: &Parsed| {
        let text = parsed.to_string();
        let words: Vec<_> = text.split_whitespace().take(2).collect();
        Refusal::unsupported(&words.join(" "))
    };
    match &mut parsed {
        Parsed::StartTransaction { modifier: None, statements, .. } if statements.is_empty() => {
            Ok(Command::Begin)
        }
        Parsed::Commit { chain: false, modifier: None, .. } => Ok(Command::Commit),
        Parsed::Rollback { chain: false, savepoint: None } => Ok(Command::Rollback),
        Parsed::Query(query) => {
            check.query(query)?;
            Ok(Command::Rows { sql: parsed.to_string(), tag: "SELECT" })
        }
        Parsed::Explain { statement, analyze: false, options: None, format: None, .. } => {
            let (Command::Rows { sql, .. } | Command::Changes { sql, .. }) =
                other(statement.as_ref().clone(), check)?
            else {
                return Err(Refusal::unsupported("EXPLAIN of it"));
            };
            Ok(Command::Rows { sql: format!("EXPLAIN {sql}"), tag: "EXPLAIN" })
        }
        Parsed::Insert(insert) => {
            self::insert(insert, check)?;
            Ok(Command::Changes { sql: parsed.to_string(), tag: "INSERT 0" })
        }
        Parsed::Update(update) => {
            self::update(update, check)?;
            Ok(Command::Changes { sql: parsed.to_string(), tag: "UPDATE" })
        }
        Parsed::Delete(delete) => {
            self::delete(delete, check)?;
            Ok(Command::Changes { sql: parsed.to_string(), tag: "DELETE" })
        }
        Parsed::Set(set) => self::set(set),
        Parsed::ShowVariable { variable } => {
            let name = variable.iter().map(|it| it.value.to_lowercase()).collect::<Vec<_>>();
            match setting(&name.join("_"))? {
                Setting::Theirs => Ok(Command::Rows { sql: parsed.to_string(), tag: "SHOW" }),
                Setting::Ignored => Err(Refusal::unsupported("SHOW of it")),
            }
        }
        Parsed::Truncate(Truncate {
            table_names,
            partitions: None,
            if_exists: false,
            identity: None,
            cascade: None,
            ..
        }) => {
            let [table] = &table_names[..] else { return Err(Refusal::syntax(",")) };
            if table.only || table.has_asterisk {
                return Err(Refusal::syntax("ONLY"));
            }
            check.target(&table.name)?;
            Ok(Command::Truncate { sql: format!("TRUNCATE {}", table.name) })
        }
        Parsed::Lock(Lock { tables, lock_mode: None, nowait: false }) => {
            let mut names = Vec::new();
            for table in tables {
                if table.only || table.has_asterisk {
                    return Err(Refusal::syntax("ONLY"));
                }
                check.target(&table.name)?;
                names.push(table.name.to_string());
            }
            let sql = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", names.join(", "));
            Ok(Command::Run { sql: vec![sql], tag: "LOCK TABLE" })
        }
        Parsed::Lock(_) => Err(Refusal::syntax("IN")),
        Parsed::CreateSchema {
            schema_name,
            or_replace: false,
            with: None,
            options: None,
            default_collate_spec: None,
            clone: None,
            ..
        } => {
            if let SchemaName::Simple(name) | SchemaName::NamedAuthorization(name, _) = schema_name
            {
                check_schema(name)?;
            }
            Ok(Command::Run { sql: vec![parsed.to_string()], tag: "CREATE SCHEMA" })
        }
        Parsed::CreateView(view) => {
            if view.temporary || view.materialized || view.if_not_exists || view.or_alter {
                return Err(Refusal::syntax("VIEW"));
            }
            if view.with_no_schema_binding {
                return Err(Refusal::unsupported("WITH NO SCHEMA BINDING"));
            }
            check.target(&view.name)?;
            check.query(&mut view.query)?;
            Ok(Command::Run { sql: vec![parsed.to_string()], tag: "CREATE VIEW" })
        }
        Parsed::Drop {
            object_type, names, purge: false, temporary: false, table: None, ..
        } => {
            let tag = match object_type {
                ObjectType::Table => "DROP TABLE",
                ObjectType::View => "DROP VIEW",
                ObjectType::Schema => "DROP SCHEMA",
                _ => return Err(refused(&parsed)),
            };
            for name in names {
                if *object_type == ObjectType::Schema {
                    check_schema(name)?;
                } else {
                    check.target(name)?;
                }
            }
            Ok(Command::Run { sql: vec![parsed.to_string()], tag })
        }
        Parsed::AlterTable(alter) => {
            if alter.if_exists || alter.only {
                return Err(Refusal::syntax(if alter.only { "ONLY" } else { "IF" }));
            }
            check.target(&alter.name)?;
            let [operation] = &alter.operations[..] else { return Err(Refusal::syntax(",")) };
            let sql = self::alter(&alter.name, operation, check)?;
            Ok(Command::Run { sql: vec![sql], tag: "ALTER TABLE" })
        }
        Parsed::Grant(_) => Ok(Command::Run { sql: vec![parsed.to_string()], tag: "GRANT" }),
        Parsed::Revoke(_) => Ok(Command::Run { sql: vec![parsed.to_string()], tag: "REVOKE" }),
        Parsed::Analyze(analyze) => {
            if analyze.for_columns || analyze.partitions.is_some() || analyze.has_table_keyword {
                return Err(Refusal::syntax("TABLE"));
            }
            analyze.table_name.iter().try_for_each(|it| check.target(it))?;
            Ok(Command::Run { sql: vec![parsed.to_string()], tag: "ANALYZE" })
        }
        Parsed::Vacuum(vacuum) => {
            vacuum.table_name.iter().try_for_each(|it| check.target(it))?;
            let sql = vacuum.table_name.iter().map(|it| format!("SELECT 1 FROM {it} LIMIT 0"));
            Ok(Command::Alone { sql: sql.collect(), tag: "VACUUM" })
        }
        _ => Err(refused(&parsed)),
    }
}

fn check_schema(name: &ObjectName) -> Result<()> {
    match &parts(name)?[..] {
        [name] if name.starts_with("pg_") || name == super::query::SCHEMA => {
            Err(Refusal::new("42939", format!("unacceptable schema name \"{name}\"")))
        }
        [_] => Ok(()),
        _ => Err(Refusal::syntax(".")),
    }
}

fn insert(insert: &mut Insert, check: &Check) -> Result<()> {
    if insert.on.is_some() {
        return Err(Refusal::syntax("ON"));
    }
    if insert.returning.is_some() {
        return Err(Refusal::syntax("RETURNING"));
    }
    if insert.table_alias.is_some() {
        return Err(Refusal::syntax("AS"));
    }
    if insert.overriding.is_some() {
        return Err(Refusal::syntax("OVERRIDING"));
    }
    let TableObject::TableName(name) = &insert.table else { return Err(Refusal::syntax("(")) };
    check.target(name)?;
    insert.columns.iter().try_for_each(|it| parts(it).map(drop))?;
    let Some(source) = &mut insert.source else { return Ok(()) };
    match &mut *source.body {
        SetExpr::Values(values) => {
            if source.order_by.is_some() || source.limit_clause.is_some() {
                return Err(Refusal::syntax("LIMIT"));
            }
            check.values(values)
        }
        _ => check.query(source),
    }
}

fn update(update: &mut Update, check: &Check) -> Result<()> {
    if update.returning.is_some() {
        return Err(Refusal::syntax("RETURNING"));
    }
    if !update.table.joins.is_empty() || update.limit.is_some() || !update.order_by.is_empty() {
        return Err(Refusal::syntax("JOIN"));
    }
    let TableFactor::Table { name, alias, .. } = &update.table.relation else {
        return Err(Refusal::syntax("("));
    };
    check.target(name)?;
    let called = match alias {
        Some(alias) => super::query::name(&alias.name)?,
        None => parts(name)?.pop().unwrap_or_default(),
    };
    for Assignment { target, value } in &mut update.assignments {
        let AssignmentTarget::ColumnName(column) = target else {
            return Err(Refusal::syntax("("));
        };
        parts(column)?;
        check.expr(value)?;
    }
    match &mut update.from {
        None => {}
        Some(UpdateTableFromKind::AfterSet(tables)) => {
            check.tables(tables)?;
            joined(update.selection.as_ref(), &called)?;
        }
        Some(UpdateTableFromKind::BeforeSet(_)) => return Err(Refusal::syntax("FROM")),
    }
    update.selection.iter_mut().try_for_each(|it| check.expr(it))
}

fn delete(delete: &mut Delete, check: &Check) -> Result<()> {
    if delete.returning.is_some() {
        return Err(Refusal::syntax("RETURNING"));
    }
    if delete.limit.is_some() || !delete.order_by.is_empty() || !delete.tables.is_empty() {
        return Err(Refusal::syntax("LIMIT"));
    }
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let [table] = &from[..] else { return Err(Refusal::syntax(",")) };
    let TableFactor::Table { name, alias, .. } = &table.relation else {
        return Err(Refusal::syntax("("));
    };
    // AWS's grammar of DELETE has a table's name there and nothing else.
    if alias.is_some() || !table.joins.is_empty() {
        return Err(Refusal::syntax("AS"));
    }
    check.target(name)?;
    if let Some(using) = &mut delete.using {
        check.tables(using)?;
        joined(delete.selection.as_ref(), &parts(name)?.pop().unwrap_or_default())?;
    }
    delete.selection.iter_mut().try_for_each(|it| check.expr(it))
}

/// Holds an UPDATE or DELETE that reads other tables to Redshift's rule: the table itself is equal to one of them in
/// some column. Names without a table before them say nothing here, so they are no proof.
fn joined(selection: Option<&Expr>, table: &str) -> Result<()> {
    if selection.is_some_and(|it| is_joined(it, table)) {
        return Ok(());
    }
    Err(Refusal::new("0A000", "Target table must be part of an equijoin predicate"))
}

fn is_joined(condition: &Expr, table: &str) -> bool {
    match condition {
        Expr::Nested(inner) => is_joined(inner, table),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            is_joined(left, table) || is_joined(right, table)
        }
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
            match (table_of(left), table_of(right)) {
                (Some(left), Some(right)) => (left == table) != (right == table),
                _ => false,
            }
        }
        _ => false,
    }
}

/// The table of the column that an expression is, cast or not.
fn table_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::CompoundIdentifier(names) => super::query::name(names.iter().nth_back(1)?).ok(),
        Expr::Cast { expr, .. } | Expr::Nested(expr) => table_of(expr),
        _ => None,
    }
}

fn alter(table: &ObjectName, operation: &AlterTableOperation, check: &Check) -> Result<String> {
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
                    sqlparser::ast::ColumnOption::Null => {}
                    sqlparser::ast::ColumnOption::NotNull => sql += " NOT NULL",
                    sqlparser::ast::ColumnOption::Default(value) => {
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

/// What there is to set.
enum Setting {
    /// It means the same to PostgreSQL.
    Theirs,
    /// It has no effect here.
    Ignored,
}

fn setting(name: &str) -> Result<Setting> {
    match name {
        "search_path" | "statement_timeout" | "application_name" | "datestyle" | "timezone"
        | "time_zone" => Ok(Setting::Theirs),
        "query_group" | "enable_result_cache_for_session" => Ok(Setting::Ignored),
        _ => {
            let text = format!("unrecognized configuration parameter \"{name}\"");
            Err(Refusal::new("42704", text))
        }
    }
}

fn set(set: &mut Set) -> Result<Command> {
    let ignored = || Ok(Command::Run { sql: Vec::new(), tag: "SET" });
    match set {
        Set::SingleAssignment { scope, hivevar: false, variable, values } => {
            if let Some(ContextModifier::Global) = scope {
                return Err(Refusal::syntax("GLOBAL"));
            }
            for value in values.iter() {
                match value {
                    Expr::Identifier(_) => {}
                    Expr::Value(value) => super::expr::constant(&value.value)?,
                    other => return Err(Refusal::syntax(&other.to_string())),
                }
            }
            match setting(&parts(variable)?.join("."))? {
                Setting::Ignored => ignored(),
                Setting::Theirs => {
                    Ok(Command::Run { sql: vec![Parsed::Set(set.clone()).to_string()], tag: "SET" })
                }
            }
        }
        Set::SetTimeZone { .. } => {
            Ok(Command::Run { sql: vec![Parsed::Set(set.clone()).to_string()], tag: "SET" })
        }
        Set::SetTransaction { snapshot: None, .. } => ignored(),
        other => Err(Refusal::unsupported(&other.to_string())),
    }
}
