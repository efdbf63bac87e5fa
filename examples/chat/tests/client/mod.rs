//! A blocking WebSocket client that can also violate the protocol. Each wait is bounded.
#![allow(dead_code)] // Each test file uses a part of it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use peers::{PATIENCE, Program, address, start};
use serde_json::Value;

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// A server and its address.
#[track_caller]
pub fn server(args: &[&str]) -> (Program, SocketAddr) {
    let server = start(env!("CARGO_BIN_EXE_chat"), args);
    let address = address(&server, "listening on http://");
    (server, address)
}

/// Starts a server that pings its clients every second, and closes those that are silent for two.
#[track_caller]
pub fn impatient_server() -> (Program, SocketAddr) {
    server(&["127.0.0.1:0", "2", "1"])
}

pub struct Client {
    pub stream: TcpStream,
    /// Bytes that have arrived and were not parsed yet.
    received: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, PartialEq)]
pub enum End {
    /// With a close frame.
    Closed(u16, String),
    /// Without.
    Lost,
}

impl Client {
    /// Enters a room, and waits until it is let in.
    #[track_caller]
    pub fn enter(server: SocketAddr, room: &str, name: &str) -> Client {
        let mut client = Client::open(server, &format!("/ws?room={room}&name={name}"));
        let welcome = client.event();
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        client
    }

    /// Opens a WebSocket. `target` is percent-encoded.
    #[track_caller]
    pub fn open(server: SocketAddr, target: &str) -> Client {
        let (response, client) = Client::request(server, target, "");
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        // That of the key below: the example of RFC 6455.
        assert!(
            response.to_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
            "{response}"
        );
        client
    }

    /// Asks for a WebSocket, with these additional header lines, and returns the header of the
    /// response.
    pub fn request(server: SocketAddr, target: &str, lines: &str) -> (String, Client) {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut client = Client { stream, received: Vec::new() };
        client.raw(
            format!(
                "GET {target} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
            )
            .as_bytes(),
        );
        let end = loop {
            if let Some(at) = client.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(
                client.fill().unwrap(),
                "no response: {:?}",
                String::from_utf8_lossy(&client.received)
            );
        };
        let header = client.received.drain(..end).collect();
        (String::from_utf8(header).unwrap(), client)
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    #[track_caller]
    pub fn say(&mut self, text: &str) {
        self.raw(&frame(TEXT, text.as_bytes()));
    }

    /// Returns the next message, as JSON.
    #[track_caller]
    pub fn event(&mut self) -> Value {
        match self.next() {
            Ok(text) => serde_json::from_str(&text).unwrap(),
            Err(end) => panic!("waited for a message: {end:?}"),
        }
    }

    /// Returns the text of the next chat message, and skips other notices.
    #[track_caller]
    pub fn said(&mut self) -> String {
        loop {
            let event = self.event();
            if event["type"] == "message" {
                return event["text"].as_str().unwrap().to_owned();
            }
        }
    }

    /// Returns how the connection ends, and skips messages before that.
    #[track_caller]
    pub fn end(&mut self) -> End {
        loop {
            if let Err(end) = self.next() {
                return end;
            }
        }
    }

    /// Returns the next message or the end. Answers pings and a close frame.
    #[track_caller]
    pub fn next(&mut self) -> Result<String, End> {
        loop {
            match self.next_frame() {
                Ok((TEXT, text)) => return Ok(String::from_utf8(text).unwrap()),
                Ok((PING, data)) => self.raw(&frame(PONG, &data)),
                Ok((CLOSE, data)) => {
                    let code = u16::from_be_bytes([data[0], data[1]]);
                    let _ = self.stream.write_all(&frame(CLOSE, &data));
                    return Err(End::Closed(code, String::from_utf8(data[2..].to_vec()).unwrap()));
                }
                Ok((PONG, _)) => {}
                Ok(frame) => panic!("a server does not send {frame:?}"),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    panic!("nothing has come in time")
                }
                Err(_) => return Err(End::Lost),
            }
        }
    }

    /// Returns the opcode and the payload of the next frame.
    pub fn next_frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        loop {
            let bytes = &self.received;
            let header = match bytes.get(1) {
                Some(126) => bytes
                    .get(2..4)
                    .map(|n| (4, u64::from(u16::from_be_bytes(n.try_into().unwrap())))),
                Some(127) => {
                    bytes.get(2..10).map(|n| (10, u64::from_be_bytes(n.try_into().unwrap())))
                }
                Some(&n) => Some((2, u64::from(n))),
                None => None,
            };
            if let Some((start, length)) = header {
                let end = start + length as usize;
                if bytes.len() >= end {
                    assert_eq!(
                        bytes[0] & 0xf0,
                        0x80,
                        "it sends whole messages, without extensions"
                    );
                    let opcode = bytes[0] & 0x0f;
                    let payload = self.received[start..end].to_vec();
                    self.received.drain(..end);
                    return Ok((opcode, payload));
                }
            }
            if !self.fill()? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads until the server has closed the connection. Returns `false` if it was reset instead.
    pub fn is_closed_in_order(&mut self) -> bool {
        while let Ok(more) = self.fill() {
            if !more {
                return true;
            }
        }
        false
    }

    fn fill(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 16 * 1024];
        let n = self.stream.read(&mut bytes)?;
        self.received.extend_from_slice(&bytes[..n]);
        Ok(n > 0)
    }
}

/// Encodes a complete message, masked as a client must send it.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(0x80 | opcode, 0x80, payload.len() as u64);
    let mask = [0x12, 0x34, 0x56, 0x78];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Encodes the header of a frame, without its mask.
pub fn header(first: u8, masked: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..126 => bytes.push(masked | length as u8),
        126..0x10000 => {
            bytes.push(masked | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(masked | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes
}

/// The time limit for something that must happen immediately.
pub const AT_ONCE: Duration = Duration::from_secs(5);
