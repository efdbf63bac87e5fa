//! The program against itself, and against gRPC's own implementation (the Python module grpc, of
//! the package grpcio).

use std::process::Command;

use peers::{PATIENCE, Program, address, figure, need, run_well, start, tells};

fn grpc(args: &[&str]) -> Program {
    start(env!("CARGO_BIN_EXE_grpc"), args)
}

#[test]
fn every_kind_of_call_is_made_and_answered() {
    let (code, said) = grpc(&[]).end();
    assert_eq!(code, Some(0), "{said}");
    let said: Vec<String> = said.lines().map(str::to_owned).collect();
    tells(
        &said,
        &[
            "cook: soup",
            "the roast is at 10 %",
            "the roast is at 100 %",
            "tab: 3 dishes, 1200 cents",
            "table: bread",
            "table: soup",
            "table: roast",
            "in a hurry: it was not done within 100ms",
            "no name: an order needs the name of a dish",
        ],
    );
    assert_eq!(figure(&said, &["tab:"]), 3.0);
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let url = format!("http://127.0.0.1:{}", peers::free_port());
    let (code, said) = grpc(&["client", &url]).end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&url) && said.contains("refused"), "{said}");
}

#[test]
fn a_server_serves_a_client_in_another_process_and_ends_on_ctrl_c() {
    let server = grpc(&["server", "127.0.0.1:0"]);
    let address = address(&server, "listening on http://");
    let (code, said) = grpc(&["client", &format!("http://{address}")]).end();
    assert_eq!(code, Some(0), "{said}");
    server.interrupt();
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
}

/// A client that uses neither headwaiter nor generated code: messages are encoded by hand.
const CLIENT: &str = r#"
import sys, threading, grpc
channel = grpc.insecure_channel(sys.argv[1])
same = dict(request_serializer=lambda b: b, response_deserializer=lambda b: b)
cook = channel.unary_unary("/kitchen.Kitchen/Cook", **same)
follow = channel.unary_stream("/kitchen.Kitchen/Follow", **same)
tab = channel.stream_unary("/kitchen.Kitchen/Tab", **same)
table = channel.stream_stream("/kitchen.Kitchen/Table", **same)
def number(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128]); n >>= 7
    return out + bytes([n])
def order(dish, millis): return b"\x0a" + number(len(dish)) + dish + b"\x10" + number(millis)
def fails(code, call):
    try: call()
    except grpc.RpcError as error: assert error.code() == code, error
    else: raise AssertionError(f"no {code}")
code = grpc.StatusCode
assert cook(order(b"soup", 1), timeout=10) == b"\x0a\x04soup"
assert [m[1] for m in follow(order(b"roast", 10), timeout=10)] == [10 * n for n in range(1, 11)]
assert tab(iter([order(b"tea", 1)] * 200), timeout=10) == b"\x08" + number(200) + b"\x10" + number(60000)
assert list(table(iter([order(b"roast", 300), order(b"tea", 1)]), timeout=10)) == [b"\x0a\x03tea", b"\x0a\x05roast"]
fails(code.DEADLINE_EXCEEDED, lambda: cook(order(b"roast", 60000), timeout=0.2))
fails(code.DEADLINE_EXCEEDED, lambda: list(follow(order(b"roast", 60000), timeout=0.2)))
fails(code.INVALID_ARGUMENT, lambda: cook(order(b"", 0), timeout=10))
fails(code.INVALID_ARGUMENT, lambda: cook(order(b"roast", 10**6), timeout=10))
fails(code.OUT_OF_RANGE, lambda: cook(order(b"x" * 100000, 1), timeout=10))
fails(code.UNIMPLEMENTED, lambda: channel.unary_unary("/kitchen.Kitchen/Burn", **same)(b"", timeout=10))
fails(code.INTERNAL, lambda: cook(b"\xff\xff\xff", timeout=10))
# Many concurrent calls over one connection. One of them is cancelled, and the rest continues.
given_up = follow(order(b"roast", 60000), timeout=30)
given_up.cancel()
calls = [cook.future(order(b"soup", 50), timeout=10) for _ in range(150)]
assert all(call.result() == b"\x0a\x04soup" for call in calls)
print("all well")
"#;

#[test]
fn the_server_speaks_with_the_implementation_of_grpc_itself() {
    let python = need!(python "grpc");
    let server = grpc(&["server", "127.0.0.1:0"]);
    let address = address(&server, "listening on http://");
    let mut client = Command::new(python);
    let said = run_well(client.args(["-c", CLIENT]).arg(address.to_string()), 3 * PATIENCE);
    assert!(said.contains("all well"), "{said}");
}

#[test]
fn a_call_under_way_is_answered_when_the_server_ends() {
    let python = need!(python "grpc");
    let server = grpc(&["server", "127.0.0.1:0"]);
    let address = address(&server, "listening on http://");
    let script = r#"
import sys, grpc
same = dict(request_serializer=lambda b: b, response_deserializer=lambda b: b)
channel = grpc.insecure_channel(sys.argv[1])
steps = channel.unary_stream("/kitchen.Kitchen/Follow", **same)(b"\x0a\x05roast\x10\xd0\x0f", timeout=30)
got = [next(steps)[1]]
print("begun", flush=True)
print([*got, *(m[1] for m in steps)], flush=True)
"#;
    let mut client = Command::new(python);
    client.args(["-c", script]).arg(address.to_string());
    let client = Program::start_command("a client", client);
    client.wait_for_line("begun");
    server.interrupt();
    let (_, said) = client.end();
    assert!(said.contains("[10, 20, 30, 40, 50, 60, 70, 80, 90, 100]"), "{said}");
    server.wait_for_line("closing: 1 connection may finish within 5s");
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("cut off"), "{said}");
}
