//! `dwh.cfg`: the settings file of the pipeline that this program takes the place of, read as it is.
//!
//! Its sections are `[CLUSTER]`, `[S3]`, `[AWS]`, and others that a load has no use for. What is empty is not set.

use configparser::ini::Ini;
use sparkload::{Error, Result};

use super::file::Values;

/// The options that stand for one value each, by section and key.
const PLAIN: [(&str, &str, &str); 7] = [
    ("S3", "LOG_DATA", "logs"),
    ("S3", "SONG_DATA", "songs"),
    ("S3", "LOG_JSONPATH", "jsonpaths"),
    ("IAM_ROLE", "ARN", "iam-role"),
    ("AWS", "REGION", "region"),
    ("AWS", "KEY", "access-key-id"),
    ("AWS", "SECRET", "secret-access-key"),
];

/// The parts of the target, by their keys in `[CLUSTER]`.
const CLUSTER: [(&str, &str); 5] = [
    ("HOST", "host"),
    ("DB_PORT", "port"),
    ("DB_NAME", "dbname"),
    ("DB_USER", "user"),
    ("DB_PASSWORD", "password"),
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
    let cluster: Vec<_> = CLUSTER
        .iter()
        .filter_map(|&(key, keyword)| {
            Some(format!("{keyword}={}", quoted(&value("CLUSTER", key)?)))
        })
        .collect();
    // Before there is a cluster, all of it may be there but its address.
    if value("CLUSTER", "HOST").is_some() {
        values.push(("target".to_owned(), vec![cluster.join(" ")]));
    }
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
";
        let expected = [
            ("logs", "s3://udacity-dend/log_data"),
            ("songs", "s3://udacity-dend/song_data"),
            ("jsonpaths", "s3://udacity-dend/log_json_path.json"),
            ("iam-role", "arn:aws:iam::123456789012:role/dwhRole"),
            ("region", "us-west-2"),
            ("access-key-id", "AKIDEXAMPLE"),
            (
                "target",
                "host='dwh.example.eu-west-1.redshift.amazonaws.com' port='5439' dbname='dwh' user='dwhuser' \
                 password='it\\'s % \\\\ # 1=2'",
            ),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(values(text), expected);
    }

    #[test]
    fn what_is_missing_or_empty_is_not_set() {
        assert_eq!(values(""), []);
        assert_eq!(values("[CLUSTER]\nHOST=\nDB_NAME=dwh\nDB_PASSWORD=x\n[S3]\nLOG_DATA=''"), []);
        assert_eq!(values("[CLUSTER]\nHOST"), []);
    }

    #[test]
    fn a_mistake_is_named_by_its_line_and_never_shown() {
        let error = parse("[CLUSTER]\nHOST=h\n[SECRET=s3cret", "dwh.cfg").unwrap_err();
        assert!(error.to_string().starts_with("dwh.cfg, line 3: "), "{error}");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }
}
