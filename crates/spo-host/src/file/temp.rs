//! Pure. The names of our temporary files: `.spo-<process id>-<serial>.tmp`.
//!
//! A process id alone does not tell whose a file is: in a container it is the same after every
//! restart. The serials of a process therefore start at the time of its first write.

/// The name of a temporary file, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TempName {
    /// Of the process which writes.
    pub(crate) pid: u32,
    /// Unique within the process.
    pub(crate) serial: u64,
}

impl TempName {
    /// Takes a name apart. `None`: not a temporary file of ours.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (pid, serial) = name
            .strip_prefix(".spo-")?
            .strip_suffix(".tmp")?
            .split_once('-')?;
        let parsed = Self {
            pid: pid.parse().ok()?,
            serial: serial.parse().ok()?,
        };
        // `+1` and `01` are numbers too, but not names which we give.
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl std::fmt::Display for TempName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, ".spo-{}-{}.tmp", self.pid, self.serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_they_went() {
        let name = TempName {
            pid: 1,
            serial: u64::MAX,
        };
        assert_eq!(TempName::parse(&name.to_string()), Some(name));
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "web.json",
            ".spo-1-2.tmp.json",
            ".spo-1.tmp",
            ".spo--1.tmp",
            ".spo-1-.tmp",
            ".spo-+1-2.tmp",
            ".spo-01-2.tmp",
            ".spo-1-2-3.tmp",
            ".spo-1-18446744073709551616.tmp",
            "spo-1-2.tmp",
        ] {
            assert_eq!(TempName::parse(name), None, "{name}");
        }
    }
}
