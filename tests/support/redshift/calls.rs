//! Calls of functions: which may stand where, and what PostgreSQL calls them.

use sqlparser::ast::{
    DuplicateTreatment, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, Ident, ObjectName, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowSpec, WindowType,
};

use super::compare::compared;
use super::error::{Refusal, Result};
use super::functions;
use super::query::{Check, SCHEMA, parts};
use super::tokens::literal;

/// The answer to `version()`.
pub const VERSION: &str = "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 \
                           (Red Hat 3.4.2-6.fc3), Redshift 1.0.115179";

impl Check {
    /// Checks a call, and gives what to write in its place if that is something else.
    pub(super) fn function(&self, call: &mut Function) -> Result<Option<String>> {
        let unknown = |call: &Function| {
            Refusal::new("42883", format!("function {}() does not exist", call.name))
        };
        let [name] = &parts(&call.name)?[..] else { return Err(unknown(call)) };
        let Some(function) = functions::find(name) else { return Err(unknown(call)) };
        if call.filter.is_some() {
            return Err(Refusal::syntax("("));
        }
        if call.null_treatment.is_some() {
            return Err(Refusal::unsupported("IGNORE NULLS"));
        }
        if call.parameters != FunctionArguments::None || call.uses_odbc_syntax {
            return Err(Refusal::syntax("("));
        }
        let is_aggregate =
            matches!(function, functions::Function::Aggregate | functions::Function::OwnAggregate);
        let mut arguments = Vec::new();
        let mut distinct = false;
        match &mut call.args {
            FunctionArguments::None => {}
            FunctionArguments::List(list) => {
                if let Some(clause) = list.clauses.first() {
                    return Err(Refusal::syntax(match clause {
                        FunctionArgumentClause::OrderBy(_) => "ORDER",
                        _ => ")",
                    }));
                }
                distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
                if list.duplicate_treatment.is_some() && !is_aggregate && name != "listagg" {
                    return Err(Refusal::syntax("DISTINCT"));
                }
                if let [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] = &list.args[..]
                    && self.is_key(expr)
                {
                    list.duplicate_treatment = None;
                }
                for argument in &mut list.args {
                    match argument {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                            // A part of a date may stand there as a bare word.
                            if !(arguments.is_empty() && name.starts_with("date")) {
                                self.expr(expr)?;
                            }
                            arguments.push(expr.to_string());
                        }
                        FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if name == "count" => {}
                        other => return Err(Refusal::syntax(&other.to_string())),
                    }
                }
            }
            FunctionArguments::Subquery(_) => return Err(Refusal::syntax("SELECT")),
        }
        if let Some(over) = &mut call.over {
            self.over(over, name, function)?;
        }
        let is_ordered = ["listagg", "percentile_cont", "percentile_disc"].contains(&name.as_str());
        if !is_ordered && !call.within_group.is_empty() {
            return Err(Refusal::unsupported(&format!("WITHIN GROUP with {name}")));
        }
        self.order(&mut call.within_group)?;
        let own = |name: &str| ObjectName::from(vec![Ident::new(SCHEMA), Ident::new(name)]);
        match function {
            functions::Function::Ranking if call.over.is_none() => {
                let text = format!("window function call {name} requires an OVER clause");
                return Err(Refusal::new("42809", text));
            }
            functions::Function::Leader => {
                self.leader.replace(Some(format!("{name}()")));
            }
            functions::Function::Called(other) => {
                call.name = ObjectName::from(vec![Ident::new(other)]);
            }
            functions::Function::Own | functions::Function::OwnAggregate => call.name = own(name),
            functions::Function::Rewritten => {
                return rewrite(name, &arguments, distinct, call).map(Some);
            }
            functions::Function::Known => {
                if name == "version" {
                    self.leader.replace(Some("version()".to_owned()));
                }
                return Ok(Some(match name.as_str() {
                    "pg_last_copy_id" => format!("CAST({} AS integer)", self.facts.last_copy_id),
                    "pg_last_copy_count" => {
                        format!("CAST({} AS bigint)", self.facts.last_copy_count)
                    }
                    "db_collation" if self.facts.case_insensitive => {
                        "CAST('case_insensitive' AS text)".to_owned()
                    }
                    "db_collation" => "CAST('case_sensitive' AS text)".to_owned(),
                    _ => format!("CAST({} AS text)", literal(VERSION)),
                }));
            }
            _ => {}
        }
        Ok(None)
    }

    fn over(&self, over: &mut WindowType, name: &str, function: functions::Function) -> Result<()> {
        let WindowType::WindowSpec(WindowSpec {
            window_name: None,
            partition_by,
            order_by,
            window_frame,
        }) = over
        else {
            return Err(Refusal::syntax("WINDOW"));
        };
        for expr in partition_by.iter_mut().chain(order_by.iter_mut().map(|it| &mut it.expr)) {
            self.expr(expr)?;
            compared(expr);
        }
        match (function, &window_frame) {
            (functions::Function::Ranking, Some(_)) => {
                let text = format!("{name} does not take a frame clause");
                return Err(Refusal::new("42601", text));
            }
            (functions::Function::Ranking, None) => {}
            (_, None) if !order_by.is_empty() => {
                let text =
                    "Aggregate window functions with an ORDER BY clause require a frame clause";
                return Err(Refusal::new("42601", text));
            }
            _ => {}
        }
        match window_frame {
            None => Ok(()),
            Some(WindowFrame { units: WindowFrameUnits::Rows, start_bound, end_bound }) => {
                for bound in [Some(start_bound), end_bound.as_mut()].into_iter().flatten() {
                    match bound {
                        WindowFrameBound::Preceding(Some(rows))
                        | WindowFrameBound::Following(Some(rows)) => self.expr(rows)?,
                        _ => {}
                    }
                }
                Ok(())
            }
            Some(_) => Err(Refusal::unsupported("a frame other than ROWS")),
        }
    }
}

/// What PostgreSQL has not by that name, in its words.
fn rewrite(name: &str, arguments: &[String], distinct: bool, call: &Function) -> Result<String> {
    let wrong =
        || Refusal::new("42883", format!("function {name}({}) does not exist", arguments.len()));
    match (name, arguments) {
        ("concat", [left, right]) => Ok(format!("(({left}) || ({right}))")),
        ("nvl2", [value, some, none]) => {
            Ok(format!("CASE WHEN ({value}) IS NOT NULL THEN {some} ELSE {none} END"))
        }
        ("decode", [value, rest @ ..]) if rest.len() >= 2 => {
            let mut case = "CASE".to_owned();
            let mut pairs = rest.chunks_exact(2);
            for pair in pairs.by_ref() {
                let [search, result] = pair else { return Err(wrong()) };
                case += &format!(" WHEN ({value}) IS NOT DISTINCT FROM ({search}) THEN {result}");
            }
            if let [default] = pairs.remainder() {
                case += &format!(" ELSE {default}");
            }
            Ok(case + " END")
        }
        ("getdate", []) => {
            Ok("date_trunc('second', statement_timestamp() AT TIME ZONE 'UTC')".to_owned())
        }
        ("date_part", [part, from]) => {
            Ok(format!("date_part('{}', {from})", part.trim_matches('\'').to_lowercase()))
        }
        ("dateadd", [part, count, to]) => {
            Ok(format!("(({to})::timestamp + ({count}) * interval '1 {}')", unit(part)?))
        }
        ("datediff", [part, from, to]) => {
            let seconds = match unit(part)? {
                "day" => 86_400,
                "hour" => 3_600,
                "minute" => 60,
                "second" => 1,
                other => return Err(Refusal::unsupported(&format!("DATEDIFF by {other}"))),
            };
            // The boundaries between the two, not the time.
            let count = |it: &str| {
                format!("floor(extract(epoch FROM ({it})::timestamp) / {seconds})::bigint")
            };
            Ok(format!("({} - {})", count(to), count(from)))
        }
        ("listagg", [value, rest @ ..]) if rest.len() < 2 => {
            let separator = rest.first().map_or("''", String::as_str);
            let distinct = if distinct { "DISTINCT " } else { "" };
            let order = call.within_group.iter().map(|it| it.to_string()).collect::<Vec<_>>();
            let order = match &order[..] {
                [] => String::new(),
                order => format!(" ORDER BY {}", order.join(", ")),
            };
            if call.over.is_some() {
                return Err(Refusal::unsupported("LISTAGG over a window"));
            }
            Ok(format!("string_agg({distinct}({value})::text, {separator}{order})"))
        }
        _ => Err(wrong()),
    }
}

/// A part of a date that something is counted in.
fn unit(part: &str) -> Result<&'static str> {
    match part.trim_matches('\'').to_lowercase().as_str() {
        "year" | "years" | "y" | "yr" => Ok("year"),
        "month" | "months" | "mon" => Ok("month"),
        "week" | "weeks" | "w" => Ok("week"),
        "day" | "days" | "d" => Ok("day"),
        "hour" | "hours" | "h" | "hr" => Ok("hour"),
        "minute" | "minutes" | "m" | "min" => Ok("minute"),
        "second" | "seconds" | "s" | "sec" => Ok("second"),
        "millisecond" | "milliseconds" | "ms" => Ok("millisecond"),
        "microsecond" | "microseconds" | "us" => Ok("microsecond"),
        other => {
            let text = format!("unknown date part \"{other}\"");
            Err(Refusal::new("22023", text))
        }
    }
}
