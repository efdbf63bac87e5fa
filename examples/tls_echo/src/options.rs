//! The command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::server::Limits;

pub const USAGE: &str = "\
usage: tls_echo server [ADDRESS] [--cert-out FILE] [--clients N]
                       [--handshake-timeout SECONDS] [--idle-timeout SECONDS] [--grace SECONDS]
       tls_echo client ADDRESS [--ca FILE]
       tls_echo";

pub enum Command {
    Server { address: String, certificate: Option<PathBuf>, limits: Limits },
    Client { address: String, ca: Option<PathBuf> },
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
        let mut address = "127.0.0.1:7443".to_owned();
        let (mut certificate, mut limits) = (None, Limits::default());
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--cert-out" => certificate = Some(value(&arg, &mut args)?),
                "--clients" => limits.clients = value(&arg, &mut args)?,
                "--handshake-timeout" => limits.handshake = seconds(&arg, &mut args)?,
                "--idle-timeout" => limits.idle = seconds(&arg, &mut args)?,
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
        let (mut address, mut ca) = (None, None);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--ca" => ca = Some(value(&arg, &mut args)?),
                option if option.starts_with("--") => {
                    return Err(format!("a client has no option {option}"));
                }
                _ => address = Some(arg),
            }
        }
        let address =
            address.ok_or("a client needs the ADDRESS of a server, such as localhost:7443")?;
        Ok(Command::Client { address, ca })
    }
}

fn value<T: FromStr>(option: &str, args: &mut impl Iterator<Item = String>) -> Result<T, String> {
    let value = args.next().ok_or_else(|| format!("{option} needs a value"))?;
    value.parse().map_err(|_| format!("{option} cannot be {value:?}"))
}

fn seconds(option: &str, args: &mut impl Iterator<Item = String>) -> Result<Duration, String> {
    let seconds = value(option, args)?;
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| format!("{option} cannot be {seconds} seconds"))
}
