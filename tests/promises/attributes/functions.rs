// Functions that cannot have the attributes. A line of carets is below what the compiler must underline, with what it must say.

mod tests {
    #[headwaiter::test]
    fn not_async() {}
    // <- `#[headwaiter::test]` is for an `async fn`: write `async` before `fn` (a test without `async` needs only `#[test]`)

    #[headwaiter::test]
    async fn an_argument(seed: u64, _name: &str) {}
    //                   ^^^^^^^^^^^^^^^^^^^^^^ a function with `#[headwaiter::test]` takes no arguments, because nothing passes any: make them variables of its body

    #[headwaiter::test]
    async fn an_argument_of_this_module(_: self::Kitchen) {}
    //                                  ^^^^^^^^^^^^^^^^ a function with `#[headwaiter::test]` takes no arguments, because nothing passes any: make them variables of its body

    #[headwaiter::test]
    async fn generic<T: Fn(u8) -> Vec<u8>, const N: usize>() {}
    //              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ a function with `#[headwaiter::test]` cannot be generic, because nothing chooses its parameters: remove them

    #[headwaiter::test]
    async fn a_clause() -> Result<(), ()> where String: Sized {}
    //                                    ^^^^^^^^^^^^^^^^^^^ a function with `#[headwaiter::test]` cannot have a `where` clause: remove it

    #[headwaiter::test]
    pub const async fn constant() {}
    //  ^^^^^ a function with `#[headwaiter::test]` cannot be `const`: remove that

    #[headwaiter::test]
    async unsafe extern "C" fn foreign() {}
    //    ^^^^^^ a function with `#[headwaiter::test]` cannot be `unsafe`: remove that
    //           ^^^^^^^^^^ a function with `#[headwaiter::test]` cannot be `extern`: remove that

    #[headwaiter::test]
    #[test]
    // <- `#[headwaiter::test]` already makes this function a test: remove this second attribute
    async fn a_second_attribute() {}

    #[headwaiter::test]
    #[allow(dead_code)]
    #[headwaiter::test(seeds = 64)]
    // <- `#[headwaiter::test]` already makes this function a test: remove this second attribute
    async fn the_same_attribute() {}

    #[headwaiter::test]
    struct Order;
    // <- `#[headwaiter::test]` is for an `async fn`, and this is none

    #[headwaiter::test]
    pub(crate) static ORDERS: u32 = 0;
    //         ^^^^^^ `#[headwaiter::test]` is for an `async fn`, and this is none

    #[headwaiter::test(seeds = 0)]
    //                         ^ `seeds` takes a number from 1 to 4294967295: write `seeds = 64`
    fn all_are_reported(seed: u64) {}
    // <- `#[headwaiter::test]` is for an `async fn`: write `async` before `fn` (a test without `async` needs only `#[test]`)
    //                  ^^^^^^^^^ a function with `#[headwaiter::test]` takes no arguments, because nothing passes any: make them variables of its body

    #[allow(dead_code)]
    struct Kitchen;

    impl Kitchen {
        #[headwaiter::test]
        async fn a_method(&self) {}
        //                 ^^^^ a function with `#[headwaiter::test]` takes no `self`: move it out of the `impl` or the `trait`

        #[headwaiter::test]
        async fn a_method_with_a_lifetime(&'static mut self) {}
        //                                             ^^^^ a function with `#[headwaiter::test]` takes no `self`: move it out of the `impl` or the `trait`
    }

    #[allow(dead_code)]
    trait Cooks {
        #[headwaiter::test]
        async fn no_body();
        //                ^ this function has no body: write one, in braces
    }
}

mod not_async {
    #[headwaiter::main]
    fn main() {}
    // <- `#[headwaiter::main]` is for an `async fn`: write `async` before `fn` (a `main` without `async` needs no attribute)
}

mod a_second_attribute {
    #[headwaiter::main]
    #[headwaiter::main]
    // <- `#[headwaiter::main]` already runs this function: remove this second attribute
    async fn main() {}
}

mod arguments {
    #[headwaiter::main]
    async fn main(args: Vec<String>) {}
    //            ^^^^^^^^^^^^^^^^^ a function with `#[headwaiter::main]` takes no arguments, because nothing passes any: make them variables of its body
}
