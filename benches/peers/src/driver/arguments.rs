//! What the command line asks for.

use std::path::PathBuf;

use super::peers::PEERS;
use super::workloads::Workload;

const USAGE: &str = "\
usage: peers [--rounds N] [--only GROUP_OR_WORKLOAD,...] [--peers NAME,...] [--quick] [--write FOLDER]
       peers client ADDRESS CONNECTIONS SIZE MESSAGES

  --rounds N      measurements of each workload on each peer, in turns (7)
  --only A,B      only these groups or workloads
  --peers A,B     only these peers
  --quick         one round of little work, only to see that it all runs: its figures mean nothing
  --write FOLDER  also writes FOLDER/performance.md and the charts in FOLDER/performance/

`client` sends so many messages to an echo server and takes them back, for `instructions.sh`.";

pub struct Arguments {
    pub rounds: usize,
    pub only: Vec<String>,
    /// Of all, if it is empty.
    pub peers: Vec<String>,
    pub quick: bool,
    pub write: Option<PathBuf>,
    /// As they were given.
    pub line: String,
}

impl Arguments {
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let given: Vec<String> = arguments.collect();
        let mut parsed = Arguments {
            rounds: 7,
            only: Vec::new(),
            peers: Vec::new(),
            quick: false,
            write: None,
            line: given.join(" "),
        };
        let mut rest = given.into_iter();
        while let Some(option) = rest.next() {
            if option == "--quick" {
                (parsed.quick, parsed.rounds) = (true, 1);
                continue;
            }
            let value = rest.next().ok_or(USAGE)?;
            let names = || value.split(',').map(str::to_owned);
            match option.as_str() {
                "--rounds" => match value.parse() {
                    Ok(rounds @ 1..) => parsed.rounds = rounds,
                    _ => return Err(format!("--rounds takes a number from 1, not {value:?}")),
                },
                "--only" => parsed.only.extend(names()),
                "--peers" => parsed.peers.extend(names()),
                "--write" => parsed.write = Some(value.into()),
                _ => return Err(USAGE.to_owned()),
            }
        }
        for name in &parsed.peers {
            if !PEERS.iter().any(|peer| peer.name == name) {
                let names: Vec<_> = PEERS.iter().map(|peer| peer.name).collect();
                return Err(format!("no peer {name:?}: there are {}", names.join(", ")));
            }
        }
        let all = super::workloads::all();
        for name in &parsed.only {
            if !all.iter().any(|workload| workload.is(name)) {
                let mut names: Vec<_> = all.iter().map(|workload| workload.group).collect();
                names.dedup();
                names.extend(all.iter().map(|workload| &*workload.name));
                return Err(format!("no workload {name:?}: there are {}", names.join(", ")));
            }
        }
        Ok(parsed)
    }

    pub fn wants(&self, workload: &Workload) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| workload.is(name))
    }
}
