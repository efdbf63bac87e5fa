//! WebSockets: with Python's `websockets`, with Node's HTTP/2, and with frames that no library
//! would send.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use common::Server;
use peers::{PATIENCE, Program, need, run_well};

/// Runs a script with the address of a server as its argument. Returns `false` if Python's
/// `websockets`, version 13 or later, is not installed.
fn python(server: &Server, script: &str) -> bool {
    let Some(program) = start_python(server, script) else { return false };
    let (code, said) = program.end();
    assert_eq!(code, Some(0), "{said}");
    true
}

fn start_python(server: &Server, script: &str) -> Option<Program> {
    let python = peers::python("websockets.asyncio.client")?;
    let prelude = "
import asyncio, sys
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
url = sys.argv[1]

async def echoed(socket, message):
    'Sends a message, and waits for its echo among what the server says on its own.'
    await socket.send(message)
    while (answer := await socket.recv()) != message:
        assert answer.startswith('The server has had '), answer

async def closed(socket):
    'Waits for the end, and returns its code and reason.'
    try:
        while True: await socket.recv()
    except ConnectionClosed as error:
        return error.rcvd.code, error.rcvd.reason
";
    let mut command = Command::new(python);
    let script = format!("{prelude}\nasync def main():\n{script}\nasyncio.run(main())\n");
    command.args(["-c", &script, &format!("ws://{}/ws", server.address)]);
    Some(Program::start_command("python3", command))
}

#[test]
fn messages_come_back_and_both_sides_ping_and_close() {
    let server = Server::start_with(1.0, None);
    let script = "
    async with connect(url) as socket:
        await echoed(socket, 'soup')
        await echoed(socket, 'käse 🧀')
        await echoed(socket, bytes(range(256)))
        await echoed(socket, '')
        await echoed(socket, 's' * 65536)
        await (await socket.ping(b'still there?'))
        # In fragments, with a ping between them.
        async def parts():
            yield 'so'
            await socket.ping()
            yield 'up'
        await socket.send(parts())
        while await socket.recv() != 'soup': pass
        # What the server says on its own. Longer than its patience: it is answered when it pings.
        for _ in range(3):
            while not (await socket.recv()).startswith('The server has had '): pass
        await socket.close(4000, 'enough')
        assert (socket.close_code, socket.close_reason) == (4000, 'enough')
    # Many at once.
    async def one(n):
        async with connect(url, compression=None) as socket:
            for m in range(20): await echoed(socket, f'{n} {m}')
    await asyncio.gather(*(one(n) for n in range(100)))";
    if !python(&server, script) {
        return;
    }
    let said = server.end();
    // A busy machine may stall the loop, but another log target reports that.
    assert!(
        !said.contains("WARN  web_server") && !said.contains("WARN  headwaiter::http"),
        "{said}"
    );
}

#[test]
fn a_message_too_large_is_refused_with_1009() {
    let server = Server::start();
    let script = "
    async with connect(url) as socket, connect(url) as other:
        await socket.send('s' * 65537)
        assert await closed(socket) == (1009, 'message too long')
        await echoed(other, 'soup')
    async with connect(url) as socket:
        async def parts():
            for _ in range(100): yield 's' * 1000
        await socket.send(parts())
        assert await closed(socket) == (1009, 'message too long')";
    if !python(&server, script) {
        return;
    }
    server.program.wait_for_line("Message too long: 65537 > 65536");
    server.end();
}

#[test]
fn a_page_of_another_site_is_refused() {
    let server = Server::start();
    let script = "
    host = url.split('/')[2]
    async with connect(url, origin='http://' + host) as socket:
        await echoed(socket, 'soup')
    for origin in ['http://elsewhere.example', 'http://' + host + '.elsewhere.example', 'null']:
        try:
            async with connect(url, origin=origin): assert False, origin
        except InvalidStatus as error:
            assert error.response.status_code == 403, error";
    if !python(&server, script) {
        return;
    }
    server.end();
}

#[test]
fn the_end_of_the_server_is_told_with_1001() {
    let server = Server::start();
    let script = "
    async with connect(url) as socket:
        await echoed(socket, 'soup')
        print('open', flush=True)
        assert await closed(socket) == (1001, 'the server ends')";
    let Some(client) = start_python(&server, script) else { return };
    client.wait_for_line("open");
    server.end();
    let (code, said) = client.end();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_websocket_begins_over_http_2_as_well() {
    let node = need!("node");
    let server = Server::start();
    let script = "
const client = require('http2').connect(process.argv[1]);
client.on('remoteSettings', () => {
    const stream = client.request({
        ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/ws', 'sec-websocket-version': '13',
    });
    stream.on('response', headers => {
        if (headers[':status'] !== 200) throw new Error(`status ${headers[':status']}`);
        // The text `soup`, masked with zeros.
        stream.write(Buffer.from([0x81, 0x84, 0, 0, 0, 0, ...Buffer.from('soup')]));
    });
    stream.once('data', data => {
        console.log(data.toString('latin1').slice(2));
        stream.close();
        client.close();
    });
});";
    let said = run_well(Command::new(node).args(["-e", script, &server.url("/")]), PATIENCE);
    assert_eq!(said, "soup\n");
    server.end();
}

/// Opens a WebSocket by hand.
fn open(server: &Server) -> TcpStream {
    let mut stream = server.connect();
    stream
        .write_all(
            b"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    let mut header = Vec::new();
    while !header.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        header.push(byte[0]);
    }
    let header = String::from_utf8(header).unwrap();
    assert!(header.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{header}");
    // From RFC 6455, section 1.3.
    assert!(header.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{header}");
    stream
}

/// Reads frames until the end of the connection. Returns the code and the reason of the close
/// frame, and the number of pings.
#[track_caller]
fn read_close(stream: &mut TcpStream) -> (u16, String, usize) {
    let mut bytes = Vec::new();
    stream
        .read_to_end(&mut bytes)
        .expect("the server closes the connection, and does not reset it");
    let (mut rest, mut pings) = (&bytes[..], 0);
    while let [opcode, length, after @ ..] = rest {
        let (payload, after) = after.split_at(usize::from(*length));
        match opcode {
            0x88 => {
                assert!(after.is_empty(), "something comes after the close: {after:?}");
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                return (code, String::from_utf8(payload[2..].to_vec()).unwrap(), pings);
            }
            0x89 => pings += 1,
            0x81 => {} // A message that the server sends by itself.
            _ => panic!("an unexpected frame: {rest:?}"),
        }
        rest = after;
    }
    panic!("no close among {bytes:?}")
}

/// The header of a masked frame. The mask is zero, so the payload does not change.
fn header(opcode: u8, length: u8) -> Vec<u8> {
    vec![opcode, 0x80 | length, 0, 0, 0, 0]
}

#[test]
fn a_frame_that_breaks_the_protocol_closes_the_connection_with_the_reason() {
    let server = Server::start();
    let mut fine = open(&server);
    let protocol = (1002, "protocol error");
    let too_long = (1009, "message too long");
    let frames = [
        // It declares two bytes and has seven; the rest is not a frame.
        ([header(0x81, 2), b"so\xff\xff\xff\xffup".to_vec()].concat(), protocol),
        // It declares the maximum number of bytes.
        ([vec![0x82, 0xff], vec![0xff; 8], vec![0; 4]].concat(), too_long),
        // Not masked.
        (b"\x81\x04soup".to_vec(), protocol),
        // An opcode that does not exist, reserved bits, a continuation of nothing.
        ([header(0x83, 1), b"s".to_vec()].concat(), protocol),
        ([header(0xc1, 1), b"s".to_vec()].concat(), protocol),
        ([header(0x80, 1), b"s".to_vec()].concat(), protocol),
        // A fragmented ping, and one that is too long.
        (header(0x09, 0), protocol),
        ([vec![0x89, 0xfe, 0, 126, 0, 0, 0, 0], vec![0; 126]].concat(), protocol),
        // Invalid UTF-8.
        ([header(0x81, 1), b"\xff".to_vec()].concat(), (1007, "not UTF-8")),
    ];
    for (frame, (code, reason)) in frames {
        let mut stream = open(&server);
        // The reason arrives although there is unread input.
        stream.write_all(&[&frame[..], &[0; 1024]].concat()).unwrap();
        let (told, why, _) = read_close(&mut stream);
        assert_eq!((told, &*why), (code, reason), "{frame:?}");
    }
    // The other client is served all the time.
    fine.write_all(&[header(0x88, 2), vec![0x03, 0xe8]].concat()).unwrap();
    assert_eq!(read_close(&mut fine).0, 1000);
    let said = server.end();
    assert!(said.matches("WARN  web_server::websocket").count() >= 8, "{said}");
}

#[test]
fn a_silent_peer_is_pinged_and_then_closed() {
    let server = Server::start_with(1.0, None);
    let began = Instant::now();
    // This frame declares more bytes than are sent.
    let mut lying = open(&server);
    lying.write_all(&[header(0x81, 100), b"soup".to_vec()].concat()).unwrap();
    for mut stream in [open(&server), lying] {
        let (code, reason, pings) = read_close(&mut stream);
        assert_eq!((code, &*reason, pings), (1001, "silent for too long", 1));
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    server.end();
}

#[test]
fn a_peer_that_takes_nothing_is_cut_off() {
    let server = Server::start_with(1.0, None);
    let mut stream = open(&server);
    let message = [vec![0x82, 0xfe, 0xff, 0xff, 0, 0, 0, 0], vec![0; 65535]].concat();
    // Sends until all buffers are full and the server does not read any more.
    stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    let began = Instant::now();
    while stream.write_all(&message).is_ok() {
        assert!(began.elapsed() < PATIENCE, "the server takes messages without end");
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    server.program.wait_for_line("lost: ");
    server.serves();
    server.end();
}

#[test]
fn a_request_that_is_no_websocket_is_refused_with_the_reason() {
    let server = Server::start();
    let request = |headers: &str| {
        let request = format!("GET /ws HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        let mut stream = server.connect();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "sec-websocket-version: 13\r\n";
    for (headers, reason) in [
        (format!("{key}{version}"), "upgrade"),
        (format!("connection: upgrade\r\n{key}{version}"), "websocket"),
        (format!("{upgrade}{version}"), "Sec-WebSocket-Key"),
        (format!("{upgrade}sec-websocket-key: soup\r\n{version}"), "Sec-WebSocket-Key"),
        (format!("{upgrade}{key}"), "Sec-WebSocket-Version"),
        (format!("{upgrade}{key}sec-websocket-version: 8\r\n"), "Sec-WebSocket-Version"),
    ] {
        let answer = request(&headers);
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{headers}: {answer}");
        assert!(answer.contains("sec-websocket-version: 13\r\n"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(body.contains(reason), "{reason} is not in {body}");
    }
    server.serves();
    server.end();
}
