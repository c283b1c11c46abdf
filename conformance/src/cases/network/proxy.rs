//! Pods and services through the API server.

use anyhow::Result;
use http::{Method, Request};
use serde_json::{Value, json};

use super::{servers, service};
use crate::api::{ENDPOINTS, SERVICE};
use crate::case::{Case, pod_case};
use crate::test::{Test, expect_eq};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| format!("[sig-network] Proxy version v1 {rest} [Conformance]");
    vec![
        pod_case(&title("should proxy through a service and a pod"), both),
        pod_case(
            &title("A set of valid responses are returned for both pod and service Proxy"),
            |test| methods(test, ""),
        ),
        pod_case(
            &title("A set of valid responses are returned for both pod and service ProxyWithPath"),
            |test| methods(test, "/some/path/with/GET"),
        ),
    ]
}

async fn start(test: &Test) -> Result<Vec<String>> {
    service(test, "web", json!({})).await?;
    servers(test, "web", 1).await?;
    let ready =
        |object: &Value| object["subsets"][0]["addresses"].as_array().is_some_and(|l| l.len() == 1);
    test.of(&ENDPOINTS).wait("web", "to have the pod", ready).await?;
    Ok(vec![
        test.pods().object_path("web-0:8080/proxy"),
        test.of(&SERVICE).object_path("web:http/proxy"),
        test.of(&SERVICE).object_path("web:80/proxy"),
    ])
}

async fn both(test: Test) -> Result<()> {
    for path in start(&test).await? {
        let said = test.cluster.get(&format!("{path}/hostname")).await?.text();
        expect_eq(&format!("the answer at {path}"), &json!(said), &json!("web-0"))?;
        let echo = test.cluster.get(&format!("{path}/echo?msg=a%20b")).await?.text();
        expect_eq(&format!("the query at {path}"), &json!(echo), &json!("a b"))?;
    }
    let absent = test.of(&SERVICE).object_path("absent:80/proxy/");
    let answer = test.cluster.call(Method::GET, &absent, None).await?;
    expect_eq("the status of no service", &json!(answer.code), &json!(404))
}

async fn methods(test: Test, path: &str) -> Result<()> {
    for base in start(&test).await? {
        for method in ["DELETE", "OPTIONS", "PATCH", "POST", "PUT", "GET"] {
            let body = if method == "GET" { Vec::new() } else { b"the body".to_vec() };
            let request = Request::builder()
                .method(method)
                .uri(format!("{base}{path}/"))
                .header("x-told", "by the client")
                .body(body)?;
            let seen = test.cluster.send(request).await?.object()?;
            expect_eq("the method", &seen["method"], &json!(method))?;
            expect_eq("the path", &seen["path"], &json!(format!("{path}/")))?;
            expect_eq("the header", &seen["headers"]["x-told"], &json!("by the client"))?;
            if method != "GET" {
                expect_eq("the body", &seen["body"], &json!("the body"))?;
            }
            // Whose request it was is the API server's affair alone.
            expect_eq("the credentials", &seen["headers"]["authorization"], &Value::Null)?;
        }
        let head = test.cluster.call(Method::HEAD, &format!("{base}{path}/"), None).await?;
        expect_eq("the status of HEAD", &json!(head.code), &json!(200))?;
    }
    Ok(())
}
