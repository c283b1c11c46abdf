//! Tokens in requests: in the header for credentials, or in the list of protocols of a WebSocket,
//! where a browser can set no other header.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue, SEC_WEBSOCKET_PROTOCOL, UPGRADE};

const PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// Why a list of protocols has no good token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadProtocol {
    #[error("multiple base64.bearer.authorization tokens specified")]
    Several,
    #[error("invalid base64.bearer.authorization token encoding")]
    Encoding,
    #[error("invalid base64.bearer.authorization token")]
    Text,
    #[error("missing additional subprotocol")]
    Alone,
}

/// The token in the header for credentials. Other schemes are nobody's credentials.
pub(super) fn of_header(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let mut parts = value.splitn(3, ' ');
    let scheme = parts.next()?;
    let token = parts.next().filter(|token| !token.is_empty())?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// The token among the protocols of a WebSocket, and the other protocols.
pub(super) fn of_protocols(headers: &HeaderMap) -> Result<Option<(String, String)>, BadProtocol> {
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !upgrade.eq_ignore_ascii_case("websocket") {
        return Ok(None);
    }
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let (mut token, mut others) = (None, Vec::new());
    for protocol in values.flat_map(|value| value.split(',')).map(str::trim) {
        let Some(encoded) = protocol.strip_prefix(PROTOCOL) else {
            others.push(protocol);
            continue;
        };
        if token.is_some() {
            return Err(BadProtocol::Several);
        }
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| BadProtocol::Encoding)?;
        token = Some(String::from_utf8(bytes).map_err(|_| BadProtocol::Text)?);
    }
    match token.filter(|token| !token.is_empty()) {
        None => Ok(None),
        Some(_) if others.is_empty() => Err(BadProtocol::Alone),
        Some(token) => Ok(Some((token, others.join(",")))),
    }
}

/// Removes the credentials of an authenticated request, so that nothing passes them on.
pub(super) fn clear(headers: &mut HeaderMap) {
    headers.remove(AUTHORIZATION);
    if let Ok(Some((_, others))) = of_protocols(headers)
        && let Ok(others) = HeaderValue::from_str(&others)
    {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, others);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_after_its_scheme() {
        let token = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            of_header(&headers).map(str::to_owned)
        };
        for (value, found) in [
            ("Bearer a", Some("a")),
            ("bEARER a b", Some("a")),
            (" Bearer a ", Some("a")),
            ("Bearer  a", None),
            ("Bearer", None),
            ("Basic a", None),
        ] {
            assert_eq!(token(value).as_deref(), found, "{value}");
        }
    }

    #[test]
    fn a_web_socket_has_one_token_and_another_protocol() {
        let headers = |protocols: &[&str]| {
            let mut headers = HeaderMap::new();
            headers.insert(UPGRADE, "websocket".parse().unwrap());
            for protocol in protocols {
                headers.append(SEC_WEBSOCKET_PROTOCOL, protocol.parse().unwrap());
            }
            headers
        };
        let token = format!("{PROTOCOL}{}", URL_SAFE_NO_PAD.encode("abc"));
        let both = format!("{token}, v5.channel.k8s.io");
        let found = of_protocols(&headers(&[&both, "b"])).unwrap();
        assert_eq!(found, Some(("abc".to_owned(), "v5.channel.k8s.io,b".to_owned())));
        assert_eq!(of_protocols(&headers(&["a"])), Ok(None));
        assert_eq!(of_protocols(&headers(&[&token])), Err(BadProtocol::Alone));
        assert_eq!(of_protocols(&headers(&[&token, &token])), Err(BadProtocol::Several));
        let wrong = format!("{PROTOCOL}!");
        assert_eq!(of_protocols(&headers(&[&wrong, "a"])), Err(BadProtocol::Encoding));
        let mut cleared = headers(&[&both]);
        clear(&mut cleared);
        assert_eq!(cleared[SEC_WEBSOCKET_PROTOCOL], "v5.channel.k8s.io");
        cleared = headers(&[&both]);
        cleared.remove(UPGRADE);
        assert_eq!(of_protocols(&cleared), Ok(None));
    }
}
