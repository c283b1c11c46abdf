//! End-to-end tests with stock clients.
