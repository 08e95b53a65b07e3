//! Expressions: what Redshift understands of them, rewritten for PostgreSQL where it has another word.

use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DataType, DateTimeField, Expr, Ident,
    InTarget, ObjectName, UnaryOperator, Value,
};

use super::columns;
use super::compare::{column_compared, compared};
use super::error::{Refusal, Result};
use super::query::{Check, name};

/// The number of this warehouse among all.
const NAMESPACE: &str = "7f1c0b52-64a8-4a0e-9d53-2f0c8f6b1e11";

impl Check {
    pub fn expr(&self, expr: &mut Expr) -> Result<()> {
        match expr {
            Expr::Identifier(ident) => self.identifier(ident).map(|known| {
                if let Some(known) = known {
                    *expr = raw(known);
                }
            }),
            Expr::CompoundIdentifier(names) => {
                // After a point any word is a column's name.
                names.first().map_or(Ok(String::new()), name)?;
                match names.last() {
                    Some(last) if last.value.eq_ignore_ascii_case("typarray") => {
                        Err(no_column("typarray"))
                    }
                    _ => Ok(()),
                }
            }
            Expr::IsFalse(it)
            | Expr::IsNotFalse(it)
            | Expr::IsTrue(it)
            | Expr::IsNotTrue(it)
            | Expr::IsNull(it)
            | Expr::IsNotNull(it)
            | Expr::IsUnknown(it)
            | Expr::IsNotUnknown(it)
            | Expr::Nested(it) => self.expr(it),
            Expr::In { expr, target, .. } => {
                self.expr(expr)?;
                compared(expr);
                match target {
                    InTarget::List(list) => list.iter_mut().try_for_each(|it| {
                        self.expr(it)?;
                        compared(it);
                        Ok(())
                    }),
                    InTarget::Subquery(query) => {
                        self.query(query)?;
                        column_compared(query)
                    }
                    other => Err(Refusal::unsupported(&format!("IN {other:?}"))),
                }
            }
            Expr::Between { expr, low, high, .. } => {
                [expr, low, high].into_iter().try_for_each(|it| {
                    self.expr(it)?;
                    compared(it);
                    Ok(())
                })
            }
            Expr::BinaryOp { left, op, right } => {
                operator(op)?;
                self.expr(left)?;
                self.expr(right)?;
                if is_comparison(op) {
                    compared(left);
                    compared(right);
                }
                Ok(())
            }
            Expr::Like { any: false, expr, pattern, escape_char, .. }
            | Expr::ILike { any: false, expr, pattern, escape_char, .. }
            | Expr::SimilarTo { expr, pattern, escape_char, .. } => {
                self.expr(expr)?;
                self.expr(pattern)?;
                escape_char.iter_mut().try_for_each(|it| self.expr(it))
            }
            Expr::UnaryOp { op, expr } => match op {
                UnaryOperator::Plus
                | UnaryOperator::Minus
                | UnaryOperator::Not
                | UnaryOperator::BitwiseNot => self.expr(expr),
                other => Err(Refusal::syntax(&other.to_string())),
            },
            Expr::Cast { kind, expr, data_type, format: None } => {
                if !matches!(kind, CastKind::Cast | CastKind::DoubleColon) {
                    return Err(Refusal::unsupported("TRY_CAST"));
                }
                self.expr(expr)?;
                cast(data_type)
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                self.expr(timestamp)?;
                self.expr(time_zone)
            }
            Expr::Extract { field, expr: from, .. } => {
                self.expr(from)?;
                // A whole number, as of a TIMESTAMP; PostgreSQL's has a fraction.
                let kind = if *field == DateTimeField::Epoch { "bigint" } else { "integer" };
                *expr = raw(format!("CAST(floor(EXTRACT({field} FROM {from})) AS {kind})"));
                Ok(())
            }
            Expr::Ceil { expr, field } | Expr::Floor { expr, field } => match field {
                CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => self.expr(expr),
                _ => Err(Refusal::syntax("TO")),
            },
            Expr::Position { expr, r#in } => {
                self.expr(expr)?;
                self.expr(r#in)
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                self.expr(expr)?;
                let rest = [substring_from, substring_for];
                rest.into_iter().flatten().try_for_each(|it| self.expr(it))
            }
            Expr::Trim { trim_what, expr, trim_characters: None, .. } => {
                trim_what.iter_mut().try_for_each(|it| self.expr(it))?;
                self.expr(expr)
            }
            Expr::Value(value) => constant(&value.value),
            Expr::TypedString(typed) => {
                constant(&typed.value.value)?;
                cast(&mut typed.data_type)
            }
            Expr::Interval(interval) => match &*interval.value {
                Expr::Value(value) => constant(&value.value),
                other => Err(Refusal::syntax(&other.to_string())),
            },
            Expr::Function(function) => match self.function(function)? {
                Some(other) => {
                    *expr = raw(other);
                    Ok(())
                }
                None => Ok(()),
            },
            Expr::Case { operand, conditions, else_result, .. } => {
                operand.iter_mut().try_for_each(|it| self.expr(it))?;
                for CaseWhen { condition, result } in conditions {
                    self.expr(condition)?;
                    self.expr(result)?;
                }
                else_result.iter_mut().try_for_each(|it| self.expr(it))
            }
            Expr::Exists { subquery, .. } | Expr::Subquery(subquery) => self.query(subquery),
            Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
                sets.iter_mut().flatten().try_for_each(|it| self.expr(it))
            }
            Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => {
                Err(Refusal::syntax("DISTINCT"))
            }
            Expr::Collate { .. } => Err(Refusal::syntax("COLLATE")),
            Expr::Array(_) => Err(Refusal::syntax("[")),
            Expr::Tuple(_) => Err(Refusal::unsupported("a row constructor")),
            other => Err(Refusal::unsupported(&format!("the expression {other}"))),
        }
    }

    /// What a name stands for if it isn't a column's.
    fn identifier(&self, ident: &Ident) -> Result<Option<String>> {
        match name(ident)?.as_str() {
            "typarray" => Err(no_column("typarray")),
            "current_namespace" if ident.quote_style.is_none() => {
                Ok(Some(format!("CAST('{NAMESPACE}' AS text)")))
            }
            "sysdate" if ident.quote_style.is_none() => {
                Ok(Some("(transaction_timestamp() AT TIME ZONE 'UTC')".to_owned()))
            }
            _ => Ok(None),
        }
    }
}

fn is_comparison(operator: &BinaryOperator) -> bool {
    use BinaryOperator as B;
    matches!(operator, B::Eq | B::NotEq | B::Gt | B::Lt | B::GtEq | B::LtEq)
}

fn operator(operator: &BinaryOperator) -> Result<()> {
    use BinaryOperator as B;
    match operator {
        B::Plus
        | B::Minus
        | B::Multiply
        | B::Divide
        | B::Modulo
        | B::StringConcat
        | B::Gt
        | B::Lt
        | B::GtEq
        | B::LtEq
        | B::Eq
        | B::NotEq
        | B::And
        | B::Or
        | B::BitwiseOr
        | B::BitwiseAnd
        | B::PGBitwiseXor
        | B::PGBitwiseShiftLeft
        | B::PGBitwiseShiftRight
        | B::PGRegexMatch
        | B::PGRegexNotMatch => Ok(()),
        other => Err(Refusal::new("42883", format!("operator does not exist: {other}"))),
    }
}

/// Writes the type that Redshift would cast to.
fn cast(data_type: &mut DataType) -> Result<()> {
    let found = columns::column_type(data_type)?;
    // Without a length a cast to VARCHAR has that of a column; a cast cuts, in PostgreSQL too.
    *data_type = DataType::Custom(ObjectName::from(vec![Ident::new(found.sql)]), Vec::new());
    Ok(())
}

/// What can stand there as a constant.
pub fn constant(value: &Value) -> Result<()> {
    match value {
        Value::Number(_, false)
        | Value::SingleQuotedString(_)
        | Value::Boolean(_)
        | Value::Null => Ok(()),
        Value::Placeholder(name) if name.starts_with('$') => Ok(()),
        other => Err(Refusal::syntax(&other.to_string())),
    }
}

/// A piece of PostgreSQL's own SQL in the place of an expression.
pub fn raw(sql: impl Into<String>) -> Expr {
    Expr::Identifier(Ident::new(sql))
}

fn no_column(name: &str) -> Refusal {
    Refusal::new("42703", format!("column \"{name}\" does not exist"))
}
