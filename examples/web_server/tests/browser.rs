//! The page in a real browser.

mod common;

use common::Server;
use common::browser::Browser;

/// A JavaScript expression: whether the text of an element contains this.
fn shows(id: &str, text: &str) -> String {
    format!("document.getElementById('{id}').textContent.includes({text:?})")
}

fn press(selector: &str) -> String {
    format!("document.querySelector('{selector}').click()")
}

#[test]
fn the_page_uses_all_routes() {
    let Some(mut browser) = Browser::start() else { return };
    let server = Server::start();
    let tab = browser.open(&server.url("/"));

    browser.evaluate(&tab, &press("#order button"));
    browser.wait_for(&tab, &shows("order-result", r#"200"#));
    browser.wait_for(&tab, &shows("order-result", r#"{"dish":"soup","portions":2,"total":9.0}"#));
    // Invalid orders are answered with the reason.
    browser.evaluate(&tab, "document.querySelector('[name=portions]').value = 'many'");
    browser.evaluate(&tab, &press("#order button"));
    browser.wait_for(&tab, &shows("order-result", "422"));
    browser.wait_for(&tab, &shows("order-result", "invalid type: string"));

    browser.evaluate(&tab, &press("#book button"));
    browser.wait_for(&tab, &shows("book-result", "A table for 4 in the name of Ada."));

    // While the slow handler waits, another one answers.
    browser.evaluate(&tab, &press("#slow"));
    browser.wait_for(&tab, "!document.getElementById('spinner').hidden");
    browser.evaluate(&tab, &press("#plain"));
    browser.wait_for(&tab, &shows("slow-result", "One soup, please."));
    assert_eq!(browser.evaluate(&tab, "document.getElementById('spinner').hidden"), false);
    browser.wait_for(&tab, &shows("slow-result", "Sorry to keep you waiting."));
    assert_eq!(browser.evaluate(&tab, "document.getElementById('spinner').hidden"), true);

    browser.evaluate(&tab, &press("#compute"));
    browser.wait_for(&tab, &shows("work-result", "There are 25997 primes below 300000."));
    browser.evaluate(&tab, &press("#panic"));
    browser.wait_for(&tab, &shows("work-result", "500"));

    browser.evaluate(&tab, &press("#load-start"));
    browser.wait_for(&tab, &shows("load-result", "64.0 MiB of 64.0 MiB"));
    browser.wait_for(&tab, &shows("load-result", "200: done"));
    assert_eq!(browser.evaluate(&tab, "document.getElementById('load-bar').value"), 1);
    browser.evaluate(&tab, "document.querySelector('[name=path]').value = '/big?mib=1024'");
    browser.evaluate(&tab, &press("#load-start"));
    browser.wait_for(&tab, "document.getElementById('load-bar').value < 0.9");
    browser.evaluate(&tab, &press("#load-stop"));
    browser.wait_for(&tab, &shows("load-result", "stopped"));

    browser.wait_for(&tab, &shows("events-state", "live"));
    browser.wait_for(&tab, &shows("events-log", "tick 2, "));

    browser.wait_for(&tab, &shows("socket-state", "open"));
    browser.evaluate(&tab, &press("#socket-send"));
    browser.wait_for(&tab, &shows("socket-log", "← One soup"));
    browser.wait_for(&tab, &shows("socket-log", "← The server has had "));
    browser.evaluate(&tab, &press("#socket-toggle"));
    browser.wait_for(&tab, &shows("socket-log", "closed: 1000 thanks"));
    browser.evaluate(&tab, &press("#socket-toggle"));
    browser.wait_for(&tab, &shows("socket-state", "open"));

    browser.wait_for(&tab, &shows("stats", "polls"));
    for path in ["/dump", "/stats"] {
        let link = format!("document.querySelector('a[href=\"{path}\"]').href");
        assert_eq!(browser.evaluate(&tab, &link), server.url(path));
    }

    // The browser is notified of the shutdown.
    let said = server.end();
    browser.wait_for(&tab, &shows("socket-log", "closed: 1001 the server ends"));
    browser.wait_for(&tab, &shows("events-state", "lost"));
    assert!(!said.contains("had to be cut off"), "{said}");
}
