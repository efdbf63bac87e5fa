// Mistakes in functions that may have the attributes: the compiler must underline the user's own code, and say what it says of a
// function without an attribute. (Three dots stand for words that are the compiler's own.)

mod fake {
    pub use std::future::Future;
    pub use std::process::{ExitCode, Termination};

    pub enum Clock {
        Real,
        Virtual,
    }

    pub fn block_on<F: Future>(_future: F) -> F::Output {
        unimplemented!()
    }

    pub mod testing {
        use super::*;

        pub struct Test;

        impl Test {
            pub fn new(_module: &str, _name: &str) -> Self {
                Test
            }

            pub fn clock(self, _: Clock) -> Self {
                self
            }

            pub fn run<F: Future<Output: Termination>>(self, _test: impl Fn() -> F) -> ExitCode {
                ExitCode::SUCCESS
            }
        }
    }
}

mod tests {
    #[headwaiter::test(crate = "crate::fake")]
    async fn another_type() {
        let _: u32 = "soup";
        //           ^^^^^^ mismatched types
    }

    #[headwaiter::test(crate = "crate::fake")]
    async fn a_value_where_none_is_returned() {
        "soup"
        // <- mismatched types
    }

    #[headwaiter::test(crate = "crate::fake", clock = "virtual")]
    async fn another_result() -> Result<(), String> {
        Ok(5)
        // ^ mismatched types
    }

    #[headwaiter::test(crate = "crate::fake")]
    async fn no_result_of_a_test() -> u32 {
        //                            ^^^ the trait bound `u32: ...
        5
    }

    #[headwaiter::test(crate = "crate::fake")]
    async fn an_error_that_cannot_be_returned() {
        std::fs::read("menu")?;
        //                   ^ the `?` operator can only be used ...
    }

    #[headwaiter::test(crate = "crate::fake")]
    async fn unused() {
        let dish = "soup";
        //  ^^^^ unused variable: `dish`
    }

    #[headwaiter::test(crate = "crate::fake", clock = "virtual")]
    async fn awaits_what_is_no_future() {
        "soup".await;
        //     ^^^^^ `&...
    }

    // None of these is a mistake.

    #[headwaiter::test(crate = "crate::fake")]
    #[should_panic(expected = "soup")]
    async fn panics() {
        panic!("soup");
    }

    #[should_panic]
    #[headwaiter::test(crate = "crate::fake")]
    #[ignore = "it never ends"]
    /// Documented.
    pub(super) async fn panics_with_a_unit_type() -> () {
        loop {}
    }

    #[headwaiter::test(crate = "crate::fake")]
    #[cfg(none)]
    async fn removed() {
        this_is_not_compiled();
    }

    #[headwaiter::test(crate = "crate::fake",)]
    async fn any_termination() -> impl std::process::Termination {
        return std::process::ExitCode::SUCCESS;
    }

    macro_rules! test {
        ($(#[$about:meta])* $visibility:vis $name:ident -> $output:ty, $crate_path:literal $body:block) => {
            #[headwaiter::test(crate = $crate_path)]
            $(#[$about])*
            $visibility async fn $name() -> $output $body
        };
    }
    test!(#[ignore] pub of_a_macro -> Result<(), String>, "crate::fake" { Ok(()) });
}

mod main_of_another_type {
    #[allow(dead_code)]
    #[headwaiter::main(crate = "crate::fake")]
    pub(crate) async fn main() -> Result<(), std::fmt::Error> {
        Err(5)
        //  ^ mismatched types
    }
}
