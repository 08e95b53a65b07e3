//! CREATE TABLE: Redshift's attributes of tables and columns are read by hand, since they come in any order, and the rest
//! is for the parser.
//!
//! Keys and encodings are checked and then forgotten, but for a note of the table's keys; nothing enforces them.

use sqlparser::ast::{
    ColumnDef, ColumnOption, CreateTable, CreateTableLikeKind, Statement as Parsed, TableConstraint,
};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::columns::{self, Kind};
use super::error::{Refusal, Result};
use super::query::{Check, name};
use super::sql::parse;
use super::tokens::{Cursor, literal, quoted};

/// What stands in a CREATE TABLE for Redshift alone.
#[derive(Debug, Default)]
struct Attributes {
    style: Option<String>,
    dist_keys: Vec<String>,
    sort_keys: Vec<String>,
    /// Encodings by the columns' names.
    encodings: Vec<(String, String)>,
    any: bool,
}

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
    statements.push(note(&name, attributes));
    statements
}

fn from_columns(
    table: &CreateTable,
    attributes: &Attributes,
    check: &Check,
) -> Result<Vec<String>> {
    let mut not_null = Vec::new();
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
                    not_null.push(name);
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
        let mut is_not_null = not_null.contains(&key);
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
    statements.push(note(&table.name.to_string(), attributes));
    Ok(statements)
}

/// Keeps a table's keys in a comment, for the views that show them.
fn note(table: &str, attributes: &Attributes) -> String {
    let style = match (attributes.style.as_deref(), attributes.dist_keys.first()) {
        (_, Some(key)) => format!("KEY({key})"),
        (None | Some("AUTO"), None) => "AUTO(ALL)".to_owned(),
        (Some(style), None) => style.to_owned(),
    };
    let comment = literal(&format!("{style};{}", attributes.sort_keys.join(",")));
    let name = literal(table);
    format!(
        "DO $$ BEGIN IF obj_description({name}::regclass, 'pg_class') IS NULL THEN \
         EXECUTE format('COMMENT ON TABLE %s IS %L', {name}, {comment}); END IF; END $$"
    )
}

/// Takes Redshift's attributes out of the statement.
fn separate(tokens: &[TokenWithSpan]) -> Result<(Vec<TokenWithSpan>, Attributes)> {
    let mut kept = Vec::new();
    let mut attributes = Attributes::default();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let is_end = Cursor::new(&tokens[at..]).peek_word().is_some_and(|word| {
            ["AS", "BACKUP", "DISTSTYLE", "DISTKEY", "COMPOUND", "INTERLEAVED", "SORTKEY", "ENCODE"]
                .contains(&word.as_str())
        });
        if is_end {
            break;
        }
        at += 1;
        // `LOCAL` means nothing, and the parser does not know it.
        if Cursor::new(&tokens[at - 1..at]).word("LOCAL") {
            continue;
        }
        kept.push(token.clone());
        if token.token == Token::LParen {
            at = columns_of(tokens, at, &mut kept, &mut attributes)?;
            break;
        }
    }
    let mut cursor = Cursor::new(&tokens[at..]);
    while !cursor.is_done() && cursor.peek_word().as_deref() != Some("AS") {
        table_attribute(&mut cursor, &mut attributes)?;
    }
    kept.extend_from_slice(cursor.rest());
    match (attributes.style.as_deref(), attributes.dist_keys.len()) {
        (Some("KEY"), 0) => Err(Refusal::new("42601", "DISTSTYLE KEY requires a DISTKEY column")),
        (Some(style @ ("ALL" | "EVEN" | "AUTO")), 1..) => {
            let text = format!("Cannot specify DISTKEY with DISTSTYLE {style}");
            Err(Refusal::new("42601", text))
        }
        (_, 2..) => Err(Refusal::new("42601", "Only one DISTKEY column is allowed")),
        _ => Ok((kept, attributes)),
    }
}

/// Goes through the columns in parentheses, and gives where they end.
fn columns_of(
    tokens: &[TokenWithSpan],
    mut at: usize,
    kept: &mut Vec<TokenWithSpan>,
    attributes: &mut Attributes,
) -> Result<usize> {
    let mut depth = 1;
    let mut column: Option<String> = None;
    while let Some(token) = tokens.get(at) {
        let mut cursor = Cursor::new(&tokens[at..]);
        if depth == 1 && column.is_none() {
            column = Some(cursor.clone().name()?);
        } else if depth == 1 {
            let name = column.clone().unwrap_or_default();
            let found = if cursor.word("ENCODE") {
                attributes.encodings.push((name, cursor.name()?));
                true
            } else if cursor.word("DISTKEY") {
                attributes.dist_keys.push(name);
                true
            } else if cursor.word("SORTKEY") {
                attributes.sort_keys.push(name);
                true
            } else {
                false
            };
            if found {
                attributes.any = true;
                at = tokens.len() - cursor.rest().len();
                continue;
            }
        }
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            Token::Comma if depth == 1 => column = None,
            _ => {}
        }
        kept.push(token.clone());
        at += 1;
        if depth == 0 {
            return Ok(at);
        }
    }
    Err(Refusal::new("42601", "syntax error at end of input"))
}

fn table_attribute(cursor: &mut Cursor<'_>, attributes: &mut Attributes) -> Result<()> {
    attributes.any = true;
    if cursor.word("BACKUP") {
        return if cursor.word("YES") || cursor.word("NO") { Ok(()) } else { Err(cursor.wrong()) };
    }
    if cursor.word("DISTSTYLE") {
        let style = cursor.peek_word().unwrap_or_default();
        if !["ALL", "EVEN", "KEY", "AUTO"].contains(&style.as_str()) {
            return Err(cursor.wrong());
        }
        cursor.next();
        attributes.style = Some(style);
        return Ok(());
    }
    if cursor.word("DISTKEY") {
        let names = cursor.names()?.ok_or_else(|| cursor.wrong())?;
        attributes.dist_keys.extend(names);
        return Ok(());
    }
    if cursor.words(&["SORTKEY", "AUTO"]) || cursor.words(&["ENCODE", "AUTO"]) {
        return Ok(());
    }
    let _ = cursor.word("COMPOUND") || cursor.word("INTERLEAVED");
    cursor.expect_word("SORTKEY")?;
    let names = cursor.names()?.ok_or_else(|| cursor.wrong())?;
    attributes.sort_keys.extend(names);
    Ok(())
}

/// Checks that values of a kind can be encoded so, as AWS's table of encodings says.
fn encode(encoding: &str, kind: Kind, column: &str) -> Result<()> {
    use Kind::*;
    let fits = match encoding {
        "raw" | "zstd" | "runlength" => true,
        "az64" => {
            matches!(kind, SmallInt | Integer | BigInt | Numeric | Date | Timestamp | TimestampTz)
        }
        "bytedict" => kind != Boolean,
        "delta" => {
            matches!(kind, SmallInt | Integer | BigInt | Numeric | Date | Timestamp | TimestampTz)
        }
        "delta32k" => {
            matches!(kind, Integer | BigInt | Numeric | Date | Timestamp | TimestampTz)
        }
        "lzo" => !matches!(kind, Boolean | Real | Double),
        "mostly8" => matches!(kind, SmallInt | Integer | BigInt | Numeric),
        "mostly16" => matches!(kind, Integer | BigInt | Numeric),
        "mostly32" => matches!(kind, BigInt | Numeric),
        "text255" | "text32k" => kind == Varchar,
        _ => {
            let text = format!("encoding type \"{encoding}\" does not exist");
            return Err(Refusal::new("42704", text));
        }
    };
    if fits {
        return Ok(());
    }
    let text = format!("invalid encoding type specified for column \"{column}\"");
    Err(Refusal::new("0A000", text))
}
