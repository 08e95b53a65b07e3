//! Logs that take more work than usual.

use std::io::Write;

/// Each of about a megabyte, and what is hard about it.
pub fn logs() -> [(&'static str, Vec<u8>); 5] {
    const BYTES: usize = 1 << 20;
    let text = "\\\"\\/\\\\\\u00e9\\n\\ud83c\\udfb5".repeat(32);
    let escapes = format!(
        "{{\"artist\":\"{text}\",\"auth\":\"{text}\",\"song\":\"{text}\",\"userAgent\":\"{text}\",\"page\":\"Home\"}}\n"
    );
    let fallback = format!("{{\"unknown\":{{\"a\":[1,2]}},{}\n", &play(40)[1..]);
    let reversed =
        "{\"userId\":\"7\",\"ts\":1541377992796,\"page\":\"NextSong\",\"level\":\"free\"}\n";
    [
        ("all escapes", escapes.repeat(BYTES / escapes.len())),
        ("all fall back", fallback.repeat(BYTES / fallback.len())),
        ("tiny records", "{\"userId\":7}\n".repeat(BYTES / 13)),
        ("few keys in another order", reversed.repeat(BYTES / reversed.len())),
        ("huge records", format!("{}\n", play(400_000)).repeat(3)),
    ]
    .map(|(name, text)| (name, text.into_bytes()))
}

/// A play whose song has a title of so many bytes.
fn play(title: usize) -> String {
    let mut line = Vec::new();
    write!(
        line,
        "{{\"artist\":\"Somebody\",\"auth\":\"Logged In\",\"firstName\":\"Ann\",\"gender\":\"F\",\"itemInSession\":3,\
         \"lastName\":\"Doe\",\"length\":182.85669,\"level\":\"free\",\"location\":\"Ghent\",\"method\":\"PUT\",\
         \"page\":\"NextSong\",\"registration\":1540344794796.0,\"sessionId\":139,\"song\":\"{}\",\"status\":200,\
         \"ts\":1541377992796,\"userAgent\":\"curl\",\"userId\":\"8\"}}",
        "x".repeat(title)
    )
    .expect("memory takes it");
    String::from_utf8(line).expect("text")
}
