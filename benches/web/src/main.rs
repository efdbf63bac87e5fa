//! One axum router on two runtimes, each on one thread. `measure.sh` compares them.
//!
//! `web headwaiter|tokio FILE` serves it, and says at which port. `web sockets PORT COUNT` opens so many WebSockets there, exchanges a
//! message on each, says so, and keeps them until its standard input ends.

mod on_headwaiter;
mod on_tokio;

use std::env;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;

use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["headwaiter", file] => on_headwaiter::serve(router(), PathBuf::from(file)),
        ["tokio", file] => on_tokio::serve(router(), PathBuf::from(file)),
        ["sockets", port, count] => {
            let port = port.parse().map_err(io::Error::other)?;
            open_sockets(port, count.parse().map_err(io::Error::other)?)
        }
        _ => Err(io::Error::other("web headwaiter|tokio FILE, or web sockets PORT COUNT")),
    }
}

#[derive(Serialize)]
struct Dish {
    name: &'static str,
    price: f64,
}

#[derive(Deserialize, Serialize)]
struct Order {
    dish: String,
    portions: u32,
}

/// What is the same on both. Each adds `/file` and `/ws`.
fn router() -> Router {
    Router::new()
        .route("/plain", get(async || "One soup, please.\n"))
        .route("/json", get(async || Json(Dish { name: "soup", price: 4.5 })))
        .route("/order", post(async |Json(order): Json<Order>| Json(order)))
}

fn say_port(port: u16) {
    println!("{port}");
}

fn open_sockets(port: u16, count: usize) -> io::Result<()> {
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        socket.write_all(
            b"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )?;
        read_until(&mut socket, b"\r\n\r\n")?;
        socket.write_all(b"\x81\x84\0\0\0\0soup")?;
        read_until(&mut socket, b"soup")?;
        sockets.push(socket);
    }
    println!("open");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn read_until(socket: &mut TcpStream, end: &[u8]) -> io::Result<()> {
    let mut got = Vec::new();
    while !got.ends_with(end) {
        let mut bytes = [0; 1024];
        match socket.read(&mut bytes)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => got.extend_from_slice(&bytes[..n]),
        }
    }
    Ok(())
}
