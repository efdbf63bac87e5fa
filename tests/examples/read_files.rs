//! The example `read_files`: what it reads at the same time is what a plain loop reads.

use std::process::Command;

/// Its exit code, and its report of what it has read.
fn read_files(args: &[&str]) -> (Option<i32>, String, String) {
    // The tests are in `target/PROFILE/deps`, the examples in `target/PROFILE/examples`.
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join("read_files");
    let output = Command::new(&path).args(args).output();
    let output =
        output.unwrap_or_else(|error| panic!("{path:?} (plain `cargo test` builds it): {error}"));
    let said = String::from_utf8(output.stdout).unwrap();
    let result = said.lines().next().unwrap_or_default().to_owned();
    (output.status.code(), result, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_tree_is_read_as_by_a_plain_loop_and_what_cannot_be_read_is_counted() {
    crate::support::bounded(|| {
        let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
        let folder = folder.join(format!("headwaiter-tree-{}", std::process::id()));
        let mut bytes = 0;
        for n in 0..300_usize {
            let inner = folder.join((n % 7).to_string()).join((n % 3).to_string());
            std::fs::create_dir_all(&inner).unwrap();
            let contents: Vec<u8> = (0..n * 37).map(|at| (at * 31 + n) as u8).collect();
            std::fs::write(inner.join(n.to_string()), &contents).unwrap();
            bytes += contents.len();
        }
        let tree = folder.to_str().unwrap();
        let (code, plain, _) = read_files(&["--plain", tree]);
        assert_eq!(code, Some(0));
        assert!(plain.starts_with(&format!("300 files, {bytes} bytes, checksum ")), "{plain}");
        for at_once in ["1", "7", "500"] {
            assert_eq!(read_files(&[tree, at_once]).1, plain);
        }
        std::fs::write(folder.join("3").join("0").join("3"), "another").unwrap();
        assert_ne!(read_files(&[tree]).1, plain, "a change is noticed");
        std::fs::remove_dir_all(&folder).unwrap();

        let (code, none, errors) = read_files(&[tree]);
        assert_eq!(code, Some(1));
        assert!(
            none.starts_with("0 files, 0 bytes") && none.ends_with("1 could not be read"),
            "{none}"
        );
        assert!(errors.contains(tree) && errors.contains("os error 2"), "{errors}");
        assert_eq!(read_files(&["--plain", tree]).1, none);
        assert_eq!(read_files(&[tree, "none"]).0, Some(2));
    });
}
