//! One call: a limited number of attempts, each with a timeout, and growing random pauses between
//! them.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use headwaiter::compat::hyper::{Executor, Timer};
use headwaiter::time::{now, sleep, timeout};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{ACCEPT, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri, Version};
use hyper_util::client::legacy::Client;
use log::debug;

use crate::tls::Connector;

/// The largest body that is read, in bytes.
const MOST: usize = 8 * 1024 * 1024;

/// The longest pause before the second attempt. It doubles with each further attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The limit for pauses, even if the server asks for a longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub struct Policy {
    /// At least one.
    pub attempts: u32,
    /// The limit for an attempt, until the last byte of the body has arrived.
    pub timeout: Duration,
}

/// Makes calls, and keeps the connections for further calls.
pub struct Caller {
    client: Client<Connector, Empty<Bytes>>,
    policy: Policy,
}

/// How a call ended.
pub struct Called {
    pub attempts: u32,
    pub took: Duration,
    pub answer: Result<Answer, String>,
}

impl Called {
    /// It was cancelled by Ctrl-C.
    pub fn given_up() -> Self {
        Called { attempts: 0, took: Duration::ZERO, answer: Err("given up".to_owned()) }
    }
}

#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    version: Version,
    bytes: usize,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Answer { status, version, bytes } = self;
        write!(f, "{version:?} {status}, {bytes} bytes")
    }
}

/// Why an attempt failed.
struct Failure {
    why: String,
    /// Whether another attempt may succeed, and the pause that the server asks for.
    retry: Option<Option<Duration>>,
}

impl Caller {
    pub fn new(connector: Connector, policy: Policy) -> Self {
        let client = Client::builder(Executor)
            .timer(Timer)
            .pool_timer(Timer)
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector);
        Caller { client, policy }
    }

    /// After a failed attempt it is unknown how much of it the server has executed. So only a call
    /// that changes nothing may be repeated, and this is a GET.
    pub async fn call(&self, url: &Uri) -> Called {
        let start = now();
        let mut attempts = 0;
        let answer = loop {
            attempts += 1;
            let failure = match timeout(self.policy.timeout, self.attempt(url)).await {
                Ok(Ok(answer)) => break Ok(answer),
                Ok(Err(failure)) => failure,
                // The connection was dropped together with the attempt, so the next attempt uses
                // another one.
                Err(_) => Failure {
                    why: format!("no answer within {:?}", self.policy.timeout),
                    retry: Some(None),
                },
            };
            debug!("{url}, attempt {attempts}: {}", failure.why);
            match failure.retry {
                Some(asked) if attempts < self.policy.attempts => {
                    sleep(pause(attempts, asked)).await;
                }
                _ => break Err(failure.why),
            }
        };
        Called { attempts, took: now() - start, answer }
    }

    async fn attempt(&self, url: &Uri) -> Result<Answer, Failure> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(url)
            .header(USER_AGENT, "headwaiter-api-calls/0.1")
            .header(ACCEPT, "*/*")
            .body(Empty::new())
            .map_err(|error| Failure { why: error.to_string(), retry: None })?;
        let sent = self.client.request(request).await;
        let response = sent.map_err(|error| Failure { why: chain(&error), retry: Some(None) })?;
        let (status, version) = (response.status(), response.version());
        let asked =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = Limited::new(response.into_body(), MOST).collect().await;
        // Reads the body even if the status is bad: only then can the connection be used again.
        let bytes = body
            .map_err(|error| Failure { why: chain(&*error), retry: Some(None) })?
            .to_bytes()
            .len();
        if status.is_success() {
            return Ok(Answer { status, version, bytes });
        }
        let is_passing = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
            || status == StatusCode::TOO_MANY_REQUESTS;
        Err(Failure {
            why: status.to_string(),
            retry: is_passing.then(|| asked.map(Duration::from_secs)),
        })
    }
}

/// Returns a random pause up to a bound that doubles with each attempt. Without the randomness,
/// clients that failed together would retry together. The pause is at least as long as the server
/// asks for.
fn pause(attempts: u32, asked: Option<Duration>) -> Duration {
    let bound = FIRST_PAUSE.saturating_mul(1 << attempts.min(16) >> 1).min(LONGEST_PAUSE);
    let random = bound.mul_f64(fastrand::f64());
    asked.map_or(random, |asked| asked.min(LONGEST_PAUSE) + random)
}

/// The sources of hyper's errors contain the cause. Some errors repeat the text of their source.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_keep_to_what_the_server_asks() {
        for attempts in 1..100 {
            let bound = FIRST_PAUSE * 2_u32.pow((attempts - 1).min(6));
            assert!(pause(attempts, None) <= bound.min(LONGEST_PAUSE), "{attempts}");
        }
        assert!(pause(1, Some(Duration::from_secs(2))) >= Duration::from_secs(2));
        assert!(pause(1, Some(Duration::from_secs(3600))) <= LONGEST_PAUSE + FIRST_PAUSE);
    }
}
