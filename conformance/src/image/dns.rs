//! Looking names up as `/etc/resolv.conf` says: the binary is static and has no resolver of libc's.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::net::UdpSocket;

/// How long one server is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

struct Config {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    dots: usize,
}

fn config() -> Result<Config> {
    let text = std::fs::read_to_string("/etc/resolv.conf").context("/etc/resolv.conf")?;
    Ok(parse(&text))
}

fn parse(text: &str) -> Config {
    let mut config = Config { servers: Vec::new(), search: Vec::new(), dots: 1 };
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                config.servers.extend(words.next().and_then(|ip| ip.parse::<IpAddr>().ok()));
            }
            Some("search") => config.search = words.map(str::to_owned).collect(),
            Some("options") => {
                let mut dots = words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                config.dots = dots.next_back().unwrap_or(config.dots);
            }
            _ => {}
        }
    }
    config
}

/// The names to ask for, in order.
fn candidates(config: &Config, name: &str) -> Vec<String> {
    if name.ends_with('.') {
        return vec![name.to_owned()];
    }
    let whole = format!("{name}.");
    let searched = config.search.iter().map(|domain| format!("{name}.{domain}."));
    if name.matches('.').count() >= config.dots {
        std::iter::once(whole).chain(searched).collect()
    } else {
        searched.chain([whole]).collect()
    }
}

/// The answers for a name as `TYPE VALUE` lines.
pub(super) async fn dig(name: &str, kind: &str) -> Result<Vec<String>> {
    let kind: RecordType = kind.parse().map_err(|_| anyhow::anyhow!("{kind} is no record type"))?;
    let config = config()?;
    let mut last = String::from("nothing was asked");
    for candidate in candidates(&config, name) {
        for server in &config.servers {
            match ask(SocketAddr::new(*server, 53), &candidate, kind).await {
                Ok(answer) if answer.metadata.response_code != ResponseCode::NoError => {
                    last = format!("{candidate}: {}", answer.metadata.response_code);
                    break;
                }
                Ok(answer) if answer.answers.is_empty() => {
                    last = format!("{candidate}: no {kind}");
                    break;
                }
                Ok(answer) => {
                    let lines = answer.answers.iter();
                    return Ok(lines.map(|r| format!("{} {}", r.record_type(), r.data)).collect());
                }
                Err(error) => last = format!("{candidate} at {server}: {error:#}"),
            }
        }
    }
    bail!("{name}: {last}")
}

async fn ask(server: SocketAddr, name: &str, kind: RecordType) -> Result<Message> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name)?, kind));
    let local: SocketAddr = if server.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(server).await?;
    socket.send(&message.to_vec()?).await?;
    let mut buffer = [0; 4096];
    let length = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await??;
    Ok(Message::from_vec(&buffer[..length])?)
}

/// An address of a host: itself, from `/etc/hosts`, or by DNS.
pub(super) async fn resolve(host: &str) -> Result<IpAddr> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    for line in hosts.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        if let Some(Ok(address)) = words.next().map(str::parse)
            && words.any(|name| name == host)
        {
            return Ok(address);
        }
    }
    let answers = dig(host, "A").await?;
    let address = answers.iter().find_map(|line| line.strip_prefix("A ")?.parse().ok());
    address.with_context(|| format!("{host} has no address in {answers:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_searched_as_the_file_says() {
        let config = parse("nameserver 10.96.0.10\nsearch a.svc svc\noptions ndots:2 edns0\n");
        assert_eq!(config.servers, ["10.96.0.10".parse::<IpAddr>().unwrap()]);
        assert_eq!(candidates(&config, "web"), ["web.a.svc.", "web.svc.", "web."]);
        assert_eq!(candidates(&config, "a.b.c"), ["a.b.c.", "a.b.c.a.svc.", "a.b.c.svc."]);
        assert_eq!(candidates(&config, "web."), ["web."]);
    }
}
