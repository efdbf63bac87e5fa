// Uses of the attributes that do not find the crate `headwaiter`. A line of carets is below what the compiler must underline, with
// what it must say. The package of the macros is called `kitchen` here, and there is no `headwaiter`.

mod without_the_argument {
    #[kitchen::test]
    // <- unresolved import `headwaiter`
    // <- cannot find function `a_renamed_headwaiter_needs_the_argument_crate` in this scope
    async fn test() {}

    #[kitchen::main]
    // <- unresolved import `headwaiter`
    // <- cannot find function `a_renamed_headwaiter_needs_the_argument_crate` in this scope
    async fn main() {}
}

mod a_path_that_leads_nowhere {
    #[kitchen::test(seeds = 64, crate = "kitchn")]
    //                                  ^^^^^^^^ unresolved import `kitchn`
    async fn one_name() {}

    #[kitchen::main(crate = "::kitchn", deadlock = "fail")]
    //                      ^^^^^^^^^^ unresolved import `kitchn`
    async fn from_the_root() {}

    #[kitchen::test(crate = "crate::nowhere")]
    //                      ^^^^^^^^^^^^^^^^ unresolved import `crate...
    async fn two_names() {}
}

mod another_crate {
    #[kitchen::test(crate = "std")]
    //                      ^^^^^ cannot find `testing` in `__headwaiter`
    async fn test() {}

    #[kitchen::main(crate = "std")]
    //                      ^^^^^ cannot find function `block_on` in crate `__headwaiter`
    async fn main() {}

    #[kitchen::main(crate = "std", blocking_threads = 2)]
    //                      ^^^^^ cannot find `EventLoop` in `__headwaiter`
    async fn with_a_builder() {}
}
