//! Pure. What was found, as a table for people and as JSON for programs.

use std::fmt;

use serde::Serialize;
use spo_api::node_status::Mechanism;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What profiles can be installed with.
    mechanisms: Vec<Row>,
    /// What they depend on.
    host: Vec<Fact>,
}

/// A mechanism.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Row {
    name: String,
    available: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

/// Something about the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Fact {
    name: &'static str,
    ok: bool,
    /// What is there; or what is wrong, and what to do about it.
    text: String,
}

impl Fact {
    /// What is there, or what is wrong.
    pub(super) fn of(name: &'static str, said: Result<String, String>) -> Self {
        let ok = said.is_ok();
        let (Ok(text) | Err(text)) = said;
        Self { name, ok, text }
    }

    /// What is there, or what is wrong if nothing is.
    pub(super) fn new(name: &'static str, found: Option<String>, without: &str) -> Self {
        Self::of(name, found.ok_or_else(|| without.to_owned()))
    }
}

impl Report {
    pub(super) fn new(mechanisms: Vec<Mechanism>, host: Vec<Fact>) -> Self {
        let mechanisms = mechanisms.into_iter().map(row).collect();
        Self { mechanisms, host }
    }

    /// The mechanisms of these names that are not available, in any case of letters.
    pub fn lacks<'a>(&self, names: &'a [String]) -> Vec<&'a str> {
        let available = |name: &str| {
            let mut rows = self.mechanisms.iter();
            rows.any(|row| row.name.eq_ignore_ascii_case(name) && row.available)
        };
        let names = names.iter().map(String::as_str);
        names.filter(|name| !available(name)).collect()
    }

    /// As JSON, on several lines.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// Messages of mechanisms say what is wrong and what to do about it, with a colon between.
fn row(mechanism: Mechanism) -> Row {
    let Mechanism {
        name,
        available,
        message,
    } = mechanism;
    let (why, fix) = match message.as_deref().map(|text| (text, text.split_once(": "))) {
        None => (None, None),
        Some((text, None)) => (Some(text), None),
        Some((_, Some((why, fix)))) => (Some(why), Some(fix)),
    };
    Row {
        name,
        available,
        why: why.map(str::to_owned),
        fix: fix.map(str::to_owned),
    }
}

/// The table. What is found of files and other programs is one line each, whatever is in it.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table =
            vec![["MECHANISM", "AVAILABLE", "WHY NOT", "WHAT TO DO"].map(str::to_owned)];
        table.extend(self.mechanisms.iter().map(|row| {
            let available = if row.available { "yes" } else { "no" };
            let text = |text: &Option<String>| one_line(text.as_deref().unwrap_or("-"));
            [
                row.name.clone(),
                available.to_owned(),
                text(&row.why),
                text(&row.fix),
            ]
        }));
        write(f, &table)?;
        writeln!(f)?;
        let mut table = vec![["HOST", "", "FOUND"].map(str::to_owned)];
        table.extend(self.host.iter().map(|fact| {
            let ok = if fact.ok { "" } else { "!" };
            [fact.name.to_owned(), ok.to_owned(), one_line(&fact.text)]
        }));
        write(f, &table)
    }
}

fn one_line(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(shown).collect()
}

/// Columns as wide as what is in them, but for the last.
fn write<const N: usize>(f: &mut fmt::Formatter<'_>, table: &[[String; N]]) -> fmt::Result {
    let mut widths = [0; N];
    for row in table {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in table {
        let cells = row.iter().zip(widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        writeln!(f, "{}", line.join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mechanism = |name: &str, message: Option<&str>| Mechanism {
            name: name.to_owned(),
            available: message.is_none(),
            message: message.map(str::to_owned),
        };
        Report::new(
            vec![
                mechanism("Seccomp", None),
                mechanism("SELinux", Some("SELinux is off: boot it with selinux=1")),
                mechanism("AppArmor", Some("no kernel")),
            ],
            vec![
                Fact::new("kernel", Some("6.1.0".to_owned()), "not to be seen"),
                Fact::new(
                    "security modules",
                    None,
                    "not to be seen: mount\nsecurityfs",
                ),
            ],
        )
    }

    #[test]
    fn people_get_a_table() {
        let expected = "\
MECHANISM  AVAILABLE  WHY NOT         WHAT TO DO
Seccomp    yes        -               -
SELinux    no         SELinux is off  boot it with selinux=1
AppArmor   no         no kernel       -

HOST                 FOUND
kernel               6.1.0
security modules  !  not to be seen: mount securityfs
";
        assert_eq!(report().to_string(), expected);
    }

    #[test]
    fn programs_get_json() {
        let found: serde_json::Value = serde_json::from_str(&report().json()).unwrap();
        assert_eq!(
            found,
            serde_json::json!({
                "mechanisms": [
                    {"name": "Seccomp", "available": true},
                    {"name": "SELinux", "available": false, "why": "SELinux is off",
                     "fix": "boot it with selinux=1"},
                    {"name": "AppArmor", "available": false, "why": "no kernel"},
                ],
                "host": [
                    {"name": "kernel", "ok": true, "text": "6.1.0"},
                    {"name": "security modules", "ok": false,
                     "text": "not to be seen: mount\nsecurityfs"},
                ],
            })
        );
    }

    #[test]
    fn what_is_required_is_available_or_lacks() {
        let lacks = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            report().lacks(&names).join(" ")
        };
        assert_eq!(lacks(&["seccomp", "Seccomp"]), "");
        assert_eq!(lacks(&["seccomp", "selinux", "other"]), "selinux other");
    }
}
