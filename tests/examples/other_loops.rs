//! The examples in which a loop is not alone: several in one process, and one inside a foreign loop.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;

use crate::support::bounded;
use crate::support::program::{PATIENCE, Program};

#[test]
fn one_loop_per_core_shares_the_clients_out_and_serves_them_all() {
    bounded(|| {
        const LOOPS: usize = 3;
        const CLIENTS: u64 = 96;
        let mut program =
            Program::start_with("one_loop_per_core", &["127.0.0.1:0", "3"], Stdio::piped());
        let line = program.wait_for_line("listening on ");
        let (_, rest) = line.split_once("listening on ").unwrap();
        let address: SocketAddr = rest.split(',').next().unwrap().parse().unwrap();

        let connect = |n: u64| {
            let mut client = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.write_all(&n.to_le_bytes()).unwrap();
            client
        };
        let clients: Vec<_> = (0..CLIENTS).map(connect).collect();
        for (n, mut client) in (0..CLIENTS).zip(&clients) {
            let mut back = [0; 8];
            client.read_exact(&mut back).unwrap();
            assert_eq!(back, n.to_le_bytes());
        }

        // The main thread, which runs no loop, asks them all.
        program.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        program.wait_for_line(&format!("loop {} has served", LOOPS - 1));
        let served: Vec<u64> = program.said(|said| {
            let counts = said
                .lines
                .iter()
                .filter_map(|line| line.split_once(" has served ")?.1.split_once(' '));
            counts.map(|(count, _)| count.parse().unwrap()).collect()
        });
        assert_eq!(served.len(), LOOPS);
        assert_eq!(served.iter().sum::<u64>(), CLIENTS);
        // The kernel hashes: that one gets none of 96 has a probability of 10^-16.
        assert!(served.iter().all(|&count| count > 0), "{served:?}");
    });
}

#[test]
fn one_loop_per_core_explains_itself_when_its_arguments_are_wrong() {
    bounded(|| {
        for args in [&["localhost"][..], &["127.0.0.1:0", "many"], &["127.0.0.1:0", "0"]] {
            let (code, said) = Program::start("one_loop_per_core", args).end();
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains("usage: one_loop_per_core"), "{said}");
        }
    });
}

#[test]
fn a_loop_inside_a_foreign_epoll_loop_does_its_work_and_lets_the_host_do_its_own() {
    bounded(|| {
        let (code, said) = Program::start("embedded", &[]).end();
        assert_eq!(code, Some(0), "{said}");
        for line in
            ["guest: message 5 came back", "guest: 5 bytes were echoed", "host: the guest is done"]
        {
            assert!(said.contains(line), "{said}");
        }
        // The guest sleeps for 150 ms in all; a busy machine may make one of several ticks of 20 ms.
        assert!(said.contains("host: tick"), "{said}");
    });
}
