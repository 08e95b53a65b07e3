//! The nearest names: what someone may have meant who typed a name that isn't there.

/// Below this, names have little in common: `top-song` and `top-songs` have 0.98, `fetches` and `source` 0.43.
const ALIKE: f64 = 0.8;

/// How many are worth reading.
const MOST: usize = 3;

/// The known names that are like `name`, the likest first.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut scored: Vec<(f64, &str)> =
        known.map(|it| (strsim::jaro_winkler(name, it), it)).filter(|it| it.0 > ALIKE).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(MOST).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn likely_names_come_first_and_strange_ones_not_at_all() {
        let known = ["top-songs", "top-artists", "plays-by-hour", "daily-active-users"];
        assert_eq!(nearest("top-song", known.into_iter())[0], "top-songs");
        assert_eq!(nearest("plays-by-our", known.into_iter()), ["plays-by-hour"]);
        assert!(nearest("xyz", known.into_iter()).is_empty());
    }
}
