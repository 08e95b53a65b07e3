//! `dwh.cfg`: the settings file of the pipeline that this program takes the place of, read as it is.
//!
//! There are as many forms of it as people who have filled it in. What a key says is mostly clear from its name, so that
//! each value is looked for under all names that it goes by, in all sections that it is found in; docs/dwh.md lists them.
//! What is empty is not set.

use std::collections::BTreeSet;

use configparser::ini::Ini;
use sparkload::{Error, Result};

use super::file::{Read, Values};

/// Where what is said of a server stands. `[DWH]` is about the cluster that is to be made: what it says of the one that is
/// there counts last.
const SERVER: [&str; 9] = [
    "CLUSTER",
    "REDSHIFT",
    "DB",
    "DATABASE",
    "POSTGRES",
    "POSTGRESQL",
    "DEFAULT",
    "GENERAL",
    "DWH",
];
/// The same for the cluster that is to be made.
const WANTED: [&str; 9] = [
    "DWH",
    "CLUSTER",
    "REDSHIFT",
    "DB",
    "DATABASE",
    "POSTGRES",
    "POSTGRESQL",
    "DEFAULT",
    "GENERAL",
];
const ROLE: [&str; 7] = ["IAM_ROLE", "IAM", "DWH", "CLUSTER", "AWS", "DEFAULT", "GENERAL"];
const ACCOUNT: [&str; 8] = ["AWS", "KEYS", "KEY", "CREDENTIALS", "IAM", "S3", "DEFAULT", "GENERAL"];
/// The region that counts is the bucket's.
const REGION: [&str; 7] = ["S3", "AWS", "KEYS", "DWH", "CLUSTER", "DEFAULT", "GENERAL"];
const DATA: [&str; 6] = ["S3", "DATA", "SOURCE", "AWS", "DEFAULT", "GENERAL"];

/// Sections that mean a server by being there.
const MEANS_SERVER: [&str; 8] =
    ["CLUSTER", "REDSHIFT", "DB", "DATABASE", "POSTGRES", "POSTGRESQL", "DWH", "IAM_ROLE"];

const HOST: [&str; 9] = [
    "HOST",
    "DB_HOST",
    "DWH_HOST",
    "DWH_ENDPOINT",
    "ENDPOINT",
    "CLUSTER_ENDPOINT",
    "HOSTNAME",
    "REDSHIFT_HOST",
    "REDSHIFT_ENDPOINT",
];

/// The options that stand for one value each, the sections and keys in the order in which they count.
const PLAIN: [(&str, &[&str], &[&str]); 11] = [
    ("logs", &DATA, &["LOG_DATA", "LOGS", "LOG_PATH", "LOG_DATA_PATH"]),
    ("songs", &DATA, &["SONG_DATA", "SONGS", "SONG_PATH", "SONG_DATA_PATH"]),
    (
        "jsonpaths",
        &DATA,
        &["LOG_JSONPATH", "LOG_JSON_PATH", "LOG_JSONPATHS", "JSONPATH", "JSONPATHS"],
    ),
    (
        "iam-role",
        &ROLE,
        &["ARN", "IAM_ROLE", "IAM_ROLE_ARN", "ROLE_ARN", "DWH_ROLE_ARN", "DWH_IAM_ROLE_ARN"],
    ),
    (
        "region",
        &REGION,
        &["REGION", "REGION_NAME", "AWS_REGION", "AWS_DEFAULT_REGION", "DWH_REGION"],
    ),
    (
        "access-key-id",
        &ACCOUNT,
        &["KEY", "ACCESS_KEY", "ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID", "AWS_KEY", "KEY_ID"],
    ),
    (
        "secret-access-key",
        &ACCOUNT,
        &[
            "SECRET",
            "SECRET_KEY",
            "SECRET_ACCESS_KEY",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SECRET",
            "SECRET_ACCESS",
        ],
    ),
    (
        "cluster-identifier",
        &WANTED,
        &["DWH_CLUSTER_IDENTIFIER", "CLUSTER_IDENTIFIER", "CLUSTER_ID"],
    ),
    ("node-type", &WANTED, &["DWH_NODE_TYPE", "NODE_TYPE"]),
    (
        "role-name",
        &["DWH", "IAM_ROLE", "IAM", "CLUSTER", "AWS", "DEFAULT", "GENERAL"],
        &[
            "DWH_IAM_ROLE_NAME",
            "DWH_IAM_ROLENAME",
            "IAM_ROLE_NAME",
            "IAM_ROLENAME",
            "ROLE_NAME",
            "DWH_ROLE_NAME",
        ],
    ),
    ("nodes", &WANTED, &["DWH_NUM_NODES", "NUM_NODES", "NUMBER_OF_NODES"]),
];

/// Where it says that one node is meant, whatever it says of their number.
const CLUSTER_TYPE: [&str; 2] = ["DWH_CLUSTER_TYPE", "CLUSTER_TYPE"];

/// The parts of the target and the options of the cluster that is to be made: keyword, option, and the keys. What one
/// section leaves out another may have.
const PARTS: [(&str, &str, &[&str]); 4] = [
    ("port", "cluster-port", &["DB_PORT", "PORT", "DWH_PORT", "DWH_DB_PORT"]),
    (
        "dbname",
        "cluster-database",
        &["DB_NAME", "DBNAME", "DATABASE", "DB", "DATABASE_NAME", "DWH_DB", "DWH_DB_NAME"],
    ),
    (
        "user",
        "cluster-user",
        &["DB_USER", "USER", "DBUSER", "USERNAME", "DB_USERNAME", "DWH_DB_USER", "DWH_USER"],
    ),
    (
        "password",
        "cluster-password",
        &["DB_PASSWORD", "PASSWORD", "DBPASSWORD", "DB_PASS", "DWH_DB_PASSWORD", "DWH_PASSWORD"],
    ),
];

/// Reads the `text` of the file that is shown as `place`.
pub fn parse(text: &str, place: &str) -> Result<Read> {
    let mut file = Ini::new();
    // A password may hold what begins a comment elsewhere.
    file.set_inline_comment_symbols(Some(&[]));
    file.read(text.to_owned()).map_err(|cause| {
        Error::config(format!("{place}, {cause}"))
            .with_help("write [SECTION] and below it NAME = value")
    })?;
    let mut file = File { file, known: BTreeSet::new() };

    let mut values: Values = PLAIN
        .iter()
        .filter_map(|&(option, sections, keys)| {
            Some((option.to_owned(), vec![file.value(sections, keys)?]))
        })
        .collect();
    // Before there is a cluster, all of the target may be there but its address.
    let address = file.value(&SERVER, &HOST).map(|host| Address::of(&host));
    let mut target = address.as_ref().map(|address| format!("host={}", quoted(&address.host)));
    for (keyword, option, keys) in PARTS {
        let there = file.value(&SERVER, keys);
        let of_address = address.as_ref().and_then(|address| address.part(keyword));
        if let (Some(target), Some(part)) = (&mut target, there.as_ref().or(of_address.as_ref())) {
            *target += &format!(" {keyword}={}", quoted(part));
        }
        values.extend(file.value(&WANTED, keys).map(|part| (option.to_owned(), vec![part])));
    }
    // Redshift's certificates are signed by authorities that systems trust; those of RDS are not.
    const REDSHIFT: [&str; 2] = [".redshift.amazonaws.com", ".redshift-serverless.amazonaws.com"];
    if let (Some(target), Some(address)) = (&mut target, &address)
        && let host = address.host.to_ascii_lowercase()
        && REDSHIFT.iter().any(|end| host.trim_end_matches(".cn").ends_with(end))
    {
        *target += " sslmode='verify-full'";
    }
    let means_server = MEANS_SERVER.iter().any(|section| file.has(section));
    let nameless = (means_server && target.is_none()).then(|| "[CLUSTER] HOST".to_owned());
    values.extend(target.map(|target| ("target".to_owned(), vec![target])));
    if file.value(&WANTED, &CLUSTER_TYPE).as_deref() == Some("single-node") {
        // The number is for the other type.
        values.retain(|(option, _)| option != "nodes");
        values.push(("nodes".to_owned(), vec!["1".to_owned()]));
    }
    Ok(Read { values, nameless, unread: file.unread() })
}

struct File {
    file: Ini,
    /// The sections and keys that were looked for, in small letters as the reader has them.
    known: BTreeSet<(String, String)>,
}

impl File {
    /// The first value that is set under one of `keys`, in one of `sections`.
    fn value(&mut self, sections: &[&str], keys: &[&str]) -> Option<String> {
        let mut found = None;
        for section in sections {
            for key in keys {
                self.known.insert((section.to_lowercase(), key.to_lowercase()));
                let value = || {
                    let text = self.file.get(section, key)?;
                    Some(plain(key, &text)).filter(|value| !value.is_empty())
                };
                found = found.or_else(value);
            }
        }
        found
    }

    fn has(&self, section: &str) -> bool {
        self.file.get_map_ref().contains_key(&section.to_lowercase())
    }

    /// The keys that nothing was made of. What is no name may be a piece of a secret that was cut in two.
    fn unread(&self) -> Vec<String> {
        let is_name = |text: &str| {
            text.len() <= 40
                && text.chars().all(|char| char.is_ascii_alphanumeric() || "_-. ".contains(char))
        };
        let mut unread = Vec::new();
        for (section, keys) in self.file.get_map_ref() {
            for (key, value) in keys {
                if self.known.contains(&(section.clone(), key.clone())) {
                    continue;
                }
                let key = match value.is_some() && is_name(key) && is_name(section) {
                    true => format!("[{}] {}", section.to_uppercase(), key.to_uppercase()),
                    false => "a line that is no NAME = value".to_owned(),
                };
                unread.push(key);
            }
        }
        unread.sort();
        unread.dedup();
        unread
    }
}

/// A host as it stands in the file: alone, or with what else there is to an address.
struct Address {
    host: String,
    port: Option<String>,
    dbname: Option<String>,
}

impl Address {
    /// Reads `host`, `host:5439`, `host:5439/dbname` or `jdbc:redshift://host:5439/dbname`.
    fn of(text: &str) -> Self {
        // Anything before `@` says who, which has keys of its own.
        let place = text.split_once("://").map_or(text, |(_, place)| place);
        let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
        if place.starts_with('/') {
            return Self { host: place.to_owned(), port: None, dbname: None };
        }
        let (place, dbname) = match place.split_once('/') {
            None => (place, None),
            Some((place, rest)) => (place, rest.split(['?', ';', '/']).next()),
        };
        let is_port =
            |port: &str| !port.is_empty() && port.chars().all(|char| char.is_ascii_digit());
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if is_port(port) && (!host.contains(':') || host.ends_with(']')) => {
                (host, Some(port))
            }
            _ => (place, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        // Which port else is meant PostgreSQL's tools would take for granted, Redshift's another.
        let usual = host.contains(".redshift").then(|| "5439".to_owned());
        Self {
            host,
            port: port.map(str::to_owned).or(usual),
            dbname: dbname.filter(|name| !name.is_empty()).map(str::to_owned),
        }
    }

    fn part(&self, keyword: &str) -> Option<String> {
        match keyword {
            "port" => self.port.clone(),
            "dbname" => self.dbname.clone(),
            _ => None,
        }
    }
}

/// A value without the quotes around it and the comment behind it; Python's reader has `%%` stand for `%`.
fn plain(key: &str, value: &str) -> String {
    let is_secret = ["PASS", "SECRET"].iter().any(|word| key.contains(word));
    let value = if is_secret { value } else { without_comment(value) };
    let inner = ['\'', '"']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value);
    inner.replace("%%", "%")
}

/// What stands before `#` or `;`, if that follows a space or a closing quote.
fn without_comment(value: &str) -> &str {
    let begins = |text: &str| text.starts_with(['#', ';']);
    if begins(value) {
        return "";
    }
    let quoted = ['\'', '"'].into_iter().find_map(|quote| {
        let end = 1 + value.strip_prefix(quote)?.find(quote)? + 1;
        let rest = value[end..].trim_start();
        (rest.is_empty() || begins(rest)).then_some(&value[..end])
    });
    if let Some(quoted) = quoted {
        return quoted;
    }
    let comment = value
        .char_indices()
        .find(|(at, char)| char.is_whitespace() && begins(&value[at + char.len_utf8()..]));
    comment.map_or(value, |(at, _)| value[..at].trim_end())
}

/// A value as it stands among the keywords of a connection.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(String, String)> {
        let Read { values, .. } = parse(text, "dwh.cfg").unwrap();
        values.into_iter().map(|(name, values)| (name, values.concat())).collect()
    }

    #[test]
    fn the_old_file_names_everything_that_a_load_needs() {
        let text = "\
[CLUSTER]
HOST='dwh.example.eu-west-1.redshift.amazonaws.com'
DB_NAME=\"dwh\"
DB_USER=dwhuser
DB_PASSWORD=it's %% \\ # 1=2
DB_PORT=5439

[IAM_ROLE]
ARN=arn:aws:iam::123456789012:role/dwhRole

[S3]
LOG_DATA='s3://udacity-dend/log_data'
LOG_JSONPATH='s3://udacity-dend/log_json_path.json'
SONG_DATA='s3://udacity-dend/song_data'

[AWS]
KEY=AKIDEXAMPLE
SECRET=
region: us-west-2

[DWH]
DWH_CLUSTER_TYPE=multi-node
DWH_NUM_NODES=4
DWH_NODE_TYPE=dc2.large
DWH_IAM_ROLE_NAME=dwhRole
DWH_CLUSTER_IDENTIFIER=dwhCluster
DWH_DB=other
";
        let expected = [
            ("logs", "s3://udacity-dend/log_data"),
            ("songs", "s3://udacity-dend/song_data"),
            ("jsonpaths", "s3://udacity-dend/log_json_path.json"),
            ("iam-role", "arn:aws:iam::123456789012:role/dwhRole"),
            ("region", "us-west-2"),
            ("access-key-id", "AKIDEXAMPLE"),
            ("cluster-identifier", "dwhCluster"),
            ("node-type", "dc2.large"),
            ("role-name", "dwhRole"),
            ("nodes", "4"),
            ("cluster-port", "5439"),
            ("cluster-database", "other"),
            ("cluster-user", "dwhuser"),
            ("cluster-password", "it's % \\ # 1=2"),
            (
                "target",
                "host='dwh.example.eu-west-1.redshift.amazonaws.com' port='5439' dbname='dwh' user='dwhuser' \
                 password='it\\'s % \\\\ # 1=2' sslmode='verify-full'",
            ),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(values(text), expected);
    }

    #[test]
    fn what_is_missing_or_empty_is_not_set() {
        assert_eq!(values(""), []);
        let values_of = |name: &str, text: &str| {
            values(text).into_iter().find(|(of, _)| of == name).map(|(_, value)| value)
        };
        let no_host = "[CLUSTER]\nHOST=\nDB_NAME=dwh\nDB_PASSWORD=x\n[S3]\nLOG_DATA=''";
        assert_eq!(values_of("target", no_host), None);
        assert_eq!(values_of("logs", no_host), None);
        assert_eq!(values("[CLUSTER]\nHOST"), []);
    }

    #[test]
    fn the_target_takes_from_the_cluster_that_was_wanted_what_is_not_said_of_it() {
        let text = "[CLUSTER]\nHOST=h\nDB_NAME=\n[DWH]\nDWH_DB=dwh\nDWH_DB_USER=u\nDWH_NUM_NODES=4\n\
                    DWH_CLUSTER_TYPE=single-node";
        let values = values(text);
        let expected = [
            ("cluster-database", "dwh"),
            ("cluster-user", "u"),
            ("target", "host='h' dbname='dwh' user='u'"),
            ("nodes", "1"),
        ];
        assert_eq!(values, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_mistake_is_named_by_its_line_and_never_shown() {
        let error = parse("[CLUSTER]\nHOST=h\n[SECRET=s3cret", "dwh.cfg").unwrap_err();
        assert!(error.to_string().starts_with("dwh.cfg, line 3: "), "{error}");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }

    #[test]
    fn each_value_is_found_by_every_name_that_it_goes_by() {
        let target = |text: &str| {
            values(text).into_iter().find(|(name, _)| name == "target").map(|(_, value)| value)
        };
        let redshift = "host='dwh.x.redshift.amazonaws.com' port='5439' dbname='dev' user='u' password='p' sslmode='verify-full'";
        for text in [
            "[CLUSTER]\nHOST=dwh.x.redshift.amazonaws.com:5439/dev\nDB_USER=u\nDB_PASSWORD=p",
            "[cluster]\nhost=jdbc:redshift://dwh.x.redshift.amazonaws.com:5439/dev?ssl=true\nuser=u\npassword=p",
            "[CLUSTER]\nHOST=dwh.x.redshift.amazonaws.com\nDBNAME=dev\nDB_USER=u\nDB_PASSWORD=p",
            "[CLUSTER]\nDWH_ENDPOINT=dwh.x.redshift.amazonaws.com\nDWH_DB=dev\nDWH_DB_USER=u\nDWH_DB_PASSWORD=p\nDWH_PORT=5439",
            "[DWH]\nDWH_ENDPOINT=dwh.x.redshift.amazonaws.com\nDWH_DB_PORT=5439\nDWH_DB=dev\nDWH_DB_USER=u\nDWH_DB_PASSWORD=p",
            "[CLUSTER]\nHOST=\nDATABASE=dev\n[DWH]\nDWH_ENDPOINT='dwh.x.redshift.amazonaws.com' ; ours\nDWH_DB_USER=u\nDWH_DB_PASSWORD=p",
            "[REDSHIFT]\nHOST=dwh.x.redshift.amazonaws.com # ours\nPORT=5439 ; usual\nDATABASE=\"dev\" # db\nUSER=u\nPASSWORD=p",
            "[DB]\nDB_HOST: dwh.x.redshift.amazonaws.com\nDB_NAME: dev\nDB_USERNAME: u\nDB_PASS: p",
            "[GENERAL]\nENDPOINT=dwh.x.redshift.amazonaws.com:5439\nDATABASE=dev\nUSERNAME=u\nPASSWORD=p",
        ] {
            assert_eq!(target(text).as_deref(), Some(redshift), "{text}");
        }
        let part = |text: &str, name: &str| {
            values(text).into_iter().find(|(of, _)| of == name).map(|(_, value)| value)
        };
        for (text, name, value) in [
            ("[IAM_ROLE]\nIAM_ROLE='arn:aws:iam::1:role/r'", "iam-role", "arn:aws:iam::1:role/r"),
            ("[DWH]\nDWH_ROLE_ARN=arn:aws:iam::1:role/r", "iam-role", "arn:aws:iam::1:role/r"),
            ("[DWH]\nDWH_IAM_ROLENAME=r", "role-name", "r"),
            ("[DWH]\nDWH_REGION=eu-west-1", "region", "eu-west-1"),
            ("[AWS]\nREGION_NAME=eu-west-1 # here", "region", "eu-west-1"),
            ("[S3]\nREGION=us-west-2\n[AWS]\nREGION=eu-west-1", "region", "us-west-2"),
            ("[AWS]\nACCESS_KEY=AK\nSECRET_KEY=s", "access-key-id", "AK"),
            ("[KEYS]\nKEY=AK\nSECRET=s #;x", "secret-access-key", "s #;x"),
            ("[S3]\nLOG_DATA='s3://b/a#b' # raw", "logs", "s3://b/a#b"),
            ("[S3]\nSONG_DATA=s3://b/a;b", "songs", "s3://b/a;b"),
            ("[CLUSTER]\nHOST=h\nDB_PASSWORD=a # b ; c", "cluster-password", "a # b ; c"),
        ] {
            assert_eq!(part(text, name).as_deref(), Some(value), "{text}");
        }
        assert_eq!(
            target("[CLUSTER]\nHOST=/run/postgresql"),
            Some("host='/run/postgresql'".to_owned())
        );
        assert_eq!(target("[CLUSTER]\nHOST=[::1]:5433"), Some("host='::1' port='5433'".to_owned()));
        assert_eq!(target("[CLUSTER]\nHOST=h:1\nDB_PORT=2"), Some("host='h' port='2'".to_owned()));
    }

    #[test]
    fn what_means_nothing_here_is_told_and_never_shown() {
        let unread = |text: &str| parse(text, "dwh.cfg").unwrap().unread;
        let text =
            "[CLUSTER]\nHOST=h\nDB_SCHEMA=x\n[SPARK]\nCORES=3\n[AWS]\nKEY=\nsession_token=t0ken";
        assert_eq!(unread(text), ["[AWS] SESSION_TOKEN", "[CLUSTER] DB_SCHEMA", "[SPARK] CORES"]);
        assert_eq!(
            unread("[CLUSTER]\nHOST=h\nDB_PASSWORD=ab\ns3cret\n"),
            ["a line that is no NAME = value"]
        );
    }

    #[test]
    fn a_file_that_means_a_server_and_names_none_is_known() {
        let nameless = |text: &str| parse(text, "dwh.cfg").unwrap().nameless.is_some();
        for text in [
            "[CLUSTER]\nHOST=\nDB_NAME=dwh",
            "[CLUSTER]\nHOST= # fill in",
            "[CLUSTER]\n",
            "[DWH]\nDWH_DB=dwh",
            "[REDSHIFT]\nUSER=u",
            "[IAM_ROLE]\nARN=arn",
        ] {
            assert!(nameless(text), "{text}");
        }
        for text in ["", "[S3]\nLOG_DATA=s3://b/l", "[AWS]\nKEY=k", "[CLUSTER]\nHOST=h"] {
            assert!(!nameless(text), "{text}");
        }
    }
}
