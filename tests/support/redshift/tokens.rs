//! The words of a message: statements apart from each other, and a cursor for those that are read by hand.

use sqlparser::ast::{Ident, ObjectName};
use sqlparser::dialect::RedshiftSqlDialect;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Word};

use super::error::{Refusal, Result};

/// One statement of a message.
#[derive(Debug, Clone)]
pub struct Statement {
    /// As it came.
    pub text: String,
    /// Without white space and comments.
    pub tokens: Vec<TokenWithSpan>,
}

/// The statements of a message. String literals keep the text between their quotes as it is: whether a backslash is an
/// escape is for who reads it.
pub fn split(message: &str) -> Result<Vec<Statement>> {
    let tokens = Tokenizer::new(&RedshiftSqlDialect {}, message)
        .with_unescape(false)
        .tokenize_with_location()
        .map_err(|error| Refusal::new("42601", format!("syntax error: {error}")))?;
    let mut statements = Vec::new();
    for tokens in tokens.split(|it| it.token == Token::SemiColon) {
        let text: String = tokens.iter().map(|it| it.token.to_string()).collect();
        let is_space = |it: &&TokenWithSpan| matches!(it.token, Token::Whitespace(_) | Token::EOF);
        let tokens: Vec<_> = tokens.iter().filter(|it| !is_space(it)).cloned().collect();
        if !tokens.is_empty() {
            statements.push(Statement { text: text.trim().to_owned(), tokens });
        }
    }
    Ok(statements)
}

/// The value of a literal, of which `raw` stands between the quotes: doubled quotes are one, and a backslash escapes, as it
/// does where `standard_conforming_strings` is off.
pub fn unescape(raw: &str) -> String {
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(next) = rest.next() {
        match next {
            '\'' => {
                rest.next();
                value.push('\'');
            }
            '\\' => match rest.next() {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some('b') => value.push('\u{8}'),
                Some('f') => value.push('\u{c}'),
                Some(digit @ '0'..='7') => {
                    let mut code = digit as u32 - '0' as u32;
                    let mut peek = rest.clone();
                    for _ in 0..2 {
                        let Some(digit) = peek.next().and_then(|it| it.to_digit(8)) else { break };
                        code = code * 8 + digit;
                        rest = peek.clone();
                    }
                    value.push(char::from((code & 0xFF) as u8));
                }
                Some(other) => value.push(other),
                None => {}
            },
            other => value.push(other),
        }
    }
    value
}

/// A literal of PostgreSQL that holds whatever `value` does.
pub fn literal(value: &str) -> String {
    format!("E'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// A place in a statement.
#[derive(Clone)]
pub struct Cursor<'a> {
    rest: &'a [TokenWithSpan],
}

impl<'a> Cursor<'a> {
    pub fn new(tokens: &'a [TokenWithSpan]) -> Cursor<'a> {
        Cursor { rest: tokens }
    }

    pub fn peek(&self) -> Option<&'a Token> {
        self.rest.first().map(|it| &it.token)
    }

    pub fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(&first.token)
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [TokenWithSpan] {
        self.rest
    }

    pub fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// The error that says that what comes next is wrong.
    pub fn wrong(&self) -> Refusal {
        match self.peek() {
            Some(token) => Refusal::syntax(&token.to_string()),
            None => Refusal::new("42601", "syntax error at end of input"),
        }
    }

    /// The next word in capitals, if it is one without quotes.
    pub fn peek_word(&self) -> Option<String> {
        match self.peek() {
            Some(Token::Word(Word { value, quote_style: None, .. })) => {
                Some(value.to_ascii_uppercase())
            }
            _ => None,
        }
    }

    /// Takes the word, if it comes next.
    pub fn word(&mut self, word: &str) -> bool {
        let found = self.peek_word().is_some_and(|it| it == word);
        if found {
            self.next();
        }
        found
    }

    /// Takes the words, if all of them come next.
    pub fn words(&mut self, words: &[&str]) -> bool {
        let mut ahead = self.clone();
        let found = words.iter().all(|word| ahead.word(word));
        if found {
            *self = ahead;
        }
        found
    }

    pub fn token(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        if found {
            self.next();
        }
        found
    }

    pub fn expect(&mut self, token: &Token) -> Result<()> {
        if self.token(token) { Ok(()) } else { Err(self.wrong()) }
    }

    pub fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.word(word) { Ok(()) } else { Err(self.wrong()) }
    }

    /// A string literal's value.
    pub fn string(&mut self) -> Result<String> {
        match self.peek() {
            Some(Token::SingleQuotedString(raw)) => {
                self.next();
                Ok(unescape(raw))
            }
            _ => Err(self.wrong()),
        }
    }

    pub fn number(&mut self) -> Result<u64> {
        match self.peek() {
            Some(Token::Number(digits, false)) => {
                let number = digits.parse().map_err(|_| self.wrong())?;
                self.next();
                Ok(number)
            }
            _ => Err(self.wrong()),
        }
    }

    /// A name: in quotes as it is, otherwise in small letters.
    pub fn name(&mut self) -> Result<String> {
        match self.peek() {
            Some(Token::Word(Word { value, quote_style, .. })) => {
                self.next();
                Ok(match quote_style {
                    Some(_) => value.replace("\"\"", "\""),
                    None => value.to_lowercase(),
                })
            }
            _ => Err(self.wrong()),
        }
    }

    /// A table's name, and its schema's if that is given.
    pub fn table(&mut self) -> Result<TableName> {
        let first = self.name()?;
        if !self.token(&Token::Period) {
            return Ok(TableName { schema: None, name: first });
        }
        Ok(TableName { schema: Some(first), name: self.name()? })
    }

    /// Names in parentheses, if a parenthesis comes next.
    pub fn names(&mut self) -> Result<Option<Vec<String>>> {
        if !self.token(&Token::LParen) {
            return Ok(None);
        }
        let mut names = vec![self.name()?];
        while self.token(&Token::Comma) {
            names.push(self.name()?);
        }
        self.expect(&Token::RParen)?;
        Ok(Some(names))
    }
}

/// A table as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    pub schema: Option<String>,
    pub name: String,
}

impl TableName {
    /// As a parsed statement has it.
    pub fn object(&self) -> ObjectName {
        let names = self.schema.iter().chain([&self.name]);
        let names = names.map(|name| Ident::with_quote('"', name.replace('"', "\"\"")));
        ObjectName::from(names.collect::<Vec<_>>())
    }

    /// As PostgreSQL reads it.
    pub fn sql(&self) -> String {
        let name = quoted(&self.name);
        match &self.schema {
            Some(schema) => format!("{}.{name}", quoted(schema)),
            None => name,
        }
    }
}

/// A name that PostgreSQL takes as it is.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
