//! What a record says: a system call that a seccomp filter saw, or a decision of SELinux or
//! AppArmor.

use memchr::{memchr, memmem};

use crate::arch::Syscall;
use crate::field::Fields;
use crate::frame::{Kind, Line};
use crate::stamp::Stamp;
use crate::text::Text;

/// A record about a process, which borrows its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// When it was made, and its event.
    pub stamp: Stamp<'a>,
    /// The process that did it; for [`Reporter::Program`], the program that tells of it.
    pub pid: u32,
    /// Who says so.
    pub reporter: Reporter,
    /// What it did.
    pub detail: Detail<'a>,
}

/// Who vouches for the detail of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporter {
    /// The kernel.
    Kernel,
    /// A program with `CAP_AUDIT_WRITE`, which containers may have: anything may be a lie but the
    /// pid.
    Program,
}

/// What a record tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail<'a> {
    /// A seccomp filter saw a system call.
    Seccomp(Seccomp<'a>),
    /// SELinux denied, or granted where the policy says to tell.
    Selinux(Avc<'a>),
    /// AppArmor denied, allowed, or changed its state.
    AppArmor(AppArmor<'a>),
}

/// A system call that a seccomp filter saw (`audit_seccomp` in kernel/auditsc.c).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seccomp<'a> {
    /// The program file, as its mount namespace sees it.
    pub executable: Text<'a>,
    /// The field `arch`.
    pub arch: u32,
    /// The field `syscall`.
    pub number: u32,
    /// What the filter returned: `SECCOMP_RET_*` in include/uapi/linux/seccomp.h.
    pub code: u32,
    /// Both or none.
    pub owner: Option<Owner>,
}

/// The user and group of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Real user, as the first user namespace counts.
    pub uid: u32,
    /// Real group, likewise.
    pub gid: u32,
}

/// A decision of SELinux (`avc_audit_pre_callback` in security/selinux/avc.c).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avc<'a> {
    /// `denied` or `granted`.
    pub verdict: Text<'a>,
    /// Permissions, with a space between two.
    pub permissions: Text<'a>,
    /// The context of who wanted to.
    pub scontext: Text<'a>,
    /// The context of what it wanted to use.
    pub tcontext: Text<'a>,
    /// The class of what it wanted to use.
    pub tclass: Text<'a>,
    /// Whether it was let pass all the same.
    pub permissive: bool,
}

/// A decision of AppArmor (`audit_pre` in security/apparmor/audit.c).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppArmor<'a> {
    /// `DENIED`, `ALLOWED`, `AUDIT`, `STATUS`, `HINT`, `ERROR` or `KILLED`.
    pub verdict: Text<'a>,
    /// What was tried.
    pub operation: Text<'a>,
    /// The profile, or the stack of profiles (`a//&b`). Empty if the record has none.
    pub profile: Text<'a>,
    /// The object, most often a path. Empty if the record has none.
    pub name: Text<'a>,
    /// The name of the thread. Empty if the record has none.
    pub comm: Text<'a>,
    /// What follows the name of the thread, with `"` shown as `'`.
    pub extra: Text<'a>,
}

/// A record of a type we read, whose text is not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit record of type {kind:?} has no field {field} that can be read")]
pub struct Malformed {
    /// The type of the record.
    pub kind: Kind,
    /// The first field that is missing.
    pub field: &'static str,
}

impl<'a> Line<'a> {
    /// What the record says, if it is of a type that we read.
    pub fn record(&self) -> Result<Option<Record<'a>>, Malformed> {
        let (pid, reporter, found) = match self.kind {
            Kind::Seccomp => (None, Reporter::Kernel, Some(seccomp(self.body))),
            Kind::Avc => (None, Reporter::Kernel, decision(self.body)),
            Kind::UserAvc => {
                let (pid, text) = program(self.body);
                (Some(pid), Reporter::Program, text.and_then(decision))
            }
            Kind::Syscall
            | Kind::Path
            | Kind::Cwd
            | Kind::Proctitle
            | Kind::EndOfEvent
            | Kind::User
            | Kind::Other => return Ok(None),
        };
        let missing = |field| Malformed {
            kind: self.kind,
            field,
        };
        let Some(found) = found else {
            return Ok(None);
        };
        let (named, detail) = found.map_err(missing)?;
        // What a program says of processes is not believed; the kernel says which program it is.
        let pid = pid.unwrap_or(named).ok_or(missing("pid"))?;
        Ok(Some(Record {
            stamp: self.stamp,
            pid,
            reporter,
            detail,
        }))
    }
}

/// The process, if the text names one, and what it did; or the name of a field that is missing.
type Found<'a> = Result<(Option<u32>, Detail<'a>), &'static str>;

/// `auid= uid= gid= ses= [subj=] pid= comm= exe= sig= arch= syscall= compat= ip= code=`
///
/// The one foreign value without quotes is the AppArmor label of `subj`, in which spaces, quotes and
/// whole fields may stand. After it there is no space but between fields, so that the last ` pid=`
/// is the real one; and of what precedes it the first counts.
fn seccomp(body: &[u8]) -> Found<'_> {
    let is_pid = |at: &usize| body.get(..*at).is_some_and(|head| head.ends_with(b" pid"));
    let (head, tail) = memchr::memrchr_iter(b'=', body)
        .find(is_pid)
        .and_then(|at| body.split_at_checked(at.checked_sub(b" pid".len())?))
        .ok_or("pid")?;
    let (mut uid, mut gid) = (None, None);
    for (key, value) in Fields::of(head) {
        match key {
            b"uid" => uid = uid.or(value.number()),
            b"gid" => gid = gid.or(value.number()),
            b"subj" => break,
            _ => {}
        }
    }
    let (mut pid, mut executable, mut arch, mut number, mut code) = (None, None, None, None, None);
    for (key, value) in Fields::of(tail) {
        match key {
            b"pid" => pid = value.number(),
            b"exe" => executable = Some(value.text()),
            b"arch" => arch = value.hexadecimal(),
            b"syscall" => number = value.number(),
            b"code" => code = value.hexadecimal(),
            _ => {}
        }
    }
    let detail = Detail::Seccomp(Seccomp {
        executable: executable.ok_or("exe")?,
        arch: arch.ok_or("arch")?,
        number: number.ok_or("syscall")?,
        code: code.ok_or("code")?,
        owner: uid.zip(gid).map(|(uid, gid)| Owner { uid, gid }),
    });
    Ok((pid, detail))
}

/// A decision of whichever module made it: SELinux begins with `avc:`, AppArmor with `apparmor=`.
/// Others (Smack) are not ours.
fn decision(body: &[u8]) -> Option<Found<'_>> {
    if let Some(rest) = body.strip_prefix(b"avc:") {
        return Some(selinux(rest));
    }
    body.starts_with(b"apparmor=").then(|| app_armor(body))
}

/// `  VERDICT  { PERMISSIONS } for  pid= comm= … scontext= tcontext= tclass= [permissive=]`
fn selinux(body: &[u8]) -> Found<'_> {
    let (verdict, permissions, rest) = permissions(body).ok_or("{ }")?;
    let (mut pid, mut scontext, mut tcontext, mut tclass) = (None, None, None, None);
    let mut permissive = false;
    for (key, value) in Fields::of(rest) {
        match key {
            b"pid" => pid = pid.or(value.number()),
            b"scontext" => scontext = scontext.or(value.word()),
            b"tcontext" => tcontext = tcontext.or(value.word()),
            b"tclass" => tclass = tclass.or(value.word()),
            b"permissive" => permissive = value.number() == Some(1),
            _ => {}
        }
    }
    let detail = Detail::Selinux(Avc {
        verdict: Text::plain(verdict),
        permissions: Text::plain(permissions),
        scontext: Text::plain(scontext.ok_or("scontext")?),
        tcontext: Text::plain(tcontext.ok_or("tcontext")?),
        tclass: Text::plain(tclass.ok_or("tclass")?),
        permissive,
    });
    Ok((pid, detail))
}

/// The verdict, the permissions and what follows them.
fn permissions(body: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (verdict, rest) = body.split_at_checked(memchr(b'{', body)?)?;
    let rest = rest.get(1..)?;
    let (permissions, rest) = rest.split_at_checked(memchr(b'}', rest)?)?;
    let verdict = verdict.trim_ascii();
    let is_word = !verdict.is_empty() && verdict.iter().all(u8::is_ascii_lowercase);
    is_word.then_some((verdict, permissions.trim_ascii(), rest.get(1..)?))
}

/// `apparmor= operation= [class=] [info= error=] [namespace=] [profile=|label=] [name=] pid= comm= …`
fn app_armor(body: &[u8]) -> Found<'_> {
    let (mut verdict, mut operation, mut profile, mut name) = (None, None, None, None);
    let (mut pid, mut comm, mut extra) = (None, None, &b""[..]);
    let mut fields = Fields::of(body);
    while let Some((key, value)) = fields.next() {
        match key {
            b"apparmor" => verdict = verdict.or(Some(value.text())),
            b"operation" => operation = operation.or(Some(value.text())),
            b"profile" | b"label" => profile = profile.or(Some(value.text())),
            b"name" => name = name.or(Some(value.text())),
            b"pid" => pid = pid.or(value.number()),
            b"comm" => {
                comm = Some(value.text());
                extra = fields.rest();
                break;
            }
            _ => {}
        }
    }
    let none = Text::plain(b"");
    let detail = Detail::AppArmor(AppArmor {
        verdict: verdict.ok_or("apparmor")?,
        operation: operation.unwrap_or(none),
        profile: profile.unwrap_or(none),
        name: name.unwrap_or(none),
        comm: comm.unwrap_or(none),
        extra: Text::with_single_quotes(extra),
    });
    Ok((pid, detail))
}

/// `pid= uid= auid= ses= [subj=] msg='TEXT'`: the pid, for which the kernel vouches, and the text.
fn program(body: &[u8]) -> (Option<u32>, Option<&[u8]>) {
    let pid = Fields::of(body)
        .next()
        .filter(|(key, _)| *key == b"pid")
        .and_then(|(_, value)| value.number());
    let text = memmem::find(body, b" msg='").and_then(|at| body.get(at + 6..));
    (
        pid,
        text.map(|text| text.strip_suffix(b"'").unwrap_or(text)),
    )
}

impl Seccomp<'_> {
    /// The system call, for who looks up its name.
    pub fn syscall(&self) -> Syscall {
        Syscall::new(self.arch, self.number)
    }

    /// What the filter decided, by the names of seccomp(2).
    pub fn action(&self) -> &'static str {
        match self.code & 0xffff_0000 {
            0x8000_0000 => "kill_process",
            0x0000_0000 => "kill_thread",
            0x0003_0000 => "trap",
            0x0005_0000 => "errno",
            0x7fc0_0000 => "user_notif",
            0x7ff0_0000 => "trace",
            0x7ffc_0000 => "log",
            0x7fff_0000 => "allow",
            _ => "unknown",
        }
    }
}
