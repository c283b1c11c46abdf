//! Shows that cases can fail.

use anyhow::Result;

use crate::args::Options;

pub(crate) async fn prove(_options: &Options, _mutations: &[String]) -> Result<u8> {
    Ok(0)
}
