//! What happens to a fleet: what its users change, and what befalls it.

use rand::Rng;
use rand::rngs::StdRng;

use super::monitor::Bounds;

/// What is wanted of the fleet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shape {
    pub control_plane: usize,
    pub workers: usize,
    pub surge: usize,
    pub unavailable: usize,
    /// Patch number of the versions of control plane and workers.
    pub control_plane_patch: u32,
    pub workers_patch: u32,
}

/// One change.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Begin {
        control_plane: usize,
        workers: usize,
        surge: usize,
        unavailable: usize,
    },
    ScaleWorkers(usize),
    ScaleControlPlane(usize),
    UpgradeControlPlane,
    UpgradeWorkers,
    /// All workers are made anew.
    RollWorkers,
    /// A worker falls silent; a health check has it replaced.
    WorkerHangs,
    /// So does a machine of the control plane.
    ControlPlaneHangs,
    /// Somebody deletes a worker.
    WorkerIsDeleted,
}

impl Step {
    /// A change that makes sense for a fleet of this shape.
    pub(super) fn random(rng: &mut StdRng, shape: Shape) -> Self {
        loop {
            let step = match rng.random_range(0..9) {
                0 | 1 => Self::ScaleWorkers(rng.random_range(0..5)),
                2 => Self::ScaleControlPlane(if shape.control_plane == 1 { 3 } else { 1 }),
                3 => Self::UpgradeControlPlane,
                4 => Self::UpgradeWorkers,
                5 => Self::RollWorkers,
                6 => Self::WorkerHangs,
                7 => Self::ControlPlaneHangs,
                _ => Self::WorkerIsDeleted,
            };
            let makes_sense = match step {
                Self::ScaleWorkers(count) => count != shape.workers,
                Self::UpgradeWorkers => {
                    shape.workers > 0 && shape.workers_patch < shape.control_plane_patch
                }
                Self::RollWorkers | Self::WorkerHangs | Self::WorkerIsDeleted => shape.workers > 0,
                Self::ControlPlaneHangs => shape.control_plane == 3,
                _ => true,
            };
            if makes_sense {
                return step;
            }
        }
    }

    /// What is wanted afterwards.
    pub(super) fn after(self, shape: Shape) -> Shape {
        let mut after = shape;
        match self {
            Self::Begin {
                control_plane,
                workers,
                surge,
                unavailable,
            } => {
                after = Shape {
                    control_plane,
                    workers,
                    // One of both must be possible.
                    surge: if unavailable == 0 {
                        surge.max(1)
                    } else {
                        surge
                    },
                    unavailable,
                    ..Shape::default()
                };
            }
            Self::ScaleWorkers(count) => after.workers = count,
            Self::ScaleControlPlane(count) => after.control_plane = count,
            Self::UpgradeControlPlane => after.control_plane_patch += 1,
            Self::UpgradeWorkers => after.workers_patch = shape.control_plane_patch,
            Self::RollWorkers
            | Self::WorkerHangs
            | Self::ControlPlaneHangs
            | Self::WorkerIsDeleted => {}
        }
        after
    }

    /// How many machines have to be made.
    pub(super) fn made(self, before: Shape) -> usize {
        match self {
            Self::Begin {
                control_plane,
                workers,
                ..
            } => control_plane + workers,
            Self::ScaleWorkers(count) => count.saturating_sub(before.workers),
            Self::ScaleControlPlane(count) => count.saturating_sub(before.control_plane),
            Self::UpgradeControlPlane => before.control_plane,
            Self::UpgradeWorkers | Self::RollWorkers => before.workers,
            Self::WorkerHangs | Self::ControlPlaneHangs | Self::WorkerIsDeleted => 1,
        }
    }

    /// What is allowed while the fleet gets there.
    pub(super) fn bounds(self, before: Shape) -> Bounds {
        let after = self.after(before);
        let disturbed = usize::from(matches!(self, Self::WorkerHangs | Self::WorkerIsDeleted));
        let workers = before.workers.min(after.workers);
        let is_begin = matches!(self, Self::Begin { .. });
        let gone = disturbed + after.unavailable;
        Bounds {
            control_plane_max: before.control_plane.max(after.control_plane) + 1,
            control_plane_leaving_max: 1,
            workers_max: u64::try_from(before.workers.max(after.workers) + after.surge).unwrap(),
            workers_min: if is_begin {
                0
            } else {
                workers.saturating_sub(gone)
            },
        }
    }
}
