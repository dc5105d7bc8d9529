//! From the bytes of a source to records, and the count of what was not one.

use crate::frame::{self, Kind, Line, Source};
use crate::serial::Serials;

/// No record is longer: the kernel's limit is 8970 bytes (`MAX_AUDIT_MESSAGE_LENGTH`), and auditd
/// appends names.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

/// Reads the lines of one source.
///
/// It remembers two things from line to line: which serial numbers it has seen, and when the kernel
/// last printed text of a program. A container with `CAP_AUDIT_WRITE`, which runtimes give by
/// default, may send text with a line end in it; where no auditd runs the kernel prints it, and
/// what reads `/proc/kmsg` takes the second half for a line of its own, tag `kernel:` and all. Such
/// a line has the time of the line before, to the microsecond, and is not believed. (A host which
/// does not print times, `printk.time=0`, has no such protection: use the audit socket.)
#[derive(Debug, Clone)]
pub struct Reader {
    source: Source,
    program_text: Option<Printed>,
    serials: Serials,
    counts: Counts,
}

/// What became of the lines so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records of whatever type.
    pub records: u64,
    /// Lines which are none of the kernel's audit.
    pub other: u64,
    /// Lines longer than [`MAX_LINE_BYTES`].
    pub too_long: u64,
    /// Lines which a program put into the kernel log.
    pub forged: u64,
}

/// When the kernel printed a line: at most 22 bytes, kept without allocation.
#[derive(Debug, Clone, Copy)]
struct Printed {
    bytes: [u8; Self::MAX],
    len: usize,
}

impl Reader {
    /// A reader which has read nothing.
    pub fn new(source: Source) -> Self {
        Self {
            source,
            program_text: None,
            serials: Serials::default(),
            counts: Counts::default(),
        }
    }

    /// Reads one line, with or without its line end. `None` is counted.
    pub fn read<'a>(&mut self, line: &'a [u8]) -> Option<Line<'a>> {
        if line.len() > MAX_LINE_BYTES {
            self.counts.too_long += 1;
            return None;
        }
        let line = frame::line(self.source, line);
        self.note(line)
    }

    /// Reads one message of the audit socket: the type in its header, and what follows the header.
    pub fn read_message<'a>(&mut self, number: u16, text: &'a [u8]) -> Option<Line<'a>> {
        if text.len() > MAX_LINE_BYTES {
            self.counts.too_long += 1;
            return None;
        }
        let line = frame::message(number, text);
        self.note(line)
    }

    /// What became of the lines so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The gaps in the serial numbers so far.
    pub fn serials(&self) -> &Serials {
        &self.serials
    }

    fn note<'a>(&mut self, line: Option<Line<'a>>) -> Option<Line<'a>> {
        let Some(line) = line else {
            self.counts.other += 1;
            return None;
        };
        if let Some(printed) = line.printed {
            if self.program_text.is_some_and(|text| text.is(printed)) {
                self.counts.forged += 1;
                return None;
            }
            if matches!(line.kind, Kind::User | Kind::UserAvc) {
                self.program_text = Printed::at(printed);
            }
        }
        self.serials.observe(&line.stamp);
        self.counts.records += 1;
        Some(line)
    }
}

impl Printed {
    const MAX: usize = 24;

    fn at(time: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX];
        let len = time.len();
        bytes.get_mut(..len)?.copy_from_slice(time);
        Some(Self { bytes, len })
    }

    fn is(&self, time: &[u8]) -> bool {
        self.bytes.get(..self.len) == Some(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_read_is_counted() {
        let mut reader = Reader::new(Source::Auditd);
        let long = [b'a'; MAX_LINE_BYTES + 1];
        for line in [&b"type=EOE msg=audit(1.123:1): \n"[..], b"", b"x", &long] {
            reader.read(line);
        }
        reader.read(b"type=EOE msg=audit(1.123:200):");
        let expected = Counts {
            records: 2,
            other: 2,
            too_long: 1,
            forged: 0,
        };
        assert_eq!(reader.counts(), expected);
        assert_eq!(reader.serials().lost(), 135);
    }

    #[test]
    fn the_second_half_of_a_programs_text_is_no_line() {
        let mut reader = Reader::new(Source::Syslog);
        let mut read = |time: &str, number: u16| {
            let line = format!(
                "Nov 14 22:13:20 w kernel: [{time}] audit: type={number} audit(1.123:4): a=1"
            );
            reader.read(line.as_bytes()).is_some()
        };
        assert!(read("24539.641203", 1326));
        assert!(read("24539.641204", 1107));
        assert!(!read("24539.641204", 1326));
        assert!(!read("24539.641204", 1400));
        assert!(read("24539.641205", 1326));
        assert_eq!(reader.counts().forged, 2);
    }
}
