//! Every engine against the contract of `Backend`.

mod contract;
mod in_memory;
pub(crate) mod namespaces;
pub(crate) mod testbed;

/// Each part of the contract as a test of each engine.
macro_rules! every_engine_keeps {
    ($($part:ident,)*) => {
        mod nftables {
            $(#[test]
            fn $part() {
                super::contract::$part(&mut super::namespaces::Namespaces::new());
            })*
        }

        mod in_memory_engine {
            $(#[test]
            fn $part() {
                super::contract::$part(&mut super::in_memory::InMemory::default());
            })*
        }
    };
}

every_engine_keeps! {
    connections_spread_over_the_endpoints_of_their_port,
    endpoints_that_went_get_no_connections,
    protocols_are_apart,
    a_pod_reaches_itself_through_its_service,
    node_ports_and_external_addresses_serve_everybody,
    local_traffic_from_outside_stays_and_keeps_its_source,
    local_traffic_from_inside_stays,
    load_balancers_serve_their_source_ranges,
    clients_with_affinity_stick_until_their_endpoint_goes,
    ipv6_is_served_beside_ipv4,
    an_address_stays_with_the_port_that_had_it_first,
    a_refused_change_takes_all_others_with_it,
    changes_of_what_is_not_in_force_are_refused,
    reset_puts_these_ports_into_force_and_no_others,
    reset_mends_what_others_did,
    apply_ends_where_reset_begins,
    the_same_again_changes_nothing,
    nothing_leaves_for_an_address_that_no_service_has,
    remove_takes_everything_away,
    many_ports_come_and_go_at_once,
}
