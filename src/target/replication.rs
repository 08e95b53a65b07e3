//! Logical replication: what a publication asks of the tables, and of the way that rows get into them.
//!
//! A publication sends what is written into its tables, under the names that these have then. Rows that are written beside the
//! live tables and moved into place would be sent to tables that no subscriber has, or not at all. And a table that it
//! covers takes an UPDATE or DELETE only if a key or another replica identity tells its rows.

use tokio_postgres::{Client, GenericClient, Transaction};

use super::missing::{IDENTITIES, about};
use super::{failed, failed_unless_owner, in_schema};
use crate::error::{Error, Remedy, Result};
use crate::table::Table;

/// Whether something sends whatever is written into a schema: a publication, or another plugin of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replication {
    Off,
    /// Private tables are unlogged, for none sends such, and the live ones are made where they are to stay.
    On,
}

impl Replication {
    /// That of `schema`.
    ///
    /// # Errors
    ///
    /// A publication covers a table whose rows nothing tells.
    pub async fn of(client: &Client, schema: &str) -> Result<Self> {
        let what = |cause| failed("can't look for publications", cause);
        let publications = include_str!("../sql/publications.sql");
        let row = client.query_one(publications, &[]).await.map_err(what)?;
        let (any, of_all, may_be_of_schemas): (bool, bool, bool) =
            (row.get(0), row.get(1), row.get(2));
        if any {
            require_identities(client, schema).await?;
        }
        const OF_SCHEMA: &str = "SELECT EXISTS (SELECT FROM pg_publication_namespace
                                 WHERE pnnspid = to_regnamespace(quote_ident($1)))";
        let covers = of_all
            || any
                && may_be_of_schemas
                && client.query_one(OF_SCHEMA, &[&schema]).await.map_err(what)?.get(0);
        Ok(if covers { Self::On } else { Self::Off })
    }

    /// Sees to it that it is still as it was when the load began: rows have been written for that.
    ///
    /// # Errors
    ///
    /// A publication has come or gone.
    pub async fn require_same(self, client: &Client, schema: &str) -> Result<()> {
        if Self::of(client, schema).await? == self {
            return Ok(());
        }
        Err(Error::target(format!(
            "a publication of the schema {schema} has come or gone meanwhile"
        ))
        .with_help("run the load again")
        .with_remedy(Remedy::StartOver))
    }
}

async fn require_identities(client: &Client, schema: &str) -> Result<()> {
    let tables = without_identity(client, schema).await?;
    let covered: Vec<_> = tables.into_iter().filter(|(_, is_covered)| *is_covered).collect();
    let Some((table, _)) = covered.first() else { return Ok(()) };
    Err(Error::target(format!("a publication covers {table}, and nothing tells its rows"))
        .because("it has neither a primary key nor another replica identity, so it takes no UPDATE or DELETE")
        .with_help(format!("have its owner run `sparkload create --schema {schema}`")))
}

/// Sees to it that the tables of `schema` have what tells their rows.
pub(super) async fn identify(transaction: &Transaction<'_>, schema: &str) -> Result<()> {
    for (table, _) in without_identity(transaction, schema).await? {
        let what = |cause| {
            let what = format!("can't set the replica identity of {table}");
            failed_unless_owner(&what, cause, "have its owner run `sparkload create`")
        };
        let identity = in_schema(schema, &about(IDENTITIES, table));
        transaction.batch_execute(&identity).await.map_err(what)?;
    }
    Ok(())
}

/// The tables whose rows nothing tells, and whether a publication sends changes of them.
async fn without_identity(client: &impl GenericClient, schema: &str) -> Result<Vec<(Table, bool)>> {
    let what = |cause| failed("can't look at the replica identities of the tables", cause);
    let names = Table::ALL.map(Table::name).to_vec();
    let rows = client.query(include_str!("../sql/unidentified.sql"), &[&schema, &names]).await;
    let rows = rows.map_err(what)?;
    let found = |table: Table| rows.iter().find(|row| row.get::<_, &str>(0) == table.name());
    let tables = Table::ALL.into_iter();
    Ok(tables.filter_map(|table| found(table).map(|row| (table, row.get(1)))).collect())
}
