//! Metrics: of a daemon, and of the API server.

use std::path::Path;
use std::process::Command;

use kube::Client;
use kube::core::Request;
use kube::core::params::GetParams;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Asks a process of ours by plain HTTP: the status code and the body.
pub async fn get(port: u16, path: &str) -> Result<(u16, String), String> {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = exchange
        .await
        .map_err(|error| format!("port {port}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
    let code = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or("no status")?;
    Ok((code, body.to_owned()))
}

/// Whom to ask over TLS, and as whom.
#[derive(Debug, Clone, Copy)]
pub struct Secure<'a> {
    /// The port, of [`crate::service::host`].
    pub port: u16,
    /// The name that the certificate has to have.
    pub name: &'a str,
    /// A file with the authority to trust; nobody is trusted, and everything taken, without.
    pub authority: Option<&'a Path>,
    /// The bearer token.
    pub token: Option<&'a str>,
}

/// An answer over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub code: u16,
    /// The version of HTTP.
    pub version: String,
    /// The body.
    pub body: String,
}

impl Secure<'_> {
    /// Asks with curl: nothing of ours is on this side.
    pub fn get(&self, path: &str) -> Result<Answer, String> {
        self.curl(path, &[])
    }

    /// The same, with more arguments of curl.
    pub fn curl(&self, path: &str, more: &[&str]) -> Result<Answer, String> {
        let Self {
            port,
            name,
            authority,
            token,
        } = self;
        let mut command = Command::new("curl");
        command
            .env_clear()
            .args(["--silent", "--show-error", "--max-time", "40"])
            .args(["--noproxy", "*", "--write-out"])
            .arg("\n%{http_code} %{http_version}")
            .arg("--resolve")
            .arg(format!("{name}:{port}:{}", crate::service::host()));
        match authority {
            Some(file) => command.arg("--cacert").arg(file),
            None => command.arg("--insecure"),
        };
        if let Some(token) = token {
            command.arg("--header");
            command.arg(format!("Authorization: Bearer {token}"));
        }
        command
            .args(more)
            .arg(format!("https://{name}:{port}{path}"));
        let output = command.output().map_err(|error| format!("curl: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let (body, last) = text.rsplit_once('\n').ok_or("no status")?;
        let (code, version) = last.split_once(' ').ok_or("no status")?;
        Ok(Answer {
            code: code
                .parse()
                .map_err(|error| format!("no status in {last}: {error}"))?,
            version: version.to_owned(),
            body: body.to_owned(),
        })
    }
}

/// The API server's metrics.
pub async fn of_api_server(client: &Client) -> String {
    let request = Request::new("")
        .get("metrics", &GetParams::default())
        .unwrap();
    client.request_text(request).await.unwrap()
}

/// The sum of a family over all series that have these labels.
pub fn sum(text: &str, family: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |series: &str| {
        labels.iter().all(|(name, value)| {
            let pair = format!("{name}=\"{value}\"");
            series.contains(&format!("{{{pair}")) || series.contains(&format!(",{pair}"))
        })
    };
    text.lines()
        .filter_map(|line| line.strip_prefix(family))
        .filter(|rest| rest.starts_with(['{', ' ']))
        .filter_map(|rest| rest.rsplit_once(' '))
        .filter(|(series, _)| has(series))
        .filter_map(|(_, value)| value.parse::<f64>().ok())
        .sum()
}

/// Requests that write objects of our group, or events, since the API server started.
pub async fn writes(client: &Client) -> f64 {
    let text = of_api_server(client).await;
    let ours = ("group", spo_api::GROUP);
    [
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "DELETECOLLECTION",
        "APPLY",
    ]
    .iter()
    .flat_map(|verb| {
        [
            [("verb", *verb), ours],
            [("verb", *verb), ("resource", "events")],
        ]
    })
    .map(|labels| sum(&text, "apiserver_request_total", &labels))
    .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_found_by_their_labels() {
        let text = "# TYPE a_total counter\na_total{verb=\"GET\",x=\"1\"} 2\n\
                    a_total{verb=\"PUT\",x=\"1\"} 3\na_total_b{verb=\"GET\"} 4\nb 5\n";
        assert_eq!(sum(text, "a_total", &[]), 5.0);
        assert_eq!(sum(text, "a_total", &[("verb", "PUT"), ("x", "1")]), 3.0);
        assert_eq!(sum(text, "a_total", &[("verb", "P")]), 0.0);
        assert_eq!(sum(text, "b", &[]), 5.0);
    }
}
