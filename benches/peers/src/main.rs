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
use driver::{machine, measure, page, peers, table, workloads};

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    let limit = machine::raise_file_limit();
    let peers = peers::build(&arguments.peers);
    let workloads = workloads::all().into_iter().filter(|workload| arguments.wants(workload));
    let load_before = machine::load_average();
    let mut results = Vec::new();
    for workload in workloads {
        let result = measure::interleaved(workload, &peers, &arguments, limit);
        table::print(&result);
        results.push(result);
    }
    let load = format!("{load_before} at the start, {} at the end", machine::load_average());
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
