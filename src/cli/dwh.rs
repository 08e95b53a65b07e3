//! `dwh.cfg`: the settings file of the pipeline that this program takes the place of, read as it is.
//!
//! Its sections are `[CLUSTER]`, `[S3]`, `[AWS]`, `[DWH]` for the cluster that is to be made, and others that nothing here
//! has a use for. What is empty is not set.

use configparser::ini::Ini;
use sparkload::{Error, Result};

use super::file::Values;

/// The options that stand for one value each, by section and key.
const PLAIN: [(&str, &str, &str); 10] = [
    ("S3", "LOG_DATA", "logs"),
    ("S3", "SONG_DATA", "songs"),
    ("S3", "LOG_JSONPATH", "jsonpaths"),
    ("IAM_ROLE", "ARN", "iam-role"),
    ("AWS", "REGION", "region"),
    ("AWS", "KEY", "access-key-id"),
    ("AWS", "SECRET", "secret-access-key"),
    ("DWH", "DWH_CLUSTER_IDENTIFIER", "cluster-identifier"),
    ("DWH", "DWH_NODE_TYPE", "node-type"),
    ("DWH", "DWH_IAM_ROLE_NAME", "role-name"),
];

/// The parts of the target, by their keys in `[CLUSTER]` and `[DWH]`, and the options of the cluster that is to be made.
/// The two sections repeat each other, and what one leaves out the other may have.
const CLUSTER: [(&str, &str, &str, &str); 4] = [
    ("DB_PORT", "DWH_PORT", "port", "cluster-port"),
    ("DB_NAME", "DWH_DB", "dbname", "cluster-database"),
    ("DB_USER", "DWH_DB_USER", "user", "cluster-user"),
    ("DB_PASSWORD", "DWH_DB_PASSWORD", "password", "cluster-password"),
];

/// Reads the `text` of the file that is shown as `place`.
pub fn parse(text: &str, place: &str) -> Result<Values> {
    let mut file = Ini::new();
    // A password may hold what begins a comment elsewhere.
    file.set_inline_comment_symbols(Some(&[]));
    file.read(text.to_owned()).map_err(|cause| {
        Error::config(format!("{place}, {cause}"))
            .with_help("write [SECTION] and below it NAME = value")
    })?;
    let value = |section, key| {
        file.get(section, key).map(|value| plain(&value)).filter(|it| !it.is_empty())
    };

    let mut values: Values = PLAIN
        .iter()
        .filter_map(|&(section, key, option)| Some((option.to_owned(), vec![value(section, key)?])))
        .collect();
    // Before there is a cluster, all of the target may be there but its address.
    let mut target = value("CLUSTER", "HOST").map(|host| format!("host={}", quoted(&host)));
    for (key, key_in_dwh, keyword, option) in CLUSTER {
        let (there, wanted) = (value("CLUSTER", key), value("DWH", key_in_dwh));
        if let (Some(target), Some(part)) = (&mut target, there.as_ref().or(wanted.as_ref())) {
            *target += &format!(" {keyword}={}", quoted(part));
        }
        values.extend(wanted.or(there).map(|part| (option.to_owned(), vec![part])));
    }
    values.extend(target.map(|target| ("target".to_owned(), vec![target])));
    let nodes = match value("DWH", "DWH_CLUSTER_TYPE").as_deref() {
        // The number is for the other type.
        Some("single-node") => Some("1".to_owned()),
        _ => value("DWH", "DWH_NUM_NODES"),
    };
    values.extend(nodes.map(|nodes| ("nodes".to_owned(), vec![nodes])));
    Ok(values)
}

/// A value without the quotes around it; Python's reader has `%%` stand for `%`.
fn plain(value: &str) -> String {
    let inner = ['\'', '"']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value);
    inner.replace("%%", "%")
}

/// A value as it stands among the keywords of a connection.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(String, String)> {
        let values = parse(text, "dwh.cfg").unwrap();
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
            ("cluster-port", "5439"),
            ("cluster-database", "other"),
            ("cluster-user", "dwhuser"),
            ("cluster-password", "it's % \\ # 1=2"),
            (
                "target",
                "host='dwh.example.eu-west-1.redshift.amazonaws.com' port='5439' dbname='dwh' user='dwhuser' \
                 password='it\\'s % \\\\ # 1=2'",
            ),
            ("nodes", "4"),
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
}
