//! An AWS to make clusters in: moto's server as a child process, and before it a proxy that notes what is asked for and
//! lets go wrong what a test says.
//!
//! What moto does otherwise than AWS, as far as these tests meet it:
//! - a cluster is available at once, and gone at once; [`Fault::instead`] makes it start for a while;
//! - it knows no `ModifyClusterIamRoles`, so that nothing shows that a role is given to a cluster that is there without;
//! - it takes `ManageMasterPassword` and makes no secret;
//! - it removes a security group that is in use;
//! - it checks no signatures and no permissions;
//! - it has no Redshift Serverless at all: [`Serverless`] plays that, as its documentation describes it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::{env, thread};

use percent_encoding::percent_decode_str;

use super::serverless::Serverless;

/// Where one is seen to come from by who asks the proxy.
pub const ADDRESS: &str = "198.51.100.9";

/// A running server.
pub struct Moto {
    child: Child,
    port: u16,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    calls: Vec<Call>,
    faults: Vec<Fault>,
    serverless: Serverless,
}

/// A request to AWS.
#[derive(Clone, Debug)]
pub struct Call {
    /// AWS's name of what is asked for.
    pub action: String,
    /// The form or JSON that came with it.
    pub body: String,
}

impl Call {
    /// Whether it may change anything.
    pub fn changes(&self) -> bool {
        !["Describe", "Get", "List"].iter().any(|reads| self.action.starts_with(reads))
    }
}

/// What goes wrong with the next requests for something.
#[derive(Clone, Debug)]
pub struct Fault {
    action: &'static str,
    times: usize,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    Refuse(u16, &'static str, &'static str),
    Lose,
    Replace(&'static str, &'static str),
}

impl Fault {
    /// It is refused, with this code and message.
    pub fn refuse(action: &'static str, code: &'static str, message: &'static str) -> Self {
        Self { action, times: 1, how: How::Refuse(400, code, message) }
    }

    /// The server is unwell.
    pub fn unwell(action: &'static str) -> Self {
        Self { action, times: 1, how: How::Refuse(500, "InternalFailure", "injected") }
    }

    /// It is done, but the answer says that it is not.
    pub fn lose(action: &'static str) -> Self {
        Self { action, times: 1, how: How::Lose }
    }

    /// The answer has one text instead of another.
    pub fn instead(action: &'static str, of: &'static str, text: &'static str) -> Self {
        Self { action, times: 1, how: How::Replace(of, text) }
    }

    /// But not once: so often.
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }
}

impl Moto {
    /// Starts a server that has nothing in it but a default VPC.
    pub fn start() -> Self {
        let server = tools().join("moto/bin/moto_server");
        let mut command = Command::new(&server);
        // What its user has to say to AWS is not for this one.
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; run tests/moto.sh", server.display()));
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let upstream: u16 = loop {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "moto did not start");
            if let Some((_, port)) = line.trim_end().rsplit_once("http://127.0.0.1:") {
                break port.parse().unwrap();
            }
        };
        // It says something at each request, and would wait for a reader.
        thread::spawn(move || io::copy(&mut said, &mut io::sink()));

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let state = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                // A client that is gone is no failure.
                thread::spawn(move || serve(client, upstream, &state));
            }
        });
        Self { child, port, shared }
    }

    /// The URL of all services.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The URL of what tells one's address.
    pub fn address_url(&self) -> String {
        format!("{}/address", self.endpoint())
    }

    /// From now on this goes wrong.
    pub fn inject(&self, fault: Fault) {
        self.shared.lock().unwrap().faults.push(fault);
    }

    /// Whether all that was to go wrong did.
    pub fn is_calm(&self) -> bool {
        self.shared.lock().unwrap().faults.is_empty()
    }

    /// What was asked for since the last time.
    pub fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.shared.lock().unwrap().calls)
    }

    /// Asks for something in another's name, in the Query protocol.
    pub fn ask(&self, service: &str, form: &str) -> String {
        let mut server = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let credential = format!("AKID/20260101/us-east-1/{service}/aws4_request");
        let head = format!(
            "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\n\
             authorization: AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0\r\n\r\n",
            form.len()
        );
        server.write_all((head + form).as_bytes()).unwrap();
        // The proxy waits for another request until nothing more can come.
        server.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        server.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{form}: {answer}");
        answer
    }

    /// Makes a namespace and a workgroup without tags.
    pub fn make_foreign_workgroup(&self, name: &str) {
        self.shared.lock().unwrap().serverless.make_foreign(name);
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the chores put their programs, as the Makefile has it.
fn tools() -> PathBuf {
    if let Some(tools) = env::var_os("TOOLS") {
        return tools.into();
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    cache.unwrap_or_default().join("sparkload/tools")
}

fn serve(mut client: TcpStream, upstream: u16, shared: &Mutex<Shared>) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    while let Some(request) = Request::read(&mut reader)? {
        if request.head.starts_with("GET /address") {
            client.write_all(&answer(200, "text/plain", &format!("{ADDRESS}\n")))?;
            continue;
        }
        let (action, json) = (request.action(), request.is_json());
        let fault = {
            let mut shared = shared.lock().unwrap();
            shared.calls.push(Call { action: action.clone(), body: request.body.clone() });
            take(&mut shared.faults, &action)
        };
        let refuse = |status, code: &str, message: &str| match json {
            true => {
                let body = serde_json::json!({ "__type": code, "message": message });
                answer(status, "application/x-amz-json-1.1", &body.to_string())
            }
            // What EC2 and what the others read of it.
            false => {
                let error = format!(
                    "<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
                );
                let root =
                    if request.head.contains("/ec2/") { "Response" } else { "ErrorResponse" };
                let errors =
                    if root == "Response" { format!("<Errors>{error}</Errors>") } else { error };
                let body = format!("<{root}>{errors}<RequestId>injected</RequestId></{root}>");
                answer(status, "text/xml", &body)
            }
        };
        if let Some(How::Refuse(status, code, message)) = fault {
            client.write_all(&refuse(status, code, message))?;
            continue;
        }
        let (status, kind, body) = match json {
            true => {
                let (status, body) =
                    shared.lock().unwrap().serverless.answer(&action, &request.body);
                (status, "application/x-amz-json-1.1".to_owned(), body)
            }
            false => request.forward(upstream)?,
        };
        let bytes = match fault {
            Some(How::Lose) => refuse(400, "Lost", "injected"),
            Some(How::Replace(of, text)) => answer(status, &kind, &body.replace(of, text)),
            _ => answer(status, &kind, &body),
        };
        client.write_all(&bytes)?;
    }
    Ok(())
}

/// The fault that strikes a request.
fn take(faults: &mut Vec<Fault>, action: &str) -> Option<How> {
    let at = faults.iter().position(|fault| fault.action == action)?;
    faults[at].times -= 1;
    let how = faults[at].how.clone();
    faults.retain(|fault| fault.times > 0);
    Some(how)
}

fn answer(status: u16, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Said\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

struct Request {
    /// The lines before the body, without the blank one.
    head: String,
    body: String,
}

impl Request {
    /// Reads the next request of a connection, if there is one.
    fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(head) = head(reader)? else { return Ok(None) };
        let length = header(&head, "content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body = String::from_utf8(body).map_err(io::Error::other)?;
        Ok(Some(Self { head, body }))
    }

    fn is_json(&self) -> bool {
        header(&self.head, "x-amz-target").is_some()
    }

    /// AWS's name of what is asked for.
    fn action(&self) -> String {
        if let Some(target) = header(&self.head, "x-amz-target") {
            return target.rsplit('.').next().unwrap().to_owned();
        }
        let mut parameters = self.body.split('&').filter_map(|pair| pair.split_once('='));
        let action = parameters.find(|(name, _)| *name == "Action");
        action.map_or_else(String::new, |(_, action)| action.to_owned())
    }

    /// Has moto answer.
    fn forward(&self, upstream: u16) -> io::Result<(u16, String, String)> {
        let mut server = TcpStream::connect(("127.0.0.1", upstream))?;
        let head = format!("{}\r\nconnection: close\r\n\r\n", self.head.trim_end());
        server.write_all(head.as_bytes())?;
        server.write_all(self.body.as_bytes())?;
        let mut reader = BufReader::new(server);
        let head = self::head(&mut reader)?.ok_or_else(|| io::Error::other("no answer"))?;
        let mut body = String::new();
        reader.read_to_string(&mut body)?;
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or(500);
        let kind = header(&head, "content-type").unwrap_or("text/xml").to_owned();
        Ok((status, kind, body))
    }
}

fn head(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut head = String::new();
    loop {
        let before = head.len();
        if reader.read_line(&mut head)? == 0 {
            return Ok(None);
        }
        if head[before..].trim_end().is_empty() {
            head.truncate(before);
            return Ok(Some(head));
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    headers.find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// The value of a parameter of a form.
pub fn parameter(form: &str, name: &str) -> Option<String> {
    let mut parameters = form.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = parameters.find(|(of, _)| *of == name)?;
    Some(percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned())
}
