//! INSERT, UPDATE and DELETE, as far as Redshift understands them. Each gives the table that it writes.

use sqlparser::ast::{
    Assignment, AssignmentTarget, BinaryOperator, Delete, Expr, FromTable, Insert, SetExpr,
    TableFactor, TableObject, Update, UpdateTableFromKind,
};

use super::error::{Refusal, Result};
use super::query::{Check, name as name_of, parts};

pub fn insert(insert: &mut Insert, check: &Check) -> Result<String> {
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
    let table = name.to_string();
    let Some(source) = &mut insert.source else { return Ok(table) };
    match &mut *source.body {
        SetExpr::Values(values) => {
            if source.order_by.is_some() || source.limit_clause.is_some() {
                return Err(Refusal::syntax("LIMIT"));
            }
            check.values(values)?;
        }
        _ => check.query(source)?,
    }
    Ok(table)
}

pub fn update(update: &mut Update, check: &Check) -> Result<String> {
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
    let table = name.to_string();
    let called = match alias {
        Some(alias) => name_of(&alias.name)?,
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
    update.selection.iter_mut().try_for_each(|it| check.expr(it))?;
    Ok(table)
}

pub fn delete(delete: &mut Delete, check: &Check) -> Result<String> {
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
    let table = name.to_string();
    delete.selection.iter_mut().try_for_each(|it| check.expr(it))?;
    Ok(table)
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
        Expr::CompoundIdentifier(names) => name_of(names.iter().nth_back(1)?).ok(),
        Expr::Cast { expr, .. } | Expr::Nested(expr) => table_of(expr),
        _ => None,
    }
}
