//! CREATE TABLE.
//!
//! Keys and encodings are checked and then forgotten, but for a note of the table's keys; nothing enforces them.

use sqlparser::ast::{
    ColumnDef, ColumnOption, CreateTable, CreateTableLikeKind, Statement as Parsed, TableConstraint,
};
use sqlparser::tokenizer::TokenWithSpan;

use super::attributes::{Attributes, encode, separate};
use super::columns;
use super::error::{Refusal, Result};
use super::query::{Check, name};
use super::sql::parse;
use super::tokens::{Cursor, literal, quoted};

/// Whether it is a CREATE TABLE of any kind.
pub fn is_it(tokens: &[TokenWithSpan]) -> bool {
    let mut cursor = Cursor::new(tokens);
    cursor.word("CREATE")
        && (cursor.word("TABLE")
            || (cursor.word("LOCAL") || cursor.word("TEMP") || cursor.word("TEMPORARY"))
                && (cursor.word("TABLE") || cursor.word("TEMP") || cursor.word("TEMPORARY")))
}

/// The statements that make the table in PostgreSQL.
pub fn create(tokens: &[TokenWithSpan], check: &Check) -> Result<Vec<String>> {
    let (kept, attributes) = separate(tokens)?;
    let Parsed::CreateTable(mut table) = parse(&kept)? else {
        return Err(Refusal::syntax("CREATE"));
    };
    check.target(&table.name)?;
    if let Some(option) = foreign(&table) {
        return Err(Refusal::syntax(option));
    }
    if let Some(query) = &mut table.query {
        if table.if_not_exists {
            return Err(Refusal::syntax("AS"));
        }
        table.columns.iter().try_for_each(|it| name(&it.name).map(drop))?;
        check.query(query)?;
        if check.leader.borrow().is_some() {
            check.user.set(true);
        }
        return Ok(from_query(&table, &attributes));
    }
    match &table.like {
        Some(CreateTableLikeKind::Parenthesized(_)) if attributes.any => {
            Err(Refusal::syntax("LIKE"))
        }
        Some(CreateTableLikeKind::Parenthesized(like)) => {
            check.target(&like.name)?;
            let head = head(&table);
            Ok(vec![format!("{head} (LIKE {} INCLUDING CONSTRAINTS)", like.name)])
        }
        Some(CreateTableLikeKind::Plain(_)) => Err(Refusal::syntax("LIKE")),
        None => from_columns(&table, &attributes, check),
    }
}

/// What PostgreSQL or another dialect has, and Redshift not.
fn foreign(table: &CreateTable) -> Option<&'static str> {
    [
        (table.unlogged, "UNLOGGED"),
        (table.or_replace, "OR"),
        (table.on_commit.is_some(), "ON"),
        (table.inherits.is_some(), "INHERITS"),
        (table.partition_of.is_some() || table.partition_by.is_some(), "PARTITION"),
        (table.clone.is_some(), "CLONE"),
    ]
    .into_iter()
    .find_map(|(is_there, name)| is_there.then_some(name))
}

fn head(table: &CreateTable) -> String {
    let temporary = if table.temporary { "TEMP " } else { "" };
    let not_exists = if table.if_not_exists { "IF NOT EXISTS " } else { "" };
    format!("CREATE {temporary}TABLE {not_exists}{}", table.name)
}

fn from_query(table: &CreateTable, attributes: &Attributes) -> Vec<String> {
    let names: Vec<_> = table.columns.iter().map(|it| it.name.to_string()).collect();
    let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
    let query = table.query.as_ref().map(ToString::to_string).unwrap_or_default();
    let name = table.name.to_string();
    let mut statements = vec![format!("{}{names} AS {query}", head(table)), columns::settle(&name)];
    for key in attributes.dist_keys.iter().chain(&attributes.sort_keys) {
        statements.push(format!("SELECT {} FROM {name} LIMIT 0", quoted(key)));
    }
    statements.push(note(&name, attributes, &[]));
    statements
}

fn from_columns(
    table: &CreateTable,
    attributes: &Attributes,
    check: &Check,
) -> Result<Vec<String>> {
    let mut primary = Vec::new();
    let mut statements = Vec::new();
    let mut refer = |name: &sqlparser::ast::ObjectName| -> Result<()> {
        check.target(name)?;
        if *name != table.name {
            statements.push(format!("SELECT 1 FROM {name} LIMIT 0"));
        }
        Ok(())
    };
    let names = table.columns.iter().map(|it| name(&it.name)).collect::<Result<Vec<_>>>()?;
    let known = |name: &str| match names.iter().any(|it| it == name) {
        true => Ok(()),
        false => {
            Err(Refusal::new("42703", format!("column \"{name}\" named in key does not exist")))
        }
    };
    for constraint in &table.constraints {
        match constraint {
            TableConstraint::PrimaryKey(key) => {
                for column in &key.columns {
                    let name = column.column.expr.to_string();
                    let name = name.trim_matches('"').to_owned();
                    known(&name)?;
                    primary.push(name);
                }
            }
            TableConstraint::Unique(key) => {
                for column in &key.columns {
                    known(column.column.expr.to_string().trim_matches('"'))?;
                }
            }
            TableConstraint::ForeignKey(key) => {
                key.columns.iter().try_for_each(|it| known(&name(it)?))?;
                refer(&key.foreign_table)?;
            }
            other => {
                return Err(Refusal::new(
                    "0A000",
                    format!("{other} constraints are not supported"),
                ));
            }
        }
    }
    for key in attributes.dist_keys.iter().chain(&attributes.sort_keys) {
        known(key)?;
    }
    let mut lines = Vec::new();
    for ColumnDef { name: ident, data_type, options } in &table.columns {
        let column = columns::column_type(data_type)?;
        let key = name(ident)?;
        for (_, encoding) in attributes.encodings.iter().filter(|(of, _)| *of == key) {
            encode(encoding, column.kind, &key)?;
        }
        let mut line = format!("{ident} {}", column.sql);
        let mut is_not_null = primary.contains(&key);
        for option in options {
            match &option.option {
                ColumnOption::Null => {}
                ColumnOption::NotNull | ColumnOption::PrimaryKey(_) => is_not_null = true,
                ColumnOption::Unique(_) => {}
                ColumnOption::ForeignKey(key) => refer(&key.foreign_table)?,
                ColumnOption::Default(value) => {
                    let mut value = value.clone();
                    check.expr(&mut value)?;
                    line += &format!(" DEFAULT {value}");
                }
                other => return Err(Refusal::unsupported(&format!("the column option {other}"))),
            }
        }
        if is_not_null {
            line += " NOT NULL";
        }
        lines.push(line);
        lines.extend(column.bytes.map(|bytes| columns::limit(&key, bytes)));
    }
    if lines.is_empty() {
        return Err(Refusal::new("42601", "table must have at least one column"));
    }
    statements.push(format!("{} ({})", head(table), lines.join(", ")));
    statements.push(note(&table.name.to_string(), attributes, &primary));
    Ok(statements)
}

/// Keeps a table's keys in a comment, for the views that show them.
fn note(table: &str, attributes: &Attributes, primary: &[String]) -> String {
    let style = match (attributes.style.as_deref(), attributes.dist_keys.first()) {
        (_, Some(key)) => format!("KEY({key})"),
        (None | Some("AUTO"), None) => "AUTO(ALL)".to_owned(),
        (Some(style), None) => style.to_owned(),
    };
    // Of a key of several columns none alone is distinct.
    let key = if let [key] = primary { key } else { "" };
    let comment = literal(&format!("{style};{};{key}", attributes.sort_keys.join(",")));
    let name = literal(table);
    format!(
        "DO $$ BEGIN IF obj_description({name}::regclass, 'pg_class') IS NULL THEN \
         EXECUTE format('COMMENT ON TABLE %s IS %L', {name}, {comment}); END IF; END $$"
    )
}
