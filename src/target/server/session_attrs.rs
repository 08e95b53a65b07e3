//! What a session must be good for; libpq's `target_session_attrs`.

use tokio_postgres::{Client, Error, SimpleQueryMessage};

/// What is wanted of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionAttrs {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    /// A standby, or any server where there is none.
    PreferStandby,
}

impl SessionAttrs {
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "any" => Self::Any,
            "read-write" => Self::ReadWrite,
            "read-only" => Self::ReadOnly,
            "primary" => Self::Primary,
            "standby" => Self::Standby,
            "prefer-standby" => Self::PreferStandby,
            _ => return None,
        })
    }

    /// What is wanted each time that all addresses are tried.
    pub fn rounds(self) -> &'static [Self] {
        match self {
            Self::Any => &[Self::Any],
            Self::ReadWrite => &[Self::ReadWrite],
            Self::ReadOnly => &[Self::ReadOnly],
            Self::Primary => &[Self::Primary],
            Self::Standby => &[Self::Standby],
            Self::PreferStandby => &[Self::Standby, Self::Any],
        }
    }

    /// What is wrong with the session, if anything is.
    pub async fn objection(self, client: &Client) -> Result<Option<&'static str>, Error> {
        // PostgreSQL has one answer for each pair; Redshift only knows the first question.
        let (question, wrong, objection) = match self {
            Self::Any | Self::PreferStandby => return Ok(None),
            Self::ReadWrite => ("SHOW transaction_read_only", "on", "the session is read-only"),
            Self::ReadOnly => ("SHOW transaction_read_only", "off", "the session is not read-only"),
            Self::Primary => ("SELECT pg_is_in_recovery()", "t", "the server is a standby"),
            Self::Standby => ("SELECT pg_is_in_recovery()", "f", "the server is no standby"),
        };
        let messages = client.simple_query(question).await?;
        let answer = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.try_get(0).ok().flatten(),
            _ => None,
        });
        Ok((answer == Some(wrong)).then_some(objection))
    }
}
