//! Every function that the stand-in lets through, and what becomes of it in PostgreSQL.

/// What kind a function is, and what stands for it in PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// The same in both.
    Same,
    /// An aggregate that is the same in both.
    Aggregate,
    /// A function over a window that knows no frame.
    Ranking,
    /// A function over a window that takes a frame.
    Window,
    /// One that runs on the leader node only: it goes with no table of a user's.
    Leader,
    /// Another name for one of PostgreSQL's.
    Called(&'static str),
    /// PostgreSQL's is another; the stand-in has its own, in its own schema.
    Own,
    /// As `Own`, and an aggregate.
    OwnAggregate,
    /// Written in other words; see `Check::rewrite`.
    Rewritten,
    /// Answered by the stand-in: what it knows of itself or of its session.
    Known,
}

/// The functions by their names. What is not here is refused.
const FUNCTIONS: &[(&str, Function)] = {
    use Function::*;
    &[
        // Aggregates.
        ("avg", OwnAggregate),
        ("bit_and", Aggregate),
        ("bit_or", Aggregate),
        ("bool_and", Aggregate),
        ("bool_or", Aggregate),
        ("count", Aggregate),
        ("listagg", Rewritten),
        ("max", Aggregate),
        ("min", Aggregate),
        ("percentile_cont", Aggregate),
        ("percentile_disc", Aggregate),
        ("stddev", Aggregate),
        ("stddev_pop", Aggregate),
        ("stddev_samp", Aggregate),
        ("sum", Aggregate),
        ("var_pop", Aggregate),
        ("var_samp", Aggregate),
        ("variance", Aggregate),
        // Over windows.
        ("cume_dist", Ranking),
        ("dense_rank", Ranking),
        ("lag", Ranking),
        ("lead", Ranking),
        ("ntile", Ranking),
        ("percent_rank", Ranking),
        ("rank", Ranking),
        ("row_number", Ranking),
        ("first_value", Window),
        ("last_value", Window),
        ("nth_value", Window),
        // Conditions.
        ("coalesce", Same),
        ("decode", Rewritten),
        ("greatest", Same),
        ("least", Same),
        ("nullif", Same),
        ("nvl", Called("coalesce")),
        ("nvl2", Rewritten),
        // Numbers.
        ("abs", Same),
        ("ceil", Same),
        ("ceiling", Same),
        ("exp", Same),
        ("floor", Same),
        ("ln", Same),
        ("log", Same),
        ("mod", Same),
        ("power", Same),
        ("pow", Same),
        ("random", Same),
        ("round", Own),
        ("sign", Same),
        ("sqrt", Same),
        ("trunc", Same),
        // Text.
        ("ascii", Same),
        ("btrim", Same),
        ("char_length", Same),
        ("character_length", Same),
        ("chr", Own),
        ("concat", Rewritten),
        ("initcap", Same),
        ("left", Same),
        ("len", Called("length")),
        ("length", Same),
        ("lower", Same),
        ("lpad", Same),
        ("ltrim", Same),
        ("md5", Same),
        ("octet_length", Same),
        ("quote_ident", Same),
        ("quote_literal", Same),
        ("repeat", Same),
        ("replace", Same),
        ("reverse", Same),
        ("right", Same),
        ("rpad", Same),
        ("rtrim", Same),
        ("split_part", Same),
        ("strpos", Same),
        ("substr", Same),
        ("substring", Same),
        ("translate", Same),
        ("upper", Same),
        // JSON.
        ("json_parse", Own),
        // Dates and times.
        ("current_date", Same),
        ("date_part", Rewritten),
        ("date_trunc", Same),
        ("dateadd", Rewritten),
        ("datediff", Rewritten),
        ("getdate", Rewritten),
        ("to_char", Same),
        ("to_date", Same),
        // The system.
        ("current_database", Same),
        ("current_schema", Leader),
        ("current_user", Same),
        ("db_collation", Known),
        ("has_database_privilege", Leader),
        ("has_schema_privilege", Leader),
        ("has_table_privilege", Leader),
        ("pg_backend_pid", Same),
        ("pg_cancel_backend", Same),
        ("pg_last_copy_count", Known),
        ("pg_last_copy_id", Known),
        ("pg_terminate_backend", Same),
        ("session_user", Same),
        ("user", Same),
        ("version", Known),
    ]
};

/// Finds a function by its name in small letters.
pub fn find(name: &str) -> Option<Function> {
    FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
}

/// What stands for a relation of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// PostgreSQL's own catalog, which only the leader node reads.
    Leader,
    /// The stand-in's own, in its own schema.
    Own,
    /// As `Own`, but Redshift Serverless does not let anyone read it.
    OwnProvisioned,
}

/// The relations of the system by their names. What looks like one and is not here is refused.
const RELATIONS: &[(&str, Relation)] = {
    use Relation::*;
    &[
        ("pg_attribute", Leader),
        ("pg_class", Leader),
        ("pg_database", Leader),
        ("pg_locks", Leader),
        ("pg_namespace", Leader),
        ("pg_stat_activity", Leader),
        ("pg_tables", Leader),
        ("pg_type", Leader),
        ("pg_user", Leader),
        ("pg_views", Leader),
        ("stl_load_errors", OwnProvisioned),
        ("stv_slices", OwnProvisioned),
        ("svv_table_info", Own),
        ("svv_transactions", Own),
        ("sys_load_error_detail", Own),
    ]
};

/// What of `information_schema` can be read.
const INFORMATION: &[&str] = &["columns", "schemata", "tables", "views"];

/// Whether a name belongs to the system whatever the search path is.
pub fn is_system(name: &str) -> bool {
    let prefixes = ["pg_", "stl_", "stv_", "svv_", "svl_", "svcs_", "sys_", "stll_"];
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// Finds a relation of the system by its name in small letters.
pub fn relation(name: &str) -> Option<Relation> {
    RELATIONS.iter().find(|(known, _)| *known == name).map(|(_, relation)| *relation)
}

/// Whether `information_schema` has the relation, as far as the stand-in knows.
pub fn is_information(name: &str) -> bool {
    INFORMATION.contains(&name)
}
