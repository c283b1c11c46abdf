//! Divides seats among priority levels by what they want, within what each may have.

/// A level's bounds and what it would like to have, in seats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Class {
    pub(super) least: f64,
    pub(super) most: f64,
    pub(super) target: f64,
}

/// No target is less, so that every class gets something of what is left over.
const LEAST_TARGET: f64 = 0.001;

impl Class {
    fn at(&self, proportion: f64) -> f64 {
        (proportion * self.target.max(LEAST_TARGET)).clamp(self.least, self.most.max(self.least))
    }
}

/// Gives every class the same proportion of its target, except where one of its bounds is in the
/// way, so that all of them together get `sum`. `None` where the bounds do not allow that.
pub(super) fn allocate(sum: f64, classes: &[Class]) -> Option<Vec<f64>> {
    let total = |proportion: f64| classes.iter().map(|class| class.at(proportion)).sum::<f64>();
    let least: f64 = classes.iter().map(|class| class.least).sum();
    let most: f64 = classes.iter().map(|class| class.most.max(class.least)).sum();
    if classes.is_empty() || sum < least - 1e-7 || sum > most + 1e-7 {
        return None;
    }
    // The sum grows with the proportion, in a straight line between the proportions at which a
    // class meets one of its bounds.
    let meets = |class: &Class| {
        let target = class.target.max(LEAST_TARGET);
        [class.least / target, class.most / target]
    };
    let mut corners: Vec<f64> = classes.iter().flat_map(meets).collect();
    corners.sort_by(f64::total_cmp);
    let above = corners.partition_point(|corner| total(*corner) < sum);
    let proportion = match (above.checked_sub(1).map(|below| corners[below]), corners.get(above)) {
        (_, None) => corners.last().copied().unwrap_or(0.0),
        (None, Some(first)) => *first,
        (Some(low), Some(high)) => {
            let (from, to) = (total(low), total(*high));
            if to > from { low + (high - low) * (sum - from) / (to - from) } else { *high }
        }
    };
    Some(classes.iter().map(|class| class.at(proportion)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(least: f64, most: f64, target: f64) -> Class {
        Class { least, most, target }
    }

    #[test]
    fn targets_are_met_in_proportion_unless_a_bound_is_in_the_way() {
        for (sum, classes, wanted) in [
            (30.0, vec![class(0.0, 100.0, 10.0), class(0.0, 100.0, 20.0)], vec![10.0, 20.0]),
            (60.0, vec![class(0.0, 100.0, 10.0), class(0.0, 100.0, 20.0)], vec![20.0, 40.0]),
            (60.0, vec![class(0.0, 100.0, 10.0), class(0.0, 30.0, 20.0)], vec![30.0, 30.0]),
            (20.0, vec![class(9.0, 100.0, 10.0), class(0.0, 30.0, 20.0)], vec![9.0, 11.0]),
            (9.0, vec![class(9.0, 100.0, 10.0), class(0.0, 30.0, 20.0)], vec![9.0, 0.0]),
            (40.0, vec![class(9.0, 10.0, 10.0), class(0.0, 30.0, 20.0)], vec![10.0, 30.0]),
            (10.0, vec![class(0.0, 10.0, 0.0), class(0.0, 10.0, 0.0)], vec![5.0, 5.0]),
        ] {
            let given = allocate(sum, &classes).unwrap();
            for (given, wanted) in given.iter().zip(&wanted) {
                assert!((given - wanted).abs() < 1e-6, "{sum} {classes:?}: {given} {wanted}");
            }
        }
        assert!(allocate(1.0, &[class(2.0, 3.0, 2.0)]).is_none());
        assert!(allocate(4.0, &[class(2.0, 3.0, 2.0)]).is_none());
        assert!(allocate(4.0, &[]).is_none());
    }

    #[test]
    fn everything_is_given_and_every_bound_kept() {
        use rand::RngExt;
        let mut random = rand::rng();
        for _ in 0..2000 {
            let classes: Vec<Class> = (0..random.random_range(1..9))
                .map(|_| {
                    let least = f64::from(random.random_range(0..20u32));
                    let most = least + f64::from(random.random_range(0..30u32));
                    class(least, most, least + f64::from(random.random_range(0..40u32)))
                })
                .collect();
            let least: f64 = classes.iter().map(|class| class.least).sum();
            let most: f64 = classes.iter().map(|class| class.most).sum();
            let sum = least + (most - least) * random.random::<f64>();
            let given = allocate(sum, &classes).unwrap();
            assert!((given.iter().sum::<f64>() - sum).abs() < 1e-6, "{sum} {classes:?} {given:?}");
            for (given, class) in given.iter().zip(&classes) {
                assert!(*given >= class.least && *given <= class.most + 1e-9, "{classes:?}");
            }
        }
    }
}
