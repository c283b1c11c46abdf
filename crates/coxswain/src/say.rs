//! Printing to a user who may have closed the pipe (`coxswain up | head`), which is no error.

/// `println!` that ignores a closed standard output.
macro_rules! say {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($line)*);
    }};
}
