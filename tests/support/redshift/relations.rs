//! Tables by their names: a user's, or the system's.

use sqlparser::ast::{Ident, ObjectName};

use super::error::{Refusal, Result};
use super::functions::{self, Relation};
use super::query::{Check, SCHEMA, parts};

impl Check {
    /// A table, a view or a relation of the system that is read.
    pub fn relation(&self, name: &mut ObjectName) -> Result<()> {
        let parts = parts(name)?;
        let (schema, table) = match &parts[..] {
            [table] => (None, table.as_str()),
            [schema, table] => (Some(schema.as_str()), table.as_str()),
            _ => return Err(Refusal::unsupported("a name of three parts")),
        };
        match schema {
            Some(SCHEMA) => return Err(missing(name)),
            Some("information_schema") => {
                if !functions::is_information(table) {
                    return Err(missing(name));
                }
                self.leader.replace(Some(name.to_string()));
                if table == "columns" {
                    *name = ObjectName::from(vec![Ident::new(SCHEMA), Ident::new(table)]);
                }
                return Ok(());
            }
            Some("pg_catalog") => {}
            None if functions::is_system(table) => {}
            _ => {
                let named = schema.is_none() && self.named.borrow().iter().any(|it| it == table);
                self.user.set(self.user.get() || !named);
                return Ok(());
            }
        }
        match functions::relation(table) {
            Some(Relation::Leader) => {
                self.leader.replace(Some(name.to_string()));
            }
            Some(Relation::OwnProvisioned) if self.facts.serverless => {
                let text = format!("permission denied for relation {table}");
                return Err(Refusal::new("42501", text));
            }
            Some(Relation::Own | Relation::OwnProvisioned) => {
                *name = ObjectName::from(vec![Ident::new(SCHEMA), Ident::new(table)]);
            }
            None => return Err(missing(name)),
        }
        Ok(())
    }

    /// A table that is written or defined.
    pub fn target(&self, name: &ObjectName) -> Result<()> {
        let parts = parts(name)?;
        let system = match &parts[..] {
            [table] => functions::is_system(table),
            [schema, _] => ["pg_catalog", "information_schema", SCHEMA].contains(&schema.as_str()),
            _ => return Err(Refusal::unsupported("a name of three parts")),
        };
        if system {
            let text = format!("permission denied for relation {name}");
            return Err(Refusal::new("42501", text));
        }
        self.user.set(true);
        Ok(())
    }
}

fn missing(name: &ObjectName) -> Refusal {
    Refusal::new("42P01", format!("relation \"{name}\" does not exist"))
}
