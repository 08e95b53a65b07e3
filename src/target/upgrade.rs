//! Upgrades: how tables of an earlier version of this program are told from foreign ones, and brought up to date in place.

use tokio_postgres::{GenericClient, Transaction};

use super::{failed_unless_owner, in_schema, shape};
use crate::error::{Error, Result};

/// Those for PostgreSQL.
const POSTGRES: Steps = Steps(include_str!("../sql/upgrades.sql"));
/// Those for Redshift.
pub(super) const REDSHIFT: Steps = Steps(include_str!("../sql/redshift/upgrades.sql"));

/// Sees to it that the tables of `schema`, as far as they are there, are like new ones in the schema `beside`.
///
/// # Errors
///
/// They differ; the error lists how, and what ends it.
pub(super) async fn check(client: &impl GenericClient, schema: &str, beside: &str) -> Result<()> {
    let differences = shape::differences(client, schema, beside).await?;
    POSTGRES.upgrade(schema, differences)?.require_none(schema)
}

/// Makes the tables of `schema` like new ones in the schema `beside`.
///
/// # Errors
///
/// They are no earlier version's, or another role's.
pub(super) async fn run(transaction: &Transaction<'_>, schema: &str, beside: &str) -> Result<()> {
    let upgrade =
        POSTGRES.upgrade(schema, shape::differences(transaction, schema, beside).await?)?;
    for statements in &upgrade.statements {
        let what = |cause| {
            let help = "have the owner of the tables run `sparkload create`";
            let what = format!("can't bring the tables in the schema {schema} up to date");
            failed_unless_owner(&what, cause, help)
        };
        transaction.batch_execute(&in_schema(schema, statements)).await.map_err(what)?;
    }
    check(transaction, schema, beside).await?;
    upgrade.tell(schema);
    Ok(())
}

/// The paragraphs of a script of upgrades, each headed by the differences that it ends.
pub(super) struct Steps(pub &'static str);

/// What has to be done to tables of an earlier version.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Upgrade {
    /// How they differ from today's.
    pub differences: Vec<String>,
    /// What ends that, to be run in this order.
    pub statements: Vec<&'static str>,
}

impl Steps {
    /// What has to be done to the tables of `schema`, which have these `differences`.
    ///
    /// # Errors
    ///
    /// Some of them are no earlier version's; the error lists all.
    pub fn upgrade(&self, schema: &str, differences: Vec<String>) -> Result<Upgrade> {
        let mut left: Vec<&str> = differences.iter().map(String::as_str).collect();
        let mut statements = Vec::new();
        for (ended, statement) in self.parts() {
            if ended.iter().all(|difference| left.contains(difference)) {
                left.retain(|difference| !ended.contains(difference));
                statements.push(statement);
            }
        }
        if left.is_empty() {
            return Ok(Upgrade { differences, statements });
        }
        let what = format!("tables in the schema {schema} are not those of sparkload");
        Err(Error::target(what).because(differences.join("\n")).with_help(
            "change the tables back, name another schema, or make them anew by `sparkload create --drop`",
        ))
    }

    /// The differences that each paragraph ends, and its statements.
    fn parts(&self) -> impl Iterator<Item = (Vec<&'static str>, &'static str)> {
        self.0.split("\n\n").skip(1).map(|paragraph| {
            let heads = paragraph.lines().map_while(|line| line.strip_prefix("-- ")).collect();
            (heads, paragraph)
        })
    }
}

impl Upgrade {
    /// Sees to it that nothing has to be done: a load changes no table, for that may hold readers up, and take an owner.
    ///
    /// # Errors
    ///
    /// The tables of `schema` are an earlier version's.
    pub fn require_none(&self, schema: &str) -> Result<()> {
        if self.differences.is_empty() {
            return Ok(());
        }
        let what = format!("the tables in the schema {schema} are those of an earlier sparkload");
        Err(Error::target(what).because(self.differences.join("\n")).with_help(format!(
            "run `sparkload create --schema {schema}`: it brings them up to date in place, loses no row and reads nothing again"
        )))
    }

    /// Says what was done.
    pub fn tell(&self, schema: &str) {
        for difference in &self.differences {
            tracing::info!(schema, "{difference}: brought up to date");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: Steps = Steps(
        "-- What this is.\n\n-- a lacks x int\nALTER TABLE a ADD x INT;\n\n\
         -- b lacks y int\n-- b has z int besides\nALTER TABLE b RENAME z TO y;\n-- Why.\nANALYZE b;\n",
    );

    fn upgrade(differences: &[&str]) -> Result<Upgrade> {
        STEPS.upgrade("public", differences.iter().map(|it| (*it).to_owned()).collect())
    }

    #[test]
    fn each_difference_is_ended_by_its_step_or_refused() {
        upgrade(&[]).unwrap().require_none("public").unwrap();
        let all = upgrade(&["a lacks x int", "b has z int besides", "b lacks y int"]).unwrap();
        assert!(all.statements[0].ends_with("ADD x INT;"), "{:?}", all.statements);
        assert!(all.statements[1].ends_with("\n-- Why.\nANALYZE b;\n"), "{:?}", all.statements);
        let error = all.require_none("p1").unwrap_err();
        assert!(error.help().unwrap().starts_with("run `sparkload create --schema p1`"));
        // Half of what an earlier version's tables have is not theirs.
        for foreign in [&["a lacks x int", "b lacks y int"][..], &["a lacks x bigint"]] {
            let error = upgrade(foreign).unwrap_err();
            assert_eq!(error.to_string(), "tables in the schema public are not those of sparkload");
            assert_eq!(error.causes(), foreign.join("\n"));
        }
    }

    #[test]
    fn each_step_says_what_it_ends() {
        for steps in [POSTGRES, REDSHIFT] {
            for (ended, statements) in steps.parts() {
                assert!(!ended.is_empty(), "{statements}");
                assert!(statements.trim_end().ends_with(';'), "{statements}");
            }
        }
    }
}
