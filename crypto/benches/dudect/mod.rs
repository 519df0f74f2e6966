//! Whether two classes of times differ, after dudect (Reparaz, Balasch, Verbauwhede, 2017).

/// dudect's bound: above it the two classes differ.
pub const BOUND: f64 = 4.5;

/// Welch's t over the times of two classes; the slowest tenth of all, where something else ran, is left out.
pub fn t(mut times: [Vec<f64>; 2]) -> f64 {
    let mut all: Vec<f64> = times.iter().flatten().copied().collect();
    all.sort_unstable_by(f64::total_cmp);
    let limit = all[all.len() * 9 / 10];
    times.iter_mut().for_each(|times| times.retain(|time| *time <= limit));
    welch(&times[0], &times[1])
}

/// Welch's t.
pub fn welch(one: &[f64], other: &[f64]) -> f64 {
    let moments = |times: &[f64]| {
        let count = times.len() as f64;
        let mean = times.iter().sum::<f64>() / count;
        let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    };
    let ((one, one_error), (other, other_error)) = (moments(one), moments(other));
    (one - other) / (one_error + other_error).sqrt().max(f64::MIN_POSITIVE)
}
