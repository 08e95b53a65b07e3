//! Extended queries: a statement is parsed, bound to parameters and executed.

use std::error::Error;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{Sink, TryStreamExt, stream};
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::ExtendedQueryHandler;
use pgwire::api::results::{FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::stmt::QueryParser;
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::extendedquery::Execute;
use tokio_postgres::types::{FromSql, IsNull, ToSql, to_sql_checked};

use super::super::answer::{Answer, data_row, fields};
use super::super::error::{Refusal, Result};
use super::super::session::Session;
use super::super::sql::Command;
use super::super::tokens;
use super::Handler;

/// The most parameters of a statement.
const PARAMETERS: usize = 32_767;

/// A statement of the extended protocol.
#[derive(Clone)]
pub struct Prepared {
    text: String,
    command: Command,
    /// PostgreSQL's, where there can be parameters or rows.
    statement: Option<tokio_postgres::Statement>,
}

#[async_trait]
impl QueryParser for Handler {
    type Statement = Prepared;

    async fn parse_sql<C>(
        &self,
        _: &C,
        sql: &str,
        types: &[Option<Type>],
    ) -> PgWireResult<Option<Prepared>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let mut session = self.session().await?;
        match prepare(&mut session, sql, types).await {
            Ok(prepared) => Ok(prepared),
            Err(refusal) => {
                session.fail().await;
                Err(refusal.into())
            }
        }
    }

    fn get_parameter_types(&self, prepared: &Prepared) -> PgWireResult<Vec<Type>> {
        Ok(prepared.statement.as_ref().map_or(Vec::new(), |it| it.params().to_vec()))
    }

    fn get_result_schema(
        &self,
        prepared: &Prepared,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        let format = |at| format.map_or(FieldFormat::Text, |it| it.format_for(at));
        Ok(prepared.statement.as_ref().map_or(Vec::new(), |it| fields(it, format)))
    }
}

async fn prepare(
    session: &mut Session,
    message: &str,
    types: &[Option<Type>],
) -> Result<Option<Prepared>> {
    let mut statements = tokens::split(message)?;
    let Some(statement) = statements.pop() else { return Ok(None) };
    if !statements.is_empty() {
        let text = "cannot insert multiple commands into a prepared statement";
        return Err(Refusal::new("42601", text));
    }
    session.shared.record(&statement.text);
    let command = session.understand(&statement).await?;
    let prepared = match &command {
        Command::Rows { sql, .. } | Command::Changes { sql, .. } => {
            let types: Vec<_> =
                types.iter().map(|it| it.clone().unwrap_or(Type::UNKNOWN)).collect();
            let prepared = session.client.prepare_typed(sql, &types).await?;
            if prepared.params().len() > PARAMETERS {
                let text = format!("too many parameters, the most is {PARAMETERS}");
                return Err(Refusal::new("54000", text));
            }
            Some(prepared)
        }
        _ => None,
    };
    Ok(Some(Prepared { text: statement.text, command, statement: prepared }))
}

#[async_trait]
impl ExtendedQueryHandler for Handler {
    type Statement = Prepared;
    type QueryParser = Handler;

    fn query_parser(&self) -> Arc<Handler> {
        Arc::new(self.clone())
    }

    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let result = self._on_execute(client, message).await;
        client.set_transaction_status(self.session().await?.status());
        result
    }

    async fn do_query<C>(
        &self,
        _: &mut C,
        portal: &Portal<Prepared>,
        _: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let mut session = self.session().await?;
        let result = execute(&mut session, portal).await;
        match result {
            Ok(response) => Ok(response),
            Err(refusal) => {
                session.fail().await;
                Err(refusal.into())
            }
        }
    }
}

async fn execute(session: &mut Session, portal: &Portal<Prepared>) -> Result<Response> {
    let Prepared { text, command, statement } = &portal.statement.statement;
    let Some(statement) = statement else {
        let Answer::Done(tag) = session.single(text, command.clone()).await? else {
            return Err(Refusal::unsupported("rows of it"));
        };
        return Ok(Response::Execution(Tag::new(&tag)));
    };
    session.prelude(text, command).await?;
    let parameters: Vec<Raw> = portal.parameters.iter().cloned().map(Raw).collect();
    if (0..parameters.len()).any(|at| portal.parameter_format.is_text(at)) {
        return Err(Refusal::unsupported("a parameter as text"));
    }
    let response = match command {
        Command::Changes { tag, .. } => {
            let count = session.client.execute_raw(statement, &parameters).await?;
            Response::Execution(Tag::new(&session.counted(tag, count)))
        }
        _ => {
            let columns = statement.columns().len();
            if (0..columns).any(|at| portal.result_column_format.is_text(at)) {
                return Err(Refusal::unsupported("a result as text in the extended protocol"));
            }
            let rows = session.client.query_raw(statement, &parameters).await?;
            let rows: Vec<tokio_postgres::Row> = rows.try_collect().await?;
            let mut data = Vec::new();
            for row in &rows {
                let values: Vec<Option<Received<'_>>> = (0..columns)
                    .map(|at| row.try_get(at))
                    .collect::<std::result::Result<_, _>>()?;
                data.push(Ok(data_row(values.iter().map(|it| it.as_ref().map(|it| it.0)))));
            }
            let fields = fields(statement, |_| FieldFormat::Binary);
            Response::Query(QueryResponse::new(Arc::new(fields), stream::iter(data)))
        }
    };
    session.settle().await?;
    Ok(response)
}

/// A value that goes on as it came.
#[derive(Debug)]
struct Raw(Option<Bytes>);

impl ToSql for Raw {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn Error + Sync + Send>> {
        match &self.0 {
            Some(bytes) => {
                out.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A value as PostgreSQL sent it.
struct Received<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Received<'a> {
    fn from_sql(
        _: &Type,
        raw: &'a [u8],
    ) -> std::result::Result<Received<'a>, Box<dyn Error + Sync + Send>> {
        Ok(Received(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
