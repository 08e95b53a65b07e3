//! The analytics team's queries: whole files under `src/sql/queries`, each opening with its title.

use std::sync::LazyLock;

/// A query with a name, ready to run with the schema in `search_path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedQuery {
    /// What it is called by, such as `top-songs`: its file's name with `-` for `_`.
    pub name: String,
    /// One line, such as `Top songs`.
    pub title: String,
    /// What it counts and how, on one line.
    pub description: String,
    /// The whole file, comment included.
    pub sql: &'static str,
}

/// Lists the queries in the order an analyst would look through them.
pub fn named_queries() -> &'static [NamedQuery] {
    static QUERIES: LazyLock<Vec<NamedQuery>> =
        LazyLock::new(|| FILES.iter().map(|(file, sql)| NamedQuery::read(file, sql)).collect());
    &QUERIES
}

macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../sql/queries/", $name, ".sql")))),*]
    };
}

const FILES: &[(&str, &str)] = files! {
    "top_songs"
    "top_artists"
    "top_users"
    "top_locations"
    "plays_by_hour"
    "plays_by_weekday"
    "plays_by_week"
    "plays_by_level"
    "plays_by_gender_and_level"
    "daily_active_users"
    "session_length"
    "sessions_by_level"
    "level_changes"
};

impl NamedQuery {
    fn read(file: &str, sql: &'static str) -> Self {
        let mut comment = sql.lines().map_while(|line| line.strip_prefix("--")).map(str::trim);
        Self {
            name: file.replace('_', "-"),
            title: comment.next().unwrap_or_default().to_owned(),
            description: comment.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" "),
            sql,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_listed_once() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sql/queries");
        let on_disk: BTreeSet<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let listed: BTreeSet<_> = FILES.iter().map(|(name, _)| format!("{name}.sql")).collect();
        assert_eq!(listed, on_disk);
        assert_eq!(listed.len(), FILES.len());
    }

    #[test]
    fn each_says_what_it_is_and_ends_its_one_statement() {
        for query in named_queries() {
            assert!(!query.title.is_empty() && !query.title.ends_with('.'), "{}", query.name);
            assert!(query.description.ends_with('.'), "{}", query.name);
            assert_eq!(query.sql.matches(';').count(), 1, "{}", query.name);
            assert!(query.sql.trim_end().ends_with(';'), "{}", query.name);
            let one_row = query.name == "session-length";
            let ordered = query.sql.contains("\nORDER BY");
            assert!(ordered || one_row, "{}: the order is left open", query.name);
        }
    }
}
