//! The program, end to end: every promise about the tables, held against expected tables, another implementation of
//! the rules, and real servers.

#![cfg(all(feature = "cli", feature = "embedded", feature = "s3"))]

#[path = "../../examples/demo.rs"]
#[allow(dead_code, clippy::duplicate_mod, reason = "an example is a program of its own")]
mod demo;
#[path = "../support/mod.rs"]
mod support;

mod account;
mod archives;
mod ask;
mod bench;
mod books;
mod by_hand;
mod cli;
mod connections;
mod cost;
mod directory;
mod encryption;
mod faults_postgres;
mod faults_s3;
mod fixtures;
mod generate;
mod hostile;
mod incremental;
mod invariance;
mod kills;
mod logins;
mod malformed;
mod oracle;
mod other_roles;
mod own_server;
mod place;
mod plans;
mod poolers;
mod queries;
mod redshift;
mod redshift_faults;
mod redshift_keys;
mod redshift_rights;
mod replication;
mod resume;
mod sequences;
mod servers;
mod shapes;
mod silence;
mod soak;
mod sources;
mod staged;
mod stand_in;
mod tables;
mod targets;
mod unknown;
mod upgrades;
mod versions;
mod warehouse;
