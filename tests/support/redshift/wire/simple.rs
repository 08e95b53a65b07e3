//! Simple queries: a message of any number of statements.

use std::fmt::Debug;

use async_trait::async_trait;
use futures::{Sink, SinkExt};
use pgwire::api::query::{SimpleQueryHandler, send_ready_for_query};
use pgwire::api::results::Response;
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, PgWireConnectionState};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::{FieldDescription, RowDescription};
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse, ErrorResponse};
use pgwire::messages::simplequery::Query;

use super::super::answer::Answer;
use super::Handler;

#[async_trait]
impl SimpleQueryHandler for Handler {
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        client.set_state(PgWireConnectionState::QueryInProgress);
        let mut session = self.session().await?;
        let mut answers = Vec::new();
        let result = session.message(&query.query, &mut answers).await;
        let status = session.status();
        drop(session);
        if answers.is_empty() && result.is_ok() {
            client
                .feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()))
                .await?;
        }
        for answer in answers {
            let tag = match answer {
                Answer::Done(tag) => tag,
                Answer::Rows { fields, rows, tag } => {
                    let fields: Vec<FieldDescription> = fields.iter().map(Into::into).collect();
                    let description = RowDescription::new(fields);
                    client.feed(PgWireBackendMessage::RowDescription(description)).await?;
                    for row in rows {
                        client.feed(PgWireBackendMessage::DataRow(row)).await?;
                    }
                    tag
                }
            };
            client.feed(PgWireBackendMessage::CommandComplete(CommandComplete::new(tag))).await?;
        }
        client.set_transaction_status(status);
        if let Err(refusal) = result {
            if refusal.fatal {
                return Err(refusal.into());
            }
            let response = ErrorResponse::from(ErrorInfo::from(refusal));
            client.feed(PgWireBackendMessage::ErrorResponse(response)).await?;
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        send_ready_for_query(client, status).await
    }

    async fn do_query<C>(&self, _: &mut C, _: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        Ok(Vec::new())
    }
}
