//! Distributing endpoints over slices while changing as few slices as possible.

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

/// Endpoints in one slice (upstream's `MaxEndpointsPerSlice`).
pub(super) const MAX_ENDPOINTS: usize = 100;

/// The writes for the slices of one set of ports.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    pub(super) create: Vec<Vec<Endpoint>>,
    pub(super) update: Vec<EndpointSlice>,
    pub(super) delete: Vec<EndpointSlice>,
}

/// The identity of an endpoint, whatever its state.
fn identity(endpoint: &Endpoint) -> (&[String], Option<&str>) {
    let target = endpoint.target_ref.as_ref().and_then(|target| target.uid.as_deref());
    (&endpoint.addresses, target)
}

/// The number of endpoints of a slice.
fn size(slice: &EndpointSlice) -> usize {
    slice.endpoints.as_ref().map_or(0, Vec::len)
}

/// Decides how slices with these ports come to hold exactly `wanted`.
///
/// Endpoints stay in the slice they are in. New ones go to slices that are written anyway, then to
/// the fullest one with room for all that are left, and only then to new slices.
pub(super) fn pack(present: Vec<EndpointSlice>, mut wanted: Vec<Endpoint>) -> Changes {
    let mut changes = Changes::default();
    let (mut dirty, mut clean) = (Vec::new(), Vec::new());
    for mut slice in present {
        let before = slice.endpoints.take().unwrap_or_default();
        let mut kept = Vec::new();
        for old in &before {
            if let Some(at) = wanted.iter().position(|new| identity(new) == identity(old)) {
                kept.push(wanted.swap_remove(at));
            }
        }
        let changed = kept != before;
        slice.endpoints = Some(kept);
        if changed { dirty.push(slice) } else { clean.push(slice) }
    }
    let by_order = |a: &Endpoint, b: &Endpoint| a.addresses.cmp(&b.addresses);
    wanted.sort_by(by_order);
    dirty.sort_by_key(|slice| std::cmp::Reverse(size(slice)));
    for slice in &mut dirty {
        let room = MAX_ENDPOINTS.saturating_sub(size(slice)).min(wanted.len());
        slice.endpoints.get_or_insert_default().extend(wanted.drain(..room));
    }
    while wanted.len() >= MAX_ENDPOINTS {
        changes.create.push(wanted.drain(..MAX_ENDPOINTS).collect());
    }
    if !wanted.is_empty() {
        let fits = |slice: &EndpointSlice| size(slice) + wanted.len() <= MAX_ENDPOINTS;
        let fullest = clean.iter_mut().filter(|slice| fits(slice));
        match fullest.max_by_key(|slice| size(slice)) {
            Some(slice) => {
                slice.endpoints.get_or_insert_default().append(&mut wanted);
                dirty.push(slice.clone());
            }
            None => changes.create.push(wanted),
        }
    }
    let empty_clean = clean.into_iter().filter(|slice| size(slice) == 0);
    changes.delete.extend(empty_clean);
    for slice in dirty {
        if size(&slice) == 0 { changes.delete.push(slice) } else { changes.update.push(slice) }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(range: std::ops::Range<usize>) -> Vec<Endpoint> {
        let one = |i| Endpoint { addresses: vec![format!("10.0.{i:03}")], ..Default::default() };
        range.map(one).collect()
    }

    fn slice(name: &str, range: std::ops::Range<usize>) -> EndpointSlice {
        let mut slice = EndpointSlice { endpoints: Some(endpoints(range)), ..Default::default() };
        slice.metadata.name = Some(name.into());
        slice
    }

    fn summary(changes: &Changes) -> (Vec<usize>, Vec<(&str, usize)>, Vec<&str>) {
        let name = |slice: &'_ EndpointSlice| slice.metadata.name.clone().unwrap().leak() as &str;
        (
            changes.create.iter().map(Vec::len).collect(),
            changes.update.iter().map(|slice| (name(slice), size(slice))).collect(),
            changes.delete.iter().map(name).collect(),
        )
    }

    #[test]
    fn few_slices_change() {
        let cases = [
            (vec![], 0..0, (vec![], vec![], vec![])),
            (vec![], 0..250, (vec![100, 100, 50], vec![], vec![])),
            (vec![slice("a", 0..5)], 0..5, (vec![], vec![], vec![])),
            (vec![slice("a", 0..5)], 0..6, (vec![], vec![("a", 6)], vec![])),
            (vec![slice("a", 0..5)], 5..6, (vec![], vec![("a", 1)], vec![])),
            (vec![slice("a", 0..5)], 9..9, (vec![], vec![], vec!["a"])),
            // The fuller slice takes the newcomer, the full one cannot.
            (
                vec![slice("a", 0..100), slice("b", 100..110), slice("c", 110..150)],
                0..151,
                (vec![], vec![("c", 41)], vec![]),
            ),
            // A slice that is written anyway is filled first.
            (
                vec![slice("a", 0..90), slice("b", 90..120)],
                1..121,
                (vec![], vec![("a", 90)], vec![]),
            ),
        ];
        for (present, wanted, expected) in cases {
            let changes = pack(present, endpoints(wanted.clone()));
            assert_eq!(summary(&changes), expected, "{wanted:?}");
        }
    }
}
