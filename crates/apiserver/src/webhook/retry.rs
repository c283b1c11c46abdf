//! Repeated calls to a webhook that is out of order for a moment.

use std::time::Duration;

use rand::RngExt;

/// Attempts, and how the wait between them grows (upstream's numbers).
const ATTEMPTS: u32 = 5;
const GROWTH: f64 = 1.5;
const JITTER: f64 = 0.2;

/// The attempts that are left.
pub(crate) struct Retries {
    left: u32,
    wait: Duration,
}

impl Retries {
    /// All but the first, after a wait of this length and longer ones.
    pub(crate) fn after(wait: Duration) -> Self {
        Self { left: ATTEMPTS - 1, wait }
    }

    /// Waits until another attempt is due; returns false at once if there have been enough.
    pub(crate) async fn wait(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let jitter = 1.0 + JITTER * rand::rng().random::<f64>();
        tokio::time::sleep(self.wait.mul_f64(jitter)).await;
        self.wait = self.wait.mul_f64(GROWTH);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn waits_grow_and_end() {
        let mut retries = Retries::after(Duration::from_millis(4));
        for least in [4, 6, 9, 13] {
            let begun = Instant::now();
            assert!(retries.wait().await);
            assert!(begun.elapsed() >= Duration::from_millis(least));
        }
        assert!(!retries.wait().await);
    }
}
