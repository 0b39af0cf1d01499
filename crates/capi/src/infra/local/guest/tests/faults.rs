//! What goes wrong on purpose, and how a guest goes on.

use std::time::Duration;

use api::infrastructure::local_machine::{BootPhase, PhaseFault};
use expect_test::expect;

use super::super::{Disk, Failure, Progress, boot};
use super::{
    INIT, JOIN_COMMANDS, Shared, authorities, data, document, hardware, init_document, initialized,
    join_configuration,
};
use crate::pki::{self, Purpose};
use crate::testing::now;

fn fault(phase: BootPhase) -> PhaseFault {
    PhaseFault {
        phase,
        ..PhaseFault::default()
    }
}

/// A worker that joins with these faults, and how long that takes.
async fn join(progress: &Progress) -> (Result<Disk, Failure>, Duration) {
    let authorities = authorities();
    let host = initialized(&authorities).await;
    let hash = pki::public_key_hash(&authorities[&Purpose::Cluster].cert).unwrap();
    let configuration = join_configuration(&hash, "");
    let path = "/run/kubeadm/kubeadm-join-config.yaml";
    let document = document(&[(path, configuration)], &JOIN_COMMANDS);
    let begin = tokio::time::Instant::now();
    let booted = boot(&host, &hardware(), &data(&document), progress, now()).await;
    (booted, begin.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_join_that_failed_is_tried_again() {
    let lost = PhaseFault {
        failure: Some("no route to host".to_owned()),
        failures: Some(2),
        ..fault(BootPhase::Discovery)
    };
    let progress = Progress::new("m", vec![lost], None);
    let (booted, took) = join(&progress).await;
    let console = booted.unwrap().console;
    let lines: Vec<_> = console
        .lines()
        .filter(|line| {
            ["error", "Attempt", "+ kubeadm", "injected"]
                .iter()
                .any(|w| line.starts_with(w))
        })
        .collect();
    expect![[r#"
        + kubeadm join --config /run/kubeadm/kubeadm-join-config.yaml
        error: kubeadm join: injected fault: no route to host
        Attempt 1 of 5 failed, the next one begins in 10s
        + kubeadm join, attempt 2 of 5
        error: kubeadm join: injected fault: no route to host
        Attempt 2 of 5 failed, the next one begins in 20s
        + kubeadm join, attempt 3 of 5"#]]
    .assert_eq(&lines.join("\n"));
    assert_eq!(took.as_secs(), 30);
    assert!(
        progress
            .trouble()
            .unwrap()
            .contains("Attempt 2 of 5 failed")
    );
}

#[tokio::test(start_paused = true)]
async fn a_join_is_not_tried_for_ever() {
    let never = PhaseFault {
        failure: Some("no route to host".to_owned()),
        ..fault(BootPhase::Discovery)
    };
    let (booted, took) = join(&Progress::new("m", vec![never], None)).await;
    let failure = booted.unwrap_err();
    assert_eq!(
        failure.message,
        "kubeadm join: injected fault: no route to host"
    );
    assert_eq!(took.as_secs(), 10 + 20 + 40 + 80);
}

#[tokio::test(start_paused = true)]
async fn an_init_is_tried_once() {
    let broken = PhaseFault {
        failure: Some("no space left".to_owned()),
        failures: Some(1),
        ..fault(BootPhase::ControlPlane)
    };
    let progress = Progress::new("m", vec![broken], None);
    let document = init_document(&authorities(), INIT);
    let booted = boot(
        &Shared::default(),
        &hardware(),
        &data(&document),
        &progress,
        now(),
    )
    .await;
    let failure = booted.unwrap_err();
    assert_eq!(
        failure.message,
        "kubeadm init: injected fault: no space left"
    );
}

#[tokio::test(start_paused = true)]
async fn phases_take_longer_hang_and_lose_requests() {
    let slow = PhaseFault {
        delay_seconds: Some(70),
        ..fault(BootPhase::PowerOn)
    };
    let lossy = PhaseFault {
        loss_percent: Some(60),
        ..fault(BootPhase::Discovery)
    };
    let stuck = PhaseFault {
        hangs: Some(true),
        ..fault(BootPhase::Kubelet)
    };
    let progress = Progress::new("m", vec![slow.clone(), lossy, stuck], None);
    let helps = async {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(progress.phase(), Some(BootPhase::Kubelet));
        progress.set_faults(&[slow]);
    };
    let ((booted, took), ()) = tokio::join!(join(&progress), helps);
    let console = booted.unwrap().console;
    assert!(
        console.contains("injected fault: PowerOn takes 70s longer"),
        "{console}"
    );
    assert!(
        console.contains("injected fault: Kubelet hangs\nKubelet goes on"),
        "{console}"
    );
    assert_eq!(took.as_secs(), 3600);
}

#[tokio::test(start_paused = true)]
async fn no_secret_gets_onto_the_console() {
    let authorities = authorities();
    let host = initialized(&authorities).await;
    let hash = pki::public_key_hash(&authorities[&Purpose::Cluster].cert).unwrap();
    let path = "/run/kubeadm/kubeadm-join-config.yaml";
    let commands = [
        "echo token abcdef.0123456789abcdef of somebody",
        "kubeadm token create abcdef.0123456789abcdef",
        JOIN_COMMANDS[0],
    ];
    let document = document(&[(path, join_configuration(&hash, ""))], &commands);
    let progress = Progress::new("m", vec![], None);
    let booted = boot(&host, &hardware(), &data(&document), &progress, now()).await;
    let console = booted.unwrap().console;
    assert!(!console.contains("0123456789abcdef"), "{console}");
    assert!(
        console.contains("+ kubeadm token create [redacted]"),
        "{console}"
    );
}
