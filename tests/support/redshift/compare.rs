//! Comparisons: of text, trailing blanks don't count.
//!
//! What is ordered or grouped for output is left alone: there it matters only which of the same texts is shown.

use sqlparser::ast::{
    Expr, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, TableFactor, Value,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::error::{Refusal, Result};
use super::query::SCHEMA;
use super::tokens::quoted;

/// Makes of an expression what is compared of it.
pub fn compared(expr: &mut Expr) {
    match expr {
        // PostgreSQL still has to find out what type a constant is of.
        Expr::Value(value) => {
            if let Value::SingleQuotedString(text) = &mut value.value {
                text.truncate(text.trim_end_matches(' ').len());
            }
        }
        other => *other = super::expr::raw(format!("{SCHEMA}.compared({other})")),
    }
}

/// The same for the one column of a query.
pub fn column_compared(query: &mut Query) -> Result<()> {
    match &mut *query.body {
        SetExpr::Select(select) => match &mut select.projection[..] {
            [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] => {
                compared(expr);
                Ok(())
            }
            _ => Err(Refusal::unsupported("IN of this query")),
        },
        _ => Err(Refusal::unsupported("IN of this query")),
    }
}

/// Makes of a UNION one that takes rows for the same that differ in trailing blanks only.
pub fn union(body: &mut SetExpr) -> Result<()> {
    let SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, left, right } = body else {
        return Ok(());
    };
    if !matches!(set_quantifier, SetQuantifier::None | SetQuantifier::Distinct) {
        return Ok(());
    }
    let names = names(left)?;
    let compared = |name: &String| format!("{SCHEMA}.compared({name})");
    let sql = format!(
        "SELECT DISTINCT ON ({}) * FROM ({left} UNION ALL {right}) AS \"all rows\" ({})",
        names.iter().map(compared).collect::<Vec<_>>().join(", "),
        names.join(", "),
    );
    let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(&sql);
    let query = parsed.and_then(|mut parser| parser.parse_query());
    *body =
        SetExpr::Query(query.map_err(|error| Refusal::unsupported(&format!("{sql}: {error}")))?);
    Ok(())
}

/// What a query's columns are called, quoted.
fn names(body: &SetExpr) -> Result<Vec<String>> {
    let unnamed = |number: usize| quoted(&format!("column {number}"));
    match body {
        // The ones of a UNION that is rewritten already.
        SetExpr::Query(query) => match &*query.body {
            SetExpr::Select(select) => renamed(select).map_or_else(|| names(&query.body), Ok),
            other => names(other),
        },
        SetExpr::Select(select) => {
            let name = |(number, item): (usize, &SelectItem)| match item {
                SelectItem::ExprWithAlias { alias, .. } => Ok(quoted(&alias.value)),
                SelectItem::UnnamedExpr(Expr::Identifier(name)) if name.value.contains('(') => {
                    Ok(unnamed(number))
                }
                SelectItem::UnnamedExpr(Expr::Identifier(name)) => Ok(quoted(&name.value)),
                SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => {
                    Ok(names.last().map_or_else(|| unnamed(number), |name| quoted(&name.value)))
                }
                SelectItem::UnnamedExpr(_) => Ok(unnamed(number)),
                _ => Err(Refusal::unsupported("UNION of *")),
            };
            select.projection.iter().enumerate().map(name).collect()
        }
        SetExpr::SetOperation { left, .. } => names(left),
        _ => Err(Refusal::unsupported("UNION of this")),
    }
}

fn renamed(select: &Select) -> Option<Vec<String>> {
    match &select.from.first()?.relation {
        TableFactor::Derived { alias: Some(alias), .. } if !alias.columns.is_empty() => {
            Some(alias.columns.iter().map(|column| quoted(&column.name.value)).collect())
        }
        _ => None,
    }
}
