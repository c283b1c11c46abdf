use super::*;
use crate::field::{FieldError, Path};

#[test]
fn messages_and_codes_match_upstream() {
    let table = [
        (Status::not_found("apps", "deployments", "x"), 404, "deployments.apps \"x\" not found"),
        (Status::already_exists("", "pods", "x"), 409, "pods \"x\" already exists"),
        (
            Status::conflict("", "pods", "x", "stale"),
            409,
            "Operation cannot be fulfilled on pods \"x\": stale",
        ),
        (Status::forbidden("", "", "", "why"), 403, "forbidden: why"),
        (Status::forbidden("", "pods", "", "why"), 403, "pods is forbidden: why"),
        (Status::forbidden("", "pods", "x", "why"), 403, "pods \"x\" is forbidden: why"),
        (Status::unauthorized(""), 401, "not authorized"),
        (
            Status::method_not_supported("", "pods", "create"),
            405,
            "create is not supported on resources of kind \"pods\"",
        ),
        (Status::internal("boom"), 500, "Internal error occurred: boom"),
        (Status::timeout("slow", 0), 504, "Timeout: slow"),
    ];
    for (status, code, message) in table {
        assert_eq!((status.code, status.message.as_str()), (code, message));
        assert_eq!(status.status, "Failure");
    }
}

#[test]
fn invalid_lists_every_cause() {
    let path = Path::new("spec").child("a");
    let errors = ErrorList(vec![
        FieldError::required(&path, "need it"),
        FieldError::invalid(&path, "v", "bad"),
    ]);
    let status = Status::invalid("apps", "Deployment", "web", errors);
    assert_eq!(
        status.to_value(),
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Failure", "reason": "Invalid", "code": 422,
            "message": "Deployment.apps \"web\" is invalid: [spec.a: Required value: need it, \
                        spec.a: Invalid value: \"v\": bad]",
            "details": {
                "name": "web", "group": "apps", "kind": "Deployment",
                "causes": [
                    {"reason": "FieldValueRequired", "message": "Required value: need it", "field": "spec.a"},
                    {"reason": "FieldValueInvalid", "message": "Invalid value: \"v\": bad", "field": "spec.a"},
                ],
            },
        })
    );
    assert_eq!(serde_json::from_value::<Status>(status.to_value()).unwrap(), status);
}
