//! The program in a folder of its own, with a moto for its AWS.

use std::fs;
use std::path::Path;
use std::process::Command;

use assert_cmd::assert::OutputAssertExt;
use serde_json::Value;
use tempfile::TempDir;

use crate::clean::clean;
use crate::moto::Moto;

/// A folder, and an AWS.
pub struct Program {
    pub moto: Moto,
    pub folder: TempDir,
}

/// What the program printed: stdout and stderr.
pub struct Printed {
    pub out: String,
    pub err: String,
}

impl Program {
    pub fn new() -> Self {
        Self { moto: Moto::start(), folder: tempfile::tempdir().unwrap() }
    }

    /// Runs `sparkload cluster` with what `line` says, and expects an exit code.
    pub fn run(&self, line: &str, code: i32) -> Printed {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sparkload"));
        command.arg("cluster").args(line.split_whitespace());
        clean(command.current_dir(&self.folder), self.folder.path());
        command.env("AWS_ENDPOINT_URL", self.moto.endpoint()).env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", "AKID").env("AWS_SECRET_ACCESS_KEY", "secret-of-aws");
        let assert = command.assert().code(code);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let printed = Printed {
            out: text(&assert.get_output().stdout),
            err: text(&assert.get_output().stderr),
        };
        let Printed { out, err } = &printed;
        assert!(!format!("{out}{err}").contains("secret-of-aws"), "{out}{err}");
        printed
    }

    /// What is there of a cluster.
    pub fn status(&self, line: &str) -> Value {
        let out = self.run(&format!("status --output json {line}"), 0).out;
        serde_json::from_str(&out).unwrap()
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        let path: &Path = &self.path(name);
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The password in a password file of one line.
    pub fn password(&self, name: &str) -> String {
        let line = self.read(name);
        line.trim_end().splitn(5, ':').nth(4).unwrap().to_owned()
    }

    /// What was asked for since the last time and may have changed something.
    pub fn changes(&self) -> Vec<String> {
        let calls = self.moto.calls().into_iter();
        calls.filter(|call| call.changes()).map(|call| call.action).collect()
    }
}

/// The address that all clusters let in.
pub const ALLOW: &str = "--allow-cidr 203.0.113.7/32";
