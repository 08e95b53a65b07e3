//! Queries: what Redshift understands of them, rewritten for PostgreSQL where it has another word.

use std::cell::{Cell, RefCell};

use sqlparser::ast::{
    Cte, Distinct, Expr, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator, LimitClause,
    ObjectName, ObjectNamePart, OrderByExpr, OrderByKind, Query, Select, SelectFlavor, SelectItem,
    SetExpr, TableAlias, TableFactor, TableWithJoins, Values, WildcardAdditionalOptions, With,
};

use super::error::{Refusal, Result};
use super::{compare, words};

/// The schema of the stand-in's own functions and tables in PostgreSQL.
pub const SCHEMA: &str = "redshift_stand_in";

/// What a statement may ask of the session and of the kind of warehouse.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The tables that have declared a key of one column, each with that: Redshift takes its values for distinct.
    pub keys: Vec<(String, String)>,
    pub serverless: bool,
    pub case_insensitive: bool,
    pub last_copy_id: i64,
    pub last_copy_count: i64,
}

/// Goes through a statement, refuses what Redshift would, and rewrites the rest.
pub struct Check {
    pub(super) facts: Facts,
    /// Something that only the leader node has.
    pub(super) leader: RefCell<Option<String>>,
    /// Whether a table of a user's takes part.
    pub(super) user: Cell<bool>,
    /// The names of queries in WITH.
    pub(super) named: RefCell<Vec<String>>,
    /// The declared key of the one table that the query at hand reads.
    pub(super) key: RefCell<Option<String>>,
}

impl Check {
    pub fn new(facts: Facts) -> Check {
        Check {
            facts,
            leader: RefCell::default(),
            user: Cell::new(false),
            named: RefCell::default(),
            key: RefCell::default(),
        }
    }

    /// Ends the check of a statement: the leader's own functions and tables don't go with those of the compute nodes.
    pub fn finish(&self) -> Result<()> {
        match &*self.leader.borrow() {
            Some(name) if self.user.get() => {
                let text = format!(
                    "Specified types or functions (one per INFO message) not supported on Redshift tables ({name})."
                );
                Err(Refusal::new("0A000", text))
            }
            _ => Ok(()),
        }
    }

    pub fn query(&self, query: &mut Query) -> Result<()> {
        let Query { with, body, order_by, limit_clause, fetch, locks, .. } = query;
        if fetch.is_some() {
            return Err(Refusal::syntax("FETCH"));
        }
        if !locks.is_empty() {
            return Err(Refusal::unsupported("SELECT FOR UPDATE"));
        }
        if let Some(With { cte_tables, .. }) = with {
            for Cte { alias, query, materialized, .. } in cte_tables {
                if materialized.is_some() {
                    return Err(Refusal::syntax("MATERIALIZED"));
                }
                self.alias(alias)?;
                self.named.borrow_mut().push(name(&alias.name)?);
                self.query(query)?;
            }
        }
        self.body(body)?;
        match order_by.as_mut().map(|it| &mut it.kind) {
            None => {}
            Some(OrderByKind::Expressions(order)) => self.order(order)?,
            Some(OrderByKind::All(_)) => return Err(Refusal::syntax("ALL")),
        }
        match limit_clause {
            None => Ok(()),
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
                limit.iter_mut().try_for_each(|it| self.expr(it))?;
                offset.iter_mut().try_for_each(|it| self.expr(&mut it.value))
            }
            Some(_) => Err(Refusal::syntax(",")),
        }
    }

    fn body(&self, body: &mut SetExpr) -> Result<()> {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left)?;
                self.body(right)?;
                compare::union(body)
            }
            // Lists of values are for INSERT alone; see `values`.
            SetExpr::Values(_) => Err(Refusal::syntax("VALUES")),
            other => {
                let text = other.to_string();
                Err(Refusal::syntax(text.split(' ').next().unwrap_or_default()))
            }
        }
    }

    /// The rows of an INSERT.
    pub fn values(&self, values: &mut Values) -> Result<()> {
        for row in &mut values.rows {
            row.content.iter_mut().try_for_each(|it| self.expr(it))?;
        }
        Ok(())
    }

    fn select(&self, select: &mut Select) -> Result<()> {
        let outer = self.key.replace(self.key_of(&select.from));
        let result = self.select_from(select);
        self.key.replace(outer);
        result
    }

    /// The declared key of the table that is all that is read.
    fn key_of(&self, from: &[TableWithJoins]) -> Option<String> {
        let [TableWithJoins { relation: TableFactor::Table { name, .. }, joins }] = from else {
            return None;
        };
        let table = parts(name).ok()?.pop().filter(|_| joins.is_empty())?;
        self.facts.keys.iter().find(|(of, _)| *of == table).map(|(_, key)| key.clone())
    }

    /// Whether it is the declared key of the table that is read: then it is not looked for what is distinct.
    pub(super) fn is_key(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::Identifier(column)
            if name(column).ok().is_some_and(|it| self.key.borrow().as_ref() == Some(&it)))
    }

    fn select_from(&self, select: &mut Select) -> Result<()> {
        if let (Some(Distinct::Distinct), [SelectItem::UnnamedExpr(expr)]) =
            (&select.distinct, &select.projection[..])
            && self.is_key(expr)
        {
            select.distinct = None;
        }
        if select.flavor != SelectFlavor::Standard {
            return Err(Refusal::syntax("FROM"));
        }
        if let Some(Distinct::On(_)) = select.distinct {
            return Err(Refusal::unsupported("SELECT DISTINCT ON"));
        }
        if select.into.is_some() {
            return Err(Refusal::unsupported("SELECT INTO"));
        }
        if select.top.is_some() {
            return Err(Refusal::unsupported("TOP"));
        }
        if select.qualify.is_some() {
            return Err(Refusal::unsupported("QUALIFY"));
        }
        if !select.named_window.is_empty() {
            return Err(Refusal::syntax("WINDOW"));
        }
        if select.exclude.is_some() {
            return Err(Refusal::unsupported("EXCLUDE"));
        }
        if select.projection.is_empty() {
            return Err(Refusal::syntax("FROM"));
        }
        for item in &mut select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    self.expr(expr)?;
                }
                SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
                    let WildcardAdditionalOptions { wildcard_token, .. } = &*options;
                    let plain = WildcardAdditionalOptions {
                        wildcard_token: wildcard_token.clone(),
                        ..Default::default()
                    };
                    if *options != plain {
                        return Err(Refusal::unsupported("a wildcard's option"));
                    }
                }
                SelectItem::ExprWithAliases { .. } => return Err(Refusal::syntax("(")),
            }
        }
        self.tables(&mut select.from)?;
        select.selection.iter_mut().try_for_each(|it| self.expr(it))?;
        match &mut select.group_by {
            GroupByExpr::Expressions(by, modifiers) if modifiers.is_empty() => {
                by.iter_mut().try_for_each(|it| self.expr(it))?;
            }
            _ => return Err(Refusal::unsupported("GROUP BY ALL")),
        }
        select.having.iter_mut().try_for_each(|it| self.expr(it))
    }

    pub fn order(&self, order: &mut [OrderByExpr]) -> Result<()> {
        order.iter_mut().try_for_each(|it| self.expr(&mut it.expr))
    }

    pub fn tables(&self, tables: &mut [TableWithJoins]) -> Result<()> {
        for TableWithJoins { relation, joins } in tables {
            self.factor(relation)?;
            for Join { relation, join_operator, .. } in joins {
                self.factor(relation)?;
                self.join(join_operator)?;
            }
        }
        Ok(())
    }

    fn join(&self, join: &mut JoinOperator) -> Result<()> {
        match join {
            JoinOperator::Join(on)
            | JoinOperator::Inner(on)
            | JoinOperator::Left(on)
            | JoinOperator::LeftOuter(on)
            | JoinOperator::Right(on)
            | JoinOperator::RightOuter(on)
            | JoinOperator::FullOuter(on)
            | JoinOperator::CrossJoin(on) => match on {
                JoinConstraint::On(expr) => self.expr(expr),
                JoinConstraint::UsingAlias(..) => Err(Refusal::syntax("AS")),
                JoinConstraint::Using(_) | JoinConstraint::Natural | JoinConstraint::None => Ok(()),
            },
            other => Err(Refusal::unsupported(&format!("{other:?}"))),
        }
    }

    fn factor(&self, factor: &mut TableFactor) -> Result<()> {
        match factor {
            TableFactor::Table {
                name, alias, args, sample, with_ordinality, inheritance, ..
            } => {
                if args.is_some() || *with_ordinality {
                    return Err(Refusal::unsupported(&format!("function {name} in FROM")));
                }
                if sample.is_some() {
                    return Err(Refusal::syntax("TABLESAMPLE"));
                }
                if inheritance.is_some() {
                    return Err(Refusal::unsupported("ONLY"));
                }
                alias.iter().try_for_each(|it| self.alias(it))?;
                self.relation(name)
            }
            TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None } => {
                self.alias(alias)?;
                self.query(subquery)
            }
            TableFactor::Derived { alias: None, .. } => {
                Err(Refusal::new("42601", "subquery in FROM must have an alias"))
            }
            TableFactor::Derived { .. } => Err(Refusal::syntax("LATERAL")),
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.tables(std::slice::from_mut(table_with_joins))
            }
            other => Err(Refusal::unsupported(&format!("{other} in FROM"))),
        }
    }

    fn alias(&self, alias: &TableAlias) -> Result<()> {
        name(&alias.name)?;
        match alias.columns.iter().any(|column| column.data_type.is_some()) {
            true => Err(Refusal::unsupported("a list of column definitions")),
            false => Ok(()),
        }
    }
}

/// The parts of a name, as [`name`] has each.
pub fn parts(names: &ObjectName) -> Result<Vec<String>> {
    let part = |it: &ObjectNamePart| match it.as_ident() {
        Some(ident) => name(ident),
        None => Err(Refusal::syntax(&it.to_string())),
    };
    names.0.iter().map(part).collect()
}

/// A name: in quotes as it is, otherwise in small letters, and then none that Redshift reserves.
pub fn name(ident: &Ident) -> Result<String> {
    if ident.quote_style.is_some() {
        return Ok(ident.value.replace("\"\"", "\""));
    }
    let name = ident.value.to_lowercase();
    if words::is_reserved(&name) { Err(Refusal::syntax(&ident.value)) } else { Ok(name) }
}
