//! Telling the user, who may have stopped listening (`coxswain up | head`): that ends nothing.

/// `println!` that ignores a closed standard output.
macro_rules! say {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($line)*);
    }};
}
