//! What the tests of `serve` and `Connector` share: loops, servers and clients that are all in one thread.
