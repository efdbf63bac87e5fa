//! The same programs on headwaiter and on its peers: built one by one, run in turns, and compared.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml -- --help` says how. `driver/workloads.rs` is the list of what is
//! measured, `driver/peers.rs` that of the peers, and `peers/programs/` has the programs, which are written once.

mod driver {
    pub mod arguments;
    pub mod chart;
    pub mod child;
    pub mod load;
    pub mod machine;
    pub mod measure;
    pub mod page;
    pub mod peers;
    pub mod result;
    pub mod table;
    pub mod workloads;
}

use std::process::ExitCode;

use driver::arguments::Arguments;
use driver::load::Clients;
use driver::{machine, measure, page, peers, table, workloads};

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    if let [command, address, numbers @ ..] = &given[..]
        && command == "client"
    {
        return client(address, numbers);
    }
    let arguments = match Arguments::parse(given.into_iter()) {
        Ok(arguments) => arguments,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    let limit = machine::raise_file_limit();
    let peers = peers::build(&arguments.peers);
    let workloads = workloads::all().into_iter().filter(|workload| arguments.wants(workload));
    let load = machine::load_average();
    let mut results = Vec::new();
    for workload in workloads {
        let result = measure::interleaved(workload, &peers, &arguments, limit);
        table::print(&result);
        results.push(result);
    }
    table::print_summary(&results, &load);
    if let Some(folder) = &arguments.write
        && let Err(error) = page::write(folder, &results, &arguments, &load)
    {
        eprintln!("{}: {error}", folder.display());
        return ExitCode::FAILURE;
    }
    // A full run tells what failed and goes on. A quick one is there to find it.
    let failed = results.iter().any(|result| result.failed());
    if arguments.quick && failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn client(address: &str, numbers: &[String]) -> ExitCode {
    machine::use_second_processor();
    let numbers: Result<Vec<usize>, _> = numbers.iter().map(|number| number.parse()).collect();
    let Ok([connections, size, messages]) = numbers.as_deref() else {
        eprintln!("peers client ADDRESS CONNECTIONS SIZE MESSAGES");
        return ExitCode::from(2);
    };
    let clients = Clients::echo(address, *connections, *size);
    match clients.and_then(|clients| clients.keep_busy(*messages)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{address}: {error}");
            ExitCode::FAILURE
        }
    }
}
