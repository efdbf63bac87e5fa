//! A headless Chromium, controlled through its DevTools protocol.

use std::net::TcpStream;
use std::process::{Command, Stdio};

use async_tungstenite::tungstenite::{Message, WebSocket, client};
use peers::{Folder, PATIENCE, Program};
use serde_json::{Value, json};

pub struct Browser {
    socket: WebSocket<TcpStream>,
    last_id: u64,
    _program: Program,
    _profile: Folder,
}

/// An open page.
pub struct Tab {
    session: String,
}

impl Browser {
    /// Returns `None`, and prints a line, if Chromium is not installed.
    pub fn start() -> Option<Browser> {
        let path = peers::find("chromium")?;
        let profile = Folder::new("chromium");
        let mut command = Command::new(path);
        command
            // As root, which tests may run as, Chromium needs `--no-sandbox`.
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args(["--remote-debugging-port=0", "about:blank"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            // The folder for files outside of its profile.
            .env("HOME", profile.path())
            .stdin(Stdio::null());
        let program = Program::start_command("chromium", command);
        let line = program.wait_for_line("DevTools listening on ws://");
        let (_, url) = line.split_once("listening on ").unwrap();
        let address = url.strip_prefix("ws://").and_then(|url| url.split_once('/')).unwrap().0;
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = client(url, stream).unwrap();
        Some(Browser { socket, last_id: 0, _program: program, _profile: profile })
    }

    /// Opens a page in a tab of its own.
    #[track_caller]
    pub fn open(&mut self, url: &str) -> Tab {
        let target =
            self.call(None, "Target.createTarget", json!({ "url": "about:blank" }))["targetId"]
                .take();
        let attach = json!({ "targetId": target, "flatten": true });
        let session = self.call(None, "Target.attachToTarget", attach)["sessionId"].take();
        let tab = Tab { session: session.as_str().unwrap().to_owned() };
        // Answers when the page has started to load; later expressions are evaluated in it.
        self.call(Some(&tab), "Page.navigate", json!({ "url": url }));
        self.wait_for(&tab, "document.readyState === 'complete'");
        tab
    }

    /// Waits until an expression of JavaScript is true.
    #[track_caller]
    pub fn wait_for(&mut self, tab: &Tab, condition: &str) {
        // The page itself checks repeatedly, up to the time limit of a test.
        let milliseconds = PATIENCE.as_millis() * 3 / 4;
        let wait = format!(
            "new Promise(done => {{
                const until = performance.now() + {milliseconds};
                const look = () => {{
                    if ({condition}) done('true');
                    else if (performance.now() > until) done(document.body.innerText);
                    else setTimeout(look, 20);
                }};
                look();
            }})"
        );
        let came = self.evaluate(tab, &wait);
        assert_eq!(came, "true", "waited in vain for {condition}; this is on the page");
    }

    /// Returns the value of a JavaScript expression, or of the promise that it returns.
    #[track_caller]
    pub fn evaluate(&mut self, tab: &Tab, expression: &str) -> Value {
        let params =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.call(Some(tab), "Runtime.evaluate", params);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// Sends a command of the DevTools protocol.
    #[track_caller]
    pub fn call(&mut self, tab: Option<&Tab>, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut command = json!({ "id": self.last_id, "method": method, "params": params });
        if let Some(Tab { session }) = tab {
            command["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(command.to_string())).unwrap();
        loop {
            let message = self.socket.read().unwrap_or_else(|error| panic!("{method}: {error}"));
            let Message::Text(text) = message else { continue };
            let mut message: Value = serde_json::from_str(&text).unwrap();
            if message["id"] == self.last_id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].take();
            }
        }
    }
}
