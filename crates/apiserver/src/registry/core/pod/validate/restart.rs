//! Restart policies of individual containers (KEP-753, KEP-5307).

use crate::registry::check::Field;

const POLICIES: &[&str] = &["Always", "Never", "OnFailure"];
const WITHOUT_POLICY: &str = "must specify restartPolicy when restart rules are used";

/// Checks a container of any kind with a policy or rules.
pub(super) fn check(container: &Field<'_>) {
    if container.has("restartPolicy") {
        container.one_of("restartPolicy", POLICIES);
    } else if container.len("restartPolicyRules") > 0 {
        container.at("restartPolicy").required(WITHOUT_POLICY);
    } else {
        return;
    }
    let rules = container.len("restartPolicyRules");
    if rules > 20 {
        container.at("restartPolicyRules").too_many(rules, 20);
    }
    for rule in container.items("restartPolicyRules") {
        rule.one_of("action", &["Restart", "RestartAllContainers"]);
        let codes = rule.at("exitCodes");
        if rule.has("exitCodes") {
            codes.one_of("operator", &["In", "NotIn"]);
            let values = codes.len("values");
            if values > 255 {
                codes.at("values").too_many(values, 255);
            }
        } else {
            codes.required("must be specified");
        }
    }
}

/// Checks an init container: one that always restarts is a sidecar and may not have rules.
pub(super) fn check_init(container: &Field<'_>) {
    match container.get("restartPolicy").as_str() {
        None if container.len("restartPolicyRules") > 0 => {
            container.at("restartPolicy").required(WITHOUT_POLICY);
        }
        None => {}
        Some("Always") if container.len("restartPolicyRules") > 0 => {
            container.at("restartPolicyRules").forbidden(
                "restartPolicyRules are not allowed for init containers with restart policy Always",
            );
        }
        Some("Always") => {}
        Some(_) => check(container),
    }
}
