//! The command line.

use std::time::Duration;

use crate::server::Config;

pub const USAGE: &str = "\
usage: kv_server [ADDRESS] [OPTION VALUE]...
  ADDRESS                where to listen (127.0.0.1:6380; with port 0 the system chooses)
  --max-clients N        maximum number of clients (10000)
  --idle SECONDS         disconnect a client that is silent for this long (0: never)
  --mailbox MIB          disconnect a subscriber with more waiting messages (32)
  --max-memory MIB       limit for keys and values (0: none)
  --grace SECONDS        time to finish after Ctrl-C (5)";

impl Config {
    /// Parses the arguments after the program's name.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Config, String> {
        let mut config = Config {
            address: "127.0.0.1:6380".to_owned(),
            max_clients: 10_000,
            idle: Duration::ZERO,
            mailbox: 32 << 20,
            max_memory: 0,
            grace: Duration::from_secs(5),
        };
        let mut args = args.into_iter();
        let mut has_address = false;
        while let Some(arg) = args.next() {
            if !arg.starts_with('-') && !has_address {
                (config.address, has_address) = (arg, true);
                continue;
            }
            let mut number = |at_least: u32| -> Result<u32, String> {
                let value = args.next().ok_or_else(|| format!("{arg} needs a number behind it"))?;
                let number = value.parse().ok().filter(|number| *number >= at_least);
                number.ok_or_else(|| {
                    format!(
                        "{arg} takes a whole number from {at_least} to {}, not {value:?}",
                        u32::MAX
                    )
                })
            };
            match arg.as_str() {
                "--max-clients" => config.max_clients = number(1)? as usize,
                "--idle" => config.idle = Duration::from_secs(number(0)?.into()),
                "--mailbox" => config.mailbox = (number(1)? as usize) << 20,
                "--max-memory" => config.max_memory = (number(0)? as usize) << 20,
                "--grace" => config.grace = Duration::from_secs(number(0)?.into()),
                _ => return Err(format!("what is {arg:?}?")),
            }
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Config, String> {
        Config::parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn options_and_the_address_come_in_any_order() {
        let config =
            parse("--idle 60 [::1]:0 --mailbox 1 --max-memory 100 --max-clients 3 --grace 0")
                .unwrap();
        let expected = Config {
            address: "[::1]:0".to_owned(),
            max_clients: 3,
            idle: Duration::from_secs(60),
            mailbox: 1 << 20,
            max_memory: 100 << 20,
            grace: Duration::ZERO,
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn a_mistake_is_named() {
        for (line, what) in [
            ("--idle", "--idle needs a number"),
            ("--idle -1", "--idle takes a whole number from 0 to 4294967295, not \"-1\""),
            ("--max-clients 0", "--max-clients takes a whole number from 1"),
            ("--port 6379", "what is \"--port\"?"),
            ("a:1 b:2", "what is \"b:2\"?"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(what), "{line}: {error}");
        }
    }
}
