//! Custom resources as stock clients meet them.

use e2e::Cluster;

const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        description: A Widget does what its spec says.
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: integer, format: int32, description: How large it is.}
              port: {x-kubernetes-int-or-string: true}
              parts:
                type: array
                items:
                  type: object
                  properties:
                    name: {type: string}
";

const WIDGET: &str = "
apiVersion: example.com/v1
kind: Widget
metadata: {name: a}
spec: {size: 3, port: http, parts: [{name: one}]}
";

#[test]
fn kubectl_explains_and_applies_custom_resources() {
    let cluster = Cluster::start();
    cluster.apply(DEFINITION);
    cluster.wait("--for=condition=Established crd/widgets.example.com");
    for old in [false, true] {
        let explain = |what: &str| {
            let words = format!("explain {what}");
            if old { cluster.oldest_kubectl(&words) } else { cluster.kubectl(&words) }.ok()
        };
        let all = explain("widgets --recursive");
        for said in ["KIND:       Widget", "A Widget does what its spec says.", "managedFields"] {
            assert!(all.contains(said), "{said}\n{all}");
        }
        let line = |name: &str| all.lines().find(|line| line.trim_start().starts_with(name));
        assert!(line("parts").is_some_and(|line| line.ends_with("<[]Object>")), "{all}");
        let size = explain("widget.spec.size");
        assert!(size.contains("<integer>") && size.contains("How large it is."), "{size}");
        let older = explain("wd.spec --output=plaintext-openapiv2");
        assert!(older.contains("size\t<integer> -required-"), "{older}");
    }
    cluster.apply(WIDGET);
    cluster.apply(&WIDGET.replace("size: 3", "size: 4"));
    assert_eq!(cluster.kubectl("get wd a -o jsonpath={.spec.size}").ok(), "4");
    cluster.kubectl("delete crd widgets.example.com --timeout=60s").ok();
}
