//! The PostgreSQL protocol as Redshift speaks it: login, simple and extended queries, cancellation.

mod extended;
mod simple;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures::{Sink, SinkExt};
use pgwire::api::auth::md5pass::hash_md5_password;
use pgwire::api::auth::{
    StartupHandler, protocol_negotiation, save_startup_parameters_to_metadata,
};
use pgwire::api::cancel::CancelHandler;
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler, send_ready_for_query};
use pgwire::api::{
    ClientInfo, METADATA_DATABASE, METADATA_USER, PgWireConnectionState, PgWireServerHandlers,
};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::startup::{Authentication, BackendKeyData, ParameterStatus, SecretKey};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use tokio::sync::{Mutex, MutexGuard, Notify};

use super::Shared;
use super::error::{Refusal, Result};
use super::session::Session;
use super::tokens::literal;
use crate::support::postgres::{PASSWORD, USER};

/// What a client may ask for at login.
const STARTUP: [&str; 6] =
    ["user", "database", "application_name", "client_encoding", "datestyle", "timezone"];

/// One client's connection.
pub struct Connection {
    shared: Arc<Shared>,
    hang_up: Arc<Notify>,
    salt: [u8; 4],
    /// After the login.
    session: Mutex<Option<Session>>,
}

impl Connection {
    async fn session(&self) -> Result<Locked<'_>> {
        let session = self.session.lock().await;
        match session.is_some() {
            true => Ok(Locked(session)),
            false => Err(Refusal::fatal("08P01", "there is no session yet")),
        }
    }

    /// Opens the session of a client that has given its password.
    async fn login<C: ClientInfo>(&self, client: &C, answer: &str) -> Result<()> {
        let metadata = client.metadata();
        let user = metadata.get(METADATA_USER).map_or("", String::as_str);
        let is_known = user == USER || self.shared.settings().users.iter().any(|it| it == user);
        if !is_known || answer != hash_md5_password(user, PASSWORD, &self.salt) {
            let text = format!("password authentication failed for user \"{user}\"");
            return Err(Refusal::fatal("28000", text));
        }
        let database = metadata.get(METADATA_DATABASE).map_or(user, String::as_str);
        if database != self.shared.name {
            let text = format!("database \"{database}\" does not exist");
            return Err(Refusal::fatal("3D000", text));
        }
        let mut session = Session::open(self.shared.clone(), self.hang_up.clone(), user).await?;
        for (name, value) in metadata {
            let known = name.to_lowercase();
            if name == "options" {
                options(value, &mut session).await?;
            } else if !STARTUP.contains(&known.as_str()) {
                let text = format!("unrecognized configuration parameter \"{name}\"");
                return Err(Refusal::fatal("42704", text));
            } else if known == "application_name" {
                let sql = format!("SET application_name = {}", literal(value));
                session.client.batch_execute(&sql).await?;
            }
        }
        *self.session.lock().await = Some(session);
        Ok(())
    }
}

/// `-c name=value`, as often as it comes.
async fn options(options: &str, session: &mut Session) -> Result<()> {
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        let pair = match word.strip_prefix("-c") {
            Some("") => words.next().unwrap_or_default(),
            Some(pair) => pair,
            None => word.strip_prefix("--").unwrap_or_default(),
        };
        let wrong = || Refusal::fatal("42601", format!("invalid command-line arguments: {word}"));
        let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
        let set = format!("SET {name} TO {}", literal(value).trim_start_matches('E'));
        let fatal = |refusal| Refusal { fatal: true, ..refusal };
        session.message(&set, &mut Vec::new()).await.map_err(fatal)?;
    }
    Ok(())
}

/// The session of a client that has logged in.
struct Locked<'a>(MutexGuard<'a, Option<Session>>);

impl std::ops::Deref for Locked<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.0.as_ref().expect("it was there when the lock was taken")
    }
}

impl std::ops::DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Session {
        self.0.as_mut().expect("it was there when the lock was taken")
    }
}

/// What answers each kind of message of a connection.
#[derive(Clone)]
pub struct Handler(Arc<Connection>);

impl std::ops::Deref for Handler {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl Handler {
    /// A new connection; `hang_up` closes it.
    pub fn new(shared: Arc<Shared>, hang_up: Arc<Notify>) -> Handler {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let salt = since.subsec_nanos().to_be_bytes();
        Handler(Arc::new(Connection { shared, hang_up, salt, session: Mutex::new(None) }))
    }
}

impl PgWireServerHandlers for Handler {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::new(self.clone())
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::new(self.clone())
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        Arc::new(self.clone())
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl StartupHandler for Handler {
    async fn on_startup<C>(
        &self,
        client: &mut C,
        message: PgWireFrontendMessage,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(startup) => {
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                let ask = Authentication::MD5Password(self.salt.to_vec());
                client.send(PgWireBackendMessage::Authentication(ask)).await?;
            }
            PgWireFrontendMessage::PasswordMessageFamily(password) => {
                let password = password.into_password()?;
                self.login(client, &password.password).await?;
                let process = self.session().await?.process;
                let secret = i32::from_be_bytes(self.salt);
                self.shared.enter(process, secret, self.session().await?.client.cancel_token());
                client.feed(PgWireBackendMessage::Authentication(Authentication::Ok)).await?;
                let user = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
                let is_superuser = if user == USER { "on" } else { "off" };
                for (name, value) in [
                    ("server_version", "8.0.2"),
                    ("server_encoding", "UTF8"),
                    ("client_encoding", "UTF8"),
                    ("DateStyle", "ISO, MDY"),
                    ("TimeZone", "UTC"),
                    ("integer_datetimes", "on"),
                    ("is_superuser", is_superuser),
                    ("session_authorization", &user),
                ] {
                    let status = ParameterStatus::new(name.to_owned(), value.to_owned());
                    client.feed(PgWireBackendMessage::ParameterStatus(status)).await?;
                }
                let key = BackendKeyData::new(process, SecretKey::I32(secret));
                client.feed(PgWireBackendMessage::BackendKeyData(key)).await?;
                let status = self.session().await?.status();
                send_ready_for_query(client, status).await?;
                client.set_state(PgWireConnectionState::ReadyForQuery);
            }
            _ => {}
        }
        Ok(())
    }
}

#[async_trait]
impl CancelHandler for Handler {
    async fn on_cancel_request(&self, request: CancelRequest) {
        if let Some(token) = self.shared.cancel(request.pid, request.secret_key.as_i32()) {
            let _ = token.cancel_query(tokio_postgres::NoTls).await;
        }
    }
}
