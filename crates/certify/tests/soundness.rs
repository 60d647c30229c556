//! No bound lies above a value that the machine takes, whatever the machine, the region and the method.

use ndarray::{Array1, Array2, array};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use widenet_certify::{AttackEffort, DenseMachine, Effort, Method, Norm, Profile, Sample, Threat};

/// A machine with everything it was made from.
struct Case {
    vectors: Array2<f64>,
    coefficients: Array1<f64>,
    intercept: f64,
    depth: usize,
    x: Array1<f64>,
    threat: Threat,
    radius: f64,
}

impl Case {
    fn draw(random: &mut ChaCha8Rng) -> Self {
        let d = random.random_range(1..9);
        let s = random.random_range(1..9);
        // Pictures have no negative features; other data does.
        let low = if random.random_bool(0.5) { 0.0 } else { -1.0 };
        let vectors = Array2::from_shape_fn((s, d), |_| random.random_range(low..1.0));
        let mut x = Array1::from_shape_fn(d, |_| random.random_range(low..1.0));
        // At or near a support vector the kernel has a kink.
        match random.random_range(0..6) {
            0 => x.assign(&vectors.row(0)),
            1 => x = &vectors.row(0) * 0.5 + Array1::from_shape_fn(d, |_| random.random_range(-0.01..0.01)),
            _ => (),
        }
        let norm = if random.random_bool(0.6) { Norm::Inf } else { Norm::Two };
        let domain = random.random_bool(0.3).then_some((-1.1, 1.1));
        Self {
            coefficients: Array1::from_shape_fn(s, |_| random.random_range(-1.0f64..1.0).powi(3) * 10.0),
            intercept: if random.random_bool(0.3) { random.random_range(-0.2..0.2) } else { 0.0 },
            depth: random.random_range(1..4),
            radius: random.random_range(-5.0f64..0.0).exp(),
            vectors,
            x,
            threat: Threat { norm, domain },
        }
    }

    fn machine(&self, coefficients: &Array1<f64>) -> DenseMachine {
        let profile = Profile::new(self.depth).unwrap();
        DenseMachine::new(self.vectors.view(), coefficients.view(), self.intercept, profile, 1.3).unwrap()
    }

    /// Inputs of the region: corners, faces, and its inside.
    fn inputs(&self, count: usize, random: &mut ChaCha8Rng) -> Vec<Array1<f64>> {
        let d = self.x.len();
        let (low, high) = self.threat.domain.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
        // A hair inside, so that rounding does not lead out.
        let radius = self.radius * (1.0 - 1e-12);
        (0..count)
            .map(|k| {
                let mut step = Array1::from_shape_fn(d, |_| match k % 3 {
                    0 => radius * if random.random_bool(0.5) { 1.0 } else { -1.0 },
                    1 => random.random_range(-radius..=radius),
                    _ => random.random_range(-radius..=radius) * if random.random_bool(0.3) { 1.0 } else { 0.0 },
                });
                if self.threat.norm == Norm::Two {
                    let length = step.dot(&step).sqrt();
                    if k % 3 == 0 || length > radius {
                        step *= radius / length;
                    }
                }
                (&self.x + &step).mapv_into(|v| v.clamp(low, high))
            })
            .collect()
    }
}

/// Bounds the machine with `bounded` as its coefficients, and counts the checks and the values found below a bound.
fn check(case: &Case, bounded: &Array1<f64>, random: &mut ChaCha8Rng) -> (usize, usize) {
    let (machine, other) = (case.machine(&case.coefficients), case.machine(bounded));
    let sign = if machine.value(case.x.view()) >= 0.0 { 1.0 } else { -1.0 };
    let sample = Sample::new(&other, case.x.view(), case.threat).unwrap();
    if sample.value() * sign < 0.0 {
        return (0, 0);
    }
    let mut least = f64::INFINITY;
    let inputs = case.inputs(60, random);
    for input in &inputs {
        least = least.min(sign * machine.value(input.view()));
    }
    let found = Sample::new(&machine, case.x.view(), case.threat).unwrap();
    let effort = AttackEffort { restarts: 2, steps: 15 };
    if let Some(adversary) = found.attack(effort, 1).filter(|a| a.radius <= case.radius * (1.0 - 1e-9)) {
        least = least.min(sign * machine.value(adversary.input.view()));
    }
    // Branching works hardest for what is just within reach; what is out of reach has to be a bound all the same.
    let reaches = [least - 0.02 * least.abs(), least + 0.1 * least.abs() + 1e-3];
    let methods = [
        (Method::Interval, 0),
        (Method::Relaxation, 0),
        (Method::Relaxation, 3),
        (Method::Taylor, 0),
        (Method::Taylor, 3),
        (Method::Best, 2),
    ];
    let bound = |((method, halvings), enough)| {
        sample.lower_bound(method, case.radius, enough, Effort { halvings, ..Effort::default() })
    };
    let bounds: Vec<f64> =
        reaches.into_iter().flat_map(|enough| methods.map(|method| (method, enough))).map(bound).collect();
    // The value itself is rounded too.
    let rounding = 1e-13 * case.coefficients.iter().map(|c| c.abs()).sum::<f64>();
    let wrong = bounds.iter().filter(|&&bound| bound > least + rounding).count();
    (bounds.len() * inputs.len(), wrong)
}

#[test]
fn no_bound_is_above_a_value() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut checks = 0;
    for _ in 0..1000 {
        let case = Case::draw(&mut random);
        let (done, wrong) = check(&case, &case.coefficients, &mut random);
        checks += done;
        assert_eq!(
            wrong, 0,
            "{:?} {:?} {:?} r {} L {}",
            case.x, case.threat, case.coefficients, case.radius, case.depth
        );
    }
    assert!(checks >= 100_000, "{checks}");
}

/// The check above is able to fail: bounds of a slightly wrong machine are caught.
#[test]
fn wrong_bounds_are_caught() {
    let mut random = ChaCha8Rng::seed_from_u64(12);
    let (mut turned, mut dropped) = (0, 0);
    for _ in 0..100 {
        let case = Case::draw(&mut random);
        let smallest = (0..case.coefficients.len())
            .min_by(|&a, &b| case.coefficients[a].abs().total_cmp(&case.coefficients[b].abs()));
        let Some(i) = smallest else { continue };
        let mut bounded = case.coefficients.clone();
        bounded[i] = -bounded[i];
        turned += check(&case, &bounded, &mut random).1;
        bounded[i] = 0.0;
        dropped += check(&case, &bounded, &mut random).1;
    }
    assert!(turned > 0 && dropped > 0, "{turned} {dropped}");
}

#[test]
fn certificates_stay_below_attacks() {
    let mut random = ChaCha8Rng::seed_from_u64(13);
    let mut positive = [0; 4];
    for _ in 0..150 {
        let case = Case::draw(&mut random);
        let machine = case.machine(&case.coefficients);
        let sample = Sample::new(&machine, case.x.view(), case.threat).unwrap();
        let attack = sample.attack(AttackEffort::default(), 0).map(|adversary| adversary.radius);
        for (k, method) in Method::ALL.into_iter().enumerate() {
            // Without being told where the attack succeeded.
            let certificate = sample.certify(method, Effort { halvings: 2, ..Effort::default() }, None);
            assert!(certificate.radius <= attack.unwrap_or(f64::INFINITY) * (1.0 + 1e-9), "{method:?}");
            positive[k] += usize::from(certificate.radius > 0.0);
        }
    }
    assert!(positive.iter().all(|&n| n > 70), "{positive:?}");
}

/// Over a box in two dimensions the least value can be found by looking everywhere: certificates come close to it.
#[test]
fn certificates_are_tight() {
    let vectors = array![[1.0, 0.3], [0.9, 0.5], [0.2, 1.0]];
    let profile = Profile::new(1).unwrap();
    let machine = DenseMachine::new(vectors.view(), array![60.0, -55.0, -5.0].view(), 0.0, profile, 1.0).unwrap();
    let x = array![1.0, 0.2];
    let sample = Sample::new(&machine, x.view(), Threat::new(Norm::Inf)).unwrap();
    let sign = sample.value().signum();
    let least = |radius: f64| {
        let grid = |k: usize| radius * (k as f64 / 100.0 - 1.0);
        let value = |i, j| sign * machine.value((&x + &array![grid(i), grid(j)]).view());
        (0..201 * 201).map(|k| value(k / 201, k % 201)).fold(f64::INFINITY, f64::min)
    };
    let attack = sample.attack(AttackEffort::default(), 0).expect("the boundary is near").radius;
    let best = sample.certify(Method::Best, Effort::default(), None).radius;
    assert!(least(best) > 0.0 && least(1.01 * attack) <= 0.0);
    assert!(best > 0.9 * attack, "{best} {attack}");
}

/// What lines lose grows with `sum |alpha|`, what parabolas lose far less: differences of neighbours' kernels.
#[test]
fn parabolas_keep_what_coefficients_cancel() {
    let mut random = ChaCha8Rng::seed_from_u64(14);
    let mut vectors = Array2::from_shape_fn((40, 10), |_| random.random_range(0.0..1.0));
    for i in (0..40).step_by(2) {
        let (first, step) = (vectors.row(i).to_owned(), Array1::from_shape_fn(10, |_| random.random_range(-0.1..0.1)));
        vectors.row_mut(i + 1).assign(&(first + step));
    }
    let coefficients = Array1::from_shape_fn(40, |i| if i % 2 == 0 { 10.0 } else { -10.0 });
    let profile = Profile::new(1).unwrap();
    let machine = DenseMachine::new(vectors.view(), coefficients.view(), 0.0, profile, 1.0).unwrap();
    let x = Array1::from_elem(10, 0.5);
    let sample = Sample::new(&machine, x.view(), Threat::new(Norm::Inf)).unwrap();
    let attack = sample.attack(AttackEffort::default(), 0).expect("the boundary is near").radius;
    let [lines, parabolas] = [Method::Relaxation, Method::Taylor]
        .map(|method| sample.certify(method, Effort::default(), None).radius / attack);
    assert!(lines < 0.75 && parabolas > 0.85, "{lines} {parabolas}");
}

/// At the origin a machine without intercept is 0: nothing is certified there, and the sample is its own adversary. With
/// an intercept it is certified as any other. All of it is finite.
#[test]
fn the_origin_has_a_radius() {
    let vectors = array![[1.0, 0.5], [-0.5, 2.0], [0.0, 0.0]];
    let coefficients = array![1.0, -2.0, 3.0];
    let x = array![0.0, 0.0];
    for (depth, norm, domain) in [1, 2, 3].into_iter().flat_map(|depth| {
        [
            (depth, Norm::Inf, None),
            (depth, Norm::Two, None),
            (depth, Norm::Inf, Some((-0.5, 1.0))),
            (depth, Norm::Two, Some((0.0, 9.0))),
        ]
    }) {
        let threat = Threat { norm, domain };
        for intercept in [0.0, 0.3, -0.3] {
            let machine =
                DenseMachine::new(vectors.view(), coefficients.view(), intercept, Profile::new(depth).unwrap(), 1.0)
                    .unwrap();
            let sample = Sample::new(&machine, x.view(), threat).unwrap();
            let attack = sample.attack(AttackEffort::default(), 0);
            let upper = attack.as_ref().map_or(f64::INFINITY, |attack| attack.radius);
            for method in Method::ALL {
                let radius = sample.certify(method, Effort::default(), attack.as_ref().map(|a| a.radius)).radius;
                assert!(radius.is_finite() && radius <= upper, "{method:?} {threat:?} {intercept}: {radius} {upper}");
                assert_eq!(
                    radius > 0.0,
                    intercept != 0.0 && method != Method::Taylor,
                    "{method:?} {threat:?} {intercept}: {radius}"
                );
            }
            if depth == 1 && threat == Threat::new(Norm::Inf) {
                let published = sample.published(0.05);
                assert!(published.is_finite() && (intercept != 0.0 || published == 0.0), "{published}");
            }
            match intercept == 0.0 {
                true => assert_eq!(attack.expect("on the boundary").radius, 0.0),
                false => assert!(attack.is_none_or(|attack| attack.radius > 0.0 && attack.radius.is_finite())),
            }
        }
    }
}

/// Whatever the sizes of features and coefficients, radii are finite numbers that no attack contradicts, or there is an
/// error.
#[test]
fn radii_are_finite_at_every_size() {
    let mut random = ChaCha8Rng::seed_from_u64(12);
    let mut certified = 0;
    for _ in 0..300 {
        let size = |random: &mut ChaCha8Rng| {
            10f64.powi(random.random_range(-170..170) / if random.random_bool(0.6) { 4 } else { 1 })
        };
        let [vectors, coefficients, sample] = [(); 3].map(|()| size(&mut random));
        let intercept = if random.random_bool(0.5) { size(&mut random) } else { 0.0 };
        let d = random.random_range(1..4);
        let vectors = Array2::from_shape_fn((3, d), |_| vectors * random.random_range(-1.0..1.0));
        let coefficients = Array1::from_shape_fn(3, |_| coefficients * random.random_range(-1.0..1.0));
        let x = Array1::from_shape_fn(d, |_| sample * random.random_range(-1.0..1.0));
        let norm = if random.random_bool(0.5) { Norm::Inf } else { Norm::Two };
        let profile = Profile::new(random.random_range(1..4)).unwrap();
        let Ok(machine) = DenseMachine::new(vectors.view(), coefficients.view(), intercept, profile, 1.0) else {
            continue;
        };
        let Ok(sample) = Sample::new(&machine, x.view(), Threat::new(norm)) else { continue };
        certified += 1;
        assert!(sample.value().is_finite());
        let attack = sample.attack(AttackEffort::default(), 0);
        let attack = attack.map_or(f64::INFINITY, |found| {
            assert!(found.radius.is_finite() && found.input.iter().all(|v| v.is_finite()), "{found:?}");
            found.radius
        });
        for method in Method::ALL {
            let radius = sample.certify(method, Effort::default(), None).radius;
            assert!(
                radius.is_finite() && 0.0 <= radius && radius <= attack,
                "{method:?}: {radius} {attack}, {x} {vectors} {coefficients}"
            );
        }
    }
    assert!(certified > 100, "{certified}");
}
