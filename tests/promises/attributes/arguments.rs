// Mistakes in the use of the attributes. A line of carets is below what the compiler must underline, with what it must say.
// `headwaiter` is the package of the macros alone, so nothing but the mistakes is looked at.

mod clocks {
    #[headwaiter::test(clock = "wall")]
    //                         ^^^^^^ `clock` takes "real" or "virtual": write `clock = "virtual"`
    async fn another_word() {}

    #[headwaiter::test(clock = virtual)]
    //                         ^^^^^^^ `clock` takes "real" or "virtual": write `clock = "virtual"`
    async fn a_word_without_quotes() {}

    #[headwaiter::test(clock = headwaiter::Clock::Virtual)]
    //                         ^^^^^^^^^^^^^^^^^^^^^^^^^^ `clock` takes "real" or "virtual": write `clock = "virtual"`
    async fn the_variant() {}

    #[headwaiter::test(clock = b"virtual")]
    //                         ^^^^^^^^^^ `clock` takes "real" or "virtual": write `clock = "virtual"`
    async fn bytes() {}

    #[headwaiter::test(clock("virtual"))]
    //                 ^^^^^^^^^^^^^^^^ `clock` needs a value: write `clock = "virtual"`
    async fn parentheses() {}
}

mod seeds {
    #[headwaiter::test(seeds = 0)]
    //                         ^ `seeds` takes a number from 1 to 4294967295: write `seeds = 64`
    async fn none() {}

    #[headwaiter::test(seeds = 4_294_967_296)]
    //                         ^^^^^^^^^^^^^ `seeds` takes a number from 1 to 4294967295: write `seeds = 64`
    async fn too_many() {}

    #[headwaiter::test(seeds = -1)]
    //                         ^^ `seeds` takes a number from 1 to 4294967295: write `seeds = 64`
    async fn less_than_none() {}

    #[headwaiter::test(seeds = 64u32)]
    //                         ^^^^^ `seeds` takes a number from 1 to 4294967295: write `seeds = 64`
    async fn a_number_with_a_type() {}

    #[headwaiter::test(seeds = "64")]
    //                         ^^^^ `seeds` takes a number from 1 to 4294967295: write `seeds = 64`
    async fn a_text() {}

    #[headwaiter::test(seeds = 1.5)]
    //                         ^^^ `seeds` takes a number from 1 to 4294967295: write `seeds = 64`
    async fn a_fraction() {}

    #[headwaiter::test(seeds = SEEDS)]
    //                         ^^^^^ `seeds` takes a number from 1 to 4294967295: write `seeds = 64`
    async fn a_constant() {}

    #[headwaiter::test(seeds)]
    //                 ^^^^^ `seeds` needs a value: write `seeds = 64`
    async fn no_value() {}

    #[headwaiter::test(seeds =)]
    //                 ^^^^^^^ `seeds` needs a value: write `seeds = 64`
    async fn no_value_after_the_sign() {}

    #[headwaiter::test(64)]
    //                 ^^ an argument is a name and a value: `clock = "virtual"`
    async fn no_name() {}

    #[headwaiter::test(seeds = 64 clock = "virtual")]
    //                         ^^^^^^^^^^^^^^^^^^^^ `seeds` takes a number from 1 to 4294967295: write `seeds = 64`
    async fn no_comma() {}

    #[headwaiter::test(seeds = 64, seeds = 64)]
    //                             ^^^^^ `seeds` is given twice: remove one of them
    async fn twice() {}

    #[headwaiter::test(seeds = 0, seed = 1, within = "soon")]
    //                         ^ `seeds` takes a number from 1 to 4294967295: write `seeds = 64`
    //                            ^^^^ there is no argument `seed`: `#[headwaiter::test]` takes `clock`, `seeds`, `deadlock`, `within` and `crate`
    //                                               ^^^^^^ `within` takes a duration of up to a day, in `ms`, `s` or `m`: write `within = "10s"`
    async fn all_are_reported() {}

    macro_rules! with_seeds {
        ($seeds:expr) => {
            #[headwaiter::test(seeds = $seeds)]
            async fn of_a_macro() {}
        };
    }
    with_seeds!(0);
    //          ^ `seeds` takes a number from 1 to 4294967295: write `seeds = 64`
}

mod deadlocks {
    #[headwaiter::test(deadlock = "panic")]
    //                            ^^^^^^^ `deadlock` takes "warn" or "fail" or "ignore": write `deadlock = "fail"`
    async fn another_word() {}

    #[headwaiter::main(deadlock = 1)]
    //                            ^ `deadlock` takes "warn" or "fail" or "ignore": write `deadlock = "fail"`
    async fn main() {}
}

mod limits {
    #[headwaiter::test(within = 10)]
    //                          ^^ `within` takes a duration of up to a day, in `ms`, `s` or `m`: write `within = "10s"`
    async fn no_unit() {}

    #[headwaiter::test(within = "10")]
    //                          ^^^^ `within` takes a duration of up to a day, in `ms`, `s` or `m`: write `within = "10s"`
    async fn no_unit_in_quotes() {}

    #[headwaiter::test(within = "0s")]
    //                          ^^^^ `within` takes a duration of up to a day, in `ms`, `s` or `m`: write `within = "10s"`
    async fn no_time() {}

    #[headwaiter::test(within = "1440.5m")]
    //                          ^^^^^^^^^ `within` takes a duration of up to a day, in `ms`, `s` or `m`: write `within = "10s"`
    async fn more_than_a_day() {}

    #[headwaiter::test(within = "99999999999999999999s")]
    //                          ^^^^^^^^^^^^^^^^^^^^^^^ `within` takes a duration of up to a day, in `ms`, `s` or `m`: write `within = "10s"`
    async fn more_than_a_number_holds() {}

    #[headwaiter::test(within = "-1s")]
    //                          ^^^^^ `within` takes a duration of up to a day, in `ms`, `s` or `m`: write `within = "10s"`
    async fn less_than_no_time() {}

    #[headwaiter::test(within = "1h")]
    //                          ^^^^ `within` takes a duration of up to a day, in `ms`, `s` or `m`: write `within = "10s"`
    async fn another_unit() {}

    #[headwaiter::test(within = "s")]
    //                          ^^^ `within` takes a duration of up to a day, in `ms`, `s` or `m`: write `within = "10s"`
    async fn no_number() {}

    #[headwaiter::test(within = "1.s")]
    //                          ^^^^^ `within` takes a duration of up to a day, in `ms`, `s` or `m`: write `within = "10s"`
    async fn half_a_number() {}
}

mod unknown {
    #[headwaiter::test(start_paused = true)]
    //                 ^^^^^^^^^^^^ there is no argument `start_paused`: write `clock = "virtual"`
    async fn a_paused_clock() {}

    #[headwaiter::test(flavor = "multi_thread", worker_threads = 1)]
    //                 ^^^^^^ there is no argument `flavor`: an event loop has one thread. Remove it
    //                                          ^^^^^^^^^^^^^^ there is no argument `worker_threads`: an event loop has one thread. Remove it
    async fn threads() {}

    #[headwaiter::main(seeds = 64)]
    //                 ^^^^^ there is no argument `seeds`: `#[headwaiter::main]` takes `deadlock`, `blocking_threads` and `crate`
    async fn main() {}
}

mod paths {
    #[headwaiter::test(crate = kitchen)]
    //                         ^^^^^^^ `crate` takes the path of the crate `headwaiter`, in quotes: write `crate = "path::to::headwaiter"`
    async fn no_quotes() {}

    #[headwaiter::test(crate = "")]
    //                         ^^ `crate` takes the path of the crate `headwaiter`, in quotes: write `crate = "path::to::headwaiter"`
    async fn no_path() {}

    #[headwaiter::test(crate = "kitchen::")]
    //                         ^^^^^^^^^^^ `crate` takes the path of the crate `headwaiter`, in quotes: write `crate = "path::to::headwaiter"`
    async fn half_a_path() {}

    #[headwaiter::test(crate = "r#")]
    //                         ^^^^ `crate` takes the path of the crate `headwaiter`, in quotes: write `crate = "path::to::headwaiter"`
    async fn half_a_name() {}

    #[headwaiter::main(crate = "../kitchen")]
    //                         ^^^^^^^^^^^^ `crate` takes the path of the crate `headwaiter`, in quotes: write `crate = "path::to::headwaiter"`
    async fn main() {}
}
