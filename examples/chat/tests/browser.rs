//! The page, in tabs of a headless Chromium that the tests control through its DevTools protocol.

mod client;

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use client::{Client, server};
use peers::{Folder, PATIENCE, Program, need};
use serde_json::{Value, json};

#[test]
fn a_message_typed_in_one_tab_appears_in_the_other() {
    let chromium = need!("chromium");
    let (_server, address) = server(&["127.0.0.1:0"]);
    let browser = Browser::start(&chromium);
    let mut ada = Tab::enter(&browser, address, "kitchen", "Ada");
    let mut ben = Tab::enter(&browser, address, "kitchen", "Ben");
    ada.wait_until("text('#members') === 'Ada|Ben'");
    ada.wait_until("text('#log .notice') === 'Ben has joined'");
    ada.type_line("soup, 🍜 and \"bread\"");
    ben.wait_until("text('#log .message p') === 'soup, 🍜 and \"bread\"'");
    ben.wait_until("text('#log .message .name') === 'Ada'");
    ben.type_line("with salt");
    ada.wait_until("text('#log .message p') === 'soup, 🍜 and \"bread\"|with salt'");
    assert_eq!(ada.eval("text('#log .mine p')"), "soup, 🍜 and \"bread\"");

    // If a name is taken, the page says so, and another one can be chosen.
    let mut other = Tab::fill_in(&browser, address, "kitchen", "ada");
    other.wait_until("text('#why') === 'this name is taken in this room' && !$('enter').hidden");
    other.eval("$('name').value = 'Cleo'; $('enter').requestSubmit()");
    other.wait_until("text('#log .message p') === 'soup, 🍜 and \"bread\"|with salt'");
    ada.wait_until("text('#members') === 'Ada|Ben|Cleo'");

    // In another room, nothing of the first room is shown, and nothing is received from it.
    other.eval("$('other').value = 'bar'; $('open').requestSubmit()");
    other.wait_until(
        "text('#members') === 'Cleo' && text('#log') === '' && text('#title') === 'bar'",
    );
    ada.wait_until("text('#members') === 'Ada|Ben'");
    other.wait_until("text('#rooms') === 'bar1|kitchen2'");
    other.type_line("only here");
    other.wait_until("text('#log .message p') === 'only here'");
    ada.type_line("the end");
    ben.wait_until("text('#log .message p').endsWith('|with salt|the end')");
}

#[test]
fn markup_is_shown_as_text_and_never_run() {
    let chromium = need!("chromium");
    let (_server, address) = server(&["127.0.0.1:0"]);
    let browser = Browser::start(&chromium);
    let name = "<img src=x onerror=h()>";
    let mut ada = Tab::enter(&browser, address, name, "Ada");
    ada.eval("h = () => { window.ran = true }");
    // A client does not have to use the page.
    let encoded = "%3Cimg%20src=x%20onerror=h()%3E";
    let mut mallory = Client::enter(address, encoded, encoded);
    let messages =
        ["<script>h()</script>", "<img src=x onerror=h()>", "<svg onload=h()>&lt;b&gt;</p></li>"];
    for message in messages {
        mallory.say(message);
    }
    ada.wait_until(&format!("text('#log .message p') === {:?}", messages.join("|")));
    ada.wait_until(&format!("text('#members') === {:?}", format!("Ada|{name}")));
    assert_eq!(ada.eval("text('#log .message .name')"), [name; 3].join("|"));
    assert_eq!(ada.eval("text('#log .notice')"), format!("{name} has joined"));
    assert_eq!(ada.eval("text('#title')"), name);
    ada.wait_until(&format!("text('#rooms bdi') === {name:?}"));
    assert_eq!(
        ada.eval("document.querySelectorAll('#chat img, #chat script, #chat svg').length"),
        0
    );
    // If the injected image had been loaded, its error handler would have run by now.
    ada.eval(
        "new Promise((done) => { const i = new Image(); i.onerror = done; i.src = 'data:x'; })",
    );
    assert_eq!(ada.eval("'ran' in window"), false);
}

#[test]
fn the_page_comes_back_by_itself_when_the_server_does() {
    let chromium = need!("chromium");
    let (first, address) = server(&["127.0.0.1:0"]);
    let browser = Browser::start(&chromium);
    let mut ada = Tab::enter(&browser, address, "kitchen", "Ada");
    ada.type_line("before");
    ada.wait_until("text('#log .message p') === 'before'");
    first.interrupt();
    let (code, said) = first.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("cut off") && !said.contains("dropped"), "{said}");
    ada.wait_until("text('#status').includes('trying again') && $('text').disabled");
    let (_second, _) = server(&[&address.to_string()]);
    ada.wait_until("text('#status') === 'connected' && text('#log') === ''");
    ada.type_line("after");
    ada.wait_until("text('#log .message p') === 'after'");
    // After a reload, the page still knows its name (Ada) and its room (the kitchen).
    ada.load(&format!("http://{address}/#kitchen"));
    ada.wait_until("text('#log .message p') === 'after' && text('#members') === 'Ada'");
}

struct Browser {
    devtools: SocketAddr,
    // The order matters: Chromium writes into its folder until it exits.
    _program: Program,
    _profile: Folder,
}

impl Browser {
    fn start(chromium: &Path) -> Browser {
        let profile = Folder::new("chromium");
        let mut command = Command::new(chromium);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
        command.args(["--no-first-run", "--remote-debugging-port=0"]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        let program = Program::start_command("chromium", {
            command.stdin(Stdio::null());
            command
        });
        let line = program.wait_for_line("DevTools listening on ws://");
        let devtools = line.split('/').nth(2).and_then(|address| address.parse().ok());
        let devtools = devtools.unwrap_or_else(|| panic!("no address: {line}"));
        Browser { devtools, _program: program, _profile: profile }
    }
}

/// A tab, controlled through the DevTools protocol: numbered requests and responses, and events,
/// all JSON over a WebSocket.
struct Tab {
    devtools: Client,
    requests: u64,
}

impl Tab {
    /// Opens a tab in which the form is filled in and submitted.
    fn fill_in(browser: &Browser, address: SocketAddr, room: &str, name: &str) -> Tab {
        let mut tab = Tab::open(browser);
        tab.load(&format!("http://{address}/"));
        tab.eval(&format!("$('room').value = {room:?}; $('name').focus()"));
        tab.type_line(name);
        tab
    }

    /// Opens a tab and enters a room.
    fn enter(browser: &Browser, address: SocketAddr, room: &str, name: &str) -> Tab {
        let mut tab = Tab::fill_in(browser, address, room, name);
        tab.wait_until("text('#status') === 'connected'");
        tab
    }

    fn open(browser: &Browser) -> Tab {
        let mut http = TcpStream::connect(browser.devtools).unwrap();
        http.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = browser.devtools;
        write!(http, "PUT /json/new?about:blank HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        // The connection stays open, so the end of the response is the URL.
        let (mut response, mut bytes) = (String::new(), [0; 4096]);
        let target = loop {
            let url = response
                .split_once("\"webSocketDebuggerUrl\": \"ws://")
                .and_then(|(_, url)| url.split_once('"'));
            if let Some((url, _)) = url {
                break &url[url.find('/').unwrap()..];
            }
            let n = http.read(&mut bytes).unwrap();
            assert!(n > 0, "no tab: {response}");
            response.push_str(&String::from_utf8_lossy(&bytes[..n]));
        };
        let mut tab = Tab { devtools: Client::open(browser.devtools, target), requests: 0 };
        tab.call("Page.enable", json!({}));
        tab
    }

    /// Opens a URL, and waits until it is loaded completely.
    #[track_caller]
    fn load(&mut self, url: &str) {
        // A change of only the hash would load nothing.
        self.call("Page.navigate", json!({ "url": "about:blank" }));
        self.wait_for_event("Page.loadEventFired");
        self.call("Page.navigate", json!({ "url": url }));
        self.wait_for_event("Page.loadEventFired");
        self.eval(
            "text = (selector) => {
                const found = [...document.querySelectorAll(selector)];
                const parts = found.length === 1 && ['UL', 'OL'].includes(found[0].tagName) ? [...found[0].children] : found;
                return parts.map((part) => part.textContent).join('|');
            }",
        );
    }

    /// Types into the focused element, as a user does, and presses Enter.
    #[track_caller]
    fn type_line(&mut self, text: &str) {
        self.call("Page.bringToFront", json!({}));
        self.call("Input.insertText", json!({ "text": text }));
        for kind in ["keyDown", "keyUp"] {
            let enter = json!({ "type": kind, "key": "Enter", "code": "Enter", "text": "\r", "windowsVirtualKeyCode": 13 });
            self.call("Input.dispatchKeyEvent", enter);
        }
    }

    /// Waits until a condition holds in the page. It is checked whenever the page changes.
    #[track_caller]
    fn wait_until(&mut self, condition: &str) {
        let seconds = PATIENCE.as_secs();
        let held = self.eval(&format!(
            "new Promise((done) => {{
                const look = () => {{ if ({condition}) {{ watch.disconnect(); done(true); }} }};
                const watch = new MutationObserver(look);
                const all = {{ subtree: true, childList: true, attributes: true, characterData: true }};
                watch.observe(document, all);
                setTimeout(() => done($('status').textContent + '\\n' + document.body.innerText), {seconds}000 - 2000);
                look();
            }})"
        ));
        assert_eq!(held, true, "in vain: {condition}");
    }

    /// Returns the value of a JavaScript expression, or of the promise that it returns.
    #[track_caller]
    fn eval(&mut self, expression: &str) -> Value {
        let params =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut result = self.call("Runtime.evaluate", params);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    #[track_caller]
    fn call(&mut self, method: &str, params: Value) -> Value {
        self.requests += 1;
        let id = self.requests;
        self.devtools.say(&json!({ "id": id, "method": method, "params": params }).to_string());
        let mut response = self.wait_for(&method, |message| message["id"] == id);
        assert!(response.get("error").is_none(), "{method}: {response}");
        response["result"].take()
    }

    #[track_caller]
    fn wait_for_event(&mut self, method: &str) {
        self.wait_for(&method, |message| message["method"] == method);
    }

    #[track_caller]
    fn wait_for(&mut self, what: &dyn fmt::Display, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            match self.devtools.next() {
                Ok(message) => {
                    let message: Value = serde_json::from_str(&message).unwrap();
                    if is_it(&message) {
                        return message;
                    }
                }
                Err(end) => panic!("waited for {what}: {end:?}"),
            }
        }
    }
}
