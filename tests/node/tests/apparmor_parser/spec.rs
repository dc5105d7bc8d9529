//! Arbitrary profiles which are in order.

use proptest::collection::{btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use spo_api::apparmor_profile::rules::{
    FileAccess, FileRule, Mount, MountRule, Ptrace, PtraceAccess, PtraceRule, Signal, SignalAccess,
    SignalRule, Transition, Unix, UnixAccess, UnixRule, UnixType,
};
use spo_api::apparmor_profile::{
    Abstract, AllowedProtocols, AppArmorProfileSpec, Capability, Executable, Filesystem, Mode,
    Network,
};

pub(crate) const NAME: &str = "subject";

/// A path of the contracted lists.
fn path() -> impl Strategy<Value = String> {
    let part = "[a-zA-Z0-9_*?+@-][a-zA-Z0-9_.*?+@ -]{0,6}";
    vec(part, 1..4).prop_map(|parts| format!("/{}", parts.join("/")))
}

/// A pattern of the new lists.
fn glob() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-zA-Z0-9_.+@:=~%#!'();&<>$^| -]{1,4}",
        select(vec!["*", "**", "?", "/", "a,b"]).prop_map(str::to_owned),
        select(vec![r"\*", r"\?", r"\[", r"\]", r"\{", r"\}", r"\,", r"\\"])
            .prop_map(str::to_owned),
        r"\[\^?([a-f]-[g-z]|[0-4]-[5-9]|[a-zA-Z0-9_.,:@+=~%]){1,3}\]",
    ];
    let inner = leaf.clone().prop_recursive(2, 8, 3, |inner| {
        // One of the texts may be empty.
        (vec(inner, 1..3), any::<bool>()).prop_map(|(texts, is_empty)| {
            let texts = texts.into_iter().map(|text| format!("y{text}"));
            let mut texts: Vec<String> = texts.collect();
            texts.push(if is_empty { "" } else { "z" }.to_owned());
            format!("{{{}}}", texts.join(","))
        })
    });
    (vec(inner, 0..4), any::<bool>()).prop_map(|(parts, is_directory)| {
        let end = if is_directory { "/" } else { "" };
        format!("/p{}{end}", parts.join(""))
    })
}

fn file_rule() -> impl Strategy<Value = FileRule> {
    use FileAccess::{Append, Link, Lock, Map, Read, Write};
    let access = subsequence(vec![Read, Write, Append, Map, Lock, Link], 1..=6);
    (glob(), access).prop_map(|(path, access)| FileRule { path, access })
}

fn label() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9_./*?-]{1,8}",
        select(vec![
            "unconfined",
            "@{profile_name}",
            "@{profile_name}//a",
            "**"
        ])
        .prop_map(str::to_owned),
    ]
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("none".to_owned()),
        "@[a-zA-Z0-9_./*?: ,#=-]{1,8}",
        "@[a-z]{1,3}(\\[a-f\\]|\\{a,b\\})",
    ]
}

fn mount_rule() -> impl Strategy<Value = MountRule> {
    let plain = vec![
        "ro", "nosuid", "nodev", "noexec", "sync", "remount", "relatime",
    ];
    let operation = vec!["bind", "rbind", "move", "make-private", "make-rshared"];
    let fs_types = btree_set("[a-z0-9]{1,5}(\\.[a-z]{1,3})?", 0..3);
    let source = prop_oneof![glob(), "[a-zA-Z0-9_.-]{1,6}"];
    (
        subsequence(plain, 0..4),
        of(select(operation)),
        fs_types,
        of(source),
        of(glob()),
    )
        .prop_map(|(plain, operation, fs_types, source, target)| {
            let options = plain.into_iter().chain(operation);
            MountRule {
                options: options.map(str::to_owned).collect(),
                fs_types: match operation {
                    None => fs_types.into_iter().collect(),
                    Some(_) => vec![],
                },
                source: source.filter(|_| !operation.is_some_and(|it| it.starts_with("make-"))),
                target,
            }
        })
}

fn signal_rule() -> impl Strategy<Value = SignalRule> {
    let names = vec![
        "hup", "term", "exists", "emt", "stkflt", "rtmin+0", "rtmin+32",
    ];
    let access = subsequence(vec![SignalAccess::Send, SignalAccess::Receive], 1..=2);
    (access, subsequence(names, 0..4), of(label())).prop_map(|(access, signals, peer)| SignalRule {
        access,
        signals: signals.into_iter().map(str::to_owned).collect(),
        peer,
    })
}

fn ptrace_rule() -> impl Strategy<Value = PtraceRule> {
    use PtraceAccess::{Read, ReadBy, Trace, TracedBy};
    let access = subsequence(vec![Read, Trace, ReadBy, TracedBy], 1..=4);
    (access, of(label())).prop_map(|(access, peer)| PtraceRule { access, peer })
}

fn unix_rule() -> impl Strategy<Value = UnixRule> {
    use UnixAccess::{
        Accept, Bind, Connect, Create, GetAttr, GetOpt, Listen, Receive, Send, SetAttr, SetOpt,
        Shutdown,
    };
    let kinds = select(vec![UnixType::Stream, UnixType::Dgram, UnixType::Seqpacket]);
    let local = vec![
        Create, Bind, Listen, Shutdown, GetAttr, SetAttr, GetOpt, SetOpt,
    ];
    let own = subsequence(local, 1..8).prop_map(|access| (access, None, None));
    let with_peer = (
        subsequence(vec![Accept, Connect, Send, Receive], 1..=4),
        of(label()),
        of(address()),
    );
    (prop_oneof![own, with_peer], of(kinds), of(address())).prop_map(
        |((access, peer, peer_address), r#type, address)| UnixRule {
            access,
            r#type,
            address,
            peer,
            peer_address,
        },
    )
}

fn executable() -> impl Strategy<Value = Executable> {
    let transition = ("/t/[a-z0-9+@_. -]{1,6}", "[a-zA-Z0-9_./-]{1,8}");
    let transition = transition.prop_map(|(path, profile)| Transition { path, profile });
    (
        vec(path(), 0..3),
        vec(path(), 0..3),
        vec(glob(), 0..2),
        of(transition),
    )
        .prop_map(|(programs, libraries, denied, transition)| Executable {
            allowed_executables: programs,
            allowed_libraries: libraries,
            denied_executables: denied,
            transitions: transition.into_iter().collect(),
        })
}

fn filesystem() -> impl Strategy<Value = Filesystem> {
    (
        vec(path(), 0..3),
        vec(path(), 0..3),
        vec(path(), 0..3),
        vec(file_rule(), 0..3),
        vec(file_rule(), 0..3),
    )
        .prop_map(|(read, write, both, allowed, denied)| Filesystem {
            read_only_paths: read,
            write_only_paths: write,
            read_write_paths: both,
            allowed_paths: allowed,
            denied_paths: denied,
        })
}

fn network() -> impl Strategy<Value = Network> {
    any::<(Option<bool>, Option<bool>, Option<bool>)>().prop_map(|(raw, tcp, udp)| Network {
        allow_raw: raw,
        allowed_protocols: Some(AllowedProtocols {
            allow_tcp: tcp,
            allow_udp: udp,
        }),
    })
}

pub(crate) fn specs() -> impl Strategy<Value = AppArmorProfileSpec> {
    let capabilities = vec!["chown", " SYS_ADMIN ", "sys_rawio", "setuid"];
    let mount = (vec(mount_rule(), 0..3), vec(glob(), 0..2));
    (
        select(vec![Mode::Enforce, Mode::Complain]),
        of(executable()),
        of(filesystem()),
        of(network()),
        subsequence(capabilities, 0..=4),
        mount,
        vec(signal_rule(), 0..3),
        vec(ptrace_rule(), 0..3),
        vec(unix_rule(), 0..3),
    )
        .prop_map(
            |(
                mode,
                executable,
                filesystem,
                network,
                capabilities,
                mount,
                signals,
                traces,
                sockets,
            )| {
                AppArmorProfileSpec {
                    mode,
                    r#abstract: Some(Abstract {
                        executable,
                        filesystem,
                        network,
                        capability: Some(Capability {
                            allowed_capabilities: capabilities
                                .into_iter()
                                .map(str::to_owned)
                                .collect(),
                        }),
                        mount: Some(Mount {
                            allowed_mounts: mount.0,
                            allowed_unmounts: mount.1,
                        }),
                        signal: Some(Signal {
                            allowed_signals: signals,
                        }),
                        ptrace: Some(Ptrace {
                            allowed_traces: traces,
                        }),
                        unix: Some(Unix {
                            allowed_sockets: sockets,
                        }),
                    }),
                    ..AppArmorProfileSpec::default()
                }
            },
        )
}
