//! Environments that say nothing: no test, demo or benchmark is to reach what its user's settings name.

#![allow(dead_code, reason = "each test and example uses its own part of this")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a program needs that says nothing of databases, buckets or accounts.
const KEPT: [&str; 6] = ["PATH", "TMPDIR", "SystemRoot", "TERM", "NO_COLOR", "CLICOLOR_FORCE"];

/// Leaves `command` no variable of its user's, and no file of theirs: `.pgpass`, `.aws` and the like are looked for in
/// `home`, which holds nothing of the kind.
pub fn clean<'a>(command: &'a mut Command, home: &Path) -> &'a mut Command {
    command.env_clear().envs(KEPT.iter().filter_map(|name| Some((*name, env::var_os(name)?))));
    command.env("HOME", home).env("USERPROFILE", home);
    // What the embedded PostgreSQL is unpacked from; anew it would take 100 MB and seconds each time.
    if let Some(cache) = cache() {
        command.env("XDG_CACHE_HOME", cache);
    }
    // AWS's own chain is to find nothing, here or on the network.
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
}

fn cache() -> Option<PathBuf> {
    let named = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    named.or_else(|| Some(env::home_dir()?.join(".cache")))
}
