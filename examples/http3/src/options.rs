//! The command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::Uri;

use crate::client::Order;
use crate::server::Limits;

pub const USAGE: &str = "\
usage: http3 server [ADDRESS] [--cert-out FILE] [--connections N] [--streams N] [--max-body BYTES]
                    [--idle-timeout SECONDS] [--request-timeout SECONDS] [--grace SECONDS]
       http3 client URL [--ca FILE] [--post FILE] [--requests N] [--idle-timeout SECONDS] [--timeout SECONDS]
       http3";

pub enum Command {
    Server { address: String, certificate: Option<PathBuf>, limits: Limits },
    Client(Order),
    Demonstration,
}

impl Command {
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Command, String> {
        match args.next().as_deref() {
            None => Ok(Command::Demonstration),
            Some("server") => Command::parse_server(args),
            Some("client") => Command::parse_client(args),
            Some(other) => Err(format!("{other:?} is neither \"server\" nor \"client\"")),
        }
    }

    fn parse_server(mut args: impl Iterator<Item = String>) -> Result<Command, String> {
        let mut address = "127.0.0.1:4433".to_owned();
        let (mut certificate, mut limits) = (None, Limits::default());
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--cert-out" => certificate = Some(value(&arg, &mut args)?),
                "--connections" => limits.connections = value(&arg, &mut args)?,
                "--streams" => limits.streams = value(&arg, &mut args)?,
                "--max-body" => limits.body = value(&arg, &mut args)?,
                "--idle-timeout" => limits.idle = seconds(&arg, &mut args)?,
                "--request-timeout" => limits.request = seconds(&arg, &mut args)?,
                "--grace" => limits.grace = seconds(&arg, &mut args)?,
                option if option.starts_with("--") => {
                    return Err(format!("a server has no option {option}"));
                }
                _ => address = arg,
            }
        }
        Ok(Command::Server { address, certificate, limits })
    }

    fn parse_client(mut args: impl Iterator<Item = String>) -> Result<Command, String> {
        let (mut url, mut order) = (None, Order::default());
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--ca" => order.ca = Some(value(&arg, &mut args)?),
                "--post" => order.post = Some(value(&arg, &mut args)?),
                "--requests" => order.requests = value(&arg, &mut args)?,
                "--idle-timeout" => order.idle = seconds(&arg, &mut args)?,
                "--timeout" => order.timeout = seconds(&arg, &mut args)?,
                option if option.starts_with("--") => {
                    return Err(format!("a client has no option {option}"));
                }
                _ => {
                    url = Some(
                        arg.parse::<Uri>()
                            .map_err(|error| format!("{arg:?} is not a URL: {error}"))?,
                    );
                }
            }
        }
        let url = url.ok_or("a client needs a URL, such as https://localhost:4433/")?;
        if url.scheme_str() != Some("https") || url.host().is_none() {
            return Err(format!(
                "{url} does not begin with https:// and a host: HTTP/3 is always encrypted"
            ));
        }
        Ok(Command::Client(Order { url, ..order }))
    }
}

fn value<T: FromStr>(option: &str, args: &mut impl Iterator<Item = String>) -> Result<T, String> {
    let value = args.next().ok_or_else(|| format!("{option} needs a value"))?;
    value.parse().map_err(|_| format!("{option} cannot be {value:?}"))
}

/// Must not be zero, because for QUIC an idle timeout of zero means no timeout.
fn seconds(option: &str, args: &mut impl Iterator<Item = String>) -> Result<Duration, String> {
    let seconds = value(option, args)?;
    let duration = Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| format!("{option} cannot be {seconds} seconds"))
}
