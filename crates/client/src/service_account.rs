//! Clients that act as service accounts, by tokens that are asked for and renewed as needed: what
//! upstream's controller manager does with `--use-service-account-credentials`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::header::{AUTHORIZATION, HeaderValue};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::client::Body;
use kube::{Api, Client};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tower::{BoxError, service_fn};

use crate::helpers::{is_already_exists, is_not_found};
use crate::transport::{self, Error};

/// Lifetime that is asked for, in seconds.
const LIFETIME: i64 = 3600;
/// Part of its lifetime after which a token is renewed.
const RENEW_AFTER: f64 = 0.8;

/// Makes clients for the service accounts of a namespace. They share their connections.
pub struct ServiceAccounts {
    requester: Client,
    /// Reaches the server as nobody.
    anonymous: Client,
    namespace: String,
}

impl ServiceAccounts {
    /// Asks for tokens as the user of `kubeconfig`, who needs the right to create service accounts
    /// and their tokens in `namespace`.
    ///
    /// # Errors
    /// The kubeconfig is unusable; the server is not contacted.
    pub async fn new(kubeconfig: &Path, namespace: &str) -> Result<Self, Error> {
        let requester = transport::https(kubeconfig).await?;
        let anonymous = transport::anonymous(kubeconfig).await?;
        Ok(Self { requester, anonymous, namespace: namespace.to_owned() })
    }

    /// A client that acts as the service account `name`, which is made when it is missing.
    pub fn client(&self, name: &str) -> Client {
        let tokens = Tokens {
            requester: self.requester.clone(),
            namespace: self.namespace.clone(),
            name: name.to_owned(),
            current: Arc::default(),
        };
        let anonymous = self.anonymous.clone();
        let service = service_fn(move |mut request: Request<Body>| {
            let (tokens, anonymous) = (tokens.clone(), anonymous.clone());
            async move {
                let header = tokens.header().await?;
                request.headers_mut().insert(AUTHORIZATION, header);
                anonymous.send(request).await.map_err(BoxError::from)
            }
        });
        Client::new(service, "default")
    }
}

struct Token {
    header: HeaderValue,
    renew_at: Instant,
}

/// The token of one service account.
#[derive(Clone)]
struct Tokens {
    requester: Client,
    namespace: String,
    name: String,
    current: Arc<Mutex<Option<Token>>>,
}

impl Tokens {
    /// The current token; the first caller who finds it due renews it, the others wait.
    async fn header(&self) -> Result<HeaderValue, BoxError> {
        let mut current = self.current.lock().await;
        match &*current {
            Some(token) if Instant::now() < token.renew_at => Ok(token.header.clone()),
            _ => {
                let token = self.request().await?;
                let header = token.header.clone();
                *current = Some(token);
                Ok(header)
            }
        }
    }

    async fn request(&self) -> Result<Token, BoxError> {
        let accounts: Api<ServiceAccount> =
            Api::namespaced(self.requester.clone(), &self.namespace);
        let wanted = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(LIFETIME),
                ..Default::default()
            }),
            ..Default::default()
        };
        let create = PostParams::default();
        let answer = match accounts.create_token_request(&self.name, &create, &wanted).await {
            Err(error) if is_not_found(&error) => {
                let mut account = ServiceAccount::default();
                account.metadata.name = Some(self.name.clone());
                match accounts.create(&create, &account).await {
                    Err(error) if !is_already_exists(&error) => return Err(error.into()),
                    _ => accounts.create_token_request(&self.name, &create, &wanted).await?,
                }
            }
            answer => answer?,
        };
        let given = answer.status.and_then(|s| Some((s.token?, s.expiration_timestamp?)));
        let (token, expires) = given.ok_or("a token request was answered without a token")?;
        let left = expires.0.as_second() - k8s_openapi::jiff::Timestamp::now().as_second();
        let lifetime = Duration::from_secs(u64::try_from(left).unwrap_or(0));
        let mut header = HeaderValue::from_str(&format!("Bearer {token}"))?;
        header.set_sensitive(true);
        Ok(Token { header, renew_at: Instant::now() + lifetime.mul_f64(RENEW_AFTER) })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Method, Response};

    use super::*;

    /// An API server that knows the account only once it was created.
    fn requester(requests: Arc<AtomicUsize>) -> Client {
        let made = Arc::new(AtomicUsize::new(0));
        let service = service_fn(move |request: Request<Body>| {
            let (path, method) = (request.uri().path().to_owned(), request.method().clone());
            let (code, body) = if path.ends_with("/serviceaccounts") && method == Method::POST {
                made.fetch_add(1, Ordering::SeqCst);
                (201, r#"{"metadata":{"name":"job-controller"}}"#.to_owned())
            } else if made.load(Ordering::SeqCst) == 0 {
                let status = r#"{"kind":"Status","apiVersion":"v1","status":"Failure",
                    "message":"serviceaccounts \"job-controller\" not found",
                    "reason":"NotFound","code":404}"#;
                (404, status.to_owned())
            } else {
                let n = requests.fetch_add(1, Ordering::SeqCst);
                let at = k8s_openapi::jiff::Timestamp::now()
                    + k8s_openapi::jiff::SignedDuration::from_secs(LIFETIME);
                (
                    201,
                    format!(
                        r#"{{"metadata":{{}},"spec":{{"audiences":[]}},"status":{{"token":"t{n}","expirationTimestamp":"{at}"}}}}"#
                    ),
                )
            };
            async move {
                let response = Response::builder().status(code).body(Body::from(body.into_bytes()));
                Ok::<_, Infallible>(response.unwrap())
            }
        });
        Client::new(service, "default")
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_asked_for_once_and_renewed_in_time() {
        let requests = Arc::new(AtomicUsize::new(0));
        let echo = service_fn(|request: Request<Body>| async move {
            let header = request.headers()[AUTHORIZATION].as_bytes().to_vec();
            Ok::<_, Infallible>(Response::new(Body::from(header)))
        });
        let accounts = ServiceAccounts {
            requester: requester(requests.clone()),
            anonymous: Client::new(echo, "default"),
            namespace: "kube-system".to_owned(),
        };
        let client = accounts.client("job-controller");
        let ask = async || {
            let request = Request::get("/").body(Vec::new()).unwrap();
            client.request_text(request).await.unwrap()
        };
        assert_eq!(ask().await, "Bearer t0");
        assert_eq!(ask().await, "Bearer t0");
        tokio::time::advance(Duration::from_secs(3000)).await;
        assert_eq!(ask().await, "Bearer t1");
        assert_eq!(requests.load(Ordering::SeqCst), 2);
    }
}
