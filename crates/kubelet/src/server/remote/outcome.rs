//! The last message to the caller, on the error stream.

use runtime::Error;
use serde_json::{Value, json};

/// The last message after exec; `None` where the protocol has nothing to say about success.
pub(super) fn of_exec(result: &runtime::Result<i32>, structured: bool) -> Option<String> {
    match result {
        Ok(0) => success(structured),
        Ok(code) => Some(exit_code(*code, structured)),
        Err(error) => Some(internal(error, "error executing command in container", structured)),
    }
}

/// The last message after attach: how the container ended is for its status to tell.
pub(super) fn of_attach(result: &runtime::Result<i32>, structured: bool) -> Option<String> {
    match result {
        Ok(_) => success(structured),
        Err(error) => Some(internal(error, "error attaching to container", structured)),
    }
}

fn success(structured: bool) -> Option<String> {
    structured.then(|| json!({"metadata": {}, "status": "Success"}).to_string())
}

fn exit_code(code: i32, structured: bool) -> String {
    let message = format!("command terminated with non-zero exit code: exit status {code}");
    if !structured {
        return format!("command terminated with exit code {code}");
    }
    let causes = json!([{"reason": "ExitCode", "message": code.to_string()}]);
    failure("NonZeroExitCode", &message, json!({ "causes": causes }), None)
}

fn internal(error: &Error, what: &str, structured: bool) -> String {
    let message = format!("{what}: {error}");
    if !structured {
        return message;
    }
    let details = json!({"causes": [{"message": message}]});
    failure("InternalError", &format!("Internal error occurred: {message}"), details, Some(500))
}

fn failure(reason: &str, message: &str, details: Value, code: Option<u16>) -> String {
    let mut status = json!({
        "metadata": {}, "status": "Failure", "reason": reason, "message": message,
        "details": details,
    });
    if let Some(code) = code {
        status["code"] = code.into();
    }
    status.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_as_clients_read_them() {
        let parsed = |result: runtime::Result<i32>| -> Value {
            serde_json::from_str(&of_exec(&result, true).unwrap()).unwrap()
        };
        assert_eq!(parsed(Ok(0))["status"], "Success");
        let failed = parsed(Ok(3));
        assert_eq!(failed["reason"], "NonZeroExitCode");
        assert_eq!(failed["details"]["causes"][0], json!({"reason": "ExitCode", "message": "3"}));
        let refused = parsed(Err(Error::Internal("x".into())));
        let message = "error executing command in container: x";
        assert_eq!((&refused["reason"], &refused["code"]), (&json!("InternalError"), &json!(500)));
        assert_eq!(refused["message"], format!("Internal error occurred: {message}"));
        assert_eq!(refused["details"]["causes"], json!([{ "message": message }]));
        assert_eq!(of_exec(&Ok(0), false), None);
        assert!(of_attach(&Ok(3), true).unwrap().contains("Success"));
    }
}
