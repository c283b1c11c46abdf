//! Is something listening?

use std::time::Duration;

use super::dial::dial;
use super::run::Outcome;

pub(super) async fn probe(host: &str, port: u16, timeout: Duration) -> Outcome {
    match dial(host, port, timeout).await {
        Ok(_) => Outcome::Success,
        Err(error) => Outcome::Failure(error.to_string()),
    }
}
