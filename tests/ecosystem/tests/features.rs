//! What the features of the crate bring into a program that enables them.

use std::process::Command;

/// The crates that a program gets with this feature, each with the features of it that are enabled.
fn crates(feature: &str) -> Vec<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "tree",
        "--locked",
        "--package",
        "headwaiter",
        "--edges",
        "normal",
        "--prefix",
        "none",
    ]);
    cargo.args(["--format", "{p} {f}", "--no-default-features", "--features", feature]);
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// hyper-util's client is the exception. Its feature `client-legacy` asks for `tokio/net`, which Cargo takes for hyper-util's own
/// feature `tokio` too, and that asks for `rt` and `time`.
#[test]
fn no_feature_brings_tokios_runtime_sockets_or_timers_but_that_of_the_client() {
    for (feature, is_client) in
        [("hyper", false), ("hyper-client", true), ("tokio-io", false), ("quinn", false)]
    {
        let crates = crates(feature);
        let tokio = crates.iter().find_map(|line| line.strip_prefix("tokio v"));
        let tokio = tokio.unwrap_or_else(|| panic!("{feature} has no tokio: {crates:#?}"));
        for of in ["rt", "net", "time"] {
            let has = tokio.split([' ', ',']).any(|feature| feature == of);
            assert_eq!(has, is_client, "{feature}: {tokio}");
        }
    }
}

#[test]
fn without_features_there_are_only_the_crates_that_the_loop_stands_on() {
    let crates = crates("");
    for foreign in ["tokio", "hyper", "quinn", "bytes", "tower"] {
        assert!(!crates.iter().any(|line| line.starts_with(foreign)), "{foreign}: {crates:#?}");
    }
}
