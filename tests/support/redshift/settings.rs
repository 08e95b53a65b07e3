//! How a warehouse is set up.

use std::collections::HashMap;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Who may log in besides the superuser; the database behind knows them.
    pub users: Vec<String>,
    /// The IAM roles that a COPY may name.
    pub roles: Vec<String>,
    /// The one among them that `IAM_ROLE default` means.
    pub default_role: Option<String>,
    /// The regions of buckets that are in another one than the warehouse.
    pub regions: HashMap<String, String>,
    /// Redshift Serverless, which has no STL and STV tables.
    pub serverless: bool,
    /// Whether the collation of the database takes capitals and small letters for the same.
    pub case_insensitive: bool,
    /// Whether INSERT, UPDATE and DELETE tell how many rows they changed.
    pub counts: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            users: Vec::new(),
            roles: Vec::new(),
            default_role: None,
            regions: HashMap::new(),
            serverless: false,
            case_insensitive: false,
            counts: true,
        }
    }
}
