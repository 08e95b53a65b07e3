//! SQL cut into its statements, as PostgreSQL's scanner reads it, and what each of them is for.
//!
//! Which statement is which must be known before any is sent: each goes to the server alone, and `COPY` by another way
//! than the rest. What is cut wrongly is refused by the server, which takes one statement at a time.

/// One of the statements of some SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// Without the semicolon, from its first token to its last.
    pub text: String,
    /// How many characters of the SQL stand before it.
    pub at: usize,
    tokens: Vec<Token>,
}

/// What a statement consists of outside of parentheses.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A keyword or a name, in capitals.
    Word(String),
    /// A name in quotes, or a text.
    Quoted(String),
    /// Parentheses with all that is in them.
    Group,
    Symbol,
}

/// What a statement does, as far as its words tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Its words are those of a statement that reads; what it calls may still write.
    Reads,
    /// `COPY … TO STDOUT`.
    CopiesOut,
    /// `COPY … FROM STDIN`.
    CopiesIn,
    /// Anything else.
    Other,
}

/// The statements that read, by their first words.
const READING: [&str; 12] = [
    "SELECT", "WITH", "VALUES", "TABLE", "EXPLAIN", "SHOW", "DECLARE", "FETCH", "MOVE", "CLOSE",
    "SET", "RESET",
];

/// Those that say how many rows they have changed.
const COUNTING: [&str; 4] = ["INSERT", "UPDATE", "DELETE", "MERGE"];

/// Those that may commit on their way, so that what they did stays when they are cancelled.
const COMMITTING: [&str; 6] = ["CALL", "DO", "VACUUM", "CLUSTER", "REINDEX", "CONCURRENTLY"];

impl Statement {
    /// Its first word, in capitals; `SELECT` for one that begins with a parenthesis.
    pub fn verb(&self) -> &str {
        self.word(0).unwrap_or("SELECT")
    }

    pub fn purpose(&self) -> Purpose {
        match self.verb() {
            "COPY" => self.copy(),
            "SET" | "RESET" if self.sets_transaction() => Purpose::Other,
            verb if READING.contains(&verb) => Purpose::Reads,
            _ => Purpose::Other,
        }
    }

    /// Whether it can give rows, so that the server is worth asking for their types.
    pub fn may_give_rows(&self) -> bool {
        self.purpose() == Purpose::Reads && !["SET", "RESET"].contains(&self.verb())
            || self.verb() == "EXECUTE"
            || self.has("RETURNING")
    }

    /// Whether the number of rows that the server tells of it is one of rows that were changed.
    pub fn counts(&self) -> bool {
        COUNTING.contains(&self.verb())
    }

    /// Whether it may have committed something by the time that it is cancelled.
    pub fn may_commit(&self) -> bool {
        COMMITTING.iter().any(|word| self.verb() == *word)
            || ["CREATE", "DROP", "REFRESH", "ALTER"].contains(&self.verb())
                && self.has("CONCURRENTLY")
    }

    /// Whether a transaction block is open after it, where one was `open` before.
    pub fn leaves_open(&self, open: bool) -> bool {
        match (self.verb(), self.word(1)) {
            ("BEGIN" | "START", _) => true,
            ("ROLLBACK", Some("TO")) => open,
            ("COMMIT" | "END" | "ROLLBACK" | "ABORT", _) => self.chains(),
            ("PREPARE", Some("TRANSACTION")) => false,
            _ => open,
        }
    }

    /// `AND CHAIN`, but not `AND NO CHAIN`.
    fn chains(&self) -> bool {
        self.has("CHAIN") && !self.has("NO")
    }

    /// Which way a COPY goes, and whether through this program: PostgreSQL takes STDIN and STDOUT for the same.
    fn copy(&self) -> Purpose {
        let is = |token: &Token, words: [&str; 2]| matches!(token, Token::Word(word) if words.contains(&word.as_str()));
        // What is copied may be called by any word, as in `COPY "to" TO STDOUT`, but not by these without quotes.
        let Some(at) = self.tokens.iter().position(|token| is(token, ["TO", "FROM"])) else {
            return Purpose::Other;
        };
        let through_here =
            self.tokens.get(at + 1).is_some_and(|token| is(token, ["STDOUT", "STDIN"]));
        match (through_here, is(&self.tokens[at], ["TO", "TO"])) {
            (true, true) => Purpose::CopiesOut,
            (true, false) => Purpose::CopiesIn,
            (false, _) => Purpose::Other,
        }
    }

    /// Whether a SET or RESET is about what transactions may do.
    fn sets_transaction(&self) -> bool {
        let names = self.tokens.iter().skip(1).filter_map(|token| match token {
            Token::Word(name) | Token::Quoted(name) => Some(name.to_uppercase()),
            Token::Group | Token::Symbol => None,
        });
        let mut names = names.skip_while(|name| ["SESSION", "LOCAL"].contains(&name.as_str()));
        names.next().is_some_and(|name| {
            ["TRANSACTION", "DEFAULT_TRANSACTION", "CHARACTERISTICS"]
                .iter()
                .any(|about| name.starts_with(about))
        })
    }

    fn word(&self, at: usize) -> Option<&str> {
        match self.tokens.get(at)? {
            Token::Word(word) => Some(word),
            Token::Quoted(_) | Token::Group | Token::Symbol => None,
        }
    }

    fn has(&self, word: &str) -> bool {
        self.tokens.iter().any(|token| matches!(token, Token::Word(it) if it == word))
    }
}

/// Cuts `sql` at the semicolons that end statements; empty ones are left out.
///
/// `backslashes` says that a backslash escapes in ordinary texts: in Redshift's, and in PostgreSQL's with
/// `standard_conforming_strings` off.
pub(super) fn split(sql: &str, backslashes: bool) -> Vec<Statement> {
    let mut scanner = Scanner { sql, at: 0, backslashes };
    let mut statements = Vec::new();
    let mut counted = (0, 0);
    while scanner.at < sql.len() {
        let Some((start, end, tokens)) = scanner.statement() else { continue };
        let (bytes, chars) = counted;
        counted = (start, chars + sql[bytes..start].chars().count());
        statements.push(Statement { text: sql[start..end].to_owned(), at: counted.1, tokens });
    }
    statements
}

struct Scanner<'a> {
    sql: &'a str,
    at: usize,
    backslashes: bool,
}

impl<'a> Scanner<'a> {
    /// The next statement, its semicolon behind it: where it begins and ends, and its tokens; none if it is empty.
    fn statement(&mut self) -> Option<(usize, usize, Vec<Token>)> {
        let mut tokens = Vec::new();
        let mut bounds: Option<(usize, usize)> = None;
        // The parentheses that are open, and the blocks of a function whose body is no text (BEGIN ATOMIC … END).
        let (mut depth, mut blocks) = (0_usize, 0_usize);
        loop {
            self.skip_blank();
            let start = self.at;
            let Some(first) = self.rest().chars().next() else { break };
            let token = match first {
                ';' if depth == 0 && blocks == 0 => {
                    self.at += 1;
                    break;
                }
                '(' => {
                    self.at += 1;
                    depth += 1;
                    (depth == 1).then_some(Token::Group)
                }
                ')' => {
                    self.at += 1;
                    depth = depth.saturating_sub(1);
                    None
                }
                '\'' => Some(Token::Quoted(self.text(self.backslashes))),
                '"' => Some(Token::Quoted(self.quoted('"', false))),
                '$' => Some(self.dollar()),
                _ if is_name_start(first) => {
                    let word = self.word();
                    match (word.as_str(), self.rest().starts_with('\'')) {
                        ("E", true) => Some(Token::Quoted(self.text(true))),
                        ("B" | "X", true) => Some(Token::Quoted(self.text(false))),
                        ("N", true) => Some(Token::Quoted(self.text(self.backslashes))),
                        ("U", false) if self.rest().starts_with("&'") => {
                            self.at += 1;
                            Some(Token::Quoted(self.text(false)))
                        }
                        ("U", false) if self.rest().starts_with("&\"") => {
                            self.at += 1;
                            Some(Token::Quoted(self.quoted('"', false)))
                        }
                        (word, _) if depth == 0 && has_body(&tokens) => {
                            match word {
                                "BEGIN" => blocks += 1,
                                "CASE" if blocks > 0 => blocks += 1,
                                "END" => blocks = blocks.saturating_sub(1),
                                _ => {}
                            }
                            Some(Token::Word(word.to_owned()))
                        }
                        _ => Some(Token::Word(word)),
                    }
                }
                _ => {
                    self.at += first.len_utf8();
                    Some(Token::Symbol)
                }
            };
            bounds = Some((bounds.map_or(start, |(start, _)| start), self.at));
            if depth == 0 || matches!(token, Some(Token::Group)) {
                tokens.extend(token);
            }
        }
        bounds.map(|(start, end)| (start, end, tokens))
    }

    fn rest(&self) -> &'a str {
        &self.sql[self.at..]
    }

    /// Goes past white space and comments, which may hold comments.
    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let blank =
                rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']).len();
            self.at += blank;
            let rest = self.rest();
            if rest.starts_with("--") {
                self.at += rest.find(['\n', '\r']).unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                self.skip_comment();
            } else if blank == 0 {
                return;
            }
        }
    }

    fn skip_comment(&mut self) {
        let mut depth = 0;
        loop {
            let rest = self.rest();
            if rest.starts_with("/*") {
                depth += 1;
                self.at += 2;
            } else if rest.starts_with("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return;
                }
            } else {
                match rest.chars().next() {
                    Some(char) => self.at += char.len_utf8(),
                    None => return,
                }
            }
        }
    }

    fn word(&mut self) -> String {
        let rest = self.rest();
        let end = rest.find(|char| !is_name_part(char)).unwrap_or(rest.len());
        self.at += end;
        rest[..end].to_uppercase()
    }

    /// A text, and those that go on with it on further lines: they are read as the first one is.
    fn text(&mut self, backslashes: bool) -> String {
        let mut text = self.quoted('\'', backslashes);
        loop {
            let before = self.at;
            self.skip_blank();
            let on_another_line = self.sql[before..self.at].contains(['\n', '\r']);
            if !(on_another_line && self.rest().starts_with('\'')) {
                self.at = before;
                return text;
            }
            text += &self.quoted('\'', backslashes);
        }
    }

    /// What stands between two of `quote`; two at once are one in it.
    fn quoted(&mut self, quote: char, backslashes: bool) -> String {
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1).peekable();
        while let Some((at, char)) = chars.next() {
            if char == quote {
                if chars.next_if(|(_, next)| *next == quote).is_none() {
                    self.at += at + char.len_utf8();
                    return text;
                }
            } else if char == '\\' && backslashes {
                text.extend(chars.next().map(|(_, escaped)| escaped));
                continue;
            }
            text.push(char);
        }
        self.at = self.sql.len();
        text
    }

    /// `$tag$ … $tag$`, or else a parameter.
    fn dollar(&mut self) -> Token {
        let rest = &self.rest()[1..];
        let tag = rest.split_once('$').map(|(tag, _)| tag).filter(|tag| {
            tag.chars().all(|char| is_name_part(char) && char != '$')
                && !tag.starts_with(|char: char| char.is_ascii_digit())
        });
        let Some(tag) = tag else {
            self.at += 1;
            return Token::Symbol;
        };
        let mark = format!("${tag}$");
        let body = &self.rest()[mark.len()..];
        let end = body.find(&mark);
        self.at = end.map_or(self.sql.len(), |end| self.at + mark.len() + end + mark.len());
        Token::Quoted(String::new())
    }
}

/// Whether these begin a statement that may hold others: CREATE [OR REPLACE] FUNCTION or PROCEDURE.
fn has_body(tokens: &[Token]) -> bool {
    let word = |at: usize| match tokens.get(at) {
        Some(Token::Word(word)) => word.as_str(),
        _ => "",
    };
    let what = if (word(1), word(2)) == ("OR", "REPLACE") { word(3) } else { word(1) };
    word(0) == "CREATE" && ["FUNCTION", "PROCEDURE"].contains(&what)
}

fn is_name_start(char: char) -> bool {
    char.is_ascii_alphabetic() || char == '_' || !char.is_ascii()
}

fn is_name_part(char: char) -> bool {
    is_name_start(char) || char.is_ascii_digit() || char == '$'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<String> {
        split(sql, false).into_iter().map(|statement| statement.text).collect()
    }

    fn one(sql: &str) -> Statement {
        let [statement] = <[_; 1]>::try_from(split(sql, false)).unwrap();
        statement
    }

    #[test]
    fn semicolons_end_statements_where_the_server_says_so() {
        let cases: [(&str, &[&str]); 20] = [
            ("", &[]),
            (" ; ;\n-- nothing; at all\n/* nor; /* here */ ; */;", &[]),
            ("SELECT 1", &["SELECT 1"]),
            ("SELECT 1; SELECT 2;", &["SELECT 1", "SELECT 2"]),
            ("SELECT ';'; SELECT 2", &["SELECT ';'", "SELECT 2"]),
            ("SELECT 'it''s; ' || E'\\';' ; x", &["SELECT 'it''s; ' || E'\\';'", "x"]),
            ("SELECT '\\'; x", &["SELECT '\\'", "x"]),
            ("SELECT E'a'\n  '\\';' ; x", &["SELECT E'a'\n  '\\';'", "x"]),
            (
                "SELECT U&'\\0041;' , B'0', X'1F', N'n;'; x",
                &["SELECT U&'\\0041;' , B'0', X'1F', N'n;'", "x"],
            ),
            ("SELECT \"a;\"\"b\", U&\"c;\"; x", &["SELECT \"a;\"\"b\", U&\"c;\"", "x"]),
            ("SELECT $$a;b$$, $x$;$$;$x$; x", &["SELECT $$a;b$$, $x$;$$;$x$", "x"]),
            ("SELECT a$b;c$b", &["SELECT a$b", "c$b"]),
            ("SELECT $1; x", &["SELECT $1", "x"]),
            ("SELECT 1 -- one;\n, 2; x", &["SELECT 1 -- one;\n, 2", "x"]),
            ("SELECT 1 /* ; */ ; x", &["SELECT 1", "x"]),
            (
                "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); x",
                &["CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", "x"],
            ),
            (
                "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; x",
                &[
                    "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
                    "x",
                ],
            ),
            ("BEGIN; SELECT 1; END", &["BEGIN", "SELECT 1", "END"]),
            ("SELECT 'open; x", &["SELECT 'open; x"]),
            ("SELECT (1; x", &["SELECT (1; x"]),
        ];
        for (sql, expected) in cases {
            assert_eq!(texts(sql), expected, "{sql}");
        }
        let escaped: Vec<_> =
            split("SELECT '\\'; x'; y", true).into_iter().map(|it| it.text).collect();
        assert_eq!(escaped, ["SELECT '\\'; x'", "y"]);
    }

    #[test]
    fn a_statement_knows_where_it_begins_in_characters() {
        let at: Vec<_> =
            split("SELECT 'é'; -- ü\n DELETE FROM t", false).iter().map(|it| it.at).collect();
        assert_eq!(at, [0, 18]);
    }

    #[test]
    fn what_a_statement_is_for_is_told_by_its_words() {
        use Purpose::{CopiesIn, CopiesOut, Other, Reads};
        let cases = [
            ("select 1", Reads),
            ("(SELECT 1) UNION SELECT 2", Reads),
            ("/* DELETE */ WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a", Reads),
            ("SET work_mem = '1GB'", Reads),
            ("SET TIME ZONE 'UTC'", Reads),
            ("RESET ALL", Reads),
            ("SET LOCAL search_path TO x", Reads),
            ("SET transaction_read_only = off", Other),
            ("SET SESSION \"transaction_read_only\" TO off", Other),
            ("SET LOCAL transaction_read_only TO off", Other),
            ("set default_transaction_read_only to off", Other),
            ("SET TRANSACTION READ WRITE", Other),
            ("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", Other),
            ("RESET transaction_read_only", Other),
            ("COMMIT", Other),
            ("BEGIN READ WRITE", Other),
            ("DO $$ BEGIN COMMIT; END $$", Other),
            ("DELETE FROM t", Other),
            ("UNLOAD ('SELECT 1') TO 's3://b'", Other),
            ("COPY t TO STDOUT", CopiesOut),
            ("copy public.\"from\" (a, b) to stdout with (format csv)", CopiesOut),
            ("COPY (SELECT 'x' FROM t) TO STDOUT", CopiesOut),
            ("COPY BINARY t TO STDIN", CopiesOut),
            ("COPY t FROM STDIN", CopiesIn),
            ("COPY t (a) FROM stdout", CopiesIn),
            ("COPY t TO 'stdout'", Other),
            ("COPY t TO PROGRAM 'cat'", Other),
            ("COPY \"TO STDOUT\" TO PROGRAM 'cat'", Other),
            ("COPY t FROM '/etc/passwd'", Other),
            ("COPY t FROM 's3://b' IAM_ROLE default", Other),
        ];
        for (sql, expected) in cases {
            assert_eq!(one(sql).purpose(), expected, "{sql}");
        }
    }

    #[test]
    fn transactions_are_followed_over_their_statements() {
        let open =
            |sql: &str| split(sql, false).iter().fold(false, |open, it| it.leaves_open(open));
        for (sql, expected) in [
            ("BEGIN; DELETE FROM t", true),
            ("START TRANSACTION; SELECT 1; COMMIT", false),
            ("BEGIN; SAVEPOINT a; ROLLBACK TO a", true),
            ("BEGIN; COMMIT AND CHAIN", true),
            ("BEGIN; ROLLBACK AND NO CHAIN", false),
            ("DELETE FROM t", false),
        ] {
            assert_eq!(open(sql), expected, "{sql}");
        }
    }
}
