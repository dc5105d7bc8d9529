//! Plans for a cluster as it could be found, with verification by the library of our TLS.

mod laws;

use std::time::Duration;

use jiff::{SignedDuration, ToSpan as _};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::*;

const WEBHOOK: &str = "webhook-server-cert";
const METRICS: &str = "metrics-server-cert";

fn start() -> Timestamp {
    "2026-11-21T05:00:00.25Z".parse().unwrap()
}

fn days(count: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * count)
}

fn server(secret: &str, names: &[&str]) -> Serving {
    Serving {
        secret: secret.to_owned(),
        names: names.iter().map(|&name| name.to_owned()).collect(),
    }
}

fn wanted() -> Wanted {
    Wanted {
        serving: vec![
            server(WEBHOOK, &["webhook-service.spo.svc", "webhook-service.spo"]),
            server(METRICS, &["metrics.spo.svc"]),
        ],
    }
}

fn plan_now(found: &Found, now: Timestamp) -> Plan {
    plan_by(&Policy::default(), found, now)
}

fn plan_by(policy: &Policy, found: &Found, now: Timestamp) -> Plan {
    plan(found, &wanted(), now, policy).unwrap()
}

/// Writes what a plan says; keys of Secrets which are not ours stay.
fn apply(found: &mut Found, plan: &Plan) {
    if let Some(data) = &plan.authority {
        found.authority.get_or_insert_default().extend(data.clone());
    }
    for (secret, data) in &plan.serving {
        let found = found.serving.entry(secret.clone()).or_default();
        found.get_or_insert_default().extend(data.clone());
    }
}

/// A cluster in which everything was made at a time.
fn made(now: Timestamp) -> Found {
    let mut found = Found::default();
    let plan = plan_now(&found, now);
    apply(&mut found, &plan);
    found
}

fn ders(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    let blocks = pem::parse_many(pem).unwrap();
    blocks
        .into_iter()
        .map(|block| block.into_contents().into())
        .collect()
}

/// What a client which trusts the bundle says to a server.
fn verify(
    bundle: &str,
    pair: &SecretData,
    name: &str,
    now: Timestamp,
) -> Result<(), webpki::Error> {
    let trusted = ders(bundle.as_bytes());
    let anchors: Vec<_> = trusted
        .iter()
        .map(|der| webpki::anchor_from_trusted_cert(der).unwrap())
        .collect();
    let shown = ders(&pair[CERTIFICATE]);
    let server = webpki::EndEntityCert::try_from(&shown[0])?;
    let seconds = u64::try_from(now.as_second()).unwrap();
    server.verify_for_usage(
        &[webpki::ring::ECDSA_P256_SHA256],
        &anchors,
        &[],
        UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
        webpki::KeyUsage::server_auth(),
        None,
        None,
    )?;
    server.verify_is_valid_for_subject_name(&ServerName::try_from(name).unwrap())
}

fn pair(found: &Found, secret: &str) -> SecretData {
    found.serving[secret].clone().unwrap()
}

/// A change to a cluster which was made at `start`, and for what reasons something is written
/// then. Afterwards everything is good.
fn check(change: impl FnOnce(&mut Found), now: Timestamp, reasons: &[&str]) -> Plan {
    let mut found = made(start());
    change(&mut found);
    let plan = plan_now(&found, now);
    assert_eq!(plan.reasons, reasons);
    assert_eq!(plan.is_empty(), reasons.is_empty());
    apply(&mut found, &plan);
    assert_good(&found, now);
    plan
}

fn assert_good(found: &Found, now: Timestamp) {
    let plan = plan_now(found, now);
    assert!(plan.is_empty(), "{:?}", plan.reasons);
    assert!(plan.next_check > now);
    for server in wanted().serving {
        for name in &server.names {
            let pair = pair(found, &server.secret);
            assert_eq!(verify(&plan.bundle, &pair, name, now), Ok(()), "{name}");
            assert_eq!(pair[SERVING_BUNDLE], plan.bundle.as_bytes());
        }
    }
    assert_eq!(
        found.authority.as_ref().unwrap()[BUNDLE],
        plan.bundle.as_bytes()
    );
}

#[test]
fn everything_is_made_in_an_empty_cluster() {
    let mut found = Found::default();
    let plan = plan_now(&found, start());
    let expected = [
        "authority: there is none",
        "secret webhook-server-cert: there is none",
        "secret metrics-server-cert: there is none",
    ];
    assert_eq!(plan.reasons, expected);
    apply(&mut found, &plan);
    assert_good(&found, start());
}

#[test]
fn nothing_is_written_when_all_is_well() {
    check(|_| {}, start(), &[]);
    check(|_| {}, start() + days(59), &[]);
}

#[test]
fn a_plan_is_good_for_a_day_or_until_the_next_renewal() {
    let plan = check(|_| {}, start(), &[]);
    assert_eq!(plan.next_check, start() + days(1));
    let mut found = Found::default();
    let policy = Policy {
        check_every: days(1000),
        ..Policy::default()
    };
    let plan = plan_by(&policy, &found, start());
    apply(&mut found, &plan);
    let due = plan.next_check;
    assert!(
        (start() + days(59)..start() + days(60)).contains(&due),
        "{due}"
    );
    let empty_at = |now| plan_by(&policy, &found, now).is_empty();
    assert!(empty_at(due - 1.second()));
    assert!(!empty_at(due));
}

#[test]
fn a_server_is_renewed_when_a_third_is_left() {
    let plan = check(
        |_| {},
        start() + days(60),
        &[
            "secret webhook-server-cert: at most a third of its life is left",
            "secret metrics-server-cert: at most a third of its life is left",
        ],
    );
    assert!(plan.authority.is_none());
}

#[test]
fn an_authority_is_renewed_when_a_third_is_left_and_the_old_one_stays_trusted() {
    let mut found = made(start());
    // Servers were renewed until then.
    let before = start() + days(480);
    let plan = plan_now(&found, before);
    apply(&mut found, &plan);
    assert_good(&found, before);
    let old = found.clone();

    let now = start() + days(488);
    let plan = plan_now(&found, now);
    assert_eq!(
        plan.reasons,
        [
            "authority: at most a third of its life is left",
            "secret webhook-server-cert: another authority signed it",
            "secret metrics-server-cert: another authority signed it",
        ]
    );
    apply(&mut found, &plan);
    assert_good(&found, now);
    let trusted = ders(plan.bundle.as_bytes());
    assert_eq!(trusted.len(), 2);
    assert_eq!(
        trusted[0],
        ders(&found.authority.as_ref().unwrap()[CERTIFICATE])[0]
    );
    let name = "metrics.spo.svc";
    assert_eq!(
        verify(&plan.bundle, &pair(&old, METRICS), name, now),
        Ok(())
    );
    // The other way round, which is why the bundle goes out first.
    let old_bundle = plan_now(&old, before).bundle;
    assert!(verify(&old_bundle, &pair(&found, METRICS), name, now).is_err());
}

#[test]
fn an_authority_leaves_the_bundle_when_it_expires() {
    let mut found = made(start());
    let rotated = start() + days(500);
    let plan = plan_now(&found, rotated);
    apply(&mut found, &plan);
    let policy = Policy {
        check_every: days(5000),
        serving_life: days(900),
        ..Policy::default()
    };
    // Servers are made anew so that the next thing to happen is the expiry.
    found.serving.clear();
    let plan = plan_by(&policy, &found, rotated);
    apply(&mut found, &plan);
    let expiry = start() + days(730);
    assert_eq!(
        plan.next_check,
        Timestamp::from_second(expiry.as_second()).unwrap()
    );
    let before = found.clone();
    let plan = plan_by(&policy, &found, expiry);
    assert_eq!(
        plan.reasons,
        [
            "authority: the bundle changed",
            "secret webhook-server-cert: the bundle changed",
            "secret metrics-server-cert: the bundle changed",
        ]
    );
    assert_eq!(ders(plan.bundle.as_bytes()).len(), 1);
    apply(&mut found, &plan);
    assert_eq!(pair(&found, METRICS)[KEY], pair(&before, METRICS)[KEY]);
}

#[test]
fn a_server_never_outlives_its_authority() {
    let policy = Policy {
        serving_life: days(800),
        check_every: days(5000),
        ..Policy::default()
    };
    let mut found = made(start());
    found.serving.clear();
    let now = start() + days(100);
    let plan = plan_by(&policy, &found, now);
    apply(&mut found, &plan);
    let end = |pem: &SecretData| Certificate::read(pem, CERTIFICATE).unwrap().span.end;
    assert_eq!(
        end(&pair(&found, METRICS)),
        end(found.authority.as_ref().unwrap())
    );
    assert!(plan_by(&policy, &found, now).is_empty());
}

#[test]
fn a_server_whose_names_changed_gets_a_new_certificate() {
    let mut found = made(start());
    let mut wanted = wanted();
    // In another order and spelling they are the same.
    wanted.serving[0].names = vec![
        "Webhook-Service.spo".into(),
        "webhook-service.spo.svc".into(),
    ];
    wanted.serving[1].names.push("metrics".into());
    let plan = plan(&found, &wanted, start(), &Policy::default()).unwrap();
    assert_eq!(
        plan.reasons,
        ["secret metrics-server-cert: the names changed"]
    );
    apply(&mut found, &plan);
    assert_eq!(
        verify(&plan.bundle, &pair(&found, METRICS), "metrics", start()),
        Ok(())
    );
    assert!(verify(&plan.bundle, &pair(&found, METRICS), "other", start()).is_err());
}

#[test]
fn what_does_not_fit_together_is_made_anew() {
    let now = start();
    let metrics = |change: fn(&mut SecretData)| {
        move |found: &mut Found| {
            change(found.serving.get_mut(METRICS).unwrap().as_mut().unwrap());
        }
    };
    let garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(pem::parse(garbage).is_ok());
    let unreadable = ["secret metrics-server-cert: tls.crt is not a certificate"];
    let other_key = ["secret metrics-server-cert: tls.key is not the key of tls.crt"];
    check(metrics(SecretData::clear), now, &unreadable);
    check(
        metrics(|data| drop(data.insert(CERTIFICATE.into(), vec![0xff; 9]))),
        now,
        &unreadable,
    );
    check(
        |found| {
            let data = found.serving.get_mut(METRICS).unwrap().as_mut().unwrap();
            data.insert(CERTIFICATE.into(), garbage.to_vec());
        },
        now,
        &unreadable,
    );
    check(metrics(|data| drop(data.remove(KEY))), now, &other_key);
    check(
        |found| {
            let key = pair(found, WEBHOOK)[KEY].clone();
            let data = found.serving.get_mut(METRICS).unwrap().as_mut().unwrap();
            data.insert(KEY.into(), key);
        },
        now,
        &other_key,
    );
    check(
        metrics(|data| drop(data.remove(SERVING_BUNDLE))),
        now,
        &["secret metrics-server-cert: the bundle changed"],
    );
    check(
        |found| drop(found.serving.insert(METRICS.into(), None)),
        now,
        &["secret metrics-server-cert: there is none"],
    );
    // Our reader of PEM passes over this, others do not.
    check(
        metrics(|data| {
            let key = String::from_utf8(data[KEY].clone()).unwrap();
            data.insert(
                KEY.into(),
                key.replace("PRIVATE KEY", "ANY KEY").into_bytes(),
            );
        }),
        now,
        &["secret metrics-server-cert: its text was changed"],
    );
    check(
        |found| {
            found
                .authority
                .as_mut()
                .unwrap()
                .get_mut(CERTIFICATE)
                .unwrap()
                .push(b'-')
        },
        now,
        &["authority: its text was changed"],
    );
    // The certificate of an authority is none of a server.
    check(
        |found| {
            let authority = found.authority.clone();
            found.serving.insert(METRICS.into(), authority);
        },
        now,
        &["secret metrics-server-cert: tls.crt is not for a server"],
    );
}

#[test]
fn an_authority_which_lost_its_key_is_replaced_and_stays_trusted() {
    let plan = check(
        |found| drop(found.authority.as_mut().unwrap().remove(KEY)),
        start(),
        &[
            "authority: tls.key is not the key of tls.crt",
            "secret webhook-server-cert: another authority signed it",
            "secret metrics-server-cert: another authority signed it",
        ],
    );
    assert_eq!(ders(plan.bundle.as_bytes()).len(), 2);
}

#[test]
fn what_others_made_is_neither_used_nor_trusted() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let foreign = params.self_signed(&key).unwrap().pem();
    let plan = check(
        |found| {
            let data = found.authority.as_mut().unwrap();
            data.insert(CERTIFICATE.into(), foreign.clone().into_bytes());
            data.insert(KEY.into(), key.serialize_pem().into_bytes());
            data.get_mut(BUNDLE).unwrap().extend(foreign.as_bytes());
        },
        start(),
        &[
            "authority: tls.crt is not an authority which was made here",
            "secret webhook-server-cert: another authority signed it",
            "secret metrics-server-cert: another authority signed it",
        ],
    );
    assert_eq!(ders(plan.bundle.as_bytes()).len(), 2);
    assert!(!plan.bundle.contains(&foreign));
}

#[test]
fn a_damaged_authority_which_only_some_can_read_is_not_trusted() {
    let found = made(start());
    let data = found.authority.as_ref().unwrap();
    let whole = pem::parse(&data[CERTIFICATE]).unwrap();
    let refused =
        |der: &[u8]| webpki::anchor_from_trusted_cert(&CertificateDer::from(der)).is_err();
    assert!(!refused(whole.contents()));
    let mut lenient = 0;
    for at in 0..whole.contents().len() {
        let mut der = whole.contents().to_vec();
        der[at] ^= 1;
        lenient += usize::from(refused(&der) && Certificate::parse(der.clone()).is_some());
        let mut found = found.clone();
        let block = pem::encode(&pem::Pem::new("CERTIFICATE", der));
        let data = found.authority.as_mut().unwrap();
        data.get_mut(BUNDLE).unwrap().extend(block.as_bytes());
        data.insert(CERTIFICATE.into(), block.into_bytes());
        let plan = plan_now(&found, start());
        // The new one, and what was whole in the bundle.
        assert_eq!(ders(plan.bundle.as_bytes()).len(), 2, "byte {at}");
    }
    assert!(lenient > 0, "every reader refuses all of them");
}

#[test]
fn a_lost_bundle_is_published_again() {
    check(
        |found| drop(found.authority.as_mut().unwrap().remove(BUNDLE)),
        start(),
        &["authority: the bundle changed"],
    );
}

#[test]
fn a_clock_which_jumps_back_costs_at_most_one_write() {
    check(|_| {}, start() - 4.minutes(), &[]);
    let mut found = made(start());
    for (back, writes) in [(2 * 60, 2), (50 * 60, 3)] {
        let then = start() - SignedDuration::from_mins(back);
        let plan = plan_now(&found, then);
        let written = plan.serving.len() + usize::from(plan.authority.is_some());
        assert_eq!(written, writes, "{:?}", plan.reasons);
        apply(&mut found, &plan);
        // And forth and back again.
        for now in [start(), then, start() + days(1), then - 4.minutes()] {
            assert_good(&found, now);
        }
    }
}

#[test]
fn the_bundle_stays_small_when_the_clock_goes_wild() {
    let mut found = made(start());
    let mut now = start();
    for _ in 0..12 {
        now -= days(2);
        let plan = plan_now(&found, now);
        apply(&mut found, &plan);
        assert_good(&found, now);
    }
    assert_eq!(ders(&found.authority.unwrap()[BUNDLE]).len(), 8);
}

#[test]
fn two_authorities_never_have_one_name() {
    let name = |found: &Found| {
        let data = found.authority.as_ref().unwrap();
        Certificate::read(data, CERTIFICATE).unwrap().common_name
    };
    let (first, second) = (name(&made(start())), name(&made(start())));
    assert!(
        first
            .as_ref()
            .unwrap()
            .starts_with("security-profiles-operator-ca-")
    );
    assert_ne!(first, second);
}

#[test]
fn what_can_not_be_wanted_is_an_error() {
    let check = |servers: &[Serving], now: Timestamp, expected: &str| {
        let wanted = Wanted {
            serving: servers.to_vec(),
        };
        let error = plan(&Found::default(), &wanted, now, &Policy::default()).err();
        assert_eq!(error.unwrap().to_string(), expected);
    };
    check(
        &[server("a", &[])],
        start(),
        "secret a: it has no DNS names, give at least one",
    );
    for name in [
        "",
        "a..b",
        "a_b",
        "-a",
        "ä",
        "10.0.0.1/8",
        "*.a",
        &"a".repeat(64),
    ] {
        let expected = format!(
            "secret a: {name:?} is not a DNS name of lower-case letters, digits and dashes"
        );
        check(&[server("a", &[name])], start(), &expected);
    }
    let twice = [server("a", &["a"]), server("a", &["b"])];
    check(
        &twice,
        start(),
        "secret a is wanted twice, give each server its own",
    );
    check(
        &[],
        Timestamp::MAX,
        "the clock shows 9999-12-30T22:00:00.999999999Z, set it: certificates are made between \
         1970 and 9000",
    );
}

#[test]
fn a_name_too_long_for_a_common_name_is_certified_all_the_same() {
    let long = format!("metrics.{}.svc", "n".repeat(63));
    let wanted = Wanted {
        serving: vec![server(METRICS, &[&long])],
    };
    let mut found = Found::default();
    let plan = plan(&found, &wanted, start(), &Policy::default()).unwrap();
    apply(&mut found, &plan);
    assert_eq!(
        verify(&plan.bundle, &pair(&found, METRICS), &long, start()),
        Ok(())
    );
}
