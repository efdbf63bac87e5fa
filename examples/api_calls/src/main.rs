//! Makes many concurrent API calls with hyper-util's client, with a limit on concurrency, a timeout
//! for each attempt, retries with back-off and jitter, a progress bar, and a table of the results.
//!
//! ```text
//! cargo run -p api_calls                                   # starts its own slow and flaky API, and calls it
//! cargo run -p api_calls -- --at-once 2                    # the same, with two calls at a time
//! cargo run -p api_calls -- https://www.rust-lang.org/ https://crates.io/api/v1/crates/mio
//! ```
//!
//! The options come before the URLs: `--at-once N`, `--timeout SECONDS` (of an attempt),
//! `--attempts N`, and `--ca FILE` (a PEM certificate to trust in addition to those of the system).
//! The exit code is 0 if every call succeeded. Ctrl-C cancels the remaining calls and shows the
//! table.
//!
//! The files: `call.rs` is one call with its attempts, `tls.rs` is the connector for `https`, and
//! `flaky.rs` is the built-in API.
//!
//! To start from this program, copy `src`, with this in the `Cargo.toml`:
//!
//! ```toml
//! [dependencies]
//! bytes = "1"
//! env_logger = { version = "0.11", default-features = false, features = ["auto-color", "humantime"] }
//! fastrand = "2"
//! futures-rustls = { version = "0.26", default-features = false, features = ["logging", "ring", "tls12"] }
//! futures-util = { version = "0.3", default-features = false, features = ["io", "std"] }
//! headwaiter = { version = "0.1", features = ["hyper-client"] }
//! http-body-util = "0.1"
//! hyper = "1"
//! hyper-util = { version = "0.1", features = ["client-legacy", "http1", "http2"] }
//! indicatif = "0.18"
//! log = "0.4"
//! rustls-native-certs = "0.8"
//! tower-service = "0.3"
//! ```

mod call;
mod flaky;
mod tls;

use std::error::Error;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;
use std::{env, fs};

use futures_util::{StreamExt, stream};
use headwaiter::signal::ctrl_c;
use headwaiter::task::CancelToken;
use headwaiter::time::now;
use hyper::Uri;
use indicatif::{ProgressBar, ProgressStyle};
use log::{error, info};

use crate::call::{Called, Caller, Policy};

/// The arguments of the command line.
struct Options {
    at_once: usize,
    policy: Policy,
    ca: Option<String>,
    urls: Vec<Uri>,
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let ended = options().and_then(|options| headwaiter::block_on(run(options)));
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, Box<dyn Error>> {
    let policy = Policy { attempts: 4, timeout: Duration::from_secs(1) };
    let mut options = Options { at_once: 16, policy, ca: None, urls: Vec::new() };
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match &*arg {
            "--at-once" => options.at_once = positive(&arg, &value()?)?,
            "--attempts" => options.policy.attempts = positive(&arg, &value()?)?,
            "--timeout" => options.policy.timeout = Duration::from_secs(positive(&arg, &value()?)?),
            "--ca" => options.ca = Some(value()?),
            _ if arg.starts_with('-') => {
                let usage = "api_calls [--at-once N] [--timeout SECONDS] [--attempts N] [--ca FILE] [URL ...]";
                return Err(format!("there is no option {arg}; usage: {usage}").into());
            }
            _ => {
                let url: Uri =
                    arg.parse().map_err(|error| format!("{arg:?} is not a URL: {error}"))?;
                if !matches!(url.scheme_str(), Some("http" | "https")) {
                    return Err(format!(
                        "{arg:?} cannot be called: it must begin with http:// or https://"
                    )
                    .into());
                }
                options.urls.push(url);
            }
        }
    }
    Ok(options)
}

fn positive<T: FromStr + PartialOrd + From<u8>>(option: &str, text: &str) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| *number >= T::from(1));
    number.ok_or_else(|| format!("{option} {text:?}: it must be a whole number of at least 1"))
}

/// Makes all calls. Returns whether all of them succeeded.
async fn run(options: Options) -> Result<bool, Box<dyn Error>> {
    let Options { at_once, policy, ca, mut urls } = options;
    let ca = ca
        .map(|path| fs::read(&path).map_err(|error| format!("--ca {path}: {error}")))
        .transpose()?;
    let flaky = if urls.is_empty() {
        let api = flaky::Api::start().await?;
        info!("an API of our own on {}, slow and flaky", api.address());
        urls = api.urls();
        Some(api)
    } else {
        None
    };

    let closing = CancelToken::new();
    let close = closing.clone();
    let on_ctrl_c = async move { ctrl_c().await.map(|()| close.cancel()) };
    headwaiter::spawn(on_ctrl_c).log_error();

    // One client for the whole program, because it keeps the connections.
    let caller = Caller::new(tls::Connector::new(ca.as_deref())?, policy);
    let bar = ProgressBar::new(urls.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}")?);
    let start = now();
    let calls = urls.iter().map(|url| {
        let (caller, bar, closing) = (&caller, &bar, &closing);
        async move {
            let called = match closing.run(caller.call(url)).await {
                Ok(called) => called,
                Err(_) => Called::given_up(),
            };
            bar.set_message(url.path().to_owned());
            bar.inc(1);
            (url, called)
        }
    });
    let mut results: Vec<(&Uri, Called)> =
        stream::iter(calls).buffer_unordered(at_once).collect().await;
    let took = now() - start;
    bar.finish_and_clear();
    drop(flaky);

    results.sort_by_key(|(url, _)| urls.iter().position(|other| other == *url));
    print_table(&results);
    let well = results.iter().filter(|(_, called)| called.answer.is_ok()).count();
    let attempts: u32 = results.iter().map(|(_, called)| called.attempts).sum();
    let one_by_one: Duration = results.iter().map(|(_, called)| called.took).sum();
    println!("{well} of {} calls answered well, in {attempts} attempts", results.len());
    println!("took {took:.1?}, up to {at_once} at once; one after another: {one_by_one:.1?}");
    Ok(well == results.len())
}

fn print_table(results: &[(&Uri, Called)]) {
    let width = results.iter().map(|(url, _)| url.to_string().len()).max().unwrap_or(0);
    println!("{:width$}  attempts  time      answer", "call");
    for (url, Called { attempts, took, answer }) in results {
        let url = url.to_string();
        let took = format!("{took:.1?}");
        match answer {
            Ok(answer) => println!("{url:width$}  {attempts:8}  {took:8}  {answer}"),
            Err(error) => println!("{url:width$}  {attempts:8}  {took:8}  FAILED: {error}"),
        }
    }
}
