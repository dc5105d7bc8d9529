//! Metrics: of a daemon, and of the API server.

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
