//! The statements that Redshift knows, and what becomes of each.

use sqlparser::ast::{
    ContextModifier, Expr, Lock, ObjectName, ObjectType, SchemaName, Set, Statement as Parsed,
    TransactionAccessMode, TransactionMode, Truncate,
};
use sqlparser::dialect::RedshiftSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::TokenWithSpan;

use super::alter;
use super::copy::Copy;
use super::create;
use super::error::{Refusal, Result};
use super::query::{Check, Facts, parts};
use super::tokens::{Cursor, Statement};
use super::writes;

/// The longest statement, in bytes.
pub const LONGEST: usize = 16_777_216;

/// What to do for a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    Begin {
        read_only: bool,
    },
    Commit,
    Rollback,
    /// Runs in PostgreSQL and gives rows.
    Rows {
        sql: String,
        tag: &'static str,
    },
    /// Runs in PostgreSQL and changes rows of a table, whose number it gives.
    Changes {
        sql: String,
        tag: &'static str,
        table: String,
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
        alter::statement(statement, cursor, &check)?
    } else if cursor.word("DECLARE") {
        return Err(Refusal::unsupported("DECLARE CURSOR"));
    } else {
        other(parse(tokens)?, &check)?
    };
    check.finish()?;
    Ok(command)
}

/// Understands what the parser has read.
pub fn other(mut parsed: Parsed, check: &Check) -> Result<Command> {
    let refused = |parsed: &Parsed| {
        let text = parsed.to_string();
        let words: Vec<_> = text.split_whitespace().take(2).collect();
        Refusal::unsupported(&words.join(" "))
    };
    match &mut parsed {
        Parsed::StartTransaction { modes, modifier: None, statements, .. }
            if statements.is_empty() =>
        {
            let read_only = TransactionMode::AccessMode(TransactionAccessMode::ReadOnly);
            Ok(Command::Begin { read_only: modes.contains(&read_only) })
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
            let table = writes::insert(insert, check)?;
            Ok(Command::Changes { sql: parsed.to_string(), tag: "INSERT 0", table })
        }
        Parsed::Update(update) => {
            let table = writes::update(update, check)?;
            Ok(Command::Changes { sql: parsed.to_string(), tag: "UPDATE", table })
        }
        Parsed::Delete(delete) => {
            let table = writes::delete(delete, check)?;
            Ok(Command::Changes { sql: parsed.to_string(), tag: "DELETE", table })
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
            let sql = alter::alter(&alter.name, operation, check)?;
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
